//! Collecting garbage: mark from the roots, sweep the rest.
//!
//! Invariants:
//! - An object is removed only under the exclusive lock, and only if no root, no kept result and no
//!   living process relies on it (`session` says how that is known).
//! - A result goes before the first of its outputs does, and that order outlasts a power cut. So
//!   a result that is there names only things that are there.
//!
//! Nothing is removed where the extent of what must stay is unknown: an unreadable root or a
//! damaged tree listing of one ends the collection with an error.

use crate::cache::{HINT_PREFIX, MAX_CACHE_BYTES, folder_of};
use crate::closure::Closure;
use crate::error::{Context, Result};
use crate::object::{object_rel, sharded};
use crate::session::{self, Exclusive, Recorded};
use crate::{ActionKey, Digest, RootTarget, Store};
use rustix::fs::FlockOperation;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

/// What a collection may take.
#[derive(Debug, Clone, Default)]
pub struct GcOptions {
    /// Only say what would go.
    pub dry_run: bool,
    /// Stop once this many bytes are free. The oldest objects go first.
    pub max_free_bytes: Option<u64>,
    /// Keep, besides what roots keep, what was stored after this time: results with everything
    /// they name, objects and unfinished downloads.
    pub keep_newer_than: Option<SystemTime>,
}

/// What a collection is doing.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum GcEvent {
    /// A root's target does not exist; there is nothing to keep.
    Dangling {
        /// What should be there.
        target: RootTarget,
    },
    /// A result goes (or would go).
    Result {
        /// Its key.
        key: ActionKey,
    },
    /// An object goes (or would go).
    Object {
        /// Its name.
        digest: Digest,
        /// The space it takes, in bytes.
        size: u64,
    },
    /// An unfinished file or a forgotten cache goes (or would go).
    Leftover {
        /// Path below the store's folder.
        path: String,
        /// The space it takes, in bytes.
        size: u64,
    },
}

/// What a collection did, or would do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize)]
pub struct GcReport {
    /// Objects removed.
    pub objects_removed: u64,
    /// Objects that stay.
    pub objects_kept: u64,
    /// Results removed.
    pub results_removed: u64,
    /// Results that stay.
    pub results_kept: u64,
    /// Space given back, in bytes on disk.
    pub freed_bytes: u64,
}

struct Candidate {
    modified: i128,
    digest: Digest,
    size: u64,
}

impl Store {
    /// Removes what no root, no running process and no kept result needs.
    ///
    /// Other processes may use the store meanwhile; they wait only while files are being unlinked.
    ///
    /// # Errors
    /// [`crate::StoreError::BadRoot`], or [`crate::StoreError::Damaged`] for a tree that a root
    /// keeps: then nothing is removed.
    pub fn gc(&self, options: &GcOptions, event: &mut dyn FnMut(GcEvent)) -> Result<GcReport> {
        self.check_writable()?;
        let mut closure = Closure::default();
        self.mark_roots(&mut closure)?;
        // What is stored after this list was made is no candidate.
        let candidates = self.candidates()?;

        let exclusive = session::exclusive(self.fs())?;
        self.mark_roots(&mut closure)?;
        self.mark_sessions(&mut closure, &exclusive)?;
        for target in std::mem::take(&mut closure.missing) {
            event(GcEvent::Dangling { target });
        }
        let mut report = GcReport::default();
        self.sweep_results(options, &mut closure, &mut report, event)?;
        if !options.dry_run && report.results_removed > 0 && self.durable() {
            self.fs().sync_all()?;
        }
        self.sweep_objects(options, &closure, candidates, &mut report, event)?;
        self.sweep_leftovers(options, &mut report, event)?;
        drop(exclusive);
        Ok(report)
    }

    fn mark_roots(&self, closure: &mut Closure) -> Result<()> {
        for targets in self.roots()?.into_values() {
            for target in targets {
                closure.add(self, target)?;
            }
        }
        Ok(())
    }

    fn mark_sessions(&self, closure: &mut Closure, exclusive: &Exclusive) -> Result<()> {
        for recorded in exclusive.recorded(self.fs())? {
            match recorded {
                Recorded::Object(digest) => {
                    closure.objects.insert(digest);
                }
                Recorded::Tree(digest) => {
                    // A process may have asked for a tree that is not there, or be about to
                    // store it: its files are recorded one by one.
                    let mut own = Closure::default();
                    own.add(self, RootTarget::Tree(digest))?;
                    closure.objects.insert(digest);
                    closure.objects.extend(own.objects);
                    closure.trees.extend(own.trees);
                }
            }
        }
        Ok(())
    }

    fn candidates(&self) -> Result<Vec<Candidate>> {
        let mut found = Vec::new();
        self.each_sharded("objects", &mut |digest, rel| {
            if let Some(stat) = self.fs().stat(rel)? {
                found.push(Candidate {
                    modified: nanoseconds(&stat),
                    digest,
                    size: disk_bytes(&stat),
                });
            }
            Ok(())
        })?;
        found.sort_unstable_by_key(|c| (c.modified, c.digest));
        Ok(found)
    }

    /// Calls `each` for every well-named file of a sharded folder, in order.
    pub(crate) fn each_sharded(
        &self,
        area: &str,
        each: &mut dyn FnMut(Digest, &str) -> Result<()>,
    ) -> Result<()> {
        for shard in self.fs().list(area)? {
            let dir = format!("{area}/{}", shard.name);
            if !shard.is_dir {
                continue;
            }
            for entry in self.fs().list(&dir)? {
                let hex = format!("{}{}", shard.name, entry.name);
                if let Ok(digest) = hex.parse() {
                    each(digest, &format!("{dir}/{}", entry.name))?;
                }
            }
        }
        Ok(())
    }

    fn sweep_results(
        &self,
        options: &GcOptions,
        closure: &mut Closure,
        report: &mut GcReport,
        event: &mut dyn FnMut(GcEvent),
    ) -> Result<()> {
        let mut keys = Vec::new();
        self.each_sharded("results", &mut |digest, rel| {
            let key = ActionKey(digest);
            if let Some(stat) = self.fs().stat(rel)?
                && is_newer(options, nanoseconds(&stat))
            {
                closure.add(self, RootTarget::Result(key))?;
            }
            keys.push(key);
            Ok(())
        })?;
        for key in keys {
            let whole = self.peek_result(&key)?.filter(|result| {
                closure.results.contains(&key)
                    || !result.outputs.is_empty()
                        && result.outputs.values().all(|output| closure.has(output))
            });
            if whole.is_some() {
                report.results_kept += 1;
                continue;
            }
            event(GcEvent::Result { key });
            report.results_removed += 1;
            if !options.dry_run {
                self.fs().remove(&sharded("results", &key.0))?;
            }
        }
        Ok(())
    }

    fn sweep_objects(
        &self,
        options: &GcOptions,
        closure: &Closure,
        candidates: Vec<Candidate>,
        report: &mut GcReport,
        event: &mut dyn FnMut(GcEvent),
    ) -> Result<()> {
        let limit = options.max_free_bytes.unwrap_or(u64::MAX);
        for candidate in candidates {
            let digest = candidate.digest;
            if closure.objects.contains(&digest)
                || is_newer(options, candidate.modified)
                || report.freed_bytes >= limit
            {
                report.objects_kept += 1;
                continue;
            }
            let size = candidate.size;
            event(GcEvent::Object { digest, size });
            if !options.dry_run {
                self.fs().remove(&object_rel(&digest))?;
            }
            report.objects_removed += 1;
            report.freed_bytes += size;
        }
        Ok(())
    }

    /// Unfinished files that nobody holds, and hints about folders that are gone.
    fn sweep_leftovers(
        &self,
        options: &GcOptions,
        report: &mut GcReport,
        event: &mut dyn FnMut(GcEvent),
    ) -> Result<()> {
        for entry in self.fs().list("cache")? {
            let rel = format!("cache/{}", entry.name);
            if entry.name.starts_with(HINT_PREFIX) {
                continue;
            }
            let about = self.fs().read_bounded(&rel, MAX_CACHE_BYTES)?;
            let Some(bytes) = about else { continue };
            let folder = folder_of(&bytes).map(OsStr::from_bytes);
            if folder.is_some_and(|folder| Path::new(folder).is_dir()) {
                continue;
            }
            if !options.dry_run {
                self.fs().remove(&rel)?;
            }
            let size = bytes.len() as u64;
            report.freed_bytes += size;
            event(GcEvent::Leftover { path: rel, size });
        }
        for area in ["downloads", crate::fs::TMP_DIR] {
            for entry in self.fs().list(area)? {
                let rel = format!("{area}/{}", entry.name);
                let Some(file) = self.fs().read(&rel)? else {
                    continue;
                };
                let stat = rustix::fs::fstat(&file).context("examine", self.fs().full(&rel))?;
                let held = rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive);
                if held.is_err() || is_newer(options, nanoseconds(&stat)) {
                    continue;
                }
                if !options.dry_run {
                    self.fs().remove(&rel)?;
                }
                let size = disk_bytes(&stat);
                report.freed_bytes += size;
                event(GcEvent::Leftover { path: rel, size });
            }
        }
        Ok(())
    }
}

fn nanoseconds(stat: &rustix::fs::Stat) -> i128 {
    i128::from(stat.st_mtime) * 1_000_000_000 + i128::from(stat.st_mtime_nsec)
}

fn disk_bytes(stat: &rustix::fs::Stat) -> u64 {
    u64::try_from(stat.st_blocks).unwrap_or(0) * 512
}

fn is_newer(options: &GcOptions, modified: i128) -> bool {
    let Some(limit) = options.keep_newer_than else {
        return false;
    };
    let limit = limit
        .duration_since(UNIX_EPOCH)
        .map_or(0, |d| i128::try_from(d.as_nanos()).unwrap_or(i128::MAX));
    modified > limit
}
