//! Following paths inside a tree, as the kernel would with the tree as its root.

use nos_formats::tree::{Kind, Tree, TreePath};

/// Most symbolic links followed in one path (Linux `MAXSYMLINKS`).
const MAX_LINKS: usize = 40;

/// Where a path leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Resolved {
    /// The node at its end; never a symbolic link.
    pub(super) path: TreePath,
    /// The symbolic links that were followed.
    pub(super) links: Vec<TreePath>,
}

/// Why a path leads nowhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lost {
    /// A component is missing, or a file stands where a folder should be.
    Missing,
    /// Too many symbolic links.
    Loop,
}

/// Follows `path` (absolute, or relative to the folder `base`).
pub(super) fn resolve<C>(tree: &Tree<C>, base: &TreePath, path: &[u8]) -> Result<Resolved, Lost> {
    let mut at = start(base, path);
    let mut links = Vec::new();
    let mut pending: Vec<Vec<u8>> = components(path);
    while let Some(name) = pending.pop() {
        if name == b".." {
            at = at.parent().unwrap_or_default();
            continue;
        }
        let next = at.join(&name).map_err(|_| Lost::Missing)?;
        match tree.get(&next).map(|node| &node.kind) {
            None => return Err(Lost::Missing),
            Some(Kind::Symlink(target)) => {
                if links.len() == MAX_LINKS {
                    return Err(Lost::Loop);
                }
                at = start(&at, target);
                pending.extend(components(target));
                links.push(next);
            }
            Some(Kind::Directory) => at = next,
            Some(_) if pending.is_empty() => at = next,
            Some(_) => return Err(Lost::Missing),
        }
    }
    Ok(Resolved { path: at, links })
}

fn start(base: &TreePath, path: &[u8]) -> TreePath {
    if path.first() == Some(&b'/') {
        TreePath::ROOT
    } else {
        base.clone()
    }
}

/// The names of a path, last first, without empty ones and `.`.
fn components(path: &[u8]) -> Vec<Vec<u8>> {
    path.split(|&b| b == b'/')
        .rev()
        .filter(|name| !matches!(*name, b"" | b"."))
        .map(<[u8]>::to_vec)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use nos_formats::tree::{Metadata, Node};

    #[test]
    fn links_are_followed_inside_the_tree() {
        let mut tree = Tree::<()>::new();
        let mut put = |path: &str, kind| {
            let metadata = Metadata::with_mode(0o755);
            let path = TreePath::new(path).unwrap();
            tree.insert_with_parents(path, Node { metadata, kind })
                .unwrap();
        };
        put("usr/lib64/ld.so", Kind::File(()));
        put("lib64", Kind::Symlink(b"usr/lib64".to_vec()));
        put("usr/bin/ld", Kind::Symlink(b"../../lib64/./ld.so".to_vec()));
        put("abs", Kind::Symlink(b"/usr/bin/ld".to_vec()));
        put("out", Kind::Symlink(b"../../../abs".to_vec()));
        put("loop", Kind::Symlink(b"loop".to_vec()));
        put("gone", Kind::Symlink(b"nowhere".to_vec()));

        let go = |path: &str| {
            resolve(&tree, &TreePath::ROOT, path.as_bytes()).map(|found| {
                let links = found.links.iter().map(TreePath::to_string);
                (found.path.to_string(), links.collect::<Vec<_>>().join(" "))
            })
        };
        let ld = "/usr/lib64/ld.so".to_owned();
        assert_eq!(go("/lib64/ld.so"), Ok((ld.clone(), "/lib64".into())));
        assert_eq!(go("out"), Ok((ld, "/out /abs /usr/bin/ld /lib64".into())));
        assert_eq!(go("loop"), Err(Lost::Loop));
        assert_eq!(go("gone"), Err(Lost::Missing));
        assert_eq!(go("usr/lib64/ld.so/x"), Err(Lost::Missing));
        assert_eq!(go("/"), Ok(("/".into(), String::new())));
    }
}
