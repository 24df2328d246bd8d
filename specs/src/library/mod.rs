//! The standard library: specs that travel inside nos, read by `use std.…`.

mod docs;

pub(crate) use docs::{explain, paths};

/// Name and text of each part.
const PARTS: &[(&str, &str)] = &[
    ("kernel", include_str!("kernel.nos")),
    ("platforms", include_str!("platforms.nos")),
    ("services", include_str!("services.nos")),
];

/// The text of `std.NAME`.
pub fn text(name: &str) -> Option<&'static str> {
    PARTS
        .iter()
        .find(|(part, _)| *part == name)
        .map(|(_, text)| *text)
}

/// The names of all parts.
pub fn names() -> impl Iterator<Item = &'static str> {
    PARTS.iter().map(|(name, _)| *name)
}
