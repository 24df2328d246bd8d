//! Pure readers and writers of bytes: EROFS, dm-verity, cpio, PE, FAT, GPT, ext4, deb.
//!
//! Nothing in this crate opens a file, reads a clock or draws a random number: input is bytes or
//! a [`tree::Tree`], output is bytes, and the same input gives the same output on any machine.
#![forbid(unsafe_code)]

pub mod aligned;
pub mod cpio;
pub mod deb;
pub mod erofs;
pub mod ext4;
pub mod fat;
pub mod gpt;
pub mod pe;
pub mod read_at;
pub mod tree;
pub mod verity;
