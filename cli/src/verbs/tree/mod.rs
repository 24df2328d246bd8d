//! `nos tree`: where the bytes of a system are. Walked through on a terminal, printed elsewhere.

mod keys;
mod model;
mod screen;
mod terminal;

use super::Outcome;
use super::system::{Named, Opened};
use crate::args::TreeArgs;
use crate::context::Context;
use crate::units::{human_size, printable};
use model::{Model, Node};
use serde::Serialize;
use std::io::IsTerminal;

/// The size of everything in a system, for printing.
#[derive(Serialize)]
struct Tree {
    system: String,
    host: String,
    kernel_bytes: u64,
    initrd_bytes: u64,
    /// `None` on a disk, where it belongs to no generation.
    boot_loader_bytes: Option<u64>,
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

/// Bytes below a path.
#[derive(Serialize)]
struct Branch {
    path: String,
    bytes: u64,
    files: u64,
}

pub(crate) fn run(context: &Context, args: &TreeArgs) -> Outcome {
    let named = Named::find(&args.system)?;
    let shell = &context.shell;
    let walk = !args.print
        && !shell.json()
        && !context.dumb
        && std::io::stdin().is_terminal()
        && std::io::stdout().is_terminal();
    if walk {
        let root = named.with(context, |opened| Ok(model::root(opened)))?;
        shell.clear();
        return terminal::walk(&mut Model::new(root), shell.color_out());
    }
    let tree = named.with(context, |opened| Ok(print(opened, args.depth)))?;
    shell.clear();
    shell.result(&tree, describe)?;
    Ok(())
}

fn print(opened: &Opened<'_>, depth: usize) -> Tree {
    let contents = &opened.contents;
    let images = contents.images.values().map(|image| {
        let root = model::files(image);
        let mut branches = Vec::new();
        flatten(&root, String::new(), depth, &mut branches);
        ImageTree {
            name: image.image.name.clone(),
            disk_bytes: image.image.size_bytes,
            file_bytes: root.bytes,
            branches,
        }
    });
    let boot_loader = opened.boot_loader_bytes;
    Tree {
        system: opened.name.clone(),
        host: contents.manifest.host.clone(),
        kernel_bytes: contents.kernel_bytes,
        initrd_bytes: contents.initrd_bytes,
        boot_loader_bytes: boot_loader,
        content_bytes: contents.content_bytes() + boot_loader.unwrap_or(0),
        images: images.collect(),
    }
}

/// A folder and what is in it down to `depth`; the largest first.
fn flatten(node: &Node, path: String, depth: usize, branches: &mut Vec<Branch>) {
    let shown = if path.is_empty() { "/" } else { &path };
    branches.push(Branch {
        path: shown.to_string(),
        bytes: node.bytes,
        files: node.files,
    });
    if let Some(depth) = depth.checked_sub(1) {
        for child in &node.children {
            flatten(child, format!("{path}/{}", child.name), depth, branches);
        }
    }
}

fn describe(tree: &Tree) -> String {
    let host = printable(&tree.host);
    let mut text = format!("{:>10}  {host}\n", human_size(tree.content_bytes));
    let parts = [
        ("kernel", Some(tree.kernel_bytes)),
        ("initramfs", Some(tree.initrd_bytes)),
        ("boot loader", tree.boot_loader_bytes),
    ];
    for (name, bytes) in parts {
        if let Some(bytes) = bytes {
            text.push_str(&format!("{:>10}    {name}\n", human_size(bytes)));
        }
    }
    for image in &tree.images {
        text.push_str(&format!(
            "{:>10}    image {} ({} of files)\n",
            human_size(image.disk_bytes),
            printable(&image.name),
            human_size(image.file_bytes)
        ));
        for branch in image.branches.iter().skip(1) {
            let level = branch.path.matches('/').count();
            let indent = " ".repeat(4 + 2 * level);
            text.push_str(&format!(
                "{:>10}{indent}{}\n",
                human_size(branch.bytes),
                printable(&branch.path)
            ));
        }
    }
    text
}
