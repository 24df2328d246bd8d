//! Guessing what is on a partition, so that a person sees what would be lost.

use nos_formats::read_at::ReadAt;

/// Marks of well-known contents: offset, bytes, name.
const MARKS: &[(u64, &[u8], &str)] = &[
    (0x438, &[0x53, 0xEF], "ext2/3/4"),
    (0, b"XFSB", "XFS"),
    (0x1_0040, b"_BHRfS_M", "Btrfs"),
    (3, b"NTFS    ", "NTFS"),
    (3, b"EXFAT   ", "exFAT"),
    (82, b"FAT32   ", "FAT32"),
    (54, b"FAT16   ", "FAT16"),
    (54, b"FAT12   ", "FAT12"),
    (0, b"LUKS\xBA\xBE", "LUKS (encrypted)"),
    (0x218, b"LVM2 001", "LVM"),
    (4096 - 10, b"SWAPSPACE2", "swap"),
    (1024, &[0xE2, 0xE1, 0xF5, 0xE0], "EROFS"),
    (0, b"hsqs", "SquashFS"),
    (0x8001, b"CD001", "ISO 9660"),
    (4096, &[0xFC, 0x4E, 0x2B, 0xA9], "md RAID"),
    (0x200, b"EFI PART", "a partition table"),
    (0x1000, b"EFI PART", "a partition table"),
];

/// The name of what these bytes hold; `None` where it is nothing known.
pub(super) fn guess(bytes: &(impl ReadAt + ?Sized)) -> Option<&'static str> {
    MARKS
        .iter()
        .find(|(offset, mark, _)| {
            let mut found = vec![0; mark.len()];
            bytes.read_at(*offset, &mut found).is_ok() && found == *mark
        })
        .map(|(_, _, name)| *name)
}
