//! Local sources: files and folders beside the spec enter the store.

use crate::elf;
use crate::error::BuildError;
use crate::realise::Builder;
use crate::work::Origin;
use nos_store::{ActionResult, Blob, ImportOptions, Output};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// Reads a source; see [`crate::work::Work::Source`].
///
/// # Errors
/// [`BuildError::Source`] where it is missing, is of the wrong kind, or leads out of the spec's
/// folder.
pub(crate) fn read(builder: &Builder<'_>, origin: &Origin) -> Result<ActionResult, BuildError> {
    let mut result = ActionResult::default();
    match origin {
        Origin::Text(text) => {
            let digest = builder.store.add_bytes(text.as_bytes())?;
            let blob = Blob {
                digest,
                size: text.len() as u64,
            };
            result.outputs.insert("file".into(), Output::Object(blob));
        }
        Origin::Nos => {
            let bytes = program(builder.options.program)?;
            let digest = builder.store.add_bytes(&bytes)?;
            let size = bytes.len() as u64;
            let output = Output::Object(Blob { digest, size });
            result.facts.insert("executable".into(), "yes".into());
            result.outputs.insert("file".into(), output);
        }
        Origin::Any(relative) => {
            let path = builder.folder.join(relative);
            let origin = match path.is_dir() {
                true => Origin::Folder(relative.clone()),
                false => Origin::File(relative.clone()),
            };
            return read(builder, &origin);
        }
        Origin::File(relative) => {
            let path = found(builder.folder, relative, Kind::File)?;
            let metadata = std::fs::metadata(&path).map_err(|error| BuildError::Io {
                path: path.clone(),
                error,
            })?;
            let blob = builder.store.add_file(&path)?;
            if metadata.permissions().mode() & 0o111 != 0 {
                result.facts.insert("executable".into(), "yes".into());
            }
            result.outputs.insert("file".into(), Output::Object(blob));
        }
        Origin::Folder(relative) | Origin::Sources(relative) => {
            let path = found(builder.folder, relative, Kind::Folder)?;
            let options = ImportOptions {
                only_sources: matches!(origin, Origin::Sources(_)),
                ..ImportOptions::default()
            };
            let tree = builder.store.import_folder(&path, &options)?;
            let digest = builder.store.add_tree(&tree)?;
            result.outputs.insert("tree".into(), Output::Tree(digest));
        }
    }
    Ok(result)
}

/// The bytes of the program that builds, up to the end of what is loaded of it.
fn program(path: Option<&Path>) -> Result<Vec<u8>, BuildError> {
    let failed = |reason: String| BuildError::Source {
        path: path.map_or_else(|| PathBuf::from("nos()"), Path::to_path_buf),
        reason,
    };
    let path = path.ok_or_else(|| {
        failed("this program does not know its own file; start it by a path that lasts".into())
    })?;
    let bytes = std::fs::read(path).map_err(|error| failed(format!("cannot be read: {error}")))?;
    elf::loaded_part(bytes).map_err(|error| failed(error.to_string()))
}

fn found(folder: &Path, relative: &str, wanted: Kind) -> Result<PathBuf, BuildError> {
    find(folder, relative, wanted).map_err(|trouble| BuildError::Source {
        path: folder.join(relative),
        reason: format!("it {}; {}", trouble.what, trouble.help),
    })
}

/// What a source must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    File,
    Folder,
}

/// Why a source cannot be used.
pub(crate) struct Trouble {
    /// What is wrong with it, to be read behind its name.
    pub(crate) what: String,
    /// What to do.
    pub(crate) help: String,
    /// Whether nothing is there.
    pub(crate) missing: bool,
}

/// The path of a source, with symbolic links followed, which must stay inside `folder`.
pub(crate) fn find(folder: &Path, relative: &str, wanted: Kind) -> Result<PathBuf, Trouble> {
    let trouble = |what: String, help: String| Trouble {
        what,
        help,
        missing: false,
    };
    let unreadable = |error: io::Error| match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => Trouble {
            what: "is not there".into(),
            help: "create it, or correct the path; it counts from the folder of the file that \
                   names it"
                .into(),
            missing: true,
        },
        _ => trouble(
            format!("cannot be read: {error}"),
            "make it readable for this user".into(),
        ),
    };
    let base = folder.canonicalize().map_err(unreadable)?;
    let path = folder.join(relative).canonicalize().map_err(unreadable)?;
    if !path.starts_with(&base) {
        let what = "leads out of the spec's folder by a symbolic link".into();
        return Err(trouble(what, "copy what is meant into the folder".into()));
    }
    let is = path.metadata().map_err(unreadable)?.file_type();
    match wanted {
        Kind::File if is.is_file() => Ok(path),
        Kind::Folder if is.is_dir() => Ok(path),
        Kind::File if is.is_dir() => Err(trouble(
            "is a folder".into(),
            format!("write folder({relative:?})"),
        )),
        Kind::Folder if is.is_file() => Err(trouble(
            "is a file".into(),
            format!("write file({relative:?})"),
        )),
        _ => Err(trouble(
            "is neither a file nor a folder".into(),
            "devices, pipes and sockets cannot be part of an image; take it out".into(),
        )),
    }
}
