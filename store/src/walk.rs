//! Listing a folder of the machine.

use crate::error::{Context, Result, StoreError};
use nos_formats::tree::TreePath;
use std::fs::Metadata as Stat;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};
use walkdir::WalkDir;

/// Something found in a folder: a file, a folder or a symbolic link.
pub(crate) struct Found {
    pub(crate) path: TreePath,
    pub(crate) source: PathBuf,
    pub(crate) stat: Stat,
}

/// Everything in a folder, in canonical order, without the folder itself.
///
/// # Errors
/// [`StoreError::Unsupported`] for what is neither file, folder nor symbolic link.
pub(crate) fn walk(folder: &Path) -> Result<Vec<Found>> {
    let stat = std::fs::metadata(folder).context("examine", folder)?;
    if !stat.is_dir() {
        return Err(unsupported(folder, &stat));
    }
    let mut found = Vec::new();
    // Depth first with sorted names is the canonical order.
    for entry in WalkDir::new(folder).min_depth(1).sort_by_file_name() {
        let entry = match entry {
            Ok(entry) => entry,
            Err(error) => {
                let path = error.path().unwrap_or(folder).to_path_buf();
                return Err(io::Error::from(error)).context("list", &path);
            }
        };
        let source = entry.path().to_path_buf();
        let stat = entry
            .metadata()
            .map_err(io::Error::from)
            .context("examine", &source)?;
        if !stat.is_dir() && !stat.is_file() && !stat.is_symlink() {
            return Err(unsupported(&source, &stat));
        }
        let relative = source.strip_prefix(folder).unwrap_or(&source);
        let path = TreePath::new(relative.as_os_str().as_bytes())?;
        found.push(Found { path, source, stat });
    }
    Ok(found)
}

/// The error for something that cannot be stored as a file.
pub(crate) fn unsupported(path: &Path, stat: &Stat) -> StoreError {
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
