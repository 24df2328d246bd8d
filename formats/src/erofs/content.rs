//! Where a regular file's bytes come from.

use std::io;

/// A regular file's content, read at any offset from several threads at once.
///
/// The writer reads each content at most three times (equality, compression, tail), in pieces of
/// at most a few MiB, and holds a bounded number of pieces in memory.
pub trait Content: Sync {
    /// Length in bytes. It must not change while an image is written.
    fn size_bytes(&self) -> u64;

    /// Fills `buf` with the bytes from `offset` on.
    ///
    /// # Errors
    /// Any failure to read; `UnexpectedEof` where the content is shorter than it said.
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()>;

    /// SHA-256 of the content where it is known without reading; the writer computes it for
    /// itself where it needs one. A wrong digest makes two different files share one content.
    fn sha256(&self) -> Option<[u8; 32]> {
        None
    }
}

impl Content for [u8] {
    fn size_bytes(&self) -> u64 {
        self.len() as u64
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        let from = usize::try_from(offset).ok();
        let source = from
            .and_then(|from| self.get(from..)?.get(..buf.len()))
            .ok_or(io::ErrorKind::UnexpectedEof)?;
        buf.copy_from_slice(source);
        Ok(())
    }
}

impl Content for Vec<u8> {
    fn size_bytes(&self) -> u64 {
        self.as_slice().size_bytes()
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        self.as_slice().read_at(offset, buf)
    }
}

impl<T: Content + ?Sized> Content for &T {
    fn size_bytes(&self) -> u64 {
        (**self).size_bytes()
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        (**self).read_at(offset, buf)
    }

    fn sha256(&self) -> Option<[u8; 32]> {
        (**self).sha256()
    }
}
