//! Inodes.

use super::{Image, corrupt, unsupported};
use crate::erofs::error::ReadError;
use crate::erofs::format::{
    BLOCK_SIZE, SLOT_SIZE, XATTR_HEADER_SIZE, device_parts, layout, mode, u16_at, u32_at, u64_at,
};
use crate::read_at::Extent;

/// What an inode is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InodeKind {
    /// A directory.
    Directory,
    /// A regular file.
    File,
    /// A symbolic link.
    Symlink,
    /// A character device: major and minor number.
    CharDevice(u32, u32),
    /// A block device: major and minor number.
    BlockDevice(u32, u32),
    /// A named pipe.
    Fifo,
    /// A socket.
    Socket,
}

/// An inode, as read from the image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inode {
    nid: u64,
    offset: u64,
    kind: InodeKind,
    permissions: u16,
    uid: u32,
    gid: u32,
    links: u32,
    size: u64,
    layout: u16,
    value: u32,
    /// Length of the inode itself.
    own_len: u64,
    /// Length of the attribute area.
    xattr_len: u64,
}

impl Inode {
    /// Number of the inode in the image.
    pub fn nid(&self) -> u64 {
        self.nid
    }

    /// What it is.
    pub fn kind(&self) -> InodeKind {
        self.kind
    }

    /// Permission bits (`0o7777` at most).
    pub fn permissions(&self) -> u16 {
        self.permissions
    }

    /// Owner.
    pub fn uid(&self) -> u32 {
        self.uid
    }

    /// Group.
    pub fn gid(&self) -> u32 {
        self.gid
    }

    /// Link count.
    pub fn links(&self) -> u32 {
        self.links
    }

    /// Size in bytes.
    pub fn size_bytes(&self) -> u64 {
        self.size
    }

    /// Whether its data is compressed or in the packed inode.
    pub fn is_compressed(&self) -> bool {
        matches!(
            self.layout,
            layout::COMPRESSED_FULL | layout::COMPRESSED_COMPACT
        )
    }

    /// Byte offset in the image.
    pub(super) fn offset(&self) -> u64 {
        self.offset
    }

    pub(super) fn layout(&self) -> u16 {
        self.layout
    }

    /// First block of flat data.
    pub(super) fn first_block(&self) -> u32 {
        self.value
    }

    /// Where the attribute area begins, and its length.
    pub(super) fn xattr_area(&self) -> (u64, u64) {
        (self.offset + self.own_len, self.xattr_len)
    }

    /// Where inode and attributes end.
    pub(super) fn end(&self) -> u64 {
        self.offset + self.own_len + self.xattr_len
    }
}

impl<R: Extent> Image<R> {
    /// Reads an inode by its number.
    ///
    /// # Errors
    /// [`ReadError`] where there is none, or none that this reader knows.
    pub fn inode(&self, nid: u64) -> Result<Inode, ReadError> {
        let base = u64::from(self.superblock.meta_block) * BLOCK_SIZE as u64;
        let offset = nid
            .checked_mul(SLOT_SIZE)
            .and_then(|at| at.checked_add(base))
            .filter(|at| *at < self.size);
        let Some(offset) = offset else {
            return corrupt(base, "an inode number lies behind the end of the image");
        };
        let mut bytes = self.bytes(offset, 32)?;
        let format = u16_at(&bytes, 0);
        let extended = format & 1 != 0;
        if format >> 4 != 0 {
            return unsupported(offset, "an inode format newer than Linux 6.12");
        }
        let own_len = if extended { 64 } else { 32 };
        if extended {
            bytes = self.bytes(offset, 64)?;
        }
        let count = u64::from(u16_at(&bytes, 2));
        let xattr_len = match count {
            0 => 0,
            _ => XATTR_HEADER_SIZE as u64 + 4 * (count - 1),
        };
        let file_mode = u16_at(&bytes, 4);
        let value = u32_at(&bytes, 16);
        let (major, minor) = device_parts(value);
        let kind = match file_mode & mode::TYPE {
            mode::DIRECTORY => InodeKind::Directory,
            mode::FILE => InodeKind::File,
            mode::SYMLINK => InodeKind::Symlink,
            mode::CHAR => InodeKind::CharDevice(major, minor),
            mode::BLOCK => InodeKind::BlockDevice(major, minor),
            mode::FIFO => InodeKind::Fifo,
            mode::SOCKET => InodeKind::Socket,
            _ => return corrupt(offset + 4, "a mode with no file type"),
        };
        let short = |at| u32::from(u16_at(&bytes, at));
        let (links, size, uid, gid) = if extended {
            (
                u32_at(&bytes, 44),
                u64_at(&bytes, 8),
                u32_at(&bytes, 24),
                u32_at(&bytes, 28),
            )
        } else {
            (short(6), u64::from(u32_at(&bytes, 8)), short(24), short(26))
        };
        Ok(Inode {
            nid,
            offset,
            kind,
            permissions: file_mode & 0o7777,
            uid,
            gid,
            links,
            size,
            layout: format >> 1 & 7,
            value,
            own_len,
            xattr_len,
        })
    }
}
