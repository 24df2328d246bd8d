//! The outer `ar` archive, read as a stream.

use super::DebError;
use std::io::{self, Read};

const MAGIC: &[u8; 8] = b"!<arch>\n";
const HEADER_SIZE: usize = 60;

/// An archive being read, one member after the other.
pub(super) struct Archive<'r> {
    inner: &'r mut dyn Read,
    offset: u64,
}

/// A member's header.
pub(super) struct Header {
    /// Name, without padding.
    pub(super) name: String,
    /// Size in bytes.
    pub(super) size: u64,
}

impl<'r> Archive<'r> {
    pub(super) fn open(inner: &'r mut dyn Read) -> Result<Self, DebError> {
        let mut archive = Self { inner, offset: 0 };
        let mut magic = [0; MAGIC.len()];
        if archive.fill(&mut magic)? != MAGIC.len() || &magic != MAGIC {
            return Err(DebError::Archive {
                offset: 0,
                what: "it does not begin with '!<arch>'",
            });
        }
        Ok(archive)
    }

    /// Reads until the buffer is full or the package ends; gives the number of bytes.
    fn fill(&mut self, buffer: &mut [u8]) -> Result<usize, DebError> {
        let mut filled = 0;
        while filled < buffer.len() {
            match self.inner.read(&mut buffer[filled..]) {
                Ok(0) => break,
                Ok(n) => filled += n,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => {
                    return Err(DebError::Damaged {
                        member: "the outer archive".into(),
                        reason: e.to_string(),
                    });
                }
            }
        }
        self.offset += filled as u64;
        Ok(filled)
    }

    /// The next member's header; the member before must have been read to its end.
    pub(super) fn next_header(&mut self) -> Result<Option<Header>, DebError> {
        let offset = self.offset;
        let damaged = |what| DebError::Archive { offset, what };
        let mut header = [0; HEADER_SIZE];
        match self.fill(&mut header)? {
            0 => return Ok(None),
            HEADER_SIZE => {}
            _ => return Err(damaged("it ends inside a member's header")),
        }
        // Name 16, mtime 12, uid 6, gid 6, mode 8, size 10, then a fixed end.
        if &header[58..] != b"`\n" {
            return Err(damaged("a member's header has no end mark"));
        }
        let text = |field: &[u8]| {
            let text = std::str::from_utf8(field).ok()?;
            Some(text.trim_end_matches(' ').to_owned())
        };
        let name = text(&header[..16]).ok_or(damaged("a member's name is not text"))?;
        let size = text(&header[48..58])
            .filter(|text| text.bytes().all(|b| b.is_ascii_digit()))
            .and_then(|text| text.parse().ok())
            .ok_or(damaged("a member's size is not a number"))?;
        Ok(Some(Header {
            name: name.strip_suffix('/').unwrap_or(&name).to_owned(),
            size,
        }))
    }

    /// A reader of the member whose header was read last.
    pub(super) fn member(&mut self, header: &Header) -> Member<'_, 'r> {
        Member {
            left: header.size,
            padded: !header.size.is_multiple_of(2),
            archive: self,
        }
    }
}

/// One member's bytes; a package that ends inside it is an error, never a short file.
pub(super) struct Member<'a, 'r> {
    archive: &'a mut Archive<'r>,
    left: u64,
    padded: bool,
}

impl Member<'_, '_> {
    /// Reads to the member's end, so that the next header can be read.
    pub(super) fn finish(mut self) -> Result<(), DebError> {
        let offset = self.archive.offset;
        io::copy(&mut self, &mut io::sink()).map_err(|_| DebError::Archive {
            offset,
            what: "it ends inside this member",
        })?;
        if self.padded {
            self.archive.fill(&mut [0])?;
        }
        Ok(())
    }
}

impl Read for Member<'_, '_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.left).unwrap_or(usize::MAX);
        let most = most.min(buffer.len());
        if most == 0 {
            return Ok(0);
        }
        let n = self.archive.inner.read(&mut buffer[..most])?;
        if n == 0 {
            return Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                format!("it ends {} bytes early", self.left),
            ));
        }
        self.left -= n as u64;
        self.archive.offset += n as u64;
        Ok(n)
    }
}
