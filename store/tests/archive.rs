//! Archives: the same bytes from any store, and nothing named that was not checked.
#![allow(clippy::unwrap_used)]

use nos_formats::tree::{Kind, Metadata, Node, Tree, TreePath};
use nos_store::{
    ActionKey, ActionResult, Blob, Digest, KeyBuilder, Output, RootTarget, SecretKey, Store,
    StoreError, Trust, VerifyOptions,
};

fn open() -> (tempfile::TempDir, Store) {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::options().durable(false).open(dir.path()).unwrap();
    (dir, store)
}

fn key() -> ActionKey {
    KeyBuilder::new("test/1").finish()
}

/// A store with one result (a tree of two files and a lone file) and some garbage.
fn filled() -> (tempfile::TempDir, Store) {
    let (dir, store) = open();
    let mut tree = Tree::new();
    for name in ["a", "b"] {
        let digest = store.add_bytes(name.as_bytes()).unwrap();
        let kind = Kind::File(Blob { digest, size: 1 });
        let metadata = Metadata::with_mode(0o644);
        tree.insert(TreePath::new(name).unwrap(), Node { metadata, kind })
            .unwrap();
    }
    let tree = store.add_tree(&tree).unwrap();
    let lone = store.add_reader(&mut &[5u8; 3000][..]).unwrap();
    let mut result = ActionResult::with_output("tree", Output::Tree(tree));
    result.outputs.insert("lone".into(), Output::Object(lone));
    store.put_result(&key(), &result).unwrap();
    (dir, store)
}

fn export(store: &Store, signer: Option<&SecretKey>) -> (Digest, Vec<u8>) {
    let mut archive = Vec::new();
    let targets = [RootTarget::Result(key())];
    let report = store.export(&targets, signer, &mut archive).unwrap();
    assert_eq!(report.objects, 4);
    (report.digest, archive)
}

fn objects(store: &Store) -> u64 {
    let report = store
        .verify(&VerifyOptions::default(), &mut |_| {})
        .unwrap();
    assert_eq!(report.problems, 0);
    report.objects
}

#[test]
fn a_closure_travels_whole_and_has_the_same_bytes_from_anywhere() {
    let (_a, first) = filled();
    first.add_bytes(b"garbage").unwrap();
    let (digest, archive) = export(&first, None);
    let (_b, second) = open();
    let report = second.import(&mut &archive[..], &Trust::Anyone).unwrap();
    assert_eq!(report.targets, [RootTarget::Result(key())]);
    assert_eq!((report.objects, report.signer), (4, None));
    assert_eq!(
        second.result(&key()).unwrap(),
        first.result(&key()).unwrap()
    );
    assert_eq!(objects(&second), 4);
    assert_eq!(export(&second, None), (digest, archive));
}

#[test]
fn the_uncompressed_bytes_are_pinned() {
    // A change here is a change of the format: archives of older programs must still be read.
    let (_a, store) = filled();
    let (digest, archive) = export(&store, None);
    let plain = zstd::decode_all(&archive[..]).unwrap();
    assert_eq!(Digest::of(&plain), digest);
    assert_eq!(
        digest.to_string(),
        "6f17a7b0fd4c64b9efd6054eb287dd9f20f3dda8a38b646cb2d3b3c79c4c8d48"
    );
}

#[test]
fn other_tools_can_read_an_archive() {
    let (_a, store) = filled();
    let (_, archive) = export(&store, None);
    let plain = zstd::decode_all(&archive[..]).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("archive.tar");
    std::fs::write(&path, plain).unwrap();
    let Ok(listed) = std::process::Command::new("tar")
        .arg("-tf")
        .arg(&path)
        .output()
    else {
        eprintln!("skipped: there is no tar program to check against");
        return;
    };
    assert!(listed.status.success());
    let names = String::from_utf8(listed.stdout).unwrap();
    assert!(names.starts_with("nos-archive\nobjects/"), "{names}");
    assert_eq!(names.lines().count(), 6);
}

#[test]
fn only_trusted_signatures_open_an_archive() {
    let (_a, store) = filled();
    let (ours, theirs) = (
        SecretKey::from_seed(&[1; 32]),
        SecretKey::from_seed(&[2; 32]),
    );
    let trust = Trust::Keys(vec![ours.public()]);
    let import = |archive: &[u8]| {
        let (_dir, store) = open();
        let report = store.import(&mut &archive[..], &trust);
        if report.is_err() {
            assert_eq!(
                objects(&store),
                0,
                "something was stored before it was trusted"
            );
        }
        report
    };
    let (_, signed) = export(&store, Some(&ours));
    assert_eq!(import(&signed).unwrap().signer, Some(ours.public()));
    for archive in [export(&store, None).1, export(&store, Some(&theirs)).1] {
        let error = import(&archive).unwrap_err();
        assert!(matches!(error, StoreError::Untrusted { .. }), "{error}");
    }
    // The signature of another manifest.
    let mut plain = zstd::decode_all(&signed[..]).unwrap();
    let at = plain.windows(6).position(|w| w == b"object").unwrap() + 8;
    plain[at] = if plain[at] == b'0' { b'1' } else { b'0' };
    let error = import(&zstd::encode_all(&plain[..], 1).unwrap()).unwrap_err();
    assert!(
        matches!(
            error,
            StoreError::Untrusted { .. } | StoreError::BadArchive { .. }
        ),
        "{error}"
    );
    assert_eq!(ours.public().to_string().parse(), Ok(ours.public()));
    assert!(!format!("{ours:?}").contains(&"01".repeat(8)));
}

#[test]
fn broken_archives_are_refused_and_leave_no_result() {
    let (_a, store) = filled();
    let (_, archive) = export(&store, None);
    let plain = zstd::decode_all(&archive[..]).unwrap();
    let mut world = open();
    let mut check = |bytes: &[u8], what: &str| {
        let store = &world.1;
        let packed = zstd::encode_all(bytes, 1).unwrap();
        let imported = store.import(&mut &packed[..], &Trust::Anyone);
        assert_eq!(
            store.result(&key()).unwrap().is_some(),
            imported.is_ok(),
            "{what}"
        );
        objects(store);
        let taken = imported.is_ok();
        if taken {
            world = open();
        }
        taken
    };
    // Any flipped byte that matters is noticed; those that do not are the tar's own padding.
    let mut taken = 0;
    for at in (0..plain.len()).step_by(61) {
        let mut bad = plain.clone();
        bad[at] ^= 0x04;
        taken += usize::from(check(&bad, &format!("byte {at}")));
    }
    assert!(taken < plain.len() / 61 / 2, "{taken} flips went unnoticed");
    for length in (0..plain.len() - 1024).step_by(509) {
        assert!(!check(&plain[..length], &format!("cut at {length}")));
    }
    let (_dir, empty) = open();
    for text in [&b""[..], b"not zstd", &archive[..archive.len() / 2]] {
        assert!(empty.import(&mut &text[..], &Trust::Anyone).is_err());
    }
}

#[test]
fn archives_that_lack_what_a_result_names_are_refused() {
    let (_a, store) = filled();
    let hex = Digest::of(b"a").to_string();
    let (_, archive) = export(&store, None);
    let plain = zstd::decode_all(&archive[..]).unwrap();
    // Write the archive again without one object.
    let mut out = tar::Builder::new(Vec::new());
    for entry in tar::Archive::new(&plain[..]).entries().unwrap() {
        let mut entry = entry.unwrap();
        let path = String::from_utf8(entry.path_bytes().into_owned()).unwrap();
        if path.ends_with(&hex) {
            continue;
        }
        let mut bytes = Vec::new();
        std::io::Read::read_to_end(&mut entry, &mut bytes).unwrap();
        if path == "nos-archive" {
            let text = String::from_utf8(bytes).unwrap();
            let line = format!("object {hex} 1\n");
            assert!(text.contains(&line));
            bytes = text.replace(&line, "").into_bytes();
        }
        let mut header = entry.header().clone();
        header.set_size(bytes.len() as u64);
        header.set_cksum();
        out.append(&header, &bytes[..]).unwrap();
    }
    let packed = zstd::encode_all(&out.into_inner().unwrap()[..], 1).unwrap();
    let (_dir, empty) = open();
    let error = empty.import(&mut &packed[..], &Trust::Anyone).unwrap_err();
    assert!(matches!(error, StoreError::Missing { .. }), "{error}");
    assert!(empty.result(&key()).unwrap().is_none());
}
