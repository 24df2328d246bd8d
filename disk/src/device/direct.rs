//! A block device, read and written past the page cache.

use super::queue::{FailedTransfer, MAX_WRITE, WriteQueue};
use super::{AlignedBuffer, BlockDevice, check_write};
use crate::DeviceError;
use rustix::fs::{FallocateFlags, FlockOperation, OFlags, fallocate, flock};
use rustix::io::Errno;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Seek, SeekFrom};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

/// Bytes moved by one direct read.
const MAX_READ: usize = 4 << 20;

/// Who else may use a block device meanwhile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sharing {
    /// Nobody: nothing of it may be mounted or held, or become so.
    Alone,
    /// No other `nos` that writes; its partitions may be mounted.
    AmongNos,
    /// Others that read too. It cannot be written.
    ReadOnly,
}

/// A block device, read and written directly: what is read comes from the medium, what is written
/// goes to it without waiting in the page cache.
///
/// Writes are carried out a few at a time behind the caller's back; one that fails is told by the
/// next write or flush, as a [`FailedTransfer`] that says where it was.
#[derive(Debug)]
pub struct DirectDevice {
    file: Arc<File>,
    sector_size: u32,
    size_bytes: u64,
    /// Whether the device can clear sectors without being sent zeros.
    clears_fast: bool,
    queue: OnceLock<WriteQueue>,
}

impl DirectDevice {
    /// Opens a block device. Another program's lock is waited for, for two seconds at most: udev
    /// takes one whenever a device was plugged in or written, to see what is on it. `on_wait` is
    /// told when that is no longer a moment.
    ///
    /// # Errors
    /// [`DeviceError::Busy`] where something that `sharing` does not allow uses it,
    /// [`DeviceError::NotADisk`] for anything but a block device, [`DeviceError::Io`] otherwise.
    pub fn open(
        path: &Path,
        sharing: Sharing,
        on_wait: &mut dyn FnMut(),
    ) -> Result<Self, DeviceError> {
        let failed =
            |action: &'static str| move |error: io::Error| DeviceError::io(path, action, error);
        let busy = || DeviceError::Busy {
            path: path.to_owned(),
        };
        let mut flags = OFlags::DIRECT | OFlags::CLOEXEC;
        if sharing == Sharing::Alone {
            flags |= OFlags::EXCL;
        }
        let file = OpenOptions::new()
            .read(true)
            .write(sharing != Sharing::ReadOnly)
            .custom_flags(flags.bits().cast_signed())
            .open(path)
            .map_err(|error| match error.kind() {
                io::ErrorKind::ResourceBusy => busy(),
                _ => failed("open")(error),
            })?;
        let lock = match sharing {
            Sharing::ReadOnly => FlockOperation::NonBlockingLockShared,
            Sharing::Alone | Sharing::AmongNos => FlockOperation::NonBlockingLockExclusive,
        };
        lock_soon(&file, lock, on_wait).map_err(|error| match error {
            Errno::WOULDBLOCK => busy(),
            other => failed("lock")(other.into()),
        })?;
        let sector_size = match rustix::fs::ioctl_blksszget(&file) {
            Ok(size) => size,
            Err(Errno::NOTTY | Errno::INVAL) => {
                return Err(DeviceError::NotADisk {
                    path: path.to_owned(),
                });
            }
            Err(error) => return Err(failed("examine")(error.into())),
        };
        let size = (&file).seek(SeekFrom::End(0)).map_err(failed("measure"))?;
        let clears_fast = file
            .metadata()
            .is_ok_and(|metadata| clears_fast(metadata.rdev()));
        Ok(Self::over(file, sector_size, size, clears_fast))
    }

    fn over(file: File, sector_size: u32, size: u64, clears_fast: bool) -> Self {
        Self {
            file: Arc::new(file),
            sector_size,
            size_bytes: size - size % u64::from(sector_size.max(1)),
            clears_fast,
            queue: OnceLock::new(),
        }
    }

    fn queue(&self) -> &WriteQueue {
        self.queue
            .get_or_init(|| WriteQueue::new(Arc::clone(&self.file), None))
    }

    /// Waits for writes to a place that is read or written in another way.
    fn settle(&self, offset: u64, length: u64) {
        if let Some(queue) = self.queue.get() {
            queue.settle(&(offset..offset.saturating_add(length)));
        }
    }

    /// Reads whole sectors into memory that is aligned.
    fn read_direct(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        let length = buf.len() as u64;
        self.file
            .read_exact_at(buf, offset)
            .map_err(FailedTransfer::at(offset, length))
    }
}

/// Gives the lock back, which a program that another thread is starting at this moment would keep
/// for as long as it has copies of this one's files.
impl Drop for DirectDevice {
    fn drop(&mut self) {
        // What is on its way arrives, or is left out, under the lock.
        drop(self.queue.take());
        let _ = flock(&*self.file, FlockOperation::Unlock);
    }
}

/// How long another program may have the lock of a device.
const PATIENCE: Duration = Duration::from_secs(2);

/// Time between two tries to get it.
const PAUSE: Duration = Duration::from_millis(20);

/// Tries before that is said.
const MOMENT: u32 = 15;

/// Takes a lock, also where another program has it and gives it back soon.
fn lock_soon(
    file: &File,
    lock: FlockOperation,
    on_wait: &mut dyn FnMut(),
) -> rustix::io::Result<()> {
    let began = Instant::now();
    let mut tries = 0;
    loop {
        match flock(file, lock) {
            Err(Errno::WOULDBLOCK) if began.elapsed() < PATIENCE => {}
            result => return result,
        }
        tries += 1;
        if tries == MOMENT {
            on_wait();
        }
        std::thread::sleep(PAUSE);
    }
}

/// What the kernel says of a device with this number; a partition's queue is that of its disk.
fn clears_fast(rdev: u64) -> bool {
    let (major, minor) = (rustix::fs::major(rdev), rustix::fs::minor(rdev));
    let folder = format!("/sys/dev/block/{major}:{minor}");
    let limit = |of: &str| {
        let path = format!("{folder}/{of}queue/write_zeroes_max_bytes");
        fs::read_to_string(path).ok()?.trim().parse::<u64>().ok()
    };
    limit("")
        .or_else(|| limit("../"))
        .is_some_and(|limit| limit > 0)
}

impl BlockDevice for DirectDevice {
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
        self.settle(first, last - first);
        let whole = offset.is_multiple_of(sector) && (buf.len() as u64).is_multiple_of(sector);
        if whole && AlignedBuffer::is_aligned(buf) {
            return buf
                .chunks_mut(MAX_READ)
                .enumerate()
                .try_for_each(|(index, part)| {
                    self.read_direct(offset + (index * MAX_READ) as u64, part)
                });
        }
        let mut aligned = AlignedBuffer::new((last - first).min(MAX_READ as u64) as usize);
        let mut at = first;
        while at < last {
            aligned.resize((last - at).min(MAX_READ as u64) as usize);
            self.read_direct(at, &mut aligned)?;
            let from = offset.max(at);
            let to = end.min(at + aligned.len() as u64);
            buf[(from - offset) as usize..(to - offset) as usize]
                .copy_from_slice(&aligned[(from - at) as usize..(to - at) as usize]);
            at += aligned.len() as u64;
        }
        Ok(())
    }

    fn write_at(&mut self, offset: u64, data: &[u8]) -> io::Result<()> {
        check_write(self, offset, data.len())?;
        for (index, part) in data.chunks(MAX_WRITE).enumerate() {
            let mut buffer = self.queue().buffer(part.len());
            buffer.copy_from_slice(part);
            self.queue()
                .push(offset + (index * MAX_WRITE) as u64, buffer)?;
        }
        Ok(())
    }

    fn take_buffer(&mut self, length: usize) -> AlignedBuffer {
        self.queue().buffer(length.min(MAX_WRITE))
    }

    fn write_buffer(&mut self, offset: u64, buffer: AlignedBuffer) -> io::Result<()> {
        if let Err(error) = check_write(self, offset, buffer.len()) {
            self.return_buffer(buffer);
            return Err(error);
        }
        self.queue().push(offset, buffer)
    }

    fn return_buffer(&mut self, buffer: AlignedBuffer) {
        self.queue().put_back(buffer);
    }

    fn write_zeroes(&mut self, offset: u64, length: u64) -> io::Result<()> {
        check_write(self, offset, 0)?;
        self.settle(offset, length);
        let flags = FallocateFlags::ZERO_RANGE | FallocateFlags::KEEP_SIZE;
        if length > 0 && fallocate(&*self.file, flags, offset, length).is_ok() {
            return Ok(());
        }
        super::write_zeroes(self, offset, length)
    }

    fn clears_fast(&self) -> bool {
        self.clears_fast
    }

    fn discard(&mut self, offset: u64, length: u64) -> io::Result<()> {
        check_write(self, offset, 0)?;
        self.settle(offset, length);
        // A hole is a discard that promises zeros; devices that do not promise get the second.
        let hole = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        for flags in [hole, hole | FallocateFlags::NO_HIDE_STALE] {
            if length > 0 && fallocate(&*self.file, flags, offset, length).is_ok() {
                break;
            }
        }
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        if let Some(queue) = self.queue.get() {
            queue.finish()?;
        }
        self.file.sync_data()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SIZE: usize = 1 << 20;

    /// A regular file stands in for a device, directly where its file system allows that.
    fn device(sector_size: u32) -> (DirectDevice, tempfile::NamedTempFile) {
        let backing = tempfile::NamedTempFile::new().unwrap();
        backing.as_file().set_len(SIZE as u64).unwrap();
        let mut options = OpenOptions::new();
        options.read(true).write(true);
        let flags = OFlags::DIRECT.bits().cast_signed();
        let direct = options.clone().custom_flags(flags).open(backing.path());
        let file = direct.or_else(|_| options.open(backing.path())).unwrap();
        let device = DirectDevice::over(file, sector_size, SIZE as u64, false);
        (device, backing)
    }

    #[derive(Debug, Clone)]
    enum Step {
        Write(u64, Vec<u8>),
        Buffer(u64, Vec<u8>),
        Zero(u64, u64),
        Read(u64, usize),
        Flush,
    }

    fn step(sector: u64) -> impl Strategy<Value = Step> {
        let sectors = SIZE as u64 / sector;
        let place = (0..sectors, 1..sectors, any::<u8>());
        let data = move |(at, length, byte): (u64, u64, u8)| {
            let length = length.min(sectors - at) * sector;
            (at * sector, vec![byte; length as usize])
        };
        prop_oneof![
            4 => place.clone().prop_map(move |p| { let (at, d) = data(p); Step::Write(at, d) }),
            4 => place.clone().prop_map(move |p| { let (at, d) = data(p); Step::Buffer(at, d) }),
            1 => place.prop_map(move |p| { let (at, d) = data(p); Step::Zero(at, d.len() as u64) }),
            3 => (0..SIZE as u64, 0..SIZE).prop_map(|(at, l)| Step::Read(at, l.min(SIZE - at as usize))),
            1 => Just(Step::Flush),
        ]
    }

    fn follow(sector_size: u32, steps: &[Step]) -> Result<(), TestCaseError> {
        let (mut device, _backing) = device(sector_size);
        let mut model = vec![0; SIZE];
        for step in steps {
            match step {
                Step::Write(at, data) => {
                    device.write_at(*at, data).unwrap();
                    model[*at as usize..][..data.len()].copy_from_slice(data);
                }
                Step::Buffer(at, data) => {
                    let mut buffer = device.take_buffer(data.len());
                    buffer.copy_from_slice(data);
                    device.write_buffer(*at, buffer).unwrap();
                    model[*at as usize..][..data.len()].copy_from_slice(data);
                }
                Step::Zero(at, length) => {
                    device.write_zeroes(*at, *length).unwrap();
                    model[*at as usize..][..*length as usize].fill(0);
                }
                Step::Read(at, length) => {
                    let mut found = vec![1; *length];
                    device.read_at(*at, &mut found).unwrap();
                    prop_assert!(found == model[*at as usize..][..*length]);
                }
                Step::Flush => device.flush().unwrap(),
            }
        }
        let mut all = AlignedBuffer::new(SIZE);
        device.read_at(0, &mut all).unwrap();
        prop_assert!(*all == *model);
        Ok(())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]

        #[test]
        fn writes_behind_the_back_are_seen_in_their_order(
            small in prop::collection::vec(step(512), 1..40),
            large in prop::collection::vec(step(4096), 1..40),
        ) {
            follow(512, &small)?;
            follow(4096, &large)?;
        }
    }

    #[test]
    fn a_write_that_fails_later_is_told_with_its_place() {
        let backing = tempfile::NamedTempFile::new().unwrap();
        backing.as_file().set_len(SIZE as u64).unwrap();
        let file = File::open(backing.path()).unwrap();
        let mut device = DirectDevice::over(file, 512, SIZE as u64, false);
        device.write_at(8192, &[1; 512]).unwrap();
        let error = device.flush().unwrap_err();
        let place = error.get_ref().unwrap().downcast_ref::<FailedTransfer>();
        assert_eq!(
            place.map(|place| (place.offset, place.length)),
            Some((8192, 512))
        );
        assert!(
            error.to_string().starts_with("512 bytes at byte 8192: "),
            "{error}"
        );
        // Told once; what comes after it has a chance of its own.
        let bytes = device.take_buffer(4096);
        device.write_buffer(0, bytes).unwrap();
        assert!(device.flush().is_err());
    }

    #[test]
    fn a_lock_that_is_given_back_soon_is_waited_for() {
        let backing = tempfile::NamedTempFile::new().unwrap();
        let other = || File::open(backing.path()).unwrap();
        let lock = FlockOperation::NonBlockingLockExclusive;
        let mut holder = Some(other());
        flock(holder.as_ref().unwrap(), lock).unwrap();
        let file = other();
        // Whoever waits for longer than a moment says so; here it is given back at that.
        lock_soon(&file, lock, &mut || holder = None).unwrap();
        assert!(holder.is_none(), "it was not waited for");
        let mut told = 0;
        let refused = lock_soon(&other(), lock, &mut || told += 1);
        assert_eq!((refused, told), (Err(Errno::WOULDBLOCK), 1));
    }

    #[test]
    fn part_of_a_sector_and_what_lies_behind_the_end_are_refused() {
        let (mut device, _backing) = device(4096);
        assert!(device.write_at(512, &[0; 4096]).is_err());
        assert!(device.write_at(0, &[0; 512]).is_err());
        assert!(device.write_at(SIZE as u64, &[0; 4096]).is_err());
        let buffer = device.take_buffer(512);
        assert!(device.write_buffer(0, buffer).is_err());
        assert!(device.read_at(SIZE as u64 - 1, &mut [0; 2]).is_err());
        assert!(device.write_zeroes(512, 4096).is_err());
        assert!(matches!(
            DirectDevice::open(Path::new("/dev/null"), Sharing::ReadOnly, &mut || {}),
            Err(DeviceError::NotADisk { .. } | DeviceError::Io { .. })
        ));
    }
}
