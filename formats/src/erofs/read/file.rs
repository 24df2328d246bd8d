//! Reading file content.

use std::io::Write;
use std::sync::PoisonError;

use super::cluster::{Cluster, Stored};
use super::{Image, Inode, InodeKind, corrupt, unsupported};
use crate::erofs::error::ReadError;
use crate::erofs::format::{BLOCK_SIZE, layout};
use crate::read_at::Extent;

/// Blocks of flat data read at once.
const BLOCKS_AT_ONCE: u64 = 64;

/// Longest link target.
const MAX_TARGET_BYTES: u64 = 4095;

impl<R: Extent> Image<R> {
    /// Writes a regular file's content to `out`, in pieces of at most 12 MiB.
    ///
    /// # Errors
    /// [`ReadError`] where the file is damaged, or `out` fails.
    pub fn read_to(&self, file: &Inode, out: &mut dyn Write) -> Result<(), ReadError> {
        if file.kind() != InodeKind::File {
            return corrupt(file.offset(), "it is read as a regular file and is none");
        }
        self.content(file, out)
    }

    /// A regular file's content, if it has at most `limit` bytes.
    ///
    /// # Errors
    /// As [`Image::read_to`]; [`ReadError::Corrupt`] where it is longer.
    pub fn read(&self, file: &Inode, limit: u64) -> Result<Vec<u8>, ReadError> {
        if file.size_bytes() > limit {
            return corrupt(file.offset(), "a file is longer than expected here");
        }
        let mut bytes = Vec::new();
        self.read_to(file, &mut bytes)?;
        Ok(bytes)
    }

    /// The target of a symbolic link.
    ///
    /// # Errors
    /// [`ReadError`] where it is damaged, over 4095 bytes, or no link.
    pub fn read_link(&self, link: &Inode) -> Result<Vec<u8>, ReadError> {
        if link.kind() != InodeKind::Symlink || link.size_bytes() > MAX_TARGET_BYTES {
            return corrupt(link.offset(), "it is no symbolic link, or too long a one");
        }
        let mut target = Vec::new();
        self.content(link, &mut target)?;
        Ok(target)
    }

    fn content(&self, inode: &Inode, out: &mut dyn Write) -> Result<(), ReadError> {
        if !inode.is_compressed() {
            return self.flat_pieces(inode, BLOCKS_AT_ONCE, |_, bytes| {
                out.write_all(bytes).map_err(ReadError::Output)
            });
        }
        if inode.size_bytes() == 0 {
            return Ok(());
        }
        let mut decoded = Vec::new();
        for cluster in self.clusters(inode)? {
            if let Stored::Fragment { at } = cluster.stored {
                self.fragment(at, cluster.len, out)?;
                continue;
            }
            decoded.clear();
            self.decode(&cluster, &mut decoded)?;
            out.write_all(&decoded).map_err(ReadError::Output)?;
        }
        Ok(())
    }

    /// Calls `each` with the offset and the bytes of every block of a flat inode; the last may be
    /// short.
    pub(super) fn flat_blocks(
        &self,
        inode: &Inode,
        each: impl FnMut(u64, &[u8]) -> Result<(), ReadError>,
    ) -> Result<(), ReadError> {
        self.flat_pieces(inode, 1, each)
    }

    fn flat_pieces(
        &self,
        inode: &Inode,
        blocks_at_once: u64,
        mut each: impl FnMut(u64, &[u8]) -> Result<(), ReadError>,
    ) -> Result<(), ReadError> {
        let block = BLOCK_SIZE as u64;
        let size = inode.size_bytes();
        let inline = match inode.layout() {
            layout::FLAT_PLAIN => 0,
            layout::FLAT_INLINE => size % block,
            _ => return unsupported(inode.offset(), "a data layout this reader has not"),
        };
        let mut offset = u64::from(inode.first_block()) * block;
        let mut left = size - inline;
        if left > self.size {
            return corrupt(inode.offset(), "a file is larger than the image");
        }
        while left > 0 {
            let piece = self.bytes(offset, left.min(blocks_at_once * block) as usize)?;
            each(offset, &piece)?;
            offset += piece.len() as u64;
            left -= piece.len() as u64;
        }
        if inline > 0 {
            let at = inode.end();
            if at % block + inline > block {
                return corrupt(at, "an inline tail crosses a block border");
            }
            each(at, &self.bytes(at, inline as usize)?)?;
        }
        Ok(())
    }

    /// Writes a range of the packed inode to `out`.
    fn fragment(&self, at: u64, len: u64, out: &mut dyn Write) -> Result<(), ReadError> {
        let (packed, clusters) = self.packed()?;
        let end = at.checked_add(len).filter(|e| *e <= packed.size_bytes());
        let Some(end) = end else {
            return corrupt(
                packed.offset(),
                "a fragment lies behind the packed inode's end",
            );
        };
        if !packed.is_compressed() {
            return self.flat_fragment(packed, at, end, out);
        }
        let mut at = at;
        let first = clusters.partition_point(|c| c.start + c.len <= at);
        for cluster in &clusters[first..] {
            if at >= end {
                break;
            }
            let mut cache = self.decoded.lock().unwrap_or_else(PoisonError::into_inner);
            if cache
                .as_ref()
                .is_none_or(|(start, _)| *start != cluster.start)
            {
                let mut decoded = Vec::new();
                self.decode(cluster, &mut decoded)?;
                *cache = Some((cluster.start, decoded));
            }
            let bytes = cache.as_ref().map_or(&[][..], |(_, bytes)| bytes);
            let from = (at - cluster.start) as usize;
            let to = (end - cluster.start).min(cluster.len) as usize;
            let Some(piece) = bytes.get(from..to) else {
                return corrupt(packed.offset(), "a cluster is shorter than it says");
            };
            out.write_all(piece).map_err(ReadError::Output)?;
            at = cluster.start + to as u64;
        }
        Ok(())
    }

    /// A range of a packed inode that is not compressed.
    fn flat_fragment(
        &self,
        packed: &Inode,
        from: u64,
        end: u64,
        out: &mut dyn Write,
    ) -> Result<(), ReadError> {
        if packed.layout() != layout::FLAT_PLAIN {
            return unsupported(packed.offset(), "a packed inode with an inline tail");
        }
        let base = u64::from(packed.first_block()) * BLOCK_SIZE as u64;
        let mut at = from;
        while at < end {
            let len = (end - at).min(BLOCKS_AT_ONCE * BLOCK_SIZE as u64) as usize;
            let piece = self.bytes(base + at, len)?;
            out.write_all(&piece).map_err(ReadError::Output)?;
            at += len as u64;
        }
        Ok(())
    }

    fn packed(&self) -> Result<&(Inode, Vec<Cluster>), ReadError> {
        if let Some(packed) = self.packed.get() {
            return Ok(packed);
        }
        let nid = self.superblock.packed_nid;
        let inode = self.inode(nid)?;
        if nid == 0 || inode.kind() != InodeKind::File {
            return corrupt(inode.offset(), "there is a fragment and no packed inode");
        }
        let clusters = match inode.is_compressed() && inode.size_bytes() > 0 {
            true => self.clusters(&inode)?,
            false => Vec::new(),
        };
        let nested = |c: &Cluster| matches!(c.stored, Stored::Fragment { .. });
        if clusters.iter().any(nested) {
            return corrupt(inode.offset(), "the packed inode has a fragment");
        }
        Ok(self.packed.get_or_init(|| (inode, clusters)))
    }
}
