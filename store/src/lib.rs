//! The content-addressed store: objects, trees, action results, roots.
#![forbid(unsafe_code)]
