//! Files from the network that a spec names by address and digest, and archives among them.
//!
//! The digest decides what a file is; where it came from is part of no key. What was fetched half
//! stays in the store and is gone on with.

pub(crate) mod debian;
#[cfg(test)]
mod tests;

use crate::compose::output_object;
use crate::debian::{Base, Retry, Transport, TransportError};
use crate::error::BuildError;
use crate::events::Event;
use crate::realise::Builder;
use nos_formats::deb::{DebError, Limits, unpack_tar};
use nos_formats::tree::{Kind, Tree, TreePath};
use nos_specs::system::Fetch;
use nos_store::{ActionResult, Blob, Digest, Output, PartialDownload, Store, StoreError};
use std::fs::File;
use std::io::Read;

/// Bytes read at once.
const CHUNK_BYTES: usize = 64 * 1024;

/// Largest file taken from the network, in bytes.
const MAX_FILE_BYTES: u64 = 16 << 30;

/// Fetches a file; see [`crate::work::Work::Fetch`].
///
/// # Errors
/// [`BuildError::Fetch`] with what each address said.
pub(crate) fn fetch(builder: &Builder<'_>, wanted: &Fetch) -> Result<ActionResult, BuildError> {
    let name = wanted.url.rsplit('/').next().unwrap_or(&wanted.url);
    let addresses: Vec<String> = [&wanted.url]
        .into_iter()
        .chain(&wanted.mirrors)
        .cloned()
        .collect();
    let digest = digest_of(wanted)?;
    let blob = file(builder, &Transport::new(1), name, &addresses, &digest)?;
    Ok(ActionResult::with_output("file", Output::Object(blob)))
}

/// The digest that a file must have.
pub(crate) fn digest_of(wanted: &Fetch) -> Result<Digest, BuildError> {
    wanted.sha256.parse().map_err(|_| BuildError::Fetch {
        name: wanted.url.clone(),
        reason: "its sha256 is none; correct it in the spec".into(),
    })
}

/// Brings a file of known digest into the store, from the first address that has it.
pub(crate) fn file(
    builder: &Builder<'_>,
    transport: &Transport,
    name: &str,
    addresses: &[String],
    digest: &Digest,
) -> Result<Blob, BuildError> {
    let store = builder.store;
    let stored = |store: &Store| -> Result<Option<Blob>, BuildError> {
        if !store.contains(digest)? {
            return Ok(None);
        }
        let size = store.open_object(digest)?.metadata();
        let size = size.map_err(|error| BuildError::Io {
            path: store.object_path(digest),
            error,
        })?;
        Ok(Some(Blob {
            digest: *digest,
            size: size.len(),
        }))
    };
    if let Some(blob) = stored(store)? {
        return Ok(blob);
    }
    let failed = |reason: String| BuildError::Fetch {
        name: name.into(),
        reason,
    };
    if builder.options.offline {
        let reason = "it is not in the store, and --offline was asked for; leave that out once";
        return Err(failed(reason.into()));
    }
    let mut reasons = Vec::new();
    for address in addresses {
        let outcome = Retry::default().run(
            || {
                let mut partial = store.download(digest)?;
                // Another process may have been at it.
                if let Some(blob) = stored(store).map_err(|e| Trouble::Store(e.into()))? {
                    partial.discard()?;
                    return Ok(blob);
                }
                let resumed = partial.resume_offset() > 0;
                attempt(builder, transport, name, address, &mut partial)?;
                partial
                    .finish(None)
                    .map_err(|error| match Trouble::from(error) {
                        // Half of it may be of another file: of an earlier one, or of another mirror's.
                        Trouble::Other(_) if resumed => Trouble::Halves,
                        trouble => trouble,
                    })
            },
            Trouble::is_passing,
            |number, trouble| {
                let text = format!("{name}: {}; attempt {number} follows", trouble.reason());
                builder.observer.event(Event::Warning(&text));
            },
        );
        match outcome {
            Ok(blob) => {
                builder.observer.event(Event::Downloaded { name });
                return Ok(blob);
            }
            Err(Trouble::Store(error)) => return Err(*error),
            Err(Trouble::Transport(TransportError::NotFound { address })) => {
                reasons.push(format!("{address} does not exist; correct the address"));
            }
            Err(Trouble::Transport(error)) => reasons.push(error.to_string()),
            Err(trouble) => reasons.push(format!("{address}: {}", trouble.reason())),
        }
    }
    Err(failed(reasons.join("; ")))
}

/// Why an attempt gave nothing.
enum Trouble {
    Transport(TransportError),
    /// The whole file, and another one.
    Other(StoreError),
    /// What was there and what came are not one file; all of it was thrown away.
    Halves,
    Store(Box<BuildError>),
}

impl From<StoreError> for Trouble {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Mismatch { .. } => Trouble::Other(error),
            other => Trouble::Store(Box::new(other.into())),
        }
    }
}

impl From<TransportError> for Trouble {
    fn from(error: TransportError) -> Self {
        Trouble::Transport(error)
    }
}

impl Trouble {
    fn is_passing(&self) -> bool {
        match self {
            Trouble::Transport(error) => error.is_passing(),
            Trouble::Halves => true,
            Trouble::Other(_) | Trouble::Store(_) => false,
        }
    }

    fn reason(&self) -> String {
        match self {
            Trouble::Transport(error) => error.to_string(),
            Trouble::Other(error) => error.to_string(),
            Trouble::Halves => "what was fetched before does not fit what came now".into(),
            Trouble::Store(error) => error.to_string(),
        }
    }
}

/// Brings the rest of a file.
fn attempt(
    builder: &Builder<'_>,
    transport: &Transport,
    name: &str,
    address: &str,
    partial: &mut PartialDownload,
) -> Result<(), Trouble> {
    let (base, path) = match address.rsplit_once('/') {
        Some((base, path)) => (Base::Http(base.to_owned()), path),
        None => (Base::Http(address.to_owned()), ""),
    };
    let mut incoming = transport.open(&base, path, partial.resume_offset())?;
    if incoming.offset != partial.resume_offset() {
        partial.restart()?;
    }
    let total = incoming
        .length
        .map(|length| length.saturating_add(partial.resume_offset()));
    let too_large = || {
        Trouble::Transport(TransportError::TooLarge {
            address: address.to_owned(),
            limit: MAX_FILE_BYTES,
        })
    };
    if total.is_some_and(|total| total > MAX_FILE_BYTES) {
        return Err(too_large());
    }
    let mut buffer = vec![0; CHUNK_BYTES];
    loop {
        let read = match incoming.reader.read(&mut buffer) {
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
            read => read.map_err(|error| TransportError::Broken {
                address: address.to_owned(),
                reason: error.to_string(),
            })?,
        };
        if read == 0 {
            return Ok(());
        }
        if partial.resume_offset() + read as u64 > MAX_FILE_BYTES {
            partial.restart()?;
            return Err(too_large());
        }
        partial.push(buffer.get(..read).unwrap_or_default())?;
        builder.observer.event(Event::Download {
            name,
            done: partial.resume_offset(),
            total,
        });
    }
}

/// Unpacks an archive; see [`crate::work::Work::Archive`].
///
/// # Errors
/// [`BuildError::Archive`] for what is no archive.
pub(crate) fn archive(
    builder: &Builder<'_>,
    name: &str,
    inputs: &[&ActionResult],
) -> Result<ActionResult, BuildError> {
    let input = inputs
        .first()
        .ok_or(BuildError::MissingOutput { name: "file" })?;
    let blob = output_object(input, "file")?;
    let tree = unpack(builder.store, name, &blob)?;
    let tree = plain(without_top(tree)?);
    let digest = builder.store.add_tree(&tree)?;
    Ok(ActionResult::with_output("tree", Output::Tree(digest)))
}

/// Unpacks a stored tar archive; how it is compressed is told by its first bytes.
pub(crate) fn unpack(store: &Store, name: &str, blob: &Blob) -> Result<Tree<Blob>, BuildError> {
    let unusable = |error: DebError| BuildError::Archive {
        name: name.into(),
        reason: error.to_string(),
    };
    let trouble = |error| BuildError::Io {
        path: store.object_path(&blob.digest),
        error,
    };
    let mut head = Vec::new();
    let start = store.open_object(&blob.digest)?;
    start.take(6).read_to_end(&mut head).map_err(trouble)?;
    let kind = match head.as_slice() {
        [0x1f, 0x8b, ..] => "archive.tar.gz",
        [b'B', b'Z', b'h', ..] => "archive.tar.bz2",
        [0xfd, b'7', b'z', b'X', b'Z', 0] => "archive.tar.xz",
        [0x28, 0xb5, 0x2f, 0xfd, ..] => "archive.tar.zst",
        _ => "archive.tar",
    };
    let mut file: File = store.open_object(&blob.digest)?;
    let mut keep = |_: &TreePath, content: &mut dyn Read, _: u64| store.add_reader(content);
    unpack_tar(&mut file, kind, &Limits::default(), &mut keep).map_err(unusable)
}

/// The content of the single folder at the top, where there is one and nothing else.
fn without_top(tree: Tree<Blob>) -> Result<Tree<Blob>, BuildError> {
    let is_top = |(path, _): &(&TreePath, &_)| path.components().count() == 1;
    let top: Vec<_> = tree.iter().filter(is_top).take(2).collect();
    let name = match top.as_slice() {
        [(path, node)] if matches!(node.kind, Kind::Directory) => (*path).clone(),
        _ => return Ok(tree),
    };
    let below = |path: &TreePath| -> Result<TreePath, BuildError> {
        let rest = path
            .as_bytes()
            .strip_prefix(name.as_bytes())
            .unwrap_or_default();
        Ok(TreePath::new(rest)?)
    };
    let mut inner = Tree::new();
    for (path, node) in tree
        .iter()
        .filter(|(path, _)| **path != name && !path.is_root())
    {
        let mut node = node.clone();
        if let Kind::HardLink(target) = &node.kind {
            node.kind = Kind::HardLink(below(target)?);
        }
        inner.insert(below(path)?, node)?;
    }
    Ok(inner)
}

/// Owned by root, with the two modes that sources have, and without attributes: what an archive
/// says of these differs by who packed it.
pub(crate) fn plain(mut tree: Tree<Blob>) -> Tree<Blob> {
    let paths: Vec<TreePath> = tree.iter().map(|(path, _)| path.clone()).collect();
    for path in paths {
        if let Some(node) = tree.get_mut(&path) {
            let executable = node.metadata.mode & 0o111 != 0;
            let mode = match node.kind {
                Kind::Symlink(_) => 0o777,
                Kind::Directory => 0o755,
                _ if executable => 0o755,
                _ => 0o644,
            };
            node.metadata = nos_formats::tree::Metadata::with_mode(mode);
        }
    }
    tree
}
