//! Finding a needed library as the dynamic loader does.
//!
//! By the rules of `ld.so(8)`: the runpath of the file that asks, or else the rpaths of it and
//! of what loaded it; the library path; then the default folders.

use crate::elf::Dynamic;
use nos_formats::tree::TreePath;

/// Default folders of Debian's glibc on amd64, in its order.
const GLIBC_FOLDERS: &[&str] = &[
    "/lib/x86_64-linux-gnu",
    "/usr/lib/x86_64-linux-gnu",
    "/lib",
    "/usr/lib",
];

/// Default folders of musl, Debian's build first.
const MUSL_FOLDERS: &[&str] = &[
    "/lib/x86_64-linux-musl",
    "/usr/lib/x86_64-linux-musl",
    "/lib",
    "/usr/local/lib",
    "/usr/lib",
];

/// Which dynamic loader a program uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Loader {
    #[default]
    Glibc,
    Musl,
}

impl Loader {
    /// By the name of the program interpreter.
    pub(super) fn of_interpreter(path: &[u8]) -> Self {
        let name = path.rsplit(|&b| b == b'/').next().unwrap_or_default();
        if name.starts_with(b"ld-musl-") {
            Self::Musl
        } else {
            Self::Glibc
        }
    }

    pub(super) fn default_folders(self) -> &'static [&'static str] {
        match self {
            Self::Glibc => GLIBC_FOLDERS,
            Self::Musl => MUSL_FOLDERS,
        }
    }

    /// musl's C library is its loader; nothing else has to be found for its names.
    pub(super) fn is_itself(self, name: &[u8]) -> bool {
        self == Self::Musl && (name == b"libc.so" || name.starts_with(b"libc.musl-"))
    }
}

/// The folders in which one file's needs are looked for, in order.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Search {
    /// What the file says: its runpath, or its own rpath.
    own: Vec<Vec<u8>>,
    /// Rpaths of what loaded it; unused where it has a runpath.
    inherited: Vec<Vec<u8>>,
    has_runpath: bool,
}

impl Search {
    /// For a file in `folder` that was loaded by something with the search `loader`.
    pub(super) fn of(dynamic: &Dynamic, folder: &TreePath, loader: Option<&Self>) -> Self {
        let has_runpath = !dynamic.runpath.is_empty();
        let own = if has_runpath {
            &dynamic.runpath
        } else {
            &dynamic.rpath
        };
        let mut inherited = Vec::new();
        if let Some(loader) = loader {
            if !loader.has_runpath {
                inherited.extend(loader.own.iter().cloned());
            }
            inherited.extend(loader.inherited.iter().cloned());
        }
        Self {
            own: own.iter().map(|dir| expand(dir, folder)).collect(),
            inherited,
            has_runpath,
        }
    }

    /// Every folder, first to last. `library_path` is the service's `LD_LIBRARY_PATH`.
    pub(super) fn folders(&self, library_path: &[TreePath], loader: Loader) -> Vec<Vec<u8>> {
        let mut folders: Vec<Vec<u8>> = Vec::new();
        if !self.has_runpath {
            folders.extend(self.own.iter().chain(&self.inherited).cloned());
        }
        folders.extend(library_path.iter().map(|p| p.to_string().into_bytes()));
        if self.has_runpath {
            folders.extend(self.own.iter().cloned());
        }
        let default = loader.default_folders().iter();
        folders.extend(default.map(|folder| folder.as_bytes().to_vec()));
        folders
    }
}

/// Replaces `$ORIGIN`, `$LIB` and `$PLATFORM`, with or without braces.
fn expand(text: &[u8], origin: &TreePath) -> Vec<u8> {
    let origin = [b"/".as_slice(), origin.as_bytes()].concat();
    let tokens: [(&[u8], &[u8]); 6] = [
        (b"$ORIGIN", &origin),
        (b"${ORIGIN}", &origin),
        (b"$LIB", b"lib/x86_64-linux-gnu"),
        (b"${LIB}", b"lib/x86_64-linux-gnu"),
        (b"$PLATFORM", b"x86_64"),
        (b"${PLATFORM}", b"x86_64"),
    ];
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((&byte, after)) = rest.split_first() {
        let token = tokens.iter().find(|(token, _)| rest.starts_with(token));
        match token {
            Some((token, value)) => {
                out.extend_from_slice(value);
                rest = &rest[token.len()..];
            }
            None => {
                out.push(byte);
                rest = after;
            }
        }
    }
    out
}

/// The Debian package that probably has a library: `libssl.so.3` → `libssl3`.
pub(super) fn package_guess(soname: &str) -> Option<String> {
    let file = soname.rsplit('/').next()?;
    let (stem, version) = file.split_once(".so.")?;
    if !stem.starts_with("lib") {
        return None;
    }
    let dash = if stem.ends_with(|c: char| c.is_ascii_digit()) {
        "-"
    } else {
        ""
    };
    let name = format!("{stem}{dash}{version}").to_lowercase();
    let name = name.replace('_', "-");
    Some(format!("{name} or {name}t64"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(folders: Vec<Vec<u8>>) -> String {
        let folders: Vec<_> = folders
            .into_iter()
            .map(|f| String::from_utf8(f).unwrap())
            .take_while(|f| !f.starts_with("/lib/"))
            .collect();
        folders.join(" ")
    }

    #[test]
    fn the_order_of_folders_is_the_loaders() {
        let at = TreePath::new("opt/app/bin").unwrap();
        let dynamic = |rpath: &[&str], runpath: &[&str]| Dynamic {
            rpath: rpath.iter().map(|s| s.as_bytes().to_vec()).collect(),
            runpath: runpath.iter().map(|s| s.as_bytes().to_vec()).collect(),
            ..Dynamic::default()
        };
        let env = [TreePath::new("env").unwrap()];
        let program = Search::of(&dynamic(&["$ORIGIN/../lib"], &[]), &at, None);
        assert_eq!(
            text(program.folders(&env, Loader::Glibc)),
            "/opt/app/bin/../lib /env"
        );
        let library = Search::of(&dynamic(&["/r"], &[]), &at, Some(&program));
        assert_eq!(
            text(library.folders(&env, Loader::Glibc)),
            "/r /opt/app/bin/../lib /env"
        );
        let modern = Search::of(&dynamic(&["/r"], &["/o/$LIB"]), &at, Some(&program));
        assert_eq!(
            text(modern.folders(&env, Loader::Glibc)),
            "/env /o/lib/x86_64-linux-gnu"
        );
        let below = Search::of(&dynamic(&[], &[]), &at, Some(&modern));
        assert_eq!(
            text(below.folders(&[], Loader::Glibc)),
            "/opt/app/bin/../lib"
        );
    }

    #[test]
    fn package_names_are_guessed() {
        for (soname, package) in [
            ("libssl.so.3", "libssl3 or libssl3t64"),
            ("libpcre2-8.so.0", "libpcre2-8-0 or libpcre2-8-0t64"),
            ("libgcc_s.so.1", "libgcc-s1 or libgcc-s1t64"),
        ] {
            assert_eq!(package_guess(soname).as_deref(), Some(package));
        }
        assert_eq!(package_guess("/bin/sh"), None);
    }
}
