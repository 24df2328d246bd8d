//! trim.
