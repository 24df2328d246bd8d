//! Directories.

use super::{Image, Inode, InodeKind, corrupt};
use crate::erofs::error::ReadError;
use crate::erofs::format::{BLOCK_SIZE, DIRENT_SIZE, u16_at, u64_at};
use crate::read_at::Extent;
use crate::tree::MAX_NAME_BYTES;

/// A name in a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DirEntry {
    /// The name: not empty, no `/`, no NUL; may be `.` or `..`.
    pub name: Vec<u8>,
    /// Number of its inode.
    pub nid: u64,
    /// The type byte (see [`dirent_type`](crate::erofs::format::dirent_type)).
    pub file_type: u8,
}

impl<R: Extent> Image<R> {
    /// All names of a directory in their order, `.` and `..` among them.
    ///
    /// # Errors
    /// [`ReadError::Corrupt`] for names that are empty, too long, out of order or outside their
    /// block, and for an inode that is no directory.
    pub fn read_dir(&self, directory: &Inode) -> Result<Vec<DirEntry>, ReadError> {
        if directory.kind() != InodeKind::Directory {
            return corrupt(directory.offset(), "it is used as a directory and is none");
        }
        let mut entries = Vec::new();
        self.flat_blocks(directory, |offset, block| {
            parse_block(offset, block, &mut entries)
        })?;
        Ok(entries)
    }
}

fn parse_block(offset: u64, block: &[u8], entries: &mut Vec<DirEntry>) -> Result<(), ReadError> {
    let names_at = usize::from(u16_at(block, 8));
    if names_at < DIRENT_SIZE
        || !names_at.is_multiple_of(DIRENT_SIZE)
        || names_at > block.len()
        || block.len() > BLOCK_SIZE
    {
        return corrupt(offset + 8, "a directory's first name has no valid offset");
    }
    let count = names_at / DIRENT_SIZE;
    for number in 0..count {
        let at = number * DIRENT_SIZE;
        let place = offset + at as u64;
        let start = usize::from(u16_at(block, at + 8));
        let end = match number + 1 < count {
            true => usize::from(u16_at(block, at + DIRENT_SIZE + 8)),
            false => block.len(),
        };
        let Some(mut name) = block.get(start..end).filter(|_| start >= names_at) else {
            return corrupt(place, "a name lies outside its directory block");
        };
        if number + 1 == count {
            // Only the last name may be followed by padding.
            let len = name.iter().position(|&b| b == 0).unwrap_or(name.len());
            name = &name[..len];
        }
        if name.is_empty() || name.len() > MAX_NAME_BYTES || name.iter().any(|b| b"/\0".contains(b))
        {
            return corrupt(
                place,
                "a name is empty, too long, or has a '/' or NUL in it",
            );
        }
        if entries
            .last()
            .is_some_and(|last| last.name.as_slice() >= name)
        {
            return corrupt(place, "names of a directory are not in order");
        }
        entries.push(DirEntry {
            name: name.to_vec(),
            nid: u64_at(block, at),
            file_type: block[at + 10],
        });
    }
    Ok(())
}
