//! A reader of the few parts of ELF that decide what a program needs.
//!
//! Only little-endian 64-bit files of the [System V ABI](https://gabi.xinuos.com/) are read, and
//! nothing is ever executed. Every offset and length that comes out of the file is checked before
//! it is used, every allocation has a named limit, and a damaged file is an [`ElfError`].
//!
//! A file is read by position ([`ReadAt`]), so that a library of several megabytes costs a few
//! kilobytes of reading.

mod code;
mod dynamic;
mod notes;
mod read_at;
#[cfg(test)]
pub(crate) mod testing;
mod versions;

pub use code::Code;
pub use dynamic::{Dynamic, Imports};
pub use notes::{DlopenNote, DlopenPriority};
pub use read_at::ReadAt;
pub use versions::NeededVersion;

use std::io;

/// `e_machine` of x86-64 programs.
pub const MACHINE_X86_64: u16 = 62;

/// Most program headers read; real programs have about a dozen.
const MAX_PROGRAM_HEADERS: usize = 256;
/// Most section headers read; kernel modules have a few hundred.
const MAX_SECTIONS: usize = 16_384;
/// Longest interpreter path read (`PATH_MAX`).
const MAX_INTERPRETER_BYTES: u64 = 4096;
/// Largest section that [`Elf::section`] gives.
const MAX_SECTION_BYTES: u64 = 64 << 20;

const HEADER_BYTES: usize = 64;
const PROGRAM_HEADER_BYTES: usize = 56;
const SECTION_HEADER_BYTES: usize = 64;

const PT_LOAD: u32 = 1;
const PT_DYNAMIC: u32 = 2;
const PT_INTERP: u32 = 3;
const PT_NOTE: u32 = 4;

/// Why a file that begins like ELF could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ElfError {
    /// Reading the bytes failed.
    #[error("reading it failed: {0}; check the store with 'nos store verify'")]
    Read(#[from] io::Error),
    /// A 32-bit or big-endian file, or an unknown version.
    #[error("it is {what}; nos reads 64-bit little-endian programs, so use a package of amd64")]
    Unsupported {
        /// What it is instead.
        what: &'static str,
    },
    /// The content contradicts itself or ends too early.
    #[error("its {part} at byte {offset} is damaged: {problem}; fetch or build the file again")]
    Damaged {
        /// Which structure.
        part: &'static str,
        /// Where in the file.
        offset: u64,
        /// What is wrong with it.
        problem: &'static str,
    },
}

fn damaged(part: &'static str, offset: u64, problem: &'static str) -> ElfError {
    ElfError::Damaged {
        part,
        offset,
        problem,
    }
}

/// A program without what is never loaded: debugging information and the table of its sections,
/// which linkers put at the end. Runs as before.
///
/// # Errors
/// [`ElfError`] where it is no program that can be read.
pub fn loaded_part(mut bytes: Vec<u8>) -> Result<Vec<u8>, ElfError> {
    let elf = Elf::open(bytes.as_slice())?.ok_or(ElfError::Unsupported {
        what: "no ELF program",
    })?;
    let ends = elf.segments.iter().map(|segment| {
        let end = segment.offset.checked_add(segment.file_bytes);
        end.and_then(|end| usize::try_from(end).ok())
            .filter(|end| *end <= bytes.len())
            .ok_or_else(|| damaged("program header table", 32, "a segment ends behind the file"))
    });
    let end = ends
        .collect::<Result<Vec<_>, _>>()?
        .into_iter()
        .fold(HEADER_BYTES, usize::max);
    bytes.truncate(end);
    // Place, count and names of the sections that are gone.
    for field in [40..48, 60..64] {
        if let Some(field) = bytes.get_mut(field) {
            field.fill(0);
        }
    }
    Ok(bytes)
}

/// One program header, as far as it is used.
#[derive(Debug, Clone, Copy)]
struct Segment {
    kind: u32,
    flags: u32,
    offset: u64,
    address: u64,
    file_bytes: u64,
}

/// An opened ELF file: its headers are read, the rest is read when asked for.
#[derive(Debug)]
pub struct Elf<'a, R: ReadAt + ?Sized> {
    file: &'a R,
    /// The processor it is for (`e_machine`).
    pub machine: u16,
    segments: Vec<Segment>,
    section_offset: u64,
    section_count: usize,
    section_names: usize,
}

impl<'a, R: ReadAt + ?Sized> Elf<'a, R> {
    /// Reads the headers; `None` where the file does not begin with the ELF magic.
    ///
    /// # Errors
    /// [`ElfError`] where it does begin so and cannot be read.
    pub fn open(file: &'a R) -> Result<Option<Self>, ElfError> {
        let mut header = [0u8; HEADER_BYTES];
        let got = read_full(file, 0, &mut header)?;
        if got < 4 || header[..4] != *b"\x7fELF" {
            return Ok(None);
        }
        if got < HEADER_BYTES {
            return Err(damaged("file header", 0, "the file ends inside it"));
        }
        match (header[4], header[5]) {
            (2, 1) => {}
            (1, _) => {
                return Err(ElfError::Unsupported {
                    what: "a 32-bit program",
                });
            }
            (2, 2) => {
                return Err(ElfError::Unsupported {
                    what: "a big-endian program",
                });
            }
            _ => return Err(damaged("file header", 4, "unknown class or byte order")),
        }
        let mut elf = Self {
            file,
            machine: u16_at(&header, 18),
            segments: Vec::new(),
            section_offset: u64_at(&header, 40),
            section_count: usize::from(u16_at(&header, 60)),
            section_names: usize::from(u16_at(&header, 62)),
        };
        let entry_bytes = usize::from(u16_at(&header, 54));
        let count = usize::from(u16_at(&header, 56));
        if count > 0 {
            elf.segments = elf.read_segments(u64_at(&header, 32), entry_bytes, count)?;
        }
        if elf.section_count > 0 && usize::from(u16_at(&header, 58)) != SECTION_HEADER_BYTES {
            return Err(damaged("file header", 58, "section headers of odd size"));
        }
        Ok(Some(elf))
    }

    fn read_segments(
        &self,
        offset: u64,
        entry_bytes: usize,
        count: usize,
    ) -> Result<Vec<Segment>, ElfError> {
        const PART: &str = "program header table";
        if entry_bytes != PROGRAM_HEADER_BYTES {
            return Err(damaged(PART, offset, "entries of odd size"));
        }
        if count > MAX_PROGRAM_HEADERS {
            return Err(damaged(PART, offset, "more than 256 entries"));
        }
        let table = self.bytes(PART, offset, (count * PROGRAM_HEADER_BYTES) as u64)?;
        Ok(table
            .chunks_exact(PROGRAM_HEADER_BYTES)
            .map(|entry| Segment {
                kind: u32_at(entry, 0),
                flags: u32_at(entry, 4),
                offset: u64_at(entry, 8),
                address: u64_at(entry, 16),
                file_bytes: u64_at(entry, 32),
            })
            .collect())
    }

    /// The program interpreter (`PT_INTERP`): the dynamic loader's absolute path. `None` for
    /// static programs and for most libraries.
    ///
    /// # Errors
    /// [`ElfError::Damaged`] where the path is empty, too long or outside the file.
    pub fn interpreter(&self) -> Result<Option<Vec<u8>>, ElfError> {
        const PART: &str = "interpreter path";
        let Some(segment) = self.segments.iter().find(|s| s.kind == PT_INTERP) else {
            return Ok(None);
        };
        if segment.file_bytes > MAX_INTERPRETER_BYTES {
            return Err(damaged(PART, segment.offset, "it is over 4096 bytes long"));
        }
        let mut path = self.bytes(PART, segment.offset, segment.file_bytes)?;
        if let Some(end) = path.iter().position(|&b| b == 0) {
            path.truncate(end);
        }
        if path.is_empty() {
            return Err(damaged(PART, segment.offset, "it is empty"));
        }
        Ok(Some(path))
    }

    /// The content of the first section of this name; `None` where there is none, or where it
    /// takes no space in the file.
    ///
    /// # Errors
    /// [`ElfError::Damaged`] where the section table or the section lies outside the file, or
    /// where the section is over 64 MiB.
    pub fn section(&self, name: &[u8]) -> Result<Option<Vec<u8>>, ElfError> {
        const PART: &str = "section header table";
        const SHT_NOBITS: u32 = 8;
        if self.section_count == 0 {
            return Ok(None);
        }
        if self.section_count > MAX_SECTIONS || self.section_names >= self.section_count {
            return Err(damaged(PART, self.section_offset, "impossible counts"));
        }
        let table = self.bytes(
            PART,
            self.section_offset,
            (self.section_count * SECTION_HEADER_BYTES) as u64,
        )?;
        let content = |index: usize| {
            let header = &table[index * SECTION_HEADER_BYTES..(index + 1) * SECTION_HEADER_BYTES];
            let (offset, size) = (u64_at(header, 24), u64_at(header, 32));
            if size > MAX_SECTION_BYTES {
                return Err(damaged("section", offset, "it is over 64 MiB long"));
            }
            self.bytes("section", offset, size)
        };
        let names = content(self.section_names)?;
        for (index, header) in table.chunks_exact(SECTION_HEADER_BYTES).enumerate() {
            let at = u32_at(header, 0) as usize;
            let found = names.get(at..).unwrap_or_default();
            let found = found.split(|&b| b == 0).next().unwrap_or_default();
            if found == name && u32_at(header, 4) != SHT_NOBITS {
                return content(index).map(Some);
            }
        }
        Ok(None)
    }

    /// Where in the file the byte at this virtual address is, and how many bytes of the segment
    /// follow it in the file.
    fn offset_of(&self, address: u64) -> Option<(u64, u64)> {
        self.segments
            .iter()
            .filter(|s| s.kind == PT_LOAD)
            .find_map(|s| {
                let into = address.checked_sub(s.address)?;
                let left = s.file_bytes.checked_sub(into).filter(|&left| left > 0)?;
                Some((s.offset.checked_add(into)?, left))
            })
    }

    /// Exactly `length` bytes at `offset`. The caller has bounded `length`.
    fn bytes(&self, part: &'static str, offset: u64, length: u64) -> Result<Vec<u8>, ElfError> {
        // Grown in steps: a length that the file does not have must not be allocated first.
        const STEP: usize = 1 << 20;
        let mut bytes = Vec::new();
        let mut left = usize::try_from(length)
            .map_err(|_| damaged(part, offset, "it is larger than memory"))?;
        while left > 0 {
            let (start, step) = (bytes.len(), left.min(STEP));
            bytes.resize(start + step, 0);
            let at = offset
                .checked_add(start as u64)
                .ok_or_else(|| damaged(part, offset, "it lies outside the file"))?;
            if read_full(self.file, at, &mut bytes[start..])? != step {
                return Err(damaged(part, offset, "it lies outside the file"));
            }
            left -= step;
        }
        Ok(bytes)
    }
}

/// Fills `buffer` as far as the file goes; gives the number of bytes read.
fn read_full<R: ReadAt + ?Sized>(file: &R, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
    let mut done = 0;
    while done < buffer.len() {
        let Some(at) = offset.checked_add(done as u64) else {
            break;
        };
        match file.read_at(at, &mut buffer[done..]) {
            Ok(0) => break,
            Ok(n) => done += n,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(done)
}

// The three below are only given offsets inside fixed-size headers.
fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([bytes[at], bytes[at + 1]])
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from(u32_at(bytes, at)) | u64::from(u32_at(bytes, at + 4)) << 32
}

#[cfg(test)]
mod tests;
