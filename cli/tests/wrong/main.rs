//! Bad input: wrong specs, locks, stores, disks and places, each refused with its place and the
//! remedy, and with nothing half done.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that cannot go on should stop"
)]

#[path = "../said/mod.rs"]
mod said;

mod disks;
mod flash;
mod full;
mod killed;
mod locks;
mod packages;
mod rescue;
mod specs;
mod stores;
