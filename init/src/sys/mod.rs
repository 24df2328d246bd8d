//! The kernel's interface, and the only place of the library with `unsafe`.
//!
//! Each function is one system call (or one obvious group) behind types that cannot be misused:
//! descriptors that close themselves, slices instead of pointers, [`Errno`] instead of −1. The
//! calls are made directly: there is no C library whose state a fork could leave half-held.

mod errno;
pub mod fanotify;
pub mod file;
pub mod module;
pub mod mount;
pub mod process;
pub mod socket;
pub mod wait;

pub use errno::Errno;

use alloc::string::String;
use alloc::vec::Vec;

/// What a system call gives.
pub type Result<T> = core::result::Result<T, Errno>;

/// Makes a system call with up to six arguments.
///
/// # Safety
/// The arguments must be what the call `number` expects: every pointer valid, for as long as and
/// in the way (read or written) the kernel uses it.
pub(crate) unsafe fn call(number: libc::c_long, arguments: &[usize]) -> Result<usize> {
    let at = |i: usize| arguments.get(i).copied().unwrap_or(0);
    let result: isize;
    // SAFETY: the instruction clobbers rcx and r11 only, both declared; what the kernel reads
    // and writes through the arguments is the caller's promise.
    unsafe {
        core::arch::asm!(
            "syscall",
            inlateout("rax") number as isize => result,
            in("rdi") at(0), in("rsi") at(1), in("rdx") at(2),
            in("r10") at(3), in("r8") at(4), in("r9") at(5),
            lateout("rcx") _, lateout("r11") _,
            options(nostack),
        );
    }
    if (-4095..0).contains(&result) {
        return Err(Errno(-(result as i32)));
    }
    Ok(result as usize)
}

/// An open descriptor, closed when dropped.
#[derive(Debug, PartialEq, Eq)]
pub struct Fd(i32);

impl Fd {
    /// Takes over a descriptor number that a system call has just returned.
    pub(crate) fn own(number: usize) -> Self {
        Self(number as i32)
    }

    /// Its number.
    pub fn number(&self) -> i32 {
        self.0
    }

    pub(crate) fn argument(&self) -> usize {
        self.0 as usize
    }
}

impl Drop for Fd {
    fn drop(&mut self) {
        // SAFETY: the descriptor is owned, so no other owner can lose it. An error of close
        // leaves it closed all the same.
        let _ = unsafe { call(libc::SYS_close, &[self.argument()]) };
    }
}

/// A zero-terminated copy of a path or word.
///
/// # Errors
/// `EINVAL` where it holds a zero byte.
pub(crate) fn zero_terminated(text: &str) -> Result<Vec<u8>> {
    if text.bytes().any(|b| b == 0) {
        return Err(Errno(libc::EINVAL));
    }
    let mut bytes = Vec::with_capacity(text.len() + 1);
    bytes.extend_from_slice(text.as_bytes());
    bytes.push(0);
    Ok(bytes)
}

/// Nanoseconds since the kernel started (`CLOCK_MONOTONIC`).
pub fn now_ns() -> u64 {
    let mut time = [0_i64; 2];
    // SAFETY: the kernel writes one `timespec`, two 64-bit numbers, into `time`.
    let result = unsafe {
        call(
            libc::SYS_clock_gettime,
            &[libc::CLOCK_MONOTONIC as usize, time.as_mut_ptr() as usize],
        )
    };
    match result {
        Ok(_) => (time[0] as u64)
            .saturating_mul(1_000_000_000)
            .saturating_add(time[1] as u64),
        Err(_) => 0,
    }
}

/// Waits; only for the moments in which nothing else may happen.
pub fn sleep_ms(ms: u64) {
    let time = [(ms / 1000) as i64, (ms % 1000 * 1_000_000) as i64];
    // SAFETY: the kernel reads one `timespec` from `time`; the second pointer may be null.
    let _ = unsafe { call(libc::SYS_nanosleep, &[time.as_ptr() as usize, 0]) };
}

/// Random bytes of what quality there is now; never waits for the kernel's pool.
pub fn random_u32() -> u32 {
    let mut bytes = [0_u8; 4];
    // SAFETY: the kernel writes at most `bytes.len()` bytes into `bytes`.
    let got = unsafe {
        call(
            libc::SYS_getrandom,
            &[
                bytes.as_mut_ptr() as usize,
                bytes.len(),
                libc::GRND_INSECURE as usize,
            ],
        )
    };
    match got {
        Ok(4) => u32::from_ne_bytes(bytes),
        _ => now_ns() as u32,
    }
}

/// Maps zeroed memory, or gives null.
pub fn map_memory(size: usize) -> *mut u8 {
    // SAFETY: an anonymous mapping at an address of the kernel's choice touches nothing else.
    let result = unsafe {
        call(
            libc::SYS_mmap,
            &[
                0,
                size,
                (libc::PROT_READ | libc::PROT_WRITE) as usize,
                (libc::MAP_PRIVATE | libc::MAP_ANONYMOUS) as usize,
                usize::MAX,
                0,
            ],
        )
    };
    match result {
        Ok(address) => address as *mut u8,
        Err(_) => core::ptr::null_mut(),
    }
}

/// Gives back what [`map_memory`] gave. Unmapping is left undone for null.
pub fn unmap_memory(block: *mut u8, size: usize) {
    if !block.is_null() {
        // SAFETY: called by the allocator alone, with a block it mapped and that its user freed.
        let _ = unsafe { call(libc::SYS_munmap, &[block as usize, size]) };
    }
}

/// Sets the host name.
///
/// # Errors
/// What the kernel says.
pub fn set_host_name(name: &str) -> Result<()> {
    // SAFETY: the kernel reads `name.len()` bytes.
    unsafe { call(libc::SYS_sethostname, &[name.as_ptr() as usize, name.len()]) }.map(drop)
}

/// What [`reboot`] does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reboot {
    /// Switch the machine off.
    PowerOff,
    /// Start again from the firmware.
    Restart,
    /// Let ctrl-alt-del reach init as SIGINT.
    DeliverKeys,
}

/// Ends the machine, or changes what ctrl-alt-del does.
///
/// # Errors
/// What the kernel says; no return is success for the first two.
pub fn reboot(how: Reboot) -> Result<()> {
    let command = match how {
        Reboot::PowerOff => libc::LINUX_REBOOT_CMD_POWER_OFF,
        Reboot::Restart => libc::LINUX_REBOOT_CMD_RESTART,
        Reboot::DeliverKeys => libc::LINUX_REBOOT_CMD_CAD_OFF,
    };
    let (magic1, magic2) = (libc::LINUX_REBOOT_MAGIC1, libc::LINUX_REBOOT_MAGIC2);
    // SAFETY: these commands take no pointer.
    unsafe {
        call(
            libc::SYS_reboot,
            &[
                magic1 as u32 as usize,
                magic2 as u32 as usize,
                command as u32 as usize,
                0,
            ],
        )
        .map(drop)
    }
}

/// Sends a command that takes one word by its address: a timeout, flags.
///
/// # Errors
/// What the kernel says.
pub fn ioctl_word(fd: &Fd, request: u32, word: i32) -> Result<()> {
    // As long as the longest word that a request of this kind may declare.
    let mut words = [word, 0];
    // SAFETY: the callers' requests read or write 4 or 8 bytes, and `words` has 8.
    unsafe {
        call(
            libc::SYS_ioctl,
            &[fd.argument(), request as usize, words.as_mut_ptr() as usize],
        )
    }
    .map(drop)
}

/// Sends a device mapper command. The kernel reads and rewrites the buffer, whose length its
/// third word declares (see [`crate::disk::verity`]).
///
/// # Errors
/// `EINVAL` where the buffer and its declared length differ, else what the kernel says.
pub fn device_mapper(control: &Fd, number: u8, buffer: &mut [u8]) -> Result<()> {
    let declared = buffer
        .get(12..16)
        .and_then(|b| b.try_into().ok())
        .map(u32::from_ne_bytes);
    if declared != u32::try_from(buffer.len()).ok() || buffer.len() < 312 {
        return Err(Errno(libc::EINVAL));
    }
    // _IOWR(0xfd, number, struct dm_ioctl)
    let request = 3_usize << 30 | 312 << 16 | 0xfd << 8 | usize::from(number);
    // SAFETY: the kernel takes the buffer's size from `data_size`, which was just compared with
    // its real length, and stays within.
    unsafe {
        call(
            libc::SYS_ioctl,
            &[control.argument(), request, buffer.as_mut_ptr() as usize],
        )
        .map(drop)
    }
}

/// Makes a mounted ext4 file system `blocks` of its own blocks large (`EXT4_IOC_RESIZE_FS`).
///
/// # Errors
/// What the kernel says.
pub fn resize_ext4(mount: &Fd, blocks: u64) -> Result<()> {
    // _IOW('f', 16, __u64)
    let request = 1_usize << 30 | 8 << 16 | usize::from(b'f') << 8 | 16;
    // SAFETY: the kernel reads one 64-bit number through the pointer, which outlives the call.
    unsafe {
        call(
            libc::SYS_ioctl,
            &[mount.argument(), request, &raw const blocks as usize],
        )
        .map(drop)
    }
}

/// Text of bytes that should be UTF-8, with replacement characters where they are not.
pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
