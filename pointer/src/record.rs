//! Finding the pointer on an EFI system partition, and rewriting it in place.
//!
//! Only as much of FAT is read as leads to `\loader\loader.conf` (Microsoft's *FAT: General
//! Overview of On-Disk Format*, 1.03): two directories whose names fit into one long-name record
//! each. Nothing of the file system is ever written but the one sector that the file has.

use crate::sector::{Pointer, PointerError};
use alloc::vec;
use alloc::vec::Vec;

/// The two steps to the pointer.
const FOLDER: &str = "loader";
const FILE: &str = "loader.conf";

/// Most clusters of a directory that are looked at.
const MAX_CHAIN: usize = 1024;
/// Bytes of a directory record.
const RECORD: usize = 32;
/// Attribute byte of a long-name record, and the bits of others that count here.
const LONG_NAME: u8 = 0x0F;
const VOLUME_LABEL: u8 = 0x08;
const DIRECTORY: u8 = 0x10;
/// First byte of a record that is not in use.
const DELETED: u8 = 0xE5;
/// A long name's first record, which is also its last.
const ONLY_PART: u8 = 0x41;
/// Where a long-name record keeps its 13 UTF-16 units.
const UNIT_OFFSETS: [usize; 13] = [1, 3, 5, 7, 9, 14, 16, 18, 20, 22, 24, 28, 30];

/// Something that holds an EFI system partition.
pub trait Medium {
    /// What can go wrong.
    type Error;

    /// Fills the buffer from an offset in the partition, both multiples of the sector size.
    ///
    /// # Errors
    /// Where that cannot be read, also beyond the end.
    fn read(&mut self, offset: u64, buffer: &mut [u8]) -> Result<(), Self::Error>;

    /// Overwrites one sector in place, and returns when it would outlast a power cut.
    ///
    /// # Errors
    /// Where it cannot be said that it was written; it may be, or not.
    fn write_through(&mut self, offset: u64, sector: &[u8]) -> Result<(), Self::Error>;
}

/// Why there is no pointer to be had.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RecordError<E> {
    /// The medium failed.
    #[error("{0}")]
    Medium(E),
    /// It is no FAT16 or FAT32, or does not hold the file as one sector.
    #[error("{0}")]
    Volume(&'static str),
    /// The file is not a pointer.
    #[error("the pointer {0}")]
    Pointer(PointerError),
}

/// The pointer of one disk: what it says, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    offset: u64,
    sector_size: usize,
    pointer: Pointer,
}

impl Record {
    /// Finds and reads the pointer. `sector_size` is the device's logical sector size in bytes.
    ///
    /// # Errors
    /// [`RecordError`] says why there is none.
    pub fn open<M: Medium>(
        medium: &mut M,
        sector_size: usize,
    ) -> Result<Self, RecordError<M::Error>> {
        let volume = Volume::open(medium, sector_size)?;
        let folder = volume.find(medium, volume.root, FOLDER)?;
        if folder.attributes & DIRECTORY == 0 {
            return Err(RecordError::Volume("\\loader is no folder"));
        }
        let file = volume.find(medium, Place::Cluster(folder.cluster), FILE)?;
        if file.size as usize != sector_size {
            return Err(RecordError::Volume("the pointer is not one sector"));
        }
        let offset = volume.offset(file.cluster)?;
        let mut sector = vec![0; sector_size];
        medium
            .read(offset, &mut sector)
            .map_err(RecordError::Medium)?;
        Ok(Self {
            offset,
            sector_size,
            pointer: Pointer::parse(&sector).map_err(RecordError::Pointer)?,
        })
    }

    /// What the pointer says.
    pub fn pointer(&self) -> &Pointer {
        &self.pointer
    }

    /// Lets the pointer say something else from now on: one sector, durable on return. Does
    /// nothing for a pointer without fields.
    ///
    /// # Errors
    /// What the medium says; then the pointer is the old one or the new one.
    pub fn write<M: Medium>(&mut self, medium: &mut M, pointer: Pointer) -> Result<(), M::Error> {
        if let Some(sector) = pointer.to_sector(self.sector_size) {
            medium.write_through(self.offset, &sector)?;
            self.pointer = pointer;
        }
        Ok(())
    }
}

/// Where a directory is.
#[derive(Debug, Clone, Copy)]
enum Place {
    /// FAT16's root: first sector and how many.
    Fixed(u64, u64),
    /// A chain of clusters.
    Cluster(u32),
}

/// What a directory says of a name.
struct Found {
    cluster: u32,
    size: u32,
    attributes: u8,
}

struct Volume {
    sector_size: usize,
    cluster_sectors: u64,
    /// Sector of the first allocation table.
    table: u64,
    is_wide: bool,
    data: u64,
    clusters: u64,
    root: Place,
}

fn le16(bytes: &[u8], at: usize) -> u64 {
    let field = bytes.get(at..at + 2).and_then(|b| b.try_into().ok());
    field.map_or(0, u16::from_le_bytes).into()
}

fn le32(bytes: &[u8], at: usize) -> u64 {
    le16(bytes, at) | le16(bytes, at + 2) << 16
}

impl Volume {
    fn open<M: Medium>(medium: &mut M, sector_size: usize) -> Result<Self, RecordError<M::Error>> {
        let mut boot = vec![0; sector_size];
        medium.read(0, &mut boot).map_err(RecordError::Medium)?;
        let bad = RecordError::Volume("its EFI system partition is no FAT that nos writes");
        let cluster_sectors = u64::from(boot.get(13).copied().unwrap_or(0));
        if boot.get(510..512) != Some(&[0x55, 0xAA])
            || le16(&boot, 11) as usize != sector_size
            || cluster_sectors == 0
        {
            return Err(bad);
        }
        let either = |short: u64, long: u64| if short != 0 { short } else { long };
        let table = le16(&boot, 14);
        let tables = u64::from(boot.get(16).copied().unwrap_or(0));
        let table_sectors = either(le16(&boot, 22), le32(&boot, 36));
        let root_sectors = (le16(&boot, 17) * RECORD as u64).div_ceil(sector_size as u64);
        let root = table + tables * table_sectors;
        let data = root + root_sectors;
        let total = either(le16(&boot, 19), le32(&boot, 32));
        let clusters = total.saturating_sub(data) / cluster_sectors;
        let is_wide = clusters >= 65_525;
        if clusters < 4085 {
            return Err(bad);
        }
        Ok(Self {
            sector_size,
            cluster_sectors,
            table,
            is_wide,
            data,
            clusters,
            root: match is_wide {
                true => Place::Cluster(le32(&boot, 44) as u32),
                false => Place::Fixed(root, root_sectors),
            },
        })
    }

    /// Offset in bytes of a cluster.
    fn offset<E>(&self, cluster: u32) -> Result<u64, RecordError<E>> {
        match u64::from(cluster).checked_sub(2) {
            Some(index) if index < self.clusters => {
                Ok((self.data + index * self.cluster_sectors) * self.sector_size as u64)
            }
            _ => Err(RecordError::Volume("a cluster is beyond the end")),
        }
    }

    /// The cluster behind another; `None` at the end of a chain.
    fn following<M: Medium>(
        &self,
        medium: &mut M,
        cluster: u32,
    ) -> Result<Option<u32>, RecordError<M::Error>> {
        let width = if self.is_wide { 4 } else { 2 };
        let at = u64::from(cluster) * width;
        let size = self.sector_size as u64;
        let mut sector = vec![0; self.sector_size];
        medium
            .read((self.table + at / size) * size, &mut sector)
            .map_err(RecordError::Medium)?;
        let at = (at % size) as usize;
        let next = match self.is_wide {
            true => le32(&sector, at) & 0x0FFF_FFFF,
            false => le16(&sector, at),
        };
        Ok((next >= 2 && next - 2 < self.clusters).then_some(next as u32))
    }

    /// Looks a name up in a directory.
    fn find<M: Medium>(
        &self,
        medium: &mut M,
        place: Place,
        name: &str,
    ) -> Result<Found, RecordError<M::Error>> {
        let missing = RecordError::Volume("it has no \\loader\\loader.conf");
        let mut search = Search::new(name);
        match place {
            Place::Fixed(first, sectors) => {
                let found = self.scan(medium, first, sectors, &mut search)?;
                found.ok_or(missing)
            }
            Place::Cluster(mut cluster) => {
                for _ in 0..MAX_CHAIN {
                    let first = self.offset(cluster)? / self.sector_size as u64;
                    let found = self.scan(medium, first, self.cluster_sectors, &mut search)?;
                    if let Some(found) = found {
                        return Ok(found);
                    }
                    match self.following(medium, cluster)? {
                        Some(next) if !search.is_over => cluster = next,
                        _ => break,
                    }
                }
                Err(missing)
            }
        }
    }

    fn scan<M: Medium>(
        &self,
        medium: &mut M,
        first: u64,
        sectors: u64,
        search: &mut Search<'_>,
    ) -> Result<Option<Found>, RecordError<M::Error>> {
        let mut sector = vec![0; self.sector_size];
        for number in first..first + sectors {
            medium
                .read(number * self.sector_size as u64, &mut sector)
                .map_err(RecordError::Medium)?;
            for record in sector.chunks_exact(RECORD) {
                if let Some(found) = search.look_at(record) {
                    return Ok(Some(found));
                }
                if search.is_over {
                    return Ok(None);
                }
            }
        }
        Ok(None)
    }
}

/// Goes through the records of a directory for one name of at most 13 characters.
struct Search<'n> {
    name: &'n str,
    /// Checksum of the short name that follows, where the last record was the long name.
    long: Option<u8>,
    is_over: bool,
}

impl<'n> Search<'n> {
    fn new(name: &'n str) -> Self {
        Self {
            name,
            long: None,
            is_over: false,
        }
    }

    fn look_at(&mut self, record: &[u8]) -> Option<Found> {
        let long = self.long.take();
        let byte = |at: usize| record.get(at).copied().unwrap_or(0);
        match (byte(0), byte(11)) {
            (0, _) => self.is_over = true,
            (DELETED, _) => {}
            (order, attributes) if attributes & 0x3F == LONG_NAME => {
                if order == ONLY_PART && self.is_long_name(record) {
                    self.long = Some(byte(13));
                }
            }
            (_, attributes) if attributes & VOLUME_LABEL != 0 => {}
            (_, attributes) => {
                let short = record.get(..11)?;
                if long == Some(checksum(short)) || self.is_short_name(short) {
                    return Some(Found {
                        cluster: (le16(record, 20) << 16 | le16(record, 26)) as u32,
                        size: le32(record, 28) as u32,
                        attributes,
                    });
                }
            }
        }
        None
    }

    fn is_long_name(&self, record: &[u8]) -> bool {
        let units = UNIT_OFFSETS.map(|at| le16(record, at));
        let length = units.iter().position(|unit| *unit == 0).unwrap_or(13);
        let stored = units.iter().take(length).map(|unit| match *unit {
            unit @ 0..0x80 => (unit as u8).to_ascii_lowercase(),
            _ => 0,
        });
        stored.eq(self.name.bytes())
    }

    fn is_short_name(&self, short: &[u8]) -> bool {
        let part = |bytes: &[u8]| -> Vec<u8> {
            let end = bytes
                .iter()
                .rposition(|b| *b != b' ')
                .map_or(0, |at| at + 1);
            bytes.iter().take(end).map(u8::to_ascii_lowercase).collect()
        };
        let (base, extension) = short.split_at(short.len().min(8));
        let (mut name, extension) = (part(base), part(extension));
        if !extension.is_empty() {
            name.push(b'.');
            name.extend(extension);
        }
        name == self.name.as_bytes()
    }
}

/// Sum that ties a long-name record to its short name.
fn checksum(short: &[u8]) -> u8 {
    short
        .iter()
        .fold(0_u8, |sum, byte| sum.rotate_right(1).wrapping_add(*byte))
}
