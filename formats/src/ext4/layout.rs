//! Where everything is.

use std::ops::Range;

/// Blocks in a group: what one bitmap block can tell of.
pub(super) const BLOCKS_PER_GROUP: u64 = 32768;
/// Groups whose bitmaps and inode tables lie together, as a power of two.
pub(super) const LOG_GROUPS_PER_FLEX: u32 = 4;
/// Descriptors in a block.
pub(super) const DESCRIPTORS_PER_BLOCK: u32 = 64;
/// Inodes in a block of an inode table.
pub(super) const INODES_PER_BLOCK: u32 = 16;
/// Block numbers in an indirect block: bounds what the resize inode can reserve.
pub(super) const ADDRESSES_PER_BLOCK: u32 = 1024;
/// Blocks of lost+found, so that `e2fsck` can fill it without allocating.
pub(super) const LOST_FOUND_BLOCKS: u64 = 4;

/// Blocks for which a last group must have room besides its own metadata.
const MIN_LAST_GROUP_DATA: u64 = 50;

/// Bytes per inode: services keep few, large files; on a small file system, more small ones.
const BYTES_PER_INODE: u64 = 16384;
const BYTES_PER_INODE_SMALL: u64 = 8192;
const SMALL_BLOCKS: u64 = (512 << 20) / 4096;

/// All sizes and places, in blocks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Layout {
    pub(super) block_count: u64,
    pub(super) group_count: u32,
    pub(super) inodes_per_group: u32,
    /// Blocks of the descriptor table.
    pub(super) descriptor_blocks: u32,
    /// Blocks behind it into which it can grow.
    pub(super) reserved_blocks: u32,
    pub(super) root: u64,
    pub(super) lost_found: u64,
    /// The resize inode's double-indirect block, where there is anything reserved.
    pub(super) resize_map: Option<u64>,
    pub(super) journal: Range<u64>,
}

impl Layout {
    /// Lays out at most `blocks` blocks, of which there are at least 2048 and at most 2³².
    pub(super) fn new(blocks: u64) -> Self {
        let mut layout = Self::sized(blocks);
        // A last group too short for its own metadata is left out.
        let last = layout.group_count - 1;
        let overhead = layout.base_blocks(last) + layout.metadata_per_group();
        if last > 0 && layout.group_blocks(last) < overhead + MIN_LAST_GROUP_DATA {
            layout = Self::sized(u64::from(last) * BLOCKS_PER_GROUP);
        }
        let free = layout.metadata_end(0);
        layout.root = free;
        layout.lost_found = free + 1;
        layout.resize_map = (layout.reserved_blocks > 0).then_some(free + 1 + LOST_FOUND_BLOCKS);
        layout.journal = layout.place_journal(journal_blocks(layout.block_count));
        layout
    }

    fn sized(blocks: u64) -> Self {
        let groups = blocks.div_ceil(BLOCKS_PER_GROUP);
        let ratio = if blocks < SMALL_BLOCKS {
            BYTES_PER_INODE_SMALL
        } else {
            BYTES_PER_INODE
        };
        let inodes = blocks * super::BLOCK_SIZE / ratio;
        let per_group = inodes.div_ceil(groups) as u32;
        let descriptor_blocks = groups.div_ceil(u64::from(DESCRIPTORS_PER_BLOCK)) as u32;
        // As mke2fs: to grow a thousandfold, as far as 32-bit block numbers reach.
        let largest = (blocks * 1024).min(u64::from(u32::MAX));
        let largest_table = largest
            .div_ceil(BLOCKS_PER_GROUP)
            .div_ceil(u64::from(DESCRIPTORS_PER_BLOCK)) as u32;
        Self {
            block_count: blocks,
            group_count: groups as u32,
            inodes_per_group: per_group.next_multiple_of(INODES_PER_BLOCK),
            descriptor_blocks,
            reserved_blocks: largest_table
                .saturating_sub(descriptor_blocks)
                .min(ADDRESSES_PER_BLOCK),
            root: 0,
            lost_found: 0,
            resize_map: None,
            journal: 0..0,
        }
    }

    /// The first gap of `size` blocks that no group's metadata interrupts.
    fn place_journal(&self, size: u64) -> Range<u64> {
        let mut start = self.files_end();
        for group in 1..self.group_count {
            let group_start = self.group_start(group);
            if start + size <= group_start {
                break;
            }
            if self.metadata_end(group) > group_start {
                start = self.metadata_end(group);
            }
        }
        debug_assert!(start + size <= self.block_count);
        start..start + size
    }

    /// First block behind directories and resize map.
    fn files_end(&self) -> u64 {
        self.lost_found + LOST_FOUND_BLOCKS + u64::from(self.resize_map.is_some())
    }

    pub(super) fn inode_count(&self) -> u32 {
        self.inodes_per_group * self.group_count
    }

    pub(super) fn inode_table_blocks(&self) -> u64 {
        u64::from(self.inodes_per_group / INODES_PER_BLOCK)
    }

    /// Two bitmaps and an inode table.
    fn metadata_per_group(&self) -> u64 {
        2 + self.inode_table_blocks()
    }

    pub(super) fn group_start(&self, group: u32) -> u64 {
        u64::from(group) * BLOCKS_PER_GROUP
    }

    pub(super) fn group_blocks(&self, group: u32) -> u64 {
        (self.block_count - self.group_start(group)).min(BLOCKS_PER_GROUP)
    }

    /// Whether a group holds a superblock: 0, 1 and the powers of 3, 5 and 7.
    pub(super) fn has_superblock(group: u32) -> bool {
        let is_power = |base: u32| {
            let mut power = base;
            while power < group {
                power = power.saturating_mul(base);
            }
            power == group
        };
        group <= 1 || is_power(3) || is_power(5) || is_power(7)
    }

    /// Groups that hold backups, ascending.
    pub(super) fn backup_groups(&self) -> impl Iterator<Item = u32> + use<> {
        (1..self.group_count).filter(|group| Self::has_superblock(*group))
    }

    /// Superblock, descriptors and their reserve at the start of a group, if it has them.
    pub(super) fn base_blocks(&self, group: u32) -> u64 {
        if Self::has_superblock(group) {
            1 + u64::from(self.descriptor_blocks) + u64::from(self.reserved_blocks)
        } else {
            0
        }
    }

    /// The first group of those whose metadata lies together, and how many they are.
    fn flex(&self, group: u32) -> (u32, u32) {
        let size = 1 << LOG_GROUPS_PER_FLEX;
        let leader = group / size * size;
        (leader, (self.group_count - leader).min(size))
    }

    /// First block of the bitmaps and tables of a flexible group.
    fn flex_metadata(&self, leader: u32) -> u64 {
        self.group_start(leader) + self.base_blocks(leader)
    }

    pub(super) fn block_bitmap(&self, group: u32) -> u64 {
        let (leader, _) = self.flex(group);
        self.flex_metadata(leader) + u64::from(group - leader)
    }

    pub(super) fn inode_bitmap(&self, group: u32) -> u64 {
        let (leader, count) = self.flex(group);
        self.flex_metadata(leader) + u64::from(count) + u64::from(group - leader)
    }

    pub(super) fn inode_table(&self, group: u32) -> u64 {
        let (leader, count) = self.flex(group);
        self.flex_metadata(leader)
            + 2 * u64::from(count)
            + u64::from(group - leader) * self.inode_table_blocks()
    }

    /// First block behind the metadata at the start of a group.
    fn metadata_end(&self, group: u32) -> u64 {
        let (leader, count) = self.flex(group);
        let shared = if group == leader {
            u64::from(count) * self.metadata_per_group()
        } else {
            0
        };
        self.group_start(group) + self.base_blocks(group) + shared
    }

    /// The used blocks of a group, counted from its start.
    pub(super) fn used(&self, group: u32) -> [Range<u64>; 2] {
        let start = self.group_start(group);
        let end = start + self.group_blocks(group);
        let metadata_end = if group == 0 {
            self.files_end()
        } else {
            self.metadata_end(group)
        };
        let journal_start = self.journal.start.clamp(start, end);
        let journal_end = self.journal.end.clamp(start, end);
        [
            0..metadata_end - start,
            journal_start - start..journal_end - start,
        ]
    }

    pub(super) fn free_blocks(&self, group: u32) -> u64 {
        let used: u64 = self.used(group).iter().map(|r| r.end - r.start).sum();
        self.group_blocks(group) - used
    }

    /// Whether the kernel can make a group's block bitmap by itself: nothing but superblock and
    /// descriptors in it. Never for the last group, whose bitmap ends in padding.
    pub(super) fn is_block_bitmap_implied(&self, group: u32) -> bool {
        let [metadata, journal] = self.used(group);
        group != self.group_count - 1
            && metadata.end == self.base_blocks(group)
            && journal.is_empty()
    }
}

/// Size of the journal, as `mke2fs` chooses it, but never more than one extent can span (128 MiB).
fn journal_blocks(block_count: u64) -> u64 {
    const MIB_BLOCKS: u64 = (1 << 20) / super::BLOCK_SIZE;
    let mib = match block_count / MIB_BLOCKS {
        0..128 => 4,
        128..1024 => 16,
        1024..2048 => 32,
        2048..16384 => 64,
        _ => 128,
    };
    mib * MIB_BLOCKS
}
