//! Checking an image against its root hash while it streams by.

use super::{BLOCK_SIZE, Builder, HashArea, Params, Region, RootHash, VerityError};

/// Checks an image's bytes in their order, without reading anything twice.
///
/// Holds 32 bytes for each 4096 bytes of data, and at the end a tree of the same size.
pub struct StreamChecker {
    root_hash: RootHash,
    data_bytes: u64,
    size_bytes: u64,
    /// Byte at which superblock and tree begin, or the tree alone where there is no superblock.
    area_start: u64,
    has_superblock: bool,
    builder: Option<Builder>,
    /// Superblock and tree as they must be, once all data was there.
    area: Vec<u8>,
    position: u64,
    bad: Option<Region>,
}

impl StreamChecker {
    /// A checker for an image of this shape. Large chunks are hashed on up to `threads` threads.
    pub fn new(params: &Params, root_hash: RootHash, threads: usize) -> Self {
        let block = BLOCK_SIZE as u64;
        let has_superblock = params.hash_start_block() > params.data_blocks();
        Self {
            root_hash,
            data_bytes: params.data_blocks() * block,
            size_bytes: params.size_bytes(),
            area_start: (params.hash_start_block() - u64::from(has_superblock)) * block,
            has_superblock,
            builder: Some(Builder::new(params.salt().clone()).threads(threads)),
            area: Vec::new(),
            position: 0,
            bad: None,
        }
    }

    /// Takes the image's next bytes; chunks may have any size. What lies between data and tree, or
    /// behind the tree, may be anything.
    ///
    /// # Errors
    /// Those of [`Builder::finish`], which a [`Params`] leaves no room for.
    pub fn update(&mut self, chunk: &[u8]) -> Result<(), VerityError> {
        let left = self.data_bytes.saturating_sub(self.position);
        let length = usize::try_from(left).unwrap_or(usize::MAX).min(chunk.len());
        let (data, behind) = chunk.split_at(length);
        if let Some(builder) = &mut self.builder {
            builder.update(data);
        }
        self.position += data.len() as u64;
        if self.position == self.data_bytes
            && let Some(builder) = self.builder.take()
        {
            let HashArea {
                root_hash, bytes, ..
            } = builder.finish()?;
            if root_hash != self.root_hash {
                self.bad = Some(Region::Data);
            }
            self.area = bytes;
            if !self.has_superblock {
                self.area.drain(..BLOCK_SIZE);
            }
        }
        self.compare(behind);
        self.position += behind.len() as u64;
        Ok(())
    }

    /// Compares what is neither data nor padding with what it must be.
    fn compare(&mut self, behind: &[u8]) {
        let (from, to) = (self.position, self.position + behind.len() as u64);
        let area_end = self.area_start + self.area.len() as u64;
        let (start, end) = (from.max(self.area_start), to.min(area_end));
        if self.bad.is_some() || start >= end {
            return;
        }
        let found = &behind[(start - from) as usize..(end - from) as usize];
        let wanted = &self.area[(start - self.area_start) as usize..][..found.len()];
        if let Some(at) = (found != wanted)
            .then(|| found.iter().zip(wanted).position(|(a, b)| a != b))
            .flatten()
        {
            let in_superblock =
                self.has_superblock && start + at as u64 - self.area_start < BLOCK_SIZE as u64;
            self.bad = Some(match in_superblock {
                true => Region::Superblock,
                false => Region::Tree,
            });
        }
    }

    /// The first part that is not what the root hash says, or that has not come to its end.
    pub fn finish(self) -> Option<Region> {
        match self.bad {
            None if self.position < self.data_bytes => Some(Region::Data),
            None if self.position < self.size_bytes => Some(Region::Tree),
            bad => bad,
        }
    }
}
