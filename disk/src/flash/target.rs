//! A block device that is ours alone, written past the page cache.

use crate::device::check_write;
use crate::{BlockDevice, DeviceError};
use rustix::fs::{FallocateFlags, FlockOperation, OFlags, fallocate, flock};
use std::fs::{File, OpenOptions};
use std::io::{self, Seek, SeekFrom};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

/// Alignment in memory that every device accepts for direct transfers.
const ALIGN: usize = 4096;

/// Bytes moved by one direct transfer.
const CHUNK: usize = 4 << 20;

/// A block device opened for us alone: nothing can be mounted from it meanwhile, and what is read
/// back comes from the medium.
#[derive(Debug)]
pub struct Target {
    file: File,
    sector_size: u32,
    size_bytes: u64,
    buffer: Aligned,
}

/// Opens a whole block device for direct transfers, exclusively.
///
/// # Errors
/// [`DeviceError::Busy`] where something of it is mounted or held, or another `nos` has it;
/// [`DeviceError::Io`] otherwise.
pub fn open(path: &Path) -> Result<Target, DeviceError> {
    let failed =
        |action: &'static str| move |error: io::Error| DeviceError::io(path, action, error);
    let flags = OFlags::DIRECT | OFlags::EXCL | OFlags::CLOEXEC;
    let busy = || DeviceError::Busy {
        path: path.to_owned(),
    };
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .custom_flags(flags.bits().cast_signed())
        .open(path)
        .map_err(|error| match error.kind() {
            io::ErrorKind::ResourceBusy => busy(),
            _ => failed("open")(error),
        })?;
    flock(&file, FlockOperation::NonBlockingLockExclusive).map_err(|_| busy())?;
    let sector_size =
        rustix::fs::ioctl_blksszget(&file).map_err(|error| failed("examine")(error.into()))?;
    let size = (&file).seek(SeekFrom::End(0)).map_err(failed("measure"))?;
    Ok(Target {
        file,
        sector_size,
        size_bytes: size - size % u64::from(sector_size.max(1)),
        buffer: Aligned::new(CHUNK),
    })
}

impl BlockDevice for Target {
    fn sector_size(&self) -> u32 {
        self.sector_size
    }

    fn size_bytes(&self) -> u64 {
        self.size_bytes
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        let end = offset
            .checked_add(buf.len() as u64)
            .filter(|end| *end <= self.size_bytes);
        let end = end.ok_or(io::ErrorKind::UnexpectedEof)?;
        let sector = u64::from(self.sector_size);
        let first = offset - offset % sector;
        let last = end.next_multiple_of(sector);
        let length = usize::try_from(last - first)
            .map_err(io::Error::other)?
            .min(CHUNK);
        let mut aligned = Aligned::new(length);
        let mut at = first;
        while at < last {
            let part = &mut aligned.bytes_mut()[..(last - at).min(CHUNK as u64) as usize];
            self.file.read_exact_at(part, at)?;
            let from = offset.max(at);
            let to = end.min(at + part.len() as u64);
            buf[(from - offset) as usize..(to - offset) as usize]
                .copy_from_slice(&part[(from - at) as usize..(to - at) as usize]);
            at += part.len() as u64;
        }
        Ok(())
    }

    fn write_at(&mut self, offset: u64, data: &[u8]) -> io::Result<()> {
        check_write(self, offset, data.len())?;
        for (index, part) in data.chunks(CHUNK).enumerate() {
            let aligned = &mut self.buffer.bytes_mut()[..part.len()];
            aligned.copy_from_slice(part);
            self.file
                .write_all_at(aligned, offset + (index * CHUNK) as u64)?;
        }
        Ok(())
    }

    fn write_zeroes(&mut self, offset: u64, length: u64) -> io::Result<()> {
        // The device may be able to do it without moving a byte.
        let flags = FallocateFlags::ZERO_RANGE | FallocateFlags::KEEP_SIZE;
        match fallocate(&self.file, flags, offset, length) {
            Ok(()) => Ok(()),
            Err(_) => crate::device::write_zeroes(self, offset, length),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.sync_data()
    }
}

/// Bytes that begin at a multiple of [`ALIGN`] in memory.
#[derive(Debug)]
struct Aligned {
    bytes: Vec<u8>,
    start: usize,
    length: usize,
}

impl Aligned {
    fn new(length: usize) -> Self {
        let bytes = vec![0; length + ALIGN];
        let start = bytes.as_ptr().align_offset(ALIGN).min(ALIGN);
        Self {
            bytes,
            start,
            length,
        }
    }

    fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.bytes[self.start..self.start + self.length]
    }
}
