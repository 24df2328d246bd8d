//! Memory that a medium can be handed without a copy.

use memmap2::{Advice, MmapMut};
use std::ops::{Deref, DerefMut, Range};

/// Where in memory a direct transfer may begin: the largest logical sector, which every driver
/// takes.
const ALIGN: usize = 4096;

/// A huge page of the processor, and from which size on a buffer is asked for in such pages.
///
/// A transfer is handed to a driver as a list of pieces that are whole in physical memory. One of
/// 4 MiB in ordinary pages has a thousand of them, more than most devices take at once; so it is cut
/// up, and a fast medium waits for the next part. In huge pages it has two.
const HUGE: usize = 2 << 20;

/// Bytes that begin at a multiple of 4096 in memory, so that a device can move them without the
/// page cache; from 2 MiB on they lie in huge pages where the kernel has some.
#[derive(Debug, Default)]
pub struct AlignedBuffer {
    memory: Memory,
    start: usize,
    length: usize,
}

#[derive(Debug)]
enum Memory {
    Heap(Vec<u8>),
    Pages(MmapMut),
}

impl Default for Memory {
    fn default() -> Self {
        Self::Heap(Vec::new())
    }
}

impl Deref for Memory {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::Heap(bytes) => bytes,
            Self::Pages(pages) => pages,
        }
    }
}

impl Memory {
    /// Zeros in which `length` bytes can begin where a page does, and where that is.
    fn new(length: usize) -> (Self, usize) {
        let pages = (length >= HUGE)
            .then(|| MmapMut::map_anon(length.checked_add(HUGE)?).ok())
            .flatten();
        let (memory, align) = match pages {
            Some(pages) => {
                // A kernel without huge pages has ordinary ones.
                let _ = pages.advise(Advice::HugePage);
                (Self::Pages(pages), HUGE)
            }
            None => (Self::Heap(vec![0; length + ALIGN]), ALIGN),
        };
        let start = memory.as_ptr().align_offset(align).min(align);
        (memory, start)
    }

    fn get_mut(&mut self, range: Range<usize>) -> &mut [u8] {
        match self {
            Self::Heap(bytes) => &mut bytes[range],
            Self::Pages(pages) => &mut pages[range],
        }
    }
}

impl AlignedBuffer {
    /// A buffer of `length` zeros.
    pub fn new(length: usize) -> Self {
        let (memory, start) = Memory::new(length);
        Self {
            memory,
            start,
            length,
        }
    }

    /// Makes it `length` bytes long, of whatever content. Memory is only moved where it grows
    /// beyond what it once held.
    pub fn resize(&mut self, length: usize) {
        if length > self.memory.len() - self.start {
            *self = Self::new(length);
        }
        self.length = length;
    }

    /// Whether a transfer may begin at this address.
    pub fn is_aligned(bytes: &[u8]) -> bool {
        bytes.as_ptr().align_offset(ALIGN) == 0
    }
}

impl Deref for AlignedBuffer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.memory[self.start..self.start + self.length]
    }
}

impl DerefMut for AlignedBuffer {
    fn deref_mut(&mut self) -> &mut [u8] {
        self.memory.get_mut(self.start..self.start + self.length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_stays_aligned_as_it_changes_its_length() {
        let mut buffer = AlignedBuffer::new(512);
        for length in [0, 1, 512, 4096, 1 << 20, 4096, HUGE, 5 << 20, 3] {
            buffer.resize(length);
            assert_eq!(buffer.len(), length);
            buffer.fill(7);
            assert!(AlignedBuffer::is_aligned(&buffer), "{length}");
        }
        buffer.resize(HUGE);
        assert_eq!(buffer.as_ptr().align_offset(HUGE), 0, "whole huge pages");
        assert!(AlignedBuffer::new(3 * HUGE).iter().all(|byte| *byte == 0));
    }
}
