//! Module names.

use std::fmt;

/// A module's name as the kernel compares it: `-` and `_` are the same, written `_`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ModuleName(String);

impl ModuleName {
    /// Normalises a name, a file name's stem or a word of `depends=`.
    pub fn new(name: impl AsRef<[u8]>) -> Self {
        Self(String::from_utf8_lossy(name.as_ref()).replace('-', "_"))
    }

    /// The name, with `_`.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ModuleName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for ModuleName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
