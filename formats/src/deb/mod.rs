//! Debian packages and the stanza files that list them.
//!
//! Follows deb(5), deb822(5) and tar(5). A package is an `ar` archive of three members:
//!
//! ```text
//! debian-binary              "2.0\n"
//! control.tar[.gz|.xz|.zst]  ./control, one stanza, and what we do not read: scripts, checksums
//! data.tar[.gz|.xz|.zst]     the files
//! ```
//!
//! Everything streams: a package may be larger than memory. Everything is bounded: what is unpacked
//! by [`Limits`], what describes it (names, attributes, control file) by constants here. Nothing of
//! a package is ever executed.

mod ar;
pub mod deb822;
mod decompress;
mod entries;
#[cfg(test)]
mod tests;
mod unpack;

pub use unpack::{Control, read_control, unpack, unpack_tar};

use crate::tree::{TreeError, TreePath};
use std::io::Read;

/// Takes one regular file of a package: its path, its content and its size in bytes; gives what the
/// tree shall hold for it.
pub type Sink<'a, C, E> = dyn FnMut(&TreePath, &mut dyn Read, u64) -> Result<C, E> + 'a;

/// How much a package may unpack to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of the unpacked `data.tar`, headers included.
    pub unpacked_bytes: u64,
    /// Files, directories and links.
    pub entries: usize,
    /// Bytes of all paths, those of directories that are only implied counted twice.
    pub name_bytes: usize,
}

impl Default for Limits {
    /// 8 GiB, a million entries, 32 MiB of names: beyond every package of Debian, within any
    /// machine's memory.
    fn default() -> Self {
        Self {
            unpacked_bytes: 8 << 30,
            entries: 1_000_000,
            name_bytes: 32 << 20,
        }
    }
}

/// Most bytes of the unpacked `control.tar`.
const MAX_CONTROL_TAR_BYTES: u64 = 64 << 20;

/// Most bytes of the control file.
const MAX_CONTROL_BYTES: u64 = 1 << 20;

/// Most bytes of a long name or of the extended attributes of one file.
const MAX_EXTENSION_BYTES: u64 = 1 << 20;

/// Most bytes of all long names and extended attributes of a package.
const MAX_ALL_EXTENSION_BYTES: u64 = 64 << 20;

/// Most components of a path.
const MAX_DEPTH: usize = 128;

/// Why a package was refused.
#[derive(Debug, thiserror::Error)]
pub enum DebError {
    /// The outer archive is not one, or cut short.
    #[error("the package is damaged at byte {offset}: {what}; fetch it again")]
    Archive {
        /// Byte offset in the package.
        offset: u64,
        /// What is wrong there.
        what: &'static str,
    },
    /// The package could not be read, or what is in it does not decompress.
    #[error("{member} of the package cannot be read: {reason}; fetch the package again")]
    Damaged {
        /// `control.tar.xz`, `data.tar.zst`, …
        member: String,
        /// What the decompressor or the tar reader says.
        reason: String,
    },
    /// A compression that we do not know.
    #[error(
        "{member} of the package is compressed in a way that is not supported; \
         use a package with gz, xz, zst or no compression"
    )]
    Compression {
        /// The member's name.
        member: String,
    },
    /// More than the limit.
    #[error(
        "{member} of the package unpacks to more than {limit} {unit}; \
         raise the limit if the package is to be trusted"
    )]
    TooLarge {
        /// The member's name.
        member: String,
        /// The limit.
        limit: u64,
        /// What was counted: `bytes`, `entries` or `bytes of names`.
        unit: &'static str,
    },
    /// An entry that we will not unpack.
    #[error("the package's entry {path:?} is refused: {what}; use another version of the package")]
    Entry {
        /// Name as in the archive.
        path: String,
        /// Why.
        what: &'static str,
    },
    /// Names that make no tree.
    #[error("the package's files make no tree: {0}")]
    Tree(#[from] TreeError),
    /// The control file is missing or not usable.
    #[error("the package's control file is unusable: {what}; fetch the package again")]
    Control {
        /// Why.
        what: String,
    },
    /// The receiver of the files failed.
    #[error("keeping {path} of the package failed: {source}")]
    Sink {
        /// The file.
        path: TreePath,
        /// The receiver's error.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}
