//! The writer: plan, store data, place metadata, write.

mod cluster;
mod data;
mod directory;
mod equal;
mod index;
mod inodes;
mod meta;
mod parallel;
mod xattr;

use std::io::{self, Read, Seek, SeekFrom, Write};

use self::cluster::Codec;
use self::data::{Place, Stored};
use self::inodes::{Body, PlannedInode};
use self::meta::{Addresses, Emitter};
use self::xattr::Attributes;
use super::content::Content;
use super::error::WriteError;
use super::format::{
    BLOCK_SIZE, SUPERBLOCK_OFFSET, SUPERBLOCK_SIZE, Superblock, algorithm, checksum, compat,
    incompat, mode,
};
use super::options::{Compression, Options};
use crate::tree::{Metadata, Tree, TreePath};

/// Where compressed data waits until the metadata that names it is known: an unnamed file, or
/// `io::Cursor<Vec<u8>>`. Written from its start; uncompressed images do not touch it.
pub trait Spool: Read + Write + Seek {}

impl<T: Read + Write + Seek + ?Sized> Spool for T {}

/// Figures of a written image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Summary {
    /// Length of the image: whole blocks of 4096 bytes.
    pub size_bytes: u64,
    /// Bytes of it before the data area: superblock, inodes, directories.
    pub metadata_bytes: u64,
    /// Inodes, the packed one included.
    pub inodes: u64,
    /// Sum of the sizes of all regular files.
    pub content_bytes: u64,
    /// Bytes of those that equal another file's and were not stored again.
    pub shared_bytes: u64,
    /// Bytes of those that are in the packed inode.
    pub packed_bytes: u64,
}

/// Bytes copied at once.
const COPY_BYTES: usize = 1 << 20;

/// Writes `tree` as an EROFS image to `out`, front to back, each byte once.
///
/// Times are 0. Memory: a few MiB per thread, plus about 200 bytes per node and 12 bytes per
/// cluster.
///
/// # Errors
/// [`WriteError`]; then `out` and `spool` hold nothing of use.
pub fn write<C: Content>(
    tree: &Tree<C>,
    options: &Options,
    spool: &mut dyn Spool,
    out: &mut dyn Write,
) -> Result<Summary, WriteError> {
    options.check()?;
    let mut inodes = inodes::plan(tree)?;
    let attributes = Attributes::plan(&inodes)?;
    let heads: Vec<usize> = inodes
        .iter()
        .enumerate()
        .map(|(index, inode)| meta::head_len(inode, &attributes, index))
        .collect();
    let mut stored = data::store(&inodes, &heads, options, spool)?;
    let (packed_path, packed_metadata) = (TreePath::ROOT, Metadata::default());
    let packed = stored.packed.take();
    let packed_bytes = packed.as_ref().map_or(0, |(_, size)| *size);
    let packed_index = packed.is_some().then_some(inodes.len());
    if let Some((place, size)) = packed {
        inodes.push(PlannedInode {
            path: &packed_path,
            metadata: &packed_metadata,
            mode: mode::FILE,
            links: 1,
            body: Body::Packed { size },
        });
        stored.places.push(place);
    }

    let configuration = Configuration::new(options, packed_index.is_some());
    let emitter = Emitter {
        inodes: &inodes,
        attributes: &attributes,
        places: &stored.places,
        algorithm: configuration.algorithm,
    };
    let shared = (SUPERBLOCK_OFFSET + SUPERBLOCK_SIZE + configuration.bytes.len()) as u64;
    let shared = shared.next_multiple_of(4);
    let addresses = emitter.place(shared, shared + attributes.shared.len() as u64)?;
    let total = u64::from(addresses.data) + u64::from(stored.blocks);
    let superblock = Superblock {
        compatible: compat::CHECKSUM | compat::MTIME,
        incompatible: configuration.incompatible,
        root_nid: addresses.nid(0) as u16,
        inodes: inodes.len() as u64,
        blocks: u32::try_from(total).map_err(|_| WriteError::TooLarge)?,
        meta_block: 0,
        xattr_block: 0,
        uuid: options.uuid,
        label: options.label,
        algorithms: configuration.algorithms,
        packed_nid: packed_index.map_or(0, |index| addresses.nid(index)),
    };

    let mut image = Output::new(out);
    image.pad_to(SUPERBLOCK_OFFSET as u64)?;
    image.write(&superblock.to_bytes())?;
    image.write(&configuration.bytes)?;
    image.pad_to(shared)?;
    image.write(&attributes.shared)?;
    write_metadata(&emitter, &addresses, &mut image)?;
    write_data(&emitter, &stored, spool, &mut image)?;
    image.finish()?;
    let files = inodes.iter().filter(|i| matches!(i.body, Body::File(_)));
    Ok(Summary {
        size_bytes: total * BLOCK_SIZE as u64,
        metadata_bytes: u64::from(addresses.data) * BLOCK_SIZE as u64,
        inodes: inodes.len() as u64,
        content_bytes: files.map(meta::size).sum(),
        shared_bytes: stored.shared_bytes,
        packed_bytes,
    })
}

/// What the superblock says about compression.
struct Configuration {
    incompatible: u32,
    algorithms: u16,
    algorithm: u8,
    /// The algorithm's configuration, behind the superblock.
    bytes: Vec<u8>,
}

impl Configuration {
    fn new(options: &Options, fragments: bool) -> Self {
        let mut configuration = Self {
            incompatible: 0,
            algorithms: 0,
            algorithm: 0,
            bytes: Vec::new(),
        };
        match options.compression {
            Compression::None => return configuration,
            Compression::Lz4 => {
                let blocks = (options.cluster_bytes as usize / BLOCK_SIZE) as u16;
                configuration.algorithm = algorithm::LZ4;
                configuration.bytes.extend_from_slice(&14u16.to_le_bytes());
                configuration
                    .bytes
                    .extend_from_slice(&u16::MAX.to_le_bytes());
                configuration.bytes.extend_from_slice(&blocks.to_le_bytes());
                configuration.bytes.resize(16, 0);
            }
            Compression::Zstd(_) => {
                let window = Codec::new(options).window_log() as u8;
                configuration.algorithm = algorithm::ZSTD;
                configuration.bytes.extend_from_slice(&6u16.to_le_bytes());
                configuration.bytes.extend_from_slice(&[0, window - 10]);
                configuration.bytes.resize(8, 0);
            }
        }
        configuration.algorithms = 1 << configuration.algorithm;
        configuration.incompatible = incompat::ZERO_PADDING | incompat::CONFIGURATIONS;
        if fragments {
            configuration.incompatible |= incompat::FRAGMENTS;
        }
        configuration
    }
}

/// Inodes with their tails in the order of their offsets, then directory and link blocks.
fn write_metadata<C: Content>(
    emitter: &Emitter<'_, '_, C>,
    addresses: &Addresses,
    image: &mut Output<'_>,
) -> Result<(), WriteError> {
    let mut order: Vec<usize> = (0..emitter.inodes.len()).collect();
    order.sort_unstable_by_key(|&index| addresses.inodes[index]);
    let mut bytes = Vec::new();
    for index in order {
        image.pad_to(addresses.inodes[index])?;
        bytes.clear();
        emitter.head(index, addresses, &mut bytes);
        let tail = emitter.inline(index);
        if tail > 0 {
            let inode = &emitter.inodes[index];
            let size = meta::size(inode);
            if matches!(inode.body, Body::File(_)) {
                let start = bytes.len();
                bytes.resize(start + tail, 0);
                data::read(inode, size - tail as u64, &mut bytes[start..])?;
            } else {
                let number = (size / BLOCK_SIZE as u64) as usize;
                emitter.block(index, number, addresses, &mut bytes);
            }
        }
        image.write(&bytes)?;
    }
    image.pad_to_block()?;
    for (index, inode) in emitter.inodes.iter().enumerate() {
        if !matches!(inode.body, Body::Directory(_) | Body::Symlink(_)) {
            continue;
        }
        for number in 0..emitter.flat_blocks(index) {
            bytes.clear();
            emitter.block(index, number as usize, addresses, &mut bytes);
            image.write(&bytes)?;
            image.pad_to_block()?;
        }
    }
    Ok(())
}

/// The data area: from the spool, or from the contents themselves.
fn write_data<C: Content>(
    emitter: &Emitter<'_, '_, C>,
    stored: &Stored,
    spool: &mut dyn Spool,
    image: &mut Output<'_>,
) -> Result<(), WriteError> {
    let mut buffer = vec![0; COPY_BYTES];
    if stored.spooled {
        spool.seek(SeekFrom::Start(0))?;
        let mut left = u64::from(stored.blocks) * BLOCK_SIZE as u64;
        while left > 0 {
            let piece = &mut buffer[..left.min(COPY_BYTES as u64) as usize];
            spool.read_exact(piece)?;
            image.write(piece)?;
            left -= piece.len() as u64;
        }
        return Ok(());
    }
    let mut next = 0;
    for (index, place) in stored.places.iter().enumerate() {
        // Blocks were given out in this order; a shared place is behind us already.
        let Place::Flat { block } = place else {
            continue;
        };
        if *block != next || emitter.flat_blocks(index) == 0 {
            continue;
        }
        let inode = &emitter.inodes[index];
        let end = meta::size(inode) - emitter.inline(index) as u64;
        let mut at = 0;
        while at < end {
            let piece = &mut buffer[..(end - at).min(COPY_BYTES as u64) as usize];
            data::read(inode, at, piece)?;
            image.write(piece)?;
            at += piece.len() as u64;
        }
        image.pad_to_block()?;
        next += emitter.flat_blocks(index) as u32;
    }
    Ok(())
}

/// The image being written. The first block is held back until it is whole, for its checksum.
struct Output<'a> {
    inner: &'a mut dyn Write,
    first: Vec<u8>,
    position: u64,
}

impl<'a> Output<'a> {
    fn new(inner: &'a mut dyn Write) -> Self {
        Self {
            inner,
            first: Vec::with_capacity(BLOCK_SIZE),
            position: 0,
        }
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.position += bytes.len() as u64;
        let held = bytes.len().min(BLOCK_SIZE - self.first.len());
        if held == 0 {
            return self.inner.write_all(bytes);
        }
        let (first, rest) = bytes.split_at(held);
        self.first.extend_from_slice(first);
        if self.first.len() == BLOCK_SIZE {
            let at = SUPERBLOCK_OFFSET + 4;
            let sum = checksum(&self.first);
            self.first[at..at + 4].copy_from_slice(&sum.to_le_bytes());
            self.inner.write_all(&self.first)?;
        }
        self.inner.write_all(rest)
    }

    fn pad_to(&mut self, position: u64) -> io::Result<()> {
        let zeros = [0; BLOCK_SIZE];
        while self.position < position {
            let count = (position - self.position).min(BLOCK_SIZE as u64) as usize;
            self.write(&zeros[..count])?;
        }
        Ok(())
    }

    fn pad_to_block(&mut self) -> io::Result<()> {
        self.pad_to(self.position.next_multiple_of(BLOCK_SIZE as u64))
    }

    fn finish(&mut self) -> io::Result<()> {
        self.pad_to_block()?;
        self.inner.flush()
    }
}
