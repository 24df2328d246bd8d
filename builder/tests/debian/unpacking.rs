//! Packages as trees, and trees as a root.

use crate::archive::{Deb, World, deb};
use nos_builder::debian::{
    DebianError, Merged, TREE_OUTPUT, alternatives, link_alternatives, merge, unpack,
};
use nos_formats::tree::{Kind, Tree, TreePath};
use nos_store::{Blob, Digest};

fn tree(world: &World, package: &Deb) -> Tree<Blob> {
    let digest = world.store.add_bytes(&package.bytes()).unwrap();
    let result = unpack(&world.store, &package.name, &digest).unwrap();
    world
        .store
        .read_tree(&result.tree(TREE_OUTPUT).unwrap())
        .unwrap()
}

fn merged(packages: &[Deb]) -> Result<Merged, DebianError> {
    let world = World::new();
    merge(
        packages
            .iter()
            .map(|p| (p.name.clone(), tree(&world, p)))
            .collect(),
    )
}

/// The root, a line a node: path, then what it is.
fn listing(merged: &Merged) -> String {
    let lines = merged.tree.iter().map(|(path, node)| match &node.kind {
        Kind::Directory => format!("{path}/"),
        Kind::Symlink(target) => format!("{path} -> {}", String::from_utf8_lossy(target)),
        Kind::File(_) => format!("{path} of {}", merged.owners[path]),
        other => format!("{path} {other:?}"),
    });
    lines
        .filter(|line| line != "//")
        .collect::<Vec<_>>()
        .join("\n")
}

#[test]
fn a_package_is_unpacked_once_ever() {
    let world = World::new();
    let package = deb("a", "1", "").with_files(&[("usr/bin/a", "program"), ("usr/share/", "")]);
    let digest = world.store.add_bytes(&package.bytes()).unwrap();
    let first = unpack(&world.store, "a", &digest).unwrap();
    assert_eq!(first.facts["package"], "a");
    assert_eq!(first.facts["version"], "1");
    // With the package gone, only the kept result can answer.
    std::fs::remove_file(world.store.object_path(&digest)).unwrap();
    assert_eq!(unpack(&world.store, "a", &digest).unwrap(), first);
    let tree = world
        .store
        .read_tree(&first.tree(TREE_OUTPUT).unwrap())
        .unwrap();
    let node = tree.get(&TreePath::new("usr/bin/a").unwrap()).unwrap();
    assert_eq!(
        node.kind,
        Kind::File(Blob {
            digest: Digest::of(b"program"),
            size: 7
        })
    );
}

#[test]
fn links_that_a_script_would_make_are_told_and_made_of_the_best() {
    let world = World::new();
    let mut package = deb("mawk", "1", "").with_files(&[("usr/bin/mawk", "program")]);
    package.postinst =
        "#!/bin/sh\nupdate-alternatives --install /usr/bin/awk awk /usr/bin/mawk 5\n".to_owned();
    let digest = world.store.add_bytes(&package.bytes()).unwrap();
    let result = unpack(&world.store, "mawk", &digest).unwrap();
    let told = alternatives(&result);
    assert_eq!(
        (told[0].link.as_str(), told[0].target.as_str()),
        ("/usr/bin/awk", "/usr/bin/mawk")
    );
    let alone = tree(&world, &package);
    assert!(alone.get(&TreePath::new("usr/bin/awk").unwrap()).is_none());

    // Of several packages the one of the highest priority has the link, where nothing is there yet.
    let offers = |name: &str, priority: u32| {
        let mut package = deb(name, "1", "").with_files(&[(&format!("usr/bin/{name}"), "x")]);
        package.postinst = format!(
            "update-alternatives --install /usr/bin/awk awk /usr/bin/{name} {priority} --slave \
             /usr/bin/nawk nawk /usr/bin/{name}\nupdate-alternatives --install /bin/gone gone \
             /usr/bin/absent 1\nupdate-alternatives --install /usr/bin/{name}/x x /usr/bin/{name} 1\n"
        );
        package
    };
    let packages = [offers("gawk", 10), offers("mawk", 5), offers("nawk", 1)];
    let mut merged = merged(&packages).unwrap();
    let unpacked = packages.map(|package| {
        let digest = world.store.add_bytes(&package.bytes()).unwrap();
        let result = unpack(&world.store, &package.name, &digest).unwrap();
        (package.name, result)
    });
    let each = unpacked.iter().map(|(name, result)| (name, result));
    link_alternatives(&mut merged, each).unwrap();
    assert_eq!(
        listing(&merged),
        "/bin -> usr/bin\n/usr/\n/usr/bin/\n/usr/bin/awk -> /usr/bin/gawk\n/usr/bin/gawk of gawk\n\
         /usr/bin/mawk of mawk\n/usr/bin/nawk of nawk"
    );
}

#[test]
fn a_damaged_package_leaves_no_result() {
    let world = World::new();
    let mut bytes = deb("a", "1", "").bytes();
    let at = bytes.len() - 30;
    bytes[at] ^= 0x55;
    let digest = world.store.add_bytes(&bytes).unwrap();
    for _ in 0..2 {
        let error = unpack(&world.store, "a", &digest).unwrap_err();
        assert!(matches!(error, DebianError::Unpack { .. }), "{error}");
    }
}

#[test]
fn packages_are_merged_into_usr() {
    let merged = merged(&[
        deb("old", "1", "").with_files(&[("bin/sh", "shell"), ("lib64/ld.so", "-> /lib/x/ld.so")]),
        deb("new", "1", "").with_files(&[("usr/bin/env", "env"), ("usr/lib/x/ld.so", "loader")]),
        deb("base", "1", "").with_files(&[
            ("bin", "-> usr/bin"),
            ("sbin", "-> usr/sbin"),
            ("usr/bin/", ""),
        ]),
    ]);
    let want = "/bin -> usr/bin\n/lib -> usr/lib\n/lib64 -> usr/lib64\n/usr/\n/usr/bin/\n\
        /usr/bin/env of new\n/usr/bin/sh of old\n/usr/lib/\n/usr/lib/x/\n/usr/lib/x/ld.so of new\n\
        /usr/lib64/\n/usr/lib64/ld.so -> /lib/x/ld.so";
    assert_eq!(listing(&merged.unwrap()), want);
}

#[test]
fn order_does_not_matter() {
    let packages = [
        deb("a", "1", "").with_files(&[("etc/", ""), ("etc/a", "a")]),
        deb("b", "1", "").with_files(&[("etc/b", "b"), ("usr/bin/b", "b")]),
    ];
    let mut reversed = packages.clone();
    reversed.reverse();
    assert_eq!(
        merged(&packages).unwrap().tree,
        merged(&reversed).unwrap().tree
    );
}

#[test]
fn the_same_file_in_two_packages_is_one() {
    let same = merged(&[
        deb("a", "1", "").with_files(&[("usr/share/doc/copyright", "text")]),
        deb("b", "1", "").with_files(&[("usr/share/doc/copyright", "text")]),
    ]);
    let copyright = TreePath::new("usr/share/doc/copyright").unwrap();
    assert_eq!(same.unwrap().owners[&copyright], "a");
}

#[test]
fn different_files_under_one_path_are_an_error() {
    for (first, second) in [
        (("usr/bin/x", "1"), ("usr/bin/x", "2")),
        (("usr/bin/x", "1"), ("bin/x", "2")),
        (("usr/x", "file"), ("usr/x/y", "below a file")),
        (("usr/x/y", "below"), ("usr/x", "a file")),
        (("usr/x/", ""), ("usr/x", "-> y")),
    ] {
        let error = merged(&[
            deb("a", "1", "").with_files(&[first]),
            deb("b", "1", "").with_files(&[second]),
        ]);
        let error = error.map(|m| listing(&m)).unwrap_err();
        assert!(
            matches!(&error, DebianError::FileConflict { first, second, .. } if first == "a" && second == "b"),
            "{first:?} {second:?}: {error}"
        );
    }
}
