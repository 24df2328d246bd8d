//! What a block device is, and what the machine uses it for, read from `/sys` and `/proc`.

use super::content::guess;
use crate::DeviceError;
use nos_formats::gpt::{self, Geometry, Table};
use nos_formats::read_at::ReadAt;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{FileExt, FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

/// Deepest stack of devices (partition, RAID, LVM, encryption) that is followed.
const MAX_DEPTH: usize = 16;

/// Where the kernel says what there is. Tests point it at folders of their own.
#[derive(Debug, Clone)]
pub struct Machine {
    sys: PathBuf,
    proc: PathBuf,
}

/// A whole block device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Device {
    /// The path it was named by.
    pub path: PathBuf,
    /// Kernel name (`sda`, `nvme0n1`).
    pub name: String,
    /// Maker's name of the model; empty where the kernel knows none.
    pub model: String,
    /// Serial number; empty where the kernel knows none.
    pub serial: String,
    /// Size.
    pub size_bytes: u64,
    /// Bytes of a logical sector.
    pub sector_size: u32,
    /// Bytes of which it would like transfers to be multiples; 0: no wish.
    pub optimal_io_bytes: u64,
    /// Whether writing is switched off.
    pub read_only: bool,
    /// Whether the medium can be taken out.
    pub removable: bool,
    /// Whether it is a partition and not a whole disk.
    pub partition: bool,
    /// File behind a loop device.
    pub backing_file: Option<String>,
    /// What is on it without partitions, as far as that is known.
    pub content: Option<String>,
    /// Its partitions: what would be lost.
    pub parts: Vec<Part>,
    /// What the machine uses it for at this moment.
    pub uses: Vec<Use>,
}

/// A partition of a device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Part {
    /// Kernel name (`sda1`).
    pub name: String,
    /// Number in the partition table.
    pub number: usize,
    /// Size.
    pub size_bytes: u64,
    /// Name in the partition table.
    pub label: String,
    /// File system or other content, as far as that is known.
    pub content: Option<String>,
}

/// Something that a device, a part of it or a device on top of it is used for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Use {
    /// A file system is mounted.
    Mounted {
        /// Kernel name of the device that holds it.
        device: String,
        /// Where.
        at: String,
    },
    /// Swap space.
    Swap {
        /// Kernel name of the device.
        device: String,
    },
    /// Another device is built on it: RAID, LVM, encryption.
    Held {
        /// Kernel name of the device or partition that is held.
        device: String,
        /// Kernel name of the device on top.
        by: String,
    },
}

impl Default for Machine {
    fn default() -> Self {
        Self {
            sys: "/sys".into(),
            proc: "/proc".into(),
        }
    }
}

impl Machine {
    /// A machine whose `/sys` and `/proc` are these folders.
    pub fn at(sys: &Path, proc: &Path) -> Self {
        Self {
            sys: sys.to_owned(),
            proc: proc.to_owned(),
        }
    }

    /// Paths of all disks of the machine that hardware stands behind and that hold something, by
    /// name.
    pub fn disks(&self) -> Vec<PathBuf> {
        let disks = entries(&self.sys.join("block")).into_iter();
        disks
            .filter(|folder| folder.join("device").exists() && size(folder) > 0)
            .map(|folder| Path::new("/dev").join(file_name(&folder).replace('!', "/")))
            .collect()
    }

    /// Finds out what the block device at `path` is and what it is used for. Reads a few sectors
    /// of it where that is allowed, to say what is on it.
    ///
    /// # Errors
    /// [`DeviceError::NotADisk`] for anything but a block device, [`DeviceError::Io`] where `/sys`
    /// does not describe it.
    pub fn inspect(&self, path: &Path) -> Result<Device, DeviceError> {
        let metadata =
            fs::metadata(path).map_err(|error| DeviceError::io(path, "examine", error))?;
        if !metadata.file_type().is_block_device() {
            return Err(DeviceError::NotADisk {
                path: path.to_owned(),
            });
        }
        let mut device = self.describe(path, &number(metadata.rdev()))?;
        if let Ok(file) = File::open(path) {
            look(&mut device, &Bytes(file));
        }
        Ok(device)
    }

    /// Describes the device with a number (`8:0`) from `/sys` and `/proc` alone.
    pub(super) fn describe(&self, path: &Path, number: &str) -> Result<Device, DeviceError> {
        let link = self.sys.join("dev/block").join(number);
        let folder =
            fs::canonicalize(&link).map_err(|error| DeviceError::io(&link, "examine", error))?;
        let name = file_name(&folder);
        let partition = folder.join("partition").exists();
        // The queue of a partition is that of its disk.
        let disk = if partition {
            folder.parent().unwrap_or(&folder)
        } else {
            &folder
        };
        let mut parts: Vec<Part> = entries(&folder)
            .into_iter()
            .filter_map(|entry| {
                let number = text(&entry.join("partition"))?.parse().ok()?;
                Some(Part {
                    name: file_name(&entry),
                    number,
                    size_bytes: size(&entry),
                    label: String::new(),
                    content: None,
                })
            })
            .collect();
        parts.sort_by_key(|part| part.number);
        let first = |places: &[&str]| {
            let mut texts = places.iter().filter_map(|place| text(&folder.join(place)));
            texts.find(|text| !text.is_empty()).unwrap_or_default()
        };
        Ok(Device {
            path: path.to_owned(),
            model: first(&["device/model", "device/name"]),
            serial: first(&["device/serial", "serial", "device/wwid", "wwid"]),
            size_bytes: size(&folder),
            sector_size: text(&disk.join("queue/logical_block_size"))
                .and_then(|text| text.parse().ok())
                .unwrap_or(512),
            optimal_io_bytes: text(&disk.join("queue/optimal_io_size"))
                .and_then(|text| text.parse().ok())
                .unwrap_or(0),
            read_only: text(&folder.join("ro")).as_deref() == Some("1"),
            removable: text(&disk.join("removable")).as_deref() == Some("1"),
            partition,
            backing_file: text(&folder.join("loop/backing_file")),
            content: None,
            parts,
            uses: self.uses(&folder),
            name,
        })
    }

    /// Everything that the device in `folder` is used for.
    fn uses(&self, folder: &Path) -> Vec<Use> {
        let mut uses = BTreeSet::new();
        let mut stack = Stack::default();
        stack.add(folder, &mut uses);
        // A loop device over one of these is one more, until no more are found.
        while let Some((device, loop_folder)) = self.loop_on(&stack) {
            let by = file_name(&loop_folder);
            uses.insert(Use::Held { device, by });
            stack.add(&loop_folder, &mut uses);
        }
        let peers = self.peers(&stack);
        let mounts = ["self", "1"].map(|process| {
            let path = self.proc.join(process).join("mountinfo");
            fs::read_to_string(path).unwrap_or_default()
        });
        for line in mounts.iter().flat_map(|text| text.lines()) {
            let fields: Vec<&str> = line.split(' ').collect();
            let [_, _, number, _, at, ..] = fields.as_slice() else {
                continue;
            };
            // Some file systems have numbers of their own; then the source's name must do.
            let source = fields.iter().skip_while(|field| **field != "-").nth(2);
            let source = source.map(|source| unescape(source));
            let of_source = |source: &String| {
                stack
                    .named(source)
                    .or_else(|| peers.get(source.strip_prefix("/dev/")?).cloned())
            };
            let device = stack.numbers.get(*number).cloned();
            if let Some(device) = device.or_else(|| of_source(source.as_ref()?)) {
                uses.insert(Use::Mounted {
                    device,
                    at: unescape(at),
                });
            }
        }
        let swaps = fs::read_to_string(self.proc.join("swaps")).unwrap_or_default();
        for line in swaps.lines().skip(1) {
            let path = unescape(line.split_whitespace().next().unwrap_or(""));
            if let Some(device) = stack.named(&path) {
                uses.insert(Use::Swap { device });
            }
        }
        uses.into_iter().collect()
    }

    /// A loop device that is not in the stack, over a device that is: the name of that, and the
    /// folder of the loop device.
    fn loop_on(&self, stack: &Stack) -> Option<(String, PathBuf)> {
        entries(&self.sys.join("block"))
            .into_iter()
            .find_map(|entry| {
                let backing = text(&entry.join("loop/backing_file"))?;
                let number = text(&entry.join("dev"))?;
                if stack.numbers.contains_key(&number) {
                    return None;
                }
                let device = stack.named(&backing)?;
                Some((device, fs::canonicalize(&entry).unwrap_or(entry)))
            })
    }

    /// Names of devices that hold one Btrfs together with one of these, and which of these it is:
    /// a mount names any one of them.
    fn peers(&self, stack: &Stack) -> BTreeMap<String, String> {
        let mut peers = BTreeMap::new();
        for system in entries(&self.sys.join("fs/btrfs")) {
            let members: Vec<String> = entries(&system.join("devices"))
                .iter()
                .map(|path| file_name(path))
                .collect();
            let ours = members
                .iter()
                .find(|name| stack.numbers.values().any(|n| n == *name));
            if let Some(ours) = ours {
                peers.extend(members.iter().map(|name| (name.clone(), ours.clone())));
            }
        }
        peers
    }
}

/// A device, its partitions, and all that stands on them: kernel names by device number.
#[derive(Default)]
struct Stack {
    numbers: BTreeMap<String, String>,
}

impl Stack {
    /// Adds the device in a folder of `/sys` and all that stands on it.
    fn add(&mut self, folder: &Path, uses: &mut BTreeSet<Use>) {
        let mut queue = vec![(folder.to_owned(), 0)];
        while let Some((folder, depth)) = queue.pop() {
            let name = file_name(&folder);
            let Some(number) = text(&folder.join("dev")) else {
                continue;
            };
            if depth > MAX_DEPTH || self.numbers.insert(number, name.clone()).is_some() {
                continue;
            }
            for entry in entries(&folder) {
                if entry.join("partition").exists() {
                    queue.push((entry, depth + 1));
                }
            }
            for holder in entries(&folder.join("holders")) {
                let by = file_name(&holder);
                uses.insert(Use::Held {
                    device: name.clone(),
                    by,
                });
                queue.push((fs::canonicalize(&holder).unwrap_or(holder), depth + 1));
            }
        }
    }

    /// The kernel name of the device at a path, where it is one of these.
    fn named(&self, path: &str) -> Option<String> {
        let is_block = |m: &fs::Metadata| m.file_type().is_block_device();
        match fs::metadata(path).ok().filter(is_block) {
            Some(metadata) => self.numbers.get(&number(metadata.rdev())).cloned(),
            None => {
                let name = path.strip_prefix("/dev/")?;
                self.numbers.values().find(|n| *n == name).cloned()
            }
        }
    }
}

/// Fills in what can only be seen on the device itself. Where the kernel lists no partitions, which it
/// does not do for every loop device nor before it was told to look, those of the device's own
/// table are listed.
pub(super) fn look(device: &mut Device, bytes: &Bytes) {
    let sector = u64::from(device.sector_size.max(1));
    let geometry = Geometry {
        sector_size: device.sector_size,
        sectors: device.size_bytes / sector,
    };
    let backup = gpt::Copy::Backup(geometry.sectors.saturating_sub(1));
    let table = Table::read(bytes, geometry, gpt::Copy::Primary)
        .or_else(|_| Table::read(bytes, geometry, backup))
        .ok();
    if let Some(table) = table.iter().find(|_| device.parts.is_empty()) {
        let name = |number: usize| {
            // As the kernel would call it.
            let digit = device.name.ends_with(|last: char| last.is_ascii_digit());
            format!("{}{}{number}", device.name, if digit { "p" } else { "" })
        };
        let parts = table.numbered().map(|(number, entry)| Part {
            name: name(number),
            number,
            size_bytes: entry.sectors().saturating_mul(sector),
            label: String::new(),
            content: None,
        });
        device.parts = parts.collect();
    }
    for part in &mut device.parts {
        let entry = table
            .as_ref()
            .and_then(|table| table.entries.get(part.number.checked_sub(1)?)?.as_ref());
        if let Some(entry) = entry {
            part.label = entry.label();
            let start = entry.first_lba.saturating_mul(sector);
            part.content = guess(&From { bytes, start }).map(str::to_owned);
        }
    }
    if device.parts.is_empty() {
        device.content = guess(bytes).map(str::to_owned);
    }
}

/// A file as bytes at an offset.
pub(super) struct Bytes(pub(super) File);

impl ReadAt for Bytes {
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        self.0.read_exact_at(buf, offset)
    }
}

/// Bytes behind an offset.
struct From<'a> {
    bytes: &'a Bytes,
    start: u64,
}

impl ReadAt for From<'_> {
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        self.bytes.read_at(self.start.saturating_add(offset), buf)
    }
}

/// A device number as the kernel writes it.
fn number(rdev: u64) -> String {
    format!("{}:{}", rustix::fs::major(rdev), rustix::fs::minor(rdev))
}

fn file_name(path: &Path) -> String {
    path.file_name()
        .map(|name| name.to_string_lossy().into_owned())
        .unwrap_or_default()
}

/// A small file of the kernel's, without blanks around it.
fn text(path: &Path) -> Option<String> {
    Some(fs::read_to_string(path).ok()?.trim().to_owned())
}

/// The size file counts 512 bytes, whatever the sector size is.
fn size(folder: &Path) -> u64 {
    let sectors = text(&folder.join("size")).and_then(|text| text.parse::<u64>().ok());
    sectors.unwrap_or(0).saturating_mul(512)
}

/// The names in a folder, sorted; none where there is no such folder.
fn entries(folder: &Path) -> Vec<PathBuf> {
    let mut paths: Vec<PathBuf> = fs::read_dir(folder)
        .into_iter()
        .flatten()
        .filter_map(|entry| Some(entry.ok()?.path()))
        .collect();
    paths.sort();
    paths
}

/// Undoes the kernel's `\040` for a blank in a path.
fn unescape(text: &str) -> String {
    let mut out = Vec::new();
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        let octal = (*first == b'\\')
            .then(|| tail.get(..3))
            .flatten()
            .and_then(|digits| std::str::from_utf8(digits).ok())
            .and_then(|digits| u8::from_str_radix(digits, 8).ok());
        match octal {
            Some(byte) => {
                out.push(byte);
                rest = &tail[3..];
            }
            None => {
                out.push(*first);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}
