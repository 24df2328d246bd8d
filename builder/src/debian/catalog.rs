//! What each package needs and excludes, as sets of package versions: Debian's relationship
//! fields with virtual packages, alternatives and version restrictions already worked out.

use super::environment::ARCHITECTURE;
use super::error::DebianError;
use super::index::{Index, Record};
use super::relation::{self, Relation, RelationError};
use std::collections::BTreeMap;

/// Number of a record in the index.
pub(crate) type RecordId = u32;

/// A dependency: any of the candidates satisfies it.
#[derive(Debug, Clone)]
pub(crate) struct Need {
    /// The field's words (`libc6 (>= 2.38)`, `a | b`).
    pub(crate) text: String,
    /// Whether it stands in `Pre-Depends`, `Depends`, or in the request itself.
    pub(crate) verb: &'static str,
    /// Versions that satisfy it, best first, none twice.
    pub(crate) candidates: Vec<RecordId>,
}

/// An exclusion: none of these may be there with the package that says so.
#[derive(Debug, Clone)]
pub(crate) struct Exclusion {
    /// The field's words.
    pub(crate) text: String,
    /// `conflicts with` or `breaks`.
    pub(crate) verb: &'static str,
    /// Versions that are excluded.
    pub(crate) excluded: Vec<RecordId>,
}

/// The index, with what is already decided.
pub(crate) struct Catalog<'i> {
    pub(crate) index: &'i Index<'i>,
    /// Name → version that an earlier lock chose; taken where it satisfies.
    pub(crate) pins: &'i BTreeMap<String, String>,
    /// Name → record that another group of this lock chose; the only candidate of its name.
    pub(crate) fixed: &'i BTreeMap<String, RecordId>,
}

impl<'i> Catalog<'i> {
    pub(crate) fn record(&self, id: RecordId) -> &'i Record<'i> {
        self.index.record(id)
    }

    /// `name version`, for people.
    pub(crate) fn title(&self, id: RecordId) -> String {
        let record = self.record(id);
        format!("{} {}", record.name, record.version)
    }

    fn is_pinned(&self, id: RecordId) -> bool {
        let record = self.record(id);
        let pin = self.pins.get(record.name);
        pin.is_some_and(|version| version == record.version.as_str())
    }

    /// Whether another group's choice leaves this version possible.
    fn is_open(&self, id: RecordId) -> bool {
        let fixed = self.fixed.get(self.record(id).name);
        fixed.is_none_or(|fixed| *fixed == id)
    }

    /// Versions of one name, best first: the pinned one, then the latest.
    pub(crate) fn versions(&self, name: &str) -> Vec<RecordId> {
        let versions = self.index.versions(name).iter().copied();
        let mut versions: Vec<_> = versions.filter(|&id| self.is_open(id)).collect();
        versions.sort_by_key(|&id| !self.is_pinned(id));
        versions
    }

    /// What a requested name stands for.
    pub(crate) fn wanted(&self, name: &str) -> Need {
        let relation = Relation {
            name,
            qualifier: None,
            version: None,
        };
        Need {
            text: name.to_owned(),
            verb: "wants",
            candidates: self.candidates(&[relation]),
        }
    }

    /// What a package depends on, in the order of its fields.
    pub(crate) fn needs(&self, id: RecordId) -> Result<Vec<Need>, DebianError> {
        let record = self.record(id);
        let mut needs = Vec::new();
        for (field, text) in [
            ("Pre-Depends", record.pre_depends),
            ("Depends", record.depends),
        ] {
            let groups = relation::parse(text).map_err(|e| self.unreadable(id, field, e))?;
            for group in groups {
                let words: Vec<_> = group.iter().map(ToString::to_string).collect();
                needs.push(Need {
                    text: words.join(" | "),
                    verb: "depends on",
                    candidates: self.candidates(&group),
                });
            }
        }
        Ok(needs)
    }

    /// What a package excludes. A package never excludes versions of itself: only one is there
    /// anyway, and what it provides it may also conflict with (Policy 7.6.2).
    pub(crate) fn exclusions(&self, id: RecordId) -> Result<Vec<Exclusion>, DebianError> {
        let record = self.record(id);
        let mut exclusions = Vec::new();
        for (field, text, verb) in [
            ("Conflicts", record.conflicts, "conflicts with"),
            ("Breaks", record.breaks, "breaks"),
        ] {
            let relations =
                relation::parse_flat(text).map_err(|e| self.unreadable(id, field, e))?;
            for relation in relations {
                let mut excluded = self.matching(&relation);
                excluded.retain(|&other| self.record(other).name != record.name);
                if !excluded.is_empty() {
                    exclusions.push(Exclusion {
                        text: relation.to_string(),
                        verb,
                        excluded,
                    });
                }
            }
        }
        Ok(exclusions)
    }

    fn unreadable(&self, id: RecordId, field: &'static str, reason: RelationError) -> DebianError {
        DebianError::Relation {
            package: self.title(id),
            field,
            reason,
        }
    }

    /// Versions that satisfy any of the alternatives, best first: alternatives in their order
    /// (those that the earlier lock chose before all others), real packages before providers.
    fn candidates(&self, alternatives: &[Relation<'_>]) -> Vec<RecordId> {
        let mut found = Vec::new();
        for relation in alternatives {
            for id in self.matching(relation) {
                if !found.contains(&id) {
                    found.push(id);
                }
            }
        }
        // Stable: what was chosen stays chosen, everything else keeps its order.
        found.sort_by_key(|&id| !self.is_chosen(id));
        found
    }

    fn is_chosen(&self, id: RecordId) -> bool {
        self.is_pinned(id) || self.fixed.contains_key(self.record(id).name)
    }

    /// Versions that one relation names: real packages, then providers by priority and name.
    fn matching(&self, relation: &Relation<'_>) -> Vec<RecordId> {
        if !relation.fits_architecture(ARCHITECTURE) {
            return Vec::new();
        }
        let mut found = self.versions(relation.name);
        found.retain(|&id| relation.accepts(&self.record(id).version));
        let provides = self.index.providers(relation.name).iter();
        let mut providers: Vec<RecordId> = provides
            .filter(|(id, provided)| {
                // A version restriction is met only by a provider that says its version.
                let version_fits = match (&relation.version, provided) {
                    (None, _) => true,
                    (Some(_), Some(provided)) => relation.accepts(provided),
                    (Some(_), None) => false,
                };
                version_fits && self.is_open(*id) && !found.contains(id)
            })
            .map(|(id, _)| *id)
            .collect();
        providers.sort_by(|&a, &b| {
            let (x, y) = (self.record(a), self.record(b));
            let pinned = self.is_pinned(b).cmp(&self.is_pinned(a));
            let rank = x.priority.cmp(&y.priority).then_with(|| x.name.cmp(y.name));
            pinned.then(rank).then_with(|| y.version.cmp(&x.version))
        });
        providers.dedup();
        found.extend(providers);
        found
    }
}
