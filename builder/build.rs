//! Collects the source of `init`, the static program that every system carries, so that it travels
//! inside of `nos`: the three crates as they are, but for tests and lints, and a workspace and lock
//! file of their own, taken from ours. `src/init` includes the list and its digest.

use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::path::{Path, PathBuf};

/// The crates, in the order in which each stands on those before it.
const MEMBERS: [&str; 3] = ["manifest", "pointer", "init"];

/// Sections of a member's manifest that compiling does without.
const LEFT_OUT: [&str; 2] = ["dev-dependencies", "lints"];

fn main() {
    let workspace = match variable("CARGO_MANIFEST_DIR").parent() {
        Some(parent) => parent.to_path_buf(),
        None => fail("this crate is not in its workspace"),
    };
    let mut files = BTreeMap::new();
    for member in MEMBERS {
        let folder = workspace.join(member);
        watch(&folder.join("src"));
        code(&folder, "src", member, &mut files);
        let manifest = without(&read(&folder.join("Cargo.toml")), &LEFT_OUT);
        files.insert(format!("{member}/Cargo.toml"), manifest);
    }
    for file in ["init/build.rs", "init/link.ld"] {
        files.insert(file.into(), read(&workspace.join(file)));
    }
    let manifest = root_manifest(&read(&workspace.join("Cargo.toml")));
    files.insert("Cargo.toml".into(), manifest);
    let lock = lock_file(&read(&workspace.join("Cargo.lock")), &files);
    files.insert("Cargo.lock".into(), lock);

    let mut list = String::from("&[\n");
    let mut digest = Sha256::new();
    for (path, text) in &files {
        let _ = writeln!(list, "    ({path:?}, {text:?}),");
        for part in [path, text] {
            digest.update((part.len() as u64).to_le_bytes());
            digest.update(part);
        }
    }
    list.push(']');
    write("init_source.rs", &list);
    write(
        "init_source_digest.rs",
        &format!("{:?}", <[u8; 32]>::from(digest.finalize())),
    );
}

/// Makes a file that `src/init` includes.
fn write(name: &str, text: &str) {
    let place = variable("OUT_DIR").join(name);
    if let Err(error) = std::fs::write(&place, text) {
        fail(&format!("{} cannot be written: {error}", place.display()));
    }
}

/// Takes every file of code below a folder, but for those of tests.
fn code(member: &Path, below: &str, name: &str, files: &mut BTreeMap<String, String>) {
    let folder = member.join(below);
    let Ok(entries) = std::fs::read_dir(&folder) else {
        fail(&format!("{} cannot be listed", folder.display()));
    };
    for entry in entries.flatten() {
        let file = entry.file_name();
        let Some(file) = file.to_str() else { continue };
        let below = format!("{below}/{file}");
        if entry.path().is_dir() {
            code(member, &below, name, files);
        } else if file.ends_with(".rs") && file != "tests.rs" {
            files.insert(format!("{name}/{below}"), read(&entry.path()));
        }
    }
}

/// A manifest's sections in their order: the line in brackets without them, and the lines below it.
fn sections(manifest: &str) -> Vec<(&str, Vec<&str>)> {
    let mut sections = vec![("", Vec::new())];
    for line in manifest.lines() {
        match line.strip_prefix('[').and_then(|l| l.strip_suffix(']')) {
            Some(name) => sections.push((name.trim_matches(['[', ']']), vec![line])),
            None => {
                if let Some((_, lines)) = sections.last_mut() {
                    lines.push(line);
                }
            }
        }
    }
    sections
}

fn without(manifest: &str, left_out: &[&str]) -> String {
    let mut text = String::new();
    for (_, lines) in sections(manifest)
        .iter()
        .filter(|(name, _)| !left_out.contains(name))
    {
        lines.iter().for_each(|line| {
            text.push_str(line);
            text.push('\n');
        });
    }
    text
}

/// The workspace of the three crates. What is our profile `init` is its profile `release`, the one
/// that packages are built with.
fn root_manifest(manifest: &str) -> String {
    let members = MEMBERS.map(|member| format!("{member:?}")).join(", ");
    let mut text = format!("[workspace]\nresolver = \"3\"\nmembers = [{members}]\n");
    for (name, lines) in sections(manifest) {
        let wanted = |line: &&&str| match name {
            "workspace.package" => true,
            "workspace.dependencies" => MEMBERS
                .iter()
                .any(|member| line.starts_with(&format!("nos-{member} "))),
            "profile.init" => !line.starts_with("inherits") && !line.starts_with('#'),
            _ => false,
        };
        let kept: Vec<&str> = lines
            .get(1..)
            .unwrap_or_default()
            .iter()
            .filter(wanted)
            .copied()
            .collect();
        if !kept.is_empty() {
            let title = if name == "profile.init" {
                "profile.release"
            } else {
                name
            };
            let _ = writeln!(text, "\n[{title}]\n{}", kept.join("\n").trim_end());
        }
    }
    text
}

/// One entry of a lock file.
struct Locked<'a> {
    name: &'a str,
    version: &'a str,
    /// Its lines but for its dependencies.
    lines: Vec<&'a str>,
    dependencies: Vec<&'a str>,
}

/// Of our lock file what the three crates need.
fn lock_file(lock: &str, files: &BTreeMap<String, String>) -> String {
    let mut entries = lock.split("\n\n");
    let mut text = format!("{}\n", entries.next().unwrap_or_default().trim_end());
    let packages: Vec<Locked<'_>> = entries.map(locked).collect();
    let find = |wanted: &str| {
        let (name, version) = wanted.split_once(' ').unwrap_or((wanted, ""));
        let fits = |p: &&Locked<'_>| p.name == name && (version.is_empty() || p.version == version);
        packages.iter().position(|package| fits(&package))
    };
    let mut needed = BTreeSet::new();
    let mut open: Vec<usize> = MEMBERS
        .iter()
        .filter_map(|m| find(&format!("nos-{m}")))
        .collect();
    let needs = |package: &Locked<'_>| -> Vec<usize> {
        let member = package.name.strip_prefix("nos-");
        let manifest = member.and_then(|member| files.get(&format!("{member}/Cargo.toml")));
        let is_named = |wanted: &&&str| {
            let name = wanted.split(' ').next().unwrap_or_default();
            let is_line = |line: &str| {
                line.strip_prefix(name)
                    .is_some_and(|rest| rest.starts_with([' ', '.']))
            };
            manifest.is_none_or(|manifest| manifest.lines().any(is_line))
        };
        package
            .dependencies
            .iter()
            .filter(is_named)
            .filter_map(|wanted| find(wanted))
            .collect()
    };
    while let Some(index) = open.pop() {
        if needed.insert(index) {
            open.extend(packages.get(index).map(&needs).unwrap_or_default());
        }
    }
    let needed: Vec<&Locked<'_>> = needed.iter().filter_map(|i| packages.get(*i)).collect();
    for package in &needed {
        let _ = writeln!(text, "\n{}", package.lines.join("\n"));
        let mut names = String::new();
        for found in needs(package).into_iter().filter_map(|i| packages.get(i)) {
            // As cargo writes it: with a version where the name alone says too little.
            let is_alone = needed.iter().filter(|p| p.name == found.name).count() == 1;
            let version = if is_alone { "" } else { found.version };
            let _ = writeln!(
                names,
                " {:?},",
                format!("{} {version}", found.name).trim_end()
            );
        }
        if !names.is_empty() {
            let _ = writeln!(text, "dependencies = [\n{names}]");
        }
    }
    text
}

fn locked(entry: &str) -> Locked<'_> {
    let mut package = Locked {
        name: "",
        version: "",
        lines: Vec::new(),
        dependencies: Vec::new(),
    };
    for line in entry.lines() {
        if let Some(name) = line.strip_prefix(" \"").and_then(|l| l.strip_suffix("\",")) {
            package.dependencies.push(name);
            continue;
        }
        if line == "dependencies = [" || line == "]" {
            continue;
        }
        match line.split_once(" = ") {
            Some(("name", name)) => package.name = name.trim_matches('"'),
            Some(("version", version)) => package.version = version.trim_matches('"'),
            _ => {}
        }
        package.lines.push(line);
    }
    package
}

fn watch(path: &Path) {
    println!("cargo:rerun-if-changed={}", path.display());
}

fn read(path: &Path) -> String {
    watch(path);
    match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) => fail(&format!("{} cannot be read: {error}", path.display())),
    }
}

fn variable(name: &str) -> PathBuf {
    match std::env::var_os(name) {
        Some(value) => PathBuf::from(value),
        None => fail(&format!("{name} is not set; build this crate with cargo")),
    }
}

fn fail(message: &str) -> ! {
    eprintln!("error: {message}");
    std::process::exit(1)
}
