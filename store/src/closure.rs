//! Everything that must stay for something to be whole.

use crate::error::{Result, StoreError};
use crate::listing::{self, MAX_LISTING_BYTES};
use crate::{ActionKey, Digest, Output, RootTarget, Store};
use std::collections::{BTreeSet, HashSet};

/// A growing set of objects, trees and results, closed under "names".
///
/// Only membership of the hash sets is ever asked, so their order reaches nothing.
#[derive(Default)]
pub(crate) struct Closure {
    pub(crate) objects: HashSet<Digest>,
    pub(crate) trees: HashSet<Digest>,
    pub(crate) results: HashSet<ActionKey>,
    /// Tree listings and results that should be there and are not.
    pub(crate) missing: BTreeSet<RootTarget>,
}

impl Closure {
    /// Adds a target and everything it names.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] or [`StoreError::BadListing`] for a tree listing that is there but
    /// cannot be trusted; what it names is unknown then.
    pub(crate) fn add(&mut self, store: &Store, target: RootTarget) -> Result<()> {
        match target {
            RootTarget::Object(digest) => {
                self.objects.insert(digest);
            }
            RootTarget::Tree(digest) => self.add_tree(store, digest)?,
            RootTarget::Result(key) => {
                if self.results.contains(&key) {
                    return Ok(());
                }
                let Some(result) = store.peek_result(&key)? else {
                    self.missing.insert(target);
                    return Ok(());
                };
                self.results.insert(key);
                for output in result.outputs.values() {
                    self.add(store, target_of(output))?;
                }
            }
        }
        Ok(())
    }

    fn add_tree(&mut self, store: &Store, digest: Digest) -> Result<()> {
        if self.trees.contains(&digest) {
            return Ok(());
        }
        let bytes = match store.read_object_bounded(&digest, MAX_LISTING_BYTES) {
            Err(StoreError::Missing { .. }) => {
                self.missing.insert(RootTarget::Tree(digest));
                return Ok(());
            }
            read => read?,
        };
        listing::blobs(&bytes, &mut |blob| {
            self.objects.insert(blob.digest);
        })?;
        self.objects.insert(digest);
        self.trees.insert(digest);
        Ok(())
    }

    /// Whether everything that an output needs is in the set.
    pub(crate) fn has(&self, output: &Output) -> bool {
        match output {
            Output::Object(blob) => self.objects.contains(&blob.digest),
            Output::Tree(digest) => self.trees.contains(digest),
        }
    }
}

/// An output as something that can be kept.
pub(crate) fn target_of(output: &Output) -> RootTarget {
    match output {
        Output::Object(blob) => RootTarget::Object(blob.digest),
        Output::Tree(digest) => RootTarget::Tree(*digest),
    }
}
