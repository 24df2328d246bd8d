//! Servers on the loopback address, for the tests of this crate and of the program.
#![allow(
    dead_code,
    clippy::unwrap_used,
    reason = "each test uses a part, and stops where it cannot go on"
)]

pub(crate) mod git;
pub(crate) mod server;
