//! Taking files and folders of the machine into the store.

use crate::digest::Hasher;
use crate::error::{Context, Result, StoreError};
use crate::object::SMALL_BYTES;
use crate::{Blob, Digest, Output, Store};
use nos_formats::tree::{Kind, Metadata, Node, Tree, TreePath};
use std::fs::{File, Metadata as Stat};
use std::io::Read;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

/// How a folder is taken in.
#[derive(Debug, Clone, Default)]
pub struct ImportOptions {
    /// Trust the digests of files that have not changed since an earlier import (their device,
    /// inode, size, and both times are the same, and were old enough then to tell).
    pub no_cache: bool,
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

/// Something found in a folder.
struct Found {
    path: TreePath,
    source: PathBuf,
    stat: Stat,
}

impl Store {
    /// Stores a file of the machine.
    ///
    /// # Errors
    /// [`StoreError::Changed`] where the file changes while it is read,
    /// [`StoreError::Unsupported`] for anything but a regular file (or a link to one).
    pub fn add_file(&self, path: impl AsRef<Path>) -> Result<Blob> {
        let path = path.as_ref();
        let mut file = File::open(path).context("open", path)?;
        let before = file.metadata().context("examine", path)?;
        if !before.is_file() {
            return Err(unsupported(path, &before));
        }
        self.add_open_file(&mut file, path, &before, &mut Vec::new())
    }

    fn add_open_file(
        &self,
        file: &mut File,
        path: &Path,
        before: &Stat,
        buffer: &mut Vec<u8>,
    ) -> Result<Blob> {
        let unchanged = |file: &File, read: u64| {
            let after = file.metadata().context("examine", path)?;
            if read != before.len() || Stamp::of(&after) != Stamp::of(before) {
                return Err(StoreError::Changed {
                    path: path.to_path_buf(),
                });
            }
            Ok(())
        };
        if before.len() <= SMALL_BYTES as u64 {
            buffer.clear();
            file.take(SMALL_BYTES as u64 + 1)
                .read_to_end(buffer)
                .context("read", path)?;
            unchanged(file, buffer.len() as u64)?;
            let blob = Blob {
                digest: Digest::of(buffer),
                size: buffer.len() as u64,
            };
            let hold = self.hold()?;
            hold.record([Output::Object(blob)])?;
            self.add_named(&blob.digest, buffer)?;
            return Ok(blob);
        }
        let mut temp = self.fs().temp("objects")?;
        let mut hasher = Hasher::default();
        let mut fill = || {
            let mut chunk = vec![0; SMALL_BYTES];
            loop {
                let n = file.read(&mut chunk).context("read", path)?;
                if n == 0 {
                    return Ok(());
                }
                hasher.update(&chunk[..n]);
                self.fs().fill(&mut temp, &chunk[..n])?;
            }
        };
        let done: Result<()> = fill();
        let done = done.and_then(|()| {
            let blob = hasher.finish();
            unchanged(file, blob.size)?;
            self.publish(&temp, blob)?;
            Ok(blob)
        });
        temp.discard(self.fs());
        done
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
        let folder = folder.as_ref();
        let _ = options;
        let found = walk(folder)?;
        let files: Vec<&Found> = found.iter().filter(|f| f.stat.is_file()).collect();
        let blobs = self.add_files(&files)?;
        let mut blobs = blobs.into_iter();
        let mut tree = Tree::new();
        for item in &found {
            let (mode, kind) = if item.stat.is_dir() {
                (0o755, Kind::Directory)
            } else if item.stat.is_symlink() {
                let target = std::fs::read_link(&item.source).context("read", &item.source)?;
                (0o777, Kind::Symlink(target.into_os_string().into_vec()))
            } else {
                let Some(blob) = blobs.next() else {
                    return Err(StoreError::Changed {
                        path: item.source.clone(),
                    });
                };
                let executable = item.stat.mode() & 0o111 != 0;
                (if executable { 0o755 } else { 0o644 }, Kind::File(blob))
            };
            let metadata = Metadata::with_mode(mode);
            tree.insert(item.path.clone(), Node { metadata, kind })?;
        }
        Ok(tree)
    }

    /// Stores files on all threads; the digests come in the order of the files.
    fn add_files(&self, files: &[&Found]) -> Result<Vec<Blob>> {
        let next = AtomicUsize::new(0);
        let failed = AtomicUsize::new(usize::MAX);
        let work = || {
            let mut done = Vec::new();
            let mut buffer = Vec::new();
            loop {
                let index = next.fetch_add(1, Ordering::Relaxed);
                // What comes after the first failure does not matter; what comes before does.
                let Some(item) = files
                    .get(index)
                    .filter(|_| index < failed.load(Ordering::Relaxed))
                else {
                    return done;
                };
                let added = self.add_found(item, &mut buffer);
                if added.is_err() {
                    failed.fetch_min(index, Ordering::Relaxed);
                }
                done.push((index, added));
            }
        };
        let mut all = std::thread::scope(|scope| {
            let threads = self.threads().min(files.len() / 16 + 1);
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
        all.into_iter().map(|(_, added)| added).collect()
    }

    fn add_found(&self, item: &Found, buffer: &mut Vec<u8>) -> Result<Blob> {
        let mut file = File::options()
            .read(true)
            .custom_flags(rustix::fs::OFlags::NOFOLLOW.bits().cast_signed())
            .open(&item.source)
            .context("open", &item.source)?;
        let now = file.metadata().context("examine", &item.source)?;
        if Stamp::of(&now) != Stamp::of(&item.stat) {
            return Err(StoreError::Changed {
                path: item.source.clone(),
            });
        }
        self.add_open_file(&mut file, &item.source, &now, buffer)
    }
}

/// Everything in a folder, in canonical order, without the folder itself.
fn walk(folder: &Path) -> Result<Vec<Found>> {
    let stat = std::fs::metadata(folder).context("examine", folder)?;
    if !stat.is_dir() {
        return Err(unsupported(folder, &stat));
    }
    let mut found = Vec::new();
    let mut dirs = vec![(TreePath::ROOT, folder.to_path_buf())];
    while let Some((path, source)) = dirs.pop() {
        for entry in std::fs::read_dir(&source).context("list", &source)? {
            let entry = entry.context("list", &source)?;
            let source = entry.path();
            let stat = entry.metadata().context("examine", &source)?;
            let path = path.join(entry.file_name().as_bytes())?;
            if stat.is_dir() {
                dirs.push((path.clone(), source.clone()));
            } else if !stat.is_file() && !stat.is_symlink() {
                return Err(unsupported(&source, &stat));
            }
            found.push(Found { path, source, stat });
        }
    }
    found.sort_unstable_by(|a, b| a.path.cmp(&b.path));
    Ok(found)
}

fn unsupported(path: &Path, stat: &Stat) -> StoreError {
    let kind = stat.file_type();
    StoreError::Unsupported {
        path: path.to_path_buf(),
        kind: if kind.is_dir() {
            "folder"
        } else if kind.is_file() {
            "file"
        } else if kind.is_fifo() {
            "named pipe"
        } else if kind.is_socket() {
            "socket"
        } else {
            "device"
        },
    }
}
