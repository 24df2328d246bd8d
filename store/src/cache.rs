//! Remembering what unchanged source files contain (FORMAT.md, "Stat cache").
//!
//! One file under `cache/` for each imported folder. It holds hints only: one that is lost, torn
//! or out of date costs reading the sources again.
//!
//! Invariant: a file's digest is remembered only if both its times were at least [`SETTLED`] in
//! the past when it was examined. A later change then gives it another time, whatever the
//! granularity of the file system's clock (git's "racily clean" rule).

use crate::error::Result;
use crate::import::Stamp;
use crate::{Digest, Store};
use nos_formats::tree::MAX_PATH_BYTES;
use std::collections::HashMap;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// First bytes; the last is the format's version.
const MAGIC: [u8; 8] = *b"nosStat\x01";

/// Largest cache of one folder, in bytes.
pub(crate) const MAX_CACHE_BYTES: u64 = 1 << 30;

/// How long a file must have been left alone to be remembered: the coarsest clock of the file
/// systems in use (FAT's two seconds), with some more for clocks that differ.
const SETTLED: Duration = Duration::from_secs(3);

/// Bytes of an entry besides its path.
const ENTRY_BYTES: usize = 2 + 3 * 8 + 2 * 16 + 32;

/// What was remembered of one folder.
#[derive(Default)]
pub(crate) struct StatCache {
    bytes: Vec<u8>,
    /// Path → offset of its stamp in `bytes`.
    at: HashMap<Vec<u8>, usize>,
}

/// What is to be remembered.
pub(crate) struct Recorder {
    bytes: Vec<u8>,
    count: u64,
    count_at: usize,
    settled_ns: i128,
}

/// Path of a folder's cache below the store's.
pub(crate) fn cache_rel(folder: &Path) -> String {
    format!("cache/{}", Digest::of(folder.as_os_str().as_bytes()))
}

/// Longest hint, in bytes.
const MAX_HINT_BYTES: u64 = 1 << 20;

/// Start of the names of hints, which no digest begins with.
pub(crate) const HINT_PREFIX: &str = "hint-";

impl Store {
    /// What was last given to [`Store::put_hint`] under this name. Hints may be lost at any time
    /// and are not verified: nothing but speed may depend on one.
    ///
    /// # Errors
    /// Where there is a hint and it cannot be read.
    pub fn hint(&self, name: &str) -> Result<Option<Vec<u8>>> {
        self.fs().read_bounded(&hint_rel(name), MAX_HINT_BYTES)
    }

    /// Keeps a few bytes, at most a mebibyte, under a name of lower-case letters.
    ///
    /// # Errors
    /// Where the store cannot be written.
    pub fn put_hint(&self, name: &str, bytes: &[u8]) -> Result<()> {
        let mut temp = self.fs().temp("cache")?;
        let filled = self.fs().fill(&mut temp, bytes);
        let done = filled.and_then(|()| self.fs().replace(&temp, &hint_rel(name)));
        temp.discard(self.fs());
        done
    }
}

fn hint_rel(name: &str) -> String {
    let plain: String = name.chars().filter(char::is_ascii_lowercase).collect();
    format!("cache/{HINT_PREFIX}{plain}")
}

impl StatCache {
    /// Reads what is known of a folder; nothing where there is no usable file.
    pub(crate) fn load(store: &Store, folder: &Path) -> Self {
        let Ok(Some(bytes)) = store.fs().read_bounded(&cache_rel(folder), MAX_CACHE_BYTES) else {
            return Self::default();
        };
        Self::parse(bytes, folder).unwrap_or_default()
    }

    fn parse(bytes: Vec<u8>, folder: &Path) -> Option<Self> {
        let (body, checksum) = bytes.split_last_chunk::<32>()?;
        if Digest::of(body).0 != *checksum || folder_of(&bytes)? != folder.as_os_str().as_bytes() {
            return None;
        }
        let mut at = 8 + 4 + folder.as_os_str().len();
        let count = u64::from_le_bytes(*body.get(at..)?.first_chunk()?);
        at += 8;
        if count > (body.len() / ENTRY_BYTES) as u64 {
            return None;
        }
        let mut index = HashMap::with_capacity(usize::try_from(count).ok()?);
        for _ in 0..count {
            let length = usize::from(u16::from_le_bytes(*body.get(at..)?.first_chunk()?));
            let path = body.get(at + 2..at + 2 + length)?;
            let stamp = at + 2 + length;
            at += ENTRY_BYTES + length;
            if at > body.len() {
                return None;
            }
            index.insert(path.to_vec(), stamp);
        }
        (at == body.len()).then_some(Self { bytes, at: index })
    }

    /// The digest of a file that is as it was.
    pub(crate) fn get(&self, path: &[u8], stamp: &Stamp) -> Option<Digest> {
        let at = *self.at.get(path)?;
        let (seen, rest) = self.bytes.get(at..)?.split_first_chunk::<56>()?;
        if *seen != stamp_bytes(stamp) {
            return None;
        }
        Some(Digest(*rest.first_chunk()?))
    }

    /// Number of files known.
    pub(crate) fn len(&self) -> usize {
        self.at.len()
    }
}

/// The folder that a cache is about.
pub(crate) fn folder_of(bytes: &[u8]) -> Option<&[u8]> {
    let (magic, rest) = bytes.split_first_chunk::<8>()?;
    let (length, rest) = rest.split_first_chunk()?;
    let length = usize::try_from(u32::from_le_bytes(*length)).ok()?;
    (*magic == MAGIC).then(|| rest.get(..length))?
}

fn stamp_bytes(stamp: &Stamp) -> [u8; 56] {
    let mut out = [0; 56];
    out[..8].copy_from_slice(&stamp.dev.to_le_bytes());
    out[8..16].copy_from_slice(&stamp.ino.to_le_bytes());
    out[16..24].copy_from_slice(&stamp.size.to_le_bytes());
    out[24..40].copy_from_slice(&stamp.mtime_ns.to_le_bytes());
    out[40..].copy_from_slice(&stamp.ctime_ns.to_le_bytes());
    out
}

impl Recorder {
    /// Starts a cache for a folder. Call before the first file is examined.
    pub(crate) fn new(folder: &Path) -> Self {
        let settled = SystemTime::now()
            .checked_sub(SETTLED)
            .and_then(|t| t.duration_since(UNIX_EPOCH).ok())
            .unwrap_or_default();
        let folder = folder.as_os_str().as_bytes();
        let mut bytes = MAGIC.to_vec();
        bytes.extend_from_slice(&u32::try_from(folder.len()).unwrap_or(0).to_le_bytes());
        bytes.extend_from_slice(folder);
        let count_at = bytes.len();
        bytes.extend_from_slice(&[0; 8]);
        Self {
            bytes,
            count: 0,
            count_at,
            settled_ns: i128::try_from(settled.as_nanos()).unwrap_or(0),
        }
    }

    /// Remembers a file, if it was left alone for long enough to tell.
    pub(crate) fn add(&mut self, path: &[u8], stamp: &Stamp, digest: &Digest) {
        if stamp.mtime_ns.max(stamp.ctime_ns) >= self.settled_ns || path.len() > MAX_PATH_BYTES {
            return;
        }
        let length = u16::try_from(path.len()).unwrap_or(u16::MAX);
        self.bytes.extend_from_slice(&length.to_le_bytes());
        self.bytes.extend_from_slice(path);
        self.bytes.extend_from_slice(&stamp_bytes(stamp));
        self.bytes.extend_from_slice(&digest.0);
        self.count += 1;
    }

    /// Number of files remembered.
    pub(crate) fn len(&self) -> u64 {
        self.count
    }

    /// Writes the cache, in place of what was known before.
    pub(crate) fn save(mut self, store: &Store, folder: &Path) -> Result<()> {
        self.bytes[self.count_at..self.count_at + 8].copy_from_slice(&self.count.to_le_bytes());
        let checksum = Digest::of(&self.bytes);
        self.bytes.extend_from_slice(&checksum.0);
        let mut temp = store.fs().temp("cache")?;
        let done = store
            .fs()
            .fill(&mut temp, &self.bytes)
            .and_then(|()| store.fs().replace(&temp, &cache_rel(folder)));
        temp.discard(store.fs());
        done
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ImportOptions;
    use nos_formats::tree::{Kind, TreePath};

    #[test]
    fn unchanged_files_are_not_read_and_changed_ones_are() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path().join("store")).unwrap();
        let folder = dir.path().join("source");
        std::fs::create_dir(&folder).unwrap();
        std::fs::write(folder.join("file"), "real").unwrap();
        let import = |options: &ImportOptions| {
            let tree = store.import_folder(&folder, options).unwrap();
            match tree.get(&TreePath::new("file").unwrap()).unwrap().kind {
                Kind::File(blob) => blob.digest,
                _ => panic!("not a file"),
            }
        };
        let remembering = ImportOptions::default();
        assert_eq!(import(&remembering), Digest::of(b"real"));
        // A lie, to see that it is believed: nobody reads the file.
        let planted = store.add_bytes(b"lies").unwrap();
        let plant = |digest: &Digest| {
            let stat = std::fs::metadata(folder.join("file")).unwrap();
            let mut recorder = Recorder::new(&folder);
            recorder.settled_ns = i128::MAX;
            recorder.add(b"file", &Stamp::of(&stat), digest);
            recorder.save(&store, &folder).unwrap();
        };
        plant(&planted);
        assert_eq!(import(&remembering), planted);
        let reading = ImportOptions {
            no_cache: true,
            ..ImportOptions::default()
        };
        assert_eq!(import(&reading), Digest::of(b"real"));
        // What is no longer stored is read again.
        plant(&planted);
        std::fs::remove_file(store.object_path(&planted)).unwrap();
        assert_eq!(import(&remembering), Digest::of(b"real"));
        // Another length shows in any case, whatever the clock does.
        plant(&Digest::of(b"real"));
        std::fs::write(folder.join("file"), "longer").unwrap();
        assert_eq!(import(&remembering), Digest::of(b"longer"));
    }

    #[test]
    fn only_settled_files_are_remembered_and_damage_is_noticed() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let folder = Path::new("/some/folder");
        let old = Stamp {
            dev: 1,
            ino: 2,
            size: 3,
            mtime_ns: 4,
            ctime_ns: 5,
        };
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        let now_ns = i128::try_from(now.as_nanos()).unwrap();
        let mut recorder = Recorder::new(folder);
        recorder.add(b"old", &old, &Digest::of(b"x"));
        let recent = Stamp {
            ctime_ns: now_ns,
            ..old
        };
        recorder.add(b"changed", &recent, &Digest::of(b"y"));
        let future = Stamp {
            mtime_ns: now_ns * 2,
            ..old
        };
        recorder.add(b"future", &future, &Digest::of(b"z"));
        recorder.save(&store, folder).unwrap();

        let cache = StatCache::load(&store, folder);
        assert_eq!(cache.len(), 1);
        assert_eq!(cache.get(b"old", &old), Some(Digest::of(b"x")));
        let touched = Stamp { ctime_ns: 6, ..old };
        assert_eq!(cache.get(b"old", &touched), None);
        assert_eq!(cache.get(b"other", &old), None);

        let whole = store
            .fs()
            .read_bounded(&cache_rel(folder), MAX_CACHE_BYTES)
            .unwrap()
            .unwrap();
        for i in 0..whole.len() {
            let mut bad = whole.clone();
            bad[i] ^= 1;
            assert!(StatCache::parse(bad, folder).is_none(), "byte {i}");
            assert!(StatCache::parse(whole[..i].to_vec(), folder).is_none());
        }
        assert!(StatCache::parse(whole, Path::new("/another")).is_none());
    }
}
