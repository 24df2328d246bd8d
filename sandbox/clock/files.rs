//! Times of files, as they are shown and as they are set.

use crate::looks::shown_now_ns;
use crate::{SECOND_NS, Timespec, answer, ask, real_start_ns, shown_start_ns};
use core::ffi::{c_char, c_int, c_long, c_uint};

const STAT: c_long = 4;
const FSTAT: c_long = 5;
const LSTAT: c_long = 6;
const NEWFSTATAT: c_long = 262;
const UTIMENSAT: c_long = 280;
const STATX: c_long = 332;

const AT_FDCWD: c_int = -100;
const AT_SYMLINK_NOFOLLOW: c_int = 0x100;
/// `UTIME_NOW` and `UTIME_OMIT` of linux/stat.h.
const UTIME_NOW: i64 = (1 << 30) - 1;
const UTIME_OMIT: i64 = (1 << 30) - 2;
/// `STATX_MTIME` and `STATX_CTIME`.
const STATX_TIMES: c_uint = 0x40 | 0x80;
const EINVAL: c_long = 22;

/// So many times slower than the kernel's time that of files passes, in powers of two: the half second
/// that belongs to files is over after 36 hours, longer than any build may take.
const SLOWER: u32 = 18;

/// What is set to be as old as the clock or this much younger, in nanoseconds, was meant to be of now.
const NOW_NS: i64 = 60 * SECOND_NS;

/// Whether a time of the kernel is one of this build.
fn is_ours(real_ns: i64) -> bool {
    let elapsed = real_ns.saturating_sub(real_start_ns());
    (0..(SECOND_NS / 2) << SLOWER).contains(&elapsed)
}

/// What a file's time is shown as.
fn shown(real: Timespec) -> Timespec {
    match is_ours(real.ns()) {
        true => {
            Timespec::from_ns(shown_start_ns() + ((real.ns() - real_start_ns()) >> SLOWER))
        }
        // Before the build, or set by hand: the same in every build.
        false => real,
    }
}

/// What a time that was shown, or is shown now, is to the kernel.
fn real(time: Timespec) -> Timespec {
    if let UTIME_NOW | UTIME_OMIT = time.nanoseconds {
        return time;
    }
    let passed = time.ns().saturating_sub(shown_start_ns());
    if (0..SECOND_NS / 2).contains(&passed) {
        return Timespec::from_ns(real_start_ns() + (passed << SLOWER));
    }
    let latest = shown_now_ns() + NOW_NS;
    match passed >= SECOND_NS / 2 && time.ns() < latest {
        true => Timespec {
            seconds: 0,
            nanoseconds: UTIME_NOW,
        },
        false => time,
    }
}

/// The times of a file, as the kernel tells them.
struct Times<'a> {
    access: &'a mut Timespec,
    modification: &'a mut Timespec,
    change: &'a mut Timespec,
    birth: Option<&'a mut Timespec>,
}

impl Times<'_> {
    fn show(self) {
        let ours = is_ours(self.change.ns());
        *self.modification = shown(*self.modification);
        let all = [Some(self.access), Some(self.change), self.birth];
        for time in all.into_iter().flatten() {
            // Inputs have a time of modification that is the same everywhere. When they came to this
            // machine, and were read, is nobody's business.
            *time = match ours {
                true => shown(*time),
                false => *self.modification,
            };
        }
    }
}

/// `struct stat` of x86-64, in the kernel and in C libraries.
#[repr(C)]
pub struct Stat {
    before: [u64; 9],
    access: Timespec,
    modification: Timespec,
    change: Timespec,
    after: [i64; 3],
}

/// `struct statx`, as far as it is of interest here.
#[repr(C)]
pub struct Statx {
    before: [u64; 8],
    access: StatxTime,
    birth: StatxTime,
    change: StatxTime,
    modification: StatxTime,
}

#[derive(Clone, Copy)]
#[repr(C)]
struct StatxTime {
    seconds: i64,
    nanoseconds: u32,
    reserved: i32,
}

impl StatxTime {
    fn get(self) -> Timespec {
        Timespec {
            seconds: self.seconds,
            nanoseconds: self.nanoseconds.into(),
        }
    }

    fn set(&mut self, time: Timespec) {
        self.seconds = time.seconds;
        self.nanoseconds = time.nanoseconds as u32;
    }
}

/// Asks the kernel about a file, and shows its times as they are to be seen.
///
/// # Safety
/// The last of the arguments that the call takes, at `to`, is valid for writes or the kernel answers
/// that it is not; the others are as the call wants them.
unsafe fn look_at(number: c_long, arguments: [usize; 5], to: *mut Stat) -> c_int {
    // SAFETY: as the caller says.
    let said = unsafe { ask(number, arguments) };
    if said == 0 {
        // SAFETY: the kernel has just written there.
        let stat = unsafe { &mut *to };
        let times = Times {
            access: &mut stat.access,
            modification: &mut stat.modification,
            change: &mut stat.change,
            birth: None,
        };
        times.show();
    }
    answer(said)
}

/// Functions that tell a file by its path: names, and the call.
macro_rules! by_path {
    ($($name:ident $version:ident $call:ident),*) => { $(
        /// As POSIX says.
        ///
        /// # Safety
        /// As there.
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $name(path: *const c_char, to: *mut Stat) -> c_int {
            // SAFETY: as the caller says.
            unsafe { look_at($call, [path as usize, to as usize, 0, 0, 0], to) }
        }

        /// The same for programs of before glibc 2.33.
        ///
        /// # Safety
        /// As there.
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $version(_: c_int, path: *const c_char, to: *mut Stat) -> c_int {
            // SAFETY: as the caller says.
            unsafe { $name(path, to) }
        }
    )* };
}

by_path!(
    stat __xstat STAT, stat64 __xstat64 STAT,
    lstat __lxstat LSTAT, lstat64 __lxstat64 LSTAT
);

/// The same for open files.
macro_rules! by_descriptor {
    ($($name:ident $version:ident),*) => { $(
        /// As POSIX says.
        ///
        /// # Safety
        /// As there.
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $name(file: c_int, to: *mut Stat) -> c_int {
            // SAFETY: as the caller says.
            unsafe { look_at(FSTAT, [file as usize, to as usize, 0, 0, 0], to) }
        }

        /// The same for programs of before glibc 2.33.
        ///
        /// # Safety
        /// As there.
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $version(_: c_int, file: c_int, to: *mut Stat) -> c_int {
            // SAFETY: as the caller says.
            unsafe { $name(file, to) }
        }
    )* };
}

by_descriptor!(fstat __fxstat, fstat64 __fxstat64);

/// The same for paths below a folder.
macro_rules! by_folder {
    ($($name:ident $version:ident),*) => { $(
        /// As POSIX says.
        ///
        /// # Safety
        /// As there.
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $name(
            folder: c_int,
            path: *const c_char,
            to: *mut Stat,
            flags: c_int,
        ) -> c_int {
            let arguments = [folder as usize, path as usize, to as usize, flags as usize, 0];
            // SAFETY: as the caller says.
            unsafe { look_at(NEWFSTATAT, arguments, to) }
        }

        /// The same for programs of before glibc 2.33.
        ///
        /// # Safety
        /// As there.
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $version(
            _: c_int,
            folder: c_int,
            path: *const c_char,
            to: *mut Stat,
            flags: c_int,
        ) -> c_int {
            // SAFETY: as the caller says.
            unsafe { $name(folder, path, to, flags) }
        }
    )* };
}

by_folder!(fstatat __fxstatat, fstatat64 __fxstatat64);

/// As Linux says.
///
/// # Safety
/// As there.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn statx(
    folder: c_int,
    path: *const c_char,
    flags: c_int,
    mask: c_uint,
    to: *mut Statx,
) -> c_int {
    let mask = mask | STATX_TIMES;
    let arguments = [
        folder as usize,
        path as usize,
        flags as usize,
        mask as usize,
        to as usize,
    ];
    // SAFETY: as the caller says.
    let said = unsafe { ask(STATX, arguments) };
    if said == 0 {
        // SAFETY: the kernel has just written there.
        let stat = unsafe { &mut *to };
        let [mut access, mut birth, mut change, mut modification] =
            [stat.access, stat.birth, stat.change, stat.modification].map(StatxTime::get);
        // A file system that knows no birth tells 0.
        let born = birth.ns() != 0;
        let times = Times {
            access: &mut access,
            modification: &mut modification,
            change: &mut change,
            birth: born.then_some(&mut birth),
        };
        times.show();
        stat.access.set(access);
        stat.birth.set(birth);
        stat.change.set(change);
        stat.modification.set(modification);
    }
    answer(said)
}

/// Sets times of access and of modification.
///
/// # Safety
/// `path` is null or a path; `times` is null or two valid values.
unsafe fn set(
    folder: c_int,
    path: *const c_char,
    times: *const [Timespec; 2],
    flags: c_int,
) -> c_int {
    // SAFETY: as the caller says.
    let times = unsafe { times.as_ref() }.map(|times| times.map(real));
    let place = times.as_ref().map_or(0, |times| &raw const *times as usize);
    let arguments = [folder as usize, path as usize, place, flags as usize, 0];
    // SAFETY: as the caller says; `times` outlives the call.
    answer(unsafe { ask(UTIMENSAT, arguments) })
}

/// The same with microseconds.
///
/// # Safety
/// As [`set`].
unsafe fn set_by_microseconds(
    folder: c_int,
    path: *const c_char,
    times: *const [Timespec; 2],
    flags: c_int,
) -> c_int {
    // SAFETY: as the caller says.
    let Some(times) = (unsafe { times.as_ref() }) else {
        // SAFETY: as the caller says.
        return unsafe { set(folder, path, core::ptr::null(), flags) };
    };
    if times.iter().any(|time| !(0..1_000_000).contains(&time.nanoseconds)) {
        return answer(-EINVAL);
    }
    let times = times.map(|time| Timespec {
        seconds: time.seconds,
        nanoseconds: time.nanoseconds * 1000,
    });
    // SAFETY: as the caller says.
    unsafe { set(folder, path, &raw const times, flags) }
}

/// As POSIX says.
///
/// # Safety
/// As there.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn utimensat(
    folder: c_int,
    path: *const c_char,
    times: *const [Timespec; 2],
    flags: c_int,
) -> c_int {
    if path.is_null() {
        return answer(-EINVAL);
    }
    // SAFETY: as the caller says.
    unsafe { set(folder, path, times, flags) }
}

/// As POSIX says.
///
/// # Safety
/// As there.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn futimens(file: c_int, times: *const [Timespec; 2]) -> c_int {
    // SAFETY: as the caller says.
    unsafe { set(file, core::ptr::null(), times, 0) }
}

/// As POSIX says.
///
/// # Safety
/// As there.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn utime(path: *const c_char, times: *const [i64; 2]) -> c_int {
    // SAFETY: as the caller says.
    let times = unsafe { times.as_ref() }.map(|times| {
        times.map(|seconds| Timespec {
            seconds,
            nanoseconds: 0,
        })
    });
    let place = times.as_ref().map_or(core::ptr::null(), |times| &raw const *times);
    // SAFETY: as the caller says; `times` outlives the call.
    unsafe { set(AT_FDCWD, path, place, 0) }
}

/// As POSIX says.
///
/// # Safety
/// As there.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn utimes(path: *const c_char, times: *const [Timespec; 2]) -> c_int {
    // SAFETY: as the caller says.
    unsafe { set_by_microseconds(AT_FDCWD, path, times, 0) }
}

/// As the C library says.
///
/// # Safety
/// As there.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lutimes(path: *const c_char, times: *const [Timespec; 2]) -> c_int {
    // SAFETY: as the caller says.
    unsafe { set_by_microseconds(AT_FDCWD, path, times, AT_SYMLINK_NOFOLLOW) }
}

/// As the C library says.
///
/// # Safety
/// As there.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn futimes(file: c_int, times: *const [Timespec; 2]) -> c_int {
    // SAFETY: as the caller says.
    unsafe { set_by_microseconds(file, core::ptr::null(), times, 0) }
}

/// As the C library says.
///
/// # Safety
/// As there.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn futimesat(
    folder: c_int,
    path: *const c_char,
    times: *const [Timespec; 2],
) -> c_int {
    // SAFETY: as the caller says.
    unsafe { set_by_microseconds(folder, path, times, 0) }
}
