//! Which disk this machine was started from. Another one may hold the same images, be it that a
//! rescue system was started beside it or that it is a copy: what is written, state and pointer, must
//! never go there.

use super::find::{self, Partition};
use crate::modules::Loader;
use crate::sys::Fd;
use crate::trial::variables::Variables;
use alloc::string::String;
use alloc::vec::Vec;

/// What is known of the disk that the machine was started from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Home {
    /// It is this one.
    Disk(String),
    /// It is one of these, which are copies of each other.
    OneOf(Vec<String>),
    /// It is none that the kernel has found; the GUID of its EFI system partition.
    Absent(String),
}

impl Home {
    /// The disk, where it is known.
    pub fn disk(&self) -> Option<&str> {
        match self {
            Self::Disk(disk) => Some(disk),
            _ => None,
        }
    }
}

/// GUID of the EFI system partition that the boot loader came from. Nobody is asked where there is
/// one disk and no other can come: virtio's are all there as soon as their driver is. `None` too
/// where the firmware cannot tell.
pub fn ask(modules: &mut Loader, devices: &Fd) -> Option<String> {
    if let [disk] = find::hardware().as_slice() {
        if disk.starts_with("vd") {
            return None;
        }
    }
    // Firmware without variables needs no driver for them.
    if !Variables::may_be_there() {
        return None;
    }
    modules.load_what_can_wait(devices);
    Variables::open()?.device()
}

/// Decides by the partitions of the images and, where it is known, of the boot loader.
pub fn of(boot_loader: Option<&str>, found: &[Partition]) -> Home {
    let on: Vec<&Partition> = match boot_loader {
        Some(guid) => found.iter().filter(|p| p.unique_guid == guid).collect(),
        None => found.iter().collect(),
    };
    let mut disks: Vec<String> = on.into_iter().map(|p| p.disk.clone()).collect();
    disks.dedup();
    match (disks.len(), boot_loader) {
        (0, Some(guid)) => Home::Absent(guid.into()),
        (1, _) => Home::Disk(disks.remove(0)),
        _ => Home::OneOf(disks),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(all: &[(&str, &str)]) -> Vec<Partition> {
        let partition = |(disk, guid): &(&str, &str)| Partition {
            name: String::new(),
            disk: (*disk).into(),
            number: 1,
            unique_guid: (*guid).into(),
        };
        all.iter().map(partition).collect()
    }

    #[test]
    fn the_boot_loader_s_disk_is_it_whatever_others_hold() {
        let disks = [
            ("sda", "image"),
            ("sda", "state"),
            ("vda", "esp"),
            ("vda", "image"),
        ];
        assert_eq!(of(Some("esp"), &found(&disks)), Home::Disk("vda".into()));
        assert_eq!(
            of(Some("gone"), &found(&disks)),
            Home::Absent("gone".into())
        );
        assert_eq!(
            of(None, &found(&disks)),
            Home::OneOf(alloc::vec!["sda".into(), "vda".into()])
        );
        assert_eq!(of(None, &found(&disks[2..])), Home::Disk("vda".into()));
        assert_eq!(of(None, &[]), Home::OneOf(Vec::new()));
    }

    #[test]
    fn copies_are_not_told_apart() {
        let disks = [
            ("sda", "esp"),
            ("sda", "image"),
            ("sdb", "esp"),
            ("sdb", "image"),
        ];
        let both = Home::OneOf(alloc::vec!["sda".into(), "sdb".into()]);
        assert_eq!(of(Some("esp"), &found(&disks)), both);
        assert_eq!(of(None, &found(&disks)), both);
    }
}
