//! The tar archive inside a package, as a tree.

use super::decompress::Bounded;
use super::unpack::damaged;
use super::{DebError, Limits, MAX_ALL_EXTENSION_BYTES, MAX_DEPTH, MAX_EXTENSION_BYTES, Sink};
use crate::tree::{Kind, MAX_PATH_BYTES, Metadata, Node, Tree, TreePath};
use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::io::{self, Read};
use tar::EntryType;

/// Reads `size` bytes; fewer are an error. The caller has bounded `size`.
pub(super) fn read_exactly(reader: impl Read, size: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    reader.take(size).read_to_end(&mut bytes)?;
    if bytes.len() as u64 == size {
        Ok(bytes)
    } else {
        Err(io::ErrorKind::UnexpectedEof.into())
    }
}

/// Reads a whole archive. `member` is its name, for messages.
pub(super) fn read_tree<C, E: Into<Box<dyn Error + Send + Sync>>>(
    tar: &mut tar::Archive<Bounded<'_>>,
    member: &str,
    limits: &Limits,
    sink: &mut Sink<'_, C, E>,
) -> Result<Tree<C>, DebError> {
    let mut growing = Growing {
        tree: Tree::new(),
        implied: BTreeSet::from([TreePath::ROOT]),
        name_bytes: 0,
    };
    let mut extensions = Extensions::default();
    let too_large = |limit, unit| DebError::TooLarge {
        member: member.into(),
        limit: limit as u64,
        unit,
    };
    // Raw: we bound the long names and attributes ourselves.
    let entries = tar.entries().map_err(|e| damaged(member, &e))?.raw(true);
    for (count, entry) in entries.enumerate() {
        let mut content = entry.map_err(|e| damaged(member, &e))?;
        if count >= limits.entries {
            return Err(too_large(limits.entries, "entries"));
        }
        let header = content.header().clone();
        let is_extension = extensions.take(&header, &mut content);
        if is_extension.map_err(|e| damaged(member, &e))? {
            continue;
        }
        let entry = Entry::new(header, extensions.next.take().unwrap_or_default());
        let path = TreePath::new(&entry.name)?;
        growing.make_way(&path, &entry, limits.name_bytes)?;
        if growing.name_bytes > limits.name_bytes {
            return Err(too_large(limits.name_bytes, "bytes of names"));
        }
        let metadata = entry.metadata()?;
        let kind = match entry.header.entry_type() {
            EntryType::Regular | EntryType::Continuous => {
                let size = entry.header.entry_size();
                let size = size.map_err(|e| damaged(member, &e))?;
                let mut content = Content {
                    inner: &mut content,
                    left: size,
                };
                let kept = sink(&path, &mut content, size);
                Kind::File(kept.map_err(|source| DebError::Sink {
                    path: path.clone(),
                    source: source.into(),
                })?)
            }
            _ => entry.kind(&growing.tree)?,
        };
        let metadata = match kind {
            // It is the file's own.
            Kind::HardLink(_) => Metadata::default(),
            _ => metadata,
        };
        if path.is_root() && !matches!(kind, Kind::Directory) {
            return Err(entry.refused("the root must be a directory"));
        }
        growing
            .tree
            .insert_with_parents(path, Node { metadata, kind })?;
    }
    if extensions.next.is_some() {
        return Err(DebError::Damaged {
            member: member.into(),
            reason: "it ends before the entry that a long name belongs to".into(),
        });
    }
    growing.tree.check_links()?;
    Ok(growing.tree)
}

/// The tree so far.
struct Growing<C> {
    tree: Tree<C>,
    /// Directories that no entry has named yet; naming one is no duplicate.
    implied: BTreeSet<TreePath>,
    /// Bytes of all paths in the tree. A short archive can name very many directories.
    name_bytes: usize,
}

impl<C> Growing<C> {
    /// Refuses a path that is there already; notes which parents come into being with it, until
    /// `name_bytes` exceeds `limit`.
    fn make_way(&mut self, path: &TreePath, entry: &Entry, limit: usize) -> Result<(), DebError> {
        if self.tree.get(path).is_some() && !self.implied.remove(path) {
            return Err(entry.refused("it is there twice"));
        }
        if path.components().count() > MAX_DEPTH {
            return Err(entry.refused("it lies more than 128 directories deep"));
        }
        self.name_bytes += path.as_bytes().len();
        let mut parent = path.parent();
        while let Some(dir) = parent.filter(|dir| self.tree.get(dir).is_none()) {
            self.name_bytes += 2 * dir.as_bytes().len();
            if self.name_bytes > limit {
                break;
            }
            parent = dir.parent();
            self.implied.insert(dir);
        }
        Ok(())
    }
}

/// An entry with what its extension headers say.
struct Entry {
    header: tar::Header,
    name: Vec<u8>,
    link: Option<Vec<u8>>,
    xattrs: BTreeMap<Vec<u8>, Vec<u8>>,
}

impl Entry {
    fn new(header: tar::Header, extension: Extension) -> Self {
        let Extension { name, link, xattrs } = extension;
        let name = name.unwrap_or_else(|| header.path_bytes().into_owned());
        let link = link.or_else(|| header.link_name_bytes().map(|link| link.into_owned()));
        Self {
            header,
            name,
            link,
            xattrs,
        }
    }

    fn refused(&self, what: &'static str) -> DebError {
        DebError::Entry {
            path: String::from_utf8_lossy(&self.name).into_owned(),
            what,
        }
    }

    fn metadata(&self) -> Result<Metadata, DebError> {
        let number = |value: io::Result<u64>, what| {
            let value = value.ok().and_then(|value| u32::try_from(value).ok());
            value.ok_or_else(|| self.refused(what))
        };
        let mode = number(self.header.mode().map(u64::from), "its mode is no number")?;
        // Cargo packs crates without owners.
        let old = self.header.as_old();
        let is_blank = |byte: &u8| matches!(byte, 0 | b' ');
        Ok(Metadata {
            mode: (mode & 0o7777) as u16,
            uid: match old.uid.iter().all(is_blank) {
                true => 0,
                false => number(self.header.uid(), "its owner is no 32-bit number")?,
            },
            gid: match old.gid.iter().all(is_blank) {
                true => 0,
                false => number(self.header.gid(), "its group is no 32-bit number")?,
            },
            xattrs: self.xattrs.clone(),
        })
    }

    /// What the entry is, if not a regular file.
    fn kind<C>(&self, tree: &Tree<C>) -> Result<Kind<C>, DebError> {
        Ok(match self.header.entry_type() {
            EntryType::Directory => Kind::Directory,
            EntryType::Symlink => match self.link()? {
                target if target.is_empty() || target.len() > MAX_PATH_BYTES => {
                    return Err(self.refused("its target is empty or longer than 4095 bytes"));
                }
                target => Kind::Symlink(target.to_vec()),
            },
            EntryType::Link => {
                let target = TreePath::new(self.link()?)?;
                // A link to a link is a link to its file.
                match tree.get(&target).map(|node| &node.kind) {
                    Some(Kind::HardLink(file)) => Kind::HardLink(file.clone()),
                    _ => Kind::HardLink(target),
                }
            }
            EntryType::Char => {
                let (major, minor) = self.device()?;
                Kind::CharDevice { major, minor }
            }
            EntryType::Block => {
                let (major, minor) = self.device()?;
                Kind::BlockDevice { major, minor }
            }
            EntryType::Fifo => Kind::Fifo,
            _ => return Err(self.refused("its type is not supported")),
        })
    }

    fn link(&self) -> Result<&[u8], DebError> {
        let link = self.link.as_deref();
        link.ok_or_else(|| self.refused("it is a link to nothing"))
    }

    fn device(&self) -> Result<(u32, u32), DebError> {
        match (self.header.device_major(), self.header.device_minor()) {
            (Ok(Some(major)), Ok(Some(minor))) => Ok((major, minor)),
            _ => Err(self.refused("it is a device without numbers")),
        }
    }
}

/// A file's content: exactly as long as its header says, or an error.
struct Content<'a, R> {
    inner: &'a mut R,
    left: u64,
}

impl<R: Read> Read for Content<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(buffer)?;
        if n == 0 && self.left > 0 && !buffer.is_empty() {
            let text = format!("the archive ends {} bytes early", self.left);
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, text));
        }
        self.left = self.left.saturating_sub(n as u64);
        Ok(n)
    }
}

/// What extension headers say about the entry behind them.
#[derive(Default)]
struct Extension {
    name: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
    xattrs: BTreeMap<Vec<u8>, Vec<u8>>,
}

/// The extension headers of an archive.
#[derive(Default)]
struct Extensions {
    next: Option<Extension>,
    bytes: u64,
}

impl Extensions {
    /// Takes in an extension header; `false` if this entry is none.
    fn take(&mut self, header: &tar::Header, entry: &mut impl Read) -> io::Result<bool> {
        let kind = header.entry_type();
        if kind == EntryType::XGlobalHeader {
            // Comments, such as a commit: nothing that a file tree holds.
            return Ok(true);
        }
        if !matches!(
            kind,
            EntryType::GNULongName | EntryType::GNULongLink | EntryType::XHeader
        ) {
            return Ok(false);
        }
        let size = header.entry_size()?;
        self.bytes += size.min(MAX_ALL_EXTENSION_BYTES);
        if size > MAX_EXTENSION_BYTES || self.bytes > MAX_ALL_EXTENSION_BYTES {
            return Err(io::Error::other("its names and attributes are too large"));
        }
        let mut bytes = read_exactly(entry, size)?;
        let next = self.next.get_or_insert_default();
        if kind == EntryType::XHeader {
            next.take_pax(&bytes)?;
            return Ok(true);
        }
        while bytes.last() == Some(&0) {
            bytes.pop();
        }
        match kind {
            EntryType::GNULongName => set(&mut next.name, bytes)?,
            _ => set(&mut next.link, bytes)?,
        }
        Ok(true)
    }
}

fn set(slot: &mut Option<Vec<u8>>, value: Vec<u8>) -> io::Result<()> {
    match slot.replace(value) {
        None => Ok(()),
        Some(_) => Err(io::Error::other("an entry has two long names")),
    }
}

impl Extension {
    fn take_pax(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut rest = bytes;
        while !rest.is_empty() {
            let malformed = || io::Error::other("an attribute header is malformed");
            let (key, value, size) = pax_record(rest).ok_or_else(malformed)?;
            rest = &rest[size..];
            let value = value.to_vec();
            match key {
                b"path" => set(&mut self.name, value)?,
                b"linkpath" => set(&mut self.link, value)?,
                // They would change how the archive is read, or what it means.
                key if matches!(key, b"size" | b"uid" | b"gid")
                    || key.starts_with(b"GNU.sparse.") =>
                {
                    let key = String::from_utf8_lossy(key);
                    let text = format!("the attribute {key:?} is not supported");
                    return Err(io::Error::other(text));
                }
                key => {
                    if let Some(name) = key.strip_prefix(b"SCHILY.xattr.") {
                        self.xattrs.insert(name.to_vec(), value);
                    }
                }
            }
        }
        Ok(())
    }
}

/// The first record, `"%d %s=%s\n"` with its whole length in front: key, value, length. Values are
/// binary and may hold newlines.
fn pax_record(bytes: &[u8]) -> Option<(&[u8], &[u8], usize)> {
    let space = bytes.iter().take(8).position(|&b| b == b' ')?;
    let size: usize = std::str::from_utf8(&bytes[..space]).ok()?.parse().ok()?;
    let record = bytes.get(space + 1..size)?.strip_suffix(b"\n")?;
    let equals = record.iter().position(|&b| b == b'=')?;
    Some((&record[..equals], &record[equals + 1..], size))
}
