//! What every operation on the archive works with; all of it given by the caller.

use super::keys::TrustSet;
use super::mirror::{Mirror, MirrorError};
use super::progress::Progress;
use super::transport::Retry;
use nos_store::Store;

/// Architecture that packages are resolved for.
pub const ARCHITECTURE: &str = "amd64";

/// The caller's world. Nothing else (clock, variables, configuration) is looked at, but for the
/// proxy variables that the HTTP library reads.
pub struct Environment<'a> {
    /// Where everything fetched is kept.
    pub store: &'a Store,
    /// Where it is fetched from. An error is reported only when something must be fetched: a
    /// machine with a full store needs no mirror.
    pub mirror: Result<&'a Mirror, MirrorError>,
    /// Who may sign indexes.
    pub trust: &'a TrustSet,
    /// The present, in seconds since 1970-01-01 00:00 UTC.
    pub now: i64,
    /// Whether an expired index, or one older than what was seen before, is a warning and not an
    /// error. For archives that keep old states; never the default.
    pub accept_stale: bool,
    /// How often a mirror is asked.
    pub retry: Retry,
    /// Files fetched at once, at least 1.
    pub connections: usize,
    /// Who is told.
    pub progress: &'a dyn Progress,
}

/// Files fetched at once, unless told otherwise.
pub const DEFAULT_CONNECTIONS: usize = 6;

impl<'a> Environment<'a> {
    /// An environment with the usual patience.
    pub fn new(
        store: &'a Store,
        mirror: Result<&'a Mirror, MirrorError>,
        trust: &'a TrustSet,
        now: i64,
        progress: &'a dyn Progress,
    ) -> Self {
        Self {
            store,
            mirror,
            trust,
            now,
            accept_stale: false,
            retry: Retry::default(),
            connections: DEFAULT_CONNECTIONS,
            progress,
        }
    }
}
