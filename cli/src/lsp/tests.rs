//! Specs that share files: which of them an open file belongs to, and what that means for names
//! and mistakes.

use super::answer::Asked;
use super::report::Reports;
use super::text::{Encoding, Text};
use super::uri;
use super::workspace::{Cache, Document, Snapshot};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use tempfile::TempDir;

const SHARED: &str = "service web {\n  packages = [\"nginx\"]\n  run = [\"/usr/sbin/nginx\"]\n}\n";

/// A folder with two specs that use the same file, and nothing open.
fn folder() -> (TempDir, Snapshot) {
    let folder = TempDir::new().unwrap();
    let host =
        |name: &str| format!("use parts.web as w\nhost {name} {{\n  services = [w.web]\n}}\n");
    fs::create_dir(folder.path().join("parts")).unwrap();
    fs::write(folder.path().join("a.nos"), host("a")).unwrap();
    fs::write(folder.path().join("b.nos"), host("b")).unwrap();
    fs::write(folder.path().join("parts/web.nos"), SHARED).unwrap();
    let snapshot = Snapshot {
        generation: 1,
        encoding: Encoding::Utf16,
        folders: vec![folder.path().to_path_buf()],
        open: BTreeMap::new(),
        library: None,
    };
    (folder, snapshot)
}

/// Puts a text into the editor, without saving it.
fn open(snapshot: &mut Snapshot, path: &Path, text: &str) {
    snapshot.generation += 1;
    let version = i32::try_from(snapshot.generation).unwrap();
    let document = Document {
        uri: uri::from_path(path).unwrap(),
        version,
        text: Arc::new(Text::new(text.into())),
    };
    snapshot.open.insert(path.into(), document);
}

fn names(folder: &Path, paths: &[PathBuf]) -> Vec<String> {
    let names = paths.iter().map(|path| path.strip_prefix(folder).unwrap());
    names.map(|name| name.display().to_string()).collect()
}

#[test]
fn a_file_belongs_to_the_specs_that_reach_it() {
    let (folder, mut snapshot) = folder();
    let at = |name: &str| folder.path().join(name);
    let mut cache = Cache::default();
    let mut roots =
        |snapshot: &Snapshot, name: &str| names(folder.path(), &cache.roots(snapshot, &at(name)));
    assert_eq!(roots(&snapshot, "parts/web.nos"), ["a.nos", "b.nos"]);
    assert_eq!(roots(&snapshot, "a.nos"), ["a.nos"]);
    // What is not saved counts.
    open(&mut snapshot, &at("b.nos"), "host b { services = [] }\n");
    assert_eq!(roots(&snapshot, "parts/web.nos"), ["a.nos"]);
    // A file with hosts is a spec, also where another uses it.
    let hosted = format!("{SHARED}host c {{ services = [web] }}\n");
    open(&mut snapshot, &at("parts/web.nos"), &hosted);
    assert_eq!(
        roots(&snapshot, "parts/web.nos"),
        ["a.nos", "parts/web.nos"]
    );
    // Files that use each other belong to each other.
    open(&mut snapshot, &at("c.nos"), "use d\n");
    open(&mut snapshot, &at("d.nos"), "use c\n");
    assert_eq!(roots(&snapshot, "d.nos"), ["d.nos"]);
    // Above the folder that is open nothing is looked for.
    snapshot.folders = vec![at("parts")];
    open(&mut snapshot, &at("parts/web.nos"), SHARED);
    assert_eq!(roots(&snapshot, "parts/web.nos"), ["parts/web.nos"]);
}

#[test]
fn a_name_changes_in_every_spec_that_has_it() {
    let (folder, snapshot) = folder();
    let cache = Mutex::default();
    let asked = Asked {
        snapshot: &snapshot,
        cache: &cache,
    };
    let ask = |method: &str, name: &str| -> Value {
        let params = json!({
            "textDocument": { "uri": uri::from_path(&folder.path().join(name)).unwrap() },
            "position": { "line": 2, "character": 17 },
            "context": { "includeDeclaration": true },
            "newName": "page",
        });
        asked.answer(method, params).unwrap()
    };
    // From one of the two specs, the other is reached by way of the file that they share.
    assert_eq!(
        ask("textDocument/references", "a.nos")
            .as_array()
            .unwrap()
            .len(),
        3
    );
    let edits = ask("textDocument/rename", "a.nos");
    let changes = edits["changes"].as_object().unwrap();
    let mut files: Vec<&str> = changes
        .keys()
        .map(|k| k.rsplit('/').next().unwrap())
        .collect();
    files.sort_unstable();
    assert_eq!(files, ["a.nos", "b.nos", "web.nos"]);
    assert!(
        changes
            .values()
            .all(|edits| edits.as_array().unwrap().len() == 1)
    );
}

#[test]
fn mistakes_are_told_where_they_are_and_taken_back() {
    let (folder, mut snapshot) = folder();
    let shared = folder.path().join("parts/web.nos");
    let cache = Mutex::default();
    let mut reports = Reports::default();
    let mut round = |snapshot: &Snapshot, changed: Option<&Path>| -> Vec<String> {
        let changed = changed.map(|path| BTreeSet::from([path.to_path_buf()]));
        let news = reports.round(snapshot, changed.as_ref(), &cache);
        let shown = news.iter().map(|news| {
            let name = news.uri.as_str().rsplit('/').next().unwrap();
            format!("{name}: {}", news.diagnostics.len())
        });
        shown.collect()
    };
    open(&mut snapshot, &shared, SHARED);
    assert_eq!(round(&snapshot, None), ["web.nos: 0"]);
    // One mistake, although two specs have it.
    open(
        &mut snapshot,
        &shared,
        &SHARED.replace("packages", "package"),
    );
    assert_eq!(round(&snapshot, Some(&shared)), ["web.nos: 1"]);
    // A name that both lack is missing in both, where they say it.
    open(&mut snapshot, &shared, &SHARED.replace("web", "page"));
    assert_eq!(
        round(&snapshot, Some(&shared)),
        ["a.nos: 1", "b.nos: 1", "web.nos: 0"]
    );
    snapshot.open.clear();
    snapshot.generation += 1;
    assert_eq!(round(&snapshot, None), ["a.nos: 0", "b.nos: 0"]);
}
