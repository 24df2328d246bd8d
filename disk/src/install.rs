//! Adding a generation.

use crate::commit::{OnProgress, Overlay, Phase, flush, forget, read_back};
use crate::create::partition;
use crate::disk::{Disk, State};
use crate::entry::{self, Content, ENTRIES};
use crate::{
    BlockDevice, Error, GenerationSource, ImageSource, Progress, Report, Shortage, image, kernel,
    layout,
};
use nos_formats::fat::{FatError, Problem};
use nos_formats::gpt::{Guid, Table};
use nos_manifest::Image;
use nos_pointer::{Fields, LETTERS, MAX_GENERATIONS, Name, Phase as TrialPhase, Pointer, Trial};
use serde::Serialize;
use std::collections::BTreeSet;
use std::ops::Range;
use std::thread;

/// How a generation is installed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct InstallOptions {
    /// Boot it once and keep booting the current one unless it proves good.
    pub trial: bool,
    /// Read back from the medium what was written, and check it, before a name leads to it. For a
    /// medium that may not hold what it was sent.
    pub read_back: bool,
}

/// What installing a generation would take.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SpacePlan {
    /// Bytes that it takes from the EFI system partition, in whole clusters.
    pub esp_needed: u64,
    /// Bytes free there.
    pub esp_free: u64,
    /// Bytes of images that are not on the disk yet.
    pub images_needed: u64,
    /// Bytes free for images, in all.
    pub images_free: u64,
    /// Images to be written.
    pub images_new: Vec<String>,
    /// What is too small, if anything is.
    pub shortage: Option<Shortage>,
}

/// Everything that an install writes, besides the images themselves.
struct Plan {
    number: u32,
    /// Images to be written, by index in the source, and where.
    copies: Vec<(usize, Range<u64>)>,
    reused: Vec<String>,
    /// Where on the disk the kernel image is to be written; `None` where it is there.
    kernel: Option<Vec<Range<u64>>>,
    /// The phases before the pointer, without the content of images and kernel image.
    phases: Vec<Phase>,
    pointer: Phase,
}

impl Disk<'_> {
    /// What installing `source` would take, and whether there is room.
    ///
    /// # Errors
    /// [`Error::Source`] where the source is not what it says.
    pub fn plan_space(&self, source: &GenerationSource<'_>) -> Result<SpacePlan, Error> {
        check_source(source)?;
        let (state, _) = self.state.recovered(self.device)?;
        let kernel = entry::hex(&source.uki.digest);
        let entry = content(source)?.encode(u32::MAX).len() as u64;
        let volume = &state.volume;
        let mut esp_needed = volume.file_bytes(entry);
        if !state.kernels.contains_key(&kernel) {
            esp_needed += volume.file_bytes(source.uki.size_bytes);
        }
        let new: Vec<&Image> = source
            .images
            .iter()
            .map(|source| &source.image)
            .filter(|image| state.partition_of(image).is_none())
            .collect();
        let sector = u64::from(self.device.sector_size());
        let free = state
            .table
            .free()
            .into_iter()
            .map(|run| (run.end - run.start) * sector);
        let shortage = match Plan::make(self.device, &state, source, InstallOptions::default()) {
            Ok(_) => None,
            Err(Error::Space(shortage)) => Some(shortage),
            Err(error) => return Err(error),
        };
        Ok(SpacePlan {
            esp_needed,
            esp_free: volume.free_bytes(),
            images_needed: new.iter().map(|image| image.size_bytes).sum(),
            images_free: free.sum(),
            images_new: new.iter().map(|image| image.name.clone()).collect(),
            shortage,
        })
    }

    /// Adds the next generation and lets it boot, or try to.
    ///
    /// Until the last write, that of the pointer, the disk boots what it booted before. Images
    /// and kernel image are checked on their way to the disk, and with
    /// [`InstallOptions::read_back`] once more as they came back from it, before anything names
    /// them.
    ///
    /// # Errors
    /// [`Error::Space`] and [`Error::Plan`] before the first write; [`Error::Source`],
    /// [`Error::ReadSource`], [`Error::Io`] and [`Error::ReadBack`] with the old generation still
    /// booting. What was written by then is cleared by the next change.
    pub fn install(
        &mut self,
        source: &GenerationSource<'_>,
        options: InstallOptions,
        progress: OnProgress<'_>,
    ) -> Result<Report, Error> {
        check_source(source)?;
        self.begin()?;
        let (state, recovery) = self.state.recovered(self.device)?;
        let plan = Plan::make(self.device, &state, source, options)?;
        let mut report = Report::default();
        for phase in &recovery {
            phase.run(self.device, &mut report)?;
        }
        let home = state.home().map(|entry| entry.number);
        let boots = if options.trial && home.is_some() {
            home
        } else {
            Some(plan.number)
        };
        plan.rehearse(self.device, &state, boots)?;
        plan.write_content(self.device, source, &mut report, progress)?;
        if options.read_back {
            plan.read_back_content(self.device, source, progress)?;
        }
        plan.commit(self.device, options.read_back, &mut report)?;
        self.refresh()?;
        Ok(report)
    }
}

impl State {
    /// Whether a generation can be added to the disk as this says that it is.
    pub(crate) fn has_room_for(
        &self,
        device: &dyn BlockDevice,
        source: &GenerationSource<'_>,
        options: InstallOptions,
    ) -> Result<bool, Error> {
        match Plan::make(device, self, source, options) {
            Ok(_) => Ok(true),
            Err(Error::Space(_)) => Ok(false),
            Err(error) => Err(error),
        }
    }
}

impl Plan {
    fn make(
        device: &dyn BlockDevice,
        state: &State,
        source: &GenerationSource<'_>,
        options: InstallOptions,
    ) -> Result<Self, Error> {
        let (number, letter) = next_name(state)?;
        let mut table = state.table.clone();
        let (copies, reused) = place_images(state, &mut table, source)?;

        let mut volume = state.volume.clone();
        let kernel = entry::hex(&source.uki.digest);
        let uki_path = entry::uki_path(&kernel);
        let start = state.esp.start;
        let is_there = state.kernels.contains_key(&kernel);
        if !is_there {
            let size = source.uki.size_bytes;
            volume.reserve_file(&uki_path, size).map_err(space)?;
        }
        let extents = volume.extents(&uki_path)?.into_iter();
        let extents = extents.map(|extent| start + extent.start..start + extent.end);
        let extents: Vec<Range<u64>> = extents.collect();
        if is_there && source.uki.differs(device, &extents)? {
            let what = format!("the kernel image \\{uki_path} on the disk is damaged");
            return Err(Error::Layout {
                what: format!("{what}; remove the generations that use it, then install again"),
            });
        }
        let entry_path = format!("{ENTRIES}/{}", entry::file_name(number, letter));
        let text = content(source)?.encode(number);
        volume
            .create_file(&entry_path, text.as_bytes())
            .map_err(space)?;
        let changes = volume.take_changes();

        let mut phases = vec![Phase::default(); 3];
        phases[0].put_all(start, changes.data);
        phases[0].put_all(start, changes.tables);
        if !copies.is_empty() {
            put_table(&mut phases, &mut table)?;
        }
        let mut steps = changes.publish.into_iter();
        if !is_there {
            phases[1].put_all(start, steps.next().unwrap_or_default());
        }
        // The entry appears when what it names is durably there; where all of that was there
        // before, nothing is left to wait for but the entry's own content.
        let entry_phase = if phases[1].is_empty() { 1 } else { 2 };
        phases[entry_phase].put_all(start, steps.next().unwrap_or_default());

        let sector_size = device.sector_size() as usize;
        let point = |pointer: &Pointer| pointer.to_sector(sector_size).unwrap_or_default();
        let (forgotten, pointed) = pointers(state, Name { number, letter }, options);
        if let Some(forgotten) = forgotten {
            phases[0].put(state.pointer_offset, point(&forgotten));
        }
        let mut pointer = Phase::default();
        pointer.put(state.pointer_offset, point(&pointed));
        Ok(Self {
            number,
            copies,
            reused,
            kernel: (!is_there).then_some(extents),
            phases,
            pointer,
        })
    }

    /// Looks at the disk as it will be, before anything of it is written.
    fn rehearse(
        &self,
        device: &dyn BlockDevice,
        before: &State,
        boots: Option<u32>,
    ) -> Result<(), Error> {
        let mut phases: Vec<&Phase> = self.phases.iter().collect();
        phases.push(&self.pointer);
        let overlay = Overlay::new(device, &phases);
        let after = State::read(&overlay)?;
        let wrong = |what: String| Err(Error::Plan { what });
        let mut expected: Vec<u32> = before.entries.iter().map(|entry| entry.number).collect();
        expected.push(self.number);
        let found: Vec<u32> = after.entries.iter().map(|entry| entry.number).collect();
        if found != expected {
            return wrong(format!("generations {found:?}, not {expected:?}"));
        }
        if after.current().map(|entry| entry.number) != boots {
            return wrong("another generation boots".into());
        }
        if let Some(why) = after.why_broken(after.require(self.number)?) {
            return wrong(format!("the new generation would not boot: {why}"));
        }
        let known: BTreeSet<String> = problems(before, device)?;
        let new = problems(&after, &overlay)?;
        match new.difference(&known).next() {
            Some(problem) => wrong(problem.clone()),
            None => Ok(()),
        }
    }

    /// The first phase: everything that no name leads to yet, durable and found to be what the
    /// source says.
    fn write_content(
        &self,
        device: &mut dyn BlockDevice,
        source: &GenerationSource<'_>,
        report: &mut Report,
        progress: OnProgress<'_>,
    ) -> Result<(), Error> {
        report.number = self.number;
        report.images_reused.clone_from(&self.reused);
        report.uki_reused = self.kernel.is_none();
        let (size, digest) = (source.uki.size_bytes, source.uki.digest);
        let reader = source.uki.reader()?;
        thread::scope(|scope| {
            // Takes as long as the rest of the phase; its result is needed at the end of it.
            let check = move || kernel::check(reader, size, digest);
            let check = thread::Builder::new().spawn_scoped(scope, check);
            for (source, place) in self.copies(source) {
                image::copy(device, place, source, report, &mut *progress)?;
                report.images_written.push(source.image.name.clone());
            }
            if let Some(extents) = &self.kernel {
                source.uki.copy(device, extents, report)?;
            }
            for phase in &self.phases[..1] {
                phase.write(device, report)?;
            }
            flush(device, report)?;
            let checked = check.ok().and_then(|check| check.join().ok());
            checked.unwrap_or_else(|| kernel::check(source.uki.reader()?, size, digest))
        })
    }

    /// Reads what the first phase wrote from the medium.
    fn read_back_content(
        &self,
        device: &dyn BlockDevice,
        source: &GenerationSource<'_>,
        progress: OnProgress<'_>,
    ) -> Result<(), Error> {
        forget(device)?;
        let extents = self.kernel.as_deref().unwrap_or_default();
        if let Some(offset) = source.uki.first_difference(device, extents)? {
            let what = "kernel image".to_owned();
            return Err(Error::ReadBack { offset, what });
        }
        for (ImageSource { image, .. }, place) in self.copies(source) {
            read_back_image(device, place, image)?;
            let (done, total) = (image.size_bytes, image.size_bytes);
            progress(&Progress {
                doing: "read back",
                what: image.name.clone(),
                done,
                total,
            });
        }
        Ok(())
    }

    /// The phases that give names, and the pointer.
    fn commit(
        &self,
        device: &mut dyn BlockDevice,
        reads_back: bool,
        report: &mut Report,
    ) -> Result<(), Error> {
        for phase in &self.phases[1..] {
            phase.run(device, report)?;
        }
        if reads_back {
            forget(device)?;
            let phases: Vec<&Phase> = self.phases.iter().collect();
            read_back(device, &phases, "boot files and partition table")?;
        }
        self.pointer.run(device, report)
    }

    /// Images to be written and where.
    fn copies<'s, 'b>(
        &'s self,
        source: &'s GenerationSource<'b>,
    ) -> impl Iterator<Item = (&'s ImageSource<'b>, &'s Range<u64>)> {
        let image = |(index, place): &'s (usize, Range<u64>)| (&source.images[*index], place);
        self.copies.iter().map(image)
    }
}

/// A change of the EFI system partition that there is no room for, as such.
pub(crate) fn space(error: FatError) -> Error {
    match error {
        FatError::Full { needed, free } => Shortage::Esp { needed, free }.into(),
        other => other.into(),
    }
}

/// What the pointer says when a new generation is installed. The first, where there is one, comes
/// before the generation has a name: it forgets what was known of one that had the same letter.
fn pointers(state: &State, new: Name, options: InstallOptions) -> (Option<Pointer>, Pointer) {
    let home = state.home();
    let number = home.map_or(new.number, |entry| entry.number);
    let known = state.pointer.fields.unwrap_or(Fields {
        sequence: 0,
        ..Fields::new(number)
    });
    let mut fields = known.next();
    fields.verdicts.set(new.letter, None);
    let forgotten = (fields.verdicts != known.verdicts).then_some(Pointer {
        letter: state.pointer.letter,
        fields: Some(fields),
    });
    if forgotten.is_some() {
        fields = fields.next();
    }
    let letter = match (options.trial, home) {
        (true, Some(home)) => {
            fields.current = home.number;
            fields.previous = state.previous();
            fields.trial = Some(Trial {
                name: new,
                phase: TrialPhase::Wanted,
                home: home.letter,
            });
            home.letter
        }
        _ => {
            fields.current = new.number;
            fields.previous = home.map(|entry| entry.number);
            fields.trial = None;
            new.letter
        }
    };
    let fields = Some(fields);
    (forgotten, Pointer { letter, fields })
}

/// Puts a changed table into three phases: the array not in use, the header, the backup.
pub(crate) fn put_table(phases: &mut [Phase], table: &mut Table) -> Result<(), Error> {
    table.check()?;
    if !table.has_two_arrays() {
        let what = "a partition begins where the second copy of the partition entries belongs; \
                    write the disk again with `nos flash`";
        return Err(Error::Layout { what: what.into() });
    }
    let sector = u64::from(table.geometry().sector_size);
    table.place = table.place.other();
    table.first_usable = table.first_usable.max(table.array_end());
    phases[0].put(table.array_lba(table.place) * sector, table.encode_array());
    phases[1].put(sector, table.encode_primary());
    put_backup(&mut phases[2], table);
    Ok(())
}

/// Puts the backup table into a phase.
pub(crate) fn put_backup(phase: &mut Phase, table: &Table) {
    let sector = u64::from(table.geometry().sector_size);
    phase.put(table.backup_array_lba() * sector, table.encode_array());
    phase.put(table.backup_lba * sector, table.encode_backup());
}

/// The next generation's number and letter.
fn next_name(state: &State) -> Result<(u32, u8), Error> {
    let mentioned = state.pointer.fields.into_iter().flat_map(|fields| {
        let trial = fields.trial.map(|trial| trial.name.number);
        let reason = fields.reason.map(|reason| reason.number);
        let others = [fields.previous, fields.booted, trial, reason];
        others.into_iter().flatten().chain([fields.current])
    });
    let numbers = state.entries.iter().map(|entry| entry.number);
    let newest = numbers.chain(mentioned).max().unwrap_or(0);
    let number = newest.checked_add(1).ok_or(Shortage::Generations)?;
    let used: BTreeSet<u8> = state.entries.iter().map(|entry| entry.letter).collect();
    let own = LETTERS[newest as usize % MAX_GENERATIONS];
    let letter = std::iter::once(own)
        .chain(LETTERS.iter().copied())
        .find(|letter| !used.contains(letter))
        .ok_or(Shortage::Generations)?;
    Ok((number, letter))
}

/// Images to be copied, by index in the source, and where to.
type Copies = Vec<(usize, Range<u64>)>;

/// Finds each image's partition, or makes one in `table`.
fn place_images(
    state: &State,
    table: &mut Table,
    source: &GenerationSource<'_>,
) -> Result<(Copies, Vec<String>), Error> {
    let unused = table.entries.iter().filter(|entry| entry.is_none()).count();
    let (mut copies, mut reused) = (Vec::new(), Vec::new());
    let is_there = |image: &Image| state.partition_of(image).is_some();
    let new = source
        .images
        .iter()
        .filter(|source| !is_there(&source.image))
        .count();
    if new > unused {
        return Err(Shortage::Partitions {
            needed: new,
            free: unused,
        }
        .into());
    }
    for (index, ImageSource { image, .. }) in source.images.iter().enumerate() {
        if is_there(image) {
            reused.push(image.name.clone());
            continue;
        }
        let number = layout::place(table, image, part_uuid(image)?)?;
        copies.push((index, partition(table, number)?));
    }
    Ok((copies, reused))
}

/// Checks an image on the disk against its root hash.
pub(crate) fn read_back_image(
    device: &dyn BlockDevice,
    place: &Range<u64>,
    image: &Image,
) -> Result<(), Error> {
    let what = format!("image {:?}", image.name);
    let report = image::check(device, place, image, &|_| {}).map_err(|error| Error::Source {
        what: format!("{what}: {error}"),
    })?;
    match report.ranges.first() {
        Some(range) => {
            let offset = place.start + range.blocks.start * 4096;
            Err(Error::ReadBack { offset, what })
        }
        None => Ok(()),
    }
}

/// Checks that a source is what it says, as far as can be seen without reading everything.
pub(crate) fn check_source(source: &GenerationSource<'_>) -> Result<(), Error> {
    let wrong = |what: String| Err(Error::Source { what });
    if source.uki.size_bytes == 0 {
        return wrong("the kernel image is empty".into());
    }
    let mut uuids = BTreeSet::new();
    for ImageSource { image, .. } in &source.images {
        let name = &image.name;
        if name.is_empty() || name.chars().any(|c| c.is_whitespace() || c.is_control()) {
            return wrong(format!("{name:?} cannot be an image's name"));
        }
        if let Err(error) = image::parameters(image) {
            return wrong(format!("image {name:?}: {error}"));
        }
        if !uuids.insert(part_uuid(image)?) {
            return wrong(format!("image {name:?} is there twice"));
        }
    }
    if content(source)?.encode(u32::MAX).len() as u64 > entry::MAX_ENTRY_BYTES {
        return wrong("there are too many images for one boot entry".into());
    }
    Ok(())
}

/// The PARTUUID of an image.
pub(crate) fn part_uuid(image: &Image) -> Result<Guid, Error> {
    image
        .part_uuid()
        .and_then(|text| text.parse().ok())
        .ok_or_else(|| Error::Source {
            what: format!(
                "image {:?} has the root hash {:?}",
                image.name, image.root_hash
            ),
        })
}

/// What the boot entry says.
pub(crate) fn content(source: &GenerationSource<'_>) -> Result<Content, Error> {
    Ok(Content {
        title: source.title.clone(),
        uki: entry::hex(&source.uki.digest),
        label: source.label.clone(),
        kernel: source.kernel.clone(),
        installed: source.installed,
        images: source
            .images
            .iter()
            .map(|source| source.image.clone())
            .collect(),
    })
}

/// What is wrong with the file system of a disk, as text to compare.
fn problems(state: &State, device: &dyn BlockDevice) -> Result<BTreeSet<String>, Error> {
    let problems = state.volume.check(&state.esp_window(device))?;
    let lasting = problems
        .iter()
        .filter(|problem| matches!(problem, Problem::Broken(_) | Problem::CrossLinked { .. }));
    Ok(lasting.map(ToString::to_string).collect())
}
