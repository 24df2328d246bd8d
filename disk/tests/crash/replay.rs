//! Every state that a disk can be in when the power fails.
//!
//! The record of a change is cut at its flushes into segments. What lies before the last flush
//! that happened is durable; of the segment after it any part may be, since the medium writes in
//! its own order. The smallest part is a sector, of which at most one is torn: a prefix or a
//! suffix of it is new. Within a segment no two writes touch the same sector (that is asserted), so
//! the order of a set of writes changes nothing and sets are all there is to visit. Sectors that are
//! written as they were make no state of their own.

use crate::cow::{CowDevice, Sector};
use nos_disk::Operation;
use std::collections::{BTreeMap, BTreeSet};

/// Sectors that are written between two flushes: offset and new content.
pub(crate) type Segment = BTreeMap<u64, Sector>;

/// How much of what there is to visit is visited.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Effort {
    /// Up to so many sectors, every set of them.
    pub(crate) all_subsets: usize,
    /// Beyond that, so many sets by a seeded draw, besides the regular ones.
    pub(crate) drawn: usize,
    /// Of a segment's sectors that decide nothing, about so many are torn.
    pub(crate) torn: usize,
}

/// Cuts a record at its flushes. The last segment is what was written after the last flush.
pub(crate) fn segments(operations: &[Operation], sector_size: usize) -> Vec<Segment> {
    cut(operations, sector_size, true)
}

/// The same for a record that was changed on purpose: where a sector is written twice between two
/// flushes then, the later content counts.
pub(crate) fn segments_of_wrong(operations: &[Operation], sector_size: usize) -> Vec<Segment> {
    cut(operations, sector_size, false)
}

fn cut(operations: &[Operation], sector_size: usize, once: bool) -> Vec<Segment> {
    let mut segments = vec![Segment::new()];
    for operation in operations {
        match operation {
            Operation::Flush => segments.push(Segment::new()),
            Operation::Write { offset, data } => {
                let segment = segments.last_mut().unwrap();
                for (index, bytes) in data.chunks(sector_size).enumerate() {
                    let offset = offset + (index * sector_size) as u64;
                    let before = segment.insert(offset, Sector::new(offset, bytes));
                    assert!(
                        before.is_none() || !once,
                        "byte {offset} is written twice between two flushes"
                    );
                }
            }
        }
    }
    segments
}

/// What is known of a state besides the disk.
pub(crate) struct Crash {
    /// Whether everything of the record is durable or at least the operation has returned.
    pub(crate) returned: bool,
    /// Whether a sector is torn.
    pub(crate) torn: bool,
}

/// Judges the disk in a state; the error says what is bad.
pub(crate) type Visit<'a> = &'a mut dyn FnMut(&CowDevice, &Crash) -> Result<(), String>;

/// Counts of what was visited.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Visited {
    pub(crate) states: usize,
    pub(crate) torn: usize,
}

/// Calls `visit` with every state of a recorded change, from the segment `from` on. `disk` is the
/// disk before it, and the disk after it when this returns.
pub(crate) fn visit_all(
    disk: &mut CowDevice,
    segments: &[Segment],
    from: usize,
    effort: Effort,
    decides: &dyn Fn(u64) -> bool,
    visit: Visit<'_>,
) -> Result<Visited, String> {
    let mut visited = Visited::default();
    for (index, segment) in segments.iter().enumerate() {
        if index >= from {
            let crash = |torn| Crash {
                returned: index + 1 == segments.len(),
                torn,
            };
            let changes: Vec<(u64, &Sector)> = segment
                .iter()
                .map(|(offset, sector)| (*offset, sector))
                .filter(|(offset, sector)| !disk.holds(*offset, &sector.bytes))
                .collect();
            for subset in subsets(changes.len(), index as u64, effort) {
                visited.states += 1;
                let state = with(disk, subset.iter().map(|n| changes[*n]));
                visit(&state, &crash(false))
                    .map_err(|why| format!("segment {index}, sectors {subset:?}: {why}"))?;
            }
            visited.torn += torn(disk, &changes, effort, decides, &mut |state| {
                visit(state, &crash(true))
            })
            .map_err(|why| format!("segment {index}, {why}"))?;
        }
        for (offset, sector) in segment {
            disk.put(*offset, sector);
        }
    }
    visited.states += 1;
    let crash = Crash {
        returned: true,
        torn: false,
    };
    visit(disk, &crash).map_err(|why| format!("at the end: {why}"))?;
    Ok(visited)
}

/// Visits the states in which one sector is torn.
fn torn(
    disk: &CowDevice,
    changes: &[(u64, &Sector)],
    effort: Effort,
    decides: &dyn Fn(u64) -> bool,
    visit: &mut dyn FnMut(&CowDevice) -> Result<(), String>,
) -> Result<usize, String> {
    let mut count = 0;
    let step = changes.len().div_ceil(effort.torn).max(1);
    for (torn, (offset, new)) in changes.iter().enumerate() {
        let (offset, every_byte) = (*offset, decides(*offset));
        if !every_byte && torn % step != 0 {
            continue;
        }
        let old = disk.bytes(offset, new.bytes.len());
        let others: Vec<usize> = (0..changes.len()).filter(|n| *n != torn).collect();
        for cut in cuts(&old, &new.bytes, every_byte) {
            let halves = [0..cut, cut..old.len()].map(|part| {
                let mut mixed = old.clone();
                mixed[part.clone()].copy_from_slice(&new.bytes[part]);
                Sector::new(offset, &mixed)
            });
            for subset in torn_subsets(others.len(), every_byte, effort) {
                for half in &halves {
                    let beside = subset.iter().map(|n| changes[others[*n]]);
                    count += 1;
                    visit(&with(disk, beside.chain([(offset, half)])))
                        .map_err(|why| format!("byte {offset} torn at {cut}: {why}"))?;
                }
            }
        }
    }
    Ok(count)
}

fn with<'s>(disk: &CowDevice, changes: impl Iterator<Item = (u64, &'s Sector)>) -> CowDevice {
    let mut state = disk.clone();
    changes.for_each(|(offset, sector)| state.put(offset, sector));
    state
}

/// Sets of sectors that became durable: all of them where that is feasible, else every prefix,
/// every suffix, each alone, each missing, and a seeded draw.
fn subsets(count: usize, seed: u64, effort: Effort) -> Vec<Vec<usize>> {
    if count <= effort.all_subsets {
        let all = 0..1usize << count;
        return all
            .map(|mask| (0..count).filter(|n| mask >> n & 1 == 1).collect())
            .collect();
    }
    let mut sets: BTreeSet<Vec<usize>> = BTreeSet::new();
    for n in 0..=count {
        sets.insert((0..n).collect());
        sets.insert((n..count).collect());
    }
    for n in 0..count {
        sets.insert(vec![n]);
        sets.insert((0..count).filter(|m| *m != n).collect());
    }
    let mut state = seed * 2 + 1;
    for _ in 0..effort.drawn {
        let set = (0..count).filter(|_| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            state >> 63 == 1
        });
        sets.insert(set.collect());
    }
    sets.into_iter().collect()
}

/// What else may be durable beside a torn sector.
fn torn_subsets(count: usize, decides: bool, effort: Effort) -> Vec<Vec<usize>> {
    if count <= 4 {
        return subsets(count, 0, effort);
    }
    let mut sets = vec![Vec::new(), (0..count).collect()];
    if !decides {
        return sets;
    }
    let step = count.div_ceil(16);
    sets.extend((0..count).step_by(step).map(|n| vec![n]));
    sets.extend((1..count).step_by(step).map(|n| (0..n).collect()));
    sets
}

/// Where a sector may tear: at every byte where old and new differ, for sectors that decide
/// something; else at each 512 bytes.
fn cuts(old: &[u8], new: &[u8], every_byte: bool) -> Vec<usize> {
    if every_byte {
        return (1..old.len())
            .filter(|at| old[at - 1] != new[at - 1] || old[*at] != new[*at])
            .collect();
    }
    (512..old.len())
        .step_by(512)
        .filter(|at| old[..*at] != new[..*at] && old[*at..] != new[*at..])
        .collect()
}
