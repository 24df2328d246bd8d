//! A disk in memory.

use super::{BlockDevice, check_write};
use std::io;

/// A disk in memory, all zero at first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemoryDevice {
    sector_size: u32,
    bytes: Vec<u8>,
    zeroed: bool,
}

impl MemoryDevice {
    /// A disk of `size_bytes`, rounded down to whole sectors.
    pub fn new(size_bytes: usize, sector_size: u32) -> Self {
        let bytes = vec![0; size_bytes - size_bytes % sector_size.max(1) as usize];
        Self {
            sector_size,
            bytes,
            zeroed: true,
        }
    }

    /// A disk that holds `bytes`, a whole number of sectors.
    pub fn from_bytes(bytes: Vec<u8>, sector_size: u32) -> Self {
        Self {
            sector_size,
            bytes,
            zeroed: false,
        }
    }

    /// Its bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The bytes that it held at the end.
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    /// Its bytes, to be changed behind the disk's back.
    pub fn bytes_mut(&mut self) -> &mut Vec<u8> {
        self.zeroed = false;
        &mut self.bytes
    }
}

impl BlockDevice for MemoryDevice {
    fn sector_size(&self) -> u32 {
        self.sector_size
    }

    fn size_bytes(&self) -> u64 {
        self.bytes.len() as u64
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        nos_formats::read_at::ReadAt::read_at(&self.bytes, offset, buf)
    }

    fn write_at(&mut self, offset: u64, data: &[u8]) -> io::Result<()> {
        check_write(self, offset, data.len())?;
        self.bytes[offset as usize..][..data.len()].copy_from_slice(data);
        Ok(())
    }

    fn write_zeroes(&mut self, offset: u64, length: u64) -> io::Result<()> {
        super::write_zeroes(self, offset, length)
    }

    /// Leaves rubbish, so that a test fails where what was discarded matters.
    fn discard(&mut self, offset: u64, length: u64) -> io::Result<()> {
        let length = usize::try_from(length).map_err(io::Error::other)?;
        check_write(self, offset, length)?;
        self.bytes[offset as usize..][..length].fill(0xDB);
        self.zeroed = false;
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn starts_zeroed(&self) -> bool {
        self.zeroed
    }
}
