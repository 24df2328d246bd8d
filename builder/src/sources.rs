//! Local sources: files and folders beside the spec enter the store.

use crate::error::BuildError;
use crate::realise::Builder;
use crate::work::Origin;
use nos_store::{ActionResult, Blob, ImportOptions, Output};
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
            let blob = Blob { digest, size: text.len() as u64 };
            result.outputs.insert("file".into(), Output::Object(blob));
        }
        Origin::File(relative) => {
            let path = inside(builder.folder, relative)?;
            let metadata = std::fs::metadata(&path).map_err(|e| trouble(&path, e))?;
            if !metadata.is_file() {
                return Err(BuildError::Source {
                    path,
                    reason: "it is not a regular file; use folder(…) for a folder".into(),
                });
            }
            let blob = builder.store.add_file(&path)?;
            if metadata.permissions().mode() & 0o111 != 0 {
                result.facts.insert("executable".into(), "yes".into());
            }
            result.outputs.insert("file".into(), Output::Object(blob));
        }
        Origin::Folder(relative) => {
            let path = inside(builder.folder, relative)?;
            if !path.is_dir() {
                return Err(BuildError::Source {
                    path,
                    reason: "it is not a folder; use file(…) for a file".into(),
                });
            }
            let tree = builder.store.import_folder(&path, &ImportOptions::default())?;
            let digest = builder.store.add_tree(&tree)?;
            result.outputs.insert("tree".into(), Output::Tree(digest));
        }
    }
    Ok(result)
}

fn trouble(path: &Path, error: std::io::Error) -> BuildError {
    BuildError::Source { path: path.to_path_buf(), reason: error.to_string() }
}

/// The path of a source, with symbolic links followed, which must stay inside the folder.
fn inside(folder: &Path, relative: &str) -> Result<PathBuf, BuildError> {
    let written = folder.join(relative);
    let base = folder.canonicalize().map_err(|e| trouble(folder, e))?;
    let path = written.canonicalize().map_err(|e| trouble(&written, e))?;
    if !path.starts_with(&base) {
        return Err(BuildError::Source {
            path: written,
            reason: "it leads out of the spec's folder; copy it into the folder".into(),
        });
    }
    Ok(path)
}
