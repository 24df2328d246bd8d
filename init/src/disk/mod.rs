//! From partitions to mounted images.

pub mod find;
pub mod gpt;
pub mod home;
pub mod state;
pub mod uevent;
pub mod verity;
