//! What is left of a machine that ended without a word: the kernel's last lines, which it keeps
//! in EFI variables where it can, and the watchdog's memory of what it did.

use crate::sys::file;
use crate::sys::mount::{self, DATA_ONLY};
use alloc::format;
use alloc::string::String;
use nos_pointer::Failure;

const PSTORE: &str = "/sys/fs/pstore";
const WATCHDOGS: &str = "/sys/class/watchdog";
const PANIC: &str = "Kernel panic - not syncing: ";
/// Largest record that is read, in bytes.
const MAX_RECORD: usize = 256 << 10;
/// `WDIOF_CARDRESET`: the last reset was the watchdog's.
const RESET_BY_WATCHDOG: u32 = 0x20;

/// What is found out about the end of the last boot. Records that were read are removed, for they
/// take room in the firmware. The modules must be loaded.
pub fn of_last_boot() -> Option<(Failure, String)> {
    if let Some(why) = panic() {
        return Some((Failure::Panic, format!("the kernel panicked: {why}")));
    }
    let device = watchdog()?;
    let text = format!("{} ({device})", Failure::Hang.text());
    Some((Failure::Hang, text))
}

fn panic() -> Option<String> {
    let _ = mount::mount("pstore", PSTORE, "pstore", DATA_ONLY, "");
    let mut found = None;
    for entry in file::list(PSTORE).ok()? {
        let path = format!("{PSTORE}/{}", entry.name);
        if let Ok(bytes) = file::read_file(&path, MAX_RECORD) {
            let text = String::from_utf8_lossy(&bytes);
            found = found.or_else(|| words_of_panic(&text));
        }
        let _ = file::remove(&path);
    }
    found
}

/// What the kernel said it panicked for.
fn words_of_panic(text: &str) -> Option<String> {
    let words = text.lines().find_map(|line| line.split_once(PANIC))?.1;
    Some(String::from(words.trim()))
}

/// The name of a watchdog that says that it has reset the machine.
fn watchdog() -> Option<String> {
    file::list(WATCHDOGS).ok()?.into_iter().find_map(|entry| {
        let read = |file: &str| file::read_text(&format!("{WATCHDOGS}/{}/{file}", entry.name)).ok();
        let status: u32 = read("bootstatus")?.trim().parse().ok()?;
        (status & RESET_BY_WATCHDOG != 0)
            .then(|| read("identity").map_or(entry.name.clone(), |text| text.trim().into()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_s_words_are_found() {
        let text = "Panic#1 Part1\n<0>[    3.1] Kernel panic - not syncing: sysrq triggered \
            crash\n<4>[    3.1] CPU: 0\n";
        assert_eq!(words_of_panic(text).unwrap(), "sysrq triggered crash");
        assert_eq!(words_of_panic("Oops#1 Part1\n"), None);
    }
}
