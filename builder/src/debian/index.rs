//! The packages that the archive offers: `Packages` indexes, read into records that borrow.
//!
//! A `Packages` file of Debian is some 56 MB of text in 68,000 stanzas. [`condense`] keeps the
//! fields that resolution needs (about a quarter of it); [`Index::add`] reads either form.

use super::relation::{self, RelationError};
use super::version::{Version, VersionError};
use std::collections::HashMap;

/// Fields that a record is made from; all others are dropped by [`condense`].
const FIELDS: [&str; 13] = [
    "Package",
    "Version",
    "Architecture",
    "Priority",
    "Provides",
    "Pre-Depends",
    "Depends",
    "Conflicts",
    "Breaks",
    "Filename",
    "Size",
    "SHA256",
    "Essential",
];

/// Largest size accepted for one package, in bytes.
pub(crate) const MAX_PACKAGE_BYTES: u64 = 8 << 30;

/// One package version, borrowed from its index. Relationship fields are kept as text and read
/// when resolution comes to them: most never are.
#[derive(Debug, Clone)]
pub(crate) struct Record<'a> {
    /// Package name.
    pub(crate) name: &'a str,
    /// Its version.
    pub(crate) version: Version<'a>,
    /// `amd64` or `all`.
    pub(crate) architecture: &'a str,
    /// How the archive ranks it (`required`, `optional`, …); decides between providers.
    pub(crate) priority: Priority,
    /// Number of its suite, as given to [`Index::add`].
    pub(crate) suite: usize,
    /// Path below the mirror's root.
    pub(crate) path: &'a str,
    /// Size of the `.deb` in bytes.
    pub(crate) size: u64,
    /// SHA-256 of the `.deb`, 64 hex digits.
    pub(crate) sha256: &'a str,
    /// The `Provides` field.
    pub(crate) provides: &'a str,
    /// The `Pre-Depends` field.
    pub(crate) pre_depends: &'a str,
    /// The `Depends` field.
    pub(crate) depends: &'a str,
    /// The `Conflicts` field.
    pub(crate) conflicts: &'a str,
    /// The `Breaks` field.
    pub(crate) breaks: &'a str,
}

/// The archive's `Priority` field, most important first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Priority {
    /// `required`.
    Required,
    /// `important`.
    Important,
    /// `standard`.
    Standard,
    /// `optional`.
    Optional,
    /// `extra`, anything else, or nothing.
    Other,
}

impl Priority {
    fn parse(text: &str) -> Self {
        match text {
            "required" => Priority::Required,
            "important" => Priority::Important,
            "standard" => Priority::Standard,
            "optional" => Priority::Optional,
            _ => Priority::Other,
        }
    }
}

/// What is wrong with a stanza.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StanzaError {
    /// A field that every package has is missing or empty.
    #[error("it has no {0} field")]
    Missing(&'static str),
    /// A name that is none.
    #[error("{0:?} is not a package name")]
    BadName(String),
    /// A version that is none.
    #[error("its version {0:?} cannot be used: {1}")]
    BadVersion(String, VersionError),
    /// A size that is not a number, or is beyond [`MAX_PACKAGE_BYTES`].
    #[error("its size {0:?} is not a number of bytes below 8 GiB")]
    BadSize(String),
    /// A digest that is not 64 hex digits.
    #[error("its SHA256 {0:?} is not 64 hexadecimal digits")]
    BadDigest(String),
    /// A path that leaves the mirror.
    #[error("its path {0:?} is not a plain relative path")]
    BadPath(String),
    /// A `Provides` field that cannot be read.
    #[error("its Provides field cannot be read: {0}")]
    BadProvides(RelationError),
}

/// A stanza that cannot be used, and where it begins.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the package {package:?} (at byte {offset}) cannot be used: {reason}")]
pub struct IndexError {
    /// Offset of the stanza in the text, in bytes.
    pub offset: usize,
    /// Its `Package` field, as far as it could be read.
    pub package: String,
    /// What is wrong.
    pub reason: StanzaError,
}

/// All package versions on offer, over all suites.
#[derive(Debug, Default)]
pub(crate) struct Index<'a> {
    records: Vec<Record<'a>>,
    by_name: HashMap<&'a str, Vec<u32>>,
    /// Virtual name → records that provide it, with the version they say.
    provided: HashMap<&'a str, Vec<(u32, Option<Version<'a>>)>>,
}

impl<'a> Index<'a> {
    /// Adds the packages of one suite that fit `architecture` (or are `all`).
    ///
    /// # Errors
    /// [`IndexError`] for the first stanza that cannot be used; the index is then incomplete.
    pub(crate) fn add(
        &mut self,
        suite: usize,
        architecture: &str,
        text: &'a str,
    ) -> Result<(), IndexError> {
        for stanza in stanzas(text) {
            let offset = offset_in(text, stanza);
            let record = read_record(stanza, suite).map_err(|(package, reason)| IndexError {
                offset,
                package,
                reason,
            })?;
            if record.architecture != architecture && record.architecture != "all" {
                continue;
            }
            self.push(record).map_err(|(package, reason)| IndexError {
                offset,
                package,
                reason,
            })?;
        }
        Ok(())
    }

    fn push(&mut self, record: Record<'a>) -> Result<(), (String, StanzaError)> {
        let same_name = self.by_name.entry(record.name).or_default();
        let known = same_name
            .iter()
            .any(|&id| self.records[id as usize].version == record.version);
        if known {
            // The same version in a second suite: the first one stands.
            return Ok(());
        }
        let id = u32::try_from(self.records.len()).unwrap_or(u32::MAX);
        let provides = relation::parse_flat(record.provides)
            .map_err(|e| (record.name.to_owned(), StanzaError::BadProvides(e)))?;
        for relation in provides {
            let version = relation.version.map(|(_, version)| version);
            let entry = self.provided.entry(relation.name).or_default();
            entry.push((id, version));
        }
        same_name.push(id);
        // Latest first; there are two or three at most.
        let records = &self.records;
        let version_of = |id: u32| records.get(id as usize).unwrap_or(&record).version;
        same_name.sort_by(|&a, &b| version_of(b).cmp(&version_of(a)));
        self.records.push(record);
        Ok(())
    }

    /// The record with this number.
    pub(crate) fn record(&self, id: u32) -> &Record<'a> {
        &self.records[id as usize]
    }

    /// Numbers of the versions of a real package, latest first.
    pub(crate) fn versions(&self, name: &str) -> &[u32] {
        self.by_name.get(name).map_or(&[], Vec::as_slice)
    }

    /// Numbers of the packages that provide a virtual one, with the version they give it.
    pub(crate) fn providers(&self, name: &str) -> &[(u32, Option<Version<'a>>)] {
        self.provided.get(name).map_or(&[], Vec::as_slice)
    }

    /// All versions of a package, latest first.
    pub(crate) fn get(&self, name: &str) -> impl Iterator<Item = &Record<'a>> {
        self.versions(name).iter().map(|&id| self.record(id))
    }

    /// All names, real and virtual, in no particular order.
    pub(crate) fn names(&self) -> impl Iterator<Item = &'a str> {
        self.by_name.keys().chain(self.provided.keys()).copied()
    }
}

/// The paragraphs of a control file, each without its final blank line.
pub(super) fn stanzas(text: &str) -> impl Iterator<Item = &str> {
    text.split("\n\n").filter(|s| !s.trim().is_empty())
}

fn offset_in(text: &str, part: &str) -> usize {
    (part.as_ptr() as usize).saturating_sub(text.as_ptr() as usize)
}

/// Calls `f` with each field's name and value (trimmed, continuation lines included).
pub(crate) fn each_field<'a>(stanza: &'a str, mut f: impl FnMut(&'a str, &'a str)) {
    let mut rest = stanza;
    while !rest.is_empty() {
        let mut end = rest.find('\n').unwrap_or(rest.len());
        while rest[end..].starts_with("\n ") || rest[end..].starts_with("\n\t") {
            end = rest[end + 1..]
                .find('\n')
                .map_or(rest.len(), |n| end + 1 + n);
        }
        if let Some((name, value)) = rest[..end].split_once(':') {
            f(name, value.trim());
        }
        rest = rest.get(end + 1..).unwrap_or_default();
    }
}

fn read_record<'a>(stanza: &'a str, suite: usize) -> Result<Record<'a>, (String, StanzaError)> {
    let mut found = [""; FIELDS.len()];
    each_field(stanza, |name, value| {
        if let Some(at) = FIELDS.iter().position(|field| *field == name) {
            found[at] = value;
        }
    });
    let [
        name,
        version,
        architecture,
        priority,
        provides,
        pre_depends,
        depends,
        conflicts,
        breaks,
        path,
        size,
        sha256,
        _essential,
    ] = found;
    let fail = |reason| (name.to_owned(), reason);
    for (value, field) in [
        (name, "Package"),
        (version, "Version"),
        (architecture, "Architecture"),
        (path, "Filename"),
        (size, "Size"),
        (sha256, "SHA256"),
    ] {
        if value.is_empty() {
            return Err(fail(StanzaError::Missing(field)));
        }
    }
    if !relation::is_name(name) {
        return Err(fail(StanzaError::BadName(name.to_owned())));
    }
    if sha256.len() != 64 || !sha256.bytes().all(|b| b.is_ascii_hexdigit()) {
        return Err(fail(StanzaError::BadDigest(sha256.to_owned())));
    }
    if !is_plain_path(path) {
        return Err(fail(StanzaError::BadPath(path.to_owned())));
    }
    let size = size
        .parse::<u64>()
        .ok()
        .filter(|&size| size <= MAX_PACKAGE_BYTES)
        .ok_or_else(|| fail(StanzaError::BadSize(size.to_owned())))?;
    let version = Version::parse(version)
        .map_err(|e| fail(StanzaError::BadVersion(version.to_owned(), e)))?;
    Ok(Record {
        name,
        version,
        architecture,
        priority: Priority::parse(priority),
        suite,
        path,
        size,
        sha256,
        provides,
        pre_depends,
        depends,
        conflicts,
        breaks,
    })
}

/// Whether a path can be appended to a mirror's address without leaving it or changing its
/// meaning.
pub(crate) fn is_plain_path(path: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b"+-._~:/%=@,".contains(&b);
    path.len() <= 1024
        && path.bytes().all(allowed)
        && path.split('/').all(|part| !["", ".", ".."].contains(&part))
}

/// The fields of a `Packages` file that [`Index::add`] reads, in the same order and form: what a
/// store keeps so that the next resolution need not read the rest.
pub(crate) fn condense(text: &str) -> String {
    only(text, &FIELDS)
}

/// Some fields of each stanza of an index, in the same order and form.
pub(super) fn only(text: &str, fields: &[&str]) -> String {
    let mut out = String::with_capacity(text.len() / 3);
    for stanza in stanzas(text) {
        each_field(stanza, |name, value| {
            if fields.contains(&name) {
                out.push_str(name);
                out.push_str(": ");
                out.push_str(value);
                out.push('\n');
            }
        });
        out.push('\n');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn stanza(name: &str, version: &str, more: &str) -> String {
        let digest = "ab".repeat(32);
        format!(
            "Package: {name}\nVersion: {version}\nArchitecture: amd64\n{more}Description: text\n \
             more text\nFilename: pool/{name}.deb\nSize: 12\nSHA256: {digest}\n\n"
        )
    }

    #[test]
    fn packages_and_providers_are_found() {
        let text =
            stanza("a", "1", "Depends: b,\n c\nProvides: v (= 3), w\n") + &stanza("b", "2", "");
        let security = stanza("a", "1.1", "") + &stanza("b", "2", "");
        let mut index = Index::default();
        index.add(0, "amd64", &text).unwrap();
        index.add(1, "amd64", &security).unwrap();
        let versions: Vec<_> = index
            .get("a")
            .map(|r| (r.version.as_str(), r.suite))
            .collect();
        assert_eq!(versions, [("1.1", 1), ("1", 0)]);
        assert_eq!(index.get("b").map(|r| r.suite).collect::<Vec<_>>(), [0]);
        assert_eq!(index.get("a").last().unwrap().depends, "b,\n c");
        assert_eq!(index.providers("v")[0].1.unwrap().as_str(), "3");
        assert_eq!(index.providers("w")[0].1, None);
        assert_eq!(index.get("missing").count(), 0);
    }

    #[test]
    fn other_architectures_are_left_out() {
        let text = stanza("a", "1", "").replace("amd64", "arm64")
            + &stanza("b", "1", "").replace("amd64", "all");
        let mut index = Index::default();
        index.add(0, "amd64", &text).unwrap();
        assert_eq!(index.get("a").count(), 0);
        assert_eq!(index.get("b").count(), 1);
    }

    #[test]
    fn the_condensed_form_reads_the_same() {
        let text = stanza(
            "a",
            "1",
            "Depends: b,\n c\nProvides: v (= 3)\nPriority: required\n",
        ) + &stanza("b", "2", "");
        let short = condense(&text);
        assert!(short.len() < text.len() && !short.contains("Description"));
        let (mut full, mut condensed) = (Index::default(), Index::default());
        full.add(0, "amd64", &text).unwrap();
        condensed.add(0, "amd64", &short).unwrap();
        assert_eq!(
            format!("{:?}", full.records),
            format!("{:?}", condensed.records)
        );
        assert_eq!(condense(&short), short);
    }

    #[test]
    fn stanzas_that_cannot_be_used_say_why_and_where() {
        let good = stanza("good", "1", "");
        for (from, to, want) in [
            ("Version: 1", "Version: x", "does not start with a digit"),
            ("Version: 1\n", "", "no Version field"),
            ("Size: 12", "Size: -12", "not a number of bytes"),
            (
                "Size: 12",
                "Size: 99999999999999999999",
                "not a number of bytes",
            ),
            ("SHA256: ab", "SHA256: zz", "64 hexadecimal digits"),
            ("pool/", "pool/../../", "plain relative path"),
            ("pool/", "http://h/", "plain relative path"),
            ("Package: good", "Package: go od", "not a package name"),
            ("Description", "Provides: (\nDescription", "Provides field"),
        ] {
            let text = format!(
                "{good}{}",
                good.replace("good", "bad")
                    .replace(from, to)
                    .replace(&from.replace("good", "bad"), to)
            );
            let error = Index::default().add(0, "amd64", &text).unwrap_err();
            assert_eq!(error.offset, good.len(), "{from} → {to}");
            assert!(error.to_string().contains(want), "{from} → {to}: {error}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "(Package|Version|Size| |:|\n|\n\n|a|é|1){0,40}") {
            let _ = condense(&text);
            let _ = Index::default().add(0, "amd64", &text);
        }
    }
}
