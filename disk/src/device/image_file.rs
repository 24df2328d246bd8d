//! An image file: a regular file whose bytes are a disk's.

use super::queue::{MAX_WRITE, WriteQueue};
use super::{AlignedBuffer, BlockDevice, check_write};
use crate::DeviceError;
use rustix::fs::SeekFrom as Seek;
use rustix::fs::{Advice, FallocateFlags, FlockOperation, OFlags, fadvise, fallocate, flock};
use rustix::io::Errno;
use std::fs::{File, OpenOptions};
use std::io::{self, Seek as _, SeekFrom};
use std::ops::Range;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;
use std::sync::{Arc, OnceLock};

/// Opening a pipe by mistake must not wait for its other end. Of no effect on disks.
const DO_NOT_WAIT: i32 = OFlags::NONBLOCK.bits().cast_signed();

/// Bytes of a page of the page cache, in which direct writes begin and end.
const PAGE: u64 = 4096;

/// Writes from this size on go past the page cache: for them the medium is what takes time, and
/// the cache is a copy and a second queue before it.
const LEAST_DIRECT: u64 = 256 << 10;

/// Bytes of a direct write that is cut from a larger one.
const PART: usize = 1 << 20;

/// An image file, locked for as long as it is open.
///
/// Large writes go directly to the medium, a few at a time behind the caller's back, where the
/// file's file system can do that; one that fails is told by the next write or flush.
#[derive(Debug)]
pub(super) struct ImageFile {
    file: Arc<File>,
    sector_size: u32,
    size_bytes: u64,
    zeroed: bool,
    /// `None` where nothing can be written directly.
    queue: OnceLock<Option<WriteQueue>>,
}

impl ImageFile {
    pub(super) fn open(path: &Path, write: bool) -> Result<Self, DeviceError> {
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
        Ok(Self::over(file, size, sector_size, false))
    }

    /// Creates a file of `size_bytes` without any content, replacing nothing.
    pub(super) fn create(
        path: &Path,
        size_bytes: u64,
        sector_size: u32,
    ) -> Result<Self, DeviceError> {
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
        Ok(Self::over(file, size_bytes, sector_size, true))
    }

    fn over(file: File, size: u64, sector_size: u32, zeroed: bool) -> Self {
        Self {
            file: Arc::new(file),
            sector_size,
            size_bytes: size - size % u64::from(sector_size.max(1)),
            zeroed,
            queue: OnceLock::new(),
        }
    }

    /// Where large writes go.
    fn queue(&self) -> Option<&WriteQueue> {
        let open = || {
            // The same file, also where its path has become another's.
            let path = format!("/proc/self/fd/{}", self.file.as_raw_fd());
            let direct = OpenOptions::new()
                .write(true)
                .custom_flags(OFlags::DIRECT.bits().cast_signed())
                .open(path)
                .ok()?;
            Some(WriteQueue::new(
                Arc::new(direct),
                Some(Arc::clone(&self.file)),
            ))
        };
        self.queue.get_or_init(open).as_ref()
    }

    /// Waits for large writes to a place that is read or written in another way.
    fn settle(&self, range: &Range<u64>) {
        if let Some(Some(queue)) = self.queue.get() {
            queue.settle(range);
        }
    }

    /// Writes through the page cache.
    fn write_cached(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        if data.is_empty() {
            return Ok(());
        }
        self.settle(&(offset..offset + data.len() as u64));
        self.file.write_all_at(data, offset)
    }
}

/// Gives the lock back, which a program that another thread is starting at this moment would keep
/// for as long as it has copies of this one's files.
impl Drop for ImageFile {
    fn drop(&mut self) {
        // What is on its way arrives, or is left out, under the lock.
        drop(self.queue.take());
        let _ = flock(&*self.file, FlockOperation::Unlock);
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

impl BlockDevice for ImageFile {
    fn sector_size(&self) -> u32 {
        self.sector_size
    }

    fn size_bytes(&self) -> u64 {
        self.size_bytes
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        self.settle(&(offset..offset.saturating_add(buf.len() as u64)));
        self.file.read_exact_at(buf, offset)
    }

    fn write_at(&mut self, offset: u64, data: &[u8]) -> io::Result<()> {
        check_write(self, offset, data.len())?;
        // Whole pages directly, what is before and behind them through the cache.
        let end = offset + data.len() as u64;
        let direct = offset.next_multiple_of(PAGE)..end - end % PAGE;
        let is_large = direct.end.saturating_sub(direct.start) >= LEAST_DIRECT;
        let Some(queue) = self.queue().filter(|_| is_large) else {
            return self.write_cached(offset, data);
        };
        let (head, rest) = data.split_at((direct.start - offset) as usize);
        let (pages, tail) = rest.split_at((direct.end - direct.start) as usize);
        self.write_cached(offset, head)?;
        let mut at = direct.start;
        for part in pages.chunks(PART) {
            let mut buffer = queue.buffer(part.len());
            buffer.copy_from_slice(part);
            queue.push(at, buffer)?;
            at += part.len() as u64;
        }
        self.write_cached(direct.end, tail)
    }

    fn take_buffer(&mut self, length: usize) -> AlignedBuffer {
        match self.queue() {
            Some(queue) => queue.buffer(length.min(MAX_WRITE)),
            None => AlignedBuffer::new(length.min(MAX_WRITE)),
        }
    }

    fn write_buffer(&mut self, offset: u64, mut buffer: AlignedBuffer) -> io::Result<()> {
        let checked = check_write(self, offset, buffer.len());
        let pages = match checked.is_ok() && offset.is_multiple_of(PAGE) && self.queue().is_some() {
            true => buffer.len() - buffer.len() % PAGE as usize,
            false => 0,
        };
        let cached = checked.and_then(|()| match &buffer[pages..] {
            [] => Ok(()),
            rest => self.write_cached(offset + pages as u64, rest),
        });
        match (self.queue(), pages) {
            (Some(queue), 1..) if cached.is_ok() => {
                buffer.resize(pages);
                queue.push(offset, buffer)
            }
            _ => {
                self.return_buffer(buffer);
                cached
            }
        }
    }

    fn return_buffer(&mut self, buffer: AlignedBuffer) {
        if let Some(queue) = self.queue() {
            queue.put_back(buffer);
        }
    }

    fn write_zeroes(&mut self, offset: u64, length: u64) -> io::Result<()> {
        self.settle(&(offset..offset.saturating_add(length)));
        // In an image file a hole is zero and takes no space.
        let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        match fallocate(&*self.file, flags, offset, length) {
            Ok(()) => Ok(()),
            Err(_) => super::write_zeroes(self, offset, length),
        }
    }

    fn clears_fast(&self) -> bool {
        true
    }

    fn discard(&mut self, offset: u64, length: u64) -> io::Result<()> {
        check_write(self, offset, 0)?;
        self.settle(&(offset..offset.saturating_add(length)));
        let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        // Where a file cannot have holes, nothing is lost but space.
        let _ = fallocate(&*self.file, flags, offset, length);
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        if let Some(Some(queue)) = self.queue.get() {
            queue.finish()?;
        }
        self.file.sync_data()
    }

    fn forget(&self) -> io::Result<()> {
        Ok(fadvise(&*self.file, 0, None, Advice::DontNeed)?)
    }

    /// What is no hole of the file. Where its file system cannot tell, everything.
    fn data(&self, range: Range<u64>) -> io::Result<Vec<Range<u64>>> {
        self.settle(&range);
        let mut found = Vec::new();
        let mut at = range.start;
        while at < range.end {
            let start = match rustix::fs::seek(&*self.file, Seek::Data(at)) {
                Ok(start) if start < range.end => start.max(at),
                Ok(_) | Err(Errno::NXIO) => break,
                Err(Errno::INVAL | Errno::OPNOTSUPP) => return Ok(vec![range]),
                Err(error) => return Err(error.into()),
            };
            let end = rustix::fs::seek(&*self.file, Seek::Hole(start))?.min(range.end);
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
