//! Writing disk images to devices of other sizes; loop devices stand in for real ones.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

mod common;

use common::*;
use nos_disk::flash::{self, Machine, Refusal};
use nos_disk::{BlockDevice, Disk, Error, FileDevice, MemoryDevice, Shortage};
use std::path::{Path, PathBuf};
use std::process::Command;

fn web() -> System {
    system(1, 30_000, vec![image("web", 1, 40)])
}

#[test]
fn an_image_fits_itself_to_a_larger_device() {
    for sector_size in [512, 4096] {
        let mut image = disk_with(sector_size, 32 << 20, &web());
        install(&mut image, &system(2, 20_000, vec![image_of_two()])).unwrap();
        let mut device = MemoryDevice::from_bytes(noise(3, 48 << 20), sector_size);
        let report = flash::write_image(&mut image, &mut device, &mut quiet).unwrap();
        assert_eq!(report.number, 2);
        everything_is_clean(&mut device);
        assert_eq!(summary(&mut device), (vec![1, 2], Some(2)));
        let last = Disk::open(&mut device).unwrap().table().backup_lba;
        assert_eq!((last + 1) * u64::from(sector_size), 48 << 20);
        // The room that was gained can be used.
        install(
            &mut device,
            &system(3, 20_000, vec![image_named("big", 9, 3000)]),
        )
        .unwrap();
        everything_is_clean(&mut device);
    }
}

fn image_of_two() -> (nos_manifest::Image, Vec<u8>) {
    image_named("two", 2, 30)
}

fn image_named(name: &str, seed: u64, blocks: usize) -> (nos_manifest::Image, Vec<u8>) {
    common::image(name, seed, blocks)
}

#[test]
fn what_does_not_fit_is_refused_before_the_first_write() {
    let mut image = disk_with(512, 32 << 20, &web());
    let before = noise(3, 20 << 20);
    let mut device = MemoryDevice::from_bytes(before.clone(), 512);
    let error = flash::write_image(&mut image, &mut device, &mut quiet).unwrap_err();
    assert!(
        matches!(error, Error::Space(Shortage::Disk { .. })),
        "{error}"
    );
    let mut other = MemoryDevice::from_bytes(before.clone(), 4096);
    let error = flash::write_image(&mut image, &mut other, &mut quiet).unwrap_err();
    assert!(matches!(error, Error::Layout { .. }), "{error}");
    assert!(device.bytes() == before && other.bytes() == before);
    let mut empty = MemoryDevice::new(1 << 20, 512);
    assert!(matches!(
        flash::write_image(&mut empty, &mut device, &mut quiet),
        Err(Error::Open(_))
    ));
}

/// However little was written, a device whose writing was cut off does not boot, and neither
/// does what was on it before.
#[test]
fn an_aborted_flash_never_boots() {
    let mut image = disk_with(512, 12 << 20, &web());
    let old = disk_with(512, 12 << 20, &system(9, 9000, vec![]));
    for writes in [2, 3, 4, 5] {
        let mut device = nos_disk::RecordingDevice::fail_after(old.clone(), writes);
        assert!(flash::write_image(&mut image, &mut device, &mut quiet).is_err());
        let (mut device, _) = device.into_parts();
        assert!(Disk::open(&mut device).is_err(), "after {writes} writes");
    }
}

/// A loop device over a file, taken down when dropped; `None` where this user may not make one.
struct Loop(PathBuf);

impl Loop {
    fn new(file: &Path, sector_size: u32) -> Option<Self> {
        let output = Command::new("losetup")
            .args([
                "--find",
                "--show",
                "--partscan",
                "--sector-size",
                &sector_size.to_string(),
            ])
            .arg(file)
            .output()
            .ok()?;
        let path = String::from_utf8(output.stdout).unwrap().trim().to_owned();
        if !output.status.success() || path.is_empty() {
            eprintln!("skipped: this user cannot make loop devices");
            return None;
        }
        Some(Self(path.into()))
    }
}

impl Drop for Loop {
    fn drop(&mut self) {
        let _ = Command::new("losetup")
            .arg("--detach")
            .arg(&self.0)
            .status();
    }
}

#[test]
fn a_loop_device_is_described_written_and_read_back() {
    for sector_size in [512, 4096] {
        let folder = tempfile::tempdir().unwrap();
        let backing = folder.path().join("backing");
        std::fs::write(&backing, noise(5, 40 << 20)).unwrap();
        let Some(device) = Loop::new(&backing, sector_size) else {
            return;
        };

        let described = Machine::default().inspect(&device.0).unwrap();
        assert_eq!(
            (described.size_bytes, described.sector_size),
            (40 << 20, sector_size)
        );
        assert_eq!(described.refusals(40 << 20, Some(sector_size)), []);

        // Made on the device itself.
        {
            let mut target = FileDevice::open_alone(&device.0).unwrap();
            let new = new_disk_for(sector_size);
            nos_disk::create(&mut target, &new, &web().source(), &mut quiet).unwrap();
            let busy = FileDevice::open_alone(&device.0);
            assert!(
                matches!(busy, Err(nos_disk::DeviceError::Busy { .. })),
                "{busy:?}"
            );
            assert_eq!(summary(&mut target), (vec![1], Some(1)));
            assert_eq!(
                Disk::open(&mut target)
                    .unwrap()
                    .verify(&mut quiet)
                    .unwrap()
                    .findings,
                []
            );
        }
        // And written from an image file.
        let path = folder.path().join("disk.img");
        {
            let mut file = FileDevice::create(&path, 32 << 20, sector_size).unwrap();
            let new = new_disk_for(sector_size);
            nos_disk::create(&mut file, &new, &web().source(), &mut quiet).unwrap();
        }
        let mut file = FileDevice::open_read_only(&path).unwrap();
        assert_eq!(file.sector_size(), sector_size);
        {
            let mut target = FileDevice::open_alone(&device.0).unwrap();
            flash::write_image(&mut file, &mut target, &mut quiet).unwrap();
            install(&mut target, &system(2, 20_000, vec![image_of_two()])).unwrap();
            let report = Disk::open(&mut target).unwrap().rollback().unwrap();
            assert_eq!(report.sectors_written, 1);
        }
        let mut copy = MemoryDevice::from_bytes(std::fs::read(&backing).unwrap(), sector_size);
        everything_is_clean(&mut copy);
        assert_eq!(summary(&mut copy), (vec![1, 2], Some(1)));
    }
}

#[test]
fn a_mounted_device_is_refused_by_name_and_by_force() {
    let folder = tempfile::tempdir().unwrap();
    let backing = folder.path().join("backing");
    let options = nos_formats::ext4::Options {
        size_bytes: 16 << 20,
        uuid: [1; 16],
        label: "someone's",
        hash_seed: [2; 16],
    };
    let mut content = vec![0; 16 << 20];
    for (offset, bytes) in nos_formats::ext4::FileSystem::new(&options)
        .unwrap()
        .extents()
    {
        content[offset as usize..][..bytes.len()].copy_from_slice(&bytes);
    }
    std::fs::write(&backing, content).unwrap();
    let Some(device) = Loop::new(&backing, 512) else {
        return;
    };
    let at = folder.path().join("mounted here");
    std::fs::create_dir(&at).unwrap();
    let mounted = Command::new("mount")
        .args(["-o", "ro"])
        .arg(&device.0)
        .arg(&at)
        .status();
    if !mounted.is_ok_and(|status| status.success()) {
        eprintln!("skipped: this user cannot mount");
        return;
    }
    let described = Machine::default().inspect(&device.0).unwrap();
    let refusals = described.refusals(0, None);
    let opened = FileDevice::open_alone(&device.0);
    assert!(Command::new("umount").arg(&at).status().unwrap().success());
    let [Refusal::Mounted { at: found, .. }] = refusals.as_slice() else {
        panic!("{refusals:?}")
    };
    assert_eq!(Path::new(found), at);
    assert!(
        matches!(opened, Err(nos_disk::DeviceError::Busy { .. })),
        "{opened:?}"
    );
    assert_eq!(described.content.as_deref(), Some("ext2/3/4"));
}
