//! Extended attributes: entries, and which of them are shared.

use std::collections::BTreeMap;

use super::inodes::PlannedInode;
use crate::erofs::error::WriteError;
use crate::erofs::format::{XATTR_HEADER_SIZE, XATTR_PREFIXES};
use crate::tree::TreePath;

/// Shared ids an attribute area can hold: their number is one byte.
const MAX_SHARED: usize = 255;

/// Longest value that Linux lets a program read (`XATTR_SIZE_MAX` is 65536; the field is `u16`).
const MAX_VALUE_BYTES: usize = 65535;

/// The attribute areas of all inodes, and the entries that several of them share.
#[derive(Debug, Default)]
pub(super) struct Attributes {
    /// Shared entries, to be placed at a 4-byte border.
    pub(super) shared: Vec<u8>,
    /// Per inode: shared entries (byte offset in `shared`) and inline ones.
    areas: Vec<Area>,
}

#[derive(Debug, Default)]
struct Area {
    shared: Vec<u32>,
    inline: Vec<u8>,
}

impl Attributes {
    /// Encodes the attributes of every inode; what occurs more than once is shared.
    pub(super) fn plan<C>(inodes: &[PlannedInode<'_, C>]) -> Result<Self, WriteError> {
        let mut encoded: Vec<Vec<Vec<u8>>> = Vec::with_capacity(inodes.len());
        for inode in inodes {
            let entries = inode.metadata.xattrs.iter();
            encoded.push(
                entries
                    .map(|(name, value)| entry(inode.path, name, value))
                    .collect::<Result<_, _>>()?,
            );
        }
        let mut uses: BTreeMap<&[u8], u32> = BTreeMap::new();
        for bytes in encoded.iter().flatten() {
            *uses.entry(bytes).or_default() += 1;
        }
        let mut result = Self::default();
        let mut offsets: BTreeMap<&[u8], u32> = BTreeMap::new();
        for (bytes, count) in uses {
            // The limit keeps ids far from 32 bits; what is beyond it stays inline.
            if count > 1 && result.shared.len() < 1 << 28 {
                offsets.insert(bytes, result.shared.len() as u32);
                result.shared.extend_from_slice(bytes);
            }
        }
        for (inode, entries) in inodes.iter().zip(&encoded) {
            let mut area = Area::default();
            for bytes in entries {
                match offsets.get(bytes.as_slice()) {
                    Some(&offset) if area.shared.len() < MAX_SHARED => area.shared.push(offset),
                    _ => area.inline.extend_from_slice(bytes),
                }
            }
            // The area's length in 4-byte units, plus one, is a u16.
            if area.shared.len() + area.inline.len() / 4 > usize::from(u16::MAX) - 1 {
                return Err(WriteError::Node {
                    path: inode.path.clone(),
                    reason: "extended attributes of over 256 KiB",
                });
            }
            result.areas.push(area);
        }
        Ok(result)
    }

    /// Whether any inode of the table carries the entry `shared`; so the area is empty.
    fn area(&self, inode: usize) -> Option<&Area> {
        let area = self.areas.get(inode)?;
        (!area.shared.is_empty() || !area.inline.is_empty()).then_some(area)
    }

    /// The count field of an inode: 0, or 1 plus the 4-byte units behind the header.
    pub(super) fn count(&self, inode: usize) -> u16 {
        self.area(inode)
            .map_or(0, |a| 1 + (a.shared.len() + a.inline.len() / 4) as u16)
    }

    /// Appends an inode's attribute area; the shared entries begin at byte `shared_start`.
    pub(super) fn emit(&self, inode: usize, shared_start: u64, out: &mut Vec<u8>) {
        let Some(area) = self.area(inode) else {
            return;
        };
        let mut header = [0; XATTR_HEADER_SIZE];
        header[4] = area.shared.len() as u8;
        out.extend_from_slice(&header);
        for offset in &area.shared {
            let id = (shared_start + u64::from(*offset)) / 4;
            out.extend_from_slice(&(id as u32).to_le_bytes());
        }
        out.extend_from_slice(&area.inline);
    }
}

fn entry(path: &TreePath, name: &[u8], value: &[u8]) -> Result<Vec<u8>, WriteError> {
    let refuse = |reason| WriteError::Xattr {
        path: path.clone(),
        name: String::from_utf8_lossy(name).into_owned(),
        reason,
    };
    let (index, rest) = XATTR_PREFIXES
        .iter()
        .find_map(|(index, prefix)| {
            let rest = name.strip_prefix(*prefix)?;
            // A namespace needs a name behind its dot; an ACL is its whole name.
            (rest.is_empty() != prefix.ends_with(b".")).then_some((*index, rest))
        })
        .ok_or_else(|| refuse("its namespace is none of user, trusted, security, lustre, ACL"))?;
    if rest.len() > 255 || rest.contains(&0) {
        return Err(refuse("its name is over 255 bytes or has a NUL byte"));
    }
    if value.len() > MAX_VALUE_BYTES {
        return Err(refuse("its value is over 65535 bytes"));
    }
    let mut bytes = vec![rest.len() as u8, index];
    bytes.extend_from_slice(&(value.len() as u16).to_le_bytes());
    bytes.extend_from_slice(rest);
    bytes.extend_from_slice(value);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    Ok(bytes)
}
