//! The reader: for `verify`, `diff` and `tree`, and for tests.
//!
//! It takes hostile images: every length is checked before memory is set aside, nothing is
//! followed twice on the way through a tree, and what is wrong is an error that names the byte.

mod cluster;
mod directory;
mod file;
mod inode;
mod walk;
mod xattr;

use std::sync::{Mutex, OnceLock};

pub use self::directory::DirEntry;
pub use self::inode::{Inode, InodeKind};

use self::cluster::Cluster;
use super::error::ReadError;
use super::format::{
    BLOCK_BITS, BLOCK_SIZE, MAGIC, SUPERBLOCK_OFFSET, Superblock, checksum, compat, incompat,
    u32_at,
};
use crate::read_at::Extent;
use crate::tree::TreePath;

/// An EROFS image.
pub struct Image<R> {
    source: R,
    size: u64,
    superblock: Superblock,
    /// The packed inode and its clusters, read when the first fragment is.
    packed: OnceLock<(Inode, Vec<Cluster>)>,
    /// The cluster of the packed inode that was decoded last: small files follow each other.
    decoded: Mutex<Option<(u64, Vec<u8>)>>,
}

impl<R: Extent> Image<R> {
    /// Reads and checks the superblock. The source may be longer than the image.
    ///
    /// # Errors
    /// [`ReadError::NotErofs`], [`ReadError::Unsupported`] for features this reader does not
    /// know, [`ReadError::Corrupt`] for a wrong checksum or an image that is cut short.
    pub fn open(source: R) -> Result<Self, ReadError> {
        let size = source.size_bytes();
        let at = SUPERBLOCK_OFFSET as u64;
        let mut first = vec![0; BLOCK_SIZE.min(usize::try_from(size).unwrap_or(BLOCK_SIZE))];
        source
            .read_at(0, &mut first)
            .map_err(|source| ReadError::Source { offset: 0, source })?;
        if u32_at(&first, SUPERBLOCK_OFFSET) != MAGIC {
            return Err(ReadError::NotErofs);
        }
        if first.len() < BLOCK_SIZE {
            return corrupt(at, "the image is shorter than one block");
        }
        let bytes = &first[SUPERBLOCK_OFFSET..];
        let superblock = Superblock::from_bytes(bytes);
        if bytes[12] != BLOCK_BITS || bytes[90] != 0 {
            return unsupported(at + 12, "a block size other than 4096");
        }
        if superblock.incompatible & !incompat::KNOWN != 0 {
            return unsupported(at + 80, "a feature newer than fragments");
        }
        if superblock.compatible & compat::CHECKSUM != 0 && checksum(&first) != u32_at(bytes, 4) {
            return corrupt(at + 4, "the superblock's checksum is wrong");
        }
        let end = u64::from(superblock.blocks) * BLOCK_SIZE as u64;
        if end > size {
            return corrupt(at + 36, "the image is cut short");
        }
        Ok(Self {
            source,
            size: end,
            superblock,
            packed: OnceLock::new(),
            decoded: Mutex::new(None),
        })
    }

    /// The superblock's fields.
    pub fn superblock(&self) -> &Superblock {
        &self.superblock
    }

    /// Length of the image in bytes.
    pub fn size_bytes(&self) -> u64 {
        self.size
    }

    /// The root directory.
    ///
    /// # Errors
    /// [`ReadError`] where it is damaged or no directory.
    pub fn root(&self) -> Result<Inode, ReadError> {
        let root = self.inode(u64::from(self.superblock.root_nid))?;
        if root.kind() != InodeKind::Directory {
            return corrupt(root.offset(), "the root is not a directory");
        }
        Ok(root)
    }

    /// The inode at a path; symbolic links are not followed.
    ///
    /// # Errors
    /// [`ReadError::NotFound`], or what is wrong with the image.
    pub fn lookup(&self, path: &TreePath) -> Result<Inode, ReadError> {
        let missing = || ReadError::NotFound { path: path.clone() };
        let mut at = self.root()?;
        for name in path.components() {
            if at.kind() != InodeKind::Directory {
                return Err(missing());
            }
            let entries = self.read_dir(&at)?;
            let entry = entries.into_iter().find(|entry| entry.name == name);
            at = self.inode(entry.ok_or_else(missing)?.nid)?;
        }
        Ok(at)
    }

    /// Bytes of the image; a range that leaves it is damage.
    fn bytes(&self, offset: u64, len: usize) -> Result<Vec<u8>, ReadError> {
        match offset.checked_add(len as u64) {
            Some(end) if end <= self.size => {}
            _ => return corrupt(offset, "something lies behind the end of the image"),
        }
        let mut buffer = vec![0; len];
        self.source
            .read_at(offset, &mut buffer)
            .map_err(|source| ReadError::Source { offset, source })?;
        Ok(buffer)
    }
}

fn corrupt<T>(offset: u64, what: &'static str) -> Result<T, ReadError> {
    Err(ReadError::Corrupt { offset, what })
}

fn unsupported<T>(offset: u64, what: &'static str) -> Result<T, ReadError> {
    Err(ReadError::Unsupported { offset, what })
}
