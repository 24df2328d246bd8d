//! Which generation boots: the one sector of `\loader\loader.conf`, and how a trial changes it.
//!
//! `nos` writes this sector from outside and `init` from inside of the machine, so what it says,
//! where it is and what may follow what stands here once, without standard library, without
//! allocation where that is possible, and without a device: [`Medium`] is anything that holds an
//! EFI system partition.
//!
//! - [`sector`]: the sector's bytes, [`Pointer`] and [`Fields`];
//! - [`trial`]: what init does about a trial, and every change that it makes;
//! - [`record`]: finding the sector and rewriting it in place.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod check;
pub mod record;
pub mod sector;
pub mod trial;

pub use record::{Medium, Record, RecordError};
pub use sector::{
    FORMAT_VERSION, Fields, LETTERS, MAX_GENERATIONS, Name, Pointer, PointerError, Reason,
};
pub use trial::{Failure, Phase, Step, Trial, Verdict, Verdicts, next};
