//! FAT16 and FAT32 volumes: making one, reading one, and changing one in steps that are safe to
//! be cut off between.
//!
//! Specifications: Microsoft's FAT32 File System Specification 1.03 and the UEFI specification
//! 2.10, section 13.3. A change is never written by this module: [`Volume`] keeps the allocation
//! table and the directories in memory, and hands out [`Changes`], sector by sector and sorted by
//! what they make visible, for the caller to write in the order that its promise needs.
//!
//! What makes the order matter, and possible:
//!
//! - file content and new directories go to clusters that nothing refers to;
//! - a new chain in the table is unreachable until a directory names it;
//! - all records of one name lie in one sector, so a name appears by the write of one sector;
//! - everything a changed sector held before keeps its bytes, so even half a write of it changes
//!   nothing but what is new.

mod boot;
mod check;
mod directory;
mod edit;
mod format;
mod name;
mod table;
#[cfg(test)]
mod tests;
mod volume;

pub use boot::{BootIdentity, FatKind, Geometry, restored_boot_sector};
pub use check::Problem;
pub use edit::{Changes, Replaced, SectorWrite};
pub use format::format;
pub use volume::{DirectoryEntry, Volume};

/// Longest file name that this module writes, in UTF-16 units: all its records fit one sector of
/// 512 bytes (16 records) beside nothing else.
pub const MAX_NAME_UNITS: usize = 13 * 15;

/// Most bytes that one allocation table may take, so that a hostile boot sector cannot make the
/// reader allocate more.
pub const MAX_TABLE_BYTES: u64 = 64 << 20;

/// Most directories a volume may have, and most levels of them.
pub const MAX_DIRECTORIES: usize = 4096;

/// What is wrong with a volume, or with a change asked of it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FatError {
    /// The medium did not give the bytes.
    #[error("byte {offset} of the file system cannot be read: {message}")]
    Read {
        /// Offset in the volume.
        offset: u64,
        /// What the medium said.
        message: String,
    },
    /// The boot sector does not describe a FAT16 or FAT32 volume.
    #[error("the boot sector is not that of a FAT16 or FAT32 file system: {0}")]
    Boot(String),
    /// A chain of clusters leaves the volume, loops, or ends early.
    #[error("{path}: its clusters are wrong: {what}")]
    Chain {
        /// File or directory.
        path: String,
        /// What is wrong.
        what: String,
    },
    /// Too many or too deep directories.
    #[error("{path}: more than {MAX_DIRECTORIES} directories, or nested too deep")]
    TooMany {
        /// Directory where the limit was met.
        path: String,
    },
    /// No such file or directory.
    #[error("{path}: no such file or directory in the EFI system partition")]
    NotFound {
        /// Path asked for.
        path: String,
    },
    /// The name is taken.
    #[error("{path}: exists already")]
    Exists {
        /// Path asked for.
        path: String,
    },
    /// A name that FAT cannot hold, or longer than [`MAX_NAME_UNITS`].
    #[error("{name:?} cannot be a file name on a FAT file system")]
    Name {
        /// The name.
        name: String,
    },
    /// Not enough free clusters.
    #[error("{needed} bytes are needed and {free} are free: {} too few", needed - free)]
    Full {
        /// Bytes of the clusters needed.
        needed: u64,
        /// Bytes of the clusters free.
        free: u64,
    },
    /// The root directory of a FAT16 volume cannot grow.
    #[error("{path}: the directory is full")]
    DirectoryFull {
        /// The directory.
        path: String,
    },
    /// No FAT volume of this size can exist.
    #[error(
        "a FAT file system of {bytes} bytes with sectors of {sector_size} cannot be made; {hint}"
    )]
    Size {
        /// Size asked for.
        bytes: u64,
        /// Bytes of a sector.
        sector_size: u32,
        /// What would work.
        hint: String,
    },
}
