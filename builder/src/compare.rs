//! Two builds of one system, action by action: where they part for the first time.

use crate::build::Session;
use crate::error::BuildError;
use crate::plan::plan;
use crate::realise::{Realised, survey};
use nos_formats::tree::{Kind, Node, Tree, TreePath};
use nos_specs::lock::Lock;
use nos_specs::system::System;
use nos_store::{Blob, Digest, Output, Store};
use std::collections::BTreeSet;
use std::fmt;
use std::io::{self, Read};

/// Where two builds part.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Difference {
    /// The action that gave other bytes for equal inputs.
    pub action: String,
    /// Which of its outputs or facts.
    pub output: String,
    /// The path inside of it, where it is a tree.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// What differs there.
    pub what: String,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.action)?;
        match &self.path {
            Some(path) => write!(f, "/{} {}", path.trim_start_matches('/'), self.what),
            None => write!(f, "{} {}", self.output, self.what),
        }
    }
}

/// The first difference between two builds of `system`, each whole in its own store. Actions are
/// looked at in the order in which they depend on each other, so the one that is named had equal
/// inputs.
///
/// # Errors
/// [`BuildError`] where an action's result or an object is missing or cannot be read.
pub fn first_difference(
    first: &Session<'_>,
    second: &Session<'_>,
    system: &System,
    lock: &Lock,
) -> Result<Option<Difference>, BuildError> {
    let plan = plan(system, lock)?;
    let before = survey(&first.builder(), &plan)?;
    let after = survey(&second.builder(), &plan)?;
    for (id, action) in plan.iter() {
        let missing = || BuildError::MissingOutput { name: "result" };
        let (a, b) = (
            before.get(&id).ok_or_else(missing)?,
            after.get(&id).ok_or_else(missing)?,
        );
        let found = between(first.store, a, second.store, b)?;
        if let Some((output, path, what)) = found {
            return Ok(Some(Difference {
                action: action.label.clone(),
                output,
                path: path.map(|path| path.to_string()),
                what,
            }));
        }
    }
    Ok(None)
}

/// Output or fact, path in it, and what differs.
type Found = Option<(String, Option<TreePath>, String)>;

fn between(first: &Store, a: &Realised, second: &Store, b: &Realised) -> Result<Found, BuildError> {
    let names = a.result.outputs.keys().chain(b.result.outputs.keys());
    for name in names.collect::<BTreeSet<_>>() {
        let (x, y) = (a.result.outputs.get(name), b.result.outputs.get(name));
        match (x, y) {
            (x, y) if x == y => {}
            (Some(Output::Tree(x)), Some(Output::Tree(y))) => {
                let (path, what) = between_trees(first, x, second, y)?;
                return Ok(Some((name.clone(), path, what)));
            }
            (Some(Output::Object(x)), Some(Output::Object(y))) => {
                let what = between_objects(first, x, second, y)?;
                return Ok(Some((name.clone(), None, what)));
            }
            _ => return Ok(Some((name.clone(), None, "is of another kind".into()))),
        }
    }
    let facts = a.result.facts.keys().chain(b.result.facts.keys());
    let differs = |name: &&String| a.result.facts.get(*name) != b.result.facts.get(*name);
    let fact = facts.collect::<BTreeSet<_>>().into_iter().find(differs);
    Ok(fact.map(|name| (name.clone(), None, "is another value".into())))
}

fn between_trees(
    first: &Store,
    a: &Digest,
    second: &Store,
    b: &Digest,
) -> Result<(Option<TreePath>, String), BuildError> {
    let (a, b) = (first.read_tree(a)?, second.read_tree(b)?);
    let paths = |tree: &Tree<Blob>| tree.iter().map(|(path, _)| path.clone()).collect();
    let (left, right): (BTreeSet<TreePath>, BTreeSet<TreePath>) = (paths(&a), paths(&b));
    for path in left.union(&right) {
        let what = match (a.get(path), b.get(path)) {
            (Some(x), Some(y)) if x == y => continue,
            (Some(x), Some(y)) => between_nodes(first, x, second, y)?,
            (Some(_), None) => "is only in the first build".to_string(),
            _ => "is only in the second build".to_string(),
        };
        return Ok((Some(path.clone()), what));
    }
    Ok((None, "is listed otherwise".into()))
}

fn between_nodes(
    first: &Store,
    a: &Node<Blob>,
    second: &Store,
    b: &Node<Blob>,
) -> Result<String, BuildError> {
    match (&a.kind, &b.kind) {
        (Kind::File(x), Kind::File(y)) if x != y => between_objects(first, x, second, y),
        (x, y) if x != y => Ok("is of another kind, or leads elsewhere".into()),
        _ => Ok(format!(
            "has mode {:o} and owner {}:{}, then {:o} and {}:{}, or other attributes",
            a.metadata.mode,
            a.metadata.uid,
            a.metadata.gid,
            b.metadata.mode,
            b.metadata.uid,
            b.metadata.gid
        )),
    }
}

fn between_objects(
    first: &Store,
    a: &Blob,
    second: &Store,
    b: &Blob,
) -> Result<String, BuildError> {
    let unreadable = |error| BuildError::Io {
        path: first.object_path(&a.digest),
        error,
    };
    let (x, y) = (
        first.open_object(&a.digest)?,
        second.open_object(&b.digest)?,
    );
    let offset = first_unequal_byte(x, y).map_err(unreadable)?;
    Ok(format!(
        "differs from byte {offset} (of {} and {})",
        a.size, b.size
    ))
}

fn first_unequal_byte(a: impl Read, b: impl Read) -> io::Result<u64> {
    let (a, b) = (io::BufReader::new(a), io::BufReader::new(b));
    let mut offset = 0;
    let (mut a, mut b) = (a.bytes(), b.bytes());
    loop {
        match (a.next().transpose()?, b.next().transpose()?) {
            (Some(x), Some(y)) if x == y => offset += 1,
            _ => return Ok(offset),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::realise::Fate;
    use nos_formats::tree::Metadata;
    use nos_store::ActionResult;

    struct Side {
        _folder: tempfile::TempDir,
        store: Store,
    }

    impl Side {
        fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let store = Store::open(folder.path().join("store")).unwrap();
            Self {
                _folder: folder,
                store,
            }
        }

        fn tree(&self, files: &[(&str, &str, u16)]) -> Realised {
            let mut tree = Tree::new();
            for (path, text, mode) in files {
                let node = Node {
                    metadata: Metadata::with_mode(*mode),
                    kind: Kind::File(Blob {
                        digest: self.store.add_bytes(text.as_bytes()).unwrap(),
                        size: text.len() as u64,
                    }),
                };
                let path = TreePath::new(path).unwrap();
                tree.insert_with_parents(path, node).unwrap();
            }
            let digest = self.store.add_tree(&tree).unwrap();
            Realised {
                result: ActionResult::with_output("tree", Output::Tree(digest)),
                key: None,
                fate: Fate::Built,
            }
        }
    }

    #[test]
    fn the_first_path_that_differs_is_named_with_the_byte() {
        let (first, second) = (Side::new(), Side::new());
        let a = first.tree(&[("a/same", "1", 0o644), ("b", "hello", 0o644)]);
        for (other, place, what) in [
            (("b", "hello", 0o644), None, ""),
            (
                ("b", "help", 0o644),
                Some("/b"),
                "differs from byte 3 (of 5 and 4)",
            ),
            (("b", "hello", 0o755), Some("/b"), "has mode 644"),
            (
                ("aa", "hello", 0o644),
                Some("/aa"),
                "is only in the second build",
            ),
        ] {
            let b = second.tree(&[("a/same", "1", 0o644), other]);
            let found = between(&first.store, &a, &second.store, &b).unwrap();
            match (found, place) {
                (None, None) => {}
                (Some((_, Some(path), said)), Some(place)) => {
                    assert_eq!(path.to_string(), place);
                    assert!(said.starts_with(what), "{said}");
                }
                (found, _) => panic!("{found:?}"),
            }
        }
    }
}
