//! The proof that a disk cannot be broken: every state that a power cut can leave, of every
//! command, boots what booted before or what was asked for.
//!
//! Each state is judged by a model of firmware and boot loader that shares no code with `nos`, by
//! our own reader, and a counted sample by `sgdisk -v` and `fsck.fat -n`. The proof is itself put
//! to the test: with any one flush taken out of any command, or any two neighbouring phases
//! swapped, it must fail.
//!
//! `cargo test` visits what takes seconds. Everything is visited, and counted in a table, by
//!
//! ```text
//! cargo test --release -p nos-disk --test crash -- --ignored --nocapture full
//! ```
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that cannot go on should stop"
)]

mod commands;
#[path = "../common/mod.rs"]
mod common;
mod cow;
mod failing;
mod firmware;
mod flash;
mod inside;
mod judge;
mod replay;

use commands::{Command, FAT16_512, FAT16_4096, FAT32_512, FAT32_4096, Kind, commands};
use judge::{Case, Counts, Judge, Sample};
use nos_disk::{BlockDevice, Operation};
use replay::{Effort, Visited};
use rustix::time::{ClockId, clock_gettime};
use std::sync::Mutex;
use std::thread;
use std::time::Instant;

/// A command as it is applied to a device.
pub(crate) type Change = Box<dyn Fn(&mut dyn BlockDevice) -> Result<(), nos_disk::Error> + Send>;

/// What `cargo test` does.
const USUAL: (Effort, Sample) = (
    Effort {
        all_subsets: 9,
        drawn: 100,
        torn: 6,
    },
    Sample {
        recover: 17,
        second: 17 * 7,
        outside: 149,
        effort: Effort {
            all_subsets: 6,
            drawn: 20,
            torn: 2,
        },
    },
);

/// Everything that can be visited in minutes.
const FULL: (Effort, Sample) = (
    Effort {
        all_subsets: 13,
        drawn: 4000,
        torn: usize::MAX,
    },
    Sample {
        recover: 1,
        second: 1,
        outside: 199,
        effort: Effort {
            all_subsets: 9,
            drawn: 100,
            torn: usize::MAX,
        },
    },
);

/// For a look at each state and nothing more.
const QUICK: (Effort, Sample) = (
    Effort {
        all_subsets: 8,
        drawn: 60,
        torn: 1,
    },
    Sample {
        recover: 0,
        second: 0,
        outside: 0,
        effort: USUAL.1.effort,
    },
);

/// Every command on every one of these kinds of disk.
fn all(kinds: &[Kind]) -> Vec<(Kind, Command)> {
    let of = |kind: &Kind| {
        let kind = *kind;
        commands(kind)
            .into_iter()
            .map(move |command| (kind, command))
    };
    kinds.iter().flat_map(of).collect()
}

/// Does something with each command, on two processors.
fn each<T: Send>(
    commands: Vec<(Kind, Command)>,
    work: impl Fn(Kind, &Command) -> T + Sync,
) -> Vec<(Kind, &'static str, T)> {
    let waiting = Mutex::new(commands.into_iter().enumerate());
    let done = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                loop {
                    let next = waiting.lock().unwrap().next();
                    let Some((index, (kind, command))) = next else {
                        break;
                    };
                    let result = work(kind, &command);
                    done.lock()
                        .unwrap()
                        .push((index, kind, command.name, result));
                }
            });
        }
    });
    let mut done = done.into_inner().unwrap();
    done.sort_by_key(|(index, ..)| *index);
    done.into_iter()
        .map(|(_, kind, name, result)| (kind, name, result))
        .collect()
}

/// Visits the states of every command and prints how many there were, each command when it is done.
fn prove(kinds: &[Kind], (effort, sample): (Effort, Sample)) {
    println!(
        "{:24} {:>10} {:>8} {:>8} {:>9} {:>9} {:>9} {:>8} {:>4} {:>6}",
        "command",
        "disk",
        "states",
        "torn",
        "recovered",
        "2nd cuts",
        "distinct",
        "outside",
        "bad",
        "cpu s"
    );
    let began = Instant::now();
    let results = each(all(kinds), |kind, command| {
        let before = cpu_seconds(ClockId::ThreadCPUTime);
        let case = Case::new(command);
        let segments = replay::segments(&case.operations, kind.sector_size as usize);
        let mut judge = Judge::new(&case, sample);
        let visited = case.visit(&segments, 0, effort, &mut judge);
        let counts = judge.counts;
        let result = visited.map(|Visited { states, torn }| {
            let Counts {
                recovered,
                second,
                distinct,
                outside,
            } = counts;
            [states, torn, recovered, second, distinct, outside]
        });
        let took = cpu_seconds(ClockId::ThreadCPUTime) - before;
        print_row(command.name, &kind.to_string(), &result, took);
        result
    });
    let mut total = [0; 6];
    let mut bad = Vec::new();
    for (kind, name, result) in results {
        match result {
            Ok(row) => total.iter_mut().zip(row).for_each(|(sum, n)| *sum += n),
            Err(why) => bad.push(format!("{name} on {kind}: {why}")),
        }
    }
    let took = cpu_seconds(ClockId::ProcessCPUTime);
    print_row("all", "", &Ok(total), took);
    println!(
        "in {:.0} s, {} bad",
        began.elapsed().as_secs_f64(),
        bad.len()
    );
    assert!(bad.is_empty(), "{}", bad.join("\n"));
}

/// Processor time taken so far; by outside tools besides.
fn cpu_seconds(clock: ClockId) -> f64 {
    let now = clock_gettime(clock);
    now.tv_sec as f64 + now.tv_nsec as f64 / 1e9
}

fn print_row(name: &str, kind: &str, row: &Result<[usize; 6], String>, took: f64) {
    let bad = usize::from(row.is_err());
    let [states, torn, recovered, second, distinct, outside] = row.as_ref().map_or([0; 6], |r| *r);
    println!(
        "{name:24} {kind:>10} {states:8} {torn:8} {recovered:9} {second:9} {distinct:9} \
         {outside:8} {bad:4} {took:6.1}"
    );
}

#[test]
fn every_crash_state_is_old_or_new() {
    prove(&[FAT16_512, FAT16_4096, FAT32_512], USUAL);
}

#[test]
#[ignore = "takes minutes; the module's documentation has the command"]
fn full_set() {
    prove(&[FAT16_512, FAT16_4096, FAT32_512, FAT32_4096], FULL);
}

/// Whether the proof fails for a wrong order of operations.
fn is_noticed(case: &Case, operations: &[Operation], from: usize) -> bool {
    let sector_size = case.before.sector_size() as usize;
    let segments = replay::segments_of_wrong(operations, sector_size);
    let mut judge = Judge::new(case, QUICK.1);
    case.visit(&segments, from, QUICK.0, &mut judge).is_err()
}

fn single(kinds: &[Kind]) -> Vec<(Kind, Command)> {
    let mut all = all(kinds);
    all.retain(|(_, command)| command.single);
    all
}

#[test]
fn without_any_one_flush_the_proof_fails() {
    let results = each(single(&[FAT16_512, FAT16_4096, FAT32_512]), |_, command| {
        let case = Case::new(command);
        let flushes = case.operations.iter().enumerate();
        let flushes: Vec<usize> = flushes
            .filter(|(_, o)| **o == Operation::Flush)
            .map(|(index, _)| index)
            .collect();
        let mut missed = Vec::new();
        for (which, flush) in flushes.iter().enumerate() {
            let mut operations = case.operations.clone();
            operations.remove(*flush);
            if !is_noticed(&case, &operations, which) {
                missed.push(which);
            }
        }
        (flushes.len(), missed)
    });
    for (kind, name, (flushes, missed)) in results {
        assert!(flushes > 0, "{name} on {kind} does nothing");
        assert!(
            missed.is_empty(),
            "{name} on {kind} does without {missed:?} of {flushes} flushes"
        );
    }
}

#[test]
fn with_two_phases_swapped_the_proof_fails() {
    let results = each(single(&[FAT16_512, FAT16_4096, FAT32_512]), |_, command| {
        let case = Case::new(command);
        let phases: Vec<&[Operation]> = case
            .operations
            .split_inclusive(|o| *o == Operation::Flush)
            .collect();
        let mut missed = Vec::new();
        for a in 0..phases.len() {
            for b in a + 1..phases.len() {
                let mut phases = phases.clone();
                phases.swap(a, b);
                if !is_noticed(&case, &phases.concat(), a) {
                    missed.push((a, b));
                }
            }
        }
        missed
    });
    for (kind, name, missed) in results {
        assert!(missed.is_empty(), "{name} on {kind}: {missed:?} can swap");
    }
}
