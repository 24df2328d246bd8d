//! PE32+ images, as far as a unified kernel image needs them.
//!
//! Follows Microsoft's "PE Format" and the UAPI Group's "Unified Kernel Image" specification. A UKI
//! is systemd-stub with further sections behind its own:
//!
//! ```text
//! DOS header, PE header, section table     up to SizeOfHeaders
//! .text .rodata .data .sbat .sdmagic …     systemd-stub
//! .osrel .cmdline .uname .linux .initrd    ours, each at a multiple of 512 in the file
//!                                          and of 4096 in memory
//! ```
//!
//! [`Uki::build`] writes byte for byte what systemd's `ukify build` does with the same input. There
//! is no time in it but the stub's own, and nothing of any disk.
//!
//! A signature would be appended at the end of the file, which is a multiple of 8 as it must be,
//! with its place noted in data directory 4; an image that has one is refused as a stub.

mod image;
#[cfg(test)]
mod tests;
mod uki;

pub use image::{Image, Section};
pub use uki::Uki;

/// Why an image was refused or could not be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PeError {
    /// Not a PE32+ image, or a damaged one.
    #[error(
        "the PE image is unusable at byte {offset}: {what}; write it again or use another file"
    )]
    Damaged {
        /// Byte offset of the field that is wrong.
        offset: usize,
        /// What is wrong with it.
        what: &'static str,
    },
    /// A section that a UKI must have.
    #[error(
        "the PE image has no {name} section, so it is no unified kernel image of ours; rebuild it"
    )]
    MissingSection {
        /// The section's name.
        name: &'static str,
    },
    /// The stub cannot carry further sections.
    #[error(
        "the boot stub cannot be used: {what}; use linuxx64.efi.stub of systemd 257 as packaged"
    )]
    BadStub {
        /// Why not.
        what: &'static str,
    },
    /// More than a PE image can address.
    #[error(
        "a unified kernel image of {size} bytes is too large; \
         keep kernel and initrd below 2 GiB in all"
    )]
    TooLarge {
        /// What it would need, in bytes.
        size: u64,
    },
}
