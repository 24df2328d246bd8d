//! Reading an archive that may be hostile.

use super::{ALIGNMENT, CpioError, HEADER_SIZE, MAGIC, TRAILER, file_type};
use crate::tree::MAX_PATH_BYTES;

/// One entry, borrowed from the archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry<'a> {
    /// Name as written, without the NUL.
    pub name: &'a [u8],
    /// Inode number; equal for all names of one file.
    pub inode: u32,
    /// File type and permission bits.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Number of names of the file.
    pub link_count: u32,
    /// Major and minor number of a device.
    pub device: (u32, u32),
    /// File content or symlink target.
    pub data: &'a [u8],
}

impl Entry<'_> {
    /// Whether this is a regular file.
    pub fn is_file(&self) -> bool {
        self.mode & file_type::MASK == file_type::FILE
    }
}

/// Walks the entries of the archive at the start of some bytes. Copies nothing.
#[derive(Debug, Clone)]
pub struct Reader<'a> {
    bytes: &'a [u8],
    offset: usize,
    ended: bool,
}

impl<'a> Reader<'a> {
    /// A reader at the first entry.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self {
            bytes,
            offset: 0,
            ended: false,
        }
    }

    /// Byte offset of the next entry; after the last one, of what follows the archive.
    pub fn offset(&self) -> usize {
        self.offset
    }

    /// The next entry, or `None` after the trailer.
    ///
    /// # Errors
    /// [`CpioError::Damaged`] for anything that is not a whole, well-formed entry.
    pub fn next_entry(&mut self) -> Result<Option<Entry<'a>>, CpioError> {
        if self.ended {
            return Ok(None);
        }
        let start = self.offset;
        let damaged = |what| CpioError::Damaged {
            offset: start,
            what,
        };
        let header = self
            .bytes
            .get(start..)
            .and_then(|rest| rest.first_chunk::<HEADER_SIZE>())
            .ok_or(damaged("it ends without a trailer"))?;
        let digits = header
            .strip_prefix(MAGIC)
            .ok_or(damaged("there is no entry header"))?;
        let mut fields = [0; 13];
        for (field, digits) in fields.iter_mut().zip(digits.as_chunks::<8>().0) {
            *field = hex(digits).ok_or(damaged("a header field is not hexadecimal"))?;
        }
        let [
            inode,
            mode,
            uid,
            gid,
            link_count,
            _,
            body_size,
            _,
            _,
            major,
            minor,
            name_size,
            _,
        ] = fields;

        let name_size = name_size as usize;
        if name_size > MAX_PATH_BYTES + 1 {
            return Err(damaged("a name is longer than 4095 bytes"));
        }
        let name = self.take(start + HEADER_SIZE, name_size);
        let (name, data_at) = name.ok_or(damaged("it ends inside a name"))?;
        let name = name
            .strip_suffix(&[0])
            .filter(|name| !name.is_empty() && !name.contains(&0))
            .ok_or(damaged("a name is empty or not ended by one NUL"))?;
        let data = self.take(data_at, body_size as usize);
        let (data, end) = data.ok_or(damaged("it ends inside a file"))?;
        self.offset = end;
        if name == TRAILER {
            self.ended = true;
            return Ok(None);
        }
        Ok(Some(Entry {
            name,
            inode,
            mode,
            uid,
            gid,
            link_count,
            device: (major, minor),
            data,
        }))
    }

    /// `size` bytes from `at`, and where the next thing begins.
    fn take(&self, at: usize, size: usize) -> Option<(&'a [u8], usize)> {
        let end = at.checked_add(size)?;
        let taken = self.bytes.get(at..end)?;
        // The padding behind the last entry may be missing.
        let next = end.checked_next_multiple_of(ALIGNMENT)?;
        Some((taken, next.min(self.bytes.len())))
    }
}

fn hex(digits: &[u8; 8]) -> Option<u32> {
    digits.iter().try_fold(0, |value, digit| {
        let digit = char::from(*digit).to_digit(16)?;
        Some(value << 4 | digit)
    })
}
