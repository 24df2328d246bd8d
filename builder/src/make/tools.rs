//! The tools of a build: Debian packages as one root, with what their maintainer scripts would
//! have made and a build needs.

use crate::compose::output_tree;
use crate::debian;
use crate::error::BuildError;
use crate::realise::Builder;
use nos_formats::tree::{Kind, Metadata, Node, TreePath};
use nos_store::{ActionResult, Blob, Output};

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
    for (name, input) in packages.iter().zip(inputs) {
        let tree = builder.store.read_tree(&output_tree(input, "tree")?)?;
        trees.push((name.clone(), tree));
    }
    let mut merged = debian::merge(trees)?;
    debian::link_alternatives(&mut merged, packages.iter().zip(inputs.iter().copied()))?;
    let mut tree = merged.tree;
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
