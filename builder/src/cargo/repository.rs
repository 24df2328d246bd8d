//! Crates from git repositories, as folders that cargo takes in a repository's place.
//!
//! Which commit a crate is from, its lock file says; what that commit's files are, `nos.lock` says. A
//! crate of a workspace takes much of its manifest from the workspace's; in a folder of its own it has
//! none above it, so that is written out.

use super::lockfile::Crate;
use super::registry::text_file;
use crate::error::BuildError;
use crate::realise::Builder;
use crate::work::Work;
use nos_formats::tree::{Kind, Node, Tree, TreePath};
use nos_specs::lock::LockedCommit;
use nos_specs::system::Git;
use nos_store::{Blob, Digest, Output, Store};
use std::collections::{BTreeMap, BTreeSet};
use toml::{Table, Value};

/// Largest manifest read, in bytes.
const MAX_MANIFEST_BYTES: u64 = 4 << 20;

/// Links followed from a crate's folder to the rest of its repository, one after the other.
const MAX_LINKS: usize = 16;

/// Most files and folders of all crates together. Each crate and each link copies a part of its
/// repository, so that a small one could ask for more than there is room for. Few in tests, which
/// should be short.
const MAX_NODES: usize = if cfg!(test) { 1 << 12 } else { 1 << 18 };

/// How a repository says which commit it means.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Repository {
    /// Its address.
    pub(crate) url: String,
    /// `branch`, `tag` or `rev` and its value, where the manifest says one.
    reference: Option<(String, String)>,
    /// As the lock file has it, for cargo's configuration.
    source: String,
    /// The commit that the lock file pins.
    pub(crate) commit: String,
}

impl Repository {
    /// Reads `git+URL?rev=…#COMMIT`.
    pub(crate) fn parse(source: &str) -> Result<Self, String> {
        let bare = source.strip_prefix("git+").unwrap_or(source);
        let (bare, commit) = bare.rsplit_once('#').unwrap_or((bare, ""));
        if commit.len() != 40 || !commit.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err("names no commit of 40 digits; run `cargo update` and lock again".into());
        }
        let (url, query) = bare.split_once('?').unwrap_or((bare, ""));
        if !url.starts_with("https://") && !url.starts_with("http://") {
            return Err(
                "is a repository that is not asked over HTTPS; name it by such an address".into(),
            );
        }
        let reference = match query.split_once('=') {
            None => None,
            Some((kind @ ("branch" | "tag" | "rev"), value)) => {
                Some((kind.to_owned(), decoded(value)))
            }
            Some(_) => return Err("asks for something else than a branch, tag or rev".into()),
        };
        Ok(Self {
            url: url.to_owned(),
            reference,
            source: format!("git+{bare}"),
            commit: commit.to_ascii_lowercase(),
        })
    }

    /// What is fetched; submodules come along, as with cargo.
    pub(crate) fn git(&self) -> Git {
        Git {
            url: self.url.clone(),
            mirrors: Vec::new(),
            commit: self.commit.clone(),
            submodules: true,
        }
    }

    /// The folder of its crates among all crates.
    pub(super) fn folder(&self) -> String {
        format!("git/{}", self.commit)
    }

    /// What cargo's configuration says of it.
    pub(super) fn configuration(&self) -> String {
        let Self {
            url,
            reference,
            source,
            commit,
        } = self;
        let reference = reference
            .iter()
            .map(|(kind, value)| format!("{kind} = {value:?}\n"));
        let reference: String = reference.collect();
        format!("[source.{source:?}]\ngit = {url:?}\n{reference}replace-with = \"nos-{commit}\"\n")
    }
}

/// Text with `%XX` for some bytes.
fn decoded(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let digits = bytes.get(at + 1..at + 3).filter(|_| byte == b'%');
        let digits = digits.and_then(|digits| std::str::from_utf8(digits).ok());
        match digits.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(value) => {
                out.push(value);
                at += 3;
            }
            None => {
                out.push(byte);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// Adds the crates of one repository to a tree of crates.
///
/// # Errors
/// [`BuildError::Cargo`] where nos.lock does not pin the commit or it has no such crate, and whatever
/// stops fetching it.
pub(super) fn add(
    builder: &Builder<'_>,
    tree: &mut Tree<Blob>,
    repository: &Repository,
    wanted: &[&Crate],
    commits: &BTreeMap<String, LockedCommit>,
) -> Result<(), BuildError> {
    let git = repository.git();
    let pin = commits.get(&git.pin_name());
    let pin = pin.ok_or_else(|| BuildError::Cargo {
        reason: format!(
            "Cargo.lock takes crates from commit {} of {}, which nos.lock does not pin; run `nos \
             lock` and commit the result",
            repository.commit, repository.url
        ),
    })?;
    let files = Files {
        store: builder.store,
        tree: builder.store.read_tree(&files(builder, git, pin)?)?,
    };
    let manifests = files.manifests()?;
    for wanted in wanted {
        let is_it = |(_, manifest): &(&TreePath, &Manifest)| {
            manifest.says("name") == Some(wanted.name.as_str())
                && manifest.says("version").unwrap_or("0.0.0") == wanted.version
        };
        // One further down is there for a test.
        let found = manifests.iter().filter(is_it);
        let found = found.min_by_key(|(folder, _)| folder.components().count());
        let Some((folder, manifest)) = found else {
            return Err(BuildError::Cargo {
                reason: format!(
                    "commit {} of {} has no crate {} {}, which Cargo.lock takes from it; run \
                     `cargo update` and lock again",
                    repository.commit, repository.url, wanted.name, wanted.version
                ),
            });
        };
        let place = TreePath::new(format!("{}/{}", repository.folder(), wanted.title()))?;
        files.copy(tree, folder, &place)?;
        let text = manifest.0.to_string();
        text_file(builder.store, tree, &format!("{place}/Cargo.toml"), &text)?;
        // A commit's digest covers its files: there is no checksum of each.
        let sums = "{\"files\":{},\"package\":null}";
        text_file(
            builder.store,
            tree,
            &format!("{place}/.cargo-checksum.json"),
            sums,
        )?;
    }
    Ok(())
}

/// The tree of a commit: what an earlier run fetched, or fetched now.
fn files(builder: &Builder<'_>, git: Git, pin: &LockedCommit) -> Result<Digest, BuildError> {
    let work = Work::Git(git, pin.clone());
    let key = work.key(&[])?;
    let known = match &key {
        Some(key) => builder.store.result(key)?,
        None => None,
    };
    let result = match known {
        Some(known) => known,
        None => {
            let result = work.run(builder, &[])?;
            if let Some(key) = &key {
                builder.store.put_result(key, &result)?;
            }
            result
        }
    };
    match result.outputs.get("tree") {
        Some(Output::Tree(digest)) => Ok(*digest),
        _ => Err(BuildError::MissingOutput { name: "tree" }),
    }
}

/// A manifest with nothing left to a workspace.
struct Manifest(Table);

impl Manifest {
    /// A text of its package.
    fn says(&self, key: &str) -> Option<&str> {
        self.0.get("package")?.get(key)?.as_str()
    }
}

/// The files of a commit.
struct Files<'a> {
    store: &'a Store,
    tree: Tree<Blob>,
}

impl Files<'_> {
    /// The manifests of all packages, by folder. What cannot be read is no package: repositories
    /// hold broken ones for their tests.
    fn manifests(&self) -> Result<BTreeMap<TreePath, Manifest>, BuildError> {
        let mut tables: BTreeMap<TreePath, Table> = BTreeMap::new();
        for (path, node) in self.tree.iter() {
            let (Kind::File(blob), Some(folder)) = (&node.kind, path.parent()) else {
                continue;
            };
            if path.name() != b"Cargo.toml" || blob.size > MAX_MANIFEST_BYTES {
                continue;
            }
            let bytes = self.store.read_object(&blob.digest)?;
            if let Ok(table) = toml::from_str(&String::from_utf8_lossy(&bytes)) {
                tables.insert(folder, table);
            }
        }
        let mut manifests = BTreeMap::new();
        for (folder, table) in &tables {
            if table.contains_key("package") {
                let workspace = workspace_of(&tables, folder, table);
                manifests.insert(folder.clone(), alone(table, workspace));
            }
        }
        Ok(manifests)
    }

    /// Copies a package's folder. Links that lead out of it become what they lead to.
    fn copy(
        &self,
        tree: &mut Tree<Blob>,
        folder: &TreePath,
        place: &TreePath,
    ) -> Result<(), BuildError> {
        for (path, node) in self.below(folder) {
            let to = moved(path, folder, place)?;
            let outside = match &node.kind {
                Kind::Symlink(target) => self.outside(folder, path, target),
                _ => None,
            };
            match outside {
                Some(target) => {
                    for (from, node) in self.below(&target) {
                        put(tree, moved(from, &target, &to)?, node)?;
                    }
                }
                None => put(tree, to, node)?,
            }
        }
        Ok(())
    }

    /// A node and all below it.
    fn below<'t>(
        &'t self,
        top: &'t TreePath,
    ) -> impl Iterator<Item = (&'t TreePath, &'t Node<Blob>)> {
        // In the order of paths all of a folder stands together.
        let nodes = self.tree.iter().skip_while(move |(path, _)| *path < top);
        nodes.take_while(move |(path, _)| path.starts_with(top))
    }

    /// What a link leads to, where that lies in the repository and not in the package's folder.
    fn outside(&self, folder: &TreePath, link: &TreePath, target: &[u8]) -> Option<TreePath> {
        let (mut at, mut target) = (link.parent()?, target.to_vec());
        for _ in 0..MAX_LINKS {
            let path = joined(&at, &target)?;
            match &self.tree.get(&path)?.kind {
                Kind::Symlink(next) => {
                    at = path.parent()?;
                    target.clone_from(next);
                }
                // A folder around the package would hold itself.
                _ if path.starts_with(folder) || folder.starts_with(&path) => return None,
                _ => return Some(path),
            }
        }
        None
    }
}

/// Adds a node to the crates, as long as there are not too many.
fn put(tree: &mut Tree<Blob>, path: TreePath, node: &Node<Blob>) -> Result<(), BuildError> {
    if tree.len() >= MAX_NODES {
        let reason = format!(
            "the crates that Cargo.lock takes from repositories hold more than {MAX_NODES} files \
             together; take some of them from a registry"
        );
        return Err(BuildError::Cargo { reason });
    }
    Ok(tree.insert_with_parents(path, node.clone())?)
}

/// A path below `from`, as it is below `to`.
fn moved(path: &TreePath, from: &TreePath, to: &TreePath) -> Result<TreePath, BuildError> {
    let skip = from.components().count();
    let mut moved = to.clone();
    for part in path.components().skip(skip) {
        moved = moved.join(part)?;
    }
    Ok(moved)
}

/// A path relative to a folder, with `..` followed; `None` where it leaves the tree.
fn joined(folder: &TreePath, relative: &[u8]) -> Option<TreePath> {
    if relative.starts_with(b"/") {
        return None;
    }
    let mut path = folder.clone();
    for part in relative.split(|byte| *byte == b'/') {
        path = match part {
            b"" | b"." => path,
            b".." => path.parent()?,
            name => path.join(name).ok()?,
        };
    }
    Some(path)
}

/// The manifest of the workspace that a package is in: its own, the one that it names, or the nearest
/// above it.
fn workspace_of<'t>(
    tables: &'t BTreeMap<TreePath, Table>,
    folder: &TreePath,
    table: &'t Table,
) -> Option<&'t Table> {
    let named = table
        .get("package")?
        .get("workspace")
        .and_then(Value::as_str);
    if let Some(named) = named {
        let root = joined(folder, named.as_bytes())?;
        return tables.get(&root)?.get("workspace")?.as_table();
    }
    let mut at = Some(folder.clone());
    while let Some(here) = at {
        let found = tables.get(&here).and_then(|table| table.get("workspace"));
        if let Some(found) = found {
            return found.as_table();
        }
        at = here.parent();
    }
    None
}

/// Tables that only the package at the top of a build may have, and those of what is never built here.
/// Not dependencies for tests: features may name them.
const NOT_HERE: [&str; 8] = [
    "bench",
    "example",
    "lints",
    "patch",
    "profile",
    "replace",
    "test",
    "workspace",
];

/// Tables of dependencies.
const DEPENDENCIES: [&str; 5] = [
    "dependencies",
    "build-dependencies",
    "build_dependencies",
    "dev-dependencies",
    "dev_dependencies",
];

/// A manifest in which all that it takes from its workspace is written out.
fn alone(table: &Table, workspace: Option<&Table>) -> Manifest {
    let mut table = table.clone();
    for name in NOT_HERE {
        table.remove(name);
    }
    let from = |part: &str| {
        workspace
            .and_then(|w| w.get(part))
            .and_then(Value::as_table)
    };
    if let Some(package) = table.get_mut("package").and_then(Value::as_table_mut) {
        package.remove("workspace");
        let shared = from("package");
        let inherited: Vec<String> = package
            .iter()
            .filter(|(_, value)| is_inherited(value))
            .map(|(key, _)| key.clone())
            .collect();
        for key in inherited {
            match shared.and_then(|shared| shared.get(&key)) {
                // Their paths count from the workspace, and nothing is made of them.
                Some(value) if !matches!(key.as_str(), "readme" | "license-file") => {
                    package.insert(key, value.clone());
                }
                _ => drop(package.remove(&key)),
            }
        }
    }
    let shared = from("dependencies");
    let write_out = |table: &mut Table| {
        for name in DEPENDENCIES {
            let dependencies = table.get_mut(name).and_then(Value::as_table_mut);
            for (name, dependency) in dependencies.into_iter().flatten() {
                if is_inherited(dependency)
                    && let Some(base) = shared.and_then(|shared| shared.get(name))
                {
                    *dependency = merged(base, dependency);
                }
            }
        }
    };
    write_out(&mut table);
    let targets = table.get_mut("target").and_then(Value::as_table_mut);
    for (_, target) in targets.into_iter().flatten() {
        if let Some(target) = target.as_table_mut() {
            write_out(target);
        }
    }
    Manifest(table)
}

fn is_inherited(value: &Value) -> bool {
    value.get("workspace").and_then(Value::as_bool) == Some(true)
}

/// A dependency of the workspace with what the package adds to it, by cargo's rules: features add up,
/// and default features are on where either wants them.
fn merged(base: &Value, own: &Value) -> Value {
    let mut table = match base {
        Value::Table(table) => table.clone(),
        version => Table::from_iter([("version".to_owned(), version.clone())]),
    };
    let features = |value: &Value| -> BTreeSet<String> {
        let list = value.get("features").and_then(Value::as_array);
        let list = list.into_iter().flatten();
        list.filter_map(|f| f.as_str().map(str::to_owned)).collect()
    };
    let all: BTreeSet<String> = features(base).union(&features(own)).cloned().collect();
    if !all.is_empty() {
        let all = all.into_iter().map(Value::String).collect();
        table.insert("features".into(), Value::Array(all));
    }
    for key in ["optional", "public"] {
        if let Some(value) = own.get(key) {
            table.insert(key.into(), value.clone());
        }
    }
    for key in ["default-features", "default_features"] {
        if own.get(key).and_then(Value::as_bool) == Some(true) {
            table.remove("default_features");
            table.insert("default-features".into(), Value::Boolean(true));
        }
    }
    Value::Table(table)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::events::Silent;
    use crate::testing;
    use nos_formats::tree::Metadata;
    use nos_store::ActionResult;

    const COMMIT: &str = "a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1";

    fn repository(query: &str) -> Repository {
        Repository::parse(&format!("git+https://git.example/a{query}#{COMMIT}")).unwrap()
    }

    #[test]
    fn sources_are_read_as_cargo_writes_them() {
        assert_eq!(repository("").reference, None);
        assert_eq!(
            repository("?branch=a%2Fb").reference,
            Some(("branch".into(), "a/b".into()))
        );
        assert_eq!(
            repository("?rev=100%").reference,
            Some(("rev".into(), "100%".into()))
        );
        assert_eq!(repository("").commit, COMMIT);
        for wrong in [
            "git+https://git.example/a".to_owned(),
            "git+https://git.example/a#main".into(),
            format!("git+ssh://git@git.example/a#{COMMIT}"),
            format!("git+file:///srv/a#{COMMIT}"),
            format!("git+https://git.example/a?depth=1#{COMMIT}"),
        ] {
            assert!(Repository::parse(&wrong).is_err(), "{wrong}");
        }
    }

    /// Text to a file, text behind `-> ` to a link.
    fn commit(store: &Store, files: &[(&str, &str)]) -> Tree<Blob> {
        let mut tree = Tree::new();
        for (path, text) in files {
            let node = match text.strip_prefix("-> ") {
                Some(target) => Node {
                    metadata: Metadata::with_mode(0o777),
                    kind: Kind::Symlink(target.into()),
                },
                None => {
                    text_file(store, &mut tree, path, text).unwrap();
                    continue;
                }
            };
            tree.insert_with_parents(TreePath::new(path).unwrap(), node)
                .unwrap();
        }
        tree
    }

    /// What becomes of the crates of a commit with these files: path → text.
    fn added(
        files: &[(&str, &str)],
        wanted: &[(&str, &str)],
    ) -> Result<BTreeMap<String, String>, String> {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path().join("store")).unwrap();
        let builder = testing::builder(&store, folder.path(), &Silent);
        let found = store.add_tree(&commit(&store, files)).unwrap();
        let repository = repository("");
        let pin = LockedCommit {
            tree: found.to_string(),
        };
        let key = Work::Git(repository.git(), pin.clone())
            .key(&[])
            .unwrap()
            .unwrap();
        let result = ActionResult::with_output("tree", Output::Tree(found));
        store.put_result(&key, &result).unwrap();
        let lines = wanted.iter().map(|(name, version)| {
            format!(
                "[[package]]\nname = {name:?}\nversion = {version:?}\nsource = {:?}\n",
                format!("git+https://git.example/a#{COMMIT}")
            )
        });
        let lock = crate::cargo::LockFile::parse(&lines.collect::<String>()).unwrap();
        let mut tree = Tree::new();
        let commits = BTreeMap::from([(COMMIT.to_owned(), pin)]);
        for (repository, wanted) in lock.repositories() {
            add(&builder, &mut tree, repository, &wanted, &commits).map_err(|e| e.to_string())?;
        }
        let shown = tree.iter().filter_map(|(path, node)| match &node.kind {
            Kind::File(blob) => {
                let text = store.read_object(&blob.digest).unwrap();
                let path = path.to_string();
                let path = path
                    .trim_start_matches(&format!("/git/{COMMIT}/"))
                    .to_owned();
                Some((path, String::from_utf8(text).unwrap()))
            }
            _ => None,
        });
        Ok(shown.collect())
    }

    const WORKSPACE: &str = r#"
[workspace]
members = ["crates/*"]

[workspace.package]
version = "1.2.3"
edition = "2021"
readme = "README.md"

[workspace.dependencies]
itoa = "1"
serde = { version = "1", default-features = false, features = ["derive"] }
two = { path = "crates/two" }
"#;

    const ONE: &str = r#"
[package]
name = "one"
version.workspace = true
edition = { workspace = true }
readme.workspace = true

[lints]
workspace = true

[dependencies]
itoa.workspace = true
serde = { workspace = true, default-features = true, features = ["rc"], optional = true }
two = { workspace = true }

[target.'cfg(unix)'.dependencies]
itoa.workspace = true

[[bench]]
name = "speed"
harness = false
"#;

    const FILES: [(&str, &str); 8] = [
        ("Cargo.toml", WORKSPACE),
        ("README.md", "read"),
        ("crates/one/Cargo.toml", ONE),
        ("crates/one/src/lib.rs", "x"),
        ("crates/one/README.md", "-> ../../README.md"),
        (
            "crates/two/Cargo.toml",
            "[package]\nname = \"two\"\nversion = \"0.1.0\"\n",
        ),
        (
            "fixtures/two/Cargo.toml",
            "[package]\nname = \"two\"\nversion = \"0.1.0\"\n",
        ),
        ("fixtures/broken/Cargo.toml", "[package"),
    ];

    #[test]
    fn a_crate_of_a_workspace_stands_alone() {
        let made = added(&FILES, &[("one", "1.2.3"), ("two", "0.1.0")]).unwrap();
        let paths: Vec<&str> = made.keys().map(String::as_str).collect();
        assert_eq!(
            paths,
            [
                "one-1.2.3/.cargo-checksum.json",
                "one-1.2.3/Cargo.toml",
                "one-1.2.3/README.md",
                "one-1.2.3/src/lib.rs",
                "two-0.1.0/.cargo-checksum.json",
                "two-0.1.0/Cargo.toml",
            ]
        );
        assert_eq!(made["one-1.2.3/README.md"], "read");
        expect_test::expect![[r#"
            [dependencies.itoa]
            version = "1"

            [dependencies.serde]
            default-features = true
            features = ["derive", "rc"]
            optional = true
            version = "1"

            [dependencies.two]
            path = "crates/two"

            [package]
            edition = "2021"
            name = "one"
            version = "1.2.3"

            [target."cfg(unix)".dependencies.itoa]
            version = "1"
        "#]]
        .assert_eq(&made["one-1.2.3/Cargo.toml"]);
    }

    #[test]
    fn links_that_multiply_a_repository_come_to_an_end() {
        let mut files = vec![("a/Cargo.toml".to_owned(), FILES[5].1.to_owned())];
        files.extend((0..80).map(|n| (format!("many/{n}"), String::new())));
        files.extend((0..80).map(|n| (format!("a/{n}"), "-> ../many".to_owned())));
        let files: Vec<(&str, &str)> = files.iter().map(|(p, t)| (&**p, &**t)).collect();
        let error = added(&files, &[("two", "0.1.0")]).unwrap_err();
        assert!(error.contains("hold more than 4096 files"), "{error}");
    }

    #[test]
    fn what_the_commit_does_not_have_is_named() {
        let error = added(&FILES, &[("one", "9.9.9")]).unwrap_err();
        assert!(error.contains("has no crate one 9.9.9"), "{error}");
    }
}
