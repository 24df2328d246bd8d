//! Flashing that is cut off: whatever a power cut leaves of it, firmware finds nothing to boot,
//! or a whole system, the old one or the new; and a state partition that is kept is there, byte
//! for byte, and can be found.

use crate::common::*;
use crate::cow::CowDevice;
use crate::firmware::{self, Booted};
use crate::replay::{self, Crash, Effort, Visited};
use crate::{FULL, USUAL};
use nos_disk::flash::{self, Fit, KeptState, Plan};
use nos_disk::{
    BlockDevice, Disk, InstallOptions, MemoryDevice, Operation, PARTITION_ALIGN, RecordingDevice,
};
use sha2::{Digest, Sha256};
use std::io;
use std::ops::ControlFlow;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A disk being flashed.
struct Case {
    before: CowDevice,
    operations: Vec<Operation>,
    /// Offset of the state that must not change, and what it is.
    state: Option<(u64, Vec<u8>)>,
    after: CowDevice,
}

/// How a disk is flashed.
#[derive(Debug, Clone, Copy)]
struct How {
    sector_size: u32,
    /// Whether its state is kept.
    keep: bool,
    /// Whether it has a backup table before.
    has_backup: bool,
}

const fn how(sector_size: u32, keep: bool, has_backup: bool) -> How {
    How {
        sector_size,
        keep,
        has_backup,
    }
}

impl std::fmt::Display for How {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if self.keep {
            "flash-keep-state"
        } else {
            "flash"
        })?;
        f.write_str(if self.has_backup { "" } else { "-no-backup" })
    }
}

/// What is on the disk before, and what comes.
fn systems() -> &'static [System; 3] {
    static ALL: LazyLock<[System; 3]> =
        LazyLock::new(|| [1, 2, 3].map(|n| system(n, 5000, vec![image("own", n, 2 + n as usize)])));
    &ALL
}

impl Case {
    fn new(how: How) -> Self {
        let How {
            sector_size,
            keep,
            has_backup,
        } = how;
        let [first, second, new] = systems();
        let size = if sector_size == 512 { 9 } else { 23 } << 20;
        let mut before = found(disk_with(sector_size, size, first));
        install(&mut before, second).unwrap();
        let (start, length) = {
            let disk = Disk::open(&mut before).unwrap();
            let state = nos_manifest::STATE_TYPE_GUID.parse().unwrap();
            let (_, entry) = disk.table().find_type(state).unwrap();
            let sector = u64::from(sector_size);
            (entry.first_lba * sector, entry.sectors() * sector)
        };
        let content = noise(77, length as usize);
        before.bytes_mut()[start as usize..][..content.len()].copy_from_slice(&content);
        if !has_backup {
            let end = before.bytes().len() - sector_size as usize;
            before.bytes_mut()[end..].fill(0xA5);
        }
        let fit = Fit {
            kept: keep.then(|| KeptState::find(&before).unwrap()),
            ..Fit::default()
        };
        let source = new.source();
        let layout = new_disk_for(sector_size);
        let geometry = flash::geometry_of(&before).unwrap();
        let plan = Plan::of_system(geometry, &layout, &source, &fit).unwrap();
        let mut device = RecordingDevice::new(before.clone());
        flash::write(&plan, &mut device, &mut |_| ControlFlow::Continue(())).unwrap();
        let (mut after, operations) = device.into_parts();
        everything_is_clean(&mut after);
        assert_eq!(summary(&mut after), (vec![1], Some(1)));
        Self {
            before: CowDevice::new(before),
            operations,
            state: keep.then_some((start, content)),
            after: CowDevice::new(after),
        }
    }

    fn visit(&self, operations: &[Operation], effort: Effort) -> Result<Visited, String> {
        let sector_size = self.before.sector_size();
        let segments = replay::segments_of_wrong(operations, sector_size as usize);
        let header = u64::from(sector_size);
        let decides = |offset| offset == 0 || offset == header;
        let mut disk = self.before.clone();
        replay::visit_all(
            &mut disk,
            &segments,
            0,
            effort,
            &decides,
            &mut |disk, crash| self.judge(disk, crash),
        )
    }

    fn judge(&self, disk: &CowDevice, crash: &Crash) -> Result<(), String> {
        if let Some((start, content)) = &self.state {
            if disk.bytes(*start, content.len()) != *content {
                return Err("the state was written to".into());
            }
            let kept = KeptState::find(disk).map_err(|error| error.to_string())?;
            if kept.size_bytes() != content.len() as u64 {
                return Err("the state partition has another size".into());
            }
        }
        let sector = u64::from(disk.sector_size());
        let has = |offset| {
            let length = sector as usize;
            !crash.torn && self.after.bytes(offset, length) == disk.bytes(offset, length)
        };
        let new: [u8; 32] = Sha256::digest(&systems()[2].uki).into();
        // The backup's header is there: so is everything but the first sectors.
        if has(disk.size_bytes() - sector) {
            let mut done = disk.clone();
            let first = self.after.bytes(0, PARTITION_ALIGN as usize);
            done.write_at(0, &first).unwrap();
            let booted = boot_whole(&mut done);
            if !booted.is_ok_and(|booted| booted.is_some_and(|booted| booted.uki == new)) {
                return Err("the new backup table is there, and not all of the new disk".into());
            }
        }
        let mut disk = disk.clone();
        let booted = boot_whole(&mut disk)?;
        // The primary's header comes last: where firmware looks at it, everything is there.
        let is_done = crash.returned || (has(sector) && is_protected(&disk));
        match booted {
            Some(booted) if is_done && (booted.uki != new || !booted.had_primary) => {
                Err("the new primary header is there, and not all of the new disk".into())
            }
            None if is_done => Err("it is done and boots nothing".into()),
            _ => Ok(()),
        }
    }
}

/// What boots, if anything, which is a whole system then.
fn boot_whole(disk: &mut CowDevice) -> Result<Option<Booted>, String> {
    let Ok(booted) = firmware::boot(disk) else {
        return Ok(None);
    };
    let systems = systems();
    let system = systems
        .iter()
        .find(|system| <[u8; 32]>::from(Sha256::digest(&system.uki)) == booted.uki)
        .ok_or("an unknown kernel image boots")?;
    for (image, bytes) in &system.images {
        let guid: nos_formats::gpt::Guid = image.part_uuid().unwrap().parse().unwrap();
        let (start, _) = booted
            .partitions
            .get(&guid.0)
            .ok_or_else(|| format!("image {} of what boots is missing", image.name))?;
        if disk.bytes(*start, bytes.len()) != *bytes {
            return Err(format!("image {} of what boots is damaged", image.name));
        }
    }
    Ok(Some(booted))
}

/// Whether sector 0 makes firmware look at the tables.
fn is_protected(disk: &CowDevice) -> bool {
    disk.bytes(510, 2) == [0x55, 0xAA]
}

fn prove(cases: &[How], effort: Effort) {
    for how in cases {
        let case = Case::new(*how);
        let sector_size = how.sector_size;
        let visited = case
            .visit(&case.operations, effort)
            .unwrap_or_else(|why| panic!("{how}, sectors of {sector_size}: {why:.400}"));
        let Visited { states, torn } = visited;
        println!("{how:26} {sector_size:5}: {states:6} states, {torn:6} torn, 0 bad");
    }
}

#[test]
fn a_flash_that_is_cut_off_boots_nothing_or_a_whole_system() {
    let cases = [
        how(512, false, true),
        how(512, true, true),
        how(512, true, false),
        how(4096, true, true),
    ];
    prove(&cases, USUAL.0);
}

#[test]
#[ignore = "takes minutes; see the top of main.rs"]
fn full_flash() {
    let cases = [512, 4096].into_iter().flat_map(|sector_size| {
        [(false, true), (true, true), (true, false)]
            .map(|(keep, has_backup)| how(sector_size, keep, has_backup))
    });
    prove(&cases.collect::<Vec<_>>(), FULL.0);
}

/// Each flush is needed: the test takes it out, and must see a half boot, a header that is not the
/// last, a state partition that nobody finds, or a flash that has returned and is not there. The one
/// before everything is read back is there for that, which
/// [`what_is_read_back_was_flushed`] sees.
#[test]
fn without_any_one_flush_a_flash_is_not_safe() {
    let needed: [(How, &[usize]); 3] = [
        // Old first sectors gone; array and backup durable before the header; the header.
        (how(512, false, true), &[0, 2, 3]),
        // One of two tables valid at every moment, where there are two, and the same.
        (how(512, true, true), &[1, 3, 4]),
        (how(512, true, false), &[0, 1, 3, 4]),
    ];
    for (how, each) in needed {
        let case = Case::new(how);
        let flushes: Vec<usize> = (0..case.operations.len())
            .filter(|index| case.operations[*index] == Operation::Flush)
            .collect();
        assert_eq!(each.last(), Some(&(flushes.len() - 1)), "{how}");
        for which in each {
            let mut operations = case.operations.clone();
            operations.remove(flushes[*which]);
            let result = case.visit(&operations, USUAL.0);
            assert!(result.is_err(), "{how} does without flush {which}");
        }
        // Nor may any two rows change places.
        let phases: Vec<&[Operation]> = case
            .operations
            .split_inclusive(|operation| *operation == Operation::Flush)
            .collect();
        for first in each[0]..phases.len() - 1 {
            let mut phases = phases.clone();
            phases.swap(first, first + 1);
            let result = case.visit(&phases.concat(), USUAL.0);
            assert!(
                result.is_err(),
                "{how} does with phase {first} a phase late"
            );
        }
    }
}

/// A device that knows whether everything written to it was flushed.
struct Flushed {
    device: MemoryDevice,
    all: bool,
    forgot: AtomicUsize,
}

impl BlockDevice for Flushed {
    fn sector_size(&self) -> u32 {
        self.device.sector_size()
    }

    fn size_bytes(&self) -> u64 {
        self.device.size_bytes()
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        self.device.read_at(offset, buf)
    }

    fn write_at(&mut self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.all = false;
        self.device.write_at(offset, data)
    }

    fn write_zeroes(&mut self, offset: u64, length: u64) -> io::Result<()> {
        self.all = false;
        self.device.write_zeroes(offset, length)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.all = true;
        self.device.flush()
    }

    fn forget(&self) -> io::Result<()> {
        self.forgot.fetch_add(1, Ordering::Relaxed);
        match self.all {
            true => Ok(()),
            false => Err(io::Error::other("what is read back may be in a cache")),
        }
    }
}

#[test]
fn what_is_read_back_was_flushed() {
    let [first, second, new] = systems();
    let mut device = Flushed {
        device: disk_with(512, 9 << 20, first),
        all: true,
        forgot: AtomicUsize::new(0),
    };
    let options = InstallOptions {
        read_back: true,
        ..InstallOptions::default()
    };
    let mut disk = Disk::open(&mut device).unwrap();
    disk.install(&second.source(), options, &mut quiet).unwrap();
    assert_eq!(device.forgot.swap(0, Ordering::Relaxed), 2);
    let geometry = flash::geometry_of(&device).unwrap();
    for keep in [false, true] {
        let fit = Fit {
            kept: keep.then(|| KeptState::find(&device).unwrap()),
            ..Fit::default()
        };
        let source = new.source();
        let plan = Plan::of_system(geometry, &new_disk_for(512), &source, &fit).unwrap();
        flash::write(&plan, &mut device, &mut |_| ControlFlow::Continue(())).unwrap();
        assert_eq!(device.forgot.swap(0, Ordering::Relaxed), 2);
    }
}
