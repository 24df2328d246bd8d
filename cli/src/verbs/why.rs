//! `nos why`: what leads from a host to a file, a package, a kernel module or a kernel option.

use super::build::{self, Made};
use super::{Outcome, lock};
use crate::args::WhyArgs;
use crate::context::Context;
use crate::failure::Failure;
use nos_builder::build::Composition;
use nos_builder::contents::Contents;
use nos_builder::debian;
use nos_formats::tree::TreePath;
use nos_specs::lock::{Group, Lock};
use nos_specs::suggest;
use nos_specs::system::Kernel;
use serde::Serialize;
use std::collections::BTreeMap;

/// A built system with the roots of its images.
struct Opened {
    made: Made,
    images: BTreeMap<String, Composition>,
    lock: Lock,
}

fn open(context: &Context, spec: &str) -> Result<Opened, Failure> {
    let made = build::make(context, spec, false)?;
    let system = made.project.system()?;
    let lock = lock::ensure(context, &made.store, &made.project, true)?;
    let images = build::session(context, &made.store, &made.project).compositions(system, &lock)?;
    Ok(Opened { made, images, lock })
}

/// One place where something is, and what led to it.
#[derive(Serialize)]
struct Because {
    /// `image NAME`, `initramfs`, `kernel` or `boot loader`.
    place: String,
    /// The file that it comes down to.
    path: Option<String>,
    package: Option<String>,
    /// From the cause to the effect.
    chain: Vec<String>,
}

pub(crate) fn run(context: &Context, args: &WhyArgs) -> Outcome {
    let opened = open(context, &args.spec)?;
    let what = args.what.as_str();
    let found = match module(&opened, what) {
        Some(module) if !opened.lock.packages.contains_key(what) => vec![module],
        _ if what.starts_with('/') => why_path(&opened, what)?,
        _ if what.starts_with("CONFIG_") => vec![why_option(context, &opened, what)?],
        _ => why_package(&opened, what)?,
    };
    context.shell.clear();
    let host = &opened.made.built.system.manifest.host;
    context.shell.result(&found, |found| {
        let mut text = String::new();
        for because in found {
            text.push_str(&format!("host {host}\n  {}\n", because.place));
            for (level, line) in because.chain.iter().enumerate() {
                text.push_str(&format!("{}{line}\n", "  ".repeat(level + 2)));
            }
        }
        text
    })?;
    Ok(())
}

/// Why a kernel module is in the initramfs, by its name or its file there.
fn module(opened: &Opened, what: &str) -> Option<Because> {
    let manifest = &opened.made.built.system.manifest;
    let name = what.replace('-', "_");
    let mut modules = manifest.modules.iter().chain(&manifest.late_modules);
    // A driver that few machines need lies there compressed, which nobody need know.
    let is_file = |path: String| path == what || path.split_inclusive(".ko").next() == Some(what);
    let module = modules.find(|module| module.name == name || is_file(module.path()))?;
    let name = &module.name;
    let mut chain = vec![];
    if module.is_always() {
        chain.push(format!("{name}: loaded on every machine"));
    }
    if !module.with.is_empty() {
        let causes = module.with.join(", ");
        chain.push(format!("{name}: loaded where the devices of {causes} are"));
    }
    if let Some(first) = module.devices.first() {
        let more = match module.devices.len() {
            1 => String::new(),
            n => format!(" or one of {} other patterns", n - 1),
        };
        chain.push(format!(
            "{name}: loaded where a device matches {first}{more}"
        ));
    }
    Some(Because {
        place: "initramfs".to_string(),
        path: Some(module.path()),
        package: None,
        chain,
    })
}

/// Why the kernel has an option, or another value of it.
fn why_option(context: &Context, opened: &Opened, what: &str) -> Result<Because, Failure> {
    let Opened { made, lock, .. } = opened;
    let system = made.project.system()?;
    let inside = Contents::of_built(&made.store, &made.built.system).map_err(Failure::failed)?;
    let options = inside.ingredients.unwrap_or_default().options;
    let causes = build::session(context, &made.store, &made.project).causes(system, lock, what)?;
    let is_minimal = matches!(system.kernel, Kernel::Minimal { .. });
    let Some(value) = options.get(what) else {
        let near = suggest::nearest(what, options.keys().map(String::as_str));
        let near = near.map_or_else(String::new, |near| format!("; did you mean {near}?"));
        let remedy = match is_minimal {
            true => {
                format!(": nothing of the host asks for it; options = {{ {what} = \"y\" }} would")
            }
            false => ": Debian builds it without; a kernel with a platform has options".to_string(),
        };
        return Err(Failure::failed(format_args!(
            "the kernel of this host has no {what}{near}{remedy}"
        )));
    };
    let mut chain = vec![format!("{what}={value}")];
    chain.extend(causes.iter().map(ToString::to_string));
    if causes.is_empty() {
        let whose = match is_minimal {
            true => "another option that is on needs it, or it is what Kconfig takes by itself",
            false => "Debian builds this kernel with it",
        };
        chain.push(whose.to_string());
    }
    Ok(Because {
        place: "kernel".to_string(),
        path: None,
        package: None,
        chain,
    })
}

fn because(image: &str, composition: &Composition, path: &TreePath) -> Because {
    let mut chain: Vec<String> = match &composition.reach {
        Some(reach) => reach
            .why(path)
            .iter()
            .map(|(path, reason)| format!("{path}: {reason}"))
            .collect(),
        None => vec![format!("{path}: the image is not trimmed")],
    };
    chain.reverse();
    Because {
        place: format!("image {image}"),
        path: Some(path.to_string()),
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
    let Opened { made, images, lock } = opened;
    if !lock.packages.contains_key(what) {
        let manifest = &made.built.system.manifest;
        let modules = manifest.modules.iter().map(|module| module.name.as_str());
        let names = lock.packages.keys().map(String::as_str).chain(modules);
        let near = suggest::nearest(what, names);
        let near = near.map_or_else(String::new, |near| format!("did you mean {near:?}? "));
        return Err(Failure::failed(format_args!(
            "no package that nos.lock pins and no module of this host is called {what:?}; {near}a \
             file is named by its absolute path in the image"
        )));
    }
    let mut found = Vec::new();
    for (group, pinned) in &lock.groups {
        if !pinned.packages.iter().any(|package| package == what) {
            continue;
        }
        let (place, image) = match group.split_once(' ') {
            Some(("image", name)) => match images.get_key_value(name) {
                Some((name, composition)) => (group.clone(), Some((name, composition))),
                // Of another host of the same spec.
                None => continue,
            },
            Some(("kernel", _)) => ("kernel".to_string(), None),
            _ => ("boot loader".to_string(), None),
        };
        let mut chain = way(opened, pinned, what)?;
        let file = image.and_then(|(name, composition)| {
            let path = a_file_of(composition, what)?;
            Some(because(name, composition, path))
        });
        match (&file, image) {
            (Some(file), _) => chain.extend(file.chain.iter().cloned()),
            (None, Some(_)) => chain.push(format!("nothing of {what} stays in the image")),
            (None, None) => {}
        }
        found.push(Because {
            place,
            path: file.and_then(|file| file.path),
            package: Some(what.to_string()),
            chain,
        });
    }
    if found.is_empty() {
        return Err(Failure::failed(format_args!(
            "{what} is pinned for another host of this spec; name that one as SPEC#HOST"
        )));
    }
    Ok(found)
}

/// From what the spec asks for to a package.
fn way(opened: &Opened, group: &Group, what: &str) -> Result<Vec<String>, Failure> {
    let way = debian::way_to(&opened.made.store, &opened.lock, group, what);
    let way = way.map_err(Failure::failed)?.unwrap_or_default();
    let asked = way
        .first()
        .map(|first| format!("the spec asks for {first}"));
    let mut chain: Vec<String> = asked.into_iter().collect();
    chain.extend(way.windows(2).filter_map(|pair| match pair {
        [from, to] => Some(format!("{from} depends on {to}")),
        _ => None,
    }));
    if chain.is_empty() {
        chain.push(format!("the spec asks for {}", group.wants.join(", ")));
    }
    Ok(chain)
}

/// One file that stays says enough; a licence stays because of others, so it comes last.
fn a_file_of<'c>(composition: &'c Composition, package: &str) -> Option<&'c TreePath> {
    let kept = composition
        .owners
        .iter()
        .filter(|(path, owner)| *owner == package && composition.tree.get(path).is_some());
    kept.min_by_key(|(path, _)| path.as_bytes().starts_with(b"usr/share/doc/"))
        .map(|(path, _)| path)
}
