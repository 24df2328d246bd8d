//! A local virtual machine: QEMU, firmware, console, forwarded ports.
//!
//! ```text
//! Toolbox (QEMU and firmware, from packages or the machine's own)
//!    + Config (memory, disk, forwards, console, boot)  ──start──▶  Vm
//! ```
//!
//! Nothing is installed: QEMU runs straight from its unpacked packages through their own dynamic
//! loader. Nothing is left behind: a [`Vm`] that is dropped is gone, and one whose program was
//! killed is ended by a small keeper process. Ports are forwarded on the loopback address only.
#![forbid(unsafe_code)]

mod acceleration;
mod arguments;
mod config;
mod console;
mod error;
mod keeper;
mod qmp;
mod scratch;
mod toolbox;
mod vm;

pub use acceleration::{Acceleration, Accelerator};
pub use config::{Accel, Boot, Config, ConsoleTo, Disk, Forward, OnReset};
pub use console::Console;
pub use error::MachineError;
pub use qmp::{Qmp, QmpError};
pub use toolbox::Toolbox;
pub use vm::{Ended, Vm};
