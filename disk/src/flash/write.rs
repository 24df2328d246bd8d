//! Writing an image file to a device, fitted to the device's size.

use crate::commit::{OnProgress, Phase, first_difference, flush, forget, read_back, write};
use crate::disk::{Disk, geometry};
use crate::{BlockDevice, Error, Progress, Report, Shortage, layout};
use nos_formats::gpt::{self, Geometry, Table};
use std::ops::Range;

/// Bytes moved at a time.
const CHUNK: u64 = 4 << 20;

/// Writes a disk image of ours to a device: every partition, byte for byte, and partition tables
/// that fit the device. Zeros in the image become zeros on the device, space between partitions
/// stays as it is. The first sectors are cleared first and written last, so that a device whose
/// writing was cut off does not boot. Every byte is read back and compared.
///
/// # Errors
/// [`Error::Open`] where the image is not one of ours, [`Error::Space`] where its last partition
/// does not fit, [`Error::Layout`] for another sector size, all before the first write; then
/// [`Error::Io`] and [`Error::ReadBack`].
pub fn write_image(
    image: &mut dyn BlockDevice,
    device: &mut dyn BlockDevice,
    progress: OnProgress<'_>,
) -> Result<Report, Error> {
    let disk = Disk::open(image)?;
    let number = disk.current().unwrap_or(0);
    let table = fit(disk.table(), geometry(&*device)?)?;
    let image: &dyn BlockDevice = &*disk.device;

    let mut report = Report {
        number,
        ..Report::default()
    };
    let sector = u64::from(device.sector_size());
    let head = head(&table);
    let mut wipe = Phase::default();
    wipe.put(0, vec![0; 2 * sector as usize]);
    wipe.put(device.size_bytes() - sector, vec![0; sector as usize]);
    wipe.run(device, &mut report)?;

    let parts: Vec<Range<u64>> = table
        .numbered()
        .map(|(_, entry)| layout::bytes(&table, entry))
        .collect();
    let total: u64 = parts.iter().map(|part| part.end - part.start).sum();
    let mut done = 0;
    let mut say = |doing, length, done: &mut u64| {
        *done += length;
        progress(&Progress {
            doing,
            what: "disk".into(),
            done: *done,
            total,
        });
    };
    for (offset, length) in chunks(&parts) {
        copy(image, device, offset, length, &mut report)?;
        say("write", length, &mut done);
    }
    let mut backup = Phase::default();
    crate::install::put_backup(&mut backup, &table);
    backup.write(device, &mut report)?;
    flush(device, &mut report)?;

    forget(device)?;
    done = 0;
    for (offset, length) in chunks(&parts) {
        compare(image, device, offset, length)?;
        say("read back", length, &mut done);
    }
    head.run(device, &mut report)?;
    forget(device)?;
    read_back(device, &[&head, &backup], "partition table")?;
    Ok(report)
}

/// The image's table for a device of another size: the partitions stay where they are, the
/// backup goes to the device's end.
fn fit(image: &Table, device: Geometry) -> Result<Table, Error> {
    let found = image.geometry().sector_size;
    if found != device.sector_size {
        return Err(Error::Layout {
            what: format!(
                "the image has sectors of {found} bytes and the device {}; make the image with \
                 that sector size",
                device.sector_size
            ),
        });
    }
    let mut table = Table::new(device, image.disk_guid)?;
    table.entries.clone_from(&image.entries);
    let last = table
        .numbered()
        .map(|(_, entry)| entry.last_lba)
        .max()
        .unwrap_or(0);
    if last > table.last_usable() {
        let sector = u64::from(found);
        let size = device.sectors * sector;
        let needed = size + (last - table.last_usable()) * sector;
        return Err(Shortage::Disk { needed, size }.into());
    }
    table.check()?;
    Ok(table)
}

/// The first sectors, which make it a disk.
fn head(table: &Table) -> Phase {
    let Geometry {
        sector_size,
        sectors,
    } = table.geometry();
    let sector = u64::from(sector_size);
    let mut head = Phase::default();
    head.put(0, gpt::protective_mbr(sectors, sector_size as usize));
    head.put(sector, table.encode_primary());
    head.put(table.array_lba(table.place) * sector, table.encode_array());
    head
}

/// Cuts ranges into pieces of at most [`CHUNK`].
fn chunks(ranges: &[Range<u64>]) -> impl Iterator<Item = (u64, u64)> {
    ranges.iter().cloned().flat_map(|range| {
        let starts = (range.start..range.end).step_by(CHUNK as usize);
        starts.map(move |start| (start, CHUNK.min(range.end - start)))
    })
}

fn read(device: &dyn BlockDevice, offset: u64, length: u64) -> Result<Vec<u8>, Error> {
    let mut bytes = vec![0; length as usize];
    device
        .read_at(offset, &mut bytes)
        .map_err(|source| Error::Io {
            doing: "reading the disk",
            source,
        })?;
    Ok(bytes)
}

fn copy(
    image: &dyn BlockDevice,
    device: &mut dyn BlockDevice,
    offset: u64,
    length: u64,
    report: &mut Report,
) -> Result<(), Error> {
    let bytes = read(image, offset, length)?;
    if bytes.iter().any(|byte| *byte != 0) {
        return write(device, offset, &bytes, report);
    }
    device
        .write_zeroes(offset, length)
        .map_err(|source| Error::Io {
            doing: "clearing the disk",
            source,
        })
}

fn compare(
    image: &dyn BlockDevice,
    device: &dyn BlockDevice,
    offset: u64,
    length: u64,
) -> Result<(), Error> {
    let (wanted, found) = (read(image, offset, length)?, read(device, offset, length)?);
    match first_difference(&wanted, &found) {
        None => Ok(()),
        Some(index) => Err(Error::ReadBack {
            offset: offset + index as u64,
            what: "disk image".into(),
        }),
    }
}
