//! The tools of a build: Debian packages as one root, with what their maintainer scripts would
//! have made and a build needs.

use crate::compose::output_tree;
use crate::debian::{self, Alternative};
use crate::error::BuildError;
use crate::realise::Builder;
use nos_formats::tree::{Kind, Metadata, Node, Tree, TreePath};
use nos_store::{ActionResult, Blob, Output};
use std::collections::BTreeMap;

/// Packages that every build has: a shell and the programs that scripts take for granted.
pub const BASE: [&str; 10] = [
    "coreutils",
    "dash",
    "diffutils",
    "findutils",
    "grep",
    "gzip",
    "mawk",
    "patch",
    "sed",
    "tar",
];

/// Files that every root has.
const FILES: [(&str, &str); 4] = [
    (
        "etc/passwd",
        "root:x:0:0:root:/:/usr/sbin/nologin\nbuilder:x:1000:1000::/build:/bin/sh\n\
         nobody:x:65534:65534:nobody:/:/usr/sbin/nologin\n",
    ),
    (
        "etc/group",
        "root:x:0:\nbuilder:x:1000:\nnogroup:x:65534:\n",
    ),
    ("etc/hosts", "127.0.0.1 localhost nos\n::1 localhost\n"),
    (
        "etc/nsswitch.conf",
        "passwd: files\ngroup: files\nhosts: files\n",
    ),
];

/// Puts the root together; inputs are the unpacked packages, in the order of `packages`. Output
/// `tree`.
///
/// # Errors
/// [`BuildError::Debian`] where packages clash.
pub(crate) fn tools(
    builder: &Builder<'_>,
    packages: &[String],
    inputs: &[&ActionResult],
) -> Result<ActionResult, BuildError> {
    let mut trees = Vec::new();
    let mut links: BTreeMap<String, Alternative> = BTreeMap::new();
    for (name, input) in packages.iter().zip(inputs) {
        trees.push((
            name.clone(),
            builder.store.read_tree(&output_tree(input, "tree")?)?,
        ));
        for offered in debian::alternatives(input) {
            // Of equals the first package by name: packages are sorted.
            let better = links
                .get(&offered.link)
                .is_none_or(|known| offered.priority > known.priority);
            if better {
                links.insert(offered.link.clone(), offered);
            }
        }
    }
    let mut tree = debian::merge(trees)?.tree;
    for offered in links.into_values() {
        alternative(&mut tree, &offered)?;
    }
    for (path, text) in FILES {
        let digest = builder.store.add_bytes(text.as_bytes())?;
        let blob = Blob {
            digest,
            size: text.len() as u64,
        };
        let node = Node {
            metadata: Metadata::with_mode(0o644),
            kind: Kind::File(blob),
        };
        tree.insert_with_parents(TreePath::new(path)?, node)?;
    }
    let digest = builder.store.add_tree(&tree)?;
    Ok(ActionResult::with_output("tree", Output::Tree(digest)))
}

/// Makes a link that a maintainer script would have made, where its target is there and its place
/// is free.
fn alternative(tree: &mut Tree<Blob>, offered: &Alternative) -> Result<(), BuildError> {
    let merged = |path: &str| -> Result<TreePath, BuildError> {
        let path = path.trim_start_matches('/');
        let first = path.split('/').next().unwrap_or_default();
        Ok(match first {
            "bin" | "lib" | "lib64" | "sbin" => TreePath::new(format!("usr/{path}"))?,
            _ => TreePath::new(path)?,
        })
    };
    let (link, target) = (merged(&offered.link)?, merged(&offered.target)?);
    if tree.get(&link).is_some() || tree.get(&target).is_none() {
        return Ok(());
    }
    let node = Node {
        metadata: Metadata::with_mode(0o777),
        kind: Kind::Symlink(offered.target.as_bytes().to_vec()),
    };
    Ok(tree.insert_with_parents(link, node)?)
}
