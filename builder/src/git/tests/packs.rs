//! Packs as git makes them.

use super::super::id::{Id, Kind};
use super::super::pack::{Limits, Object, Objects, read};
use super::{asked, fed, has_git};
use nos_store::Store;
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

/// The history of a repository: in each commit some files get new content.
fn history() -> impl Strategy<Value = Vec<Vec<(u8, Edit)>>> {
    let commit = prop::collection::vec((0u8..6, edit()), 1..5);
    prop::collection::vec(commit, 1..20)
}

/// What happens to a file.
#[derive(Debug, Clone)]
enum Edit {
    /// New content: a seed, and how many lines.
    Write(u8, u16),
    /// One more line somewhere in it.
    Insert(u16, u8),
}

fn edit() -> impl Strategy<Value = Edit> {
    prop_oneof![
        1 => (any::<u8>(), 0u16..600).prop_map(|(seed, lines)| Edit::Write(seed, lines)),
        4 => (any::<u16>(), any::<u8>()).prop_map(|(at, what)| Edit::Insert(at, what)),
    ]
}

/// The history in the form that `git fast-import` reads.
fn stream(history: &[Vec<(u8, Edit)>]) -> String {
    let mut files: BTreeMap<u8, Vec<String>> = BTreeMap::new();
    let mut out = String::new();
    for (number, edits) in history.iter().enumerate() {
        let message = format!("commit {number}");
        write!(
            out,
            "commit refs/heads/main\ncommitter A <a@b.example> {} +0000\ndata {}\n{message}\n",
            1_000_000_000 + number,
            message.len()
        )
        .unwrap();
        for (file, edit) in edits {
            let lines = files.entry(*file).or_default();
            match edit {
                Edit::Write(seed, count) => {
                    *lines = (0..*count)
                        .map(|n| format!("line {seed} {}", u32::from(n) * 7919))
                        .collect();
                }
                Edit::Insert(at, what) => {
                    let at = usize::from(*at) % (lines.len() + 1);
                    lines.insert(at, format!("inserted {what}"));
                }
            }
            let text = lines.join("\n");
            let path = format!("d{}/f{file}", file % 3);
            write!(out, "M 644 inline {path}\ndata {}\n{text}\n", text.len()).unwrap();
        }
    }
    out
}

/// The only pack of a repository.
fn pack_of(repository: &Path) -> PathBuf {
    let folder = repository.join("objects/pack");
    let mut packs: Vec<PathBuf> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|e| e == "pack"))
        .collect();
    assert_eq!(packs.len(), 1);
    packs.remove(0)
}

pub(super) fn objects(store: &Store, pack: &Path) -> Objects {
    let mut keep = |content: &mut dyn Read| store.add_reader(content);
    read(File::open(pack).unwrap(), &Limits::default(), &mut keep).unwrap()
}

/// What git says is in a repository: name → kind and size.
fn listed(repository: &Path) -> BTreeMap<String, String> {
    let listing = asked(
        repository,
        &["cat-file", "--batch-all-objects", "--batch-check"],
    );
    let lines = listing.lines().map(|line| line.split_once(' ').unwrap());
    lines
        .map(|(id, rest)| (id.to_owned(), rest.to_owned()))
        .collect()
}

fn described(objects: &Objects) -> BTreeMap<String, String> {
    let describe = |object: &Object| match object {
        Object::Blob(blob) => format!("{} {}", Kind::Blob.name(), blob.size),
        Object::Other(kind, bytes) => format!("{} {}", kind.name(), bytes.len()),
    };
    let described = objects.iter();
    described
        .map(|(id, object)| (id.to_string(), describe(object)))
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, ..ProptestConfig::default() })]

    #[test]
    fn every_object_of_a_pack_is_found_under_its_name(history in history(), offsets: bool) {
        if !has_git() {
            return Ok(());
        }
        let scratch = tempfile::tempdir().unwrap();
        let repository = scratch.path().join("r.git");
        asked(scratch.path(), &["init", "-q", "--bare", "r.git"]);
        fed(&repository, &["fast-import", "--quiet"], stream(&history).as_bytes());
        let offsets = format!("repack.useDeltaBaseOffset={offsets}");
        asked(&repository, &["-c", &offsets, "repack", "-qadf", "--depth=200", "--window=50"]);
        asked(&repository, &["prune", "--expire=now"]);
        let store = Store::open(scratch.path().join("store")).unwrap();
        let found = objects(&store, &pack_of(&repository));
        prop_assert_eq!(described(&found), listed(&repository));
        // The name says what is in it; once it is compared by what is in it.
        let head = asked(&repository, &["rev-parse", "HEAD"]);
        let id: Id = head.parse().unwrap();
        let Some(Object::Other(Kind::Commit, bytes)) = found.get(&id) else {
            panic!("no commit {head}");
        };
        prop_assert_eq!(bytes, &fed(&repository, &["cat-file", "commit", &head], b""));
    }
}

#[test]
fn what_gc_aggressive_leaves_is_read() {
    if !has_git() {
        return;
    }
    let scratch = tempfile::tempdir().unwrap();
    let repository = scratch.path().join("r.git");
    asked(scratch.path(), &["init", "-q", "--bare", "r.git"]);
    // A chain of 300 deltas over one file.
    let mut history = vec![vec![(0, Edit::Write(1, 5000))]];
    history.extend((0..300u16).map(|n| vec![(0, Edit::Insert(n.wrapping_mul(97), n as u8))]));
    fed(
        &repository,
        &["fast-import", "--quiet"],
        stream(&history).as_bytes(),
    );
    asked(&repository, &["gc", "-q", "--aggressive", "--prune=now"]);
    let store = Store::open(scratch.path().join("store")).unwrap();
    let found = objects(&store, &pack_of(&repository));
    assert_eq!(described(&found), listed(&repository));
}
