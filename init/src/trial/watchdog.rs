//! Watchdogs: what resets the machine where init does not say for a while that it lives.

use crate::debug;
use crate::sys::{self, Fd, file};
use alloc::format;
use alloc::vec::Vec;

/// How long a watchdog waits, in seconds. A host that is busy may stop a virtual machine for a
/// while, and a trial is worth waiting for.
const PATIENCE_S: i32 = 30;
/// How often they are told, in milliseconds.
const PING_MS: u64 = 5_000;
/// `WDIOC_SETTIMEOUT`
const SET_TIMEOUT: u32 = 0xC004_5706;

/// Every watchdog of the machine, wound up.
#[derive(Debug, Default)]
pub struct Watchdogs {
    devices: Vec<Fd>,
    next_ms: u64,
}

impl Watchdogs {
    /// Winds up every watchdog there is. Their modules must be loaded.
    pub fn start() -> Self {
        let entries = file::list("/dev").unwrap_or_default();
        // Without a number it is another name of the first.
        let named = entries.iter().filter(|entry| {
            let number = entry.name.strip_prefix("watchdog");
            number.is_some_and(|number| number.parse::<u32>().is_ok())
        });
        let mut devices = Vec::new();
        for entry in named {
            match file::open(&format!("/dev/{}", entry.name), file::Mode::Write) {
                Ok(device) => {
                    let _ = sys::ioctl_word(&device, SET_TIMEOUT, PATIENCE_S);
                    debug!("{} waits {PATIENCE_S} s", entry.name);
                    devices.push(device);
                }
                Err(error) => debug!("{} cannot be opened: {error}", entry.name),
            }
        }
        Self {
            devices,
            next_ms: 0,
        }
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.devices.len()
    }

    /// Says that init lives, where it is time.
    pub fn tick(&mut self, now_ms: u64) {
        if now_ms < self.next_ms {
            return;
        }
        for device in &self.devices {
            let _ = file::write(device, b"\0");
        }
        self.next_ms = now_ms.saturating_add(PING_MS);
    }

    /// When [`Watchdogs::tick`] has something to do.
    pub fn deadline_ms(&self) -> u64 {
        if self.devices.is_empty() {
            u64::MAX
        } else {
            self.next_ms
        }
    }

    /// Stops them: they would go on without init otherwise.
    pub fn stop(&mut self) {
        for device in self.devices.drain(..) {
            let _ = file::write(&device, b"V");
        }
    }
}
