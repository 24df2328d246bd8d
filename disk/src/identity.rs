//! Identities of a new disk, all from one seed.

use nos_formats::gpt::Guid;
use sha2::{Digest, Sha256};

/// Derives what a new disk needs to be unique from a seed, so that the same seed gives the same
/// disk.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Identity {
    seed: [u8; 32],
}

impl Identity {
    pub(crate) fn new(seed: [u8; 32]) -> Self {
        Self { seed }
    }

    /// A GUID for the purpose named.
    pub(crate) fn guid(&self, purpose: &str) -> Guid {
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&self.bytes(purpose)[..16]);
        Guid::from_entropy(bytes)
    }

    /// The serial number of a FAT volume.
    pub(crate) fn volume_id(&self) -> u32 {
        let bytes = self.bytes("fat volume");
        u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])
    }

    fn bytes(&self, purpose: &str) -> [u8; 32] {
        Sha256::new_with_prefix(b"nos disk identity 1\0")
            .chain_update(self.seed)
            .chain_update(purpose.as_bytes())
            .finalize()
            .into()
    }
}
