//! Judging a state of a disk.

use crate::common::*;
use crate::firmware::{self, Booted};
use crate::replay::{self, Crash, Visited};
use nos_disk::{Disk, Finding, GenerationInfo, MemoryDevice, Operation, Pointer, RecordingDevice};
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, HashSet};

/// A command applied to a disk.
pub(crate) struct Case {
    pub(crate) before: MemoryDevice,
    pub(crate) operations: Vec<Operation>,
    sector_size: u32,
    /// What boots, and the generations, before and after.
    old: Expected,
    new: Expected,
    systems: Vec<System>,
    /// Offset of the pointer's sector.
    pointer: u64,
}

/// What must be found, old or new.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Expected {
    booted: Booted,
    pointer: Pointer,
    generations: Vec<GenerationInfo>,
}

impl Expected {
    fn of(device: &MemoryDevice) -> Self {
        let mut device = device.clone();
        let sector_size = device.sector_size_usize();
        let booted = firmware::boot(device.bytes_mut(), sector_size).unwrap();
        let disk = Disk::open(&mut device).unwrap();
        Self {
            booted,
            pointer: *disk.pointer(),
            generations: disk.generations(),
        }
    }
}

trait SectorSize {
    fn sector_size_usize(&self) -> usize;
}

impl SectorSize for MemoryDevice {
    fn sector_size_usize(&self) -> usize {
        nos_disk::BlockDevice::sector_size(self) as usize
    }
}

impl Case {
    pub(crate) fn new(
        before: MemoryDevice,
        after: MemoryDevice,
        operations: Vec<Operation>,
        systems: Vec<System>,
    ) -> Self {
        let needle = b"# nOs: which generation boots.";
        let pointer = before
            .bytes()
            .windows(needle.len())
            .position(|w| w == needle)
            .unwrap();
        Self {
            sector_size: before.sector_size_usize() as u32,
            old: Expected::of(&before),
            new: Expected::of(&after),
            before,
            operations,
            systems,
            pointer: pointer as u64,
        }
    }

    /// Visits every state that cutting `operations` off can leave, from the segment `from` on.
    pub(crate) fn visit(
        &self,
        operations: &[Operation],
        from: usize,
        judge: &mut Judge<'_>,
    ) -> Result<Visited, String> {
        let segments = replay::segments(operations, self.sector_size as usize);
        let mut disk = self.before.bytes().to_vec();
        // The pointer and the primary header may tear at any byte.
        let header = u64::from(self.sector_size);
        let decides = |offset| offset == self.pointer || offset == header;
        replay::visit_all(&mut disk, &segments, from, &decides, &mut |disk, crash| {
            judge.judge(disk, crash)
        })
    }

    /// The content of every image that the systems have, by PARTUUID as stored.
    fn images(&self) -> BTreeMap<[u8; 16], &[u8]> {
        let images = self.systems.iter().flat_map(|system| &system.images);
        images
            .map(|(image, bytes)| {
                let guid: nos_formats::gpt::Guid = image.part_uuid().unwrap().parse().unwrap();
                (guid.0, bytes.as_slice())
            })
            .collect()
    }

    fn kernels(&self) -> BTreeMap<[u8; 32], &System> {
        self.systems
            .iter()
            .map(|system| (Sha256::digest(&system.uki).into(), system))
            .collect()
    }
}

/// Judges states of one case and counts.
pub(crate) struct Judge<'a> {
    case: &'a Case,
    images: BTreeMap<[u8; 16], &'a [u8]>,
    kernels: BTreeMap<[u8; 32], &'a System>,
    seen: HashSet<[u8; 32]>,
    /// Not there for a judge that only looks at each state.
    sample: Option<Sample>,
    /// States from which the next command was carried out.
    pub(crate) recovered: usize,
    /// States that a second cut during that command can leave.
    pub(crate) second: usize,
    /// States shown to outside tools.
    pub(crate) outside: usize,
}

/// Bytes at either end of a disk that hold partition tables.
const TABLES: usize = 64 << 10;

/// Of how many distinct states one is taken to try the next command on, one of those to cut that
/// command off as well, and one to show to outside tools.
struct Sample {
    recover: usize,
    second: usize,
    outside: usize,
}

/// What `cargo test` does; with `NOS_CRASH=full` in the environment many times as much.
const USUAL: Sample = Sample {
    recover: 29,
    second: 29 * 9,
    outside: 97,
};
const FULL: Sample = Sample {
    recover: 1,
    second: 5,
    outside: 23,
};

impl<'a> Judge<'a> {
    /// With recovery and outside tools.
    pub(crate) fn new(case: &'a Case) -> Self {
        Self {
            images: case.images(),
            kernels: case.kernels(),
            case,
            seen: HashSet::new(),
            sample: Some(if std::env::var_os("NOS_CRASH").is_some() {
                FULL
            } else {
                USUAL
            }),
            recovered: 0,
            second: 0,
            outside: 0,
        }
    }

    /// Only what needs one look at the state.
    pub(crate) fn quick(case: &'a Case) -> Self {
        Self {
            sample: None,
            ..Self::new(case)
        }
    }

    fn judge(&mut self, disk: &mut Vec<u8>, crash: &Crash<'_>) -> Result<(), String> {
        let mut key = Sha256::new();
        for (offset, bytes) in &crash.changes {
            key.update(offset.to_le_bytes());
            key.update(bytes);
        }
        key.update([u8::from(crash.returned)]);
        // What is durable differs from segment to segment; the primary table tells them apart
        // well enough, being part of what is hashed only when it changes.
        key.update(&disk[..self.case.sector_size as usize * 2]);
        key.update(&disk[self.case.pointer as usize..][..self.case.sector_size as usize]);
        if !self.seen.insert(key.finalize().into()) {
            return Ok(());
        }
        let booted = self.power_on(disk, crash)?;
        self.our_reader(disk, crash, &booted)?;
        if let Some(sample) = &self.sample {
            let number = self.seen.len();
            if number.is_multiple_of(sample.recover) {
                let second = number.is_multiple_of(sample.second);
                self.second += self.next_command(disk, second)?;
                self.recovered += 1;
            }
            if number.is_multiple_of(sample.outside) {
                self.outside_tools(disk)?;
                self.outside += 1;
            }
        }
        Ok(())
    }

    /// The machine boots the old or the new generation, whole, and offers no other that is not.
    fn power_on(&self, disk: &mut [u8], crash: &Crash<'_>) -> Result<Booted, String> {
        self.in_place(disk, |disk| self.boot(disk, crash))
    }

    /// Lets the firmware change the disk and takes its changes back. It repairs the sectors of
    /// the tables and nothing else.
    fn in_place<T>(&self, disk: &mut [u8], run: impl FnOnce(&mut [u8]) -> T) -> T {
        let tail = disk.len() - TABLES;
        let saved = (disk[..TABLES].to_vec(), disk[tail..].to_vec());
        let result = run(disk);
        disk[..TABLES].copy_from_slice(&saved.0);
        disk[tail..].copy_from_slice(&saved.1);
        result
    }

    fn boot(&self, disk: &mut [u8], crash: &Crash<'_>) -> Result<Booted, String> {
        let booted = firmware::boot(disk, self.case.sector_size as usize)?;
        let (old, new) = (&self.case.old.booted, &self.case.new.booted);
        let is = |expected: &Booted| booted.entry == expected.entry && booted.uki == expected.uki;
        if !is(new) && (crash.returned || !is(old)) {
            return Err(format!(
                "it boots {} with {:02x?}",
                booted.entry,
                &booted.uki[..4]
            ));
        }
        let system = self
            .kernels
            .get(&booted.uki)
            .ok_or("an unknown kernel image boots")?;
        for (image, bytes) in &system.images {
            let guid: nos_formats::gpt::Guid = image.part_uuid().unwrap().parse().unwrap();
            let (start, _) = booted
                .partitions
                .get(&guid.0)
                .ok_or_else(|| format!("image {} of what boots is missing", image.name))?;
            if &disk[*start as usize..][..bytes.len()] != bytes.as_slice() {
                return Err(format!("image {} of what boots is damaged", image.name));
            }
        }
        // A later install trusts every image that the table names.
        for (guid, (start, _)) in &booted.partitions {
            let Some(bytes) = self.images.get(guid) else {
                continue;
            };
            if &disk[*start as usize..][..bytes.len()] != *bytes {
                return Err("the partition table names an image that is not whole".into());
            }
        }
        if booted.menu != old.menu && booted.menu != new.menu {
            // Several entries may vanish in any order; none may appear that is neither.
            let known = |name: &String| old.menu.contains(name) || new.menu.contains(name);
            let keeps = new.menu.iter().filter(|name| old.menu.contains(name));
            if !booted.menu.iter().all(known) || !keeps.clone().all(|n| booted.menu.contains(n)) {
                return Err(format!("the menu offers {:?}", booted.menu));
            }
        }
        Ok(booted)
    }

    /// `nos` reads the disk, agrees with the firmware, and finds every listed generation whole.
    fn our_reader(
        &self,
        disk: &mut Vec<u8>,
        crash: &Crash<'_>,
        booted: &Booted,
    ) -> Result<(), String> {
        let bytes = std::mem::take(disk);
        let mut device = MemoryDevice::from_bytes(bytes, self.case.sector_size);
        let result = self.read(&mut device, crash, booted);
        *disk = std::mem::take(device.bytes_mut());
        result
    }

    fn read(
        &self,
        device: &mut MemoryDevice,
        crash: &Crash<'_>,
        booted: &Booted,
    ) -> Result<(), String> {
        let opened = Disk::open(device).map_err(|error| format!("nos says: {error}"))?;
        let generations = opened.generations();
        for generation in &generations {
            if let Some(why) = &generation.broken {
                return Err(format!("generation {}: {why}", generation.number));
            }
        }
        let current = generations.iter().find(|generation| generation.current);
        if current.map(|generation| &generation.entry) != Some(&booted.entry) {
            return Err(format!("nos says {current:?} boots, {} does", booted.entry));
        }
        let listed = |number: &u32| generations.iter().any(|g| g.number == *number);
        if let Some(fields) = opened.pointer().fields {
            let named = [Some(fields.current), fields.trial.map(|t| t.name.number)];
            if let Some(number) = named.iter().flatten().find(|number| !listed(number)) {
                return Err(format!(
                    "the pointer names generation {number}, which is not there"
                ));
            }
        }
        let leftovers = || opened.has_leftovers().map_err(|error| error.to_string());
        if crash.returned && leftovers()? {
            return Err("the command has returned and left something behind".into());
        }
        if crash.returned && *opened.pointer() != self.case.new.pointer {
            return Err("the command has returned and the pointer says something else".into());
        }
        if crash.returned && generations != self.case.new.generations {
            return Err(format!(
                "the command has returned and nos sees {generations:?}"
            ));
        }
        let report = opened
            .verify_structure()
            .map_err(|error| error.to_string())?;
        // A backup table that is being written is the one thing that may be broken.
        let bad = report
            .findings
            .iter()
            .find(|finding| !matches!(finding, Finding::Leftover { .. } | Finding::Table { .. }));
        match bad {
            Some(finding) => Err(format!("nos verify says: {finding:?}")),
            None => Ok(()),
        }
    }

    /// After the cut and a boot, the next command succeeds and leaves a clean disk; and a second
    /// cut, anywhere in its clearing up, changes nothing about what boots.
    fn next_command(&self, disk: &[u8], cut_off: bool) -> Result<usize, String> {
        let mut bytes = disk.to_vec();
        let sector_size = self.case.sector_size;
        let booted = firmware::boot(&mut bytes, sector_size as usize)?;
        let mut device = RecordingDevice::new(MemoryDevice::from_bytes(bytes.clone(), sector_size));
        let mut opened = Disk::open(&mut device).map_err(|error| error.to_string())?;
        opened
            .gc(usize::MAX)
            .map_err(|error| format!("cleaning up: {error}"))?;
        if opened.has_leftovers().map_err(|error| error.to_string())? {
            return Err("something is left after cleaning up".into());
        }
        let report = opened
            .verify(&mut quiet)
            .map_err(|error| error.to_string())?;
        if !report.findings.is_empty() {
            return Err(format!("after cleaning up: {:?}", report.findings));
        }
        if !cut_off {
            return Ok(0);
        }
        let (_, operations) = device.into_parts();
        let segments = replay::segments(&operations, sector_size as usize);
        let visited = replay::visit_all(&mut bytes, &segments, 0, &|_| false, &mut |disk, _| {
            let again = self.in_place(disk, |disk| firmware::boot(disk, sector_size as usize))?;
            if (&again.entry, &again.uki) != (&booted.entry, &booted.uki) {
                return Err(format!("after a second cut {} boots", again.entry));
            }
            Ok(())
        });
        Ok(visited.map_err(|why| format!("second cut: {why}"))?.states)
    }

    /// `sgdisk` and `fsck.fat` find nothing but what a cut may leave.
    fn outside_tools(&self, disk: &[u8]) -> Result<(), String> {
        let mut bytes = disk.to_vec();
        firmware::boot(&mut bytes, self.case.sector_size as usize)?;
        let mut device = MemoryDevice::from_bytes(bytes, self.case.sector_size);
        let esp = esp(&mut device);
        if let Some((_, text)) = tool(&esp, "fsck.fat", &["-n", "DISK"]) {
            let harmless = [
                "fsck.fat ",
                "FATs differ",
                "Reclaimed ",
                "DISK: ",
                "Leaving filesystem",
                "Free cluster summary wrong",
                "  Auto-correcting",
                "Using first FAT",
                "1) ",
                "2) ",
                "No automatic",
                "Filesystem has",
            ];
            let bad = text
                .lines()
                .filter(|line| !line.trim().is_empty())
                .find(|line| {
                    !harmless
                        .iter()
                        .any(|start| line.trim().starts_with(start.trim()))
                });
            if let Some(line) = bad {
                return Err(format!("fsck.fat says: {line}\n{text}"));
            }
        }
        if self.case.sector_size == 512
            && let Some((_, text)) = tool(device.bytes(), "sgdisk", &["-v", "DISK"])
        {
            let stale = text.contains("partition table") && text.contains("doesn't match");
            if !text.contains("No problems found") && !stale && !text.contains("Identified") {
                return Err(format!("sgdisk says:\n{text}"));
            }
        }
        Ok(())
    }
}
