//! One partition of a table.

use super::{ENTRY_SIZE, Guid};

/// UTF-16 units that a partition's name may have.
pub const NAME_UNITS: usize = 36;

/// One used entry. Sectors are counted from the start of the disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// What the partition holds.
    pub type_guid: Guid,
    /// The partition's own identity, which Linux calls PARTUUID.
    pub unique_guid: Guid,
    /// First sector.
    pub first_lba: u64,
    /// Last sector, inclusive.
    pub last_lba: u64,
    /// Attribute bits.
    pub attributes: u64,
    /// Name in UTF-16 units, padded with zeros; kept as it is so that a table that was read is
    /// written back unchanged.
    pub name: [u16; NAME_UNITS],
}

impl Entry {
    /// The on-disk form of a name; what does not fit is cut at a character's end.
    pub fn encode_name(name: &str) -> [u16; NAME_UNITS] {
        let mut units = [0; NAME_UNITS];
        let mut used = 0;
        for character in name.chars() {
            let mut buffer = [0; 2];
            let encoded = character.encode_utf16(&mut buffer);
            if used + encoded.len() > NAME_UNITS {
                break;
            }
            units[used..used + encoded.len()].copy_from_slice(encoded);
            used += encoded.len();
        }
        units
    }

    /// The name as text, up to the first zero; broken surrogates become U+FFFD.
    pub fn label(&self) -> String {
        let end = self.name.iter().position(|u| *u == 0).unwrap_or(NAME_UNITS);
        String::from_utf16_lossy(&self.name[..end])
    }

    /// Length in sectors; 0 where the entry ends before it begins.
    pub fn sectors(&self) -> u64 {
        match self.last_lba.checked_sub(self.first_lba) {
            Some(difference) => difference.saturating_add(1),
            None => 0,
        }
    }

    /// Reads 128 bytes; `None` where the entry is unused (its type is zero).
    pub(super) fn parse(bytes: &[u8; ENTRY_SIZE]) -> Option<Self> {
        let type_guid = Guid(array(bytes, 0));
        if type_guid.is_zero() {
            return None;
        }
        let mut name = [0; NAME_UNITS];
        for (unit, pair) in name.iter_mut().zip(bytes[56..].chunks_exact(2)) {
            *unit = u16::from_le_bytes([pair[0], pair[1]]);
        }
        Some(Self {
            type_guid,
            unique_guid: Guid(array(bytes, 16)),
            first_lba: u64::from_le_bytes(array(bytes, 32)),
            last_lba: u64::from_le_bytes(array(bytes, 40)),
            attributes: u64::from_le_bytes(array(bytes, 48)),
            name,
        })
    }

    /// Writes the 128 bytes.
    pub(super) fn encode(&self) -> [u8; ENTRY_SIZE] {
        let mut bytes = [0; ENTRY_SIZE];
        bytes[0..16].copy_from_slice(&self.type_guid.0);
        bytes[16..32].copy_from_slice(&self.unique_guid.0);
        bytes[32..40].copy_from_slice(&self.first_lba.to_le_bytes());
        bytes[40..48].copy_from_slice(&self.last_lba.to_le_bytes());
        bytes[48..56].copy_from_slice(&self.attributes.to_le_bytes());
        for (pair, unit) in bytes[56..].chunks_exact_mut(2).zip(self.name) {
            pair.copy_from_slice(&unit.to_le_bytes());
        }
        bytes
    }
}

/// `N` bytes from `offset`; the callers' offsets are constants inside the structure.
pub(super) fn array<const N: usize>(bytes: &[u8], offset: usize) -> [u8; N] {
    let mut out = [0; N];
    out.copy_from_slice(&bytes[offset..offset + N]);
    out
}
