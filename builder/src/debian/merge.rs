//! One root from the trees of several packages.

use super::error::DebianError;
use nos_formats::tree::{Kind, Metadata, Node, Tree, TreeError, TreePath};
use nos_store::Blob;
use std::collections::BTreeMap;

/// Directories of the root that are links into `usr` since Debian 12, sorted.
const MERGED: [&str; 4] = ["bin", "lib", "lib64", "sbin"];

/// Packages laid over each other.
#[derive(Debug, Clone)]
pub struct Merged {
    /// The root.
    pub tree: Tree<Blob>,
    /// Path of each non-directory → the package it is from (the first, where several ship the
    /// same).
    pub owners: BTreeMap<TreePath, String>,
}

/// Composes a root from packages, given by name in any order.
///
/// - What packages ship under `/bin`, `/sbin`, `/lib`, `/lib64` goes to `/usr/…`, and the four
///   become links there where the root has the target (usr-merge, as `base-files` does it).
/// - Directories shipped by several packages are one; where modes or owners differ, the package
///   whose name comes first decides.
/// - Other paths shipped by several packages must be the same in all: Debian forbids two
///   packages that can be together from shipping one path, unless a maintainer script diverts
///   it, and no script runs here.
///
/// # Errors
/// [`DebianError::FileConflict`] naming both packages and the path.
pub fn merge(mut trees: Vec<(String, Tree<Blob>)>) -> Result<Merged, DebianError> {
    trees.sort_by(|a, b| a.0.cmp(&b.0));
    let mut merger = Merger {
        merged: Merged {
            tree: Tree::new(),
            owners: BTreeMap::new(),
        },
        directories: BTreeMap::new(),
    };
    for (package, tree) in &trees {
        for (path, node) in tree.iter() {
            merger.place(package, path, node)?;
        }
    }
    merger.link_root(&trees)?;
    Ok(merger.merged)
}

impl Merged {
    /// Whether something other than a directory stands where a parent is needed.
    pub(super) fn blocked(&self, path: &TreePath) -> bool {
        let mut at = path.parent();
        while let Some(parent) = at {
            if self.owners.contains_key(&parent) {
                return true;
            }
            at = parent.parent();
        }
        false
    }
}

struct Merger {
    merged: Merged,
    /// Directory → the package that decided its mode.
    directories: BTreeMap<TreePath, String>,
}

impl Merger {
    fn place(
        &mut self,
        package: &str,
        path: &TreePath,
        node: &Node<Blob>,
    ) -> Result<(), DebianError> {
        let unpackable = |error: TreeError| DebianError::Unpack {
            package: package.to_owned(),
            reason: error.to_string(),
        };
        if is_root_link(path, node) || path.is_root() {
            return Ok(());
        }
        let at = canonical(path).map_err(unpackable)?;
        let mut node = node.clone();
        if let Kind::HardLink(target) = &node.kind {
            node.kind = Kind::HardLink(canonical(target).map_err(unpackable)?);
        }
        let is_directory = matches!(node.kind, Kind::Directory);
        if let Some(there) = self.merged.tree.get(&at) {
            let both = is_directory && matches!(there.kind, Kind::Directory);
            let decided =
                self.directories.contains_key(&at) || self.merged.owners.contains_key(&at);
            if (both && decided) || *there == node {
                return Ok(());
            }
            if !both {
                return Err(self.conflict(at, package));
            }
        }
        if self.merged.blocked(&at) {
            return Err(self.conflict(at, package));
        }
        self.merged
            .tree
            .insert_with_parents(at.clone(), node)
            .map_err(unpackable)?;
        let owners = if is_directory {
            &mut self.directories
        } else {
            &mut self.merged.owners
        };
        owners.insert(at, package.to_owned());
        Ok(())
    }

    fn conflict(&self, path: TreePath, second: &str) -> DebianError {
        let mut at = Some(path.clone());
        let mut first = None;
        while let (None, Some(here)) = (first, at) {
            let owners = [&self.merged.owners, &self.directories];
            first = owners.into_iter().find_map(|owners| owners.get(&here));
            at = here.parent();
        }
        DebianError::FileConflict {
            path: path.to_string(),
            first: first.cloned().unwrap_or_default(),
            second: second.to_owned(),
        }
    }

    /// The links of usr-merge, for the targets that there are.
    fn link_root(&mut self, trees: &[(String, Tree<Blob>)]) -> Result<(), DebianError> {
        let placed = link_root(&mut self.merged.tree).map_err(|error| DebianError::Unpack {
            package: "/".to_owned(),
            reason: error.to_string(),
        })?;
        for link in placed {
            let shipper = trees.iter().find(|(_, tree)| tree.get(&link).is_some());
            if let Some((package, _)) = shipper {
                self.merged.owners.insert(link, package.clone());
            }
        }
        Ok(())
    }
}

/// Places the links of usr-merge for which a root has the target, and nothing else in their place.
/// Gives those that are new.
///
/// # Errors
/// [`TreeError`] where the root is no tree.
pub(crate) fn link_root(root: &mut Tree<Blob>) -> Result<Vec<TreePath>, TreeError> {
    let mut placed = Vec::new();
    for name in MERGED {
        let target = format!("usr/{name}");
        let link = TreePath::new(name)?;
        if root.get(&TreePath::new(&target)?).is_none() || root.get(&link).is_some() {
            continue;
        }
        let node = Node {
            metadata: Metadata::with_mode(0o777),
            kind: Kind::Symlink(target.into_bytes()),
        };
        root.insert(link.clone(), node)?;
        placed.push(link);
    }
    Ok(placed)
}

/// `/bin` and the like: a directory or a link in a package, always our own link in the root.
fn is_root_link(path: &TreePath, node: &Node<Blob>) -> bool {
    let named = MERGED.iter().any(|name| path.as_bytes() == name.as_bytes());
    named && matches!(node.kind, Kind::Directory | Kind::Symlink(_))
}

/// The path after usr-merge.
pub(super) fn canonical(path: &TreePath) -> Result<TreePath, TreeError> {
    let first = path.components().next().unwrap_or_default();
    if MERGED.iter().any(|name| first == name.as_bytes()) && path.as_bytes() != first {
        TreePath::new([b"usr/", path.as_bytes()].concat())
    } else {
        Ok(path.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_placed_for_what_is_there_and_over_nothing() {
        let mut root = Tree::new();
        for folder in ["usr/bin", "usr/sbin", "sbin", "usr/share"] {
            let node = Node {
                metadata: Metadata::with_mode(0o755),
                kind: Kind::Directory,
            };
            let path = TreePath::new(folder).unwrap();
            root.insert_with_parents(path, node).unwrap();
        }
        let placed = link_root(&mut root).unwrap();
        assert_eq!(placed, [TreePath::new("bin").unwrap()]);
        let kind = |path: &str| root.get(&TreePath::new(path).unwrap()).map(|n| &n.kind);
        assert!(matches!(kind("bin"), Some(Kind::Symlink(to)) if to == b"usr/bin"));
        assert!(matches!(kind("sbin"), Some(Kind::Directory)));
        assert!(kind("lib").is_none());
        assert!(link_root(&mut root).unwrap().is_empty());
    }
}
