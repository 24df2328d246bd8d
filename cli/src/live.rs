//! What is shown while work goes on: a line, or for builds the tree of what runs. Pure: from what
//! has been heard and the time to lines of text.

mod line;
#[cfg(test)]
mod tests;
mod tree;

use crate::units::{human_duration, human_size};
use line::{FAILED, Line};
use nos_builder::events::{Event, Outline};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};
use tree::State;

/// Width of the verb column of status lines.
pub(crate) const VERB_WIDTH: usize = 12;

/// Lines of the tree that any terminal has room for, but for those on which nothing else would be
/// left. A tall one gives a third of itself.
const TREE_LINES: usize = 12;

/// Columns below which nothing is indented to the verb column.
const NARROW: usize = 60;

/// How long downloads must last before they say how long they will.
const RATE_AFTER: Duration = Duration::from_secs(2);

/// What has been heard so far.
#[derive(Default)]
pub(crate) struct Live {
    downloads: BTreeMap<String, (u64, Option<u64>)>,
    wanted: Option<Wanted>,
    work: Option<(String, u64, Option<u64>)>,
    /// How fast that goes, in words.
    pace: Option<String>,
    outline: Outline,
    states: Vec<State>,
    since: Option<Instant>,
}

/// Files that were announced.
struct Wanted {
    files: usize,
    bytes: u64,
    done_files: usize,
    done_bytes: u64,
    since: Instant,
}

/// How many actions are in which state.
#[derive(Default)]
struct Counts {
    waiting: usize,
    running: usize,
    done: usize,
    failed: usize,
}

impl Live {
    /// Takes in what a build tells.
    pub(crate) fn hear(&mut self, event: &Event<'_>, now: Instant) {
        match event {
            Event::Outline(outline) => {
                self.outline = (*outline).clone();
                self.states = vec![State::Waiting; outline.actions.len()];
                self.wanted = None;
                self.since = Some(now);
            }
            Event::Started { label } => self.set(label, State::Running(now)),
            Event::Finished { label, .. } | Event::Reused { label } => self.set(label, State::Done),
            Event::Failed { label, elapsed } => {
                self.set(label, State::Failed(*elapsed));
                self.lose();
            }
            Event::Wanted { files, bytes } => {
                let wanted = self.wanted.get_or_insert(Wanted {
                    files: 0,
                    bytes: 0,
                    done_files: 0,
                    done_bytes: 0,
                    since: now,
                });
                wanted.files += files;
                wanted.bytes = wanted.bytes.saturating_add(*bytes);
            }
            Event::Download { name, done, total } => {
                self.downloads.insert((*name).to_string(), (*done, *total));
            }
            Event::Downloaded { name } => {
                let (bytes, _) = self.downloads.remove(*name).unwrap_or_default();
                if let Some(wanted) = &mut self.wanted {
                    wanted.done_files += 1;
                    wanted.done_bytes = wanted.done_bytes.saturating_add(bytes);
                    if wanted.done_files >= wanted.files {
                        self.wanted = None;
                    }
                }
            }
            Event::Warning(_) => {}
        }
    }

    /// Notes how far a long piece of work has come.
    pub(crate) fn work(&mut self, what: &str, done: u64, total: Option<u64>) {
        self.work = Some((what.to_string(), done, total));
        self.pace = None;
    }

    /// Notes how fast it goes, in words.
    pub(crate) fn pace(&mut self, pace: Option<String>) {
        self.pace = pace;
    }

    /// Forgets everything: the work is over.
    pub(crate) fn over(&mut self) {
        *self = Self::default();
    }

    /// Whether there is anything to show.
    pub(crate) fn is_idle(&self) -> bool {
        self.work.is_none() && self.downloads.is_empty() && !self.is_building()
    }

    /// Whether an action runs.
    pub(crate) fn is_building(&self) -> bool {
        let running = |state: &State| matches!(state, State::Running(_));
        self.states.iter().any(running)
    }

    /// Labels are unique but for sources, which are not told of.
    fn set(&mut self, label: &str, state: State) {
        let at = self.outline.actions.iter().position(|a| a.label == label);
        if let Some(place) = at.and_then(|at| self.states.get_mut(at)) {
            *place = state;
        }
    }

    /// After a failure: what needs its result will not run, or nothing more will.
    fn lose(&mut self) {
        for (at, action) in self.outline.actions.iter().enumerate() {
            let states = &self.states;
            let is_lost = |input: &usize| {
                let state = states.get(*input);
                matches!(state, Some(State::Failed(_) | State::Lost))
            };
            let lost = !self.outline.keep_going || action.inputs.iter().any(is_lost);
            if lost && let Some(state @ State::Waiting) = self.states.get_mut(at) {
                *state = State::Lost;
            }
        }
    }

    /// The lines to show now, for a terminal of `columns` × `rows`.
    pub(crate) fn lines(
        &self,
        now: Instant,
        columns: usize,
        rows: usize,
        color: bool,
    ) -> Vec<String> {
        let (first, margin) = match columns < NARROW {
            true => (String::new(), String::new()),
            false => (
                format!("{:>VERB_WIDTH$} ", "Working"),
                " ".repeat(VERB_WIDTH + 1),
            ),
        };
        // The last column stays empty: some terminals would go on to the next line.
        let columns = columns.saturating_sub(1 + margin.len());
        let mut lines = Vec::new();
        if self.is_building() {
            let room = TREE_LINES.max(rows / 3).min(rows.saturating_sub(2));
            lines = tree::lines(&self.outline, &self.states, now, room);
        }
        let summary = self.summary(now, columns);
        if summary.width() > 0 || lines.is_empty() {
            lines.push(summary);
        }
        let lines = lines.iter().enumerate().map(|(row, line)| {
            let margin = if row == 0 { &first } else { &margin };
            format!("{margin}{}", line.shown(columns, color))
        });
        lines.collect()
    }

    /// What goes on, in one line, for where there is no terminal.
    pub(crate) fn words(&self, now: Instant) -> String {
        let actions = self.outline.actions.iter().zip(&self.states);
        let running = actions.filter_map(|(action, state)| match state {
            State::Running(since) => {
                let elapsed = human_duration(now.saturating_duration_since(*since));
                Some(format!("{} for {elapsed}", action.label))
            }
            _ => None,
        });
        let running: Vec<String> = running.collect();
        let summary = self.summary(now, usize::MAX).shown(usize::MAX, false);
        match running.is_empty() {
            true => summary,
            false => format!("{}; {summary}", running.join(", ")),
        }
    }

    /// The widest way to say it that there is room for.
    fn summary(&self, now: Instant, columns: usize) -> Line {
        let mut line = Line::default();
        for detail in (0..=2).rev() {
            line = Line::default();
            self.say_work(&mut line);
            self.say_downloads(&mut line, now, detail);
            self.say_counts(&mut line, now, detail);
            if line.width() <= columns {
                break;
            }
        }
        line
    }

    fn say_work(&self, line: &mut Line) {
        if let Some((what, done, total)) = &self.work {
            line.add(&amount(what, *done, *total));
            if let Some(pace) = &self.pace {
                line.add("; ").add(pace);
            }
        }
    }

    fn say_downloads(&self, line: &mut Line, now: Instant, detail: u8) {
        if self.downloads.is_empty() {
            return;
        }
        let mut done: u64 = self.downloads.values().map(|d| d.0).sum();
        let mut total = self.downloads.values().map(|d| d.1).sum::<Option<u64>>();
        let mut what = match self.downloads.first_key_value() {
            Some((name, _)) if self.downloads.len() == 1 => format!("fetching {name}"),
            _ => format!("fetching {} files", self.downloads.len()),
        };
        let mut left = None;
        if let Some(wanted) = self.wanted.as_ref().filter(|wanted| wanted.files > 1) {
            let (have, all) = (wanted.done_files, wanted.files);
            what = match detail {
                0 => format!("{have}/{all} files"),
                _ => format!("fetched {have} of {all} files,"),
            };
            done = done.saturating_add(wanted.done_bytes);
            total = Some(wanted.bytes);
            left = wanted.left(done, now);
        }
        separate(line);
        match (detail, total) {
            (0, Some(total)) if total > 0 => {
                line.add(&format!("{what} {} %", percent(done, total)));
            }
            _ => {
                line.add(&amount(&what, done, total));
            }
        }
        if let Some(left) = left.filter(|left| left.as_secs() >= 1 && detail > 0) {
            line.add(&format!(", about {} left", human_duration(left)));
        }
    }

    fn say_counts(&self, line: &mut Line, now: Instant, detail: u8) {
        if !self.is_building() {
            return;
        }
        separate(line);
        let (counts, all) = (self.counts(), self.states.len());
        match detail {
            0 => line.add(&format!("{}/{all}", counts.done)),
            _ => line.add(&format!("{} of {all} done", counts.done)),
        };
        if detail == 2 {
            line.add(&format!(", {} running", counts.running));
            if counts.waiting > 0 {
                line.add(&format!(", {} waiting", counts.waiting));
            }
        }
        if counts.failed > 0 {
            line.add(", ");
            line.paint(&format!("{} failed", counts.failed), FAILED);
        }
        let elapsed = self
            .since
            .map(|since| now.saturating_duration_since(since))
            .filter(|elapsed| elapsed.as_secs() >= 1);
        if let (2, Some(elapsed)) = (detail, elapsed) {
            line.add(&format!("; {}", human_duration(elapsed)));
        }
        let (left, is_known) = self.left(now);
        if left.as_secs() >= 1 {
            let (about, left) = (
                if is_known { "about" } else { "at least" },
                human_duration(left),
            );
            match detail {
                0 => line.add(&format!(", {left}")),
                _ => line.add(&format!(", {about} {left} left")),
            };
        }
    }

    fn counts(&self) -> Counts {
        let mut counts = Counts::default();
        for state in &self.states {
            let count = match state {
                State::Waiting => &mut counts.waiting,
                State::Running(_) => &mut counts.running,
                State::Done => &mut counts.done,
                State::Failed(_) => &mut counts.failed,
                State::Lost => continue,
            };
            *count += 1;
        }
        counts
    }

    /// Time until all has ended, by what was measured before: that of the longest path, or that of
    /// all the work on all processors, whichever is longer; and whether all of it was ever measured.
    fn left(&self, now: Instant) -> (Duration, bool) {
        let mut until: Vec<Duration> = Vec::with_capacity(self.states.len());
        let (mut work, mut is_known) = (Duration::ZERO, true);
        for (action, state) in self.outline.actions.iter().zip(&self.states) {
            let own = match state {
                State::Done | State::Failed(_) | State::Lost => Duration::ZERO,
                State::Running(since) => {
                    let elapsed = now.saturating_duration_since(*since);
                    action.estimate.unwrap_or_default().saturating_sub(elapsed)
                }
                State::Waiting => action.estimate.unwrap_or_default(),
            };
            let is_open = matches!(state, State::Running(_) | State::Waiting);
            is_known &= !is_open || action.estimate.is_some();
            let before = action.inputs.iter().filter_map(|input| until.get(*input));
            let before = before.max().copied().unwrap_or_default();
            until.push(own.saturating_add(before));
            let cores = u32::try_from(action.cores).unwrap_or(u32::MAX);
            work = work.saturating_add(own.saturating_mul(cores));
        }
        let path = until.into_iter().max().unwrap_or_default();
        let cores = u32::try_from(self.outline.cores.max(1)).unwrap_or(u32::MAX);
        (path.max(work / cores), is_known)
    }
}

impl Wanted {
    /// Time until the rest is there too, at the rate so far.
    fn left(&self, done: u64, now: Instant) -> Option<Duration> {
        let elapsed = now.saturating_duration_since(self.since);
        if elapsed < RATE_AFTER || done == 0 {
            return None;
        }
        let rest = self.bytes.saturating_sub(done) as f64 / done as f64;
        Duration::try_from_secs_f64(elapsed.as_secs_f64() * rest).ok()
    }
}

fn separate(line: &mut Line) {
    if line.width() > 0 {
        line.add("; ");
    }
}

fn percent(done: u64, total: u64) -> u64 {
    done.saturating_mul(100) / total.max(1)
}

fn amount(what: &str, done: u64, total: Option<u64>) -> String {
    match total {
        Some(total) if total > 0 => format!(
            "{what} {} of {} ({} %)",
            human_size(done),
            human_size(total),
            percent(done, total)
        ),
        _ => format!("{what} {}", human_size(done)),
    }
}
