//! Where a regular file's bytes come from.

use crate::read_at::Extent;

/// A regular file's content, read at any offset from several threads at once.
///
/// The writer reads each content at most three times (equality, compression, tail), in pieces of
/// at most a few MiB, and holds a bounded number of pieces in memory. Neither the length nor the
/// bytes may change while an image is written.
pub trait Content: Extent + Sync {
    /// SHA-256 of the content where it is known without reading; the writer computes it for
    /// itself where it needs one. A wrong digest makes two different files share one content.
    fn sha256(&self) -> Option<[u8; 32]> {
        None
    }
}

impl Content for [u8] {}

impl Content for Vec<u8> {}

impl<T: Content + ?Sized> Content for &T {
    fn sha256(&self) -> Option<[u8; 32]> {
        (**self).sha256()
    }
}
