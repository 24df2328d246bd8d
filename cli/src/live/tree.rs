//! The actions of a build as a tree: from the result down to what runs and what has failed, as much
//! of it as there is room for.

use super::line::{ASIDE, FAILED, Line, RUNNING};
use crate::units::human_duration;
use nos_builder::events::Outline;
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

/// What is known of an action.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum State {
    /// It waits for its inputs or its turn.
    #[default]
    Waiting,
    /// It runs since then.
    Running(Instant),
    /// Its result is there.
    Done,
    /// It failed, after so long.
    Failed(Duration),
    /// It will not run, as something failed.
    Lost,
}

impl State {
    fn is_worth_showing(self) -> bool {
        matches!(self, State::Running(_) | State::Failed(_))
    }
}

/// An action and what is shown below it.
struct Node {
    at: usize,
    below: Vec<Node>,
}

impl Node {
    fn lines(&self) -> usize {
        1 + self.below.iter().map(Node::lines).sum::<usize>()
    }
}

/// The tree in at most `room` lines: first the whole of it, then without the actions that only lie
/// between two others, then a list of what runs and has failed, then the beginning of that.
pub(super) fn lines(outline: &Outline, states: &[State], now: Instant, room: usize) -> Vec<Line> {
    let grower = Grower { outline, states };
    let Some(last) = outline.actions.len().checked_sub(1) else {
        return Vec::new();
    };
    let mut root = grower.grow(last, &mut BTreeSet::new());
    if root.lines() > room {
        grower.prune(&mut root);
    }
    let mut lines = Vec::new();
    if root.lines() <= room {
        grower.draw(&root, "", "", now, &mut lines);
        return lines;
    }
    let list = grower.list();
    let shown = match list.len() > room {
        true => room.saturating_sub(1),
        false => list.len(),
    };
    for &at in list.iter().take(shown) {
        lines.push(grower.line(at, "", now));
    }
    let more = list.len() - shown;
    if more > 0 && room > 0 {
        let mut line = Line::default();
        line.add(&format!("… and {more} more"));
        lines.push(line);
    }
    lines
}

struct Grower<'a> {
    outline: &'a Outline,
    states: &'a [State],
}

impl Grower<'_> {
    fn state(&self, at: usize) -> State {
        self.states.get(at).copied().unwrap_or_default()
    }

    fn inputs(&self, at: usize) -> impl Iterator<Item = usize> {
        let action = self.outline.actions.get(at);
        action.into_iter().flat_map(|a| a.inputs.iter().copied())
    }

    /// Each action once, below the first that reads it.
    fn grow(&self, at: usize, seen: &mut BTreeSet<usize>) -> Node {
        let mut below = Vec::new();
        for input in self.inputs(at) {
            if self.leads_somewhere(input, seen) && seen.insert(input) {
                below.push(self.grow(input, seen));
            }
        }
        Node { at, below }
    }

    /// Whether something runs or has failed that `at` needs, or `at` itself, and was not shown
    /// elsewhere.
    fn leads_somewhere(&self, at: usize, seen: &BTreeSet<usize>) -> bool {
        let mut visited = BTreeSet::new();
        let mut open = vec![at];
        while let Some(at) = open.pop() {
            let is_new = !seen.contains(&at) && visited.insert(at);
            if !is_new || self.state(at) == State::Done {
                continue;
            }
            if self.state(at).is_worth_showing() {
                return true;
            }
            open.extend(self.inputs(at));
        }
        false
    }

    /// Puts what only leads to one other in its place.
    fn prune(&self, node: &mut Node) {
        for below in &mut node.below {
            while !self.state(below.at).is_worth_showing() {
                let Some(only) = below.below.pop() else { break };
                if !below.below.is_empty() {
                    below.below.push(only);
                    break;
                }
                *below = only;
            }
            self.prune(below);
        }
    }

    /// What has failed, and what runs, the longest first.
    fn list(&self) -> Vec<usize> {
        let all = self.states.iter().enumerate();
        let mut list: Vec<_> = all.filter(|(_, state)| state.is_worth_showing()).collect();
        list.sort_by_key(|(at, state)| match state {
            State::Running(since) => (Some(*since), *at),
            _ => (None, *at),
        });
        list.into_iter().map(|(at, _)| at).collect()
    }

    fn draw(&self, node: &Node, head: &str, indent: &str, now: Instant, lines: &mut Vec<Line>) {
        lines.push(self.line(node.at, head, now));
        for (n, below) in node.below.iter().enumerate() {
            let (branch, further) = match n + 1 == node.below.len() {
                true => ("└─ ", "   "),
                false => ("├─ ", "│  "),
            };
            let (head, further) = (format!("{indent}{branch}"), format!("{indent}{further}"));
            self.draw(below, &head, &further, now, lines);
        }
    }

    fn line(&self, at: usize, head: &str, now: Instant) -> Line {
        let mut line = Line::default();
        let Some(action) = self.outline.actions.get(at) else {
            return line;
        };
        line.add(head);
        match self.state(at) {
            State::Running(since) => {
                line.paint(&format!("▸ {}", action.label), RUNNING);
                let elapsed = now.saturating_duration_since(since);
                let told = action.estimate.filter(|e| e.as_secs() >= 1);
                match told {
                    Some(estimate) => line.add(&format!(
                        "  {} of about {}",
                        human_duration(elapsed),
                        human_duration(estimate)
                    )),
                    None if elapsed.as_secs() >= 1 => {
                        line.add(&format!("  {}", human_duration(elapsed)))
                    }
                    None => &mut line,
                };
            }
            State::Failed(after) => {
                line.paint(&format!("✗ {}", action.label), FAILED);
                line.add(&format!("  failed after {}", human_duration(after)));
            }
            State::Lost => {
                line.paint(&action.label, ASIDE).add("  will not run");
            }
            State::Waiting | State::Done => {
                line.add(&action.label);
            }
        }
        line
    }
}
