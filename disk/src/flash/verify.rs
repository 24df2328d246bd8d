//! Reading back what was written, from the medium, by several threads.

use super::error::{FlashError, Transfer};
use super::write::{CHUNK, Left, Writer};
use crate::{AlignedBuffer, BlockDevice, FailedTransfer, Progress, image};
use nos_formats::verity;
use nos_manifest::Image;
use sha2::{Digest, Sha256};
use std::io;
use std::ops::{ControlFlow, Range};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{self, Sender};

/// A range and what must be found there.
pub(super) struct Check {
    pub(super) range: Range<u64>,
    pub(super) what: String,
    pub(super) expected: Expected,
}

/// What must be found in a range.
pub(super) enum Expected {
    /// Bytes with this SHA-256.
    Digest([u8; 32]),
    /// Zeros.
    Zero,
}

/// What a thread does: reads the device until it is told to stop, and tells what it finds.
type Work<'a> = &'a (dyn Fn(&dyn BlockDevice, &AtomicBool, Tell<'_>) + Sync);

/// Where a thread tells what it finds.
type Tell<'a> = &'a (dyn Fn(Told) + Sync);

/// What a thread has to say.
enum Told {
    /// So many more bytes are as they should be.
    Good(u64),
    /// From this byte on they are not.
    Differs(u64, String),
    Failed(io::Error),
}

impl Writer<'_, '_> {
    /// Reads everything back: images against their root hash, the rest against digests.
    pub(super) fn read_back(&mut self) -> Result<(), FlashError> {
        let checks = std::mem::take(&mut self.checks);
        let images = &self.plan.images;
        let total = checks
            .iter()
            .map(|check| &check.range)
            .chain(images.iter().map(|(range, _)| range))
            .map(|range| range.end - range.start)
            .sum();
        let next = AtomicUsize::new(0);
        self.in_threads(image::READERS, total, "the rest", &|device, stop, tell| {
            let mut buffer = AlignedBuffer::new(CHUNK as usize);
            while !stop.load(Ordering::Relaxed) {
                let Some(check) = checks.get(next.fetch_add(1, Ordering::Relaxed)) else {
                    break;
                };
                tell(look(device, check, &mut buffer));
            }
        })?;
        for (range, image) in images {
            self.in_threads(1, total, &image.name, &|device, stop, tell| {
                prove(device, range, image, stop, tell);
            })?;
        }
        Ok(())
    }

    /// Lets threads read the device and listens to them.
    fn in_threads(
        &mut self,
        threads: usize,
        total: u64,
        what: &str,
        work: Work<'_>,
    ) -> Result<(), FlashError> {
        let stop = AtomicBool::new(false);
        let (sender, told) = mpsc::channel();
        let mut result = Ok(());
        let device: &dyn BlockDevice = &*self.device;
        let (watch, flashed, left) = (&mut self.watch, &mut self.flashed, self.left);
        std::thread::scope(|scope| {
            let started = (0..threads)
                .filter(|_| {
                    let (sender, stop): (Sender<Told>, _) = (sender.clone(), &stop);
                    // Whoever listened has heard enough where nobody listens any more.
                    let thread = move || work(device, stop, &|told| drop(sender.send(told)));
                    let builder = std::thread::Builder::new();
                    builder.spawn_scoped(scope, thread).is_ok()
                })
                .count();
            if started == 0 {
                work(device, &stop, &|told| drop(sender.send(told)));
            }
            drop(sender);
            for told in told {
                let heard = match told {
                    Told::Good(bytes) => {
                        flashed.bytes_verified += bytes;
                        let at = Progress {
                            doing: "read back",
                            what: what.to_owned(),
                            done: flashed.bytes_verified,
                            total,
                        };
                        match watch(&at) {
                            ControlFlow::Continue(()) => Ok(()),
                            ControlFlow::Break(()) => Err(FlashError::Stopped { left }),
                        }
                    }
                    told => Err(wrong(told, left)),
                };
                if heard.is_err() && result.is_ok() {
                    stop.store(true, Ordering::Relaxed);
                    result = heard;
                }
            }
        });
        result
    }
}

fn wrong(told: Told, left: Left) -> FlashError {
    match told {
        Told::Failed(error) => FlashError::Device {
            doing: "reading back",
            source: Transfer(error),
            left,
        },
        Told::Differs(offset, what) => FlashError::ReadBack { offset, what, left },
        Told::Good(_) => FlashError::Stopped { left },
    }
}

/// Reads one range back.
fn look(device: &dyn BlockDevice, check: &Check, buffer: &mut AlignedBuffer) -> Told {
    let Check {
        range,
        what,
        expected,
    } = check;
    let length = range.end - range.start;
    buffer.resize(length as usize);
    if let Err(error) = device.read_at(range.start, buffer) {
        return Told::Failed(FailedTransfer::somewhere(range, error));
    }
    let good = match expected {
        Expected::Digest(digest) => <[u8; 32]>::from(Sha256::digest(&**buffer)) == *digest,
        Expected::Zero => image::runs(buffer, 1)
            .first()
            .is_none_or(|(run, zero)| *zero && run.len() == buffer.len()),
    };
    match good {
        true => Told::Good(length),
        false => Told::Differs(range.start, what.clone()),
    }
}

/// Reads an image back against its root hash.
fn prove(
    device: &dyn BlockDevice,
    range: &Range<u64>,
    wanted: &Image,
    stop: &AtomicBool,
    tell: Tell<'_>,
) {
    let what = format!("image {:?}", wanted.name);
    let read = |offset: u64, buffer: &mut [u8]| {
        if stop.load(Ordering::Relaxed) {
            return Err(io::ErrorKind::Interrupted.into());
        }
        let at = range.start + offset;
        device
            .read_at(at, buffer)
            .map_err(|error| FailedTransfer::somewhere(&(at..at + buffer.len() as u64), error))
    };
    let good = |blocks| tell(Told::Good(blocks * verity::BLOCK_SIZE as u64));
    let checked = image::parameters(wanted)
        .map_err(io::Error::other)
        .and_then(|(params, root)| {
            verity::verify(&read, &params, &root, image::READERS, &good).map_err(
                |error| match error {
                    verity::VerityError::Read { source, .. } => source,
                    other => io::Error::other(other),
                },
            )
        });
    match checked {
        Err(error) => tell(Told::Failed(error)),
        Ok(report) => match report.ranges.first() {
            Some(bad) => {
                let block = verity::BLOCK_SIZE as u64;
                tell(Told::Differs(range.start + bad.blocks.start * block, what));
            }
            // What the blocks of data did not count: hash tree and superblock.
            None => tell(Told::Good(
                (range.end - range.start).saturating_sub(wanted.data_blocks * 4096),
            )),
        },
    }
}
