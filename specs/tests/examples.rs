//! The examples of the tree are specs without a flaw.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use nos_specs::{Loader, check, render};
use std::path::Path;

/// Files beside a spec.
struct Beside<'a>(&'a Path);

impl Loader for Beside<'_> {
    fn load(&self, path: &str) -> Result<String, String> {
        std::fs::read_to_string(self.0.join(path)).map_err(|error| error.to_string())
    }
}

fn example(name: &str) -> nos_specs::Checked {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../examples/{name}/{name}.nos"));
    let text = std::fs::read_to_string(&path).unwrap();
    let checked = check(
        &format!("{name}.nos"),
        &text,
        &Beside(path.parent().unwrap()),
    );
    let shown = render(&checked.diagnostics, &checked.sources, false, 100);
    assert!(checked.diagnostics.is_empty(), "{shown}");
    for mention in &checked.mentions {
        if mention.kind != nos_specs::MentionKind::Package {
            let beside = path.with_file_name(&mention.name);
            assert!(beside.exists(), "{} is not there", beside.display());
        }
    }
    checked
}

#[test]
fn the_examples_are_clean() {
    for name in ["hello", "web", "cache"] {
        assert_eq!(example(name).systems.len(), 1);
    }
    assert_eq!(example("shop").systems[0].services.len(), 5);
    assert_eq!(example("anywhere").systems.len(), 2);
    let fleet = example("fleet").systems;
    assert_eq!(fleet.len(), 50);
    let addresses: std::collections::BTreeSet<String> = fleet
        .iter()
        .map(|system| format!("{:?}", system.network))
        .collect();
    assert_eq!(addresses.len(), 50, "two hosts with one address");
}

#[test]
fn a_port_below_1024_brings_the_capability_to_bind_it() {
    let web = example("web");
    let service = &web.systems[0].services[0];
    assert_eq!(service.capabilities, ["CAP_NET_BIND_SERVICE"]);
    assert!(service.uid.unwrap() >= 1000);
    let cache = example("cache");
    assert!(cache.systems[0].services[0].capabilities.is_empty());
    assert_eq!(cache.systems[0].disk.state_bytes, Some(64 << 20));
}
