//! Why a lock pins a package: the way to it from what a spec asks for.

use super::error::DebianError;
use super::fetch::digest_of;
use super::relation;
use nos_formats::deb::read_control;
use nos_specs::lock::{Group, Lock};
use nos_store::{Digest, Store};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// Fields that bring other packages with them.
const FIELDS: [&str; 2] = ["Pre-Depends", "Depends"];

/// What one package says of others.
#[derive(Default)]
struct Says {
    needs: BTreeSet<String>,
    provides: BTreeSet<String>,
}

/// The shortest way to `package` in a group of a lock: the package that the spec asks for, what
/// that depends on, and so on down to `package` itself. `None` where no way is known, because
/// a package on it is no longer in the store.
///
/// # Errors
/// [`DebianError`] where the lock is damaged or the store cannot be read.
pub fn way_to(
    store: &Store,
    lock: &Lock,
    group: &Group,
    package: &str,
) -> Result<Option<Vec<String>>, DebianError> {
    let mut said: BTreeMap<&str, Says> = BTreeMap::new();
    for name in &group.packages {
        let Some(pin) = lock.packages.get(name) else {
            continue;
        };
        said.insert(
            name,
            says(store, &digest_of(name, pin)?)?.unwrap_or_default(),
        );
    }
    // By name, a package itself comes before those that provide its name.
    let named = |wanted: &str| -> Vec<&str> {
        match said.get_key_value(wanted) {
            Some((name, _)) => vec![*name],
            None => said
                .iter()
                .filter(|(_, says)| says.provides.contains(wanted))
                .map(|(name, _)| *name)
                .collect(),
        }
    };
    let mut causes: BTreeMap<&str, Option<&str>> = BTreeMap::new();
    let mut todo: VecDeque<(&str, Option<&str>)> = VecDeque::new();
    todo.extend(
        group
            .wants
            .iter()
            .flat_map(|w| named(w))
            .map(|name| (name, None)),
    );
    while let Some((name, cause)) = todo.pop_front() {
        if causes.contains_key(name) {
            continue;
        }
        causes.insert(name, cause);
        if let Some(says) = said.get(name) {
            let next = says.needs.iter().flat_map(|need| named(need));
            todo.extend(next.map(|next| (next, Some(name))));
        }
    }
    let mut way = Vec::new();
    let mut at = causes.get_key_value(package);
    while let Some((name, cause)) = at {
        way.push(name.to_string());
        at = cause.and_then(|cause| causes.get_key_value(cause));
    }
    way.reverse();
    Ok((!way.is_empty()).then_some(way))
}

/// Reads a package's control file; `None` where the store does not have the package.
fn says(store: &Store, digest: &Digest) -> Result<Option<Says>, DebianError> {
    if !store.contains(digest)? {
        return Ok(None);
    }
    let Ok(control) = read_control(&mut store.open_object(digest)?) else {
        return Ok(None);
    };
    let stanza = control.stanza();
    let names = |field: &str| -> Vec<String> {
        let relations = stanza
            .get(field)
            .and_then(|text| relation::parse(text).ok());
        let relations = relations.unwrap_or_default().into_iter().flatten();
        relations
            .map(|relation| relation.name.to_string())
            .collect()
    };
    Ok(Some(Says {
        needs: FIELDS.iter().flat_map(|field| names(field)).collect(),
        provides: names("Provides").into_iter().collect(),
    }))
}
