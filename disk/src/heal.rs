//! Writing damaged content anew, from what it was installed from.

use crate::commit::{OnProgress, flush, forget, write};
use crate::disk::Disk;
use crate::entry;
use crate::image::{self, CHUNK};
use crate::install::{check_source, read_back_image};
use crate::layout::{self, parts_of};
use crate::{BlockDevice, Error, GenerationSource, Progress, Report, kernel};
use std::io::Read;
use std::ops::Range;

impl Disk<'_> {
    /// Writes what is damaged of the images and the kernel image of a system, where this disk has
    /// them. Of these only sectors are written that hold something else than they should, or cannot
    /// be read, and only when the source was found to be what it says; no name and no table changes.
    /// So a cut leaves less damage, and never another. What was written is read back.
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
        // Where the allocation tables lead elsewhere, there is no place to write to.
        let is_there = self.state.kernels.get(&name) == Some(&source.uki.size_bytes);
        let Some(extents) = self.state.volume.extents(&path).ok().filter(|_| is_there) else {
            return Ok(());
        };
        let start = self.state.esp.start;
        let on_disk = |extent: Range<u64>| start + extent.start..start + extent.end;
        let extents: Vec<Range<u64>> = extents.into_iter().map(on_disk).collect();
        if matches!(source.uki.differs(self.device, &extents), Ok(false)) {
            return Ok(());
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
}

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
