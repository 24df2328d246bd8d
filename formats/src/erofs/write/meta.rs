//! Metadata: inodes, directories, and their places.
//!
//! [`Emitter::head`] makes an inode's bytes. It runs twice: with no addresses, to learn how long
//! the bytes are, and with the addresses that follow from that. Lengths cannot depend on
//! addresses, and what is written is what was measured.

use std::collections::BTreeSet;

use super::data::{Place, inline_tail};
use super::directory;
use super::index::{self, Tail};
use super::inodes::{Body, PlannedInode};
use super::xattr::Attributes;
use crate::erofs::content::Content;
use crate::erofs::error::WriteError;
use crate::erofs::format::{
    BLOCK_SIZE, MAP_HEADER_SIZE, NULL_BLOCK, SLOT_SIZE, WHOLE_FRAGMENT, advice, dirent_type, layout,
};

/// Where everything is. All zero while measuring.
#[derive(Debug, Default)]
pub(super) struct Addresses {
    /// Byte offset of each inode.
    pub(super) inodes: Vec<u64>,
    /// First block of each directory or link that has blocks.
    pub(super) blocks: Vec<u32>,
    /// Byte offset of the shared attributes.
    pub(super) shared: u64,
    /// First block of the data area.
    pub(super) data: u32,
}

impl Addresses {
    fn inode(&self, index: usize) -> u64 {
        self.inodes.get(index).copied().unwrap_or(0)
    }

    pub(super) fn nid(&self, index: usize) -> u64 {
        self.inode(index) / SLOT_SIZE
    }
}

/// Length of an inode with its attribute area: what is known before data is stored.
pub(super) fn head_len<C: Content>(
    inode: &PlannedInode<'_, C>,
    attributes: &Attributes,
    index: usize,
) -> usize {
    let mut area = Vec::new();
    attributes.emit(index, 0, &mut area);
    area.len() + if is_compact(inode) { 32 } else { 64 }
}

fn is_compact<C: Content>(inode: &PlannedInode<'_, C>) -> bool {
    let small = |id| id <= u32::from(u16::MAX);
    let meta = inode.metadata;
    small(meta.uid) && small(meta.gid) && small(inode.links) && size(inode) <= u64::from(u32::MAX)
}

/// Size as `stat` shows it.
pub(super) fn size<C: Content>(inode: &PlannedInode<'_, C>) -> u64 {
    match &inode.body {
        Body::Directory(records) => directory::size(records),
        Body::File(content) => content.size_bytes(),
        Body::Symlink(target) => target.len() as u64,
        Body::Special(_) => 0,
        Body::Packed { size } => *size,
    }
}

/// Makes the bytes of inodes.
pub(super) struct Emitter<'a, 't, C> {
    pub(super) inodes: &'a [PlannedInode<'t, C>],
    pub(super) attributes: &'a Attributes,
    pub(super) places: &'a [Place],
    /// Compression algorithm of all clusters.
    pub(super) algorithm: u8,
}

impl<C: Content> Emitter<'_, '_, C> {
    /// Appends an inode, its attributes and its index; not its inline tail.
    pub(super) fn head(&self, index: usize, addresses: &Addresses, out: &mut Vec<u8>) {
        let inode = &self.inodes[index];
        let start = out.len();
        let size = size(inode);
        let (layout, value) = self.layout(index, addresses);
        let compact = is_compact(inode);
        let format = (layout << 1) | u16::from(!compact);
        let meta = inode.metadata;
        out.extend_from_slice(&format.to_le_bytes());
        out.extend_from_slice(&self.attributes.count(index).to_le_bytes());
        out.extend_from_slice(&inode.mode.to_le_bytes());
        let number = (index as u32).wrapping_add(1).to_le_bytes();
        if compact {
            out.extend_from_slice(&(inode.links as u16).to_le_bytes());
            out.extend_from_slice(&(size as u32).to_le_bytes());
            out.extend_from_slice(&[0; 4]);
            out.extend_from_slice(&value.to_le_bytes());
            out.extend_from_slice(&number);
            out.extend_from_slice(&(meta.uid as u16).to_le_bytes());
            out.extend_from_slice(&(meta.gid as u16).to_le_bytes());
            out.extend_from_slice(&[0; 4]);
        } else {
            out.extend_from_slice(&[0; 2]);
            out.extend_from_slice(&size.to_le_bytes());
            out.extend_from_slice(&value.to_le_bytes());
            out.extend_from_slice(&number);
            out.extend_from_slice(&meta.uid.to_le_bytes());
            out.extend_from_slice(&meta.gid.to_le_bytes());
            out.extend_from_slice(&[0; 12]);
            out.extend_from_slice(&inode.links.to_le_bytes());
            out.extend_from_slice(&[0; 16]);
        }
        self.attributes.emit(index, addresses.shared, out);
        let at = addresses.inode(index);
        self.index(index, size, at, start, addresses.data, out);
    }

    /// Data layout of an inode, and the value that goes with it.
    fn layout(&self, index: usize, addresses: &Addresses) -> (u16, u32) {
        let inode = &self.inodes[index];
        let flat = if self.inline(index) > 0 {
            layout::FLAT_INLINE
        } else {
            layout::FLAT_PLAIN
        };
        let has_blocks = self.flat_blocks(index) > 0;
        let block = |first: u32| if has_blocks { first } else { NULL_BLOCK };
        match (&inode.body, &self.places[index]) {
            (Body::Special(number), _) => (flat, *number),
            (_, Place::Clusters { extents, .. }) => {
                let blocks = extents.iter().map(|e| e.blocks).sum();
                (layout::COMPRESSED_COMPACT, blocks)
            }
            (_, Place::Fragment { .. }) => (layout::COMPRESSED_COMPACT, 0),
            (_, Place::Flat { block: first }) => (flat, block(addresses.data + first)),
            (_, Place::Nothing) => {
                let first = addresses.blocks.get(index).copied().unwrap_or(0);
                (flat, block(first))
            }
        }
    }

    /// Length of the tail stored behind an inode; 0 where there is none.
    pub(super) fn inline(&self, index: usize) -> usize {
        match self.places[index] {
            Place::Clusters { .. } | Place::Fragment { .. } => 0,
            Place::Flat { .. } | Place::Nothing => {
                let inode = &self.inodes[index];
                if matches!(inode.body, Body::Packed { .. }) {
                    return 0;
                }
                inline_tail(head_len(inode, self.attributes, index), size(inode))
            }
        }
    }

    /// Whole blocks that an inode of a flat layout has.
    pub(super) fn flat_blocks(&self, index: usize) -> u64 {
        let stored = size(&self.inodes[index]) - self.inline(index) as u64;
        stored.div_ceil(BLOCK_SIZE as u64)
    }

    /// Appends map header and index of a compressed file. The inode began at `start` of `out`
    /// and at byte `at` of the image.
    fn index(&self, index: usize, size: u64, at: u64, start: usize, data: u32, out: &mut Vec<u8>) {
        let align = |out: &mut Vec<u8>| {
            let len = out.len() - start;
            out.resize(start + len.next_multiple_of(8), 0);
        };
        match &self.places[index] {
            Place::Nothing | Place::Flat { .. } => {}
            Place::Fragment { at } => {
                align(out);
                out.extend_from_slice(&(at | WHOLE_FRAGMENT).to_le_bytes());
            }
            Place::Clusters {
                block,
                extents,
                tail,
                tail_at,
            } => {
                align(out);
                let mut advice = advice::COMPACT_2B | advice::BIG_CLUSTER_1 | advice::BIG_CLUSTER_2;
                if matches!(tail, Tail::Fragment(_)) {
                    advice |= advice::FRAGMENT;
                }
                let mut header = [0; MAP_HEADER_SIZE];
                header[..4].copy_from_slice(&(*tail_at as u32).to_le_bytes());
                header[4..6].copy_from_slice(&advice.to_le_bytes());
                header[6] = self.algorithm;
                out.extend_from_slice(&header);
                let at = at + (out.len() - start) as u64;
                index::emit(extents, *tail, size, at, data + block, out);
            }
        }
    }

    /// Appends block `number` of a directory or of a link's target; the last may be short.
    pub(super) fn block(
        &self,
        index: usize,
        number: usize,
        addresses: &Addresses,
        out: &mut Vec<u8>,
    ) {
        match &self.inodes[index].body {
            Body::Directory(records) => {
                let target = |inode: usize| {
                    let kind = dirent_type(self.inodes[inode].mode).unwrap_or(0);
                    (addresses.nid(inode), kind)
                };
                if let Some(block) = directory::blocks(records).nth(number) {
                    directory::emit_block(block, target, out);
                }
            }
            Body::Symlink(target) => {
                let rest = target.get(number * BLOCK_SIZE..).unwrap_or(&[]);
                out.extend_from_slice(&rest[..rest.len().min(BLOCK_SIZE)]);
            }
            Body::File(_) | Body::Special(_) | Body::Packed { .. } => {}
        }
    }

    /// Places everything: inodes from byte `start` on, then directory and link blocks, then data.
    /// The first inode is the root; its nid must be small, so it comes first.
    pub(super) fn place(&self, shared: u64, start: u64) -> Result<Addresses, WriteError> {
        let mut room = Room::new(start);
        let unknown = Addresses::default();
        let mut offsets = Vec::with_capacity(self.inodes.len());
        let mut head = Vec::new();
        for index in 0..self.inodes.len() {
            head.clear();
            self.head(index, &unknown, &mut head);
            offsets.push(room.take((head.len() + self.inline(index)) as u64));
        }
        let mut next = room.end.div_ceil(BLOCK_SIZE as u64);
        let mut blocks = vec![0; self.inodes.len()];
        for (index, inode) in self.inodes.iter().enumerate() {
            if matches!(inode.body, Body::Directory(_) | Body::Symlink(_)) {
                blocks[index] = u32::try_from(next).map_err(|_| WriteError::TooLarge)?;
                next += self.flat_blocks(index);
            }
        }
        Ok(Addresses {
            inodes: offsets,
            blocks,
            shared,
            data: u32::try_from(next).map_err(|_| WriteError::TooLarge)?,
        })
    }
}

/// Free room in metadata blocks. What fits a block never crosses its border; longer things
/// start at one. The fullest block that still fits is taken, so few gaps stay.
struct Room {
    /// Free bytes at the end of a block, and the block's end.
    gaps: BTreeSet<(u64, u64)>,
    /// Where the next new block starts.
    end: u64,
}

impl Room {
    fn new(start: u64) -> Self {
        let block = BLOCK_SIZE as u64;
        let start = start.next_multiple_of(SLOT_SIZE);
        let end = start.next_multiple_of(block);
        Self {
            gaps: BTreeSet::from([(end - start, end)]),
            end,
        }
    }

    fn take(&mut self, len: u64) -> u64 {
        let block = BLOCK_SIZE as u64;
        let len = len.next_multiple_of(SLOT_SIZE);
        let fit = self.gaps.range((len, 0)..).next().copied();
        let (offset, free, end) = match fit {
            Some((free, end)) => {
                self.gaps.remove(&(free, end));
                (end - free, free - len, end)
            }
            None => {
                let offset = self.end;
                self.end += len.next_multiple_of(block);
                (offset, self.end - offset - len, self.end)
            }
        };
        if free > 0 {
            self.gaps.insert((free, end));
        }
        offset
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_fill_the_tightest_gap_and_never_cross_a_border() {
        let mut room = Room::new(1152);
        assert_eq!(room.take(32), 1152);
        assert_eq!(room.take(3000), 4096);
        assert_eq!(room.take(1000), 4096 + 3008);
        assert_eq!(room.take(40), 4096 + 3008 + 1024);
        assert_eq!(room.take(9000), 8192);
        assert_eq!(room.take(64), 1184);
        assert_eq!(room.end, 8192 + 12288);
    }
}
