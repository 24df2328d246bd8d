//! The rules of the house, held by a test: which crate may depend on which, what a crate may
//! not touch, and what no file may look like. See ARCHITECTURE.md.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that cannot go on should stop"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Longest line of a Rust file that is not a test, in characters (string literals may run over).
const MAX_LINE: usize = 140;

/// Most lines of a Rust file that is not a test or a table.
const MAX_LINES: usize = 1000;

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .unwrap()
        .to_path_buf()
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// Every Rust file of a crate's `src`, with its text.
fn sources(krate: &str) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    let mut folders = vec![workspace().join(krate).join("src")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|e| e == "rs") {
                let text = read(&path);
                found.push((path, text));
            }
        }
    }
    assert!(!found.is_empty(), "no sources in {krate}");
    found
}

/// Lines of code outside `#[cfg(test)]` modules and comments, with their numbers. Test modules
/// stand at the end of a file or in files called `tests`.
fn code_lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.lines()
        .enumerate()
        .take_while(|(_, line)| line.trim() != "#[cfg(test)]")
        .map(|(i, line)| (i + 1, line))
        .filter(|(_, line)| !line.trim_start().starts_with("//"))
}

fn is_test(path: &Path) -> bool {
    path.iter()
        .any(|part| part.to_string_lossy().starts_with("test"))
}

/// Fails with every place where a crate uses one of `words`.
fn forbid(krate: &str, words: &[&str], why: &str) {
    let mut found = Vec::new();
    for (path, text) in sources(krate) {
        if is_test(&path) {
            continue;
        }
        for (number, line) in code_lines(&text) {
            for word in words {
                if line.contains(word) {
                    found.push(format!("{}:{number}: {word}", path.display()));
                }
            }
        }
    }
    assert!(found.is_empty(), "{why}:\n{}", found.join("\n"));
}

#[test]
fn crates_depend_in_one_direction() {
    let allowed: BTreeMap<&str, &[&str]> = BTreeMap::from([
        ("manifest", &[] as &[&str]),
        ("pointer", &[]),
        ("formats", &[]),
        ("machine", &[]),
        ("sandbox", &[]),
        ("init", &["manifest", "pointer"]),
        ("specs", &["manifest"]),
        ("store", &["formats"]),
        ("disk", &["formats", "manifest", "pointer"]),
        (
            "builder",
            &["formats", "manifest", "sandbox", "specs", "store"],
        ),
        (
            "cli",
            &[
                "builder", "disk", "formats", "machine", "manifest", "specs", "store",
            ],
        ),
    ]);
    for (krate, may) in allowed {
        let manifest = read(&workspace().join(krate).join("Cargo.toml"));
        let uses: BTreeSet<&str> = manifest
            .lines()
            .take_while(|line| line.trim() != "[dev-dependencies]")
            .filter_map(|line| line.strip_prefix("nos-"))
            .filter_map(|line| line.split(['.', ' ', '=']).next())
            .collect();
        let not_allowed: Vec<_> = uses.iter().filter(|u| !may.contains(u)).collect();
        assert!(
            not_allowed.is_empty(),
            "{krate} may not depend on {not_allowed:?}"
        );
    }
}

#[test]
fn the_language_and_the_formats_touch_nothing() {
    let io = [
        "std::fs",
        "std::env",
        "std::net",
        "std::process",
        "SystemTime",
        "Instant",
    ];
    forbid(
        "specs",
        &io,
        "specs is pure: the caller reads files and passes text",
    );
    forbid(
        "formats",
        &io,
        "formats is pure: input is bytes, output is bytes",
    );
    forbid("manifest", &io, "manifest is pure data");
    forbid(
        "pointer",
        &io,
        "pointer is pure: the medium is the caller's",
    );
}

#[test]
fn only_the_program_prints_and_reads_the_environment() {
    let talk = [
        "println!",
        "eprintln!",
        "print!(",
        "eprint!(",
        "env::var",
        "env::args",
    ];
    for krate in [
        "specs", "formats", "manifest", "pointer", "store", "disk", "builder", "machine",
    ] {
        forbid(
            krate,
            &talk,
            "libraries return values and events; only cli talks",
        );
    }
}

#[test]
fn no_hash_order_reaches_a_byte_of_a_format() {
    forbid(
        "formats",
        &["HashMap", "HashSet"],
        "use BTreeMap: order reaches bytes",
    );
    forbid(
        "manifest",
        &["HashMap", "HashSet"],
        "use BTreeMap: order reaches bytes",
    );
}

#[test]
fn unsafe_code_stays_where_it_must_be() {
    for krate in [
        "specs", "formats", "manifest", "store", "disk", "builder", "machine", "cli",
    ] {
        let root = if krate == "cli" { "main.rs" } else { "lib.rs" };
        let text = read(&workspace().join(krate).join("src").join(root));
        assert!(
            text.contains("#![forbid(unsafe_code)]"),
            "{krate} must forbid unsafe code"
        );
    }
    for (path, text) in sources("init") {
        let lines: Vec<&str> = text.lines().collect();
        for (i, line) in lines.iter().enumerate() {
            let code = line.split("//").next().unwrap_or_default();
            if code.contains("unsafe {") || code.contains("unsafe impl") {
                let above = &lines[i.saturating_sub(12)..=i];
                let told = above.iter().any(|l| l.to_lowercase().contains("safety"));
                assert!(told, "{}:{}: say why it is sound", path.display(), i + 1);
            }
        }
    }
}

#[test]
fn files_can_be_held_in_mind() {
    let mut found = Vec::new();
    for krate in [
        "builder", "cli", "disk", "formats", "init", "machine", "manifest", "specs", "store",
    ] {
        for (path, text) in sources(krate) {
            let lines = text.lines().count();
            if lines > MAX_LINES && !is_test(&path) {
                found.push(format!("{}: {lines} lines", path.display()));
            }
            for (i, line) in text.lines().enumerate() {
                // A snapshot's lines are as long as what they show.
                if line.chars().count() > MAX_LINE && !line.contains('"') && !is_test(&path) {
                    found.push(format!("{}:{}: a long line", path.display(), i + 1));
                }
            }
        }
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}
