//! Debian packages as a source: signed indexes → resolved pins → fetched, verified `.deb`s →
//! trees.
//!
//! ```text
//! Mirror ─▶ InRelease ─TrustSet─▶ Packages ─▶ Index ─solver─▶ Lock      lock()
//!                              └▶ Sources ─▶ Lock                       lock()
//! Lock ─▶ .deb, source archives, by SHA-256 ─▶ store                    fetch()
//! .deb ─▶ tree, once ever ─▶ root                                       unpack(), merge()
//! source archives ─▶ tree                                               source_tree()
//! ```
//!
//! Invariants:
//! - Nothing of an index is read before a pinned key's signature over it was verified.
//! - Nothing fetched has a name in the store before its size and digest were found right.
//! - Packages are unpacked, never installed: nothing of a package is ever executed.
//! - What is locked and stored needs no network, no mirror and no clock.

mod alternatives;
mod archive;
mod catalog;
mod clearsign;
mod date;
mod download;
mod environment;
mod error;
mod explain;
mod fetch;
mod index;
mod keys;
mod lock;
mod merge;
mod mirror;
mod needs;
mod progress;
mod relation;
mod release;
mod solve;
mod sources;
mod suggest;
mod transport;
mod unpack;
mod version;

pub use alternatives::{Alternative, alternatives, link_alternatives};
pub use archive::probe;
pub use clearsign::ClearsignError;
pub use environment::{ARCHITECTURE, DEFAULT_CONNECTIONS, Environment};
pub use error::{DebianError, ReleaseError, TransportError, UnknownPackage, UnknownSource};
pub(crate) use fetch::digest_of;
pub use fetch::{Missing, fetch, missing};
pub use index::{IndexError, StanzaError};
pub use keys::{KeyError, SignatureError, TrustSet};
pub use lock::{Changes, Mode, Request, is_current, lock};
pub(crate) use merge::link_root;
pub use merge::{Merged, merge};
pub use mirror::{AptFile, Base, Mirror, MirrorError, Origin};
pub use needs::way_to;
pub use progress::{Event, Progress, Quiet};
pub use relation::RelationError;
pub(crate) use transport::{Answer, Question, Transport};
pub use transport::{Retry, trust_only};
pub use unpack::{TREE_OUTPUT, unpack, unpack_anew, unpack_key};
pub use version::{Version, VersionError};
