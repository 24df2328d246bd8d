//! What each byte of a trimmed image hangs on.
//!
//! A path stays as long as one of its reasons does. What would go with a path (or with a program,
//! a placed file, a `keep` glob) is what *only* it holds: everything that it dominates in the graph
//! of reasons. Dominators are found with the algorithm of Cooper, Harvey and Kennedy, "A Simple,
//! Fast Dominance Algorithm" (2001).

use super::{Reach, Reason};
use nos_formats::tree::TreePath;
use std::collections::BTreeMap;

/// Something that holds paths in an image.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Holder {
    /// A `keep` glob of the spec.
    Keep(String),
    /// A path, for any of its reasons.
    Path(TreePath),
}

/// How much hangs on a [`Holder`] alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Weight {
    /// What holds.
    pub holder: Holder,
    /// Bytes of its own.
    pub own_bytes: u64,
    /// Bytes that would go if it went, its own included.
    pub held_bytes: u64,
    /// What it alone holds, the heaviest first.
    pub below: Vec<Weight>,
}

/// The image's weight as a forest: roots are what the spec says itself. `size` gives the bytes of
/// a path, 0 for what is no file.
pub fn weigh(reach: &Reach, size: impl Fn(&TreePath) -> u64) -> Vec<Weight> {
    let graph = Graph::of(reach);
    let above = graph.dominators();
    let mut below: Vec<Vec<usize>> = vec![Vec::new(); graph.nodes.len()];
    for (node, parent) in above.iter().enumerate().skip(1) {
        if let Some(children) = parent.and_then(|parent| below.get_mut(parent)) {
            children.push(node);
        }
    }
    // A dominator comes before what it dominates in the order of the walk, so backwards every
    // subtree is whole before it is taken.
    let mut made: Vec<Option<Weight>> = vec![None; graph.nodes.len()];
    let mut roots = Vec::new();
    for &node in graph.order.iter().rev() {
        let children = below.get(node).into_iter().flatten();
        let mut parts: Vec<Weight> = children
            .filter_map(|child| made.get_mut(*child)?.take())
            .collect();
        parts.sort_by(|a, b| {
            let heavy = b.held_bytes.cmp(&a.held_bytes);
            heavy.then_with(|| a.holder.cmp(&b.holder))
        });
        let Some(Some(holder)) = graph.nodes.get(node) else {
            roots = parts;
            continue;
        };
        let own_bytes = match holder {
            Holder::Path(path) => size(path),
            Holder::Keep(_) => 0,
        };
        let below_bytes: u64 = parts.iter().map(|part| part.held_bytes).sum();
        if let Some(place) = made.get_mut(node) {
            *place = Some(Weight {
                holder: holder.clone(),
                own_bytes,
                held_bytes: own_bytes + below_bytes,
                below: parts,
            });
        }
    }
    roots
}

/// Who holds whom. Node 0 is the spec, which holds its own roots.
struct Graph {
    nodes: Vec<Option<Holder>>,
    holders: Vec<Vec<usize>>,
    /// Nodes that the spec reaches, in reverse postorder.
    order: Vec<usize>,
}

impl Graph {
    fn of(reach: &Reach) -> Self {
        let mut nodes: Vec<Option<Holder>> = vec![None];
        let mut number = BTreeMap::new();
        for path in reach.kept.keys() {
            number.insert(Holder::Path(path.clone()), nodes.len());
            nodes.push(Some(Holder::Path(path.clone())));
        }
        let mut edges = Vec::new();
        for path in reach.kept.keys() {
            let Some(&to) = number.get(&Holder::Path(path.clone())) else {
                continue;
            };
            for reason in reach.reasons(path) {
                let holder = match (reason, reason.cause()) {
                    (Reason::Keep(glob), _) => Holder::Keep(glob.clone()),
                    (_, Some(cause)) => Holder::Path(cause.clone()),
                    (_, None) => {
                        edges.push((0, to));
                        continue;
                    }
                };
                let from = *number.entry(holder.clone()).or_insert_with(|| {
                    nodes.push(Some(holder));
                    nodes.len() - 1
                });
                // A glob stands in the spec; a folder that was placed is named there.
                if matches!(reason, Reason::Keep(_) | Reason::Below(_)) {
                    edges.push((0, from));
                }
                edges.push((from, to));
            }
        }
        let mut held = vec![Vec::new(); nodes.len()];
        let mut holders = vec![Vec::new(); nodes.len()];
        for (from, to) in edges {
            held[from].push(to);
            holders[to].push(from);
        }
        let order = reverse_postorder(&held);
        Self {
            nodes,
            holders,
            order,
        }
    }

    /// The nearest dominator of each node; `None` for node 0 and what it does not reach.
    fn dominators(&self) -> Vec<Option<usize>> {
        let mut position = vec![usize::MAX; self.nodes.len()];
        for (place, node) in self.order.iter().enumerate() {
            position[*node] = place;
        }
        let mut above: Vec<Option<usize>> = vec![None; self.nodes.len()];
        above[0] = Some(0);
        let mut changed = true;
        while changed {
            changed = false;
            for &node in self.order.iter().skip(1) {
                let known = self.holders[node].iter().copied();
                let known = known.filter(|holder| above[*holder].is_some());
                let nearest = known.reduce(|a, b| common(&above, &position, a, b));
                if above[node] != nearest {
                    above[node] = nearest;
                    changed = true;
                }
            }
        }
        above[0] = None;
        above
    }
}

/// The nearest node that dominates both.
fn common(above: &[Option<usize>], position: &[usize], mut a: usize, mut b: usize) -> usize {
    while a != b {
        let deeper = if position[a] > position[b] {
            &mut a
        } else {
            &mut b
        };
        *deeper = above[*deeper].unwrap_or(0);
    }
    a
}

fn reverse_postorder(held: &[Vec<usize>]) -> Vec<usize> {
    let mut order = Vec::new();
    let mut seen = vec![false; held.len()];
    let mut open = vec![(0, 0)];
    seen[0] = true;
    while let Some((node, next)) = open.pop() {
        match held[node].get(next) {
            Some(&child) => {
                open.push((node, next + 1));
                if !seen[child] {
                    seen[child] = true;
                    open.push((child, 0));
                }
            }
            None => order.push(node),
        }
    }
    order.reverse();
    order
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::{Expect, expect};
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    fn path(text: &str) -> TreePath {
        TreePath::new(text).unwrap()
    }

    fn needed(by: &str) -> Reason {
        Reason::Needed {
            by: path(by),
            name: "x".into(),
        }
    }

    fn reach(edges: &[(&str, &[Reason])]) -> Reach {
        let mut reach = Reach::default();
        for (to, reasons) in edges {
            reach.kept.insert(path(to), reasons[0].clone());
            reach.also.insert(path(to), reasons[1..].to_vec());
        }
        reach
    }

    fn show(weights: &[Weight], level: usize, out: &mut String) {
        for weight in weights {
            let name = match &weight.holder {
                Holder::Keep(glob) => format!("keep {glob}"),
                Holder::Path(path) => path.to_string(),
            };
            let indent = "  ".repeat(level);
            out.push_str(&format!("{indent}{} {name}\n", weight.held_bytes));
            show(&weight.below, level + 1, out);
        }
    }

    fn check(reach: &Reach, expected: &Expect) {
        let mut out = String::new();
        show(&weigh(reach, |_| 10), 0, &mut out);
        expected.assert_eq(&out);
    }

    #[test]
    fn what_two_hold_goes_with_neither() {
        let reach = reach(&[
            ("nginx", &[Reason::Runs]),
            ("libssl", &[needed("nginx")]),
            ("libcrypto", &[needed("libssl")]),
            ("redis", &[Reason::Runs]),
            (
                "libc",
                &[needed("nginx"), needed("redis"), needed("libssl")],
            ),
            ("zone", &[Reason::Keep("zone/**".into())]),
            ("loop-a", &[needed("redis"), needed("loop-b")]),
            ("loop-b", &[needed("loop-a")]),
        ]);
        check(
            &reach,
            &expect![[r#"
            30 /nginx
              20 /libssl
                10 /libcrypto
            30 /redis
              20 /loop-a
                10 /loop-b
            10 keep zone/**
              10 /zone
            10 /libc
        "#]],
        );
    }

    proptest! {
        /// The definition itself: what a path holds is what nobody reaches without it.
        #[test]
        fn held_bytes_are_what_goes(edges in prop::collection::vec((0usize..8, 0usize..8), 1..30)) {
            let name = |n: usize| format!("f{n}");
            let mut all: BTreeMap<usize, Vec<Reason>> = BTreeMap::new();
            for (from, to) in &edges {
                let reason = if *from == 0 { Reason::Runs } else { needed(&name(*from)) };
                let reasons = all.entry(*to + 1).or_default();
                if !reasons.contains(&reason) && *from != *to + 1 {
                    reasons.push(reason);
                }
            }
            all.retain(|_, reasons| !reasons.is_empty());
            let reached = |without: Option<usize>| {
                let mut reached = BTreeSet::new();
                loop {
                    let before = reached.len();
                    for (to, reasons) in &all {
                        let stays = reasons.iter().any(|reason| match reason.cause() {
                            None => true,
                            Some(by) => reached.iter().any(|n: &usize| path(&name(*n)) == *by),
                        });
                        if stays && Some(*to) != without {
                            reached.insert(*to);
                        }
                    }
                    if reached.len() == before {
                        return reached;
                    }
                }
            };
            let everything = reached(None);
            let mut reach = Reach::default();
            for (to, reasons) in all.iter().filter(|(to, _)| everything.contains(to)) {
                reach.kept.insert(path(&name(*to)), reasons[0].clone());
                reach.also.insert(path(&name(*to)), reasons[1..].to_vec());
            }
            let mut open = weigh(&reach, |_| 1);
            let mut count = 0;
            while let Some(weight) = open.pop() {
                if let Holder::Path(at) = &weight.holder {
                    let n = everything.iter().find(|n| path(&name(**n)) == *at).unwrap();
                    let gone = everything.len() - reached(Some(*n)).len();
                    prop_assert_eq!(weight.held_bytes, gone as u64);
                    count += 1;
                }
                open.extend(weight.below);
            }
            prop_assert_eq!(count, everything.len());
        }
    }
}
