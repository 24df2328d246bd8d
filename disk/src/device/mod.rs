//! The one door to a medium.

mod direct;
mod file;
mod image_file;
mod memory;
mod queue;
mod recording;

pub use direct::{DirectDevice, Sharing};
pub use file::FileDevice;
pub use memory::MemoryDevice;
pub use queue::FailedTransfer;
pub use recording::{Operation, RecordingDevice};

pub use nos_formats::aligned::AlignedBuffer;
use std::io;
use std::ops::Range;

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

    /// A buffer of `length` bytes and any content to fill for [`BlockDevice::write_buffer`]; shorter
    /// where a single write may not be that long.
    fn take_buffer(&mut self, length: usize) -> AlignedBuffer {
        AlignedBuffer::new(length)
    }

    /// As [`BlockDevice::write_at`], without a copy where the device can do without.
    ///
    /// # Errors
    /// As [`BlockDevice::write_at`].
    fn write_buffer(&mut self, offset: u64, buffer: AlignedBuffer) -> io::Result<()> {
        self.write_at(offset, &buffer)
    }

    /// Takes back a buffer that was not written.
    fn return_buffer(&mut self, buffer: AlignedBuffer) {
        drop(buffer);
    }

    /// Makes every write before it durable.
    ///
    /// # Errors
    /// What the medium says, of this or of any write before: then nothing is known about the writes before.
    fn flush(&mut self) -> io::Result<()>;

    /// Makes whole sectors zero, in whatever way is fastest.
    ///
    /// # Errors
    /// As [`BlockDevice::write_at`].
    fn write_zeroes(&mut self, offset: u64, length: u64) -> io::Result<()>;

    /// Whether [`BlockDevice::write_zeroes`] is known to need no zeros sent to the medium.
    fn clears_fast(&self) -> bool {
        false
    }

    /// Says that what these sectors hold is of no more use. They may read as anything afterwards;
    /// a device that has no use for the hint does nothing.
    ///
    /// # Errors
    /// As [`BlockDevice::write_at`].
    fn discard(&mut self, offset: u64, length: u64) -> io::Result<()> {
        check_write(self, offset, usize::try_from(length).unwrap_or(usize::MAX))
    }

    /// Drops what is cached of flushed writes, so that the next read comes from the medium.
    ///
    /// # Errors
    /// What the medium says.
    fn forget(&self) -> io::Result<()> {
        Ok(())
    }

    /// The parts of a range that may hold something else than zeros, in order.
    ///
    /// # Errors
    /// What the medium says.
    fn data(&self, range: Range<u64>) -> io::Result<Vec<Range<u64>>> {
        Ok(vec![range])
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
pub(crate) fn check_write(
    device: &(impl BlockDevice + ?Sized),
    offset: u64,
    length: usize,
) -> io::Result<()> {
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
