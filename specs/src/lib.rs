//! The nOs language: syntax, checking, formatting, diagnostics, the typed System, the lock file.
#![forbid(unsafe_code)]

pub mod lock;
pub mod system;
