//! One directory: its records, and where a new name can be put.

use super::boot::RECORD;
use super::name::{self, LongName};
use super::volume::DirectoryEntry;

/// Record marks in the first byte.
const END: u8 = 0x00;
const DELETED: u8 = 0xE5;

/// Attribute bits.
pub(super) const ATTRIBUTE_READ_ONLY: u8 = 0x01;
pub(super) const ATTRIBUTE_LABEL: u8 = 0x08;
pub(super) const ATTRIBUTE_DIRECTORY: u8 = 0x10;
pub(super) const ATTRIBUTE_ARCHIVE: u8 = 0x20;

/// 1 January 1980, the first date that FAT can say: a file's time is no part of a volume made
/// from the same input.
const DATE: u16 = 0x0021;

/// Most bytes of one directory, as the specification limits it.
pub(super) const MAX_BYTES: u64 = 65_536 * RECORD as u64;

/// The bytes of a directory and where they are.
#[derive(Debug, Clone)]
pub(super) struct Directory {
    /// Path with `/`, empty for the root; for messages.
    pub(super) path: String,
    /// Its clusters; empty for the fixed root directory of FAT16.
    pub(super) clusters: Vec<u32>,
    pub(super) bytes: Vec<u8>,
}

/// Where the records of a new name go.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// Index of the first record.
    pub(super) slot: usize,
    /// Records before it that must be marked deleted, since the mark of the end is there now.
    pub(super) pad: std::ops::Range<usize>,
}

impl Directory {
    /// Every name but `.`, `..` and the volume label, in order.
    pub(super) fn entries(&self) -> Vec<DirectoryEntry> {
        let mut entries = Vec::new();
        let mut long = LongName::default();
        let mut first_slot = 0;
        for (slot, record) in self.bytes.chunks_exact(RECORD).enumerate() {
            match (record[0], record[11]) {
                (END, _) => break,
                (DELETED, _) => long = LongName::default(),
                (mark, name::LONG_NAME) => {
                    if mark & 0x40 != 0 {
                        first_slot = slot;
                    }
                    long.push(record);
                }
                (_, attributes) if attributes & ATTRIBUTE_LABEL != 0 => long = LongName::default(),
                (mark, attributes) => {
                    let Some(short) = record.first_chunk::<11>() else {
                        continue;
                    };
                    let long_name = long.take(short);
                    if mark == b'.' {
                        continue;
                    }
                    let high = u16::from_le_bytes([record[20], record[21]]);
                    let low = u16::from_le_bytes([record[26], record[27]]);
                    entries.push(DirectoryEntry {
                        slots: if long_name.is_some() {
                            first_slot..slot + 1
                        } else {
                            slot..slot + 1
                        },
                        name: long_name.unwrap_or_else(|| name::decode_short(short, record[12])),
                        short: *short,
                        directory: attributes & ATTRIBUTE_DIRECTORY != 0,
                        read_only: attributes & ATTRIBUTE_READ_ONLY != 0,
                        first_cluster: u32::from(high) << 16 | u32::from(low),
                        size: u32::from_le_bytes([record[28], record[29], record[30], record[31]]),
                    });
                }
            }
        }
        entries
    }

    /// The place for `count` records that all lie in one sector: a run of deleted records, else
    /// behind the last one. The place may lie past the end of the directory, which then grows.
    pub(super) fn place(&self, count: usize, sector_size: usize) -> Place {
        let per_sector = sector_size / RECORD;
        let slots = self.bytes.len() / RECORD;
        let mark = |slot: usize| self.bytes[slot * RECORD];
        let end = (0..slots).find(|slot| mark(*slot) == END).unwrap_or(slots);
        let mut run = 0;
        for slot in 0..end {
            if slot % per_sector == 0 {
                run = 0;
            }
            run = if mark(slot) == DELETED { run + 1 } else { 0 };
            if run == count {
                return Place {
                    slot: slot + 1 - count,
                    pad: 0..0,
                };
            }
        }
        if end % per_sector + count <= per_sector {
            return Place {
                slot: end,
                pad: 0..0,
            };
        }
        let next = end.next_multiple_of(per_sector);
        Place {
            slot: next,
            pad: end..next,
        }
    }

    /// Changes the first cluster, the size and whether it may be written, in a short-name record.
    pub(super) fn alter(&mut self, slot: usize, cluster: u32, size: u32, read_only: bool) {
        let Some(bytes) = self.bytes.chunks_exact_mut(RECORD).nth(slot) else {
            return;
        };
        bytes[11] &= !ATTRIBUTE_READ_ONLY;
        bytes[11] |= if read_only { ATTRIBUTE_READ_ONLY } else { 0 };
        bytes[20..22].copy_from_slice(&((cluster >> 16) as u16).to_le_bytes());
        bytes[26..28].copy_from_slice(&(cluster as u16).to_le_bytes());
        bytes[28..32].copy_from_slice(&size.to_le_bytes());
    }

    /// Marks records deleted.
    pub(super) fn delete(&mut self, slots: std::ops::Range<usize>) {
        for slot in slots {
            self.bytes[slot * RECORD] = DELETED;
        }
    }

    /// Puts records at `slot`. Where they become the last ones, what follows in the sector is
    /// cleared, so that the end is marked.
    pub(super) fn put(&mut self, slot: usize, records: &[[u8; RECORD]], sector_size: usize) {
        let was_end = self.bytes[slot * RECORD] == END;
        for (index, record) in records.iter().enumerate() {
            let at = (slot + index) * RECORD;
            self.bytes[at..at + RECORD].copy_from_slice(record);
        }
        if was_end {
            let at = (slot + records.len()) * RECORD;
            let sector_end = at.next_multiple_of(sector_size).min(self.bytes.len());
            self.bytes[at..sector_end].fill(0);
        }
    }
}

/// The short-name record of a file or directory.
pub(super) fn record(short: &[u8; 11], attributes: u8, cluster: u32, size: u32) -> [u8; RECORD] {
    let mut record = [0; RECORD];
    record[..11].copy_from_slice(short);
    record[11] = attributes;
    for offset in [16, 18, 24] {
        record[offset..offset + 2].copy_from_slice(&DATE.to_le_bytes());
    }
    record[20..22].copy_from_slice(&((cluster >> 16) as u16).to_le_bytes());
    record[26..28].copy_from_slice(&(cluster as u16).to_le_bytes());
    record[28..32].copy_from_slice(&size.to_le_bytes());
    record
}

/// The records `.` and `..` that begin a directory in `cluster`. The parent's number is 0 where
/// the parent is the root directory, on FAT32 too.
pub(super) fn dots(cluster: u32, parent: u32) -> [[u8; RECORD]; 2] {
    [
        record(b".          ", ATTRIBUTE_DIRECTORY, cluster, 0),
        record(b"..         ", ATTRIBUTE_DIRECTORY, parent, 0),
    ]
}
