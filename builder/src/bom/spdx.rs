//! SPDX 2.3 as JSON. <https://spdx.github.io/spdx-spec/v2.3/>

use super::{Component, Inventory, PROGRAM_VERSION, Product, purl};
use nos_store::Digest;
use serde_json::{Value, json};

/// Name of an element that nothing is said about.
const NO_ASSERTION: &str = "NOASSERTION";

/// The inventory as an SPDX document. Licences are asserted where manifests of crates say them.
pub fn document(inventory: &Inventory) -> Value {
    let root = element(&format!("host {}", inventory.host));
    let mut packages = vec![json!({
        "SPDXID": root,
        "name": inventory.host,
        "downloadLocation": NO_ASSERTION,
        "filesAnalyzed": false,
        "primaryPackagePurpose": "OPERATING-SYSTEM",
        "supplier": NO_ASSERTION,
    })];
    let mut relations = vec![relation("SPDXRef-DOCUMENT", "DESCRIBES", &root)];
    for (product, components) in &inventory.products {
        let id = element(&product.name());
        packages.push(json!({
            "SPDXID": id,
            "name": product.name(),
            "downloadLocation": NO_ASSERTION,
            "filesAnalyzed": false,
            "primaryPackagePurpose": match product {
                Product::Image(_) => "CONTAINER",
                Product::Kernel => "OPERATING-SYSTEM",
                Product::BootLoader => "FIRMWARE",
                Product::Init => "APPLICATION",
            },
            "supplier": NO_ASSERTION,
        }));
        relations.push(relation(&root, "CONTAINS", &id));
        for name in components {
            relations.push(relation(&id, "GENERATED_FROM", &component_id(name)));
        }
    }
    for (name, component) in &inventory.components {
        packages.push(package(name, component));
    }
    let body = json!([packages, relations]).to_string();
    json!({
        "spdxVersion": "SPDX-2.3",
        "dataLicense": "CC0-1.0",
        "SPDXID": "SPDXRef-DOCUMENT",
        "name": inventory.host,
        "documentNamespace": format!("urn:nos:sbom:{}", Digest::of(body.as_bytes())),
        "creationInfo": {
            "created": inventory.time,
            "creators": [format!("Tool: nos-{PROGRAM_VERSION}")],
        },
        "packages": packages,
        "relationships": relations,
    })
}

fn package(name: &str, component: &Component) -> Value {
    let mut package = json!({
        "SPDXID": component_id(name),
        "name": name,
        "downloadLocation": NO_ASSERTION,
        "filesAnalyzed": false,
        "supplier": NO_ASSERTION,
    });
    match component {
        Component::Debian { name, pin } => {
            package["versionInfo"] = json!(pin.version);
            package["packageFileName"] = json!(pin.path);
            package["supplier"] = json!("Organization: Debian");
            package["checksums"] = sha256(&pin.sha256);
            package["externalRefs"] = json!([{
                "referenceCategory": "PACKAGE-MANAGER",
                "referenceType": "purl",
                "referenceLocator": purl::debian(name, pin),
            }]);
        }
        Component::Init { sha256: digest } => {
            package["versionInfo"] = json!(PROGRAM_VERSION);
            if let Some(digest) = digest {
                package["checksums"] = sha256(&digest.to_string());
            }
        }
        Component::Crate(pinned) => {
            package["name"] = json!(pinned.name);
            package["versionInfo"] = json!(pinned.version);
            if let Some(digest) = &pinned.sha256 {
                package["checksums"] = sha256(digest);
            }
            if let Some((url, commit)) = &pinned.commit {
                package["downloadLocation"] = json!(format!("git+{url}@{commit}"));
            }
            package["externalRefs"] = json!([{
                "referenceCategory": "PACKAGE-MANAGER",
                "referenceType": "purl",
                "referenceLocator": purl::cargo(pinned),
            }]);
            if let Some(licence) = &pinned.licence {
                package["licenseDeclared"] = json!(licence);
            }
        }
        Component::Fetched {
            url,
            sha256: digest,
        } => {
            package["downloadLocation"] = json!(url);
            package["checksums"] = sha256(digest);
            package["primaryPackagePurpose"] = json!("SOURCE");
        }
        Component::Container {
            url,
            sha256: digest,
        } => {
            package["primaryPackagePurpose"] = json!("CONTAINER");
            if let Some(digest) = digest {
                package["checksums"] = sha256(digest);
            }
            if let (Some(url), Some(digest)) = (url, digest) {
                package["downloadLocation"] = json!(url);
                package["versionInfo"] = json!(format!("sha256:{digest}"));
                package["externalRefs"] = json!([{
                    "referenceCategory": "PACKAGE-MANAGER",
                    "referenceType": "purl",
                    "referenceLocator": purl::container(url, digest),
                }]);
            }
        }
        Component::Commit { url, commit } => {
            package["downloadLocation"] = json!(format!("git+{url}@{commit}"));
            package["versionInfo"] = json!(commit);
            package["primaryPackagePurpose"] = json!("SOURCE");
        }
        Component::Local { .. } => package["primaryPackagePurpose"] = json!("SOURCE"),
    }
    package
}

fn sha256(value: &str) -> Value {
    json!([{ "algorithm": "SHA256", "checksumValue": value }])
}

fn relation(from: &str, kind: &str, to: &str) -> Value {
    json!({
        "spdxElementId": from,
        "relationshipType": kind,
        "relatedSpdxElement": to,
    })
}

fn component_id(name: &str) -> String {
    element(&format!("input {name}"))
}

/// An SPDX identifier of a name: letters, digits, `.` and `-` stand; where anything else is
/// replaced, a piece of the name's digest keeps two names apart.
fn element(name: &str) -> String {
    let allowed = |c: char| c.is_ascii_alphanumeric() || c == '.' || c == '-';
    let plain: String = name
        .chars()
        .map(|c| if allowed(c) { c } else { '-' })
        .collect();
    if name.chars().all(|c| allowed(c) || c == ' ') {
        return format!("SPDXRef-{plain}");
    }
    let digest = Digest::of(name.as_bytes()).to_string();
    format!("SPDXRef-{plain}-{}", digest.get(..12).unwrap_or_default())
}
