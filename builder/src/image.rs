//! One service image: a root tree as EROFS, followed by the verity hash tree over it.

use crate::compose::{BUILDS_FACT, PACKAGES_FACT, output_tree};
use crate::error::BuildError;
use crate::realise::Builder;
use nos_formats::erofs::{self, Compression, Content, Options, WriteError};
use nos_formats::read_at::{Extent, ReadAt};
use nos_formats::verity::{self, Salt};
use nos_manifest::Image;
use nos_store::{ActionResult, Blob, ObjectWriter, Output, Store, StoreError};
use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

/// zstd level of images. In clusters of this size level 12 gains one part in 400 over it and takes
/// three times as long after each change of a page.
const LEVEL: i32 = 8;

/// Largest physical cluster in bytes: what one random read may cost to decompress.
const CLUSTER_BYTES: u32 = 64 << 10;

/// Writes an image; see [`crate::work::Work::Image`].
///
/// # Errors
/// [`BuildError::Format`] for a tree that EROFS cannot hold; [`BuildError::Store`].
pub(crate) fn image(
    builder: &Builder<'_>,
    name: &str,
    inputs: &[&ActionResult],
) -> Result<ActionResult, BuildError> {
    let store = builder.store;
    let root = inputs
        .first()
        .ok_or(BuildError::MissingOutput { name: "tree" })?;
    let tree = store.read_tree(&output_tree(root, "tree")?)?;
    let tree = tree.try_map(|_, blob| Ok::<_, BuildError>(StoredFile::new(store, blob)))?;
    let options = Options {
        compression: Compression::Zstd(LEVEL),
        cluster_bytes: CLUSTER_BYTES,
        threads: builder.jobs,
        ..Options::default()
    };
    let io_error = |error| BuildError::Io {
        path: store.root().to_path_buf(),
        error,
    };
    let mut spool = tempfile::tempfile_in(store.root()).map_err(io_error)?;
    let mut out = Tee {
        object: store.object_writer()?,
        verity: verity::Builder::new(Salt::default()).threads(builder.jobs),
    };
    erofs::write(&tree, &options, &mut spool, &mut out).map_err(file_system_error)?;
    let Tee { mut object, verity } = out;
    let area = verity.finish().map_err(|e| BuildError::Format {
        what: "the image's hash tree",
        reason: e.to_string(),
    })?;
    object.push(&area.bytes)?;
    let blob = object.finish()?;
    let description = Image {
        name: name.to_string(),
        root_hash: area.root_hash.to_string(),
        salt: area.params.salt().to_string(),
        data_blocks: area.params.data_blocks(),
        hash_start_block: area.params.hash_start_block(),
        size_bytes: blob.size,
    };
    let mut result = ActionResult::with_output("image", Output::Object(blob));
    result
        .facts
        .insert("image".into(), serde_json::to_string(&description)?);
    for name in [PACKAGES_FACT, BUILDS_FACT] {
        if let Some(fact) = root.facts.get(name) {
            result.facts.insert(name.into(), fact.clone());
        }
    }
    Ok(result)
}

/// What stopped the writer; where that is the store, what the store says.
fn file_system_error(error: WriteError) -> BuildError {
    let format = |reason: String| BuildError::Format {
        what: "the image's file system",
        reason,
    };
    match error {
        WriteError::Output(error) => match error.downcast::<StoreError>() {
            Ok(error) => error.into(),
            Err(error) => format(WriteError::Output(error).to_string()),
        },
        other => format(other.to_string()),
    }
}

/// Everything written goes to the store and into the hash tree.
struct Tee {
    object: ObjectWriter,
    verity: verity::Builder,
}

impl Write for Tee {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.object.push(bytes).map_err(io::Error::other)?;
        self.verity.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A stored file's content. Opened for each read: a tree may have more files than a process may
/// hold open.
struct StoredFile {
    path: PathBuf,
    blob: Blob,
}

impl StoredFile {
    fn new(store: &Store, blob: Blob) -> Self {
        Self {
            path: store.object_path(&blob.digest),
            blob,
        }
    }
}

impl ReadAt for StoredFile {
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        File::open(&self.path)?.read_exact_at(buffer, offset)
    }
}

impl Extent for StoredFile {
    fn size_bytes(&self) -> u64 {
        self.blob.size
    }
}

impl Content for StoredFile {
    fn sha256(&self) -> Option<[u8; 32]> {
        Some(*self.blob.digest.as_bytes())
    }
}
