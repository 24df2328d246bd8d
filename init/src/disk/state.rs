//! The state partition: what services may write.

use crate::sys::{self, file};
use alloc::format;
use alloc::string::String;

/// Where the superblock of an ext4 begins, and its length, in bytes.
const SUPERBLOCK: u64 = 1024;
const SUPERBLOCK_SIZE: usize = 1024;

/// Enlarges the file system of the partition `name` that is mounted at `mount` to the whole
/// partition, where that has become larger (`nos grow --state`). Gives its size in bytes before and
/// after where it did. A cut while the kernel does it costs nothing: its journal knows.
///
/// # Errors
/// What the kernel says; the file system is as it was then.
pub fn grow(name: &str, mount: &str) -> sys::Result<Option<(u64, u64)>> {
    let sectors = file::read_text(&format!("/sys/class/block/{name}/size"))?;
    let room = sectors.trim().parse().unwrap_or(0_u64).saturating_mul(512);
    let mut superblock = [0; SUPERBLOCK_SIZE];
    let device = file::open(&format!("/dev/{name}"), file::Mode::Read)?;
    if file::read_at(&device, &mut superblock, SUPERBLOCK)? < SUPERBLOCK_SIZE {
        return Ok(None);
    }
    let Some((block, blocks)) = size_of(&superblock) else {
        return Ok(None);
    };
    if room / block <= blocks {
        return Ok(None);
    }
    sys::resize_ext4(&file::open(mount, file::Mode::Read)?, room / block)?;
    file::read_at(&device, &mut superblock, SUPERBLOCK)?;
    let (_, now) = size_of(&superblock).unwrap_or((block, room / block));
    Ok((now > blocks).then(|| (blocks * block, now * block)))
}

/// Bytes of a block and number of blocks, from an ext4 superblock; `None` where it is none.
fn size_of(superblock: &[u8; SUPERBLOCK_SIZE]) -> Option<(u64, u64)> {
    let u32_at = |at: usize| {
        let bytes = superblock.get(at..at + 4)?.try_into().ok()?;
        Some(u32::from_le_bytes(bytes))
    };
    let is_ext4 = superblock.get(0x38..0x3a)? == [0x53, 0xef];
    let block = 1024_u64
        .checked_shl(u32_at(0x18)?)
        .filter(|b| *b <= 65536)?;
    let is_64_bit = u32_at(0x60)? & 0x80 != 0;
    let high = if is_64_bit { u32_at(0x150)? } else { 0 };
    let blocks = u64::from(high) << 32 | u64::from(u32_at(0x04)?);
    (is_ext4 && block > 0).then_some((block, blocks))
}

/// Name of the directory in which one declared state directory of a service is kept: the path
/// without its first slash, other slashes as `-`, anything but letters, digits, `_` and `.` as
/// `\xNN`. Different paths have different names.
pub fn escape(path: &str) -> String {
    let mut name = String::new();
    for byte in path.trim_matches('/').bytes() {
        match byte {
            b'/' => name.push('-'),
            b'.' if name.is_empty() => name.push_str("\\x2e"),
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_' | b'.' => name.push(byte as char),
            _ => name.push_str(&format!("\\x{byte:02x}")),
        }
    }
    name
}

/// Makes the directory `root/service/escaped path`, owned by the service, and gives its path.
/// Where it belonged to another user (the service was renumbered), everything in it moves.
///
/// # Errors
/// What the kernel says.
pub fn directory(root: &str, service: &str, path: &str, uid: u32, gid: u32) -> sys::Result<String> {
    let parent = format!("{root}/{service}");
    file::make_dir(&parent, 0o755)?;
    let directory = format!("{parent}/{}", escape(path));
    file::make_dir(&directory, 0o700)?;
    if file::owner(&directory)? != (uid, gid) {
        give(&directory, uid, gid)?;
    }
    Ok(directory)
}

/// Deepest nesting that [`give`] follows; deeper files keep their owner.
const MAX_DEPTH: usize = 64;

fn give(top: &str, uid: u32, gid: u32) -> sys::Result<()> {
    // The top comes last, so that an interrupted pass is done again at the next start.
    let mut waiting = alloc::vec![(String::from(top), 0)];
    while let Some((path, depth)) = waiting.pop() {
        for entry in file::list(&path)? {
            let child = format!("{path}/{}", entry.name);
            file::change_owner(&child, uid, gid)?;
            if entry.is_dir && depth < MAX_DEPTH {
                waiting.push((child, depth + 1));
            }
        }
    }
    file::change_owner(top, uid, gid)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_size_is_read_from_a_superblock() {
        let mut bytes = [0; SUPERBLOCK_SIZE];
        assert_eq!(size_of(&bytes), None);
        bytes[0x38..0x3a].copy_from_slice(&[0x53, 0xef]);
        bytes[0x18] = 2;
        bytes[0x04..0x08].copy_from_slice(&65536_u32.to_le_bytes());
        bytes[0x150] = 1;
        assert_eq!(size_of(&bytes), Some((4096, 65536)), "no 64-bit numbers");
        bytes[0x60] = 0x80;
        assert_eq!(size_of(&bytes), Some((4096, (1 << 32) + 65536)));
        for wrong in [7, 54, 200] {
            bytes[0x18] = wrong;
            assert_eq!(size_of(&bytes), None);
        }
    }

    #[test]
    fn names_are_readable_and_distinct() {
        assert_eq!(escape("/var/lib/redis"), "var-lib-redis");
        assert_eq!(escape("/var/lib/redis/"), "var-lib-redis");
        assert_eq!(escape("/a-b"), "a\\x2db");
        assert_eq!(escape("/.."), "\\x2e.");
        assert_eq!(escape("/ü"), "\\xc3\\xbc");
        assert_ne!(escape("/a/b"), escape("/a-b"));
    }
}
