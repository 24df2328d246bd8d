//! From a stored `.deb` to a stored tree, once ever for each package.

use super::alternatives;
use super::error::DebianError;
use nos_formats::deb::{self, DebError, Limits};
use nos_formats::tree::TreePath;
use nos_store::{ActionKey, ActionResult, Blob, Digest, KeyBuilder, Output, Store, StoreError};
use std::io::{BufReader, Read};

/// What unpacking means. A change to what is kept of a package must change this word, or stores
/// go on with what an older program made of it.
const UNPACKER: &str = "debian-unpack/2";

/// Bytes read of a package at once.
const BUFFER_BYTES: usize = 256 * 1024;

/// Name of the tree among the outputs of an unpacking.
pub const TREE_OUTPUT: &str = "tree";

/// The key under which the store keeps what a package unpacks to.
pub fn unpack_key(package: &Digest) -> ActionKey {
    KeyBuilder::new(UNPACKER).digest("deb", package).finish()
}

/// Unpacks a stored `.deb`, or takes what an earlier run made of it: output [`TREE_OUTPUT`] is
/// its files as a tree, facts `package`, `version` and `architecture` are those of its control
/// file. `name` is used in messages only.
///
/// # Errors
/// [`DebianError::Unpack`] for a file that is no sound package; nothing is then recorded.
pub fn unpack(store: &Store, name: &str, package: &Digest) -> Result<ActionResult, DebianError> {
    let key = unpack_key(package);
    if let Some(known) = store.result(&key)? {
        return Ok(known);
    }
    let result = unpack_anew(store, name, package)?;
    store.put_result(&key, &result)?;
    Ok(result)
}

/// [`unpack`] without looking for an earlier result or keeping this one: for callers that keep
/// results themselves.
///
/// # Errors
/// As [`unpack`].
pub fn unpack_anew(
    store: &Store,
    name: &str,
    package: &Digest,
) -> Result<ActionResult, DebianError> {
    let mut file = BufReader::with_capacity(BUFFER_BYTES, store.open_object(package)?);
    let mut keep = |_: &TreePath, content: &mut dyn Read, _: u64| -> Result<Blob, StoreError> {
        store.add_reader(content)
    };
    let unpacked = deb::unpack(&mut file, &Limits::default(), &mut keep);
    let (control, tree) = unpacked.map_err(|error| unpack_error(name, error))?;
    let tree = store.add_tree(&tree)?;
    let mut result = ActionResult::with_output(TREE_OUTPUT, Output::Tree(tree));
    for (fact, value) in [
        ("package", control.package()),
        ("version", control.version()),
        ("architecture", control.architecture()),
    ] {
        result.facts.insert(fact.to_owned(), value.to_owned());
    }
    let links = alternatives::in_script(control.postinst().unwrap_or_default());
    if !links.is_empty() {
        let fact = alternatives::to_fact(&links);
        result.facts.insert(alternatives::FACT.to_owned(), fact);
    }
    Ok(result)
}

/// Where the store is what failed, that is no fault of the package.
fn unpack_error(name: &str, error: DebError) -> DebianError {
    let reason = error.to_string();
    match error {
        DebError::Sink { source, .. } => match source.downcast::<StoreError>() {
            Ok(error) => (*error).into(),
            Err(_) => DebianError::Unpack {
                package: name.to_owned(),
                reason,
            },
        },
        _ => DebianError::Unpack {
            package: name.to_owned(),
            reason,
        },
    }
}
