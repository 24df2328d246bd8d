//! A library that every program of a sandbox loads first (`/etc/ld.so.preload`): it shows them a wall
//! clock that stands.
//!
//! ```text
//! real time      start ──────────── elapsed ────────────▶
//! files show     S ── elapsed / 2¹⁸ ──▶ S + ½ s           younger than what was there, in their order
//! clocks show                           S + ½ s + 1 µs for each look of this process
//! ```
//!
//! So every build takes place in the one second `S`, as on a machine that is infinitely fast: what it
//! writes of dates is the same whenever it runs, files are ordered by what was written first, and none
//! is younger than the clock. The microseconds let a loop that waits for the clock to move end. Times
//! that do not follow the calendar (`CLOCK_MONOTONIC`, timers, limits) are the kernel's. Until when a
//! program wants to wait, told by the wall clock, is told to the kernel by its own.
//!
//! `S` and the start are written into the library by the sandbox, see `src/clock.rs`. It stands on the
//! kernel and on three names of the C library, those it passes calls on with; built by `build.rs`.
#![no_std]

mod files;
mod looks;
mod waits;

use core::arch::asm;
use core::ffi::{c_int, c_long};

pub(crate) const SECOND_NS: i64 = 1_000_000_000;

/// What the sandbox writes: a mark to find it by, the kernel's time when the sandbox was made, in
/// nanoseconds, and `S`, in seconds.
#[repr(C)]
struct Start {
    mark: [u8; 16],
    real_ns: i64,
    shown_s: i64,
}

#[used]
static START: Start = Start {
    mark: *b"nos.clock.start:",
    real_ns: 0,
    shown_s: 0,
};

/// The kernel's time at the start.
pub(crate) fn real_start_ns() -> i64 {
    // SAFETY: a valid place of this library. Volatile, as the value is written after compiling.
    unsafe { core::ptr::read_volatile(&raw const START.real_ns) }
}

/// `S`, in nanoseconds.
pub(crate) fn shown_start_ns() -> i64 {
    // SAFETY: as above.
    unsafe { core::ptr::read_volatile(&raw const START.shown_s) * SECOND_NS }
}

/// `struct timespec`.
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct Timespec {
    pub(crate) seconds: i64,
    pub(crate) nanoseconds: i64,
}

impl Timespec {
    pub(crate) fn from_ns(ns: i64) -> Self {
        Self {
            seconds: ns.div_euclid(SECOND_NS),
            nanoseconds: ns.rem_euclid(SECOND_NS),
        }
    }

    /// In nanoseconds; what is too far away for that is as far away as can be told.
    pub(crate) fn ns(self) -> i64 {
        self.seconds
            .saturating_mul(SECOND_NS)
            .saturating_add(self.nanoseconds)
    }
}

unsafe extern "C" {
    fn __errno_location() -> *mut c_int;
}

/// Asks the kernel; gives its answer.
///
/// # Safety
/// As the call's own.
pub(crate) unsafe fn ask(number: c_long, arguments: [usize; 5]) -> c_long {
    let answer: c_long;
    // SAFETY: the caller answers for what the kernel does with the arguments; it takes these
    // registers and no others.
    unsafe {
        asm!(
            "syscall",
            inlateout("rax") number => answer,
            in("rdi") arguments[0],
            in("rsi") arguments[1],
            in("rdx") arguments[2],
            in("r10") arguments[3],
            in("r8") arguments[4],
            lateout("rcx") _,
            lateout("r11") _,
            options(nostack),
        );
    }
    answer
}

/// An answer of the kernel as C libraries give it.
pub(crate) fn answer(answer: c_long) -> c_int {
    if answer < 0 {
        // SAFETY: gives the place of this thread's `errno`.
        unsafe { *__errno_location() = -answer as c_int };
        return -1;
    }
    answer as c_int
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}
