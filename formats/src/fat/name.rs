//! File names: long ones in UTF-16 records, and the short one that each must also have.

use super::boot::RECORD;
use super::{FatError, MAX_NAME_UNITS};

/// UTF-16 units in one long-name record, and where they are in it.
const UNITS: usize = 13;
const UNIT_OFFSETS: [usize; UNITS] = [1, 3, 5, 7, 9, 14, 16, 18, 20, 22, 24, 28, 30];

/// Attribute byte of a long-name record.
pub(super) const LONG_NAME: u8 = 0x0F;

/// Whether a name can be stored, and whether in the short form alone.
pub(super) fn check(name: &str) -> Result<(), FatError> {
    let units = name.encode_utf16().count();
    let wrong = name.is_empty()
        || units > MAX_NAME_UNITS
        || name.starts_with(' ')
        || name.ends_with([' ', '.'])
        || name
            .chars()
            .any(|c| c.is_control() || "\"*/:<>?\\|".contains(c));
    if wrong {
        return Err(FatError::Name {
            name: name.chars().take(300).collect(),
        });
    }
    Ok(())
}

/// The name as a short one, where it is one already: upper case, eight and three.
pub(super) fn as_short(name: &str) -> Option<[u8; 11]> {
    let (base, extension) = name.rsplit_once('.').unwrap_or((name, ""));
    let fits = |part: &str, most: usize| {
        part.len() <= most && part.bytes().all(|b| b == short_byte(char::from(b)))
    };
    if base.is_empty() || !fits(base, 8) || !fits(extension, 3) || name.ends_with('.') {
        return None;
    }
    Some(join(base.as_bytes(), extension.as_bytes()))
}

/// A short name for a long one, that `taken` does not hold: letters of the long one, `~`, and
/// the lowest number that is free.
pub(super) fn derive_short(name: &str, taken: impl Fn(&[u8; 11]) -> bool) -> Option<[u8; 11]> {
    let (base, extension) = name.rsplit_once('.').unwrap_or((name, ""));
    let clean = |part: &str, most: usize| -> Vec<u8> {
        part.chars()
            .filter(|c| !matches!(c, ' ' | '.'))
            .map(short_byte)
            .take(most)
            .collect()
    };
    let (base, extension) = (clean(base, 8), clean(extension, 3));
    (1..1_000_000u32).find_map(|number| {
        let tail = format!("~{number}");
        let mut short = base[..base.len().min(8 - tail.len())].to_vec();
        short.extend_from_slice(tail.as_bytes());
        let short = join(&short, &extension);
        (!taken(&short)).then_some(short)
    })
}

fn join(base: &[u8], extension: &[u8]) -> [u8; 11] {
    let mut short = [b' '; 11];
    short[..base.len()].copy_from_slice(base);
    short[8..8 + extension.len()].copy_from_slice(extension);
    short
}

/// The byte of a short name that stands for a character.
fn short_byte(c: char) -> u8 {
    match c {
        'a'..='z' => c.to_ascii_uppercase() as u8,
        'A'..='Z' | '0'..='9' => c as u8,
        c if "!#$%&'()-@^_`{}~".contains(c) => c as u8,
        _ => b'_',
    }
}

/// Sum that ties long-name records to their short name.
pub(super) fn checksum(short: &[u8; 11]) -> u8 {
    short
        .iter()
        .fold(0u8, |sum, byte| sum.rotate_right(1).wrapping_add(*byte))
}

/// The long-name records of a name in the order in which they stand on disk: last part first.
pub(super) fn encode_long(name: &str, short: &[u8; 11]) -> Vec<[u8; RECORD]> {
    let mut units: Vec<u16> = name.encode_utf16().collect();
    if !units.len().is_multiple_of(UNITS) {
        units.push(0);
    }
    while !units.len().is_multiple_of(UNITS) {
        units.push(0xFFFF);
    }
    let parts = units.chunks_exact(UNITS).enumerate();
    let count = units.len() / UNITS;
    let mut records: Vec<[u8; RECORD]> = parts
        .map(|(index, part)| {
            let mut record = [0; RECORD];
            let last = if index + 1 == count { 0x40 } else { 0 };
            record[0] = (index as u8 + 1) | last;
            record[11] = LONG_NAME;
            record[13] = checksum(short);
            for (unit, offset) in part.iter().zip(UNIT_OFFSETS) {
                record[offset..offset + 2].copy_from_slice(&unit.to_le_bytes());
            }
            record
        })
        .collect();
    records.reverse();
    records
}

/// Collects long-name records while a directory is read.
#[derive(Debug, Default)]
pub(super) struct LongName {
    units: Vec<u16>,
    expected: u8,
    checksum: u8,
}

impl LongName {
    /// Takes one long-name record.
    pub(super) fn push(&mut self, record: &[u8]) {
        let order = record[0] & 0x3F;
        if record[0] & 0x40 != 0 {
            *self = Self {
                units: Vec::new(),
                expected: order,
                checksum: record[13],
            };
        }
        if order == 0 || order > 20 || order != self.expected || record[13] != self.checksum {
            *self = Self::default();
            return;
        }
        self.expected -= 1;
        let part = UNIT_OFFSETS.map(|at| u16::from_le_bytes([record[at], record[at + 1]]));
        self.units.splice(0..0, part);
    }

    /// The name, if the records before this short name were complete and belong to it.
    pub(super) fn take(&mut self, short: &[u8; 11]) -> Option<String> {
        let this = std::mem::take(self);
        if this.units.is_empty() || this.expected != 0 || this.checksum != checksum(short) {
            return None;
        }
        let end = this
            .units
            .iter()
            .position(|u| *u == 0)
            .unwrap_or(this.units.len());
        Some(String::from_utf16_lossy(&this.units[..end]))
    }
}

/// A short name as text; `case` is byte 12 of the record, whose bits ask for small letters.
pub(super) fn decode_short(short: &[u8; 11], case: u8) -> String {
    let part = |bytes: &[u8], lower: bool| -> String {
        let text: String = bytes.iter().map(|b| char::from(*b)).collect();
        let text = text.trim_end_matches(' ');
        if lower {
            text.to_ascii_lowercase()
        } else {
            text.to_owned()
        }
    };
    let mut bytes = *short;
    if bytes[0] == 0x05 {
        bytes[0] = 0xE5;
    }
    let base = part(&bytes[..8], case & 0x08 != 0);
    let extension = part(&bytes[8..], case & 0x10 != 0);
    if extension.is_empty() {
        base
    } else {
        format!("{base}.{extension}")
    }
}

/// Whether two names are the same file to a FAT file system.
pub(super) fn same(a: &str, b: &str) -> bool {
    a.eq_ignore_ascii_case(b) || a.to_lowercase() == b.to_lowercase()
}
