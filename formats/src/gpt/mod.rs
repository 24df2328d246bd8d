//! GUID partition tables, after the UEFI specification 2.10, chapter 5.
//!
//! Unlike general partitioning libraries this module keeps *two* places for the primary entry
//! array, so that a changed table is written beside the one in use and becomes valid by the write
//! of one sector, the header. A disk therefore has a valid primary table at every instant.
//!
//! | Sectors | What |
//! |---|---|
//! | 0 | protective MBR |
//! | 1 | primary header, names one of the two arrays |
//! | 2 … 1+n | array A (where the specification puts it, and where firmware restores it) |
//! | 2+n … 1+2n | array B |
//! | … | partitions |
//! | last−n … last−1 | array of the backup |
//! | last | backup header |
//!
//! n = 16384 / sector size: 128 entries of 128 bytes.

mod crc;
mod entry;
mod guid;
mod header;
mod mbr;
mod table;
#[cfg(test)]
mod tests;

pub use crc::crc32;
pub use entry::{Entry, NAME_UNITS};
pub use guid::{Guid, GuidError};
pub use header::Header;
pub use mbr::{is_protective, protective_mbr};
pub use table::{ArrayPlace, Copy, Geometry, Table};

/// Entries in a table; the specification's minimum, and what every tool writes.
pub const ENTRY_COUNT: usize = 128;

/// Bytes of one entry.
pub const ENTRY_SIZE: usize = 128;

/// Bytes of an entry array.
pub const ARRAY_SIZE: usize = ENTRY_COUNT * ENTRY_SIZE;

/// Type of the EFI system partition.
pub const ESP_TYPE_GUID: &str = "c12a7328-f81f-11d2-ba4b-00a0c93ec93b";

/// What is wrong with a table that was read, or would be wrong with one to be written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GptError {
    /// The medium did not give the bytes.
    #[error("sector {lba} cannot be read: {message}")]
    Read {
        /// First sector of the read.
        lba: u64,
        /// What the medium said.
        message: String,
    },
    /// No `EFI PART` where a header belongs.
    #[error("no partition table header in sector {lba}")]
    NoSignature {
        /// Sector examined.
        lba: u64,
    },
    /// A field has a value that this module does not take.
    #[error("the partition table header in sector {lba} is wrong: {what}")]
    BadHeader {
        /// Sector of the header.
        lba: u64,
        /// Which field, and why.
        what: String,
    },
    /// The entry array does not have the checksum that its header states.
    #[error("the partition entries in sector {lba} do not match their checksum")]
    BadArray {
        /// First sector of the array.
        lba: u64,
    },
    /// An entry lies outside the usable sectors, ends before it begins, or overlaps another.
    #[error("partition {number} is wrong: {what}")]
    BadEntry {
        /// Partition number, from 1.
        number: usize,
        /// What is wrong.
        what: String,
    },
    /// The disk cannot hold the two tables.
    #[error("a disk of {sectors} sectors is too small for a partition table")]
    TooSmall {
        /// Sectors of the disk.
        sectors: u64,
    },
}
