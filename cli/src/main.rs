//! The `nos` program.
#![forbid(unsafe_code)]
fn main() {}
