//! Tests: stop at every change, as a full disk or a dead process does, and look at what is left.

use crate::fs::{Fs, faults::Faults};
use crate::{
    ActionKey, ActionResult, Digest, GcOptions, ImportOptions, KeyBuilder, Output, Result,
    RootTarget, Store, StoreError, VerifyOptions,
};
use std::path::Path;
use std::sync::Arc;

fn key(name: &str) -> ActionKey {
    KeyBuilder::new("crash/1").text("name", name).finish()
}

fn open_faulty(path: &Path, faults: &Arc<Faults>) -> Result<Store> {
    let mut fs = Fs::open(path)?;
    fs.set_faults(faults.clone());
    Store::options().threads(1).durable(true).open_fs(fs)
}

fn open_quick(path: &Path) -> Store {
    Store::options().durable(false).open(path).unwrap()
}

/// A life of a store: everything that changes it, once.
fn scenario(store: &Store, source: &Path) -> Result<()> {
    let options = ImportOptions::default();
    let tree = store.add_tree(&store.import_folder(source, &options)?)?;
    let mut result = ActionResult::with_output("tree", Output::Tree(tree));
    let large = store.add_file(source.join("large"))?;
    result.outputs.insert("large".into(), Output::Object(large));
    store.put_result(&key("one"), &result)?;
    let mut download = store.download(&Digest::of(b"downloaded"))?;
    let there = usize::try_from(download.resume_offset()).unwrap();
    for piece in b"downloaded"[there..].chunks(4) {
        download.push(piece)?;
    }
    let blob = download.finish(10)?;
    let two = ActionResult::with_output("deb", Output::Object(blob));
    store.put_result(&key("two"), &two)?;
    store.set_root("root", &[RootTarget::Result(key("two"))])?;
    store.set_root("root", &[RootTarget::Result(key("one"))])?;
    // A record replaced by another.
    result.facts.insert("checked".into(), "yes".into());
    store.put_result(&key("one"), &result)?;
    Ok(())
}

fn make_source(path: &Path) {
    std::fs::create_dir_all(path.join("dir")).unwrap();
    std::fs::write(path.join("dir/a"), "a").unwrap();
    std::fs::write(path.join("b"), "b").unwrap();
    std::fs::write(path.join("large"), vec![7u8; 3 << 20]).unwrap();
}

/// A fresh look at the store: everything in it is whole.
fn assert_whole(path: &Path, when: &str) {
    if !path.join("meta.json").exists() {
        return;
    }
    let store = open_quick(path);
    let mut problems = Vec::new();
    let report = store
        .verify(&VerifyOptions::default(), &mut |event| {
            if let crate::VerifyEvent::Problem(problem) = event {
                problems.push(problem.to_string());
            }
        })
        .unwrap();
    assert_eq!(problems, [""; 0], "{when}");
    assert_eq!(report.problems, 0, "{when}");
}

#[test]
fn a_disk_that_fills_at_any_change_leaves_a_whole_store() {
    let dir = tempfile::tempdir().unwrap();
    let source = dir.path().join("source");
    make_source(&source);
    let mut changes = 0usize;
    loop {
        let path = dir.path().join(format!("store-{changes}"));
        std::fs::create_dir(&path).unwrap();
        let faults = Faults::after(changes);
        let done = open_faulty(&path, &faults).and_then(|store| scenario(&store, &source));
        assert_whole(&path, &format!("stopped after {changes} changes"));
        // Whatever was left, the same work can be done from there.
        scenario(&open_quick(&path), &source).unwrap();
        assert_whole(&path, &format!("resumed after {changes} changes"));
        std::fs::remove_dir_all(&path).unwrap();
        match done {
            Ok(()) => break,
            Err(error) => {
                assert!(error.is_disk_full(), "{error}");
                assert!(error.to_string().contains("free some space"), "{error}");
            }
        }
        changes += 1;
    }
    assert!(changes > 40, "only {changes} changes were seen");
}

#[test]
fn a_collection_stopped_at_any_change_leaves_a_whole_store() {
    let dir = tempfile::tempdir().unwrap();
    let source = dir.path().join("source");
    make_source(&source);
    for keep_root in [true, false] {
        let mut changes = 0usize;
        loop {
            let path = dir.path().join(format!("store-{keep_root}-{changes}"));
            let store = open_quick(&path);
            scenario(&store, &source).unwrap();
            if !keep_root {
                store.remove_root("root").unwrap();
            }
            drop(store);
            let faults = Faults::after(changes);
            let done = open_faulty(&path, &faults)
                .and_then(|store| store.gc(&GcOptions::default(), &mut |_| {}));
            assert_whole(
                &path,
                &format!("collection stopped after {changes} changes"),
            );
            let report = open_quick(&path)
                .gc(&GcOptions::default(), &mut |_| {})
                .unwrap();
            assert_eq!(report.objects_kept, if keep_root { 4 } else { 0 });
            std::fs::remove_dir_all(&path).unwrap();
            if done.is_ok() {
                break;
            }
            changes += 1;
        }
        assert!(changes > 2, "only {changes} changes were seen");
    }
}

#[test]
fn file_systems_without_unnamed_files_work_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let source = dir.path().join("source");
    make_source(&source);
    let path = dir.path().join("store");
    std::fs::create_dir(&path).unwrap();
    let mut fs = Fs::open(&path).unwrap();
    fs.forbid_unnamed();
    let store = Store::options().open_fs(fs).unwrap();
    scenario(&store, &source).unwrap();
    assert_whole(&path, "without unnamed files");
    let left: Vec<_> = std::fs::read_dir(path.join("tmp")).unwrap().collect();
    assert!(left.is_empty(), "{left:?}");
    // A file that a dead process left there goes with the next collection.
    std::fs::write(path.join("tmp/1-1"), "half").unwrap();
    store.gc(&GcOptions::default(), &mut |_| {}).unwrap();
    assert!(!path.join("tmp/1-1").exists());
}

#[test]
fn sources_that_change_while_they_are_read_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path().join("store")).unwrap();
    // A file whose length is not what its status says is one that grows under our hands.
    let error = store.add_file("/proc/self/status").unwrap_err();
    assert!(matches!(error, StoreError::Changed { .. }), "{error}");
}

/// The changes between the last that starts with `from` before one that starts with `to`.
fn between<'a>(log: &'a [String], from: &str, to: &str) -> &'a [String] {
    let end = log.iter().position(|op| op.starts_with(to)).unwrap();
    let start = log[..end].iter().rposition(|op| op.starts_with(from));
    &log[start.unwrap()..end]
}

#[test]
fn names_become_visible_only_after_what_they_name_is_durable() {
    let dir = tempfile::tempdir().unwrap();
    let source = dir.path().join("source");
    make_source(&source);
    let path = dir.path().join("store");
    std::fs::create_dir(&path).unwrap();
    let faults = Faults::after(usize::MAX);
    let store = open_faulty(&path, &faults).unwrap();
    scenario(&store, &source).unwrap();
    let log = faults.log();
    let synced = |ops: &[String]| ops.iter().any(|op| op.starts_with("sync "));
    assert!(synced(between(&log, "link objects/", "link results/")));
    assert!(
        synced(between(&log, "write", "link results/")),
        "the result itself"
    );
    assert!(synced(between(&log, "link results/", "link roots/")));
    let root = log.iter().position(|op| op == "link roots/root").unwrap();
    assert_eq!(log[root + 1], "sync-dir roots");
    let replaced = log
        .iter()
        .rposition(|op| op == "rename roots/root")
        .unwrap();
    assert_eq!(log[replaced + 1], "sync-dir roots");

    store.remove_root("root").unwrap();
    drop(store);
    let faults = Faults::after(usize::MAX);
    let store = open_faulty(&path, &faults).unwrap();
    store.gc(&GcOptions::default(), &mut |_| {}).unwrap();
    assert!(synced(between(
        &faults.log(),
        "remove results/",
        "remove objects/"
    )));
}
