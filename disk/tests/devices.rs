//! Loop devices in the place of real ones; only root may make them.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

mod common;
#[path = "common/flash.rs"]
mod helper;

use common::*;
use helper::*;
use nos_disk::flash::{Fit, FlashError, KeptState, Machine, Refusal};
use nos_disk::{BlockDevice, DeviceError, Disk, FileDevice, MemoryDevice};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

/// A loop device over a file, taken down when dropped; `None` where this user may not make one.
struct Loop(PathBuf);

impl Loop {
    fn new(file: &Path, sector_size: u32) -> Option<Self> {
        let output = Command::new("losetup")
            .args(["--find", "--show", "--partscan", "--sector-size"])
            .arg(sector_size.to_string())
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

/// Opens a device that was just closed. Where another test starts a program at that moment, the
/// kernel holds it for a little longer.
fn alone(device: &Path) -> FileDevice {
    let until = Instant::now() + Duration::from_secs(60);
    loop {
        match FileDevice::open_alone(device) {
            Err(DeviceError::Busy { .. }) if Instant::now() < until => std::thread::yield_now(),
            opened => return opened.unwrap(),
        }
    }
}

#[test]
fn a_device_is_described_written_and_read_back() {
    for sector_size in [512, 4096] {
        let folder = tempfile::tempdir().unwrap();
        let backing = folder.path().join("backing");
        std::fs::write(&backing, noise(5, SIZE)).unwrap();
        let Some(device) = Loop::new(&backing, sector_size) else {
            return;
        };
        let described = Machine::default().inspect(&device.0).unwrap();
        assert_eq!(
            (described.size_bytes, described.sector_size),
            (SIZE as u64, sector_size)
        );
        assert_eq!(described.refusals(SIZE as u64, Some(sector_size)), []);

        // Made on the device itself, which nobody else may write meanwhile.
        {
            let mut target = FileDevice::open_alone(&device.0).unwrap();
            assert!(target.is_block_device() && target.clears_fast());
            from_system(&web(), &mut target, &Fit::default(), true).unwrap();
            for second in [
                FileDevice::open_alone(&device.0),
                FileDevice::open(&device.0),
            ] {
                assert!(
                    matches!(second, Err(DeviceError::Busy { .. })),
                    "{second:?}"
                );
            }
            assert_eq!(summary(&mut target), (vec![1], Some(1)));
        }
        // Its state kept, all else from an image file with holes.
        let path = folder.path().join("disk.img");
        {
            let mut file = FileDevice::create(&path, 32 << 20, sector_size).unwrap();
            let new = with_format(sector_size);
            nos_disk::create(&mut file, &new, &web().source(), &mut quiet).unwrap();
        }
        let file = FileDevice::open_read_only(&path).unwrap();
        let range = 0..file.size_bytes();
        let data: u64 = file
            .data(range)
            .unwrap()
            .iter()
            .map(|r| r.end - r.start)
            .sum();
        assert!(data < 4 << 20, "{data}");
        assert_eq!(file.sector_size(), sector_size);
        let state = |device: &Path| {
            let mut copy = MemoryDevice::from_bytes(std::fs::read(device).unwrap(), sector_size);
            let range = state_of(&mut copy);
            copy.bytes()[range.start as usize..range.end as usize].to_vec()
        };
        let before = state(&backing);
        {
            let mut target = alone(&device.0);
            let fit = Fit {
                kept: Some(KeptState::find(&target).unwrap()),
                ..Fit::default()
            };
            let flashed = from_image(&file, &mut target, &fit).unwrap();
            assert!(flashed.report.bytes_written < 4 << 20, "{flashed:?}");
        }
        assert!(state(&backing) == before);
        {
            let mut target = FileDevice::open(&device.0).unwrap();
            install(&mut target, &other()).unwrap();
            let report = Disk::open(&mut target).unwrap().rollback().unwrap();
            assert_eq!(report.sectors_written, 1);
        }
        let mut copy = MemoryDevice::from_bytes(std::fs::read(&backing).unwrap(), sector_size);
        everything_is_clean(&mut copy);
        assert_eq!(summary(&mut copy), (vec![1, 2], Some(1)));
    }
}

/// A device whose medium fails says where: a loop device over a file on a full file system.
#[test]
fn a_medium_that_fails_is_told_with_the_place() {
    let folder = tempfile::tempdir().unwrap();
    let mounted = Command::new("mount")
        .args(["-t", "tmpfs", "-o", "size=4m", "none"])
        .arg(folder.path())
        .status();
    if !mounted.is_ok_and(|status| status.success()) {
        eprintln!("skipped: this user cannot mount");
        return;
    }
    let backing = folder.path().join("backing");
    let file = std::fs::File::create(&backing).unwrap();
    file.set_len(SIZE as u64).unwrap();
    let error = Loop::new(&backing, 512).map(|device| {
        let mut target = FileDevice::open_alone(&device.0).unwrap();
        let large = system(4, 20_000, vec![image_of(7, 4000)]);
        from_system(&large, &mut target, &Fit::default(), true).unwrap_err()
    });
    drop(file);
    let unmounted = Command::new("umount").arg("-l").arg(folder.path()).status();
    assert!(unmounted.unwrap().success());
    let Some(error) = error else { return };
    assert!(matches!(error, FlashError::Device { .. }), "{error}");
    let text = error.to_string();
    assert!(
        text.contains(" bytes at byte ") && text.contains("has no partition table now"),
        "{text}"
    );
}

#[test]
fn a_mounted_device_is_refused_by_name_and_by_force() {
    let folder = tempfile::tempdir().unwrap();
    let backing = folder.path().join("backing");
    let image = with_state(512, SIZE);
    let range = state_of(&mut image.clone());
    std::fs::write(&backing, image.bytes()).unwrap();
    let Some(device) = Loop::new(&backing, 512) else {
        return;
    };
    let at = folder.path().join("mounted here");
    std::fs::create_dir(&at).unwrap();
    // A file system on all of it, and one on a loop device on a part of it.
    let whole = folder.path().join("whole");
    std::fs::write(
        &whole,
        &image.bytes()[range.start as usize..range.end as usize],
    )
    .unwrap();
    let Some(whole) = Loop::new(&whole, 512) else {
        return;
    };
    for (device, offset) in [(&whole, 0), (&device, range.start)] {
        let mut command = Command::new("mount");
        if offset > 0 {
            command.args(["-o", &format!("offset={offset}")]);
        }
        let mounted = command.arg(&device.0).arg(&at).status();
        if !mounted.is_ok_and(|status| status.success()) {
            eprintln!("skipped: this user cannot mount");
            return;
        }
        let described = Machine::default().inspect(&device.0).unwrap();
        let refusals = described.refusals(0, None);
        let opened = FileDevice::open_alone(&device.0).map(drop);
        assert!(Command::new("umount").arg(&at).status().unwrap().success());
        let found = refusals.iter().find_map(|refusal| match refusal {
            Refusal::Mounted { at, .. } => Some(at.clone()),
            _ => None,
        });
        assert_eq!(
            found.as_deref().map(Path::new),
            Some(at.as_path()),
            "{refusals:?}"
        );
        if let Err(error) = opened {
            assert!(matches!(error, DeviceError::Busy { .. }), "{error}");
        }
    }
    assert_eq!(
        Machine::default()
            .inspect(&device.0)
            .unwrap()
            .refusals(0, None),
        []
    );
}
