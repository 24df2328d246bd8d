//! Letting the kernel see the partitions that were just written.

use crate::context::Context;
use nos_disk::{BlockDevice, Disk, FileDevice};
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

/// Sectors in which the kernel tells sizes, whatever the device's are, in bytes.
const KERNEL_SECTOR: u64 = 512;

/// Asks the kernel to read the partition table of a device again, which nobody may have open, and
/// says so where it goes by other partitions than those on it. Whether it sees them.
pub(super) fn reread(context: &Context, path: &Path) -> bool {
    // The request is an ioctl without a safe wrapper; util-linux and busybox have it as a program.
    // udev may have done it by now, so what counts is what the kernel then knows.
    let why = ask(context, path);
    let sees = match (on_device(path), known(path)) {
        (Some(wanted), Some(known)) => wanted == known,
        _ => false,
    };
    if !sees {
        let why = why
            .err()
            .map_or_else(String::new, |why| format!(" ({why})"));
        context.shell.warn(format_args!(
            "the kernel goes by other partitions of {0} than are on it now{why}; unplug it, or run \
             `partprobe {0}` before mounting anything of it here",
            path.display()
        ));
    }
    sees
}

fn ask(context: &Context, path: &Path) -> Result<(), String> {
    let system = ["/usr/sbin", "/sbin"].map(Into::into);
    let programs = context.search_path.iter().chain(&system);
    let program = programs
        .map(|folder| folder.join("blockdev"))
        .find(|program| program.is_file())
        .ok_or("there is no `blockdev`")?;
    let output = Command::new(program)
        .arg("--rereadpt")
        .arg(path)
        .output()
        .map_err(|error| format!("`blockdev`: {error}"))?;
    match output.status.success() {
        true => Ok(()),
        false => Err(String::from_utf8_lossy(&output.stderr).trim().to_owned()),
    }
}

/// Number, first sector and length of each partition.
type Partitions = BTreeSet<(u64, u64, u64)>;

/// What the table on the device says.
fn on_device(path: &Path) -> Option<Partitions> {
    let mut device = FileDevice::open_read_only(path).ok()?;
    let scale = u64::from(device.sector_size()) / KERNEL_SECTOR;
    let disk = Disk::open(&mut device).ok()?;
    let partitions = disk.table().numbered().map(|(number, entry)| {
        let (first, length) = (entry.first_lba * scale, entry.sectors() * scale);
        (number as u64, first, length)
    });
    Some(partitions.collect())
}

/// What the kernel says.
fn known(path: &Path) -> Option<Partitions> {
    let name = fs::canonicalize(path).ok()?;
    let folder = Path::new("/sys/class/block").join(name.file_name()?);
    let mut found = Partitions::new();
    for entry in fs::read_dir(folder).ok()? {
        let place = entry.ok()?.path();
        let number = |file: &str| -> Option<u64> {
            let text = fs::read_to_string(place.join(file)).ok()?;
            text.trim().parse().ok()
        };
        if let (Some(index), Some(start), Some(size)) =
            (number("partition"), number("start"), number("size"))
        {
            found.insert((index, start, size));
        }
    }
    Some(found)
}
