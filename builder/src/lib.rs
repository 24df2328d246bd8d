//! Plan and realise: sources, Debian packages, kernel, service images, system.
//!
//! [`project`] finds and reads a spec, [`mod@plan`] makes the graph of what must be done,
//! [`realise`] does what the store does not hold yet, and [`build`] is all of it in one call.
#![forbid(unsafe_code)]

pub mod bom;
mod boot;
pub mod build;
mod cargo;
pub mod changes;
pub mod checkout;
pub mod compare;
mod compose;
pub mod contents;
pub mod debian;
pub mod elf;
mod error;
pub mod events;
mod fetch;
mod git;
pub mod hardware;
mod image;
pub mod ingredients;
pub mod init;
pub mod kernel;
pub mod leftovers;
pub mod make;
mod oci;
pub mod outside;
mod packages;
pub mod plan;
pub mod project;
pub mod realise;
pub mod roots;
pub mod schedule;
mod sources;
mod system;
#[cfg(test)]
mod testing;
mod times;
pub mod tools;
pub mod trim;
pub mod work;

pub use error::{BuildError, Skipped};
pub use git::GitError;
pub use system::{BuiltSystem, SYSTEM_VERSION};
