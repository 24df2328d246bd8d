//! What a failed build left in its folders, kept to look at.

use crate::error::BuildError;
use nos_sandbox::Scratch;
use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

/// Folder below the store's root; one folder in it for each failed build, the last failure's.
pub(crate) const FAILED: &str = "failed";

/// Copies a scratch; gives where it is.
///
/// # Errors
/// [`BuildError::Io`] with the path that could not be written.
pub(super) fn keep(store: &Path, name: &str, scratch: &Scratch) -> Result<PathBuf, BuildError> {
    let folder = store.join(FAILED).join(name);
    let trouble = |path: &Path| {
        let path = path.to_path_buf();
        move |error| BuildError::Io { path, error }
    };
    match fs::remove_dir_all(&folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(trouble(&folder)(error));
        }
        _ => fs::create_dir_all(&folder).map_err(trouble(&folder))?,
    }
    for name in ["build", "out", "tmp"] {
        let (from, to) = (scratch.path().join(name), folder.join(name));
        copy(&from, &to).map_err(trouble(&to))?;
    }
    Ok(folder)
}

/// Copies folders, files and links; nothing else is worth looking at.
fn copy(from: &Path, to: &Path) -> io::Result<()> {
    // A build may have locked itself out.
    fs::set_permissions(from, Permissions::from_mode(0o755))?;
    fs::create_dir(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let (kind, place) = (entry.file_type()?, to.join(entry.file_name()));
        if kind.is_dir() {
            copy(&entry.path(), &place)?;
        } else if kind.is_symlink() {
            symlink(fs::read_link(entry.path())?, &place)?;
        } else if kind.is_file() {
            let executable = entry.metadata()?.permissions().mode() & 0o111 != 0;
            fs::set_permissions(entry.path(), Permissions::from_mode(0o644))?;
            fs::copy(entry.path(), &place)?;
            let mode = if executable { 0o755 } else { 0o644 };
            fs::set_permissions(&place, Permissions::from_mode(mode))?;
        }
    }
    Ok(())
}
