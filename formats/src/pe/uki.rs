//! Unified kernel images.

use super::image::{
    CHECKSUM, DEBUG_DIRECTORY, DLL_CHARACTERISTICS, FILE_ALIGNMENT, Image, MAX_SECTIONS, NX_COMPAT,
    SECTION_ALIGNMENT, SECTION_HEADER_SIZE, SECURITY_DIRECTORY, SIZE_OF_HEADERS, SIZE_OF_IMAGE,
    SIZE_OF_INITIALIZED_DATA,
};
use super::{PeError, image};

/// What a unified kernel image carries. Sections that are `None` or empty are left out of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Uki<'a> {
    /// `.osrel`: text in the form of `/etc/os-release`; a boot menu shows its `PRETTY_NAME`.
    pub os_release: &'a [u8],
    /// `.cmdline`: the kernel's command line, without a final newline or NUL.
    pub cmdline: &'a [u8],
    /// `.dtb`: a device tree.
    pub device_tree: Option<&'a [u8]>,
    /// `.uname`: the kernel's release, as `uname -r` will say.
    pub uname: &'a [u8],
    /// `.splash`: a BMP picture.
    pub splash: Option<&'a [u8]>,
    /// `.linux`: the kernel, itself a PE image (a `bzImage`).
    pub linux: &'a [u8],
    /// `.initrd`: the initramfs.
    pub initrd: &'a [u8],
    /// `.ucode`: a cpio archive of processor microcode.
    pub microcode: Option<&'a [u8]>,
    /// `.nosing`: what the system is made of, for people and tools; the stub passes over it.
    pub ingredients: Option<&'a [u8]>,
}

/// Section flags: may be read; holds code or initialized data.
const MEM_READ: u32 = 0x4000_0000;
const CODE: u32 = 0x20;
const INITIALIZED_DATA: u32 = 0x40;

/// First line of each `.sbat` section, and our own: what a revocation can name.
const SBAT_FIRST: &str =
    "sbat,1,SBAT Version,sbat,1,https://github.com/rhboot/shim/blob/main/SBAT.md\n";
const SBAT_UKI: &str =
    "uki,1,UKI,uki,1,https://uapi-group.org/specifications/specs/unified_kernel_image/\n";

impl<'a> Uki<'a> {
    /// Reads an image.
    ///
    /// # Errors
    /// [`PeError::Damaged`] where it is no PE image, [`PeError::MissingSection`] where it has no
    /// kernel or no initramfs. Other sections may be missing and are then empty.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, PeError> {
        let image = Image::parse(bytes)?;
        let need = |name| image.section(name).ok_or(PeError::MissingSection { name });
        let text = |name| image.section(name).unwrap_or_default();
        Ok(Self {
            os_release: text(".osrel"),
            cmdline: text(".cmdline"),
            device_tree: image.section(".dtb"),
            uname: text(".uname"),
            splash: image.section(".splash"),
            linux: need(".linux")?,
            initrd: need(".initrd")?,
            microcode: image.section(".ucode"),
            ingredients: image.section(".nosing"),
        })
    }

    /// The sections with their names, in the order in which they are written.
    fn sections(&self) -> impl Iterator<Item = (&'static str, &'a [u8])> {
        [
            (".osrel", Some(self.os_release)),
            (".cmdline", Some(self.cmdline)),
            (".dtb", self.device_tree),
            (".uname", Some(self.uname)),
            (".splash", self.splash),
            (".linux", Some(self.linux)),
            (".initrd", Some(self.initrd)),
            (".ucode", self.microcode),
            (".nosing", self.ingredients),
        ]
        .into_iter()
        .filter_map(|(name, data)| Some((name, data?)))
        .filter(|(_, data)| !data.is_empty())
    }

    /// Writes the image: `stub` (`linuxx64.efi.stub`) with these sections behind its own.
    ///
    /// # Errors
    /// [`PeError::Damaged`] and [`PeError::BadStub`] for a stub that cannot be used,
    /// [`PeError::TooLarge`] for more than 2 GiB.
    pub fn build(&self, stub: &[u8]) -> Result<Vec<u8>, PeError> {
        let parsed = Image::parse(stub)?;
        let count = self.sections().count();
        let mut out = Output::new(stub, &parsed, count, self.size())?;
        for (name, data) in self.sections() {
            out.append(name, data)?;
        }
        out.replace_sbat(&merged_sbat(&parsed, self.linux))?;
        // A kernel that runs code from data needs the stub to be marked so, too.
        let kernel_is_nx = Image::parse(self.linux)
            .map_or(true, |kernel| kernel.dll_characteristics() & NX_COMPAT != 0);
        out.finish(kernel_is_nx)
    }

    fn size(&self) -> u64 {
        self.sections().map(|(_, data)| data.len() as u64).sum()
    }
}

/// The revocation records of stub and kernel, then ours.
fn merged_sbat(stub: &Image<'_>, kernel: &[u8]) -> Vec<u8> {
    let records = |sbat: &[u8]| {
        let text = sbat.split(|&b| b == 0).next().unwrap_or_default();
        let mut lines = text.split_inclusive(|&b| b == b'\n');
        match lines.next() {
            Some(first) if first.starts_with(b"sbat,") => lines.collect::<Vec<_>>().concat(),
            _ => Vec::new(),
        }
    };
    let mut merged = SBAT_FIRST.as_bytes().to_vec();
    let kernel = Image::parse(kernel).ok();
    let kernel = kernel.and_then(|kernel| kernel.section(".sbat"));
    for sbat in [stub.section(".sbat"), kernel].into_iter().flatten() {
        let lines = records(sbat);
        merged.extend_from_slice(&lines);
        if lines.last().is_some_and(|&b| b != b'\n') {
            merged.push(b'\n');
        }
    }
    merged.extend_from_slice(SBAT_UKI.as_bytes());
    merged.push(0);
    merged
}

/// The image being written.
struct Output {
    bytes: Vec<u8>,
    coff: usize,
    optional: usize,
    /// Where the next section header goes.
    header_at: usize,
    /// First address behind the last section.
    next_address: u32,
    file_alignment: u32,
    section_alignment: u32,
    section_count: u16,
    data_size: u32,
    /// File range and header of the stub's `.sbat`.
    sbat: Option<(usize, usize, usize)>,
}

/// Largest image we write: firmware and tools treat offsets as signed in places.
const MAX_SIZE: u64 = 1 << 31;

impl Output {
    fn new(
        stub: &[u8],
        parsed: &Image<'_>,
        new_sections: usize,
        payload: u64,
    ) -> Result<Self, PeError> {
        let bad = |what| PeError::BadStub { what };
        let (file_alignment, section_alignment) = (
            parsed.optional_u32(FILE_ALIGNMENT),
            parsed.optional_u32(SECTION_ALIGNMENT),
        );
        if !(512..=65536).contains(&file_alignment)
            || !file_alignment.is_power_of_two()
            || !(4096..=65536).contains(&section_alignment)
            || !section_alignment.is_power_of_two()
            || section_alignment < file_alignment
        {
            return Err(bad("its alignment is unusual"));
        }
        if parsed.has_directory(SECURITY_DIRECTORY) {
            return Err(bad("it is signed, and any change would break that"));
        }
        if parsed.has_symbols() {
            return Err(bad("it has a symbol table"));
        }
        let (Some(first), Some(last)) = (parsed.sections().first(), parsed.sections().last())
        else {
            return Err(bad("it has no sections"));
        };
        let unaligned = |s: &image::Section<'_>| {
            !s.file_offset.is_multiple_of(file_alignment)
                || !s.file_size.is_multiple_of(file_alignment)
        };
        if parsed.sections().iter().any(unaligned) {
            return Err(bad("its sections are not aligned"));
        }
        let section_count = parsed.sections().len() + new_sections;
        if section_count > MAX_SECTIONS {
            return Err(bad("it has too many sections"));
        }
        let size = stub.len() as u64 + payload + (new_sections as u64 + 1) * 65536;
        if size > MAX_SIZE {
            return Err(PeError::TooLarge { size });
        }

        let header_at = parsed.table + parsed.sections().len() * SECTION_HEADER_SIZE;
        let mut bytes = Vec::with_capacity(size as usize);
        bytes.extend_from_slice(stub);
        let mut out = Self {
            bytes,
            coff: parsed.coff,
            optional: parsed.optional,
            header_at,
            next_address: last.virtual_address.saturating_add(last.virtual_size),
            file_alignment,
            section_alignment,
            section_count: parsed.sections().len() as u16,
            data_size: parsed.optional_u32(SIZE_OF_INITIALIZED_DATA),
            sbat: None,
        };
        let headers_end = (header_at + new_sections * SECTION_HEADER_SIZE) as u32;
        let shift = out.make_room(parsed, first, headers_end)?;
        let sbat = parsed.sections().iter().position(|s| s.name == b".sbat");
        out.sbat = sbat.map(|i| {
            let section = &parsed.sections()[i];
            (
                (section.file_offset + shift) as usize,
                section.file_size as usize,
                parsed.table + i * SECTION_HEADER_SIZE,
            )
        });
        Ok(out)
    }

    /// Sees to it that the headers may reach `headers_end`; gives by how much that moved the
    /// sections down the file.
    fn make_room(
        &mut self,
        parsed: &Image<'_>,
        first: &image::Section<'_>,
        headers_end: u32,
    ) -> Result<u32, PeError> {
        let no_room = |what| PeError::BadStub { what };
        let wanted = headers_end
            .max(parsed.optional_u32(SIZE_OF_HEADERS).min(MAX_SIZE as u32))
            .next_multiple_of(self.file_alignment);
        let starts = parsed.sections().iter().filter(|s| s.file_size != 0);
        let starts = starts.map(|s| s.file_offset);
        let data_at = starts.min().unwrap_or(parsed.optional_u32(SIZE_OF_HEADERS));
        if wanted > first.virtual_address {
            return Err(no_room("there is no room for more section headers"));
        }
        if !(self.header_at..=self.bytes.len()).contains(&(data_at as usize)) {
            return Err(no_room("its first section lies inside its headers"));
        }
        let shift = wanted.saturating_sub(data_at);
        if shift > 0 {
            if parsed.has_directory(DEBUG_DIRECTORY) {
                return Err(no_room("its debug records keep it from being rearranged"));
            }
            let at = data_at as usize;
            self.bytes
                .splice(at..at, std::iter::repeat_n(0, shift as usize));
            for (i, section) in parsed.sections().iter().enumerate() {
                if section.file_size != 0 {
                    let header = parsed.table + i * SECTION_HEADER_SIZE;
                    self.put(header + 20, &(section.file_offset + shift).to_le_bytes());
                }
            }
        }
        // Whatever the file held between the section table and the first section is not ours to
        // keep: firmware reads it as headers.
        let header_at = self.header_at;
        self.bytes[header_at..headers_end as usize].fill(0);
        self.put(self.optional + SIZE_OF_HEADERS, &wanted.to_le_bytes());
        Ok(shift)
    }

    /// Appends a section. The output cannot exceed [`MAX_SIZE`], so no sum here overflows.
    fn append(&mut self, name: &str, data: &[u8]) -> Result<(), PeError> {
        let align = self.file_alignment as usize;
        let too_large = |size: usize| PeError::TooLarge { size: size as u64 };
        let file_offset = self.bytes.len().next_multiple_of(align);
        let address = self
            .next_address
            .checked_next_multiple_of(self.section_alignment)
            .ok_or(too_large(self.next_address as usize))?;
        self.next_address = address
            .checked_add(data.len() as u32)
            .filter(|end| u64::from(*end) <= MAX_SIZE)
            .ok_or(too_large(data.len()))?;
        self.bytes.resize(file_offset, 0);
        self.bytes.extend_from_slice(data);
        self.bytes
            .resize(self.bytes.len().next_multiple_of(align), 0);

        let kind = if name == ".linux" {
            CODE
        } else {
            INITIALIZED_DATA
        };
        let file_size = self.bytes.len() - file_offset;
        let at = self.header_at;
        self.put(at, name.as_bytes());
        self.put(at + 8, &(data.len() as u32).to_le_bytes());
        self.put(at + 12, &address.to_le_bytes());
        self.put(at + 16, &(file_size as u32).to_le_bytes());
        self.put(at + 20, &(file_offset as u32).to_le_bytes());
        self.put(at + 36, &(MEM_READ | kind).to_le_bytes());
        self.header_at += SECTION_HEADER_SIZE;
        self.section_count += 1;
        self.data_size = self.data_size.saturating_add(data.len() as u32);
        Ok(())
    }

    /// Replaces the content of the stub's `.sbat`.
    fn replace_sbat(&mut self, sbat: &[u8]) -> Result<(), PeError> {
        let what = "it has no .sbat section, or one too small for the kernel's records";
        let (start, size, header) = self
            .sbat
            .filter(|(_, size, _)| *size >= sbat.len())
            .ok_or(PeError::BadStub { what })?;
        self.bytes[start..start + size].fill(0);
        self.put(start, sbat);
        self.put(header + 8, &(sbat.len() as u32).to_le_bytes());
        Ok(())
    }

    fn finish(mut self, kernel_is_nx: bool) -> Result<Vec<u8>, PeError> {
        let image_size = self.next_address.next_multiple_of(self.section_alignment);
        let (coff, optional) = (self.coff, self.optional);
        self.put(coff + 2, &self.section_count.to_le_bytes());
        self.put(
            optional + SIZE_OF_INITIALIZED_DATA,
            &self.data_size.to_le_bytes(),
        );
        self.put(optional + SIZE_OF_IMAGE, &image_size.to_le_bytes());
        // Only drivers need one; a signing tool sets it.
        self.put(optional + CHECKSUM, &0u32.to_le_bytes());
        if !kernel_is_nx {
            let at = optional + DLL_CHARACTERISTICS;
            let flags = image::u16_at(&self.bytes, at).unwrap_or(0) & !NX_COMPAT;
            self.put(at, &flags.to_le_bytes());
        }
        Ok(self.bytes)
    }

    fn put(&mut self, at: usize, bytes: &[u8]) {
        self.bytes[at..at + bytes.len()].copy_from_slice(bytes);
    }
}
