//! Writing a disk to real hardware.
//!
//! [`Machine::inspect`] says what a device is and what would be lost, [`Device::refusals`] why it
//! must not be written, [`open`] takes it for ourselves alone, past the page cache. What is then
//! written to it is [`crate::create`]'s or [`write_image`]'s. Asking a person is the caller's.

mod content;
mod inspect;
mod refusal;

#[cfg(test)]
mod tests;
mod write;

pub use inspect::{Device, Machine, Part, Use};
pub use refusal::Refusal;

pub use write::write_image;
