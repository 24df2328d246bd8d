//! Why a group cannot be resolved, in a person's words.
//!
//! The solver has already found that there is no solution. This walks the same needs the way a
//! person would: take what can only be taken, note what it excludes, and stop at the first need
//! that nothing is left for. Where there is a choice it takes the preferred candidate, so the
//! walk must end in a contradiction.

use super::catalog::{Catalog, Need, RecordId};
use super::error::DebianError;
use std::collections::{BTreeMap, VecDeque};

/// Candidates whose failure is explained, before the rest is only counted.
const MAX_CANDIDATES: usize = 3;

/// Who needs something: the group, or a package.
type Needer = Option<RecordId>;

struct Walk<'c, 'i> {
    catalog: &'c Catalog<'i>,
    group: &'c str,
    /// Name → chosen record and the need that chose it.
    chosen: BTreeMap<&'i str, (RecordId, Needer, String)>,
    /// Record → who excludes it, and the sentence that says so.
    banned: BTreeMap<RecordId, (RecordId, String)>,
    open: VecDeque<(Needer, Need)>,
}

/// The chain of causes, one sentence each.
pub(crate) fn explain(
    catalog: &Catalog<'_>,
    group: &str,
    wants: &[Need],
) -> Result<Vec<String>, DebianError> {
    let mut walk = Walk {
        catalog,
        group,
        chosen: BTreeMap::new(),
        banned: BTreeMap::new(),
        open: wants.iter().map(|need| (None, need.clone())).collect(),
    };
    loop {
        let mut undecided = VecDeque::new();
        let mut moved = false;
        while let Some((needer, need)) = walk.open.pop_front() {
            let viable = walk.viable(&need);
            match viable.as_slice() {
                _ if walk.is_met(&need) => {}
                [] => return Ok(walk.dead_end(needer, &need)),
                [only] => {
                    moved = true;
                    if let Some(chain) = walk.choose(*only, needer, &need)? {
                        return Ok(chain);
                    }
                }
                _ => undecided.push_back((needer, need)),
            }
        }
        walk.open = undecided;
        if moved {
            continue;
        }
        let Some((needer, need)) = walk.open.pop_front() else {
            // Not reached while the solver is right; then the request itself is all there is.
            let wants = wants
                .iter()
                .map(|need| format!("{group} wants {}", need.text));
            return Ok(wants.collect());
        };
        if let Some(&preferred) = walk.viable(&need).first()
            && let Some(chain) = walk.choose(preferred, needer, &need)?
        {
            return Ok(chain);
        }
    }
}

impl<'i> Walk<'_, 'i> {
    fn chosen_id(&self, name: &str) -> Option<RecordId> {
        self.chosen.get(name).map(|(id, _, _)| *id)
    }

    fn is_met(&self, need: &Need) -> bool {
        let chosen = |id: &RecordId| self.chosen_id(self.catalog.record(*id).name) == Some(*id);
        need.candidates.iter().any(chosen)
    }

    fn viable(&self, need: &Need) -> Vec<RecordId> {
        let viable = |id: &RecordId| {
            let chosen = self.chosen_id(self.catalog.record(*id).name);
            !self.banned.contains_key(id) && chosen.is_none_or(|chosen| chosen == *id)
        };
        need.candidates.iter().copied().filter(viable).collect()
    }

    /// Takes a package; gives the chain where what it excludes is already taken.
    fn choose(
        &mut self,
        id: RecordId,
        needer: Needer,
        need: &Need,
    ) -> Result<Option<Vec<String>>, DebianError> {
        let name = self.catalog.record(id).name;
        let sentence = self.sentence(needer, need);
        self.chosen.insert(name, (id, needer, sentence));
        for exclusion in self.catalog.exclusions(id)? {
            let (verb, text) = (exclusion.verb, &exclusion.text);
            let sentence = format!("{} {verb} {text}", self.catalog.title(id));
            for other in exclusion.excluded {
                if self.chosen_id(self.catalog.record(other).name) == Some(other) {
                    let mut chain = self.path_to(id);
                    let title = self.catalog.title(other);
                    chain.push(self.with_provider(sentence, text, other, &title));
                    extend(&mut chain, self.path_to(other));
                    return Ok(Some(chain));
                }
                let ban =
                    self.with_provider(sentence.clone(), text, other, &self.catalog.title(other));
                self.banned.entry(other).or_insert((id, ban));
            }
        }
        let needs = self.catalog.needs(id)?;
        self.open
            .extend(needs.into_iter().map(|need| (Some(id), need)));
        Ok(None)
    }

    /// Adds who is meant, where a sentence names a virtual package.
    fn with_provider(&self, sentence: String, text: &str, id: RecordId, title: &str) -> String {
        let name = self.catalog.record(id).name;
        let named = text.split([' ', ':']).next() == Some(name);
        if named {
            sentence
        } else {
            format!("{sentence}, which {title} provides")
        }
    }

    fn sentence(&self, needer: Needer, need: &Need) -> String {
        match needer {
            None => format!("{} {} {}", self.group, need.verb, need.text),
            Some(id) => format!("{} {} {}", self.catalog.title(id), need.verb, need.text),
        }
    }

    /// How a chosen package came to be needed, from the request on.
    fn path_to(&self, id: RecordId) -> Vec<String> {
        let mut path = Vec::new();
        let mut at = Some(id);
        while let Some(id) = at {
            let Some((_, needer, sentence)) = self.chosen.get(self.catalog.record(id).name) else {
                break;
            };
            // Each package was chosen by one that was chosen before it: this ends.
            path.push(sentence.clone());
            at = *needer;
        }
        path.reverse();
        path
    }

    /// Nothing is left for this need: says why for each candidate.
    fn dead_end(&self, needer: Needer, need: &Need) -> Vec<String> {
        let mut chain = needer.map(|id| self.path_to(id)).unwrap_or_default();
        let sentence = self.sentence(needer, need);
        if need.candidates.is_empty() {
            extend(
                &mut chain,
                vec![format!("{sentence}, {}", self.why_none(need))],
            );
            return chain;
        }
        extend(&mut chain, vec![sentence]);
        for &id in need.candidates.iter().take(MAX_CANDIDATES) {
            if let Some((by, sentence)) = self.banned.get(&id) {
                extend(&mut chain, self.path_to(*by));
                extend(&mut chain, vec![sentence.clone()]);
            } else if let Some(other) = self.chosen_id(self.catalog.record(id).name) {
                extend(&mut chain, self.path_to(other));
                let (this, other) = (self.catalog.title(id), self.catalog.title(other));
                extend(
                    &mut chain,
                    vec![format!("that is {other}, and not also {this}")],
                );
            }
        }
        let more = need.candidates.len().saturating_sub(MAX_CANDIDATES);
        if more > 0 {
            chain.push(format!("{more} other candidates are excluded likewise"));
        }
        chain
    }

    /// What there is of the names of a need without candidates.
    fn why_none(&self, need: &Need) -> String {
        let names = need.text.split(" | ").map(|relation| {
            let name = relation.split([' ', ':']).next().unwrap_or_default();
            let there = self.catalog.index.get(name).map(|r| r.version.to_string());
            let there: Vec<_> = there.collect();
            match (there.as_slice(), self.catalog.fixed.get(name)) {
                ([], _) => format!("and there is no {name}"),
                (_, Some(&id)) => {
                    format!("and another group has {}", self.catalog.title(id))
                }
                (versions, None) => format!("and there is only {name} {}", versions.join(", ")),
            }
        });
        names.collect::<Vec<_>>().join(", ")
    }
}

/// Appends sentences that are not there yet.
fn extend(chain: &mut Vec<String>, sentences: Vec<String>) {
    for sentence in sentences {
        if !chain.contains(&sentence) {
            chain.push(sentence);
        }
    }
}
