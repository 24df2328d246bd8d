//! Copying an image to its partition, and reading it back.

use crate::commit::{OnProgress, write};
use crate::window::Window;
use crate::{BlockDevice, Error, ImageSource, Progress, Report};
use nos_formats::read_at::ReadAt;
use nos_formats::verity::{self, Params, RootHash, Salt};
use nos_manifest::Image;
use std::io::{self, Read};
use std::ops::Range;

/// Bytes copied at a time.
const CHUNK: usize = 1 << 20;

/// Writes an image to the start of a partition. On a device that is known to be zero, blocks of
/// zeros are left out.
pub(crate) fn copy(
    device: &mut dyn BlockDevice,
    partition: &Range<u64>,
    source: &ImageSource<'_>,
    report: &mut Report,
    progress: OnProgress<'_>,
) -> Result<(), Error> {
    let name = &source.image.name;
    let total = source.image.size_bytes;
    let failed = |source| Error::ReadSource {
        image: name.clone(),
        source,
    };
    let mut reader = (source.open)().map_err(failed)?;
    let mut buffer = vec![0; CHUNK.min(usize::try_from(total).unwrap_or(CHUNK))];
    let mut done = 0;
    while done < total {
        let length = (total - done).min(CHUNK as u64) as usize;
        reader
            .read_exact(&mut buffer[..length])
            .map_err(|error| match error.kind() {
                io::ErrorKind::UnexpectedEof => Error::Source {
                    what: format!("image {name:?} has fewer than the {total} bytes it should have"),
                },
                _ => failed(error),
            })?;
        // The last sector may be part of one.
        let sector = device.sector_size() as usize;
        let padded = length.next_multiple_of(sector);
        buffer.resize(padded.max(length), 0);
        buffer[length..padded].fill(0);
        write_sparse(device, partition.start + done, &buffer[..padded], report)?;
        done += length as u64;
        progress(&Progress {
            doing: "write",
            what: name.clone(),
            done,
            total,
        });
    }
    match reader.read(&mut [0]) {
        Ok(0) => Ok(()),
        Ok(_) => Err(Error::Source {
            what: format!("image {name:?} has more than the {total} bytes it should have"),
        }),
        Err(error) => Err(failed(error)),
    }
}

/// Writes sectors. Long runs of zeros are left out on a device that is known to be zero, and
/// cleared in its fastest way on any other.
pub(crate) fn write_sparse(
    device: &mut dyn BlockDevice,
    offset: u64,
    bytes: &[u8],
    report: &mut Report,
) -> Result<(), Error> {
    for (run, zero) in runs(bytes, least_run(device)) {
        let at = offset + run.start as u64;
        if !zero {
            write(device, at, &bytes[run], report)?;
        } else if !device.starts_zeroed() {
            device
                .write_zeroes(at, run.len() as u64)
                .map_err(|source| Error::Io {
                    doing: "clearing the disk",
                    source,
                })?;
        }
    }
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
    let threads = std::thread::available_parallelism().map_or(1, |n| n.get());
    verity::verify(
        &|offset, buffer| window.read_at(offset, buffer),
        &params,
        &root_hash,
        threads,
        &|blocks| on_bytes(blocks * verity::BLOCK_SIZE as u64),
    )
    .map_err(|error| error.to_string())
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
