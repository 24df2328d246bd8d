//! From a tree to a table of inodes.

use std::collections::BTreeMap;

use crate::erofs::error::WriteError;
use crate::erofs::format::{device_number, mode};
use crate::tree::{Kind, Metadata, Tree, TreePath};

/// A name in a directory.
#[derive(Debug, Clone, Copy)]
pub(super) struct Record<'t> {
    pub(super) name: &'t [u8],
    /// Index of its inode in the table.
    pub(super) inode: usize,
}

/// What an inode is.
#[derive(Debug)]
pub(super) enum Body<'t, C> {
    /// Its names, sorted, `.` and `..` among them.
    Directory(Vec<Record<'t>>),
    File(&'t C),
    Symlink(&'t [u8]),
    /// A device with its number, or a pipe or socket with 0.
    Special(u32),
    /// The inode that holds fragments; no name leads to it.
    Packed {
        size: u64,
    },
}

/// One inode.
#[derive(Debug)]
pub(super) struct PlannedInode<'t, C> {
    /// The first path that leads to it.
    pub(super) path: &'t TreePath,
    pub(super) metadata: &'t Metadata,
    /// Permissions and type.
    pub(super) mode: u16,
    pub(super) links: u32,
    pub(super) body: Body<'t, C>,
}

/// Makes the table; the root is its first entry. The order is the tree's, which is canonical.
pub(super) fn plan<C>(tree: &Tree<C>) -> Result<Vec<PlannedInode<'_, C>>, WriteError> {
    tree.check_links()?;
    let mut table: Vec<PlannedInode<'_, C>> = Vec::new();
    let mut by_path: BTreeMap<&TreePath, usize> = BTreeMap::new();
    for (path, node) in tree.iter() {
        let (kind, body) = match &node.kind {
            Kind::HardLink(_) => continue,
            Kind::Directory => (mode::DIRECTORY, Body::Directory(Vec::new())),
            Kind::File(content) => (mode::FILE, Body::File(content)),
            Kind::Symlink(target) => {
                check_target(path, target)?;
                (mode::SYMLINK, Body::Symlink(target.as_slice()))
            }
            Kind::CharDevice { major, minor } => {
                (mode::CHAR, Body::Special(device(path, *major, *minor)?))
            }
            Kind::BlockDevice { major, minor } => {
                (mode::BLOCK, Body::Special(device(path, *major, *minor)?))
            }
            Kind::Fifo => (mode::FIFO, Body::Special(0)),
            Kind::Socket => (mode::SOCKET, Body::Special(0)),
        };
        by_path.insert(path, table.len());
        table.push(PlannedInode {
            path,
            metadata: &node.metadata,
            mode: kind | (node.metadata.mode & 0o7777),
            links: 1,
            body,
        });
    }
    for (path, node) in tree.iter() {
        let at = match &node.kind {
            Kind::HardLink(target) => target,
            _ => path,
        };
        // Links were checked, and every other path has just been inserted.
        let Some(&inode) = by_path.get(at) else {
            continue;
        };
        let Some(parent) = path.parent() else {
            continue;
        };
        let Some(&directory) = by_path.get(&parent) else {
            continue;
        };
        if at != path {
            table[inode].links += 1;
        }
        if let Body::Directory(names) = &mut table[directory].body {
            let name = path.name();
            names.push(Record { name, inode });
        }
    }
    add_dots(&mut table, &by_path);
    Ok(table)
}

/// Adds `.` and `..` to every directory, and counts the links they make.
fn add_dots<C>(table: &mut [PlannedInode<'_, C>], by_path: &BTreeMap<&TreePath, usize>) {
    for index in 0..table.len() {
        let parent = table[index].path.parent();
        let parent = parent.and_then(|p| by_path.get(&p).copied()).unwrap_or(0);
        let Body::Directory(names) = &mut table[index].body else {
            continue;
        };
        for (name, inode) in [(&b"."[..], index), (&b".."[..], parent)] {
            names.push(Record { name, inode });
        }
        names.sort_unstable_by_key(|record| record.name);
        table[index].links += 1;
        if index != 0 {
            table[parent].links += 1;
        }
    }
}

fn check_target(path: &TreePath, target: &[u8]) -> Result<(), WriteError> {
    let reason = match target.len() {
        0 => "an empty link target",
        4096.. => "a link target over 4095 bytes",
        _ if target.contains(&0) => "a link target with a NUL byte",
        _ => return Ok(()),
    };
    let path = path.clone();
    Err(WriteError::Node { path, reason })
}

fn device(path: &TreePath, major: u32, minor: u32) -> Result<u32, WriteError> {
    device_number(major, minor).ok_or_else(|| WriteError::Node {
        path: path.clone(),
        reason: "a device number beyond 12 bits major, 20 bits minor",
    })
}
