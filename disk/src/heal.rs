//! Writing damaged content anew, from what it was installed from.

use crate::commit::{OnProgress, Phase, flush, forget, read_back, write};
use crate::disk::Disk;
use crate::entry::{self, Content};
use crate::image::{self, CHUNK};
use crate::install::{check_source, read_back_image, space};
use crate::layout::{self, parts_of};
use crate::{BlockDevice, Error, GenerationSource, Progress, Report, kernel};
use nos_formats::fat::{Changes, FatError, Problem, Volume};
use std::io::Read;
use std::ops::Range;

impl Disk<'_> {
    /// Writes what is damaged of the images and the kernel image of a system, where this disk has
    /// them. Of these only sectors are written that hold something else than they should, or cannot
    /// be read, and only when the source was found to be what it says; no name and no table changes.
    /// So a cut leaves less damage, and never another. What was written is read back.
    ///
    /// A kernel image that a generation needs and whose clusters are lost, or shared with another
    /// file, is written to free ones, as an install does it: its name leads there when everything
    /// is durable and was read back.
    ///
    /// The report names what was damaged and is whole now.
    ///
    /// # Errors
    /// [`Error::Source`] and [`Error::ReadSource`] before anything is written of what is damaged
    /// there; [`Error::Io`]; [`Error::ReadBack`] where the medium does not keep what it is sent.
    pub fn heal(
        &mut self,
        source: &GenerationSource<'_>,
        progress: OnProgress<'_>,
    ) -> Result<Report, Error> {
        check_source(source)?;
        self.begin()?;
        let mut report = Report {
            number: self.current().unwrap_or(0),
            ..Report::default()
        };
        for source in &source.images {
            let image = &source.image;
            let Some((number, partition)) = self.state.partition_of(image) else {
                continue;
            };
            let place = layout::bytes(&self.state.table, partition);
            let found = image::check(self.device, &place, image, &|_| {});
            if found.is_ok_and(|found| found.is_clean()) {
                continue;
            }
            let total = image.size_bytes;
            progress(&Progress {
                doing: "repair",
                what: image.name.clone(),
                done: 0,
                total,
            });
            image::check_source(source)?;
            let reader = image::open(source)?;
            let extent = place.start..place.start + total;
            let sectors = rewrite(self.device, &[extent], reader, &mut report)?;
            forget(self.device)?;
            read_back_image(self.device, &place, image)?;
            report.images_written.push(image.name.clone());
            let what = format!(
                "image {} (partition {number}): {}",
                image.name,
                were_damaged(sectors)
            );
            report.repaired.push(what);
        }
        self.heal_kernel(source, &mut report)?;
        Ok(report)
    }

    fn heal_kernel(
        &mut self,
        source: &GenerationSource<'_>,
        report: &mut Report,
    ) -> Result<(), Error> {
        let name = entry::hex(&source.uki.digest);
        let path = entry::uki_path(&name);
        let needs = |content: &Content| content.uki == name;
        let mut contents = self.state.entries.iter().map(|entry| &entry.content);
        if !contents.any(|content| content.as_ref().is_ok_and(needs)) {
            return Ok(());
        }
        let Some(extents) = self.kernel_extents(&path) else {
            return self.replace_kernel(source, &name, report);
        };
        if matches!(source.uki.differs(self.device, &extents), Ok(false)) {
            return Ok(());
        }
        let size: u64 = extents.iter().map(|extent| extent.end - extent.start).sum();
        if size != source.uki.size_bytes || self.shares_clusters()? {
            return self.replace_kernel(source, &name, report);
        }
        kernel::check(
            source.uki.reader()?,
            source.uki.size_bytes,
            source.uki.digest,
        )?;
        let sectors = rewrite(self.device, &extents, source.uki.reader()?, report)?;
        forget(self.device)?;
        if let Some(offset) = source.uki.first_difference(self.device, &extents)? {
            let what = "kernel image".to_owned();
            return Err(Error::ReadBack { offset, what });
        }
        let what = format!("kernel image {name}: {}", were_damaged(sectors));
        report.repaired.push(what);
        Ok(())
    }

    /// Where a file of the EFI system partition is on the device; `None` where it is not there or
    /// the allocation tables lead astray.
    fn kernel_extents(&self, path: &str) -> Option<Vec<Range<u64>>> {
        let start = self.state.esp.start;
        let on_disk = |extent: Range<u64>| start + extent.start..start + extent.end;
        let extents = self.state.volume.extents(path).ok()?;
        Some(extents.into_iter().map(on_disk).collect())
    }

    /// Whether any two files have a cluster in common: then writing one damages another.
    fn shares_clusters(&self) -> Result<bool, Error> {
        let problems = self
            .state
            .volume
            .check(&self.state.esp_window(self.device))?;
        let shared = |problem: &Problem| matches!(problem, Problem::CrossLinked { .. });
        Ok(problems.iter().any(shared))
    }

    /// Writes a kernel image to free clusters and lets its name lead there.
    fn replace_kernel(
        &mut self,
        source: &GenerationSource<'_>,
        name: &str,
        report: &mut Report,
    ) -> Result<(), Error> {
        let path = entry::uki_path(name);
        let phases = self.kernel_phases(&source.uki.read()?, &path)?;
        for phase in &phases {
            phase.run(self.device, report)?;
            forget(self.device)?;
            read_back(self.device, &[phase], "kernel image")?;
        }
        self.refresh()?;
        report
            .repaired
            .push(format!("kernel image {name}: {WAS_LOST}"));
        Ok(())
    }

    /// What gives a file other content: in clusters that were free, or, where these are too few, in
    /// those that it had as well; its name goes first then.
    fn kernel_phases(&self, bytes: &[u8], path: &str) -> Result<Vec<Phase>, Error> {
        let start = self.state.esp.start;
        let mut volume = self.state.volume.clone();
        let leads_nowhere = volume.extents(path).is_err();
        let mut phases = Vec::new();
        let stored = match volume.find(path) {
            Ok(_) => volume.replace_file(path, bytes).map(drop),
            Err(_) => volume.create_file(path, bytes),
        };
        match stored {
            Err(FatError::Full { .. }) if leads_nowhere && volume.find(path).is_ok() => {
                volume.remove_file(path)?;
                self.free_lost(&mut volume);
                let (content, names) = in_phases(start, volume.take_changes());
                phases.extend([names, content]);
                volume.create_file(path, bytes).map_err(space)?;
            }
            other => other.map_err(space)?,
        }
        let (content, names) = in_phases(start, volume.take_changes());
        phases.extend([content, names]);
        self.free_lost(&mut volume);
        let (freed, _) = in_phases(start, volume.take_changes());
        match phases.last_mut() {
            // A name that leads nowhere takes no harm from what becomes of its clusters.
            Some(names) if leads_nowhere => names.join(freed),
            _ => phases.push(freed),
        }
        phases.retain(|phase| !phase.is_empty());
        Ok(phases)
    }

    /// Frees what no file has, where every boot entry can be read. Where another file is damaged
    /// nothing can be said to be lost; it stays then.
    fn free_lost(&self, volume: &mut Volume) {
        if !self.state.entries.iter().any(|e| e.content.is_err()) {
            let _ = volume.free_lost();
        }
    }
}

/// Content and allocation tables, and names, of a volume that begins at `start`.
fn in_phases(start: u64, changes: Changes) -> (Phase, Phase) {
    let (mut content, mut names) = (Phase::default(), Phase::default());
    content.put_all(start, changes.data);
    content.put_all(start, changes.tables);
    for step in changes.publish {
        names.put_all(start, step);
    }
    (content, names)
}

/// What a kernel image was before it was written anew.
const WAS_LOST: &str = "it was missing, or its clusters were wrong";

fn were_damaged(sectors: u64) -> String {
    match sectors {
        1 => "1 sector was damaged".into(),
        n => format!("{n} sectors were damaged"),
    }
}

/// Writes those sectors of byte ranges of the device that differ from what a reader gives, or
/// cannot be read; how many there were.
fn rewrite(
    device: &mut dyn BlockDevice,
    extents: &[Range<u64>],
    mut reader: impl Read,
    report: &mut Report,
) -> Result<u64, Error> {
    let sector = device.sector_size() as usize;
    let before = report.sectors_written;
    let (mut wanted, mut found) = (Vec::new(), vec![0; sector]);
    for part in extents.iter().flat_map(|extent| parts_of(extent, CHUNK)) {
        let length = (part.end - part.start) as usize;
        wanted.clear();
        wanted.resize(length.next_multiple_of(sector), 0);
        let read = reader.read_exact(&mut wanted[..length]);
        read.map_err(|source| Error::ReadSource {
            image: "to repair from".into(),
            source,
        })?;
        for (index, bytes) in wanted.chunks(sector).enumerate() {
            let at = index * sector;
            let offset = part.start + at as u64;
            // What is behind the end in the last sector may be anything.
            let meant = sector.min(length - at);
            let is_same =
                device.read_at(offset, &mut found).is_ok() && found[..meant] == bytes[..meant];
            if !is_same {
                write(device, offset, bytes, report)?;
            }
        }
    }
    flush(device, report)?;
    Ok(report.sectors_written - before)
}
