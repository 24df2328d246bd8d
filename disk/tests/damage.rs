//! Media that do not keep what they are sent: found out by reading back, and healed from another copy.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

mod common;

use common::*;
use nos_disk::{BlockDevice, Disk, Error, Finding, InstallOptions, MemoryDevice};
use nos_formats::fat::Volume;
use sha2::{Digest, Sha256};

const SIZE: usize = 16 << 20;

fn first() -> System {
    system(1, 30_000, vec![image("web", 1, 20), image("cache", 2, 300)])
}

/// The same with another image of `web`.
fn second() -> System {
    system(2, 30_000, vec![image("web", 3, 25), image("cache", 2, 300)])
}

/// A medium that keeps one bit of what it is sent otherwise.
struct Forgetful {
    medium: MemoryDevice,
    /// Its sector's number among those of all large writes: images and kernel images.
    at: usize,
    seen: usize,
}

impl BlockDevice for Forgetful {
    fn sector_size(&self) -> u32 {
        self.medium.sector_size()
    }

    fn size_bytes(&self) -> u64 {
        self.medium.size_bytes()
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> std::io::Result<()> {
        self.medium.read_at(offset, buf)
    }

    fn write_at(&mut self, offset: u64, data: &[u8]) -> std::io::Result<()> {
        let mut kept = data.to_vec();
        if data.len() > 20_000 {
            let sectors = data.len() / 512;
            if (self.seen..self.seen + sectors).contains(&self.at) {
                kept[(self.at - self.seen) * 512] ^= 1;
            }
            self.seen += sectors;
        }
        self.medium.write_at(offset, &kept)
    }

    fn write_zeroes(&mut self, offset: u64, length: u64) -> std::io::Result<()> {
        self.medium.write_zeroes(offset, length)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.medium.flush()
    }
}

#[test]
fn a_medium_that_keeps_something_else_is_found_out_where_it_is_read_back() {
    let good = disk_with(512, SIZE, &first());
    let install = |at: usize, read_back: bool| {
        let mut device = Forgetful {
            medium: good.clone(),
            at,
            seen: 0,
        };
        let options = InstallOptions {
            read_back,
            ..InstallOptions::default()
        };
        let result =
            Disk::open(&mut device)
                .unwrap()
                .install(&second().source(), options, &mut quiet);
        (result, device)
    };
    let (result, all) = install(usize::MAX, true);
    assert_eq!(result.unwrap().number, 2);
    assert!(all.seen > 200);
    for at in (0..all.seen).step_by(37).chain([all.seen - 1]) {
        let (result, mut device) = install(at, true);
        let error = result.unwrap_err();
        assert!(matches!(error, Error::ReadBack { .. }), "{at}: {error}");
        assert_eq!(summary(&mut device), (vec![1], Some(1)));
        // Without, it is what `nos verify` is for.
        let (result, mut device) = install(at, false);
        assert_eq!(result.unwrap().number, 2);
        let report = Disk::open(&mut device).unwrap().verify(&mut quiet).unwrap();
        assert!(!report.is_good(), "{at}");
    }
}

#[test]
fn what_is_damaged_is_written_anew_and_nothing_else() {
    let mut good = disk_with(512, SIZE, &first());
    install(&mut good, &second()).unwrap();
    let heal = |device: &mut dyn BlockDevice, system: &System| {
        let mut disk = Disk::open(device).unwrap();
        disk.heal(&system.source(), &mut quiet)
    };
    let place = |content: &[u8]| {
        let mut windows = good.bytes().windows(content.len());
        windows.position(|window| window == content).unwrap()
    };
    let (image, kernel) = (place(&second().images[0].1), place(&second().uki));
    let last = second().images[0].1.len() - 1;
    let mut device = good.clone();
    for at in [
        image,
        image + 1,
        image + 70_000,
        image + last,
        kernel + 29_999,
    ] {
        device.bytes_mut()[at] ^= 0x10;
    }
    // Not from what is damaged itself, nor from another system.
    let mut worse = second();
    worse.images[0].1[9000] ^= 1;
    let damaged = device.clone();
    assert!(matches!(
        heal(&mut device, &worse),
        Err(Error::Source { .. })
    ));
    let report = heal(&mut device, &first()).unwrap();
    assert_eq!((report.repaired.len(), report.sectors_written), (0, 0));
    assert!(device == damaged);
    let report = heal(&mut device, &second()).unwrap();
    assert_eq!(
        report.repaired,
        [
            "image web (partition 5): 3 sectors were damaged".to_owned(),
            format!("kernel image {}: 1 sector was damaged", hex(&second().uki)),
        ]
    );
    assert_eq!((report.number, report.sectors_written), (2, 4));
    assert!(device.bytes() == good.bytes());
    everything_is_clean(&mut device);
    // A sector that cannot be read is written, which is what makes a medium replace it.
    let mut device = Unreadable {
        medium: good.clone(),
        sector: (image / 512 + 3) as u64,
        healed: false,
    };
    let report = heal(&mut device, &second()).unwrap();
    assert_eq!(report.sectors_written, 1);
    assert!(device.healed && device.medium.bytes() == good.bytes());
}

/// Where the EFI system partition of these disks begins.
const ESP: usize = 1 << 20;

/// The first allocation table of the EFI system partition, as bytes of the disk.
fn first_table(disk: &MemoryDevice) -> std::ops::Range<usize> {
    let boot = &disk.bytes()[ESP..];
    let word = |at: usize| usize::from(u16::from_le_bytes([boot[at], boot[at + 1]]));
    let start = ESP + word(14) * 512;
    start..start + word(22) * 512
}

fn cluster_bytes(disk: &MemoryDevice) -> usize {
    usize::from(disk.bytes()[ESP + 13]) * 512
}

#[test]
fn a_damaged_allocation_table_never_spoils_its_copy() {
    let mut good = disk_with(512, SIZE, &first());
    install(&mut good, &second()).unwrap();
    let table = first_table(&good);
    type Change = fn(&mut dyn BlockDevice) -> Result<nos_disk::Report, Error>;
    let changes: [Change; 4] = [
        nos_disk::repair,
        |device| Disk::open(device)?.pin(1, None),
        |device| Disk::open(device)?.gc(1),
        |device| install(device, &system(4, 30_000, vec![image("web", 4, 20)])),
    ];
    for place in [table.clone(), table.start..table.start + 100] {
        let mut damaged = good.clone();
        damaged.bytes_mut()[place].fill(0x5A);
        assert_eq!(summary(&mut damaged), (vec![1, 2], Some(2)));
        let report = Disk::open(&mut damaged)
            .unwrap()
            .verify(&mut quiet)
            .unwrap();
        let [found] = &report.findings[..] else {
            panic!("{:?}", report.findings);
        };
        assert!(matches!(found, Finding::Allocation { .. }), "{found}");
        assert!(found.remedy().contains("--repair") && !report.is_good());
        for change in changes {
            let mut device = damaged.clone();
            change(&mut device).unwrap();
            nos_disk::repair(&mut device).unwrap();
            everything_is_clean(&mut device);
        }
        let mut device = damaged.clone();
        let report = nos_disk::repair(&mut device).unwrap();
        assert_eq!(report.repaired, [found.to_string()]);
        assert!(device.bytes() == good.bytes());
    }
}

/// Where the root directory of 512 names begins: behind the tables. Cluster 2 is behind it.
fn root_directory(disk: &MemoryDevice) -> usize {
    let table = first_table(disk);
    table.end + table.len()
}

/// A disk with two generations and, in both tables, the second cluster of the newest kernel image free.
fn without_clusters() -> MemoryDevice {
    let mut device = disk_with(512, SIZE, &first());
    install(&mut device, &second()).unwrap();
    let table = first_table(&device);
    let uki = second().uki;
    let mut windows = device.bytes().windows(uki.len());
    let kernel = windows.position(|window| window == uki);
    let data = root_directory(&device) + 512 * 32;
    let cluster = (kernel.unwrap() - data) / cluster_bytes(&device) + 2 + 1;
    for start in [table.start, table.end] {
        let entry = &mut device.bytes_mut()[start + 2 * cluster..][..2];
        assert_ne!(entry, [0, 0]);
        entry.fill(0);
    }
    device
}

#[test]
fn a_kernel_image_without_its_clusters_is_one_finding_with_two_ways_out() {
    let mut device = without_clusters();
    let report = Disk::open(&mut device).unwrap().verify(&mut quiet).unwrap();
    let lasting = report
        .findings
        .iter()
        .filter(|f| !matches!(f, Finding::Leftover { .. }));
    let lasting: Vec<_> = lasting.collect();
    let [Finding::Kernel { generations, .. }] = lasting[..] else {
        panic!("{lasting:?}");
    };
    assert_eq!(*generations, [2]);
    let remedy = lasting[0].remedy();
    assert!(
        remedy.contains("--from") && remedy.contains("remove"),
        "{remedy}"
    );
    let mut removed = device.clone();
    let mut disk = Disk::open(&mut removed).unwrap();
    disk.switch(1).unwrap();
    disk.remove(2).unwrap();
    nos_disk::repair(&mut removed).unwrap();
    everything_is_clean(&mut removed);
    // What another system has is of no use to it.
    let mut disk = Disk::open(&mut device).unwrap();
    assert_eq!(
        disk.heal(&first().source(), &mut quiet)
            .unwrap()
            .repaired
            .len(),
        0
    );
    let report = disk.heal(&second().source(), &mut quiet).unwrap();
    let [what] = &report.repaired[..] else {
        panic!("{:?}", report.repaired);
    };
    assert!(
        what.starts_with(&format!("kernel image {}: ", hex(&second().uki))),
        "{what}"
    );
    everything_is_clean(&mut device);
    assert_eq!(summary(&mut device), (vec![1, 2], Some(2)));
}

#[test]
fn a_lost_kernel_image_is_written_anew_where_only_its_own_room_is_left() {
    let mut device = without_clusters();
    // Somebody else's file takes all that is free, but for the one cluster that was freed.
    let length = (SIZE - ESP) as u64;
    let volume = Volume::open(&device.bytes()[ESP..], length).unwrap();
    let mut full = volume.clone();
    let filler = volume.free_bytes() as usize - cluster_bytes(&device);
    full.create_file("/filler", &vec![7; filler]).unwrap();
    let changes = full.take_changes();
    let steps = changes.publish.into_iter().flatten();
    for write in changes.data.into_iter().chain(changes.tables).chain(steps) {
        let at = ESP + write.offset as usize;
        device.bytes_mut()[at..at + write.bytes.len()].copy_from_slice(&write.bytes);
    }
    let mut disk = Disk::open(&mut device).unwrap();
    let report = disk.heal(&second().source(), &mut quiet).unwrap();
    assert_eq!(report.repaired.len(), 1);
    everything_is_clean(&mut device);
}

#[test]
fn a_kernel_image_that_shares_clusters_is_not_written_over_the_other_file() {
    let mut device = disk_with(512, SIZE, &first());
    install(&mut device, &second()).unwrap();
    // The name of the newest kernel image leads to the clusters of the older one, of the same size.
    let root = &device.bytes()[ESP..];
    let names = |uki: &[u8]| {
        let start = hex(uki)[..13]
            .encode_utf16()
            .flat_map(u16::to_le_bytes)
            .collect::<Vec<u8>>();
        let first = root.windows(10).position(|w| w == &start[..10]).unwrap() - 1;
        // The first part of a long name is the record before the short one.
        ESP + first + 32
    };
    let (old, new) = (names(&first().uki), names(&second().uki));
    let cluster = device.bytes()[old + 26..old + 28].to_vec();
    device.bytes_mut()[new + 26..new + 28].copy_from_slice(&cluster);
    let mut disk = Disk::open(&mut device).unwrap();
    disk.heal(&second().source(), &mut quiet).unwrap();
    everything_is_clean(&mut device);
    assert_eq!(summary(&mut device), (vec![1, 2], Some(2)));
}

#[test]
fn a_lost_boot_sector_of_fat16_is_what_the_partition_was_given() {
    let mut good = disk_with(512, SIZE, &first());
    install(&mut good, &second()).unwrap();
    let mut device = good.clone();
    device.bytes_mut()[ESP..ESP + 512].fill(0);
    let error = Disk::open(&mut device).map(drop).unwrap_err().to_string();
    assert!(error.contains("`nos verify --repair`"), "{error}");
    let report = nos_disk::repair(&mut device).unwrap();
    assert_eq!(report.repaired.len(), 1, "{:?}", report.repaired);
    everything_is_clean(&mut device);
    assert_eq!(summary(&mut device), (vec![1, 2], Some(2)));
    // All but the volume's serial number follows from the partition.
    device.bytes_mut()[ESP + 39..ESP + 43].copy_from_slice(&good.bytes()[ESP + 39..ESP + 43]);
    assert!(device.bytes() == good.bytes());
    // Where the tables are damaged too, nothing is sure.
    let mut worse = good.clone();
    let tables = first_table(&good);
    worse.bytes_mut()[ESP..ESP + 512].fill(0);
    worse.bytes_mut()[tables.start..tables.end + tables.len()].fill(0x5A);
    let before = worse.clone();
    let error = nos_disk::repair(&mut worse).unwrap_err().to_string();
    assert!(error.contains("`nos flash --keep-state`"), "{error}");
    assert!(worse == before);
    // Nor is a volume without anything in it one of ours.
    let mut empty = good.clone();
    let root = root_directory(&good);
    empty.bytes_mut()[ESP..ESP + 512].fill(0);
    empty.bytes_mut()[root..root + 512 * 32].fill(0);
    assert!(nos_disk::repair(&mut empty).is_err());
}

#[test]
fn a_lost_root_directory_names_the_way_out() {
    let mut device = disk_with(512, SIZE, &first());
    let root = root_directory(&device);
    device.bytes_mut()[root..root + 512 * 32].fill(0);
    let before = device.clone();
    let opened = Disk::open(&mut device).map(drop).unwrap_err().to_string();
    let repaired = nos_disk::repair(&mut device).unwrap_err().to_string();
    for error in [opened, repaired] {
        assert!(error.contains("this nOs disk"), "{error}");
        assert!(error.contains("`nos flash --keep-state`"), "{error}");
    }
    assert!(device == before);
}

#[test]
fn a_copy_on_a_smaller_medium_works_where_nothing_used_is_missing() {
    let mut good = disk_with(512, SIZE, &first());
    install(&mut good, &second()).unwrap();
    let end = {
        let disk = Disk::open(&mut good).unwrap();
        let last = disk
            .table()
            .numbered()
            .map(|(_, entry)| entry.last_lba)
            .max();
        (last.unwrap() as usize + 1) * 512
    };
    let cut = |bytes: usize| {
        let mut all = good.bytes().to_vec();
        all.truncate(bytes);
        MemoryDevice::from_bytes(all, 512)
    };
    // Room for a table is what is needed behind the last partition, and no more.
    let least = end + 33 * 512;
    for size in [least, least + 512, SIZE - 512] {
        let mut device = cut(size);
        assert_eq!(summary(&mut device), (vec![1, 2], Some(2)));
        Disk::open(&mut device).unwrap().rollback().unwrap();
        let report = Disk::open(&mut device).unwrap().verify(&mut quiet).unwrap();
        let [found] = &report.findings[..] else {
            panic!("{:?}", report.findings);
        };
        assert!(matches!(found, Finding::Table { .. }), "{found}");
        let repaired = nos_disk::repair(&mut device).unwrap().repaired;
        assert_eq!(repaired, [found.to_string()]);
        everything_is_clean(&mut device);
        assert_eq!(summary(&mut device), (vec![1, 2], Some(1)));
        // A change does the same.
        let mut device = cut(size);
        Disk::open(&mut device).unwrap().remove(1).unwrap();
        everything_is_clean(&mut device);
    }
    for size in [end, least - 512, end - 512] {
        let mut device = cut(size);
        let before = device.clone();
        for error in [
            Disk::open(&mut device).map(drop).unwrap_err().to_string(),
            nos_disk::repair(&mut device).unwrap_err().to_string(),
        ] {
            assert!(
                error.contains("(state)") && error.contains("larger"),
                "{error}"
            );
        }
        assert!(device == before);
    }
}

fn hex(bytes: &[u8]) -> String {
    let digest = Sha256::digest(bytes);
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A medium that cannot read a sector until it was written.
struct Unreadable {
    medium: MemoryDevice,
    sector: u64,
    healed: bool,
}

impl BlockDevice for Unreadable {
    fn sector_size(&self) -> u32 {
        512
    }

    fn size_bytes(&self) -> u64 {
        self.medium.size_bytes()
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> std::io::Result<()> {
        let sectors = offset / 512..(offset + buf.len() as u64).div_ceil(512);
        match sectors.contains(&self.sector) && !self.healed {
            true => Err(std::io::Error::other("a bad sector")),
            false => self.medium.read_at(offset, buf),
        }
    }

    fn write_at(&mut self, offset: u64, data: &[u8]) -> std::io::Result<()> {
        let sectors = offset / 512..(offset + data.len() as u64) / 512;
        self.healed |= sectors.contains(&self.sector);
        self.medium.write_at(offset, data)
    }

    fn write_zeroes(&mut self, offset: u64, length: u64) -> std::io::Result<()> {
        self.medium.write_zeroes(offset, length)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.medium.flush()
    }
}
