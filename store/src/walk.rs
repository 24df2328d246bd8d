//! Listing a folder of the machine.

use crate::error::{Context, Result, StoreError};
use nos_formats::tree::TreePath;
use std::fs::Metadata as Stat;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

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
    // Reversed, so that what comes first is popped first: depth first is the canonical order.
    let mut ahead = list(&TreePath::ROOT, folder)?;
    while let Some(item) = ahead.pop() {
        if item.stat.is_dir() {
            ahead.extend(list(&item.path, &item.source)?);
        } else if !item.stat.is_file() && !item.stat.is_symlink() {
            return Err(unsupported(&item.source, &item.stat));
        }
        found.push(item);
    }
    Ok(found)
}

/// What is in one folder, in descending order of names.
fn list(path: &TreePath, source: &Path) -> Result<Vec<Found>> {
    let mut items = Vec::new();
    for entry in std::fs::read_dir(source).context("list", source)? {
        let entry = entry.context("list", source)?;
        let source = entry.path();
        let stat = entry.metadata().context("examine", &source)?;
        let path = path.join(entry.file_name().as_bytes())?;
        items.push(Found { path, source, stat });
    }
    items.sort_unstable_by(|a, b| b.path.name().cmp(a.path.name()));
    Ok(items)
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
