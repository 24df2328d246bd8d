//! A part of a device, read as if it were all there is.

use crate::BlockDevice;
use nos_formats::read_at::{Extent, ReadAt};
use std::io;

/// The bytes of a device from `start`, `length` long.
pub(crate) struct Window<'a> {
    pub(crate) device: &'a dyn BlockDevice,
    pub(crate) start: u64,
    pub(crate) length: u64,
}

impl<'a> Window<'a> {
    /// The whole device.
    pub(crate) fn whole(device: &'a dyn BlockDevice) -> Self {
        Self {
            device,
            start: 0,
            length: device.size_bytes(),
        }
    }
}

impl ReadAt for Window<'_> {
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        let end = offset.checked_add(buf.len() as u64);
        if end.is_none_or(|end| end > self.length) {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.device.read_at(self.start + offset, buf)
    }
}

impl Extent for Window<'_> {
    fn size_bytes(&self) -> u64 {
        self.length
    }
}
