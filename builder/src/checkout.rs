//! Stored trees as folders of real files, for programs that must run from one.

use crate::error::BuildError;
use nos_formats::tree::{Kind, Node, Tree, TreePath};
use nos_store::{Blob, Digest, Store};
use rustix::fs::{AtFlags, FlockOperation, Timespec, Timestamps};
use std::cmp::Reverse;
use std::fs::{self, Permissions};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

/// Folder below the store's root that holds checked-out trees by digest.
pub(crate) const CHECKOUTS: &str = "checkouts";

/// Folder below that holds each file once, whichever checkouts have it.
pub(crate) const FILES: &str = "files";

/// The file below that is locked while checkouts are used or removed.
pub(crate) const LOCK: &str = ".lock";

/// The order in which names of a folder are made; many file systems list them so, or the other way
/// round. Nothing may depend on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// As names sort.
    Names,
    /// The other way round.
    Reversed,
}

/// The time that every file of a checkout bears, in seconds since 1970: the first of 1980, the
/// oldest that archive formats can hold. Builds get it as `SOURCE_DATE_EPOCH`.
pub const EPOCH: i64 = 315_532_800;

/// Makes sure that the tree `digest` stands as a folder below the store and gives its path.
///
/// The folder appears whole or not at all: it is filled under another name and renamed. Files are
/// copies of objects, each made once and linked into every checkout that has it; nothing done to
/// one can reach an object. Files are read-only, all bear the time [`EPOCH`]. Owners, devices and
/// extended attributes are left out: they need privilege.
///
/// # Errors
/// [`BuildError::Io`] with the path that could not be written.
pub fn checkout(store: &Store, digest: &Digest, order: Order) -> Result<PathBuf, BuildError> {
    let base = store.root().join(CHECKOUTS);
    let folder = base.join(digest.to_string());
    let files = base.join(FILES);
    fs::create_dir_all(&files).map_err(|e| trouble(&files, e))?;
    // Nothing is swept away between this look and the return: see `leftovers`.
    let _lock = lock(&base, FlockOperation::LockShared)?;
    if folder.is_dir() {
        return Ok(folder);
    }
    let scratch = tempfile::Builder::new().prefix(".part-").tempdir_in(&base);
    let scratch = scratch.map_err(|e| trouble(&base, e))?;
    let place = scratch.path().join("root");
    fs::create_dir(&place).map_err(|e| trouble(&place, e))?;
    fill(
        &store.read_tree(digest)?,
        order,
        &place,
        &mut |blob, executable, place| {
            let shared = shared(store, &files, blob, executable)?;
            match fs::hard_link(&shared, place) {
                // The file system counts no more names of one file.
                Err(error)
                    if error.raw_os_error() == Some(rustix::io::Errno::MLINK.raw_os_error()) =>
                {
                    copy(store, blob, executable, place)
                }
                done => done.map_err(|e| trouble(place, e)),
            }
        },
    )?;
    // After a power cut a folder with its name must not hold files without their bytes.
    sync(&base)?;
    match fs::rename(&place, &folder) {
        Ok(()) => Ok(folder),
        // Another process was faster, with the same bytes.
        Err(_) if folder.is_dir() => Ok(folder),
        Err(error) => Err(trouble(&folder, error)),
    }
}

/// Writes the tree `digest` below a folder that is there and empty, as files of one's own that can
/// be changed. All bear the time [`EPOCH`].
///
/// # Errors
/// [`BuildError::Io`] with the path that could not be written.
pub fn copy_out(
    store: &Store,
    digest: &Digest,
    order: Order,
    folder: &Path,
) -> Result<(), BuildError> {
    fill(
        &store.read_tree(digest)?,
        order,
        folder,
        &mut |blob, executable, place| {
            copy(store, blob, executable, place)?;
            let mode = if executable { 0o755 } else { 0o644 };
            fs::set_permissions(place, Permissions::from_mode(mode)).map_err(|e| trouble(place, e))
        },
    )
}

/// The one copy of a file that all checkouts link to.
fn shared(
    store: &Store,
    files: &Path,
    blob: &Blob,
    executable: bool,
) -> Result<PathBuf, BuildError> {
    let digest = blob.digest.to_string();
    let (head, tail) = digest.split_at(2);
    let folder = files.join(head);
    let place = folder.join(if executable {
        format!("{tail}x")
    } else {
        tail.into()
    });
    if place.exists() {
        return Ok(place);
    }
    fs::create_dir_all(&folder).map_err(|e| trouble(&folder, e))?;
    let scratch = tempfile::Builder::new()
        .prefix(".part-")
        .tempfile_in(&folder);
    let scratch = scratch.map_err(|e| trouble(&folder, e))?.into_temp_path();
    copy(store, blob, executable, &scratch)?;
    // Never over what another process has just put there: it may be about to link to that.
    match scratch.persist_noclobber(&place) {
        Err(failed) if failed.error.kind() != io::ErrorKind::AlreadyExists => {
            Err(trouble(&place, failed.error))
        }
        _ => Ok(place),
    }
}

/// Copies an object; where the file system can, the copy shares its space.
fn copy(store: &Store, blob: &Blob, executable: bool, place: &Path) -> Result<(), BuildError> {
    fs::copy(store.object_path(&blob.digest), place).map_err(|e| trouble(place, e))?;
    let mode = if executable { 0o555 } else { 0o444 };
    fs::set_permissions(place, Permissions::from_mode(mode)).map_err(|e| trouble(place, e))?;
    set_time(place)
}

/// Waits until everything on the file system that holds `folder` has outlasted a power cut.
fn sync(folder: &Path) -> Result<(), BuildError> {
    let opened = fs::File::open(folder).map_err(|e| trouble(folder, e))?;
    rustix::fs::syncfs(&opened).map_err(|e| trouble(folder, e.into()))
}

/// The lock between those who use checkouts and the one who removes some. It goes with the file.
pub(crate) fn lock(base: &Path, how: FlockOperation) -> Result<fs::File, BuildError> {
    let place = base.join(LOCK);
    let file = fs::File::create(&place).map_err(|e| trouble(&place, e))?;
    loop {
        match rustix::fs::flock(&file, how) {
            Err(rustix::io::Errno::INTR) => {}
            done => return done.map(|()| file).map_err(|e| trouble(&place, e.into())),
        }
    }
}

/// Makes the folders and links of a tree; `file` makes the files.
fn fill(
    tree: &Tree<Blob>,
    order: Order,
    folder: &Path,
    file: &mut dyn FnMut(&Blob, bool, &Path) -> Result<(), BuildError>,
) -> Result<(), BuildError> {
    let mut links = Vec::new();
    let mut folders = Vec::new();
    let mut entries: Vec<(&TreePath, &Node<Blob>)> = tree.iter().collect();
    if order == Order::Reversed {
        // A folder still comes before what is in it.
        entries.sort_by_key(|(path, _)| (path.components().count(), Reverse(*path)));
    }
    for (path, Node { metadata, kind }) in entries {
        let place = place(folder, path);
        match kind {
            Kind::Directory => {
                if !path.is_root() {
                    fs::create_dir(&place).map_err(|e| trouble(&place, e))?;
                }
                folders.push(place);
            }
            Kind::File(blob) => file(blob, metadata.mode & 0o111 != 0, &place)?,
            Kind::Symlink(target) => {
                symlink(std::ffi::OsStr::from_bytes(target), &place)
                    .map_err(|e| trouble(&place, e))?;
                set_time(&place)?;
            }
            Kind::HardLink(target) => links.push((self::place(folder, target), place)),
            Kind::CharDevice { .. } | Kind::BlockDevice { .. } | Kind::Fifo | Kind::Socket => {}
        }
    }
    for (target, place) in links {
        fs::hard_link(&target, &place).map_err(|e| trouble(&place, e))?;
    }
    // What is made in a folder changes its time.
    folders.iter().rev().try_for_each(|folder| set_time(folder))
}

fn set_time(place: &Path) -> Result<(), BuildError> {
    let time = Timespec {
        tv_sec: EPOCH,
        tv_nsec: 0,
    };
    let times = Timestamps {
        last_access: time,
        last_modification: time,
    };
    rustix::fs::utimensat(rustix::fs::CWD, place, &times, AtFlags::SYMLINK_NOFOLLOW)
        .map_err(|error| trouble(place, error.into()))
}

fn place(folder: &Path, path: &TreePath) -> PathBuf {
    folder.join(std::ffi::OsStr::from_bytes(path.as_bytes()))
}

fn trouble(path: &Path, error: io::Error) -> BuildError {
    BuildError::Io {
        path: path.to_path_buf(),
        error,
    }
}
