//! What changed a disk, kept on the disk itself, so that it travels with it.
//!
//! The log is a file of a fixed size on the EFI system partition, made with the disk and written
//! in place, one sector for each operation, the oldest first to go. Writing it allocates nothing
//! and touches neither tables nor names nor the pointer, and it happens when the change that it
//! tells of is complete. So a record that is torn or never written costs a line of history and
//! nothing else; its checksum does not match and it is passed over.
//!
//! A record is the sector's text: `nos-log 1 XXXXXXXX` with a CRC-32 of the whole sector (its own
//! digits taken as `0`), a line of JSON, and spaces.

use crate::commit::{Phase, flush};
use crate::disk::Disk;
use crate::entry::KERNELS;
use crate::{Error, Report};
use nos_formats::gpt::crc32;
use nos_formats::read_at::ReadAt;
use serde::{Deserialize, Serialize};

/// Operations that a disk remembers.
pub const LOG_RECORDS: usize = 128;

/// Name of the log among the kernel images.
const NAME: &str = "log";

const HEAD: &str = "nos-log 1 ";

/// Bytes of the head line: word, version, checksum, newline.
const HEAD_BYTES: usize = HEAD.len() + 8 + 1;

/// Longest texts kept, in bytes of JSON: with all of them a record fits the smallest sector.
const MAX_WORD: usize = 24;
const MAX_WHO: usize = 64;
const MAX_NOTE: usize = 160;

/// Something that was done to a disk.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct LoggedOperation {
    /// What was done: `install`, `switch`, `rollback`, …
    pub what: String,
    /// When, in seconds since 1970; `None` where that would make equal disks differ.
    pub when: Option<u64>,
    /// By whom: `user@machine`.
    pub who: String,
    /// The generation that booted before.
    pub from: Option<u32>,
    /// The generation that boots since; for a trial the one that the next boot tries.
    pub to: Option<u32>,
    /// Anything else worth knowing.
    pub note: String,
    /// Version of the program.
    pub nos: String,
}

/// A record of the log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogRecord {
    /// Counts the operations of the disk, from 1.
    pub number: u64,
    /// What was done.
    #[serde(flatten)]
    pub operation: LoggedOperation,
}

/// Sectors of the log: where each lies in the EFI system partition, and its bytes.
type Sectors = Vec<(u64, Vec<u8>)>;

/// Path of the log.
pub(crate) fn path() -> String {
    format!("{KERNELS}/{NAME}")
}

/// What a new disk's log holds: nothing yet.
pub(crate) fn empty(sector_size: u32) -> Vec<u8> {
    vec![0; LOG_RECORDS * sector_size as usize]
}

impl Disk<'_> {
    /// The operations that the disk remembers, the oldest first; `None` where it has no log.
    ///
    /// # Errors
    /// [`Error::Esp`] where the EFI system partition cannot be read.
    pub fn log(&self) -> Result<Option<Vec<LogRecord>>, Error> {
        let Some(sectors) = self.log_sectors()? else {
            return Ok(None);
        };
        let mut records: Vec<LogRecord> = sectors.iter().filter_map(|(_, s)| parse(s)).collect();
        records.sort_by_key(|record| record.number);
        Ok(Some(records))
    }

    /// Remembers an operation: one sector and a flush. Whether it did: a disk without a log is
    /// left as it is.
    ///
    /// # Errors
    /// [`Error::Esp`], [`Error::Io`]; what was done before stays done.
    pub fn remember(&mut self, operation: &LoggedOperation) -> Result<bool, Error> {
        if self.unsure() {
            self.refresh()?;
        }
        let Some(sectors) = self.log_sectors()? else {
            return Ok(false);
        };
        let last = sectors.iter().filter_map(|(_, sector)| parse(sector));
        let last = last.map(|record| record.number).max().unwrap_or(0);
        let slots = sectors.len().max(1) as u64;
        let slot = usize::try_from(last % slots).unwrap_or(0);
        let Some((offset, old)) = sectors.get(slot) else {
            return Ok(false);
        };
        // Never over anything but a record or nothing, whatever a damaged table says.
        if !is_ours(old) {
            return Ok(false);
        }
        let record = LogRecord {
            number: last.saturating_add(1),
            operation: cut(operation),
        };
        let Some(sector) = encode(&record, old.len()) else {
            return Ok(false);
        };
        let mut phase = Phase::default();
        phase.put(self.state.esp.start + *offset, sector);
        let mut report = Report::default();
        phase.write(self.device, &mut report)?;
        flush(self.device, &mut report)?;
        Ok(true)
    }

    /// Every sector of the log, with its place in the EFI system partition.
    fn log_sectors(&self) -> Result<Option<Sectors>, Error> {
        let (path, volume) = (path(), &self.state.volume);
        let Ok(file) = volume.find(&path) else {
            return Ok(None);
        };
        let window = self.state.esp_window(self.device);
        let sector = u64::from(self.device.sector_size());
        let mut sectors = Vec::new();
        let limit = (u64::from(file.size) / sector).min(LOG_RECORDS as u64);
        for extent in volume.extents(&path)? {
            let left = limit.saturating_sub(sectors.len() as u64);
            let count = ((extent.end - extent.start) / sector).min(left);
            let mut bytes = vec![0; (count * sector) as usize];
            let read = window.read_at(extent.start, &mut bytes);
            read.map_err(|source| Error::Io {
                doing: "reading the log",
                source,
            })?;
            let each = bytes.chunks_exact(sector as usize).enumerate();
            let place = |index| extent.start + index as u64 * sector;
            sectors.extend(each.map(|(index, bytes)| (place(index), bytes.to_vec())));
        }
        Ok(Some(sectors))
    }
}

/// Whether a sector holds a record, a torn one, or nothing.
fn is_ours(sector: &[u8]) -> bool {
    let mut head = sector.iter().zip(HEAD.as_bytes());
    let begun = sector.first() == HEAD.as_bytes().first();
    let torn = begun && head.all(|(byte, wanted)| byte == wanted || *byte == 0);
    torn || sector.iter().all(|byte| *byte == 0)
}

/// An operation whose texts fit a record.
fn cut(operation: &LoggedOperation) -> LoggedOperation {
    LoggedOperation {
        what: short(&operation.what, MAX_WORD),
        who: short(&operation.who, MAX_WHO),
        note: short(&operation.note, MAX_NOTE),
        nos: short(&operation.nos, MAX_WORD),
        ..operation.clone()
    }
}

/// The beginning of a text that is plain and has at most `limit` bytes in JSON.
fn short(text: &str, limit: usize) -> String {
    let mut used = 0;
    let plain = text.chars().map(|c| match c {
        c if c.is_control() => ' ',
        c => c,
    });
    plain
        .take_while(|c| {
            used += if matches!(c, '"' | '\\') {
                2
            } else {
                c.len_utf8()
            };
            used <= limit
        })
        .collect()
}

/// The sector; `None` where the record does not fit it.
fn encode(record: &LogRecord, sector_size: usize) -> Option<Vec<u8>> {
    let json = serde_json::to_vec(record).ok()?;
    let mut sector = format!("{HEAD}00000000\n").into_bytes();
    sector.extend_from_slice(&json);
    sector.push(b'\n');
    if sector.len() > sector_size {
        return None;
    }
    sector.resize(sector_size, b' ');
    let sum = format!("{:08x}", crc32(&sector));
    sector
        .get_mut(HEAD.len()..HEAD.len() + 8)?
        .copy_from_slice(sum.as_bytes());
    Some(sector)
}

/// Reads a sector; `None` where it holds no whole record.
fn parse(sector: &[u8]) -> Option<LogRecord> {
    let sum = sector.strip_prefix(HEAD.as_bytes())?.get(..8)?;
    let sum = u32::from_str_radix(std::str::from_utf8(sum).ok()?, 16).ok()?;
    let mut plain = sector.to_vec();
    plain.get_mut(HEAD.len()..HEAD.len() + 8)?.fill(b'0');
    if crc32(&plain) != sum {
        return None;
    }
    let text = sector.get(HEAD_BYTES..)?;
    let end = text.iter().position(|byte| *byte == b'\n')?;
    serde_json::from_slice(text.get(..end)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::expect;
    use proptest::prelude::*;

    fn record(number: u64) -> LogRecord {
        LogRecord {
            number,
            operation: LoggedOperation {
                what: "switch".into(),
                when: Some(1_760_000_000),
                who: "ada@workshop".into(),
                from: Some(41),
                to: Some(42),
                note: String::new(),
                nos: "0.1.0".into(),
            },
        }
    }

    #[test]
    fn bytes_are_pinned() {
        let sector = encode(&record(7), 512).unwrap();
        assert_eq!(sector.len(), 512);
        expect![[r#"
            nos-log 1 00000000
            {"number":7,"what":"switch","when":1760000000,"who":"ada@workshop","from":41,"to":42,"note":"","nos":"0.1.0"}"#]]
        .assert_eq(
            String::from_utf8(sector.clone())
                .unwrap()
                .replace(&String::from_utf8(sector[10..18].to_vec()).unwrap(), "00000000")
                .trim_end(),
        );
        assert_eq!(parse(&sector), Some(record(7)));
    }

    #[test]
    fn the_longest_record_fits_the_smallest_sector() {
        for text in ["\"", "é", "\u{1}", "x"] {
            let long = text.repeat(1000);
            let operation = LoggedOperation {
                what: long.clone(),
                when: Some(u64::MAX),
                who: long.clone(),
                from: Some(u32::MAX),
                to: Some(u32::MAX),
                note: long.clone(),
                nos: long,
            };
            let record = LogRecord {
                number: u64::MAX,
                operation: cut(&operation),
            };
            let sector = encode(&record, 512).unwrap();
            assert_eq!(parse(&sector), Some(record));
        }
    }

    proptest! {
        /// Any mixture of the bytes of two sectors is one of the two, or no record.
        #[test]
        fn a_torn_record_is_no_record(mask in proptest::collection::vec(any::<bool>(), 512)) {
            let (old, new) = (encode(&record(7), 512).unwrap(), encode(&record(135), 512).unwrap());
            let mut torn = old.clone();
            for (index, byte) in torn.iter_mut().enumerate() {
                if mask[index] {
                    *byte = new[index];
                }
            }
            let read = parse(&torn);
            prop_assert!(read.is_none() || read == Some(record(7)) || read == Some(record(135)));
        }

        #[test]
        fn noise_is_no_record(sector in proptest::collection::vec(any::<u8>(), 0..600)) {
            prop_assert_eq!(parse(&sector), None);
        }
    }
}
