//! Where Debian packages come from: the spec, `NOS_DEBIAN_MIRROR`, or apt's own configuration.
//!
//! No address is compiled in. Follows sources.list(5) for both of apt's formats.

use std::path::{Path, PathBuf};

/// One of apt's source files, as read by the caller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AptFile {
    /// Its path; only the ending (`.list`, `.sources`) matters.
    pub path: PathBuf,
    /// Its content.
    pub text: String,
}

impl AptFile {
    /// Reads `sources.list` and `sources.list.d` below a folder (`/etc/apt`), in apt's order.
    /// What cannot be read is left out: the machine may well have no apt at all.
    pub fn read_all(folder: &Path) -> Vec<AptFile> {
        let mut paths = vec![folder.join("sources.list")];
        if let Ok(entries) = std::fs::read_dir(folder.join("sources.list.d")) {
            let mut parts: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
            parts.sort();
            paths.extend(parts);
        }
        let files = paths.into_iter().filter_map(|path| {
            let text = std::fs::read_to_string(&path).ok()?;
            Some(AptFile { path, text })
        });
        files.collect()
    }
}

/// The root of an archive: the folder that holds `dists` and `pool`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Base {
    /// `http` or `https`, without a final slash.
    Http(String),
    /// A folder on this machine (`file:` or a plain absolute path).
    Folder(PathBuf),
    /// A file that lists addresses to try in order, one a line (`mirror+file:`).
    List(PathBuf),
}

impl Base {
    /// Reads an address; `None` for a scheme that is not supported.
    pub fn parse(text: &str) -> Option<Base> {
        let trimmed = text.trim_end_matches('/');
        if trimmed.starts_with('/') || text == "/" {
            return Some(Base::Folder(PathBuf::from(text)));
        }
        let (scheme, rest) = trimmed.split_once(':')?;
        // `file:///a`, `file://localhost/a` and `file:/a` all name /a.
        let local = || {
            let path = rest.strip_prefix("//").unwrap_or(rest);
            let path = path.strip_prefix("localhost").unwrap_or(path);
            path.starts_with('/').then(|| PathBuf::from(path))
        };
        match scheme {
            "http" | "https" => {
                let host = rest.strip_prefix("//")?;
                let usable = !host.is_empty() && !host.starts_with('/');
                let plain = host.bytes().all(|b| b.is_ascii_graphic());
                (usable && plain).then(|| Base::Http(trimmed.to_owned()))
            }
            "file" | "copy" => local().map(Base::Folder),
            "mirror+file" => local().map(Base::List),
            _ => None,
        }
    }

    /// The archive beside this one that serves security updates: the same address with its last
    /// component `debian` replaced by `debian-security`. An archive whose address ends otherwise
    /// is taken to serve both.
    fn security(&self) -> Base {
        let beside = |text: &str| {
            let head = text.strip_suffix("/debian")?;
            Some(format!("{head}/debian-security"))
        };
        match self {
            Base::Http(address) => beside(address).map(Base::Http),
            Base::Folder(path) => path
                .to_str()
                .and_then(beside)
                .map(|p| Base::Folder(p.into())),
            // apt's own lists: debian.list and debian-security.list in one folder.
            Base::List(path) => path
                .to_str()
                .and_then(|p| p.strip_suffix("/debian.list"))
                .map(|head| Base::List(format!("{head}/debian-security.list").into())),
        }
        .unwrap_or_else(|| self.clone())
    }
}

impl std::fmt::Display for Base {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Base::Http(address) => f.write_str(address),
            Base::Folder(path) => path.display().fmt(f),
            Base::List(path) => write!(f, "mirror+file:{}", path.display()),
        }
    }
}

/// Who named the mirror.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// The spec.
    Spec,
    /// `NOS_DEBIAN_MIRROR`.
    Environment,
    /// A file of apt's.
    Apt(PathBuf),
}

/// The archives to fetch from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mirror {
    /// Serves every suite but the security ones.
    pub archive: Base,
    /// Serves the `…-security` suites.
    pub security: Base,
    /// Who named it.
    pub origin: Origin,
}

/// Why there is no mirror.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MirrorError {
    /// The caller wants nothing to be fetched.
    #[error("the network is not to be used; leave out --offline once to fetch what is missing")]
    Offline,
    /// No source names one.
    #[error(
        "no Debian mirror is known; name one in the spec (mirror = \"…\"), in NOS_DEBIAN_MIRROR, \
         or in apt's configuration (/etc/apt/sources.list.d/debian.sources)"
    )]
    None,
    /// An address that cannot be used.
    #[error(
        "the Debian mirror {address:?} from {place} cannot be used; write it as http://, https://, \
         file:/ or mirror+file:/ followed by the folder that holds 'dists' and 'pool'"
    )]
    BadAddress {
        /// The address as written.
        address: String,
        /// Who wrote it.
        place: &'static str,
    },
}

impl Mirror {
    /// Finds the mirror: the first of the spec's, the value of `NOS_DEBIAN_MIRROR` and what apt
    /// uses for Debian's main archive. A value may hold two addresses separated by a space: the
    /// archive and the security archive.
    ///
    /// # Errors
    /// [`MirrorError`], which says the three ways.
    pub fn find(
        spec: Option<&str>,
        environment: Option<&str>,
        apt: &[AptFile],
    ) -> Result<Mirror, MirrorError> {
        let given = [
            (spec, "the spec", Origin::Spec),
            (environment, "NOS_DEBIAN_MIRROR", Origin::Environment),
        ];
        for (value, place, origin) in given {
            let Some(value) = value.map(str::trim).filter(|value| !value.is_empty()) else {
                continue;
            };
            let bad = |address: &str| MirrorError::BadAddress {
                address: address.to_owned(),
                place,
            };
            let mut words = value.split_ascii_whitespace();
            let mut next = || words.next().map(|w| Base::parse(w).ok_or_else(|| bad(w)));
            let archive = next().unwrap_or_else(|| Err(bad(value)))?;
            let security = next().unwrap_or_else(|| Ok(archive.security()))?;
            if words.next().is_some() {
                return Err(bad(value));
            }
            return Ok(Mirror {
                archive,
                security,
                origin,
            });
        }
        Self::from_apt(apt).ok_or(MirrorError::None)
    }

    fn from_apt(files: &[AptFile]) -> Option<Mirror> {
        let entries: Vec<(&AptFile, Entry)> = files
            .iter()
            .flat_map(|file| read_apt(file).into_iter().map(move |entry| (file, entry)))
            .collect();
        let find = |wanted: Serves| {
            let of_kind = |entry: &&(&AptFile, Entry)| entry.1.serves() == Some(wanted);
            let signed = entries
                .iter()
                .filter(of_kind)
                .find(|(_, e)| e.debian_keyring);
            let (file, entry) = signed.or_else(|| entries.iter().find(of_kind))?;
            Some((entry.base.clone(), file.path.clone()))
        };
        let (archive, path) = find(Serves::Archive)?;
        let security = match find(Serves::Security) {
            Some((security, _)) => security,
            None => archive.security(),
        };
        Some(Mirror {
            archive,
            security,
            origin: Origin::Apt(path),
        })
    }

    /// The archive that serves a suite.
    pub fn base(&self, suite: &str) -> &Base {
        if suite.ends_with("-security") {
            &self.security
        } else {
            &self.archive
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Serves {
    Archive,
    Security,
}

/// One enabled binary source of apt's, for one address.
#[derive(Debug, Clone)]
struct Entry {
    base: Base,
    suites: Vec<String>,
    components: Vec<String>,
    /// Whether it names Debian's own keyring.
    debian_keyring: bool,
}

/// Suites that Debian's main archive has, besides their `-updates` and the like.
const SUITES: [&str; 16] = [
    "stable",
    "oldstable",
    "oldoldstable",
    "testing",
    "unstable",
    "sid",
    "buster",
    "bullseye",
    "bookworm",
    "trixie",
    "forky",
    "duke",
    "experimental",
    "rc-buggy",
    "proposed-updates",
    "stable-updates",
];

impl Entry {
    /// What the entry serves, where it is Debian's; other vendors' archives give `None`.
    fn serves(&self) -> Option<Serves> {
        if !self.components.iter().any(|component| component == "main") {
            return None;
        }
        let address = self.base.to_string();
        let stem = address.strip_suffix(".list").unwrap_or(&address);
        let last = stem.rsplit('/').next().unwrap_or_default();
        let is_debian = self.debian_keyring || last == "debian" || last == "debian-security";
        let security = |suite: &str| suite.ends_with("-security") || suite.ends_with("/updates");
        if !is_debian {
            None
        } else if last == "debian-security" || self.suites.iter().all(|s| security(s)) {
            Some(Serves::Security)
        } else {
            let known = |suite: &String| {
                let head = suite
                    .split_once('-')
                    .map_or(suite.as_str(), |(head, _)| head);
                SUITES.contains(&head)
            };
            self.suites.iter().any(known).then_some(Serves::Archive)
        }
    }
}

fn read_apt(file: &AptFile) -> Vec<Entry> {
    match file.path.extension().and_then(|e| e.to_str()) {
        Some("sources") => read_deb822(&file.text),
        Some("list") => file.text.lines().filter_map(read_line).collect(),
        // apt itself ignores other names (`.disabled`, `.save`, `.dpkg-old`).
        _ => Vec::new(),
    }
}

/// `deb [options] address suite component…`
fn read_line(line: &str) -> Option<Entry> {
    let line = line.split('#').next().unwrap_or_default().trim();
    let rest = line.strip_prefix("deb")?;
    if !rest.starts_with([' ', '\t']) {
        return None;
    }
    let rest = rest.trim_start();
    let (options, rest) = match rest.strip_prefix('[') {
        Some(inner) => inner.split_once(']')?,
        None => ("", rest),
    };
    let mut words = rest.split_ascii_whitespace();
    let base = Base::parse(words.next()?)?;
    let suite = words.next()?.to_owned();
    Some(Entry {
        base,
        suites: vec![suite],
        components: words.map(str::to_owned).collect(),
        debian_keyring: options.contains("debian-archive-"),
    })
}

/// Stanzas of `Types`, `URIs`, `Suites`, `Components`, `Enabled`, `Signed-By`.
fn read_deb822(text: &str) -> Vec<Entry> {
    let mut entries = Vec::new();
    let mut fields: Vec<(String, String)> = Vec::new();
    // A blank line at the end closes the last stanza.
    for line in text.lines().chain([""]) {
        if line.starts_with('#') {
            continue;
        }
        if line.trim().is_empty() {
            entries.extend(entries_of(&fields));
            fields.clear();
        } else if line.starts_with([' ', '\t']) {
            if let Some((_, value)) = fields.last_mut() {
                value.push(' ');
                value.push_str(line.trim());
            }
        } else if let Some((name, value)) = line.split_once(':') {
            fields.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
    }
    entries
}

fn entries_of(fields: &[(String, String)]) -> Vec<Entry> {
    let field = |name: &str| {
        let found = fields.iter().find(|(field, _)| field == name);
        found.map_or("", |(_, value)| value.as_str())
    };
    let words = |name| field(name).split_ascii_whitespace().map(str::to_owned);
    let enabled = !["no", "false", "off", "0", "without", "disable"]
        .contains(&field("enabled").to_ascii_lowercase().as_str());
    if !enabled || !words("types").any(|kind| kind == "deb") {
        return Vec::new();
    }
    let entry = |address: String| {
        Some(Entry {
            base: Base::parse(&address)?,
            suites: words("suites").collect(),
            components: words("components").collect(),
            debian_keyring: field("signed-by").contains("debian-archive-"),
        })
    };
    words("uris").filter_map(entry).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn apt(name: &str, text: &str) -> AptFile {
        AptFile {
            path: Path::new("/etc/apt/sources.list.d").join(name),
            text: text.to_owned(),
        }
    }

    fn found(files: &[AptFile]) -> Option<(String, String)> {
        let mirror = Mirror::find(None, None, files).ok()?;
        Some((mirror.archive.to_string(), mirror.security.to_string()))
    }

    fn pair(archive: &str, security: &str) -> Option<(String, String)> {
        Some((archive.to_owned(), security.to_owned()))
    }

    #[test]
    fn the_spec_comes_first_then_the_environment() {
        let files = [apt("a.list", "deb http://apt.test/debian trixie main")];
        let find = |spec, env| Mirror::find(spec, env, &files).unwrap();
        let mirror = find(
            Some("http://spec.test/debian/"),
            Some("http://env.test/debian"),
        );
        assert_eq!(mirror.archive, Base::Http("http://spec.test/debian".into()));
        assert_eq!(
            mirror.security,
            Base::Http("http://spec.test/debian-security".into())
        );
        assert_eq!(mirror.base("trixie-updates"), &mirror.archive);
        assert_eq!(mirror.base("trixie-security"), &mirror.security);
        assert_eq!(
            find(None, Some("http://env.test/debian")).origin,
            Origin::Environment
        );
        assert!(matches!(find(None, Some("  ")).origin, Origin::Apt(_)));
        let two = find(Some("http://a.test/x http://b.test/y"), None);
        assert_eq!(two.security, Base::Http("http://b.test/y".into()));
        let flat = find(Some("/srv/mirror"), None);
        assert_eq!(flat.security, flat.archive);
    }

    #[test]
    fn addresses_are_read() {
        for (text, want) in [
            (
                "file:///srv/debian/",
                Some(Base::Folder("/srv/debian".into())),
            ),
            ("file:/srv/debian", Some(Base::Folder("/srv/debian".into()))),
            ("/srv/debian", Some(Base::Folder("/srv/debian".into()))),
            (
                "mirror+file:/etc/m.list",
                Some(Base::List("/etc/m.list".into())),
            ),
            ("http://", None),
            ("http:///debian", None),
            ("ftp://a.test/debian", None),
            ("cdrom:[x]/", None),
            ("debian", None),
        ] {
            assert_eq!(Base::parse(text), want, "{text}");
        }
        let error = Mirror::find(Some("ftp://a.test/debian"), None, &[]).unwrap_err();
        assert!(error.to_string().contains("the spec"));
        let error = Mirror::find(None, None, &[]).unwrap_err().to_string();
        for way in ["spec", "NOS_DEBIAN_MIRROR", "apt"] {
            assert!(error.contains(way), "{error}");
        }
    }

    #[test]
    fn one_line_sources() {
        let text = "# deb http://no.test/debian trixie main\n\
            deb-src http://no.test/debian trixie main\n\
            deb [signed-by=/k.gpg arch=amd64] https://vendor.test/linux/debian trixie stable\n\
            deb http://ubuntu.test/ubuntu noble main\n\
            deb cdrom:[Debian]/ trixie main\n\
            deb [arch=amd64] http://a.test/debian/ trixie main contrib # ours\n\
            deb http://s.test/debian-security trixie-security main\n";
        let want = pair("http://a.test/debian", "http://s.test/debian-security");
        assert_eq!(found(&[apt("a.list", text)]), want);
        assert_eq!(found(&[apt("a.list.disabled", text)]), None);
    }

    #[test]
    fn deb822_sources() {
        let text = "Types: deb deb-src\n# where from\nURIs: http://no.test/debian\nSuites: trixie\n\
            Components: main\nEnabled: no\n\n\
            types: deb\nURIs:\n http://a.test/debian\n http://b.test/debian\n\
            Suites: bookworm bookworm-updates\nComponents: main\n\
            Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg\n";
        let want = pair("http://a.test/debian", "http://a.test/debian-security");
        assert_eq!(found(&[apt("a.sources", text)]), want);
    }

    #[test]
    fn lists_of_mirrors() {
        let text = "Types: deb\nURIs: mirror+file:///etc/apt/mirrors/debian.list\nSuites: trixie\n\
            Components: main\n\nTypes: deb\nURIs: mirror+file:///etc/apt/mirrors/debian-security.list\n\
            Suites: trixie-security\nComponents: main\n";
        let want = pair(
            "mirror+file:/etc/apt/mirrors/debian.list",
            "mirror+file:/etc/apt/mirrors/debian-security.list",
        );
        assert_eq!(found(&[apt("a.sources", text)]), want);
    }

    #[test]
    fn debian_itself_is_preferred_to_what_looks_like_it() {
        let files = [
            apt("a.list", "deb http://vendor.test/debian stable main"),
            apt(
                "b.sources",
                "Types: deb\nURIs: http://d.test/debian\nSuites: trixie\nComponents: main\n\
             Signed-By: /usr/share/keyrings/debian-archive-keyring.pgp\n",
            ),
        ];
        assert_eq!(found(&files).unwrap().0, "http://d.test/debian");
    }
}
