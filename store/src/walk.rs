//! Listing a folder of the machine.

use crate::error::{Context, Result, StoreError};
use nos_formats::tree::TreePath;
use std::fs::{File, Metadata as Stat};
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};
use walkdir::{DirEntry, WalkDir};

/// Something found in a folder: a file, a folder or a symbolic link.
pub(crate) struct Found {
    pub(crate) path: TreePath,
    pub(crate) source: PathBuf,
    pub(crate) stat: Stat,
}

/// File by which a folder says that it is a cache, and how it begins.
const CACHE_TAG: &str = "CACHEDIR.TAG";
const CACHE_SIGNATURE: &[u8] = b"Signature: 8a477f597d28d172789f06886806bc55";

/// Whether tools keep something of their own there, beside sources.
fn is_kept_by_tools(entry: &DirEntry) -> bool {
    if entry.file_name() == ".git" {
        return true;
    }
    let mut head = [0; CACHE_SIGNATURE.len()];
    entry.file_type().is_dir()
        && File::open(entry.path().join(CACHE_TAG))
            .and_then(|mut tag| tag.read_exact(&mut head))
            .is_ok_and(|()| head == CACHE_SIGNATURE)
}

/// Everything in a folder, in canonical order, without the folder itself; where `only_sources`,
/// without caches and repositories in it.
///
/// # Errors
/// [`StoreError::Unsupported`] for what is neither file, folder nor symbolic link.
pub(crate) fn walk(folder: &Path, only_sources: bool) -> Result<Vec<Found>> {
    let stat = std::fs::metadata(folder).context("examine", folder)?;
    if !stat.is_dir() {
        return Err(unsupported(folder, &stat));
    }
    let mut found = Vec::new();
    // Depth first with sorted names is the canonical order.
    let entries = WalkDir::new(folder).min_depth(1).sort_by_file_name();
    let entries = entries.into_iter();
    for entry in entries.filter_entry(|entry| !only_sources || !is_kept_by_tools(entry)) {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn caches_and_repositories_are_no_sources() {
        let folder = tempfile::tempdir().unwrap();
        let write = |path: &str, bytes: &[u8]| {
            let path = folder.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, bytes).unwrap();
        };
        write("src/main.rs", b"");
        write("target/debug/app", b"");
        write("target/CACHEDIR.TAG", CACHE_SIGNATURE);
        write("tagged/CACHEDIR.TAG", b"no signature");
        write(".git/HEAD", b"");
        let names = |only_sources| -> Vec<String> {
            let found = walk(folder.path(), only_sources).unwrap();
            let files = found.iter().filter(|item| item.stat.is_file());
            files.map(|item| item.path.to_string()).collect()
        };
        assert_eq!(names(true), ["/src/main.rs", "/tagged/CACHEDIR.TAG"]);
        assert_eq!(names(false).len(), 5);
    }
}
