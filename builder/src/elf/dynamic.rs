//! The dynamic section: which libraries a file asks the loader for, and where it may look.

use super::{Elf, ElfError, NeededVersion, PT_DYNAMIC, ReadAt, damaged};

/// Most entries read; real files have some tens, and one per needed library.
const MAX_ENTRIES: u64 = 8192;
/// Largest dynamic string table read; the largest C++ libraries have a few megabytes.
const MAX_STRINGS_BYTES: u64 = 32 << 20;
/// Most imported symbols read; the largest C++ programs have some ten thousand.
const MAX_SYMBOLS: u32 = 1 << 20;

const DT_NULL: u64 = 0;
const DT_NEEDED: u64 = 1;
const DT_HASH: u64 = 4;
const DT_STRTAB: u64 = 5;
const DT_SYMTAB: u64 = 6;
const DT_STRSZ: u64 = 10;
const DT_SONAME: u64 = 14;
const DT_RPATH: u64 = 15;
const DT_RUNPATH: u64 = 29;
const DT_GNU_HASH: u64 = 0x6fff_fef5;
const DT_VERDEF: u64 = 0x6fff_fffc;
const DT_VERNEED: u64 = 0x6fff_fffe;

const SYMBOL_BYTES: usize = 24;

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
    /// Symbols that the file takes from others.
    pub imports: Imports,
    /// Versions that the file asks of its libraries (`DT_VERNEED`).
    pub needed_versions: Vec<NeededVersion>,
    /// Versions that it has itself (`DT_VERDEF`), in its order.
    pub defined_versions: Vec<Vec<u8>>,
}

/// The symbols that a file takes from others, asked by name.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Imports {
    strings: Vec<u8>,
    names: Vec<u32>,
}

impl Imports {
    /// Whether the file imports the symbol `name`, of any version.
    pub fn contains(&self, name: &str) -> bool {
        self.names.iter().any(|&at| {
            let rest = self.strings.get(at as usize..).unwrap_or_default();
            rest.strip_prefix(name.as_bytes())
                .is_some_and(|rest| rest.first() == Some(&0))
        })
    }

    /// Number of symbols imported.
    pub fn len(&self) -> usize {
        self.names.len()
    }

    /// Whether nothing is imported.
    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
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
                (tag @ (DT_STRTAB | DT_STRSZ | DT_SYMTAB | DT_HASH | DT_GNU_HASH), value) => {
                    entries.push((tag, value));
                }
                (tag @ (DT_VERDEF | DT_VERNEED), value) => entries.push((tag, value)),
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
            if !matches!(tag, DT_NEEDED | DT_SONAME | DT_RPATH | DT_RUNPATH) {
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
        let hash = value(DT_GNU_HASH).or_else(|| value(DT_HASH));
        if let (Some(symbols), Some(hash)) = (value(DT_SYMTAB), hash) {
            dynamic.imports.names = self.imported_names(symbols, hash)?;
        }
        if let Some(table) = value(DT_VERNEED) {
            dynamic.needed_versions = self.needed_versions(table, &strings)?;
        }
        if let Some(table) = value(DT_VERDEF) {
            dynamic.defined_versions = self.defined_versions(table, &strings)?;
        }
        dynamic.imports.strings = strings;
        Ok(Some(dynamic))
    }

    /// Name offsets of the undefined symbols. The symbol table does not say its own length; the
    /// hash table does. A GNU hash table holds what the file defines, and names the first
    /// symbol that it holds: imports are before it.
    fn imported_names(&self, symbols: u64, hash: u64) -> Result<Vec<u32>, ElfError> {
        const PART: &str = "dynamic symbol table";
        let offset_of = |address| {
            let problem = "its address is in no segment";
            self.offset_of(address)
                .ok_or_else(|| damaged(PART, address, problem))
        };
        let (hash_offset, _) = offset_of(hash)?;
        // The count wanted is the second word of both kinds of table.
        let header = self.bytes(PART, hash_offset, 8)?;
        let count = super::u32_at(&header, 4);
        let (offset, left) = offset_of(symbols)?;
        let size = u64::from(count) * SYMBOL_BYTES as u64;
        if count > MAX_SYMBOLS || size > left {
            return Err(damaged(PART, offset, "it has an impossible length"));
        }
        let table = self.bytes(PART, offset, size)?;
        // The first symbol is reserved; section index 0 means undefined.
        let entries = table.chunks_exact(SYMBOL_BYTES).skip(1);
        Ok(entries
            .filter(|symbol| super::u16_at(symbol, 6) == 0)
            .map(|symbol| super::u32_at(symbol, 0))
            .collect())
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

pub(super) fn string_at(strings: &[u8], at: u64) -> Option<Vec<u8>> {
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
