//! The index of a compressed file, and the decoding of its clusters.
//!
//! The writer's `index` module describes packed entries. Full entries, which other writers make,
//! are 8 bytes: type in the low 2 bits of a `u16`, place in the logical cluster `u16`, then a
//! block address `u32`, or distances to the head and to the next head, `u16` each.

use std::io::Read;

use super::{Image, Inode, corrupt, unsupported};
use crate::erofs::error::ReadError;
use crate::erofs::format::{
    BLOCK_SIZE, MAP_HEADER_SIZE, MAX_DECODED_CLUSTER, WHOLE_FRAGMENT, advice, algorithm, cluster,
    incompat, layout, u16_at, u32_at, u64_at,
};
use crate::erofs::lz4;
use crate::erofs::options::MAX_CLUSTER_BYTES;
use crate::read_at::Extent;

/// Index entries read at once: whole packs of either form.
const ENTRIES_AT_ONCE: u64 = 4096;

/// Where the encoded bytes of a cluster are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stored {
    /// In blocks from this one on.
    Blocks { block: u32, count: u32 },
    /// Behind the index: offset and length.
    Inline { offset: u64, len: u32 },
    /// In the packed inode from this offset on, decoded.
    Fragment { at: u64 },
}

/// An extent of a compressed file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Cluster {
    /// Where in the file it starts.
    pub(super) start: u64,
    /// Decoded length in bytes.
    pub(super) len: u64,
    /// `None`: not compressed.
    pub(super) algorithm: Option<u8>,
    /// Plain bytes keep their offset within the block.
    interlaced: bool,
    pub(super) stored: Stored,
}

/// The map header.
struct Header {
    advice: u16,
    algorithm: u8,
    fragment_at: u64,
    inline_len: u16,
    /// Where the entries start.
    entries_at: u64,
}

/// One entry, as read.
#[derive(Debug, Clone, Copy)]
struct Entry {
    kind: u8,
    /// Of a head: where it starts. Of the first behind a head: the number of blocks.
    low: u16,
    /// Of a head.
    block: u32,
}

impl<R: Extent> Image<R> {
    /// The extents of a compressed file, in order and without gaps.
    pub(super) fn clusters(&self, inode: &Inode) -> Result<Vec<Cluster>, ReadError> {
        let at = inode.end().next_multiple_of(8);
        let bytes = self.bytes(at, MAP_HEADER_SIZE)?;
        let whole = u64_at(&bytes, 0);
        let size = inode.size_bytes();
        if whole & WHOLE_FRAGMENT != 0 {
            let at = whole ^ WHOLE_FRAGMENT;
            return Ok(vec![fragment(0, size, at)]);
        }
        if bytes[7] & 0x0f != 0 {
            return unsupported(at + 7, "logical clusters larger than a block");
        }
        if self.superblock.incompatible & incompat::ZERO_PADDING == 0 {
            return unsupported(at, "compressed data in the form before Linux 5.3");
        }
        let mut header = Header {
            advice: u16_at(&bytes, 4),
            algorithm: bytes[6] & 0x0f,
            fragment_at: u64::from(u32_at(&bytes, 0)),
            inline_len: u16_at(&bytes, 2),
            entries_at: at + MAP_HEADER_SIZE as u64,
        };
        if inode.layout() == layout::COMPRESSED_FULL {
            header.entries_at += 8;
        }
        self.parse_index(inode, &header)
    }

    fn parse_index(&self, inode: &Inode, header: &Header) -> Result<Vec<Cluster>, ReadError> {
        let size = inode.size_bytes();
        let count = size.div_ceil(BLOCK_SIZE as u64);
        let full = inode.layout() == layout::COMPRESSED_FULL;
        let index = if full {
            Index::full(header.entries_at, count)
        } else {
            Index::compact(header, count)
        };
        if index.end > self.size {
            return corrupt(header.entries_at, "an index leaves the image");
        }
        let mut clusters: Vec<Cluster> = Vec::new();
        let mut previous_head = None;
        let mut last = None;
        self.each_entry(&index, header, |number, entry| {
            let place = index.place(number);
            match entry.kind {
                cluster::NONHEAD => {
                    if number == 0 {
                        return corrupt(place, "a file's first cluster has no head");
                    }
                    if previous_head == Some(number - 1)
                        && let Some(Cluster {
                            stored: Stored::Blocks { count, .. },
                            ..
                        }) = clusters.last_mut()
                        && entry.low & cluster::BLOCK_COUNT != 0
                    {
                        *count = u32::from(entry.low ^ cluster::BLOCK_COUNT);
                    }
                }
                cluster::HEAD2 => return unsupported(place, "a second compression algorithm"),
                kind => {
                    let start = number * BLOCK_SIZE as u64 + u64::from(entry.low);
                    if usize::from(entry.low) >= BLOCK_SIZE || (number == 0 && start != 0) {
                        return corrupt(place, "a cluster starts outside its block");
                    }
                    if start >= size {
                        return Ok(());
                    }
                    if let Some(before) = clusters.last_mut() {
                        before.len = start - before.start;
                    }
                    previous_head = Some(number);
                    last = Some(entry);
                    clusters.push(Cluster {
                        start,
                        len: size - start,
                        algorithm: (kind != cluster::PLAIN).then_some(header.algorithm),
                        interlaced: header.advice & advice::INTERLACED != 0,
                        stored: Stored::Blocks {
                            block: entry.block,
                            count: 1,
                        },
                    });
                }
            }
            Ok(())
        })?;
        if let (Some(end), Some(entry)) = (clusters.last_mut(), last) {
            if header.advice & advice::FRAGMENT != 0 {
                // Full entries have room for the offset's upper half.
                let high = if full { u64::from(entry.block) } else { 0 };
                *end = fragment(end.start, end.len, header.fragment_at | (high << 32));
            } else if header.advice & advice::INLINE_CLUSTER != 0 {
                end.stored = Stored::Inline {
                    offset: index.end,
                    len: u32::from(header.inline_len),
                };
            }
        }
        Ok(clusters)
    }

    /// Calls `each` with every entry of an index; entries of a head behind the end of the file
    /// are passed on too.
    fn each_entry(
        &self,
        index: &Index,
        header: &Header,
        mut each: impl FnMut(u64, Entry) -> Result<(), ReadError>,
    ) -> Result<(), ReadError> {
        let big = header.advice & advice::BIG_CLUSTER_1 != 0;
        let mut number = 0;
        for part in &index.parts {
            let mut done = 0;
            while done < part.count {
                let count = (part.count - done).min(ENTRIES_AT_ONCE);
                let packs = count.div_ceil(part.per_pack);
                let at = part.at + done / part.per_pack * part.pack_len;
                let bytes = self.bytes(at, (packs * part.pack_len) as usize)?;
                for pack in bytes.chunks_exact(part.pack_len as usize) {
                    let left = (part.count - done).min(part.per_pack) as usize;
                    let mut entries = [NO_ENTRY; 16];
                    match part.bits {
                        0 => entries[0] = full_entry(pack),
                        bits => unpack(pack, part.per_pack as usize, bits, big, &mut entries),
                    }
                    for entry in &entries[..left] {
                        each(number, *entry)?;
                        number += 1;
                    }
                    done += left as u64;
                }
            }
        }
        Ok(())
    }

    /// Decodes a cluster whole, appended to the empty `out`. Not for fragments.
    pub(super) fn decode(&self, cluster: &Cluster, out: &mut Vec<u8>) -> Result<(), ReadError> {
        let (offset, len) = match cluster.stored {
            Stored::Blocks { block, count } => (
                u64::from(block) * BLOCK_SIZE as u64,
                u64::from(count) * BLOCK_SIZE as u64,
            ),
            Stored::Inline { offset, len } => (offset, u64::from(len)),
            Stored::Fragment { .. } => return corrupt(0, "a fragment is in the packed inode"),
        };
        if len == 0 || len > u64::from(MAX_CLUSTER_BYTES) || cluster.len > MAX_DECODED_CLUSTER {
            return corrupt(offset, "a cluster's length is out of bounds");
        }
        let mut bytes = self.bytes(offset, len as usize)?;
        let want = cluster.len as usize;
        let Some(algorithm) = cluster.algorithm else {
            if want > bytes.len() || (cluster.interlaced && bytes.len() > BLOCK_SIZE) {
                return corrupt(offset, "a plain cluster is longer than its blocks");
            }
            if cluster.interlaced && matches!(cluster.stored, Stored::Blocks { .. }) {
                bytes.rotate_left((cluster.start % BLOCK_SIZE as u64) as usize);
            }
            out.extend_from_slice(&bytes[..want]);
            return Ok(());
        };
        // A cluster ends at its last byte: zeros before it fill up its first block.
        let padding = bytes.iter().take(BLOCK_SIZE).take_while(|b| **b == 0);
        let encoded = &bytes[padding.count()..];
        let decoded = match algorithm {
            algorithm::LZ4 => lz4::decode(encoded, want, out),
            algorithm::ZSTD => decode_zstd(encoded, want, out),
            _ => return unsupported(offset, "a compression other than LZ4 and zstd"),
        };
        match decoded {
            Some(()) => Ok(()),
            None => corrupt(offset, "a cluster does not decode"),
        }
    }
}

const NO_ENTRY: Entry = Entry {
    kind: cluster::PLAIN,
    low: 0,
    block: 0,
};

/// Largest window accepted, as a power of two; Linux takes 20.
const MAX_WINDOW_LOG: u32 = 23;

fn decode_zstd(encoded: &[u8], want: usize, out: &mut Vec<u8>) -> Option<()> {
    let mut decoder = zstd::stream::read::Decoder::with_buffer(encoded).ok()?;
    decoder.window_log_max(MAX_WINDOW_LOG).ok()?;
    out.resize(want, 0);
    decoder.read_exact(out).ok()
}

fn fragment(start: u64, len: u64, at: u64) -> Cluster {
    Cluster {
        start,
        len,
        algorithm: None,
        interlaced: false,
        stored: Stored::Fragment { at },
    }
}

/// Where the entries of an index are: up to three runs of packs.
struct Index {
    parts: Vec<Part>,
    end: u64,
}

struct Part {
    at: u64,
    count: u64,
    per_pack: u64,
    pack_len: u64,
    /// Bits per entry; 0 for full entries.
    bits: usize,
}

impl Index {
    fn full(at: u64, count: u64) -> Self {
        let mut index = Self {
            parts: Vec::new(),
            end: at,
        };
        index.push(count, 1, 8, 0);
        index
    }

    fn compact(header: &Header, count: u64) -> Self {
        let at = header.entries_at;
        let mut index = Self {
            parts: Vec::new(),
            end: at,
        };
        let initial = (32 - at % 32) / 4 % 8;
        if header.advice & advice::COMPACT_2B != 0 && initial < count {
            let middle = (count - initial) / 16 * 16;
            index.push(initial, 2, 8, 16);
            index.push(middle, 16, 32, 14);
            index.push(count - initial - middle, 2, 8, 16);
        } else {
            index.push(count, 2, 8, 16);
        }
        index
    }

    fn push(&mut self, count: u64, per_pack: u64, pack_len: u64, bits: usize) {
        let at = self.end;
        // Saturates for absurd counts; the end is compared with the image before any use.
        let len = count.div_ceil(per_pack).saturating_mul(pack_len);
        self.end = at.saturating_add(len);
        self.parts.push(Part {
            at,
            count,
            per_pack,
            pack_len,
            bits,
        });
    }

    /// About where an entry is, for messages.
    fn place(&self, number: u64) -> u64 {
        let mut left = number;
        for part in &self.parts {
            if left < part.count {
                return part.at + left / part.per_pack * part.pack_len;
            }
            left -= part.count;
        }
        self.end
    }
}

fn full_entry(bytes: &[u8]) -> Entry {
    let kind = (u16_at(bytes, 0) & 3) as u8;
    let low = match kind {
        cluster::NONHEAD => u16_at(bytes, 4),
        _ => u16_at(bytes, 2),
    };
    Entry {
        kind,
        low,
        block: u32_at(bytes, 4),
    }
}

/// Takes a pack apart, and works out the block address of each head from the pack's.
fn unpack(pack: &[u8], count: usize, bits: usize, big: bool, entries: &mut [Entry; 16]) {
    let base = u32_at(pack, pack.len() - 4);
    // In packs without block counts every head stands for one block, and the base is the block
    // before the first.
    let mut block = base;
    let mut uncounted = !big;
    for (number, entry) in entries.iter_mut().take(count).enumerate() {
        let at = number * bits;
        let word = u32_at(pack, at / 8) >> (at % 8);
        entry.kind = (word >> 12 & 3) as u8;
        entry.low = (word & 0xfff) as u16;
        if entry.kind == cluster::NONHEAD {
            if big && entry.low & cluster::BLOCK_COUNT != 0 {
                block = block.wrapping_add(u32::from(entry.low ^ cluster::BLOCK_COUNT));
                uncounted = false;
            }
        } else {
            if uncounted {
                block = block.wrapping_add(1);
            }
            entry.block = block;
            uncounted = true;
        }
    }
}
