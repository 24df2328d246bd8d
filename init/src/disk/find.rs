//! Finding the partitions that hold the images, and waiting for those that are not there yet.

use super::gpt;
use super::uevent::Device;
use crate::sys::{self, Errno, Fd, file, wait};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

/// How long a disk may take to appear, in milliseconds since the kernel last reported a device: one
/// behind a hub, or a slow one, announces itself in steps.
const PATIENCE_MS: u64 = 30_000;
/// How long all of them may take together, in milliseconds.
const LIMIT_MS: u64 = 120_000;

const BLOCK_DEVICES: &str = "/sys/class/block";

/// One partition that the kernel has found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Partition {
    /// Name under `/dev`.
    pub name: String,
    /// Name of its disk.
    pub disk: String,
    /// Number on that disk.
    pub number: u32,
    /// Unique GUID, lower-case text form.
    pub unique_guid: String,
}

impl Partition {
    /// Its device number as `major:minor`.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn device(&self) -> sys::Result<String> {
        let path = format!("{BLOCK_DEVICES}/{}/dev", self.name);
        file::read_text(&path).map(|text| String::from(text.trim()))
    }
}

/// Reads the partition table of a disk by its name, and its sector size in bytes; no table gives
/// no partition.
///
/// # Errors
/// What the kernel says while reading.
pub fn table_of(disk: &str) -> sys::Result<(usize, Vec<gpt::Partition>)> {
    let sector = format!("{BLOCK_DEVICES}/{disk}/queue/logical_block_size");
    let size: u16 = file::read_text(&sector)?.trim().parse().unwrap_or(512);
    let sector = u64::from(size);
    let size = usize::from(size);
    let fd = file::open(&format!("/dev/{disk}"), file::Mode::Read)?;
    let mut block = [0_u8; 512];
    if file::read_at(&fd, &mut block, sector)? < block.len() {
        return Ok((size, Vec::new()));
    }
    let Some(entries) = gpt::header(&block, sector) else {
        return Ok((size, Vec::new()));
    };
    let mut bytes = alloc::vec![0; entries.total_bytes()];
    let n = file::read_at(&fd, &mut bytes, entries.offset_bytes)?;
    bytes.truncate(n);
    Ok((size, gpt::partitions(&entries, &bytes)))
}

/// The partitions of one disk. The kernel names their GUIDs itself since 6.9; with an older one
/// the table is read.
fn partitions_of(disk: &str) -> sys::Result<Vec<Partition>> {
    let mut found = Vec::new();
    let mut table = None;
    for entry in file::list(&format!("{BLOCK_DEVICES}/{disk}"))? {
        if !entry.is_dir || !entry.name.starts_with(disk) {
            continue;
        }
        let text = file::read_file(&format!("{BLOCK_DEVICES}/{}/uevent", entry.name), 4096)?;
        let device = Device::parse(&text);
        let Some(number) = device.part_number.filter(|_| device.kind == "partition") else {
            continue;
        };
        let unique_guid = if device.part_uuid.is_empty() {
            let table = match &table {
                Some(table) => table,
                None => table.insert(table_of(disk)?.1),
            };
            match table.iter().find(|p| p.number == number) {
                Some(partition) => partition.unique_guid.clone(),
                None => continue,
            }
        } else {
            device.part_uuid.to_ascii_lowercase()
        };
        found.push(Partition {
            name: entry.name,
            disk: String::from(disk),
            number,
            unique_guid,
        });
    }
    Ok(found)
}

/// All partitions of all disks, by disk name. A disk that cannot be read is left out.
pub fn partitions() -> Vec<Partition> {
    let mut found = Vec::new();
    for entry in file::list(BLOCK_DEVICES).unwrap_or_default() {
        // Each partition is a link here too, but only a disk has a queue.
        if !file::exists(&format!("{BLOCK_DEVICES}/{}/queue", entry.name)) {
            continue;
        }
        match partitions_of(&entry.name) {
            Ok(partitions) => found.extend(partitions),
            // Gone while we looked.
            Err(Errno(libc::ENOENT)) => {}
            Err(error) => crate::say!("disk {} cannot be read: {error}", entry.name),
        }
    }
    found
}

/// Names of the disks that hardware stands behind.
pub fn hardware() -> Vec<String> {
    let names = file::list(BLOCK_DEVICES).unwrap_or_default();
    let names = names.into_iter().map(|entry| entry.name);
    let is_real = |name: &String| file::exists(&format!("{BLOCK_DEVICES}/{name}/device"));
    names.filter(is_real).collect()
}

/// Waits until every GUID has a partition, looking again whenever the kernel reports a device:
/// then `take_news` takes the reports. What is still missing when no more disks come is not in the
/// result.
pub fn wait_for(guids: &[String], devices: &Fd, mut take_news: impl FnMut()) -> Vec<Partition> {
    let now_ms = || sys::now_ns() / 1_000_000;
    let begun_ms = now_ms();
    let mut is_told = true;
    loop {
        // Whatever was reported so far is seen by the look that follows.
        take_news();
        let mut found = partitions();
        found.retain(|p| guids.contains(&p.unique_guid));
        let all = guids
            .iter()
            .all(|g| found.iter().any(|p| p.unique_guid == *g));
        let rest_ms = (begun_ms + LIMIT_MS).saturating_sub(now_ms());
        if all || !is_told || rest_ms == 0 {
            return found;
        }
        let mut polls = [wait::Poll::readable(devices)];
        is_told = wait::poll(&mut polls, Some(rest_ms.min(PATIENCE_MS))) > 0;
    }
}
