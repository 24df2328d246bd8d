//! A whole table: reading one copy, checking it, laying out partitions, writing either copy.

use super::{ARRAY_SIZE, ENTRY_COUNT, ENTRY_SIZE, Entry, GptError, Guid, Header, crc32};
use crate::read_at::ReadAt;
use std::ops::Range;

/// Size of a disk in its own sectors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Geometry {
    /// Bytes of a logical sector: a power of two from 512.
    pub sector_size: u32,
    /// Number of sectors.
    pub sectors: u64,
}

/// Which of a disk's two tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Copy {
    /// The one whose header is in sector 1.
    Primary,
    /// The one whose header is in the sector given, usually the disk's last.
    Backup(u64),
}

/// Which of the two places of the primary entry array.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ArrayPlace {
    /// Sector 2, the specification's place.
    A,
    /// Behind A.
    B,
}

/// The partitions of a disk. Entries keep their numbers: nothing here ever renumbers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    geometry: Geometry,
    /// The disk's own identity.
    pub disk_guid: Guid,
    /// Sector of the backup header.
    pub backup_lba: u64,
    /// First sector that a partition may use.
    pub first_usable: u64,
    /// Place of the array that the primary header names; for a table read from the backup,
    /// the place that firmware restores to.
    pub place: ArrayPlace,
    /// The entries by index (partition number − 1), [`ENTRY_COUNT`] of them.
    pub entries: Vec<Option<Entry>>,
}

impl Table {
    /// An empty table for a whole disk.
    ///
    /// # Errors
    /// [`GptError::TooSmall`] where nothing would be left for partitions.
    pub fn new(geometry: Geometry, disk_guid: Guid) -> Result<Self, GptError> {
        let arrays = Header::array_sectors(geometry.sector_size);
        // MBR, header, two arrays; one array and a header at the end; one sector to use.
        if geometry.sectors < 2 + 2 * arrays + arrays + 2 {
            return Err(GptError::TooSmall {
                sectors: geometry.sectors,
            });
        }
        Ok(Self {
            geometry,
            disk_guid,
            backup_lba: geometry.sectors - 1,
            first_usable: 2 + 2 * arrays,
            place: ArrayPlace::A,
            entries: vec![None; ENTRY_COUNT],
        })
    }

    /// Reads and checks one copy of a disk's table.
    ///
    /// # Errors
    /// [`GptError`] naming the first thing that makes the copy unusable.
    pub fn read(
        disk: &(impl ReadAt + ?Sized),
        geometry: Geometry,
        copy: Copy,
    ) -> Result<Self, GptError> {
        let lba = match copy {
            Copy::Primary => 1,
            Copy::Backup(lba) => lba,
        };
        let mut sector = vec![0; geometry.sector_size as usize];
        read(disk, geometry, lba, &mut sector)?;
        let header = Header::parse(&sector, lba)?;
        let mut array = vec![0; ARRAY_SIZE];
        read(disk, geometry, header.array_lba, &mut array)?;
        Self::from_parts(geometry, copy, &header, &array)
    }

    /// Reads the primary table of a disk that was larger when it was written, as a copy onto a
    /// smaller medium is. [`Table::backup_lba`] says where the backup was, behind the end, and
    /// partitions may lie there too: see [`Table::cut_off`].
    ///
    /// # Errors
    /// As [`Table::read`]; [`GptError::BadHeader`] where the disk is as large as it says.
    pub fn read_of_larger(
        disk: &(impl ReadAt + ?Sized),
        geometry: Geometry,
    ) -> Result<Self, GptError> {
        let any = Geometry {
            sectors: u64::MAX / u64::from(geometry.sector_size.max(1)),
            ..geometry
        };
        let table = Self::read(disk, any, Copy::Primary)?;
        // A table for this size has to fit, too.
        Self::new(geometry, table.disk_guid)?;
        if table.backup_lba < geometry.sectors {
            return Err(GptError::BadHeader {
                lba: 1,
                what: "the disk is as large as it says".into(),
            });
        }
        Ok(Self { geometry, ..table })
    }

    /// The first partition, by number, that reaches behind what a table at the end of the disk
    /// leaves.
    pub fn cut_off(&self) -> Option<(usize, &Entry)> {
        let arrays = Header::array_sectors(self.geometry.sector_size);
        let end = self.geometry.sectors.saturating_sub(arrays + 1);
        self.numbered().find(|(_, entry)| entry.last_lba >= end)
    }

    /// Puts a table together from a header and its array, checking each against the other.
    fn from_parts(
        geometry: Geometry,
        copy: Copy,
        header: &Header,
        array: &[u8],
    ) -> Result<Self, GptError> {
        if crc32(array) != header.array_crc {
            return Err(GptError::BadArray {
                lba: header.array_lba,
            });
        }
        let arrays = Header::array_sectors(geometry.sector_size);
        let backup_lba = match copy {
            Copy::Primary => header.alternate_lba,
            Copy::Backup(lba) => lba,
        };
        let bad = |what: String| GptError::BadHeader {
            lba: header.my_lba,
            what,
        };
        if backup_lba >= geometry.sectors || backup_lba < 2 + 2 * arrays {
            return Err(bad(format!(
                "the other header would be sector {backup_lba} of {}",
                geometry.sectors
            )));
        }
        if header.first_usable < 2 + arrays
            || header.first_usable > header.last_usable
            || header.last_usable >= backup_lba
        {
            return Err(bad(format!(
                "usable sectors {}–{} do not fit the disk",
                header.first_usable, header.last_usable
            )));
        }
        let entries = array
            .chunks_exact(ENTRY_SIZE)
            .filter_map(|bytes| bytes.first_chunk())
            .map(Entry::parse)
            .collect();
        let place = match copy {
            Copy::Primary if header.array_lba == 2 + arrays => ArrayPlace::B,
            Copy::Primary if header.array_lba == 2 => ArrayPlace::A,
            Copy::Primary => return Err(bad(format!("entries in sector {}", header.array_lba))),
            Copy::Backup(_) => ArrayPlace::A,
        };
        let table = Self {
            geometry,
            disk_guid: header.disk_guid,
            backup_lba,
            first_usable: header.first_usable,
            place,
            entries,
        };
        table.check()?;
        Ok(table)
    }

    /// Checks that every entry lies inside the usable sectors and overlaps no other.
    ///
    /// # Errors
    /// [`GptError::BadEntry`] for the first one that does not.
    pub fn check(&self) -> Result<(), GptError> {
        let mut used: Vec<(u64, u64, usize)> = Vec::new();
        for (number, entry) in self.numbered() {
            let bad = |what: String| GptError::BadEntry { number, what };
            if entry.first_lba > entry.last_lba {
                return Err(bad("it ends before it begins".into()));
            }
            if entry.first_lba < self.first_usable || entry.last_lba > self.last_usable() {
                return Err(bad(format!(
                    "sectors {}–{} are outside {}–{}",
                    entry.first_lba,
                    entry.last_lba,
                    self.first_usable,
                    self.last_usable()
                )));
            }
            used.push((entry.first_lba, entry.last_lba, number));
        }
        used.sort_unstable();
        for pair in used.windows(2) {
            if pair[1].0 <= pair[0].1 {
                return Err(GptError::BadEntry {
                    number: pair[1].2,
                    what: format!("it overlaps partition {}", pair[0].2),
                });
            }
        }
        Ok(())
    }

    /// The disk's size.
    pub fn geometry(&self) -> Geometry {
        self.geometry
    }

    /// Last sector that a partition may use: the one before the backup's array.
    pub fn last_usable(&self) -> u64 {
        self.backup_lba - Header::array_sectors(self.geometry.sector_size) - 1
    }

    /// Used entries with their partition numbers, in order of number.
    pub fn numbered(&self) -> impl Iterator<Item = (usize, &Entry)> {
        self.entries
            .iter()
            .enumerate()
            .filter_map(|(index, entry)| Some((index + 1, entry.as_ref()?)))
    }

    /// The first entry with this type, with its number.
    pub fn find_type(&self, type_guid: Guid) -> Option<(usize, &Entry)> {
        self.numbered()
            .find(|(_, entry)| entry.type_guid == type_guid)
    }

    /// Puts `entry` into the lowest unused place and gives its partition number; `None` where
    /// all [`ENTRY_COUNT`] are used.
    pub fn add(&mut self, entry: Entry) -> Option<usize> {
        let index = self.entries.iter().position(Option::is_none)?;
        self.entries[index] = Some(entry);
        Some(index + 1)
    }

    /// Runs of sectors that no partition uses, in order of position.
    pub fn free(&self) -> Vec<Range<u64>> {
        let mut used: Vec<(u64, u64)> = self
            .numbered()
            .map(|(_, entry)| (entry.first_lba, entry.last_lba))
            .collect();
        used.sort_unstable();
        let mut free = Vec::new();
        let mut next = self.first_usable.max(self.array_end());
        for (first, last) in used {
            if first > next {
                free.push(next..first);
            }
            next = next.max(last.saturating_add(1));
        }
        let end = self.last_usable() + 1;
        if next < end {
            free.push(next..end);
        }
        free
    }

    /// First sector of the first run of at least `sectors` free ones, where the start is a
    /// multiple of `align` sectors and not below `from`.
    pub fn first_fit(&self, sectors: u64, align: u64, from: u64) -> Option<u64> {
        let align = align.max(1);
        self.free().into_iter().find_map(|run| {
            let start = run.start.max(from).checked_next_multiple_of(align)?;
            (start.checked_add(sectors)? <= run.end).then_some(start)
        })
    }

    /// Bytes of the entry array, the same for both copies.
    pub fn encode_array(&self) -> Vec<u8> {
        let mut bytes = vec![0; ARRAY_SIZE];
        for (chunk, entry) in bytes.chunks_exact_mut(ENTRY_SIZE).zip(&self.entries) {
            if let Some(entry) = entry {
                chunk.copy_from_slice(&entry.encode());
            }
        }
        bytes
    }

    /// First sector of the primary array in `place`.
    pub fn array_lba(&self, place: ArrayPlace) -> u64 {
        match place {
            ArrayPlace::A => 2,
            ArrayPlace::B => 2 + Header::array_sectors(self.geometry.sector_size),
        }
    }

    /// First sector behind both places of the primary array.
    pub fn array_end(&self) -> u64 {
        2 + 2 * Header::array_sectors(self.geometry.sector_size)
    }

    /// Whether both places of the primary array are outside every partition, so that the table
    /// can be changed without a moment in which it is invalid.
    pub fn has_two_arrays(&self) -> bool {
        self.numbered()
            .all(|(_, entry)| entry.first_lba >= self.array_end())
    }

    /// First sector of the backup's array.
    pub fn backup_array_lba(&self) -> u64 {
        self.last_usable() + 1
    }

    /// The primary header's sector, naming the array in [`Table::place`].
    pub fn encode_primary(&self) -> Vec<u8> {
        self.header(1, self.backup_lba, self.array_lba(self.place))
    }

    /// The backup header's sector.
    pub fn encode_backup(&self) -> Vec<u8> {
        self.header(self.backup_lba, 1, self.backup_array_lba())
    }

    fn header(&self, my_lba: u64, alternate_lba: u64, array_lba: u64) -> Vec<u8> {
        Header {
            my_lba,
            alternate_lba,
            first_usable: self.first_usable,
            last_usable: self.last_usable(),
            disk_guid: self.disk_guid,
            array_lba,
            array_crc: crc32(&self.encode_array()),
        }
        .encode(self.geometry.sector_size as usize)
    }

    /// Whether two copies say the same about the disk (the array's place aside).
    pub fn agrees_with(&self, other: &Self) -> bool {
        self.disk_guid == other.disk_guid
            && self.backup_lba == other.backup_lba
            && self.first_usable == other.first_usable
            && self.entries == other.entries
    }
}

impl ArrayPlace {
    /// The place that is not this one.
    pub fn other(self) -> Self {
        match self {
            Self::A => Self::B,
            Self::B => Self::A,
        }
    }
}

fn read(
    disk: &(impl ReadAt + ?Sized),
    geometry: Geometry,
    lba: u64,
    buf: &mut [u8],
) -> Result<(), GptError> {
    let failed = |message: String| GptError::Read { lba, message };
    let sectors = (buf.len() as u64).div_ceil(u64::from(geometry.sector_size));
    if lba
        .checked_add(sectors)
        .is_none_or(|end| end > geometry.sectors)
    {
        return Err(failed(format!("the disk has {} sectors", geometry.sectors)));
    }
    disk.read_at(lba * u64::from(geometry.sector_size), buf)
        .map_err(|error| failed(error.to_string()))
}
