//! Names of git's objects: SHA-1 of their content, made by an implementation that notices the known
//! ways to give two contents one name.

use super::error::GitError;
use sha1_checked::{Digest as _, Sha1};
use std::fmt;
use std::str::FromStr;

/// Bytes of a name.
pub(super) const ID_BYTES: usize = 20;

/// The name of an object.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Id(pub(super) [u8; ID_BYTES]);

impl Id {
    /// The name in the first bytes of `bytes`.
    pub(super) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        Some(Self(bytes.get(..ID_BYTES)?.try_into().ok()?))
    }
}

impl FromStr for Id {
    type Err = ();

    /// Reads 40 lower-case hexadecimal digits.
    fn from_str(text: &str) -> Result<Self, ()> {
        let is_digit = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
        if text.len() != 2 * ID_BYTES || !text.bytes().all(is_digit) {
            return Err(());
        }
        let mut id = [0; ID_BYTES];
        for (at, byte) in id.iter_mut().enumerate() {
            *byte = u8::from_str_radix(&text[2 * at..2 * at + 2], 16).map_err(drop)?;
        }
        Ok(Self(id))
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// What an object is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Commit,
    Tree,
    Blob,
    Tag,
}

impl Kind {
    /// Git's word for it, which is part of what is hashed.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Commit => "commit",
            Self::Tree => "tree",
            Self::Blob => "blob",
            Self::Tag => "tag",
        }
    }
}

/// Computes a name from content that comes piece by piece.
pub(super) struct Hasher(Sha1);

impl Hasher {
    /// For bytes that are no object.
    pub(super) fn plain() -> Self {
        Self(Sha1::new())
    }

    /// For an object of `size` bytes.
    pub(super) fn object(kind: Kind, size: u64) -> Self {
        let mut hasher = Self::plain();
        hasher.update(format!("{} {size}\0", kind.name()).as_bytes());
        hasher
    }

    pub(super) fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The name.
    ///
    /// # Errors
    /// [`GitError::Collision`] for content that was made to have the name of other content.
    pub(super) fn finish(self) -> Result<Id, GitError> {
        let result = self.0.try_finalize();
        let mut id = [0; ID_BYTES];
        id.copy_from_slice(result.hash());
        match result.has_collision() {
            true => Err(GitError::Collision { id: Id(id) }),
            false => Ok(Id(id)),
        }
    }
}

/// The name of an object that is in memory.
pub(super) fn name(kind: Kind, content: &[u8]) -> Result<Id, GitError> {
    let mut hasher = Hasher::object(kind, content.len() as u64);
    hasher.update(content);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_git() {
        let empty = "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391";
        assert_eq!(name(Kind::Blob, b"").unwrap().to_string(), empty);
        let none = "4b825dc642cb6eb9a060e54bf8d69288fbee4904";
        assert_eq!(name(Kind::Tree, b"").unwrap().to_string(), none);
        assert_eq!(none.parse::<Id>().unwrap().to_string(), none);
    }

    #[test]
    fn what_is_no_name_is_refused() {
        for text in [
            "",
            "main",
            &"A".repeat(40),
            &"0".repeat(39),
            &"0".repeat(64),
        ] {
            assert!(text.parse::<Id>().is_err(), "{text}");
        }
    }
}
