//! dm-verity: a hash tree that makes every block of an image checkable on its own.
//!
//! Follows the kernel's `Documentation/admin-guide/device-mapper/verity.rst`, hash format version 1,
//! and the superblock of cryptsetup's `veritysetup`, with one set of choices: SHA-256, data and
//! hash blocks of 4096 bytes, the superblock in the first block after the data, the tree right
//! behind it.
//!
//! ```text
//! block 0 … D-1        the data
//! block D              superblock: "verity\0\0", version 1, …, zero-padded     (not hashed)
//! block D+1            top level of the tree: one block of up to 128 digests
//! …                    each next level, 128 times as wide
//! last blocks          digests of the data blocks
//! ```
//!
//! A node is `SHA-256(salt ‖ block)`, 32 bytes; a hash block holds 128 of them, zero-padded at the
//! end of a level. The root hash is the node of the top block. With a single data block there is no
//! tree: the root hash is that block's node, as in the kernel.
//!
//! Invariant: the same data and salt give the same bytes, however the data was cut into chunks and
//! however many threads hashed it.

mod build;
mod format;
mod stream;
#[cfg(test)]
mod tests;
mod verify;

pub use build::{Builder, HashArea, compute};
pub use format::{Params, RootHash, Salt, Superblock};
pub use stream::StreamChecker;
pub use verify::{BadRange, MAX_BAD_RANGES, Region, Report, verify};

use sha2::{Digest as _, Sha256};

/// Size of a data block and of a hash block, in bytes.
pub const BLOCK_SIZE: usize = 4096;

/// Size of a node of the tree, in bytes.
pub const DIGEST_SIZE: usize = 32;

/// Nodes in one hash block.
pub const DIGESTS_PER_BLOCK: usize = BLOCK_SIZE / DIGEST_SIZE;

/// Longest salt, in bytes: what the superblock has room for.
pub const MAX_SALT_SIZE: usize = 256;

/// Most data blocks accepted (4 EiB of data). Keeps every offset far from overflow.
pub const MAX_DATA_BLOCKS: u64 = 1 << 50;

/// Why an image, its parameters or its superblock were refused.
#[derive(Debug, thiserror::Error)]
pub enum VerityError {
    /// The salt is longer than the superblock has room for.
    #[error("a verity salt of {size} bytes is too long; use at most {MAX_SALT_SIZE}")]
    SaltTooLong {
        /// Its length in bytes.
        size: usize,
    },
    /// A root hash or salt that is not lower-case hex of the right length.
    #[error("{text:?} is not a verity {what}; write it as lower-case hex digits")]
    BadHex {
        /// `root hash` or `salt`.
        what: &'static str,
        /// The text, cut to its first 80 characters.
        text: String,
    },
    /// The data does not end at a block boundary.
    #[error(
        "verity data of {size} bytes does not end at a block boundary; \
         pad it to a multiple of {BLOCK_SIZE}"
    )]
    Unaligned {
        /// Its length in bytes.
        size: u64,
    },
    /// No data at all, or more than can be addressed.
    #[error(
        "verity over {data_blocks} data blocks is impossible; give between 1 and {MAX_DATA_BLOCKS}"
    )]
    BadDataBlocks {
        /// Blocks asked for.
        data_blocks: u64,
    },
    /// The hash tree would overlap the data, or lie beyond every disk.
    #[error(
        "a hash tree at block {hash_start_block} does not fit behind {data_blocks} data blocks; \
         the image's description is damaged, write the image again"
    )]
    BadHashStart {
        /// Where the tree should start.
        hash_start_block: u64,
        /// Blocks of data before it.
        data_blocks: u64,
    },
    /// The superblock is not one, or describes a format other than ours.
    #[error(
        "the verity superblock has {what}; \
         the image is damaged or was made by another tool, write it again"
    )]
    BadSuperblock {
        /// What is wrong.
        what: String,
    },
    /// The data could not be read.
    #[error("reading verity data at byte {offset} failed: {source}; check the device or file")]
    Read {
        /// Byte offset of the read.
        offset: u64,
        /// The cause.
        source: std::io::Error,
    },
}

/// SHA-256 with the salt already taken in; one per tree, cloned per block.
#[derive(Clone)]
struct Hasher(Sha256);

impl Hasher {
    fn new(salt: &Salt) -> Self {
        Self(Sha256::new_with_prefix(salt.as_bytes()))
    }

    fn node(&self, block: &[u8]) -> [u8; DIGEST_SIZE] {
        self.0.clone().chain_update(block).finalize().into()
    }
}
