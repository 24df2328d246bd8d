//! fat.
