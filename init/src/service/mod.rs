//! Services: how one is confined and started, watched and started again.

pub mod backoff;
pub mod capability;
pub mod channels;
pub mod devices;
pub mod filter;
pub mod health;
pub mod lines;
pub mod spawn;
pub mod supervisor;
pub mod terminal;
