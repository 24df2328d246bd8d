//! The whole path: from a spec to a machine that answers, switches, rolls back, and survives what
//! happens to it. Needs a Debian mirror once; afterwards everything is in a store below the
//! target folder, and no network is used.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot go on should stop"
)]

#[path = "../common/mod.rs"]
mod common;
#[path = "../../../builder/tests/common/mod.rs"]
mod loopback;
#[path = "../looking/terminal.rs"]
mod terminal;

mod bom;
mod boot;
mod channels;
mod cuts;
mod damage;
mod display;
mod dropped;
mod failing;
mod generations;
mod init;
mod interrupted;
mod making;
mod minimal;
mod names;
mod network;
mod offline;
mod platforms;
mod reproducible;
mod rescue;
mod shop;
mod state;
mod traced;
mod trial;
