//! An image file or a real block device.

use super::{AlignedBuffer, BlockDevice, DirectDevice, Sharing, check_write};
use crate::DeviceError;
use rustix::fs::SeekFrom as Seek;
use rustix::fs::{Advice, FallocateFlags, FlockOperation, OFlags, fadvise, fallocate, flock};
use rustix::io::Errno;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Seek as _, SeekFrom};
use std::ops::Range;
use std::os::unix::fs::{FileExt, FileTypeExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// An image file or a block device, locked against every other `nos` for as long as it is open.
/// A block device is read and written past the page cache.
#[derive(Debug)]
pub struct FileDevice {
    path: PathBuf,
    medium: Medium,
}

#[derive(Debug)]
enum Medium {
    Image(ImageFile),
    Block(DirectDevice),
}

/// A regular file whose bytes are a disk's.
#[derive(Debug)]
struct ImageFile {
    file: File,
    sector_size: u32,
    size_bytes: u64,
    zeroed: bool,
}

/// Opening a pipe by mistake must not wait for its other end. Of no effect on disks.
const DO_NOT_WAIT: i32 = OFlags::NONBLOCK.bits().cast_signed();

impl FileDevice {
    /// Opens an existing image file or block device for reading and writing.
    ///
    /// The sector size of a block device is its own; that of an image file is where its partition
    /// table says it is, 512 where there is none.
    ///
    /// # Errors
    /// [`DeviceError::Busy`] where another program holds it, else what the system says.
    pub fn open(path: &Path) -> Result<Self, DeviceError> {
        Self::open_as(path, Sharing::AmongNos)
    }

    /// Opens an existing image file or block device for reading alone. Others may read it at the
    /// same time.
    ///
    /// # Errors
    /// As [`FileDevice::open`].
    pub fn open_read_only(path: &Path) -> Result<Self, DeviceError> {
        Self::open_as(path, Sharing::ReadOnly)
    }

    /// As [`FileDevice::open`], for whoever replaces everything: a block device must not be in use
    /// by anything at all.
    ///
    /// # Errors
    /// As [`FileDevice::open`].
    pub fn open_alone(path: &Path) -> Result<Self, DeviceError> {
        Self::open_as(path, Sharing::Alone)
    }

    fn open_as(path: &Path, sharing: Sharing) -> Result<Self, DeviceError> {
        let is_block = fs::metadata(path).is_ok_and(|m| m.file_type().is_block_device());
        let medium = if is_block {
            Medium::Block(DirectDevice::open(path, sharing)?)
        } else {
            Medium::Image(ImageFile::open(path, sharing != Sharing::ReadOnly)?)
        };
        Ok(Self {
            path: path.to_owned(),
            medium,
        })
    }

    /// Creates an image file of `size_bytes` without any content, replacing nothing.
    ///
    /// # Errors
    /// [`DeviceError::Io`] with [`io::ErrorKind::AlreadyExists`] where the file is there, else
    /// what the system says.
    pub fn create(path: &Path, size_bytes: u64, sector_size: u32) -> Result<Self, DeviceError> {
        let failed =
            |what: &'static str| move |error: io::Error| DeviceError::io(path, what, error);
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create_new(true)
            .open(path)
            .map_err(failed("create"))?;
        lock(&file, path, true)?;
        file.set_len(size_bytes).map_err(failed("resize"))?;
        Ok(Self {
            path: path.to_owned(),
            medium: Medium::Image(ImageFile {
                file,
                sector_size,
                size_bytes: size_bytes - size_bytes % u64::from(sector_size.max(1)),
                zeroed: true,
            }),
        })
    }

    /// The path it was opened by.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether it is a block device, not an image file.
    pub fn is_block_device(&self) -> bool {
        matches!(self.medium, Medium::Block(_))
    }

    fn device(&self) -> &dyn BlockDevice {
        match &self.medium {
            Medium::Image(image) => image,
            Medium::Block(device) => device,
        }
    }

    fn device_mut(&mut self) -> &mut dyn BlockDevice {
        match &mut self.medium {
            Medium::Image(image) => image,
            Medium::Block(device) => device,
        }
    }
}

impl ImageFile {
    fn open(path: &Path, write: bool) -> Result<Self, DeviceError> {
        let failed =
            |what: &'static str| move |error: io::Error| DeviceError::io(path, what, error);
        let file = OpenOptions::new()
            .read(true)
            .write(write)
            .custom_flags(DO_NOT_WAIT)
            .open(path)
            .map_err(failed("open"))?;
        lock(&file, path, write)?;
        if !file.metadata().map_err(failed("examine"))?.is_file() {
            return Err(DeviceError::NotADisk {
                path: path.to_owned(),
            });
        }
        let size = (&file).seek(SeekFrom::End(0)).map_err(failed("measure"))?;
        let sector_size = probe_sector_size(&file);
        Ok(Self {
            file,
            sector_size,
            size_bytes: size - size % u64::from(sector_size.max(1)),
            zeroed: false,
        })
    }
}

fn lock(file: &File, path: &Path, exclusive: bool) -> Result<(), DeviceError> {
    let operation = if exclusive {
        FlockOperation::NonBlockingLockExclusive
    } else {
        FlockOperation::NonBlockingLockShared
    };
    match flock(file, operation) {
        Ok(()) => Ok(()),
        Err(Errno::WOULDBLOCK) => Err(DeviceError::Busy {
            path: path.to_owned(),
        }),
        Err(error) => Err(DeviceError::io(path, "lock", error.into())),
    }
}

/// 4096 where a partition table header is at byte 4096 and none at byte 512, else 512.
fn probe_sector_size(file: &File) -> u32 {
    let signature_at = |offset| {
        let mut signature = [0; 8];
        file.read_exact_at(&mut signature, offset).is_ok() && &signature == b"EFI PART"
    };
    if signature_at(4096) && !signature_at(512) {
        4096
    } else {
        512
    }
}

/// Passes everything on to what it is.
impl BlockDevice for FileDevice {
    fn sector_size(&self) -> u32 {
        self.device().sector_size()
    }

    fn size_bytes(&self) -> u64 {
        self.device().size_bytes()
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        self.device().read_at(offset, buf)
    }

    fn write_at(&mut self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.device_mut().write_at(offset, data)
    }

    fn take_buffer(&mut self, length: usize) -> AlignedBuffer {
        self.device_mut().take_buffer(length)
    }

    fn write_buffer(&mut self, offset: u64, buffer: AlignedBuffer) -> io::Result<()> {
        self.device_mut().write_buffer(offset, buffer)
    }

    fn return_buffer(&mut self, buffer: AlignedBuffer) {
        self.device_mut().return_buffer(buffer);
    }

    fn write_zeroes(&mut self, offset: u64, length: u64) -> io::Result<()> {
        self.device_mut().write_zeroes(offset, length)
    }

    fn clears_fast(&self) -> bool {
        self.device().clears_fast()
    }

    fn discard(&mut self, offset: u64, length: u64) -> io::Result<()> {
        self.device_mut().discard(offset, length)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.device_mut().flush()
    }

    fn forget(&self) -> io::Result<()> {
        self.device().forget()
    }

    fn data(&self, range: Range<u64>) -> io::Result<Vec<Range<u64>>> {
        self.device().data(range)
    }

    fn starts_zeroed(&self) -> bool {
        self.device().starts_zeroed()
    }
}

impl BlockDevice for ImageFile {
    fn sector_size(&self) -> u32 {
        self.sector_size
    }

    fn size_bytes(&self) -> u64 {
        self.size_bytes
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        self.file.read_exact_at(buf, offset)
    }

    fn write_at(&mut self, offset: u64, data: &[u8]) -> io::Result<()> {
        check_write(self, offset, data.len())?;
        self.file.write_all_at(data, offset)
    }

    fn write_zeroes(&mut self, offset: u64, length: u64) -> io::Result<()> {
        // In an image file a hole is zero and takes no space.
        let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        match fallocate(&self.file, flags, offset, length) {
            Ok(()) => Ok(()),
            Err(_) => super::write_zeroes(self, offset, length),
        }
    }

    fn clears_fast(&self) -> bool {
        true
    }

    fn discard(&mut self, offset: u64, length: u64) -> io::Result<()> {
        check_write(self, offset, 0)?;
        let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        // Where a file cannot have holes, nothing is lost but space.
        let _ = fallocate(&self.file, flags, offset, length);
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.sync_data()
    }

    fn forget(&self) -> io::Result<()> {
        Ok(fadvise(&self.file, 0, None, Advice::DontNeed)?)
    }

    /// What is no hole of the file. Where its file system cannot tell, everything.
    fn data(&self, range: Range<u64>) -> io::Result<Vec<Range<u64>>> {
        let mut found = Vec::new();
        let mut at = range.start;
        while at < range.end {
            let start = match rustix::fs::seek(&self.file, Seek::Data(at)) {
                Ok(start) if start < range.end => start.max(at),
                Ok(_) | Err(Errno::NXIO) => break,
                Err(Errno::INVAL | Errno::OPNOTSUPP) => return Ok(vec![range]),
                Err(error) => return Err(error.into()),
            };
            let end = rustix::fs::seek(&self.file, Seek::Hole(start))?.min(range.end);
            // A file that others change may say what makes no sense.
            let end = end.max(start + 1);
            found.push(start..end);
            at = end;
        }
        Ok(found)
    }

    fn starts_zeroed(&self) -> bool {
        self.zeroed
    }
}
