//! Waiting until the wall clock shows a time.

use crate::looks::{CLOCK_REALTIME, real_now_ns, shown_now_ns};
use crate::{SECOND_NS, Timespec, answer, ask, shown_start_ns};
use core::ffi::{CStr, c_char, c_int, c_long, c_void};

const TIMERFD_SETTIME: c_long = 286;
/// `TIMER_ABSTIME`, and the same for timers that are files.
const ABSOLUTE: c_int = 1;
/// `RTLD_NEXT`.
const NEXT: *mut c_void = -1isize as *mut c_void;

/// How much older than `S` a time may be to be one of the wall clock: no machine runs for that long
/// until its other clocks show as much.
const YEARS_NS: i64 = 20 * 365 * 86_400 * SECOND_NS;

unsafe extern "C" {
    fn dlsym(library: *mut c_void, name: *const c_char) -> *mut c_void;
    fn dlvsym(
        library: *mut c_void,
        name: *const c_char,
        version: *const c_char,
    ) -> *mut c_void;
}

/// The kernel's time when as much time has passed as is left until a time of the shown clock. Those of
/// other clocks stay as they are.
fn real(until: Timespec) -> Timespec {
    if until.ns() < shown_start_ns() - YEARS_NS {
        return until;
    }
    let left = until.ns().saturating_sub(shown_now_ns());
    Timespec::from_ns(real_now_ns().saturating_add(left))
}

/// A function that this library stands before.
///
/// # Safety
/// `F` is the type of a pointer to it.
unsafe fn behind<F: Copy>(name: &CStr, version: Option<&CStr>) -> F {
    // SAFETY: both are texts.
    let place = unsafe {
        match version {
            Some(version) => dlvsym(NEXT, name.as_ptr(), version.as_ptr()),
            None => dlsym(NEXT, name.as_ptr()),
        }
    };
    // SAFETY: a program that calls it has it.
    unsafe { core::mem::transmute_copy(&place) }
}

/// Functions of the C library that wait until a time: what they take before it, and the version of
/// which there are several.
macro_rules! waits {
    ($($name:ident($($argument:ident),*) $($version:literal)?),*) => { $(
        /// As POSIX or the C library says.
        ///
        /// # Safety
        /// As there.
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $name($($argument: *mut c_void,)* until: *const Timespec) -> c_int {
            type Function = unsafe extern "C" fn($(waits!(@ $argument),)* *const Timespec) -> c_int;
            const VERSION: Option<&CStr> = waits!(# $($version)?);
            // SAFETY: the caller answers for `until`; the function has this form.
            unsafe {
                let name = concat!(stringify!($name), "\0");
                let name = CStr::from_bytes_with_nul_unchecked(name.as_bytes());
                let function: Function = behind(name, VERSION);
                let until = until.as_ref().map(|until| real(*until));
                let place = until.as_ref().map_or(core::ptr::null(), |until| &raw const *until);
                function($($argument,)* place)
            }
        }
    )* };
    (@ $argument:ident) => { *mut c_void };
    (#) => { None };
    (# $version:literal) => { Some($version) };
}

waits!(
    pthread_cond_timedwait(condition, mutex) c"GLIBC_2.3.2",
    pthread_mutex_timedlock(mutex),
    pthread_rwlock_timedrdlock(lock),
    pthread_rwlock_timedwrlock(lock),
    pthread_timedjoin_np(thread, value),
    sem_timedwait(semaphore),
    cnd_timedwait(condition, mutex),
    mtx_timedlock(mutex)
);

/// The same where the clock is told.
macro_rules! waits_by_clock {
    ($($name:ident($($before:ident),*)),*) => { $(
        /// As the C library says.
        ///
        /// # Safety
        /// As there.
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $name(
            $($before: *mut c_void,)*
            clock: c_int,
            until: *const Timespec,
        ) -> c_int {
            type Function =
                unsafe extern "C" fn($(waits!(@ $before),)* c_int, *const Timespec) -> c_int;
            // SAFETY: the caller answers for `until`; the function has this form.
            unsafe {
                let name = concat!(stringify!($name), "\0");
                let name = CStr::from_bytes_with_nul_unchecked(name.as_bytes());
                let function: Function = behind(name, None);
                let until = until.as_ref().map(|until| match clock {
                    CLOCK_REALTIME => real(*until),
                    _ => *until,
                });
                let place = until.as_ref().map_or(core::ptr::null(), |until| &raw const *until);
                function($($before,)* clock, place)
            }
        }
    )* };
}

waits_by_clock!(
    pthread_cond_clockwait(condition, mutex),
    pthread_mutex_clocklock(mutex),
    pthread_rwlock_clockrdlock(lock),
    pthread_rwlock_clockwrlock(lock),
    pthread_clockjoin_np(thread, value),
    sem_clockwait(semaphore)
);

/// As POSIX says.
///
/// # Safety
/// As there.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clock_nanosleep(
    clock: c_int,
    flags: c_int,
    time: *const Timespec,
    left: *mut Timespec,
) -> c_int {
    type Function = unsafe extern "C" fn(c_int, c_int, *const Timespec, *mut Timespec) -> c_int;
    // SAFETY: the caller answers for both places; the function has this form.
    unsafe {
        let function: Function = behind(c"clock_nanosleep", None);
        let mut time = *time;
        if clock == CLOCK_REALTIME && flags & ABSOLUTE != 0 {
            time = real(time);
        }
        function(clock, flags, &raw const time, left)
    }
}

/// As Linux says.
///
/// # Safety
/// As there.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn timerfd_settime(
    timer: c_int,
    flags: c_int,
    new: *const [Timespec; 2],
    old: *mut [Timespec; 2],
) -> c_int {
    // SAFETY: the caller answers for `new`.
    let mut times = unsafe { *new };
    if flags & ABSOLUTE != 0 {
        // An interval, then the first time.
        times[1] = real(times[1]);
    }
    let place = &raw const times as usize;
    let arguments = [timer as usize, flags as usize, place, old as usize, 0];
    // SAFETY: the caller answers for `old`; `times` outlives the call.
    answer(unsafe { ask(TIMERFD_SETTIME, arguments) })
}
