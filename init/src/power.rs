//! How a machine ends.

use crate::cmdline::Options;
use crate::sys::process;
use crate::sys::wait;
use crate::sys::{self, Fd, Reboot, file, mount};
use crate::{debug, say, trial};
use alloc::format;
use alloc::vec::Vec;
use core::fmt::Display;
use nos_pointer::Failure;

/// Time for services to end by themselves, in milliseconds.
pub const STOP_MS: u64 = 10_000;

/// How long a fatal message stays before the machine is switched off where the command line has
/// no `panic=`, in seconds.
const READING_SECONDS: i64 = 5;

const INPUT_DEVICES: &str = "/dev/input";
/// `struct input_event`: time 16, type 2, code 2, value 4.
const EVENT_BYTES: usize = 24;
const KEY_EVENT: u16 = 1;
const POWER_KEY: u16 = 116;

/// Opens every input device; where there is none, there is no power button.
pub fn open_buttons() -> Vec<Fd> {
    let entries = file::list(INPUT_DEVICES).unwrap_or_default();
    let events = entries
        .iter()
        .filter(|entry| entry.name.starts_with("event"));
    events
        .filter_map(|entry| {
            file::open(
                &format!("{INPUT_DEVICES}/{}", entry.name),
                file::Mode::ReadNow,
            )
            .ok()
        })
        .collect()
}

/// Whether the power button is among what an input device has to say.
pub fn is_pressed(button: &Fd) -> bool {
    let mut buffer = [0_u8; EVENT_BYTES * 16];
    match file::read(button, &mut buffer) {
        Ok(n) => has_power_key(buffer.get(..n).unwrap_or_default()),
        Err(_) => false,
    }
}

fn has_power_key(events: &[u8]) -> bool {
    events.chunks_exact(EVENT_BYTES).any(|event| {
        let half = |at: usize| u16::from_ne_bytes([event[at], event[at + 1]]);
        let pressed = i32::from_ne_bytes([event[20], event[21], event[22], event[23]]) == 1;
        half(16) == KEY_EVENT && half(18) == POWER_KEY && pressed
    })
}

/// What a signal asks of the machine.
pub fn asked_by(signal: i32) -> Option<Reboot> {
    match signal {
        libc::SIGTERM | libc::SIGPWR => Some(Reboot::PowerOff),
        // Ctrl-alt-del.
        libc::SIGINT => Some(Reboot::Restart),
        _ => None,
    }
}

/// Ends the machine after its services: nothing runs, nothing is mounted, nothing is lost.
pub fn end(how: Reboot, has_state: bool) -> ! {
    process::kill(-1, libc::SIGKILL);
    while wait::wait(-1).is_some() {}
    if has_state {
        if let Err(error) = mount::unmount(crate::service::spawn::STATE, false) {
            say!("the state partition cannot be unmounted: {error}");
        }
    }
    file::sync();
    say!(
        "{}",
        if how == Reboot::Restart {
            "restarting"
        } else {
            "switching off"
        }
    );
    reboot_or_stand_still(how)
}

fn reboot_or_stand_still(how: Reboot) -> ! {
    let line = file::read_text("/proc/cmdline").unwrap_or_default();
    let how = match Options::parse(&line).off_by_reset {
        true => Reboot::Restart,
        false => how,
    };
    if let Err(error) = sys::reboot(how) {
        say!("the kernel does not end the machine: {error}");
    }
    loop {
        sys::sleep_ms(1_000_000);
    }
}

/// Says why the machine cannot go on and ends it as the kernel's `panic=` asks.
pub fn give_up(why: &dyn Display) -> ! {
    say!("FATAL: {why}");
    if trial::failed(Failure::GaveUp, why) {
        file::sync();
        say!("restarting");
        reboot_or_stand_still(Reboot::Restart);
    }
    let options = file::read_text("/proc/cmdline").map(|line| Options::parse(&line));
    let seconds = options.map_or(0, |options| options.panic_seconds);
    let (wait, how) = match seconds {
        0 => (READING_SECONDS, Reboot::PowerOff),
        seconds => (seconds.max(0), Reboot::Restart),
    };
    let what = if how == Reboot::Restart {
        "restarting"
    } else {
        "switching off"
    };
    say!("{what} in {wait} s");
    file::sync();
    sys::sleep_ms(wait.unsigned_abs().saturating_mul(1000));
    debug!("{what} now");
    reboot_or_stand_still(how)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(kind: u16, code: u16, value: i32) -> Vec<u8> {
        let mut bytes = vec![0_u8; 16];
        bytes.extend_from_slice(&kind.to_ne_bytes());
        bytes.extend_from_slice(&code.to_ne_bytes());
        bytes.extend_from_slice(&value.to_ne_bytes());
        bytes
    }

    #[test]
    fn only_the_power_button_going_down_counts() {
        let press = event(1, 116, 1);
        assert!(has_power_key(&press));
        assert!(has_power_key(&[event(0, 0, 0), press.clone()].concat()));
        assert!(!has_power_key(&event(1, 116, 0)));
        assert!(!has_power_key(&event(1, 30, 1)));
        assert!(!has_power_key(&event(4, 116, 1)));
        assert!(!has_power_key(&press[..23]));
    }

    #[test]
    fn signals_ask_for_one_thing_each() {
        assert_eq!(asked_by(libc::SIGTERM), Some(Reboot::PowerOff));
        assert_eq!(asked_by(libc::SIGINT), Some(Reboot::Restart));
        assert_eq!(asked_by(libc::SIGCHLD), None);
    }
}
