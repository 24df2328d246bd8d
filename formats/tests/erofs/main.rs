//! EROFS: our writer against our reader, `fsck.erofs` and the kernel; our reader against
//! `mkfs.erofs` and damaged images.

#![allow(clippy::unwrap_used, clippy::panic)]

mod hostile;
mod kernel;
mod outside;
mod pinned;
mod round_trip;
mod support;
