//! Writing a change in phases.

use crate::{AlignedBuffer, BlockDevice, Error, Progress, Report};
use nos_formats::fat::SectorWrite;
use std::collections::BTreeMap;
use std::io;

/// Writes that need nothing of each other, so that the medium may do them in any order. By their
/// offset on the disk; a later write to the same place replaces an earlier one.
#[derive(Debug, Clone, Default)]
pub(crate) struct Phase {
    writes: BTreeMap<u64, Vec<u8>>,
}

impl Phase {
    pub(crate) fn put(&mut self, offset: u64, bytes: Vec<u8>) {
        self.writes.insert(offset, bytes);
    }

    /// Takes writes to a volume that begins at `start`.
    pub(crate) fn put_all(&mut self, start: u64, writes: Vec<SectorWrite>) {
        for write in writes {
            self.put(start + write.offset, write.bytes);
        }
    }

    /// Takes all writes of another phase.
    pub(crate) fn join(&mut self, other: Self) {
        self.writes.extend(other.writes);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.writes.is_empty()
    }

    /// Writes everything, then flushes. An empty phase does nothing.
    pub(crate) fn run(
        &self,
        device: &mut dyn BlockDevice,
        report: &mut Report,
    ) -> Result<(), Error> {
        if self.is_empty() {
            return Ok(());
        }
        self.write(device, report)?;
        flush(device, report)
    }

    /// Writes everything without a flush; neighbours in one go.
    pub(crate) fn write(
        &self,
        device: &mut dyn BlockDevice,
        report: &mut Report,
    ) -> Result<(), Error> {
        self.for_each_run(|offset, bytes| write(device, offset, bytes, report))
    }

    /// Gives every run of neighbouring writes as one.
    pub(crate) fn for_each_run(
        &self,
        mut give: impl FnMut(u64, &[u8]) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let mut run: (u64, Vec<u8>) = (0, Vec::new());
        for (offset, bytes) in &self.writes {
            if run.0 + run.1.len() as u64 != *offset || run.1.len() + bytes.len() > MAX_RUN {
                give(run.0, &run.1)?;
                run = (*offset, Vec::new());
            }
            if run.1.is_empty() && bytes.len() > MAX_RUN {
                give(*offset, bytes)?;
                run = (*offset + bytes.len() as u64, Vec::new());
            } else {
                run.1.extend_from_slice(bytes);
            }
        }
        give(run.0, &run.1)
    }
}

/// Reads back what phases wrote and compares; where two wrote the same sector, the later counts.
pub(crate) fn read_back(
    device: &dyn BlockDevice,
    phases: &[&Phase],
    what: &str,
) -> Result<(), Error> {
    let size = device.sector_size() as usize;
    let mut buffer = Vec::new();
    // Large writes are compared whole, small ones by what is left of them at the end.
    let (large, small): (Vec<_>, Vec<_>) = phases
        .iter()
        .flat_map(|phase| &phase.writes)
        .partition(|(_, bytes)| bytes.len() > MAX_RUN);
    let mut last: BTreeMap<u64, &[u8]> = BTreeMap::new();
    for (offset, bytes) in small {
        for (index, sector) in bytes.chunks(size).enumerate() {
            last.insert(offset + (index * size) as u64, sector);
        }
    }
    let large = large
        .into_iter()
        .map(|(offset, bytes)| (*offset, bytes.as_slice()));
    for (offset, bytes) in large.chain(last) {
        buffer.resize(bytes.len(), 0);
        device
            .read_at(offset, &mut buffer)
            .map_err(|source| Error::Io {
                doing: "reading back what was written",
                source,
            })?;
        if let Some(index) = first_difference(&buffer, bytes) {
            let offset = offset + index as u64;
            return Err(Error::ReadBack {
                offset,
                what: what.to_owned(),
            });
        }
    }
    Ok(())
}

/// Index of the first byte that differs.
pub(crate) fn first_difference(a: &[u8], b: &[u8]) -> Option<usize> {
    // Whole slices compare many bytes at a time, and nearly always that is the end of it.
    if a == b {
        return None;
    }
    a.iter().zip(b).position(|(a, b)| a != b)
}

/// Most bytes gathered into one write.
const MAX_RUN: usize = 1 << 20;

/// Writes whole sectors and counts them.
pub(crate) fn write(
    device: &mut dyn BlockDevice,
    offset: u64,
    bytes: &[u8],
    report: &mut Report,
) -> Result<(), Error> {
    if bytes.is_empty() {
        return Ok(());
    }
    let result = device.write_at(offset, bytes);
    written(device, bytes.len(), result, report)
}

/// As [`write`], of a buffer that the device gave.
pub(crate) fn write_buffer(
    device: &mut dyn BlockDevice,
    offset: u64,
    buffer: AlignedBuffer,
    report: &mut Report,
) -> Result<(), Error> {
    let length = buffer.len();
    let result = device.write_buffer(offset, buffer);
    written(device, length, result, report)
}

fn written(
    device: &dyn BlockDevice,
    length: usize,
    result: io::Result<()>,
    report: &mut Report,
) -> Result<(), Error> {
    result.map_err(|source| Error::Io {
        doing: "writing to the disk",
        source,
    })?;
    report.bytes_written += length as u64;
    report.sectors_written += length as u64 / u64::from(device.sector_size());
    Ok(())
}

/// Flushes and counts it.
pub(crate) fn flush(device: &mut dyn BlockDevice, report: &mut Report) -> Result<(), Error> {
    device.flush().map_err(|source| Error::Io {
        doing: "flushing the disk",
        source,
    })?;
    report.flushes += 1;
    Ok(())
}

/// Drops cached data, so that what is read next comes from the medium.
pub(crate) fn forget(device: &dyn BlockDevice) -> Result<(), Error> {
    device.forget().map_err(|source| Error::Io {
        doing: "reading back what was written",
        source,
    })
}

/// Where progress goes.
pub(crate) type OnProgress<'a> = &'a mut dyn FnMut(&Progress);

/// A device as it will be once planned phases are written: reads see them, writes are refused.
pub(crate) struct Overlay<'a> {
    device: &'a dyn BlockDevice,
    /// Sectors by offset.
    sectors: BTreeMap<u64, Vec<u8>>,
}

impl<'a> Overlay<'a> {
    pub(crate) fn new(device: &'a dyn BlockDevice, phases: &[&Phase]) -> Self {
        let size = device.sector_size() as usize;
        let mut sectors = BTreeMap::new();
        for (offset, bytes) in phases.iter().flat_map(|phase| &phase.writes) {
            for (index, sector) in bytes.chunks(size).enumerate() {
                sectors.insert(offset + (index * size) as u64, sector.to_vec());
            }
        }
        Self { device, sectors }
    }
}

impl BlockDevice for Overlay<'_> {
    fn sector_size(&self) -> u32 {
        self.device.sector_size()
    }

    fn size_bytes(&self) -> u64 {
        self.device.size_bytes()
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        self.device.read_at(offset, buf)?;
        let size = u64::from(self.sector_size());
        let end = offset + buf.len() as u64;
        for (start, sector) in self.sectors.range(offset - offset % size..end) {
            let from = offset.max(*start);
            let to = end.min(start + size);
            let source = &sector[(from - start) as usize..(to - start) as usize];
            buf[(from - offset) as usize..(to - offset) as usize].copy_from_slice(source);
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
}
