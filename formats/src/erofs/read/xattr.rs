//! Extended attributes.

use std::collections::BTreeMap;

use super::{Image, Inode, corrupt, unsupported};
use crate::erofs::error::ReadError;
use crate::erofs::format::{BLOCK_SIZE, XATTR_HEADER_SIZE, XATTR_PREFIXES, u16_at, u32_at};
use crate::read_at::Extent;

/// Length of an entry before its name.
const ENTRY_HEADER: usize = 4;

impl<R: Extent> Image<R> {
    /// An inode's extended attributes by full name.
    ///
    /// # Errors
    /// [`ReadError`] where they are damaged, or use long prefixes.
    pub fn xattrs(&self, inode: &Inode) -> Result<BTreeMap<Vec<u8>, Vec<u8>>, ReadError> {
        let (offset, len) = inode.xattr_area();
        let mut attributes = BTreeMap::new();
        if len == 0 {
            return Ok(attributes);
        }
        // At most 12 + 4 * 65534 bytes.
        let area = self.bytes(offset, len as usize)?;
        let shared = usize::from(area[4]);
        let mut at = XATTR_HEADER_SIZE + 4 * shared;
        if at > area.len() {
            return corrupt(
                offset,
                "more shared attributes than the attribute area holds",
            );
        }
        let base = u64::from(self.superblock.xattr_block) * BLOCK_SIZE as u64;
        for number in 0..shared {
            let id = u32_at(&area, XATTR_HEADER_SIZE + 4 * number);
            let place = base + 4 * u64::from(id);
            let header = self.bytes(place, ENTRY_HEADER)?;
            let entry = self.bytes(place, entry_len(&header))?;
            let (name, value) = parse(place, &entry)?;
            attributes.insert(name, value);
        }
        while at + ENTRY_HEADER <= area.len() {
            let place = offset + at as u64;
            let len = entry_len(&area[at..]);
            let Some(entry) = area.get(at..at + len) else {
                return corrupt(place, "an attribute leaves its area");
            };
            let (name, value) = parse(place, entry)?;
            attributes.insert(name, value);
            at += len.next_multiple_of(4);
        }
        Ok(attributes)
    }
}

/// Length of the entry that starts with these bytes, without padding.
fn entry_len(header: &[u8]) -> usize {
    ENTRY_HEADER + usize::from(header[0]) + usize::from(u16_at(header, 2))
}

fn parse(place: u64, entry: &[u8]) -> Result<(Vec<u8>, Vec<u8>), ReadError> {
    let index = entry[1];
    if index & 0x80 != 0 {
        return unsupported(place, "long attribute name prefixes");
    }
    let Some((_, prefix)) = XATTR_PREFIXES.iter().find(|(number, _)| *number == index) else {
        return corrupt(place, "an attribute has an unknown namespace");
    };
    let (name, value) = entry[ENTRY_HEADER..].split_at(usize::from(entry[0]));
    Ok(([prefix, name].concat(), value.to_vec()))
}
