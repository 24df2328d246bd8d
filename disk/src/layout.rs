//! Where partitions go.

use crate::Shortage;
use nos_formats::gpt::{Entry, Guid, Table};
use nos_manifest::Image;
use std::ops::Range;

/// Start of the partitions of a new disk, and of its state partition, in bytes: what every
/// partitioning tool uses.
pub const PARTITION_ALIGN: u64 = 1 << 20;

/// Start of an image partition, in bytes: a verity block. More would waste space on small disks
/// and gain nothing, since images are read block by block.
pub const IMAGE_ALIGN: u64 = 4096;

/// Most characters of a root hash in a partition's label.
const LABEL_HASH: usize = 12;

/// A constant of the manifest crate as a GUID; the zero GUID, which no partition has, if it were
/// not one.
pub(crate) fn guid(text: &str) -> Guid {
    text.parse().unwrap_or(Guid::ZERO)
}

/// Label of an image's partition: its name, cut where it is long, and the start of its hash.
pub(crate) fn label(image: &Image) -> String {
    let name: String = image
        .name
        .chars()
        .take(nos_formats::gpt::NAME_UNITS - LABEL_HASH - 1)
        .collect();
    let hash = image.root_hash.get(..LABEL_HASH).unwrap_or("");
    format!("{name} {hash}")
}

/// Adds a partition for an image to `table` and gives its number.
pub(crate) fn place(table: &mut Table, image: &Image, part_uuid: Guid) -> Result<usize, Shortage> {
    let entry = Entry {
        type_guid: guid(nos_manifest::IMAGE_TYPE_GUID),
        unique_guid: part_uuid,
        first_lba: 0,
        last_lba: 0,
        attributes: 0,
        name: Entry::encode_name(&label(image)),
    };
    place_entry(table, &image.name, entry, image.size_bytes)
}

/// Gives a partition of `bytes` bytes the first place that is large enough, and gives its number.
pub(crate) fn place_entry(
    table: &mut Table,
    name: &str,
    entry: Entry,
    bytes: u64,
) -> Result<usize, Shortage> {
    let sector = u64::from(table.geometry().sector_size);
    let sectors = bytes.div_ceil(sector);
    let align = IMAGE_ALIGN.div_ceil(sector);
    let first = table.first_fit(sectors, align, PARTITION_ALIGN / sector);
    let first_lba = first.ok_or_else(|| {
        let largest = table
            .free()
            .into_iter()
            .map(|run| run.end - run.start.next_multiple_of(align).min(run.end))
            .max();
        Shortage::Images {
            image: name.to_owned(),
            needed: bytes,
            free: largest.unwrap_or(0) * sector,
        }
    })?;
    table
        .add(Entry {
            first_lba,
            last_lba: first_lba + sectors.max(1) - 1,
            ..entry
        })
        .ok_or(Shortage::Partitions { needed: 1, free: 0 })
}

/// Rounds up to where partitions begin.
pub(crate) fn align(bytes: u64) -> u64 {
    bytes
        .checked_next_multiple_of(PARTITION_ALIGN)
        .unwrap_or(u64::MAX)
}

/// The byte range of a partition.
pub(crate) fn bytes(table: &Table, entry: &Entry) -> Range<u64> {
    let sector = u64::from(table.geometry().sector_size);
    let start = entry.first_lba.saturating_mul(sector);
    start..start.saturating_add(entry.sectors().saturating_mul(sector))
}

/// Cuts a range into parts of at most `most` bytes that end at multiples of it.
pub(crate) fn parts_of(range: &Range<u64>, most: u64) -> impl Iterator<Item = Range<u64>> + use<> {
    let (mut at, end) = (range.start, range.end);
    std::iter::from_fn(move || {
        let part = at..(at + 1).next_multiple_of(most).min(end);
        at = part.end;
        (!part.is_empty()).then_some(part)
    })
}
