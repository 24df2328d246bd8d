//! A disk of which only what was changed is kept, so that many states of it cost little, and
//! which tells states apart by a number.

use nos_disk::{BlockDevice, MemoryDevice};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

/// The content of a sector, and a number for it at its place.
#[derive(Debug, Clone)]
pub(crate) struct Sector {
    pub(crate) bytes: Arc<[u8]>,
    hash: u128,
}

impl Sector {
    pub(crate) fn new(offset: u64, bytes: &[u8]) -> Self {
        let digest = Sha256::new_with_prefix(offset.to_le_bytes())
            .chain_update(bytes)
            .finalize();
        Self {
            bytes: bytes.into(),
            hash: u128::from_le_bytes(digest[..16].try_into().unwrap()),
        }
    }
}

/// A disk in memory that is cheap to copy.
#[derive(Debug, Clone)]
pub(crate) struct CowDevice {
    base: Arc<Vec<u8>>,
    sector_size: u32,
    /// Sectors that are not as in `base`, by offset.
    changed: BTreeMap<u64, Sector>,
    /// A number for all of these together.
    hash: u128,
}

impl CowDevice {
    pub(crate) fn new(mut device: MemoryDevice) -> Self {
        let sector_size = device.sector_size();
        Self {
            base: Arc::new(std::mem::take(device.bytes_mut())),
            sector_size,
            changed: BTreeMap::new(),
            hash: 0,
        }
    }

    /// The same with what was changed as the base; a copy of everything.
    pub(crate) fn settled(&self) -> Self {
        Self::new(MemoryDevice::from_bytes(self.to_vec(), self.sector_size))
    }

    /// A copy of every byte.
    pub(crate) fn to_vec(&self) -> Vec<u8> {
        let mut bytes = self.base.to_vec();
        for (offset, sector) in &self.changed {
            bytes[*offset as usize..][..sector.bytes.len()].copy_from_slice(&sector.bytes);
        }
        bytes
    }

    /// The same on a device with so many more bytes, all zero.
    pub(crate) fn larger_by(&self, bytes: usize) -> Self {
        let mut all = self.to_vec();
        all.resize(all.len() + bytes, 0);
        Self::new(MemoryDevice::from_bytes(all, self.sector_size))
    }

    /// A copy of it on a device with so many bytes fewer.
    pub(crate) fn smaller_by(&self, bytes: usize) -> Self {
        let mut all = self.to_vec();
        all.truncate(all.len() - bytes);
        Self::new(MemoryDevice::from_bytes(all, self.sector_size))
    }

    /// A number that tells states with the same base apart.
    pub(crate) fn hash(&self) -> u128 {
        self.hash
    }

    /// Whether the sector at `offset` has this content.
    pub(crate) fn holds(&self, offset: u64, bytes: &[u8]) -> bool {
        match self.changed.get(&offset) {
            Some(sector) => *sector.bytes == *bytes,
            None => &self.base[offset as usize..][..bytes.len()] == bytes,
        }
    }

    pub(crate) fn put(&mut self, offset: u64, sector: &Sector) {
        let before = match self.base[offset as usize..][..sector.bytes.len()] == *sector.bytes {
            true => self.changed.remove(&offset),
            false => {
                self.hash ^= sector.hash;
                self.changed.insert(offset, sector.clone())
            }
        };
        self.hash ^= before.map_or(0, |before| before.hash);
    }

    /// Bytes from `offset` on.
    pub(crate) fn bytes(&self, offset: u64, length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        self.read_at(offset, &mut bytes).unwrap();
        bytes
    }

    /// Changes bytes behind the disk's back; they need not be whole sectors.
    pub(crate) fn scribble(&mut self, offset: u64, bytes: &[u8]) {
        let size = u64::from(self.sector_size);
        let start = offset - offset % size;
        let end = (offset + bytes.len() as u64).next_multiple_of(size);
        let mut whole = self.bytes(start, (end - start) as usize);
        whole[(offset - start) as usize..][..bytes.len()].copy_from_slice(bytes);
        self.write_at(start, &whole).unwrap();
    }

    /// The first sector that begins so.
    pub(crate) fn find_sector(&self, start: &[u8]) -> Option<u64> {
        let sectors = (0..self.size_bytes()).step_by(self.sector_size as usize);
        let mut sectors = sectors.filter(|offset| match self.changed.get(offset) {
            Some(sector) => sector.bytes.starts_with(start),
            None => self.base[*offset as usize..].starts_with(start),
        });
        sectors.next()
    }
}

impl BlockDevice for CowDevice {
    fn sector_size(&self) -> u32 {
        self.sector_size
    }

    fn size_bytes(&self) -> u64 {
        self.base.len() as u64
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        let end = offset + buf.len() as u64;
        let base = self.base.get(offset as usize..end as usize);
        buf.copy_from_slice(base.ok_or(io::ErrorKind::UnexpectedEof)?);
        let size = u64::from(self.sector_size);
        for (start, sector) in self.changed.range(offset - offset % size..end) {
            let from = offset.max(*start);
            let to = end.min(start + size);
            let source = &sector.bytes[(from - start) as usize..(to - start) as usize];
            buf[(from - offset) as usize..(to - offset) as usize].copy_from_slice(source);
        }
        Ok(())
    }

    fn write_at(&mut self, offset: u64, data: &[u8]) -> io::Result<()> {
        assert_eq!(offset % u64::from(self.sector_size), 0);
        for (index, bytes) in data.chunks_exact(self.sector_size as usize).enumerate() {
            let offset = offset + (index * bytes.len()) as u64;
            self.put(offset, &Sector::new(offset, bytes));
        }
        Ok(())
    }

    fn write_zeroes(&mut self, offset: u64, length: u64) -> io::Result<()> {
        self.write_at(offset, &vec![0; length as usize])
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
