//! Bounded decompression.

use super::DebError;
use std::cell::RefCell;
use std::io::{self, BufReader, Read};
use std::rc::Rc;

/// Most memory an xz stream may ask for: `xz -9` needs 65 MiB.
const XZ_MEMORY_BYTES: u64 = 128 << 20;

/// Largest window a zstd frame may ask for, as a power of two: 128 MiB, `zstd --ultra -22`.
const ZSTD_WINDOW_LOG: u32 = 27;

/// Why reading stopped, for who sees only an [`io::Error`] that has passed through others' hands.
#[derive(Debug)]
pub(super) enum Fault {
    /// More came out than the limit.
    Limit,
    /// The stream is damaged or cut short.
    Damaged(String),
}

/// Where a [`Bounded`] leaves its fault.
pub(super) type FaultSlot = Rc<RefCell<Option<Fault>>>;

/// A member's decompressed bytes, at most `limit` of them.
pub(super) struct Bounded<'a> {
    inner: BufReader<Box<dyn Read + 'a>>,
    left: u64,
    fault: FaultSlot,
}

impl<'a> Bounded<'a> {
    /// Chooses the decompressor by the member's name (`data.tar.xz`).
    pub(super) fn new(
        member: impl Read + 'a,
        name: &str,
        limit: u64,
    ) -> Result<(Self, FaultSlot), DebError> {
        let damaged = |e: &dyn std::fmt::Display| DebError::Damaged {
            member: name.into(),
            reason: e.to_string(),
        };
        let inner: Box<dyn Read + 'a> = match name.split_once(".tar") {
            Some((_, "")) => Box::new(member),
            Some((_, ".gz")) => Box::new(flate2::read::MultiGzDecoder::new(member)),
            Some((_, ".bz2")) => Box::new(bzip2::read::MultiBzDecoder::new(member)),
            Some((_, ".xz")) => {
                let flags = liblzma::stream::CONCATENATED;
                let stream = liblzma::stream::Stream::new_stream_decoder(XZ_MEMORY_BYTES, flags);
                let stream = stream.map_err(|e| damaged(&e))?;
                Box::new(liblzma::read::XzDecoder::new_stream(member, stream))
            }
            Some((_, ".zst")) => {
                let decoder = zstd::stream::read::Decoder::new(member);
                let mut decoder = decoder.map_err(|e| damaged(&e))?;
                let set = decoder.window_log_max(ZSTD_WINDOW_LOG);
                set.map_err(|e| damaged(&e))?;
                Box::new(decoder)
            }
            _ => {
                return Err(DebError::Compression {
                    member: name.into(),
                });
            }
        };
        let fault = FaultSlot::default();
        let bounded = Self {
            inner: BufReader::with_capacity(64 << 10, inner),
            left: limit,
            fault: Rc::clone(&fault),
        };
        Ok((bounded, fault))
    }
}

impl Read for Bounded<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let result = match self.inner.read(buffer) {
            Ok(n) => match self.left.checked_sub(n as u64) {
                Some(left) => {
                    self.left = left;
                    return Ok(n);
                }
                None => Fault::Limit,
            },
            Err(e) if e.kind() == io::ErrorKind::Interrupted => return Err(e),
            Err(e) => Fault::Damaged(e.to_string()),
        };
        let text = format!("{result:?}");
        *self.fault.borrow_mut() = Some(result);
        Err(io::Error::other(text))
    }
}
