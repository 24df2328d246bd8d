//! An image file or a real block device.

use super::image_file::ImageFile;
use super::{AlignedBuffer, BlockDevice, DirectDevice, Sharing};
use crate::DeviceError;
use std::fs;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileTypeExt;
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
        Self::open_waiting(path, sharing, &mut || {})
    }

    /// Opens it for one of these uses. A lock on a block device is waited for, as
    /// [`DirectDevice::open`] says; one on an image file is another `nos` or a virtual machine, and
    /// these take their time.
    ///
    /// # Errors
    /// As [`FileDevice::open`].
    pub fn open_waiting(
        path: &Path,
        sharing: Sharing,
        on_wait: &mut dyn FnMut(),
    ) -> Result<Self, DeviceError> {
        let is_block = fs::metadata(path).is_ok_and(|m| m.file_type().is_block_device());
        let medium = if is_block {
            Medium::Block(DirectDevice::open(path, sharing, on_wait)?)
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
        Ok(Self {
            path: path.to_owned(),
            medium: Medium::Image(ImageFile::create(path, size_bytes, sector_size)?),
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
