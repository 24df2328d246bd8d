//! Why a device must not be written.

use super::inspect::{Device, Use};
use serde::Serialize;

/// One reason not to write to a device. There is no switch that overrides it: each says what to
/// do instead.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, thiserror::Error)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Refusal {
    /// The machine runs from it.
    #[error("{name} holds this machine's root file system; name another disk")]
    RootDisk {
        /// Kernel name.
        name: String,
    },
    /// A part of it is mounted.
    #[error("{device} is mounted at {at}; run `umount {at}`")]
    Mounted {
        /// Kernel name of the device that holds the file system.
        device: String,
        /// Where it is mounted.
        at: String,
    },
    /// A part of it is swap space.
    #[error("{device} is swap space; run `swapoff /dev/{device}`")]
    Swap {
        /// Kernel name.
        device: String,
    },
    /// Another device is built on it.
    #[error("{device} is in use by {by} (RAID, LVM, encryption or loop); stop {by} first")]
    Held {
        /// Kernel name of what is held.
        device: String,
        /// Kernel name of the device on top.
        by: String,
    },
    /// It is a partition.
    #[error("{name} is a partition; name the whole disk")]
    Partition {
        /// Kernel name.
        name: String,
    },
    /// Writing is switched off.
    #[error("{name} is read-only; look for a switch on the medium, or run `blockdev --setrw`")]
    ReadOnly {
        /// Kernel name.
        name: String,
    },
    /// There is no medium in it.
    #[error("{name} has no medium; put one in")]
    Empty {
        /// Kernel name.
        name: String,
    },
    /// Too small.
    #[error("{name} has {size} bytes and {needed} are needed: {} too few; use a larger disk", needed - size)]
    TooSmall {
        /// Kernel name.
        name: String,
        /// Bytes it has.
        size: u64,
        /// Bytes needed.
        needed: u64,
    },
    /// Its sectors are not those that boot, or not those of the image to be written.
    #[error(
        "{name} has sectors of {found} bytes and {wanted} are needed; make the image with that sector size"
    )]
    SectorSize {
        /// Kernel name.
        name: String,
        /// Bytes of a sector.
        found: u32,
        /// What would do.
        wanted: String,
    },
}

impl Device {
    /// Every reason not to write `needed` bytes to this device; none where it may be written.
    /// `sector_size` is that of an image that exists already.
    pub fn refusals(&self, needed: u64, sector_size: Option<u32>) -> Vec<Refusal> {
        let name = self.name.clone();
        let mut refusals = Vec::new();
        let is_root = |used: &Use| matches!(used, Use::Mounted { at, .. } if at == "/");
        if self.uses.iter().any(is_root) {
            refusals.push(Refusal::RootDisk { name: name.clone() });
        }
        refusals.extend(
            self.uses
                .iter()
                .filter(|used| !is_root(used))
                .map(|used| match used {
                    Use::Mounted { device, at } => Refusal::Mounted {
                        device: device.clone(),
                        at: at.clone(),
                    },
                    Use::Swap { device } => Refusal::Swap {
                        device: device.clone(),
                    },
                    Use::Held { device, by } => Refusal::Held {
                        device: device.clone(),
                        by: by.clone(),
                    },
                }),
        );
        if self.partition {
            refusals.push(Refusal::Partition { name: name.clone() });
        }
        if self.read_only {
            refusals.push(Refusal::ReadOnly { name: name.clone() });
        }
        if self.size_bytes == 0 {
            refusals.push(Refusal::Empty { name: name.clone() });
        } else if self.size_bytes < needed {
            refusals.push(Refusal::TooSmall {
                name: name.clone(),
                size: self.size_bytes,
                needed,
            });
        }
        let found = self.sector_size;
        let wanted = match sector_size {
            Some(wanted) if wanted != found => Some(wanted.to_string()),
            None if !matches!(found, 512 | 4096) => Some("512 or 4096".into()),
            _ => None,
        };
        refusals.extend(wanted.map(|wanted| Refusal::SectorSize {
            name,
            found,
            wanted,
        }));
        refusals
    }
}
