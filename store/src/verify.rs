//! Checking every byte of a store, and taking out what is wrong.

use crate::closure::target_of;
use crate::digest::Hasher;
use crate::error::{Result, StoreError};
use crate::listing::{self, MAX_LISTING_BYTES};
use crate::object::{object_rel, sharded};
use crate::{ActionKey, ActionResult, Digest, RootTarget, Store, session};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io::{ErrorKind, Read};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;

/// How a store is checked.
#[derive(Debug, Clone, Default)]
pub struct VerifyOptions {
    /// Remove damaged objects and the results that name them (directly or through a tree), so that
    /// building again makes them anew.
    pub repair: bool,
}

/// What a check finds.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum VerifyEvent {
    /// One more object was read.
    Checked {
        /// Its length in bytes.
        size: u64,
    },
    /// Something is wrong.
    Problem(Problem),
    /// A file was removed.
    Removed {
        /// Path below the store's folder.
        path: String,
    },
}

/// Something wrong in a store.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
#[non_exhaustive]
pub enum Problem {
    /// An object's bytes are not those its name says, or cannot be read.
    #[error("the object {digest} is damaged: {reason}")]
    Object {
        /// Its name.
        digest: Digest,
        /// What was seen.
        reason: String,
    },
    /// A result that cannot be read.
    #[error("the result {key} is damaged: {reason}")]
    Result {
        /// Its key.
        key: ActionKey,
        /// What was seen.
        reason: String,
    },
    /// A result that names something missing or damaged.
    #[error("the result {key} needs {needs}, which is missing or damaged")]
    Incomplete {
        /// The result's key.
        key: ActionKey,
        /// The first thing it needs and cannot have.
        needs: RootTarget,
    },
    /// A root that cannot be read.
    #[error("{reason}")]
    Root {
        /// The root's name.
        name: String,
        /// The whole message.
        reason: String,
    },
    /// A root that keeps something missing or damaged.
    #[error("the root {name:?} keeps {needs}, which is missing or damaged")]
    DanglingRoot {
        /// The root's name.
        name: String,
        /// The first thing it needs and cannot have.
        needs: RootTarget,
    },
    /// A file that the store did not make.
    #[error("{path} does not belong to the store")]
    Foreign {
        /// Path below the store's folder.
        path: String,
    },
}

/// What a check saw.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize)]
pub struct VerifyReport {
    /// Objects read.
    pub objects: u64,
    /// Their length together, in bytes.
    pub bytes: u64,
    /// Results read.
    pub results: u64,
    /// Roots read.
    pub roots: u64,
    /// Problems found.
    pub problems: u64,
    /// Files removed (only with [`VerifyOptions::repair`]).
    pub removed: u64,
}

struct Item {
    digest: Digest,
    size: u64,
}

impl Store {
    /// Reads every object, result and root and checks them, on all threads.
    ///
    /// Problems come in a fixed order, after all objects were read.
    ///
    /// # Errors
    /// Where the file system fails. A problem in the store is no error but an event.
    pub fn verify(
        &self,
        options: &VerifyOptions,
        event: &mut dyn FnMut(VerifyEvent),
    ) -> Result<VerifyReport> {
        let mut report = VerifyReport::default();
        let mut problems = BTreeSet::new();
        // Results and roots first: all that they name is in a list of objects made later.
        let results = self.read_results(&mut problems)?;
        let roots = self.read_roots()?;
        report.results = results.len() as u64;
        report.roots = roots.len() as u64;
        let items = self.items(&mut problems)?;
        let mut states = self.hash_items(&items, &mut report, event);
        for (digest, state) in &states {
            if let Err(reason) = state {
                problems.insert(Problem::Object {
                    digest: *digest,
                    reason: reason.clone(),
                });
            }
        }
        let damaged: Vec<_> = states
            .iter()
            .filter(|(_, state)| state.is_err())
            .map(|(digest, _)| *digest)
            .collect();
        let mut check = Completeness {
            store: self,
            states: &mut states,
            trees: HashMap::new(),
        };
        for (key, result) in &results {
            if let Some(needs) = check.first_missing(result)? {
                problems.insert(Problem::Incomplete { key: *key, needs });
            }
        }
        for (name, targets) in roots {
            match targets {
                Err(error) => {
                    let reason = error.to_string();
                    problems.insert(Problem::Root { name, reason });
                }
                Ok(targets) => {
                    for target in targets {
                        if let Some(needs) = check.target(target, &results)? {
                            let name = name.clone();
                            problems.insert(Problem::DanglingRoot { name, needs });
                        }
                    }
                }
            }
        }
        report.problems = problems.len() as u64;
        let mut bad_results = Vec::new();
        for problem in problems {
            if let Problem::Result { key, .. } | Problem::Incomplete { key, .. } = &problem {
                bad_results.push(*key);
            }
            event(VerifyEvent::Problem(problem));
        }
        if options.repair {
            report.removed = self.repair(&bad_results, damaged, event)?;
        }
        Ok(report)
    }

    fn read_results(
        &self,
        problems: &mut BTreeSet<Problem>,
    ) -> Result<BTreeMap<ActionKey, ActionResult>> {
        let mut results = BTreeMap::new();
        self.each_sharded("results", &mut |digest, rel| {
            let key = ActionKey(digest);
            let read = self
                .fs()
                .read_bounded(rel, crate::action::MAX_RESULT_BYTES)
                .and_then(|bytes| {
                    bytes
                        .map(|bytes| ActionResult::decode(&bytes, &key))
                        .transpose()
                });
            match read {
                Ok(Some(result)) => {
                    results.insert(key, result);
                }
                Ok(None) => {}
                Err(error) => {
                    let reason = error.to_string();
                    problems.insert(Problem::Result { key, reason });
                }
            }
            Ok(())
        })?;
        Ok(results)
    }

    /// All objects, the largest first, so that no thread is left with a large one at the end.
    fn items(&self, problems: &mut BTreeSet<Problem>) -> Result<Vec<Item>> {
        let mut items = Vec::new();
        for shard in self.fs().list("objects")? {
            let dir = format!("objects/{}", shard.name);
            if !shard.is_dir {
                problems.insert(Problem::Foreign { path: dir });
                continue;
            }
            for entry in self.fs().list(&dir)? {
                let rel = format!("{dir}/{}", entry.name);
                match format!("{}{}", shard.name, entry.name).parse() {
                    Ok(digest) if !entry.is_dir => {
                        if let Some(stat) = self.fs().stat(&rel)? {
                            let size = u64::try_from(stat.st_size).unwrap_or(0);
                            items.push(Item { digest, size });
                        }
                    }
                    _ => {
                        problems.insert(Problem::Foreign { path: rel });
                    }
                }
            }
        }
        items.sort_unstable_by_key(|item| (std::cmp::Reverse(item.size), item.digest));
        Ok(items)
    }

    fn hash_items(
        &self,
        items: &[Item],
        report: &mut VerifyReport,
        event: &mut dyn FnMut(VerifyEvent),
    ) -> HashMap<Digest, Result<(), String>> {
        let next = AtomicUsize::new(0);
        let mut states = HashMap::with_capacity(items.len());
        std::thread::scope(|scope| {
            let (send, receive) = mpsc::sync_channel(1024);
            for _ in 0..self.threads() {
                let (send, next) = (send.clone(), &next);
                scope.spawn(move || {
                    let mut buffer = vec![0; 256 * 1024];
                    while let Some(item) = items.get(next.fetch_add(1, Ordering::Relaxed)) {
                        let state = self.hash_object(&item.digest, &mut buffer);
                        if send.send((item.digest, item.size, state)).is_err() {
                            return;
                        }
                    }
                });
            }
            drop(send);
            for (digest, size, state) in receive {
                // `None`: collected since it was listed.
                if let Some(state) = state {
                    report.objects += 1;
                    report.bytes += size;
                    event(VerifyEvent::Checked { size });
                    states.insert(digest, state);
                }
            }
        });
        states
    }

    /// Compares an object with its name; `None` where there is no object.
    fn hash_object(&self, digest: &Digest, buffer: &mut [u8]) -> Option<Result<(), String>> {
        let mut file = match self.fs().read(&object_rel(digest)) {
            Ok(Some(file)) => file,
            Ok(None) => return None,
            Err(error) => return Some(Err(error.to_string())),
        };
        let mut hasher = Hasher::default();
        loop {
            match file.read(buffer) {
                Ok(0) => break,
                Ok(n) => hasher.update(&buffer[..n]),
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) => return Some(Err(format!("it cannot be read: {e}"))),
            }
        }
        let found = hasher.finish();
        Some(if found.digest == *digest {
            Ok(())
        } else {
            Err(format!(
                "its {} bytes have the SHA-256 {}",
                found.size, found.digest
            ))
        })
    }

    fn repair(
        &self,
        results: &[ActionKey],
        objects: Vec<Digest>,
        event: &mut dyn FnMut(VerifyEvent),
    ) -> Result<u64> {
        self.check_writable()?;
        let mut removed = 0;
        let exclusive = session::exclusive(self.fs())?;
        let paths = results.iter().map(|key| sharded("results", &key.0));
        for path in paths {
            if self.fs().remove(&path)? {
                removed += 1;
                event(VerifyEvent::Removed { path });
            }
        }
        // As in a collection: no result may come back after what it names is gone.
        if self.durable() && !objects.is_empty() {
            self.fs().sync_all()?;
        }
        let mut buffer = vec![0; 256 * 1024];
        for digest in objects {
            // Somebody may have replaced it by now.
            if !matches!(self.hash_object(&digest, &mut buffer), Some(Err(_))) {
                continue;
            }
            let path = object_rel(&digest);
            if self.fs().remove(&path)? {
                removed += 1;
                event(VerifyEvent::Removed { path });
            }
        }
        drop(exclusive);
        Ok(removed)
    }
}

/// Answers whether something has everything it names.
struct Completeness<'a> {
    store: &'a Store,
    states: &'a mut HashMap<Digest, Result<(), String>>,
    trees: HashMap<Digest, Option<RootTarget>>,
}

impl Completeness<'_> {
    fn first_missing(&mut self, result: &ActionResult) -> Result<Option<RootTarget>> {
        for output in result.outputs.values() {
            let missing = match target_of(output) {
                RootTarget::Tree(digest) => self.tree(digest)?,
                target => self.object(target.digest())?,
            };
            if missing.is_some() {
                return Ok(missing);
            }
        }
        Ok(None)
    }

    fn target(
        &mut self,
        target: RootTarget,
        results: &BTreeMap<ActionKey, ActionResult>,
    ) -> Result<Option<RootTarget>> {
        match target {
            RootTarget::Object(digest) => self.object(digest),
            RootTarget::Tree(digest) => self.tree(digest),
            RootTarget::Result(key) => match results.get(&key) {
                Some(result) => self.first_missing(result),
                None => Ok(Some(target)),
            },
        }
    }

    fn object(&mut self, digest: Digest) -> Result<Option<RootTarget>> {
        let good = match self.states.get(&digest) {
            Some(state) => state.is_ok(),
            None => self.store.exists(&digest)?,
        };
        Ok((!good).then_some(RootTarget::Object(digest)))
    }

    fn tree(&mut self, digest: Digest) -> Result<Option<RootTarget>> {
        if let Some(known) = self.trees.get(&digest) {
            return Ok(*known);
        }
        let mut missing = None;
        match self.store.read_object_bounded(&digest, MAX_LISTING_BYTES) {
            Ok(bytes) => {
                let mut blobs = Vec::new();
                let read = listing::blobs(&bytes, &mut |blob| blobs.push(blob.digest));
                if read.is_err() {
                    missing = Some(RootTarget::Tree(digest));
                }
                for blob in blobs {
                    if missing.is_none() {
                        missing = self.object(blob)?;
                    }
                }
            }
            Err(StoreError::Missing { .. } | StoreError::Damaged { .. }) => {
                missing = Some(RootTarget::Tree(digest));
            }
            Err(error) => return Err(error),
        }
        self.trees.insert(digest, missing);
        Ok(missing)
    }
}
