//! What a suite's signed `Release` says, and whether it may be believed now.

use super::date;
use super::error::ReleaseError;
use nos_store::Digest;
use std::collections::BTreeMap;

/// Component that packages are taken from.
const COMPONENT: &str = "main";

/// Seconds by which a mirror's clock may be ahead of ours.
const CLOCK_SKEW_S: i64 = 24 * 3600;

/// Largest index accepted, compressed or not, in bytes.
pub(crate) const MAX_INDEX_BYTES: u64 = 1 << 30;

/// How an index is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Compression {
    Xz,
    Gzip,
    None,
}

/// Endings that an index may have, best first.
const COMPRESSIONS: [(&str, Compression); 3] = [
    (".xz", Compression::Xz),
    (".gz", Compression::Gzip),
    ("", Compression::None),
];

/// A file that the `Release` vouches for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Listed {
    pub(crate) digest: Digest,
    pub(crate) size: u64,
}

/// The index of one suite's packages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct IndexFile {
    /// Path below `dists/SUITE`.
    pub(crate) path: String,
    pub(crate) compression: Compression,
    pub(crate) compressed: Listed,
    /// The same index uncompressed, where it is listed.
    pub(crate) plain: Option<Listed>,
}

impl IndexFile {
    /// The path under which it stays available while the archive changes.
    pub(crate) fn by_hash_path(&self) -> String {
        let folder = self.path.rsplit_once('/').map_or("", |(folder, _)| folder);
        format!("{folder}/by-hash/SHA256/{}", self.compressed.digest)
    }
}

/// The fields of a `Release` that matter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Release {
    /// When it was made, seconds since 1970.
    pub(crate) date: i64,
    /// Until when it may be used.
    pub(crate) valid_until: Option<i64>,
    /// Whether indexes can be had by their digest.
    pub(crate) by_hash: bool,
    /// The packages of the component for one architecture.
    pub(crate) packages: IndexFile,
    /// The sources of the component, where the archive has them.
    pub(crate) sources: Option<IndexFile>,
}

/// Path of the index of sources below `dists/SUITE`, without the ending of its compression.
pub(crate) const SOURCES_PATH: &str = "main/source/Sources";

impl Release {
    /// Reads a verified text and checks that it is the suite's.
    pub(crate) fn parse(text: &str, suite: &str, architecture: &str) -> Result<Self, ReleaseError> {
        let fields = fields(text);
        let field = |name: &str| fields.get(name).copied();
        let names = [field("Codename"), field("Suite")];
        if !names.contains(&Some(suite)) {
            let found: Vec<_> = names.into_iter().flatten().collect();
            return Err(ReleaseError::WrongSuite {
                found: found.join(" / "),
                wanted: suite.to_owned(),
            });
        }
        let date = field("Date").and_then(date::parse_release);
        let date = date.ok_or(ReleaseError::BadField("Date"))?;
        let valid_until = match field("Valid-Until") {
            None => None,
            Some(text) => {
                let time = date::parse_release(text);
                Some(time.ok_or(ReleaseError::BadField("Valid-Until"))?)
            }
        };
        let files = field("SHA256").ok_or(ReleaseError::BadField("SHA256"))?;
        let path = format!("{COMPONENT}/binary-{architecture}/Packages");
        let packages = index(files, &path)?;
        Ok(Self {
            date,
            valid_until,
            by_hash: field("Acquire-By-Hash") == Some("yes"),
            packages: packages.ok_or(ReleaseError::NoIndex(path))?,
            sources: index(files, SOURCES_PATH)?,
        })
    }

    /// Whether it is neither from the future nor expired at `now`.
    pub(crate) fn check_time(&self, now: i64) -> Result<(), ReleaseError> {
        if self.date > now.saturating_add(CLOCK_SKEW_S) {
            return Err(ReleaseError::Future {
                date: date::rfc3339(self.date),
            });
        }
        match self.valid_until {
            Some(until) if until < now => Err(ReleaseError::Expired {
                until: date::rfc3339(until),
            }),
            _ => Ok(()),
        }
    }

    /// Whether it is at least as new as one that `place` has seen.
    pub(crate) fn check_newer(&self, seen: i64, place: &'static str) -> Result<(), ReleaseError> {
        if self.date < seen {
            return Err(ReleaseError::Downgrade {
                date: date::rfc3339(self.date),
                seen: date::rfc3339(seen),
                place,
            });
        }
        Ok(())
    }
}

/// The fields of the first paragraph, with their continuation lines.
fn fields(text: &str) -> BTreeMap<&str, &str> {
    let paragraph = text.split("\n\n").next().unwrap_or_default();
    let mut fields = BTreeMap::new();
    super::index::each_field(paragraph, |name, value| {
        fields.entry(name).or_insert(value);
    });
    fields
}

/// Finds an index in a list of files, in the best compression there is.
fn index(files: &str, plain_path: &str) -> Result<Option<IndexFile>, ReleaseError> {
    let plain = listed(files, plain_path);
    let found = COMPRESSIONS.iter().find_map(|(ending, compression)| {
        let path = format!("{plain_path}{ending}");
        let compressed = listed(files, &path)?;
        Some(IndexFile {
            path,
            compression: *compression,
            compressed,
            plain,
        })
    });
    let sizes = [found.as_ref().map(|file| file.compressed), plain];
    match sizes.iter().flatten().any(|f| f.size > MAX_INDEX_BYTES) {
        true => Err(ReleaseError::BadField("SHA256")),
        false => Ok(found),
    }
}

/// Finds ` digest size path` in a list of files.
fn listed(files: &str, path: &str) -> Option<Listed> {
    files.lines().find_map(|line| {
        let mut words = line.strip_suffix(path)?.split_ascii_whitespace();
        let digest = words.next()?.parse().ok()?;
        let size = words.next()?.parse().ok()?;
        // The path must be a word of its own.
        (line.split_ascii_whitespace().nth(2) == Some(path)).then_some(Listed { digest, size })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const DATE: i64 = 1_789_199_741;

    fn text() -> String {
        let digest = "ab".repeat(32);
        format!(
            "Origin: Debian\nSuite: stable\nCodename: trixie\nDate: Sat, 12 Sep 2026 07:55:41 UTC\n\
             Valid-Until: Sat, 19 Sep 2026 07:55:41 UTC\nAcquire-By-Hash: yes\nMD5Sum:\n 00 1 x\n\
             SHA256:\n {digest} 300 main/binary-amd64/Packages\n \
             {digest} 100 contrib/main/binary-amd64/Packages.xz\n \
             {digest}  20 main/binary-amd64/Packages.xz\n {digest} 50 main/source/Sources.gz\n"
        )
    }

    fn parse(text: &str) -> Result<Release, ReleaseError> {
        Release::parse(text, "trixie", "amd64")
    }

    #[test]
    fn what_matters_is_read() {
        let release = parse(&text()).unwrap();
        assert_eq!(release.date, DATE);
        assert!(release.by_hash);
        assert_eq!(release.packages.compressed.size, 20);
        assert_eq!(release.packages.plain.unwrap().size, 300);
        let sources = release.sources.as_ref().unwrap();
        assert_eq!(sources.compression, Compression::Gzip);
        assert_eq!((sources.compressed.size, sources.plain), (50, None));
        let by_hash = format!("main/binary-amd64/by-hash/SHA256/{}", "ab".repeat(32));
        assert_eq!(release.packages.by_hash_path(), by_hash);
        assert!(Release::parse(&text(), "stable", "amd64").is_ok());
    }

    #[test]
    fn what_must_not_be_is_refused() {
        let cases = [
            ("Codename: trixie", "Codename: forky", "not for \"trixie\""),
            ("Date: Sat", "Date: yesterday", "Date field"),
            ("Valid-Until: Sat", "Valid-Until: Some", "Valid-Until field"),
            ("SHA256:", "SHA1:", "SHA256 field"),
            (
                "binary-amd64",
                "binary-arm64",
                "main/binary-amd64/Packages.xz",
            ),
            (" 300 main", " 99999999999 main", "SHA256 field"),
            ("SHA256:", "\nSHA256:", "SHA256 field"),
        ];
        for (from, to, want) in cases {
            let error = parse(&text().replace(from, to)).unwrap_err().to_string();
            assert!(error.contains(want), "{from} → {to}: {error}");
        }
    }

    #[test]
    fn time_is_judged_at_the_callers_now() {
        let release = parse(&text()).unwrap();
        let week = 7 * 86_400;
        assert_eq!(release.check_time(DATE), Ok(()));
        assert_eq!(release.check_time(DATE + week), Ok(()));
        let expired = release.check_time(DATE + week + 1).unwrap_err();
        assert_eq!(
            expired,
            ReleaseError::Expired {
                until: "2026-09-19T07:55:41Z".into()
            }
        );
        let future = release.check_time(DATE - 2 * 86_400).unwrap_err();
        assert!(matches!(future, ReleaseError::Future { .. }));
        assert_eq!(release.check_newer(DATE, "the lock"), Ok(()));
        let older = release.check_newer(DATE + 1, "the lock").unwrap_err();
        assert!(matches!(
            older,
            ReleaseError::Downgrade {
                place: "the lock",
                ..
            }
        ));
    }
}
