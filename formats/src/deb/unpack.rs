//! From a package to its control file and its tree.

use super::ar::{Archive, Header};
use super::deb822::{self, Stanza};
use super::decompress::{Bounded, Fault, FaultSlot};
use super::{DebError, Limits, MAX_CONTROL_BYTES, MAX_CONTROL_TAR_BYTES, Sink, entries};
use crate::tree::Tree;
use std::error::Error;
use std::io::{self, Read};

/// A package's control file: one stanza with at least `Package`, `Version` and `Architecture`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Control {
    text: String,
    postinst: Option<String>,
}

impl Control {
    fn parse(text: Vec<u8>, postinst: Option<Vec<u8>>) -> Result<Self, DebError> {
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
        let postinst = postinst.map(|script| String::from_utf8_lossy(&script).into_owned());
        Ok(Self { text, postinst })
    }

    /// The script that an installation would run last, to be read and never run: it tells what
    /// links and users a package expects to be made for it.
    pub fn postinst(&self) -> Option<&str> {
        self.postinst.as_deref()
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
    let tree = entries::read_tree(&mut tar, &header.name, limits, sink).map_err(told)?;
    // The decompressor checks its sums when it reaches the end.
    io::copy(&mut tar.into_inner(), &mut io::sink())
        .map_err(|e| told(damaged(&header.name, &e)))?;
    Ok((control, tree))
}

/// Unpacks a tar archive that stands by itself. Its name says how it is compressed: it ends in
/// `.tar`, `.tar.gz`, `.tar.bz2`, `.tar.xz` or `.tar.zst`. All else is as for [`unpack`].
///
/// # Errors
/// As [`unpack`].
pub fn unpack_tar<C, E: Into<Box<dyn Error + Send + Sync>>>(
    archive: &mut dyn Read,
    name: &str,
    limits: &Limits,
    sink: &mut Sink<'_, C, E>,
) -> Result<Tree<C>, DebError> {
    let compression = name.rfind(".tar").map_or("", |at| &name[at..]);
    let (reader, fault) = Bounded::new(archive, compression, limits.unpacked_bytes)?;
    let told = |error: DebError| told(error, &fault, name, limits.unpacked_bytes);
    let mut tar = tar::Archive::new(reader);
    let tree = entries::read_tree(&mut tar, name, limits, sink).map_err(told)?;
    io::copy(&mut tar.into_inner(), &mut io::sink()).map_err(|e| told(damaged(name, &e)))?;
    Ok(tree)
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
    let (text, postinst) = {
        let (reader, fault) = Bounded::new(member.by_ref(), &header.name, MAX_CONTROL_TAR_BYTES)?;
        let mut tar = tar::Archive::new(reader);
        let found = find_control(&mut tar);
        found.map_err(|e| {
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
    Control::parse(text, postinst)
}

/// The control file and the `postinst` script, where there are any.
type Found = (Option<Vec<u8>>, Option<Vec<u8>>);

fn find_control(tar: &mut tar::Archive<Bounded<'_>>) -> io::Result<Found> {
    let mut found = (None, None);
    for entry in tar.entries()?.raw(true) {
        let entry = entry?;
        let name = entry.header().path_bytes();
        let slot = match name.strip_prefix(b"./").unwrap_or(&name) {
            b"control" => &mut found.0,
            b"postinst" => &mut found.1,
            _ => continue,
        };
        let size = entry.header().entry_size()?;
        if size > MAX_CONTROL_BYTES {
            return Err(io::Error::other("the control file is larger than 1 MiB"));
        }
        *slot = Some(entries::read_exactly(entry, size)?);
    }
    Ok(found)
}

pub(super) fn damaged(member: &str, error: &io::Error) -> DebError {
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
