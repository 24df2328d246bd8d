//! `fsck.erofs` on our images, our reader on those of `mkfs.erofs`.

use std::path::Path;

use proptest::prelude::*;

use crate::round_trip::any_tree;
use crate::support::*;
use nos_formats::erofs::{Image, Options};
use nos_formats::tree::Kind;

/// Checks an image with `fsck.erofs`, extracts it, and compares.
fn check(tree: &Files, options: &Options) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("image");
    let extracted = folder.path().join("extracted");
    std::fs::write(&file, image(tree, options)).unwrap();
    let mut fsck = tool("fsck.erofs").unwrap();
    // For an ordinary user the umask would count otherwise.
    let output = fsck
        .arg(format!("--extract={}", extracted.display()))
        .arg("--preserve-perms")
        .arg(&file)
        .output()
        .unwrap();
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    assert!(output.status.success(), "{options:?}: {said}");
    // Older versions drop the set-uid bit while they extract.
    assert_folder(&extracted, tree, 0o777, &format!("{options:?}"));
}

/// Without what only root may create.
fn unprivileged(mut tree: Files) -> Files {
    tree.retain(|_, node| {
        !matches!(
            node.kind,
            Kind::CharDevice { .. } | Kind::BlockDevice { .. } | Kind::Socket
        )
    });
    tree
}

#[test]
fn fsck_extracts_what_was_written() {
    let mut tree = unprivileged(sample());
    add_file(&mut tree, "large", text(9, 5_000_000));
    for number in 0..600 {
        add_file(
            &mut tree,
            &format!("many/file-{number}"),
            format!("{number}"),
        );
    }
    for options in forms().iter().filter(|options| tools_read(options)) {
        check(&tree, options);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn fsck_extracts_any_tree(tree in any_tree(), form in 0usize..7) {
        let options = &forms()[form];
        if tools_read(options) {
            check(&unprivileged(tree), options);
        }
    }
}

#[test]
fn images_of_mkfs_are_read() {
    let Some(version) = tools_version() else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let source = folder.path().join("source");
    let tree = {
        let mut tree = Files::new();
        for (path, node) in sample().iter() {
            if let Kind::File(content) = &node.kind {
                add_file(&mut tree, &path.to_string(), content.clone());
            }
        }
        for number in 0..900 {
            add_file(
                &mut tree,
                &format!("many/{number}"),
                text(number, number as usize * 9),
            );
        }
        tree
    };
    for (path, node) in tree.iter() {
        let at = source.join(path.to_string().trim_start_matches('/'));
        match &node.kind {
            Kind::File(content) => std::fs::write(at, content).unwrap(),
            _ => std::fs::create_dir_all(at).unwrap(),
        }
    }
    let mut arguments = vec![
        "",
        "-zlz4",
        "-zlz4hc -C65536",
        "-zlz4 -C16384 -Eztailpacking",
    ];
    if version >= (1, 8) {
        arguments.extend([
            "-zlz4 -C65536 -Efragments,dedupe",
            "-zzstd,3 -C65536",
            "-zzstd,3 -C65536 -Eztailpacking",
            "-zzstd,3 -C65536 -Efragments,dedupe,ztailpacking",
            "-zzstd,3 -C1048576 -Eall-fragments",
        ]);
    }
    for line in arguments {
        let file = folder.path().join("image");
        let _ = std::fs::remove_file(&file);
        let mut mkfs = tool("mkfs.erofs").unwrap();
        mkfs.args(line.split_whitespace()).arg("-T0");
        let output = mkfs.arg(&file).arg(&source).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{line}: {said}");
        assert_contents(&file, &tree, line);
    }
}

fn assert_contents(file: &Path, tree: &Files, what: &str) {
    let bytes = std::fs::read(file).unwrap();
    let image = Image::open(&bytes).unwrap();
    let found = image.tree().unwrap();
    assert_eq!(found.len(), tree.len(), "{what}");
    for (path, node) in tree.iter() {
        if let Kind::File(content) = &node.kind {
            let inode = image.lookup(path).unwrap();
            let read = image.read(&inode, u64::MAX);
            let read = read.unwrap_or_else(|e| panic!("{what}: {path}: {e}"));
            assert!(read == *content, "{what}: {path}");
        }
    }
}
