//! Directory blocks.

use super::inodes::Record;
use crate::erofs::format::{BLOCK_SIZE, DIRENT_SIZE};

/// The records of each block of a directory: as many as fit, in order.
pub(super) fn blocks<'a, 't>(records: &'a [Record<'t>]) -> impl Iterator<Item = &'a [Record<'t>]> {
    let mut rest = records;
    std::iter::from_fn(move || {
        let mut used = 0;
        let fits = |record: &&Record<'_>| {
            used += DIRENT_SIZE + record.name.len();
            used <= BLOCK_SIZE
        };
        let count = rest.iter().take_while(fits).count();
        let (block, after) = rest.split_at(count);
        rest = after;
        (count > 0).then_some(block)
    })
}

/// Bytes of one block's records, without padding.
pub(super) fn block_len(records: &[Record<'_>]) -> usize {
    records.iter().map(|r| DIRENT_SIZE + r.name.len()).sum()
}

/// A directory's size: whole blocks, and the used bytes of the last.
pub(super) fn size(records: &[Record<'_>]) -> u64 {
    let mut total = 0;
    let mut last = 0;
    for block in blocks(records) {
        total += BLOCK_SIZE;
        last = block_len(block);
    }
    (total - BLOCK_SIZE.min(total) + last) as u64
}

/// Appends one block's records and names. `target` gives nid and type byte of an inode.
pub(super) fn emit_block(
    records: &[Record<'_>],
    target: impl Fn(usize) -> (u64, u8),
    out: &mut Vec<u8>,
) {
    let mut name_at = records.len() * DIRENT_SIZE;
    for record in records {
        let (nid, kind) = target(record.inode);
        out.extend_from_slice(&nid.to_le_bytes());
        out.extend_from_slice(&(name_at as u16).to_le_bytes());
        out.extend_from_slice(&[kind, 0]);
        name_at += record.name.len();
    }
    for record in records {
        out.extend_from_slice(record.name);
    }
}
