//! The examples of the tree are specs without a flaw.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use nos_specs::{Loader, MentionKind, check, render};
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
        if matches!(mention.kind, MentionKind::File | MentionKind::Folder) {
            let beside = path.with_file_name(&mention.name);
            assert!(beside.exists(), "{} is not there", beside.display());
        }
    }
    checked
}

#[test]
fn the_examples_are_clean() {
    for name in [
        "hello", "tiny", "greeter", "names", "web", "cache", "rescue",
    ] {
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

/// Lines that are neither blank nor a comment, of all files below a folder with this ending.
fn lines(folder: &Path, ending: &str) -> usize {
    let mut count = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            count += lines(&path, ending);
        } else if path.extension().is_some_and(|e| e == ending) {
            let text = std::fs::read_to_string(&path).unwrap();
            let counts = |line: &&str| !line.is_empty() && !line.starts_with('#');
            count += text.lines().map(str::trim).filter(counts).count();
        }
    }
    count
}

#[test]
fn specs_are_at_most_half_as_long_as_the_same_in_nixos() {
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples");
    let page = std::fs::read_to_string(examples.join("COMPARED.md")).unwrap();
    for name in ["shop", "fleet", "anywhere"] {
        let folder = examples.join(name);
        let (ours, theirs) = (lines(&folder, "nos"), lines(&folder, "nix"));
        assert!(2 * ours <= theirs, "{name}: {ours} lines against {theirs}");
        let row = page
            .lines()
            .find(|line| line.starts_with(&format!("| [{name}]")));
        let ratio = ours as f64 / theirs as f64;
        let figures = format!("| {ours} | {theirs} | {ratio:.2} |");
        assert!(row.unwrap().ends_with(&figures), "{name}: write {figures}");
    }
}
