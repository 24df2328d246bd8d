use super::inspect::{Bytes, look};
use super::*;
use nos_formats::gpt::{Entry, Geometry, Guid, Table};
use std::fs;
use std::os::unix::fs::{FileExt, symlink};
use std::path::Path;

/// A machine made of folders: one disk with two partitions, one of them under a crypt device.
fn machine(folder: &Path, mounts: &str, swaps: &str) -> Machine {
    let put = |path: &str, text: &str| {
        let path = folder.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    };
    let disk = "sys/devices/pci/block/sda";
    put(&format!("{disk}/dev"), "8:0\n");
    put(&format!("{disk}/size"), "2097152\n");
    put(&format!("{disk}/ro"), "0\n");
    put(&format!("{disk}/removable"), "1\n");
    put(&format!("{disk}/queue/logical_block_size"), "512\n");
    put(&format!("{disk}/queue/optimal_io_size"), "33553920\n");
    put(&format!("{disk}/device/model"), "Stick of Truth  \n");
    put(&format!("{disk}/device/serial"), "0123ABCD\n");
    for (number, sectors) in [(1, 2048), (2, 4096)] {
        let part = format!("{disk}/sda{number}");
        put(&format!("{part}/dev"), &format!("8:{number}\n"));
        put(&format!("{part}/partition"), &format!("{number}\n"));
        put(&format!("{part}/size"), &format!("{sectors}\n"));
    }
    let crypt = "sys/devices/virtual/block/dm-0";
    put(&format!("{crypt}/dev"), "254:0\n");
    fs::create_dir_all(folder.join(format!("{disk}/sda2/holders"))).unwrap();
    symlink(
        folder.join(crypt),
        folder.join(format!("{disk}/sda2/holders/dm-0")),
    )
    .unwrap();
    fs::create_dir_all(folder.join("sys/dev/block")).unwrap();
    symlink(folder.join(disk), folder.join("sys/dev/block/8:0")).unwrap();
    symlink(
        folder.join(disk).join("sda1"),
        folder.join("sys/dev/block/8:1"),
    )
    .unwrap();
    put("proc/self/mountinfo", mounts);
    put("proc/swaps", swaps);
    Machine::at(&folder.join("sys"), &folder.join("proc"))
}

fn describe(mounts: &str) -> Device {
    let folder = tempfile::tempdir().unwrap();
    let machine = machine(folder.path(), mounts, "Filename Type\n");
    machine.describe(Path::new("/dev/sda"), "8:0").unwrap()
}

const OTHER: &str = "22 1 254:9 / / rw shared:1 - ext4 /dev/other rw\n";

#[test]
fn a_device_is_described() {
    let device = describe(OTHER);
    assert_eq!(
        (device.name.as_str(), device.model.as_str()),
        ("sda", "Stick of Truth")
    );
    assert_eq!(
        (device.serial.as_str(), device.size_bytes),
        ("0123ABCD", 1 << 30)
    );
    assert!(device.removable && !device.read_only && !device.partition);
    let parts: Vec<_> = device
        .parts
        .iter()
        .map(|p| (p.name.as_str(), p.size_bytes))
        .collect();
    assert_eq!(parts, [("sda1", 1 << 20), ("sda2", 2 << 20)]);
    assert_eq!(
        device.uses,
        [Use::Held {
            device: "sda2".into(),
            by: "dm-0".into()
        }]
    );
}

#[test]
fn mounts_are_found_on_partitions_and_on_what_stands_on_them() {
    let mounts = format!(
        "{OTHER}30 22 8:1 / /media/my\\040stick rw - vfat /dev/sda1 rw\n\
         31 22 254:0 / /home rw - ext4 /dev/mapper/x rw\n"
    );
    let refusals: Vec<String> = describe(&mounts)
        .refusals(0, None)
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(
        refusals,
        [
            "dm-0 is mounted at /home; run `umount /home`",
            "sda1 is mounted at /media/my stick; run `umount /media/my stick`",
            "sda2 is in use by dm-0 (RAID, LVM, encryption or loop); stop dm-0 first",
        ]
    );
}

#[test]
fn the_root_disk_is_refused_even_below_encryption() {
    let device = describe("22 1 254:0 / / rw - ext4 /dev/mapper/root rw\n");
    let refusals = device.refusals(0, None);
    assert!(
        refusals.contains(&Refusal::RootDisk { name: "sda".into() }),
        "{refusals:?}"
    );
}

#[test]
fn loop_devices_swap_and_shared_file_systems_are_seen() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let put = |path: &str, text: &str| {
        let path = at.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    };
    // A loop device on a partition holds the root, another one on top of it some swap; and a
    // Btrfs on this disk and another is mounted by the other's name.
    let mounts = "22 1 7:0 / / rw - ext4 /dev/root rw\n\
                  23 1 0:40 / /data rw - btrfs /dev/sdz3 rw\n";
    let machine = machine(at, mounts, "Filename Type\n/dev/loop1 partition\n");
    for (name, number, backing) in [
        ("loop0", "7:0", "/dev/sda1"),
        ("loop1", "7:1", "/dev/loop0"),
    ] {
        put(&format!("sys/block/{name}/dev"), number);
        put(&format!("sys/block/{name}/loop/backing_file"), backing);
    }
    put("sys/block/loop2/dev", "7:2");
    put("sys/block/loop2/loop/backing_file", "/dev/sdb1");
    for member in ["sda2", "sdz3"] {
        fs::create_dir_all(at.join("sys/fs/btrfs/1234/devices").join(member)).unwrap();
    }
    let device = machine.describe(Path::new("/dev/sda"), "8:0").unwrap();
    let refusals: Vec<String> = device
        .refusals(0, None)
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(
        refusals,
        [
            "sda holds this machine's root file system; name another disk",
            "sda2 is mounted at /data; run `umount /data`",
            "loop1 is swap space; run `swapoff /dev/loop1`",
            "loop0 is in use by loop1 (RAID, LVM, encryption or loop); stop loop1 first",
            "sda1 is in use by loop0 (RAID, LVM, encryption or loop); stop loop0 first",
            "sda2 is in use by dm-0 (RAID, LVM, encryption or loop); stop dm-0 first",
        ]
    );
}

#[test]
fn small_read_only_and_unfit_devices_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let machine = machine(folder.path(), OTHER, "");
    let whole = machine.describe(Path::new("/dev/sda"), "8:0").unwrap();
    let too_small = |r: &Refusal| matches!(r, Refusal::TooSmall { .. });
    assert!(whole.refusals((1 << 30) + 1, None).iter().any(too_small));
    assert!(!whole.refusals(1 << 30, None).iter().any(too_small));
    let sector = |r: &Refusal| matches!(r, Refusal::SectorSize { .. });
    assert!(whole.refusals(0, Some(4096)).iter().any(sector));
    let odd = Device {
        sector_size: 520,
        read_only: true,
        ..whole
    };
    assert_eq!(
        odd.refusals(0, None).len(),
        3,
        "{:?}",
        odd.refusals(0, None)
    );
    let part = machine.describe(Path::new("/dev/sda1"), "8:1").unwrap();
    assert_eq!(
        part.refusals(0, None),
        [Refusal::Partition {
            name: "sda1".into()
        }]
    );
    assert_eq!(part.sector_size, 512, "that of its disk");
}

#[test]
fn partitions_that_the_kernel_does_not_list_are_those_of_the_table() {
    const SECTORS: u64 = 2048;
    let geometry = Geometry {
        sector_size: 512,
        sectors: SECTORS,
    };
    let mut table = Table::new(geometry, Guid([1; 16])).unwrap();
    for (number, name) in [(3, "music"), (5, "photographs")] {
        table.entries[number - 1] = Some(Entry {
            type_guid: Guid([2; 16]),
            unique_guid: Guid([number as u8; 16]),
            first_lba: number as u64 * 100,
            last_lba: number as u64 * 100 + 9,
            attributes: 0,
            name: Entry::encode_name(name),
        });
    }
    let file = tempfile::tempfile().unwrap();
    file.set_len(SECTORS * 512).unwrap();
    let put = |sector: u64, bytes: &[u8]| file.write_all_at(bytes, sector * 512).unwrap();
    put(table.backup_array_lba(), &table.encode_array());
    put(SECTORS - 1, &table.encode_backup());
    put(300, b"XFSB");
    // The primary table is broken, so the backup has to do.
    put(1, b"EFI PART");
    let bytes = Bytes(file.try_clone().unwrap());
    let mut device = Device {
        name: "nvme0n1".into(),
        size_bytes: SECTORS * 512,
        parts: Vec::new(),
        ..describe(OTHER)
    };
    look(&mut device, &bytes);
    let part = |part: &Part| (part.name.clone(), part.label.clone(), part.size_bytes);
    assert_eq!(
        device.parts.iter().map(part).collect::<Vec<_>>(),
        [
            ("nvme0n1p3".to_owned(), "music".to_owned(), 5120),
            ("nvme0n1p5".to_owned(), "photographs".to_owned(), 5120),
        ]
    );
    assert_eq!(device.parts[0].content.as_deref(), Some("XFS"));
    assert_eq!(device.content, None);
    // What the kernel lists is what counts.
    let mut device = describe(OTHER);
    look(&mut device, &bytes);
    assert_eq!(device.parts[0].name, "sda1");
}

#[test]
fn files_are_no_devices() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let error = Machine::default().inspect(file.path()).unwrap_err();
    assert!(
        matches!(error, crate::DeviceError::NotADisk { .. }),
        "{error}"
    );
}
