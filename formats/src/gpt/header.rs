//! The header: one sector that makes a table valid.

use super::entry::array;
use super::{ARRAY_SIZE, ENTRY_COUNT, ENTRY_SIZE, GptError, Guid, crc32};

const SIGNATURE: &[u8; 8] = b"EFI PART";
const REVISION: u32 = 0x0001_0000;
const HEADER_SIZE: usize = 92;

/// The fields of a header that is valid in itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// Sector that this header is in.
    pub my_lba: u64,
    /// Sector of the other header.
    pub alternate_lba: u64,
    /// First sector that a partition may use.
    pub first_usable: u64,
    /// Last sector that a partition may use, inclusive.
    pub last_usable: u64,
    /// The disk's own identity.
    pub disk_guid: Guid,
    /// First sector of the entry array.
    pub array_lba: u64,
    /// Checksum of the entry array.
    pub array_crc: u32,
}

impl Header {
    /// Reads the header from the bytes of sector `lba`.
    ///
    /// # Errors
    /// [`GptError::NoSignature`] where there is none, [`GptError::BadHeader`] where its checksum,
    /// its own position or the shape of its array is not what this module writes.
    pub fn parse(sector: &[u8], lba: u64) -> Result<Self, GptError> {
        let bad = |what: String| GptError::BadHeader { lba, what };
        if sector.len() < HEADER_SIZE || &sector[0..8] != SIGNATURE {
            return Err(GptError::NoSignature { lba });
        }
        let u32_at = |offset| u32::from_le_bytes(array(sector, offset));
        let u64_at = |offset| u64::from_le_bytes(array(sector, offset));
        let size = u32_at(12);
        let covered = usize::try_from(size)
            .ok()
            .filter(|size| *size >= HEADER_SIZE && *size <= sector.len())
            .ok_or_else(|| bad(format!("it says it is {size} bytes long")))?;
        let mut copy = sector[..covered].to_vec();
        copy[16..20].fill(0);
        if crc32(&copy) != u32_at(16) {
            return Err(bad("its checksum does not match".into()));
        }
        if u32_at(8) != REVISION {
            return Err(bad(format!("revision {:#x} is not known", u32_at(8))));
        }
        if u64_at(24) != lba {
            return Err(bad(format!("it says it is sector {}", u64_at(24))));
        }
        if u32_at(80) as usize != ENTRY_COUNT || u32_at(84) as usize != ENTRY_SIZE {
            return Err(bad(format!(
                "{} entries of {} bytes; {ENTRY_COUNT} of {ENTRY_SIZE} are supported",
                u32_at(80),
                u32_at(84)
            )));
        }
        Ok(Self {
            my_lba: lba,
            alternate_lba: u64_at(32),
            first_usable: u64_at(40),
            last_usable: u64_at(48),
            disk_guid: Guid(array(sector, 56)),
            array_lba: u64_at(72),
            array_crc: u32_at(88),
        })
    }

    /// Writes the header as one sector of `sector_size` bytes.
    pub fn encode(&self, sector_size: usize) -> Vec<u8> {
        let mut sector = vec![0; sector_size.max(HEADER_SIZE)];
        let mut put = |offset: usize, bytes: &[u8]| {
            sector[offset..offset + bytes.len()].copy_from_slice(bytes);
        };
        put(0, SIGNATURE);
        put(8, &REVISION.to_le_bytes());
        put(12, &(HEADER_SIZE as u32).to_le_bytes());
        put(24, &self.my_lba.to_le_bytes());
        put(32, &self.alternate_lba.to_le_bytes());
        put(40, &self.first_usable.to_le_bytes());
        put(48, &self.last_usable.to_le_bytes());
        put(56, &self.disk_guid.0);
        put(72, &self.array_lba.to_le_bytes());
        put(80, &(ENTRY_COUNT as u32).to_le_bytes());
        put(84, &(ENTRY_SIZE as u32).to_le_bytes());
        put(88, &self.array_crc.to_le_bytes());
        let crc = crc32(&sector[..HEADER_SIZE]);
        sector[16..20].copy_from_slice(&crc.to_le_bytes());
        sector
    }

    /// Sectors of an entry array on a disk with sectors of `sector_size` bytes.
    pub(super) fn array_sectors(sector_size: u32) -> u64 {
        (ARRAY_SIZE as u64).div_ceil(u64::from(sector_size))
    }
}
