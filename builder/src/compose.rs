//! The root of one image: packages merged, declared files laid over them, unreachable files
//! left out, and the few files that every root needs.

mod php;

use crate::debian;
use crate::error::BuildError;
use crate::events::Event;
use crate::realise::Builder;
use crate::trim::{self, Dropped, Drops, Glob, Reach, Request, TrimError};
use crate::work::{Compose, User};
use nos_formats::tree::{Kind, Metadata, Node, Tree, TreePath};
use nos_store::{ActionResult, Blob, Output, Store};
use std::collections::{BTreeMap, BTreeSet};

/// Directories that `init` mounts something on; each root must have them.
const MOUNT_POINTS: [&str; 5] = ["dev", "proc", "run", "sys", "tmp"];

/// Files that `init` mounts the machine's own version over.
const MOUNTED_FILES: [&str; 3] = ["etc/hostname", "etc/hosts", "etc/resolv.conf"];

/// The certificates of all authorities that an image trusts, in one file.
const AUTHORITIES: &str = "etc/ssl/certs/ca-certificates.crt";

/// Where the single ones are: of Debian's package, and of whoever places further ones.
const AUTHORITY_FOLDERS: [&str; 2] = [
    "usr/share/ca-certificates",
    "usr/local/share/ca-certificates",
];

/// Symbolic links followed before a path is called a loop (Linux `MAXSYMLINKS`).
const MAX_SYMLINKS: usize = 40;

/// Owner and group of what nobody else owns.
const NOBODY: u32 = 65_534;

/// Fact of a root, and of its image: the packages in it, see [`Composition::packages`].
pub(crate) const PACKAGES_FACT: &str = "packages";

/// Fact of a root and its image: what stands for the versions of the builds and of the container image in it, as JSON; only
/// where there are any.
pub(crate) const BUILDS_FACT: &str = "builds";

/// Digits of a digest that stand for a version.
const VERSION_DIGITS: usize = 12;

/// The root of an image, and how it came about.
#[derive(Debug, Clone)]
pub struct Composition {
    /// Everything that is in the image.
    pub tree: Tree<Blob>,
    /// Path → package, for what packages brought (also for what was left out).
    pub owners: BTreeMap<TreePath, String>,
    /// Why each file stays; `None` where the image is not trimmed.
    pub reach: Option<Reach>,
    /// Package → bytes of its files that are in the image; packages that brought nothing to it
    /// are not there.
    pub packages: BTreeMap<String, u64>,
    /// `drop` globs that match nothing.
    pub unused_drops: Vec<String>,
}

/// Composes a root; see [`crate::work::Work::Compose`].
///
/// # Errors
/// As [`composition`].
pub(crate) fn compose(
    builder: &Builder<'_>,
    parts: &Compose,
    inputs: &[&ActionResult],
) -> Result<ActionResult, BuildError> {
    let Composition {
        tree,
        reach,
        packages,
        owners,
        unused_drops,
    } = composition(builder, parts, inputs)?;
    for glob in unused_drops {
        let image = &parts.image;
        builder.observer.event(Event::Warning(&format!(
            "image {image}: drop = {glob:?} matches nothing; correct it or leave it out"
        )));
    }
    for warning in reach.iter().flat_map(|reach| warnings(&parts.image, reach)) {
        builder.observer.event(Event::Warning(&warning));
    }
    let digest = builder.store.add_tree(&tree)?;
    let mut result = ActionResult::with_output("tree", Output::Tree(digest));
    let packages = serde_json::to_string(&packages)?;
    result.facts.insert(PACKAGES_FACT.to_string(), packages);
    let versions = versions(parts, &tree, &owners)?;
    if !versions.is_empty() {
        let versions = serde_json::to_string(&versions)?;
        result.facts.insert(BUILDS_FACT.to_string(), versions);
    }
    Ok(result)
}

/// What the part of an image is called that a container image brings.
fn base_owner(parts: &Compose) -> Option<String> {
    parts.base.as_ref().map(|base| format!("oci {base}"))
}

/// What stands for the versions of builds and container images: digits of the digest of what the image has of each, so that
/// it changes where the image does.
fn versions(
    parts: &Compose,
    tree: &Tree<Blob>,
    owners: &BTreeMap<TreePath, String>,
) -> Result<BTreeMap<String, String>, BuildError> {
    let mut versions = BTreeMap::new();
    let builds = parts.builds.iter().map(|name| format!("build {name}"));
    for owner in builds.chain(base_owner(parts)) {
        let mut content = Tree::new();
        for (path, node) in tree.iter() {
            let is_file = matches!(node.kind, Kind::File(_) | Kind::Symlink(_));
            if is_file && owners.get(path) == Some(&owner) {
                content.insert_with_parents(path.clone(), node.clone())?;
            }
        }
        let digest = Store::tree_digest(&content)?.to_string();
        let version = digest.get(..VERSION_DIGITS).unwrap_or_default();
        versions.insert(owner, version.to_owned());
    }
    Ok(versions)
}

/// What a person should know of a trimmed image.
fn warnings(image: &str, reach: &Reach) -> impl Iterator<Item = String> {
    let globs = reach.unused_globs.iter().map(move |glob| {
        format!("image {image}: keep = {glob:?} matches nothing; correct it or leave it out")
    });
    globs.chain(
        reach
            .missing
            .iter()
            .map(move |missing| format!("image {image}: {missing}")),
    )
}

/// Puts a root together without storing it.
///
/// # Errors
/// [`BuildError`] where packages clash, a declared path cannot be placed, or a service's
/// program or a library it needs is in no package.
pub(crate) fn composition(
    builder: &Builder<'_>,
    parts: &Compose,
    inputs: &[&ActionResult],
) -> Result<Composition, BuildError> {
    let store = builder.store;
    let (base, inputs) = inputs.split_at(usize::from(parts.base.is_some()).min(inputs.len()));
    let (packages, rest) = inputs.split_at(parts.packages.len().min(inputs.len()));
    let (builds, sources) = rest.split_at(parts.builds.len().min(rest.len()));
    let mut trees = Vec::new();
    for (name, input) in parts.packages.iter().zip(packages) {
        trees.push((name.clone(), store.read_tree(&output_tree(input, "tree")?)?));
    }
    let mut merged = debian::merge(trees)?;
    debian::link_alternatives(
        &mut merged,
        parts.packages.iter().zip(packages.iter().copied()),
    )?;
    let extensions = php::enable(store, &mut merged)?;
    let mut root = Root {
        tree: merged.tree,
        declared: BTreeSet::new(),
        always: BTreeSet::new(),
    };
    let mut of_base = Vec::new();
    if let Some(base) = base.first() {
        let base = store.read_tree(&output_tree(base, "tree")?)?;
        of_base = base.iter().map(|(path, _)| path.clone()).collect();
        let packages = std::mem::replace(&mut root.tree, base);
        // Paths of packages are those of a merged /usr, the base's need not be.
        root.lay(&packages)?;
    }
    root.skeleton(store, &parts.users)?;
    root.always = root.declared.clone();
    for (name, build) in parts.builds.iter().zip(builds) {
        let placed = root.lay(&store.read_tree(&output_tree(build, "tree")?)?)?;
        let owner = format!("build {name}");
        merged
            .owners
            .extend(placed.into_iter().map(|path| (path, owner.clone())));
    }
    for path in parts.directories.iter().chain(&parts.state) {
        root.directory(path, 0o755)?;
    }
    for ((path, mode), source) in parts.files.iter().zip(sources) {
        root.source(store, path, *mode, source)?;
    }
    for (path, target) in &parts.links {
        root.put(path, 0o777, Kind::Symlink(target.as_bytes().to_vec()))?;
    }
    if parts.base.is_none() {
        // For what builds and the spec brought to folders that no package has.
        debian::link_root(&mut root.tree)?;
    }
    root.certificates(store)?;
    let dropped = root.drop(parts)?;
    php::disable(&mut root.tree, &extensions);
    let reach = match parts.trim {
        true => Some(root.trim(store, parts, &merged.owners, &dropped)?),
        false => None,
    };
    root.tree.check_links()?;
    // Not for trimming: what an image made elsewhere says of itself may name anything.
    if let Some(owner) = &base_owner(parts) {
        for path in of_base {
            if !root.declared.contains(&path) {
                merged.owners.entry(path).or_insert_with(|| owner.clone());
            }
        }
    }
    let packages = root.packages(&merged.owners);
    Ok(Composition {
        packages,
        tree: root.tree,
        owners: merged.owners,
        reach,
        unused_drops: dropped.unused_globs,
    })
}

/// The digest of a tree among an action's outputs.
pub(crate) fn output_tree(
    result: &ActionResult,
    name: &'static str,
) -> Result<nos_store::Digest, BuildError> {
    match result.outputs.get(name) {
        Some(Output::Tree(digest)) => Ok(*digest),
        _ => Err(BuildError::MissingOutput { name }),
    }
}

/// An object among an action's outputs.
pub(crate) fn output_object(result: &ActionResult, name: &'static str) -> Result<Blob, BuildError> {
    match result.outputs.get(name) {
        Some(Output::Object(blob)) => Ok(*blob),
        _ => Err(BuildError::MissingOutput { name }),
    }
}

fn globs(list: &[String]) -> Result<Vec<Glob>, TrimError> {
    Ok(list
        .iter()
        .map(|glob| Glob::new(glob))
        .collect::<Result<_, _>>()?)
}

fn paths(list: &[String]) -> Result<Vec<TreePath>, TrimError> {
    Ok(list.iter().map(TreePath::new).collect::<Result<_, _>>()?)
}

struct Root {
    tree: Tree<Blob>,
    /// What the spec or the skeleton placed: never trimmed.
    declared: BTreeSet<TreePath>,
    /// What of that every image has.
    always: BTreeSet<TreePath>,
}

impl Root {
    fn skeleton(&mut self, store: &Store, users: &[User]) -> Result<(), BuildError> {
        for path in MOUNT_POINTS {
            self.directory(path, if path == "tmp" { 0o1777 } else { 0o755 })?;
        }
        let mut passwd = String::from("root:x:0:0:root:/:/usr/sbin/nologin\n");
        let mut group = String::from("root:x:0:\n");
        for User { name, uid } in users {
            passwd.push_str(&format!("{name}:x:{uid}:{uid}::/:/usr/sbin/nologin\n"));
            group.push_str(&format!("{name}:x:{uid}:\n"));
        }
        passwd.push_str(&format!(
            "nobody:x:{NOBODY}:{NOBODY}:nobody:/:/usr/sbin/nologin\n"
        ));
        group.push_str(&format!("nogroup:x:{NOBODY}:\n"));
        let nsswitch = "passwd: files\ngroup: files\nhosts: files dns\n";
        for (path, text) in [
            ("etc/passwd", passwd.as_str()),
            ("etc/group", &group),
            ("etc/nsswitch.conf", nsswitch),
        ] {
            self.text(store, path, text)?;
        }
        for path in MOUNTED_FILES {
            self.text(store, path, "")?;
        }
        Ok(())
    }

    fn text(&mut self, store: &Store, path: &str, text: &str) -> Result<(), BuildError> {
        let digest = store.add_bytes(text.as_bytes())?;
        let blob = Blob {
            digest,
            size: text.len() as u64,
        };
        self.put(path, 0o644, Kind::File(blob))
    }

    fn directory(&mut self, path: &str, mode: u16) -> Result<(), BuildError> {
        let place = self.resolve(&TreePath::new(path)?)?;
        match self.tree.get_mut(&place) {
            Some(node) if matches!(node.kind, Kind::Directory) => {
                node.metadata.mode = mode;
                self.declared.insert(place);
                Ok(())
            }
            _ => self.put(path, mode, Kind::Directory),
        }
    }

    fn put(&mut self, path: &str, mode: u16, kind: Kind<Blob>) -> Result<(), BuildError> {
        let path = TreePath::new(path)?;
        let place = match (path.parent(), path.name()) {
            (Some(parent), name) => self.resolve(&parent)?.join(name)?,
            (None, _) => path,
        };
        self.declared.insert(place.clone());
        let node = Node {
            metadata: Metadata::with_mode(mode),
            kind,
        };
        Ok(self.tree.insert_with_parents(place, node)?)
    }

    /// Lays a tree over what is there. It is trimmed as packages are: not declared. Gives the places of all but folders.
    fn lay(&mut self, tree: &Tree<Blob>) -> Result<Vec<TreePath>, BuildError> {
        let mut placed = Vec::new();
        for (path, node) in tree.iter().filter(|(path, _)| !path.is_root()) {
            let (Some(parent), name) = (path.parent(), path.name()) else {
                continue;
            };
            // Folders that are links there, as `/bin` is, stay links.
            let whole = self.resolve(path)?;
            let there = self.tree.get(&whole).map(|node| &node.kind);
            if matches!(
                (there, &node.kind),
                (Some(Kind::Directory), Kind::Directory)
            ) {
                continue;
            }
            let place = self.resolve(&parent)?.join(name)?;
            let mut node = node.clone();
            if let Kind::HardLink(target) = &node.kind {
                node.kind = Kind::HardLink(self.resolve(target)?);
            }
            if !matches!(node.kind, Kind::Directory) {
                placed.push(place.clone());
            }
            self.tree.insert_with_parents(place, node)?;
        }
        Ok(placed)
    }

    /// Places a local file or folder.
    fn source(
        &mut self,
        store: &Store,
        path: &str,
        mode: Option<u32>,
        source: &ActionResult,
    ) -> Result<(), BuildError> {
        if source.outputs.contains_key("file") {
            let blob = output_object(source, "file")?;
            let default = if source.facts.contains_key("executable") {
                0o755
            } else {
                0o644
            };
            let mode = mode.and_then(|m| u16::try_from(m).ok()).unwrap_or(default);
            return self.put(path, mode, Kind::File(blob));
        }
        let folder = store.read_tree(&output_tree(source, "tree")?)?;
        self.directory(path, 0o755)?;
        let base = self.resolve(&TreePath::new(path)?)?;
        for (below, node) in folder.iter().filter(|(p, _)| !p.is_root()) {
            let place = base.join(below.as_bytes())?;
            let mut node = node.clone();
            if let Kind::HardLink(target) = &node.kind {
                node.kind = Kind::HardLink(base.join(target.as_bytes())?);
            }
            self.declared.insert(place.clone());
            self.tree.insert_with_parents(place, node)?;
        }
        Ok(())
    }

    /// Puts the certificates of authorities into the one file where programs look for them, as the
    /// maintainer script of Debian's package does.
    fn certificates(&mut self, store: &Store) -> Result<(), BuildError> {
        if self.tree.get(&TreePath::new(AUTHORITIES)?).is_some() {
            return Ok(());
        }
        let folders = AUTHORITY_FOLDERS.map(TreePath::new);
        let folders = folders.into_iter().collect::<Result<Vec<_>, _>>()?;
        let mut bundle = Vec::new();
        for (path, node) in self.tree.iter() {
            let is_one = folders.iter().any(|folder| path.starts_with(folder));
            let Kind::File(blob) = &node.kind else {
                continue;
            };
            if is_one && path.name().ends_with(b".crt") {
                bundle.extend(store.read_object(&blob.digest)?);
                if bundle.last() != Some(&b'\n') {
                    bundle.push(b'\n');
                }
            }
        }
        match std::str::from_utf8(&bundle) {
            Ok(text) if !text.is_empty() => self.text(store, AUTHORITIES, text),
            _ => Ok(()),
        }
    }

    /// What of each package is there; files that the spec placed over a package's are its own.
    fn packages(&self, owners: &BTreeMap<TreePath, String>) -> BTreeMap<String, u64> {
        let mut packages: BTreeMap<String, u64> = BTreeMap::new();
        for (path, package) in owners {
            let bytes = match self.tree.get(path).map(|node| &node.kind) {
                _ if self.declared.contains(path) => continue,
                None | Some(Kind::Directory) => continue,
                Some(Kind::File(blob)) => blob.size,
                Some(_) => 0,
            };
            *packages.entry(package.clone()).or_default() += bytes;
        }
        packages
    }

    /// Leaves out what the spec takes out.
    fn drop(&mut self, parts: &Compose) -> Result<Dropped, BuildError> {
        if parts.drop.is_empty() {
            return Ok(Dropped::default());
        }
        let mut wanted = self.declared.clone();
        for program in paths(&parts.entry_points)? {
            wanted.insert(self.resolve(&program)?);
        }
        let drops = Drops {
            globs: &globs(&parts.drop)?,
            keep: &globs(&parts.keep)?,
            wanted: &wanted,
        };
        Ok(trim::drop(&mut self.tree, &drops)?)
    }

    /// Leaves out what no service can reach and the spec does not name.
    fn trim(
        &mut self,
        store: &Store,
        parts: &Compose,
        owners: &BTreeMap<TreePath, String>,
        dropped: &Dropped,
    ) -> Result<Reach, BuildError> {
        let programs = paths(&parts.entry_points)?;
        let library_path = paths(&parts.library_path)?;
        let named = self.declared.difference(&self.always);
        let named: Vec<TreePath> = named.cloned().collect();
        let always: Vec<TreePath> = self.always.iter().cloned().collect();
        let keep = globs(&parts.keep)?;
        let request = Request {
            programs: &programs,
            always: &always,
            named: &named,
            keep: &keep,
            dropped: Some(&dropped.paths),
            owners: Some(owners),
            library_path: &library_path,
            commands: &parts.commands,
            environment: &parts.environment,
        };
        let reach = trim::reach(&self.tree, &request, |blob: &Blob| {
            std::fs::File::open(store.object_path(&blob.digest))
        })?;
        reach.apply(&mut self.tree);
        Ok(reach)
    }

    /// Follows symbolic links inside the tree, as a kernel would with this tree as its root.
    /// What does not exist is taken as it is written.
    fn resolve(&self, path: &TreePath) -> Result<TreePath, BuildError> {
        let mut todo: Vec<Vec<u8>> = path.components().map(<[u8]>::to_vec).rev().collect();
        let mut at = TreePath::ROOT;
        let mut followed = 0;
        while let Some(name) = todo.pop() {
            match name.as_slice() {
                b"." | b"" => continue,
                b".." => {
                    at = at.parent().unwrap_or_default();
                    continue;
                }
                _ => {}
            }
            let next = at.join(&name)?;
            if let Some(Node {
                kind: Kind::Symlink(target),
                ..
            }) = self.tree.get(&next)
            {
                followed += 1;
                if followed > MAX_SYMLINKS {
                    return Err(BuildError::SymlinkLoop { path: path.clone() });
                }
                if target.first() == Some(&b'/') {
                    at = TreePath::ROOT;
                }
                todo.extend(target.split(|&b| b == b'/').map(<[u8]>::to_vec).rev());
            } else {
                at = next;
            }
        }
        Ok(at)
    }
}
