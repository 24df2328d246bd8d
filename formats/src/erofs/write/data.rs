//! File data: what is stored where, and the compression of it.

use std::io::{self, SeekFrom};

use super::Spool;
use super::cluster::{Codec, Extent, SEGMENT_BYTES, Segment};
use super::equal;
use super::index::Tail;
use super::inodes::{Body, PlannedInode};
use super::parallel::run_ordered;
use crate::erofs::content::Content;
use crate::erofs::error::WriteError;
use crate::erofs::format::BLOCK_SIZE;
use crate::erofs::options::{Compression, Options};

/// Where an inode's bytes are. Block addresses count from the start of the data area.
#[derive(Debug, Clone, Default)]
pub(super) enum Place {
    /// It has none in the data area.
    #[default]
    Nothing,
    /// As they are, in consecutive blocks.
    Flat { block: u32 },
    /// In physical clusters.
    Clusters {
        block: u32,
        extents: Vec<Extent>,
        tail: Tail,
        /// Where the tail is in the packed inode.
        tail_at: u64,
    },
    /// In the packed inode, whole.
    Fragment { at: u64 },
}

/// Length of the tail that is stored behind an inode whose head is `head` bytes long.
pub(super) fn inline_tail(head: usize, size: u64) -> usize {
    let tail = (size % BLOCK_SIZE as u64) as usize;
    if head + tail <= BLOCK_SIZE { tail } else { 0 }
}

/// The outcome of storing all data.
#[derive(Debug, Default)]
pub(super) struct Stored {
    /// Per inode of the table.
    pub(super) places: Vec<Place>,
    /// Blocks of the data area.
    pub(super) blocks: u32,
    /// Whether the data area is in the spool; else it is read from the contents.
    pub(super) spooled: bool,
    /// Content and length of the packed inode, if there is one.
    pub(super) packed: Option<(Place, u64)>,
    /// Bytes of files that were stored once for several of them.
    pub(super) shared_bytes: u64,
}

/// A range of a file, and where it lies in a stream.
#[derive(Debug, Clone, Copy)]
struct Piece {
    inode: usize,
    from: u64,
    len: u64,
    at: u64,
}

/// A segment of a stream, to be compressed.
#[derive(Debug, Clone, Copy)]
struct Job<'a> {
    /// The pieces it overlaps.
    pieces: &'a [Piece],
    start: u64,
    len: usize,
    /// The last of its stream.
    last: bool,
    may_leave_tail: bool,
}

/// Stores the data of all files. `heads` are the lengths of the inodes with their attributes.
pub(super) fn store<C: Content>(
    inodes: &[PlannedInode<'_, C>],
    heads: &[usize],
    options: &Options,
    spool: &mut dyn Spool,
) -> Result<Stored, WriteError> {
    let inline = |index: usize, size| inline_tail(heads[index], size) > 0;
    let variant = |index: usize| inline(index, file_size(&inodes[index]));
    let leaders = equal::leaders(inodes, variant, options.threads)?;
    let mut work = Work {
        inodes,
        heads,
        codec: Codec::new(options),
        fragments: options.fragments,
        threads: options.threads,
        spool,
        stored: Stored {
            places: vec![Place::Nothing; inodes.len()],
            ..Stored::default()
        },
    };
    let own: Vec<usize> = (0..inodes.len())
        .filter(|&i| leaders[i] == i && file_size(&inodes[i]) > 0)
        .collect();
    match options.compression {
        Compression::None => work.place_flat(&own)?,
        _ => work.compress(&own, options)?,
    }
    for (index, &leader) in leaders.iter().enumerate() {
        if leader != index {
            work.stored.places[index] = work.stored.places[leader].clone();
            work.stored.shared_bytes += file_size(&inodes[index]);
        }
    }
    Ok(work.stored)
}

fn file_size<C: Content>(inode: &PlannedInode<'_, C>) -> u64 {
    match inode.body {
        Body::File(content) => content.size_bytes(),
        _ => 0,
    }
}

struct Work<'a, 't, C> {
    inodes: &'a [PlannedInode<'t, C>],
    heads: &'a [usize],
    codec: Codec,
    fragments: bool,
    threads: usize,
    spool: &'a mut dyn Spool,
    stored: Stored,
}

impl<C: Content> Work<'_, '_, C> {
    /// Uncompressed: addresses only, the bytes are copied when the image is written.
    fn place_flat(&mut self, files: &[usize]) -> Result<(), WriteError> {
        for &index in files {
            let size = file_size(&self.inodes[index]);
            let stored = size - inline_tail(self.heads[index], size) as u64;
            let block = self.stored.blocks;
            self.stored.places[index] = Place::Flat { block };
            self.add_blocks(stored.div_ceil(BLOCK_SIZE as u64))?;
        }
        Ok(())
    }

    fn add_blocks(&mut self, count: u64) -> Result<(), WriteError> {
        let total = u64::from(self.stored.blocks) + count;
        self.stored.blocks = u32::try_from(total).map_err(|_| WriteError::TooLarge)?;
        Ok(())
    }

    fn compress(&mut self, files: &[usize], options: &Options) -> Result<(), WriteError> {
        self.stored.spooled = true;
        self.spool.seek(SeekFrom::Start(0))?;
        let small = |&index: &usize| {
            options.fragments && file_size(&self.inodes[index]) <= u64::from(options.cluster_bytes)
        };
        let (mut small, large): (Vec<usize>, Vec<usize>) = files.iter().partition(|i| small(i));
        small.sort_by_key(|&index| likeness(self.inodes[index].path.name()));
        let mut packed = self.compress_files(&large, options.fragments)?;
        packed.extend(small.into_iter().map(|inode| Piece {
            inode,
            from: 0,
            len: file_size(&self.inodes[inode]),
            at: 0,
        }));
        self.compress_packed(packed)
    }

    /// Compresses files apart from each other; gives the tails left for the packed inode.
    fn compress_files(
        &mut self,
        files: &[usize],
        leave_tails: bool,
    ) -> Result<Vec<Piece>, WriteError> {
        let pieces: Vec<Piece> = files
            .iter()
            .map(|&inode| Piece {
                inode,
                from: 0,
                len: file_size(&self.inodes[inode]),
                at: 0,
            })
            .collect();
        let jobs: Vec<Job<'_>> = pieces
            .iter()
            .flat_map(|piece| segments(std::slice::from_ref(piece), piece.len, leave_tails))
            .collect();
        let mut tails = Vec::new();
        let mut file = Open::default();
        self.run(&jobs, |work, job, mut segment| {
            let Piece {
                inode, len: size, ..
            } = job.pieces[0];
            if job.last && inline_tail(work.heads[inode], size) > 0 {
                file.drop_inline(&mut segment);
            }
            work.append(&mut file, segment)?;
            if job.last {
                let open = std::mem::take(&mut file);
                work.close(inode, size, open, &mut tails)?;
            }
            Ok(())
        })?;
        Ok(tails)
    }

    /// Gives a file its place once all its segments are in the spool.
    fn close(
        &mut self,
        inode: usize,
        size: u64,
        open: Open,
        tails: &mut Vec<Piece>,
    ) -> Result<(), WriteError> {
        let from = size - open.tail;
        let tail = Piece {
            inode,
            from,
            len: open.tail,
            at: 0,
        };
        if open.extents.is_empty() && self.fragments {
            tails.push(tail);
        } else if open.tail < BLOCK_SIZE as u64 && open.extents.iter().all(|e| e.plain) {
            // Nothing shrank, so the blocks are the file and need no index.
            if open.tail > 0 && inline_tail(self.heads[inode], size) == 0 {
                let mut block = vec![0; BLOCK_SIZE];
                let piece = &mut block[..open.tail as usize];
                self.read(inode, from, piece)?;
                self.spool.write_all(&block)?;
                self.add_blocks(1)?;
            }
            self.stored.places[inode] = Place::Flat { block: open.block };
        } else {
            let mut place = Place::Clusters {
                block: open.block,
                extents: open.extents,
                tail: Tail::None,
                tail_at: 0,
            };
            if let (Place::Clusters { tail: end, .. }, 1..) = (&mut place, open.tail) {
                *end = Tail::Fragment(open.tail);
                tails.push(tail);
            }
            self.stored.places[inode] = place;
        }
        Ok(())
    }

    /// Compresses the packed inode and tells every piece its place in it.
    fn compress_packed(&mut self, mut pieces: Vec<Piece>) -> Result<(), WriteError> {
        if pieces.is_empty() {
            return Ok(());
        }
        let mut len = 0;
        for piece in &mut pieces {
            piece.at = len;
            len += piece.len;
            match &mut self.stored.places[piece.inode] {
                Place::Clusters { tail_at, .. } => {
                    // The map header has 32 bits for it.
                    if piece.at > u64::from(u32::MAX) {
                        return Err(WriteError::TooLarge);
                    }
                    *tail_at = piece.at;
                }
                place => *place = Place::Fragment { at: piece.at },
            }
        }
        let jobs: Vec<Job<'_>> = segments(&pieces, len, false).collect();
        let mut open = Open::default();
        self.run(&jobs, |work, _, segment| work.append(&mut open, segment))?;
        let place = if open.extents.iter().all(|e| e.plain) {
            Place::Flat { block: open.block }
        } else {
            Place::Clusters {
                block: open.block,
                extents: open.extents,
                tail: Tail::None,
                tail_at: 0,
            }
        };
        self.stored.packed = Some((place, len));
        Ok(())
    }

    /// Appends a segment's clusters to the spool.
    fn append(&mut self, open: &mut Open, segment: Segment) -> Result<(), WriteError> {
        if open.extents.is_empty() {
            open.block = self.stored.blocks;
        }
        self.spool.write_all(&segment.bytes)?;
        self.add_blocks((segment.bytes.len() / BLOCK_SIZE) as u64)?;
        open.extents.extend_from_slice(&segment.extents);
        open.tail = segment.tail as u64;
        Ok(())
    }

    /// Reads and compresses every segment, in parallel, and hands the results on in order.
    fn run(
        &mut self,
        jobs: &[Job<'_>],
        mut consume: impl FnMut(&mut Self, &Job<'_>, Segment) -> Result<(), WriteError>,
    ) -> Result<(), WriteError> {
        let inodes = self.inodes;
        let codec = self.codec;
        let indices: Vec<usize> = (0..jobs.len()).collect();
        let compress = |&index: &usize| {
            let job = &jobs[index];
            let data = read_pieces(inodes, job)?;
            let segment = codec.compress(&data, job.may_leave_tail);
            let segment = segment.map_err(|reason| WriteError::Codec {
                path: inodes[job.pieces[0].inode].path.clone(),
                reason,
            })?;
            Ok::<_, WriteError>((index, segment))
        };
        run_ordered(self.threads, &indices, compress, |result| {
            let (index, segment) = result?;
            consume(self, &jobs[index], segment)
        })
    }

    fn read(&self, inode: usize, from: u64, buffer: &mut [u8]) -> Result<(), WriteError> {
        read(&self.inodes[inode], from, buffer)
    }
}

/// Files that sort together by this are likely to have bytes in common: the same extension, then
/// the same name in several folders (`copyright`, `changelog.gz`, translations).
fn likeness(name: &[u8]) -> (&[u8], &[u8]) {
    let dot = name.iter().rposition(|&b| b == b'.').unwrap_or(name.len());
    (&name[dot..], &name[..dot])
}

/// A stream whose segments are arriving.
#[derive(Default)]
struct Open {
    block: u32,
    extents: Vec<Extent>,
    tail: u64,
}

impl Open {
    /// Takes the last, short block from a file in which nothing shrank: its inode holds it.
    fn drop_inline(&self, segment: &mut Segment) {
        let plain = |extents: &[Extent]| extents.iter().all(|e| e.plain);
        if let Some(short) = segment.extents.last()
            && (short.len as usize) < BLOCK_SIZE
            && plain(&self.extents)
            && plain(&segment.extents)
        {
            segment.tail = short.len as usize;
            segment.extents.pop();
            segment.bytes.truncate(segment.bytes.len() - BLOCK_SIZE);
        }
    }
}

/// Cuts a stream into segments.
fn segments(pieces: &[Piece], len: u64, leave_tail: bool) -> impl Iterator<Item = Job<'_>> {
    let step = SEGMENT_BYTES as u64;
    (0..len.div_ceil(step)).map(move |number| {
        let start = number * step;
        let end = len.min(start + step);
        let first = pieces.partition_point(|p| p.at + p.len <= start);
        let count = pieces[first..].partition_point(|p| p.at < end);
        Job {
            pieces: &pieces[first..first + count],
            start,
            len: (end - start) as usize,
            last: end == len,
            may_leave_tail: leave_tail && end == len,
        }
    })
}

fn read_pieces<C: Content>(
    inodes: &[PlannedInode<'_, C>],
    job: &Job<'_>,
) -> Result<Vec<u8>, WriteError> {
    let mut data = vec![0; job.len];
    let mut filled = 0;
    for piece in job.pieces {
        let skip = (job.start + filled as u64).saturating_sub(piece.at);
        let count = (piece.len - skip).min((job.len - filled) as u64) as usize;
        let target = &mut data[filled..filled + count];
        read(&inodes[piece.inode], piece.from + skip, target)?;
        filled += count;
    }
    Ok(data)
}

/// Reads a range of a regular file.
pub(super) fn read<C: Content>(
    inode: &PlannedInode<'_, C>,
    from: u64,
    buffer: &mut [u8],
) -> Result<(), WriteError> {
    let result = match inode.body {
        Body::File(content) => content.read_at(from, buffer),
        _ => Err(io::Error::other("not a regular file")),
    };
    result.map_err(|source| WriteError::Content {
        path: inode.path.clone(),
        source,
    })
}
