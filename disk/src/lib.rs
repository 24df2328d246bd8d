//! Block devices, layout, generations and the commit protocol.
//!
//! A disk holds an EFI system partition with the boot loader, one kernel image per distinct
//! system and one boot entry per generation; a partition per service image; and the state
//! partition. [`create`] makes one, [`Disk`] changes one.
//!
//! # The commit protocol
//!
//! Everything is written through [`BlockDevice`]. A change is first computed in memory and looked
//! at through the same eyes that will read the disk, then written in phases with a flush behind
//! each. Within a phase the medium may write in any order, so a phase only holds writes that need
//! nothing of each other:
//!
//! | Phase of an install | What becomes visible |
//! |---|---|
//! | 1. images, kernel image, entry file, allocation tables, the partition array not in use | nothing |
//! | 2. primary partition header; name of the kernel image | partitions, the kernel image |
//! | 3. name of the boot entry; backup partition table | the generation, in the menu |
//! | 4. the pointer: one sector of `loader.conf` | it boots |
//!
//! A removal runs the other way: (1) entry names, and the partition array not in use; (2) kernel
//! image names and the partition header; (3) allocation tables and the backup table. A switch is
//! the pointer alone. What a change that was cut off left behind is in no menu, and the next
//! change clears it.
//!
//! No flush is there for good measure: the tests take out each one and see the proof fail.
//!
//! Assumed of the medium: a sector of the device's logical size is written whole or not at all,
//! except that the pointer may tear at any byte and a header anywhere; a flush makes everything
//! before it durable. Nothing is assumed about order between two flushes.
#![forbid(unsafe_code)]

mod commit;
mod create;
mod device;
mod disk;
mod entry;
mod error;
mod facts;
pub mod flash;
mod grow;
mod heal;
mod identity;
mod image;
mod install;
mod kernel;
mod layout;
mod log;
mod pin;
mod read;
mod recover;
mod remove;
mod repair;
mod source;
mod switch;
mod verify;
mod window;

pub use create::{NewDisk, create, minimum_size};
pub use device::{
    AlignedBuffer, BlockDevice, DirectDevice, FailedTransfer, FileDevice, MemoryDevice, Operation,
    RecordingDevice, Sharing,
};
pub use disk::{BackupTable, Disk};
pub use entry::MAX_ENTRY_BYTES;
pub use error::{DeviceError, Error, OpenError, Shortage};
pub use facts::{GenerationInfo, ImageInfo, Progress, Report, VerdictInfo};
pub use grow::StateSize;
pub use install::{InstallOptions, SpacePlan};
pub use layout::{IMAGE_ALIGN, PARTITION_ALIGN};
pub use log::{LOG_RECORDS, LogRecord, LoggedOperation};
pub use nos_pointer::{FORMAT_VERSION, Failure, Fields, MAX_GENERATIONS, Pointer, Verdict};
pub use repair::repair;
pub use source::{GenerationSource, ImageSource, KernelSource, OpenImage};
pub use verify::{Finding, VerifyReport};
