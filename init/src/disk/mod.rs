//! From partitions to mounted images.

pub mod find;
pub mod gpt;
pub mod state;
pub mod uevent;
pub mod verity;
