//! Disks in files: sparse, locked, and as fast as the medium.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

mod common;

use common::*;
use nos_disk::{BlockDevice, DeviceError, Disk, FileDevice, OpenError};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

fn web() -> System {
    system(1, 30_000, vec![image("web", 1, 40)])
}

fn make(path: &Path, size: u64) -> nos_disk::Report {
    let mut file = FileDevice::create(path, size, 512).unwrap();
    nos_disk::create(&mut file, &new_disk(), &web().source(), &mut quiet).unwrap()
}

#[test]
fn only_content_takes_space() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("disk.img");
    let report = make(&path, 4 << 30);
    let metadata = std::fs::metadata(&path).unwrap();
    assert_eq!(metadata.len(), 4 << 30);
    assert!(
        metadata.blocks() * 512 < 1 << 20,
        "{} bytes allocated",
        metadata.blocks() * 512
    );
    assert!(
        report.bytes_written < 1 << 20,
        "{} bytes written",
        report.bytes_written
    );
    let mut file = FileDevice::open(&path).unwrap();
    let report = Disk::open(&mut file).unwrap().verify(&mut quiet).unwrap();
    assert_eq!(report.findings, []);
}

#[test]
fn the_same_disk_is_made_in_a_file_and_in_memory() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("disk.img");
    make(&path, 16 << 20);
    assert!(std::fs::read(&path).unwrap() == disk_with(512, 16 << 20, &web()).bytes());
}

#[test]
fn a_write_may_begin_and_end_within_a_page() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("disk.img");
    let mut file = FileDevice::create(&path, 4 << 20, 512).unwrap();
    let mut expected = vec![0; 4 << 20];
    let writes = [
        (8192, 1_049_088),
        (1_057_280, 4096),
        (512, 7680),
        (2_097_664, 512),
        (0, 512),
    ];
    for (n, (offset, length)) in (1..).zip(writes) {
        let mut buffer = file.take_buffer(length);
        buffer.fill(n);
        file.write_buffer(offset, buffer).unwrap();
        expected[offset as usize..][..length].fill(n);
    }
    file.flush().unwrap();
    assert!(std::fs::read(&path).unwrap() == expected);
}

#[test]
fn one_disk_is_changed_by_one_at_a_time() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("disk.img");
    make(&path, 16 << 20);
    let first = FileDevice::open(&path).unwrap();
    for second in [FileDevice::open(&path), FileDevice::open_read_only(&path)] {
        assert!(
            matches!(second, Err(DeviceError::Busy { .. })),
            "{second:?}"
        );
    }
    drop(first);
    let _one = FileDevice::open_read_only(&path).unwrap();
    let _two = FileDevice::open_read_only(&path).unwrap();
    assert!(matches!(
        FileDevice::open(&path),
        Err(DeviceError::Busy { .. })
    ));
    assert!(matches!(
        FileDevice::create(&path, 1, 512),
        Err(DeviceError::Io { .. })
    ));
}

#[test]
fn files_that_are_no_disks_are_refused_by_kind() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("disk.img");
    let opened = |bytes: &[u8]| {
        std::fs::write(&path, bytes).unwrap();
        let mut file = FileDevice::open(&path).unwrap();
        Disk::open(&mut file).map(drop).unwrap_err()
    };
    assert!(matches!(opened(b""), OpenError::NotGpt));
    assert!(matches!(opened(&noise(1, 100_000)), OpenError::NotGpt));
    let good = disk_with(512, 16 << 20, &web()).bytes().to_vec();
    let sector = good.len() / 512 - 1;

    let mut broken = good.clone();
    broken[512 + 40] ^= 1;
    std::fs::write(&path, &broken).unwrap();
    let mut file = FileDevice::open(&path).unwrap();
    let disk = Disk::open(&mut file).unwrap();
    assert!(disk.broken_primary().is_some(), "read by its backup");
    assert_eq!(disk.current(), Some(1));
    drop(file);
    broken[sector * 512 + 40] ^= 1;
    let error = opened(&broken);
    assert!(matches!(error, OpenError::TablesBroken { .. }), "{error}");

    let replaced = |from: &str, to: &str| {
        let at = good
            .windows(from.len())
            .position(|w| w == from.as_bytes())
            .unwrap();
        let mut bytes = good.clone();
        bytes[at..at + from.len()].copy_from_slice(to.as_bytes());
        opened(&bytes)
    };
    let error = replaced("#nos format=1", "#nos format=7");
    assert!(
        matches!(error, OpenError::NewerFormat { found: 7 }),
        "{error}"
    );
    let error = replaced("#nos format=1", "#abc format=1");
    assert!(matches!(error, OpenError::Pointer { .. }), "{error}");
    let error = replaced("default nos-*-a.conf", "default nos-*-/.conf");
    assert!(matches!(error, OpenError::Pointer { .. }), "{error}");
    let mut no_boot_sector = good.clone();
    no_boot_sector[(1 << 20) + 510] = 0;
    let error = opened(&no_boot_sector);
    assert!(matches!(error, OpenError::Esp(_)), "{error}");
}
