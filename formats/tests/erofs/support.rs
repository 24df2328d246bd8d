//! Trees, images and outside tools for the tests.

use std::collections::BTreeMap;
use std::io::Cursor;
use std::path::{Path, PathBuf};
use std::process::Command;

use nos_formats::erofs::{self, Compression, Image, Options};
use nos_formats::tree::{Kind, Metadata, Node, Tree, TreePath};

pub(crate) type Files = Tree<Vec<u8>>;

pub(crate) fn path(text: &str) -> TreePath {
    TreePath::new(text).unwrap()
}

pub(crate) fn node(mode: u16, kind: Kind<Vec<u8>>) -> Node<Vec<u8>> {
    Node {
        metadata: Metadata::with_mode(mode),
        kind,
    }
}

pub(crate) fn add(tree: &mut Files, at: &str, mode: u16, kind: Kind<Vec<u8>>) {
    tree.insert_with_parents(path(at), node(mode, kind))
        .unwrap();
}

pub(crate) fn add_file(tree: &mut Files, at: &str, content: impl Into<Vec<u8>>) {
    add(tree, at, 0o644, Kind::File(content.into()));
}

/// Bytes that do not compress.
pub(crate) fn noise(seed: u64, len: usize) -> Vec<u8> {
    let mut state = seed | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 32) as u8
    };
    (0..len).map(|_| next()).collect()
}

/// Bytes that compress about threefold.
pub(crate) fn text(seed: u64, len: usize) -> Vec<u8> {
    let words = noise(seed, len / 8 + 1);
    let mut bytes = Vec::with_capacity(len + 32);
    for word in words {
        bytes.extend_from_slice(format!("w{:x}ord {} ", word % 61, word / 16).as_bytes());
        if bytes.len() >= len {
            break;
        }
    }
    bytes.truncate(len);
    bytes
}

/// One of everything.
pub(crate) fn sample() -> Files {
    let mut tree = Files::new();
    add_file(&mut tree, "etc/hostname", "edge\n");
    add_file(&mut tree, "empty", "");
    add_file(&mut tree, "usr/lib/text", text(1, 700_000));
    add_file(&mut tree, "usr/lib/again", text(1, 700_000));
    add_file(&mut tree, "usr/lib/noise", noise(2, 300_001));
    let mixed = [
        text(3, 200_000),
        noise(4, 150_000),
        vec![0; 900_000],
        text(5, 99_999),
    ]
    .concat();
    add_file(&mut tree, "usr/lib/mixed", mixed);
    add_file(&mut tree, "usr/share/small", text(6, 3000));
    add_file(&mut tree, "usr/share/block", noise(7, 4096));
    add(&mut tree, "usr/bin", 0o755, Kind::Directory);
    add(
        &mut tree,
        "usr/bin/tool",
        0o4755,
        Kind::File(text(8, 70_000)),
    );
    add(
        &mut tree,
        "usr/bin/tool-link",
        0,
        Kind::HardLink(path("usr/bin/tool")),
    );
    add(&mut tree, "bin", 0o777, Kind::Symlink(b"usr/bin".to_vec()));
    add(&mut tree, "long", 0o777, Kind::Symlink(vec![b'x'; 4090]));
    add(&mut tree, "run", 0o1777, Kind::Directory);
    add(&mut tree, "run/pipe", 0o600, Kind::Fifo);
    add(&mut tree, "run/socket", 0o666, Kind::Socket);
    let (major, minor) = (1, 3);
    add(
        &mut tree,
        "dev/null",
        0o666,
        Kind::CharDevice { major, minor },
    );
    let (major, minor) = (259, 70_000);
    add(
        &mut tree,
        "dev/disk",
        0o660,
        Kind::BlockDevice { major, minor },
    );
    for at in ["usr/bin/tool", "etc/hostname", "usr/lib/noise"] {
        let node = tree.get_mut(&path(at)).unwrap();
        let capability = b"\x01\0\0\x02\0\x04\0\0\0\0\0\0\0\0\0\0\0\0\0\0".to_vec();
        node.metadata.xattrs = BTreeMap::from([
            (b"security.capability".to_vec(), capability),
            (b"user.origin".to_vec(), at.as_bytes().to_vec()),
        ]);
    }
    let node = tree.get_mut(&path("etc/hostname")).unwrap();
    (node.metadata.uid, node.metadata.gid) = (1000, 70_000);
    tree
}

/// The forms every test of content goes through.
pub(crate) fn forms() -> Vec<Options> {
    let form = |compression, cluster_bytes, fragments| Options {
        compression,
        cluster_bytes,
        fragments,
        ..Options::default()
    };
    vec![
        form(Compression::None, 65536, true),
        form(Compression::Lz4, 4096, false),
        form(Compression::Lz4, 65536, true),
        form(Compression::Zstd(3), 4096, true),
        form(Compression::Zstd(3), 65536, false),
        form(Compression::Zstd(1), 1 << 20, true),
        form(Compression::Zstd(3), 65536, true),
    ]
}

pub(crate) fn image(tree: &Files, options: &Options) -> Vec<u8> {
    let mut spool = Cursor::new(Vec::new());
    let mut out = Vec::new();
    let summary = erofs::write(tree, options, &mut spool, &mut out).unwrap();
    assert_eq!(summary.size_bytes, out.len() as u64);
    assert_eq!(out.len() % 4096, 0);
    out
}

/// What our reader makes of an image.
pub(crate) fn read_back(image: &[u8]) -> Files {
    let image = Image::open(image).unwrap();
    let tree = image.tree().unwrap();
    tree.try_map(|_, inode| image.read(&inode, u64::MAX))
        .unwrap()
}

pub(crate) fn assert_same(found: &Files, expected: &Files, what: &str) {
    for (path, node) in expected.iter() {
        let other = found
            .get(path)
            .unwrap_or_else(|| panic!("{what}: {path} is missing"));
        assert_eq!(
            other.metadata,
            expected_metadata(expected, node),
            "{what}: {path}"
        );
        match (&other.kind, &node.kind) {
            (Kind::File(a), Kind::File(b)) => assert!(a == b, "{what}: content of {path}"),
            (a, b) => assert_eq!(a, b, "{what}: {path}"),
        }
    }
    assert_eq!(found.len(), expected.len(), "{what}");
}

/// Metadata of a node; of a hard link, its file's.
pub(crate) fn expected_metadata(tree: &Files, node: &Node<Vec<u8>>) -> Metadata {
    match &node.kind {
        Kind::HardLink(target) => tree.get(target).unwrap().metadata.clone(),
        _ => node.metadata.clone(),
    }
}

/// An outside tool: in `$NOS_TEST_TOOLS`, or on the path. Says so where there is none.
pub(crate) fn tool(name: &str) -> Option<Command> {
    let program = match std::env::var_os("NOS_TEST_TOOLS") {
        Some(folder) => Path::new(&folder).join(name),
        None => PathBuf::from(name),
    };
    if Command::new(&program).arg("-V").output().is_err() {
        eprintln!("skipped: {name} is not installed (package erofs-utils)");
        return None;
    }
    Some(Command::new(program))
}

/// Version of erofs-utils as (major, minor).
pub(crate) fn tools_version() -> Option<(u32, u32)> {
    let output = tool("fsck.erofs")?.arg("-V").output().unwrap();
    let all = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&all).into_owned();
    let version = text
        .split_whitespace()
        .map(|word| word.trim_start_matches('v'))
        .find(|word| word.starts_with(|c: char| c.is_ascii_digit()))?;
    let mut numbers = version.split(['.', '-']).map(|n| n.parse().unwrap_or(0));
    Some((numbers.next()?, numbers.next().unwrap_or(0)))
}

/// Whether the installed erofs-utils can read what `options` give; says so where not.
pub(crate) fn tools_read(options: &Options) -> bool {
    let Some(version) = tools_version() else {
        return false;
    };
    // zstd and fragments of our kind came with 1.8 and 1.6.
    let needed = match options.compression {
        Compression::Zstd(_) => (1, 8),
        Compression::Lz4 if options.fragments => (1, 6),
        _ => (1, 4),
    };
    if version < needed {
        eprintln!("skipped: erofs-utils {version:?} is older than {needed:?}, for {options:?}");
    }
    version >= needed
}

/// Compares a folder with a tree: kinds, content, link targets, and the bits of `mode_mask`.
pub(crate) fn assert_folder(folder: &Path, tree: &Files, mode_mask: u16, what: &str) {
    use std::os::unix::ffi::{OsStrExt, OsStringExt};
    use std::os::unix::fs::{FileTypeExt, PermissionsExt};
    let mut found = 0;
    let mut waiting = vec![folder.to_path_buf()];
    while let Some(at) = waiting.pop() {
        found += 1;
        if at.symlink_metadata().unwrap().is_dir() {
            let entries = std::fs::read_dir(&at).unwrap();
            waiting.extend(entries.map(|entry| entry.unwrap().path()));
        }
    }
    assert_eq!(found, tree.len(), "{what}: number of names");
    for (path, node) in tree.iter() {
        let at = folder.join(std::ffi::OsStr::from_bytes(path.as_bytes()));
        let metadata = at.symlink_metadata().unwrap();
        let kind = metadata.file_type();
        let content = match &node.kind {
            Kind::HardLink(target) => &tree.get(target).unwrap().kind,
            other => other,
        };
        match content {
            Kind::File(bytes) => {
                assert!(kind.is_file(), "{what}: {path}");
                assert!(
                    std::fs::read(&at).unwrap() == *bytes,
                    "{what}: content of {path}"
                );
            }
            Kind::Symlink(target) => {
                let link = std::fs::read_link(&at).unwrap().into_os_string().into_vec();
                assert_eq!(&link, target, "{what}: {path}");
                continue;
            }
            Kind::Directory => assert!(kind.is_dir(), "{what}: {path}"),
            Kind::CharDevice { .. } => assert!(kind.is_char_device(), "{what}: {path}"),
            Kind::BlockDevice { .. } => assert!(kind.is_block_device(), "{what}: {path}"),
            Kind::Fifo => assert!(kind.is_fifo(), "{what}: {path}"),
            Kind::Socket => assert!(kind.is_socket(), "{what}: {path}"),
            Kind::HardLink(_) => unreachable!(),
        }
        let mode = expected_metadata(tree, node).mode;
        let found = metadata.permissions().mode() as u16;
        assert_eq!(
            found & mode_mask,
            mode & mode_mask,
            "{what}: mode of {path}"
        );
    }
}
