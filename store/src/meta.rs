//! `meta.json`: what a store is and what a program must know to use it.

use crate::error::{Result, StoreError};
use crate::fs::{Fs, TMP_DIR};
use serde::{Deserialize, Serialize};

/// Name of the description in the store's folder.
pub(crate) const META_FILE: &str = "meta.json";

/// Version of the layout that this program writes.
const VERSION: u32 = 1;

/// Largest description accepted.
const MAX_META_BYTES: u64 = 64 * 1024;

/// Folders of a store. Each exists before `meta.json` does.
pub(crate) const DIRS: [&str; 6] = [
    "objects",
    "results",
    "roots",
    "downloads",
    "sessions",
    "cache",
];

/// Incompatible features that this program knows: none yet.
const KNOWN_INCOMPATIBLE: [&str; 0] = [];

/// Read-only-compatible features that this program knows: none yet.
const KNOWN_RO_COMPATIBLE: [&str; 0] = [];

/// The description. Unknown fields are allowed: features say what matters.
#[derive(Debug, Serialize, Deserialize)]
struct Meta {
    format: String,
    version: u32,
    #[serde(default)]
    compatible: Vec<String>,
    #[serde(default)]
    ro_compatible: Vec<String>,
    #[serde(default)]
    incompatible: Vec<String>,
}

/// What this program may do with a store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Access {
    /// Everything.
    Full,
    /// Reading only, because of these features.
    ReadOnly(String),
    /// Reading only, because the files belong to somebody else.
    NotOurs,
}

/// Checks an existing store, or makes the folder one.
pub(crate) fn open(fs: &Fs) -> Result<Access> {
    if let Some(bytes) = fs.read_bounded(META_FILE, MAX_META_BYTES)? {
        return check(fs, &bytes);
    }
    let known = |name: &str| {
        DIRS.contains(&name) || name == TMP_DIR || name == META_FILE || name == "lost+found"
    };
    if fs.list(".")?.iter().any(|e| !known(&e.name)) {
        return Err(StoreError::NotAStore {
            path: fs.path().to_path_buf(),
        });
    }
    for dir in DIRS {
        fs.make_dir(dir)?;
    }
    let meta = Meta {
        format: "nos-store".into(),
        version: VERSION,
        compatible: Vec::new(),
        ro_compatible: Vec::new(),
        incompatible: Vec::new(),
    };
    let mut bytes = serde_json::to_vec_pretty(&meta).map_err(|e| bad(fs, e.to_string()))?;
    bytes.push(b'\n');
    let mut temp = fs.temp(".")?;
    fs.fill(&mut temp, &bytes)?;
    fs.sync_all()?;
    let linked = fs.link(&temp, META_FILE);
    temp.discard(fs);
    linked?;
    // Another process may have been first: what is there is what counts.
    match fs.read_bounded(META_FILE, MAX_META_BYTES)? {
        Some(bytes) => check(fs, &bytes),
        None => Err(bad(fs, "it vanished while the store was opened".into())),
    }
}

fn check(fs: &Fs, bytes: &[u8]) -> Result<Access> {
    let meta: Meta = serde_json::from_slice(bytes).map_err(|e| bad(fs, e.to_string()))?;
    if meta.format != "nos-store" {
        return Err(bad(fs, format!("its format is {:?}", meta.format)));
    }
    let too_new = |feature| {
        Err(StoreError::TooNew {
            path: fs.path().to_path_buf(),
            feature,
        })
    };
    if meta.version > VERSION {
        return too_new(format!("version {} of the layout", meta.version));
    }
    if let Some(list) = unknown(&meta.incompatible, &KNOWN_INCOMPATIBLE) {
        return too_new(list);
    }
    Ok(match unknown(&meta.ro_compatible, &KNOWN_RO_COMPATIBLE) {
        Some(list) => Access::ReadOnly(list),
        None if fs.may_write("sessions")? => Access::Full,
        None => Access::NotOurs,
    })
}

fn unknown(found: &[String], known: &[&str]) -> Option<String> {
    let list: Vec<_> = found
        .iter()
        .filter(|f| !known.contains(&f.as_str()))
        .map(|f| format!("the feature {f:?}"))
        .collect();
    (!list.is_empty()).then(|| list.join(", "))
}

fn bad(fs: &Fs, reason: String) -> StoreError {
    StoreError::BadMeta {
        path: fs.full(META_FILE),
        reason,
    }
}
