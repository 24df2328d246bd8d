//! Asking what time it is.

use crate::{SECOND_NS, Timespec, answer, ask, shown_start_ns};
use core::ffi::{c_int, c_long, c_void};
use core::sync::atomic::{AtomicI64, Ordering};

/// `CLOCK_*` of linux/time.h that follow the calendar.
pub(crate) const CLOCK_REALTIME: c_int = 0;
const CLOCK_REALTIME_COARSE: c_int = 5;
const CLOCK_REALTIME_ALARM: c_int = 8;
const CLOCK_TAI: c_int = 11;

const CLOCK_GETTIME: c_long = 228;
const TIME_UTC: c_int = 1;

/// How far a look moves the clock of this process on.
const LOOK_NS: i64 = 1000;

static LOOKS: AtomicI64 = AtomicI64::new(0);

/// What the clock shows after the looks so far, in nanoseconds.
pub(crate) fn shown_now_ns() -> i64 {
    shown_start_ns() + SECOND_NS / 2 + LOOKS.load(Ordering::Relaxed).saturating_mul(LOOK_NS)
}

fn look() -> Timespec {
    let now = shown_now_ns();
    LOOKS.fetch_add(1, Ordering::Relaxed);
    Timespec::from_ns(now)
}

/// The kernel's own time, in nanoseconds.
pub(crate) fn real_now_ns() -> i64 {
    let mut now = Timespec::from_ns(0);
    let place = &raw mut now as usize;
    // SAFETY: `now` is valid for writes.
    unsafe { ask(CLOCK_GETTIME, [CLOCK_REALTIME as usize, place, 0, 0, 0]) };
    now.ns()
}

/// As POSIX says.
///
/// # Safety
/// As there.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clock_gettime(clock: c_int, to: *mut Timespec) -> c_int {
    if let CLOCK_REALTIME | CLOCK_REALTIME_COARSE | CLOCK_REALTIME_ALARM | CLOCK_TAI = clock {
        // SAFETY: the caller answers for `to`.
        unsafe { *to = look() };
        return 0;
    }
    // SAFETY: as above.
    answer(unsafe { ask(CLOCK_GETTIME, [clock as usize, to as usize, 0, 0, 0]) })
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
    unsafe { *to = look() };
    base
}

/// As POSIX says; a time zone is not told, as C libraries do.
///
/// # Safety
/// As there.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gettimeofday(to: *mut Timespec, _zone: *mut c_void) -> c_int {
    let mut now = look();
    // `struct timeval` counts microseconds in the same place.
    now.nanoseconds /= 1000;
    if !to.is_null() {
        // SAFETY: the caller answers for `to`.
        unsafe { *to = now };
    }
    0
}

/// As POSIX says.
///
/// # Safety
/// As there.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn time(to: *mut i64) -> i64 {
    let seconds = look().seconds;
    if !to.is_null() {
        // SAFETY: the caller answers for `to`.
        unsafe { *to = seconds };
    }
    seconds
}
