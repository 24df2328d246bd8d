//! Choosing package versions for one group, with a SAT solver.
//!
//! Every set of versions that a relationship field names is worked out beforehand by
//! [`Catalog`], so the solver sees real packages only: a dependency on a virtual package is one
//! on any of its providers.

use super::catalog::{Catalog, Need, RecordId};
use super::error::DebianError;
use super::explain;
use resolvo::{
    Candidates, Condition, ConditionId, ConditionalRequirement, Dependencies, DependencyProvider,
    HintDependenciesAvailable, Interner, KnownDependencies, NameId, Problem, Requirement,
    SolvableId, Solver, SolverCache, StringId, UnsolvableOrCancelled, VersionSetId,
    VersionSetUnionId,
};
use std::cell::RefCell;
use std::collections::{BTreeSet, HashMap};
use std::fmt::Display;

/// Resolves what a group wants; gives the records of its closure, ordered by name.
///
/// # Errors
/// [`DebianError::Conflict`] with the chain of causes.
pub(crate) fn solve(
    catalog: &Catalog<'_>,
    group: &str,
    wants: &[Need],
) -> Result<Vec<RecordId>, DebianError> {
    let provider = Provider {
        catalog,
        known: RefCell::default(),
        failure: RefCell::default(),
    };
    let requirements = wants
        .iter()
        .map(|need| provider.requirement(need))
        .collect();
    let mut solver = Solver::new(provider);
    let solved = solver.solve(Problem::new().requirements(requirements));
    if let Some(error) = solver.provider().failure.take() {
        return Err(error);
    }
    match solved {
        Ok(chosen) => {
            let chosen: BTreeSet<RecordId> = chosen.into_iter().map(SolvableId::into_raw).collect();
            closure(catalog, wants, &chosen)
        }
        Err(UnsolvableOrCancelled::Unsolvable(_) | UnsolvableOrCancelled::Cancelled(_)) => {
            Err(DebianError::Conflict {
                group: group.to_owned(),
                chain: explain::explain(catalog, group, wants)?,
            })
        }
    }
}

/// The part of a solution that something needs: what the solver tried on its way and nothing
/// asks for is left out.
fn closure(
    catalog: &Catalog<'_>,
    wants: &[Need],
    chosen: &BTreeSet<RecordId>,
) -> Result<Vec<RecordId>, DebianError> {
    let first = |need: &Need| {
        let mut candidates = need.candidates.iter().copied();
        candidates.find(|id| chosen.contains(id))
    };
    let mut reached: BTreeSet<RecordId> = BTreeSet::new();
    let mut open: Vec<RecordId> = wants.iter().filter_map(first).collect();
    while let Some(id) = open.pop() {
        if reached.insert(id) {
            let needs = catalog.needs(id)?;
            // What an already reached package satisfies needs no second one.
            let unmet = needs
                .iter()
                .filter(|n| !n.candidates.iter().any(|c| reached.contains(c)));
            open.extend(unmet.filter_map(first));
        }
    }
    let mut reached: Vec<_> = reached.into_iter().collect();
    reached.sort_by_key(|&id| catalog.record(id).name);
    Ok(reached)
}

/// A set of versions of one name.
struct VersionSet {
    name: NameId,
    allowed: Vec<RecordId>,
}

/// What the solver was given numbers for.
#[derive(Default)]
struct Known<'i> {
    names: Vec<&'i str>,
    name_numbers: HashMap<&'i str, u32>,
    sets: Vec<VersionSet>,
    set_numbers: HashMap<(NameId, Vec<RecordId>), VersionSetId>,
    unions: Vec<Vec<VersionSetId>>,
    union_numbers: HashMap<Vec<VersionSetId>, VersionSetUnionId>,
}

/// A number that fits: the index has fewer than 2³² of anything.
fn number(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}

impl<'i> Known<'i> {
    fn name(&mut self, name: &'i str) -> NameId {
        let next = number(self.names.len());
        let id = *self.name_numbers.entry(name).or_insert(next);
        if id == next {
            self.names.push(name);
        }
        NameId::from_raw(id)
    }

    fn set(&mut self, name: NameId, allowed: Vec<RecordId>) -> VersionSetId {
        let next = VersionSetId(number(self.sets.len()));
        let id = *self
            .set_numbers
            .entry((name, allowed.clone()))
            .or_insert(next);
        if id == next {
            self.sets.push(VersionSet { name, allowed });
        }
        id
    }

    fn union(&mut self, sets: Vec<VersionSetId>) -> VersionSetUnionId {
        let next = VersionSetUnionId(number(self.unions.len()));
        let id = *self.union_numbers.entry(sets.clone()).or_insert(next);
        if id == next {
            self.unions.push(sets);
        }
        id
    }
}

struct Provider<'c, 'i> {
    catalog: &'c Catalog<'i>,
    known: RefCell<Known<'i>>,
    /// The first dependency field that could not be read.
    failure: RefCell<Option<DebianError>>,
}

impl<'i> Provider<'_, 'i> {
    /// A need as the solver's requirement: one set for each run of candidates of one name.
    fn requirement(&self, need: &Need) -> ConditionalRequirement {
        let mut known = self.known.borrow_mut();
        let mut sets = Vec::new();
        let of_name = |a: &RecordId, b: &RecordId| {
            self.catalog.record(*a).name == self.catalog.record(*b).name
        };
        for run in need.candidates.chunk_by(of_name) {
            let name = known.name(self.catalog.record(run[0]).name);
            sets.push(known.set(name, run.to_vec()));
        }
        let requirement: Requirement = match sets.as_slice() {
            [one] => (*one).into(),
            _ => known.union(sets).into(),
        };
        requirement.into()
    }

    /// The versions that stay possible beside a package, for each name that it excludes some of.
    fn constraints(&self, id: RecordId) -> Result<Vec<VersionSetId>, DebianError> {
        let mut known = self.known.borrow_mut();
        let mut sets = Vec::new();
        for exclusion in self.catalog.exclusions(id)? {
            let mut names: Vec<&'i str> = Vec::new();
            for &other in &exclusion.excluded {
                let name = self.catalog.record(other).name;
                if !names.contains(&name) {
                    names.push(name);
                }
            }
            for name in names {
                let mut allowed = self.catalog.versions(name);
                allowed.retain(|other| !exclusion.excluded.contains(other));
                let name = known.name(name);
                sets.push(known.set(name, allowed));
            }
        }
        Ok(sets)
    }

    fn dependencies(&self, id: RecordId) -> Result<KnownDependencies, DebianError> {
        let needs = self.catalog.needs(id)?;
        Ok(KnownDependencies {
            requirements: needs.iter().map(|need| self.requirement(need)).collect(),
            constrains: self.constraints(id)?,
        })
    }
}

impl Interner for Provider<'_, '_> {
    type NameId = NameId;
    type SolvableId = SolvableId;

    fn display_solvable(&self, solvable: SolvableId) -> impl Display + '_ {
        self.catalog.title(solvable.into_raw())
    }

    fn display_name(&self, name: NameId) -> impl Display + '_ {
        self.known.borrow().names[name.into_raw() as usize]
    }

    fn display_version_set(&self, version_set: VersionSetId) -> impl Display + '_ {
        let known = self.known.borrow();
        let allowed = &known.sets[version_set.0 as usize].allowed;
        let titles: Vec<_> = allowed.iter().map(|id| self.catalog.title(*id)).collect();
        titles.join(" | ")
    }

    fn display_string(&self, _: StringId) -> impl Display + '_ {
        "its dependencies cannot be read"
    }

    fn version_set_name(&self, version_set: VersionSetId) -> NameId {
        self.known.borrow().sets[version_set.0 as usize].name
    }

    fn solvable_name(&self, solvable: SolvableId) -> NameId {
        let name = self.catalog.record(solvable.into_raw()).name;
        self.known.borrow_mut().name(name)
    }

    fn version_sets_in_union(
        &self,
        union: VersionSetUnionId,
    ) -> impl Iterator<Item = VersionSetId> {
        let sets = self.known.borrow().unions[union.0 as usize].clone();
        sets.into_iter()
    }

    fn resolve_condition(&self, _: ConditionId) -> Condition {
        // No requirement is ever given a condition.
        Condition::Requirement(VersionSetId(0))
    }
}

impl DependencyProvider for Provider<'_, '_> {
    async fn filter_candidates(
        &self,
        candidates: &[SolvableId],
        version_set: VersionSetId,
        inverse: bool,
    ) -> Vec<SolvableId> {
        let known = self.known.borrow();
        let allowed = &known.sets[version_set.0 as usize].allowed;
        let fits = |id: &&SolvableId| allowed.contains(&id.into_raw()) != inverse;
        candidates.iter().filter(fits).copied().collect()
    }

    async fn get_candidates(&self, name: NameId) -> Option<Candidates> {
        let name = self.known.borrow().names[name.into_raw() as usize];
        let versions = self.catalog.versions(name).into_iter();
        Some(Candidates {
            candidates: versions.map(SolvableId::from_raw).collect(),
            hint_dependencies_available: HintDependenciesAvailable::None,
            ..Candidates::default()
        })
    }

    async fn sort_candidates(&self, _: &SolverCache<Self>, solvables: &mut [SolvableId]) {
        let Some(first) = solvables.first() else {
            return;
        };
        let name = self.catalog.record(first.into_raw()).name;
        let order = self.catalog.versions(name);
        solvables.sort_by_key(|id| order.iter().position(|other| *other == id.into_raw()));
    }

    async fn get_dependencies(&self, solvable: SolvableId) -> Dependencies {
        match self.dependencies(solvable.into_raw()) {
            Ok(known) => Dependencies::Known(known),
            Err(error) => {
                self.failure.borrow_mut().get_or_insert(error);
                Dependencies::Unknown(StringId(0))
            }
        }
    }

    fn should_cancel_with_value(&self) -> Option<Box<dyn std::any::Any>> {
        let failed = self.failure.borrow().is_some();
        failed.then(|| Box::new(()) as Box<dyn std::any::Any>)
    }
}
