//! What a built system was made from: an in-toto statement with SLSA provenance.
//!
//! <https://in-toto.io/Statement/v1>, <https://slsa.dev/spec/v1.0/provenance>

use super::{Component, Inventory, PROGRAM_VERSION, purl};
use crate::system::BuiltSystem;
use nos_store::Digest;
use serde_json::{Value, json};

/// Something that was read, by the digest of what it was then.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Material {
    /// `spec/NAME`, `nos.lock`, `file PATH`, `folder PATH`.
    pub name: String,
    /// SHA-256 of the file, or of the canonical listing of a folder.
    pub sha256: Digest,
}

/// The statement about a built system. `materials` are the texts and local sources that were
/// read; pinned packages come from the inventory. Neither clock nor machine is in it: the same
/// spec and lock give the same statement, so it can be signed or compared.
pub fn provenance(inventory: &Inventory, system: &BuiltSystem, materials: &[Material]) -> Value {
    let mut subjects = vec![
        subject("unified kernel image", &system.uki.digest),
        subject("boot loader", &system.boot_loader.digest),
    ];
    for (image, blob) in system.manifest.images.iter().zip(&system.images) {
        let mut subject = subject(&format!("image {}", image.name), &blob.digest);
        subject["annotations"] = json!({ "dm-verity-root-hash": image.root_hash });
        subjects.push(subject);
    }
    let mut dependencies = Vec::new();
    for (name, component) in &inventory.components {
        match component {
            Component::Debian { name, pin } => dependencies.push(json!({
                "uri": purl::debian(name, pin),
                "digest": { "sha256": pin.sha256 },
            })),
            Component::Init { sha256 } => dependencies.extend(sha256.map(|sha256| {
                json!({
                    "name": name,
                    "digest": { "sha256": sha256.to_string() },
                })
            })),
            Component::Crate(pinned) => dependencies.push(json!({
                "uri": purl::cargo(pinned),
                "digest": match (&pinned.sha256, &pinned.commit) {
                    (None, Some((_, commit))) => json!({ "gitCommit": commit }),
                    (sha256, _) => json!({ "sha256": sha256 }),
                },
            })),
            Component::Fetched { url, sha256 } => dependencies.push(json!({
                "uri": url,
                "digest": { "sha256": sha256 },
            })),
            Component::Commit { url, commit } => dependencies.push(json!({
                "uri": format!("git+{url}@{commit}"),
                "digest": { "gitCommit": commit },
            })),
            Component::Container {
                url: Some(url),
                sha256: Some(sha256),
            } => dependencies.push(json!({
                "uri": purl::container(url, sha256),
                "digest": { "sha256": sha256 },
            })),
            Component::Container { .. } | Component::Local { .. } => {}
        }
    }
    let init = &inventory.init;
    dependencies.push(json!({
        "name": "source of nos-init",
        "digest": { "sha256": init.source.to_string() },
    }));
    dependencies.extend(init.toolchain.iter().map(|(name, pin)| {
        json!({
            "name": format!("{name} (nos-init is made with it)"),
            "uri": purl::debian(name, pin),
            "digest": { "sha256": pin.sha256 },
        })
    }));
    dependencies.extend(materials.iter().map(|material| {
        json!({
            "name": material.name,
            "digest": { "sha256": material.sha256.to_string() },
        })
    }));
    json!({
        "_type": "https://in-toto.io/Statement/v1",
        "subject": subjects,
        "predicateType": "https://slsa.dev/provenance/v1",
        "predicate": {
            "buildDefinition": {
                "buildType": "urn:nos:build:1",
                "externalParameters": { "host": inventory.host },
                "internalParameters": { "cmdline": system.cmdline },
                "resolvedDependencies": dependencies,
            },
            "runDetails": {
                "builder": {
                    "id": "urn:nos:builder",
                    "version": { "nos": PROGRAM_VERSION },
                },
            },
        },
    })
}

fn subject(name: &str, digest: &Digest) -> Value {
    json!({ "name": name, "digest": { "sha256": digest.to_string() } })
}
