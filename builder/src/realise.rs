//! Realise: run the actions of a [`Plan`] whose results the store does not hold.
//!
//! Actions run side by side within a budget of processors and memory, in the order that
//! [`crate::schedule`] gives. After the first that fails none is started, unless told to keep
//! going; what already runs is finished and kept.

use crate::error::{BuildError, Skipped};
use crate::events::{Event, Observer, Outline, Outlined};
use crate::plan::{Action, ActionId, Plan};
use crate::schedule::{Budget, Next, Schedule};
use crate::times::Times;
use crate::work::Work;
use nos_store::{ActionKey, ActionResult, Store};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// A time that is remembered at once; others are when all has ended.
const WORTH_KEEPING: Duration = Duration::from_secs(1);

/// What a caller decides about its builds; no result depends on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Options<'a> {
    /// Use nothing but what the store holds.
    pub offline: bool,
    /// The text of this machine's configuration of cargo, which may say where crates come from.
    pub cargo: Option<&'a str>,
    /// Make `init` from its source also where the one that travels with this program would do,
    /// and refuse to go on where the two differ.
    pub init_from_source: bool,
    /// Vary what a build sees of the machine it runs on: the order of folders, the number of
    /// processors, and the wall clock of programs that ask their C library.
    pub vary: bool,
    /// The program that builds, for specs that have it in an image.
    pub program: Option<&'a Path>,
    /// Keep what a failed build left in its folders, to look at.
    pub keep_failed: bool,
}

/// Where a build happens.
pub struct Builder<'a> {
    /// Holds inputs, outputs and results.
    pub store: &'a Store,
    /// The spec's folder: local sources are relative to it.
    pub folder: &'a Path,
    /// Threads that run actions.
    pub jobs: usize,
    /// Memory that running actions may need together, in bytes.
    pub memory_bytes: u64,
    /// Whether a failure stops only what needs its result.
    pub keep_going: bool,
    /// Hears what happens.
    pub observer: &'a dyn Observer,
    /// What else the caller decides.
    pub options: Options<'a>,
}

/// What became of an action.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Fate {
    /// Its result is in the store.
    Reused,
    /// It ran, or would have to.
    Built,
}

/// One action's result and how it came about.
#[derive(Debug, Clone)]
pub struct Realised {
    /// Outputs and facts.
    pub result: ActionResult,
    /// Key under which the store knows it; `None` for local sources.
    pub key: Option<ActionKey>,
    /// Whether it ran.
    pub fate: Fate,
}

/// Looks up what the store already holds, runs nothing. An action is missing from the answer
/// where it would have to run, or where an input is missing; local sources are read.
///
/// # Errors
/// [`BuildError`] where a local source or the store cannot be read.
pub fn survey(
    builder: &Builder<'_>,
    plan: &Plan,
) -> Result<BTreeMap<ActionId, Realised>, BuildError> {
    builder.store.together(|| look_up(builder, plan))
}

fn look_up(builder: &Builder<'_>, plan: &Plan) -> Result<BTreeMap<ActionId, Realised>, BuildError> {
    let mut known = BTreeMap::new();
    for (id, action) in plan.iter() {
        let Some(inputs) = results_of(&known, action) else {
            continue;
        };
        let realised = match action.work.key(&inputs)? {
            Some(key) => match builder.store.result(&key)? {
                Some(result) => Realised {
                    result,
                    key: Some(key),
                    fate: Fate::Reused,
                },
                None => continue,
            },
            None => {
                let result = action.work.run(builder, &inputs)?;
                Realised {
                    result,
                    key: None,
                    fate: Fate::Reused,
                }
            }
        };
        known.insert(id, realised);
    }
    Ok(known)
}

/// Runs what `known` (from [`survey`]) lacks, and returns every action's result.
///
/// # Errors
/// The error of the action that failed, with its label; [`BuildError::Several`] where work went
/// on after a failure.
pub fn realise(
    builder: &Builder<'_>,
    plan: &Plan,
    known: BTreeMap<ActionId, Realised>,
) -> Result<BTreeMap<ActionId, Realised>, BuildError> {
    let times = Times::load(builder.store);
    let outline = outline(builder, plan, &known, &times);
    builder.observer.event(Event::Outline(&outline));
    let budget = Budget {
        cores: builder.jobs.max(1),
        memory_bytes: builder.memory_bytes,
    };
    let milliseconds = |label: &str| {
        let time = times.get(label)?;
        Some(u64::try_from(time.as_millis()).unwrap_or(u64::MAX))
    };
    let is_done = |id| known.contains_key(&id);
    let schedule = Schedule::new(plan, is_done, milliseconds, budget, builder.keep_going);
    let board = Board {
        state: Mutex::new(State {
            schedule,
            done: known,
            errors: Vec::new(),
            times,
            panicked: false,
        }),
        changed: Condvar::new(),
    };
    std::thread::scope(|scope| {
        for _ in 1..budget.cores {
            scope.spawn(|| board.work(builder, plan));
        }
        board.work(builder, plan);
    });
    let mut state = board
        .state
        .into_inner()
        .unwrap_or_else(PoisonError::into_inner);
    state.times.save(builder.store);
    let label = |id: ActionId| plan.actions[id.0].label.clone();
    match state.errors.len() {
        0 => Ok(state.done),
        1 if !builder.keep_going => Err(state.errors.remove(0)),
        _ => Err(BuildError::Several {
            errors: state.errors,
            skipped: {
                let lost = state.schedule.skipped().into_iter();
                lost.map(|(because, lost)| Skipped {
                    labels: lost.into_iter().map(label).collect(),
                    because: label(because),
                })
                .collect()
            },
        }),
    }
}

/// What may have to run, for whoever shows it.
fn outline(
    builder: &Builder<'_>,
    plan: &Plan,
    known: &BTreeMap<ActionId, Realised>,
    times: &Times,
) -> Outline {
    let mut place = BTreeMap::new();
    let cores = builder.jobs.max(1);
    let mut outline = Outline {
        actions: Vec::new(),
        cores,
        keep_going: builder.keep_going,
    };
    for (id, action) in plan.iter().filter(|(id, _)| !known.contains_key(id)) {
        let inputs = action.inputs.iter().filter_map(|input| place.get(input));
        let outlined = Outlined {
            label: action.label.clone(),
            inputs: inputs.copied().collect(),
            estimate: times.get(&action.label),
            cores: action.work.cost(cores).cores.max(1),
        };
        place.insert(id, outline.actions.len());
        outline.actions.push(outlined);
    }
    outline
}

fn results_of<'a>(
    done: &'a BTreeMap<ActionId, Realised>,
    action: &Action,
) -> Option<Vec<&'a ActionResult>> {
    action
        .inputs
        .iter()
        .map(|id| done.get(id).map(|r| &r.result))
        .collect()
}

struct State {
    schedule: Schedule,
    done: BTreeMap<ActionId, Realised>,
    errors: Vec<BuildError>,
    times: Times,
    /// Whether an action panicked: nobody must wait for its result.
    panicked: bool,
}

struct Board {
    state: Mutex<State>,
    changed: Condvar,
}

impl Board {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn work(&self, builder: &Builder<'_>, plan: &Plan) {
        let mut state = self.lock();
        while !state.panicked {
            let id = match state.schedule.next() {
                Next::Run(id) => id,
                Next::Over => return,
                Next::Wait => {
                    let waited = self.changed.wait(state);
                    state = waited.unwrap_or_else(PoisonError::into_inner);
                    continue;
                }
            };
            let action = &plan.actions[id.0];
            let inputs: Vec<ActionResult> = action
                .inputs
                .iter()
                .filter_map(|i| Some(state.done.get(i)?.result.clone()))
                .collect();
            drop(state);
            let alarm = Alarm(self);
            let started = Instant::now();
            let outcome = run_one(builder, action, &inputs);
            std::mem::forget(alarm);
            state = self.lock();
            match outcome {
                Ok(realised) => {
                    if realised.fate == Fate::Built && realised.key.is_some() {
                        let elapsed = started.elapsed();
                        state.times.note(&action.label, elapsed);
                        // Whoever ends this program meanwhile ends its later notes too.
                        if elapsed >= WORTH_KEEPING {
                            state.times.save(builder.store);
                        }
                    }
                    state.done.insert(id, realised);
                    state.schedule.succeeded(id);
                }
                Err(error) => {
                    builder.observer.event(Event::Failed {
                        label: &action.label,
                        elapsed: started.elapsed(),
                    });
                    state.errors.push(error);
                    state.schedule.failed(id);
                }
            }
            self.changed.notify_all();
        }
    }
}

/// Dropped only when an action panics: lets the other threads end, so that the panic is seen.
struct Alarm<'a>(&'a Board);

impl Drop for Alarm<'_> {
    fn drop(&mut self) {
        self.0.lock().panicked = true;
        self.0.changed.notify_all();
    }
}

fn run_one(
    builder: &Builder<'_>,
    action: &Action,
    inputs: &[ActionResult],
) -> Result<Realised, BuildError> {
    let inputs: Vec<&ActionResult> = inputs.iter().collect();
    let key = action.work.key(&inputs)?;
    if let Some(key) = key
        && let Some(result) = builder.store.result(&key)?
    {
        builder.observer.event(Event::Reused {
            label: &action.label,
        });
        return Ok(Realised {
            result,
            key: Some(key),
            fate: Fate::Reused,
        });
    }
    let quiet = matches!(action.work, Work::Source(_));
    let started = Instant::now();
    if !quiet {
        builder.observer.event(Event::Started {
            label: &action.label,
        });
    }
    let in_action = |error| BuildError::Action {
        label: action.label.clone(),
        error: Box::new(error),
    };
    let result = action.work.run(builder, &inputs).map_err(in_action)?;
    if let Some(key) = &key {
        builder.store.put_result(key, &result)?;
    }
    if !quiet {
        let elapsed = started.elapsed();
        builder.observer.event(Event::Finished {
            label: &action.label,
            elapsed,
        });
    }
    Ok(Realised {
        result,
        key,
        fate: Fate::Built,
    })
}
