//! Bringing pinned packages into the store.

use super::archive;
use super::download::{self, Failure, Wanted};
use super::environment::Environment;
use super::error::{DebianError, TransportError};
use super::index::{MAX_PACKAGE_BYTES, is_plain_path};
use super::mirror::Mirror;
use super::progress::Event;
use super::transport::Transport;
use nos_specs::lock::{LockedPackage, SOURCE_ARCHITECTURE};
use nos_store::Digest;
use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// What a fetch would bring.
#[derive(Debug, Clone, PartialEq, Eq, Default, serde::Serialize)]
pub struct Missing {
    /// Names of pinned files that the store does not have, sorted.
    pub packages: Vec<String>,
    /// Their size together, in bytes.
    pub size_bytes: u64,
}

/// What a fetch of these packages (name → pin) would bring, without fetching anything.
///
/// # Errors
/// [`DebianError::BadLock`] for pins that are none.
pub fn missing<'p>(
    env: &Environment<'_>,
    pins: impl IntoIterator<Item = (&'p String, &'p LockedPackage)>,
) -> Result<Missing, DebianError> {
    let mut missing = Missing::default();
    for item in items(env, pins)? {
        missing.size_bytes = missing.size_bytes.saturating_add(item.pin.size);
        missing.packages.push(item.name);
    }
    Ok(missing)
}

/// Fetches packages and archives of sources (name → pin), several at once, each verified against
/// its pin before the store names it. What the store has already needs neither network nor mirror. What was
/// fetched before an error stays.
///
/// # Errors
/// [`DebianError::Gone`] for packages that the mirror dropped, [`DebianError::WrongPackage`] for
/// other bytes than pinned, [`DebianError::NoNetwork`] with everything that was still needed.
pub fn fetch<'p>(
    env: &Environment<'_>,
    pins: impl IntoIterator<Item = (&'p String, &'p LockedPackage)>,
) -> Result<(), DebianError> {
    let mut items = items(env, pins)?;
    if items.is_empty() {
        return Ok(());
    }
    // The largest first: so none of them is left to run alone at the end.
    items.sort_by(|a, b| {
        b.pin
            .size
            .cmp(&a.pin.size)
            .then_with(|| a.name.cmp(&b.name))
    });
    let mirror = mirror(env, &items)?;
    env.progress.event(Event::Wanted {
        items: items.len(),
        bytes: items.iter().map(|item| item.pin.size).sum(),
    });
    let transport = Transport::new(env.connections);
    let next = AtomicUsize::new(0);
    let stop = AtomicBool::new(false);
    let failures = Mutex::new(Vec::new());
    let work = || {
        while !stop.load(Ordering::Relaxed) {
            let at = next.fetch_add(1, Ordering::Relaxed);
            let Some(item) = items.get(at) else {
                break;
            };
            let paths = [item.pin.path.clone()];
            let wanted = Wanted {
                item: &item.title,
                paths: &paths,
                digest: item.digest,
                size: item.pin.size,
            };
            let base = mirror.base(&item.pin.suite);
            if let Err(failure) = download::fetch(env, &transport, base, &wanted) {
                // A package that is gone says nothing about the others: look at them all, so
                // that a person learns of all at once. Anything else stops.
                let gone = matches!(failure, Failure::Transport(TransportError::NotFound { .. }));
                stop.fetch_or(!gone, Ordering::Relaxed);
                lock_list(&failures).push((at, failure));
            }
        }
    };
    std::thread::scope(|scope| {
        let threads = env.connections.clamp(1, 64).min(items.len());
        for _ in 0..threads {
            scope.spawn(work);
        }
    });
    let mut failures = std::mem::take(&mut *lock_list(&failures));
    failures.sort_by_key(|(at, _)| *at);
    report(env, &items, failures)
}

/// A list stays usable when a thread that held it has panicked.
fn lock_list<T>(list: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    list.lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}

struct Item<'l> {
    name: String,
    title: String,
    pin: &'l LockedPackage,
    digest: Digest,
}

/// The packages that are not in the store, by name, none twice.
fn items<'p>(
    env: &Environment<'_>,
    pins: impl IntoIterator<Item = (&'p String, &'p LockedPackage)>,
) -> Result<Vec<Item<'p>>, DebianError> {
    let pins: BTreeMap<&String, &LockedPackage> = pins.into_iter().collect();
    let mut items = Vec::new();
    for (name, pin) in pins {
        let digest = digest_of(name, pin)?;
        if !env.store.contains(&digest)? {
            let title = match pin.architecture.as_str() {
                // The name of the file says which version it is.
                SOURCE_ARCHITECTURE => name.clone(),
                _ => format!("{name} {}", pin.version),
            };
            items.push(Item {
                name: name.clone(),
                title,
                pin,
                digest,
            });
        }
    }
    Ok(items)
}

/// The digest of a pinned package, the pin checked: a lock file is edited by people.
pub(crate) fn digest_of(name: &str, pin: &LockedPackage) -> Result<Digest, DebianError> {
    let bad = |what: &str| DebianError::BadLock {
        reason: format!("the {what} of package {name:?} cannot be used"),
    };
    if !is_plain_path(&pin.path) {
        return Err(bad("path"));
    }
    if pin.size > MAX_PACKAGE_BYTES {
        return Err(bad("size"));
    }
    pin.sha256.parse().map_err(|_| bad("sha256"))
}

fn mirror<'e>(env: &Environment<'e>, items: &[Item<'_>]) -> Result<&'e Mirror, DebianError> {
    env.mirror.clone().map_err(|reason| DebianError::NoMirror {
        reason,
        needed: still_missing(env, items),
    })
}

/// Turns what went wrong into one error, the gravest first.
fn report(
    env: &Environment<'_>,
    items: &[Item<'_>],
    failures: Vec<(usize, Failure)>,
) -> Result<(), DebianError> {
    let mirror = mirror(env, items)?;
    let mut gone = Vec::new();
    let mut gone_from = None;
    for (at, failure) in failures {
        let Some(item) = items.get(at) else { continue };
        let base = mirror.base(&item.pin.suite);
        match failure {
            Failure::Store(error) => return Err(error.into()),
            Failure::Mismatch { reason, .. } => {
                return Err(DebianError::WrongPackage {
                    package: item.title.clone(),
                    mirror: base.to_string(),
                    reason,
                });
            }
            Failure::Transport(TransportError::NotFound { .. }) => {
                gone.push(item.title.clone());
                gone_from.get_or_insert(base);
            }
            Failure::Transport(error) => {
                return Err(archive::no_network(error, base, || {
                    still_missing(env, items)
                }));
            }
        }
    }
    gone.sort();
    match gone_from {
        None => Ok(()),
        Some(base) => Err(DebianError::Gone {
            mirror: base.to_string(),
            packages: gone,
        }),
    }
}

fn still_missing(env: &Environment<'_>, items: &[Item<'_>]) -> Vec<String> {
    let missing = items
        .iter()
        .filter(|i| !env.store.contains(&i.digest).unwrap_or(false));
    let mut titles: Vec<_> = missing.map(|item| item.title.clone()).collect();
    titles.sort();
    titles
}
