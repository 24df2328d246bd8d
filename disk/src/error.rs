//! What can go wrong, in types that a caller can branch on.

use nos_formats::fat::FatError;
use nos_formats::gpt::GptError;
use rustix::io::Errno;
use std::io;
use std::path::{Path, PathBuf};

/// A file or device that cannot be used as a disk.
#[derive(Debug, thiserror::Error)]
pub enum DeviceError {
    /// The system refused.
    #[error("cannot {action} {path}: {source}; {}", remedy(source), path = path.display())]
    Io {
        /// Which file.
        path: PathBuf,
        /// What was tried.
        action: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// Another program has it locked.
    #[error(
        "{path} is in use by another nos (or a virtual machine); wait until that has ended",
        path = path.display()
    )]
    Busy {
        /// Which file.
        path: PathBuf,
    },
    /// A directory, a pipe, a character device.
    #[error("{path} is neither an image file nor a block device; name one", path = path.display())]
    NotADisk {
        /// Which file.
        path: PathBuf,
    },
}

impl DeviceError {
    pub(crate) fn io(path: &Path, action: &'static str, source: io::Error) -> Self {
        let path = path.to_owned();
        let is_socket = source.raw_os_error() == Some(Errno::NXIO.raw_os_error());
        match source.kind() {
            io::ErrorKind::IsADirectory => Self::NotADisk { path },
            _ if is_socket => Self::NotADisk { path },
            _ => Self::Io {
                path,
                action,
                source,
            },
        }
    }
}

fn remedy(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::NotFound => {
            "check the path (`nos image` makes a disk image, `nos flash` writes to a device)"
        }
        io::ErrorKind::PermissionDenied => "run as a user who may, or as root",
        io::ErrorKind::StorageFull | io::ErrorKind::FileTooLarge => {
            "free some space there or name another place"
        }
        io::ErrorKind::ReadOnlyFilesystem => "name another place, or mount it writable",
        io::ErrorKind::NotADirectory | io::ErrorKind::InvalidFilename => "check the path",
        _ if error.raw_os_error() == Some(Errno::LOOP.raw_os_error()) => "check the path",
        io::ErrorKind::AlreadyExists => "name another file, or remove that one",
        _ => "check the device with `dmesg`",
    }
}

/// Why a disk cannot be opened as one of ours.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// No partition table at all.
    #[error(
        "this disk has no GUID partition table, so it is not a nOs disk; `nos image` or `nos flash` makes one"
    )]
    NotGpt,
    /// Both tables are damaged.
    #[error(
        "the primary partition table is broken ({problem}), and so is the backup; the disk must be written again with `nos flash`"
    )]
    TablesBroken {
        /// What is wrong with the primary.
        problem: GptError,
    },
    /// A copy on a medium that is too small for it.
    #[error(
        "the medium has {size} bytes, and partition {number} ({label}) of the disk that was copied onto it ends at byte {end}, or where the table of partitions has to be; copy it to a larger one, or use `nos flash`, which fits a disk to its device"
    )]
    CutOff {
        /// Number of a partition of which a part is missing.
        number: usize,
        /// Its name in the partition table.
        label: String,
        /// Byte at which it ends.
        end: u64,
        /// Bytes of the medium.
        size: u64,
    },
    /// Made by nOs, and what the boot loader reads cannot be found.
    #[error(
        "the boot files of this nOs disk are lost: {why}; its partitions are there, so `nos flash --keep-state` writes everything else anew and leaves the state as it is"
    )]
    BootFiles {
        /// What is missing.
        why: String,
    },
    /// A disk, but not made by nOs.
    #[error("this is not a nOs disk: {why}; `nos flash` would replace everything on it")]
    NotOurs {
        /// What is missing.
        why: String,
    },
    /// Written by a newer program.
    #[error(
        "this disk has format {found} and this program knows formats up to {}; use a newer nos",
        crate::FORMAT_VERSION
    )]
    NewerFormat {
        /// Version on the disk.
        found: u32,
    },
    /// The EFI system partition is damaged.
    #[error(
        "the EFI system partition is damaged: {0}; `nos verify --repair` restores what it can be sure of, `nos flash --keep-state` writes everything but the state anew"
    )]
    Esp(#[from] FatError),
    /// The pointer is not one sector in one place.
    #[error(
        "\\loader\\loader.conf {what}; `nos verify --repair` lets the newest generation boot, as the boot loader does now"
    )]
    Pointer {
        /// What is wrong.
        what: String,
    },
    /// The sectors of the device do not have a size that boots.
    #[error("sectors of {0} bytes are not supported; 512 and 4096 are")]
    SectorSize(u32),
    /// The medium failed.
    #[error("reading the disk failed: {0}; check the device with `dmesg`")]
    Io(#[from] io::Error),
}

/// Where there is too little room, and by how much.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, thiserror::Error)]
pub enum Shortage {
    /// The EFI system partition.
    #[error(
        "the EFI system partition needs {needed} bytes and has {free} free: {} bytes too few; remove old generations with `nos gc`",
        needed - free
    )]
    Esp {
        /// Bytes needed.
        needed: u64,
        /// Bytes free.
        free: u64,
    },
    /// Space for images.
    #[error(
        "image {image:?} needs {needed} bytes in one piece and the largest free piece has {free}: {} bytes too few; remove old generations with `nos gc`, or use a larger disk",
        needed - free
    )]
    Images {
        /// The first image that has no place.
        image: String,
        /// Bytes that it needs.
        needed: u64,
        /// Bytes of the largest free piece.
        free: u64,
    },
    /// Entries of the partition table.
    #[error(
        "{needed} more partitions are needed and {free} are left; remove old generations with `nos gc`"
    )]
    Partitions {
        /// Entries needed.
        needed: usize,
        /// Entries unused.
        free: usize,
    },
    /// Letters of the pointer.
    #[error(
        "the disk has {} generations, as many as there can be; remove some with `nos gc`",
        crate::MAX_GENERATIONS
    )]
    Generations,
    /// The whole disk.
    #[error("the disk has {size} bytes and needs {needed}: {} bytes too few; use a larger one", needed - size)]
    Disk {
        /// Bytes needed.
        needed: u64,
        /// Bytes of the disk.
        size: u64,
    },
}

/// A change that did not happen, or not wholly.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The disk is not one that can be changed.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// There is too little room. Nothing was written.
    #[error(transparent)]
    Space(#[from] Shortage),
    /// No such generation.
    #[error("generation {number} is not on this disk{}", match nearest {
        Some(nearest) => format!("; the nearest one is {nearest}, `nos generations` lists them"),
        None => String::new(),
    })]
    NoGeneration {
        /// The number asked for.
        number: u32,
        /// The one closest to it.
        nearest: Option<u32>,
    },
    /// There is nothing to go back to.
    #[error("generation {current} is the oldest on this disk; there is none to roll back to")]
    NoPrevious {
        /// The one that boots.
        current: u32,
    },
    /// The generation cannot be removed.
    #[error("generation {number} is {role}; {remedy}")]
    Protected {
        /// Its number.
        number: u32,
        /// Why it must stay.
        role: &'static str,
        /// What to do first.
        remedy: &'static str,
    },
    /// What boots anyway cannot be tried.
    #[error("generation {number} is the one that boots; there is nothing to try")]
    TrialOfCurrent {
        /// Its number.
        number: u32,
    },
    /// The generation would not boot.
    #[error(
        "generation {number} would not boot: {why}; choose another, `nos verify` shows which are whole"
    )]
    Broken {
        /// Its number.
        number: u32,
        /// What is missing.
        why: String,
    },
    /// What was to be installed is not what it says it is.
    #[error("{what}; build the system again, and run `nos store verify` if that does not help")]
    Source {
        /// What is wrong.
        what: String,
    },
    /// Reading what was to be installed failed.
    #[error("reading image {image:?} failed: {source}; run `nos store verify`")]
    ReadSource {
        /// Image name.
        image: String,
        /// What the system said.
        source: io::Error,
    },
    /// The medium gave back something else than what was written. The pointer was not changed.
    #[error(
        "the disk does not hold what was written to byte {offset} ({what}); the old generation still boots, replace the disk"
    )]
    ReadBack {
        /// Offset of the first difference.
        offset: u64,
        /// What it belongs to.
        what: String,
    },
    /// The plan for a change does not lead where it should. Nothing was written.
    #[error(
        "the planned change would not give the right disk ({what}); nothing was written, please report this"
    )]
    Plan {
        /// What is off.
        what: String,
    },
    /// The parts of a disk do not fit each other.
    #[error("the disk cannot be laid out: {what}")]
    Layout {
        /// What is wrong, ending with the remedy.
        what: String,
    },
    /// The partition table would be wrong.
    #[error("the partition table cannot be changed: {0}; `nos verify` says more")]
    Table(#[from] GptError),
    /// The EFI system partition would be wrong.
    #[error("the EFI system partition cannot be changed: {0}; `nos verify` says more")]
    Esp(#[from] FatError),
    /// The medium failed.
    #[error(
        "{doing} failed: {source}; the old generation still boots, check the device with `dmesg`"
    )]
    Io {
        /// What was being done.
        doing: &'static str,
        /// What the system said.
        source: io::Error,
    },
}
