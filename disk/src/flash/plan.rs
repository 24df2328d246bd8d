//! What a disk is to hold, before anything of it is written.

use super::keep::KeptState;
use crate::commit::Phase;
use crate::create::format_esp;
use crate::disk::geometry;
use crate::identity::Identity;
use crate::install::{check_source, part_uuid, put_backup};
use crate::layout::{self, PARTITION_ALIGN, align, guid};
use crate::{BlockDevice, Error, GenerationSource, NewDisk, OpenImage, Shortage, StateSize};
use nos_formats::ext4;
use nos_formats::gpt::{self, Entry, Geometry, Guid, Table};
use nos_manifest::Image;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::ops::Range;

/// Largest start of a partition that a device's wish may ask for, in bytes. Beyond it the wish is
/// a mistake of the device's.
const MAX_ALIGN: u64 = 64 << 20;

/// Bytes at either end of a partition that may hold marks of what was there before: of file
/// systems at its start, of RAID and of ZFS at both.
const MARKED: u64 = 1 << 20;

/// How a disk is fitted to the device that it goes to.
#[derive(Debug, Clone, Default)]
pub struct Fit {
    /// Bytes of which the device would like transfers to be multiples; 0: no wish. The state
    /// partition begins at a multiple of it.
    pub align_bytes: u64,
    /// How large the state partition becomes.
    pub state: StateSize,
    /// Bytes left for further images where the state partition takes all.
    pub spare_bytes: u64,
    /// The state partition that stays; it is never written.
    pub kept: Option<KeptState>,
    /// What tells the device from all others (model, serial number); empty: nothing. Two devices
    /// with one content then have GUIDs of their own, and can be told apart in one machine.
    pub identity: String,
}

/// What a disk is to hold, piece by piece.
///
/// Everything that no piece covers is of no meaning to whoever reads the disk, and may stay as it
/// is on the device.
pub struct Plan<'a> {
    pub(super) number: u32,
    pub(super) table: Table,
    pub(super) kept: Option<KeptState>,
    /// Everything but the tables and the first sectors, in order of offset, none overlapping.
    pub(super) pieces: Vec<Piece<'a>>,
    /// Byte ranges that are read back against a root hash.
    pub(super) images: Vec<(Range<u64>, Image)>,
    /// Where [`Fill::Copy`] comes from.
    pub(super) image: Option<&'a dyn BlockDevice>,
}

/// One piece of a disk: whole sectors.
pub(super) struct Piece<'a> {
    pub(super) range: Range<u64>,
    pub(super) what: String,
    pub(super) fill: Fill<'a>,
}

/// What a piece is filled with.
pub(super) enum Fill<'a> {
    /// These bytes.
    Bytes(Vec<u8>),
    /// A service image, and zeros up to the end of its last sector.
    Source {
        /// Bytes of the image.
        size: u64,
        /// Opens it.
        open: OpenImage<'a>,
    },
    /// What another disk holds at this offset.
    Copy(u64),
    /// Zeros that mean something.
    Zero,
}

impl<'a> Plan<'a> {
    /// A new disk with generation 1 for a device of this geometry.
    ///
    /// # Errors
    /// [`Error::Source`] where the system is not what it says, [`Error::Space`] where the device
    /// is too small, [`Error::Layout`] where the parts do not fit each other.
    pub fn of_system<'s>(
        geometry: Geometry,
        new: &NewDisk<'_>,
        source: &'a GenerationSource<'s>,
        fit: &Fit,
    ) -> Result<Self, Error> {
        check_source(source)?;
        let uki = source.uki.read()?;
        let sector_size = geometry.sector_size;
        let identity = Identity::new(new.seed);
        let esp_bytes = crate::create::check_esp(new.esp_bytes, sector_size)?;
        let mut room = Room::new(geometry, identity.guid("disk"), fit)?;
        room.add(
            PARTITION_ALIGN,
            esp_bytes,
            guid(gpt::ESP_TYPE_GUID),
            identity.guid("EFI system"),
            "EFI system",
        )?;
        let images: Vec<&Image> = source.images.iter().map(|source| &source.image).collect();
        let occupied = room.occupied(esp_bytes, images.iter().map(|image| image.size_bytes));
        let state = room.place_state(fit, new.state_bytes, occupied, || {
            state_entry(identity.guid("state"))
        })?;
        let mut pieces = Pieces::default();
        let esp = format_esp(new, source, &uki, &identity, esp_bytes, sector_size)?;
        pieces.put_phase(PARTITION_ALIGN, esp);
        pieces.clear_ends(&(PARTITION_ALIGN..PARTITION_ALIGN + esp_bytes));
        if let Some(range) = state {
            pieces.put_state(&range, new.state_content.as_ref())?;
        }
        let mut checked = Vec::new();
        for source in &source.images {
            let image = &source.image;
            let range = room.place_image(image, part_uuid(image)?, fit)?;
            let fill = Fill::Source {
                size: image.size_bytes,
                // Not the box itself: what it gives lives longer than this.
                open: Box::new(|| {
                    let reader = (source.open)()?;
                    Ok(reader)
                }),
            };
            pieces.put(range.clone(), image.name.clone(), fill);
            checked.push((range, image.clone()));
        }
        Ok(Self {
            number: 1,
            table: room.finish(fit)?,
            kept: fit.kept.clone(),
            pieces: pieces.finish(),
            images: checked,
            image: None,
        })
    }

    /// The generation that boots.
    pub fn number(&self) -> u32 {
        self.number
    }

    /// Bytes of the whole disk.
    pub fn size_bytes(&self) -> u64 {
        let geometry = self.table.geometry();
        geometry.sectors * u64::from(geometry.sector_size)
    }

    /// Bytes that are sent to the device; zeros that it can be told to make are not counted.
    pub fn data_bytes(&self) -> u64 {
        let data = self.pieces.iter().filter(|piece| piece.is_data());
        data.map(|piece| piece.range.end - piece.range.start).sum()
    }

    /// Where the state partition is going to be, in bytes; `None` where there is none.
    pub fn state(&self) -> Option<Range<u64>> {
        let (_, entry) = self.table.find_type(guid(nos_manifest::STATE_TYPE_GUID))?;
        Some(layout::bytes(&self.table, entry))
    }

    /// The tables and the first sectors, which make it a disk: what is to be durable before, and
    /// what then makes it all visible.
    pub(super) fn head(&self) -> (Phase, Phase) {
        let table = &self.table;
        let Geometry {
            sector_size,
            sectors,
        } = table.geometry();
        let sector = u64::from(sector_size);
        let mut tables = Phase::default();
        put_backup(&mut tables, table);
        let mut array = table.encode_array();
        if self.kept.is_none() {
            // Nothing stands in the place of the second array.
            array.resize(((table.array_end() - 2) * sector) as usize, 0);
        }
        tables.put(table.array_lba(table.place) * sector, array);
        let mut head = Phase::default();
        head.put(0, gpt::protective_mbr(sectors, sector_size as usize));
        head.put(sector, table.encode_primary());
        (tables, head)
    }

    /// Ranges of the device that mean nothing, long enough to be worth a word to it.
    pub(super) fn meaningless(&self) -> Vec<Range<u64>> {
        let mut used: Vec<Range<u64>> = self.pieces.iter().map(|p| p.range.clone()).collect();
        used.extend(self.kept.as_ref().map(KeptState::range));
        used.sort_by_key(|range| range.start);
        let whole = PARTITION_ALIGN..self.size_bytes().saturating_sub(PARTITION_ALIGN);
        without(&whole, &used)
            .into_iter()
            .filter(|range| range.end - range.start >= MARKED)
            .collect()
    }
}

impl Piece<'_> {
    pub(super) fn is_data(&self) -> bool {
        !matches!(self.fill, Fill::Zero)
    }
}

/// What is left of a range without others, which are in order.
fn without(range: &Range<u64>, others: &[Range<u64>]) -> Vec<Range<u64>> {
    let mut left = Vec::new();
    let mut at = range.start;
    for other in others {
        if other.end <= at || other.start >= range.end {
            continue;
        }
        if other.start > at {
            left.push(at..other.start);
        }
        at = at.max(other.end);
    }
    if at < range.end {
        left.push(at..range.end);
    }
    left
}

/// The entry of a state partition; its place comes later.
pub(super) fn state_entry(unique_guid: Guid) -> Entry {
    Entry {
        type_guid: guid(nos_manifest::STATE_TYPE_GUID),
        unique_guid,
        first_lba: 0,
        last_lba: 0,
        attributes: 0,
        name: Entry::encode_name("state"),
    }
}

/// A partition table being filled.
pub(super) struct Room {
    pub(super) table: Table,
    size: u64,
    sector: u64,
    align: u64,
}

impl Room {
    /// An empty one; the state partition that is kept, if any, has its place at once.
    pub(super) fn new(geometry: Geometry, disk_guid: Guid, fit: &Fit) -> Result<Self, Error> {
        let sector = u64::from(geometry.sector_size);
        Ok(Self {
            table: Table::new(geometry, disk_guid)?,
            size: geometry.sectors * sector,
            sector,
            align: wished(fit.align_bytes),
        })
    }

    /// Adds a partition in a given place.
    pub(super) fn add(
        &mut self,
        start: u64,
        bytes: u64,
        type_guid: Guid,
        unique_guid: Guid,
        name: &str,
    ) -> Result<(), Error> {
        let entry = Entry {
            type_guid,
            unique_guid,
            first_lba: 0,
            last_lba: 0,
            attributes: 0,
            name: Entry::encode_name(name),
        };
        self.add_at(entry, start..start.saturating_add(bytes))
    }

    /// Adds an entry for a byte range.
    pub(super) fn add_at(&mut self, entry: Entry, range: Range<u64>) -> Result<(), Error> {
        let added = self.table.add(Entry {
            first_lba: range.start / self.sector,
            last_lba: (range.end / self.sector).saturating_sub(1),
            ..entry
        });
        added.ok_or(Shortage::Partitions { needed: 1, free: 0 })?;
        Ok(())
    }

    /// Bytes from the start of the disk that the first partition and images of these sizes take.
    pub(super) fn occupied(&self, esp_bytes: u64, images: impl Iterator<Item = u64>) -> u64 {
        images.fold(PARTITION_ALIGN.saturating_add(esp_bytes), |end, size| {
            let start = end.next_multiple_of(layout::IMAGE_ALIGN);
            start.saturating_add(size.next_multiple_of(self.sector))
        })
    }

    /// Gives the state partition its place at the end of the disk, behind `occupied` bytes, and
    /// gives the range where it is to be written; `None` where there is none, or where it is kept.
    pub(super) fn place_state(
        &mut self,
        fit: &Fit,
        asked: Option<u64>,
        occupied: u64,
        entry: impl FnOnce() -> Entry,
    ) -> Result<Option<Range<u64>>, Error> {
        let short = |needed| Shortage::Disk {
            needed,
            size: self.size,
        };
        let end = self.size.saturating_sub(PARTITION_ALIGN);
        let end = end - end % PARTITION_ALIGN;
        if let Some(kept) = &fit.kept {
            let range = kept.range();
            if occupied > self.size {
                return Err(short(align(occupied).saturating_add(PARTITION_ALIGN)).into());
            }
            self.add_at(kept.entry().clone(), range)?;
            return Ok(None);
        }
        let (start, bytes) = match (fit.state, asked) {
            (StateSize::Keep, None) => {
                let needed = align(occupied).saturating_add(PARTITION_ALIGN);
                return match self.size < needed {
                    true => Err(short(needed).into()),
                    false => Ok(None),
                };
            }
            (StateSize::All, _) => {
                let start = occupied
                    .saturating_add(fit.spare_bytes)
                    .checked_next_multiple_of(self.align)
                    .unwrap_or(u64::MAX);
                (start, end.saturating_sub(start))
            }
            (StateSize::Keep, Some(bytes)) | (StateSize::Bytes(bytes), _) => {
                let bytes = align(bytes.max(1));
                let start = end.saturating_sub(bytes);
                (start - start % self.align, bytes)
            }
        };
        if start < occupied || bytes == 0 {
            let needed = align(occupied)
                .checked_next_multiple_of(self.align)
                .and_then(|start| start.checked_add(bytes.max(ext4::MIN_SIZE)))
                .and_then(|end| end.checked_add(PARTITION_ALIGN));
            // What alignment takes from a device of an odd size comes on top.
            let needed = needed.unwrap_or(u64::MAX);
            return Err(short(needed.max(self.size.saturating_add(PARTITION_ALIGN))).into());
        }
        let range = start..start + bytes;
        self.add_at(entry(), range.clone())?;
        Ok(Some(range))
    }

    /// Gives an image the first place that is large enough.
    pub(super) fn place_image(
        &mut self,
        image: &Image,
        part_uuid: Guid,
        fit: &Fit,
    ) -> Result<Range<u64>, Error> {
        let placed = layout::place(&mut self.table, image, part_uuid);
        self.placed(placed, fit)
    }

    /// As [`Room::place_image`], for a partition of another disk.
    pub(super) fn place_like(
        &mut self,
        name: &str,
        entry: &Entry,
        bytes: u64,
        fit: &Fit,
    ) -> Result<Range<u64>, Error> {
        let placed = layout::place_entry(&mut self.table, name, entry.clone(), bytes);
        self.placed(placed, fit)
    }

    fn placed(&self, placed: Result<usize, Shortage>, fit: &Fit) -> Result<Range<u64>, Error> {
        match (placed, &fit.kept) {
            (Ok(number), _) => crate::create::partition(&self.table, number),
            (
                Err(Shortage::Images {
                    image,
                    needed,
                    free,
                }),
                Some(_),
            ) => Err(Error::Layout {
                what: format!(
                    "image {image:?} needs {needed} bytes in one piece and the largest that the \
                     kept state partition leaves has {free}; leave --keep-state out or use a \
                     larger disk"
                ),
            }),
            (Err(shortage), _) => Err(shortage.into()),
        }
    }

    /// The finished table.
    pub(super) fn finish(mut self, fit: &Fit) -> Result<Table, Error> {
        if let Some(kept) = &fit.kept {
            self.table.place = kept.next_place();
        }
        self.table.check().map_err(|error| match &fit.kept {
            Some(kept) => Error::Layout {
                what: format!(
                    "the state partition to be kept, from byte {}, is where another has to be \
                     ({error}); leave --keep-state out to replace everything",
                    kept.range().start
                ),
            },
            None => error.into(),
        })?;
        if !fit.identity.is_empty() {
            self.individualize(fit);
        }
        Ok(self.table)
    }
}

impl Room {
    /// Gives the disk, the ESP and a state partition that is not kept GUIDs that no other device
    /// has. Those of images say what is in them.
    fn individualize(&mut self, fit: &Fit) {
        let own = |old: Guid| {
            let seed = Sha256::new_with_prefix(old.0).chain_update(fit.identity.as_bytes());
            Identity::new(seed.finalize().into()).guid("device")
        };
        self.table.disk_guid = own(self.table.disk_guid);
        let mut types = vec![guid(gpt::ESP_TYPE_GUID)];
        if fit.kept.is_none() {
            types.push(guid(nos_manifest::STATE_TYPE_GUID));
        }
        for entry in self.table.entries.iter_mut().flatten() {
            if types.contains(&entry.type_guid) {
                entry.unique_guid = own(entry.unique_guid);
            }
        }
    }
}

/// The alignment that a device's wish comes to, with that of every partitioning tool.
fn wished(bytes: u64) -> u64 {
    let mut common = (bytes, PARTITION_ALIGN);
    while common.1 != 0 {
        common = (common.1, common.0 % common.1);
    }
    match (bytes / common.0.max(1)).checked_mul(PARTITION_ALIGN) {
        Some(both) if (1..=MAX_ALIGN).contains(&both) && bytes.is_multiple_of(4096) => both,
        _ => PARTITION_ALIGN,
    }
}

/// Pieces being gathered. Data wins over zeros.
#[derive(Default)]
pub(super) struct Pieces<'a> {
    data: BTreeMap<u64, Piece<'a>>,
    zeros: Vec<Range<u64>>,
}

impl<'a> Pieces<'a> {
    pub(super) fn put(&mut self, range: Range<u64>, what: String, fill: Fill<'a>) {
        if !range.is_empty() {
            let start = range.start;
            self.data.insert(start, Piece { range, what, fill });
        }
    }

    pub(super) fn zero(&mut self, range: Range<u64>) {
        self.zeros.push(range);
    }

    /// Clears what old file systems may have left at either end of a partition.
    pub(super) fn clear_ends(&mut self, range: &Range<u64>) {
        self.zero(range.start..range.end.min(range.start + MARKED));
        self.zero(range.start.max(range.end.saturating_sub(MARKED))..range.end);
    }

    /// Sectors of the EFI system partition.
    fn put_phase(&mut self, start: u64, sectors: Vec<nos_formats::fat::SectorWrite>) {
        let mut phase = Phase::default();
        phase.put_all(start, sectors);
        let put = |offset: u64, bytes: &[u8]| {
            let range = offset..offset + bytes.len() as u64;
            self.put(range, "boot files".into(), Fill::Bytes(bytes.to_vec()));
            Ok(())
        };
        // Putting cannot fail.
        let _ = phase.for_each_run(put);
    }

    /// A new state partition.
    pub(super) fn put_state(
        &mut self,
        range: &Range<u64>,
        format: Option<&ext4::Identity>,
    ) -> Result<(), Error> {
        self.clear_ends(range);
        let Some(format) = format else { return Ok(()) };
        let options = ext4::Options {
            size_bytes: range.end - range.start,
            uuid: format.uuid,
            label: &format.label,
            hash_seed: format.hash_seed,
        };
        let system = ext4::FileSystem::new(&options).map_err(|error| Error::Layout {
            what: format!("the state partition: {error}"),
        })?;
        // Old bytes in the journal could be taken for a transaction.
        let zeroed = system.zeroed();
        self.zero(range.start + zeroed.start..range.start + zeroed.end);
        for (offset, bytes) in system.extents() {
            let start = range.start + offset;
            let piece = start..start + bytes.len() as u64;
            self.put(piece, "state".into(), Fill::Bytes(bytes));
        }
        Ok(())
    }

    /// Everything in order.
    pub(super) fn finish(mut self) -> Vec<Piece<'a>> {
        let data: Vec<Range<u64>> = self.data.values().map(|p| p.range.clone()).collect();
        self.zeros.sort_by_key(|range| (range.start, range.end));
        let mut end = 0;
        for range in self.zeros {
            let range = range.start.max(end)..range.end;
            end = end.max(range.end);
            if range.is_empty() {
                continue;
            }
            for left in without(&range, &data) {
                let piece = Piece {
                    range: left.clone(),
                    what: "zeros".into(),
                    fill: Fill::Zero,
                };
                self.data.insert(left.start, piece);
            }
        }
        self.data.into_values().collect()
    }
}

/// The geometry of a device that is going to be written.
///
/// # Errors
/// [`Error::Open`] for sectors of a size that does not boot.
pub fn geometry_of(device: &dyn BlockDevice) -> Result<Geometry, Error> {
    Ok(geometry(device)?)
}
