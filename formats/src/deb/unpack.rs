//! From a package to its control file and its tree.

use super::ar::{Archive, Header};
use super::deb822::{self, Stanza};
use super::decompress::{Bounded, Fault, FaultSlot};
use super::{
    DebError, Limits, MAX_ALL_EXTENSION_BYTES, MAX_CONTROL_BYTES, MAX_CONTROL_TAR_BYTES,
    MAX_EXTENSION_BYTES, Sink,
};
use crate::tree::{Kind, MAX_PATH_BYTES, Metadata, Node, Tree, TreePath};
use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::io::{self, Read};
use tar::EntryType;

/// A package's control file: one stanza with at least `Package`, `Version` and `Architecture`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Control {
    text: String,
}

impl Control {
    fn parse(text: Vec<u8>) -> Result<Self, DebError> {
        let unusable = |what: String| DebError::Control { what };
        let text = String::from_utf8(text).map_err(|_| unusable("it is not UTF-8".into()))?;
        let mut stanzas = deb822::stanzas(&text);
        let stanza = stanzas.next().ok_or(unusable("it is empty".into()))?;
        if stanzas.next().is_some() {
            return Err(unusable("it has more than one stanza".into()));
        }
        for field in stanza.fields() {
            field.map_err(|e| unusable(e.to_string()))?;
        }
        for name in ["Package", "Version", "Architecture"] {
            if stanza.get(name).is_none_or(str::is_empty) {
                return Err(unusable(format!("it has no {name} field")));
            }
        }
        Ok(Self { text })
    }

    /// All fields.
    pub fn stanza(&self) -> Stanza<'_> {
        // `parse` has seen one.
        deb822::stanzas(&self.text).next().unwrap_or_default()
    }

    /// The package's name.
    pub fn package(&self) -> &str {
        self.stanza().get("Package").unwrap_or_default()
    }

    /// Its version.
    pub fn version(&self) -> &str {
        self.stanza().get("Version").unwrap_or_default()
    }

    /// Its architecture, `all` if it has none.
    pub fn architecture(&self) -> &str {
        self.stanza().get("Architecture").unwrap_or_default()
    }
}

/// Reads a package's control file and nothing behind it.
///
/// # Errors
/// Any of [`DebError`] but [`DebError::Sink`] and [`DebError::Tree`].
pub fn read_control(package: &mut dyn Read) -> Result<Control, DebError> {
    let mut archive = Archive::open(package)?;
    check_version(&mut archive)?;
    control(&mut archive)
}

/// Unpacks a package: gives its control file and its files as a tree.
///
/// `sink(path, content, size)` is called once for each regular file, in the archive's order; it
/// gets exactly `size` bytes or a read error, and what it returns becomes the node's content.
/// Nothing it kept may be used when this function fails: the archive's checksum comes last.
///
/// # Errors
/// [`DebError`]: what is damaged, too large or not acceptable; [`DebError::Sink`] with the sink's
/// own failure.
pub fn unpack<C, E: Into<Box<dyn Error + Send + Sync>>>(
    package: &mut dyn Read,
    limits: &Limits,
    sink: &mut Sink<'_, C, E>,
) -> Result<(Control, Tree<C>), DebError> {
    let mut archive = Archive::open(package)?;
    check_version(&mut archive)?;
    let control = control(&mut archive)?;
    let header = next_member(&mut archive, "data.tar")?;
    let member = archive.member(&header);
    let (reader, fault) = Bounded::new(member, &header.name, limits.unpacked_bytes)?;
    let told = |error: DebError| told(error, &fault, &header.name, limits.unpacked_bytes);
    let mut tar = tar::Archive::new(reader);
    let tree = read_tree(&mut tar, &header.name, limits, sink).map_err(told)?;
    // The decompressor checks its sums when it reaches the end.
    io::copy(&mut tar.into_inner(), &mut io::sink())
        .map_err(|e| told(damaged(&header.name, &e)))?;
    Ok((control, tree))
}

fn check_version(archive: &mut Archive<'_>) -> Result<(), DebError> {
    let wrong = DebError::Archive {
        offset: 8,
        what: "its first member is not 'debian-binary' of format 2",
    };
    match archive.next_header()? {
        Some(header) if header.name == "debian-binary" && header.size <= 64 => {
            let mut member = archive.member(&header);
            let mut version = Vec::new();
            member
                .read_to_end(&mut version)
                .map_err(|e| damaged(&header.name, &e))?;
            member.finish()?;
            if version.starts_with(b"2.") {
                Ok(())
            } else {
                Err(wrong)
            }
        }
        _ => Err(wrong),
    }
}

/// The header of the next member, whose name begins with `prefix`. Members whose name begins with
/// `_` may stand before it and are passed over.
fn next_member(archive: &mut Archive<'_>, prefix: &str) -> Result<Header, DebError> {
    loop {
        match archive.next_header()? {
            Some(header) if header.name.starts_with(prefix) => return Ok(header),
            Some(header) if header.name.starts_with('_') => archive.member(&header).finish()?,
            _ => {
                return Err(DebError::Damaged {
                    member: prefix.into(),
                    reason: "it is not where it should be".into(),
                });
            }
        }
    }
}

fn control(archive: &mut Archive<'_>) -> Result<Control, DebError> {
    let header = next_member(archive, "control.tar")?;
    let mut member = archive.member(&header);
    let text = {
        let (reader, fault) = Bounded::new(member.by_ref(), &header.name, MAX_CONTROL_TAR_BYTES)?;
        let mut tar = tar::Archive::new(reader);
        let text = find_control(&mut tar);
        text.map_err(|e| {
            told(
                damaged(&header.name, &e),
                &fault,
                &header.name,
                MAX_CONTROL_TAR_BYTES,
            )
        })?
    };
    member.finish()?;
    let text = text.ok_or(DebError::Control {
        what: "there is none".into(),
    })?;
    Control::parse(text)
}

fn find_control(tar: &mut tar::Archive<Bounded<'_>>) -> io::Result<Option<Vec<u8>>> {
    for entry in tar.entries()?.raw(true) {
        let entry = entry?;
        let name = entry.header().path_bytes();
        if name.strip_prefix(b"./").unwrap_or(&name) == b"control" {
            let size = entry.header().entry_size()?;
            if size > MAX_CONTROL_BYTES {
                return Err(io::Error::other("the control file is larger than 1 MiB"));
            }
            return read_exactly(entry, size).map(Some);
        }
    }
    Ok(None)
}

fn damaged(member: &str, error: &io::Error) -> DebError {
    DebError::Damaged {
        member: member.into(),
        reason: error.to_string(),
    }
}

/// Says what really happened where an error was caused by the stream running dry.
fn told(error: DebError, fault: &FaultSlot, member: &str, limit: u64) -> DebError {
    let member = member.to_owned();
    match fault.take() {
        Some(Fault::Limit) => DebError::TooLarge {
            member,
            limit,
            unit: "bytes",
        },
        Some(Fault::Damaged(reason)) => DebError::Damaged { member, reason },
        None => error,
    }
}

/// Reads `size` bytes; fewer are an error. The caller has bounded `size`.
fn read_exactly(reader: impl Read, size: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    reader.take(size).read_to_end(&mut bytes)?;
    if bytes.len() as u64 == size {
        Ok(bytes)
    } else {
        Err(io::ErrorKind::UnexpectedEof.into())
    }
}

fn read_tree<C, E: Into<Box<dyn Error + Send + Sync>>>(
    tar: &mut tar::Archive<Bounded<'_>>,
    member: &str,
    limits: &Limits,
    sink: &mut Sink<'_, C, E>,
) -> Result<Tree<C>, DebError> {
    let mut tree = Tree::new();
    // Directories that no entry has named yet; naming one is no duplicate.
    let mut implied = BTreeSet::from([TreePath::ROOT]);
    let mut extensions = Extensions::default();
    // Raw: we bound the long names and attributes ourselves.
    let entries = tar.entries().map_err(|e| damaged(member, &e))?.raw(true);
    for (count, entry) in entries.enumerate() {
        let mut entry = entry.map_err(|e| damaged(member, &e))?;
        if count >= limits.entries {
            return Err(DebError::TooLarge {
                member: member.into(),
                limit: limits.entries as u64,
                unit: "entries",
            });
        }
        let header = entry.header().clone();
        if extensions
            .take(&header, &mut entry)
            .map_err(|e| damaged(member, &e))?
        {
            continue;
        }
        let Extension { name, link, xattrs } = extensions.next.take().unwrap_or_default();
        let name = name.unwrap_or_else(|| header.path_bytes().into_owned());
        let refused = |what| DebError::Entry {
            path: String::from_utf8_lossy(&name).into_owned(),
            what,
        };
        let path = TreePath::new(&name)?;
        if tree.get(&path).is_some() && !implied.remove(&path) {
            return Err(refused("it is there twice"));
        }
        let number = |value: io::Result<u64>, what| {
            let value = value.ok().and_then(|value| u32::try_from(value).ok());
            value.ok_or_else(|| refused(what))
        };
        let metadata = Metadata {
            mode: (number(header.mode().map(u64::from), "its mode is no number")? & 0o7777) as u16,
            uid: number(header.uid(), "its owner is no 32-bit number")?,
            gid: number(header.gid(), "its group is no 32-bit number")?,
            xattrs,
        };
        let size = header.entry_size().map_err(|e| damaged(member, &e))?;
        let link = || match &link {
            Some(link) => Ok(link.clone()),
            None => {
                let link = header.link_name_bytes().map(|link| link.into_owned());
                link.ok_or_else(|| refused("it is a link to nothing"))
            }
        };
        let device = || {
            let device = (header.device_major(), header.device_minor());
            match device {
                (Ok(Some(major)), Ok(Some(minor))) => Ok((major, minor)),
                _ => Err(refused("it is a device without numbers")),
            }
        };
        let kind = match header.entry_type() {
            EntryType::Directory => Kind::Directory,
            EntryType::Regular | EntryType::Continuous => {
                let mut content = Content {
                    inner: &mut entry,
                    left: size,
                };
                let kept = sink(&path, &mut content, size);
                Kind::File(kept.map_err(|source| DebError::Sink {
                    path: path.clone(),
                    source: source.into(),
                })?)
            }
            EntryType::Symlink => match link()? {
                target if target.is_empty() || target.len() > MAX_PATH_BYTES => {
                    return Err(refused("its target is empty or longer than 4095 bytes"));
                }
                target => Kind::Symlink(target),
            },
            EntryType::Link => {
                let target = TreePath::new(link()?)?;
                // A link to a link is a link to its file.
                match tree.get(&target).map(|node| &node.kind) {
                    Some(Kind::HardLink(file)) => Kind::HardLink(file.clone()),
                    _ => Kind::HardLink(target),
                }
            }
            EntryType::Char => {
                let (major, minor) = device()?;
                Kind::CharDevice { major, minor }
            }
            EntryType::Block => {
                let (major, minor) = device()?;
                Kind::BlockDevice { major, minor }
            }
            EntryType::Fifo => Kind::Fifo,
            _ => return Err(refused("its type is not supported")),
        };
        if path.is_root() && !matches!(kind, Kind::Directory) {
            return Err(refused("the root must be a directory"));
        }
        let mut parent = path.parent();
        while let Some(dir) = parent.filter(|dir| tree.get(dir).is_none()) {
            parent = dir.parent();
            implied.insert(dir);
        }
        let metadata = match kind {
            Kind::HardLink(_) => Metadata::default(),
            _ => metadata,
        };
        tree.insert_with_parents(path, Node { metadata, kind })?;
    }
    if extensions.next.is_some() {
        return Err(DebError::Damaged {
            member: member.into(),
            reason: "it ends before the entry that a long name belongs to".into(),
        });
    }
    tree.check_links()?;
    Ok(tree)
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
