//! What a build left behind becomes a tree.

use crate::error::BuildError;
use nos_formats::tree::{Kind, Metadata, Node, Tree, TreePath};
use nos_store::{Blob, Store};
use std::fs::{self, Permissions};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

/// Stores every file below `folder` and gives the tree. All belongs to root; directories and
/// executable files get mode 0755, other files 0644; links are kept as they are. Nothing runs in
/// the folder any more, so that nothing changes while it is read.
///
/// # Errors
/// [`BuildError::Source`] for pipes, sockets and devices.
pub(super) fn take(store: &Store, folder: &Path) -> Result<Tree<Blob>, BuildError> {
    let mut tree = Tree::new();
    let mut open = vec![TreePath::ROOT];
    while let Some(below) = open.pop() {
        let here = place(folder, &below);
        let trouble = |error| BuildError::Io {
            path: Path::new("/out").join(std::ffi::OsStr::from_bytes(below.as_bytes())),
            error,
        };
        // A build may have locked itself out.
        fs::set_permissions(&here, Permissions::from_mode(0o755)).map_err(trouble)?;
        for entry in fs::read_dir(&here).map_err(trouble)? {
            let entry = entry.map_err(trouble)?;
            let path = below.join(entry.file_name().as_bytes())?;
            let metadata = entry.metadata().map_err(trouble)?;
            let kind = metadata.file_type();
            let (mode, kind) = if kind.is_dir() {
                open.push(path.clone());
                (0o755, Kind::Directory)
            } else if kind.is_symlink() {
                let target = fs::read_link(entry.path()).map_err(trouble)?;
                (0o777, Kind::Symlink(target.into_os_string().into_vec()))
            } else if kind.is_file() {
                let executable = metadata.mode() & 0o111 != 0;
                let readable = Permissions::from_mode(0o644);
                fs::set_permissions(entry.path(), readable).map_err(trouble)?;
                let blob = store.add_file(entry.path())?;
                (if executable { 0o755 } else { 0o644 }, Kind::File(blob))
            } else {
                return Err(BuildError::Source {
                    path: Path::new("/out").join(std::ffi::OsStr::from_bytes(path.as_bytes())),
                    reason: "pipes, sockets and devices cannot be part of a result; remove it in \
                             the build"
                        .into(),
                });
            };
            let metadata = Metadata::with_mode(mode);
            tree.insert(path, Node { metadata, kind })?;
        }
    }
    Ok(tree)
}

fn place(folder: &Path, path: &TreePath) -> std::path::PathBuf {
    folder.join(std::ffi::OsStr::from_bytes(path.as_bytes()))
}
