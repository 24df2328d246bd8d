//! Waiting: descriptors, signals, children.

use super::{Fd, Result, call};

/// What one descriptor is waited for, and what came.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Poll {
    fd: i32,
    wanted: i16,
    got: i16,
}

impl Poll {
    /// Waits for something to read (or the end).
    pub fn readable(fd: &Fd) -> Self {
        Self {
            fd: fd.number(),
            wanted: libc::POLLIN,
            got: 0,
        }
    }

    /// Waits for room to write (or an error).
    pub fn writable(fd: &Fd) -> Self {
        Self::writable_number(fd.number())
    }

    /// As [`Poll::writable`], by number.
    pub fn writable_number(fd: i32) -> Self {
        Self {
            fd,
            wanted: libc::POLLOUT,
            got: 0,
        }
    }

    /// Whether anything has come.
    pub fn is_ready(&self) -> bool {
        self.got != 0
    }
}

/// Waits until a descriptor is ready, `timeout_ms` have passed or a signal has come.
/// `None` waits without limit. Errors count as nothing ready.
pub fn poll(polls: &mut [Poll], timeout_ms: Option<u64>) -> usize {
    let timeout = timeout_ms.map(|ms| [(ms / 1000) as i64, (ms % 1000 * 1_000_000) as i64]);
    let timeout = timeout.as_ref().map_or(0, |t| t.as_ptr() as usize);
    // SAFETY: `Poll` has the layout of `struct pollfd`; the kernel writes its third field. The
    // timeout is a `timespec` or null, the signal mask null.
    unsafe {
        call(
            libc::SYS_ppoll,
            &[polls.as_mut_ptr() as usize, polls.len(), timeout, 0, 0],
        )
        .unwrap_or(0)
    }
}

const fn bit(signal: i32) -> u64 {
    1 << (signal - 1)
}

/// The signals that init answers to.
const SIGNALS: u64 =
    bit(libc::SIGCHLD) | bit(libc::SIGTERM) | bit(libc::SIGINT) | bit(libc::SIGPWR);

fn set_blocked(mask: u64) -> Result<()> {
    // SAFETY: the kernel reads the 8-byte mask; the old one is not asked for.
    unsafe {
        call(
            libc::SYS_rt_sigprocmask,
            &[libc::SIG_SETMASK as usize, (&raw const mask) as usize, 0, 8],
        )
        .map(drop)
    }
}

/// Blocks the signals init answers to and gives the descriptor they arrive at.
///
/// # Errors
/// What the kernel says.
pub fn signals() -> Result<Fd> {
    set_blocked(SIGNALS)?;
    let mask = SIGNALS;
    let flags = (libc::SFD_CLOEXEC | libc::SFD_NONBLOCK) as usize;
    // SAFETY: the kernel reads the 8-byte mask.
    unsafe {
        call(
            libc::SYS_signalfd4,
            &[usize::MAX, (&raw const mask) as usize, 8, flags],
        )
        .map(Fd::own)
    }
}

/// Lets every signal through again, for a program that is about to start.
pub fn unblock_signals() {
    let _ = set_blocked(0);
}

/// The next signal that has arrived.
pub fn next_signal(fd: &Fd) -> Option<i32> {
    let mut record = [0_u8; 128];
    let n = super::file::read(fd, &mut record).ok()?;
    (n == record.len()).then(|| i32::from_ne_bytes([record[0], record[1], record[2], record[3]]))
}

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// By itself, with this status.
    Exit(i32),
    /// By this signal.
    Signal(i32),
}

impl core::fmt::Display for Ended {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Exit(status) => write!(f, "ended with status {status}"),
            Self::Signal(signal) => write!(f, "was ended by signal {signal}"),
        }
    }
}

/// Collects one child that has ended, if any: its process id and how.
pub fn reap() -> Option<(i32, Ended)> {
    wait_for(-1, false)
}

/// Waits for one child to end; for a child of a probe that has nothing else to do.
pub fn wait(pid: i32) -> Option<Ended> {
    wait_for(pid, true).map(|(_, ended)| ended)
}

fn wait_for(pid: i32, block: bool) -> Option<(i32, Ended)> {
    let mut status = 0_i32;
    let flags = if block { 0 } else { libc::WNOHANG } as usize;
    // SAFETY: the kernel writes the 4-byte status; no usage record is asked for.
    let pid = unsafe {
        call(
            libc::SYS_wait4,
            &[pid as isize as usize, (&raw mut status) as usize, flags, 0],
        )
    }
    .ok()
    .filter(|pid| *pid != 0)?;
    let ended = match status & 0x7f {
        0 => Ended::Exit(status >> 8 & 0xff),
        signal => Ended::Signal(signal),
    };
    Some((pid as i32, ended))
}
