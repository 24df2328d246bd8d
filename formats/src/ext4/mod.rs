//! An empty, journalled ext4 file system, for what services may write.
//!
//! Follows the kernel's `Documentation/filesystems/ext4/` and gives what `mke2fs -t ext4` would,
//! with one set of choices: blocks of 4096 bytes, 64-bit block numbers, extents, flexible groups of
//! 16, checksums on all metadata, an internal journal, room for the descriptor table to grow so
//! that a mounted file system can be enlarged. Metadata errors make it read-only.
//!
//! Little of it is written: bitmaps and inode tables that nobody has used yet are marked so, and
//! the kernel fills them in later. What must be on the medium is
//!
//! ```text
//! block 0             boot sector (zero), superblock at byte 1024
//! 1 …                 group descriptors, then the resize inode's indirect blocks
//! then                block bitmaps, inode bitmaps, inode tables of the first 16 groups
//! then                root directory, lost+found, resize inode's double-indirect block
//! first large gap     journal: its superblock, the rest zero
//! groups 1, 3, 5, 7,  backups of superblock and descriptors
//!   9, 25, 27, …
//! groups 16, 32, …    bitmaps and inode tables of the next 16 groups, each
//! ```
//!
//! Whatever else lies on the medium may stay there: except for [`FileSystem::zeroed`], nothing but
//! what [`FileSystem::write`] gives is ever read.
//!
//! Invariant: the bytes are a function of [`Options`] alone; every time in them is 0.

mod layout;
mod recognise;
mod records;
#[cfg(test)]
mod tests;
mod write;

use layout::Layout;
pub use recognise::{Identity, recognise};

/// Size of a block, in bytes.
pub const BLOCK_SIZE: u64 = 4096;

/// Smallest file system, in bytes: below, half of it would be journal.
pub const MIN_SIZE: u64 = 8 << 20;

/// Largest file system, in bytes.
pub const MAX_SIZE: u64 = 16 << 40;

/// Longest label, in bytes.
pub const MAX_LABEL_SIZE: usize = 16;

/// What distinguishes one file system from another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options<'a> {
    /// Room for it, in bytes; what does not fill a block, or a useful last group, stays unused.
    pub size_bytes: u64,
    /// Its UUID, in text order.
    pub uuid: [u8; 16],
    /// Its label, at most 16 bytes.
    pub label: &'a str,
    /// Seed of the directory hash. Who can choose file names and knows it can make lookups slow.
    pub hash_seed: [u8; 16],
}

/// Why a file system cannot be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Ext4Error {
    /// Too small or too large.
    #[error(
        "an ext4 file system of {size_bytes} bytes is not supported; \
         choose between {MIN_SIZE} (8 MiB) and {MAX_SIZE} (16 TiB)"
    )]
    BadSize {
        /// Size asked for.
        size_bytes: u64,
    },
    /// Too long, or with a NUL in it.
    #[error("{label:?} cannot label a file system; use at most {MAX_LABEL_SIZE} bytes and no NUL")]
    BadLabel {
        /// The label.
        label: String,
    },
}

/// A file system that can be written.
#[derive(Debug, Clone)]
pub struct FileSystem<'a> {
    options: Options<'a>,
    layout: Layout,
}

impl<'a> FileSystem<'a> {
    /// Lays a file system out.
    ///
    /// # Errors
    /// [`Ext4Error`] for a size or label that is not possible.
    pub fn new(options: &Options<'a>) -> Result<Self, Ext4Error> {
        let Options {
            size_bytes, label, ..
        } = *options;
        if label.len() > MAX_LABEL_SIZE || label.contains('\0') {
            return Err(Ext4Error::BadLabel {
                label: label.into(),
            });
        }
        if !(MIN_SIZE..=MAX_SIZE).contains(&size_bytes) {
            return Err(Ext4Error::BadSize { size_bytes });
        }
        Ok(Self {
            options: *options,
            layout: Layout::new(size_bytes / BLOCK_SIZE),
        })
    }

    /// How many bytes from the start it occupies; at most the size asked for.
    pub fn size_bytes(&self) -> u64 {
        self.layout.block_count * BLOCK_SIZE
    }
}
