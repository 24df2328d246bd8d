//! What a system is made of, as programs read that others wrote.
//!
//! `NOS_TEST_BOM` names a Python that has `spdx-tools` and `cyclonedx-python-lib[json-validation]`;
//! without it nobody judges the documents but we.

use crate::common::program::{Nos, at};
use crate::common::{Example, can_make_sandboxes, say};
use serde_json::Value;
use std::process::Command;

const JUDGE: &str = include_str!("judge.py");

/// Lets another program judge a document.
pub(crate) fn judged(kind: &str, document: &str) {
    let Some(python) = std::env::var_os("NOS_TEST_BOM") else {
        say!("SKIPPED: judging bills of materials, as NOS_TEST_BOM names no Python for it");
        return;
    };
    // The tools tell forms apart by the ends of names.
    let ending = if kind == "spdx" { "spdx.json" } else { "json" };
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join(format!("system.{ending}"));
    std::fs::write(&file, document).unwrap();
    let judge = Command::new(python)
        .args(["-c", JUDGE, kind])
        .arg(&file)
        .output()
        .unwrap();
    assert!(
        judge.status.success(),
        "{kind}: {}{}",
        String::from_utf8_lossy(&judge.stdout),
        String::from_utf8_lossy(&judge.stderr)
    );
}

/// The texts at `pointer` of each element of a list.
fn all<'a>(document: &'a Value, list: &str, pointer: &str) -> Vec<&'a str> {
    let elements = at(document, list).as_array().unwrap();
    elements
        .iter()
        .filter_map(|e| e.pointer(pointer)?.as_str())
        .collect()
}

#[test]
fn bills_of_materials_name_crates_and_are_valid() {
    if !can_make_sandboxes() {
        say!("SKIPPED: what a Rust service is made of, as sandboxes cannot be made here");
        return;
    }
    let greeter = Example::copy("greeter");
    let spdx = Nos::new(["sbom", &greeter.spec(), "--offline"]).succeeds();
    let document = spdx.json();
    let purls = all(&document, "/packages", "/externalRefs/0/referenceLocator");
    for crate_of in ["httparse@", "serde_json@"] {
        let wanted = format!("pkg:cargo/{crate_of}");
        assert!(
            purls.iter().any(|purl| purl.starts_with(&wanted)),
            "{wanted}"
        );
    }
    assert!(
        purls
            .iter()
            .any(|purl| purl.starts_with("pkg:deb/debian/rustc@"))
    );
    // What a crate says of its licence; that of the greeter is in its own.
    assert!(all(&document, "/packages", "/licenseDeclared").contains(&"MIT OR Apache-2.0"));
    judged("spdx", &spdx.stdout);

    let form = ["--format", "cyclonedx", "--offline"];
    let cyclonedx = Nos::new(["sbom", &greeter.spec()].into_iter().chain(form)).succeeds();
    let purls = cyclonedx.json();
    let purls = all(&purls, "/components", "/purl");
    assert!(
        purls
            .iter()
            .any(|purl| purl.starts_with("pkg:cargo/httparse@"))
    );
    judged("cyclonedx", &cyclonedx.stdout);

    let provenance = Nos::new(["provenance", &greeter.spec(), "--offline"])
        .succeeds()
        .json();
    let read = "/predicate/buildDefinition/resolvedDependencies";
    let names = all(&provenance, read, "/name");
    assert!(names.contains(&"source of nos-init"), "{names:?}");
    assert!(
        names.contains(&"rustc (nos-init is made with it)"),
        "{names:?}"
    );
    let uris = all(&provenance, read, "/uri");
    assert!(
        uris.iter()
            .any(|uri| uri.starts_with("pkg:cargo/httparse@"))
    );
}
