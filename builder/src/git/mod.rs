//! Commits of git repositories as trees: a small client that reads and never runs anything.
//!
//! One question brings one pack with one commit ([`remote`]); the pack's objects are named by what they
//! hold ([`pack`]), and what the commit names becomes a tree ([`files`]). No history, no hooks, no
//! filters, no attributes; submodules at the commits that are pinned.
//!
//! Git's names are SHA-1, here computed so that the known attacks are noticed; the lock holds the
//! SHA-256 of what they stood for when it was made, and that decides.

mod delta;
mod error;
mod files;
mod id;
mod modules;
mod pack;
mod pktline;
mod remote;

pub use error::GitError;
pub(crate) use id::Id;

#[cfg(test)]
mod tests;

use crate::build::Session;
use crate::debian::{Retry, Transport};
use crate::error::BuildError;
use crate::events::Event;
use crate::plan::{cargo_locks, wanted_commits};
use crate::realise::Builder;
use crate::work::Work;
use files::Files;
use nos_formats::tree::{Kind, Tree, TreePath};
use nos_specs::lock::{Lock, LockedCommit};
use nos_specs::system::{Git, System};
use nos_store::{ActionResult, Blob, Digest, Output};
use pack::Limits;
use remote::Remote;
use std::collections::BTreeMap;
use std::io::Read;

/// How deep submodules may lie in each other, and how many there may be.
const MAX_DEPTH: usize = 8;
const MAX_SUBMODULES: usize = 256;

/// Largest `.gitmodules` read, in bytes.
const MAX_MODULES_BYTES: u64 = 1 << 20;

/// Fetches a commit; see [`crate::work::Work::Git`].
///
/// # Errors
/// [`BuildError::Git`], or [`BuildError::Fetch`] with what each of several addresses said.
pub(crate) fn fetch(
    builder: &Builder<'_>,
    wanted: &Git,
    pin: &LockedCommit,
) -> Result<ActionResult, BuildError> {
    let found = tree(builder, wanted)?;
    if found.to_string() != pin.tree {
        return Err(GitError::Changed {
            commit: wanted.commit.clone(),
            found: found.to_string(),
            pinned: pin.tree.clone(),
        }
        .into());
    }
    Ok(ActionResult::with_output("tree", Output::Tree(found)))
}

/// The pinned digest of a commit's files.
pub(crate) fn digest_of(wanted: &Git, pin: &LockedCommit) -> Result<Digest, BuildError> {
    pin.tree.parse().map_err(|_| BuildError::Fetch {
        name: wanted.url.clone(),
        reason: "the lock pins it by no digest; run `nos lock`".into(),
    })
}

/// Brings the files of a commit into the store and gives the digest of their tree.
pub(crate) fn tree(builder: &Builder<'_>, wanted: &Git) -> Result<Digest, BuildError> {
    if builder.options.offline {
        let reason = "it is not in the store, and --offline was asked for; leave that out once";
        return Err(BuildError::Fetch {
            name: wanted.url.clone(),
            reason: reason.into(),
        });
    }
    let id: Result<Id, ()> = wanted.commit.parse();
    let id = id.map_err(|()| BuildError::Fetch {
        name: wanted.url.clone(),
        reason: format!(
            "{:?} is not a commit; correct it in the spec",
            wanted.commit
        ),
    })?;
    let mut clone = Clone {
        builder,
        transport: Transport::new(1),
        submodules: 0,
    };
    let addresses = [&wanted.url].into_iter().chain(&wanted.mirrors);
    let mut errors = Vec::new();
    for address in addresses {
        let address = address.trim_end_matches('/');
        match clone.whole(address, id, wanted.submodules, 0) {
            Ok(tree) => return Ok(builder.store.add_tree(&tree)?),
            Err(error) => errors.push(error),
        }
    }
    Err(match errors.len() {
        1 => errors.remove(0).into(),
        _ => BuildError::Fetch {
            name: format!("commit {id}"),
            reason: errors
                .iter()
                .map(|e| e.to_string())
                .collect::<Vec<_>>()
                .join("; "),
        },
    })
}

impl Session<'_> {
    /// What the lock says of the commits that `systems` are made from, also by way of the lock files of
    /// Rust packages: what `old` says, and of those it lacks what their repositories say now. A commit
    /// never changes, so no pin is ever renewed. `lock` is the lock without them.
    ///
    /// # Errors
    /// As a build that fetches them.
    pub fn pin_commits(
        &self,
        systems: &[System],
        lock: &Lock,
        old: Option<&Lock>,
    ) -> Result<BTreeMap<String, LockedCommit>, BuildError> {
        let mut pins = BTreeMap::new();
        for wanted in wanted_commits(systems).into_values() {
            self.pin_commit(wanted, old, &mut pins)?;
        }
        let mut lock = lock.clone();
        lock.commits = pins.clone();
        for plan in cargo_locks(systems, &lock)? {
            for wanted in crate::cargo::commits_of(&self.builder(), &plan)? {
                self.pin_commit(wanted, old, &mut pins)?;
            }
        }
        Ok(pins)
    }

    /// Pins one commit where it is not yet.
    fn pin_commit(
        &self,
        wanted: Git,
        old: Option<&Lock>,
        pins: &mut BTreeMap<String, LockedCommit>,
    ) -> Result<(), BuildError> {
        let name = wanted.pin_name();
        if pins.contains_key(&name) {
            return Ok(());
        }
        let known = old.and_then(|lock| lock.commits.get(&name)).cloned();
        let pin = match known {
            Some(pin) => pin,
            None => {
                let found = tree(&self.builder(), &wanted)?;
                let pin = LockedCommit {
                    tree: found.to_string(),
                };
                // The build that follows need not fetch it again.
                let result = ActionResult::with_output("tree", Output::Tree(found));
                if let Some(key) = Work::Git(wanted, pin.clone()).key(&[])? {
                    self.store.put_result(&key, &result)?;
                }
                pin
            }
        };
        pins.insert(name, pin);
        Ok(())
    }
}

/// Fetching of one commit with its submodules.
struct Clone<'a> {
    builder: &'a Builder<'a>,
    transport: Transport,
    /// How many submodules were fetched.
    submodules: usize,
}

impl Clone<'_> {
    /// The files of a commit and of its submodules.
    fn whole(
        &mut self,
        address: &str,
        commit: Id,
        submodules: bool,
        depth: usize,
    ) -> Result<Tree<Blob>, GitError> {
        let mut files = self.alone(address, commit)?;
        let store = self.builder.store;
        for path in files::stand_ins(store, &files.tree)? {
            self.warn(&format!(
                "{path} of {address} is a stand-in for a large file (git LFS), which is not fetched"
            ));
        }
        let modules = self.addresses(&files.tree)?;
        for (path, commit) in std::mem::take(&mut files.submodules) {
            let name = String::from_utf8_lossy(path.as_bytes());
            let known = modules.get(name.as_ref()).filter(|_| submodules);
            let Some(known) = known else {
                let why = match submodules {
                    true => "names no repository",
                    false => "is left out",
                };
                self.warn(&format!(
                    "submodule {path} of {address} {why}: its folder is empty"
                ));
                continue;
            };
            let failed = |reason: String| GitError::Submodule {
                path: path.clone(),
                reason,
            };
            self.submodules += 1;
            if depth >= MAX_DEPTH || self.submodules > MAX_SUBMODULES {
                return Err(failed(format!(
                    "there are more than {MAX_SUBMODULES}, or they lie more than {MAX_DEPTH} deep"
                )));
            }
            let place = modules::resolve(address, known).map_err(failed)?;
            let below = self.whole(&place, commit, submodules, depth + 1);
            let below = below.map_err(|error| failed(error.to_string()))?;
            for (inner, node) in below.iter().filter(|(inner, _)| !inner.is_root()) {
                let mut full = path.as_bytes().to_vec();
                full.push(b'/');
                full.extend_from_slice(inner.as_bytes());
                files.tree.insert(TreePath::new(full)?, node.clone())?;
            }
        }
        Ok(files.tree)
    }

    /// The files of one commit.
    fn alone(&self, address: &str, commit: Id) -> Result<Files, GitError> {
        let builder = self.builder;
        let name = address.split_once("://").map_or(address, |(_, name)| name);
        let files = Retry::default().run(
            || self.attempt(name, address, commit),
            GitError::is_passing,
            |number, error| self.warn(&format!("{error}; attempt {number} follows")),
        )?;
        builder.observer.event(Event::Downloaded { name });
        Ok(files)
    }

    fn attempt(&self, name: &str, address: &str, commit: Id) -> Result<Files, GitError> {
        let (store, observer) = (self.builder.store, self.builder.observer);
        let mut spool = tempfile::tempfile_in(store.root()).map_err(GitError::Scratch)?;
        let remote = Remote {
            transport: &self.transport,
            address,
            progress: &|done| {
                let total = None;
                observer.event(Event::Download { name, done, total });
            },
        };
        remote.pack(commit, &mut spool)?;
        let mut keep = |content: &mut dyn Read| store.add_reader(content);
        let limits = Limits::default();
        let objects = pack::read(spool, &limits, &mut keep)?;
        if !objects.contains_key(&commit) {
            return Err(GitError::NoCommit {
                address: address.into(),
                commit,
            });
        }
        files::of_commit(store, &objects, commit, &limits)
    }

    /// What `.gitmodules` says; nothing where it is missing or no file.
    fn addresses(&self, tree: &Tree<Blob>) -> Result<BTreeMap<String, String>, GitError> {
        let node = tree.get(&TreePath::new(".gitmodules")?);
        let Some(Kind::File(blob)) = node.map(|node| &node.kind) else {
            return Ok(BTreeMap::new());
        };
        if blob.size > MAX_MODULES_BYTES {
            return Err(GitError::TooLarge {
                what: ".gitmodules",
                limit: format!("{} MiB", MAX_MODULES_BYTES >> 20),
            });
        }
        let bytes = self.builder.store.read_object(&blob.digest)?;
        Ok(modules::addresses(&String::from_utf8_lossy(&bytes)))
    }

    fn warn(&self, text: &str) {
        self.builder.observer.event(Event::Warning(text));
    }
}
