//! From names of packages to pins: `nos lock` and `nos update`.

use super::archive::{self, Suite};
use super::catalog::{Catalog, Need, RecordId};
use super::environment::{ARCHITECTURE, Environment};
use super::error::{DebianError, UnknownPackage};
use super::index::{Index, Record};
use super::{solve, sources, suggest};
use nos_specs::lock::{Group, LOCK_VERSION, Lock, LockedPackage, LockedSource};
use std::collections::{BTreeMap, BTreeSet};

/// What a spec asks of Debian.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Request {
    /// Release code name (`trixie`).
    pub suite: String,
    /// Group → names of packages, real or virtual. Each group is resolved by itself; a package
    /// has one version across all of them.
    pub groups: BTreeMap<String, Vec<String>>,
    /// Names of the packages whose sources are wanted.
    pub sources: BTreeSet<String>,
}

/// What happens to the pins of an earlier lock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mode {
    /// Keep all that still satisfy; where nothing changed, nothing is fetched.
    Keep,
    /// Take the latest of everything.
    UpdateAll,
    /// Take the latest of these packages and keep the others where that is possible.
    Update(BTreeSet<String>),
}

impl Mode {
    /// Whether the pin of a package stays.
    fn keeps(&self, name: &str) -> bool {
        match self {
            Mode::Keep => true,
            Mode::UpdateAll => false,
            Mode::Update(names) => !names.contains(name),
        }
    }
}

/// How a lock differs from the one before it. The source of a package is called `source NAME`.
#[derive(Debug, Clone, PartialEq, Eq, Default, serde::Serialize)]
pub struct Changes {
    /// Name → version.
    pub added: BTreeMap<String, String>,
    /// Name → version.
    pub removed: BTreeMap<String, String>,
    /// Name → version before and after.
    pub moved: BTreeMap<String, (String, String)>,
}

impl Changes {
    /// Compares two locks' pins.
    pub fn between(old: Option<&Lock>, new: &Lock) -> Self {
        let mut before = old.map(versions).unwrap_or_default();
        let mut changes = Self::default();
        for (name, version) in versions(new) {
            match before.remove(&name) {
                None => drop(changes.added.insert(name, version)),
                Some(old) if old != version => drop(changes.moved.insert(name, (old, version))),
                Some(_) => {}
            }
        }
        changes.removed = before;
        changes
    }

    /// Whether the pins are the same.
    pub fn is_empty(&self) -> bool {
        self.added.is_empty() && self.removed.is_empty() && self.moved.is_empty()
    }
}

/// The version of everything that a lock pins.
fn versions(lock: &Lock) -> BTreeMap<String, String> {
    let packages = lock.packages.iter();
    let packages = packages.map(|(name, package)| (name.clone(), package.version.clone()));
    let sources = lock.sources.iter();
    packages
        .chain(sources.map(|(name, source)| (format!("source {name}"), source.version.clone())))
        .collect()
}

/// Whether a lock answers a request as it stands, with nothing to resolve and nothing to drop.
pub fn is_current(lock: &Lock, request: &Request) -> bool {
    narrowed(lock, request).as_ref() == Some(lock)
}

/// The part of a lock that answers a request, where it answers all of it: groups that are no
/// longer asked for are left out.
fn narrowed(lock: &Lock, request: &Request) -> Option<Lock> {
    if lock.version != LOCK_VERSION || !lock.suites.contains_key(&request.suite) {
        return None;
    }
    let mut narrowed = Lock {
        groups: BTreeMap::new(),
        packages: BTreeMap::new(),
        sources: BTreeMap::new(),
        ..lock.clone()
    };
    for (name, wants) in &request.groups {
        let group = kept(lock, name, wants)?;
        let pins = group.packages.iter();
        let pins = pins.filter_map(|p| Some((p.clone(), lock.packages.get(p)?.clone())));
        narrowed.packages.extend(pins);
        narrowed.groups.insert(name.clone(), group.clone());
    }
    for name in &request.sources {
        let source = lock.sources.get(name)?;
        narrowed.sources.insert(name.clone(), source.clone());
    }
    Some(narrowed)
}

/// A group of the lock that wants the same as before and whose pins are all there.
fn kept<'l>(lock: &'l Lock, name: &str, wants: &[String]) -> Option<&'l Group> {
    let group = lock.groups.get(name)?;
    let wants: BTreeSet<_> = wants.iter().collect();
    let same = group.wants.iter().collect::<BTreeSet<_>>() == wants;
    let pinned = group.packages.iter().all(|p| lock.packages.contains_key(p));
    (same && pinned).then_some(group)
}

/// Resolves a request into a lock.
///
/// # Errors
/// [`DebianError`]: an unknown package with the nearest names, a conflict as the chain that
/// causes it, an index that must not be believed, no network when one was needed.
pub fn lock(
    env: &Environment<'_>,
    request: &Request,
    old: Option<&Lock>,
    mode: &Mode,
) -> Result<(Lock, Changes), DebianError> {
    if let Some(lock) = old.filter(|lock| lock.version > LOCK_VERSION) {
        let reason = format!("it has version {}, newer than this program's", lock.version);
        return Err(DebianError::BadLock { reason });
    }
    // Pins of another release say nothing about this one.
    let usable = old.filter(|lock| lock.suites.contains_key(&request.suite));
    if let Mode::Update(names) = mode {
        check_locked(usable, names)?;
    }
    if let (Some(lock), Mode::Keep) = (usable, mode)
        && let Some(same) = narrowed(lock, request)
    {
        let changes = Changes::between(old, &same);
        return Ok((same, changes));
    }
    let kept = kept_sources(request, usable, mode);
    let wanted = request.sources.iter().map(String::as_str);
    let wanted: BTreeSet<&str> = wanted.filter(|name| !kept.contains_key(*name)).collect();
    let suites = archive::load(env, &request.suite, usable, !wanted.is_empty())?;
    let index = index_of(&suites)?;
    let resolver = Resolver {
        request,
        index: &index,
        old: usable,
        pins: pins(usable, mode),
    };
    resolver.check_names(*mode == Mode::Keep)?;
    let resolved = resolver.resolve(*mode == Mode::Keep)?;
    let mut sources = sources::newest(&request.suite, &suites, &wanted)?;
    sources.extend(kept);
    let mut new = Lock {
        version: LOCK_VERSION,
        suites: BTreeMap::new(),
        groups: resolved.groups,
        packages: resolved.kept,
        sources,
        commits: BTreeMap::new(),
    };
    for (name, id) in resolved.chosen {
        new.packages.insert(name, pin(index.record(id), &suites));
    }
    for suite in &suites {
        new.suites.insert(suite.name.clone(), suite.pin.clone());
    }
    let changes = Changes::between(old, &new);
    Ok((new, changes))
}

fn check_locked(lock: Option<&Lock>, names: &BTreeSet<String>) -> Result<(), DebianError> {
    let none = Lock::default();
    let lock = lock.unwrap_or(&none);
    let known: BTreeSet<&String> = lock.packages.keys().chain(lock.sources.keys()).collect();
    match names.iter().find(|name| !known.contains(name)) {
        None => Ok(()),
        Some(name) => Err(DebianError::NotLocked {
            name: name.clone(),
            nearest: suggest::nearest(name, known.iter().map(|name| name.as_str())),
        }),
    }
}

fn index_of(suites: &[Suite]) -> Result<Index<'_>, DebianError> {
    let mut index = Index::default();
    for (number, suite) in suites.iter().enumerate() {
        let added = index.add(number, ARCHITECTURE, &suite.packages);
        added.map_err(|reason| DebianError::Index {
            suite: suite.name.clone(),
            reason,
        })?;
    }
    Ok(index)
}

/// The versions to prefer.
fn pins(old: Option<&Lock>, mode: &Mode) -> BTreeMap<String, String> {
    let all = old.into_iter().flat_map(|lock| &lock.packages);
    all.filter(|(name, _)| mode.keeps(name))
        .map(|(name, package)| (name.clone(), package.version.clone()))
        .collect()
}

/// The pins of sources that stay.
fn kept_sources(
    request: &Request,
    old: Option<&Lock>,
    mode: &Mode,
) -> BTreeMap<String, LockedSource> {
    let wanted = request.sources.iter().filter(|name| mode.keeps(name));
    wanted
        .filter_map(|name| Some((name.clone(), old?.sources.get(name)?.clone())))
        .collect()
}

fn pin(record: &Record<'_>, suites: &[Suite]) -> LockedPackage {
    let suite = suites.get(record.suite);
    LockedPackage {
        version: record.version.to_string(),
        architecture: record.architecture.to_owned(),
        suite: suite.map(|s| s.name.clone()).unwrap_or_default(),
        path: record.path.to_owned(),
        size: record.size,
        sha256: record.sha256.to_ascii_lowercase(),
    }
}

struct Resolver<'a> {
    request: &'a Request,
    index: &'a Index<'a>,
    old: Option<&'a Lock>,
    pins: BTreeMap<String, String>,
}

struct Resolved {
    groups: BTreeMap<String, Group>,
    /// Pins taken over from the old lock, for groups that were not resolved anew.
    kept: BTreeMap<String, LockedPackage>,
    chosen: BTreeMap<String, RecordId>,
}

impl Resolver<'_> {
    /// All names that nothing has or provides are reported at once. With `keep`, groups that the
    /// old lock answers are not looked at.
    fn check_names(&self, keep: bool) -> Result<(), DebianError> {
        let (pins, fixed) = (BTreeMap::new(), BTreeMap::new());
        let catalog = Catalog {
            index: self.index,
            pins: &pins,
            fixed: &fixed,
        };
        let old = self.old.filter(|_| keep);
        let mut unknown = Vec::new();
        for (group, wants) in &self.request.groups {
            if old.is_some_and(|lock| kept(lock, group, wants).is_some()) {
                continue;
            }
            for name in wants.iter().collect::<BTreeSet<_>>() {
                if catalog.wanted(name).candidates.is_empty() {
                    unknown.push(UnknownPackage {
                        group: group.clone(),
                        name: name.clone(),
                        suite: self.request.suite.clone(),
                        nearest: suggest::nearest(name, self.index.names()),
                    });
                }
            }
        }
        match unknown.is_empty() {
            true => Ok(()),
            false => Err(DebianError::UnknownPackages(unknown)),
        }
    }

    /// Resolves all groups; with `keep`, those that ask for what they asked before keep their
    /// old answer, as long as no other group needs another version of the same package.
    fn resolve(&self, keep: bool) -> Result<Resolved, DebianError> {
        let mut stale: BTreeSet<&str> = BTreeSet::new();
        loop {
            let mut resolved = Resolved {
                groups: BTreeMap::new(),
                kept: BTreeMap::new(),
                chosen: BTreeMap::new(),
            };
            for (name, wants) in &self.request.groups {
                let old = self.old.filter(|_| keep && !stale.contains(name.as_str()));
                if let Some(lock) = old
                    && let Some(group) = kept(lock, name, wants)
                {
                    let pins = group.packages.iter();
                    let pins =
                        pins.filter_map(|p| Some((p.clone(), lock.packages.get(p)?.clone())));
                    resolved.kept.extend(pins);
                    resolved.groups.insert(name.clone(), group.clone());
                }
            }
            // Versions that kept groups have and the archive still offers bind the others.
            for (name, package) in &resolved.kept {
                let mut versions = self.index.versions(name).iter().copied();
                let same =
                    |id: &RecordId| self.index.record(*id).version.as_str() == package.version;
                if let Some(id) = versions.find(same) {
                    resolved.chosen.insert(name.clone(), id);
                }
            }
            for (name, wants) in &self.request.groups {
                if !resolved.groups.contains_key(name) {
                    let group = self.group(name, wants, &mut resolved.chosen)?;
                    resolved.groups.insert(name.clone(), group);
                }
            }
            let before = stale.len();
            stale.extend(self.outdated(&resolved));
            if stale.len() == before {
                resolved
                    .chosen
                    .retain(|name, _| !resolved.kept.contains_key(name));
                return Ok(resolved);
            }
        }
    }

    /// Kept groups with a package that another group now has in another version.
    fn outdated<'r>(&'r self, resolved: &Resolved) -> Vec<&'r str> {
        let differs = |name: &String| {
            let pin = resolved.kept.get(name);
            let chosen = resolved.chosen.get(name);
            let versions = pin.zip(chosen);
            versions.is_some_and(|(pin, id)| self.index.record(*id).version.as_str() != pin.version)
        };
        let groups = self.request.groups.keys();
        let outdated = groups.filter(|name| {
            let group = resolved.groups.get(*name);
            group.is_some_and(|group| group.packages.iter().any(differs))
        });
        outdated.map(String::as_str).collect()
    }

    fn group(
        &self,
        name: &str,
        wants: &[String],
        chosen: &mut BTreeMap<String, RecordId>,
    ) -> Result<Group, DebianError> {
        let sorted: BTreeSet<&String> = wants.iter().collect();
        let wants: Vec<String> = sorted.into_iter().cloned().collect();
        let catalog = Catalog {
            index: self.index,
            pins: &self.pins,
            fixed: chosen,
        };
        let needs: Vec<Need> = wants.iter().map(|want| catalog.wanted(want)).collect();
        let closure = solve::solve(&catalog, name, &needs)?;
        let mut packages = Vec::new();
        for id in closure {
            let name = self.index.record(id).name.to_owned();
            packages.push(name.clone());
            chosen.insert(name, id);
        }
        Ok(Group { wants, packages })
    }
}
