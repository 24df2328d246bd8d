//! verity.
