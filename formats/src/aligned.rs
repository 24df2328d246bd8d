//! Memory that a medium can be handed without a copy.

use std::ops::{Deref, DerefMut};

/// Where in memory a direct transfer may begin: the largest logical sector, which every driver
/// takes.
const ALIGN: usize = 4096;

/// Bytes that begin at a multiple of 4096 in memory, so that a device can move them without the
/// page cache.
#[derive(Debug, Default)]
pub struct AlignedBuffer {
    bytes: Vec<u8>,
    start: usize,
    length: usize,
}

impl AlignedBuffer {
    /// A buffer of `length` zeros.
    pub fn new(length: usize) -> Self {
        let bytes = vec![0; length + ALIGN];
        let start = bytes.as_ptr().align_offset(ALIGN).min(ALIGN);
        Self {
            bytes,
            start,
            length,
        }
    }

    /// Makes it `length` bytes long, of whatever content. Memory is only moved where it grows
    /// beyond what it once held.
    pub fn resize(&mut self, length: usize) {
        if length > self.bytes.len() - self.start {
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
        &self.bytes[self.start..self.start + self.length]
    }
}

impl DerefMut for AlignedBuffer {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.bytes[self.start..self.start + self.length]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_stays_aligned_as_it_changes_its_length() {
        let mut buffer = AlignedBuffer::new(512);
        for length in [0, 1, 512, 4096, 1 << 20, 4096, 3] {
            buffer.resize(length);
            assert_eq!(buffer.len(), length);
            buffer.fill(7);
            assert!(AlignedBuffer::is_aligned(&buffer), "{length}");
        }
    }
}
