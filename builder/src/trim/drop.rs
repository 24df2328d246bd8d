//! `drop`: what the spec takes out of an image, whatever would keep it.

use super::{Glob, TrimError};
use nos_formats::tree::{Kind, Tree, TreePath};
use std::collections::{BTreeMap, BTreeSet};

/// What the spec takes out, and what it wants besides.
#[derive(Debug, Clone, Copy)]
pub struct Drops<'a> {
    /// Globs of what goes. One without wildcards that is a folder takes everything below it along.
    pub globs: &'a [Glob],
    /// Globs of what trimming keeps.
    pub keep: &'a [Glob],
    /// What the spec places, and the programs that its services run.
    pub wanted: &'a BTreeSet<TreePath>,
}

/// What went.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Dropped {
    /// Each path and the glob that took it; folders are not among them.
    pub paths: BTreeMap<TreePath, String>,
    /// Globs that match nothing.
    pub unused_globs: Vec<String>,
}

/// Takes files and links out of a tree, and folders of which nothing is left.
///
/// # Errors
/// [`TrimError::KeptAndDropped`] and [`TrimError::WantedAndDropped`] where the spec says both of one
/// path.
pub fn drop<C: Clone>(tree: &mut Tree<C>, drops: &Drops<'_>) -> Result<Dropped, TrimError> {
    let mut dropped = Dropped::default();
    for glob in drops.globs {
        let below = |path: &TreePath| glob.is_literal() && is_below(path, glob);
        let matching = tree.iter().filter(|(path, node)| {
            !matches!(node.kind, Kind::Directory) && (glob.matches(path) || below(path))
        });
        let matching: Vec<TreePath> = matching.map(|(path, _)| path.clone()).collect();
        if matching.is_empty() {
            dropped.unused_globs.push(glob.to_string());
        }
        for path in matching {
            contradiction(&path, glob, drops)?;
            dropped.paths.entry(path).or_insert(glob.to_string());
        }
    }
    if dropped.paths.is_empty() {
        return Ok(dropped);
    }
    move_contents(tree, &dropped);
    let mut folders = BTreeSet::new();
    for path in dropped.paths.keys() {
        let mut at = path.parent();
        while let Some(folder) = at.filter(|folder| !folder.is_root()) {
            at = folder.parent();
            folders.insert(folder);
        }
    }
    let stays = |path: &TreePath| {
        let emptied = folders.contains(path) && !drops.wanted.contains(path);
        !emptied && !dropped.paths.contains_key(path)
    };
    // A folder of which something is left stays with that.
    tree.retain(|path, _| stays(path));
    Ok(dropped)
}

/// Gives the content of a file that goes to the first of its other names, and the others to that.
fn move_contents<C: Clone>(tree: &mut Tree<C>, dropped: &Dropped) {
    let links = tree.iter().filter_map(|(path, node)| match &node.kind {
        Kind::HardLink(target)
            if dropped.paths.contains_key(target) && !dropped.paths.contains_key(path) =>
        {
            Some((path.clone(), target.clone()))
        }
        _ => None,
    });
    let links: Vec<(TreePath, TreePath)> = links.collect();
    let mut heirs: BTreeMap<TreePath, TreePath> = BTreeMap::new();
    for (path, target) in links {
        let kind = match heirs.get(&target) {
            Some(heir) => Some(Kind::HardLink(heir.clone())),
            None => tree.get(&target).map(|node| node.kind.clone()),
        };
        if let (Some(kind), Some(node)) = (kind, tree.get_mut(&path)) {
            node.kind = kind;
            heirs.entry(target).or_insert(path);
        }
    }
}

fn contradiction(path: &TreePath, glob: &Glob, drops: &Drops<'_>) -> Result<(), TrimError> {
    let keeps = |keep: &&Glob| keep.matches(path) || (keep.is_literal() && is_below(path, keep));
    if let Some(keep) = drops.keep.iter().find(keeps) {
        return Err(TrimError::KeptAndDropped {
            path: path.clone(),
            keep: keep.to_string(),
            drop: glob.to_string(),
        });
    }
    match drops.wanted.contains(path) {
        true => Err(TrimError::WantedAndDropped {
            path: path.clone(),
            drop: glob.to_string(),
        }),
        false => Ok(()),
    }
}

/// Whether a path is in the folder that a pattern without wildcards names.
fn is_below(path: &TreePath, folder: &Glob) -> bool {
    let mut at = path.parent();
    while let Some(above) = at {
        if folder.matches(&above) {
            return true;
        }
        at = above.parent();
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::{Expect, expect};
    use nos_formats::tree::{Metadata, Node};

    fn tree() -> Tree<&'static str> {
        let mut tree = Tree::new();
        let mut put = |path: &str, kind| {
            let metadata = Metadata::with_mode(0o644);
            let path = TreePath::new(path).unwrap();
            let node = Node { metadata, kind };
            tree.insert_with_parents(path, node).unwrap();
        };
        put("a/one", Kind::File("1"));
        put("a/two", Kind::HardLink(TreePath::new("a/one").unwrap()));
        put("b/three", Kind::HardLink(TreePath::new("a/one").unwrap()));
        put("c/deep/four", Kind::File("4"));
        put("c/link", Kind::Symlink(b"/a/one".to_vec()));
        tree
    }

    fn check(drop_globs: &[&str], keep: &[&str], wanted: &[&str], expected: &Expect) {
        let globs = |list: &[&str]| -> Vec<Glob> {
            list.iter().map(|glob| Glob::new(glob).unwrap()).collect()
        };
        let wanted = wanted.iter().map(|path| TreePath::new(path).unwrap());
        let mut tree = tree();
        let dropped = drop(
            &mut tree,
            &Drops {
                globs: &globs(drop_globs),
                keep: &globs(keep),
                wanted: &wanted.collect(),
            },
        );
        let text = match dropped {
            Err(error) => error.to_string(),
            Ok(dropped) => {
                tree.check_links().unwrap();
                let left = tree.iter().filter(|(path, _)| !path.is_root());
                let left: Vec<String> = left
                    .map(|(path, node)| match &node.kind {
                        Kind::Directory => format!("{path}/"),
                        Kind::HardLink(target) => format!("{path}={target}"),
                        _ => path.to_string(),
                    })
                    .collect();
                format!("{} unused {:?}", left.join(" "), dropped.unused_globs)
            }
        };
        expected.assert_eq(&text);
    }

    #[test]
    fn a_folder_goes_with_all_below_it_and_other_names_keep_their_content() {
        let all = expect![[r#"/a/ /a/one /a/two=/a/one /b/ /b/three=/a/one unused ["/no/such"]"#]];
        check(&["/c", "/no/such"], &[], &[], &all);
        let first =
            expect!["/a/ /a/two /b/ /b/three=/a/two /c/ /c/deep/ /c/deep/four /c/link unused []"];
        check(&["/a/o*"], &[], &[], &first);
        let wanted = expect!["/c/ /c/deep/ /c/deep/four /c/link unused []"];
        check(&["/?/o*", "/**/t*"], &[], &["c"], &wanted);
        let stays = expect!["/a/ /a/one /a/two=/a/one /b/ /b/three=/a/one /c/ unused []"];
        check(&["/c/**"], &[], &["c"], &stays);
    }

    #[test]
    fn what_is_wanted_and_dropped_is_an_error() {
        let kept = expect![[
            r#"/c/deep/four is kept by keep = "/c/deep" and taken out by drop = "/c/**"; make one of the patterns narrower"#
        ]];
        check(&["/c/**"], &["/c/deep"], &[], &kept);
        let placed = expect![[
            r#"drop = "/c/**" takes out /c/link, which the spec places or runs; make the pattern narrower"#
        ]];
        check(&["/c/**"], &[], &["c/link"], &placed);
    }
}
