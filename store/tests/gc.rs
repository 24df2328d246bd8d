//! Roots, garbage collection and verification.
#![allow(clippy::unwrap_used)]

use nos_formats::tree::{Kind, Metadata, Node, Tree, TreePath};
use nos_store::{
    ActionKey, ActionResult, Blob, Digest, GcEvent, GcOptions, GcReport, KeyBuilder, Output,
    Problem, RootTarget, Store, StoreError, VerifyEvent, VerifyOptions,
};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

struct World {
    _dir: tempfile::TempDir,
    path: PathBuf,
}

impl World {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("store");
        Self { _dir: dir, path }
    }

    /// A new session: nothing of earlier ones is held once they are dropped.
    fn open(&self) -> Store {
        Store::options().durable(false).open(&self.path).unwrap()
    }

    fn gc(&self) -> GcReport {
        self.open().gc(&GcOptions::default(), &mut |_| {}).unwrap()
    }

    fn problems(&self, repair: bool) -> Vec<Problem> {
        let mut problems = Vec::new();
        let options = VerifyOptions { repair };
        self.open()
            .verify(&options, &mut |event| {
                if let VerifyEvent::Problem(problem) = event {
                    problems.push(problem);
                }
            })
            .unwrap();
        problems
    }
}

fn key(name: &str) -> ActionKey {
    KeyBuilder::new("test/1").text("name", name).finish()
}

fn tree_of(store: &Store, files: &[&str]) -> Digest {
    let mut tree = Tree::new();
    for file in files {
        let digest = store.add_bytes(file.as_bytes()).unwrap();
        let size = file.len() as u64;
        let kind = Kind::File(Blob { digest, size });
        let metadata = Metadata::with_mode(0o644);
        tree.insert(TreePath::new(file).unwrap(), Node { metadata, kind })
            .unwrap();
    }
    store.add_tree(&tree).unwrap()
}

fn corrupt(path: &Path) {
    let mut bytes = std::fs::read(path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0x20;
    std::fs::remove_file(path).unwrap();
    std::fs::write(path, bytes).unwrap();
}

#[test]
fn roots_keep_what_they_name_and_nothing_else() {
    let world = World::new();
    let store = world.open();
    let tree = tree_of(&store, &["a", "b"]);
    let other = tree_of(&store, &["b", "c"]);
    let lone = store.add_bytes(b"lone").unwrap();
    store
        .put_result(
            &key("t"),
            &ActionResult::with_output("out", Output::Tree(tree)),
        )
        .unwrap();
    store
        .put_result(
            &key("o"),
            &ActionResult::with_output("out", Output::Tree(other)),
        )
        .unwrap();
    store
        .set_root(
            "out/link",
            &[RootTarget::Result(key("t")), RootTarget::Object(lone)],
        )
        .unwrap();
    drop(store);

    let dry = GcOptions {
        dry_run: true,
        ..GcOptions::default()
    };
    let planned = world.open().gc(&dry, &mut |_| {}).unwrap();
    assert!(world.open().contains(&other).unwrap());
    let done = world.gc();
    assert_eq!(done, planned);
    assert_eq!((done.objects_removed, done.results_removed), (2, 1));
    let store = world.open();
    assert_eq!(store.read_tree(&tree).unwrap().len(), 3);
    for (text, kept) in [("a", true), ("b", true), ("c", false), ("lone", true)] {
        assert_eq!(store.contains(&Digest::of(text.as_bytes())).unwrap(), kept);
    }
    assert!(store.result(&key("t")).unwrap().is_some());
    assert!(store.result(&key("o")).unwrap().is_none());
    assert_eq!(world.problems(false), []);

    assert!(store.remove_root("out/link").unwrap());
    assert!(!store.remove_root("out/link").unwrap());
    drop(store);
    assert_eq!(world.gc().objects_kept, 0);
    assert_eq!(world.gc(), GcReport::default());
}

#[test]
fn running_sessions_keep_what_they_saw() {
    let world = World::new();
    let builder = world.open();
    let tree = tree_of(&builder, &["a", "b"]);
    drop(builder);
    let result = ActionResult::with_output("out", Output::Tree(tree));
    world.open().put_result(&key("t"), &result).unwrap();

    // Found by its result: the whole tree stays while this session lives.
    let builder = world.open();
    assert!(builder.result(&key("t")).unwrap().is_some());
    builder.add_bytes(b"new").unwrap();
    assert_eq!(world.gc().objects_removed, 0);
    assert_eq!(builder.read_tree(&tree).unwrap().len(), 3);
    assert!(world.open().result(&key("t")).unwrap().is_some());
    drop(builder);
    assert_eq!(world.gc().objects_removed, 4);
    assert!(world.open().result(&key("t")).unwrap().is_none());
}

#[test]
fn what_was_found_together_stays_like_what_was_found_alone() {
    let world = World::new();
    let builder = world.open();
    let tree = tree_of(&builder, &["a", "b"]);
    let alone = builder.add_bytes(b"alone").unwrap();
    let result = ActionResult::with_output("out", Output::Tree(tree));
    builder.put_result(&key("t"), &result).unwrap();
    drop(builder);

    let builder = world.open();
    let looked_up = || {
        assert!(builder.result(&key("t")).unwrap().is_some());
        // One inside the other, as functions that call each other have it.
        builder.together(|| {
            assert!(builder.contains(&alone).unwrap());
            Ok::<_, StoreError>(())
        })
    };
    builder.together(looked_up).unwrap();
    // A collection waits for no process that is between two operations.
    assert_eq!(world.gc().objects_removed, 0);
    drop(builder);
    assert_eq!(world.gc().objects_removed, 4);

    let builder = world.open();
    let added = builder.together(|| {
        builder.add_bytes(b"new")?;
        Err::<Digest, _>(StoreError::Missing { digest: alone })
    });
    assert!(matches!(added, Err(StoreError::Missing { .. })));
    assert_eq!(world.gc().objects_removed, 0);
}

#[test]
fn collections_can_be_bounded_by_bytes_and_by_time() {
    let world = World::new();
    let store = world.open();
    for i in 0..10u8 {
        store.add_bytes(&[i; 5000]).unwrap();
    }
    let tree = tree_of(&store, &["x"]);
    let result = ActionResult::with_output("out", Output::Tree(tree));
    store.put_result(&key("t"), &result).unwrap();
    drop(store);
    let recent = GcOptions {
        keep_newer_than: Some(SystemTime::now() - Duration::from_secs(3600)),
        ..GcOptions::default()
    };
    let report = world.open().gc(&recent, &mut |_| {}).unwrap();
    assert_eq!((report.objects_removed, report.results_kept), (0, 1));
    let some = GcOptions {
        max_free_bytes: Some(10_000),
        ..GcOptions::default()
    };
    let report = world.open().gc(&some, &mut |_| {}).unwrap();
    assert_eq!(report.results_removed, 1, "results go before objects");
    assert!((2..12).contains(&report.objects_removed), "{report:?}");
    assert_eq!(world.problems(false), []);
}

#[test]
fn nothing_is_removed_when_a_root_cannot_be_understood() {
    let world = World::new();
    let store = world.open();
    let tree = tree_of(&store, &["a"]);
    store.set_root("r", &[RootTarget::Tree(tree)]).unwrap();
    let root = world.path.join("roots/r");
    let text = std::fs::read_to_string(&root).unwrap();
    std::fs::remove_file(&root).unwrap();
    std::fs::write(&root, text.replace("tree", "twig")).unwrap();
    drop(store);
    let error = world.open().gc(&GcOptions::default(), &mut |_| {});
    assert!(matches!(error, Err(StoreError::BadRoot { .. })));
    std::fs::write(&root, text).unwrap();
    corrupt(&world.open().object_path(&tree));
    let error = world.open().gc(&GcOptions::default(), &mut |_| {});
    assert!(matches!(error, Err(StoreError::Damaged { .. })));
    assert!(world.open().contains(&Digest::of(b"a")).unwrap());
}

#[test]
fn dangling_roots_and_abandoned_files_are_told() {
    let world = World::new();
    let store = world.open();
    let tree = tree_of(&store, &["a"]);
    store.set_root("r", &[RootTarget::Tree(tree)]).unwrap();
    std::fs::remove_file(store.object_path(&tree)).unwrap();
    let mut download = store.download(&Digest::of(b"never")).unwrap();
    download.push(b"nev").unwrap();
    let sweep = || {
        let mut events = Vec::new();
        world
            .open()
            .gc(&GcOptions::default(), &mut |event| events.push(event))
            .unwrap();
        events
    };
    let dangling = GcEvent::Dangling {
        target: RootTarget::Tree(tree),
    };
    assert_eq!(sweep(), [dangling], "a held download must stay");
    drop((download, store));
    assert!(
        sweep()
            .iter()
            .any(|e| matches!(e, GcEvent::Leftover { path, .. } if path.starts_with("downloads/")))
    );
}

#[test]
fn every_damage_is_named_and_repaired_by_building_again() {
    let world = World::new();
    let store = world.open();
    let tree = tree_of(&store, &["a", "b"]);
    let build = |store: &Store| {
        let result = ActionResult::with_output("out", Output::Tree(tree_of(store, &["a", "b"])));
        store.put_result(&key("t"), &result).unwrap();
        store
            .set_root("r", &[RootTarget::Result(key("t"))])
            .unwrap();
    };
    build(&store);
    assert_eq!(world.problems(false), []);

    let damages: [&dyn Fn(); 4] = [
        &|| corrupt(&store.object_path(&Digest::of(b"a"))),
        &|| std::fs::remove_file(store.object_path(&Digest::of(b"b"))).unwrap(),
        &|| corrupt(&store.object_path(&tree)),
        &|| {
            let hex = key("t").to_string();
            corrupt(&world.path.join("results").join(&hex[..2]).join(&hex[2..]));
        },
    ];
    for damage in damages {
        damage();
        let found = world.problems(false);
        assert!(!found.is_empty());
        assert_eq!(world.problems(true), found, "looking changed something");
        assert!(store.result(&key("t")).unwrap().is_none());
        build(&store);
        assert_eq!(world.problems(false), []);
    }
}

#[test]
fn foreign_files_are_named_and_left_alone() {
    let world = World::new();
    let store = world.open();
    store.add_bytes(b"x").unwrap();
    let foreign = world.path.join("objects/README");
    std::fs::write(&foreign, "hi").unwrap();
    let path = "objects/README".to_owned();
    assert_eq!(world.problems(true), [Problem::Foreign { path }]);
    assert!(foreign.exists());
}
