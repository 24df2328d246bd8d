//! Verbs that look into a built system: `nos tree`, `nos why`, `nos diff`.

use super::build::{self, Made};
use super::{Outcome, lock};
use crate::args::{DiffArgs, TreeArgs, WhyArgs};
use crate::context::Context;
use crate::failure::Failure;
use crate::units::human_size;
use nos_builder::build::Composition;
use nos_formats::tree::{Kind, Node, TreePath};
use nos_specs::suggest;
use nos_store::Blob;
use serde::Serialize;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

/// A built system with the roots of its images.
struct Opened {
    made: Made,
    images: BTreeMap<String, Composition>,
    packages: BTreeMap<String, String>,
}

fn open(context: &Context, spec: &str) -> Result<Opened, Failure> {
    let made = build::make(context, spec, false)?;
    let system = made.project.system()?;
    let lock = lock::ensure(context, &made.store, &made.project, true)?;
    let images = build::session(context, &made.store, &made.project).compositions(system, &lock)?;
    let packages = lock
        .packages
        .into_iter()
        .map(|(name, pin)| (name, pin.version))
        .collect();
    Ok(Opened {
        made,
        images,
        packages,
    })
}

/// Bytes below a path.
#[derive(Serialize)]
struct Branch {
    path: String,
    bytes: u64,
    files: u64,
}

#[derive(Serialize)]
struct Tree {
    host: String,
    kernel_bytes: u64,
    initrd_bytes: u64,
    boot_loader_bytes: u64,
    content_bytes: u64,
    images: Vec<ImageTree>,
}

#[derive(Serialize)]
struct ImageTree {
    name: String,
    /// On the disk: compressed, with its hash tree.
    disk_bytes: u64,
    /// What its files hold.
    file_bytes: u64,
    branches: Vec<Branch>,
}

pub(crate) fn tree(context: &Context, args: &TreeArgs) -> Outcome {
    let Opened { made, images, .. } = open(context, &args.spec.spec)?;
    let system = &made.built.system;
    let stored = system.manifest.images.iter().zip(&system.images);
    let images = stored.filter_map(|(image, blob)| {
        let branches = branches(images.get(&image.name)?, args.depth);
        Some(ImageTree {
            name: image.name.clone(),
            disk_bytes: blob.size,
            file_bytes: branches.first().map_or(0, |root| root.bytes),
            branches,
        })
    });
    let tree = Tree {
        host: system.manifest.host.clone(),
        kernel_bytes: system.kernel.size,
        initrd_bytes: system.initrd.size,
        boot_loader_bytes: system.boot_loader.size,
        content_bytes: system.content_bytes(),
        images: images.collect(),
    };
    context.shell.result(&tree, |tree| {
        let mut text = format!("{:>10}  {}\n", human_size(tree.content_bytes), tree.host);
        let parts = [
            ("kernel", tree.kernel_bytes),
            ("initramfs", tree.initrd_bytes),
            ("boot loader", tree.boot_loader_bytes),
        ];
        for (name, bytes) in parts {
            text.push_str(&format!("{:>10}    {name}\n", human_size(bytes)));
        }
        for image in &tree.images {
            text.push_str(&format!(
                "{:>10}    image {} ({} of files)\n",
                human_size(image.disk_bytes),
                image.name,
                human_size(image.file_bytes)
            ));
            for branch in image.branches.iter().skip(1) {
                let level = branch.path.matches('/').count();
                let indent = " ".repeat(4 + 2 * level);
                text.push_str(&format!(
                    "{:>10}{indent}{}\n",
                    human_size(branch.bytes),
                    branch.path
                ));
            }
        }
        text
    })?;
    Ok(())
}

/// Bytes, path and number of files, in the order of size; of equal ones the first path is last.
type Sum = (u64, Reverse<TreePath>, u64);

/// Sums by folder down to `depth`, the root first; within a folder the largest first.
fn branches(composition: &Composition, depth: usize) -> Vec<Branch> {
    let mut sums: BTreeMap<TreePath, (u64, u64)> = BTreeMap::new();
    for (path, node) in composition.tree.iter() {
        let Kind::File(Blob { size, .. }) = &node.kind else {
            continue;
        };
        let mut at = Some(path.clone());
        while let Some(path) = at {
            if path.components().count() <= depth {
                let sum = sums.entry(path.clone()).or_default();
                *sum = (sum.0 + size, sum.1 + 1);
            }
            at = path.parent();
        }
    }
    let mut below: BTreeMap<Option<TreePath>, Vec<Sum>> = BTreeMap::new();
    for (path, (bytes, files)) in sums {
        below
            .entry(path.parent())
            .or_default()
            .push((bytes, Reverse(path), files));
    }
    below.values_mut().for_each(|folder| folder.sort_unstable());
    // The largest of the innermost folder that is begun comes next.
    let mut ordered = Vec::new();
    let mut begun = Vec::from_iter(below.remove(&None));
    while let Some(mut folder) = begun.pop() {
        let Some((bytes, Reverse(path), files)) = folder.pop() else {
            continue;
        };
        begun.push(folder);
        ordered.push(Branch {
            path: path.to_string(),
            bytes,
            files,
        });
        begun.extend(below.remove(&Some(path)));
    }
    ordered
}

#[derive(Serialize)]
struct Because {
    image: String,
    path: String,
    package: Option<String>,
    chain: Vec<String>,
}

pub(crate) fn why(context: &Context, args: &WhyArgs) -> Outcome {
    let opened = open(context, &args.spec)?;
    let found = match args.what.starts_with('/') {
        true => why_path(&opened, &args.what)?,
        false => why_package(&opened, &args.what)?,
    };
    let host = &opened.made.built.system.manifest.host;
    context.shell.result(&found, |found| {
        let mut text = String::new();
        for because in found {
            text.push_str(&format!("host {host}\n  image {}\n", because.image));
            for (level, line) in because.chain.iter().rev().enumerate() {
                text.push_str(&format!("{}{line}\n", "  ".repeat(level + 2)));
            }
        }
        text
    })?;
    Ok(())
}

fn because(image: &str, composition: &Composition, path: &TreePath) -> Because {
    let chain = match &composition.reach {
        Some(reach) => reach
            .why(path)
            .iter()
            .map(|(path, reason)| format!("{path}: {reason}"))
            .collect(),
        None => vec![format!("{path}: the image is not trimmed")],
    };
    Because {
        image: image.to_string(),
        path: path.to_string(),
        package: composition.owners.get(path).cloned(),
        chain,
    }
}

fn why_path(opened: &Opened, what: &str) -> Result<Vec<Because>, Failure> {
    let path = TreePath::new(what).map_err(|error| Failure::Wrong(error.to_string()))?;
    let holders = opened
        .images
        .iter()
        .filter(|(_, c)| c.tree.get(&path).is_some());
    let found: Vec<Because> = holders
        .map(|(image, composition)| because(image, composition, &path))
        .collect();
    if !found.is_empty() {
        return Ok(found);
    }
    let dropped = opened.images.values().find_map(|c| c.owners.get(&path));
    let said = match dropped {
        Some(package) => format!(
            "it comes with {package} and no service reaches it; keep = [{what:?}] would bring it"
        ),
        None => "no package or file brings it; `nos tree` shows what is there".to_string(),
    };
    Err(Failure::failed(format_args!(
        "{what} is in no image of this host: {said}"
    )))
}

fn why_package(opened: &Opened, what: &str) -> Result<Vec<Because>, Failure> {
    if !opened.packages.contains_key(what) {
        let near = suggest::nearest(what, opened.packages.keys().map(String::as_str));
        let near = near.map_or_else(String::new, |near| format!("did you mean {near:?}? "));
        return Err(Failure::failed(format_args!(
            "nos.lock pins no package {what:?}; {near}`nos lock` writes the lock"
        )));
    }
    let mut found = Vec::new();
    for (image, composition) in &opened.images {
        // One file that stays says enough; a licence stays because of others, so it comes last.
        let kept = composition
            .owners
            .iter()
            .filter(|(path, owner)| owner.as_str() == what && composition.tree.get(path).is_some());
        let first = kept.min_by_key(|(path, _)| path.as_bytes().starts_with(b"usr/share/doc/"));
        if let Some((path, _)) = first {
            found.push(because(image, composition, path));
        }
    }
    if found.is_empty() {
        return Err(Failure::failed(format_args!(
            "{what} is pinned because other packages depend on it, and nothing of it stays in an \
             image of this host; there is nothing to do"
        )));
    }
    Ok(found)
}

/// What differs between two systems.
#[derive(Serialize)]
struct Diff {
    before: Side,
    after: Side,
    changes: Vec<Change>,
}

#[derive(Serialize)]
struct Side {
    host: String,
    digest: String,
    content_bytes: u64,
}

#[derive(Serialize)]
struct Change {
    /// `kernel`, `command line`, `package`, or `image NAME`.
    what: String,
    name: String,
    before: Option<String>,
    after: Option<String>,
}

pub(crate) fn diff(context: &Context, args: &DiffArgs) -> Outcome {
    let (a, b) = (open(context, &args.before)?, open(context, &args.after)?);
    let side = |opened: &Opened| Side {
        host: opened.made.built.system.manifest.host.clone(),
        digest: opened.made.built.digest.to_string(),
        content_bytes: opened.made.built.system.content_bytes(),
    };
    let diff = Diff {
        before: side(&a),
        after: side(&b),
        changes: changes(&a, &b),
    };
    context.shell.result(&diff, |diff| {
        let mut text = String::new();
        for change in &diff.changes {
            let Change {
                what,
                name,
                before,
                after,
            } = change;
            let line = match (before, after) {
                (None, Some(after)) => format!("+ {what} {name} {after}"),
                (Some(before), None) => format!("- {what} {name} {before}"),
                (before, after) => format!(
                    "~ {what} {name} {} -> {}",
                    before.as_deref().unwrap_or_default(),
                    after.as_deref().unwrap_or_default()
                ),
            };
            text.push_str(line.trim_end());
            text.push('\n');
        }
        text.push_str(&format!(
            "{} {} -> {} {}",
            diff.before.host,
            human_size(diff.before.content_bytes),
            diff.after.host,
            human_size(diff.after.content_bytes)
        ));
        text
    })?;
    Ok(())
}

fn changes(a: &Opened, b: &Opened) -> Vec<Change> {
    let one = |key: &str, value: &str| BTreeMap::from([(key.to_string(), value.to_string())]);
    let (x, y) = (&a.made.built.system, &b.made.built.system);
    let mut all = compare(
        "kernel",
        &one("", &x.manifest.kernel),
        &one("", &y.manifest.kernel),
    );
    all.extend(compare(
        "command line",
        &one("", &x.cmdline),
        &one("", &y.cmdline),
    ));
    all.extend(compare("package", &a.packages, &b.packages));
    let names: BTreeSet<&String> = a.images.keys().chain(b.images.keys()).collect();
    for name in names {
        let files = |opened: &Opened| opened.images.get(name).map(described).unwrap_or_default();
        all.extend(compare(&format!("image {name}"), &files(a), &files(b)));
    }
    all
}

/// Path → kind, size, mode, and the start of the content's digest, so that equal means equal.
fn described(composition: &Composition) -> BTreeMap<String, String> {
    let nodes = composition.tree.iter();
    let describe = |node: &Node<Blob>| match &node.kind {
        Kind::File(blob) => {
            let digest = blob.digest.to_string();
            let digest = digest.get(..16).unwrap_or_default();
            format!(
                "{} {digest} mode {:o}",
                human_size(blob.size),
                node.metadata.mode
            )
        }
        Kind::Directory => format!("folder mode {:o}", node.metadata.mode),
        Kind::Symlink(target) => format!("link to {}", String::from_utf8_lossy(target)),
        Kind::HardLink(target) => format!("hard link to {target}"),
        Kind::CharDevice { .. } | Kind::BlockDevice { .. } => "device".to_string(),
        Kind::Fifo => "pipe".to_string(),
        Kind::Socket => "socket".to_string(),
    };
    nodes
        .map(|(path, node)| (path.to_string(), describe(node)))
        .collect()
}

fn compare(
    what: &str,
    before: &BTreeMap<String, String>,
    after: &BTreeMap<String, String>,
) -> Vec<Change> {
    let names: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    let differing = names
        .into_iter()
        .filter(|name| before.get(*name) != after.get(*name));
    differing
        .map(|name| Change {
            what: what.to_string(),
            name: name.clone(),
            before: before.get(name).cloned(),
            after: after.get(name).cloned(),
        })
        .collect()
}
