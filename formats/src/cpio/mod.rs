//! cpio archives in the "newc" form, and the initramfs that is made of them.
//!
//! Follows the kernel's `Documentation/driver-api/early-userspace/buffer-format.rst`. One entry is
//!
//! ```text
//! "070701" + 13 fields of 8 hex digits: ino mode uid gid nlink mtime filesize
//!                                       devmajor devminor rdevmajor rdevminor namesize check
//! name, NUL, zeros up to a multiple of 4 from the start of the header
//! data, zeros up to a multiple of 4
//! ```
//!
//! and an entry named `TRAILER!!!` ends an archive. Inode numbers follow the tree's order, times
//! are zero, so an archive is a function of the tree alone.

pub mod initramfs;
mod read;
#[cfg(test)]
mod tests;
mod write;

pub use read::{Entry, Reader};
pub use write::archive;

use crate::tree::TreePath;

/// Size of an entry's header, in bytes.
const HEADER_SIZE: usize = 110;

/// First bytes of each header.
const MAGIC: &[u8; 6] = b"070701";

/// Name of the entry that ends an archive.
const TRAILER: &[u8] = b"TRAILER!!!";

/// Everything in an archive begins at a multiple of this.
const ALIGNMENT: usize = 4;

/// File type bits of the mode field (`S_IFMT` and its values).
mod file_type {
    pub(super) const FIFO: u32 = 0o010_000;
    pub(super) const CHAR_DEVICE: u32 = 0o020_000;
    pub(super) const DIRECTORY: u32 = 0o040_000;
    pub(super) const BLOCK_DEVICE: u32 = 0o060_000;
    pub(super) const FILE: u32 = 0o100_000;
    pub(super) const SYMLINK: u32 = 0o120_000;
    pub(super) const SOCKET: u32 = 0o140_000;
    pub(super) const MASK: u32 = 0o170_000;
}

/// Why an archive could not be written or read.
#[derive(Debug, thiserror::Error)]
pub enum CpioError {
    /// A file's content could not be had.
    #[error("reading {path} for the archive failed: {source}; check that it is still there")]
    Content {
        /// The file.
        path: TreePath,
        /// The cause.
        source: std::io::Error,
    },
    /// A file of 4 GiB or more.
    #[error("{path} has {size} bytes, more than a cpio archive can hold; keep it below 4 GiB")]
    TooLarge {
        /// The file.
        path: TreePath,
        /// Its size in bytes.
        size: u64,
    },
    /// Extended attributes, for which the format has no place.
    #[error("{path} has extended attributes, which a cpio archive cannot hold; remove them")]
    Xattrs {
        /// The node.
        path: TreePath,
    },
    /// A hard link to nothing.
    #[error(transparent)]
    Tree(#[from] crate::tree::TreeError),
    /// Not an archive, or cut short.
    #[error("the cpio archive is damaged at byte {offset}: {what}; write the image again")]
    Damaged {
        /// Byte offset from the start of the archive.
        offset: usize,
        /// What is wrong there.
        what: &'static str,
    },
    /// zstd refused to work.
    #[error("compressing the initramfs failed: {0}; use a compression level from 1 to 22")]
    Compress(#[source] std::io::Error),
}
