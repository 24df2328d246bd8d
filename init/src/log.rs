//! Lines on the console: `[    0.123] nos: text`.
//!
//! The console may be a slow serial line or have nobody at the other end. A line is written
//! whole or, where the console takes nothing for a moment, dropped and counted; init never waits
//! for a console for long.

use crate::sys::{self, Errno, file, wait};
use alloc::format;
use alloc::string::String;
use core::fmt;
use core::sync::atomic::{AtomicBool, AtomicI32, AtomicU32, Ordering::Relaxed};

/// How long one line may wait for room on the console, in milliseconds.
const PATIENCE_MS: u64 = 50;

static CONSOLE: AtomicI32 = AtomicI32::new(2);
static DEBUG: AtomicBool = AtomicBool::new(false);
static LOST: AtomicU32 = AtomicU32::new(0);

/// Opens the console for good; before, lines go to standard error.
///
/// # Errors
/// What the kernel says.
pub fn open_console() -> sys::Result<()> {
    let fd = file::open("/dev/console", file::Mode::WriteNow)?;
    CONSOLE.store(fd.number(), Relaxed);
    // Open until the machine ends.
    core::mem::forget(fd);
    Ok(())
}

/// Whether [`debug!`](crate::debug) writes.
pub fn set_debug(on: bool) {
    DEBUG.store(on, Relaxed);
}

/// Whether details are wanted.
pub fn is_debug() -> bool {
    DEBUG.load(Relaxed)
}

/// The time since the kernel started as the log shows it: seconds with three digits.
pub fn stamp(ns: u64) -> String {
    format!("[{:>5}.{:03}]", ns / 1_000_000_000, ns / 1_000_000 % 1000)
}

/// Writes one line on behalf of `source`.
pub fn line(source: &str, text: fmt::Arguments<'_>) {
    write(source, text, PATIENCE_MS);
}

/// As [`line`], and waits long: a machine that is made for these lines has no other haste.
pub fn patiently(source: &str, text: fmt::Arguments<'_>) {
    const LONG_MS: u64 = 10_000;
    write(source, text, LONG_MS);
}

fn write(source: &str, text: fmt::Arguments<'_>, patience_ms: u64) {
    let lost = LOST.swap(0, Relaxed);
    let stamp = stamp(sys::now_ns());
    let mut bytes = String::new();
    if lost > 0 {
        bytes.push_str(&format!(
            "{stamp} nos: {lost} lines lost, the console is too slow\n"
        ));
    }
    bytes.push_str(&format!("{stamp} {source}: {text}\n"));
    if !put(bytes.as_bytes(), patience_ms) {
        LOST.fetch_add(lost.saturating_add(1), Relaxed);
    }
}

fn put(bytes: &[u8], patience_ms: u64) -> bool {
    let console = CONSOLE.load(Relaxed);
    let mut rest = bytes;
    while !rest.is_empty() {
        match file::write_number(console, rest) {
            Ok(n) => rest = rest.get(n..).unwrap_or_default(),
            Err(Errno(libc::EAGAIN)) => {
                let mut polls = [wait::Poll::writable_number(console)];
                if wait::poll(&mut polls, Some(patience_ms)) == 0 {
                    return false;
                }
            }
            Err(Errno(libc::EINTR)) => {}
            Err(_) => return false,
        }
    }
    true
}

/// Says something a person wants to know.
#[macro_export]
macro_rules! say {
    ($($text:tt)*) => { $crate::log::line("nos", format_args!($($text)*)) };
}

/// Says something for whoever asked with `nos.log=debug`.
#[macro_export]
macro_rules! debug {
    ($($text:tt)*) => {
        if $crate::log::is_debug() { $crate::log::line("nos", format_args!($($text)*)) }
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_line_up() {
        assert_eq!(stamp(0), "[    0.000]");
        assert_eq!(stamp(123_999_999), "[    0.123]");
        assert_eq!(stamp(98_765_432_100_000), "[98765.432]");
    }
}
