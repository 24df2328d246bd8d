//! Every command, with a disk that it is applied to.

use crate::Change;
use crate::common::*;
use crate::cow::CowDevice;
use nos_disk::{
    BlockDevice, Disk, Error, InstallOptions, MemoryDevice, NewDisk, Operation, PARTITION_ALIGN,
    RecordingDevice, Report, StateSize,
};
use nos_formats::fat::{self, FatKind, Geometry, Volume};
use sha2::{Digest, Sha256};

/// A command and the disk that it is applied to.
pub(crate) struct Command {
    pub(crate) name: &'static str,
    pub(crate) before: CowDevice,
    pub(crate) change: Change,
    /// What may be said of the disk until the command has repaired it.
    pub(crate) damage: &'static [&'static str],
    /// Whether it is one change, all of whose flushes and phases are needed. A change that first
    /// clears what another left has a flush between the two that either could do without.
    pub(crate) single: bool,
}

/// What a disk is like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Kind {
    pub(crate) sector_size: u32,
    pub(crate) fat: FatKind,
}

impl std::fmt::Display for Kind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?} {}", self.fat, self.sector_size)
    }
}

pub(crate) const FAT16_512: Kind = Kind {
    sector_size: 512,
    fat: FatKind::Fat16,
};
pub(crate) const FAT16_4096: Kind = Kind {
    sector_size: 4096,
    fat: FatKind::Fat16,
};
pub(crate) const FAT32_512: Kind = Kind {
    sector_size: 512,
    fat: FatKind::Fat32,
};
pub(crate) const FAT32_4096: Kind = Kind {
    sector_size: 4096,
    fat: FatKind::Fat32,
};

impl Kind {
    /// A disk of this kind with generation 1.
    fn disk(self) -> CowDevice {
        let esp_bytes = match (self.fat, self.sector_size) {
            (FatKind::Fat16, 512) => 4 << 20,
            (FatKind::Fat16, _) => 18 << 20,
            (FatKind::Fat32, 512) => 34 << 20,
            (FatKind::Fat32, _) => 259 << 20,
        };
        let new = NewDisk {
            esp_bytes,
            ..new_disk()
        };
        let size = esp_bytes as usize + (5 << 20);
        let mut device = MemoryDevice::new(size, self.sector_size);
        nos_disk::create(&mut device, &new, &systems()[0].source(), &mut quiet).unwrap();
        if self == FAT32_512 {
            to_fat32(&mut device, esp_bytes);
        }
        let device = CowDevice::new(device);
        let volume = esp_volume(&device).0;
        assert_eq!(volume.geometry().kind, self.fat);
        device
    }
}

/// Where the EFI system partition of these disks begins.
const ESP_START: usize = 1 << 20;

/// Makes a FAT32 of the EFI system partition that is smaller than those that `nos` makes: clusters
/// of one sector.
fn to_fat32(device: &mut MemoryDevice, esp_bytes: u64) {
    let total = esp_bytes / 512;
    let geometry = Geometry {
        kind: FatKind::Fat32,
        sector_size: 512,
        cluster_sectors: 1,
        reserved: 32,
        tables: 2,
        table_sectors: ((total + 2) * 4).div_ceil(512),
        root_records: 0,
        total,
        root_cluster: 2,
        info_sector: 1,
    };
    let esp = device.bytes()[ESP_START..][..esp_bytes as usize].to_vec();
    let volume = Volume::open(&esp, esp_bytes).unwrap();
    let mut files = Vec::new();
    for folder in ["EFI/BOOT", "EFI/nos", "loader", "loader/entries"] {
        for file in volume.list(folder).unwrap() {
            if !file.directory {
                let path = format!("{folder}/{}", file.name);
                let bytes = volume.read_file(&esp, &path, u64::MAX).unwrap();
                files.push((format!("/{path}"), bytes));
            }
        }
    }
    let files: Vec<(&str, &[u8])> = files
        .iter()
        .map(|(path, bytes)| (path.as_str(), bytes.as_slice()))
        .collect();
    let writes = fat::format(geometry, 7, "NOS", (ESP_START / 512) as u64, &files).unwrap();
    let esp = &mut device.bytes_mut()[ESP_START..][..esp_bytes as usize];
    esp.fill(0);
    for write in writes {
        esp[write.offset as usize..][..write.bytes.len()].copy_from_slice(&write.bytes);
    }
}

/// The EFI system partition of a device and where it begins.
fn esp_volume(device: &CowDevice) -> (Volume, u64) {
    let mut device = device.clone();
    let sector = u64::from(device.sector_size());
    let opened = Disk::open(&mut device).unwrap();
    let (_, entry) = opened.table().numbered().next().unwrap();
    let (start, bytes) = (entry.first_lba * sector, entry.sectors() * sector);
    let esp = device.bytes(start, bytes as usize);
    (Volume::open(&esp, bytes).unwrap(), start)
}

fn add(system: usize, trial: bool) -> Change {
    Box::new(move |device| {
        let system = systems()[system].clone();
        let options = InstallOptions {
            trial,
            read_back: false,
        };
        Disk::open(device)?
            .install(&system.source(), options, &mut quiet)
            .map(drop)
    })
}

fn change(change: impl Fn(&mut Disk<'_>) -> Result<Report, Error> + Send + 'static) -> Change {
    Box::new(move |device| change(&mut Disk::open(device)?).map(drop))
}

fn repair() -> Change {
    Box::new(|device| nos_disk::repair(device).map(drop))
}

/// Every command on a kind of disk.
pub(crate) fn commands(kind: Kind) -> Vec<Command> {
    let one = kind.disk();
    let after = |disk: &CowDevice, change: Change| {
        let mut device = disk.clone();
        change(&mut device).unwrap();
        device
    };
    let two = after(&one, add(1, false));
    let four = after(&after(&two, add(2, false)), add(3, false));
    let two = two.settled();
    let four = four.settled();
    let command = |name, before: &CowDevice, change| Command {
        name,
        before: before.clone(),
        change,
        damage: &[],
        single: true,
    };
    let mut all = vec![
        command("install", &two, add(2, false)),
        command("install-trial", &two, add(2, true)),
        command("install-known-system", &two, add(0, false)),
        command("switch", &two, change(|disk| disk.switch(1))),
        command("rollback", &four, change(|disk| disk.rollback())),
        command("trial", &two, change(|disk| disk.set_trial(Some(1)))),
        command("remove", &two, change(|disk| disk.remove(1))),
        command("gc", &four, change(|disk| disk.gc(1))),
        command("pin", &two, change(|disk| disk.pin(1, None))),
        command(
            "pin-with-label",
            &two,
            change(|disk| disk.pin(1, Some("keep"))),
        ),
    ];
    let pinned = after(&two, change(|disk| disk.pin(2, None)));
    all.push(command("unpin", &pinned, change(|disk| disk.unpin(2))));
    if kind.sector_size == 512 && kind.fat == FatKind::Fat16 {
        // Three records for each entry, five entries to a sector, four beside `.` and `..`: the
        // next one needs a new cluster. With sectors of 4096 no folder ever fills.
        let mut full = two.clone();
        for _ in 2..4 + 5 + 5 + 5 {
            full = after(&full, add(1, false));
        }
        all.push(command(
            "install-growing-folder",
            &full.settled(),
            add(2, false),
        ));
    }
    // The third generation gets the letter `c`.
    let knowing = crate::inside::knowing(&two, b'c').settled();
    all.push(command("install-known-letter", &knowing, add(2, false)));
    for (name, before, change) in crate::inside::commands(&two) {
        all.push(command(name, &before, change));
    }
    all.extend(healing(&two));
    all.extend(growing(kind, &two));
    all.extend(repairs(kind, &two));
    all
}

/// Writing anew what is damaged of generation 2: of its image, and of its kernel image.
fn healing(two: &CowDevice) -> Vec<Command> {
    let system = &systems()[1];
    let digest = Sha256::digest(&system.uki);
    let digest: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    let kernel = format!("EFI/nos/{digest}.efi");
    let heal = || -> Change {
        Box::new(|device| {
            let system = systems()[1].clone();
            let mut disk = Disk::open(device)?;
            disk.heal(&system.source(), &mut quiet).map(drop)
        })
    };
    let damaged = |content: &[u8]| {
        let mut disk = two.clone();
        let sector = disk.sector_size() as usize;
        let place = disk.find_sector(&content[..512]).unwrap();
        for at in [0, 4100] {
            let at = place + at;
            let bytes = disk.bytes(at, 1);
            disk.scribble(at, &[bytes[0] ^ 0x20]);
        }
        assert!(content.len() > sector.max(4200));
        disk
    };
    let command = |name, before, damage| Command {
        name,
        before,
        change: heal(),
        damage,
        single: true,
    };
    vec![
        command(
            "heal-lost-kernel",
            without(two, &kernel),
            &["its kernel image", "it is missing"][..],
        ),
        command(
            "heal-image",
            damaged(&system.images[0].1),
            &["names an image that is not whole", "image own"][..],
        ),
        command(
            "heal-kernel",
            damaged(&system.uki),
            &["unknown kernel image boots", "kernel image"][..],
        ),
    ]
}

/// A disk without a file of the EFI system partition.
fn without(disk: &CowDevice, path: &str) -> CowDevice {
    let mut device = disk.clone();
    let (mut volume, start) = esp_volume(disk);
    volume.remove_file(path).unwrap();
    let changes = volume.take_changes();
    for write in changes.publish.iter().flatten().chain(&changes.tables) {
        device.scribble(start + write.offset, &write.bytes);
    }
    device
}

/// Changes on a device that became larger.
fn growing(kind: Kind, two: &CowDevice) -> Vec<Command> {
    let sector = kind.sector_size as usize;
    let larger = two.larger_by(3 << 20);
    // By less than a backup table: the new one lies over the old one.
    let barely = two.larger_by(3 * sector);
    let grow = |size| change(move |disk: &mut Disk<'_>| disk.grow(size));
    let mut grown = larger.clone();
    grow(StateSize::Keep)(&mut grown).unwrap();
    let command = |name, before: &CowDevice, change, single| Command {
        name,
        before: before.clone(),
        change,
        damage: &[],
        single,
    };
    vec![
        command("grow", &larger, grow(StateSize::Keep), true),
        command("grow-barely", &barely, grow(StateSize::Keep), true),
        command("grow-with-state", &larger, grow(StateSize::All), true),
        command(
            "grow-state",
            &grown.settled(),
            grow(StateSize::Bytes(2 << 20)),
            true,
        ),
        command("install-on-larger", &larger, add(2, false), false),
    ]
}

/// What `fsck.fat` says of a volume that was not unmounted.
const DIRTY: &[&str] = &[
    "Dirty bit is set",
    "removing dirty bit",
    "differences between boot sector",
    "mostly harmless",
    "65:01/00",
    "Not automatically fixing",
];

/// Repairs, each on a disk with one thing wrong, and one on a disk with all of them.
fn repairs(kind: Kind, two: &CowDevice) -> Vec<Command> {
    let sector = u64::from(kind.sector_size);
    let last = two.size_bytes() - sector;
    let (volume, esp) = esp_volume(two);
    let geometry = *volume.geometry();
    let pointer = esp + volume.extents("loader/loader.conf").unwrap()[0].start;
    // Few bytes, since each that differs is a place to tear at.
    let junk = [0xA5; 8];
    let sector_of_pointer = two.bytes(pointer, sector as usize);
    let line = |start: &[u8]| {
        let mut windows = sector_of_pointer.windows(start.len());
        pointer + windows.position(|window| window == start).unwrap() as u64
    };
    let (default, comment) = (line(b"default"), line(b"#nos "));
    let with = |changes: &[(u64, &[u8])]| {
        let mut disk = two.clone();
        for (offset, bytes) in changes {
            disk.scribble(*offset, bytes);
        }
        disk
    };
    let second_table = esp + (geometry.reserved + geometry.table_sectors) * sector;
    // What a system leaves that has mounted the partition and was switched off.
    let unmounted: [(u64, &[u8]); 3] = match kind.fat {
        FatKind::Fat16 => [
            (esp + 37, &[1]),
            (esp + geometry.reserved * sector + 3, &[0x7F]),
            (second_table + 3, &[0x7F]),
        ],
        FatKind::Fat32 => [
            (esp + 65, &[1]),
            (esp + geometry.reserved * sector + 7, &[0x07]),
            (second_table + 7, &[0x07]),
        ],
    };
    let mut cut_off = cut_off(two, &add(2, false), 2);
    // The entries not in use are those that are wanted; without that there is more to do.
    let unused = if cut_off.bytes(sector + 72, 8) == 2u64.to_le_bytes() {
        2 * sector + (16 << 10)
    } else {
        2 * sector
    };
    cut_off.scribble(unused, &junk);
    let mut worst = cut_off.clone();
    cut_off.scribble(last + 40, &junk);
    let no_pointer = without(two, "loader/loader.conf");
    let command = |name, before, damage| Command {
        name,
        before,
        change: repair(),
        damage,
        single: true,
    };
    let mut all = vec![
        command("repair-primary", with(&[(sector + 40, &junk)]), &[]),
        command(
            "repair-primary-entries",
            with(&[(2 * sector, &junk), (2 * sector + (16 << 10), &junk)]),
            &[],
        ),
        command("repair-backup", with(&[(last + 40, &junk)]), &[]),
        command(
            "repair-mbr",
            with(&[(446, &[0; 16])]),
            &["no protective MBR"],
        ),
        command("repair-leftovers", cut_off, &[]),
        command(
            "repair-second-fat",
            with(&[(second_table + sector, &junk)]),
            &[],
        ),
        command("repair-unmounted", with(&unmounted), DIRTY),
        command("repair-torn-pointer", with(&[(pointer + 300, b"x")]), &[]),
        command(
            "repair-lost-pointer",
            with(&[(default, b"D"), (comment, b"#abc")]),
            &["loader.conf"],
        ),
        command(
            "repair-missing-pointer",
            no_pointer,
            &["loader.conf is missing"],
        ),
    ];
    // The state partition ends where the new backup table begins.
    let tables = (sector + (16 << 10)) as usize;
    let cut = two.smaller_by(PARTITION_ALIGN as usize - tables);
    all.push(command("repair-smaller", cut, &[]));
    all.push(command(
        "repair-boot-sector",
        with(&[(esp + 11, &junk)]),
        &["cannot mount", "EFI system partition is damaged"],
    ));
    if kind.fat == FatKind::Fat32 {
        all.push(command(
            "repair-summary",
            with(&[(esp + sector + 484, &[0; 8])]),
            &["invalid struc_sig"],
        ));
    }
    worst.scribble(sector + 40, &junk);
    worst.scribble(second_table + sector, &junk);
    worst.scribble(comment, b"#abc");
    all.push(Command {
        single: false,
        ..command("repair-everything", worst, &["loader.conf"])
    });
    all
}

/// A disk on which a change was cut off behind its flush with this number.
fn cut_off(disk: &CowDevice, change: &Change, flushes: usize) -> CowDevice {
    let mut recording = RecordingDevice::new(disk.clone());
    change(&mut recording).unwrap();
    let (_, operations) = recording.into_parts();
    let mut left = flushes;
    let mut device = disk.clone();
    for operation in operations {
        match operation {
            Operation::Flush if left == 1 => break,
            Operation::Flush => left -= 1,
            Operation::Write { offset, data } => device.write_at(offset, &data).unwrap(),
        }
    }
    device
}
