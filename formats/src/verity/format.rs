//! What is on the disk: salt, root hash, geometry and superblock.

use super::{
    BLOCK_SIZE, DIGEST_SIZE, DIGESTS_PER_BLOCK, MAX_DATA_BLOCKS, MAX_SALT_SIZE, VerityError,
};
use std::fmt;
use std::ops::Range;
use std::str::FromStr;

/// A salt: 0 to 256 bytes hashed before each block.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Salt(Vec<u8>);

impl Salt {
    /// Takes the salt's bytes.
    ///
    /// # Errors
    /// [`VerityError::SaltTooLong`] beyond [`MAX_SALT_SIZE`] bytes.
    pub fn new(bytes: impl Into<Vec<u8>>) -> Result<Self, VerityError> {
        let bytes = bytes.into();
        if bytes.len() > MAX_SALT_SIZE {
            return Err(VerityError::SaltTooLong { size: bytes.len() });
        }
        Ok(Self(bytes))
    }

    /// The salt's bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Display for Salt {
    /// Lower-case hex; nothing for the empty salt (a device-mapper table wants `-` there).
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_hex(f, &self.0)
    }
}

impl FromStr for Salt {
    type Err = VerityError;

    fn from_str(text: &str) -> Result<Self, VerityError> {
        Self::new(read_hex("salt", text)?)
    }
}

/// The hash that stands for a whole image.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RootHash(pub [u8; DIGEST_SIZE]);

impl fmt::Display for RootHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_hex(f, &self.0)
    }
}

impl fmt::Debug for RootHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for RootHash {
    type Err = VerityError;

    fn from_str(text: &str) -> Result<Self, VerityError> {
        let bytes = read_hex("root hash", text)?;
        let bytes = bytes.try_into().map_err(|_| bad_hex("root hash", text))?;
        Ok(Self(bytes))
    }
}

/// Where the data and the tree of one image are; everything the kernel's table needs besides the
/// root hash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Params {
    data_blocks: u64,
    hash_start_block: u64,
    salt: Salt,
}

impl Params {
    /// The layout that [`super::Builder`] gives: superblock at block `data_blocks`, tree behind it.
    ///
    /// # Errors
    /// [`VerityError::BadDataBlocks`] for none or more than [`MAX_DATA_BLOCKS`].
    pub fn new(data_blocks: u64, salt: Salt) -> Result<Self, VerityError> {
        Self::with_hash_start(data_blocks, data_blocks.saturating_add(1), salt)
    }

    /// A layout as a manifest describes it: `hash_start_block` is the first block of the tree
    /// proper, counted from the start of the image.
    ///
    /// # Errors
    /// [`VerityError::BadDataBlocks`] as for [`Params::new`]; [`VerityError::BadHashStart`] where
    /// the tree would begin inside the data or end beyond what can be addressed.
    pub fn with_hash_start(
        data_blocks: u64,
        hash_start_block: u64,
        salt: Salt,
    ) -> Result<Self, VerityError> {
        if data_blocks == 0 || data_blocks > MAX_DATA_BLOCKS {
            return Err(VerityError::BadDataBlocks { data_blocks });
        }
        if hash_start_block < data_blocks || hash_start_block > 2 * MAX_DATA_BLOCKS {
            return Err(VerityError::BadHashStart {
                hash_start_block,
                data_blocks,
            });
        }
        Ok(Self {
            data_blocks,
            hash_start_block,
            salt,
        })
    }

    /// Number of data blocks.
    pub fn data_blocks(&self) -> u64 {
        self.data_blocks
    }

    /// First block of the tree proper, counted from the start of the image.
    pub fn hash_start_block(&self) -> u64 {
        self.hash_start_block
    }

    /// The salt.
    pub fn salt(&self) -> &Salt {
        &self.salt
    }

    /// Number of blocks in the tree, the superblock not counted.
    pub fn tree_blocks(&self) -> u64 {
        self.levels()
            .iter()
            .map(|level| level.end - level.start)
            .sum()
    }

    /// Length of the whole image (data, superblock, tree) in bytes.
    pub fn size_bytes(&self) -> u64 {
        (self.hash_start_block + self.tree_blocks()) * BLOCK_SIZE as u64
    }

    /// The blocks of each level, widest level (digests of data blocks) first.
    pub(super) fn levels(&self) -> Vec<Range<u64>> {
        let mut sizes = Vec::new();
        let mut below = self.data_blocks;
        while below > 1 {
            below = below.div_ceil(DIGESTS_PER_BLOCK as u64);
            sizes.push(below);
        }
        // The top level comes first on the disk.
        let mut at = self.hash_start_block;
        let mut levels: Vec<_> = sizes
            .iter()
            .rev()
            .map(|size| {
                at += size;
                at - size..at
            })
            .collect();
        levels.reverse();
        levels
    }
}

/// cryptsetup's description of a tree, in the block before it. The kernel never reads it: it is
/// there so that `veritysetup` can check an image that is found on a disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Superblock {
    /// Identity; ours is the last 128 bits of the root hash, so that it follows from the content.
    pub uuid: [u8; 16],
    /// Number of data blocks.
    pub data_blocks: u64,
    /// The salt.
    pub salt: Salt,
}

// Byte offsets of `struct verity_sb` (cryptsetup, lib/verity/verity.c); all integers little-endian.
const SIGNATURE: (usize, &[u8; 8]) = (0, b"verity\0\0");
const VERSION: usize = 8;
const HASH_TYPE: usize = 12;
const UUID: usize = 16;
const ALGORITHM: usize = 32;
const ALGORITHM_SIZE: usize = 32;
const DATA_BLOCK_SIZE: usize = 64;
const HASH_BLOCK_SIZE: usize = 68;
const DATA_BLOCKS: usize = 72;
const SALT_SIZE: usize = 80;
const SALT: usize = 88;

/// Size of the superblock proper; the rest of its block is zero.
const SUPERBLOCK_SIZE: usize = 512;

impl Superblock {
    /// The superblock of an image.
    pub fn new(params: &Params, root_hash: &RootHash) -> Self {
        let mut uuid = [0; 16];
        uuid.copy_from_slice(&root_hash.0[DIGEST_SIZE - 16..]);
        Self {
            uuid,
            data_blocks: params.data_blocks(),
            salt: params.salt().clone(),
        }
    }

    /// The superblock's whole block.
    pub fn to_block(&self) -> [u8; BLOCK_SIZE] {
        let mut block = [0; BLOCK_SIZE];
        let mut put = |at: usize, bytes: &[u8]| block[at..at + bytes.len()].copy_from_slice(bytes);
        put(SIGNATURE.0, SIGNATURE.1);
        put(VERSION, &1u32.to_le_bytes());
        put(HASH_TYPE, &1u32.to_le_bytes());
        put(UUID, &self.uuid);
        put(ALGORITHM, b"sha256");
        put(DATA_BLOCK_SIZE, &(BLOCK_SIZE as u32).to_le_bytes());
        put(HASH_BLOCK_SIZE, &(BLOCK_SIZE as u32).to_le_bytes());
        put(DATA_BLOCKS, &self.data_blocks.to_le_bytes());
        put(
            SALT_SIZE,
            &(self.salt.as_bytes().len() as u16).to_le_bytes(),
        );
        put(SALT, self.salt.as_bytes());
        block
    }

    /// Reads a superblock from the first 512 or more bytes of its block.
    ///
    /// # Errors
    /// [`VerityError::BadSuperblock`] for anything but format version 1 with SHA-256 and
    /// 4096-byte blocks.
    pub fn parse(bytes: &[u8]) -> Result<Self, VerityError> {
        let bad = |what: String| VerityError::BadSuperblock { what };
        let Some(bytes) = bytes.first_chunk::<SUPERBLOCK_SIZE>() else {
            return Err(bad(format!(
                "only {} of {SUPERBLOCK_SIZE} bytes",
                bytes.len()
            )));
        };
        let u32_at = |at: usize| {
            let b = &bytes[at..at + 4];
            u32::from_le_bytes([b[0], b[1], b[2], b[3]])
        };
        if !bytes.starts_with(SIGNATURE.1) {
            return Err(bad("no signature".into()));
        }
        for (at, name, want) in [
            (VERSION, "version", 1),
            (HASH_TYPE, "hash type", 1),
            (DATA_BLOCK_SIZE, "data block size", BLOCK_SIZE as u32),
            (HASH_BLOCK_SIZE, "hash block size", BLOCK_SIZE as u32),
        ] {
            let found = u32_at(at);
            if found != want {
                return Err(bad(format!("{name} {found} where {want} is supported")));
            }
        }
        let algorithm = &bytes[ALGORITHM..ALGORITHM + ALGORITHM_SIZE];
        if !algorithm.starts_with(b"sha256\0") {
            return Err(bad("a hash algorithm other than sha256".into()));
        }
        let salt_size = usize::from(u16::from_le_bytes([bytes[SALT_SIZE], bytes[SALT_SIZE + 1]]));
        if salt_size > MAX_SALT_SIZE {
            return Err(bad(format!("a salt of {salt_size} bytes")));
        }
        let mut uuid = [0; 16];
        uuid.copy_from_slice(&bytes[UUID..UUID + 16]);
        Ok(Self {
            uuid,
            data_blocks: u64::from(u32_at(DATA_BLOCKS)) | u64::from(u32_at(DATA_BLOCKS + 4)) << 32,
            salt: Salt::new(&bytes[SALT..SALT + salt_size])?,
        })
    }
}

fn write_hex(f: &mut fmt::Formatter<'_>, bytes: &[u8]) -> fmt::Result {
    bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
}

fn bad_hex(what: &'static str, text: &str) -> VerityError {
    let text = text.chars().take(80).collect();
    VerityError::BadHex { what, text }
}

fn read_hex(what: &'static str, text: &str) -> Result<Vec<u8>, VerityError> {
    let digit = |byte: &u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    if !rest.is_empty() || pairs.len() > MAX_SALT_SIZE {
        return Err(bad_hex(what, text));
    }
    pairs
        .iter()
        .map(|[high, low]| Some(digit(high)? << 4 | digit(low)?))
        .collect::<Option<_>>()
        .ok_or_else(|| bad_hex(what, text))
}
