//! The on-disk structures, in one place. All numbers are little-endian.
//!
//! **Superblock**, at byte 1024
//!
//! | Offset | Size | Field |
//! |---|---|---|
//! | 0 | 4 | magic `0xE0F5E1E2` |
//! | 4 | 4 | CRC-32C (no final inversion) of bytes 1024–4095, this field zero |
//! | 8 | 4 | compatible features |
//! | 12 | 1 | log₂ of the block size: 12 |
//! | 13 | 1 | superblock extension slots of 16 bytes: 0 |
//! | 14 | 2 | nid of the root directory |
//! | 16 | 8 | number of inodes |
//! | 24 | 8 | seconds of every compact inode's time: 0 |
//! | 32 | 4 | nanoseconds of the same: 0 |
//! | 36 | 4 | number of blocks |
//! | 40 | 4 | block from which nids count: 0 |
//! | 44 | 4 | block from which shared attribute ids count: 0 |
//! | 48 | 16 | UUID |
//! | 64 | 16 | label |
//! | 80 | 4 | incompatible features |
//! | 84 | 2 | bit per compression algorithm in use |
//! | 86 | 2 | extra devices: 0 |
//! | 88 | 2 | device table slot: 0 |
//! | 90 | 1 | log₂ of directory block size less that of the block size: 0 |
//! | 91 | 1 | long attribute prefixes: 0 |
//! | 92 | 4 | their start: 0 |
//! | 96 | 8 | nid of the packed inode; 0: none |
//! | 104 | 24 | reserved: 0 |
//!
//! Then, for each algorithm bit in ascending order and 4-byte aligned, a 2-byte length and that
//! many bytes of configuration. LZ4 (14): max distance `u16`, max cluster in blocks `u16`, zeros.
//! Zstandard (6): format 0 `u8`, window log less 10 `u8`, zeros.
//!
//! **Inode**, 32-byte aligned: compact (32 bytes) or extended (64 bytes)
//!
//! | Compact | Extended | Size | Field |
//! |---|---|---|---|
//! | 0 | 0 | 2 | bit 0: extended; bits 1–3: data layout |
//! | 2 | 2 | 2 | attribute area: 0, or 1 + its 4-byte units after the 12-byte header |
//! | 4 | 4 | 2 | mode with file type |
//! | 6 | – | 2 | link count |
//! | 8 | 8 | 4 / 8 | size in bytes |
//! | 12 | – | 4 | reserved |
//! | 16 | 16 | 4 | first block, device number, or number of compressed blocks |
//! | 20 | 20 | 4 | inode number for 32-bit `stat` |
//! | 24 | 24 | 2 / 4 | owner |
//! | 26 | 28 | 2 / 4 | group |
//! | – | 32 | 12 | time in seconds (8) and nanoseconds (4): 0 |
//! | – | 44 | 4 | link count |
//!
//! The attribute area follows: name filter `u32` (unused: 0), number of shared ids `u8`, 7
//! reserved bytes, the ids (`u32`, byte offset / 4), then inline entries. An entry is name length
//! `u8`, prefix index `u8`, value length `u16`, name less prefix, value; padded to 4 bytes.
//!
//! **Directory block**: 12-byte records (nid `u64`, name offset in the block `u16`, type `u8`,
//! zero `u8`), then the names. The first name offset / 12 is the number of records. Names are
//! sorted as bytes over the whole directory, `.` and `..` among them.
//!
//! **Compressed data**: the map header at the next 8-byte border after inode and attributes
//!
//! | Offset | Size | Field |
//! |---|---|---|
//! | 0 | 4 | offset of the tail in the packed inode; or 0 `u16` and inline tail length `u16` |
//! | 4 | 2 | advice bits |
//! | 6 | 1 | algorithm of HEAD1 (bits 0–3), of HEAD2 (bits 4–7) |
//! | 7 | 1 | log₂ of logical cluster less block size: 0; bit 7: all is in the packed inode, at the other 63 bits of the header |
//!
//! then one entry per 4096 bytes of the file, in packs (see [`crate::erofs`]'s `index` module).

/// Block size in bytes; the only one written, and the only one read.
pub const BLOCK_SIZE: usize = 4096;
/// log₂ of [`BLOCK_SIZE`].
pub const BLOCK_BITS: u8 = 12;
/// Byte offset of the superblock.
pub const SUPERBLOCK_OFFSET: usize = 1024;
/// Length of the superblock without extension slots.
pub const SUPERBLOCK_SIZE: usize = 128;
/// First four bytes of the superblock.
pub const MAGIC: u32 = 0xE0F5_E1E2;
/// Alignment of inodes, and the unit of a nid.
pub const SLOT_SIZE: u64 = 32;
/// Length of an attribute area's header.
pub const XATTR_HEADER_SIZE: usize = 12;
/// Length of a directory record.
pub const DIRENT_SIZE: usize = 12;
/// Length of the map header of compressed data.
pub const MAP_HEADER_SIZE: usize = 8;
/// Longest decoded length of one cluster that Linux accepts.
pub const MAX_DECODED_CLUSTER: u64 = 12 << 20;
/// "No block" where a file has none.
pub const NULL_BLOCK: u32 = u32::MAX;

/// Compatible features.
pub mod compat {
    /// The superblock carries a checksum; without it Linux does not look.
    pub const CHECKSUM: u32 = 1;
    /// Inode times are modification times.
    pub const MTIME: u32 = 2;
}

/// Incompatible features: Linux refuses an image with one it does not know.
pub mod incompat {
    /// Compressed clusters end at their last byte; zero bytes fill the front.
    pub const ZERO_PADDING: u32 = 0x01;
    /// Algorithm configurations follow the superblock, and clusters may exceed a block.
    pub const CONFIGURATIONS: u32 = 0x02;
    /// Last clusters inside inodes.
    pub const INLINE_CLUSTER: u32 = 0x10;
    /// A packed inode, or clusters shared between files.
    pub const FRAGMENTS: u32 = 0x20;
    /// Every feature this reader knows.
    pub const KNOWN: u32 = ZERO_PADDING | CONFIGURATIONS | INLINE_CLUSTER | FRAGMENTS;
}

/// Data layouts of an inode (bits 1–3 of its format).
pub mod layout {
    /// Consecutive blocks.
    pub const FLAT_PLAIN: u16 = 0;
    /// Compressed, 8 bytes per logical cluster.
    pub const COMPRESSED_FULL: u16 = 1;
    /// Consecutive blocks, and the last bytes behind the inode.
    pub const FLAT_INLINE: u16 = 2;
    /// Compressed, packed entries.
    pub const COMPRESSED_COMPACT: u16 = 3;
    /// Chunks of blocks.
    pub const CHUNK_BASED: u16 = 4;
}

/// Advice bits of a map header.
pub mod advice {
    /// 2-byte entries are used where 16 of them are aligned.
    pub const COMPACT_2B: u16 = 0x01;
    /// Clusters of HEAD1 may exceed a block. In packed entries both bits must agree.
    pub const BIG_CLUSTER_1: u16 = 0x02;
    /// Clusters of HEAD2 and plain ones may exceed a block.
    pub const BIG_CLUSTER_2: u16 = 0x04;
    /// The last cluster follows the entries.
    pub const INLINE_CLUSTER: u16 = 0x08;
    /// Plain clusters keep each byte at its offset within the block.
    pub const INTERLACED: u16 = 0x10;
    /// The last cluster is in the packed inode.
    pub const FRAGMENT: u16 = 0x20;
}

/// Bit 7 of a map header's last byte: the whole file is in the packed inode.
pub const WHOLE_FRAGMENT: u64 = 1 << 63;

/// Compression algorithms, as in map headers.
pub mod algorithm {
    /// LZ4 block.
    pub const LZ4: u8 = 0;
    /// Zstandard frame.
    pub const ZSTD: u8 = 3;
}

/// Kinds of an entry of a logical cluster.
pub mod cluster {
    /// A physical cluster that is not compressed starts here.
    pub const PLAIN: u8 = 0;
    /// A compressed one starts here.
    pub const HEAD1: u8 = 1;
    /// Continues an earlier one.
    pub const NONHEAD: u8 = 2;
    /// One of the second algorithm starts here.
    pub const HEAD2: u8 = 3;
    /// In the first continuing entry: the other bits count the physical cluster's blocks.
    pub const BLOCK_COUNT: u16 = 1 << 11;
}

/// File type bits of a mode.
pub mod mode {
    /// Mask of the type.
    pub const TYPE: u16 = 0o170_000;
    /// Socket.
    pub const SOCKET: u16 = 0o140_000;
    /// Symbolic link.
    pub const SYMLINK: u16 = 0o120_000;
    /// Regular file.
    pub const FILE: u16 = 0o100_000;
    /// Block device.
    pub const BLOCK: u16 = 0o060_000;
    /// Directory.
    pub const DIRECTORY: u16 = 0o040_000;
    /// Character device.
    pub const CHAR: u16 = 0o020_000;
    /// Named pipe.
    pub const FIFO: u16 = 0o010_000;
}

/// The type byte of a directory record for a mode's type bits; `None` for no known type.
pub fn dirent_type(file_mode: u16) -> Option<u8> {
    Some(match file_mode & mode::TYPE {
        mode::FILE => 1,
        mode::DIRECTORY => 2,
        mode::CHAR => 3,
        mode::BLOCK => 4,
        mode::FIFO => 5,
        mode::SOCKET => 6,
        mode::SYMLINK => 7,
        _ => return None,
    })
}

/// Attribute name prefixes with an index of their own. The two ACL names are whole names.
pub const XATTR_PREFIXES: [(u8, &[u8]); 6] = [
    (1, b"user."),
    (2, b"system.posix_acl_access"),
    (3, b"system.posix_acl_default"),
    (4, b"trusted."),
    (5, b"lustre."),
    (6, b"security."),
];

/// `u16` at `at`; the caller has checked the length. Zero beyond the end.
pub(super) fn u16_at(bytes: &[u8], at: usize) -> u16 {
    bytes
        .get(at..)
        .and_then(|b| b.first_chunk())
        .map_or(0, |b| u16::from_le_bytes(*b))
}

/// As [`u16_at`], for `u32`.
pub(super) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    bytes
        .get(at..)
        .and_then(|b| b.first_chunk())
        .map_or(0, |b| u32::from_le_bytes(*b))
}

/// As [`u16_at`], for `u64`.
pub(super) fn u64_at(bytes: &[u8], at: usize) -> u64 {
    bytes
        .get(at..)
        .and_then(|b| b.first_chunk())
        .map_or(0, |b| u64::from_le_bytes(*b))
}

/// The superblock's fields that vary.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Superblock {
    /// [`compat`] bits.
    pub compatible: u32,
    /// [`incompat`] bits.
    pub incompatible: u32,
    /// nid of the root directory.
    pub root_nid: u16,
    /// Number of inodes.
    pub inodes: u64,
    /// Number of blocks.
    pub blocks: u32,
    /// Block from which nids count.
    pub meta_block: u32,
    /// Block from which shared attribute ids count.
    pub xattr_block: u32,
    /// Volume UUID.
    pub uuid: [u8; 16],
    /// Volume label.
    pub label: [u8; 16],
    /// Bit per algorithm.
    pub algorithms: u16,
    /// nid of the packed inode, or 0.
    pub packed_nid: u64,
}

impl Superblock {
    /// The 128 bytes, checksum zero.
    pub fn to_bytes(&self) -> [u8; SUPERBLOCK_SIZE] {
        let mut b = [0; SUPERBLOCK_SIZE];
        let mut put = |at: usize, bytes: &[u8]| b[at..at + bytes.len()].copy_from_slice(bytes);
        put(0, &MAGIC.to_le_bytes());
        put(8, &self.compatible.to_le_bytes());
        put(12, &[BLOCK_BITS]);
        put(14, &self.root_nid.to_le_bytes());
        put(16, &self.inodes.to_le_bytes());
        put(36, &self.blocks.to_le_bytes());
        put(40, &self.meta_block.to_le_bytes());
        put(44, &self.xattr_block.to_le_bytes());
        put(48, &self.uuid);
        put(64, &self.label);
        put(80, &self.incompatible.to_le_bytes());
        put(84, &self.algorithms.to_le_bytes());
        put(96, &self.packed_nid.to_le_bytes());
        b
    }

    /// Reads the fields from the superblock's bytes (at least [`SUPERBLOCK_SIZE`]).
    pub fn from_bytes(b: &[u8]) -> Self {
        let array = |at: usize| {
            let slice = b.get(at..).and_then(|b| b.first_chunk::<16>());
            slice.copied().unwrap_or_default()
        };
        Self {
            compatible: u32_at(b, 8),
            root_nid: u16_at(b, 14),
            inodes: u64_at(b, 16),
            blocks: u32_at(b, 36),
            meta_block: u32_at(b, 40),
            xattr_block: u32_at(b, 44),
            uuid: array(48),
            label: array(64),
            incompatible: u32_at(b, 80),
            algorithms: u16_at(b, 84),
            packed_nid: u64_at(b, 96),
        }
    }
}

/// The checksum of a first block: of everything from the superblock on, its own field zero.
pub fn checksum(first_block: &[u8]) -> u32 {
    let Some(rest) = first_block.get(SUPERBLOCK_OFFSET..) else {
        return 0;
    };
    let (head, tail) = rest.split_at(rest.len().min(8));
    let mut start = [0; 8];
    start[..head.len().min(4)].copy_from_slice(&head[..head.len().min(4)]);
    !crc32c::crc32c_append(crc32c::crc32c(&start), tail)
}

/// A device number as Linux keeps it in 32 bits; `None` where it has no such form.
pub fn device_number(major: u32, minor: u32) -> Option<u32> {
    (major < 1 << 12 && minor < 1 << 20)
        .then_some((minor & 0xff) | (major << 8) | ((minor & !0xff) << 12))
}

/// Major and minor of a device number.
pub fn device_parts(number: u32) -> (u32, u32) {
    (
        (number >> 8) & 0xfff,
        (number & 0xff) | ((number >> 12) & 0xfff00),
    )
}
