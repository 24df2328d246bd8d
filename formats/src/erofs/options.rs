//! What a caller chooses about an image.

use super::error::WriteError;
use super::format::BLOCK_SIZE;

/// How file data is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// Not at all: files are readable without `CONFIG_EROFS_FS_ZIP`.
    None,
    /// LZ4 blocks: the fastest to read. Any kernel with `CONFIG_EROFS_FS_ZIP`.
    Lz4,
    /// Zstandard frames of this level (1–22): smaller, needs `CONFIG_EROFS_FS_ZIP_ZSTD`
    /// (Linux 6.10 or newer).
    Zstd(i32),
}

/// How an image is laid out. The default is zstd level 3 with 64 KiB clusters, fragments on,
/// one thread, UUID and label all zero.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// Compression of file data; metadata is never compressed.
    pub compression: Compression,
    /// Largest physical cluster in bytes: a multiple of 4096, at most 1 MiB. A read decompresses
    /// whole clusters, so larger ones are smaller on disk and dearer at random access.
    pub cluster_bytes: u32,
    /// Whether small files and file tails are packed together. Ignored without compression.
    pub fragments: bool,
    /// Volume UUID; nothing depends on it, so it is zero unless wanted.
    pub uuid: [u8; 16],
    /// Volume label, padded with NUL.
    pub label: [u8; 16],
    /// Threads that compress; 0 counts as 1. Never changes the bytes.
    pub threads: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            compression: Compression::Zstd(3),
            cluster_bytes: 64 << 10,
            fragments: true,
            uuid: [0; 16],
            label: [0; 16],
            threads: 1,
        }
    }
}

/// Largest physical cluster the format allows, in bytes.
pub(super) const MAX_CLUSTER_BYTES: u32 = 1 << 20;

impl Options {
    /// Refuses what the format cannot hold.
    pub(super) fn check(&self) -> Result<(), WriteError> {
        let cluster = self.cluster_bytes;
        let whole_blocks = cluster > 0 && cluster.is_multiple_of(BLOCK_SIZE as u32);
        if !whole_blocks || cluster > MAX_CLUSTER_BYTES {
            return Err(WriteError::ClusterSize {
                cluster_bytes: cluster,
            });
        }
        if let Compression::Zstd(level) = self.compression
            && !(1..=22).contains(&level)
        {
            return Err(WriteError::Level { level });
        }
        Ok(())
    }
}
