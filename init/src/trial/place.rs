//! The pointer's place on a disk.

use crate::disk::find;
use crate::sys::{self, Fd, file};
use alloc::format;
use alloc::string::String;
use nos_pointer::{Medium, Pointer, Record};

/// Type of the EFI system partition.
const ESP_TYPE_GUID: &str = "c12a7328-f81f-11d2-ba4b-00a0c93ec93b";

/// What memory and lengths must be a multiple of where the kernel's cache is passed by, in bytes:
/// the largest sector.
const ALIGN: usize = 4096;

/// The EFI system partition of a disk, written past the kernel's cache.
#[derive(Debug)]
pub struct Esp {
    pub(super) disk: Fd,
    pub(super) start: u64,
    pub(super) sector_size: usize,
}

/// Memory that begins at a multiple of [`ALIGN`].
struct Aligned {
    memory: alloc::vec::Vec<u8>,
    start: usize,
}

impl Aligned {
    fn new(length: usize) -> Self {
        let memory = alloc::vec![0; length + ALIGN];
        // Never more than `ALIGN`, for bytes.
        let start = memory.as_ptr().align_offset(ALIGN).min(ALIGN);
        Self { memory, start }
    }

    fn get(&mut self, length: usize) -> &mut [u8] {
        let range = self.start..self.start + length;
        self.memory.get_mut(range).unwrap_or_default()
    }
}

impl Medium for Esp {
    type Error = sys::Errno;

    fn read(&mut self, offset: u64, buffer: &mut [u8]) -> sys::Result<()> {
        let mut memory = Aligned::new(buffer.len());
        let memory = memory.get(buffer.len());
        let n = file::read_at(&self.disk, memory, self.start + offset)?;
        if n < buffer.len() {
            return Err(sys::Errno(libc::EIO));
        }
        buffer.copy_from_slice(memory);
        Ok(())
    }

    fn write_through(&mut self, offset: u64, sector: &[u8]) -> sys::Result<()> {
        let mut memory = Aligned::new(sector.len());
        let memory = memory.get(sector.len());
        memory.copy_from_slice(sector);
        file::write_at(&self.disk, memory, self.start + offset)?;
        file::sync_data(&self.disk)
    }
}

fn open(disk: &str) -> sys::Result<Fd> {
    file::open(&format!("/dev/{disk}"), file::Mode::Direct)
}

/// The pointer of one disk.
#[derive(Debug)]
pub struct Place {
    /// GUID of the EFI system partition, lower-case text form.
    pub part_uuid: String,
    disk: String,
    pub(super) esp: Esp,
    pub(super) record: Record,
}

impl Place {
    /// Finds the one pointer that there is, or the one beside this EFI system partition; none where
    /// several disks have such a one.
    pub fn only(part_uuid: Option<&str>) -> Option<Self> {
        let mut disks: alloc::vec::Vec<String> = alloc::vec::Vec::new();
        for partition in find::partitions() {
            if !disks.contains(&partition.disk) {
                disks.push(partition.disk);
            }
        }
        let places = disks.iter().filter_map(|disk| Self::of(disk));
        let is_meant = |place: &Self| part_uuid.is_none_or(|uuid| place.part_uuid == uuid);
        let mut places = places.filter(is_meant);
        places.next().filter(|_| places.next().is_none())
    }

    /// Finds the pointer of a disk.
    pub fn of(disk: &str) -> Option<Self> {
        let (sector_size, table) = find::table_of(disk).ok()?;
        let mut partitions = table.into_iter();
        let esp = partitions.find(|partition| partition.type_guid == ESP_TYPE_GUID)?;
        let sector = u64::try_from(sector_size).ok()?;
        let mut medium = Esp {
            disk: open(disk).ok()?,
            start: esp.first_lba.checked_mul(sector)?,
            sector_size,
        };
        match Record::open(&mut medium, sector_size) {
            Ok(record) => Some(Self {
                part_uuid: esp.unique_guid,
                disk: disk.into(),
                esp: medium,
                record,
            }),
            Err(error) => {
                crate::debug!("{disk} has no pointer: {error}");
                None
            }
        }
    }

    /// A descriptor of the disk beside the place's own.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn another_descriptor(&self) -> sys::Result<Fd> {
        open(&self.disk)
    }

    /// What it says.
    pub fn pointer(&self) -> Pointer {
        *self.record.pointer()
    }

    /// Lets it say something else, durably; nothing where there is nothing to say.
    ///
    /// # Errors
    /// What the kernel says; the pointer is the old one or the new one then.
    pub fn write(&mut self, pointer: Option<Pointer>) -> sys::Result<()> {
        match pointer {
            Some(pointer) => self.record.write(&mut self.esp, pointer),
            None => Ok(()),
        }
    }
}
