//! Carrying a plan out on a device.

use super::error::{FlashError, Transfer};
use super::plan::{Fill, Piece, Plan};
use super::verify::{Check, Expected};
use crate::commit::{Phase, flush, forget, read_back};
use crate::disk::State;
use crate::image::{least_run, runs};
use crate::layout::{PARTITION_ALIGN, parts_of};
use crate::{AlignedBuffer, BlockDevice, Error, FailedTransfer, Progress, Report};
use sha2::{Digest, Sha256};
use std::fmt;
use std::io::{self, Read};
use std::ops::{ControlFlow, Range};

/// Bytes moved at a time.
pub(super) const CHUNK: u64 = 4 << 20;

/// Bytes discarded or cleared at a time, so that one can stop in between.
const LARGE: u64 = 256 << 20;

/// Where progress goes; breaking stops the work.
pub type Watch<'a> = &'a mut dyn FnMut(&Progress) -> ControlFlow<()>;

/// What a device holds when writing it ended before its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Left {
    /// Nothing was written.
    AsItWas,
    /// Its first sectors were being changed: it is as it was, or does not boot.
    Uncertain,
    /// It has no partition table.
    Blank,
    /// Its partition table names the state partition that is kept, and nothing else.
    StateAlone,
    /// Everything is on it, and its first sectors were being written.
    Whole,
}

impl fmt::Display for Left {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::AsItWas => "nothing was written",
            Self::Uncertain => "the device is as it was, or does not boot any more: flash it again",
            Self::Blank => {
                "the device has no partition table now and boots nothing: flash it again"
            }
            Self::StateAlone => {
                "the device boots nothing now, its state partition is untouched: flash it again \
                 with --keep-state"
            }
            Self::Whole => {
                "everything is on the device but it may not boot: look with `nos verify`, or \
                 flash it again"
            }
        })
    }
}

/// What was done to a device.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize)]
pub struct Flashed {
    /// The generation that boots, and what was written.
    #[serde(flatten)]
    pub report: Report,
    /// Bytes that were made zero without sending zeros, or known to be zero.
    pub bytes_cleared: u64,
    /// Bytes that mean nothing and were given back to the device, where it takes them.
    pub bytes_discarded: u64,
    /// Bytes read back and found to be what they should.
    pub bytes_verified: u64,
}

/// Writes a disk.
///
/// What was on the device is made unbootable first. Then everything is written, flushed, and read
/// back from the medium: service images against their root hash, everything else against the
/// digest of what was written. The first sectors come last, so that a device whose writing was cut
/// off boots nothing. All is read back only behind the last write, since a medium that is smaller
/// than it says gives back what it was sent just before.
///
/// # Errors
/// [`FlashError`] says what went wrong and what the device holds then.
pub fn write(
    plan: &Plan<'_>,
    device: &mut dyn BlockDevice,
    watch: Watch<'_>,
) -> Result<Flashed, FlashError> {
    let mut writer = Writer {
        plan,
        device,
        watch,
        left: Left::AsItWas,
        flashed: Flashed::default(),
        checks: Vec::new(),
    };
    writer.run()?;
    Ok(writer.flashed)
}

pub(super) struct Writer<'w, 'p> {
    pub(super) plan: &'w Plan<'p>,
    pub(super) device: &'w mut dyn BlockDevice,
    pub(super) watch: Watch<'w>,
    pub(super) left: Left,
    pub(super) flashed: Flashed,
    /// What is to be read back.
    pub(super) checks: Vec<Check>,
}

impl Writer<'_, '_> {
    fn run(&mut self) -> Result<(), FlashError> {
        if self.device.size_bytes() != self.plan.size_bytes() {
            return Err(FlashError::Refused(Error::Plan {
                what: "it was made for a device of another size".into(),
            }));
        }
        self.go_on("prepare", "device", 0, 0)?;
        if !self.device.starts_zeroed() || self.plan.kept.is_some() {
            self.invalidate()?;
            self.discard()?;
        }
        self.write_pieces()?;
        self.commit(flush)?;
        self.go_on("flush", "device", 0, 0)?;
        self.commit(|device, _| forget(device))?;
        self.read_back()?;

        // From here on there is nothing left to stop: a few sectors.
        let (tables, head) = self.plan.head();
        self.phase(&tables)?;
        self.left = Left::Whole;
        self.phase(&head)?;
        self.commit(|device, _| {
            forget(device)?;
            read_back(device, &[&tables, &head], "partition table")?;
            let state = State::read(device)?;
            match state.current() {
                Some(_) => Ok(()),
                None => Err(Error::Plan {
                    what: "no generation boots".into(),
                }),
            }
        })?;
        let report = &mut self.flashed.report;
        report.number = self.plan.number;
        let images = self.plan.images.iter().map(|(_, image)| image.name.clone());
        report.images_written = images.collect();
        Ok(())
    }

    /// Nothing of what was on the device may boot or be found from here on, but the state that
    /// is kept.
    fn invalidate(&mut self) -> Result<(), FlashError> {
        if let Some(kept) = &self.plan.kept {
            kept.stand_alone(self.device, &mut self.flashed.report)?;
            self.left = Left::StateAlone;
            return Ok(());
        }
        self.left = Left::Uncertain;
        // Boot code and tables of either sector size, and what RAID and ZFS leave at the ends.
        let size = self.device.size_bytes();
        let length = PARTITION_ALIGN.min(size);
        let mut wipe = Phase::default();
        wipe.put(size - length, vec![0; length as usize]);
        wipe.put(0, vec![0; length as usize]);
        self.phase(&wipe)?;
        self.left = Left::Blank;
        Ok(())
    }

    fn discard(&mut self) -> Result<(), FlashError> {
        let ranges = self.plan.meaningless();
        let total = ranges.iter().map(|range| range.end - range.start).sum();
        for range in ranges.iter().flat_map(|range| parts_of(range, LARGE)) {
            let length = range.end - range.start;
            self.device
                .discard(range.start, length)
                .map_err(|error| self.failed("discarding", &range, error))?;
            self.flashed.bytes_discarded += length;
            self.go_on("discard", "device", self.flashed.bytes_discarded, total)?;
        }
        Ok(())
    }

    fn write_pieces(&mut self) -> Result<(), FlashError> {
        let total = self.plan.data_bytes();
        let mut done = 0;
        for piece in &self.plan.pieces {
            match &piece.fill {
                Fill::Zero => self.clear(&piece.range)?,
                _ => self.write_piece(piece, &mut done, total)?,
            }
        }
        Ok(())
    }

    /// Makes a range zero that means something.
    fn clear(&mut self, range: &Range<u64>) -> Result<(), FlashError> {
        for part in parts_of(range, LARGE) {
            self.zero(part)?;
            self.go_on("clear", "device", 0, 0)?;
        }
        let chunks = parts_of(range, CHUNK);
        self.checks.extend(chunks.map(|range| Check {
            range,
            what: "zeros".into(),
            expected: Expected::Zero,
        }));
        Ok(())
    }

    fn zero(&mut self, range: Range<u64>) -> Result<(), FlashError> {
        let length = range.end - range.start;
        if !self.device.starts_zeroed() {
            self.device
                .write_zeroes(range.start, length)
                .map_err(|error| self.failed("clearing", &range, error))?;
        }
        self.flashed.bytes_cleared += length;
        Ok(())
    }

    fn write_piece(
        &mut self,
        piece: &Piece<'_>,
        done: &mut u64,
        total: u64,
    ) -> Result<(), FlashError> {
        let proved = self
            .plan
            .images
            .iter()
            .any(|(range, _)| range.start <= piece.range.start && piece.range.end <= range.end);
        let mut content = Content::open(self.plan, piece).map_err(|what| self.bad_source(what))?;
        let mut at = piece.range.start;
        while at < piece.range.end {
            let mut buffer = self
                .device
                .take_buffer((piece.range.end - at).min(CHUNK) as usize);
            let filled = content.fill(at - piece.range.start, &mut buffer);
            if let Err(what) = filled {
                self.device.return_buffer(buffer);
                return Err(self.bad_source(what));
            }
            let range = at..at + buffer.len() as u64;
            if !proved {
                self.checks.push(Check {
                    range: range.clone(),
                    what: piece.what.clone(),
                    expected: Expected::Digest(Sha256::digest(&*buffer).into()),
                });
            }
            self.put(&range, buffer)?;
            *done += range.end - at;
            at = range.end;
            self.go_on("write", &piece.what, *done, total)?;
        }
        content.end().map_err(|what| self.bad_source(what))
    }

    /// Writes a buffer, but for long runs of zeros where the device has a faster way.
    fn put(&mut self, range: &Range<u64>, buffer: AlignedBuffer) -> Result<(), FlashError> {
        let cut = if self.device.starts_zeroed() || self.device.clears_fast() {
            runs(&buffer, least_run(self.device))
        } else {
            Vec::new()
        };
        if !cut.iter().any(|(_, zero)| *zero) {
            self.count(buffer.len());
            return self
                .device
                .write_buffer(range.start, buffer)
                .map_err(|error| self.failed("writing", range, error));
        }
        for (run, zero) in cut {
            let at = range.start + run.start as u64;
            if zero {
                self.zero(at..at + run.len() as u64)?;
                continue;
            }
            self.count(run.len());
            self.device
                .write_at(at, &buffer[run])
                .map_err(|error| self.failed("writing", range, error))?;
        }
        self.device.return_buffer(buffer);
        Ok(())
    }

    fn count(&mut self, bytes: usize) {
        let report = &mut self.flashed.report;
        report.bytes_written += bytes as u64;
        report.sectors_written += bytes as u64 / u64::from(self.device.sector_size());
    }

    fn phase(&mut self, phase: &Phase) -> Result<(), FlashError> {
        self.commit(|device, report| phase.run(device, report))
    }

    fn commit(
        &mut self,
        action: impl FnOnce(&mut dyn BlockDevice, &mut Report) -> Result<(), Error>,
    ) -> Result<(), FlashError> {
        let result = action(self.device, &mut self.flashed.report);
        result.map_err(|error| FlashError::of(error, self.left))
    }

    /// Says how far it is.
    pub(super) fn go_on(
        &mut self,
        doing: &'static str,
        what: &str,
        done: u64,
        total: u64,
    ) -> Result<(), FlashError> {
        let at = Progress {
            doing,
            what: what.to_owned(),
            done,
            total,
        };
        match (self.watch)(&at) {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(()) => Err(FlashError::Stopped { left: self.left }),
        }
    }

    fn bad_source(&self, what: Error) -> FlashError {
        let left = self.left;
        FlashError::Source { what, left }
    }

    /// An error of the device; where it does not say itself where, the place is this range.
    fn failed(&self, doing: &'static str, range: &Range<u64>, error: io::Error) -> FlashError {
        FlashError::Device {
            doing,
            source: Transfer(FailedTransfer::somewhere(range, error)),
            left: self.left,
        }
    }
}

/// The bytes of a piece, from its beginning to its end.
enum Content<'a> {
    Bytes(&'a [u8]),
    Copy {
        image: &'a dyn BlockDevice,
        start: u64,
    },
    Source {
        name: &'a str,
        reader: Box<dyn Read + 'a>,
        left: u64,
        size: u64,
    },
}

impl<'a> Content<'a> {
    fn open(plan: &'a Plan<'_>, piece: &'a Piece<'_>) -> Result<Self, Error> {
        match &piece.fill {
            Fill::Bytes(bytes) => Ok(Self::Bytes(bytes)),
            Fill::Copy(start) => match plan.image {
                Some(image) => Ok(Self::Copy {
                    image,
                    start: *start,
                }),
                None => Ok(Self::Bytes(&[])),
            },
            Fill::Source { size, open } => Ok(Self::Source {
                name: &piece.what,
                reader: open().map_err(|source| Error::ReadSource {
                    image: piece.what.clone(),
                    source,
                })?,
                left: *size,
                size: *size,
            }),
            Fill::Zero => Ok(Self::Bytes(&[])),
        }
    }

    /// Fills `buffer` with what comes `offset` bytes behind the beginning. Offsets follow each
    /// other.
    fn fill(&mut self, offset: u64, buffer: &mut [u8]) -> Result<(), Error> {
        match self {
            Self::Bytes(bytes) => {
                let start = usize::try_from(offset).unwrap_or(usize::MAX);
                let rest = bytes.get(start..).unwrap_or(&[]);
                let length = rest.len().min(buffer.len());
                buffer[..length].copy_from_slice(&rest[..length]);
                buffer[length..].fill(0);
                Ok(())
            }
            Self::Copy { image, start } => {
                image
                    .read_at(*start + offset, buffer)
                    .map_err(|source| Error::ReadSource {
                        image: "disk image".into(),
                        source,
                    })
            }
            Self::Source {
                name,
                reader,
                left,
                size,
            } => {
                let length = (*left).min(buffer.len() as u64) as usize;
                reader
                    .read_exact(&mut buffer[..length])
                    .map_err(|error| match error.kind() {
                        io::ErrorKind::UnexpectedEof => Error::Source {
                            what: format!(
                                "image {name:?} has fewer than the {size} bytes it should have"
                            ),
                        },
                        _ => Error::ReadSource {
                            image: (*name).into(),
                            source: error,
                        },
                    })?;
                // The last sector may be part of one.
                buffer[length..].fill(0);
                *left -= length as u64;
                Ok(())
            }
        }
    }

    /// Checks that nothing is left.
    fn end(self) -> Result<(), Error> {
        let Self::Source {
            name,
            mut reader,
            size,
            ..
        } = self
        else {
            return Ok(());
        };
        match reader.read(&mut [0]) {
            Ok(0) => Ok(()),
            Ok(_) => Err(Error::Source {
                what: format!("image {name:?} has more than the {size} bytes it should have"),
            }),
            Err(source) => Err(Error::ReadSource {
                image: name.into(),
                source,
            }),
        }
    }
}

/// Writes a disk as one stream of bytes, zeros and all, for a pipe.
///
/// # Errors
/// [`FlashError`] as for [`write`]; a reader that goes away is a [`FlashError::Device`] with
/// [`io::ErrorKind::BrokenPipe`].
pub fn stream(
    plan: &Plan<'_>,
    out: &mut dyn io::Write,
    watch: Watch<'_>,
) -> Result<Flashed, FlashError> {
    let left = Left::Blank;
    let total = plan.size_bytes();
    let (tables, head) = plan.head();
    let mut known = Vec::new();
    for phase in [&head, &tables] {
        let gather = |offset: u64, bytes: &[u8]| {
            let range = offset..offset + bytes.len() as u64;
            known.push(Piece {
                range,
                what: "partition table".into(),
                fill: Fill::Bytes(bytes.to_vec()),
            });
            Ok(())
        };
        phase
            .for_each_run(gather)
            .map_err(|error| FlashError::of(error, Left::AsItWas))?;
    }
    let mut order: Vec<&Piece<'_>> = known.iter().chain(&plan.pieces).collect();
    order.retain(|piece| piece.is_data() && !piece.range.is_empty());
    order.sort_by_key(|piece| piece.range.start);
    let mut buffer = vec![0; CHUNK as usize];
    let mut done = 0;
    let mut put = |bytes: &[u8], what: &str, done: &mut u64| {
        let range = *done..*done + bytes.len() as u64;
        out.write_all(bytes).map_err(|error| FlashError::Device {
            doing: "writing",
            source: Transfer(FailedTransfer::somewhere(&range, error)),
            left,
        })?;
        *done = range.end;
        let at = Progress {
            doing: "write",
            what: what.to_owned(),
            done: *done,
            total,
        };
        match watch(&at) {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(()) => Err(FlashError::Stopped { left }),
        }
    };
    let zeros = vec![0; CHUNK as usize];
    for piece in order {
        for gap in parts_of(&(done..piece.range.start), CHUNK) {
            put(&zeros[..(gap.end - gap.start) as usize], "zeros", &mut done)?;
        }
        let bad = |what| FlashError::Source { what, left };
        let mut content = Content::open(plan, piece).map_err(bad)?;
        for part in parts_of(&piece.range, CHUNK) {
            let part_bytes = &mut buffer[..(part.end - part.start) as usize];
            content
                .fill(part.start - piece.range.start, part_bytes)
                .map_err(bad)?;
            put(part_bytes, &piece.what, &mut done)?;
        }
        content.end().map_err(bad)?;
    }
    for gap in parts_of(&(done..total), CHUNK) {
        put(&zeros[..(gap.end - gap.start) as usize], "zeros", &mut done)?;
    }
    let report = Report {
        number: plan.number,
        bytes_written: done,
        ..Report::default()
    };
    Ok(Flashed {
        report,
        ..Flashed::default()
    })
}
