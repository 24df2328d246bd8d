//! Records about a system for other programs: `nos sbom`, `nos provenance`.

use super::build::{self, Made};
use super::{Outcome, check, lock};
use crate::args::{BomFormat, SbomArgs, SpecArgs};
use crate::context::Context;
use nos_builder::bom::{self, Material};
use nos_builder::project::{LOCK_NAME, Project};
use nos_store::Digest;
use serde_json::Value;
use std::path::Path;

/// The bill of materials, from the spec and lock files; nothing is built.
pub(crate) fn sbom(context: &Context, args: &SbomArgs) -> Outcome {
    let project = check::load(context, &args.spec.spec)?;
    let system = project.system()?;
    let store = context.open_store()?;
    let lock = lock::ensure(context, &store, &project, false)?;
    let inventory = build::session(context, &store, &project).inventory(system, &lock)?;
    let document = match args.format {
        BomFormat::Spdx => bom::spdx::document(&inventory),
        BomFormat::Cyclonedx => bom::cyclonedx::document(&inventory),
    };
    show(context, &document)
}

/// The provenance of a system, which is built for it where it is not yet.
pub(crate) fn provenance(context: &Context, args: &SpecArgs) -> Outcome {
    let Made {
        store,
        project,
        built,
    } = build::make(context, &args.spec, false)?;
    let system = project.system()?;
    let lock = lock::ensure(context, &store, &project, true)?;
    let session = build::session(context, &store, &project);
    let inventory = session.inventory(system, &lock)?;
    let mut materials = texts(&project);
    materials.push(Material {
        name: LOCK_NAME.into(),
        sha256: Digest::of(lock.to_text().as_bytes()),
    });
    materials.extend(session.materials(system, &lock)?);
    show(
        context,
        &bom::provenance(&inventory, &built.system, &materials),
    )
}

/// The spec's texts, under names that no folder of this machine is in.
fn texts(project: &Project) -> Vec<Material> {
    let texts = project.checked.sources.iter();
    let texts = texts.map(|(_, source)| {
        let inside = Path::new(&source.name).strip_prefix(&project.folder);
        let name = inside.map_or(source.name.clone(), |path| path.display().to_string());
        Material {
            name: format!("spec {name}"),
            sha256: Digest::of(source.text.as_bytes()),
        }
    });
    texts.collect()
}

fn show(context: &Context, document: &Value) -> Outcome {
    context.shell.result(document, |document| {
        let mut text = serde_json::to_string_pretty(document).unwrap_or_default();
        text.push('\n');
        text
    })?;
    Ok(())
}
