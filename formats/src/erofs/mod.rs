//! EROFS, the read-only file system of service images: a writer and a reader.
//!
//! Specification followed: the kernel's `Documentation/filesystems/erofs.rst` and the on-disk
//! definitions of `fs/erofs/erofs_fs.h`, as Linux 6.12 reads them. The byte tables are in
//! [`format`].
//!
//! What [`write()`] emits, in this order:
//!
//! | Bytes | Content |
//! |---|---|
//! | 0–1023 | zero |
//! | 1024 | superblock (128 bytes), then the algorithm's configuration |
//! | next, 4-byte aligned | shared extended attributes (`xattr_blkaddr` is 0) |
//! | next, 32-byte aligned | inodes, packed into blocks so that no inline tail crosses a border |
//! | block aligned | directory and symbolic link blocks |
//! | block aligned | file data: plain blocks, or physical clusters |
//!
//! Metadata comes first and in one piece, so a cold boot reads it in one go. `meta_blkaddr` is 0:
//! an inode's number (nid) is its byte offset divided by 32.
//!
//! A compressed image keeps small files and the tails of larger ones in the *packed inode*
//! (`fragments`): one stream compressed as a whole, so a 300-byte file costs its share of a
//! cluster and not a block. Equal files share their data. Clusters that do not shrink are plain.
//!
//! Invariant: the bytes are a function of the tree, the contents and the [`Options`] less
//! [`Options::threads`].

mod content;
mod error;
pub mod format;
mod lz4;
mod options;
mod read;
mod write;

pub use content::Content;
pub use error::{ReadError, WriteError};
pub use options::{Compression, Options};
pub use read::{DirEntry, Image, Inode, InodeKind};
pub use write::{Spool, Summary, write};
