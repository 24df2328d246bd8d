//! Checking an image against its root hash.

use super::build::{for_each_task, note_first, take};
use super::{
    BLOCK_SIZE, DIGEST_SIZE, DIGESTS_PER_BLOCK, Hasher, Params, RootHash, Superblock, VerityError,
};
use crate::aligned::AlignedBuffer;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::ops::Range;
use std::sync::Mutex;

/// Data blocks that a thread reads in one go: 2 MiB, so that a medium is not asked for little, and
/// whole blocks of digests.
const BLOCKS_PER_TASK: usize = 4 * DIGESTS_PER_BLOCK;

/// Most ranges listed in a [`Report`]; the counts go on beyond it.
pub const MAX_BAD_RANGES: usize = 1024;

/// Which part of an image a block belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Region {
    /// The data itself. A block whose digest lies in a damaged tree block counts too: the kernel
    /// refuses to read it.
    Data,
    /// cryptsetup's superblock, which the kernel never reads.
    Superblock,
    /// The hash tree.
    Tree,
}

/// Neighbouring damaged blocks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadRange {
    /// What they are.
    pub region: Region,
    /// Their numbers, in blocks of 4096 bytes from the start of the image.
    pub blocks: Range<u64>,
}

/// What a check found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Report {
    /// Number of damaged or unreachable data blocks.
    pub bad_data_blocks: u64,
    /// Number of damaged tree blocks, those below a damaged one not counted.
    pub bad_tree_blocks: u64,
    /// Where the damage is, by block number; cut after [`MAX_BAD_RANGES`].
    pub ranges: Vec<BadRange>,
}

impl Report {
    /// Whether every byte is as it was written.
    pub fn is_clean(&self) -> bool {
        self.ranges.is_empty()
    }
}

/// Reads a whole image and checks every block of data, tree and superblock.
///
/// `read_at(offset, buffer)` fills the whole buffer with the image's bytes at `offset`;
/// `on_blocks(n)` is told, from any thread, that `n` more data blocks have been checked.
/// Memory does not grow with the image, only with the damage.
///
/// # Errors
/// [`VerityError::Read`] with the first failure of `read_at`. Damage is no error but a report.
pub fn verify(
    read_at: &(dyn Fn(u64, &mut [u8]) -> io::Result<()> + Sync),
    params: &Params,
    root_hash: &RootHash,
    threads: usize,
    on_blocks: &(dyn Fn(u64) + Sync),
) -> Result<Report, VerityError> {
    let hasher = Hasher::new(params.salt());
    let damage = Mutex::new(Damage::default());
    let error = Mutex::new(None);
    let checker = || Checker {
        read_at,
        hasher: &hasher,
        root_hash,
        levels: params.levels(),
        cache: Vec::new(),
        bad_tree: BTreeSet::new(),
        buffer: AlignedBuffer::default(),
        leaves: AlignedBuffer::default(),
        leaves_at: 0,
    };
    let tasks = params.data_blocks().div_ceil(BLOCKS_PER_TASK as u64);
    for_each_task(tasks, threads, checker, |task, checker| {
        let first = task * BLOCKS_PER_TASK as u64;
        let count = (params.data_blocks() - first).min(BLOCKS_PER_TASK as u64);
        let checked = checker.check_data(first, count as usize);
        let bad_tree = std::mem::take(&mut checker.bad_tree);
        match checked {
            Ok(bad) => {
                if let Ok(mut damage) = damage.lock() {
                    damage.tree.extend(bad_tree);
                    if bad.iter().any(|word| *word != 0) {
                        damage.data.insert(first, bad);
                    }
                }
                on_blocks(count);
                true
            }
            Err((offset, source)) => {
                note_first(&error, offset, source);
                false
            }
        }
    });
    if let Some(error) = take(error) {
        return Err(error);
    }
    let mut damage = take(damage);
    if params.hash_start_block() > params.data_blocks() {
        let at = params.hash_start_block() - 1;
        damage.superblock = superblock_damage(read_at, params, root_hash, at)?;
    }
    Ok(damage.report())
}

/// The superblock's block number where it is not byte for byte what we write.
fn superblock_damage(
    read_at: &(dyn Fn(u64, &mut [u8]) -> io::Result<()> + Sync),
    params: &Params,
    root_hash: &RootHash,
    at: u64,
) -> Result<Option<u64>, VerityError> {
    let mut block = [0; BLOCK_SIZE];
    let offset = at * BLOCK_SIZE as u64;
    read_at(offset, &mut block).map_err(|source| VerityError::Read { offset, source })?;
    let wanted = Superblock::new(params, root_hash).to_block();
    Ok((block != wanted).then_some(at))
}

/// One bit for each data block of a task.
type Bits = [u64; BLOCKS_PER_TASK / 64];

/// What the threads have found, kept in a form that does not depend on who found it.
#[derive(Default)]
struct Damage {
    /// By first block of the task.
    data: BTreeMap<u64, Bits>,
    superblock: Option<u64>,
    tree: BTreeSet<u64>,
}

impl Damage {
    fn report(self) -> Report {
        let data = self.data.iter().flat_map(|(first, bits)| {
            (0..BLOCKS_PER_TASK)
                .filter(move |i| bits[i / 64] >> (i % 64) & 1 == 1)
                .map(move |i| (Region::Data, first + i as u64))
        });
        let superblock = self.superblock.iter().map(|at| (Region::Superblock, *at));
        let tree = self.tree.iter().map(|at| (Region::Tree, *at));
        let mut report = Report::default();
        for (region, block) in data.chain(superblock).chain(tree) {
            match region {
                Region::Data => report.bad_data_blocks += 1,
                Region::Tree => report.bad_tree_blocks += 1,
                Region::Superblock => {}
            }
            let full = report.ranges.len() == MAX_BAD_RANGES;
            match report.ranges.last_mut() {
                Some(last) if last.region == region && last.blocks.end == block => {
                    last.blocks.end += 1;
                }
                _ if !full => report.ranges.push(BadRange {
                    region,
                    blocks: block..block + 1,
                }),
                _ => {}
            }
        }
        report
    }
}

/// One thread's way down the tree: per level, the last block it looked at.
struct Checker<'a> {
    read_at: &'a (dyn Fn(u64, &mut [u8]) -> io::Result<()> + Sync),
    hasher: &'a Hasher,
    root_hash: &'a RootHash,
    /// Blocks of each level, the digests of data blocks first.
    levels: Vec<Range<u64>>,
    cache: Vec<Option<CachedBlock>>,
    bad_tree: BTreeSet<u64>,
    buffer: AlignedBuffer,
    /// The blocks with the digests of the data that is looked at, read in one go, and where in
    /// the image they begin.
    leaves: AlignedBuffer,
    leaves_at: u64,
}

/// A tree block and whether it may be believed.
struct CachedBlock {
    index: u64,
    bytes: Box<[u8; BLOCK_SIZE]>,
    good: bool,
}

type ReadResult<T> = Result<T, (u64, io::Error)>;

impl Checker<'_> {
    /// Checks data blocks `first .. first + count` and gives those that are bad.
    fn check_data(&mut self, first: u64, count: usize) -> ReadResult<Bits> {
        let mut buffer = std::mem::take(&mut self.buffer);
        buffer.resize(count * BLOCK_SIZE);
        let offset = first * BLOCK_SIZE as u64;
        (self.read_at)(offset, &mut buffer).map_err(|e| (offset, e))?;
        self.read_leaves(first, count)?;
        let mut bad = Bits::default();
        for (i, block) in buffer.chunks_exact(BLOCK_SIZE).enumerate() {
            let expected = self.expected(0, first + i as u64)?;
            if expected != Some(self.hasher.node(block)) {
                bad[i / 64] |= 1 << (i % 64);
            }
        }
        self.buffer = buffer;
        Ok(bad)
    }

    /// Reads the blocks with the digests of data blocks `first .. first + count`.
    fn read_leaves(&mut self, first: u64, count: usize) -> ReadResult<()> {
        let Some(blocks) = self.levels.first() else {
            return Ok(());
        };
        let per_block = DIGESTS_PER_BLOCK as u64;
        let parents = first / per_block..(first + count as u64).div_ceil(per_block);
        self.leaves_at = (blocks.start + parents.start) * BLOCK_SIZE as u64;
        let length = (parents.end - parents.start) as usize * BLOCK_SIZE;
        self.leaves.resize(length);
        (self.read_at)(self.leaves_at, &mut self.leaves).map_err(|e| (self.leaves_at, e))
    }

    /// The believed digest of block `index` of what lies below `level`; `None` where the tree
    /// block that should hold it is damaged.
    fn expected(&mut self, level: usize, index: u64) -> ReadResult<Option<[u8; DIGEST_SIZE]>> {
        let Some(blocks) = self.levels.get(level).cloned() else {
            return Ok(Some(self.root_hash.0));
        };
        let parent = index / DIGESTS_PER_BLOCK as u64;
        let slot = (index % DIGESTS_PER_BLOCK as u64) as usize;
        if self.cache.len() <= level {
            self.cache.resize_with(level + 1, || None);
        }
        let cached = self.cache[level]
            .take()
            .filter(|block| block.index == parent);
        let block = match cached {
            Some(block) => block,
            None => self.load(level, parent, blocks.start + parent)?,
        };
        let mut digest = [0; DIGEST_SIZE];
        digest.copy_from_slice(&block.bytes[slot * DIGEST_SIZE..][..DIGEST_SIZE]);
        let good = block.good;
        self.cache[level] = Some(block);
        Ok(good.then_some(digest))
    }

    /// Reads block `index` of `level`, which is block `at` of the image, and judges it.
    /// Recurses one level up at a time; there are at most eight.
    fn load(&mut self, level: usize, index: u64, at: u64) -> ReadResult<CachedBlock> {
        let expected = self.expected(level + 1, index)?;
        let mut bytes = Box::new([0; BLOCK_SIZE]);
        let offset = at * BLOCK_SIZE as u64;
        let leaf = offset
            .checked_sub(self.leaves_at)
            .and_then(|at| self.leaves.get(at as usize..)?.get(..BLOCK_SIZE));
        match leaf {
            Some(leaf) if level == 0 => bytes.copy_from_slice(leaf),
            _ => (self.read_at)(offset, bytes.as_mut_slice()).map_err(|e| (offset, e))?,
        }
        let good = match expected {
            Some(digest) if digest == self.hasher.node(bytes.as_slice()) => true,
            Some(_) => {
                self.bad_tree.insert(at);
                false
            }
            None => false,
        };
        Ok(CachedBlock { index, bytes, good })
    }
}
