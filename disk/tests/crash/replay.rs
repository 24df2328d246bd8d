//! Every state that a disk can be in when the power fails.
//!
//! The record of a change is cut at its flushes into segments. What lies before the last flush
//! that happened is durable; of the segment after it any part may be, since the medium writes in
//! its own order. The smallest part is a sector, of which at most one is torn: a prefix or a
//! suffix of it is new. Within a segment no two writes touch the same sector, so the order of a
//! set of writes changes nothing and sets are all there is to visit.

use nos_disk::Operation;
use std::collections::{BTreeMap, HashSet};

/// Sectors that are written between two flushes: offset and new content.
pub(crate) type Segment = BTreeMap<u64, Vec<u8>>;

/// More sectors than this are not visited in every combination.
const ALL_SUBSETS: usize = 10;

/// How many sectors of a segment are torn that decide nothing.
const TORN_OF_MANY: usize = 12;

/// How many combinations are drawn where there are too many.
const DRAWN: usize = 400;

/// Cuts a record at its flushes. The last segment is what was written after the last flush.
pub(crate) fn segments(operations: &[Operation], sector_size: usize) -> Vec<Segment> {
    let mut segments = vec![Segment::new()];
    for operation in operations {
        match operation {
            Operation::Flush => segments.push(Segment::new()),
            Operation::Write { offset, data } => {
                let segment = segments.last_mut().unwrap();
                for (index, sector) in data.chunks(sector_size).enumerate() {
                    let offset = offset + (index * sector_size) as u64;
                    // A sector written twice between flushes would need every order as well.
                    // When a flush was taken out on purpose the later write counts.
                    segment.insert(offset, sector.to_vec());
                }
            }
        }
    }
    segments
}

/// A state: which bytes differ from what is durable, and what the operation had done by then.
pub(crate) struct Crash<'a> {
    pub(crate) changes: Vec<(u64, &'a [u8])>,
    /// Whether everything of the record is durable or at least the operation has returned.
    pub(crate) returned: bool,
}

/// Judges the disk in a state; the error says what is bad.
pub(crate) type Visit<'a> = &'a mut dyn FnMut(&mut Vec<u8>, &Crash<'_>) -> Result<(), String>;

/// Counts of what was visited.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Visited {
    pub(crate) states: usize,
    pub(crate) torn: usize,
}

/// Calls `visit` with every state of a recorded change, from the segment `from` on. `disk` is the disk before it, and the
/// disk after it when this returns. `visit` gets the disk in the state, and may change it as a
/// boot would: it is restored.
pub(crate) fn visit_all(
    disk: &mut Vec<u8>,
    segments: &[Segment],
    from: usize,
    decides: &dyn Fn(u64) -> bool,
    visit: Visit<'_>,
) -> Result<Visited, String> {
    let mut visited = Visited::default();
    for (index, segment) in segments.iter().enumerate() {
        if index < from {
            for (offset, bytes) in segment {
                disk[*offset as usize..][..bytes.len()].copy_from_slice(bytes);
            }
            continue;
        }
        let returned = index + 1 == segments.len();
        let sectors: Vec<(u64, &[u8])> = segment
            .iter()
            .map(|(offset, bytes)| (*offset, bytes.as_slice()))
            .collect();
        for subset in subsets(sectors.len(), index as u64) {
            let changes: Vec<_> = subset.iter().map(|n| sectors[*n]).collect();
            visited.states += 1;
            let crash = Crash { changes, returned };
            with_changes(disk, &crash, visit)
                .map_err(|why| format!("segment {index}, sectors {subset:?}: {why}"))?;
        }
        // Of many sectors that decide nothing a few stand for all.
        let step = sectors.len().div_ceil(TORN_OF_MANY);
        for (torn, (offset, bytes)) in sectors.iter().enumerate() {
            if !decides(*offset) && torn % step != 0 {
                continue;
            }
            let old = disk[*offset as usize..][..bytes.len()].to_vec();
            for cut in cuts(&old, bytes, decides(*offset)) {
                let others: Vec<_> = (0..sectors.len())
                    .filter(|n| *n != torn)
                    .map(|n| sectors[n])
                    .collect();
                for subset in torn_subsets(others.len(), decides(*offset)) {
                    for prefix in [true, false] {
                        let mut mixed = old.clone();
                        let part = if prefix { 0..cut } else { cut..bytes.len() };
                        mixed[part.clone()].copy_from_slice(&bytes[part]);
                        let mut changes: Vec<_> = subset.iter().map(|n| others[*n]).collect();
                        changes.push((*offset, &mixed));
                        visited.torn += 1;
                        let crash = Crash { changes, returned };
                        with_changes(disk, &crash, visit).map_err(|why| {
                            format!("segment {index}, byte {offset} torn at {cut}: {why}")
                        })?;
                    }
                }
            }
        }
        for (offset, bytes) in sectors {
            disk[offset as usize..][..bytes.len()].copy_from_slice(bytes);
        }
    }
    let crash = Crash {
        changes: Vec::new(),
        returned: true,
    };
    visited.states += 1;
    with_changes(disk, &crash, visit).map_err(|why| format!("at the end: {why}"))?;
    Ok(visited)
}

/// Lets `visit` see the disk with changes, then takes them back.
fn with_changes(disk: &mut Vec<u8>, crash: &Crash<'_>, visit: Visit<'_>) -> Result<(), String> {
    let range = |(offset, bytes): &(u64, &[u8])| *offset as usize..*offset as usize + bytes.len();
    let saved: Vec<Vec<u8>> = crash
        .changes
        .iter()
        .map(|change| disk[range(change)].to_vec())
        .collect();
    for change in &crash.changes {
        disk[range(change)].copy_from_slice(change.1);
    }
    let result = visit(disk, crash);
    for (change, old) in crash.changes.iter().zip(saved).rev() {
        disk[range(change)].copy_from_slice(&old);
    }
    result
}

/// Sets of sectors that became durable: all of them where that is feasible, else every prefix,
/// every suffix, each alone, each missing, and a seeded draw.
fn subsets(count: usize, seed: u64) -> Vec<Vec<usize>> {
    if count <= ALL_SUBSETS {
        let all = 0..1usize << count;
        return all
            .map(|mask| (0..count).filter(|n| mask >> n & 1 == 1).collect())
            .collect();
    }
    let mut sets: HashSet<Vec<usize>> = HashSet::new();
    let step = count.div_ceil(64);
    for n in (0..=count).step_by(step) {
        sets.insert((0..n).collect());
        sets.insert((n..count).collect());
    }
    for n in (0..count).step_by(step) {
        sets.insert(vec![n]);
        sets.insert((0..count).filter(|m| *m != n).collect());
    }
    let mut state = seed * 2 + 1;
    for _ in 0..DRAWN {
        let set = (0..count).filter(|_| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            state >> 63 == 1
        });
        sets.insert(set.collect());
    }
    let mut sets: Vec<_> = sets.into_iter().collect();
    sets.sort();
    sets
}

/// What else may be durable beside a torn sector.
fn torn_subsets(count: usize, decides: bool) -> Vec<Vec<usize>> {
    if count <= 4 {
        return subsets(count, 0);
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
    (512..old.len()).step_by(512).collect()
}
