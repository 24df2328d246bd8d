//! Pure readers and writers of bytes: EROFS, dm-verity, cpio, PE, FAT, GPT, ext4, deb.
#![forbid(unsafe_code)]
