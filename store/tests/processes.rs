//! Many processes, killed ones, and a disk that is really full.
//!
//! Each test starts this program again, with `NOS_STORE_TEST` saying what to do; see [`child`].
#![allow(clippy::unwrap_used, clippy::panic)]

use nos_store::{
    ActionKey, ActionResult, Digest, GcOptions, ImportOptions, KeyBuilder, Output, RootTarget,
    Store, StoreError, VerifyOptions,
};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// Starts this test program as a child that does `what` to the store at `path`.
fn spawn(what: &str, path: &Path, wrapper: &[&str]) -> std::io::Result<Child> {
    let program = std::env::current_exe().unwrap();
    let mut command = match wrapper.split_first() {
        None => Command::new(program),
        Some((first, rest)) => {
            let mut command = Command::new(first);
            command.args(rest).arg(program);
            command
        }
    };
    command
        .args(["--exact", "child", "--nocapture", "--test-threads=1"])
        .env("NOS_STORE_TEST", what)
        .env("NOS_STORE_TEST_PATH", path)
        .stdout(Stdio::piped())
        .stdin(Stdio::null())
        .spawn()
}

/// Not a test by itself: what the processes started by the tests do.
#[test]
fn child() {
    let Ok(what) = std::env::var("NOS_STORE_TEST") else {
        return;
    };
    let path = std::env::var_os("NOS_STORE_TEST_PATH").unwrap();
    let path = Path::new(&path);
    match what.split_once(' ').unwrap_or((&what, "")) {
        ("build", seed) => build(path, seed.parse().unwrap(), u64::MAX),
        ("build-some", seed) => build(path, seed.parse().unwrap(), 30),
        ("collect", _) => {
            for _ in 0..200 {
                let store = Store::options().durable(false).open(path).unwrap();
                store.gc(&GcOptions::default(), &mut |_| {}).unwrap();
            }
        }
        ("fill", _) => fill(path),
        (other, _) => panic!("unknown task {other}"),
    }
}

fn key(n: u64) -> ActionKey {
    KeyBuilder::new("process/1").number("n", n % 7).finish()
}

fn step(name: &str) {
    let mut out = std::io::stdout().lock();
    // The parent may be gone; then this process is about to be killed anyway.
    let _gone = writeln!(out, "step {name}").and_then(|()| out.flush());
}

/// Builds one thing after the other, and looks each time whether it is all there.
fn build(path: &Path, seed: u64, rounds: u64) {
    // Beside the store, because a process that is killed removes nothing.
    let source = tempfile::tempdir_in(path.parent().unwrap()).unwrap();
    for n in seed..seed.saturating_add(rounds) {
        let store = Store::options().durable(false).open(path).unwrap();
        for i in 0..5 {
            std::fs::write(source.path().join(format!("f{i}")), format!("{n} {i}")).unwrap();
        }
        std::fs::write(source.path().join("big"), vec![n as u8; 1_200_000]).unwrap();
        let tree = store
            .import_folder(source.path(), &ImportOptions::default())
            .unwrap();
        step("imported");
        let digest = store.add_tree(&tree).unwrap();
        let result = ActionResult::with_output("out", Output::Tree(digest));
        store.put_result(&key(n), &result).unwrap();
        step("result");
        let name = format!("root {}", n % 3);
        match store.set_root(&name, &[RootTarget::Tree(digest)]) {
            Ok(()) => {}
            Err(error) => panic!("a running build lost its output: {error}"),
        }
        step("root");
        for (_, node) in store.read_tree(&digest).unwrap().iter() {
            if let nos_formats::tree::Kind::File(blob) = &node.kind {
                store.read_object(&blob.digest).unwrap();
            }
        }
        if let Some(found) = store.result(&key(n + 3)).unwrap() {
            let tree = store.read_tree(&found.tree("out").unwrap()).unwrap();
            for (_, node) in tree.iter() {
                if let nos_formats::tree::Kind::File(blob) = &node.kind {
                    store.read_object(&blob.digest).unwrap();
                }
            }
        }
        if rounds == u64::MAX && n % 4 == 0 {
            store.gc(&GcOptions::default(), &mut |_| {}).unwrap();
            step("collected");
        }
        store.remove_root(&format!("root {}", (n + 1) % 3)).unwrap();
    }
}

fn assert_whole(path: &Path) {
    let store = Store::options().durable(false).open(path).unwrap();
    let mut events = Vec::new();
    let report = store
        .verify(&VerifyOptions::default(), &mut |event| {
            if !matches!(event, nos_store::VerifyEvent::Checked { .. }) {
                events.push(format!("{event:?}"));
            }
        })
        .unwrap();
    assert_eq!(events, [""; 0]);
    assert_eq!(report.problems, 0);
}

#[test]
fn a_process_killed_anywhere_leaves_a_whole_store() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store");
    for round in 0..25u64 {
        let mut child = spawn(&format!("build {}", round * 100), &path, &[]).unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut steps = 0;
        while steps < 1 + round % 9 {
            let line = lines.next().expect("the child ended").unwrap();
            steps += u64::from(line.contains("step "));
        }
        // A few thousand turns later the child is in the middle of something.
        for turn in 0..round * 40_000 {
            std::hint::black_box(turn);
        }
        child.kill().unwrap();
        child.wait().unwrap();
        assert_whole(&path);
    }
    // Nothing of all those processes is held any more.
    let store = Store::options().durable(false).open(&path).unwrap();
    for name in store.roots().unwrap().into_keys() {
        store.remove_root(&name).unwrap();
    }
    drop(store);
    let store = Store::options().durable(false).open(&path).unwrap();
    let report = store.gc(&GcOptions::default(), &mut |_| {}).unwrap();
    assert_eq!(report.objects_kept, 0);
}

#[test]
fn builds_beside_a_collector_never_lose_what_they_saw() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store");
    let children: Vec<_> = ["build-some 0", "build-some 3", "collect", "build-some 5"]
        .iter()
        .map(|what| spawn(what, &path, &[]).unwrap())
        .collect();
    for child in children {
        let output = child.wait_with_output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{text}");
    }
    assert_whole(&path);
}

/// Stores until the disk is full, in a file system of a few megabytes.
fn fill(path: &Path) {
    let mount = Command::new("mount")
        .args(["-t", "tmpfs", "-o", "size=6m", "tmpfs"])
        .arg(path)
        .status();
    if !mount.is_ok_and(|status| status.success()) {
        step("nomount");
        return;
    }
    let path = path.join("store");
    let store = Store::open(&path).unwrap();
    let kept = store.add_bytes(b"kept").unwrap();
    store.set_root("kept", &[RootTarget::Object(kept)]).unwrap();
    drop(store);
    for size in [500usize, 40_000, 1_300_000] {
        let store = Store::open(&path).unwrap();
        let mut n = 0u64;
        let error = loop {
            let mut bytes = vec![3; size];
            bytes[..8].copy_from_slice(&n.to_le_bytes());
            n += 1;
            let added = store.add_reader(&mut &bytes[..]).and_then(|blob| {
                let result = ActionResult::with_output("out", Output::Object(blob));
                store.put_result(&KeyBuilder::new("fill").number("n", n).finish(), &result)
            });
            match added {
                Ok(()) => {}
                Err(error) => break error,
            }
        };
        assert!(error.is_disk_full(), "{error}");
        assert!(error.to_string().contains("free some space"), "{error}");
        drop(store);
        assert_whole(&path);
        // A full store can still be emptied, and then takes the same again.
        let store = Store::open(&path).unwrap();
        store.gc(&GcOptions::default(), &mut |_| {}).unwrap();
        assert_eq!(store.read_object(&Digest::of(b"kept")).unwrap(), b"kept");
        store.add_reader(&mut &vec![3; size][..]).unwrap();
    }
    step("filled");
}

#[test]
fn a_full_file_system_leaves_a_whole_store_that_can_be_emptied() {
    let dir = tempfile::tempdir().unwrap();
    // A mount namespace of our own; an ordinary user needs a user namespace for it.
    let Ok(child) = spawn(
        "fill",
        dir.path(),
        &["unshare", "--map-root-user", "--mount"],
    ) else {
        eprintln!("skipped: there is no unshare program to mount a small file system with");
        return;
    };
    let output = child.wait_with_output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    if text.contains("step filled") {
        return;
    }
    assert!(
        text.contains("step nomount") || text.is_empty(),
        "the store failed on a full file system: {text}"
    );
    eprintln!("skipped: this machine lets nobody mount a small file system here");
}

#[test]
fn two_processes_at_one_download_take_turns() {
    let dir = tempfile::tempdir().unwrap();
    let open = || Store::options().durable(false).open(dir.path()).unwrap();
    let digest = Digest::of(b"0123456789");
    let mut first = open().download(&digest).unwrap();
    first.push(b"01234").unwrap();
    std::thread::scope(|scope| {
        let (started, start) = std::sync::mpsc::channel();
        let second = scope.spawn(move || {
            let store = open();
            started.send(()).unwrap();
            let second = store.download(&digest)?;
            assert!(store.contains(&digest)?, "the first was not done yet");
            assert_eq!(second.resume_offset(), 0);
            second.discard()
        });
        start.recv().unwrap();
        first.push(b"56789").unwrap();
        first.finish(10).unwrap();
        let second: Result<(), StoreError> = second.join().unwrap();
        second.unwrap();
    });
    assert!(open().contains(&digest).unwrap());
}
