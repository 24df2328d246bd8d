//! Written by us, read by us.

use nos_formats::erofs::{Compression, Image, Options};
use nos_formats::tree::{Kind, Node};
use proptest::prelude::*;

use crate::support::*;

#[test]
fn everything_comes_back_in_every_form() {
    let tree = sample();
    for options in forms() {
        assert_same(
            &read_back(&image(&tree, &options)),
            &tree,
            &format!("{options:?}"),
        );
    }
}

#[test]
fn an_empty_tree_is_one_block() {
    for options in forms() {
        let image = image(&Files::new(), &options);
        assert_eq!(image.len(), 4096);
        assert!(read_back(&image).is_empty());
    }
}

#[test]
fn sizes_around_borders() {
    let mut tree = Files::new();
    let cluster = 65536;
    let segment = 4 << 20;
    for border in [0usize, 4096, 8192, cluster, segment, segment + cluster] {
        for off in [-33i64, -32, -1, 0, 1, 32, 4095] {
            let Ok(size) = usize::try_from(border as i64 + off) else {
                continue;
            };
            add_file(&mut tree, &format!("t{size}"), text(size as u64, size));
            if size < 1 << 20 {
                add_file(&mut tree, &format!("n{size}"), noise(size as u64, size));
            }
        }
    }
    for options in forms() {
        assert_same(
            &read_back(&image(&tree, &options)),
            &tree,
            &format!("{options:?}"),
        );
    }
}

#[test]
fn large_directories_and_long_names() {
    let mut tree = Files::new();
    for number in 0..10_000 {
        add_file(
            &mut tree,
            &format!("many/file-{number}"),
            format!("{number}"),
        );
    }
    for number in 0..60 {
        let name = format!("{number:0255}");
        add(&mut tree, &format!("long/{name}"), 0o755, Kind::Directory);
    }
    // Names that sort before "." and "..".
    for name in ["!", "-", "+a", "...", "..a", ".a"] {
        add_file(&mut tree, &format!("odd/{name}"), name);
    }
    add_file(&mut tree, &["d"; 1500].join("/"), "deep");
    for options in [&forms()[0], &forms()[6]] {
        assert_same(&read_back(&image(&tree, options)), &tree, "directories");
    }
}

#[test]
fn links_are_counted() {
    let tree = sample();
    let bytes = image(&tree, &Options::default());
    let image = Image::open(&bytes).unwrap();
    let links = |at| image.lookup(&path(at)).unwrap().links();
    // usr: itself, its name, and ".." of bin, lib, share.
    assert_eq!(links("usr"), 5);
    assert_eq!(links("usr/bin/tool"), 2);
    assert_eq!(links("usr/lib/text"), 1);
    let nid = |at| image.lookup(&path(at)).unwrap().nid();
    assert_eq!(nid("usr/bin/tool"), nid("usr/bin/tool-link"));
    assert_ne!(nid("usr/lib/text"), nid("usr/lib/again"));
}

#[test]
fn equal_files_are_stored_once() {
    for options in forms() {
        let mut one = Files::new();
        add_file(&mut one, "a", text(1, 400_000));
        let mut two = one.clone();
        add_file(&mut two, "b", text(1, 400_000));
        let grown = image(&two, &options).len() - image(&one, &options).len();
        // One more name, one more inode; of 400,000 bytes only an inline tail may come again.
        assert!(grown <= 4096, "{options:?}: {grown}");
    }
}

#[test]
fn any_number_of_threads_gives_the_same_bytes() {
    let mut tree = sample();
    add_file(&mut tree, "large", text(9, 9_000_000));
    for mut options in forms() {
        let one = image(&tree, &options);
        for threads in [2, 5] {
            options.threads = threads;
            assert!(image(&tree, &options) == one, "{options:?}");
        }
    }
}

#[test]
fn what_does_not_fit_is_refused() {
    let refuse = |tree: &Files, options: &Options| {
        let mut spool = std::io::Cursor::new(Vec::new());
        let mut out = Vec::new();
        nos_formats::erofs::write(tree, options, &mut spool, &mut out)
            .unwrap_err()
            .to_string()
    };
    let empty = Files::new();
    for cluster_bytes in [0, 4095, 2 << 20] {
        let options = Options {
            cluster_bytes,
            ..Options::default()
        };
        assert!(refuse(&empty, &options).contains("multiple of 4096"));
    }
    let options = Options {
        compression: Compression::Zstd(23),
        ..Options::default()
    };
    assert!(refuse(&empty, &options).contains("no level 23"));
    let with = |kind| {
        let mut tree = Files::new();
        add(&mut tree, "x", 0o644, kind);
        refuse(&tree, &Options::default())
    };
    assert!(with(Kind::Symlink(vec![])).contains("/x"));
    let (major, minor) = (4096, 0);
    assert!(with(Kind::CharDevice { major, minor }).contains("12 bits"));
    assert!(with(Kind::HardLink(path("y"))).contains("not a regular file"));
    let mut tree = Files::new();
    add_file(&mut tree, "x", "");
    for name in ["system.other", "user.", "plain"] {
        let node = tree.get_mut(&path("x")).unwrap();
        node.metadata.xattrs = [(name.into(), vec![])].into();
        assert!(refuse(&tree, &Options::default()).contains(name));
    }
}

/// Random trees: a few directories, files of mixed content and size, links, owners, attributes.
pub(crate) fn any_tree() -> impl Strategy<Value = Files> {
    let content = (0u64..40, 0usize..30_000, 0usize..9_000, 0usize..3).prop_map(
        |(seed, long, short, kind)| match kind {
            0 => text(seed, short),
            1 => noise(seed, short),
            _ => [text(seed, long), noise(seed, short), text(seed, long * 4)].concat(),
        },
    );
    let owner = prop_oneof![3 => Just(0u32), 1 => any::<u32>()];
    let attributes = prop::collection::btree_map(
        prop_oneof![Just("user.a"), Just("security.b"), Just("trusted.c")]
            .prop_map(|n| n.as_bytes().to_vec()),
        prop_oneof![
            Just(vec![]),
            Just(vec![7; 40]),
            prop::collection::vec(any::<u8>(), 0..300)
        ],
        0..3,
    );
    let name = "[a-d]{1,3}|[!-.0-~]{1,20}";
    let entry = (
        prop::collection::vec(name, 1..4),
        0u8..10,
        content,
        owner,
        attributes,
    );
    prop::collection::vec(entry, 0..25).prop_map(|entries| {
        let mut tree = Files::new();
        for (names, kind, content, owner, xattrs) in entries {
            let Ok(at) = nos_formats::tree::TreePath::new(names.join("/")) else {
                continue;
            };
            let kind = match kind {
                0 => Kind::Directory,
                1 => Kind::Symlink(vec![b't'; content.len() % 4095 + 1]),
                2 => Kind::CharDevice {
                    major: 4,
                    minor: 300,
                },
                3 => Kind::Fifo,
                _ => Kind::File(content),
            };
            let mut node = Node {
                metadata: nos_formats::tree::Metadata::with_mode(0o640),
                kind,
            };
            (node.metadata.uid, node.metadata.xattrs) = (owner, xattrs);
            // Clashes of kinds are not the subject here.
            let _ = tree.insert_with_parents(at, node);
        }
        tree
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn any_tree_comes_back(tree in any_tree(), form in 0usize..7) {
        let mut options = forms()[form].clone();
        let bytes = image(&tree, &options);
        assert_same(&read_back(&bytes), &tree, &format!("{options:?}"));
        options.threads = 3;
        prop_assert!(image(&tree, &options) == bytes);
    }
}
