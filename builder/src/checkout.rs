//! A stored tree as a folder of real files, for programs that must run from one.

use crate::error::BuildError;
use nos_formats::tree::{Kind, Node, Tree, TreePath};
use nos_store::{Blob, Digest, Store};
use std::fs::{self, Permissions};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

/// Folder below the store's root that holds checked-out trees by digest.
const CHECKOUTS: &str = "checkouts";

/// Makes sure that the tree `digest` stands as a folder below the store and gives its path.
///
/// The folder appears whole or not at all: it is filled under another name and renamed. Files
/// are copies, so nothing done to the folder can reach an object. Owners, devices and extended
/// attributes are left out: they need privilege.
///
/// # Errors
/// [`BuildError::Io`] with the path that could not be written.
pub fn checkout(store: &Store, digest: &Digest) -> Result<PathBuf, BuildError> {
    let base = store.root().join(CHECKOUTS);
    let folder = base.join(digest.to_string());
    if folder.is_dir() {
        return Ok(folder);
    }
    let scratch = base.join(format!("{digest}.{}.part", std::process::id()));
    fs::create_dir_all(&base).map_err(|e| trouble(&base, e))?;
    if scratch.exists() {
        fs::remove_dir_all(&scratch).map_err(|e| trouble(&scratch, e))?;
    }
    let tree = store.read_tree(digest)?;
    // After a power cut a folder with its name must not hold files without their bytes.
    let filled = fill(store, &tree, &scratch).and_then(|()| sync(&base));
    if let Err(error) = filled {
        // What was made so far is of no use to anyone.
        let _ = fs::remove_dir_all(&scratch);
        return Err(error);
    }
    match fs::rename(&scratch, &folder) {
        Ok(()) => Ok(folder),
        // Another process was faster, with the same bytes.
        Err(_) if folder.is_dir() => {
            let _ = fs::remove_dir_all(&scratch);
            Ok(folder)
        }
        Err(error) => Err(trouble(&folder, error)),
    }
}

/// Waits until everything on the file system that holds `folder` has outlasted a power cut.
fn sync(folder: &Path) -> Result<(), BuildError> {
    let opened = fs::File::open(folder).map_err(|e| trouble(folder, e))?;
    rustix::fs::syncfs(&opened).map_err(|e| trouble(folder, e.into()))
}

fn fill(store: &Store, tree: &Tree<Blob>, folder: &Path) -> Result<(), BuildError> {
    let mut links = Vec::new();
    for (path, node) in tree.iter() {
        let place = place(folder, path);
        match &node.kind {
            Kind::Directory => fs::create_dir(&place).map_err(|e| trouble(&place, e))?,
            Kind::File(blob) => file(store, blob, node, &place)?,
            Kind::Symlink(target) => {
                symlink(std::ffi::OsStr::from_bytes(target), &place)
                    .map_err(|e| trouble(&place, e))?;
            }
            Kind::HardLink(target) => links.push((self::place(folder, target), place)),
            Kind::CharDevice { .. } | Kind::BlockDevice { .. } | Kind::Fifo | Kind::Socket => {}
        }
    }
    for (target, place) in links {
        fs::hard_link(&target, &place).map_err(|e| trouble(&place, e))?;
    }
    Ok(())
}

fn file(store: &Store, blob: &Blob, node: &Node<Blob>, place: &Path) -> Result<(), BuildError> {
    fs::copy(store.object_path(&blob.digest), place).map_err(|e| trouble(place, e))?;
    let mode = u32::from(node.metadata.mode) & 0o755 | 0o600;
    fs::set_permissions(place, Permissions::from_mode(mode)).map_err(|e| trouble(place, e))
}

fn place(folder: &Path, path: &TreePath) -> PathBuf {
    folder.join(std::ffi::OsStr::from_bytes(path.as_bytes()))
}

fn trouble(path: &Path, error: std::io::Error) -> BuildError {
    BuildError::Io {
        path: path.to_path_buf(),
        error,
    }
}
