//! A digest of what a disk image holds, and reading nothing that does not match it.

use crate::BlockDevice;
use crate::layout::parts_of;
use sha2::{Digest, Sha256};
use std::io;
use std::ops::Range;
use std::sync::{Mutex, PoisonError};

/// Bytes under one digest of the list.
const CHUNK: u64 = 1 << 20;

/// First bytes of what the digest of the whole is taken of.
const TITLE: &[u8] = b"nos disk image digest 1\n";

/// A disk image of which every byte that is read matches a digest of the whole.
///
/// The digest is the SHA-256 of a title, the size (eight bytes, little-endian) and the SHA-256 of
/// each MiB, so that holes cost nothing and each MiB can be checked when it is read. Between the
/// look at the signature and the last read the file may change; what is then read is an error.
pub struct SealedImage<D> {
    image: D,
    digests: Vec<[u8; 32]>,
    /// The MiB that was read last, for readers of small pieces.
    last: Mutex<(u64, Vec<u8>)>,
}

impl<D: BlockDevice> SealedImage<D> {
    /// Reads an image and takes the digests. `on_bytes` is told how many more bytes are done.
    ///
    /// # Errors
    /// Where the image cannot be read.
    pub fn new(image: D, on_bytes: &mut dyn FnMut(u64)) -> io::Result<Self> {
        let size = image.size_bytes();
        let zeros: [u8; 32] = Sha256::digest(vec![0; CHUNK as usize]).into();
        let mut digests = Vec::new();
        let mut buffer = vec![0; CHUNK as usize];
        let mut data = image.data(0..size)?.into_iter().peekable();
        for chunk in parts_of(&(0..size), CHUNK) {
            while data.next_if(|data| data.end <= chunk.start).is_some() {}
            let hole = data.peek().is_none_or(|data| data.start >= chunk.end);
            let length = (chunk.end - chunk.start) as usize;
            if hole && length == CHUNK as usize {
                digests.push(zeros);
            } else {
                image.read_at(chunk.start, &mut buffer[..length])?;
                digests.push(Sha256::digest(&buffer[..length]).into());
            }
            on_bytes(chunk.end - chunk.start);
        }
        Ok(Self {
            image,
            digests,
            last: Mutex::new((u64::MAX, Vec::new())),
        })
    }

    /// The digest of the whole.
    pub fn digest(&self) -> [u8; 32] {
        let mut whole = Sha256::new_with_prefix(TITLE);
        whole.update(self.image.size_bytes().to_le_bytes());
        for digest in &self.digests {
            whole.update(digest);
        }
        whole.finalize().into()
    }

    /// The image, unchecked again.
    pub fn into_inner(self) -> D {
        self.image
    }

    fn check(&self, chunk: u64, bytes: &[u8]) -> io::Result<()> {
        let wanted = usize::try_from(chunk)
            .ok()
            .and_then(|n| self.digests.get(n));
        let found: [u8; 32] = Sha256::digest(bytes).into();
        match wanted == Some(&found) {
            true => Ok(()),
            false => Err(io::Error::new(
                io::ErrorKind::InvalidData,
                format!(
                    "the image changed at byte {} since its signature was checked",
                    chunk * CHUNK
                ),
            )),
        }
    }
}

impl<D: BlockDevice> BlockDevice for SealedImage<D> {
    fn sector_size(&self) -> u32 {
        self.image.sector_size()
    }

    fn size_bytes(&self) -> u64 {
        self.image.size_bytes()
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        let end = offset
            .checked_add(buf.len() as u64)
            .filter(|end| *end <= self.size_bytes());
        let end = end.ok_or(io::ErrorKind::UnexpectedEof)?;
        for part in parts_of(&(offset..end), CHUNK) {
            let chunk = part.start / CHUNK;
            let whole = chunk * CHUNK..((chunk + 1) * CHUNK).min(self.size_bytes());
            let into = &mut buf[(part.start - offset) as usize..(part.end - offset) as usize];
            if part == whole {
                self.image.read_at(part.start, into)?;
                self.check(chunk, into)?;
                continue;
            }
            let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
            if last.0 != chunk {
                last.0 = u64::MAX;
                last.1.resize((whole.end - whole.start) as usize, 0);
                self.image.read_at(whole.start, &mut last.1)?;
                self.check(chunk, &last.1)?;
                last.0 = chunk;
            }
            let from = (part.start - whole.start) as usize;
            into.copy_from_slice(&last.1[from..from + into.len()]);
        }
        Ok(())
    }

    fn write_at(&mut self, _: u64, _: &[u8]) -> io::Result<()> {
        Err(io::ErrorKind::ReadOnlyFilesystem.into())
    }

    fn write_zeroes(&mut self, _: u64, _: u64) -> io::Result<()> {
        Err(io::ErrorKind::ReadOnlyFilesystem.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn data(&self, range: Range<u64>) -> io::Result<Vec<Range<u64>>> {
        // Holes of the file are as untrusted as its bytes: only MiBs that the list says are zero.
        let zeros: [u8; 32] = Sha256::digest(vec![0; CHUNK as usize]).into();
        let mut found: Vec<Range<u64>> = Vec::new();
        for part in parts_of(&range, CHUNK) {
            let digest = self.digests.get((part.start / CHUNK) as usize);
            if digest == Some(&zeros) {
                continue;
            }
            match found.last_mut() {
                Some(last) if last.end == part.start => last.end = part.end,
                _ => found.push(part),
            }
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::MemoryDevice;

    const SIZE: usize = (5 << 20) + 4096;

    fn image() -> MemoryDevice {
        let mut bytes = vec![0; SIZE];
        for at in [0, (3 << 20) - 1, 3 << 20, SIZE - 1] {
            bytes[at] = 7;
        }
        MemoryDevice::from_bytes(bytes, 512)
    }

    fn sealed(image: MemoryDevice) -> SealedImage<MemoryDevice> {
        SealedImage::new(image, &mut |_| {}).unwrap()
    }

    #[test]
    fn the_digest_is_pinned_and_depends_on_every_byte_and_the_size() {
        let digest = sealed(image()).digest();
        let hex: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(
            hex,
            "8254c30d74407cde193d74490d3aa16b5a75287b93d0b1c50b57e3818259110c"
        );
        for at in [1, 2 << 20, SIZE - 2] {
            let mut other = image();
            other.bytes_mut()[at] ^= 1;
            assert_ne!(sealed(other).digest(), digest, "{at}");
        }
        let mut longer = image().into_bytes();
        longer.extend([0; 512]);
        assert_ne!(
            sealed(MemoryDevice::from_bytes(longer, 512)).digest(),
            digest
        );
    }

    #[test]
    fn holes_of_a_file_change_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("image");
        let mut file = crate::FileDevice::create(&path, SIZE as u64, 512).unwrap();
        for at in [0, 3 << 20, SIZE - 512] {
            let sector = &image().into_bytes()[at..at + 512];
            file.write_at(at as u64, sector).unwrap();
        }
        file.write_at((3 << 20) - 512, &image().bytes()[(3 << 20) - 512..3 << 20])
            .unwrap();
        let found = SealedImage::new(file, &mut |_| {}).unwrap();
        assert_eq!(found.digest(), sealed(image()).digest());
        assert_eq!(
            found.data(4096..SIZE as u64).unwrap(),
            [4096..1 << 20, 2 << 20..4 << 20, 5 << 20..SIZE as u64]
        );
    }

    #[test]
    fn what_changed_since_is_an_error() {
        let mut sealed = sealed(image());
        let mut buffer = vec![0; 2 << 20];
        sealed.read_at(100, &mut buffer).unwrap();
        assert!(buffer == image().bytes()[100..100 + (2 << 20)]);
        sealed.image.bytes_mut()[4 << 20] = 1;
        sealed.read_at(0, &mut buffer).unwrap();
        for (offset, length) in [((4 << 20) + 77, 1), (3 << 20, 2 << 20)] {
            let error = sealed.read_at(offset, &mut buffer[..length]).unwrap_err();
            assert!(
                error.to_string().contains("changed at byte 4194304"),
                "{error}"
            );
        }
        assert!(sealed.read_at(SIZE as u64, &mut [0]).is_err());
        assert!(sealed.write_at(0, &[0; 512]).is_err());
    }
}
