//! The proof that a disk cannot be broken: every state that a power cut can leave, of every
//! command, boots what booted before or what was asked for.
//!
//! Each state is judged by a model of firmware and boot loader that shares no code with `nos`, by
//! our own reader, and a counted sample by `sgdisk -v` and `fsck.fat -n`. The proof is itself put
//! to the test: with any one flush taken out of any command, or any two neighbouring phases
//! swapped, it must fail.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

#[path = "../common/mod.rs"]
mod common;
mod firmware;
mod inside;
mod judge;
mod replay;

use common::*;
use judge::{Case, Judge};
use nos_disk::{BlockDevice, Disk, InstallOptions, MemoryDevice, Operation, RecordingDevice};

const SECTOR_SIZES: [u32; 2] = [512, 4096];

/// A disk with generations 1 and 2; 2 boots.
fn two_generations(sector_size: u32) -> MemoryDevice {
    let size = if sector_size == 4096 {
        26 << 20
    } else {
        9 << 20
    };
    let mut device = disk_with(sector_size, size, &systems()[0]);
    install(&mut device, &systems()[1]).unwrap();
    device
}

/// Systems by number − 1. Each has an image of its own and one that all share.
fn systems() -> Vec<System> {
    let shared = image("shared", 100, 3);
    (1..=4)
        .map(|n| {
            system(
                n,
                5000,
                vec![image("own", n, 2 + n as usize), shared.clone()],
            )
        })
        .collect()
}

type Change = Box<dyn Fn(&mut dyn BlockDevice)>;

/// A change that is made from outside.
fn outside(change: impl Fn(&mut Disk<'_>) + 'static) -> Change {
    Box::new(move |device| change(&mut Disk::open(device).unwrap()))
}

/// Every command, with a disk that it is applied to.
fn commands(sector_size: u32) -> Vec<(&'static str, MemoryDevice, Change)> {
    let two = || two_generations(sector_size);
    let four = || {
        let mut device = two();
        install(&mut device, &systems()[2]).unwrap();
        install(&mut device, &systems()[3]).unwrap();
        device
    };
    let full_folder = || {
        // Three records for each entry, five entries to a sector, four beside `.` and `..`: the
        // next one needs a new cluster. With sectors of 4096 no folder ever fills.
        let mut device = two();
        for _ in 2..4 + 5 + 5 + 5 {
            install(&mut device, &systems()[1]).unwrap();
        }
        device
    };
    let add = |system: usize, trial: bool| -> Change {
        outside(move |disk| {
            let system = systems()[system].clone();
            disk.install(&system.source(), InstallOptions { trial }, &mut quiet)
                .unwrap();
        })
    };
    let mut commands = vec![
        ("install", two(), add(2, false)),
        ("install-trial", two(), add(2, true)),
        ("install-known-system", two(), add(0, false)),
        ("install-growing-folder", full_folder(), add(2, false)),
        (
            "switch",
            two(),
            outside(|disk| drop(disk.switch(1).unwrap())),
        ),
        (
            "rollback",
            four(),
            outside(|disk| drop(disk.rollback().unwrap())),
        ),
        (
            "trial",
            two(),
            outside(|disk| drop(disk.set_trial(Some(1)).unwrap())),
        ),
        (
            "remove",
            two(),
            outside(|disk| drop(disk.remove(1).unwrap())),
        ),
        ("gc", four(), outside(|disk| drop(disk.gc(1).unwrap()))),
    ];
    commands.extend(inside::commands(&two()));
    commands
}

/// Applies a change and gives what it did to the device.
fn record(device: &MemoryDevice, change: &Change) -> (MemoryDevice, Vec<Operation>) {
    let mut recording = RecordingDevice::new(device.clone());
    change(&mut recording);
    recording.into_parts()
}

fn case(before: &MemoryDevice, change: &Change) -> Case {
    let (after, operations) = record(before, change);
    Case::new(before.clone(), after, operations, systems())
}

#[test]
fn every_crash_state_is_old_or_new() {
    for sector_size in SECTOR_SIZES {
        for (name, before, change) in commands(sector_size) {
            let case = case(&before, &change);
            let mut judge = Judge::new(&case);
            let visited = case
                .visit(&case.operations, 0, &mut judge)
                .unwrap_or_else(|why| panic!("{name} with sectors of {sector_size}: {why}"));
            println!(
                "{name:24} {sector_size:5}: {:5} states, {:5} torn, {:4} cleared up after, {:6} \
                 second cuts, {:3} shown to outside tools, 0 bad",
                visited.states, visited.torn, judge.recovered, judge.second, judge.outside
            );
        }
    }
}

#[test]
fn without_any_one_flush_the_proof_fails() {
    for sector_size in SECTOR_SIZES {
        for (name, before, change) in commands(sector_size) {
            let case = case(&before, &change);
            let flushes = case.operations.iter().enumerate();
            let flushes: Vec<usize> = flushes
                .filter(|(_, o)| **o == Operation::Flush)
                .map(|(index, _)| index)
                .collect();
            for (which, flush) in flushes.iter().enumerate() {
                let mut operations = case.operations.clone();
                operations.remove(*flush);
                let mut judge = Judge::quick(&case);
                let result = case.visit(&operations, which, &mut judge);
                assert!(
                    result.is_err(),
                    "{name} with sectors of {sector_size} needs no flush {which} of {}",
                    flushes.len()
                );
            }
        }
    }
}

#[test]
fn with_two_phases_swapped_the_proof_fails() {
    for sector_size in SECTOR_SIZES {
        for (name, before, change) in commands(sector_size) {
            let case = case(&before, &change);
            let phases: Vec<&[Operation]> = case
                .operations
                .split_inclusive(|o| *o == Operation::Flush)
                .collect();
            for a in 0..phases.len() {
                for b in a + 1..phases.len() {
                    let mut phases = phases.clone();
                    phases.swap(a, b);
                    let mut judge = Judge::quick(&case);
                    let result = case.visit(&phases.concat(), a, &mut judge);
                    assert!(
                        result.is_err(),
                        "{name}, {sector_size}: phases {a} and {b} can swap"
                    );
                }
            }
        }
    }
}

/// When the device fails at any one write or flush, the command says so, the disk boots what it
/// booted before (or already the new one, where only the last flush failed), and the same command
/// succeeds once the device works again.
#[test]
fn a_device_that_fails_at_any_write_loses_nothing() {
    for (name, before, change) in failing_commands(512) {
        let (_, operations) = record(&before, &outside(move |disk| change(disk).unwrap()));
        let (_, _, change) = failing_commands(512)
            .into_iter()
            .find(|c| c.0 == name)
            .unwrap();
        for failing in 0..operations.len() {
            let mut device = RecordingDevice::fail_after(before.clone(), failing);
            let result = Disk::open(&mut device)
                .map(|mut disk| change(&mut disk))
                .unwrap();
            assert!(
                result.is_err(),
                "{name}: operation {failing} failed and nobody noticed"
            );
            let (mut device, _) = device.into_parts();
            let boots = summary(&mut device).1;
            assert!(
                boots == Some(2) || failing + 1 == operations.len(),
                "{name} {failing}"
            );
            change(&mut Disk::open(&mut device).unwrap()).unwrap();
            everything_is_clean(&mut device);
        }
    }
}

type FailingChange = Box<dyn Fn(&mut Disk<'_>) -> Result<(), nos_disk::Error>>;

fn failing_commands(sector_size: u32) -> Vec<(&'static str, MemoryDevice, FailingChange)> {
    let before = two_generations(sector_size);
    vec![
        (
            "install",
            before.clone(),
            Box::new(|disk| {
                let system = systems()[2].clone();
                let options = InstallOptions::default();
                disk.install(&system.source(), options, &mut quiet)
                    .map(drop)
            }),
        ),
        (
            "switch",
            before.clone(),
            Box::new(|disk| disk.switch(1).map(drop)),
        ),
        ("gc", before, Box::new(|disk| disk.gc(1).map(drop))),
    ]
}
