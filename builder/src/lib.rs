//! Plan and realise: sources, Debian packages, kernel, service images, system.
#![forbid(unsafe_code)]

pub mod debian;
pub mod elf;
pub mod kernel;
pub mod trim;
