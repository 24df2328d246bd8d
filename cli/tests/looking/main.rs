//! Verbs that show what is there and what would be: `fmt --diff`, `plan`, `diff`, `tree`, `why`,
//! `log`; and how the program is met: completions and manual.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that cannot go on should stop"
)]

#[path = "../said/mod.rs"]
mod said;

mod changes;
mod format;
mod log;
mod manual;
mod shells;
mod terminal;
mod walk;
mod why;
