//! An image file or a real block device.

use super::{BlockDevice, check_write};
use crate::DeviceError;
use rustix::fs::{Advice, FallocateFlags, FlockOperation, OFlags, fadvise, fallocate, flock};
use std::fs::{File, OpenOptions};
use std::io::{self, Seek, SeekFrom};
use std::os::unix::fs::{FileExt, FileTypeExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// An image file or a block device, locked against every other `nos` for as long as it is open.
#[derive(Debug)]
pub struct FileDevice {
    file: File,
    path: PathBuf,
    sector_size: u32,
    size_bytes: u64,
    block_device: bool,
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
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .custom_flags(DO_NOT_WAIT)
            .open(path);
        Self::from_file(
            file.map_err(|error| DeviceError::io(path, "open", error))?,
            path,
            true,
        )
    }

    /// Opens an existing image file or block device for reading alone. Others may read it at the
    /// same time.
    ///
    /// # Errors
    /// As [`FileDevice::open`].
    pub fn open_read_only(path: &Path) -> Result<Self, DeviceError> {
        let file = OpenOptions::new()
            .read(true)
            .custom_flags(DO_NOT_WAIT)
            .open(path);
        Self::from_file(
            file.map_err(|error| DeviceError::io(path, "open", error))?,
            path,
            false,
        )
    }

    fn from_file(file: File, path: &Path, exclusive: bool) -> Result<Self, DeviceError> {
        let failed =
            |what: &'static str| move |error: io::Error| DeviceError::io(path, what, error);
        lock(&file, path, exclusive)?;
        let kind = file.metadata().map_err(failed("examine"))?.file_type();
        let block_device = kind.is_block_device();
        if !block_device && !kind.is_file() {
            return Err(DeviceError::NotADisk {
                path: path.to_owned(),
            });
        }
        let size = (&file).seek(SeekFrom::End(0)).map_err(failed("measure"))?;
        let sector_size = if block_device {
            rustix::fs::ioctl_blksszget(&file).map_err(|error| failed("examine")(error.into()))?
        } else {
            probe_sector_size(&file)
        };
        Ok(Self {
            file,
            path: path.to_owned(),
            sector_size,
            size_bytes: size - size % u64::from(sector_size.max(1)),
            block_device,
            zeroed: false,
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
            file,
            path: path.to_owned(),
            sector_size,
            size_bytes: size_bytes - size_bytes % u64::from(sector_size.max(1)),
            block_device: false,
            zeroed: true,
        })
    }

    /// The path it was opened by.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether it is a block device, not an image file.
    pub fn is_block_device(&self) -> bool {
        self.block_device
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
        Err(rustix::io::Errno::WOULDBLOCK) => Err(DeviceError::Busy {
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

impl BlockDevice for FileDevice {
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

    fn flush(&mut self) -> io::Result<()> {
        self.file.sync_data()
    }

    fn forget(&self) -> io::Result<()> {
        Ok(fadvise(&self.file, 0, None, Advice::DontNeed)?)
    }

    fn starts_zeroed(&self) -> bool {
        self.zeroed
    }
}
