//! Which action runs next: a pure state machine, driven by the threads of [`mod@crate::realise`].
//!
//! Of the actions whose inputs are there and whose [`Cost`] fits what is free of the [`Budget`],
//! the one with the longest remaining path to the result goes first, by the times remembered of
//! earlier builds. None of this can reach a byte of the result, only the time it takes.

use crate::plan::{ActionId, Plan};
use std::collections::{BTreeMap, BTreeSet};

/// What an action is expected to need while it runs. An estimate: nothing enforces it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cost {
    /// Processors that the command it starts keeps busy; 0 for what is done by a thread of this
    /// program, which goes before any command and is one of as many threads as there are processors.
    pub cores: usize,
    /// Memory in bytes.
    pub memory_bytes: u64,
}

/// What all running actions may need together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Budget {
    /// Processors.
    pub cores: usize,
    /// Memory in bytes.
    pub memory_bytes: u64,
}

impl Budget {
    /// The cost of an action, at most the whole budget: what is too large for it runs alone.
    fn limit(&self, cost: Cost) -> Cost {
        Cost {
            cores: cost.cores.min(self.cores.max(1)),
            memory_bytes: cost.memory_bytes.min(self.memory_bytes),
        }
    }
}

/// What a thread should do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Next {
    /// Run this action, then say how it ended.
    Run(ActionId),
    /// Wait until another action has ended.
    Wait,
    /// Nothing is left to start.
    Over,
}

/// Time assumed of an action that never ran, in milliseconds.
const UNKNOWN_MS: u64 = 100;

/// The actions that still have to run.
pub(crate) struct Schedule {
    budget: Budget,
    free: Budget,
    keep_going: bool,
    /// Actions that wait, with the number of inputs they wait for.
    waiting: BTreeMap<ActionId, usize>,
    running: BTreeMap<ActionId, Cost>,
    dependents: BTreeMap<ActionId, Vec<ActionId>>,
    /// Milliseconds from the start of an action to the end of the build, were nothing else to do.
    rank: BTreeMap<ActionId, u64>,
    costs: BTreeMap<ActionId, Cost>,
    failed: bool,
    /// What will not run, with the action whose failure is why.
    skipped: BTreeMap<ActionId, ActionId>,
}

impl Schedule {
    /// A schedule of the actions of `plan` that are not `done`. With `keep_going` a failure stops
    /// only what needs its result; without, nothing more is started.
    pub(crate) fn new(
        plan: &Plan,
        done: impl Fn(ActionId) -> bool,
        time_ms: impl Fn(&str) -> Option<u64>,
        budget: Budget,
        keep_going: bool,
    ) -> Self {
        let mut schedule = Self {
            budget,
            free: budget,
            keep_going,
            waiting: BTreeMap::new(),
            running: BTreeMap::new(),
            dependents: BTreeMap::new(),
            rank: BTreeMap::new(),
            costs: BTreeMap::new(),
            failed: false,
            skipped: BTreeMap::new(),
        };
        let mut open_actions: Vec<_> = plan.iter().filter(|(id, _)| !done(*id)).collect();
        for (id, action) in &open_actions {
            let inputs = action.inputs.iter().copied();
            let open: BTreeSet<ActionId> = inputs.filter(|input| !done(*input)).collect();
            for input in &open {
                schedule.dependents.entry(*input).or_default().push(*id);
            }
            let cost = budget.limit(action.work.cost(budget.cores));
            schedule.waiting.insert(*id, open.len());
            schedule.costs.insert(*id, cost);
        }
        // Inputs come before what reads them, so backwards every dependent is ranked first.
        open_actions.reverse();
        for (id, action) in open_actions {
            let behind = schedule.dependents.get(&id).into_iter().flatten();
            let behind = behind.filter_map(|d| schedule.rank.get(d)).max();
            let own = time_ms(&action.label).unwrap_or(UNKNOWN_MS);
            let rank = own.saturating_add(behind.copied().unwrap_or(0));
            schedule.rank.insert(id, rank);
        }
        schedule
    }

    /// What a thread that is free should do now.
    pub(crate) fn next(&mut self) -> Next {
        if self.waiting.is_empty() || (self.failed && !self.keep_going) {
            return Next::Over;
        }
        let ready = self.waiting.iter().filter(|(_, open)| **open == 0);
        let fits = ready.filter(|(id, _)| self.fits(**id));
        let first = fits.max_by_key(|(id, _)| (self.rank.get(id), std::cmp::Reverse(**id)));
        let Some((&id, _)) = first else {
            return Next::Wait;
        };
        self.waiting.remove(&id);
        if let Some(&cost) = self.costs.get(&id) {
            self.free.cores -= cost.cores.min(self.free.cores);
            self.free.memory_bytes -= cost.memory_bytes.min(self.free.memory_bytes);
            self.running.insert(id, cost);
        }
        Next::Run(id)
    }

    fn fits(&self, id: ActionId) -> bool {
        self.running.is_empty()
            || self.costs.get(&id).is_some_and(|cost| {
                cost.cores <= self.free.cores && cost.memory_bytes <= self.free.memory_bytes
            })
    }

    /// An action has its result.
    pub(crate) fn succeeded(&mut self, id: ActionId) {
        self.ended(id);
        for dependent in self.dependents.get(&id).into_iter().flatten() {
            if let Some(open) = self.waiting.get_mut(dependent) {
                *open = open.saturating_sub(1);
            }
        }
    }

    /// An action has none: whatever needs it will not run.
    pub(crate) fn failed(&mut self, id: ActionId) {
        self.ended(id);
        self.failed = true;
        let mut lost = vec![id];
        while let Some(next) = lost.pop() {
            for dependent in self.dependents.get(&next).into_iter().flatten() {
                if self.waiting.remove(dependent).is_some() {
                    self.skipped.insert(*dependent, id);
                    lost.push(*dependent);
                }
            }
        }
    }

    /// Actions that did not run because one they need had failed: that one → these.
    pub(crate) fn skipped(&self) -> BTreeMap<ActionId, Vec<ActionId>> {
        let mut skipped: BTreeMap<ActionId, Vec<ActionId>> = BTreeMap::new();
        for (lost, because) in &self.skipped {
            skipped.entry(*because).or_default().push(*lost);
        }
        skipped
    }

    fn ended(&mut self, id: ActionId) {
        if let Some(cost) = self.running.remove(&id) {
            self.free.cores = (self.free.cores + cost.cores).min(self.budget.cores);
            let memory = self.free.memory_bytes.saturating_add(cost.memory_bytes);
            self.free.memory_bytes = memory.min(self.budget.memory_bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::make::Recipe;
    use crate::work::{Origin, Work};
    use nos_sandbox::Limits;
    use nos_specs::lock::LockedPackage;

    const MIB: u64 = 1 << 20;

    fn plan(actions: &[(&str, &[usize])]) -> Plan {
        let mut plan = Plan {
            actions: Vec::new(),
        };
        for (label, inputs) in actions {
            let inputs = inputs.iter().map(|i| ActionId(*i)).collect();
            let work = Work::Source(Origin::Text((*label).into()));
            plan.push((*label).into(), inputs, work);
        }
        plan
    }

    fn schedule(plan: &Plan, cores: usize, keep_going: bool) -> Schedule {
        let budget = Budget {
            cores,
            memory_bytes: 1 << 40,
        };
        let time = |label: &str| label.rsplit_once(' ').and_then(|(_, ms)| ms.parse().ok());
        Schedule::new(plan, |_| false, time, budget, keep_going)
    }

    #[test]
    fn the_longest_path_goes_first() {
        let plan = plan(&[("a 5", &[]), ("b 1", &[]), ("c 90", &[1]), ("d 1", &[0, 2])]);
        let mut schedule = schedule(&plan, 1, false);
        let mut order = Vec::new();
        while let Next::Run(id) = schedule.next() {
            schedule.succeeded(id);
            order.push(id.0);
        }
        assert_eq!(order, [1, 2, 0, 3]);
    }

    #[test]
    fn a_failure_stops_only_what_needs_it_where_that_is_wanted() {
        let plan = plan(&[
            ("a", &[]),
            ("b", &[]),
            ("c", &[0]),
            ("d", &[1]),
            ("e", &[2, 3]),
        ]);
        for keep_going in [false, true] {
            let mut schedule = schedule(&plan, 4, keep_going);
            let mut ran = Vec::new();
            while let Next::Run(id) = schedule.next() {
                ran.push(id.0);
                match id.0 {
                    0 => schedule.failed(id),
                    _ => schedule.succeeded(id),
                }
            }
            assert_eq!(ran, if keep_going { vec![0, 1, 3] } else { vec![0] });
            let lost = vec![ActionId(2), ActionId(4)];
            assert_eq!(schedule.skipped(), BTreeMap::from([(ActionId(0), lost)]));
        }
    }

    /// A plan of builds that each run a line.
    fn builds(lines: &[&str]) -> Plan {
        let mut plan = plan(&[]);
        for line in lines {
            let recipe = Recipe {
                name: (*line).into(),
                command: vec![(*line).into()],
                folder: "/".into(),
                env: BTreeMap::new(),
                places: Vec::new(),
                files: BTreeMap::new(),
                limits: Limits::default(),
            };
            plan.push((*line).into(), Vec::new(), Work::Make(Box::new(recipe)));
        }
        plan
    }

    /// What starts at once, and what then starts as the first of these ends.
    fn starts(plan: &Plan, budget: Budget) -> (Vec<usize>, Vec<usize>) {
        let mut schedule = Schedule::new(plan, |_| false, |_| None, budget, false);
        let mut take = || -> Vec<usize> {
            let turns = std::iter::from_fn(|| match schedule.next() {
                Next::Run(id) => Some(id),
                Next::Wait | Next::Over => None,
            });
            let started: Vec<ActionId> = turns.collect();
            if let Some(first) = started.first() {
                schedule.succeeded(*first);
            }
            started.into_iter().map(|id| id.0).collect()
        };
        (take(), take())
    }

    #[test]
    fn commands_share_the_processors_by_what_they_ask_for() {
        let budget = |cores, memory_mib| Budget {
            cores,
            memory_bytes: memory_mib * MIB,
        };
        let kernels = builds(&["make -j$NOS_CORES 1", "make -j$NOS_CORES 2"]);
        assert_eq!(starts(&kernels, budget(4, 8192)), (vec![0], vec![1]));
        let scripts = builds(&["cp 1", "cp 2", "cp 3"]);
        assert_eq!(starts(&scripts, budget(2, 8192)), (vec![0, 1], vec![2]));
        // Processors for all three, memory for two of 512 MiB.
        assert_eq!(starts(&scripts, budget(4, 1100)), (vec![0, 1], vec![2]));
        // What this program does itself need not wait for a build's processors, but for its memory.
        let mut mixed = builds(&["make -j$NOS_CORES"]);
        let text = Work::Source(Origin::Text(String::new()));
        mixed.push("text".into(), Vec::new(), text);
        assert_eq!(starts(&mixed, budget(2, 8192)), (vec![0, 1], vec![]));
        assert_eq!(starts(&mixed, budget(2, 1024)), (vec![0], vec![1]));
    }

    #[test]
    fn what_is_larger_than_the_budget_runs_alone() {
        let pin = LockedPackage {
            version: String::new(),
            architecture: String::new(),
            suite: String::new(),
            path: String::new(),
            size: 0,
            sha256: String::new(),
        };
        let mut plan = Plan {
            actions: Vec::new(),
        };
        for name in ["a", "b"] {
            let work = Work::Unpack {
                name: name.into(),
                pin: pin.clone(),
            };
            plan.push(name.into(), Vec::new(), work);
        }
        for (memory_bytes, second) in [(MIB, Next::Wait), (1 << 30, Next::Run(ActionId(1)))] {
            let budget = Budget {
                cores: 8,
                memory_bytes,
            };
            let mut schedule = Schedule::new(&plan, |_| false, |_| None, budget, false);
            assert_eq!(schedule.next(), Next::Run(ActionId(0)));
            assert_eq!(schedule.next(), second);
        }
    }
}
