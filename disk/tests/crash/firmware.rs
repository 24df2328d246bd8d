//! What happens when the machine is switched on: a model of EDK2's partition driver and of
//! systemd-boot, written from their sources' behaviour and sharing no code with `nos`. Partition
//! tables are read here byte by byte, the file system by the `fatfs` crate.

use crate::cow::CowDevice;
use fatfs::{FileSystem, FsOptions};
use nos_disk::BlockDevice;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::io::{self, Read, Seek, SeekFrom, Write};

/// What a machine started.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Booted {
    /// File name of the boot entry.
    pub(crate) entry: String,
    /// SHA-256 of the kernel image that was loaded.
    pub(crate) uki: [u8; 32],
    /// Byte ranges of partitions by PARTUUID as stored, from the primary table: where Linux looks.
    pub(crate) partitions: BTreeMap<[u8; 16], (u64, u64)>,
    /// Whether the primary table was good, before the firmware repaired anything.
    pub(crate) had_primary: bool,
    /// Names of all entries that the menu offers, newest first.
    pub(crate) menu: Vec<String>,
}

/// Switches the machine on. Firmware may repair partition tables, as EDK2 does.
pub(crate) fn boot(disk: &mut CowDevice) -> Result<Booted, String> {
    let had_primary = is_valid(disk, 1);
    let partitions = partitions(disk, had_primary)?;
    let esp = partitions
        .iter()
        .find(|p| p.type_guid == ESP)
        .ok_or("firmware finds no EFI system partition")?;
    let view = View {
        disk,
        start: esp.start,
        end: esp.end,
        position: esp.start,
    };
    let files = FileSystem::new(view, FsOptions::new())
        .map_err(|error| format!("firmware cannot mount the EFI system partition: {error}"))?;
    let root = files.root_dir();
    let read = |path: &str| -> Result<Vec<u8>, String> {
        let mut bytes = Vec::new();
        root.open_file(path)
            .and_then(|mut file| file.read_to_end(&mut bytes))
            .map_err(|error| format!("{path}: {error}"))?;
        Ok(bytes)
    };
    if read("EFI/BOOT/BOOTX64.EFI")? != crate::common::BOOT_LOADER {
        return Err("the boot loader is damaged".into());
    }

    // systemd-boot: entries whose kernel image exists, newest version first.
    let mut menu: Vec<(u64, String, String)> = Vec::new();
    let folder = root
        .open_dir("loader/entries")
        .map_err(|error| error.to_string())?;
    for file in folder.iter() {
        let name = file
            .map_err(|error| error.to_string())?
            .file_name()
            .to_lowercase();
        if !name.ends_with(".conf") {
            continue;
        }
        let text = read(&format!("loader/entries/{name}"))?;
        let lines = lines(&text);
        let value = |key: &str| {
            lines
                .iter()
                .rev()
                .find(|(k, _)| k == key)
                .map(|(_, v)| v.clone())
        };
        let (Some(efi), Some(version)) = (value("efi"), value("version")) else {
            continue;
        };
        let path = efi.trim_start_matches('/').to_owned();
        if root.open_file(&path).is_ok() {
            menu.push((version.parse().unwrap_or(0), name, path));
        }
    }
    menu.sort_by_key(|entry| std::cmp::Reverse(entry.0));
    // Without its file the boot loader takes the newest entry.
    let config = read("loader/loader.conf").unwrap_or_default();
    let default = lines(&config)
        .into_iter()
        .rev()
        .find(|(key, _)| key == "default");
    let chosen = default
        .and_then(|(_, pattern)| {
            menu.iter()
                .find(|entry| matches(pattern.as_bytes(), entry.1.as_bytes()))
        })
        .or(menu.first())
        .ok_or("the boot menu is empty")?;
    Ok(Booted {
        entry: chosen.1.clone(),
        uki: Sha256::digest(read(&chosen.2)?).into(),
        partitions: partitions
            .iter()
            .map(|p| (p.guid, (p.start, p.end)))
            .collect(),
        had_primary,
        menu: menu.iter().map(|entry| entry.1.clone()).collect(),
    })
}

struct Partition {
    type_guid: [u8; 16],
    guid: [u8; 16],
    start: u64,
    end: u64,
}

const ESP: [u8; 16] = [
    0x28, 0x73, 0x2a, 0xc1, 0x1f, 0xf8, 0xd2, 0x11, 0xba, 0x4b, 0x00, 0xa0, 0xc9, 0x3e, 0xc9, 0x3b,
];

/// The primary table's partitions, after EDK2 repaired what it repairs.
fn partitions(disk: &mut CowDevice, has_primary: bool) -> Result<Vec<Partition>, String> {
    let sector = u64::from(disk.sector_size());
    let mbr = disk.bytes(0, 512);
    let protective = (0..4).any(|record| mbr[446 + record * 16 + 4] == 0xEE);
    if !protective {
        return Err("sector 0 is no protective MBR".into());
    }
    let last = disk.size_bytes() / sector - 1;
    let alternate = u64_at(&disk.bytes(sector, 92), 32);
    let restored = match has_primary {
        false if !is_valid(disk, last) => return Err("neither partition table is valid".into()),
        false => Some(last),
        true if !is_valid(disk, alternate) => Some(1),
        true => None,
    };
    if let Some(from) = restored {
        restore(disk, from);
        if !is_valid(disk, 1) {
            return Err("the primary table could not be restored".into());
        }
    }
    let array = u64_at(&disk.bytes(sector, 92), 72) * sector;
    let array = disk.bytes(array, 128 * 128);
    Ok(array
        .chunks(128)
        .filter(|entry| entry[..16] != [0; 16])
        .map(|entry| Partition {
            type_guid: entry[..16].try_into().unwrap(),
            guid: entry[16..32].try_into().unwrap(),
            start: u64_at(entry, 32) * sector,
            end: (u64_at(entry, 40) + 1) * sector,
        })
        .collect())
}

/// Bytes of the disk where it has them.
fn bytes(disk: &CowDevice, lba: u64, length: usize) -> Option<Vec<u8>> {
    let offset = lba.checked_mul(u64::from(disk.sector_size()))?;
    let end = offset.checked_add(length as u64)?;
    (end <= disk.size_bytes()).then(|| disk.bytes(offset, length))
}

/// Header and array have the checksums that they say, and the header is where it says.
fn is_valid(disk: &CowDevice, lba: u64) -> bool {
    let sector = disk.sector_size() as usize;
    let Some(header) = bytes(disk, lba, sector) else {
        return false;
    };
    let size = u32_at(&header, 12) as usize;
    if &header[..8] != b"EFI PART" || !(92..=sector).contains(&size) || u64_at(&header, 24) != lba {
        return false;
    }
    let mut bare = header[..size].to_vec();
    bare[16..20].fill(0);
    crc(&bare) == u32_at(&header, 16)
        && bytes(disk, u64_at(&header, 72), 128 * 128)
            .is_some_and(|array| crc(&array) == u32_at(&header, 88))
}

/// EDK2's repair: the valid header at `from` makes the other, its array at the standard place.
fn restore(disk: &mut CowDevice, from: u64) {
    let sector = u64::from(disk.sector_size());
    let mut header = disk.bytes(from * sector, sector as usize);
    let array = disk.bytes(u64_at(&header, 72) * sector, 128 * 128);
    let to = u64_at(&header, 32);
    let place = if from == 1 {
        u64_at(&header, 48) + 1
    } else {
        2
    };
    if to * sector >= disk.size_bytes() {
        // It says so and goes on by the one that there is.
        return;
    }
    header[24..32].copy_from_slice(&to.to_le_bytes());
    header[32..40].copy_from_slice(&from.to_le_bytes());
    header[72..80].copy_from_slice(&place.to_le_bytes());
    header[16..20].fill(0);
    let sum = crc(&header[..u32_at(&header, 12) as usize]);
    header[16..20].copy_from_slice(&sum.to_le_bytes());
    disk.write_at(to * sector, &header).unwrap();
    disk.write_at(place * sector, &array).unwrap();
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap())
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap())
}

/// CRC-32, by a crate that shares nothing with the code under test.
fn crc(bytes: &[u8]) -> u32 {
    crc32fast::hash(bytes)
}

/// Keys and values of a configuration file: `#` begins a comment, blanks separate.
fn lines(text: &[u8]) -> Vec<(String, String)> {
    String::from_utf8_lossy(text)
        .split(['\n', '\r'])
        .map(|line| line.trim_matches([' ', '\t']))
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| line.split_once([' ', '\t']))
        .map(|(key, value)| {
            (
                key.to_owned(),
                value.trim_start_matches([' ', '\t']).to_owned(),
            )
        })
        .collect()
}

/// A shell pattern with `*` and `?`.
fn matches(pattern: &[u8], text: &[u8]) -> bool {
    match (pattern, text) {
        ([], []) => true,
        ([b'*', rest @ ..], _) => (0..=text.len()).any(|skip| matches(rest, &text[skip..])),
        ([b'?', pattern @ ..], [_, text @ ..]) => matches(pattern, text),
        ([p, pattern @ ..], [t, text @ ..]) => p == t && matches(pattern, text),
        _ => false,
    }
}

/// A part of the disk as a file that cannot be written.
struct View<'a> {
    disk: &'a CowDevice,
    start: u64,
    end: u64,
    position: u64,
}

impl Read for View<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let length = buf
            .len()
            .min(self.end.saturating_sub(self.position) as usize);
        self.disk.read_at(self.position, &mut buf[..length])?;
        self.position += length as u64;
        Ok(length)
    }
}

impl Write for View<'_> {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        Err(io::ErrorKind::ReadOnlyFilesystem.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Seek for View<'_> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.position = match to {
            SeekFrom::Start(offset) => self.start + offset,
            SeekFrom::Current(offset) => self.position.saturating_add_signed(offset),
            SeekFrom::End(offset) => self.end.saturating_add_signed(offset),
        };
        Ok(self.position - self.start)
    }
}
