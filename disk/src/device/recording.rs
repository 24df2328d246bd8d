//! A device that remembers what was done to it.

use super::BlockDevice;
use std::io;
use std::ops::Range;

/// One thing done to a device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Operation {
    /// Bytes written.
    Write {
        /// Where, in bytes.
        offset: u64,
        /// What.
        data: Vec<u8>,
    },
    /// A flush.
    Flush,
}

/// Passes everything on to a device and keeps the writes and flushes in order, so that a test
/// can replay a part of them.
#[derive(Debug)]
pub struct RecordingDevice<D> {
    inner: D,
    operations: Vec<Operation>,
    /// Operations after which every write and flush fails; `None`: never.
    fail_after: Option<usize>,
}

impl<D: BlockDevice> RecordingDevice<D> {
    /// Records what is done to `inner` from here on.
    pub fn new(inner: D) -> Self {
        Self {
            inner,
            operations: Vec::new(),
            fail_after: None,
        }
    }

    /// Lets the first `operations` writes and flushes through and fails every one after them.
    pub fn fail_after(inner: D, operations: usize) -> Self {
        Self {
            fail_after: Some(operations),
            ..Self::new(inner)
        }
    }

    /// The device, and what was done to it.
    pub fn into_parts(self) -> (D, Vec<Operation>) {
        (self.inner, self.operations)
    }

    fn record(&mut self, operation: Operation) -> io::Result<()> {
        if self.fail_after == Some(self.operations.len()) {
            return Err(io::Error::other("the test device fails here"));
        }
        self.operations.push(operation);
        Ok(())
    }
}

impl<D: BlockDevice> BlockDevice for RecordingDevice<D> {
    fn sector_size(&self) -> u32 {
        self.inner.sector_size()
    }

    fn size_bytes(&self) -> u64 {
        self.inner.size_bytes()
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        self.inner.read_at(offset, buf)
    }

    fn write_at(&mut self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.record(Operation::Write {
            offset,
            data: data.to_vec(),
        })?;
        self.inner.write_at(offset, data)
    }

    fn write_zeroes(&mut self, offset: u64, length: u64) -> io::Result<()> {
        super::write_zeroes(self, offset, length)
    }

    fn clears_fast(&self) -> bool {
        self.inner.clears_fast()
    }

    fn discard(&mut self, offset: u64, length: u64) -> io::Result<()> {
        self.inner.discard(offset, length)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.record(Operation::Flush)?;
        self.inner.flush()
    }

    fn forget(&self) -> io::Result<()> {
        self.inner.forget()
    }

    fn data(&self, range: Range<u64>) -> io::Result<Vec<Range<u64>>> {
        self.inner.data(range)
    }

    fn starts_zeroed(&self) -> bool {
        self.inner.starts_zeroed()
    }
}
