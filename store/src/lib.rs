//! The content-addressed store: objects, trees, action results, roots.
//!
//! A store is a folder of plain files, written by many processes at once without a daemon. An
//! *object* is a file's bytes under their SHA-256; a *tree* is a listing of names, kinds, modes,
//! owners and digests, itself an object; an *action result* says what an action with a certain key
//! made. FORMAT.md, beside this crate's manifest, gives every encoding byte by byte.
//!
//! Invariants:
//! - A name appears only when what it names is complete: files are written without a name and
//!   linked once they are whole.
//! - A result appears only after everything it names has outlasted a power cut.
//! - A process that saw something exist can rely on it until the process ends: see
//!   `session`, which keeps collections away from it.
//!
//! The store knows nothing of images, packages or specs, and reads no environment.
#![forbid(unsafe_code)]

mod action;
mod archive;
mod cache;
mod closure;
#[cfg(test)]
mod crash;
mod digest;
mod download;
mod error;
mod fs;
mod gc;
mod import;
mod listing;
mod meta;
mod object;
mod results;
mod roots;
mod session;
mod sign;
mod signature;
mod store;
mod usage;
mod verify;
mod walk;

pub use action::{ActionKey, ActionResult, KeyBuilder, Output};
pub use archive::{ExportReport, ImportReport, Trust};
pub use digest::{Blob, Digest, DigestError};
pub use download::PartialDownload;
pub use error::{Result, StoreError};
pub use gc::{GcEvent, GcOptions, GcReport};
pub use import::ImportOptions;
pub use listing::MAX_LISTING_BYTES;
pub use object::{MAX_READ_BYTES, ObjectWriter};
pub use roots::RootTarget;
pub use sign::{KeyError, PublicKey, SecretKey};
pub use signature::{Signature, SignatureError};
pub use store::{Options, Store};
pub use usage::Usage;
pub use verify::{Problem, VerifyEvent, VerifyOptions, VerifyReport};
