//! From what programs call to the kernel that they get.

use super::{Calls, Configuration};
use crate::compose::{output_object, output_tree};
use crate::error::BuildError;
use crate::realise::Builder;
use nos_formats::tree::Kind;
use nos_store::{ActionResult, Blob, Output};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;

/// What decides on the options of a host's kernel, besides the programs of its images.
#[derive(Debug, Clone, PartialEq, Eq, Default, serde::Serialize)]
pub struct Deciding {
    /// What it has whatever its programs call.
    pub configuration: Configuration,
    /// The capabilities of the services of each image, in the order of the inputs.
    pub capabilities: Vec<BTreeSet<String>>,
    /// The options of the spec, which overrule all.
    pub options: BTreeMap<String, String>,
}

/// Reads the programs of an image; see [`crate::work::Work::Calls`].
///
/// # Errors
/// [`BuildError`] where the store cannot be read.
pub(crate) fn calls(
    builder: &Builder<'_>,
    inputs: &[&ActionResult],
) -> Result<ActionResult, BuildError> {
    const MISSING: BuildError = BuildError::MissingOutput { name: "tree" };
    let store = builder.store;
    let tree = store.read_tree(&output_tree(inputs.first().ok_or(MISSING)?, "tree")?)?;
    let mut calls = Calls::default();
    for (path, node) in tree.iter() {
        let Kind::File(blob) = &node.kind else {
            continue;
        };
        let place = store.object_path(&blob.digest);
        let read = |error| BuildError::Io {
            path: place.clone(),
            error,
        };
        let file = File::open(&place).map_err(read)?;
        calls.add(&path.to_string(), &file).map_err(read)?;
    }
    written(builder, serde_json::to_vec(&calls)?)
}

/// Puts a configuration together; see [`crate::work::Work::Options`].
///
/// # Errors
/// [`BuildError`] where the store cannot be read or written.
pub(crate) fn options(
    builder: &Builder<'_>,
    deciding: &Deciding,
    inputs: &[&ActionResult],
) -> Result<ActionResult, BuildError> {
    let mut wanted = deciding.configuration.clone();
    for (capabilities, input) in deciding.capabilities.iter().zip(inputs) {
        for option in read_calls(builder, input)?.options(capabilities) {
            wanted.0.insert(option.to_owned(), "y".into());
        }
    }
    let wanted = wanted.with(&deciding.options);
    written(builder, wanted.to_text().into_bytes())
}

/// What [`calls`] found.
///
/// # Errors
/// [`BuildError`] where the store cannot be read.
pub(crate) fn read_calls(
    builder: &Builder<'_>,
    result: &ActionResult,
) -> Result<Calls, BuildError> {
    let found = output_object(result, "file")?;
    let text = builder.store.read_object(&found.digest)?;
    Ok(serde_json::from_slice(&text)?)
}

fn written(builder: &Builder<'_>, bytes: Vec<u8>) -> Result<ActionResult, BuildError> {
    let blob = Blob {
        digest: builder.store.add_bytes(&bytes)?,
        size: bytes.len() as u64,
    };
    Ok(ActionResult::with_output("file", Output::Object(blob)))
}
