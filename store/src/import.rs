//! Taking files and folders of the machine into the store.

use crate::cache::{Recorder, StatCache};
use crate::digest::Hasher;
use crate::error::{Context, Result, StoreError};
use crate::fs::Temp;
use crate::object::{SMALL_BYTES, object_rel};
use crate::session::Hold;
use crate::walk::{Found, unsupported, walk};
use crate::{Blob, Digest, Output, Store};
use nos_formats::tree::{Kind, Metadata, Node, Tree};
use std::fs::{File, Metadata as Stat};
use std::io::{ErrorKind, Read, Seek, SeekFrom};
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;

/// How much of a large file is on its way between two threads at once.
const CHUNK_BYTES: usize = 512 * 1024;
const CHUNKS: usize = 4;

/// How a folder is taken in.
#[derive(Debug, Clone, Default)]
pub struct ImportOptions {
    /// Read every file, also those that have not changed since an earlier import (same device,
    /// inode, size and both times, which were old enough then to tell).
    pub no_cache: bool,
    /// Leave out what tools keep beside sources and could make again or do not build from: folders
    /// that say of themselves that they are caches (`CACHEDIR.TAG`, see
    /// <https://bford.info/cachedir/>) and repositories (`.git`).
    pub only_sources: bool,
}

/// What tells one state of a file from the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stamp {
    pub(crate) dev: u64,
    pub(crate) ino: u64,
    pub(crate) size: u64,
    pub(crate) mtime_ns: i128,
    pub(crate) ctime_ns: i128,
}

impl Stamp {
    pub(crate) fn of(stat: &Stat) -> Self {
        let ns = |s: i64, ns: i64| i128::from(s) * 1_000_000_000 + i128::from(ns);
        Self {
            dev: stat.dev(),
            ino: stat.ino(),
            size: stat.size(),
            mtime_ns: ns(stat.mtime(), stat.mtime_nsec()),
            ctime_ns: ns(stat.ctime(), stat.ctime_nsec()),
        }
    }
}

/// A source file, open, and what it was like before it was read.
struct Source<'a> {
    file: File,
    path: &'a Path,
    before: Stat,
}

impl Source<'_> {
    /// Refuses what was read if the file is not what it was.
    fn check_unchanged(&self, read_bytes: u64) -> Result<()> {
        let after = self.file.metadata().context("examine", self.path)?;
        if read_bytes != self.before.len() || Stamp::of(&after) != Stamp::of(&self.before) {
            return Err(changed(self.path));
        }
        Ok(())
    }
}

fn changed(path: &Path) -> StoreError {
    StoreError::Changed {
        path: path.to_path_buf(),
    }
}

impl Store {
    /// Stores a file of the machine.
    ///
    /// # Errors
    /// [`StoreError::Changed`] where the file changes while it is read,
    /// [`StoreError::Unsupported`] for anything but a regular file (or a link to one).
    pub fn add_file(&self, path: impl AsRef<Path>) -> Result<Blob> {
        let path = path.as_ref();
        let file = File::open(path).context("open", path)?;
        let before = file.metadata().context("examine", path)?;
        if !before.is_file() {
            return Err(unsupported(path, &before));
        }
        let hold = self.hold()?;
        let mut source = Source { file, path, before };
        let blob = self.add_source(&hold, &mut source, &mut Vec::new())?;
        hold.record([Output::Object(blob)])?;
        Ok(blob)
    }

    /// Stores a source. The caller records it before it lets go of the hold.
    fn add_source(
        &self,
        _hold: &Hold<'_>,
        source: &mut Source<'_>,
        buffer: &mut Vec<u8>,
    ) -> Result<Blob> {
        if source.before.len() <= SMALL_BYTES as u64 {
            buffer.clear();
            (&mut source.file)
                .take(source.before.len() + 1)
                .read_to_end(buffer)
                .context("read", source.path)?;
            source.check_unchanged(buffer.len() as u64)?;
            let blob = Blob {
                digest: Digest::of(buffer),
                size: buffer.len() as u64,
            };
            self.add_named(&blob.digest, buffer)?;
            return Ok(blob);
        }
        let mut temp = self.fs().temp("objects")?;
        let done = self.copy_large(source, &mut temp).and_then(|blob| {
            source.check_unchanged(blob.size)?;
            self.fs().link(&temp, &object_rel(&blob.digest))?;
            Ok(blob)
        });
        temp.discard(self.fs());
        done
    }

    /// Fills a file with a source's bytes and hashes what is in it.
    fn copy_large(&self, source: &mut Source<'_>, temp: &mut Temp) -> Result<Blob> {
        // Where the file system can share extents nothing is copied; the copy is what gets hashed,
        // so that the source may change meanwhile.
        if rustix::fs::ioctl_ficlone(temp.file(), &source.file).is_ok() {
            let mut clone = temp.file();
            let mut hasher = Hasher::default();
            let mut chunk = vec![0; CHUNK_BYTES];
            clone
                .seek(SeekFrom::Start(0))
                .context("rewind", source.path)?;
            loop {
                match clone.read(&mut chunk).context("read", source.path)? {
                    0 => return Ok(hasher.finish()),
                    n => hasher.update(&chunk[..n]),
                }
            }
        }
        // One thread reads and writes, another hashes.
        std::thread::scope(|scope| {
            let (to_hash, hash_queue) = mpsc::sync_channel::<(Vec<u8>, usize)>(CHUNKS);
            let (to_fill, free_queue) = mpsc::channel();
            let hashing = scope.spawn(move || {
                let mut hasher = Hasher::default();
                for (chunk, length) in hash_queue {
                    hasher.update(&chunk[..length]);
                    // The reader is gone when it is done or has failed.
                    let _unused = to_fill.send(chunk);
                }
                hasher.finish()
            });
            let copied = (|| {
                let mut made = 0;
                loop {
                    let mut chunk = if made < CHUNKS {
                        made += 1;
                        vec![0; CHUNK_BYTES]
                    } else {
                        free_queue.recv().map_err(|_| changed(source.path))?
                    };
                    let n = source.file.read(&mut chunk).context("read", source.path)?;
                    if n == 0 {
                        return Ok(());
                    }
                    self.fs().fill(temp, &chunk[..n])?;
                    to_hash.send((chunk, n)).map_err(|_| changed(source.path))?;
                }
            })();
            drop(to_hash);
            let blob = match hashing.join() {
                Ok(blob) => blob,
                Err(panic) => std::panic::resume_unwind(panic),
            };
            copied.map(|()| blob)
        })
    }

    /// Takes a folder in: every file is stored, the tree is returned (and not stored).
    ///
    /// Everything belongs to root; directories and executable files get mode 0755, other files
    /// 0644; symbolic links are kept as they are, never followed; times, extended attributes and
    /// hard links are not taken over. The result depends on names and contents alone.
    ///
    /// # Errors
    /// [`StoreError::Changed`] where a file changes while it is read,
    /// [`StoreError::Unsupported`] for sockets, pipes and devices.
    pub fn import_folder(
        &self,
        folder: impl AsRef<Path>,
        options: &ImportOptions,
    ) -> Result<Tree<Blob>> {
        let folder = std::path::absolute(folder.as_ref()).context("find", folder.as_ref())?;
        let hold = self.hold()?;
        let mut recorder = Recorder::new(&folder);
        let cache = if options.no_cache {
            StatCache::default()
        } else {
            StatCache::load(self, &folder)
        };
        let found = walk(&folder, options.only_sources)?;
        let (blobs, hits) = self.add_found(&hold, &found, &cache)?;
        hold.record(blobs.iter().flatten().copied().map(Output::Object))?;
        drop(hold);
        let mut tree = Tree::new();
        for (item, blob) in found.into_iter().zip(blobs) {
            let (mode, kind) = if let Some(blob) = blob {
                let stamp = Stamp::of(&item.stat);
                recorder.add(item.path.as_bytes(), &stamp, &blob.digest);
                let executable = item.stat.mode() & 0o111 != 0;
                (if executable { 0o755 } else { 0o644 }, Kind::File(blob))
            } else if item.stat.is_dir() {
                (0o755, Kind::Directory)
            } else {
                let target = std::fs::read_link(&item.source).context("read", &item.source)?;
                (0o777, Kind::Symlink(target.into_os_string().into_vec()))
            };
            let metadata = Metadata::with_mode(mode);
            tree.insert(item.path, Node { metadata, kind })?;
        }
        // Nothing new to remember: leave the file alone, so that doing nothing writes nothing.
        if recorder.len() != hits || cache.len() as u64 != hits {
            recorder.save(self, &folder)?;
        }
        Ok(tree)
    }

    /// Stores the files among what was found, on all threads. Gives a blob for each of them, in
    /// their order, and the number of those that did not have to be read.
    fn add_found(
        &self,
        hold: &Hold<'_>,
        found: &[Found],
        cache: &StatCache,
    ) -> Result<(Vec<Option<Blob>>, u64)> {
        let next = AtomicUsize::new(0);
        let hits = AtomicUsize::new(0);
        let failed = AtomicUsize::new(usize::MAX);
        let work = || {
            let mut done = Vec::new();
            let mut buffer = Vec::new();
            loop {
                let index = next.fetch_add(1, Ordering::Relaxed);
                // What comes after a failure does not matter; what comes before it does, so that
                // the same folder gives the same error.
                let wanted = |_: &&Found| index < failed.load(Ordering::Relaxed);
                let Some(item) = found.get(index).filter(wanted) else {
                    return done;
                };
                if !item.stat.is_file() {
                    continue;
                }
                let added = match self.remembered(item, cache) {
                    Ok(Some(blob)) => {
                        hits.fetch_add(1, Ordering::Relaxed);
                        Ok(blob)
                    }
                    Ok(None) => self.add_item(hold, item, &mut buffer),
                    Err(error) => Err(error),
                };
                if added.is_err() {
                    failed.fetch_min(index, Ordering::Relaxed);
                }
                done.push((index, added));
            }
        };
        let mut all = std::thread::scope(|scope| {
            let threads = self.threads().min(found.len() / 64 + 1);
            let others: Vec<_> = (1..threads).map(|_| scope.spawn(work)).collect();
            let mut all = work();
            for other in others {
                match other.join() {
                    Ok(done) => all.extend(done),
                    Err(panic) => std::panic::resume_unwind(panic),
                }
            }
            all
        });
        all.sort_unstable_by_key(|(index, _)| *index);
        let mut blobs = vec![None; found.len()];
        for (index, added) in all {
            blobs[index] = Some(added?);
        }
        Ok((blobs, hits.into_inner() as u64))
    }

    /// A file's blob without reading the file, if it is known and still stored.
    fn remembered(&self, item: &Found, cache: &StatCache) -> Result<Option<Blob>> {
        let stamp = Stamp::of(&item.stat);
        match cache.get(item.path.as_bytes(), &stamp) {
            Some(digest) if self.exists(&digest)? => Ok(Some(Blob {
                digest,
                size: stamp.size,
            })),
            _ => Ok(None),
        }
    }

    fn add_item(&self, hold: &Hold<'_>, item: &Found, buffer: &mut Vec<u8>) -> Result<Blob> {
        let file = File::options()
            .read(true)
            .custom_flags(rustix::fs::OFlags::NOFOLLOW.bits().cast_signed())
            .open(&item.source)
            .map_err(|source| match source.kind() {
                // It was there a moment ago.
                ErrorKind::NotFound => changed(&item.source),
                _ => StoreError::Io {
                    action: "open",
                    path: item.source.clone(),
                    source,
                },
            })?;
        let mut source = Source {
            file,
            path: &item.source,
            before: item.stat.clone(),
        };
        self.add_source(hold, &mut source, buffer)
    }
}
