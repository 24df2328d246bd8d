//! The initramfs: two archives, one behind the other, as the kernel unpacks them.
//!
//! ```text
//! first    uncompressed: the system manifest, so that it can be read without unpacking the rest
//! second   zstd: init and kernel modules
//! ```
//!
//! The compressed part suits the kernel's own decompressor: one frame, no dictionary, a window of
//! at most 8 MiB (it accepts 128 MiB but must find the memory), the content's size and checksum.

use super::{CpioError, Reader, archive};
use crate::tree::{Kind, Metadata, Node, Tree, TreePath};
use std::borrow::Cow;
use std::io::{self, Write as _};

/// Largest zstd window, as a power of two: 8 MiB.
const WINDOW_LOG: u32 = 23;

/// Writes an initramfs: `plain` as the only file (mode 0644) of the uncompressed archive, `tree` as
/// the zstd-compressed one. `read` gives the content of each of the tree's files; `level` is
/// zstd's, 1 to 22.
///
/// # Errors
/// As [`archive`], and [`CpioError::Compress`] for an unusable level.
pub fn write<C>(
    plain: (&TreePath, &[u8]),
    tree: &Tree<C>,
    read: impl for<'a> FnMut(&TreePath, &'a C) -> io::Result<Cow<'a, [u8]>>,
    level: i32,
) -> Result<Vec<u8>, CpioError> {
    let (path, content) = plain;
    let mut first = Tree::new();
    let node = Node {
        metadata: Metadata::with_mode(0o644),
        kind: Kind::File(content),
    };
    first.insert_with_parents(path.clone(), node)?;
    let mut bytes = archive(&first, |_, content| Ok(Cow::Borrowed(*content)))?;
    bytes.extend(compress(&archive(tree, read)?, level)?);
    Ok(bytes)
}

/// Compresses an archive for the kernel; `level` is zstd's, 1 to 22.
///
/// # Errors
/// [`CpioError::Compress`] for an unusable level.
pub fn compress(archive: &[u8], level: i32) -> Result<Vec<u8>, CpioError> {
    let run = || {
        let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), level)?;
        encoder.include_checksum(true)?;
        encoder.include_contentsize(true)?;
        encoder.window_log(WINDOW_LOG)?;
        encoder.set_pledged_src_size(Some(archive.len() as u64))?;
        encoder.write_all(archive)?;
        encoder.finish()
    };
    if !(1..=22).contains(&level) {
        let source = io::Error::new(io::ErrorKind::InvalidInput, format!("level {level}"));
        return Err(CpioError::Compress(source));
    }
    run().map_err(CpioError::Compress)
}

/// Finds a regular file in the first, uncompressed archive of an initramfs.
///
/// Reads the headers of that archive and nothing behind it; allocates nothing.
///
/// # Errors
/// [`CpioError::Damaged`] where the bytes do not begin with an archive.
pub fn find_plain<'a>(initramfs: &'a [u8], path: &str) -> Result<Option<&'a [u8]>, CpioError> {
    let mut reader = Reader::new(initramfs);
    while let Some(entry) = reader.next_entry()? {
        if entry.name == path.as_bytes() && entry.is_file() {
            return Ok(Some(entry.data));
        }
    }
    Ok(None)
}
