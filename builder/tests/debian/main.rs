//! Debian packages as a source, against a small archive made by the tests. No network beyond the
//! loopback address.

#![allow(clippy::unwrap_used, clippy::panic)]

mod archive;
#[path = "../common/mod.rs"]
mod common;
mod fetching;
mod indexes;
mod resolving;
mod server;
mod signing;
mod sources;
mod unpacking;
