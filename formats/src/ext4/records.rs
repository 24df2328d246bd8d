//! Records on the medium, each with its checksum. Integers are little-endian, the journal's
//! big-endian; offsets are those of the kernel's documentation.

use super::layout::{
    ADDRESSES_PER_BLOCK, BLOCKS_PER_GROUP, LOG_GROUPS_PER_FLEX, LOST_FOUND_BLOCKS, Layout,
};
use super::{BLOCK_SIZE, Options};

pub(super) const BLOCK: usize = BLOCK_SIZE as usize;
pub(super) const SUPERBLOCK_SIZE: usize = 1024;
pub(super) const DESCRIPTOR_SIZE: usize = 64;
pub(super) const INODE_SIZE: usize = 256;

/// Inodes below this are the file system's own; it is also lost+found's.
pub(super) const FIRST_INODE: u32 = 11;
pub(super) const ROOT_INODE: u32 = 2;
pub(super) const RESIZE_INODE: u32 = 7;
pub(super) const JOURNAL_INODE: u32 = 8;

/// Reserved for root, so that a full disk can still be looked after: one block in this many.
const RESERVED_BLOCKS_SHARE: u64 = 100;

mod compat {
    pub(super) const HAS_JOURNAL: u32 = 0x4;
    pub(super) const EXT_ATTR: u32 = 0x8;
    pub(super) const RESIZE_INODE: u32 = 0x10;
    pub(super) const DIR_INDEX: u32 = 0x20;
}

mod incompat {
    pub(super) const FILETYPE: u32 = 0x2;
    pub(super) const EXTENTS: u32 = 0x40;
    pub(super) const BITS_64: u32 = 0x80;
    pub(super) const FLEX_BG: u32 = 0x200;
}

mod ro_compat {
    pub(super) const SPARSE_SUPER: u32 = 0x1;
    pub(super) const LARGE_FILE: u32 = 0x2;
    pub(super) const HUGE_FILE: u32 = 0x8;
    pub(super) const DIR_NLINK: u32 = 0x20;
    pub(super) const EXTRA_ISIZE: u32 = 0x40;
    pub(super) const METADATA_CSUM: u32 = 0x400;
}

/// Flags of a group: what in it has never been written.
const INODE_UNINIT: u16 = 1;
const BLOCK_UNINIT: u16 = 2;

/// ext4's CRC-32C: without the usual inversion before and after.
pub(super) fn checksum(seed: u32, bytes: &[u8]) -> u32 {
    !crc32c::crc32c_append(!seed, bytes)
}

/// A record being filled in.
struct Record<'a>(&'a mut [u8]);

impl Record<'_> {
    fn bytes(&mut self, at: usize, bytes: &[u8]) {
        self.0[at..at + bytes.len()].copy_from_slice(bytes);
    }

    fn u16(&mut self, at: usize, value: u16) {
        self.bytes(at, &value.to_le_bytes());
    }

    fn u32(&mut self, at: usize, value: u32) {
        self.bytes(at, &value.to_le_bytes());
    }

    /// The two halves of a number that grew later.
    fn split(&mut self, low_at: usize, high_at: usize, value: u64) {
        self.u32(low_at, value as u32);
        self.u32(high_at, (value >> 32) as u32);
    }
}

/// The superblock as it lies in group `group`; `free_blocks` of the whole file system.
pub(super) fn superblock(
    options: &Options<'_>,
    layout: &Layout,
    free_blocks: u64,
    group: u32,
) -> [u8; SUPERBLOCK_SIZE] {
    let mut bytes = [0; SUPERBLOCK_SIZE];
    let mut r = Record(&mut bytes);
    r.u32(0x00, layout.inode_count());
    r.split(0x04, 0x150, layout.block_count);
    r.split(0x08, 0x154, layout.block_count / RESERVED_BLOCKS_SHARE);
    r.split(0x0c, 0x158, free_blocks);
    r.u32(0x10, layout.inode_count() - FIRST_INODE);
    r.u32(0x18, 2); // block size: 1024 << 2
    r.u32(0x1c, 2); // cluster size
    r.u32(0x20, BLOCKS_PER_GROUP as u32);
    r.u32(0x24, BLOCKS_PER_GROUP as u32);
    r.u32(0x28, layout.inodes_per_group);
    r.u16(0x36, u16::MAX); // no check after so many mounts
    r.u16(0x38, 0xef53);
    r.u16(0x3a, 1); // clean
    r.u16(0x3c, 2); // on errors: read-only
    r.u32(0x4c, 1); // revision with variable inode size
    r.u32(0x54, FIRST_INODE);
    r.u16(0x58, INODE_SIZE as u16);
    r.u16(0x5a, group as u16);
    let resize = match layout.resize_map {
        Some(_) => compat::RESIZE_INODE,
        None => 0,
    };
    r.u32(
        0x5c,
        compat::HAS_JOURNAL | compat::EXT_ATTR | compat::DIR_INDEX | resize,
    );
    r.u32(
        0x60,
        incompat::FILETYPE | incompat::EXTENTS | incompat::BITS_64 | incompat::FLEX_BG,
    );
    r.u32(
        0x64,
        ro_compat::SPARSE_SUPER
            | ro_compat::LARGE_FILE
            | ro_compat::HUGE_FILE
            | ro_compat::DIR_NLINK
            | ro_compat::EXTRA_ISIZE
            | ro_compat::METADATA_CSUM,
    );
    r.bytes(0x68, &options.uuid);
    r.bytes(0x78, options.label.as_bytes());
    r.u16(0xce, layout.reserved_blocks as u16);
    r.u32(0xe0, JOURNAL_INODE);
    r.bytes(0xec, &options.hash_seed);
    r.0[0xfc] = 1; // directory hash: half MD4
    r.0[0xfd] = 1; // the journal's place is noted below
    r.u16(0xfe, DESCRIPTOR_SIZE as u16);
    r.u32(0x100, 0x4 | 0x8); // mount with user attributes and ACLs
    let journal_size = (layout.journal.end - layout.journal.start) * BLOCK_SIZE;
    r.bytes(0x10c, &extent_map(&layout.journal));
    r.split(0x10c + 64, 0x10c + 60, journal_size);
    r.u16(0x15c, 32); // extra inode fields: needed, and wished for
    r.u16(0x15e, 32);
    r.u32(0x160, 1); // directory hash over signed characters, as on x86
    r.0[0x174] = LOG_GROUPS_PER_FLEX as u8;
    r.0[0x175] = 1; // CRC-32C
    let sum = checksum(!0, &bytes[..0x3fc]);
    Record(&mut bytes).u32(0x3fc, sum);
    bytes
}

/// A group's descriptor.
pub(super) fn descriptor(layout: &Layout, seed: u32, group: u32) -> [u8; DESCRIPTOR_SIZE] {
    let mut bytes = [0; DESCRIPTOR_SIZE];
    let mut r = Record(&mut bytes);
    let mut flags = 0;
    r.split(0x00, 0x20, layout.block_bitmap(group));
    r.split(0x04, 0x24, layout.inode_bitmap(group));
    r.split(0x08, 0x28, layout.inode_table(group));
    r.u16(0x0c, layout.free_blocks(group) as u16);
    let mut free_inodes = layout.inodes_per_group;
    if group == 0 {
        free_inodes -= FIRST_INODE;
        r.u16(0x10, 2); // directories
        let covered = layout.inodes_per_group as usize / 8;
        let sum = checksum(seed, &inode_bitmap(layout)[..covered]);
        r.u16(0x1a, sum as u16);
        r.u16(0x3a, (sum >> 16) as u16);
    } else {
        flags |= INODE_UNINIT;
    }
    if layout.is_block_bitmap_implied(group) {
        flags |= BLOCK_UNINIT;
    } else {
        let sum = checksum(seed, &block_bitmap(layout, group));
        r.u16(0x18, sum as u16);
        r.u16(0x38, (sum >> 16) as u16);
    }
    r.u16(0x0e, free_inodes as u16);
    r.u16(0x12, flags);
    r.u16(0x1c, free_inodes as u16); // at the end of the table, never used
    let sum = checksum(checksum(seed, &group.to_le_bytes()), &bytes);
    Record(&mut bytes).u16(0x1e, sum as u16);
    bytes
}

/// A group's block bitmap; what lies beyond the end of the file system counts as used.
pub(super) fn block_bitmap(layout: &Layout, group: u32) -> [u8; BLOCK] {
    let mut bitmap = [0; BLOCK];
    for range in layout.used(group) {
        set_bits(&mut bitmap, range.start as usize..range.end as usize);
    }
    set_bits(&mut bitmap, layout.group_blocks(group) as usize..BLOCK * 8);
    bitmap
}

/// The first group's inode bitmap.
pub(super) fn inode_bitmap(layout: &Layout) -> [u8; BLOCK] {
    let mut bitmap = [0; BLOCK];
    set_bits(&mut bitmap, 0..FIRST_INODE as usize);
    set_bits(&mut bitmap, layout.inodes_per_group as usize..BLOCK * 8);
    bitmap
}

fn set_bits(bitmap: &mut [u8], range: std::ops::Range<usize>) {
    for bit in range {
        bitmap[bit / 8] |= 1 << (bit % 8);
    }
}

/// An inode's 60-byte block map: one extent over `blocks`.
fn extent_map(blocks: &std::ops::Range<u64>) -> [u8; 60] {
    let mut map = [0; 60];
    let mut r = Record(&mut map);
    r.u16(0, 0xf30a);
    r.u16(2, 1); // one of
    r.u16(4, 4); // four entries, depth 0
    r.u16(16, (blocks.end - blocks.start) as u16);
    r.u16(18, (blocks.start >> 32) as u16);
    r.u32(20, blocks.start as u32);
    map
}

/// What our few inodes differ in.
struct Inode {
    mode: u16,
    links: u16,
    size: u64,
    blocks: u64,
    has_extents: bool,
    map: [u8; 60],
}

impl Inode {
    fn encode(&self, seed: u32, number: u32) -> [u8; INODE_SIZE] {
        let mut bytes = [0; INODE_SIZE];
        let mut r = Record(&mut bytes);
        r.u16(0x00, self.mode);
        r.split(0x04, 0x6c, self.size);
        r.u16(0x1a, self.links);
        r.u32(0x1c, (self.blocks * BLOCK_SIZE / 512) as u32);
        r.u32(0x20, if self.has_extents { 0x8_0000 } else { 0 });
        r.bytes(0x28, &self.map);
        r.u16(0x80, 32);
        let sum = checksum(inode_seed(seed, number), &bytes);
        let mut r = Record(&mut bytes);
        r.u16(0x7c, sum as u16);
        r.u16(0x82, (sum >> 16) as u16);
        bytes
    }
}

/// Seed of the checksums of an inode (of generation 0) and its directory blocks.
fn inode_seed(seed: u32, number: u32) -> u32 {
    checksum(checksum(seed, &number.to_le_bytes()), &[0; 4])
}

/// The first block of the first group's inode table: all inodes that are in use.
pub(super) fn inode_table(layout: &Layout, seed: u32) -> [u8; BLOCK] {
    let extent = |mode, links, range: std::ops::Range<u64>| Inode {
        mode,
        links,
        size: (range.end - range.start) * BLOCK_SIZE,
        blocks: range.end - range.start,
        has_extents: true,
        map: extent_map(&range),
    };
    let lost_found = layout.lost_found..layout.lost_found + LOST_FOUND_BLOCKS;
    let mut inodes = vec![
        (
            ROOT_INODE,
            extent(0o040_755, 3, layout.root..layout.root + 1),
        ),
        (FIRST_INODE, extent(0o040_700, 2, lost_found)),
        (JOURNAL_INODE, extent(0o100_600, 1, layout.journal.clone())),
    ];
    if let Some(map_block) = layout.resize_map {
        let mut map = [0; 60];
        Record(&mut map).u32(13 * 4, map_block as u32);
        let addresses = u64::from(ADDRESSES_PER_BLOCK);
        let copies = 1 + layout.backup_groups().count() as u64;
        let resize = Inode {
            mode: 0o100_600,
            links: 1,
            size: (12 + addresses + addresses * addresses) * BLOCK_SIZE,
            blocks: 1 + u64::from(layout.reserved_blocks) * copies,
            has_extents: false,
            map,
        };
        inodes.push((RESIZE_INODE, resize));
    }
    let mut table = [0; BLOCK];
    for (number, inode) in inodes {
        let at = (number as usize - 1) * INODE_SIZE;
        table[at..at + INODE_SIZE].copy_from_slice(&inode.encode(seed, number));
    }
    table
}

/// The resize inode's double-indirect block: where each reserved descriptor block is.
pub(super) fn resize_map(layout: &Layout) -> [u8; BLOCK] {
    let mut block = [0; BLOCK];
    for i in 0..layout.reserved_blocks {
        let index = layout.descriptor_blocks + i;
        let slot = (index % ADDRESSES_PER_BLOCK) as usize;
        Record(&mut block).u32(slot * 4, 1 + index);
    }
    block
}

/// Reserved descriptor block `i`: until it is needed, the list of its copies.
pub(super) fn reserved_descriptor_block(layout: &Layout, i: u32) -> [u8; BLOCK] {
    let mut block = [0; BLOCK];
    let own = 1 + layout.descriptor_blocks + i;
    for (slot, group) in layout.backup_groups().enumerate() {
        let copy = layout.group_start(group) + u64::from(own);
        Record(&mut block).u32(slot * 4, copy as u32);
    }
    block
}

/// The root directory's block.
pub(super) fn root_directory(seed: u32) -> [u8; BLOCK] {
    let entries: [(u32, &[u8]); 3] = [
        (ROOT_INODE, b"."),
        (ROOT_INODE, b".."),
        (FIRST_INODE, b"lost+found"),
    ];
    directory_block(seed, ROOT_INODE, &entries)
}

/// The blocks of lost+found.
pub(super) fn lost_found(seed: u32) -> Vec<u8> {
    let entries: [(u32, &[u8]); 2] = [(FIRST_INODE, b"."), (ROOT_INODE, b"..")];
    let mut blocks = directory_block(seed, FIRST_INODE, &entries).to_vec();
    for _ in 1..LOST_FOUND_BLOCKS {
        blocks.extend_from_slice(&directory_block(seed, FIRST_INODE, &[]));
    }
    blocks
}

/// A directory block of the given sub-directories, with its checksum at the end.
fn directory_block(seed: u32, directory: u32, entries: &[(u32, &[u8])]) -> [u8; BLOCK] {
    const DIRECTORY: u8 = 2;
    const TAIL: usize = 12;
    let mut block = [0; BLOCK];
    let mut r = Record(&mut block);
    let mut at = 0;
    for (i, (inode, name)) in entries.iter().enumerate() {
        let size = if i + 1 == entries.len() {
            BLOCK - TAIL - at
        } else {
            (8 + name.len()).next_multiple_of(4)
        };
        r.u32(at, *inode);
        r.u16(at + 4, size as u16);
        r.bytes(at + 6, &[name.len() as u8, DIRECTORY]);
        r.bytes(at + 8, name);
        at += size;
    }
    if entries.is_empty() {
        r.u16(4, (BLOCK - TAIL) as u16);
    }
    // A fake entry that old readers pass over.
    r.u16(BLOCK - TAIL + 4, TAIL as u16);
    r.bytes(BLOCK - TAIL + 7, &[0xde]);
    let sum = checksum(inode_seed(seed, directory), &block[..BLOCK - TAIL]);
    Record(&mut block).u32(BLOCK - 4, sum);
    block
}

/// The journal's first block. The kernel turns the journal's own checksums on when it mounts.
pub(super) fn journal_superblock(layout: &Layout) -> [u8; BLOCK] {
    let mut block = [0; BLOCK];
    let blocks = (layout.journal.end - layout.journal.start) as u32;
    for (at, value) in [
        (0x00, 0xc03b_3998),
        (0x04, 4), // superblock, second version
        (0x0c, BLOCK as u32),
        (0x10, blocks),
        (0x14, 1), // first block of the log
        (0x18, 1), // first transaction expected
        (0x1c, 0), // nothing to replay
        (0x40, 1), // one user
    ] {
        block[at..at + 4].copy_from_slice(&u32::to_be_bytes(value));
    }
    block
}
