//! Writing a disk to real hardware.
//!
//! [`Machine::inspect`] says what a device is and what would be lost, [`Device::refusals`] why it
//! must not be written, [`crate::FileDevice::open_alone`] takes it for ourselves alone. A [`Plan`]
//! says what goes where, fitted to the device; [`write`] carries it out, [`stream`] gives it to a
//! pipe. Asking a person is the caller's.

mod content;
mod error;
mod image;
mod inspect;
mod keep;
mod plan;
mod refusal;
mod sealed;
#[cfg(test)]
mod tests;
mod verify;
mod write;

pub use error::{FlashError, Transfer};
pub use inspect::{Device, Machine, Part, Use};
pub use keep::{KeptState, NoState};
pub use plan::{Fit, Plan, geometry_of};
pub use refusal::Refusal;
pub use sealed::SealedImage;
pub use write::{Flashed, Left, Watch, stream, write};
