//! Cutting a piece of a stream into physical clusters.

use crate::erofs::format::BLOCK_SIZE;
use crate::erofs::lz4;
use crate::erofs::options::{Compression, Options};

/// Length of the pieces that are compressed apart from each other, in bytes. Changing it changes
/// the bytes of every larger file. It bounds memory, and one cluster's decoded length.
pub(super) const SEGMENT_BYTES: usize = 4 << 20;

/// A cluster decodes to at most this many times its largest physical size, so that a read of one
/// block of a file that compresses well does not decode megabytes.
const MAX_EXPANSION: usize = 8;

/// Largest window of a zstd frame that is used, as a power of two; Linux accepts 20. For each processor
/// the kernel keeps memory to unpack such a frame: 512 KiB with 16, 1 MiB with 17 to 19. Changing it
/// changes the bytes of every larger file.
const MAX_WINDOW_LOG: u32 = 16;

/// One physical cluster and the range of the stream that it holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Extent {
    /// Decoded length in bytes.
    pub(super) len: u32,
    /// Length on disk in blocks.
    pub(super) blocks: u32,
    /// Not compressed: one block, of which the first `len` bytes count.
    pub(super) plain: bool,
}

/// What became of a segment.
#[derive(Debug, Default)]
pub(super) struct Segment {
    pub(super) extents: Vec<Extent>,
    /// The clusters, whole blocks.
    pub(super) bytes: Vec<u8>,
    /// Bytes at the end that no extent holds: they go to the packed inode.
    pub(super) tail: usize,
}

/// How to compress; made once, used by every thread.
#[derive(Debug, Clone, Copy)]
pub(super) struct Codec {
    compression: Compression,
    cluster_bytes: usize,
}

impl Codec {
    pub(super) fn new(options: &Options) -> Self {
        Self {
            compression: options.compression,
            cluster_bytes: options.cluster_bytes as usize,
        }
    }

    fn max_decoded(&self) -> usize {
        (self.cluster_bytes * MAX_EXPANSION).min(SEGMENT_BYTES)
    }

    /// Window of zstd frames as a power of two: what the kernel must be told to set memory aside.
    pub(super) fn window_log(&self) -> u32 {
        self.max_decoded().ilog2().min(MAX_WINDOW_LOG)
    }

    /// Compresses a segment (at most [`SEGMENT_BYTES`]). `may_leave_tail` where it is the last of
    /// a file whose tail can go to the packed inode.
    ///
    /// An encoder is made for each segment: what it learnt from another one would make the bytes
    /// depend on which thread compressed what.
    pub(super) fn compress(&self, data: &[u8], may_leave_tail: bool) -> Result<Segment, String> {
        let mut encoder = self.encoder()?;
        let mut segment = Segment::default();
        let mut packed = Vec::new();
        let mut at = 0;
        while at < data.len() {
            let rest = data.len() - at;
            if may_leave_tail && rest < BLOCK_SIZE {
                segment.tail = rest;
                break;
            }
            let end = data.len().min(at + self.max_decoded());
            let window = &data[..end];
            let mut taken = encoder.fill(window, at, self.cluster_bytes, &mut packed)?;
            if !gains(&packed, taken) {
                let span = taken.max(BLOCK_SIZE).min(rest);
                let all = span == rest && !may_leave_tail;
                at += segment.push_plain(&data[at..at + span], all);
                continue;
            }
            let unused = packed.len().next_multiple_of(BLOCK_SIZE) - packed.len();
            if may_leave_tail && taken == rest && unused > self.cluster_bytes / 64 {
                let room = packed.len() / BLOCK_SIZE * BLOCK_SIZE;
                if room == 0 {
                    segment.tail = rest;
                    break;
                }
                taken = encoder.fill(window, at, room, &mut packed)?;
                if !gains(&packed, taken) {
                    segment.tail = rest;
                    break;
                }
            }
            segment.push_compressed(&packed, taken);
            at += taken;
        }
        Ok(segment)
    }

    fn encoder(&self) -> Result<Encoder, String> {
        match self.compression {
            Compression::Zstd(level) => ZstdEncoder::new(level, self.window_log())
                .map(Encoder::Zstd)
                .map_err(|e| e.to_string()),
            Compression::Lz4 | Compression::None => Ok(Encoder::Lz4(lz4::Encoder::new())),
        }
    }
}

/// Whether a cluster saves at least one block. An encoder leaves it empty to say no.
fn gains(packed: &[u8], taken: usize) -> bool {
    !packed.is_empty() && packed.len().next_multiple_of(BLOCK_SIZE) < taken
}

impl Segment {
    /// Stores `data` in plain blocks and gives how much was stored: `all`, or whole blocks.
    ///
    /// An extent may only end inside a block of the file where the segment ends: no two extents
    /// may start in one logical cluster.
    fn push_plain(&mut self, data: &[u8], all: bool) -> usize {
        let whole = data.len() / BLOCK_SIZE * BLOCK_SIZE;
        let stored = if all { data.len() } else { whole };
        for block in data[..stored].chunks(BLOCK_SIZE) {
            self.extents.push(Extent {
                len: block.len() as u32,
                blocks: 1,
                plain: true,
            });
            self.bytes.extend_from_slice(block);
            self.bytes
                .resize(self.bytes.len().next_multiple_of(BLOCK_SIZE), 0);
        }
        stored
    }

    /// Stores a compressed cluster, zeros before it (the `ZERO_PADDING` feature).
    fn push_compressed(&mut self, packed: &[u8], decoded: usize) {
        let size = packed.len().next_multiple_of(BLOCK_SIZE);
        self.bytes.resize(self.bytes.len() + size - packed.len(), 0);
        self.bytes.extend_from_slice(packed);
        self.extents.push(Extent {
            len: decoded as u32,
            blocks: (size / BLOCK_SIZE) as u32,
            plain: false,
        });
    }
}

enum Encoder {
    Lz4(lz4::Encoder),
    Zstd(ZstdEncoder),
}

impl Encoder {
    /// Compresses the longest prefix of `data[at..]` that is found to fill `room` well, and gives
    /// its length. Where `out` stays empty that prefix does not shrink.
    fn fill(
        &mut self,
        data: &[u8],
        at: usize,
        room: usize,
        out: &mut Vec<u8>,
    ) -> Result<usize, String> {
        out.clear();
        match self {
            Encoder::Lz4(encoder) => Ok(encoder.fill(data, at, room, out)),
            Encoder::Zstd(encoder) => encoder
                .fill(&data[at..], room, out)
                .map_err(|e| e.to_string()),
        }
    }
}

/// Fills clusters by search: zstd cannot be told where its output must end.
struct ZstdEncoder {
    compressor: zstd::bulk::Compressor<'static>,
    scratch: Vec<u8>,
    /// Decoded bytes per 256 compressed ones, as the last cluster had it: the first guess.
    expansion: usize,
}

/// Compressions of one cluster at most. Two are usual: a guess, and its correction to the nearest
/// block border, which is a small step and so comes out close.
const MAX_TRIES: usize = 4;

/// Bytes below a block border that the first correction aims at.
const AIM_BELOW: usize = 48;

impl ZstdEncoder {
    fn new(level: i32, window_log: u32) -> std::io::Result<Self> {
        let mut compressor = zstd::bulk::Compressor::new(level)?;
        compressor.set_parameter(zstd::zstd_safe::CParameter::WindowLog(window_log))?;
        Ok(Self {
            compressor,
            scratch: Vec::new(),
            expansion: 3 * 256,
        })
    }

    fn fill(&mut self, data: &[u8], room: usize, out: &mut Vec<u8>) -> std::io::Result<usize> {
        let tolerance = (room / 256).max(16);
        let mut best: Option<(usize, usize)> = None;
        let mut count = (room * self.expansion / 256).clamp(1, data.len());
        let mut tried = Vec::with_capacity(MAX_TRIES);
        // Aimed below a border by this much, because a miss above it costs a block; more after
        // each miss, so that something fits at last.
        let mut below = AIM_BELOW;
        while count > 0 && (tried.len() < MAX_TRIES || best.is_none()) {
            tried.push(count);
            self.scratch.clear();
            self.scratch.reserve(zstd::zstd_safe::compress_bound(count));
            let size = self
                .compressor
                .compress_to_buffer(&data[..count], &mut self.scratch)?;
            if best.is_none() && size >= count - count / 64 {
                self.expansion = 256;
                break;
            }
            let up = size.next_multiple_of(BLOCK_SIZE);
            let down = up - BLOCK_SIZE;
            if size <= room {
                // Better: more decoded bytes per block.
                if best.is_none_or(|(taken, blocks)| count * blocks > taken * up) {
                    best = Some((count, up));
                    std::mem::swap(out, &mut self.scratch);
                }
                // At the end of the data nothing can be added, and a shorter cluster would leave
                // a remainder with a block of its own.
                if up - size <= tolerance || count == data.len() {
                    break;
                }
            } else {
                below *= 2;
            }
            let target = if size > room || size < room - room / 8 {
                room
            } else if up - size <= BLOCK_SIZE / 2 || down == 0 {
                up
            } else {
                down
            };
            let aim = target - below.min(target / 2);
            count = (count * aim / size).min(data.len());
            if tried.contains(&count) {
                break;
            }
        }
        let Some((taken, _)) = best else {
            out.clear();
            return Ok(count);
        };
        self.expansion = (taken * 256 / out.len().max(1)).max(256);
        Ok(taken)
    }
}
