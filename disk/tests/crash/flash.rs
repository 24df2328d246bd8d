//! Flashing that is cut off: whatever a power cut leaves of it, firmware finds nothing to boot,
//! or a whole system, the old one or the new; and a state partition that is kept is there, byte
//! for byte, and can be found.

use crate::common::*;
use crate::cow::CowDevice;
use crate::replay::{self, Effort, Visited};
use crate::{FULL, USUAL, firmware};
use nos_disk::flash::{self, Fit, KeptState, Plan};
use nos_disk::{BlockDevice, Disk, Operation, RecordingDevice};
use sha2::{Digest, Sha256};
use std::ops::ControlFlow;

/// A disk being flashed.
struct Case {
    before: CowDevice,
    operations: Vec<Operation>,
    /// Offset of the state that must not change, and what it is.
    state: Option<(u64, Vec<u8>)>,
}

/// What is on the disk before, and what comes.
fn systems() -> [System; 3] {
    [1, 2, 3].map(|n| system(n, 5000, vec![image("own", n, 2 + n as usize)]))
}

impl Case {
    fn new(sector_size: u32, keep: bool) -> Self {
        let [first, second, new] = systems();
        let size = if sector_size == 512 { 9 } else { 23 } << 20;
        let mut before = found(disk_with(sector_size, size, &first));
        install(&mut before, &second).unwrap();
        let (start, length) = {
            let disk = Disk::open(&mut before).unwrap();
            let state = nos_manifest::STATE_TYPE_GUID.parse().unwrap();
            let (_, entry) = disk.table().find_type(state).unwrap();
            let sector = u64::from(sector_size);
            (entry.first_lba * sector, entry.sectors() * sector)
        };
        let content = noise(77, length as usize);
        before.bytes_mut()[start as usize..][..content.len()].copy_from_slice(&content);
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
        }
    }

    fn visit(&self, operations: &[Operation], effort: Effort) -> Result<Visited, String> {
        let sector_size = self.before.sector_size();
        let segments = replay::segments_of_wrong(operations, sector_size as usize);
        let header = u64::from(sector_size);
        let decides = |offset| offset == 0 || offset == header;
        let mut disk = self.before.clone();
        replay::visit_all(&mut disk, &segments, 0, effort, &decides, &mut |disk, _| {
            self.judge(disk)
        })
    }

    fn judge(&self, disk: &CowDevice) -> Result<(), String> {
        if let Some((start, content)) = &self.state {
            if disk.bytes(*start, content.len()) != *content {
                return Err("the state was written to".into());
            }
            let kept = KeptState::find(disk).map_err(|error| error.to_string())?;
            if kept.size_bytes() != content.len() as u64 {
                return Err("the state partition has another size".into());
            }
        }
        let mut disk = disk.clone();
        let Ok(booted) = firmware::boot(&mut disk) else {
            return Ok(());
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
        Ok(())
    }
}

fn prove(cases: &[(u32, bool)], effort: Effort) {
    for (sector_size, keep) in cases {
        let case = Case::new(*sector_size, *keep);
        let visited = case
            .visit(&case.operations, effort)
            .unwrap_or_else(|why| panic!("keep {keep}, sectors of {sector_size}: {why:.400}"));
        println!(
            "{:24} {sector_size:5}: {:6} states, {:6} torn, 0 bad",
            if *keep { "flash-keep-state" } else { "flash" },
            visited.states,
            visited.torn
        );
    }
}

#[test]
fn a_flash_that_is_cut_off_boots_nothing_or_a_whole_system() {
    prove(&[(512, false), (512, true), (4096, true)], USUAL.0);
}

#[test]
#[ignore = "takes minutes; see the top of main.rs"]
fn full_flash() {
    prove(
        &[(512, false), (512, true), (4096, false), (4096, true)],
        FULL.0,
    );
}

/// Each of these sets of flushes is needed: the test takes them out and must see a half boot, or
/// a state partition that nobody finds. The flush before everything is read back is in none with
/// the next one there: it makes what is read come from the medium.
#[test]
fn without_its_flushes_a_flash_can_half_boot_or_lose_the_state() {
    let needed: [(bool, &[&[usize]]); 2] = [
        // Old first sectors gone; all content durable before the new ones.
        (false, &[&[0], &[1, 2]]),
        // One of two tables valid at every moment, and the same.
        (true, &[&[0, 1], &[1], &[2, 3], &[3]]),
    ];
    for (keep, sets) in needed {
        let case = Case::new(512, keep);
        let flushes: Vec<usize> = (0..case.operations.len())
            .filter(|index| case.operations[*index] == Operation::Flush)
            .collect();
        for set in sets {
            let mut operations = case.operations.clone();
            for which in set.iter().rev() {
                operations.remove(flushes[*which]);
            }
            let result = case.visit(&operations, USUAL.0);
            assert!(result.is_err(), "keep {keep}: {set:?} of {flushes:?}");
        }
    }
}
