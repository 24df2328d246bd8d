//! The dynamic section: which libraries a file asks the loader for, and where it may look.

use super::{Elf, ElfError, PT_DYNAMIC, ReadAt, damaged};

/// Most entries read; real files have some tens, and one per needed library.
const MAX_ENTRIES: u64 = 8192;
/// Largest dynamic string table read; the largest C++ libraries have a few megabytes.
const MAX_STRINGS_BYTES: u64 = 32 << 20;

const DT_NULL: u64 = 0;
const DT_NEEDED: u64 = 1;
const DT_STRTAB: u64 = 5;
const DT_STRSZ: u64 = 10;
const DT_SONAME: u64 = 14;
const DT_RPATH: u64 = 15;
const DT_RUNPATH: u64 = 29;

/// What the dynamic section says.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Dynamic {
    /// Libraries needed (`DT_NEEDED`), in the file's order.
    pub needed: Vec<Vec<u8>>,
    /// Name under which others need it (`DT_SONAME`).
    pub soname: Option<Vec<u8>>,
    /// `DT_RPATH` directories, unexpanded; the loader ignores them where there is a runpath.
    pub rpath: Vec<Vec<u8>>,
    /// `DT_RUNPATH` directories, unexpanded.
    pub runpath: Vec<Vec<u8>>,
    /// Names of the symbols that the file uses or gives.
    pub symbols: SymbolNames,
}

/// The dynamic string table, asked for whole names.
///
/// It does not tell a symbol used from one given, nor a symbol from a library's name: enough to
/// decide that something may be needed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SymbolNames(Vec<u8>);

impl SymbolNames {
    /// Whether `name` occurs as a whole string.
    ///
    /// Linkers share tails, so a longer name that ends in `name` counts as well.
    pub fn contains(&self, name: &str) -> bool {
        let name = name.as_bytes();
        let mut rest = self.0.as_slice();
        // Tables are megabytes at most; look at terminators only, each once.
        while let Some(end) = rest.iter().position(|&b| b == 0) {
            if rest[..end].ends_with(name) {
                return true;
            }
            rest = &rest[end + 1..];
        }
        false
    }
}

impl<R: ReadAt + ?Sized> Elf<'_, R> {
    /// Reads the dynamic section; `None` for a file that is not dynamically linked.
    ///
    /// # Errors
    /// [`ElfError::Damaged`] where it points outside the file or its tables.
    pub fn dynamic(&self) -> Result<Option<Dynamic>, ElfError> {
        const PART: &str = "dynamic section";
        let Some(segment) = self.segments.iter().find(|s| s.kind == PT_DYNAMIC) else {
            return Ok(None);
        };
        if segment.file_bytes / 16 > MAX_ENTRIES {
            return Err(damaged(PART, segment.offset, "more than 8192 entries"));
        }
        let table = self.bytes(PART, segment.offset, segment.file_bytes)?;
        let mut entries = Vec::new();
        for entry in table.chunks_exact(16) {
            match (super::u64_at(entry, 0), super::u64_at(entry, 8)) {
                (DT_NULL, _) => break,
                (tag @ (DT_NEEDED | DT_SONAME | DT_RPATH | DT_RUNPATH), value) => {
                    entries.push((tag, value));
                }
                (tag @ (DT_STRTAB | DT_STRSZ), value) => entries.push((tag, value)),
                _ => {}
            }
        }
        let value = |wanted| entries.iter().find(|(tag, _)| *tag == wanted).map(|e| e.1);
        let strings = match (value(DT_STRTAB), value(DT_STRSZ)) {
            (Some(address), Some(size)) => self.dynamic_strings(segment.offset, address, size)?,
            _ if entries.is_empty() => Vec::new(),
            _ => return Err(damaged(PART, segment.offset, "it has no string table")),
        };

        let mut dynamic = Dynamic::default();
        for &(tag, value) in &entries {
            if matches!(tag, DT_STRTAB | DT_STRSZ) {
                continue;
            }
            let text = string_at(&strings, value).ok_or_else(|| {
                damaged(PART, segment.offset, "a name lies outside its string table")
            })?;
            match tag {
                DT_NEEDED => dynamic.needed.push(text),
                DT_SONAME => dynamic.soname = Some(text),
                DT_RPATH => dynamic.rpath = split_path(&text),
                _ => dynamic.runpath = split_path(&text),
            }
        }
        dynamic.symbols = SymbolNames(strings);
        Ok(Some(dynamic))
    }

    fn dynamic_strings(&self, at: u64, address: u64, size: u64) -> Result<Vec<u8>, ElfError> {
        const PART: &str = "dynamic string table";
        if size > MAX_STRINGS_BYTES {
            return Err(damaged(PART, at, "it is over 32 MiB long"));
        }
        let (offset, left) = self
            .offset_of(address)
            .ok_or_else(|| damaged(PART, at, "its address is in no segment"))?;
        if size > left {
            return Err(damaged(PART, offset, "it is longer than its segment"));
        }
        self.bytes(PART, offset, size)
    }
}

fn string_at(strings: &[u8], at: u64) -> Option<Vec<u8>> {
    let rest = strings.get(usize::try_from(at).ok()?..)?;
    let end = rest.iter().position(|&b| b == 0)?;
    Some(rest[..end].to_vec())
}

fn split_path(text: &[u8]) -> Vec<Vec<u8>> {
    text.split(|&b| b == b':')
        .filter(|dir| !dir.is_empty())
        .map(<[u8]>::to_vec)
        .collect()
}
