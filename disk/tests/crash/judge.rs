//! Judging a state of a disk.

use crate::commands::Command;
use crate::common::*;
use crate::cow::CowDevice;
use crate::firmware::{self, Booted};
use crate::replay::{self, Crash, Effort, Visited};
use nos_disk::{
    BlockDevice, Disk, Finding, GenerationInfo, Operation, Pointer, RecordingDevice, repair,
};
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::rc::Rc;

/// A command applied to a disk.
pub(crate) struct Case {
    pub(crate) before: CowDevice,
    pub(crate) operations: Vec<Operation>,
    /// What boots, and the generations, before and after; before, it may be that nothing does.
    old: Result<Look, String>,
    new: Look,
    /// Content of every image that the systems have, by PARTUUID as stored.
    images: BTreeMap<[u8; 16], Vec<u8>>,
    kernels: BTreeMap<[u8; 32], System>,
    /// Offset of the pointer's sector.
    pointer: u64,
    /// What may be said of the disk as long as it is not repaired.
    damage: &'static [&'static str],
}

/// What a look at a state finds.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Look {
    booted: Booted,
    pointer: Option<Pointer>,
    generations: Vec<GenerationInfo>,
    leftovers: bool,
}

impl Case {
    pub(crate) fn new(command: &Command) -> Self {
        let mut recording = RecordingDevice::new(command.before.clone());
        (command.change)(&mut recording).unwrap();
        let (after, operations) = recording.into_parts();
        let systems = systems();
        let images = systems.iter().flat_map(|system| &system.images);
        let uuid = |image: &nos_manifest::Image| image.part_uuid().unwrap().parse().unwrap();
        let mut case = Self {
            pointer: after
                .find_sector(b"# nOs: which generation boots.")
                .unwrap(),
            before: command.before.clone(),
            operations,
            old: Err(String::new()),
            new: Look {
                booted: Booted::default(),
                pointer: None,
                generations: Vec::new(),
                leftovers: false,
            },
            images: images
                .map(|(image, bytes)| {
                    let guid: nos_formats::gpt::Guid = uuid(image);
                    (guid.0, bytes.clone())
                })
                .collect(),
            kernels: systems
                .into_iter()
                .map(|system| (Sha256::digest(&system.uki).into(), system))
                .collect(),
            damage: command.damage,
        };
        case.old = case.look(&command.before);
        case.new = case
            .look(&after)
            .unwrap_or_else(|why| panic!("{}: after it {why}", command.name));
        assert!(!case.new.leftovers, "{} leaves something", command.name);
        case
    }

    /// Visits every state that cutting `operations` off can leave, from the segment `from` on.
    pub(crate) fn visit(
        &self,
        segments: &[replay::Segment],
        from: usize,
        effort: Effort,
        judge: &mut Judge<'_>,
    ) -> Result<Visited, String> {
        let mut disk = self.before.clone();
        // The pointer and the primary header may tear at any byte.
        let header = u64::from(disk.sector_size());
        let decides = |offset| offset == self.pointer || offset == header;
        replay::visit_all(
            &mut disk,
            segments,
            from,
            effort,
            &decides,
            &mut |disk, crash| judge.judge(disk, crash),
        )
    }

    /// The machine is switched on, and `nos` reads the disk: they agree on what boots, all of that
    /// is whole, and so is everything that a table or a menu offers.
    fn look(&self, disk: &CowDevice) -> Result<Look, String> {
        let mut changed = disk.clone();
        let booted = firmware::boot(&mut changed)?;
        self.is_whole(&changed, &booted)?;
        let mut read = disk.clone();
        let opened = Disk::open(&mut read).map_err(|error| format!("nos says: {error}"))?;
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
        let report = opened
            .verify_structure()
            .map_err(|error| error.to_string())?;
        // A table that is being written is the one thing that may be broken: there is another.
        let bad = report
            .findings
            .iter()
            .find(|finding| !matches!(finding, Finding::Leftover { .. } | Finding::Table { .. }));
        if let Some(finding) = bad {
            return Err(format!("nos verify says: {finding}"));
        }
        Ok(Look {
            booted,
            pointer: Some(*opened.pointer()),
            leftovers: opened.has_leftovers().map_err(|error| error.to_string())?,
            generations,
        })
    }

    /// The images of what boots are there, and every image that the table names is whole: a later
    /// install trusts it.
    fn is_whole(&self, disk: &CowDevice, booted: &Booted) -> Result<(), String> {
        let system = self
            .kernels
            .get(&booted.uki)
            .ok_or("an unknown kernel image boots")?;
        for (image, _) in &system.images {
            let guid: nos_formats::gpt::Guid = image.part_uuid().unwrap().parse().unwrap();
            if !booted.partitions.contains_key(&guid.0) {
                return Err(format!("image {} of what boots is missing", image.name));
            }
        }
        for (guid, (start, _)) in &booted.partitions {
            let whole = |bytes: &Vec<u8>| disk.bytes(*start, bytes.len()) == *bytes;
            if !self.images.get(guid).is_none_or(whole) {
                return Err("the partition table names an image that is not whole".into());
            }
        }
        Ok(())
    }

    /// Whether what is found is the old or the new, and nothing between.
    fn is_old_or_new(&self, look: &Look, crash: &Crash) -> Result<(), String> {
        let (booted, new) = (&look.booted, &self.new.booted);
        let is = |expected: &Booted| booted.entry == expected.entry && booted.uki == expected.uki;
        let is_old = self.old.as_ref().is_ok_and(|old| is(&old.booted));
        if !is(new) && (crash.returned || !is_old) {
            return Err(format!(
                "it boots {} with {:02x?}",
                booted.entry,
                &booted.uki[..4]
            ));
        }
        let had_primary = self.old.as_ref().is_ok_and(|old| old.booted.had_primary);
        if had_primary && !booted.had_primary && !crash.torn {
            return Err("there is no good primary partition table".into());
        }
        // Several entries may vanish in any order; none may appear that is neither.
        let old_menu = match &self.old {
            Ok(old) => &old.booted.menu,
            Err(_) => &new.menu,
        };
        let known = |name: &String| old_menu.contains(name) || new.menu.contains(name);
        let mut keeps = new.menu.iter().filter(|name| old_menu.contains(name));
        if !booted.menu.iter().all(known) || !keeps.all(|n| booted.menu.contains(n)) {
            return Err(format!("the menu offers {:?}", booted.menu));
        }
        if crash.returned && look.leftovers {
            return Err("the command has returned and left something behind".into());
        }
        if crash.returned && look.pointer != self.new.pointer {
            return Err("the command has returned and the pointer says something else".into());
        }
        if crash.returned && look.generations != self.new.generations {
            return Err(format!(
                "the command has returned and nos sees {:?}",
                look.generations
            ));
        }
        Ok(())
    }
}

/// Judges states of one case and counts.
pub(crate) struct Judge<'a> {
    case: &'a Case,
    looks: HashMap<u128, Rc<Result<Look, String>>>,
    /// States from which the next command was carried out.
    followed: HashSet<u128>,
    sample: Sample,
    pub(crate) counts: Counts,
}

/// What was done besides looking at every state once.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Counts {
    /// States from which the next command was carried out.
    pub(crate) recovered: usize,
    /// States that a second cut during that command can leave.
    pub(crate) second: usize,
    /// States shown to outside tools.
    pub(crate) outside: usize,
    /// States that differ, first and second cuts together.
    pub(crate) distinct: usize,
}

/// Of how many distinct states one is taken to try the next command on, one of those to cut that
/// command off as well, and one to show to outside tools; 0 for none.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sample {
    pub(crate) recover: usize,
    pub(crate) second: usize,
    pub(crate) outside: usize,
    /// How the states of the second cut are visited.
    pub(crate) effort: Effort,
}

impl<'a> Judge<'a> {
    pub(crate) fn new(case: &'a Case, sample: Sample) -> Self {
        Self {
            case,
            looks: HashMap::new(),
            followed: HashSet::new(),
            sample,
            counts: Counts::default(),
        }
    }

    /// Looks at a state, once for all states that are the same.
    fn look(&mut self, disk: &CowDevice) -> Rc<Result<Look, String>> {
        let look = self.looks.entry(disk.hash());
        look.or_insert_with(|| Rc::new(self.case.look(disk)))
            .clone()
    }

    fn judge(&mut self, disk: &CowDevice, crash: &Crash) -> Result<(), String> {
        match &*self.look(disk) {
            Ok(look) => self.case.is_old_or_new(look, crash)?,
            Err(why) if !crash.returned && self.is_damage(why) => {}
            Err(why) => return Err(why.clone()),
        }
        self.counts.distinct = self.looks.len();
        if self.sample.recover == 0 || !self.followed.insert(disk.hash()) {
            return Ok(());
        }
        let number = self.followed.len();
        let one_of = |every: usize| number == 1 || number.is_multiple_of(every);
        if one_of(self.sample.recover) {
            self.next_command(disk, one_of(self.sample.second))?;
            self.counts.recovered += 1;
        }
        if one_of(self.sample.outside) {
            self.outside_tools(disk)?;
            self.counts.outside += 1;
        }
        self.counts.distinct = self.looks.len();
        Ok(())
    }

    /// Whether this is what the command is there to repair.
    fn is_damage(&self, why: &str) -> bool {
        self.case.damage.iter().any(|part| why.contains(part))
    }

    /// After the cut and a boot, the next command succeeds and leaves a clean disk; and a second
    /// cut, anywhere in its clearing up, changes nothing about what boots.
    fn next_command(&mut self, disk: &CowDevice, cut_off: bool) -> Result<(), String> {
        let mut before = disk.clone();
        let booted = firmware::boot(&mut before).ok();
        let mut device = RecordingDevice::new(before.clone());
        let damaged = Disk::open(&mut device).is_err();
        if damaged {
            repair(&mut device).map_err(|error| format!("repairing: {error}"))?;
        } else {
            let mut opened = Disk::open(&mut device).map_err(|error| error.to_string())?;
            opened
                .gc(usize::MAX)
                .map_err(|error| format!("cleaning up: {error}"))?;
        }
        let (mut after, operations) = device.into_parts();
        let opened = Disk::open(&mut after).map_err(|error| error.to_string())?;
        if opened.has_leftovers().map_err(|error| error.to_string())? {
            return Err("something is left after cleaning up".into());
        }
        let report = opened
            .verify(&mut quiet)
            .map_err(|error| error.to_string())?;
        // What only another copy can heal stays as it is.
        let mut bad = report.findings.iter().map(ToString::to_string);
        if let Some(finding) = bad.find(|finding| !self.is_damage(finding)) {
            return Err(format!("after cleaning up: {finding}"));
        }
        if !cut_off {
            return Ok(());
        }
        let segments = replay::segments(&operations, disk.sector_size() as usize);
        let effort = self.sample.effort;
        let visited = replay::visit_all(
            &mut before,
            &segments,
            0,
            effort,
            &|_| false,
            &mut |disk, _| match &*self.look(disk) {
                Ok(look) => match &booted {
                    Some(first)
                        if (&look.booted.entry, &look.booted.uki) != (&first.entry, &first.uki) =>
                    {
                        Err(format!("{} boots", look.booted.entry))
                    }
                    _ => Ok(()),
                },
                Err(why) if self.is_damage(why) => Ok(()),
                Err(why) => Err(why.clone()),
            },
        );
        let visited = visited.map_err(|why| format!("after a second cut: {why}"))?;
        self.counts.second += visited.states + visited.torn;
        Ok(())
    }

    /// `sgdisk` and `fsck.fat` find nothing but what a cut may leave.
    fn outside_tools(&self, disk: &CowDevice) -> Result<(), String> {
        let mut disk = disk.clone();
        if firmware::boot(&mut disk).is_err() {
            // Not repaired yet.
            return Ok(());
        }
        let Ok(esp) = esp(&mut disk) else {
            return Ok(());
        };
        if let Some((_, text)) = tool(
            &disk.bytes(esp.start, (esp.end - esp.start) as usize),
            "fsck.fat",
            &["-n", "DISK"],
        ) {
            let harmless = [
                "fsck.fat ",
                "FATs differ",
                "Reclaimed ",
                "DISK: ",
                "Leaving filesystem",
                "Free cluster summary wrong",
                "Auto-correcting",
                "Using first FAT",
                "1) ",
                "2) ",
                "No automatic",
                "Filesystem has",
            ];
            let bad = text
                .lines()
                .map(str::trim)
                .filter(|line| !line.is_empty() && !self.is_damage(line))
                .find(|line| !harmless.iter().any(|start| line.starts_with(start.trim())));
            if let Some(line) = bad {
                return Err(format!("fsck.fat says: {line}\n{text}"));
            }
        }
        if disk.sector_size() == 512
            && let Some((_, text)) = tool(&disk.to_vec(), "sgdisk", &["-v", "DISK"])
        {
            let stale = text.contains("partition table") && text.contains("doesn't match");
            let inside = text.contains("secondary header's self-pointer")
                || text.contains("backup GPT data structures to the end");
            if !text.contains("No problems found")
                && !stale
                && !inside
                && !text.contains("Identified")
            {
                return Err(format!("sgdisk says:\n{text}"));
            }
        }
        Ok(())
    }
}

/// Byte range of the EFI system partition.
fn esp(disk: &mut CowDevice) -> Result<std::ops::Range<u64>, nos_disk::OpenError> {
    let sector = u64::from(disk.sector_size());
    let opened = Disk::open(disk)?;
    let (_, entry) = opened.table().numbered().next().unwrap();
    Ok(entry.first_lba * sector..(entry.last_lba + 1) * sector)
}
