//! A file tree as a value: what image writers take and package readers give.
//!
//! A [`Tree`] holds names, kinds, modes, owners and extended attributes in one canonical order;
//! what a regular file *contains* is the caller's business (`C`: bytes, a digest, an index).
//! There are no times in it: a time never reaches a byte that we output.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::fmt;

/// Longest path accepted, in bytes (Linux `PATH_MAX` less the terminating NUL).
pub const MAX_PATH_BYTES: usize = 4095;

/// Longest path component accepted, in bytes (Linux `NAME_MAX`).
pub const MAX_NAME_BYTES: usize = 255;

/// A path inside a tree: relative, `/`-separated, no empty, `.` or `..` component, no NUL.
/// The empty path is the tree's root.
///
/// Ordered component by component, so a directory sorts directly before what it contains.
#[derive(Clone, PartialEq, Eq, Hash, Default)]
pub struct TreePath(Vec<u8>);

impl TreePath {
    /// The root of the tree.
    pub const ROOT: TreePath = TreePath(Vec::new());

    /// Reads a path. A leading `/` or `./` and a trailing `/` are dropped, as `tar` and specs
    /// write them; anything else that is not canonical is refused.
    ///
    /// # Errors
    /// [`TreeError::BadPath`] for `..`, empty components, NUL bytes and over-long names.
    pub fn new(path: impl AsRef<[u8]>) -> Result<Self, TreeError> {
        let raw = path.as_ref();
        let bad = |reason| TreeError::BadPath {
            path: lossy(raw),
            reason,
        };
        let mut rest = raw;
        while let Some(stripped) = rest.strip_prefix(b"./") {
            rest = stripped;
        }
        rest = rest.strip_prefix(b"/").unwrap_or(rest);
        rest = rest.strip_suffix(b"/").unwrap_or(rest);
        if rest.is_empty() || rest == b"." {
            return Ok(Self::ROOT);
        }
        if rest.len() > MAX_PATH_BYTES {
            return Err(bad("it is longer than 4095 bytes"));
        }
        for name in rest.split(|&b| b == b'/') {
            match name {
                b"" => return Err(bad("it has an empty component")),
                b"." | b".." => return Err(bad("it has a '.' or '..' component")),
                _ if name.len() > MAX_NAME_BYTES => {
                    return Err(bad("a component is longer than 255 bytes"));
                }
                _ if name.contains(&0) => return Err(bad("it has a NUL byte")),
                _ => {}
            }
        }
        Ok(Self(rest.to_vec()))
    }

    /// The path's bytes, without a leading `/`.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Whether this is the root.
    pub fn is_root(&self) -> bool {
        self.0.is_empty()
    }

    /// The last component; empty for the root.
    pub fn name(&self) -> &[u8] {
        match self.0.iter().rposition(|&b| b == b'/') {
            Some(slash) => &self.0[slash + 1..],
            None => &self.0,
        }
    }

    /// The directory that contains this path; `None` for the root.
    pub fn parent(&self) -> Option<TreePath> {
        if self.is_root() {
            return None;
        }
        let end = self.0.iter().rposition(|&b| b == b'/').unwrap_or(0);
        Some(TreePath(self.0[..end].to_vec()))
    }

    /// This path with `name` (one or more components) below it.
    ///
    /// # Errors
    /// [`TreeError::BadPath`] as for [`TreePath::new`].
    pub fn join(&self, name: impl AsRef<[u8]>) -> Result<TreePath, TreeError> {
        let mut bytes = self.0.clone();
        bytes.push(b'/');
        bytes.extend_from_slice(name.as_ref());
        TreePath::new(bytes)
    }

    /// Whether this path is `ancestor` or lies below it.
    pub fn starts_with(&self, ancestor: &TreePath) -> bool {
        ancestor.is_root()
            || self.0 == ancestor.0
            || (self.0.starts_with(&ancestor.0) && self.0.get(ancestor.0.len()) == Some(&b'/'))
    }

    /// The components, outermost first.
    pub fn components(&self) -> impl DoubleEndedIterator<Item = &[u8]> {
        self.0.split(|&b| b == b'/').filter(|c| !c.is_empty())
    }
}

impl Ord for TreePath {
    fn cmp(&self, other: &Self) -> Ordering {
        let key = |b: &u8| if *b == b'/' { 0u8 } else { *b };
        // NUL cannot occur in a path, so mapping '/' to 0 orders by component.
        self.0.iter().map(key).cmp(other.0.iter().map(key))
    }
}

impl PartialOrd for TreePath {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for TreePath {
    /// The absolute form, with bytes that are not UTF-8 replaced.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "/{}", lossy(&self.0))
    }
}

impl fmt::Debug for TreePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// What every kind of node carries.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Metadata {
    /// Permission bits with set-uid, set-gid and sticky (`0o7777` at most).
    pub mode: u16,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Extended attributes by full name (`security.capability`).
    pub xattrs: BTreeMap<Vec<u8>, Vec<u8>>,
}

impl Metadata {
    /// Owned by root, no extended attributes.
    pub fn with_mode(mode: u16) -> Self {
        Self {
            mode: mode & 0o7777,
            ..Self::default()
        }
    }
}

/// What a node is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind<C> {
    /// A directory.
    Directory,
    /// A regular file.
    File(C),
    /// A symbolic link and its target, verbatim.
    Symlink(Vec<u8>),
    /// Another name of the regular file at this path; metadata is that file's.
    HardLink(TreePath),
    /// A character device.
    CharDevice {
        /// Major number.
        major: u32,
        /// Minor number.
        minor: u32,
    },
    /// A block device.
    BlockDevice {
        /// Major number.
        major: u32,
        /// Minor number.
        minor: u32,
    },
    /// A named pipe.
    Fifo,
    /// A socket.
    Socket,
}

/// One node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node<C> {
    /// Mode, owner, attributes.
    pub metadata: Metadata,
    /// What it is.
    pub kind: Kind<C>,
}

/// Why a tree or a path was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TreeError {
    /// A path that is not canonical.
    #[error(
        "the path {path:?} cannot be used: {reason}; write it as an absolute path without '.', '..' or doubled '/'"
    )]
    BadPath {
        /// The path as given.
        path: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The parent is missing or not a directory.
    #[error(
        "{path} cannot be placed: {parent} is not a directory; declare the directory first or choose another path"
    )]
    NoParent {
        /// Path to be placed.
        path: TreePath,
        /// Its parent.
        parent: TreePath,
    },
    /// A directory would be replaced by something else, or the reverse.
    #[error(
        "{path} is a directory in one source and something else in another; remove one of the two"
    )]
    KindClash {
        /// The path.
        path: TreePath,
    },
    /// A hard link to nothing, or to something that is not a regular file.
    #[error(
        "{path} is a hard link to {target}, which is not a regular file in the tree; add the target or drop the link"
    )]
    BadHardLink {
        /// The link.
        path: TreePath,
        /// What it names.
        target: TreePath,
    },
}

/// A whole tree.
///
/// Invariant: the root is a directory, and every other node's parent is a directory in the tree.
/// Hard-link targets are checked by [`Tree::check_links`], because archives may name a link
/// before trees are merged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tree<C> {
    nodes: BTreeMap<TreePath, Node<C>>,
}

impl<C> Default for Tree<C> {
    fn default() -> Self {
        let root = Node {
            metadata: Metadata::with_mode(0o755),
            kind: Kind::Directory,
        };
        Self {
            nodes: BTreeMap::from([(TreePath::ROOT, root)]),
        }
    }
}

impl<C> Tree<C> {
    /// A tree with only a root directory (mode 0755, owned by root).
    pub fn new() -> Self {
        Self::default()
    }

    /// Places a node, replacing one of the same nature at the same path.
    ///
    /// # Errors
    /// [`TreeError::NoParent`] where the parent is not a directory in the tree;
    /// [`TreeError::KindClash`] where a directory would replace a non-directory or the reverse.
    pub fn insert(&mut self, path: TreePath, node: Node<C>) -> Result<(), TreeError> {
        let is_dir = matches!(node.kind, Kind::Directory);
        if let Some(old) = self.nodes.get(&path) {
            if matches!(old.kind, Kind::Directory) != is_dir {
                return Err(TreeError::KindClash { path });
            }
        } else if let Some(parent) = path.parent() {
            let found = self.nodes.get(&parent).map(|n| &n.kind);
            if !matches!(found, Some(Kind::Directory)) {
                return Err(TreeError::NoParent { path, parent });
            }
        }
        self.nodes.insert(path, node);
        Ok(())
    }

    /// [`Tree::insert`], creating missing parents (mode 0755, owned by root).
    ///
    /// # Errors
    /// As [`Tree::insert`].
    pub fn insert_with_parents(&mut self, path: TreePath, node: Node<C>) -> Result<(), TreeError> {
        let mut missing = Vec::new();
        let mut at = path.parent();
        while let Some(dir) = at {
            if self.nodes.contains_key(&dir) {
                break;
            }
            at = dir.parent();
            missing.push(dir);
        }
        for dir in missing.into_iter().rev() {
            let metadata = Metadata::with_mode(0o755);
            self.insert(
                dir,
                Node {
                    metadata,
                    kind: Kind::Directory,
                },
            )?;
        }
        self.insert(path, node)
    }

    /// The node at a path.
    pub fn get(&self, path: &TreePath) -> Option<&Node<C>> {
        self.nodes.get(path)
    }

    /// The node at a path, to change its metadata or content in place.
    pub fn get_mut(&mut self, path: &TreePath) -> Option<&mut Node<C>> {
        self.nodes.get_mut(path)
    }

    /// Removes a node and everything below it; the root stays.
    pub fn remove(&mut self, path: &TreePath) {
        if !path.is_root() {
            self.nodes.retain(|p, _| !p.starts_with(path));
        }
    }

    /// Keeps the nodes that `keep` says, and every directory that leads to one of them.
    pub fn retain(&mut self, mut keep: impl FnMut(&TreePath, &Node<C>) -> bool) {
        let mut kept = std::collections::BTreeSet::from([TreePath::ROOT]);
        for (path, node) in &self.nodes {
            if keep(path, node) {
                let mut at = Some(path.clone());
                while let Some(p) = at {
                    at = p.parent();
                    if !kept.insert(p) {
                        break;
                    }
                }
            }
        }
        self.nodes.retain(|p, _| kept.contains(p));
    }

    /// All nodes in canonical order, the root first, each directory before its content.
    pub fn iter(&self) -> impl Iterator<Item = (&TreePath, &Node<C>)> {
        self.nodes.iter()
    }

    /// Number of nodes, the root included.
    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Whether there is nothing but the root.
    pub fn is_empty(&self) -> bool {
        self.nodes.len() <= 1
    }

    /// The same tree with other contents.
    ///
    /// # Errors
    /// The first error of `f`.
    pub fn try_map<D, E>(
        self,
        mut f: impl FnMut(&TreePath, C) -> Result<D, E>,
    ) -> Result<Tree<D>, E> {
        let mut nodes = BTreeMap::new();
        for (path, node) in self.nodes {
            let kind = match node.kind {
                Kind::File(content) => Kind::File(f(&path, content)?),
                Kind::Directory => Kind::Directory,
                Kind::Symlink(target) => Kind::Symlink(target),
                Kind::HardLink(target) => Kind::HardLink(target),
                Kind::CharDevice { major, minor } => Kind::CharDevice { major, minor },
                Kind::BlockDevice { major, minor } => Kind::BlockDevice { major, minor },
                Kind::Fifo => Kind::Fifo,
                Kind::Socket => Kind::Socket,
            };
            nodes.insert(
                path,
                Node {
                    metadata: node.metadata,
                    kind,
                },
            );
        }
        Ok(Tree { nodes })
    }

    /// Checks that every hard link names a regular file of the tree.
    ///
    /// # Errors
    /// [`TreeError::BadHardLink`] for the first that does not.
    pub fn check_links(&self) -> Result<(), TreeError> {
        for (path, node) in &self.nodes {
            if let Kind::HardLink(target) = &node.kind
                && !matches!(self.nodes.get(target).map(|n| &n.kind), Some(Kind::File(_)))
            {
                return Err(TreeError::BadHardLink {
                    path: path.clone(),
                    target: target.clone(),
                });
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> TreePath {
        TreePath::new(text).unwrap()
    }

    #[test]
    fn paths_are_canonical_or_refused() {
        for (given, canonical) in [
            ("/", "/"),
            ("./", "/"),
            (".", "/"),
            ("./usr/bin/", "/usr/bin"),
            ("a/b", "/a/b"),
        ] {
            assert_eq!(path(given).to_string(), canonical);
        }
        let long = "x".repeat(256);
        for bad in ["a//b", "..", "a/../b", "a/./b", "a\0b", &long] {
            assert!(TreePath::new(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_directory_sorts_directly_before_its_content() {
        let mut paths = ["a-b", "a/z", "a", "a.b", "b"].map(path);
        paths.sort();
        let order: Vec<_> = paths.iter().map(ToString::to_string).collect();
        assert_eq!(order, ["/a", "/a/z", "/a-b", "/a.b", "/b"]);
    }

    #[test]
    fn nodes_need_a_directory_above_them() {
        let file = || Node {
            metadata: Metadata::with_mode(0o644),
            kind: Kind::File(()),
        };
        let mut tree = Tree::new();
        assert!(matches!(
            tree.insert(path("a/b"), file()),
            Err(TreeError::NoParent { .. })
        ));
        tree.insert_with_parents(path("a/b"), file()).unwrap();
        assert!(matches!(
            tree.insert_with_parents(path("a/b/c"), file()),
            Err(TreeError::NoParent { .. })
        ));
        assert!(matches!(
            tree.insert(path("a"), file()),
            Err(TreeError::KindClash { .. })
        ));
        tree.retain(|p, _| p.name() == b"b");
        assert_eq!(tree.len(), 3);
        tree.remove(&path("a"));
        assert!(tree.is_empty());
    }

    #[test]
    fn hard_links_must_name_files() {
        let mut tree: Tree<()> = Tree::new();
        let link = Node {
            metadata: Metadata::default(),
            kind: Kind::HardLink(path("x")),
        };
        tree.insert(path("l"), link).unwrap();
        assert!(tree.check_links().is_err());
        let file = Node {
            metadata: Metadata::default(),
            kind: Kind::File(()),
        };
        tree.insert(path("x"), file).unwrap();
        assert!(tree.check_links().is_ok());
    }
}
