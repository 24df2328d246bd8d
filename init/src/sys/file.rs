//! Files and directories.

use super::{Errno, Fd, Result, call, zero_terminated};
use alloc::string::String;
use alloc::vec::Vec;

const AT_FDCWD: usize = libc::AT_FDCWD as usize;

/// What a path must be opened for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Reading.
    Read,
    /// Reading, never waiting for data.
    ReadNow,
    /// Writing, never waiting and never becoming the controlling terminal.
    WriteNow,
    /// Reading and writing, never waiting and never becoming the controlling terminal.
    Terminal,
    /// Writing to what exists.
    Write,
    /// Reading and writing past the kernel's cache, in whole sectors.
    Direct,
    /// Writing to a file that is made, or emptied.
    Create,
}

/// Opens a file; the descriptor is closed on exec.
///
/// # Errors
/// What the kernel says.
pub fn open(path: &str, mode: Mode) -> Result<Fd> {
    let flags = libc::O_CLOEXEC
        | match mode {
            Mode::Read => libc::O_RDONLY,
            Mode::ReadNow => libc::O_RDONLY | libc::O_NONBLOCK,
            Mode::WriteNow => libc::O_WRONLY | libc::O_NONBLOCK | libc::O_NOCTTY,
            Mode::Terminal => libc::O_RDWR | libc::O_NONBLOCK | libc::O_NOCTTY,
            Mode::Write => libc::O_WRONLY,
            Mode::Direct => libc::O_RDWR | libc::O_DIRECT,
            Mode::Create => libc::O_WRONLY | libc::O_CREAT | libc::O_TRUNC,
        };
    let path = zero_terminated(path)?;
    // SAFETY: the path is zero-terminated and outlives the call.
    unsafe {
        call(
            libc::SYS_openat,
            &[AT_FDCWD, path.as_ptr() as usize, flags as usize, 0o644],
        )
    }
    .map(Fd::own)
}

/// Reads into the buffer; 0 at the end.
///
/// # Errors
/// What the kernel says; `EAGAIN` where there is nothing now.
pub fn read(fd: &Fd, buffer: &mut [u8]) -> Result<usize> {
    // SAFETY: the kernel writes at most `buffer.len()` bytes.
    unsafe {
        call(
            libc::SYS_read,
            &[fd.argument(), buffer.as_mut_ptr() as usize, buffer.len()],
        )
    }
}

/// Reads at an offset, until the buffer is full or the file ends.
///
/// # Errors
/// What the kernel says.
pub fn read_at(fd: &Fd, buffer: &mut [u8], offset: u64) -> Result<usize> {
    let mut done = 0;
    while let Some(rest) = buffer.get_mut(done..).filter(|rest| !rest.is_empty()) {
        let at = usize::try_from(offset)
            .ok()
            .and_then(|o| o.checked_add(done));
        let at = at.ok_or(Errno(libc::EINVAL))?;
        // SAFETY: the kernel writes at most `rest.len()` bytes.
        let n = unsafe {
            call(
                libc::SYS_pread64,
                &[fd.argument(), rest.as_mut_ptr() as usize, rest.len(), at],
            )
        }?;
        if n == 0 {
            break;
        }
        done += n;
    }
    Ok(done)
}

/// Writes all of the bytes at an offset.
///
/// # Errors
/// What the kernel says; `EIO` where it takes less.
pub fn write_at(fd: &Fd, bytes: &[u8], offset: u64) -> Result<()> {
    let at = usize::try_from(offset).map_err(|_| Errno(libc::EINVAL))?;
    // SAFETY: the kernel reads `bytes.len()` bytes.
    let n = unsafe {
        call(
            libc::SYS_pwrite64,
            &[fd.argument(), bytes.as_ptr() as usize, bytes.len(), at],
        )
    }?;
    if n == bytes.len() {
        Ok(())
    } else {
        Err(Errno(libc::EIO))
    }
}

/// Returns when what was written to a file would outlast a power cut.
///
/// # Errors
/// What the kernel says.
pub fn sync_data(fd: &Fd) -> Result<()> {
    // SAFETY: takes no pointer.
    unsafe { call(libc::SYS_fdatasync, &[fd.argument()]) }.map(drop)
}

/// Makes or rewrites a file by one write, as those that firmware keeps want it.
///
/// # Errors
/// What the kernel says.
pub fn write_at_once(path: &str, bytes: &[u8]) -> Result<()> {
    write(&open(path, Mode::Create)?, bytes).map(drop)
}

/// Takes the mark from a file that keeps it from being changed or removed.
///
/// # Errors
/// What the kernel says.
pub fn clear_immutable(path: &str) -> Result<()> {
    const SET_FLAGS: u32 = 0x4008_6602;
    super::ioctl_word(&open(path, Mode::Read)?, SET_FLAGS, 0)
}

/// Length of an open file in bytes.
///
/// # Errors
/// What the kernel says.
pub fn length(fd: &Fd) -> Result<usize> {
    // SAFETY: takes no pointer. Every other read here names its offset or reads from the start
    // of a descriptor of its own.
    unsafe {
        call(
            libc::SYS_lseek,
            &[fd.argument(), 0, libc::SEEK_END as usize],
        )
    }
}

/// Writes once; how much was taken.
///
/// # Errors
/// What the kernel says; `EAGAIN` where nothing is taken now.
pub fn write(fd: &Fd, bytes: &[u8]) -> Result<usize> {
    write_number(fd.number(), bytes)
}

/// As [`write`], to a descriptor known by number only (the console, a child's standard error).
///
/// # Errors
/// What the kernel says.
pub fn write_number(fd: i32, bytes: &[u8]) -> Result<usize> {
    // SAFETY: the kernel reads `bytes.len()` bytes. A number that is no descriptor is `EBADF`.
    unsafe {
        call(
            libc::SYS_write,
            &[fd as usize, bytes.as_ptr() as usize, bytes.len()],
        )
    }
}

/// Reads a whole file of at most `limit` bytes.
///
/// # Errors
/// `EFBIG` where it is larger, else what the kernel says.
pub fn read_file(path: &str, limit: usize) -> Result<Vec<u8>> {
    const STEP: usize = 4096;
    let fd = open(path, Mode::Read)?;
    let mut bytes = Vec::new();
    loop {
        let old = bytes.len();
        bytes.resize(old + STEP, 0);
        let n = read(&fd, bytes.get_mut(old..).unwrap_or_default())?;
        bytes.truncate(old + n);
        if n == 0 {
            return Ok(bytes);
        }
        if bytes.len() > limit {
            return Err(Errno(libc::EFBIG));
        }
    }
}

/// As [`read_file`] for small text; lossy where it is not UTF-8.
///
/// # Errors
/// As [`read_file`].
pub fn read_text(path: &str) -> Result<String> {
    Ok(super::text(&read_file(path, 64 * 1024)?))
}

/// Writes to a file that exists (a kernel setting) in one write.
///
/// # Errors
/// What the kernel says.
pub fn set(path: &str, value: &str) -> Result<()> {
    write(&open(path, Mode::Write)?, value.as_bytes()).map(drop)
}

/// Makes or rewrites a file in place, so that a bind mount of it shows the new content.
///
/// # Errors
/// What the kernel says.
pub fn write_file(path: &str, bytes: &[u8]) -> Result<()> {
    let fd = open(path, Mode::Create)?;
    let mut rest = bytes;
    while !rest.is_empty() {
        let n = write(&fd, rest)?;
        rest = rest.get(n..).unwrap_or_default();
    }
    Ok(())
}

/// Makes a directory; one that exists is fine.
///
/// # Errors
/// What the kernel says.
pub fn make_dir(path: &str, mode: u32) -> Result<()> {
    let path = zero_terminated(path)?;
    // SAFETY: the path is zero-terminated and outlives the call.
    match unsafe { call(libc::SYS_mkdir, &[path.as_ptr() as usize, mode as usize]) } {
        Ok(_) | Err(Errno(libc::EEXIST)) => Ok(()),
        Err(error) => Err(error),
    }
}

/// A device node: what kind it is and which device, as the kernel encodes both.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Node {
    kind: u32,
    device: u64,
}

impl Node {
    /// A character device with small numbers.
    pub fn character(major: u32, minor: u32) -> Self {
        Self {
            kind: libc::S_IFCHR,
            device: u64::from(major << 8 | minor),
        }
    }
}

/// Makes a device node.
///
/// # Errors
/// What the kernel says.
pub fn make_node(path: &str, mode: u32, node: Node) -> Result<()> {
    let path = zero_terminated(path)?;
    let mode = (node.kind | mode) as usize;
    let device = node.device as usize;
    // SAFETY: the path is zero-terminated and outlives the call.
    unsafe { call(libc::SYS_mknod, &[path.as_ptr() as usize, mode, device]) }.map(drop)
}

/// The device node at a path, not following links; `None` where something else is there.
///
/// # Errors
/// What the kernel says.
pub fn node(path: &str) -> Result<Option<Node>> {
    let stat = status(path)?;
    let kind = stat.word(24) & libc::S_IFMT;
    let is_device = matches!(kind, libc::S_IFCHR | libc::S_IFBLK);
    let device = u64::from(stat.word(40)) | u64::from(stat.word(44)) << 32;
    Ok(is_device.then_some(Node { kind, device }))
}

/// Makes a symbolic link.
///
/// # Errors
/// What the kernel says.
pub fn symlink(target: &str, path: &str) -> Result<()> {
    let (target, path) = (zero_terminated(target)?, zero_terminated(path)?);
    // SAFETY: both are zero-terminated and outlive the call.
    unsafe {
        call(
            libc::SYS_symlink,
            &[target.as_ptr() as usize, path.as_ptr() as usize],
        )
    }
    .map(drop)
}

/// What a symbolic link says; those of `/proc/self/fd` say what is open.
///
/// # Errors
/// What the kernel says.
pub fn read_link(path: &str) -> Result<Vec<u8>> {
    const MAX_PATH: usize = 4096;
    let path = zero_terminated(path)?;
    let mut target = alloc::vec![0_u8; MAX_PATH];
    // SAFETY: the path is zero-terminated; the kernel writes at most `target.len()` bytes.
    let n = unsafe {
        call(
            libc::SYS_readlink,
            &[
                path.as_ptr() as usize,
                target.as_mut_ptr() as usize,
                target.len(),
            ],
        )
    }?;
    target.truncate(n);
    Ok(target)
}

/// Removes a file.
///
/// # Errors
/// What the kernel says.
pub fn remove(path: &str) -> Result<()> {
    let path = zero_terminated(path)?;
    // SAFETY: the path is zero-terminated and outlives the call.
    unsafe { call(libc::SYS_unlink, &[path.as_ptr() as usize]) }.map(drop)
}

/// Gives a path (never what a link points at) to an owner.
///
/// # Errors
/// What the kernel says.
pub fn change_owner(path: &str, uid: u32, gid: u32) -> Result<()> {
    let path = zero_terminated(path)?;
    // SAFETY: the path is zero-terminated and outlives the call.
    unsafe {
        call(
            libc::SYS_lchown,
            &[path.as_ptr() as usize, uid as usize, gid as usize],
        )
    }
    .map(drop)
}

/// Gives what is open to an owner, so that it can open it again by `/proc/self/fd`.
///
/// # Errors
/// What the kernel says.
pub fn give(fd: &Fd, uid: u32, gid: u32) -> Result<()> {
    // SAFETY: takes no pointer.
    unsafe {
        call(
            libc::SYS_fchown,
            &[fd.argument(), uid as usize, gid as usize],
        )
    }
    .map(drop)
}

/// `struct stat` of x86-64: mode at 24, user at 28, group at 32, device of a node at 40.
struct Status([u8; 144]);

impl Status {
    fn word(&self, at: usize) -> u32 {
        let bytes = self.0.get(at..at + 4).and_then(|b| b.try_into().ok());
        bytes.map_or(0, u32::from_ne_bytes)
    }
}

fn status(path: &str) -> Result<Status> {
    let path = zero_terminated(path)?;
    let mut stat = Status([0; 144]);
    // SAFETY: the path is zero-terminated; the kernel writes one `struct stat`.
    unsafe {
        call(
            libc::SYS_lstat,
            &[path.as_ptr() as usize, stat.0.as_mut_ptr() as usize],
        )
    }?;
    Ok(stat)
}

/// Owner of a path, not following links: user and group.
///
/// # Errors
/// What the kernel says.
pub fn owner(path: &str) -> Result<(u32, u32)> {
    let stat = status(path)?;
    Ok((stat.word(28), stat.word(32)))
}

/// One name in a directory, and whether it is a directory itself.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Entry {
    /// Its name.
    pub name: String,
    /// Whether it is a directory (a link to one is not).
    pub is_dir: bool,
}

/// The names in a directory, sorted, without `.` and `..`.
///
/// # Errors
/// What the kernel says.
pub fn list(path: &str) -> Result<Vec<Entry>> {
    let fd = open(path, Mode::Read)?;
    let mut entries = Vec::new();
    let mut buffer = [0_u8; 4096];
    loop {
        // SAFETY: the kernel writes at most `buffer.len()` bytes of records.
        let n = unsafe {
            call(
                libc::SYS_getdents64,
                &[fd.argument(), buffer.as_mut_ptr() as usize, buffer.len()],
            )
        }?;
        if n == 0 {
            entries.sort();
            return Ok(entries);
        }
        // struct linux_dirent64: inode 8, offset 8, record length 2, type 1, name.
        let mut rest = buffer.get(..n).unwrap_or_default();
        while let [
            _,
            _,
            _,
            _,
            _,
            _,
            _,
            _,
            _,
            _,
            _,
            _,
            _,
            _,
            _,
            _,
            a,
            b,
            kind,
            ..,
        ] = *rest
        {
            let length = usize::from(u16::from_ne_bytes([a, b])).max(19);
            let name = rest.get(19..length).unwrap_or_default();
            let name = super::text(name.split(|b| *b == 0).next().unwrap_or_default());
            if name != "." && name != ".." {
                entries.push(Entry {
                    name,
                    is_dir: kind == libc::DT_DIR,
                });
            }
            rest = rest.get(length..).unwrap_or_default();
        }
    }
}

/// Whether something is at the path.
pub fn exists(path: &str) -> bool {
    owner(path).is_ok()
}

/// Writes everything that waits in memory to the disks.
pub fn sync() {
    // SAFETY: takes nothing.
    let _ = unsafe { call(libc::SYS_sync, &[]) };
}

fn set_flags(fd: &Fd, flags: i32) -> Result<()> {
    let arguments = [fd.argument(), libc::F_SETFL as usize, flags as usize];
    // SAFETY: takes no pointer.
    unsafe { call(libc::SYS_fcntl, &arguments) }.map(drop)
}

/// Lets reading and writing wait, however the file was opened.
///
/// # Errors
/// What the kernel says.
pub fn let_wait(fd: &Fd) -> Result<()> {
    set_flags(fd, 0)
}

/// Both ends of a pipe: to read from (never waits) and to write to (waits).
///
/// # Errors
/// What the kernel says.
pub fn pipe() -> Result<(Fd, Fd)> {
    let mut ends = [0_i32; 2];
    // SAFETY: the kernel writes two descriptors into `ends`.
    unsafe {
        call(
            libc::SYS_pipe2,
            &[ends.as_mut_ptr() as usize, libc::O_CLOEXEC as usize],
        )
    }?;
    let [read_end, write_end] = ends.map(|number| Fd::own(number as usize));
    // The flag belongs to the open file, and each end is one of its own.
    set_flags(&read_end, libc::O_NONBLOCK)?;
    Ok((read_end, write_end))
}
