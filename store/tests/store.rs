//! What a caller sees of a store.
#![allow(clippy::unwrap_used)]

use nos_formats::tree::{Kind, Metadata, Node, Tree, TreePath};
use nos_store::{ActionResult, Blob, Digest, ImportOptions, KeyBuilder, Output, Store, StoreError};
use std::io::{Read, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt};

fn store() -> (tempfile::TempDir, Store) {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path().join("store")).unwrap();
    (dir, store)
}

#[test]
fn objects_are_named_by_their_content_and_stored_once() {
    let (_dir, store) = store();
    let digest = store.add_bytes(b"hello").unwrap();
    assert_eq!(digest, Digest::of(b"hello"));
    let path = store.object_path(&digest);
    let first = std::fs::metadata(&path).unwrap();
    assert_eq!(first.mode() & 0o7777, 0o444);
    assert_eq!(store.add_bytes(b"hello").unwrap(), digest);
    let blob = store.add_reader(&mut &b"hello"[..]).unwrap();
    assert_eq!(blob, Blob { digest, size: 5 });
    assert_eq!(std::fs::metadata(&path).unwrap().ino(), first.ino());
    assert_eq!(store.read_object(&digest).unwrap(), b"hello");
    assert!(store.contains(&digest).unwrap());
    assert!(!store.contains(&Digest::of(b"other")).unwrap());
    assert!(matches!(
        store.open_object(&Digest::of(b"other")),
        Err(StoreError::Missing { .. })
    ));
}

#[test]
fn large_objects_go_through_a_file_and_are_the_same() {
    let (dir, store) = store();
    let big: Vec<u8> = (0..5_000_000u32).map(|i| (i / 7) as u8).collect();
    let path = dir.path().join("big");
    std::fs::write(&path, &big).unwrap();
    let blob = store.add_file(&path).unwrap();
    assert_eq!(blob.digest, Digest::of(&big));
    assert_eq!(store.read_object(&blob.digest).unwrap(), big);
    let mut writer = store.object_writer().unwrap();
    for piece in big.chunks(300_000) {
        writer.write_all(piece).unwrap();
    }
    assert_eq!(writer.finish().unwrap(), blob);
}

#[test]
fn what_was_not_expected_is_not_kept() {
    let (_dir, store) = store();
    let digest = Digest::of(b"right");
    let write = |bytes: &[u8]| {
        let mut writer = store.object_writer().unwrap();
        writer.write_all(bytes).unwrap();
        writer
    };
    for (bytes, size) in [(&b"wrong"[..], Some(5)), (b"right", Some(6))] {
        let error = write(bytes).finish_expecting(&digest, size).unwrap_err();
        assert!(matches!(error, StoreError::Mismatch { .. }), "{error}");
        assert!(!store.contains(&digest).unwrap());
        assert!(!store.contains(&Digest::of(b"wrong")).unwrap());
    }
    write(b"right").finish_expecting(&digest, 5).unwrap();
    assert!(store.contains(&digest).unwrap());
}

#[test]
fn folders_become_the_same_tree_whatever_their_modes_and_times() {
    let (dir, store) = store();
    let folder = dir.path().join("site");
    std::fs::create_dir_all(folder.join("css/empty")).unwrap();
    std::fs::write(folder.join("index.html"), "<p>").unwrap();
    std::fs::write(folder.join("css/a.css"), "a{}").unwrap();
    std::fs::write(folder.join("run"), "#!").unwrap();
    std::fs::set_permissions(folder.join("run"), std::fs::Permissions::from_mode(0o4711)).unwrap();
    std::os::unix::fs::symlink("../nowhere", folder.join("link")).unwrap();
    let tree = store
        .import_folder(&folder, &ImportOptions::default())
        .unwrap();
    let shown: Vec<_> = tree
        .iter()
        .map(|(p, n)| {
            let what = match &n.kind {
                Kind::File(blob) => format!("{}", blob.size),
                Kind::Symlink(t) => String::from_utf8(t.clone()).unwrap(),
                _ => "dir".into(),
            };
            format!("{p} {:o} {what}", n.metadata.mode)
        })
        .collect();
    assert_eq!(
        shown,
        [
            "/ 755 dir",
            "/css 755 dir",
            "/css/a.css 644 3",
            "/css/empty 755 dir",
            "/index.html 644 3",
            "/link 777 ../nowhere",
            "/run 755 2",
        ]
    );
    let digest = store.add_tree(&tree).unwrap();
    assert_eq!(store.read_tree(&digest).unwrap(), tree);
    std::fs::set_permissions(folder.join("run"), std::fs::Permissions::from_mode(0o700)).unwrap();
    let again = store
        .import_folder(&folder, &ImportOptions::default())
        .unwrap();
    assert_eq!(Store::tree_digest(&again).unwrap(), digest);
}

#[test]
fn results_live_as_long_as_their_outputs() {
    let (_dir, store) = store();
    let key = KeyBuilder::new("test/1").text("name", "x").finish();
    assert_eq!(store.result(&key).unwrap(), None);
    let digest = Digest::of(b"out");
    let mut result = ActionResult::with_output("out", Output::Object(Blob { digest, size: 3 }));
    result.facts.insert("version".into(), "1.2".into());
    assert!(matches!(
        store.put_result(&key, &result),
        Err(StoreError::Missing { .. })
    ));
    store.add_bytes(b"out").unwrap();
    store.put_result(&key, &result).unwrap();
    store.put_result(&key, &result).unwrap();
    assert_eq!(store.result(&key).unwrap().as_ref(), Some(&result));
    result.facts.insert("version".into(), "1.3".into());
    store.put_result(&key, &result).unwrap();
    assert_eq!(store.result(&key).unwrap().as_ref(), Some(&result));
    std::fs::remove_file(store.object_path(&digest)).unwrap();
    assert_eq!(store.result(&key).unwrap(), None);
}

#[test]
fn downloads_resume_and_wrong_ones_are_thrown_away() {
    let (_dir, store) = store();
    let digest = Digest::of(b"0123456789");
    let mut download = store.download(&digest).unwrap();
    assert_eq!(download.resume_offset(), 0);
    download.write_all(b"01234").unwrap();
    drop(download);
    let mut download = store.download(&digest).unwrap();
    assert_eq!(download.resume_offset(), 5);
    download.write_all(b"56789").unwrap();
    assert_eq!(download.finish_expecting(&digest, 10).unwrap().size, 10);
    let mut bytes = Vec::new();
    let mut file = store.open_object(&digest).unwrap();
    file.read_to_end(&mut bytes).unwrap();
    assert_eq!(bytes, b"0123456789");
    assert_eq!(file.metadata().unwrap().mode() & 0o7777, 0o444);

    let other = Digest::of(b"abc");
    let mut download = store.download(&other).unwrap();
    download.write_all(b"abX").unwrap();
    assert!(download.finish(3).is_err());
    let mut download = store.download(&other).unwrap();
    assert_eq!(download.resume_offset(), 0, "a wrong download was kept");
    download.write_all(b"xx").unwrap();
    download.restart().unwrap();
    download.write_all(b"abc").unwrap();
    download.finish(3).unwrap();
    assert!(!store.contains(&Digest::of(b"abX")).unwrap());
}

#[test]
fn hard_links_take_their_targets_metadata() {
    let (_dir, store) = store();
    let path = |p: &str| TreePath::new(p).unwrap();
    let mut tree = Tree::new();
    let digest = Digest::of(b"");
    let mut metadata = Metadata::with_mode(0o4755);
    metadata.uid = 7;
    metadata
        .xattrs
        .insert(b"security.capability".to_vec(), vec![0, 1, 2]);
    let kind = Kind::File(Blob { digest, size: 0 });
    tree.insert(path("b"), Node { metadata, kind }).unwrap();
    let link = Node {
        metadata: Metadata::with_mode(0o600),
        kind: Kind::HardLink(path("b")),
    };
    tree.insert(path("a"), link).unwrap();
    let digest = store.add_tree(&tree).unwrap();
    let back = store.read_tree(&digest).unwrap();
    assert_eq!(
        back.get(&path("a")).unwrap().metadata,
        back.get(&path("b")).unwrap().metadata
    );
    assert_eq!(Store::tree_digest(&back).unwrap(), digest);
    tree.remove(&path("b"));
    assert!(store.add_tree(&tree).is_err());
}

#[test]
fn only_stores_that_we_understand_are_opened() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("thesis.tex"), "x").unwrap();
    assert!(matches!(
        Store::open(dir.path()),
        Err(StoreError::NotAStore { .. })
    ));
    let (_dir, store) = store();
    let meta = store.root().join("meta.json");
    let set = |text: &str| {
        std::fs::remove_file(&meta).unwrap();
        std::fs::write(&meta, text).unwrap();
        Store::open(store.root())
    };
    let with = |key: &str| format!(r#"{{"format": "nos-store", "version": 1, "{key}": ["fish"]}}"#);
    assert!(set(&with("compatible")).is_ok());
    let error = set(&with("incompatible")).err().unwrap();
    assert!(
        error.to_string().contains("the feature \"fish\""),
        "{error}"
    );
    let read_only = set(&with("ro_compatible")).unwrap();
    assert!(matches!(
        read_only.add_bytes(b"x"),
        Err(StoreError::ReadOnly { .. })
    ));
    assert!(!read_only.contains(&Digest::of(b"x")).unwrap());
    for bad in ["", "{}", r#"{"format": "nos-store", "version": 2}"#] {
        assert!(set(bad).is_err(), "{bad}");
    }
}

#[test]
fn a_store_says_what_it_holds() {
    let (_dir, store) = store();
    let digest = store.add_bytes(b"four").unwrap();
    let mut seen = Vec::new();
    store.each_object(&mut |blob| seen.push(blob)).unwrap();
    assert_eq!(seen, [Blob { digest, size: 4 }]);
    let usage = store.usage().unwrap();
    assert_eq!((usage.objects, usage.bytes, usage.results), (1, 4, 0));
}

#[test]
fn special_files_in_a_folder_are_refused_by_name() {
    let (dir, store) = store();
    let folder = dir.path().join("f");
    std::fs::create_dir(&folder).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(folder.join("sock")).unwrap();
    let error = store
        .import_folder(&folder, &ImportOptions::default())
        .unwrap_err();
    let text = error.to_string();
    assert!(text.contains("f/sock is a socket"), "{text}");
    assert!(store.add_file(&folder).is_err());
    let missing = store.import_folder(dir.path().join("none"), &ImportOptions::default());
    assert!(missing.unwrap_err().to_string().contains("none"));
}
