//! Writing disks to devices, from systems and from images. Files and memory stand in for devices;
//! loop devices do for the real thing, where the tests run as root.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

mod common;
#[path = "common/flash.rs"]
mod helper;

use common::*;
use helper::*;
use nos_disk::flash::{self, Fit, FlashError, KeptState, Left, Plan};
use nos_disk::{BlockDevice, Disk, Error, MemoryDevice, RecordingDevice, Shortage, StateSize};
use std::ops::ControlFlow;

#[test]
fn an_image_fits_itself_to_a_larger_device() {
    for sector_size in [512, 4096] {
        let mut image = disk_with(sector_size, 32 << 20, &web());
        install(&mut image, &other()).unwrap();
        let mut device = MemoryDevice::from_bytes(noise(3, 48 << 20), sector_size);
        let flashed = from_image(&image, &mut device, &Fit::default()).unwrap();
        assert_eq!(flashed.report.number, 2);
        everything_is_clean(&mut device);
        assert_eq!(summary(&mut device), (vec![1, 2], Some(2)));
        let last = Disk::open(&mut device).unwrap().table().backup_lba;
        assert_eq!((last + 1) * u64::from(sector_size), 48 << 20);
        // The state partition is at the end of the device, and the room before it can be used.
        assert_eq!(state_of(&mut device).end, 47 << 20);
        install(&mut device, &system(3, 20_000, vec![image_of(9, 3000)])).unwrap();
        everything_is_clean(&mut device);
    }
}

#[test]
fn what_does_not_fit_is_refused_before_the_first_write() {
    let image = disk_with(512, 32 << 20, &web());
    let before = noise(3, 5 << 20);
    let mut device = MemoryDevice::from_bytes(before.clone(), 512);
    let error = from_image(&image, &mut device, &Fit::default()).unwrap_err();
    assert!(
        matches!(
            error,
            FlashError::Refused(Error::Space(Shortage::Disk { .. }))
        ),
        "{error}"
    );
    let mut other = MemoryDevice::from_bytes(before.clone(), 4096);
    let error = from_image(&image, &mut other, &Fit::default()).unwrap_err();
    assert!(
        matches!(error, FlashError::Refused(Error::Layout { .. })),
        "{error}"
    );
    assert!(device.bytes() == before && other.bytes() == before);
    let empty = MemoryDevice::new(1 << 20, 512);
    assert!(matches!(
        from_image(&empty, &mut device, &Fit::default()),
        Err(FlashError::Refused(Error::Open(_)))
    ));
}

#[test]
fn every_way_gives_the_same_disk() {
    for sector_size in [512, 4096] {
        // In a file that was empty before, over rubbish, and as a stream.
        let fresh = with_state(sector_size, SIZE);
        let mut reused = MemoryDevice::from_bytes(noise(3, SIZE), sector_size);
        from_system(&web(), &mut reused, &Fit::default(), true).unwrap();
        let mut again = MemoryDevice::from_bytes(noise(4, SIZE), sector_size);
        from_image(&fresh, &mut again, &Fit::default()).unwrap();
        let system = web();
        let source = system.source();
        let new = with_format(sector_size);
        let geometry = flash::geometry_of(&fresh).unwrap();
        let plan = Plan::of_system(geometry, &new, &source, &Fit::default()).unwrap();
        let mut streamed = Vec::new();
        flash::stream(&plan, &mut streamed, &mut |_| ControlFlow::Continue(())).unwrap();
        assert!(streamed == fresh.bytes(), "{sector_size}");
        for mut device in [reused, again] {
            everything_is_clean(&mut device);
            let state = state_of(&mut device);
            fsck(&device.bytes()[state.start as usize..state.end as usize]);
            // What means something is the same; what does not is not even written.
            let same = |a: &[u8], b: &[u8]| a.iter().zip(b).filter(|(a, b)| a != b).count();
            assert_eq!(
                same(&device.bytes()[..1 << 20], &fresh.bytes()[..1 << 20]),
                0
            );
            let tail = SIZE - (1 << 20);
            assert_eq!(same(&device.bytes()[tail..], &fresh.bytes()[tail..]), 0);
            assert!(
                device
                    .bytes()
                    .windows(64)
                    .any(|window| window == [0xDB; 64])
            );
        }
    }
}

#[test]
fn marks_of_what_was_there_are_gone() {
    let mut device = MemoryDevice::from_bytes(vec![0x11; SIZE], 512);
    let mut marks = vec![
        (512, b"EFI PART".as_slice()),
        (4096, b"EFI PART"),
        (SIZE - 512, b"EFI PART"),
        (SIZE - 4096, b"EFI PART"),
        (0, b"\xEB\x63\x90GRUB boot code"),
        (510, b"\x55\xAA"),
        (0x8001, b"CD001"),
        (4096, b"\xFC\x4E\x2B\xA9"),
        (SIZE - 65536, b"\xFC\x4E\x2B\xA9"),
        ((1 << 20) + 0x1_0040, b"_BHRfS_M"),
    ];
    // In the state partition, which begins here.
    let state = SIZE - (9 << 20);
    marks.extend([
        (state, b"XFSB".as_slice()),
        (state + 0x1_0040, b"_BHRfS_M"),
        (state + (8 << 20) - 65536, b"\xFC\x4E\x2B\xA9"),
    ]);
    for (offset, mark) in &marks {
        device.bytes_mut()[*offset..][..mark.len()].copy_from_slice(mark);
    }
    from_system(&web(), &mut device, &Fit::default(), true).unwrap();
    assert_eq!(state_of(&mut device).start, state as u64);
    for (offset, mark) in &marks[1..] {
        let ours = [510, 512, SIZE - 512].contains(offset);
        let there = device.bytes()[*offset..].starts_with(mark);
        assert_eq!(there, ours, "byte {offset}");
    }
    assert_eq!(device.bytes()[..446], [0; 446]);
    let signatures = |bytes: &[u8]| {
        let (_, text) = tool(bytes, "wipefs", &["--noheadings", "-O", "TYPE", "DISK"])?;
        Some(
            text.split_whitespace()
                .map(str::to_owned)
                .collect::<Vec<_>>(),
        )
    };
    if let Some(found) = signatures(device.bytes()) {
        assert_eq!(found, ["gpt", "gpt", "PMBR"]);
    }
    if let Some(found) = signatures(&device.bytes()[state..][..8 << 20]) {
        assert_eq!(found, ["ext4"]);
    }
}

#[test]
fn the_state_partition_takes_the_rest_where_that_is_wanted() {
    let fit = Fit {
        state: StateSize::All,
        spare_bytes: 4 << 20,
        align_bytes: 3 << 19,
        ..Fit::default()
    };
    let image = with_state(512, SIZE);
    for from_the_image in [false, true] {
        let mut device = MemoryDevice::from_bytes(noise(3, 96 << 20), 512);
        if from_the_image {
            from_image(&image, &mut device, &fit).unwrap();
        } else {
            from_system(&web(), &mut device, &fit, true).unwrap();
        }
        everything_is_clean(&mut device);
        let state = state_of(&mut device);
        assert_eq!(state.end, 95 << 20);
        // Both the usual alignment and that of stripes of 1.5 MiB.
        assert!(state.start.is_multiple_of(3 << 20), "{state:?}");
        assert!(state.start < 20 << 20, "{state:?}");
        fsck(&device.bytes()[state.start as usize..state.end as usize]);
        install(&mut device, &system(3, 20_000, vec![image_of(9, 900)])).unwrap();
    }
    let fit = Fit {
        state: StateSize::Bytes(9 << 20),
        ..Fit::default()
    };
    let mut device = MemoryDevice::from_bytes(noise(3, 32 << 20), 512);
    from_image(&image, &mut device, &fit).unwrap();
    assert_eq!(state_of(&mut device), 22 << 20..31 << 20);
    // One that is in use does not shrink, and is carried over as it is.
    let mut used = image.clone();
    let state = state_of(&mut used);
    used.bytes_mut()[state.start as usize + 1024 + 48] ^= 1;
    let less = Fit {
        state: StateSize::Bytes(7 << 20),
        ..Fit::default()
    };
    let error = from_image(&used, &mut device, &less).unwrap_err();
    assert!(error.to_string().contains("cannot shrink"), "{error}");
    from_image(&used, &mut device, &fit).unwrap();
    let new = state_of(&mut device).start;
    let new = new..new + (8 << 20);
    let bytes = |device: &MemoryDevice, range: std::ops::Range<u64>| {
        device.bytes()[range.start as usize..range.end as usize].to_vec()
    };
    assert!(bytes(&device, new) == bytes(&used, state));
}

#[test]
fn each_device_has_guids_of_its_own() {
    let image = with_state(512, SIZE);
    let guids = |from_the_image: bool, identity: &str| {
        let fit = Fit {
            identity: identity.into(),
            ..Fit::default()
        };
        let mut device = MemoryDevice::from_bytes(noise(3, 32 << 20), 512);
        match from_the_image {
            true => from_image(&image, &mut device, &fit).unwrap(),
            false => from_system(&web(), &mut device, &fit, true).unwrap(),
        };
        everything_is_clean(&mut device);
        let disk = Disk::open(&mut device).unwrap();
        let entries = disk.table().entries.iter().flatten();
        let mut guids: Vec<_> = entries.map(|e| (e.label(), e.unique_guid)).collect();
        guids.push(("disk".into(), disk.table().disk_guid));
        guids
    };
    for from_the_image in [false, true] {
        let one = guids(from_the_image, "Stick 1");
        assert_eq!(one, guids(from_the_image, "Stick 1"));
        let two = guids(from_the_image, "Stick 2");
        let is_image = |label: &str| !["EFI system", "state", "disk"].contains(&label);
        assert_eq!(one.len(), 4);
        for ((label, a), (_, b)) in one.iter().zip(&two) {
            assert_eq!(a == b, is_image(label), "{label}");
        }
    }
}

#[test]
fn a_state_that_is_kept_survives_byte_for_byte() {
    for sector_size in [512, 4096] {
        for from_the_image in [false, true] {
            let mut device = found(disk_with(sector_size, SIZE, &other()));
            let state = state_of(&mut device);
            let range = state.start as usize..state.end as usize;
            let content = noise(8, range.len());
            device.bytes_mut()[range.clone()].copy_from_slice(&content);
            let entry = |device: &mut MemoryDevice| {
                let disk = Disk::open(device).unwrap();
                let state = nos_manifest::STATE_TYPE_GUID.parse().unwrap();
                disk.table().find_type(state).unwrap().1.clone()
            };
            let old = entry(&mut device);
            let kept = KeptState::find(&device).unwrap();
            assert_eq!(kept.size_bytes(), content.len() as u64);
            let fit = Fit {
                kept: Some(kept),
                ..Fit::default()
            };
            if from_the_image {
                from_image(&with_state(sector_size, SIZE), &mut device, &fit).unwrap();
            } else {
                from_system(&web(), &mut device, &fit, true).unwrap();
            }
            assert!(device.bytes()[range] == content);
            assert_eq!(entry(&mut device), old);
            everything_is_clean(&mut device);
            assert_eq!(summary(&mut device), (vec![1], Some(1)));
        }
    }
}

#[test]
fn a_state_that_cannot_be_kept_is_said_so_before_the_first_write() {
    // Nothing there, or nothing of ours.
    for bytes in [noise(1, SIZE), vec![0; SIZE], vec![0; 512]] {
        let error = KeptState::find(&MemoryDevice::from_bytes(bytes, 512)).unwrap_err();
        assert!(error.to_string().contains("no state to keep"), "{error}");
    }
    let mut stateless = MemoryDevice::new(SIZE, 512);
    let new = nos_disk::NewDisk {
        state_bytes: None,
        ..new_disk()
    };
    nos_disk::create(&mut stateless, &new, &web().source(), &mut quiet).unwrap();
    let error = KeptState::find(&stateless).unwrap_err();
    assert!(
        error.to_string().contains("is a nOs state partition"),
        "{error}"
    );
    // No room beside it.
    let mut device = found(disk_with(512, 9 << 20, &web()));
    let before = device.clone();
    let fit = Fit {
        kept: Some(KeptState::find(&device).unwrap()),
        ..Fit::default()
    };
    let large = system(4, 20_000, vec![image_of(7, 700)]);
    let error = from_system(&large, &mut device, &fit, false).unwrap_err();
    assert!(
        error
            .to_string()
            .contains("the kept state partition leaves"),
        "{error}"
    );
    let new = nos_disk::NewDisk {
        esp_bytes: 8 << 20,
        ..new_disk()
    };
    let small = system(4, 20_000, Vec::new());
    let source = small.source();
    let geometry = flash::geometry_of(&device).unwrap();
    let error = Plan::of_system(geometry, &new, &source, &fit)
        .map(drop)
        .unwrap_err();
    assert!(
        error.to_string().contains("the state partition to be kept"),
        "{error}"
    );
    assert!(device == before);
    // The backup table is enough to find it by.
    device.bytes_mut()[512..1024].fill(0);
    assert_eq!(KeptState::find(&device).unwrap().size_bytes(), 1 << 20);
}

/// Where a flash is cut off it can be done again, and the state is still there.
#[test]
fn a_flash_that_failed_can_be_done_again() {
    for keep in [false, true] {
        let before = found(disk_with(512, SIZE, &other()));
        let fit = |device: &MemoryDevice| Fit {
            kept: keep.then(|| KeptState::find(device).unwrap()),
            ..Fit::default()
        };
        for operations in 0.. {
            let mut device = RecordingDevice::fail_after(before.clone(), operations);
            let result = from_system(&web(), &mut device, &fit(&before), false);
            let (mut device, _) = device.into_parts();
            let Err(error) = result else {
                assert!(operations > 8, "{operations}");
                break;
            };
            assert!(matches!(error, FlashError::Device { .. }), "{error}");
            assert!(error.to_string().contains("check the device"), "{error}");
            let again = fit(&device);
            from_system(&web(), &mut device, &again, false).unwrap();
            everything_is_clean(&mut device);
            assert_eq!(summary(&mut device), (vec![1], Some(1)));
        }
    }
}

#[test]
fn stopping_says_what_is_left() {
    let before = found(disk_with(512, SIZE, &other()));
    let system = web();
    let source = system.source();
    let new = new_disk();
    for keep in [false, true] {
        let fit = Fit {
            kept: keep.then(|| KeptState::find(&before).unwrap()),
            ..Fit::default()
        };
        let geometry = flash::geometry_of(&before).unwrap();
        let plan = Plan::of_system(geometry, &new, &source, &fit).unwrap();
        for after in 0.. {
            let mut device = before.clone();
            let mut calls = 0;
            let mut watch = |_: &nos_disk::Progress| {
                calls += 1;
                match calls > after {
                    true => ControlFlow::Break(()),
                    false => ControlFlow::Continue(()),
                }
            };
            let Err(error) = flash::write(&plan, &mut device, &mut watch) else {
                assert!(after > 4, "{after}");
                break;
            };
            let expected = match (after, keep) {
                (0, _) => Left::AsItWas,
                (_, false) => Left::Blank,
                (_, true) => Left::StateAlone,
            };
            assert!(
                matches!(error, FlashError::Stopped { left } if left == expected),
                "{after}: {error}"
            );
            assert_eq!(after == 0, device == before);
            assert_eq!(after == 0, Disk::open(&mut device).is_ok());
        }
    }
}

/// A medium that says it is larger than it is, as counterfeit sticks do.
#[test]
fn a_medium_that_lies_about_its_size_is_found_out() {
    let mut device = Liar(MemoryDevice::new(33 << 20, 512));
    let error = from_system(&web(), &mut device, &Fit::default(), false).unwrap_err();
    assert!(
        matches!(
            error,
            FlashError::ReadBack {
                left: Left::Blank,
                ..
            }
        ),
        "{error}"
    );
    assert!(
        error.to_string().contains("smaller than it says"),
        "{error}"
    );
    assert!(Disk::open(&mut device).is_err());
}

/// Sends every access to the real size and beyond back to the beginning.
struct Liar(MemoryDevice);

impl BlockDevice for Liar {
    fn sector_size(&self) -> u32 {
        512
    }

    fn size_bytes(&self) -> u64 {
        SIZE as u64
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> std::io::Result<()> {
        buf.chunks_mut(512)
            .enumerate()
            .try_for_each(|(index, sector)| {
                let at = (offset + index as u64 * 512) % self.0.size_bytes();
                self.0.read_at(at, sector)
            })
    }

    fn write_at(&mut self, offset: u64, data: &[u8]) -> std::io::Result<()> {
        data.chunks(512)
            .enumerate()
            .try_for_each(|(index, sector)| {
                let at = (offset + index as u64 * 512) % self.0.size_bytes();
                self.0.write_at(at, sector)
            })
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }

    fn write_zeroes(&mut self, offset: u64, length: u64) -> std::io::Result<()> {
        self.write_at(offset, &vec![0; length as usize])
    }
}

#[test]
fn an_image_that_is_damaged_never_boots() {
    let mut image = disk_with(512, SIZE, &web());
    let disk = Disk::open(&mut image).unwrap();
    let (_, entry) = disk.table().numbered().nth(2).unwrap();
    let start = entry.first_lba as usize * 512;
    image.bytes_mut()[start + 5000] ^= 1;
    let mut device = MemoryDevice::from_bytes(noise(3, SIZE), 512);
    let error = from_image(&image, &mut device, &Fit::default()).unwrap_err();
    assert!(matches!(error, FlashError::ReadBack { .. }), "{error}");
    assert!(Disk::open(&mut device).is_err());
}
