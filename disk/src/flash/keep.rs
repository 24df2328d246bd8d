//! The state partition of an earlier disk, to be carried over.

use super::error::FlashError;
use super::write::Left;
use crate::commit::Phase;
use crate::disk::geometry;
use crate::layout::{self, guid};
use crate::window::Window;
use crate::{BlockDevice, Error, Report};
use nos_formats::gpt::{self, ArrayPlace, Copy, Entry, Table};
use std::ops::Range;

/// A state partition that is on a disk and stays there, byte for byte, while everything else of
/// the disk is replaced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptState {
    /// The table to stand while the disk is written: this partition and nothing else.
    table: Table,
    entry: Entry,
    /// Whether the disk has a valid backup table.
    has_backup: bool,
}

/// Why there is no state partition to keep.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no state to keep: {why}; leave --keep-state out to replace everything")]
pub struct NoState {
    /// What is missing.
    pub why: String,
}

impl KeptState {
    /// Finds the state partition of a disk, by the primary table or, where that is broken, by the
    /// backup. The disk need not boot: what an earlier flash was cut off at is enough.
    ///
    /// # Errors
    /// [`NoState`] where the disk is not one of ours, or has no state partition, or has two.
    pub fn find(device: &dyn BlockDevice) -> Result<Self, NoState> {
        let no = |why: String| NoState { why };
        let geometry = geometry(device).map_err(|error| no(error.to_string()))?;
        let window = Window::whole(device);
        let last = Copy::Backup(geometry.sectors.saturating_sub(1));
        let backup = Table::read(&window, geometry, last);
        let has_backup = backup.is_ok();
        let old = Table::read(&window, geometry, Copy::Primary)
            .or_else(|error| backup.map_err(|_| error))
            .map_err(|error| no(format!("the disk has no partition table ({error})")))?;
        let state = guid(nos_manifest::STATE_TYPE_GUID);
        let states: Vec<(usize, &Entry)> = old
            .numbered()
            .filter(|(_, entry)| entry.type_guid == state)
            .collect();
        let [(number, entry)] = states.as_slice() else {
            let why = match states.len() {
                0 => "no partition of this disk is a nOs state partition".into(),
                n => format!("{n} partitions of this disk are nOs state partitions"),
            };
            return Err(no(why));
        };
        let entry = (*entry).clone();
        let mut table =
            Table::new(geometry, old.disk_guid).map_err(|error| no(error.to_string()))?;
        table.entries[*number - 1] = Some(entry.clone());
        // Where the old table is not, so that it stays valid until the header changes.
        table.place = if old.has_two_arrays() {
            old.place.other()
        } else {
            ArrayPlace::B
        };
        table
            .check()
            .map_err(|error| no(format!("it cannot stay where it is ({error})")))?;
        Ok(Self {
            table,
            entry,
            has_backup,
        })
    }

    /// Its entry in the partition table, which it keeps.
    pub(super) fn entry(&self) -> &Entry {
        &self.entry
    }

    /// Its number in the partition table of before.
    pub fn number(&self) -> usize {
        let place = self.table.numbered().next();
        place.map_or(0, |(number, _)| number)
    }

    /// Bytes that it has.
    pub fn size_bytes(&self) -> u64 {
        let range = self.range();
        range.end - range.start
    }

    /// Where it is on the disk, in bytes.
    pub(crate) fn range(&self) -> Range<u64> {
        layout::bytes(&self.table, &self.entry)
    }

    /// Where the final table's array goes: not where the one of this time is.
    pub(super) fn next_place(&self) -> ArrayPlace {
        self.table.place.other()
    }

    /// Takes everything but this partition out of the partition table. Until the header is
    /// written the disk is what it was; from then on firmware finds nothing to boot.
    pub(super) fn stand_alone(
        &self,
        device: &mut dyn BlockDevice,
        report: &mut Report,
    ) -> Result<(), FlashError> {
        let table = &self.table;
        let geometry = table.geometry();
        let sector = u64::from(geometry.sector_size);
        let mut array = Phase::default();
        array.put(table.array_lba(table.place) * sector, table.encode_array());
        let mut header = Phase::default();
        header.put(sector, table.encode_primary());
        let mbr = gpt::protective_mbr(geometry.sectors, geometry.sector_size as usize);
        header.put(0, mbr);
        let mut backup = Phase::default();
        crate::install::put_backup(&mut backup, table);
        let failed = |left: Left| move |error: Error| FlashError::of(error, left);
        if !self.has_backup {
            // The header may tear, and would be all there is.
            backup
                .write(device, report)
                .map_err(failed(Left::Uncertain))?;
        }
        array.run(device, report).map_err(failed(Left::Uncertain))?;
        header
            .run(device, report)
            .map_err(failed(Left::Uncertain))?;
        if !self.has_backup {
            return Ok(());
        }
        // The next flush is soon enough for the backup: the primary is durable.
        backup
            .write(device, report)
            .map_err(failed(Left::StateAlone))
    }
}
