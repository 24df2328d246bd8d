//! Versions of symbols, after the
//! [Linux Standard Base](https://refspecs.linuxfoundation.org/LSB_5.0.0/LSB-Core-generic/LSB-Core-generic/symversion.html):
//! which a file asks of its libraries, and which it defines itself.

use super::{Elf, ElfError, ReadAt, damaged, u16_at, u32_at};

/// Most bytes read of either table; glibc's own have some kilobytes.
const MAX_TABLE_BYTES: u64 = 1 << 20;
/// Most records read of either table.
const MAX_RECORDS: usize = 1 << 14;

const NEED_BYTES: usize = 16;
const DEFINITION_BYTES: usize = 20;

/// A version that the loader can do without.
const WEAK: u16 = 2;
/// Not a version, but the name of the file itself.
const BASE: u16 = 1;

/// A version that a file asks of a library, without which the loader does not start it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NeededVersion {
    /// The library, as its `DT_NEEDED` names it.
    pub library: Vec<u8>,
    /// The version (`GLIBC_2.34`).
    pub version: Vec<u8>,
}

/// Walks the records of a table: each says how many bytes behind it the next begins, 0 for the
/// last.
fn walk(
    table: &[u8],
    record_bytes: usize,
    first: usize,
    next_field: usize,
    mut visit: impl FnMut(usize, &[u8]) -> Option<()>,
) -> Option<()> {
    let mut at = first;
    for _ in 0..MAX_RECORDS {
        let record = table.get(at..at.checked_add(record_bytes)?)?;
        visit(at, record)?;
        match u32_at(record, next_field) as usize {
            0 => return Some(()),
            step => at = at.checked_add(step)?,
        }
    }
    None
}

impl<R: ReadAt + ?Sized> Elf<'_, R> {
    /// The table at an address, as far as its segment goes.
    fn version_table(&self, part: &'static str, address: u64) -> Result<Vec<u8>, ElfError> {
        let (offset, left) = self
            .offset_of(address)
            .ok_or_else(|| damaged(part, address, "its address is in no segment"))?;
        self.bytes(part, offset, left.min(MAX_TABLE_BYTES))
    }

    /// The versions in the table of `DT_VERNEED`.
    pub(super) fn needed_versions(
        &self,
        address: u64,
        strings: &[u8],
    ) -> Result<Vec<NeededVersion>, ElfError> {
        const PART: &str = "table of needed versions";
        let table = self.version_table(PART, address)?;
        let mut found = Vec::new();
        let walked = walk(&table, NEED_BYTES, 0, 12, |at, need| {
            let library = super::dynamic::string_at(strings, u64::from(u32_at(need, 4)))?;
            let first = at.checked_add(u32_at(need, 8) as usize)?;
            walk(&table, NEED_BYTES, first, 12, |_, version| {
                let name = super::dynamic::string_at(strings, u64::from(u32_at(version, 8)))?;
                if u16_at(version, 4) & WEAK == 0 {
                    let library = library.clone();
                    let version = name;
                    found.push(NeededVersion { library, version });
                }
                (found.len() <= MAX_RECORDS).then_some(())
            })
        });
        walked.ok_or_else(|| damaged(PART, address, "a record lies outside of it"))?;
        Ok(found)
    }

    /// The versions in the table of `DT_VERDEF`, in the file's order.
    pub(super) fn defined_versions(
        &self,
        address: u64,
        strings: &[u8],
    ) -> Result<Vec<Vec<u8>>, ElfError> {
        const PART: &str = "table of defined versions";
        let table = self.version_table(PART, address)?;
        let mut found = Vec::new();
        let walked = walk(&table, DEFINITION_BYTES, 0, 16, |at, definition| {
            let first = at.checked_add(u32_at(definition, 12) as usize)?;
            let name = table.get(first..first.checked_add(4)?)?;
            let name = super::dynamic::string_at(strings, u64::from(u32_at(name, 0)))?;
            if u16_at(definition, 2) & BASE == 0 {
                found.push(name);
            }
            Some(())
        });
        walked.ok_or_else(|| damaged(PART, address, "a record lies outside of it"))?;
        Ok(found)
    }
}
