//! From what a build left to a kernel.

use super::refused;
use crate::compose::output_tree;
use crate::error::BuildError;
use crate::realise::Builder;
use nos_formats::tree::{Kind, Tree, TreePath};
use nos_store::{ActionResult, Blob, Output};
use std::collections::BTreeMap;

/// Takes kernel and release from what [`super::recipe`] left; see
/// [`crate::work::Work::MinimalKernel`].
///
/// # Errors
/// [`BuildError::KernelOptions`] where options did not take effect.
pub(crate) fn take(
    builder: &Builder<'_>,
    off: &[String],
    direct: bool,
    inputs: &[&ActionResult],
) -> Result<ActionResult, BuildError> {
    const MISSING: BuildError = BuildError::MissingOutput { name: "kernel" };
    let store = builder.store;
    let left = inputs.first().ok_or(MISSING)?;
    let tree = store.read_tree(&output_tree(left, "tree")?)?;
    let file = |name: &str| match tree.get(&TreePath::new(name).ok()?).map(|node| &node.kind) {
        Some(Kind::File(blob)) => Some(*blob),
        _ => None,
    };
    let text = |blob: Blob| -> Result<String, BuildError> {
        let bytes = store.read_object(&blob.digest)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    };
    if let Some(lost) = file("lost") {
        let kconfig = text(file("kconfig").ok_or(MISSING)?)?;
        let names = text(file("names").ok_or(MISSING)?)?;
        let is_off = |name: &str| off.iter().any(|option| option == name);
        let refused = refused::read(&text(lost)?, is_off, &kconfig, &names);
        return Err(BuildError::KernelOptions(refused));
    }
    let release = text(file("release").ok_or(MISSING)?)?;
    let no_modules = Output::Tree(store.add_tree(&Tree::new())?);
    let mut outputs = BTreeMap::from([
        (
            "config".to_string(),
            Output::Object(file("config").ok_or(MISSING)?),
        ),
        ("modules".to_string(), no_modules),
        (
            "vmlinuz".to_string(),
            Output::Object(file("bzImage").ok_or(MISSING)?),
        ),
    ]);
    if direct {
        let vmlinux = file("vmlinux").ok_or(MISSING)?;
        outputs.insert("vmlinux".to_string(), Output::Object(vmlinux));
    }
    Ok(ActionResult {
        outputs,
        facts: [
            ("late".to_string(), "[]".to_string()),
            ("modules".to_string(), "[]".to_string()),
            ("release".to_string(), release.trim().to_string()),
            ("trial".to_string(), "[]".to_string()),
        ]
        .into(),
    })
}
