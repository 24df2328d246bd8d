//! Realise: run the actions of a [`Plan`] whose results the store does not hold.
//!
//! Actions run side by side on the given number of threads as soon as their inputs are there.
//! After the first that fails none is started; what already runs is finished and kept.

use crate::error::BuildError;
use crate::events::{Event, Observer};
use crate::plan::{Action, ActionId, Plan};
use crate::work::{INIT, Work};
use nos_store::{ActionKey, ActionResult, Digest, Store};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// Where a build happens.
pub struct Builder<'a> {
    /// Holds inputs, outputs and results.
    pub store: &'a Store,
    /// The spec's folder: local sources are relative to it.
    pub folder: &'a Path,
    /// Threads that run actions.
    pub jobs: usize,
    /// Hears what happens.
    pub observer: &'a dyn Observer,
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
    let init = Digest::of(INIT);
    let mut known = BTreeMap::new();
    for (id, action) in plan.iter() {
        let Some(inputs) = results_of(&known, action) else {
            continue;
        };
        let realised = match action.work.key(&inputs, &init)? {
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
/// The first error of an action, with the action's label.
pub fn realise(
    builder: &Builder<'_>,
    plan: &Plan,
    known: BTreeMap<ActionId, Realised>,
) -> Result<BTreeMap<ActionId, Realised>, BuildError> {
    let board = Board {
        state: Mutex::new(State {
            waiting: plan
                .iter()
                .map(|(id, _)| id)
                .filter(|id| !known.contains_key(id))
                .collect(),
            done: known,
            error: None,
            panicked: false,
        }),
        changed: Condvar::new(),
    };
    let jobs = builder.jobs.max(1);
    std::thread::scope(|scope| {
        for _ in 1..jobs {
            scope.spawn(|| board.work(builder, plan));
        }
        board.work(builder, plan);
    });
    let state = board
        .state
        .into_inner()
        .unwrap_or_else(PoisonError::into_inner);
    match state.error {
        Some(error) => Err(error),
        None => Ok(state.done),
    }
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
    waiting: Vec<ActionId>,
    done: BTreeMap<ActionId, Realised>,
    error: Option<BuildError>,
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
        loop {
            if state.error.is_some() || state.panicked || state.waiting.is_empty() {
                return;
            }
            let ready = state.waiting.iter().position(|id| {
                plan.actions[id.0]
                    .inputs
                    .iter()
                    .all(|input| state.done.contains_key(input))
            });
            let Some(ready) = ready else {
                state = self
                    .changed
                    .wait(state)
                    .unwrap_or_else(PoisonError::into_inner);
                continue;
            };
            let id = state.waiting.remove(ready);
            let action = &plan.actions[id.0];
            let inputs: Vec<ActionResult> = action
                .inputs
                .iter()
                .filter_map(|i| Some(state.done.get(i)?.result.clone()))
                .collect();
            drop(state);
            let alarm = Alarm(self);
            let outcome = run_one(builder, action, &inputs);
            std::mem::forget(alarm);
            state = self.lock();
            match outcome {
                Ok(realised) => {
                    state.done.insert(id, realised);
                }
                Err(error) => {
                    state.error.get_or_insert(error);
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
    let key = action.work.key(&inputs, &Digest::of(INIT))?;
    if let Some(key) = key
        && let Some(result) = builder.store.result(&key)?
    {
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
