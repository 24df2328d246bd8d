//! Reading a GUID partition table (UEFI specification 2.10, chapter 5).
//!
//! Only the primary table is read, and only to find partitions that the kernel has found too:
//! the kernel has checked the table's checksums before it made partition devices of it.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

/// Most table entries that are looked at.
const MAX_ENTRIES: u32 = 1024;
/// Largest entry, in bytes, that a table may declare.
const MAX_ENTRY_BYTES: u32 = 4096;

/// One used entry of the table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Partition {
    /// Its number, counted from 1 as the kernel does.
    pub number: u32,
    /// Type GUID, lower-case text form.
    pub type_guid: String,
    /// Unique GUID (PARTUUID), lower-case text form.
    pub unique_guid: String,
    /// Its first sector.
    pub first_lba: u64,
}

/// Where the entries of a table are, as its header says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entries {
    /// Offset of the first entry in bytes from the start of the disk.
    pub offset_bytes: u64,
    /// Number of entries.
    pub count: u32,
    /// Length of one entry in bytes.
    pub entry_bytes: u32,
}

impl Entries {
    /// Length of all entries in bytes, at most 4 MiB.
    pub fn total_bytes(&self) -> usize {
        self.count as usize * self.entry_bytes as usize
    }
}

fn field<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..at.checked_add(N)?)?.try_into().ok()
}

/// Reads the header, the second logical block of a disk. `None` where it is not one, or declares
/// a table beyond all measure.
pub fn header(block: &[u8], sector_bytes: u64) -> Option<Entries> {
    if field::<8>(block, 0)? != *b"EFI PART" {
        return None;
    }
    let lba = u64::from_le_bytes(field(block, 72)?);
    let count = u32::from_le_bytes(field(block, 80)?);
    let entry_bytes = u32::from_le_bytes(field(block, 84)?);
    let sane = (128..=MAX_ENTRY_BYTES).contains(&entry_bytes) && count <= MAX_ENTRIES;
    let offset_bytes = lba.checked_mul(sector_bytes)?;
    sane.then_some(Entries {
        offset_bytes,
        count,
        entry_bytes,
    })
}

/// Reads the entries; unused ones are left out.
pub fn partitions(entries: &Entries, bytes: &[u8]) -> Vec<Partition> {
    let mut found = Vec::new();
    for (number, entry) in (1..).zip(bytes.chunks_exact(entries.entry_bytes.max(128) as usize)) {
        let (Some(type_guid), Some(unique_guid), Some(first_lba)) =
            (field(entry, 0), field(entry, 16), field(entry, 32))
        else {
            break;
        };
        if type_guid != [0; 16] {
            found.push(Partition {
                number,
                type_guid: guid_text(type_guid),
                unique_guid: guid_text(unique_guid),
                first_lba: u64::from_le_bytes(first_lba),
            });
        }
    }
    found
}

/// The text form of a GUID as it is stored: the first three groups are little-endian.
fn guid_text(bytes: [u8; 16]) -> String {
    let [a, b, c, d, e, f, g, h, i, j, tail @ ..] = bytes;
    format!(
        "{:08x}-{:04x}-{:04x}-{i:02x}{j:02x}-{:012x}",
        u32::from_le_bytes([a, b, c, d]),
        u16::from_le_bytes([e, f]),
        u16::from_le_bytes([g, h]),
        tail.iter()
            .fold(0_u64, |sum, byte| sum << 8 | u64::from(*byte)),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header_block(lba: u64, count: u32, entry_bytes: u32) -> Vec<u8> {
        let mut block = vec![0_u8; 512];
        block[..8].copy_from_slice(b"EFI PART");
        block[72..80].copy_from_slice(&lba.to_le_bytes());
        block[80..84].copy_from_slice(&count.to_le_bytes());
        block[84..88].copy_from_slice(&entry_bytes.to_le_bytes());
        block
    }

    #[test]
    fn entries_are_found_where_the_header_says() {
        let entries = header(&header_block(2, 128, 128), 4096).unwrap();
        assert_eq!(
            entries,
            Entries {
                offset_bytes: 8192,
                count: 128,
                entry_bytes: 128
            }
        );
        let mut bytes = vec![0_u8; entries.total_bytes()];
        let state: Vec<u8> = (0..16).collect();
        bytes[128..144].copy_from_slice(&state);
        bytes[144..160].copy_from_slice(&state);
        bytes[160..162].copy_from_slice(&2048_u16.to_le_bytes());
        let found = partitions(&entries, &bytes);
        let guid = "03020100-0504-0706-0809-0a0b0c0d0e0f";
        let wanted = Partition {
            number: 2,
            type_guid: guid.into(),
            unique_guid: guid.into(),
            first_lba: 2048,
        };
        assert_eq!(found, [wanted]);
    }

    #[test]
    fn a_hostile_header_is_refused() {
        assert_eq!(header(&[], 512), None);
        assert_eq!(header(&[0; 512], 512), None);
        assert_eq!(header(&header_block(2, 128, 0), 512), None);
        assert_eq!(header(&header_block(2, 128, u32::MAX), 512), None);
        assert_eq!(header(&header_block(2, u32::MAX, 128), 512), None);
        assert_eq!(header(&header_block(u64::MAX, 128, 128), 512), None);
        assert_eq!(header(&header_block(2, 1, 128)[..86], 512), None);
    }

    #[test]
    fn a_short_table_gives_what_is_there() {
        let entries = Entries {
            offset_bytes: 0,
            count: 128,
            entry_bytes: 128,
        };
        assert_eq!(partitions(&entries, &[1; 100]), []);
        assert_eq!(partitions(&entries, &[1; 300]).len(), 2);
    }
}
