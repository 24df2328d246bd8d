//! Making the tree.

use super::{
    BLOCK_SIZE, DIGEST_SIZE, Hasher, MAX_DATA_BLOCKS, Params, RootHash, Salt, Superblock,
    VerityError,
};
use std::io;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// Blocks that a thread takes at a time: long enough to drown the cost of handing out work.
pub(super) const BLOCKS_PER_TASK: usize = 256;

/// What goes on the disk behind the data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HashArea {
    /// The hash that stands for data and tree.
    pub root_hash: RootHash,
    /// Geometry and salt, for the manifest and the kernel's table.
    pub params: Params,
    /// Superblock and tree, to be written at byte `data_blocks * 4096`.
    pub bytes: Vec<u8>,
}

/// Builds the tree while the data streams by.
///
/// Holds 32 bytes for each 4096 bytes of data, no data beyond one block.
pub struct Builder {
    salt: Salt,
    hasher: Hasher,
    threads: usize,
    partial: Vec<u8>,
    digests: Vec<u8>,
}

impl Builder {
    /// A builder that hashes in the calling thread.
    pub fn new(salt: Salt) -> Self {
        Self {
            hasher: Hasher::new(&salt),
            salt,
            threads: 1,
            partial: Vec::with_capacity(BLOCK_SIZE),
            digests: Vec::new(),
        }
    }

    /// Hashes large chunks on up to `threads` threads; the result does not depend on it.
    #[must_use]
    pub fn threads(mut self, threads: usize) -> Self {
        self.threads = threads.max(1);
        self
    }

    /// Takes the next bytes of the data; chunks may have any size. Several MiB at a time keep
    /// many threads busy.
    pub fn update(&mut self, mut data: &[u8]) {
        if !self.partial.is_empty() {
            let take = data.len().min(BLOCK_SIZE - self.partial.len());
            self.partial.extend_from_slice(&data[..take]);
            data = &data[take..];
            if self.partial.len() < BLOCK_SIZE {
                return;
            }
            self.digests
                .extend_from_slice(&self.hasher.node(&self.partial));
            self.partial.clear();
        }
        let (blocks, rest) = data.split_at(data.len() - data.len() % BLOCK_SIZE);
        hash_blocks(&self.hasher, blocks, self.threads, &mut self.digests);
        self.partial.extend_from_slice(rest);
    }

    /// Ends the data and gives its tree.
    ///
    /// # Errors
    /// [`VerityError::Unaligned`] where the data does not end at a block boundary;
    /// [`VerityError::BadDataBlocks`] where there was none.
    pub fn finish(self) -> Result<HashArea, VerityError> {
        let data_blocks = (self.digests.len() / DIGEST_SIZE) as u64;
        if !self.partial.is_empty() {
            let size = data_blocks * BLOCK_SIZE as u64 + self.partial.len() as u64;
            return Err(VerityError::Unaligned { size });
        }
        let params = Params::new(data_blocks, self.salt)?;
        assemble(params, &self.hasher, self.digests, self.threads)
    }
}

impl io::Write for Builder {
    /// Never fails.
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        self.update(data);
        Ok(data.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Builds the tree over `size_bytes` of data that can be read at any offset, on `threads` threads
/// that each read what they hash.
///
/// `read_at(offset, buffer)` fills the whole buffer with the bytes at `offset`.
///
/// # Errors
/// [`VerityError::Unaligned`] and [`VerityError::BadDataBlocks`] for a size that is no whole,
/// positive number of blocks; [`VerityError::Read`] with a failure of `read_at`.
pub fn compute(
    read_at: &(dyn Fn(u64, &mut [u8]) -> io::Result<()> + Sync),
    size_bytes: u64,
    salt: Salt,
    threads: usize,
) -> Result<HashArea, VerityError> {
    let block = BLOCK_SIZE as u64;
    if !size_bytes.is_multiple_of(block) {
        return Err(VerityError::Unaligned { size: size_bytes });
    }
    let params = Params::new(size_bytes / block, salt)?;
    let hasher = Hasher::new(params.salt());
    let mut digests = zeroed(params.data_blocks())?;
    let tasks: Vec<_> = digests
        .chunks_mut(BLOCKS_PER_TASK * DIGEST_SIZE)
        .map(Mutex::new)
        .collect();
    let error = Mutex::new(None);
    for_each_task(
        tasks.len() as u64,
        threads,
        Vec::new,
        |index, buffer: &mut Vec<u8>| {
            let Ok(mut task) = tasks[index as usize].lock() else {
                return false;
            };
            let offset = index * (BLOCKS_PER_TASK * BLOCK_SIZE) as u64;
            buffer.resize(task.len() / DIGEST_SIZE * BLOCK_SIZE, 0);
            if let Err(source) = read_at(offset, buffer) {
                note_first(&error, offset, source);
                return false;
            }
            let nodes = task.as_chunks_mut::<DIGEST_SIZE>().0;
            for (node, block) in nodes.iter_mut().zip(buffer.chunks_exact(BLOCK_SIZE)) {
                *node = hasher.node(block);
            }
            true
        },
    );
    drop(tasks);
    if let Some(error) = take(error) {
        return Err(error);
    }
    assemble(params, &hasher, digests, threads)
}

/// Room for the digests of `blocks` blocks, or an error where the machine has not that much memory.
fn zeroed(blocks: u64) -> Result<Vec<u8>, VerityError> {
    let mut digests = Vec::new();
    usize::try_from(blocks)
        .ok()
        .and_then(|blocks| blocks.checked_mul(DIGEST_SIZE))
        .and_then(|size| {
            digests.try_reserve_exact(size).ok()?;
            digests.resize(size, 0);
            Some(())
        })
        .ok_or(VerityError::BadDataBlocks {
            data_blocks: blocks,
        })?;
    Ok(digests)
}

/// Keeps the error of the lowest offset, so that threads do not decide which one is told.
pub(super) fn note_first(slot: &Mutex<Option<VerityError>>, offset: u64, source: io::Error) {
    if let Ok(mut slot) = slot.lock() {
        match &*slot {
            Some(VerityError::Read { offset: first, .. }) if *first <= offset => {}
            _ => *slot = Some(VerityError::Read { offset, source }),
        }
    }
}

pub(super) fn take<T: Default>(slot: Mutex<T>) -> T {
    slot.into_inner()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// Runs `run(index, scratch)` for each index below `count` on up to `threads` threads, in any
/// order, until one returns `false`. Each thread has its own scratch.
pub(super) fn for_each_task<S>(
    count: u64,
    threads: usize,
    scratch: impl Fn() -> S + Sync,
    run: impl Fn(u64, &mut S) -> bool + Sync,
) {
    let next = AtomicU64::new(0);
    let stop = AtomicBool::new(false);
    let work = || {
        let mut scratch = scratch();
        while !stop.load(Ordering::Relaxed) {
            let index = next.fetch_add(1, Ordering::Relaxed);
            if index >= count {
                break;
            }
            if !run(index, &mut scratch) {
                stop.store(true, Ordering::Relaxed);
            }
        }
    };
    let threads = threads.clamp(1, usize::try_from(count).unwrap_or(usize::MAX).max(1));
    std::thread::scope(|scope| {
        for _ in 1..threads {
            // Where no thread can be had, the calling thread does the work alone.
            if std::thread::Builder::new()
                .spawn_scoped(scope, work)
                .is_err()
            {
                break;
            }
        }
        work();
    });
}

/// Appends the node of each block of `blocks` (whole blocks) to `digests`.
fn hash_blocks(hasher: &Hasher, blocks: &[u8], threads: usize, digests: &mut Vec<u8>) {
    const TASK: usize = BLOCKS_PER_TASK * BLOCK_SIZE;
    let start = digests.len();
    digests.resize(start + blocks.len() / BLOCK_SIZE * DIGEST_SIZE, 0);
    let fill = |out: &mut [u8], blocks: &[u8]| {
        let nodes = out.as_chunks_mut::<DIGEST_SIZE>().0;
        for (node, block) in nodes.iter_mut().zip(blocks.chunks_exact(BLOCK_SIZE)) {
            *node = hasher.node(block);
        }
    };
    let out = &mut digests[start..];
    if threads == 1 || blocks.len() < 2 * TASK {
        return fill(out, blocks);
    }
    let tasks: Vec<_> = out
        .chunks_mut(BLOCKS_PER_TASK * DIGEST_SIZE)
        .zip(blocks.chunks(TASK))
        .map(Mutex::new)
        .collect();
    for_each_task(
        tasks.len() as u64,
        threads,
        || (),
        |index, ()| match tasks[index as usize].lock() {
            Ok(mut task) => {
                let (out, blocks) = &mut *task;
                fill(out, blocks);
                true
            }
            Err(_) => false,
        },
    );
}

/// Builds the levels above the data blocks' digests and lays out the hash area.
fn assemble(
    params: Params,
    hasher: &Hasher,
    mut level: Vec<u8>,
    threads: usize,
) -> Result<HashArea, VerityError> {
    debug_assert!(params.data_blocks() <= MAX_DATA_BLOCKS);
    let mut levels = Vec::new();
    while level.len() > DIGEST_SIZE {
        level.resize(level.len().next_multiple_of(BLOCK_SIZE), 0);
        let mut above = Vec::new();
        hash_blocks(hasher, &level, threads, &mut above);
        levels.push(std::mem::replace(&mut level, above));
    }
    let mut root = [0; DIGEST_SIZE];
    root.copy_from_slice(&level);
    let root_hash = RootHash(root);
    let mut bytes = Superblock::new(&params, &root_hash).to_block().to_vec();
    bytes.reserve_exact(levels.iter().map(Vec::len).sum());
    for level in levels.iter().rev() {
        bytes.extend_from_slice(level);
    }
    Ok(HashArea {
        root_hash,
        params,
        bytes,
    })
}
