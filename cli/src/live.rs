//! What is shown while work goes on: a line, or for builds the tree of what runs. Pure: from what
//! has been heard and the time to lines of text.

use crate::units::human_size;
use nos_builder::events::{Event, Outline};
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

/// Width of the verb column of status lines.
pub(crate) const VERB_WIDTH: usize = 12;

/// Most lines of the tree; with more it would push what was said off the screen.
const MAX_TREE_LINES: usize = 12;

/// What has been heard so far.
#[derive(Default)]
pub(crate) struct Live {
    downloads: BTreeMap<String, (u64, Option<u64>)>,
    work: Option<(String, u64, Option<u64>)>,
    /// How fast that goes, in words.
    pace: Option<String>,
    outline: Outline,
    running: BTreeMap<usize, Instant>,
    ended: BTreeSet<usize>,
}

impl Live {
    /// Takes in what a build tells.
    pub(crate) fn hear(&mut self, event: &Event<'_>, now: Instant) {
        match event {
            Event::Outline(outline) => {
                self.outline = (*outline).clone();
                self.running.clear();
                self.ended.clear();
            }
            Event::Started { label } => {
                if let Some(at) = self.find(label) {
                    self.running.insert(at, now);
                }
            }
            Event::Finished { label, .. } | Event::Failed { label } => {
                if let Some(at) = self.find(label) {
                    self.running.remove(&at);
                    self.ended.insert(at);
                }
            }
            Event::Download { name, done, total } => {
                self.downloads.insert((*name).to_string(), (*done, *total));
            }
            Event::Downloaded { name } => {
                self.downloads.remove(*name);
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
        self.work.is_none() && self.downloads.is_empty() && self.running.is_empty()
    }

    /// Labels are unique but for sources, which are not told of.
    fn find(&self, label: &str) -> Option<usize> {
        self.outline.actions.iter().position(|a| a.label == label)
    }

    /// The lines to show now, for a terminal of `columns` × `rows`.
    pub(crate) fn lines(&self, now: Instant, columns: usize, rows: usize) -> Vec<String> {
        let mut lines = Vec::new();
        if !self.running.is_empty() {
            lines = self.tree(now);
            if lines.len() > MAX_TREE_LINES.min(rows.saturating_sub(2)) {
                lines = vec![self.running_line()];
            }
        }
        let summary = self.summary(now);
        if !summary.is_empty() || lines.is_empty() {
            lines.push(summary);
        }
        let margin = " ".repeat(VERB_WIDTH + 1);
        let first = format!("{:>VERB_WIDTH$} ", "Working");
        let lines = lines.into_iter().enumerate().map(|(row, line)| {
            let margin = if row == 0 { &first } else { &margin };
            let line = format!("{margin}{line}");
            line.chars().take(columns.saturating_sub(1)).collect()
        });
        lines.collect()
    }

    /// From the result down to what runs, each running action once.
    fn tree(&self, now: Instant) -> Vec<String> {
        let Some(root) = self.outline.actions.len().checked_sub(1) else {
            return Vec::new();
        };
        let mut seen = BTreeSet::new();
        let mut lines = Vec::new();
        self.branch(root, "", "", now, &mut seen, &mut lines);
        lines
    }

    fn branch(
        &self,
        at: usize,
        head: &str,
        indent: &str,
        now: Instant,
        seen: &mut BTreeSet<usize>,
        lines: &mut Vec<String>,
    ) {
        let Some(action) = self.outline.actions.get(at) else {
            return;
        };
        let mut line = format!("{head}{}", action.label);
        if let Some(since) = self.running.get(&at) {
            let elapsed = now.saturating_duration_since(*since);
            line.push_str(&format!("  {}", seconds(elapsed)));
            if let Some(estimate) = action.estimate {
                line.push_str(&format!(" of about {}", seconds(estimate)));
            }
        }
        lines.push(line);
        let mut children = Vec::new();
        for &input in &action.inputs {
            if self.leads_to_running(input, seen) && seen.insert(input) {
                children.push(input);
            }
        }
        let count = children.len();
        for (n, child) in children.into_iter().enumerate() {
            let (branch, below) = match n + 1 == count {
                true => ("└─ ", "   "),
                false => ("├─ ", "│  "),
            };
            let (head, below) = (format!("{indent}{branch}"), format!("{indent}{below}"));
            self.branch(child, &head, &below, now, seen, lines);
        }
    }

    /// Whether something runs that `at` waits for, or `at` itself, and was not shown elsewhere.
    fn leads_to_running(&self, at: usize, seen: &BTreeSet<usize>) -> bool {
        let mut visited = BTreeSet::new();
        let mut open = vec![at];
        while let Some(at) = open.pop() {
            if seen.contains(&at) || self.ended.contains(&at) || !visited.insert(at) {
                continue;
            }
            if self.running.contains_key(&at) {
                return true;
            }
            let inputs = self.outline.actions.get(at).map(|a| &a.inputs);
            open.extend(inputs.into_iter().flatten());
        }
        false
    }

    fn running_line(&self) -> String {
        let labels = self.running.keys().filter_map(|at| {
            let action = self.outline.actions.get(*at)?;
            Some(action.label.as_str())
        });
        labels.collect::<Vec<_>>().join(", ")
    }

    fn summary(&self, now: Instant) -> String {
        let mut parts = Vec::new();
        if let Some((what, done, total)) = &self.work {
            parts.push(amount(what, *done, *total));
            parts.extend(self.pace.clone());
        }
        if !self.downloads.is_empty() {
            let done = self.downloads.values().map(|d| d.0).sum();
            let total = self.downloads.values().map(|d| d.1).sum::<Option<u64>>();
            let what = match self.downloads.len() {
                1 => format!(
                    "fetching {}",
                    self.downloads.keys().next().map_or("", String::as_str)
                ),
                n => format!("fetching {n} files"),
            };
            parts.push(amount(&what, done, total));
        }
        if !self.running.is_empty() {
            let (ended, all) = (self.ended.len(), self.outline.actions.len());
            let mut text = format!("{ended} of {all} done");
            if let Some(left) = self.left(now).filter(|left| left.as_secs() >= 1) {
                text.push_str(&format!(", about {} s left", left.as_secs()));
            }
            parts.push(text);
        }
        parts.join("; ")
    }

    /// Time until the result, by the longest path of what was measured before; `None` where an
    /// action has never run.
    fn left(&self, now: Instant) -> Option<Duration> {
        let mut until: Vec<Duration> = Vec::with_capacity(self.outline.actions.len());
        for (at, action) in self.outline.actions.iter().enumerate() {
            let own = match (self.ended.contains(&at), self.running.get(&at)) {
                (true, _) => Duration::ZERO,
                (_, Some(since)) => {
                    let elapsed = now.saturating_duration_since(*since);
                    action.estimate?.saturating_sub(elapsed)
                }
                _ => action.estimate?,
            };
            let before = action.inputs.iter().filter_map(|input| until.get(*input));
            until.push(own + before.max().copied().unwrap_or_default());
        }
        until.last().copied()
    }
}

fn seconds(duration: Duration) -> String {
    format!("{:.1} s", duration.as_secs_f64())
}

fn amount(what: &str, done: u64, total: Option<u64>) -> String {
    match total {
        Some(total) if total > 0 => format!(
            "{what} {} of {} ({} %)",
            human_size(done),
            human_size(total),
            done.saturating_mul(100) / total
        ),
        _ => format!("{what} {}", human_size(done)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::{Expect, expect};
    use nos_builder::events::Outlined;

    fn outline() -> Outline {
        let action = |label: &str, inputs: &[usize], ms: u64| Outlined {
            label: label.into(),
            inputs: inputs.to_vec(),
            estimate: Some(Duration::from_millis(ms)),
        };
        Outline {
            actions: vec![
                action("unpack nginx 1.26", &[], 800),
                action("unpack libc6 2.41", &[], 400),
                action("compose web", &[0, 1], 100),
                action("image web", &[2], 2000),
                action("kernel", &[], 1000),
                action("initrd", &[4], 3000),
                action("system edge", &[3, 5], 10),
            ],
        }
    }

    fn shows(live: &Live, now: Instant, expected: &Expect) {
        // A snapshot of several lines loses the margin that they share.
        let lines = live.lines(now, 60, 24);
        let margin = match lines.len() {
            1 => 0,
            _ => VERB_WIDTH - "Working".len(),
        };
        let lines: Vec<&str> = lines.iter().filter_map(|line| line.get(margin..)).collect();
        expected.assert_eq(&lines.join("\n"));
    }

    #[test]
    fn a_build_is_a_tree_of_what_runs() {
        let start = Instant::now();
        let mut live = Live::default();
        live.hear(&Event::Outline(&outline()), start);
        for label in ["unpack nginx 1.26", "unpack libc6 2.41", "kernel"] {
            live.hear(&Event::Started { label }, start);
        }
        shows(
            &live,
            start + Duration::from_millis(300),
            &expect![[r#"
                 Working system edge
                         ├─ image web
                         │  └─ compose web
                         │     ├─ unpack nginx 1.26  0.3 s of about 0.8
                         │     └─ unpack libc6 2.41  0.3 s of about 0.4
                         └─ initrd
                            └─ kernel  0.3 s of about 1.0 s
                         0 of 7 done, about 3 s left"#]],
        );
        let elapsed = Duration::from_millis(500);
        for label in ["unpack libc6 2.41", "kernel"] {
            live.hear(&Event::Finished { label, elapsed }, start + elapsed);
        }
        live.hear(&Event::Started { label: "initrd" }, start + elapsed);
        shows(
            &live,
            start + Duration::from_millis(1500),
            &expect![[r#"
                 Working system edge
                         ├─ image web
                         │  └─ compose web
                         │     └─ unpack nginx 1.26  1.5 s of about 0.8
                         └─ initrd  1.0 s of about 3.0 s
                         2 of 7 done, about 2 s left"#]],
        );
        // Where there is no room, what runs is named in one line.
        let low = live.lines(start + elapsed, 40, 5);
        assert_eq!(low[0], "     Working unpack nginx 1.26, initrd");
        live.over();
        assert!(live.is_idle());
    }

    #[test]
    fn what_two_read_is_shown_once() {
        let start = Instant::now();
        let mut outline = outline();
        outline.actions[5].inputs.push(0);
        let mut live = Live::default();
        live.hear(&Event::Outline(&outline), start);
        let label = "unpack nginx 1.26";
        live.hear(&Event::Started { label }, start);
        let lines = live.lines(start, 80, 24);
        assert_eq!(lines.iter().filter(|l| l.contains(label)).count(), 1);
    }

    #[test]
    fn downloads_and_other_work_are_one_line() {
        let now = Instant::now();
        let mut live = Live::default();
        for name in ["a", "b"] {
            let (done, total) = (1 << 20, Some(4 << 20));
            live.hear(&Event::Download { name, done, total }, now);
        }
        live.work("checking", 5, None);
        shows(
            &live,
            now,
            &expect!["     Working checking 5 B; fetching 2 files 2.00 MiB of 8.0"],
        );
    }
}
