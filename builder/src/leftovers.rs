//! What builds leave below the store besides objects and results: checked-out trees, logs, and what
//! failed builds had in their folders. How long each stays.
//!
//! | What | Stays |
//! |---|---|
//! | `checkouts/DIGEST` | as long as the tree itself; made again when a build needs it |
//! | `checkouts/files/…` | as long as a checkout has it |
//! | `checkouts/.part-…` | until the next sweep: nobody makes one while it runs |
//! | `failed/NAME` | [`FAILED_DAYS`] after the failure |
//! | `logs/NAME.log` | [`LOG_DAYS`] after it was written, the newest 200 at most |

use crate::checkout::{self, CHECKOUTS, FILES, LOCK};
use crate::error::BuildError;
use crate::make::{FAILED, LOGS};
use nos_store::{Digest, Store};
use rustix::fs::FlockOperation;
use std::collections::BTreeMap;
use std::fs::{self, DirEntry, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// Days that the folders of a failed build stay.
pub const FAILED_DAYS: u64 = 7;

/// Days that a log stays.
pub const LOG_DAYS: u64 = 30;

/// What a sweep did, or would do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize)]
pub struct Swept {
    /// Checked-out trees removed.
    pub checkouts_removed: u64,
    /// Checked-out trees that stay.
    pub checkouts_kept: u64,
    /// Folders of failed builds removed.
    pub failed_removed: u64,
    /// Folders of failed builds that stay.
    pub failed_kept: u64,
    /// Logs removed.
    pub logs_removed: u64,
    /// Logs that stay.
    pub logs_kept: u64,
    /// Files and folders that a killed process left half-made, removed.
    pub unfinished_removed: u64,
    /// Space given back, in bytes on disk.
    pub freed_bytes: u64,
}

/// Removes what is listed at the head of this module, or only counts it. `gone` says which objects a
/// collection is to remove, or has; builds that run meanwhile wait where they need a checkout.
///
/// # Errors
/// [`BuildError::Io`] with the path that could not be read or removed.
pub fn sweep(
    store: &Store,
    now: SystemTime,
    dry_run: bool,
    gone: &dyn Fn(&Digest) -> bool,
) -> Result<Swept, BuildError> {
    let mut sweep = Sweep {
        dry_run,
        swept: Swept::default(),
        names: BTreeMap::new(),
    };
    let base = store.root().join(CHECKOUTS);
    if base.is_dir() {
        let _lock = checkout::lock(&base, FlockOperation::LockExclusive)?;
        sweep.checkouts(store, &base, gone)?;
        sweep.files(&base.join(FILES))?;
    }
    let older = |entry: &DirEntry, days: u64| {
        let modified = entry.metadata().and_then(|metadata| metadata.modified());
        let age = modified.ok().and_then(|time| now.duration_since(time).ok());
        age.is_some_and(|age| age > Duration::from_secs(days * 86_400))
    };
    for entry in list(&store.root().join(FAILED))? {
        if older(&entry, FAILED_DAYS) {
            sweep.swept.failed_removed += 1;
            sweep.remove(&entry.path())?;
        } else {
            sweep.swept.failed_kept += 1;
        }
    }
    for entry in list(&store.root().join(LOGS))? {
        if older(&entry, LOG_DAYS) {
            sweep.swept.logs_removed += 1;
            sweep.remove(&entry.path())?;
        } else {
            sweep.swept.logs_kept += 1;
        }
    }
    Ok(sweep.swept)
}

struct Sweep {
    dry_run: bool,
    swept: Swept,
    /// How many names of each file were removed, or would be, by its inode.
    names: BTreeMap<u64, u64>,
}

impl Sweep {
    fn checkouts(
        &mut self,
        store: &Store,
        base: &Path,
        gone: &dyn Fn(&Digest) -> bool,
    ) -> Result<(), BuildError> {
        for entry in list(base)? {
            let name = entry.file_name();
            let name = name.to_string_lossy();
            match name.parse::<Digest>() {
                Ok(digest) if gone(&digest) || !store.contains(&digest)? => {
                    self.swept.checkouts_removed += 1;
                    self.remove(&entry.path())?;
                }
                Ok(_) => self.swept.checkouts_kept += 1,
                Err(_) if name == FILES || name == LOCK => {}
                Err(_) => {
                    self.swept.unfinished_removed += 1;
                    self.remove(&entry.path())?;
                }
            }
        }
        Ok(())
    }

    /// Files that no checkout has any more.
    fn files(&mut self, folder: &Path) -> Result<(), BuildError> {
        for shard in list(folder)? {
            for entry in list(&shard.path())? {
                let path = entry.path();
                let metadata = fs::symlink_metadata(&path).map_err(|e| trouble(&path, e))?;
                // After a removal the file counts its names itself.
                let removed = match self.dry_run {
                    true => self.names.get(&metadata.ino()).copied().unwrap_or(0),
                    false => 0,
                };
                let unfinished = entry.file_name().to_string_lossy().starts_with('.');
                if unfinished {
                    self.swept.unfinished_removed += 1;
                }
                if unfinished || metadata.nlink() <= 1 + removed {
                    self.names.remove(&metadata.ino());
                    self.swept.freed_bytes += disk_bytes(&metadata);
                    if !self.dry_run {
                        fs::remove_file(&path).map_err(|e| trouble(&path, e))?;
                    }
                }
            }
        }
        Ok(())
    }

    /// Removes a file, or a folder with all that is in it. Space counts where the last name goes.
    fn remove(&mut self, path: &Path) -> Result<(), BuildError> {
        let metadata = fs::symlink_metadata(path).map_err(|e| trouble(path, e))?;
        if metadata.is_dir() {
            for entry in list(path)? {
                self.remove(&entry.path())?;
            }
            self.swept.freed_bytes += disk_bytes(&metadata);
        } else {
            let removed = self.names.entry(metadata.ino()).or_default();
            *removed += 1;
            let last = match self.dry_run {
                true => metadata.nlink() == *removed,
                false => metadata.nlink() == 1,
            };
            if last {
                self.swept.freed_bytes += disk_bytes(&metadata);
            }
        }
        match (self.dry_run, metadata.is_dir()) {
            (true, _) => Ok(()),
            (false, true) => fs::remove_dir(path),
            (false, false) => fs::remove_file(path),
        }
        .map_err(|e| trouble(path, e))
    }
}

/// Entries of a folder, none where it is not there, in the order of their names.
fn list(folder: &Path) -> Result<Vec<DirEntry>, BuildError> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(|e| trouble(folder, e))?,
    };
    let entries: io::Result<Vec<DirEntry>> = entries.collect();
    let mut entries = entries.map_err(|e| trouble(folder, e))?;
    entries.sort_by_key(DirEntry::file_name);
    Ok(entries)
}

fn disk_bytes(metadata: &Metadata) -> u64 {
    metadata.blocks() * 512
}

fn trouble(path: &Path, error: io::Error) -> BuildError {
    BuildError::Io {
        path: PathBuf::from(path),
        error,
    }
}
