//! A whole image as a tree.

use std::collections::BTreeMap;

use super::{Image, Inode, InodeKind, corrupt};
use crate::erofs::error::ReadError;
use crate::erofs::format::{DIRENT_SIZE, dirent_type, mode};
use crate::read_at::Extent;
use crate::tree::{Kind, Metadata, Node, Tree, TreePath};

impl<R: Extent> Image<R> {
    /// The image's tree; a regular file's content is its [`Inode`], to be read with
    /// [`Image::read_to`]. Of a file's names the first is the file, the others are hard links.
    ///
    /// # Errors
    /// [`ReadError`] where anything but file content is damaged. Directories that form a circle,
    /// or use the same bytes many times over, are damage.
    pub fn tree(&self) -> Result<Tree<Inode>, ReadError> {
        let mut walk = Walk {
            image: self,
            tree: Tree::new(),
            files: BTreeMap::new(),
            directories: BTreeMap::new(),
            // No honest image has more records than would fit it.
            records_left: self.size_bytes() / DIRENT_SIZE as u64,
        };
        let root = self.root()?;
        walk.directories.insert(root.nid(), TreePath::ROOT);
        if let Some(node) = walk.tree.get_mut(&TreePath::ROOT) {
            node.metadata = self.metadata(&root)?;
        }
        let mut waiting = vec![(TreePath::ROOT, root)];
        while let Some((path, directory)) = waiting.pop() {
            walk.directory(&path, &directory, &mut waiting)?;
        }
        Ok(walk.with_links())
    }

    fn metadata(&self, inode: &Inode) -> Result<Metadata, ReadError> {
        Ok(Metadata {
            mode: inode.permissions(),
            uid: inode.uid(),
            gid: inode.gid(),
            xattrs: self.xattrs(inode)?,
        })
    }
}

struct Walk<'a, R> {
    image: &'a Image<R>,
    tree: Tree<Inode>,
    /// All paths of each regular file.
    files: BTreeMap<u64, Vec<TreePath>>,
    /// Path of each directory.
    directories: BTreeMap<u64, TreePath>,
    records_left: u64,
}

impl<R: Extent> Walk<'_, R> {
    fn directory(
        &mut self,
        path: &TreePath,
        directory: &Inode,
        waiting: &mut Vec<(TreePath, Inode)>,
    ) -> Result<(), ReadError> {
        let place = directory.offset();
        // Popped from the end: the later ones first, and so in order again.
        let first_waiting = waiting.len();
        for entry in self.image.read_dir(directory)? {
            let Some(left) = self.records_left.checked_sub(1) else {
                return corrupt(place, "directories share their bytes");
            };
            self.records_left = left;
            let target = match entry.name.as_slice() {
                b"." => Some(path.clone()),
                b".." => Some(path.parent().unwrap_or_default()),
                _ => None,
            };
            if let Some(target) = target {
                if self.directories.get(&entry.nid) != Some(&target) {
                    return corrupt(place, "'.' or '..' leads somewhere else");
                }
                continue;
            }
            let Ok(path) = path.join(&entry.name) else {
                return corrupt(place, "a path is longer than 4095 bytes");
            };
            let inode = self.image.inode(entry.nid)?;
            if dirent_type(type_bits(inode.kind())) != Some(entry.file_type) {
                return corrupt(place, "a name says another file type than its inode");
            }
            if inode.kind() == InodeKind::Directory {
                if self.directories.insert(entry.nid, path.clone()).is_some() {
                    return corrupt(place, "a directory has two names");
                }
                waiting.push((path.clone(), inode.clone()));
            }
            self.insert(place, path, inode)?;
        }
        waiting[first_waiting..].reverse();
        Ok(())
    }

    fn insert(&mut self, place: u64, path: TreePath, inode: Inode) -> Result<(), ReadError> {
        let metadata = self.image.metadata(&inode)?;
        let kind = match inode.kind() {
            InodeKind::Directory => Kind::Directory,
            InodeKind::Symlink => Kind::Symlink(self.image.read_link(&inode)?),
            InodeKind::CharDevice(major, minor) => Kind::CharDevice { major, minor },
            InodeKind::BlockDevice(major, minor) => Kind::BlockDevice { major, minor },
            InodeKind::Fifo => Kind::Fifo,
            InodeKind::Socket => Kind::Socket,
            InodeKind::File => {
                let names = self.files.entry(inode.nid()).or_default();
                names.push(path.clone());
                Kind::File(inode)
            }
        };
        match self.tree.insert(path, Node { metadata, kind }) {
            Ok(()) => Ok(()),
            Err(_) => corrupt(place, "a name is used twice"),
        }
    }

    /// The tree, with the later names of a file as hard links to the first in the tree's order.
    fn with_links(mut self) -> Tree<Inode> {
        for mut names in self.files.into_values() {
            names.sort_unstable();
            let Some((first, others)) = names.split_first() else {
                continue;
            };
            for other in others {
                if let Some(node) = self.tree.get_mut(other) {
                    node.kind = Kind::HardLink(first.clone());
                }
            }
        }
        self.tree
    }
}

fn type_bits(kind: InodeKind) -> u16 {
    match kind {
        InodeKind::Directory => mode::DIRECTORY,
        InodeKind::File => mode::FILE,
        InodeKind::Symlink => mode::SYMLINK,
        InodeKind::CharDevice(..) => mode::CHAR,
        InodeKind::BlockDevice(..) => mode::BLOCK,
        InodeKind::Fifo => mode::FIFO,
        InodeKind::Socket => mode::SOCKET,
    }
}
