//! Writing an archive.

use super::{ALIGNMENT, CpioError, HEADER_SIZE, MAGIC, TRAILER, file_type};
use crate::tree::{Kind, Metadata, Node, Tree, TreePath};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io;

/// Writes a tree as one archive; `read` gives the content of each regular file.
///
/// The root directory has no entry: an archive is unpacked into one that exists. Of a file with
/// several names the last carries the data, as GNU cpio writes it; the kernel takes any.
///
/// # Errors
/// [`CpioError::Content`] with a failure of `read`, [`CpioError::TooLarge`] and
/// [`CpioError::Xattrs`] for what the format cannot hold, [`CpioError::Tree`] for a hard link to
/// nothing.
pub fn archive<C>(
    tree: &Tree<C>,
    mut read: impl for<'a> FnMut(&TreePath, &'a C) -> io::Result<Cow<'a, [u8]>>,
) -> Result<Vec<u8>, CpioError> {
    tree.check_links()?;
    let links = links_by_file(tree);
    let mut inodes: BTreeMap<&TreePath, u32> = BTreeMap::new();
    let mut out = Vec::new();
    for (path, node) in tree.iter().filter(|(path, _)| !path.is_root()) {
        // All names of a file share one inode, and with it the file's own metadata.
        let file = match &node.kind {
            Kind::HardLink(target) => target,
            _ => path,
        };
        let node = tree.get(file).unwrap_or(node);
        let next = inodes.len() as u32 + 1;
        let inode = *inodes.entry(file).or_insert(next);
        let names = links.get(file);
        let last_name = names.is_none_or(|names| names.last == path);
        let body = match &node.kind {
            Kind::File(content) if last_name => read(path, content).map_err(|source| {
                let path = path.clone();
                CpioError::Content { path, source }
            })?,
            Kind::Symlink(target) => Cow::Borrowed(&target[..]),
            _ => Cow::Borrowed(&[][..]),
        };
        let Ok(body_size) = u32::try_from(body.len()) else {
            return Err(CpioError::TooLarge {
                path: path.clone(),
                size: body.len() as u64,
            });
        };
        if !node.metadata.xattrs.is_empty() {
            return Err(CpioError::Xattrs { path: path.clone() });
        }
        let link_count = names.map_or(1, |names| names.count);
        Header::of(node, inode, link_count, body_size).write(&mut out, path.as_bytes());
        out.extend_from_slice(&body);
        pad(&mut out);
    }
    Header::default().write(&mut out, TRAILER);
    Ok(out)
}

/// The names of a file that has more than one.
struct Names<'a> {
    count: u32,
    last: &'a TreePath,
}

fn links_by_file<C>(tree: &Tree<C>) -> BTreeMap<&TreePath, Names<'_>> {
    let mut links: BTreeMap<&TreePath, Names<'_>> = BTreeMap::new();
    for (path, node) in tree.iter() {
        if let Kind::HardLink(target) = &node.kind {
            let names = links.entry(target).or_insert(Names {
                count: 1,
                last: target,
            });
            names.count += 1;
            names.last = names.last.max(path);
        }
    }
    links
}

/// The fields of a header that are not always zero.
#[derive(Default)]
struct Header {
    inode: u32,
    mode: u32,
    uid: u32,
    gid: u32,
    link_count: u32,
    body_size: u32,
    device: (u32, u32),
}

impl Header {
    fn of<C>(node: &Node<C>, inode: u32, link_count: u32, body_size: u32) -> Self {
        let (kind, device) = match node.kind {
            Kind::Directory => (file_type::DIRECTORY, (0, 0)),
            Kind::File(_) | Kind::HardLink(_) => (file_type::FILE, (0, 0)),
            Kind::Symlink(_) => (file_type::SYMLINK, (0, 0)),
            Kind::CharDevice { major, minor } => (file_type::CHAR_DEVICE, (major, minor)),
            Kind::BlockDevice { major, minor } => (file_type::BLOCK_DEVICE, (major, minor)),
            Kind::Fifo => (file_type::FIFO, (0, 0)),
            Kind::Socket => (file_type::SOCKET, (0, 0)),
        };
        let Metadata { mode, uid, gid, .. } = node.metadata;
        Self {
            inode,
            mode: kind | u32::from(mode),
            uid,
            gid,
            link_count,
            body_size,
            device,
        }
    }

    /// Appends header and name, padded.
    fn write(&self, out: &mut Vec<u8>, name: &[u8]) {
        let fields = [
            self.inode,
            self.mode,
            self.uid,
            self.gid,
            self.link_count,
            0, // mtime
            self.body_size,
            0, // device that holds the file: major
            0, // minor
            self.device.0,
            self.device.1,
            // A `TreePath` has at most 4095 bytes.
            name.len() as u32 + 1,
            0, // check: unused in this form
        ];
        out.reserve(HEADER_SIZE + name.len() + ALIGNMENT);
        out.extend_from_slice(MAGIC);
        for field in fields {
            for shift in (0..32).step_by(4).rev() {
                out.push(b"0123456789ABCDEF"[(field >> shift & 15) as usize]);
            }
        }
        out.extend_from_slice(name);
        out.push(0);
        pad(out);
    }
}

/// An archive starts at a multiple of [`ALIGNMENT`], so padding the output pads the entry.
fn pad(out: &mut Vec<u8>) {
    out.resize(out.len().next_multiple_of(ALIGNMENT), 0);
}
