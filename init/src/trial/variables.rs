//! The variables by which firmware, boot loader and system speak with each other
//! (<https://systemd.io/BOOT_LOADER_INTERFACE>), through efivarfs.

use crate::sys::mount::{self, DATA_ONLY};
use crate::sys::{self, Errno, file};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use nos_pointer::Name;

const FOLDER: &str = "/sys/firmware/efi/efivars";
const VENDOR: &str = "4a67b082-0a4c-41cf-b6c7-440b29bb8c4f";
/// Kept without power, seen by boot services and at run time.
const ATTRIBUTES: u32 = 7;
const ONE_SHOT: &str = "LoaderEntryOneShot";
/// What makes the boot loader take another entry than the pointer says, for good.
const OUTRANKING: [&str; 2] = ["LoaderEntryDefault", "LoaderEntryPreferred"];
/// Longest variable that is read, in bytes.
const MAX_BYTES: usize = 4096;

/// The variables of a machine that has them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Variables(());

fn path(name: &str) -> String {
    format!("{FOLDER}/{name}-{VENDOR}")
}

/// The text of a variable's file: attributes, then UTF-16 with a zero at its end.
fn text_of(bytes: &[u8]) -> Option<String> {
    let units = bytes.get(4..)?.chunks_exact(2);
    let units = units.map(|unit| u16::from_le_bytes([unit[0], unit[1]]));
    let units: Vec<u16> = units.take_while(|unit| *unit != 0).collect();
    String::from_utf16(&units).ok()
}

/// The bytes of a variable's file with this text.
fn bytes_of(text: &str) -> Vec<u8> {
    let mut bytes = Vec::from(ATTRIBUTES.to_le_bytes());
    for unit in text.encode_utf16().chain([0]) {
        bytes.extend_from_slice(&unit.to_le_bytes());
    }
    bytes
}

impl Variables {
    /// Whether the firmware may have variables, with the right driver.
    pub fn may_be_there() -> bool {
        file::exists(FOLDER)
    }

    /// The machine's variables; `None` where its firmware has none, or the kernel cannot speak
    /// with it. The kernel's module must be there already.
    pub fn open() -> Option<Self> {
        if !file::exists(FOLDER) {
            return None;
        }
        match mount::mount("efivarfs", FOLDER, "efivarfs", DATA_ONLY, "") {
            Ok(()) | Err(Errno(libc::EBUSY)) => Some(Self(())),
            Err(error) => {
                crate::debug!("EFI variables cannot be used: {error}");
                None
            }
        }
    }

    fn text(self, name: &str) -> Option<String> {
        text_of(&file::read_file(&path(name), MAX_BYTES).ok()?)
    }

    /// The entry that was booted, where the boot loader has said so and it is one of ours.
    pub fn selected(self) -> Option<Name> {
        Name::parse(&self.text("LoaderEntrySelected")?)
    }

    /// GUID of the partition that the boot loader came from, lower-case text form.
    pub fn device(self) -> Option<String> {
        let text = self.text("LoaderDevicePartUUID")?;
        Some(text.to_ascii_lowercase())
    }

    /// Lets the next boot take this entry, once.
    ///
    /// # Errors
    /// What the kernel says: `EROFS`, `EIO` or `ENOSPC` from the firmware.
    pub fn boot_once(self, entry: Name) -> sys::Result<()> {
        let name = path(ONE_SHOT);
        let _ = file::clear_immutable(&name);
        file::write_at_once(&name, &bytes_of(&format!("{entry}")))
    }

    /// Removes what would outrank the pointer, or was not taken. Gives the names and contents of
    /// what is gone, and says what cannot be removed.
    pub fn tidy(self) -> Vec<(&'static str, String)> {
        let mut gone = Vec::new();
        for name in OUTRANKING.into_iter().chain([ONE_SHOT]) {
            let path = path(name);
            if !file::exists(&path) {
                continue;
            }
            let text = self.text(name).unwrap_or_default();
            let _ = file::clear_immutable(&path);
            match file::remove(&path) {
                Ok(()) => gone.push((name, text)),
                Err(error) => crate::say!(
                    "EFI variable {name} ({text}) outranks the pointer and cannot be removed: {error}"
                ),
            }
        }
        gone
    }

    /// Whether what [`Variables::tidy`] has removed made another entry boot.
    pub fn had_outranking(gone: &[(&'static str, String)]) -> bool {
        gone.iter().any(|(name, _)| OUTRANKING.contains(name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_variable_is_attributes_and_utf_16() {
        let bytes = bytes_of("nos-000042-b.conf");
        assert_eq!(bytes[..8], [7, 0, 0, 0, b'n', 0, b'o', 0]);
        assert_eq!(bytes[bytes.len() - 4..], [b'f', 0, 0, 0]);
        assert_eq!(text_of(&bytes).as_deref(), Some("nos-000042-b.conf"));
        assert_eq!(text_of(&bytes[..3]), None);
        assert_eq!(text_of(&[7, 0, 0, 0]).as_deref(), Some(""));
        // Half of a pair.
        assert_eq!(text_of(&[7, 0, 0, 0, 0, 0xD8]), None);
    }
}
