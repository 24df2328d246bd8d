//! A library that programs are told to load first (`LD_PRELOAD`): it tells them another wall clock,
//! years ahead. Times that do not follow the calendar, and times of files, stay as they are.
//!
//! It stands on nothing but the kernel, so that it goes with every C library; built by `build.rs`.
#![no_std]

use core::arch::asm;
use core::ffi::{c_int, c_long, c_void};

/// How far ahead, in seconds: five years, four months, some days, hours, minutes and seconds, so
/// that each part of a date is another.
const AHEAD: c_long = (5 * 365 + 4 * 30 + 3) * 86_400 + 5 * 3_600 + 17 * 60 + 23;

/// Number of `clock_gettime` among the system calls of x86-64.
const CLOCK_GETTIME: c_long = 228;

const CLOCK_REALTIME: c_int = 0;
const CLOCK_REALTIME_COARSE: c_int = 5;
const CLOCK_TAI: c_int = 11;
const TIME_UTC: c_int = 1;

#[repr(C)]
pub struct Timespec {
    seconds: c_long,
    nanoseconds: c_long,
}

#[repr(C)]
pub struct Timeval {
    seconds: c_long,
    microseconds: c_long,
}

unsafe extern "C" {
    fn __errno_location() -> *mut c_int;
}

/// Asks the kernel; gives its answer.
///
/// # Safety
/// `to` is valid for writes, or the kernel answers that it is not.
unsafe fn ask(clock: c_int, to: *mut Timespec) -> c_long {
    let answer: c_long;
    // SAFETY: the kernel writes nothing but a `struct timespec` to where `to` points, and takes
    // these three registers.
    unsafe {
        asm!(
            "syscall",
            inlateout("rax") CLOCK_GETTIME => answer,
            in("rdi") c_long::from(clock),
            in("rsi") to,
            lateout("rcx") _,
            lateout("r11") _,
            options(nostack),
        );
    }
    answer
}

fn now() -> Timespec {
    let mut now = Timespec {
        seconds: 0,
        nanoseconds: 0,
    };
    // SAFETY: `now` is valid for writes.
    unsafe { ask(CLOCK_REALTIME, &raw mut now) };
    now.seconds += AHEAD;
    now
}

/// As POSIX says.
///
/// # Safety
/// As there.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clock_gettime(clock: c_int, to: *mut Timespec) -> c_int {
    // SAFETY: the caller answers for `to`; after an answer of 0 the kernel has written there.
    let answer = unsafe { ask(clock, to) };
    if answer < 0 {
        // SAFETY: gives the place of this thread's `errno`.
        unsafe { *__errno_location() = -answer as c_int };
        return -1;
    }
    if let CLOCK_REALTIME | CLOCK_REALTIME_COARSE | CLOCK_TAI = clock {
        // SAFETY: as above.
        unsafe { (*to).seconds += AHEAD };
    }
    0
}

/// As C11 says.
///
/// # Safety
/// As there.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn timespec_get(to: *mut Timespec, base: c_int) -> c_int {
    if base != TIME_UTC {
        return 0;
    }
    // SAFETY: the caller answers for `to`.
    unsafe { *to = now() };
    base
}

/// As POSIX says; the time zone is left as it is, as C libraries do.
///
/// # Safety
/// As there.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gettimeofday(to: *mut Timeval, _zone: *mut c_void) -> c_int {
    let now = now();
    if !to.is_null() {
        // SAFETY: the caller answers for `to`.
        unsafe {
            *to = Timeval {
                seconds: now.seconds,
                microseconds: now.nanoseconds / 1000,
            };
        }
    }
    0
}

/// As POSIX says.
///
/// # Safety
/// As there.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn time(to: *mut c_long) -> c_long {
    let seconds = now().seconds;
    if !to.is_null() {
        // SAFETY: the caller answers for `to`.
        unsafe { *to = seconds };
    }
    seconds
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}
