//! Diagnostics: what is told about which file, and what of that is new.

use super::shape::Shapes;
use super::workspace::{Cache, Snapshot};
use lsp_types::{Diagnostic, PublishDiagnosticsParams, Uri};
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

/// What was told so far.
#[derive(Default)]
pub(super) struct Reports {
    /// What each spec says about its files.
    specs: BTreeMap<PathBuf, BTreeMap<PathBuf, Vec<Diagnostic>>>,
    /// What the client knows.
    told: BTreeMap<PathBuf, (Uri, Vec<Diagnostic>)>,
}

impl Reports {
    /// Checks the specs that have one of the `changed` files (or all where it is `None`) and gives
    /// what the client does not know yet.
    pub(super) fn round(
        &mut self,
        snapshot: &Snapshot,
        changed: Option<&BTreeSet<PathBuf>>,
        cache: &Mutex<Cache>,
    ) -> Vec<PublishDiagnosticsParams> {
        let lock = || cache.lock().unwrap_or_else(PoisonError::into_inner);
        let mut roots = BTreeSet::new();
        let mut stale = BTreeSet::new();
        for path in snapshot.open.keys() {
            if snapshot.is_library(path) {
                continue;
            }
            let found = lock().roots(snapshot, path);
            if changed.is_none_or(|changed| changed.contains(path)) {
                stale.extend(found.iter().cloned());
            }
            roots.extend(found);
        }
        self.specs.retain(|root, _| roots.contains(root));
        for root in roots {
            if stale.contains(&root) || !self.specs.contains_key(&root) {
                let project = lock().project(snapshot, &root);
                let Ok(project) = project else {
                    self.specs.remove(&root);
                    continue;
                };
                let mut shapes = Shapes::new(snapshot, &project);
                let mut files: BTreeMap<PathBuf, Vec<Diagnostic>> = BTreeMap::new();
                for (path, _) in project.files() {
                    files.insert(path.clone(), Vec::new());
                }
                for found in project.diagnostics() {
                    if let Some(path) = project.path(found.span().file) {
                        let shaped = shapes.diagnostic(found);
                        files.entry(path).or_default().push(shaped);
                    }
                }
                self.specs.insert(root, files);
            }
        }
        self.news(snapshot, changed)
    }

    fn news(
        &mut self,
        snapshot: &Snapshot,
        changed: Option<&BTreeSet<PathBuf>>,
    ) -> Vec<PublishDiagnosticsParams> {
        let mut now: BTreeMap<&PathBuf, Vec<&Diagnostic>> = BTreeMap::new();
        for (path, found) in self.specs.values().flatten() {
            let all = now.entry(path).or_default();
            for diagnostic in found {
                // Specs that share a file say the same about it, each with its own way to it.
                if !all.iter().any(|known| same(known, diagnostic)) {
                    all.push(diagnostic);
                }
            }
        }
        let mut news = Vec::new();
        let mut told = BTreeMap::new();
        for (path, found) in now {
            let Some(uri) = snapshot.uri(path) else {
                continue;
            };
            let found: Vec<Diagnostic> = found.into_iter().cloned().collect();
            let open = snapshot.open.get(path);
            let is_news = match self.told.remove(path) {
                Some((known, before)) => known != uri || before != found,
                // Of what is neither open nor wrong nothing needs to be said.
                None => open.is_some() || !found.is_empty(),
            };
            // Where a text changed, the client may have moved what it was told.
            let moved = open.is_some() && changed.is_some_and(|changed| changed.contains(path));
            if is_news || moved {
                news.push(PublishDiagnosticsParams {
                    uri: uri.clone(),
                    diagnostics: found.clone(),
                    version: open.map(|document| document.version),
                });
            }
            told.insert(path.clone(), (uri, found));
        }
        for (_, (uri, before)) in std::mem::replace(&mut self.told, told) {
            if !before.is_empty() {
                news.push(PublishDiagnosticsParams {
                    uri,
                    diagnostics: Vec::new(),
                    version: None,
                });
            }
        }
        news
    }
}

/// Whether two diagnostics tell of one mistake.
fn same(a: &Diagnostic, b: &Diagnostic) -> bool {
    let first_line = |message: &str| message.lines().next().map(str::to_owned);
    (a.range, &a.code) == (b.range, &b.code) && first_line(&a.message) == first_line(&b.message)
}
