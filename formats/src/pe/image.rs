//! Reading a PE32+ image that may be hostile.

use super::PeError;

/// Size of a section header, in bytes.
pub(super) const SECTION_HEADER_SIZE: usize = 40;

/// Most sections accepted: what Windows loads, and far more than a UKI has.
pub(super) const MAX_SECTIONS: usize = 96;

// Offsets from the start of the optional header of a PE32+ image.
pub(super) const SIZE_OF_INITIALIZED_DATA: usize = 8;
pub(super) const SECTION_ALIGNMENT: usize = 32;
pub(super) const FILE_ALIGNMENT: usize = 36;
pub(super) const SIZE_OF_IMAGE: usize = 56;
pub(super) const SIZE_OF_HEADERS: usize = 60;
pub(super) const CHECKSUM: usize = 64;
pub(super) const DLL_CHARACTERISTICS: usize = 70;
const DIRECTORY_COUNT: usize = 108;
const DIRECTORIES: usize = 112;

/// Data directory of the signatures.
pub(super) const SECURITY_DIRECTORY: usize = 4;
/// Data directory that names places in the file.
pub(super) const DEBUG_DIRECTORY: usize = 6;

/// Flag in [`DLL_CHARACTERISTICS`]: the image never runs code from its stack or data.
pub(super) const NX_COMPAT: u16 = 0x100;

/// One section, borrowed from the image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Section<'a> {
    /// Name, without the NULs that fill it up.
    pub name: &'a [u8],
    /// Address of the section, relative to the image's base.
    pub virtual_address: u32,
    /// Size in memory; what the file does not hold is zero.
    pub virtual_size: u32,
    /// What the file holds, without the padding of the file.
    pub data: &'a [u8],
    /// Offset of the section in the file.
    pub file_offset: u32,
    /// Size in the file, padding included.
    pub file_size: u32,
}

/// A parsed image: headers checked, every section inside the file.
#[derive(Debug, Clone)]
pub struct Image<'a> {
    bytes: &'a [u8],
    /// Offset of the COFF file header.
    pub(super) coff: usize,
    /// Offset of the optional header.
    pub(super) optional: usize,
    /// Offset of the section table.
    pub(super) table: usize,
    sections: Vec<Section<'a>>,
}

impl<'a> Image<'a> {
    /// Reads the headers.
    ///
    /// # Errors
    /// [`PeError::Damaged`] for anything but a PE32+ image whose sections lie inside the file, in
    /// ascending order of address.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, PeError> {
        let damaged = |offset, what| PeError::Damaged { offset, what };
        if !bytes.starts_with(b"MZ") {
            return Err(damaged(0, "it does not begin with 'MZ'"));
        }
        let pe = u32_at(bytes, 0x3c).ok_or(damaged(0x3c, "it is too short for a header"))?;
        let coff = pe as usize + 4;
        if bytes.get(pe as usize..coff) != Some(&b"PE\0\0"[..]) {
            return Err(damaged(pe as usize, "there is no PE signature"));
        }
        let short = damaged(coff, "it ends inside its header");
        let count = usize::from(u16_at(bytes, coff + 2).ok_or(short.clone())?);
        let optional_size = usize::from(u16_at(bytes, coff + 16).ok_or(short.clone())?);
        let optional = coff + 20;
        if u16_at(bytes, optional) != Some(0x20b) {
            return Err(damaged(optional, "it is not of the 64-bit kind (PE32+)"));
        }
        let directories = u32_at(bytes, optional + DIRECTORY_COUNT).ok_or(short.clone())? as usize;
        if directories > 16 || optional_size < DIRECTORIES + 8 * directories {
            return Err(damaged(
                coff + 16,
                "the optional header has no room for its fields",
            ));
        }
        if count > MAX_SECTIONS {
            return Err(damaged(coff + 2, "it has more than 96 sections"));
        }
        let table = optional + optional_size;
        let headers = bytes
            .get(table..table + count * SECTION_HEADER_SIZE)
            .ok_or(short)?;
        let mut sections: Vec<Section<'a>> = Vec::with_capacity(count);
        for (i, header) in headers.chunks_exact(SECTION_HEADER_SIZE).enumerate() {
            let offset = table + i * SECTION_HEADER_SIZE;
            let section = parse_section(bytes, header)
                .ok_or(damaged(offset, "a section lies outside the file"))?;
            let floor = sections.last().map_or(0, |last| {
                u64::from(last.virtual_address) + u64::from(last.virtual_size)
            });
            if u64::from(section.virtual_address) < floor {
                return Err(damaged(offset, "a section overlaps the one before it"));
            }
            sections.push(section);
        }
        Ok(Self {
            bytes,
            coff,
            optional,
            table,
            sections,
        })
    }

    /// The sections, in ascending order of address.
    pub fn sections(&self) -> &[Section<'a>] {
        &self.sections
    }

    /// What the file holds of the first section with this name (`.linux`).
    pub fn section(&self, name: &str) -> Option<&'a [u8]> {
        let found = self.sections.iter().find(|s| s.name == name.as_bytes());
        found.map(|section| section.data)
    }

    /// A 32-bit field of the optional header.
    pub(super) fn optional_u32(&self, at: usize) -> u32 {
        u32_at(self.bytes, self.optional + at).unwrap_or(0)
    }

    /// The flags in [`DLL_CHARACTERISTICS`].
    pub(super) fn dll_characteristics(&self) -> u16 {
        u16_at(self.bytes, self.optional + DLL_CHARACTERISTICS).unwrap_or(0)
    }

    /// Whether a data directory is there and not empty.
    pub(super) fn has_directory(&self, index: usize) -> bool {
        let count = self.optional_u32(DIRECTORY_COUNT) as usize;
        index < count && self.optional_u32(DIRECTORIES + 8 * index) != 0
    }

    /// Whether there is a COFF symbol table.
    pub(super) fn has_symbols(&self) -> bool {
        u32_at(self.bytes, self.coff + 8) != Some(0)
    }
}

fn parse_section<'a>(bytes: &'a [u8], header: &'a [u8]) -> Option<Section<'a>> {
    let name = header.get(..8)?;
    let virtual_size = u32_at(header, 8)?;
    let file_size = u32_at(header, 16)?;
    let file_offset = u32_at(header, 20)?;
    let start = file_offset as usize;
    let whole = bytes.get(start..start.checked_add(file_size as usize)?)?;
    Some(Section {
        name: &name[..name.iter().position(|&b| b == 0).unwrap_or(8)],
        virtual_address: u32_at(header, 12)?,
        virtual_size,
        data: &whole[..whole.len().min(virtual_size as usize)],
        file_offset,
        file_size,
    })
}

pub(super) fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    let field = bytes.get(at..)?.first_chunk()?;
    Some(u16::from_le_bytes(*field))
}

pub(super) fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    let field = bytes.get(at..)?.first_chunk()?;
    Some(u32::from_le_bytes(*field))
}
