//! The kernel image: to its clusters, and compared with what is in them.

use crate::commit::{first_difference, write_buffer};
use crate::image::CHUNK;
use crate::layout::parts_of;
use crate::{BlockDevice, Error, KernelSource, Report};
use sha2::{Digest, Sha256};
use std::io::{self, Read};
use std::ops::Range;

/// Bytes hashed at a time: what stays in a processor's cache.
const HASHED: usize = 256 << 10;

impl<'a> KernelSource<'a> {
    /// A kernel image in memory.
    pub fn in_memory(bytes: &'a [u8], digest: [u8; 32]) -> Self {
        Self {
            size_bytes: bytes.len() as u64,
            digest,
            open: Box::new(move || Ok(Box::new(bytes))),
        }
    }

    /// All of it, checked.
    pub(crate) fn read(&self) -> Result<Vec<u8>, Error> {
        let mut bytes = Vec::with_capacity(usize::try_from(self.size_bytes).unwrap_or(0));
        let reader = self.reader()?;
        let read = reader.take(self.size_bytes).read_to_end(&mut bytes);
        read.map_err(failed)?;
        check(bytes.as_slice(), self.size_bytes, self.digest)?;
        Ok(bytes)
    }

    pub(crate) fn reader(&self) -> Result<Box<dyn Read + Send + 'a>, Error> {
        (self.open)().map_err(failed)
    }

    /// Writes it to byte ranges of the device that hold exactly its size. It is not checked here.
    pub(crate) fn copy(
        &self,
        device: &mut dyn BlockDevice,
        extents: &[Range<u64>],
        report: &mut Report,
    ) -> Result<(), Error> {
        let mut reader = self.reader()?;
        let sector = u64::from(device.sector_size());
        for extent in extents.iter().flat_map(|extent| parts_of(extent, CHUNK)) {
            let mut at = extent.start;
            while at < extent.end {
                let padded = (extent.end - at).next_multiple_of(sector);
                let mut buffer = device.take_buffer(padded as usize);
                let length = (buffer.len() as u64).min(extent.end - at);
                if let Err(error) = reader.read_exact(&mut buffer[..length as usize]) {
                    device.return_buffer(buffer);
                    return Err(failed(error));
                }
                // The last sector may be part of one.
                buffer[length as usize..].fill(0);
                write_buffer(device, at, buffer, report)?;
                at += length;
            }
        }
        Ok(())
    }

    /// Whether something else than this is in byte ranges of the device.
    pub(crate) fn differs(
        &self,
        device: &dyn BlockDevice,
        extents: &[Range<u64>],
    ) -> Result<bool, Error> {
        let size: u64 = extents.iter().map(|extent| extent.end - extent.start).sum();
        Ok(size != self.size_bytes || self.first_difference(device, extents)?.is_some())
    }

    /// Where on the device something else is than this, where anything is.
    pub(crate) fn first_difference(
        &self,
        device: &dyn BlockDevice,
        extents: &[Range<u64>],
    ) -> Result<Option<u64>, Error> {
        let mut reader = self.reader()?;
        let (mut wanted, mut found) = (Vec::new(), Vec::new());
        for part in extents.iter().flat_map(|extent| parts_of(extent, CHUNK)) {
            let length = (part.end - part.start) as usize;
            wanted.resize(length, 0);
            found.resize(length, 0);
            reader.read_exact(&mut wanted).map_err(failed)?;
            device
                .read_at(part.start, &mut found)
                .map_err(|source| Error::Io {
                    doing: "reading the kernel image on the disk",
                    source,
                })?;
            if let Some(index) = first_difference(&found, &wanted) {
                return Ok(Some(part.start + index as u64));
            }
        }
        Ok(None)
    }
}

/// Checks that a kernel image has its size and digest.
pub(crate) fn check(mut reader: impl Read, size: u64, digest: [u8; 32]) -> Result<(), Error> {
    let wrong = |what: String| Err(Error::Source { what });
    let mut buffer = vec![0; HASHED];
    let (mut hasher, mut seen) = (Sha256::new(), 0);
    loop {
        match reader.read(&mut buffer) {
            Ok(0) => break,
            Ok(length) => {
                hasher.update(&buffer[..length]);
                seen += length as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(failed(error)),
        }
        if seen > size {
            break;
        }
    }
    if seen != size {
        return wrong(format!(
            "the kernel image does not have the {size} bytes that it should have"
        ));
    }
    if <[u8; 32]>::from(hasher.finalize()) != digest {
        return wrong("the kernel image does not have the digest that it should have".into());
    }
    Ok(())
}

fn failed(source: io::Error) -> Error {
    match source.kind() {
        io::ErrorKind::UnexpectedEof => Error::Source {
            what: "the kernel image has fewer bytes than it should have".into(),
        },
        _ => Error::ReadSource {
            image: "kernel".into(),
            source,
        },
    }
}
