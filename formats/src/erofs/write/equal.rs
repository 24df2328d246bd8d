//! Files with equal content, which share their data.

use std::collections::BTreeMap;
use std::io;

use sha2::{Digest, Sha256};

use super::inodes::{Body, PlannedInode};
use super::parallel::run_ordered;
use crate::erofs::content::Content;
use crate::erofs::error::WriteError;

/// Bytes read at once to compute a digest.
const READ_BYTES: usize = 1 << 20;

/// For each inode the first one with equal content and equal `variant`: itself for most. Only
/// files of one size are compared, by their SHA-256.
pub(super) fn leaders<C: Content>(
    inodes: &[PlannedInode<'_, C>],
    variant: impl Fn(usize) -> bool,
    threads: usize,
) -> Result<Vec<usize>, WriteError> {
    let mut by_size: BTreeMap<(u64, bool), Vec<usize>> = BTreeMap::new();
    for (index, inode) in inodes.iter().enumerate() {
        if let Body::File(content) = inode.body
            && content.size_bytes() > 0
        {
            let key = (content.size_bytes(), variant(index));
            by_size.entry(key).or_default().push(index);
        }
    }
    let alike: Vec<(usize, u64, bool)> = by_size
        .into_iter()
        .filter(|(_, group)| group.len() > 1)
        .flat_map(|((size, kind), group)| group.into_iter().map(move |i| (i, size, kind)))
        .collect();
    let mut leaders: Vec<usize> = (0..inodes.len()).collect();
    let mut first: BTreeMap<(u64, bool, [u8; 32]), usize> = BTreeMap::new();
    run_ordered::<_, _, WriteError>(
        threads,
        &alike,
        |&(index, size, kind)| (index, size, kind, digest(&inodes[index])),
        |(index, size, kind, digest)| {
            let digest = digest.map_err(|source| WriteError::Content {
                path: inodes[index].path.clone(),
                source,
            })?;
            leaders[index] = *first.entry((size, kind, digest)).or_insert(index);
            Ok(())
        },
    )?;
    Ok(leaders)
}

fn digest<C: Content>(inode: &PlannedInode<'_, C>) -> io::Result<[u8; 32]> {
    let Body::File(content) = inode.body else {
        return Ok([0; 32]);
    };
    if let Some(known) = content.sha256() {
        return Ok(known);
    }
    let mut hasher = Sha256::new();
    let size = content.size_bytes();
    let mut buffer = vec![0; size.min(READ_BYTES as u64) as usize];
    let mut at = 0;
    while at < size {
        let piece = &mut buffer[..(size - at).min(READ_BYTES as u64) as usize];
        content.read_at(at, piece)?;
        hasher.update(&*piece);
        at += piece.len() as u64;
    }
    Ok(hasher.finalize().into())
}
