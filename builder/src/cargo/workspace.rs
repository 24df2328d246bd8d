//! What manifests say of a source: its packages, where they are, which of them needs which.

use super::lockfile::LockFile;
use crate::compose::output_tree;
use crate::error::BuildError;
use crate::realise::Builder;
use nos_formats::tree::{Kind, Tree, TreePath};
use nos_store::{ActionResult, Blob, Store};
use std::collections::{BTreeMap, BTreeSet};

/// Name of a manifest.
pub(super) const MANIFEST: &[u8] = b"Cargo.toml";

/// Largest manifest or lock file read, in bytes.
const MAX_BYTES: u64 = 4 << 20;

/// A source of Rust packages.
pub(super) struct Workspace {
    /// The packages that `Cargo.lock` names as the source's own, by folder.
    packages: BTreeMap<TreePath, Package>,
    /// Files of code that manifests name.
    pub(super) named: BTreeSet<TreePath>,
    /// Folders that stand in for crates from elsewhere (`[patch]`), which such crates need as well.
    patches: Vec<TreePath>,
}

struct Package {
    name: String,
    /// Folders of the packages that it is compiled with.
    needs: BTreeSet<TreePath>,
}

/// The tree that is an action's first input.
///
/// # Errors
/// [`BuildError::MissingOutput`] where it has none.
pub(super) fn source(
    builder: &Builder<'_>,
    inputs: &[&ActionResult],
) -> Result<Tree<Blob>, BuildError> {
    let input = inputs
        .first()
        .ok_or(BuildError::MissingOutput { name: "tree" })?;
    Ok(builder.store.read_tree(&output_tree(input, "tree")?)?)
}

/// The file `Cargo.lock` at the top of a source.
///
/// # Errors
/// [`BuildError::Cargo`] where there is none.
pub(super) fn lock_in(source: &Tree<Blob>) -> Result<Blob, BuildError> {
    match source.get(&TreePath::new("Cargo.lock")?).map(|n| &n.kind) {
        Some(Kind::File(blob)) => Ok(*blob),
        _ => Err(BuildError::Cargo {
            reason: "the source has no Cargo.lock; run `cargo generate-lockfile` there and keep \
                     the file"
                .into(),
        }),
    }
}

impl Workspace {
    /// Reads the manifests of a source.
    ///
    /// # Errors
    /// [`BuildError::Cargo`] for a lock file that cannot be read.
    pub(super) fn read(store: &Store, source: &Tree<Blob>) -> Result<Self, BuildError> {
        let lock = LockFile::parse(&text(store, "Cargo.lock", &lock_in(source)?)?)?;
        let mut manifests = BTreeMap::new();
        for (path, node) in source.iter() {
            if let (MANIFEST, Kind::File(blob)) = (path.name(), &node.kind) {
                // What cannot be read is a fixture of a test, or cargo says so.
                let text = text(store, path, blob).unwrap_or_default();
                let table: toml::Table = toml::from_str(&text).unwrap_or_default();
                manifests.insert(path.parent().unwrap_or_default(), table);
            }
        }
        let top = manifests.get(&TreePath::ROOT);
        let shared = top
            .and_then(|top| top.get("workspace")?.get("dependencies")?.as_table())
            .cloned()
            .unwrap_or_default();
        let mut workspace = Self {
            packages: BTreeMap::new(),
            named: BTreeSet::new(),
            patches: top.map(patches_in).unwrap_or_default(),
        };
        for (folder, manifest) in manifests {
            workspace.named.extend(code_in(&manifest, &folder));
            let name = manifest
                .get("package")
                .and_then(|p| p.get("name")?.as_str());
            let Some(name) = name.filter(|name| lock.members.iter().any(|m| m == name)) else {
                continue;
            };
            let package = Package {
                name: name.to_owned(),
                needs: needs_in(&manifest, &folder, &shared),
            };
            workspace.packages.insert(folder, package);
        }
        Ok(workspace)
    }

    /// The folder of the package that a file belongs to.
    pub(super) fn owner(&self, file: &TreePath) -> Option<&TreePath> {
        let owners = self
            .packages
            .keys()
            .filter(|folder| file.starts_with(folder));
        owners.max_by_key(|folder| folder.as_bytes().len())
    }

    /// Names of the packages in these folders, sorted.
    pub(super) fn names(&self, folders: &BTreeSet<&TreePath>) -> Vec<&str> {
        let packages = folders.iter().filter_map(|f| self.packages.get(*f));
        let names: BTreeSet<&str> = packages.map(|package| package.name.as_str()).collect();
        names.into_iter().collect()
    }

    /// Folders of all packages.
    pub(super) fn folders(&self) -> impl Iterator<Item = &TreePath> {
        self.packages.keys()
    }

    /// Folders of what compiling `package` compiles, and of those among them that no other one
    /// needs. Without a package it is that of the top, or else all of them.
    ///
    /// # Errors
    /// [`BuildError::Cargo`] where there is no such package.
    pub(super) fn needed(
        &self,
        package: Option<&str>,
    ) -> Result<(BTreeSet<&TreePath>, BTreeSet<&TreePath>), BuildError> {
        let top = self.packages.get_key_value(&TreePath::ROOT);
        let open: Vec<&TreePath> = match (package, top) {
            (Some(wanted), _) => {
                // A fixture of a test may be called the same, further down.
                let named = self.packages.iter().filter(|(_, p)| p.name == wanted);
                let found = named.min_by_key(|(folder, _)| folder.components().count());
                let (folder, _) = found.ok_or_else(|| self.no_such(wanted))?;
                vec![folder]
            }
            (None, Some((folder, _))) => vec![folder],
            (None, None) => self.packages.keys().collect(),
        };
        let mut tops: BTreeSet<&TreePath> = open.iter().copied().collect();
        let needed = self.closure(open);
        for folder in &needed {
            let needs = self.packages.get(*folder).map(|package| &package.needs);
            tops.retain(|top| !needs.is_some_and(|needs| needs.contains(*top)));
        }
        Ok((needed, tops))
    }

    /// Folders of what crates from elsewhere need.
    pub(super) fn patches(&self) -> BTreeSet<&TreePath> {
        self.closure(self.patches.iter().collect())
    }

    fn closure<'a>(&'a self, mut open: Vec<&'a TreePath>) -> BTreeSet<&'a TreePath> {
        let mut needed = BTreeSet::new();
        while let Some(folder) = open.pop() {
            if let Some(package) = self.packages.get(folder)
                && needed.insert(folder)
            {
                open.extend(&package.needs);
            }
        }
        needed
    }

    fn no_such(&self, wanted: &str) -> BuildError {
        let names = self.names(&self.folders().collect()).join(", ");
        BuildError::Cargo {
            reason: format!("the source has no package {wanted:?}; its packages are {names}"),
        }
    }
}

fn text(store: &Store, path: impl std::fmt::Display, blob: &Blob) -> Result<String, BuildError> {
    let unreadable = |reason: &str| BuildError::Cargo {
        reason: format!("{path} cannot be read: {reason}; correct it"),
    };
    if blob.size > MAX_BYTES {
        return Err(unreadable("it is larger than 4 MiB"));
    }
    let bytes = store.read_object(&blob.digest)?;
    String::from_utf8(bytes).map_err(|error| unreadable(&error.to_string()))
}

/// Where a relative path leads from a folder; `None` where that is out of the source.
fn below(folder: &TreePath, relative: &str) -> Option<TreePath> {
    let mut parts: Vec<&[u8]> = folder.components().collect();
    for part in relative.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            part => parts.push(part.as_bytes()),
        }
    }
    TreePath::new(parts.join(&b'/')).ok()
}

/// Folders of the packages beside it that a package is compiled with. `shared` are the workspace's
/// dependencies, whose paths count from the top. What only tests need is not compiled.
fn needs_in(manifest: &toml::Table, folder: &TreePath, shared: &toml::Table) -> BTreeSet<TreePath> {
    let targets = manifest.get("target").and_then(toml::Value::as_table);
    let targets = targets.into_iter().flat_map(toml::Table::values);
    let mut tables: Vec<&toml::Table> = targets.filter_map(toml::Value::as_table).collect();
    tables.push(manifest);
    let kinds = ["dependencies", "build-dependencies", "build_dependencies"];
    let entries = tables.iter().flat_map(|table| {
        let kinds = kinds.iter().filter_map(|kind| table.get(*kind)?.as_table());
        kinds.flatten()
    });
    let place = |(name, entry): (&String, &toml::Value)| {
        let inherits = entry.get("workspace").and_then(toml::Value::as_bool) == Some(true);
        match inherits {
            true => below(&TreePath::ROOT, shared.get(name)?.get("path")?.as_str()?),
            false => below(folder, entry.get("path")?.as_str()?),
        }
    };
    entries.filter_map(place).collect()
}

/// Folders that the manifest of the top puts in place of crates from elsewhere.
fn patches_in(top: &toml::Table) -> Vec<TreePath> {
    let patches = top.get("patch").and_then(toml::Value::as_table);
    let registries = patches.into_iter().flat_map(toml::Table::values);
    let entries = registries.filter_map(toml::Value::as_table).flatten();
    entries
        .filter_map(|(_, entry)| below(&TreePath::ROOT, entry.get("path")?.as_str()?))
        .collect()
}

/// The files of code that a manifest names: `path` of libraries, programs and the like, `build`.
fn code_in(manifest: &toml::Table, folder: &TreePath) -> BTreeSet<TreePath> {
    let mut texts = Vec::new();
    let mut open: Vec<&toml::Value> = manifest.values().collect();
    while let Some(value) = open.pop() {
        match value {
            toml::Value::String(text) if text.ends_with(".rs") => texts.push(text),
            toml::Value::Array(values) => open.extend(values),
            toml::Value::Table(table) => open.extend(table.values()),
            _ => {}
        }
    }
    texts
        .into_iter()
        .filter_map(|text| below(folder, text))
        .collect()
}
