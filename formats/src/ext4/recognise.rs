//! Telling whether a file system is as this module made it.

use super::{BLOCK_SIZE, FileSystem, MAX_LABEL_SIZE, Options};
use crate::read_at::ReadAt;
use std::ops::Range;

/// What tells one empty file system of this module from another, read back from it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// Its UUID, in text order.
    pub uuid: [u8; 16],
    /// Its label.
    pub label: String,
    /// Seed of its directory hash.
    pub hash_seed: [u8; 16],
}

/// Byte 1024: the superblock, and within it the magic number, UUID, label and hash seed.
const SUPERBLOCK: u64 = 1024;
const MAGIC: (Range<usize>, [u8; 2]) = (56..58, [0x53, 0xEF]);
const UUID: Range<usize> = 104..120;
const LABEL: Range<usize> = 120..120 + MAX_LABEL_SIZE;
const HASH_SEED: Range<usize> = 236..252;

/// The identity of the file system in these `size_bytes` bytes where every byte of it is as this
/// module writes it: nobody has mounted it yet. `None` for anything else.
///
/// The journal, which must be zero, is for the caller to look at: [`FileSystem::zeroed`].
pub fn recognise(bytes: &(impl ReadAt + ?Sized), size_bytes: u64) -> Option<Identity> {
    let mut superblock = [0; 1024];
    bytes.read_at(SUPERBLOCK, &mut superblock).ok()?;
    if superblock[MAGIC.0] != MAGIC.1 {
        return None;
    }
    let field = |range: Range<usize>| <[u8; 16]>::try_from(&superblock[range]).ok();
    let label = superblock[LABEL].split(|byte| *byte == 0).next()?;
    let identity = Identity {
        uuid: field(UUID)?,
        label: String::from_utf8(label.to_vec()).ok()?,
        hash_seed: field(HASH_SEED)?,
    };
    let options = Options {
        size_bytes,
        uuid: identity.uuid,
        label: &identity.label,
        hash_seed: identity.hash_seed,
    };
    let mut found = vec![0; BLOCK_SIZE as usize];
    let same = FileSystem::new(&options).ok()?.write(|offset, wanted| {
        found.resize(wanted.len(), 0);
        match bytes.read_at(offset, &mut found) {
            Ok(()) if found == wanted => Ok(()),
            _ => Err(()),
        }
    });
    same.is_ok().then_some(identity)
}
