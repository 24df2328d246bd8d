//! Disk images, looked at without any code of ours.

use std::path::Path;
use std::process::Command;

/// Bytes of a logical sector of the images that tests make.
pub(crate) const SECTOR: usize = 512;

/// Boundary on which all partitions begin.
const ALIGN: usize = 4096;

/// Bytes compared at once.
const LARGE: usize = 1 << 20;

/// Reads a whole disk image.
pub(crate) fn read(disk: &str) -> Vec<u8> {
    std::fs::read(disk).unwrap()
}

/// Numbers of the sectors in which two images differ.
pub(crate) fn sectors_that_differ(before: &[u8], after: &[u8]) -> Vec<usize> {
    assert_eq!(before.len(), after.len(), "the image's size changed");
    let mut found = Vec::new();
    for (large, (a, b)) in before.chunks(LARGE).zip(after.chunks(LARGE)).enumerate() {
        // Most of the image is equal; whole chunks compare fast.
        if a != b {
            let sectors = a.chunks(SECTOR).zip(b.chunks(SECTOR)).enumerate();
            let unequal = sectors.filter(|(_, (a, b))| a != b);
            found.extend(unequal.map(|(small, _)| large * (LARGE / SECTOR) + small));
        }
    }
    found
}

/// Where a partition with exactly this content begins, in bytes.
pub(crate) fn place_of(disk: &[u8], content: &[u8]) -> usize {
    let starts = (0..disk.len()).step_by(ALIGN);
    let mut found = starts.filter(|&start| disk[start..].starts_with(content));
    let place = found.next().expect("the content is on the disk");
    assert_eq!(found.next(), None, "the content is on the disk twice");
    place
}

/// How many partitions `sgdisk` sees, after it has verified the tables; `None`, said aloud, where
/// it is not installed.
pub(crate) fn partitions(disk: &str) -> Option<usize> {
    let sgdisk = ["/usr/sbin/sgdisk", "/sbin/sgdisk", "/usr/bin/sgdisk"];
    let Some(sgdisk) = sgdisk.iter().find(|path| Path::new(path).exists()) else {
        say!("SKIPPED: counting partitions with sgdisk, which is in the package gdisk");
        return None;
    };
    let output = Command::new(sgdisk)
        .args(["-v", "-p", disk])
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success() && text.contains("No problems found"),
        "{text}"
    );
    let rows = text.lines().skip_while(|line| !line.starts_with("Number"));
    Some(
        rows.skip(1)
            .take_while(|line| !line.trim().is_empty())
            .count(),
    )
}
