//! Block devices, layout, generations and the commit protocol.
#![forbid(unsafe_code)]
