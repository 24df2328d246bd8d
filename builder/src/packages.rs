//! Pinned packages as trees.

use crate::debian;
use crate::error::BuildError;
use crate::realise::Builder;
use nos_specs::lock::LockedPackage;
use nos_store::ActionResult;

/// Unpacks a package; see [`crate::work::Work::Unpack`].
pub(crate) fn unpack(
    builder: &Builder<'_>,
    name: &str,
    pin: &LockedPackage,
) -> Result<ActionResult, BuildError> {
    let digest = debian::digest_of(name, pin)?;
    Ok(debian::unpack_anew(builder.store, name, &digest)?)
}
