//! Copying an image to its partition, and reading it back.

use crate::commit::{OnProgress, write, write_buffer};
use crate::window::Window;
use crate::{AlignedBuffer, BlockDevice, Error, ImageSource, Progress, Report};
use nos_formats::read_at::ReadAt;
use nos_formats::verity::{self, Params, Region, RootHash, Salt, StreamChecker};
use nos_manifest::Image;
use std::io::{self, Read};
use std::ops::Range;

/// Bytes copied at a time: enough for a device to be busy with one while the next is read and
/// hashed, few enough that the last one is soon done.
pub(crate) const CHUNK: u64 = 1 << 20;

/// Threads that read a medium back and hash: some wait for it while the others hash, on a single
/// processor too.
pub(crate) const READERS: usize = 4;

/// Writes an image to the start of a partition and checks its bytes against its root hash on
/// their way.
///
/// # Errors
/// [`Error::Source`] where they are not the image; [`Error::ReadSource`]; [`Error::Io`].
pub(crate) fn copy(
    device: &mut dyn BlockDevice,
    partition: &Range<u64>,
    source: &ImageSource<'_>,
    report: &mut Report,
    progress: OnProgress<'_>,
) -> Result<(), Error> {
    let (name, total) = (&source.image.name, source.image.size_bytes);
    let mut reader = CheckedReader::new(source)?;
    let sector = u64::from(device.sector_size());
    let mut done = 0;
    while done < total {
        let left = (total - done).next_multiple_of(sector).min(CHUNK);
        let mut buffer = device.take_buffer(left as usize);
        let length = (buffer.len() as u64).min(total - done) as usize;
        if let Err(error) = reader.fill(&mut buffer[..length]) {
            device.return_buffer(buffer);
            return Err(error);
        }
        // The last sector may be part of one.
        buffer[length..].fill(0);
        write_sparse(device, partition.start + done, buffer, report)?;
        done += length as u64;
        progress(&Progress {
            doing: "write",
            what: name.clone(),
            done,
            total,
        });
    }
    reader.finish()
}

/// Checks what a source gives without writing it anywhere.
pub(crate) fn check_source(source: &ImageSource<'_>) -> Result<(), Error> {
    let mut reader = CheckedReader::new(source)?;
    let mut buffer = vec![0; CHUNK as usize];
    let mut left = source.image.size_bytes;
    while left > 0 {
        let length = left.min(CHUNK);
        reader.fill(&mut buffer[..length as usize])?;
        left -= length;
    }
    reader.finish()
}

/// Opens what an image is read from.
pub(crate) fn open<'a>(source: &ImageSource<'a>) -> Result<Box<dyn Read + Send + 'a>, Error> {
    (source.open)().map_err(|error| Error::ReadSource {
        image: source.image.name.clone(),
        source: error,
    })
}

/// An image's bytes, checked against its size and its root hash as they are read.
struct CheckedReader<'s, 'a> {
    image: &'s Image,
    reader: Box<dyn Read + Send + 'a>,
    checker: StreamChecker,
}

impl<'s, 'a> CheckedReader<'s, 'a> {
    fn new(source: &'s ImageSource<'a>) -> Result<Self, Error> {
        let image = &source.image;
        let (params, root_hash) = parameters(image).map_err(|error| Error::Source {
            what: format!("image {:?}: {error}", image.name),
        })?;
        Ok(Self {
            image,
            reader: open(source)?,
            checker: StreamChecker::new(&params, root_hash, processors()),
        })
    }

    /// Fills the buffer with the next bytes.
    fn fill(&mut self, buffer: &mut [u8]) -> Result<(), Error> {
        match self.reader.read_exact(buffer) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                let total = self.image.size_bytes;
                return Err(self.wrong(format!("has fewer than the {total} bytes it should have")));
            }
            Err(error) => return Err(self.failed(error)),
        }
        let checked = self.checker.update(buffer);
        checked.map_err(|error| self.wrong(format!("cannot be checked: {error}")))
    }

    /// Checks that nothing is left, and that it was all what it should be.
    fn finish(mut self) -> Result<(), Error> {
        let total = self.image.size_bytes;
        match self.reader.read(&mut [0]) {
            Ok(0) => {}
            Ok(_) => {
                return Err(self.wrong(format!("has more than the {total} bytes it should have")));
            }
            Err(error) => return Err(self.failed(error)),
        }
        let image = self.image;
        let part = match self.checker.finish() {
            None => return Ok(()),
            Some(Region::Data) => "data",
            Some(Region::Superblock) => "superblock",
            Some(Region::Tree) => "hash tree",
        };
        Err(Error::Source {
            what: format!(
                "image {:?} does not have the root hash that it should have: its {part} differs",
                image.name
            ),
        })
    }

    fn wrong(&self, what: String) -> Error {
        Error::Source {
            what: format!("image {:?} {what}", self.image.name),
        }
    }

    fn failed(&self, source: io::Error) -> Error {
        Error::ReadSource {
            image: self.image.name.clone(),
            source,
        }
    }
}

/// Writes sectors. Long runs of zeros are cleared where the device has a faster way for that.
fn write_sparse(
    device: &mut dyn BlockDevice,
    offset: u64,
    buffer: AlignedBuffer,
    report: &mut Report,
) -> Result<(), Error> {
    let cut = if device.starts_zeroed() || device.clears_fast() {
        runs(&buffer, least_run(device))
    } else {
        Vec::new()
    };
    if !cut.iter().any(|(_, zero)| *zero) {
        return write_buffer(device, offset, buffer, report);
    }
    for (run, zero) in cut {
        let at = offset + run.start as u64;
        if !zero {
            write(device, at, &buffer[run], report)?;
        } else if !device.starts_zeroed() {
            device
                .write_zeroes(at, run.len() as u64)
                .map_err(|source| Error::Io {
                    doing: "clearing the disk",
                    source,
                })?;
        }
    }
    device.return_buffer(buffer);
    Ok(())
}

/// How many zeros are worth a request of their own.
pub(crate) fn least_run(device: &dyn BlockDevice) -> usize {
    if device.starts_zeroed() {
        BLOCK
    } else {
        LONG_RUN
    }
}

/// Unit in which zeros are looked for, in bytes.
const BLOCK: usize = 4096;

/// Cuts bytes into runs that are all zero and at least `least` bytes long, and what lies between
/// them. A run begins and ends at a multiple of 4096, or where the bytes do.
pub(crate) fn runs(bytes: &[u8], least: usize) -> Vec<(Range<usize>, bool)> {
    let mut runs = Vec::new();
    let mut data = 0;
    let mut at = 0;
    while at < bytes.len() {
        let zeros = leading_zeros(&bytes[at..]);
        let zeros = if at + zeros == bytes.len() {
            zeros
        } else {
            zeros - zeros % BLOCK
        };
        if zeros < least {
            at = (at + zeros.max(BLOCK)).min(bytes.len());
            continue;
        }
        if data < at {
            runs.push((data..at, false));
        }
        runs.push((at..at + zeros, true));
        at += zeros;
        data = at;
    }
    if data < bytes.len() {
        runs.push((data..bytes.len(), false));
    }
    runs
}

/// How many bytes are zero before the first that is not.
fn leading_zeros(bytes: &[u8]) -> usize {
    const WIDE: usize = 64;
    let wide = bytes
        .chunks_exact(WIDE)
        .take_while(|chunk| **chunk == [0; WIDE])
        .count()
        * WIDE;
    wide + bytes[wide..].iter().take_while(|byte| **byte == 0).count()
}

/// Zeros that are worth a request of their own.
const LONG_RUN: usize = 64 << 10;

/// Checks an image on the disk against its root hash, block by block.
pub(crate) fn check(
    device: &dyn BlockDevice,
    partition: &Range<u64>,
    image: &Image,
    on_bytes: &(dyn Fn(u64) + Sync),
) -> Result<verity::Report, String> {
    let window = Window {
        device,
        start: partition.start,
        length: partition.end - partition.start,
    };
    let (params, root_hash) = parameters(image)?;
    verity::verify(
        &|offset, buffer| window.read_at(offset, buffer),
        &params,
        &root_hash,
        READERS.max(processors()),
        &|blocks| on_bytes(blocks * verity::BLOCK_SIZE as u64),
    )
    .map_err(|error| error.to_string())
}

fn processors() -> usize {
    std::thread::available_parallelism().map_or(1, |n| n.get())
}

/// What verity needs to know of an image.
pub(crate) fn parameters(image: &Image) -> Result<(Params, RootHash), String> {
    let text = |error: verity::VerityError| error.to_string();
    let root_hash: RootHash = image.root_hash.parse().map_err(text)?;
    let salt: Salt = image.salt.parse().map_err(text)?;
    let params = Params::with_hash_start(image.data_blocks, image.hash_start_block, salt);
    let params = params.map_err(text)?;
    if params.size_bytes() > image.size_bytes {
        return Err(format!(
            "its hash tree ends at byte {}, the image at {}",
            params.size_bytes(),
            image.size_bytes
        ));
    }
    Ok((params, root_hash))
}
