//! Reading bytes at an offset: what a parser of something larger than memory asks for.

use std::io;

/// Bytes that can be read at any offset: a file, a partition, a slice.
pub trait ReadAt {
    /// Fills `buf` with the bytes that begin `offset` bytes from the start.
    ///
    /// # Errors
    /// [`io::ErrorKind::UnexpectedEof`] where the bytes end sooner, else what the medium says.
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()>;
}

/// Bytes that also know how many they are: a file's content, an image.
pub trait Extent: ReadAt {
    /// Length in bytes; what is read lies below it.
    fn size_bytes(&self) -> u64;
}

impl ReadAt for [u8] {
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        let bytes = usize::try_from(offset)
            .ok()
            .and_then(|start| self.get(start..)?.get(..buf.len()))
            .ok_or(io::ErrorKind::UnexpectedEof)?;
        buf.copy_from_slice(bytes);
        Ok(())
    }
}

impl ReadAt for Vec<u8> {
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        self.as_slice().read_at(offset, buf)
    }
}

impl<T: ReadAt + ?Sized> ReadAt for &T {
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        (**self).read_at(offset, buf)
    }
}

impl<T: ReadAt + ?Sized> ReadAt for Box<T> {
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        (**self).read_at(offset, buf)
    }
}

impl Extent for [u8] {
    fn size_bytes(&self) -> u64 {
        self.len() as u64
    }
}

impl Extent for Vec<u8> {
    fn size_bytes(&self) -> u64 {
        self.len() as u64
    }
}

impl<T: Extent + ?Sized> Extent for &T {
    fn size_bytes(&self) -> u64 {
        (**self).size_bytes()
    }
}

impl<T: Extent + ?Sized> Extent for Box<T> {
    fn size_bytes(&self) -> u64 {
        (**self).size_bytes()
    }
}
