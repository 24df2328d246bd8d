//! Giving out the bytes, in ascending order.

use super::layout::{DESCRIPTORS_PER_BLOCK, Layout};
use super::records::{self, BLOCK, DESCRIPTOR_SIZE, SUPERBLOCK_SIZE};
use super::{BLOCK_SIZE, FileSystem};
use std::ops::Range;

/// Something to be written at one place.
enum Piece {
    /// Superblock of a group, alone at the start of its block but in group 0.
    Superblock(u32),
    Descriptors,
    ReservedDescriptors,
    BlockBitmap(u32),
    InodeBitmap,
    InodeTable,
    RootDirectory,
    LostFound,
    ResizeMap,
    JournalSuperblock,
}

impl FileSystem<'_> {
    /// The bytes that must read as zero besides those written: the journal's blocks. Anything old
    /// in there could be taken for a transaction after a power cut.
    pub fn zeroed(&self) -> Range<u64> {
        let journal = &self.layout.journal;
        (journal.start + 1) * BLOCK_SIZE..journal.end * BLOCK_SIZE
    }

    /// Gives all bytes to `out(offset, bytes)`, in ascending order, in whole blocks.
    ///
    /// # Errors
    /// The first error of `out`.
    pub fn write<E>(&self, mut out: impl FnMut(u64, &[u8]) -> Result<(), E>) -> Result<(), E> {
        let layout = &self.layout;
        let seed = records::checksum(!0, &self.options.uuid);
        let free_blocks = (0..layout.group_count)
            .map(|group| layout.free_blocks(group))
            .sum();
        let mut descriptors = Vec::with_capacity(layout.descriptor_blocks as usize * BLOCK);
        for group in 0..layout.group_count {
            descriptors.extend_from_slice(&records::descriptor(layout, seed, group));
        }
        descriptors.resize(layout.descriptor_blocks as usize * BLOCK, 0);
        debug_assert_eq!(DESCRIPTORS_PER_BLOCK as usize * DESCRIPTOR_SIZE, BLOCK);

        let mut pieces = pieces(layout);
        pieces.sort_by_key(|(block, _)| *block);
        for (block, piece) in pieces {
            let mut put = |bytes: &[u8]| out(block * BLOCK_SIZE, bytes);
            match piece {
                Piece::Superblock(group) => {
                    let superblock = records::superblock(&self.options, layout, free_blocks, group);
                    let mut bytes = [0; BLOCK];
                    // The boot sector comes before the first one only.
                    let at = if group == 0 { SUPERBLOCK_SIZE } else { 0 };
                    bytes[at..at + SUPERBLOCK_SIZE].copy_from_slice(&superblock);
                    put(&bytes)
                }
                Piece::Descriptors => put(&descriptors),
                Piece::ReservedDescriptors => {
                    let blocks = 0..layout.reserved_blocks;
                    let blocks = blocks.map(|i| records::reserved_descriptor_block(layout, i));
                    put(&blocks.collect::<Vec<_>>().concat())
                }
                Piece::BlockBitmap(group) => put(&records::block_bitmap(layout, group)),
                Piece::InodeBitmap => put(&records::inode_bitmap(layout)),
                Piece::InodeTable => put(&records::inode_table(layout, seed)),
                Piece::RootDirectory => put(&records::root_directory(seed)),
                Piece::LostFound => put(&records::lost_found(seed)),
                Piece::ResizeMap => put(&records::resize_map(layout)),
                Piece::JournalSuperblock => put(&records::journal_superblock(layout)),
            }?;
        }
        Ok(())
    }

    /// All bytes as a list of extents (offset, bytes), neighbouring ones joined. About 250 MB for
    /// 16 TiB; [`FileSystem::write`] needs a tenth of that.
    pub fn extents(&self) -> Vec<(u64, Vec<u8>)> {
        let mut extents: Vec<(u64, Vec<u8>)> = Vec::new();
        let Ok(()) = self.write(|offset, bytes| {
            match extents.last_mut() {
                Some((start, last)) if *start + last.len() as u64 == offset => {
                    last.extend_from_slice(bytes);
                }
                _ => extents.push((offset, bytes.to_vec())),
            }
            Ok::<_, std::convert::Infallible>(())
        });
        extents
    }
}

/// Everything that has to be written, by block number.
fn pieces(layout: &Layout) -> Vec<(u64, Piece)> {
    let mut pieces = vec![
        (0, Piece::Superblock(0)),
        (1, Piece::Descriptors),
        (layout.inode_bitmap(0), Piece::InodeBitmap),
        (layout.inode_table(0), Piece::InodeTable),
        (layout.root, Piece::RootDirectory),
        (layout.lost_found, Piece::LostFound),
        (layout.journal.start, Piece::JournalSuperblock),
    ];
    if let Some(block) = layout.resize_map {
        let reserved = 1 + u64::from(layout.descriptor_blocks);
        pieces.push((reserved, Piece::ReservedDescriptors));
        pieces.push((block, Piece::ResizeMap));
    }
    for group in layout.backup_groups() {
        let start = layout.group_start(group);
        pieces.push((start, Piece::Superblock(group)));
        pieces.push((start + 1, Piece::Descriptors));
    }
    for group in 0..layout.group_count {
        if !layout.is_block_bitmap_implied(group) {
            pieces.push((layout.block_bitmap(group), Piece::BlockBitmap(group)));
        }
    }
    pieces
}
