//! The one door to a medium.

mod file;
mod memory;
mod recording;

pub use file::FileDevice;
pub use memory::MemoryDevice;
pub use recording::{Operation, RecordingDevice};

use std::io;

/// A disk: sectors that are read and written at an offset, and a flush.
///
/// Invariant: nothing in this crate reaches a medium but through this trait, so a test device
/// sees every write and every flush in order.
pub trait BlockDevice: Send + Sync {
    /// Bytes of a logical sector, which the medium writes whole or not at all: 512 or 4096.
    fn sector_size(&self) -> u32;

    /// Bytes of the device, a multiple of the sector size.
    fn size_bytes(&self) -> u64;

    /// Fills `buf` with the bytes at `offset`; both may be unaligned.
    ///
    /// # Errors
    /// What the medium says; reading past the end is [`io::ErrorKind::UnexpectedEof`].
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()>;

    /// Writes whole sectors. Durable only after [`BlockDevice::flush`]; until then in any order.
    ///
    /// # Errors
    /// What the medium says; [`io::ErrorKind::InvalidInput`] for part of a sector.
    fn write_at(&mut self, offset: u64, data: &[u8]) -> io::Result<()>;

    /// Makes every write before it durable.
    ///
    /// # Errors
    /// What the medium says: then nothing is known about the writes before.
    fn flush(&mut self) -> io::Result<()>;

    /// Makes whole sectors zero, in whatever way is fastest.
    ///
    /// # Errors
    /// As [`BlockDevice::write_at`].
    fn write_zeroes(&mut self, offset: u64, length: u64) -> io::Result<()>;

    /// Drops what is cached of flushed writes, so that the next read comes from the medium.
    ///
    /// # Errors
    /// What the medium says.
    fn forget(&self) -> io::Result<()> {
        Ok(())
    }

    /// Whether every byte not written since it was opened is known to be zero.
    fn starts_zeroed(&self) -> bool {
        false
    }
}

/// Makes sectors zero by writing zeros.
pub(crate) fn write_zeroes(
    device: &mut dyn BlockDevice,
    offset: u64,
    length: u64,
) -> io::Result<()> {
    const CHUNK: u64 = 1 << 20;
    let zeros = vec![0; length.min(CHUNK) as usize];
    let mut done = 0;
    while done < length {
        let part = (length - done).min(CHUNK);
        device.write_at(offset + done, &zeros[..part as usize])?;
        done += part;
    }
    Ok(())
}

/// Refuses a write of part of a sector, or past the end.
pub(crate) fn check_write(device: &dyn BlockDevice, offset: u64, length: usize) -> io::Result<()> {
    let sector = u64::from(device.sector_size());
    let length = length as u64;
    let end = offset.checked_add(length);
    if !offset.is_multiple_of(sector) || !length.is_multiple_of(sector) {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            format!("a write of {length} bytes at {offset} is not whole sectors of {sector}"),
        ));
    }
    if end.is_none_or(|end| end > device.size_bytes()) {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            format!("a write of {length} bytes at {offset} ends past the device"),
        ));
    }
    Ok(())
}
