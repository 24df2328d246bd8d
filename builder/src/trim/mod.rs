//! Trim: from what a service runs, the files that it can reach, and why each of them stays.
//!
//! Files are read, never executed. What is followed:
//!
//! - the ELF interpreter and the `DT_NEEDED` closure, found as glibc's (or musl's) loader finds
//!   them: `DT_RPATH`, the library path, `DT_RUNPATH`, `$ORIGIN`, `$LIB`, the default folders;
//! - `#!` interpreters, `env` included;
//! - symbolic links and hard links, wherever a path leads through them;
//! - libraries that a program opens by itself, where it says so (`dlopen` notes) or where it is
//!   known ([`known`]: libgcc_s, PAM, SASL, name services, script languages, terminals);
//! - paths that commands, environments, configuration, scripts and strings of programs name, and
//!   in what a shell runs names of programs ([`names`]), where the image has them;
//! - declared globs, and the licence texts of every package of which a file stays.
//!
//! What [`drop()`] took out before is not there for any of these.
//!
//! There is no `ld.so.cache` in an image, so folders of `/etc/ld.so.conf.d` do not count: a
//! library that only the cache would have found is reported missing here, not in production.

mod drop;
mod glob;
pub mod known;
mod library;
mod named;
mod names;
mod reach;
mod resolve;
mod script;
#[cfg(test)]
mod tests;
pub mod trace;
mod weight;

pub use drop::{Dropped, Drops, drop};
pub use glob::{Glob, GlobError, MAX_GLOB_BYTES};
pub use reach::{Reach, Request, reach};
pub use weight::{Holder, Weight, weigh};

use crate::elf::ElfError;
use nos_formats::tree::{Kind, Metadata, Node, Tree, TreeError, TreePath};
use std::fmt;
use std::io;

/// Why a path stays in an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reason {
    /// A service runs it.
    Runs,
    /// Every image has it.
    Always,
    /// The spec places it.
    Named,
    /// It is inside a folder that the spec places.
    Below(TreePath),
    /// A `keep` glob matches it.
    Keep(String),
    /// It is the program interpreter (dynamic loader) of a file.
    Interpreter {
        /// The file.
        of: TreePath,
    },
    /// A script begins with `#!` and this program.
    Script {
        /// The script.
        of: TreePath,
    },
    /// The loader finds it for a file that needs it.
    Needed {
        /// The file.
        by: TreePath,
        /// The name asked for.
        name: String,
    },
    /// A file says that it opens this library by itself.
    Dlopen {
        /// The file.
        by: TreePath,
        /// What for, in the file's words.
        what_for: String,
    },
    /// Known to be opened by a file at run time.
    Known {
        /// The file.
        by: TreePath,
        /// How it is known.
        why: &'static str,
    },
    /// A symbolic link on the way to a file that stays.
    LeadsTo(TreePath),
    /// The target of a link that stays.
    TargetOf(TreePath),
    /// A service's command names it.
    Argument,
    /// An environment variable of a service names it.
    Environment(String),
    /// It is named in the text of a file, or among the strings of a program.
    NamedBy(TreePath),
    /// The licence text of a package.
    Licence {
        /// The package.
        package: String,
        /// A file of it that stays.
        for_file: TreePath,
    },
}

impl Reason {
    /// The path whose staying this reason follows from.
    pub fn cause(&self) -> Option<&TreePath> {
        match self {
            Self::Runs | Self::Named | Self::Keep(_) => None,
            Self::Always | Self::Argument | Self::Environment(_) => None,
            Self::Interpreter { of } | Self::Script { of } => Some(of),
            Self::Needed { by, .. } | Self::Dlopen { by, .. } | Self::Known { by, .. } => Some(by),
            Self::Below(path) | Self::LeadsTo(path) | Self::TargetOf(path) => Some(path),
            Self::NamedBy(path) => Some(path),
            Self::Licence { for_file, .. } => Some(for_file),
        }
    }

    /// Whether it is only likely that the path is used: programs start without it.
    pub fn is_surmise(&self) -> bool {
        matches!(self, Self::Known { .. } | Self::NamedBy(_))
    }
}

impl fmt::Display for Reason {
    /// A phrase that follows "it stays because".
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Runs => write!(f, "a service runs it"),
            Self::Always => write!(f, "every image has it"),
            Self::Named => write!(f, "the spec places it"),
            Self::Below(folder) => write!(f, "it is in {folder}, which the spec places"),
            Self::Keep(glob) => write!(f, "keep = \"{glob}\" matches it"),
            Self::Interpreter { of } => write!(f, "it is the dynamic loader of {of}"),
            Self::Script { of } => write!(f, "it runs the script {of}"),
            Self::Needed { by, name } => write!(f, "{by} needs {name}"),
            Self::Dlopen { by, what_for } => write!(f, "{by} opens it ({what_for})"),
            Self::Known { by, why } => write!(f, "{by} opens it ({why})"),
            Self::LeadsTo(path) => write!(f, "it leads to {path}"),
            Self::TargetOf(path) => write!(f, "the link {path} leads to it"),
            Self::Argument => write!(f, "the command of a service names it"),
            Self::Environment(name) => write!(f, "{name} in the environment of a service names it"),
            Self::NamedBy(path) => write!(f, "{path} names it"),
            Self::Licence { package, for_file } => {
                write!(
                    f,
                    "it is the licence of {package}, of which {for_file} stays"
                )
            }
        }
    }
}

/// Something that a kept file asks for and the tree does not have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Missing {
    /// What is asked for: a library's name or a program's path.
    pub name: String,
    /// Who asks.
    pub by: TreePath,
    /// The Debian package that `by` comes from.
    pub package: Option<String>,
    /// A file of that name where the loader does not look.
    pub elsewhere: Option<TreePath>,
    /// The `drop` glob that took a file of that name out.
    pub dropped: Option<String>,
    /// Where `name` is a version of a library: the library, which does not have it.
    pub lacking: Option<Lacking>,
}

/// A library that is too old, or too new, for who needs it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lacking {
    /// Its file.
    pub library: TreePath,
    /// The Debian package that it comes from.
    pub package: Option<String>,
    /// The last version of that kind that it has.
    pub newest: Option<String>,
}

impl fmt::Display for Lacking {
    /// What follows "FILE needs VERSION of".
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.library)?;
        if let Some(package) = &self.package {
            write!(f, " (package {package})")?;
        }
        match &self.newest {
            Some(newest) => write!(f, ", which ends with {newest}"),
            None => write!(f, ", which has none of that name"),
        }
    }
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, by, .. } = self;
        write!(f, "{by}")?;
        if let Some(package) = &self.package {
            write!(f, " (package {package})")?;
        }
        if let Some(lacking) = &self.lacking {
            return write!(
                f,
                " needs {name} of {lacking}; use a {by} that was compiled on the Debian release \
                 of the image or an older one, or static, or a later package with 'nos update'"
            );
        }
        write!(f, " needs {name}, which is not in the image; ")?;
        if let Some(glob) = &self.dropped {
            return write!(
                f,
                "drop = {glob:?} takes it out: make that pattern narrower"
            );
        }
        if let Some(found) = &self.elsewhere {
            let folder = found.parent().unwrap_or_default();
            return write!(
                f,
                "{found} is there, but the loader does not look in that folder: set LD_LIBRARY_PATH = \"{folder}\" for the service"
            );
        }
        match library::package_guess(name) {
            Some(guess) => write!(f, "add the package that has it, probably {guess}"),
            None => write!(f, "add the package that has it, or leave {by} out"),
        }
    }
}

fn list(missing: &[Missing]) -> String {
    let lines: Vec<_> = missing.iter().map(Missing::to_string).collect();
    lines.join("\n")
}

/// Why trimming cannot say what is needed.
#[derive(Debug, thiserror::Error)]
pub enum TrimError {
    /// A path that a service runs or the spec names is not in the image.
    #[error("{path} is not in the image{}; add the package or file that provides it", also(.nearest))]
    NoRoot {
        /// The path.
        path: TreePath,
        /// Files of the same name elsewhere in the image.
        nearest: Vec<TreePath>,
    },
    /// The spec keeps a path and takes it out.
    #[error(
        "{path} is kept by keep = {keep:?} and taken out by drop = {drop:?}; make one of the patterns \
         narrower"
    )]
    KeptAndDropped {
        /// The path.
        path: TreePath,
        /// The pattern that keeps it.
        keep: String,
        /// The pattern that takes it out.
        drop: String,
    },
    /// The spec places or runs a path and takes it out.
    #[error(
        "drop = {drop:?} takes out {path}, which the spec places or runs; make the pattern narrower"
    )]
    WantedAndDropped {
        /// The path.
        path: TreePath,
        /// The pattern that takes it out.
        drop: String,
    },
    /// What a program cannot start without is missing.
    #[error("{}", list(.0))]
    Unsatisfied(Vec<Missing>),
    /// A program that cannot be read.
    #[error("{path}: {source}")]
    Elf {
        /// The file.
        path: TreePath,
        /// What is wrong with it.
        source: ElfError,
    },
    /// Opening a file's content failed.
    #[error("reading {path} failed: {source}; check the store with 'nos store verify'")]
    Read {
        /// The file.
        path: TreePath,
        /// What the caller's reader said.
        source: io::Error,
    },
    /// A built-in table does not read.
    #[error(transparent)]
    Glob(#[from] GlobError),
    /// A link would have to be placed where it cannot be.
    #[error(transparent)]
    Tree(#[from] TreeError),
}

fn also(nearest: &[TreePath]) -> String {
    if nearest.is_empty() {
        return String::new();
    }
    let names: Vec<_> = nearest.iter().map(TreePath::to_string).collect();
    format!(" (there is {})", names.join(", "))
}

/// The links of a merged `/usr`: path and target.
pub const USR_MERGE: [(&str, &str); 4] = [
    ("bin", "usr/bin"),
    ("lib", "usr/lib"),
    ("lib64", "usr/lib64"),
    ("sbin", "usr/sbin"),
];

/// Adds the links of a merged `/usr` where their targets exist and nothing else is in their
/// place. Debian's programs name their loader by one of them (`/lib64/ld-linux-x86-64.so.2`),
/// and the package that has the links is rarely part of an image.
///
/// # Errors
/// [`TreeError`] where the root is not a directory, which a [`Tree`] excludes.
pub fn add_usr_merge_links<C>(tree: &mut Tree<C>) -> Result<(), TreeError> {
    for (link, target) in USR_MERGE {
        let path = TreePath::new(link)?;
        let exists = tree.get(&TreePath::new(target)?).is_some();
        if exists && tree.get(&path).is_none() {
            let node = Node {
                metadata: Metadata::with_mode(0o777),
                kind: Kind::Symlink(target.as_bytes().to_vec()),
            };
            tree.insert(path, node)?;
        }
    }
    Ok(())
}
