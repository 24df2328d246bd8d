//! Packs that no git would send.

use super::super::error::GitError;
use super::super::files;
use super::super::id::{Hasher, Id, Kind, name};
use super::super::pack::{Limits, Object, Objects, read};
use flate2::Compression;
use flate2::write::ZlibEncoder;
use nos_store::Store;
use proptest::prelude::*;
use std::io::{Read, Seek, Write};

const LIMITS: Limits = Limits {
    objects: 1000,
    object_bytes: 1 << 20,
    total_bytes: 8 << 20,
    held_bytes: 4 << 20,
    files: 5000,
};

fn compressed(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// The head of an object in a pack.
fn head(kind: u8, mut size: u64) -> Vec<u8> {
    let mut out = vec![(kind << 4) | (size & 15) as u8];
    size >>= 4;
    while size > 0 {
        *out.last_mut().unwrap() |= 0x80;
        out.push((size & 127) as u8);
        size >>= 7;
    }
    out
}

fn whole(kind: u8, bytes: &[u8]) -> Vec<u8> {
    [head(kind, bytes.len() as u64), compressed(bytes)].concat()
}

fn on_name(base: Id, delta: &[u8]) -> Vec<u8> {
    let head = head(7, delta.len() as u64);
    [head, base.0.to_vec(), compressed(delta)].concat()
}

/// A pack of objects, with a right checksum.
fn pack(objects: &[Vec<u8>]) -> Vec<u8> {
    let mut out = b"PACK\0\0\0\x02".to_vec();
    out.extend_from_slice(&(objects.len() as u32).to_be_bytes());
    out.extend(objects.concat());
    sealed(out)
}

fn sealed(mut bytes: Vec<u8>) -> Vec<u8> {
    let mut hasher = Hasher::plain();
    hasher.update(&bytes);
    bytes.extend_from_slice(&hasher.finish().unwrap().0);
    bytes
}

fn taken(store: &Store, bytes: &[u8]) -> Result<Objects, GitError> {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(bytes).unwrap();
    file.rewind().unwrap();
    let mut keep = |content: &mut dyn Read| store.add_reader(content);
    read(file, &LIMITS, &mut keep)
}

fn with_store<T>(test: impl FnOnce(&Store) -> T) -> T {
    let scratch = tempfile::tempdir().unwrap();
    test(&Store::open(scratch.path().join("store")).unwrap())
}

/// A delta that makes `b` of a base of one byte.
const TO_B: &[u8] = &[1, 1, 1, b'b'];

#[test]
fn wrong_packs_are_refused_with_a_reason() {
    let a = name(Kind::Blob, b"a").unwrap();
    let huge = head(3, 1 << 50);
    let bomb = compressed(&vec![0; 1 << 20]);
    let cases: Vec<(&str, Vec<u8>)> = vec![
        ("before its first object", b"PACK".to_vec()),
        ("checksum", [pack(&[]), vec![0]].concat()),
        ("does not begin", sealed(b"JUNK\0\0\0\x02\0\0\0\0".to_vec())),
        ("does not begin", sealed(b"PACK\0\0\0\x04\0\0\0\0".to_vec())),
        (
            "number of its objects",
            sealed(b"PACK\0\0\0\x02\xff\xff\xff\xff".to_vec()),
        ),
        (
            "fewer objects",
            sealed(b"PACK\0\0\0\x02\0\0\0\x01".to_vec()),
        ),
        (
            "where it ends",
            pack(&[[whole(3, b"a"), whole(3, b"b")].concat()]),
        ),
        ("of the kind 0", pack(&[whole(0, b"a")])),
        ("of the kind 5", pack(&[whole(5, b"a")])),
        ("the repository", pack(&[[huge, bomb.clone()].concat()])),
        (
            "one of its objects",
            pack(&[[head(2, 2 << 20), bomb.clone()].concat()]),
        ),
        (
            "longer than it says",
            pack(&[[head(3, 9), bomb.clone()].concat()]),
        ),
        (
            "longer than it says",
            pack(&[[head(2, 9), bomb.clone()].concat()]),
        ),
        (
            "shorter than it says",
            pack(&[[head(3, (1 << 20) + 1), bomb].concat()]),
        ),
        ("decompressed", pack(&[[head(3, 9), vec![7; 40]].concat()])),
        (
            "not before it",
            pack(&[
                whole(3, b"a"),
                [head(6, 4), vec![0], compressed(TO_B)].concat(),
            ]),
        ),
        (
            "not before it",
            pack(&[[head(6, 4), vec![127], compressed(TO_B)].concat()]),
        ),
        (
            "too far away",
            pack(&[[head(6, 4), vec![255; 12]].concat()]),
        ),
        ("no length", pack(&[vec![0xff; 30]])),
        ("stands on what is not in it", pack(&[on_name(a, TO_B)])),
        (
            "stands on what is not in it",
            pack(&[
                whole(3, b"x"),
                // No object begins in the middle of another.
                [head(6, 4), vec![3], compressed(TO_B)].concat(),
            ]),
        ),
        (
            "does not fit",
            pack(&[
                whole(3, b"ab"),
                on_name(name(Kind::Blob, b"ab").unwrap(), TO_B),
            ]),
        ),
        ("does not fit", pack(&[whole(3, b"a"), on_name(a, &[1])])),
        (
            "one of its objects",
            pack(&[whole(3, b"a"), on_name(a, &[1, 0x80, 0x80, 0x80, 1])]),
        ),
    ];
    with_store(|store| {
        for (reason, bytes) in cases {
            let error = taken(store, &bytes).unwrap_err().to_string();
            assert!(error.contains(reason), "{reason}: {error}");
        }
        assert!(taken(store, &pack(&[])).unwrap().is_empty());
        let good = taken(store, &pack(&[on_name(a, TO_B), whole(3, b"a")])).unwrap();
        assert!(good.contains_key(&name(Kind::Blob, b"b").unwrap()));
    });
}

#[test]
fn a_base_that_is_there_often_is_no_bomb() {
    // Each of 20 steps is there 20 times: made for each, there would be 20 to the 20th.
    let mut objects = Vec::new();
    let mut base = b"a".to_vec();
    for step in 0..20u8 {
        let id = name(Kind::Blob, &base).unwrap();
        let next = [b"b".as_slice(), &[step]].concat();
        objects.extend((0..20).map(|_| match step {
            0 => whole(3, &base),
            _ => Vec::new(),
        }));
        let delta = [&[base.len() as u8, 2, 2], next.as_slice()].concat();
        objects.extend((0..20).map(|_| on_name(id, &delta)));
        base = next;
    }
    objects.retain(|object| !object.is_empty());
    with_store(|store| {
        let found = taken(store, &pack(&objects)).unwrap();
        assert_eq!(found.len(), 21);
    });
}

#[test]
fn memory_has_a_limit() {
    let large = vec![0; 1 << 20];
    let trees: Vec<Vec<u8>> = (0..5)
        .map(|n| whole(2, &[&large[1..], &[n]].concat()))
        .collect();
    with_store(|store| {
        let error = taken(store, &pack(&trees)).unwrap_err().to_string();
        assert!(
            error.starts_with("what it needs in memory is larger than the 4 MiB"),
            "{error}"
        );
    });
}

/// A folder with entries as git writes them.
fn folder(entries: &[(&str, &[u8], Id)]) -> Vec<u8> {
    let mut out = Vec::new();
    for (mode, name, id) in entries {
        out.extend_from_slice(mode.as_bytes());
        out.push(b' ');
        out.extend_from_slice(name);
        out.push(0);
        out.extend_from_slice(&id.0);
    }
    out
}

/// The files of a commit with this top folder, `lower` being a folder that can be named.
fn files_of(store: &Store, top: &[u8], blob: &[u8]) -> Result<Vec<String>, String> {
    let mut objects = Objects::new();
    let mut add = |kind, bytes: &[u8]| {
        let id = name(kind, bytes).unwrap();
        let object = match kind {
            Kind::Blob => Object::Blob(store.add_reader(&mut &*bytes).unwrap()),
            _ => Object::Other(kind, bytes.to_vec()),
        };
        objects.insert(id, object);
        id
    };
    add(Kind::Blob, blob);
    let top = add(Kind::Tree, top);
    let commit = add(Kind::Commit, format!("tree {top}\n").as_bytes());
    let files = files::of_commit(store, &objects, commit, &LIMITS).map_err(|e| e.to_string())?;
    Ok(files
        .tree
        .iter()
        .map(|(path, _)| path.to_string())
        .collect())
}

#[test]
fn folders_that_git_would_not_make_are_refused() {
    let id = name(Kind::Blob, b"x").unwrap();
    let none = Id([7; 20]);
    with_store(|store| {
        let refused = |reason: &str, entries: &[(&str, &[u8], Id)], blob: &[u8]| {
            let error = files_of(store, &folder(entries), blob).unwrap_err();
            assert!(error.contains(reason), "{reason}: {error}");
        };
        for name in [&b""[..], b".", b"..", b"a/b", b"/"] {
            refused("not the name of a file", &[("100644", name, id)], b"x");
        }
        for name in [&b".git"[..], b".GIT", b".Git"] {
            refused("git's own", &[("40000", name, id)], b"x");
        }
        refused("twice", &[("100644", b"a", id), ("100755", b"a", id)], b"x");
        let between = [
            ("100644", &b"a"[..], id),
            ("100644", b"a-", id),
            ("160000", b"a", id),
        ];
        refused("not in order", &between, b"x");
        refused(
            "not in order",
            &[("100644", b"b", id), ("100644", b"a", id)],
            b"x",
        );
        for mode in ["100640", "060000", "20000", "1", "", "777777777"] {
            refused("an entry of it is none", &[(mode, b"a", id)], b"x");
        }
        refused("did not come", &[("100644", b"a", none)], b"x");
        refused("did not come", &[("40000", b"a", id)], b"x");
        let long = name(Kind::Blob, &[b'x'; 5000]).unwrap();
        refused("a link can have", &[("120000", b"a", long)], &[b'x'; 5000]);
        let zero = name(Kind::Blob, b"a\0b").unwrap();
        refused("zero byte", &[("120000", b"a", zero)], b"a\0b");
        refused("255 bytes", &[("100644", &[b'n'; 300], id)], b"x");
        let error = files_of(store, b"100644 a\0short", b"x").unwrap_err();
        assert!(error.contains("an entry of it is none"), "{error}");
        let good = folder(&[
            ("100664", b"a", id),
            ("100644", b"a.b", id),
            ("120000", b"c", id),
        ]);
        assert_eq!(
            files_of(store, &good, b"x").unwrap(),
            ["/", "/a", "/a.b", "/c"]
        );
    });
}

#[test]
fn folders_in_folders_are_no_bomb() {
    with_store(|store| {
        let mut objects = Objects::new();
        let mut below = folder(&[]);
        for _ in 0..40 {
            let id = name(Kind::Tree, &below).unwrap();
            objects.insert(id, Object::Other(Kind::Tree, below));
            let names: Vec<String> = (10..30).map(|n| n.to_string()).collect();
            let entries = names.iter().map(|name| ("40000", name.as_bytes(), id));
            below = folder(&entries.collect::<Vec<_>>());
        }
        let top = name(Kind::Tree, &below).unwrap();
        objects.insert(top, Object::Other(Kind::Tree, below));
        let text = format!("tree {top}\n");
        let commit = name(Kind::Commit, text.as_bytes()).unwrap();
        objects.insert(commit, Object::Other(Kind::Commit, text.into_bytes()));
        let error = files::of_commit(store, &objects, commit, &LIMITS).unwrap_err();
        assert!(matches!(error, GitError::TooLarge { .. }), "{error}");
    });
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// Damage with a checksum that fits: an error or other objects, never a panic.
    #[test]
    fn damage_is_an_error_at_most(
        text in "[a-c\n]{0,200}", at: prop::sample::Index, value: u8, cut: prop::sample::Index,
    ) {
        let base = name(Kind::Blob, text.as_bytes()).unwrap();
        let mut delta = Vec::new();
        for mut length in [text.len(), 1] {
            while length > 127 {
                delta.push((length & 127) as u8 | 128);
                length >>= 7;
            }
            delta.push(length as u8);
        }
        delta.extend_from_slice(&[1, b'z']);
        let tree = folder(&[("100644", b"a", base)]);
        let whole = pack(&[whole(3, text.as_bytes()), whole(2, &tree), on_name(base, &delta)]);
        let mut bytes = whole[..whole.len() - 20].to_vec();
        let place = at.index(bytes.len());
        bytes[place] = value;
        let cut = cut.index(bytes.len() + 1);
        with_store(|store| {
            let _ = taken(store, &sealed(bytes.clone()));
            let error = taken(store, &sealed(bytes[..cut].to_vec()));
            if cut < bytes.len() {
                assert!(error.is_err());
            }
        });
    }
}

#[test]
fn an_attack_on_sha_1_is_noticed() {
    // The two blocks of the published collision differ, and both make the same state.
    let hex = "255044462d312e330a25e2e3cfd30a0a0a312030206f626a0a3c3c2f57696474682032203020522f486569\
               6768742033203020522f547970652034203020522f537562747970652035203020522f46696c746572203620\
               3020522f436f6c6f7253706163652037203020522f4c656e6774682038203020522f42697473506572436f6d\
               706f6e656e7420383e3e0a73747265616d0affd8fffe00245348412d3120697320646561642121212121852f\
               ec092339759c39b1a1c63c4c97e1fffe017f46dc93a6b67e013b029aaa1db2560b45ca67d688c7f84b8c4c79\
               1fe02b3df614f86db1690901c56b45c1530afedfb76038e972722fe7ad728f0e4904e046c230570fe9d41398\
               abe12ef5bc942be33542a4802d98b5d70f2a332ec37fac3514e74ddc0f2cc1a874cd0c78305a21566461309\
               789606bd0bf3f98cda8044629a1";
    let hex: String = hex.split_whitespace().collect();
    let bytes: Vec<u8> = (0..hex.len() / 2)
        .map(|at| u8::from_str_radix(&hex[2 * at..2 * at + 2], 16).unwrap())
        .collect();
    let mut hasher = Hasher::plain();
    hasher.update(&bytes);
    assert!(matches!(hasher.finish(), Err(GitError::Collision { .. })));
}
