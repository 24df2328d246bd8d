//! The index of a compressed file: one entry per logical cluster of 4096 bytes, packed.
//!
//! | Entry | 2 bits | 12 bits |
//! |---|---|---|
//! | head: an extent starts here | 0 plain, 1 compressed | where in the logical cluster |
//! | first behind a head | 2 | `0x800` + blocks of the extent's physical cluster |
//! | later ones | 2 | distance to the head; in the last entry of a pack: to the next head |
//!
//! A pack ends with a block address `u32`, from which readers count: the address of the pack's
//! first head, less what the block count at its very start (if it has one) says. Each later head
//! is the sum of what came before; a head without a count is one block. So a file's physical
//! clusters must follow each other.
//!
//! Packs hold 2 entries of 16 bits (8 bytes, so 4 per entry) or 16 of 14 bits (32 bytes, 2 per
//! entry). The large ones must be aligned to 32 bytes: small ones come before the border and
//! after the last whole pack.

use super::cluster::Extent;
use crate::erofs::format::{BLOCK_BITS, BLOCK_SIZE, cluster};

/// The entry of one logical cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Entry {
    Head {
        plain: bool,
        offset: u16,
        block: u32,
    },
    First {
        blocks: u16,
        next: u16,
    },
    Later {
        back: u16,
        next: u16,
    },
}

/// Where the end of a file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tail {
    /// In the last extent.
    None,
    /// This many bytes in the packed inode.
    Fragment(u64),
}

/// Entries per file byte length: one per started logical cluster.
fn entry_count(size: u64) -> usize {
    size.div_ceil(BLOCK_SIZE as u64) as usize
}

/// Lays the extents out over the logical clusters; addresses count from the first extent's.
fn entries(extents: &[Extent], tail: Tail) -> Vec<Entry> {
    let fragment = match tail {
        Tail::None => None,
        Tail::Fragment(len) => Some((len, 0, false)),
    };
    let stored = extents
        .iter()
        .map(|e| (u64::from(e.len), e.blocks, e.plain));
    let mut result = Vec::new();
    let mut block = 0u32;
    let mut offset = 0u64;
    for (len, blocks, plain) in stored.chain(fragment) {
        let end = offset + len;
        result.push(Entry::Head {
            plain,
            offset: offset as u16,
            block,
        });
        // Entries up to the next head: of logical clusters that this extent fills to their end.
        let filled = (end >> BLOCK_BITS) as usize;
        if filled == 0 {
            // Ends in the cluster it starts in: the end of the file.
            return result;
        }
        for back in 1..filled {
            let next = distance(filled - back);
            result.push(if back == 1 {
                let blocks = blocks as u16;
                Entry::First { blocks, next }
            } else {
                let back = distance(back);
                Entry::Later { back, next }
            });
        }
        offset = end % BLOCK_SIZE as u64;
        block += blocks;
    }
    if offset > 0 {
        // The last logical cluster is not full: what lies behind the end of the file is nobody's.
        result.push(Entry::Head {
            plain: true,
            offset: offset as u16,
            block,
        });
    }
    result
}

/// A distance that does not fit is cut short; readers then look again from where it leads.
fn distance(clusters: usize) -> u16 {
    clusters.min(usize::from(cluster::BLOCK_COUNT) - 1) as u16
}

/// Appends the index of a file of `size` bytes. `at` is the byte position in the image where it
/// starts (a multiple of 8); `first_block` the address of the first extent's physical cluster.
pub(super) fn emit(
    extents: &[Extent],
    tail: Tail,
    size: u64,
    at: u64,
    first_block: u32,
    out: &mut Vec<u8>,
) {
    let entries = entries(extents, tail);
    debug_assert_eq!(entries.len(), entry_count(size));
    let before_border = ((32 - at % 32) / 4 % 8) as usize;
    let (head, rest) = if before_border < entries.len() {
        entries.split_at(before_border)
    } else {
        (&entries[..0], &entries[..])
    };
    let large = if before_border < entries.len() {
        rest.len() / 16 * 16
    } else {
        0
    };
    let (middle, end) = rest.split_at(large);
    for (part, per_pack, bits) in [(head, 2, 16), (middle, 16, 14), (end, 2, 16)] {
        for pack in part.chunks(per_pack) {
            emit_pack(pack, per_pack, bits, first_block, out);
        }
    }
}

fn emit_pack(pack: &[Entry], per_pack: usize, bits: usize, first_block: u32, out: &mut Vec<u8>) {
    let start = out.len();
    let mut gathered = 0u64;
    let mut held = 0;
    let mut base = None;
    for (i, entry) in pack.iter().enumerate() {
        let (kind, low) = match *entry {
            Entry::Head {
                plain,
                offset,
                block,
            } => {
                let counted = match pack[0] {
                    Entry::First { blocks, .. } => u32::from(blocks),
                    _ => 0,
                };
                base.get_or_insert((first_block + block).wrapping_sub(counted));
                let kind = if plain {
                    cluster::PLAIN
                } else {
                    cluster::HEAD1
                };
                (kind, offset)
            }
            Entry::First { blocks, .. } => (cluster::NONHEAD, cluster::BLOCK_COUNT | blocks),
            Entry::Later { next, .. } if i + 1 == per_pack => (cluster::NONHEAD, next),
            Entry::Later { back, .. } => (cluster::NONHEAD, back),
        };
        gathered |= ((u64::from(kind) << BLOCK_BITS) | u64::from(low)) << held;
        held += bits;
        while held >= 8 {
            out.push(gathered as u8);
            gathered >>= 8;
            held -= 8;
        }
    }
    if held > 0 {
        out.push(gathered as u8);
    }
    out.resize(start + per_pack * bits / 8, 0);
    out.extend_from_slice(&base.unwrap_or(0).to_le_bytes());
}
