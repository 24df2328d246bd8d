//! CycloneDX 1.6 as JSON. <https://cyclonedx.org/docs/1.6/json/>

use super::{Component, Inventory, PROGRAM_VERSION, Product, purl};
use nos_store::Digest;
use serde_json::{Value, json};

/// The inventory as a CycloneDX document.
pub fn document(inventory: &Inventory) -> Value {
    let root = format!("host {}", inventory.host);
    let mut components = Vec::new();
    let mut dependencies = Vec::new();
    let products: Vec<String> = inventory.products.keys().map(Product::name).collect();
    dependencies.push(json!({ "ref": root, "dependsOn": products }));
    for (product, inputs) in &inventory.products {
        components.push(json!({
            "type": match product {
                Product::Image(_) => "container",
                Product::Kernel => "operating-system",
                Product::BootLoader => "firmware",
                Product::Init => "application",
            },
            "bom-ref": product.name(),
            "name": product.name(),
        }));
        let inputs: Vec<String> = inputs.iter().map(|name| reference(name)).collect();
        dependencies.push(json!({ "ref": product.name(), "dependsOn": inputs }));
    }
    for (name, component) in &inventory.components {
        components.push(part(name, component));
    }
    let body = json!([components, dependencies]).to_string();
    json!({
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": serial(&Digest::of(body.as_bytes())),
        "version": 1,
        "metadata": {
            "timestamp": inventory.time,
            "tools": { "components": [
                { "type": "application", "name": "nos", "version": PROGRAM_VERSION },
            ] },
            "component": {
                "type": "operating-system",
                "bom-ref": root,
                "name": inventory.host,
            },
        },
        "components": components,
        "dependencies": dependencies,
    })
}

fn part(name: &str, component: &Component) -> Value {
    let mut part = json!({ "bom-ref": reference(name), "name": name });
    match component {
        Component::Debian { name, pin } => {
            part["type"] = json!("library");
            part["version"] = json!(pin.version);
            part["purl"] = json!(purl::debian(name, pin));
            part["hashes"] = sha256(&pin.sha256);
        }
        Component::Init { sha256: digest } => {
            part["type"] = json!("application");
            part["version"] = json!(PROGRAM_VERSION);
            if let Some(digest) = digest {
                part["hashes"] = sha256(&digest.to_string());
            }
        }
        Component::Crate(pinned) => {
            part["type"] = json!("library");
            part["name"] = json!(pinned.name);
            part["version"] = json!(pinned.version);
            part["purl"] = json!(purl::cargo(pinned));
            if let Some(digest) = &pinned.sha256 {
                part["hashes"] = sha256(digest);
            }
            if let Some((url, _)) = &pinned.commit {
                part["externalReferences"] = json!([{ "type": "vcs", "url": url }]);
            }
            if let Some(licence) = &pinned.licence {
                part["licenses"] = json!([{ "expression": licence }]);
            }
        }
        Component::Fetched {
            url,
            sha256: digest,
        } => {
            part["type"] = json!("file");
            part["hashes"] = sha256(digest);
            part["externalReferences"] = json!([{ "type": "distribution", "url": url }]);
        }
        Component::Container {
            url,
            sha256: digest,
        } => {
            part["type"] = json!("container");
            if let Some(digest) = digest {
                part["hashes"] = sha256(digest);
            }
            if let (Some(url), Some(digest)) = (url, digest) {
                part["version"] = json!(format!("sha256:{digest}"));
                part["purl"] = json!(purl::container(url, digest));
                part["externalReferences"] = json!([{ "type": "distribution", "url": url }]);
            }
        }
        Component::Commit { url, commit } => {
            part["type"] = json!("library");
            part["version"] = json!(commit);
            part["externalReferences"] = json!([{ "type": "vcs", "url": url }]);
        }
        Component::Local { .. } => part["type"] = json!("file"),
    }
    part
}

fn sha256(value: &str) -> Value {
    json!([{ "alg": "SHA-256", "content": value }])
}

fn reference(name: &str) -> String {
    format!("input {name}")
}

/// A UUID made of a digest: version 8 of RFC 9562, for identifiers of one's own making.
fn serial(digest: &Digest) -> String {
    let mut hex: Vec<char> = digest.to_string().chars().take(32).collect();
    if let Some(version) = hex.get_mut(12) {
        *version = '8';
    }
    if let Some(variant) = hex.get_mut(16) {
        *variant = 'a';
    }
    let hex: String = hex.into_iter().collect();
    let (a, rest) = hex.split_at(8);
    let (b, rest) = rest.split_at(4);
    let (c, rest) = rest.split_at(4);
    let (d, e) = rest.split_at(4);
    format!("urn:uuid:{a}-{b}-{c}-{d}-{e}")
}
