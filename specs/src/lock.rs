//! The shape of `nos.lock`: which bytes each package name stands for.
//!
//! The file is TOML in one canonical form, so that equal locks have equal bytes and a changed pin
//! is a few changed lines. [`Lock::parse`] takes nothing on trust: a lock that was merged badly or
//! edited by hand is refused with the place of the mistake before anything is fetched by it.

use crate::system::WITHOUT_SUBMODULES;
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// A whole lock file. Every map is ordered, so equal locks have equal bytes.
#[derive(Debug, Clone, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lock {
    /// Format version: [`LOCK_VERSION`], whichever the text had.
    pub version: u32,
    /// The signed indexes that the pins were taken from, by suite name
    /// (`trixie`, `trixie-updates`, `trixie-security`).
    #[serde(default)]
    pub suites: BTreeMap<String, SuitePin>,
    /// Group → what was asked for and what that resolved to. Groups are `kernel`, `boot` and
    /// `image NAME`; each is resolved by itself.
    #[serde(default)]
    pub groups: BTreeMap<String, Group>,
    /// Pinned packages, by `name` (one version each across the lock).
    #[serde(default)]
    pub packages: BTreeMap<String, LockedPackage>,
    /// Sources of Debian packages, by name of the source package.
    #[serde(default)]
    pub sources: BTreeMap<String, LockedSource>,
    /// Commits of git repositories, by [`crate::system::Git::pin_name`]. Git names them by SHA-1; what is
    /// built is what has this digest.
    #[serde(default)]
    pub commits: BTreeMap<String, LockedCommit>,
}

/// The source of one Debian package.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LockedSource {
    /// Debian version.
    pub version: String,
    /// Suite it was found in.
    pub suite: String,
    /// Its archives: upstream's, and what Debian adds. In order of their paths.
    pub files: Vec<LockedFile>,
}

/// One file of a source package.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LockedFile {
    /// Path below the mirror's root.
    pub path: String,
    /// Size in bytes.
    pub size: u64,
    /// SHA-256 of the file, lower-case hex.
    pub sha256: String,
}

/// What stands for the architecture of a source, in Debian's words.
pub const SOURCE_ARCHITECTURE: &str = "source";

impl LockedSource {
    /// The pin of each file, by the file's name.
    pub fn pins(&self) -> impl Iterator<Item = (String, LockedPackage)> {
        self.files.iter().map(|file| {
            let pin = LockedPackage {
                version: self.version.clone(),
                architecture: SOURCE_ARCHITECTURE.to_owned(),
                suite: self.suite.clone(),
                path: file.path.clone(),
                size: file.size,
                sha256: file.sha256.clone(),
            };
            (file.name().to_owned(), pin)
        })
    }
}

impl LockedFile {
    /// The last part of its path.
    pub fn name(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or_default()
    }
}

/// The files of one commit.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LockedCommit {
    /// SHA-256 of the canonical listing of its files, lower-case hex.
    pub tree: String,
}

/// Newest version of the lock format. A text has the least that can say what it says
/// ([`Lock::to_text`]), so that it asks for no newer program than it needs.
///
/// | Version | Brought |
/// |---|---|
/// | 1 | suites, groups, packages |
/// | 2 | sources, commits |
pub const LOCK_VERSION: u32 = 2;

/// The version that brought sources and commits.
const WITH_SOURCES: u32 = 2;

/// One signed index.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SuitePin {
    /// `Date` field of its `Release` file, RFC 3339 in UTC. A later lock may not go back.
    pub date: String,
    /// SHA-256 of the signed text.
    pub sha256: String,
}

/// What one group asked for and got.
#[derive(Debug, Clone, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Group {
    /// Package names as the spec gives them, sorted.
    pub wants: Vec<String>,
    /// Names of all packages in the closure, sorted.
    pub packages: Vec<String>,
}

/// One pinned package.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LockedPackage {
    /// Debian version.
    pub version: String,
    /// `amd64` or `all`.
    pub architecture: String,
    /// Suite it was found in.
    pub suite: String,
    /// Path below the mirror's root.
    pub path: String,
    /// Size in bytes.
    pub size: u64,
    /// SHA-256 of the `.deb`, lower-case hex.
    pub sha256: String,
}

/// Largest package that a lock may name, in bytes.
const MAX_PACKAGE_BYTES: u64 = 16 << 30;

/// Why a lock cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LockError {
    /// Not TOML, or not the names of this version.
    #[error(
        "line {line}, column {column}: {message}; take the file from version control, or remove it and run `nos lock`"
    )]
    Syntax {
        /// Line, from 1.
        line: usize,
        /// Column in characters, from 1.
        column: usize,
        /// What is wrong.
        message: String,
    },
    /// Written by a newer program.
    #[error("it has version {found}, this program reads up to {LOCK_VERSION}; use a newer nos")]
    TooNew {
        /// Version found.
        found: u32,
    },
    /// Something that `nos lock` never writes.
    #[error(
        "{place}: {message}; take the file from version control, or remove it and run `nos lock`"
    )]
    Invalid {
        /// Table and name, such as `packages.nginx.sha256`.
        place: String,
        /// What is wrong.
        message: String,
    },
}

impl Lock {
    /// Reads a lock file.
    ///
    /// # Errors
    /// [`LockError`] with the place, for anything that [`Lock::to_text`] would not have written.
    /// A newer version is told from a mistake.
    pub fn parse(text: &str) -> Result<Self, LockError> {
        let mut lock: Self = match toml::from_str(text) {
            Ok(lock) => lock,
            Err(error) => {
                // A newer lock may have names that this program does not know.
                #[derive(serde::Deserialize)]
                struct Version {
                    version: u32,
                }
                return Err(match toml::from_str::<Version>(text) {
                    Ok(Version { version }) if version > LOCK_VERSION => {
                        LockError::TooNew { found: version }
                    }
                    _ => syntax(text, &error),
                });
            }
        };
        if lock.version > LOCK_VERSION {
            return Err(LockError::TooNew {
                found: lock.version,
            });
        }
        if lock.version == 0 {
            return invalid("version", "there is no version 0");
        }
        // Also where a text of version 1 has what came with 2: the first programs wrote that.
        lock.version = LOCK_VERSION;
        lock.validate()?;
        Ok(lock)
    }

    /// The least version that can say what this lock says.
    fn least_version(&self) -> u32 {
        let has_sources = !self.sources.is_empty() || !self.commits.is_empty();
        if has_sources { WITH_SOURCES } else { 1 }
    }

    /// Whether the lock is one that `nos lock` could have written.
    ///
    /// # Errors
    /// [`LockError::Invalid`] with the first place where it is not.
    pub fn validate(&self) -> Result<(), LockError> {
        if self.version != LOCK_VERSION {
            return invalid("version", format!("there is no version {}", self.version));
        }
        for (name, suite) in &self.suites {
            let at = |field| format!("suites.{name}.{field}");
            if !is_word(name, b"-.") {
                return invalid(format!("suites.{name:?}"), "not the name of a suite");
            }
            if !is_date(&suite.date) {
                return invalid(at("date"), "not a date such as 2026-01-31T12:00:00Z");
            }
            sha256(at("sha256"), &suite.sha256)?;
        }
        for (name, group) in &self.groups {
            let at = |field| format!("groups.{name:?}.{field}");
            if name.is_empty() || name.chars().any(char::is_control) {
                return invalid(format!("groups.{name:?}"), "not the name of a group");
            }
            for (field, names) in [("wants", &group.wants), ("packages", &group.packages)] {
                if !names.is_sorted_by(|a, b| a < b) {
                    return invalid(at(field), "the names are not in order, or one stands twice");
                }
                if let Some(name) = names.iter().find(|name| !is_package(name)) {
                    return invalid(at(field), format!("{name:?} is not the name of a package"));
                }
            }
            let missing = group
                .packages
                .iter()
                .find(|name| !self.packages.contains_key(*name));
            if let Some(missing) = missing {
                return invalid(at("packages"), format!("{missing:?} is not pinned"));
            }
        }
        for (name, source) in &self.sources {
            source.validate(name)?;
        }
        for (name, commit) in &self.commits {
            let id = name.strip_suffix(WITHOUT_SUBMODULES).unwrap_or(name);
            if id.len() != 40 || !is_hexadecimal(id) {
                return invalid(format!("commits.{name:?}"), "not the name of a commit");
            }
            sha256(format!("commits.{}.tree", key(name)), &commit.tree)?;
        }
        self.packages
            .iter()
            .try_for_each(|(name, package)| package.validate(name))
    }

    /// The canonical text: what [`Lock::parse`] reads, with a line that says who wrote it.
    pub fn to_text(&self) -> String {
        let mut out = String::from("# Made by nos lock; do not edit.\n");
        let _ = writeln!(out, "version = {}", self.least_version());
        for (name, suite) in &self.suites {
            let _ = writeln!(out, "\n[suites.{}]", key(name));
            let _ = writeln!(out, "date = {}", quoted(&suite.date));
            let _ = writeln!(out, "sha256 = {}", quoted(&suite.sha256));
        }
        for (name, group) in &self.groups {
            let _ = writeln!(out, "\n[groups.{}]", key(name));
            list(&mut out, "wants", &group.wants);
            list(&mut out, "packages", &group.packages);
        }
        for (name, package) in &self.packages {
            let _ = writeln!(out, "\n[packages.{}]", key(name));
            let _ = writeln!(out, "version = {}", quoted(&package.version));
            let _ = writeln!(out, "architecture = {}", quoted(&package.architecture));
            let _ = writeln!(out, "suite = {}", quoted(&package.suite));
            let _ = writeln!(out, "path = {}", quoted(&package.path));
            let _ = writeln!(out, "size = {}", package.size);
            let _ = writeln!(out, "sha256 = {}", quoted(&package.sha256));
        }
        for (name, source) in &self.sources {
            let _ = writeln!(out, "\n[sources.{}]", key(name));
            let _ = writeln!(out, "version = {}", quoted(&source.version));
            let _ = writeln!(out, "suite = {}", quoted(&source.suite));
            out.push_str("files = [\n");
            for file in &source.files {
                let _ = writeln!(
                    out,
                    "    {{ path = {}, size = {}, sha256 = {} }},",
                    quoted(&file.path),
                    file.size,
                    quoted(&file.sha256)
                );
            }
            out.push_str("]\n");
        }
        for (name, commit) in &self.commits {
            let _ = writeln!(out, "\n[commits.{}]", key(name));
            let _ = writeln!(out, "tree = {}", quoted(&commit.tree));
        }
        out
    }
}

impl LockedPackage {
    fn validate(&self, name: &str) -> Result<(), LockError> {
        let at = |field: &str| format!("packages.{}.{field}", key(name));
        if !is_package(name) {
            return invalid(format!("packages.{name:?}"), "not the name of a package");
        }
        if !is_word(&self.architecture, b"-") {
            return invalid(
                at("architecture"),
                "not an architecture such as amd64 or all",
            );
        }
        if !self.path.ends_with(".deb") {
            return invalid(at("path"), "not the path of a .deb file");
        }
        origin(&at, &self.version, &self.suite)?;
        file(&at, &self.path, self.size, &self.sha256)
    }
}

impl LockedSource {
    fn validate(&self, name: &str) -> Result<(), LockError> {
        let at = |field: &str| format!("sources.{}.{field}", key(name));
        if !is_package(name) {
            return invalid(format!("sources.{name:?}"), "not the name of a package");
        }
        origin(&at, &self.version, &self.suite)?;
        if self.files.is_empty() {
            return invalid(at("files"), "there are none");
        }
        if !self.files.is_sorted_by(|a, b| a.path < b.path) {
            return invalid(
                at("files"),
                "their paths are not in order, or one stands twice",
            );
        }
        let at = |field: &str| at(&format!("files.{field}"));
        self.files
            .iter()
            .try_for_each(|each| file(&at, &each.path, each.size, &each.sha256))
    }
}

/// Whether version and suite are such.
fn origin(at: &dyn Fn(&str) -> String, version: &str, suite: &str) -> Result<(), LockError> {
    if !is_word(version, b".+~:-") {
        return invalid(at("version"), "not a Debian version");
    }
    if !is_word(suite, b"-.") {
        return invalid(at("suite"), "not the name of a suite");
    }
    Ok(())
}

/// Whether a file can be one of an archive.
fn file(at: &dyn Fn(&str) -> String, path: &str, size: u64, digest: &str) -> Result<(), LockError> {
    let plain = |part: &str| !part.is_empty() && !matches!(part, "." | "..");
    let fits = |b: u8| b.is_ascii_graphic() && !b"?#\\".contains(&b);
    if !path.split('/').all(plain) || !path.bytes().all(fits) {
        return invalid(at("path"), "not a relative path without `..`");
    }
    if size == 0 || size > MAX_PACKAGE_BYTES {
        return invalid(
            at("size"),
            format!("not between 1 and {MAX_PACKAGE_BYTES} bytes"),
        );
    }
    sha256(at("sha256"), digest)
}

fn invalid<T>(place: impl Into<String>, message: impl Into<String>) -> Result<T, LockError> {
    Err(LockError::Invalid {
        place: place.into(),
        message: message.into(),
    })
}

fn syntax(text: &str, error: &toml::de::Error) -> LockError {
    let at = error.span().map_or(0, |span| span.start).min(text.len());
    let before = text.get(..at).unwrap_or("");
    let line_start = before.rfind('\n').map_or(0, |at| at + 1);
    LockError::Syntax {
        line: before.matches('\n').count() + 1,
        column: before[line_start..].chars().count() + 1,
        message: error.message().lines().collect::<Vec<_>>().join(", "),
    }
}

/// Letters, digits and some others, a letter or digit first.
fn is_word(text: &str, others: &[u8]) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text.len() <= 256
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || others.contains(&b))
}

fn is_package(name: &str) -> bool {
    is_word(name, b"+-.") && name.len() >= 2 && !name.bytes().any(|b| b.is_ascii_uppercase())
}

/// `2026-01-31T12:00:00Z`
fn is_date(text: &str) -> bool {
    const FORM: &[u8] = b"dddd-dd-ddTdd:dd:ddZ";
    text.len() == FORM.len()
        && text.bytes().zip(FORM).all(|(byte, form)| match form {
            b'd' => byte.is_ascii_digit(),
            other => byte == *other,
        })
}

fn is_hexadecimal(text: &str) -> bool {
    text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

fn sha256(place: String, text: &str) -> Result<(), LockError> {
    if text.len() == 64 && is_hexadecimal(text) {
        return Ok(());
    }
    invalid(place, "not a SHA-256 of 64 lower-case hexadecimal digits")
}

/// A name of a table: bare where TOML allows that.
fn key(name: &str) -> String {
    let bare = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
    if !name.is_empty() && name.bytes().all(bare) {
        name.to_owned()
    } else {
        quoted(name)
    }
}

/// A TOML basic string.
fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            c if c.is_control() => {
                let _ = write!(out, "\\u{:04X}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// A list with one element on each line, so that versions of the file can be merged.
fn list(out: &mut String, name: &str, elements: &[String]) {
    let _ = writeln!(out, "{name} = [");
    for element in elements {
        let _ = writeln!(out, "    {},", quoted(element));
    }
    out.push_str("]\n");
}
