//! The wall clock that the programs of a sandbox see; how it goes says `clock/lib.rs`.

use rustix::time::ClockId;
use std::ffi::CStr;

/// The library that every program loads.
const LIBRARY: &[u8] = include_bytes!(env!("NOS_CLOCK"));

/// Where it is, and the file that tells programs' loaders so.
pub(crate) const PLACE: &CStr = c"dev/.clock";
pub(crate) const LIST: &CStr = c"etc/ld.so.preload";
pub(crate) const LISTED: &[u8] = b"/dev/.clock\n";

/// What it has where the start is to be written.
const MARK: &[u8] = b"nos.clock.start:";

/// Seconds that the machine has been running for when a command starts, as it sees it.
const UPTIME_S: i64 = 3600;

/// What makes the monotonic clocks begin at [`UPTIME_S`], to a second, as the kernel reads it
/// (time_namespaces(7)).
pub(crate) fn monotonic_offsets() -> String {
    let offset = |clock| UPTIME_S - rustix::time::clock_gettime(clock).tv_sec;
    format!(
        "monotonic {} 0\nboottime {} 0\n",
        offset(ClockId::Monotonic),
        offset(ClockId::Boottime)
    )
}

/// The library for a sandbox that starts now, for which the calendar shows `shown_s`, in seconds since
/// 1970. `None` where the library has no place for that, which a test would have seen.
pub(crate) fn library(shown_s: i64) -> Option<Vec<u8>> {
    let mut library = LIBRARY.to_vec();
    let mark = library.windows(MARK.len()).position(|some| some == MARK)?;
    // Files bear the time of this clock, which is a little behind the other.
    let now = rustix::time::clock_gettime(ClockId::RealtimeCoarse);
    let real_ns = now.tv_sec.saturating_mul(1_000_000_000) + now.tv_nsec;
    let place = library.get_mut(mark + MARK.len()..)?.get_mut(..16)?;
    let (real, shown) = place.split_at_mut(8);
    real.copy_from_slice(&real_ns.to_le_bytes());
    shown.copy_from_slice(&shown_s.to_le_bytes());
    Some(library)
}
