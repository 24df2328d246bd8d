//! What can go wrong with a store.

use crate::Digest;
use nos_formats::tree::TreeError;
use std::io;
use std::path::{Path, PathBuf};

/// Short form of the crate's results.
pub type Result<T, E = StoreError> = std::result::Result<T, E>;

/// Why the store refused or failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The operating system refused an operation.
    #[error("cannot {action} {}: {source}; {}", path.display(), remedy(source))]
    Io {
        /// What was tried, as a verb phrase.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// The operating system's answer.
        source: io::Error,
    },
    /// The folder holds something, but not a store.
    #[error(
        "{} is not a nOs store (it has no meta.json but holds other files); name an empty or a new folder",
        path.display()
    )]
    NotAStore {
        /// The folder.
        path: PathBuf,
    },
    /// `meta.json` cannot be understood.
    #[error(
        "{} cannot be read as a store's description: {reason}; restore the file, or move the store away to start an empty one",
        path.display()
    )]
    BadMeta {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// The store needs something that this program does not know.
    #[error("the store {} needs {feature}; use the newer nos that wrote it, or name another store", path.display())]
    TooNew {
        /// The store.
        path: PathBuf,
        /// The version or the incompatible features.
        feature: String,
    },
    /// The store may be read but not written by this program.
    #[error(
        "the store {} has {feature}, which this program can read but not write; use a newer nos",
        path.display()
    )]
    ReadOnly {
        /// The store.
        path: PathBuf,
        /// The features that forbid writing.
        feature: String,
    },
    /// The store may be read but not written by this user.
    #[error(
        "the store {} may not be written by this user; run as its owner or name another store with NOS_STORE",
        path.display()
    )]
    NotWritable {
        /// The store.
        path: PathBuf,
    },
    /// No object of that name.
    #[error("the store has no object {digest}; build or import it again")]
    Missing {
        /// The name.
        digest: Digest,
    },
    /// An object whose bytes are not those its name says.
    #[error(
        "the object {digest} is damaged ({reason}); run `nos store verify --repair` and build again"
    )]
    Damaged {
        /// The name.
        digest: Digest,
        /// What was seen.
        reason: String,
    },
    /// Bytes that are not the expected ones; nothing was named.
    #[error(
        "{what} has the SHA-256 {found} ({found_size} bytes), expected was {expected}{}; it was not kept, try again or correct the expected value",
        expected_size.map(|s| format!(" ({s} bytes)")).unwrap_or_default()
    )]
    Mismatch {
        /// What was being stored.
        what: String,
        /// Expected name.
        expected: Digest,
        /// Expected length, where one was given.
        expected_size: Option<u64>,
        /// Name of the bytes that came.
        found: Digest,
        /// Their number.
        found_size: u64,
    },
    /// A tree listing that breaks the format.
    #[error(
        "the tree listing is not valid at byte {offset}: {reason}; run `nos store verify --repair` and build again"
    )]
    BadListing {
        /// Offset into the listing.
        offset: usize,
        /// What is wrong there.
        reason: &'static str,
    },
    /// A tree that cannot be written as a listing.
    #[error("{path} cannot be stored: {reason}; correct it and store the tree again")]
    BadTree {
        /// Path in the tree.
        path: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A path or a link that no tree may hold.
    #[error(transparent)]
    Tree(#[from] TreeError),
    /// An action result that breaks the format.
    #[error(
        "the action result is not valid at byte {offset}: {reason}; run `nos store verify --repair` and build again"
    )]
    BadResult {
        /// Offset into the result.
        offset: usize,
        /// What is wrong there.
        reason: &'static str,
    },
    /// A name that a root cannot have.
    #[error("{name:?} cannot name a root: {reason}; choose another name")]
    BadRootName {
        /// The name.
        name: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A root file that cannot be read.
    #[error(
        "the root {name:?} cannot be read: {reason}; set it again, or remove its file from the store's folder `roots`"
    )]
    BadRoot {
        /// The root's name.
        name: String,
        /// What is wrong.
        reason: String,
    },
    /// A source that was written to while it was read.
    #[error("{} changed while it was read; let whatever writes it finish, then run again", path.display())]
    Changed {
        /// The source.
        path: PathBuf,
    },
    /// A source that is neither file, folder nor symbolic link.
    #[error("{} is a {kind}, which a tree taken from a folder cannot hold; remove or exclude it", path.display())]
    Unsupported {
        /// The source.
        path: PathBuf,
        /// What it is.
        kind: &'static str,
    },
    /// An archive that breaks the format.
    #[error("the archive is not valid: {reason}; nothing of it was named, get it again")]
    BadArchive {
        /// What is wrong.
        reason: String,
    },
    /// An archive that nobody trusted has signed.
    #[error(
        "the archive is not trusted: {reason}; name the signer's public key, or allow unsigned archives for this import"
    )]
    Untrusted {
        /// What was seen.
        reason: String,
    },
}

impl StoreError {
    /// Whether the cause is a file system without room (no space, no inodes, or over quota).
    pub fn is_disk_full(&self) -> bool {
        matches!(self, Self::Io { source, .. } if is_full(source))
    }
}

fn is_full(error: &io::Error) -> bool {
    use io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
    matches!(error.kind(), StorageFull | QuotaExceeded | FileTooLarge)
}

fn remedy(error: &io::Error) -> &'static str {
    match error.kind() {
        _ if is_full(error) => {
            "free some space there (`nos store gc` helps) and run again, what is stored is whole"
        }
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            "make it accessible to this user"
        }
        io::ErrorKind::NotFound => "check the path and run again",
        io::ErrorKind::NotADirectory => "name a folder, new or empty",
        _ => "remove the cause and run again",
    }
}

/// Attaches what was tried, and on what, to an operating system error.
pub(crate) trait Context<T> {
    fn context(self, action: &'static str, path: impl AsRef<Path>) -> Result<T>;
}

impl<T, E: Into<io::Error>> Context<T> for Result<T, E> {
    fn context(self, action: &'static str, path: impl AsRef<Path>) -> Result<T> {
        self.map_err(|source| StoreError::Io {
            action,
            path: path.as_ref().to_path_buf(),
            source: source.into(),
        })
    }
}
