//! What a suite's `Sources` index says: which archives the source of a package consists of.
//!
//! The index of Debian's main archive has some 40,000 stanzas, of which a spec wants one or two; they
//! are looked through and not kept in memory.

use super::archive::Suite;
use super::error::{DebianError, UnknownSource};
use super::index::{
    IndexError, MAX_PACKAGE_BYTES, StanzaError, each_field, is_plain_path, only, stanzas,
};
use super::suggest;
use super::version::Version;
use nos_specs::lock::{LockedFile, LockedSource};
use std::collections::{BTreeMap, BTreeSet};

/// Fields that are read; all others are dropped by [`condense`].
const FIELDS: [&str; 6] = [
    "Package",
    "Version",
    "Binary",
    "Directory",
    "Extra-Source-Only",
    "Checksums-Sha256",
];

/// Files of a source that nothing is made of: the description of the others, and their signatures.
const BESIDE: [&str; 3] = [".dsc", ".asc", ".sig"];

/// One stanza, borrowed from its index.
#[derive(Default)]
struct Record<'a> {
    name: &'a str,
    version: &'a str,
    binaries: &'a str,
    folder: &'a str,
    /// Kept only because something that was built long ago contains it.
    is_old: bool,
    files: &'a str,
}

impl<'a> Record<'a> {
    fn read(stanza: &'a str) -> Self {
        let mut record = Self::default();
        each_field(stanza, |name, value| match name {
            "Package" => record.name = value,
            "Version" => record.version = value,
            "Binary" => record.binaries = value,
            "Directory" => record.folder = value,
            "Extra-Source-Only" => record.is_old = value == "yes",
            "Checksums-Sha256" => record.files = value,
            _ => {}
        });
        record
    }

    fn makes(&self, package: &str) -> bool {
        self.binaries.split(',').any(|name| name.trim() == package)
    }

    fn pin(&self, suite: &str) -> Result<LockedSource, StanzaError> {
        let mut files = Vec::new();
        for line in self.files.lines() {
            let mut words = line.split_ascii_whitespace();
            let (Some(sha256), Some(size), Some(name)) = (words.next(), words.next(), words.next())
            else {
                return Err(StanzaError::Missing("Checksums-Sha256"));
            };
            if BESIDE.iter().any(|ending| name.ends_with(ending)) {
                continue;
            }
            if sha256.len() != 64 || !sha256.bytes().all(|b| b.is_ascii_hexdigit()) {
                return Err(StanzaError::BadDigest(sha256.to_owned()));
            }
            let path = format!("{}/{name}", self.folder);
            if !is_plain_path(&path) || name.contains('/') {
                return Err(StanzaError::BadPath(path));
            }
            let size = size
                .parse::<u64>()
                .ok()
                .filter(|size| (1..=MAX_PACKAGE_BYTES).contains(size));
            files.push(LockedFile {
                path,
                size: size.ok_or_else(|| StanzaError::BadSize(line.to_owned()))?,
                sha256: sha256.to_ascii_lowercase(),
            });
        }
        if files.is_empty() {
            return Err(StanzaError::Missing("Checksums-Sha256"));
        }
        files.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(LockedSource {
            version: self.version.to_owned(),
            suite: suite.to_owned(),
            files,
        })
    }
}

/// The newest source of each of these packages.
///
/// # Errors
/// [`DebianError::UnknownSources`] with all that no suite has, [`DebianError::Index`] for a stanza
/// that is wanted and cannot be used.
pub(super) fn newest(
    release: &str,
    suites: &[Suite],
    wanted: &BTreeSet<&str>,
) -> Result<BTreeMap<String, LockedSource>, DebianError> {
    let mut found: BTreeMap<&str, (Version<'_>, LockedSource)> = BTreeMap::new();
    for suite in suites {
        for stanza in stanzas(&suite.sources) {
            let record = Record::read(stanza);
            let Some(name) = wanted.get(record.name).filter(|_| !record.is_old) else {
                continue;
            };
            let failed = |reason| DebianError::Index {
                suite: suite.name.clone(),
                reason: IndexError {
                    offset: (stanza.as_ptr() as usize)
                        .saturating_sub(suite.sources.as_ptr() as usize),
                    package: record.name.to_owned(),
                    reason,
                },
            };
            let version = Version::parse(record.version)
                .map_err(|e| failed(StanzaError::BadVersion(record.version.to_owned(), e)))?;
            if found.get(name).is_none_or(|(known, _)| *known < version) {
                let pin = record.pin(&suite.name).map_err(failed)?;
                found.insert(name, (version, pin));
            }
        }
    }
    let unknown: Vec<UnknownSource> = wanted
        .iter()
        .filter(|name| !found.contains_key(*name))
        .map(|name| UnknownSource {
            name: (*name).to_owned(),
            suite: release.to_owned(),
            nearest: nearest(suites, name),
        })
        .collect();
    match unknown.is_empty() {
        true => Ok(found
            .into_iter()
            .map(|(name, (_, pin))| (name.to_owned(), pin))
            .collect()),
        false => Err(DebianError::UnknownSources(unknown)),
    }
}

/// The source that makes a package of this name, else sources of similar names.
fn nearest(suites: &[Suite], name: &str) -> Vec<String> {
    let records = || {
        let stanzas = suites.iter().flat_map(|suite| stanzas(&suite.sources));
        stanzas.map(Record::read)
    };
    match records().find(|record| record.makes(name)) {
        Some(record) => vec![record.name.to_owned()],
        None => suggest::nearest(name, records().map(|record| record.name)),
    }
}

/// The fields of a `Sources` file that are read, in the same order and form.
pub(super) fn condense(text: &str) -> String {
    only(text, &FIELDS)
}

#[cfg(test)]
mod tests {
    use super::*;
    use nos_specs::lock::SuitePin;
    use proptest::prelude::*;

    fn stanza(name: &str, version: &str, more: &str) -> String {
        let digest = "AB".repeat(32);
        format!(
            "Package: {name}\nFormat: 3.0 (quilt)\nBinary: {name}, lib{name}1\nVersion: {version}\n\
             {more}Files:\n 00 1 {name}.dsc\nChecksums-Sha256:\n {digest} 900 {name}.dsc\n \
             {digest} 20 {name}.orig.tar.xz\n {digest} 7 {name}.orig.tar.xz.asc\n {digest} 10 \
             {name}.debian.tar.xz\nDirectory: pool/main/{name}\n\n"
        )
    }

    fn suite(name: &str, text: &str) -> Suite {
        Suite {
            name: name.into(),
            pin: SuitePin {
                date: String::new(),
                sha256: String::new(),
            },
            packages: String::new(),
            sources: condense(text),
        }
    }

    fn of(suites: &[Suite], name: &str) -> Result<LockedSource, String> {
        let mut found =
            newest("trixie", suites, &BTreeSet::from([name])).map_err(|e| e.to_string())?;
        Ok(found.remove(name).unwrap())
    }

    #[test]
    fn the_newest_of_all_suites_is_pinned_with_its_archives() {
        let old = "Extra-Source-Only: yes\n";
        let suites = [
            suite(
                "trixie",
                &(stanza("ant", "2", "") + &stanza("ant", "9", old)),
            ),
            suite("trixie-security", &stanza("ant", "2+deb13u1", "")),
            suite("trixie-updates", &stanza("bee", "1", "")),
        ];
        let ant = of(&suites, "ant").unwrap();
        assert_eq!(
            (ant.version.as_str(), ant.suite.as_str()),
            ("2+deb13u1", "trixie-security")
        );
        let files: Vec<_> = ant
            .files
            .iter()
            .map(|f| (f.path.as_str(), f.size))
            .collect();
        assert_eq!(
            files,
            [
                ("pool/main/ant/ant.debian.tar.xz", 10),
                ("pool/main/ant/ant.orig.tar.xz", 20)
            ]
        );
        assert_eq!(ant.files[0].sha256, "ab".repeat(32));
    }

    #[test]
    fn a_name_that_is_none_is_met_with_the_source_that_is_meant() {
        let suites = [suite(
            "trixie",
            &(stanza("dropbear", "1", "") + &stanza("openssl", "1", "")),
        )];
        assert_eq!(
            of(&suites, "dropber").unwrap_err(),
            "there is no source package \"dropber\" in trixie; did you mean \"dropbear\"?"
        );
        assert!(
            of(&suites, "libopenssl1")
                .unwrap_err()
                .contains("did you mean \"openssl\"?")
        );
    }

    #[test]
    fn stanzas_that_cannot_be_used_say_why() {
        for (from, to, want) in [
            ("pool/main", "/etc", "not a plain relative path"),
            ("ant.orig", "../ant.orig", "not a plain relative path"),
            (" 20 ", " 0 ", "not a number of bytes"),
            ("AB", "XY", "64 hexadecimal digits"),
            ("Version: 1", "Version: one", "does not start with a digit"),
            (
                "Checksums-Sha256",
                "Checksums-Md5",
                "no Checksums-Sha256 field",
            ),
        ] {
            let text = stanza("ant", "1", "").replace(from, to);
            let error = of(&[suite("trixie", &text)], "ant").unwrap_err();
            assert!(error.contains(want), "{from} → {to}: {error}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "(Package|Version|Directory|Checksums-Sha256|: a|: 1|\n| |\n\n|é){0,40}") {
            let _ = newest("trixie", &[suite("trixie", &text)], &BTreeSet::from(["a"]));
        }
    }
}
