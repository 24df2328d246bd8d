//! Flashing in tests.
#![allow(dead_code, unreachable_pub, reason = "each test uses a part of this")]

use super::common::*;
use nos_disk::flash::{self, Fit, FlashError, Flashed, Plan};
use nos_disk::{BlockDevice, Disk, MemoryDevice, NewDisk};
use nos_formats::ext4;
use std::ops::{ControlFlow, Range};

/// Bytes of a disk that has room for a system, and for a file system as its state.
pub const SIZE: usize = 40 << 20;

pub fn web() -> System {
    system(1, 30_000, vec![image("web", 1, 40)])
}

pub fn other() -> System {
    system(2, 20_000, vec![image_of(2, 30)])
}

pub fn image_of(seed: u64, blocks: usize) -> (nos_manifest::Image, Vec<u8>) {
    image("other", seed, blocks)
}

/// A layout with a file system as its state.
pub fn with_format(sector_size: u32) -> NewDisk<'static> {
    NewDisk {
        state_bytes: Some(8 << 20),
        state_content: Some(ext4::Identity {
            uuid: [1; 16],
            label: "nos-state".into(),
            hash_seed: [2; 16],
        }),
        ..new_disk_for(sector_size)
    }
}

/// A disk with [`web`] and a file system as its state.
pub fn with_state(sector_size: u32, size_bytes: usize) -> MemoryDevice {
    let mut device = MemoryDevice::new(size_bytes, sector_size);
    let new = with_format(sector_size);
    nos_disk::create(&mut device, &new, &web().source(), &mut quiet).unwrap();
    device
}

pub fn from_image(
    image: &dyn BlockDevice,
    device: &mut dyn BlockDevice,
    fit: &Fit,
) -> Result<Flashed, FlashError> {
    let plan = Plan::of_image(image, flash::geometry_of(device)?, fit)?;
    flash::write(&plan, device, &mut |_| ControlFlow::Continue(()))
}

pub fn from_system(
    system: &System,
    device: &mut dyn BlockDevice,
    fit: &Fit,
    format: bool,
) -> Result<Flashed, FlashError> {
    let new = if format {
        with_format(device.sector_size())
    } else {
        new_disk_for(device.sector_size())
    };
    let source = system.source();
    let plan = Plan::of_system(flash::geometry_of(device)?, &new, &source, fit)?;
    flash::write(&plan, device, &mut |_| ControlFlow::Continue(()))
}

/// The byte range of a disk's state partition.
pub fn state_of(device: &mut MemoryDevice) -> Range<u64> {
    let sector = u64::from(device.sector_size());
    let disk = Disk::open(device).unwrap();
    let state = nos_manifest::STATE_TYPE_GUID.parse().unwrap();
    let (_, entry) = disk.table().find_type(state).unwrap();
    entry.first_lba * sector..(entry.last_lba + 1) * sector
}

/// `e2fsck` has nothing to say about these bytes.
pub fn fsck(bytes: &[u8]) {
    if let Some((good, text)) = tool(bytes, "e2fsck", &["-fn", "DISK"]) {
        assert!(good, "e2fsck says:\n{text}");
    }
}
