use super::*;
use crate::plan::plan;
use expect_test::{Expect, expect};
use nos_specs::check::{NoFiles, check};
use std::fmt::Write as _;

const SPEC: &str = r#"
service page {
  packages = ["busybox-static"]
  files    = { "/srv/www/index.html" = text("hi"), "/etc/page.conf" = file("page.conf") }
  run      = ["/usr/bin/busybox", "httpd", "-f"]
}

host hello {
  services = [page]
}
"#;

const LOCK: &str = r#"version = 1

[suites.trixie]
date = "2026-09-12T07:55:41Z"
sha256 = "ed56aac47e7911e65ee63aae8d67e29f20e023f840e49f8ed037043a33de138a"

[suites.trixie-security]
date = "2026-11-17T22:33:40Z"
sha256 = "81b425662db4952417cb61efb67d81be181c373b506534ad2711b288c8d7d7a3"

[groups.boot]
wants = ["systemd-boot-efi"]
packages = ["systemd-boot-efi"]

[groups."image page"]
wants = ["busybox-static"]
packages = ["busybox-static"]

[groups."kernel linux-image-cloud-amd64"]
wants = ["linux-image-cloud-amd64"]
packages = ["linux-image-6.12.117+deb13-cloud-amd64"]

[packages.busybox-static]
version = "1:1.37.0-6+b3"
architecture = "amd64"
suite = "trixie"
path = "pool/main/b/busybox/busybox-static_1.37.0-6+b3_amd64.deb"
size = 10
sha256 = "0000000000000000000000000000000000000000000000000000000000000001"

[packages."linux-image-6.12.117+deb13-cloud-amd64"]
version = "6.12.117-1"
architecture = "amd64"
suite = "trixie-security"
path = "pool/main/l/linux-signed-amd64/linux-image.deb"
size = 20
sha256 = "0000000000000000000000000000000000000000000000000000000000000002"

[packages.systemd-boot-efi]
version = "257.9-1~deb13u1"
architecture = "amd64"
suite = "trixie"
path = "pool/main/s/systemd/systemd-boot-efi.deb"
size = 30
sha256 = "0000000000000000000000000000000000000000000000000000000000000003"
"#;

fn inventory() -> Inventory {
    let checked = check("hello.nos", SPEC, &NoFiles);
    assert!(!checked.has_errors(), "{:?}", checked.diagnostics);
    let lock = Lock::parse(LOCK).unwrap();
    let system = &checked.systems[0];
    let plan = plan(system, &lock).unwrap();
    Inventory::of(&system.host, &plan, &lock, &Read::default()).unwrap()
}

fn shows(lines: impl IntoIterator<Item = String>, expected: &Expect) {
    let mut text = String::new();
    for line in lines {
        writeln!(text, "{line}").unwrap();
    }
    expected.assert_eq(&text);
}

#[test]
fn every_product_names_what_it_is_made_of() {
    let inventory = inventory();
    assert_eq!(inventory.time, "2026-11-17T22:33:40Z");
    // `init` has its crates besides, whose versions are not this test's.
    let products = inventory.products.iter().map(|(product, inputs)| {
        let inputs: Vec<_> = inputs
            .iter()
            .filter(|name| !name.starts_with("crate "))
            .collect();
        format!("{}: {inputs:?}", product.name())
    });
    shows(
        products,
        &expect![[r#"
            boot loader: ["systemd-boot-efi"]
            kernel: ["linux-image-6.12.117+deb13-cloud-amd64"]
            init: ["nos-init"]
            image page: ["busybox-static", "file page.conf", "text /srv/www/index.html"]
        "#]],
    );
}

#[test]
fn spdx_names_each_element_once_and_relates_only_what_it_names() {
    let document = spdx::document(&inventory());
    let text = |value: &serde_json::Value| value.as_str().unwrap().to_string();
    let packages = document["packages"].as_array().unwrap();
    let mut ids: Vec<String> = packages.iter().map(|p| text(&p["SPDXID"])).collect();
    ids.push(text(&document["SPDXID"]));
    let count = ids.len();
    let ids: BTreeSet<String> = ids.into_iter().collect();
    assert_eq!(ids.len(), count);
    for relation in document["relationships"].as_array().unwrap() {
        assert!(ids.contains(&text(&relation["spdxElementId"])));
        assert!(ids.contains(&text(&relation["relatedSpdxElement"])));
    }
    let busybox = packages.iter().find(|p| p["name"] == "busybox-static");
    expect![[r#"
        {
          "SPDXID": "SPDXRef-input-busybox-static",
          "checksums": [
            {
              "algorithm": "SHA256",
              "checksumValue": "0000000000000000000000000000000000000000000000000000000000000001"
            }
          ],
          "downloadLocation": "NOASSERTION",
          "externalRefs": [
            {
              "referenceCategory": "PACKAGE-MANAGER",
              "referenceLocator": "pkg:deb/debian/busybox-static@1%3A1.37.0-6%2Bb3?arch=amd64&distro=trixie",
              "referenceType": "purl"
            }
          ],
          "filesAnalyzed": false,
          "name": "busybox-static",
          "packageFileName": "pool/main/b/busybox/busybox-static_1.37.0-6+b3_amd64.deb",
          "supplier": "Organization: Debian",
          "versionInfo": "1:1.37.0-6+b3"
        }"#]].assert_eq(&serde_json::to_string_pretty(busybox.unwrap()).unwrap());
}

#[test]
fn cyclonedx_depends_only_on_what_it_lists() {
    let document = cyclonedx::document(&inventory());
    let mut listed = BTreeSet::from([document["metadata"]["component"]["bom-ref"].to_string()]);
    let components = document["components"].as_array().unwrap();
    listed.extend(components.iter().map(|c| c["bom-ref"].to_string()));
    assert_eq!(listed.len(), components.len() + 1);
    for dependency in document["dependencies"].as_array().unwrap() {
        assert!(listed.contains(&dependency["ref"].to_string()));
        for on in dependency["dependsOn"].as_array().unwrap() {
            assert!(listed.contains(&on.to_string()), "{on}");
        }
    }
    let kernel = components
        .iter()
        .find(|c| c["name"].as_str().unwrap().starts_with("linux-image"));
    expect![[r#"
        {
          "bom-ref": "input linux-image-6.12.117+deb13-cloud-amd64",
          "hashes": [
            {
              "alg": "SHA-256",
              "content": "0000000000000000000000000000000000000000000000000000000000000002"
            }
          ],
          "name": "linux-image-6.12.117+deb13-cloud-amd64",
          "purl": "pkg:deb/debian/linux-image-6.12.117%2Bdeb13-cloud-amd64@6.12.117-1?arch=amd64&distro=trixie",
          "type": "library",
          "version": "6.12.117-1"
        }"#]].assert_eq(&serde_json::to_string_pretty(kernel.unwrap()).unwrap());
}

#[test]
fn container_images_and_sources_are_named_by_their_digests() {
    let digest = "ab".repeat(32);
    let spec = SPEC.replace(
        "service page {",
        &format!(
            "build names {{\n  source = debian(\"dnsmasq\", patches = false)\n  using = \
             make()\n}}\nservice near {{\n  from = oci(\"near.tar\")\n  builds = [names]\n  run \
             = [\"/a\"]\n}}\nservice far {{\n  from = pull(\"https://registry.example/team/App\", \
             sha256 = \"{digest}\")\n  run = [\"/a\"]\n}}\nservice page {{"
        ),
    );
    let spec = spec.replace("[page]", "[page, near, far]");
    let checked = check("hello.nos", &spec, &NoFiles);
    assert!(!checked.has_errors(), "{:?}", checked.diagnostics);
    let system = &checked.systems[0];
    let mut lock = Lock::parse(LOCK).unwrap();
    let wants = crate::plan::wanted_groups(&checked.systems).unwrap();
    lock.groups.insert(
        "build names".into(),
        nos_specs::lock::Group {
            wants: wants["build names"].clone(),
            packages: Vec::new(),
        },
    );
    let archive = nos_specs::lock::LockedFile {
        path: "pool/main/d/dnsmasq/dnsmasq_2.91.orig.tar.gz".into(),
        size: 10,
        sha256: "cd".repeat(32),
    };
    let source = nos_specs::lock::LockedSource {
        version: "2.91-1".into(),
        suite: "trixie".into(),
        files: vec![archive],
    };
    lock.sources.insert("dnsmasq".into(), source);
    let plan = plan(system, &lock).unwrap();
    let local = plan
        .iter()
        .find(|(_, action)| action.label == "image near.tar");
    let read = Read {
        images: BTreeMap::from([(local.unwrap().0, Digest::of(b"near"))]),
        ..Read::default()
    };
    let inventory = Inventory::of(&system.host, &plan, &lock, &read).unwrap();
    let (near, app) = (
        "image near.tar",
        format!("https://registry.example/team/App@{digest}"),
    );
    let inputs = &inventory.products[&Product::Image("near".into())];
    assert_eq!(
        inputs.iter().collect::<Vec<_>>(),
        ["dnsmasq_2.91.orig.tar.gz", near]
    );

    let documents = [
        (
            "packages",
            "checksums",
            "checksumValue",
            spdx::document(&inventory),
        ),
        (
            "components",
            "hashes",
            "content",
            cyclonedx::document(&inventory),
        ),
    ];
    for (list, sums, value, document) in documents {
        let named = |name: &str| {
            let mut parts = document[list].as_array().unwrap().iter();
            parts.find(|part| part["name"] == name).unwrap()
        };
        assert_eq!(named(near)[sums][0][value], Digest::of(b"near").to_string());
        assert_eq!(named(&app)[sums][0][value], digest);
        let purl =
            format!("pkg:oci/app@sha256%3A{digest}?repository_url=registry.example%2Fteam%2FApp");
        assert!(named(&app).to_string().contains(&purl));
        let source = named("dnsmasq_2.91.orig.tar.gz");
        assert_eq!(source[sums][0][value], "cd".repeat(32));
        let purl = "pkg:deb/debian/dnsmasq@2.91-1?arch=source&distro=trixie";
        assert!(source.to_string().contains(purl));
    }
}

#[test]
fn crates_of_one_name_and_version_stay_apart() {
    let checked = check("hello.nos", SPEC, &NoFiles);
    let lock = Lock::parse(LOCK).unwrap();
    let plan = plan(&checked.systems[0], &lock).unwrap();
    let brings = plan.iter().find(|(_, a)| a.label == "file page.conf");
    let usual = PinnedCrate {
        name: "words".into(),
        version: "0.3.0".into(),
        registry: None,
        sha256: Some("ab".repeat(32)),
        commit: None,
        licence: None,
    };
    let patched = PinnedCrate {
        sha256: None,
        commit: Some(("https://code.example/words".into(), "cd".repeat(20))),
        ..usual.clone()
    };
    let elsewhere = PinnedCrate {
        registry: Some("registry+https://crates.example/index".into()),
        ..usual.clone()
    };
    let all = vec![usual, patched, elsewhere];
    let read = Read {
        crates: BTreeMap::from([(brings.unwrap().0, all)]),
        ..Read::default()
    };
    let inventory = Inventory::of("hello", &plan, &lock, &read).unwrap();
    let inputs = inventory.products[&Product::Image("page".into())].iter();
    let crates: Vec<_> = inputs.filter(|name| name.starts_with("crate ")).collect();
    let commit = "cd".repeat(20);
    assert_eq!(
        crates,
        [
            "crate words 0.3.0",
            &format!("crate words 0.3.0 of https://code.example/words@{commit}"),
            "crate words 0.3.0 of registry+https://crates.example/index",
        ]
    );
}
