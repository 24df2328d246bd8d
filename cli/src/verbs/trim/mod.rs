//! `nos trim`: what stays of an image, why, and what each of its bytes hangs on.

mod trace;

use super::build::{self, Made};
use super::{Outcome, lock};
use crate::args::TrimArgs;
use crate::context::Context;
use crate::failure::Failure;
use crate::units::human_size;
use nos_builder::build::Composition;
use nos_builder::trim::{Holder, Reach, Reason, Weight, weigh};
use nos_formats::tree::{Kind, TreePath};
use nos_specs::suggest;
use nos_store::Blob;
use serde::Serialize;
use std::collections::BTreeMap;

/// Without `--explain`, what holds less than this part of its image is not shown.
const SHOWN_PART: u64 = 100;

/// What trimming only surmises to be used and holds as much, in bytes, is offered for `drop`.
const OFFERED_BYTES: u64 = 512 << 10;

/// One image, trimmed.
#[derive(Serialize)]
struct Trimmed {
    image: String,
    files: u64,
    bytes: u64,
    /// Bytes of packages that stay out, by package, the most first.
    left_out: Vec<LeftOut>,
    left_out_bytes: u64,
    /// What the spec says itself, each with what it alone holds.
    holders: Vec<Held>,
    /// What `drop` could take out: programs start without it.
    surmised: Vec<Surmised>,
}

#[derive(Serialize)]
struct Surmised {
    path: String,
    /// Bytes that would go with it, its own included.
    held_bytes: u64,
}

#[derive(Serialize)]
struct LeftOut {
    package: String,
    bytes: u64,
}

/// What holds files, the heaviest first.
#[derive(Serialize)]
struct Held {
    /// A path, or `keep = "GLOB"`.
    what: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    package: Option<String>,
    bytes: u64,
    /// Bytes that would go with it, its own included.
    held_bytes: u64,
    /// Why it stays; all reasons have to go before it does.
    because: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    holds: Vec<Held>,
}

pub(crate) fn trim(context: &Context, args: &TrimArgs) -> Outcome {
    if args.trace {
        return trace::trace(context, args);
    }
    let Made {
        store,
        project,
        built: _,
    } = build::make(context, &args.spec.spec, false)?;
    let system = project.system()?;
    let lock = lock::ensure(context, &store, &project, true)?;
    let session = build::session(context, &store, &project);
    let compositions = session.compositions(system, &lock)?;
    if let Some(wanted) = &args.image
        && !compositions.contains_key(wanted)
    {
        return Err(no_image(wanted, &compositions));
    }
    let sizes = session.unpacked_sizes(system, &lock)?;
    let wanted = |name: &String| args.image.as_ref().is_none_or(|wanted| wanted == name);
    let images = compositions.iter().filter(|(name, _)| wanted(name));
    let images: Vec<Trimmed> = images
        .filter_map(|(name, composition)| {
            let reach = composition.reach.as_ref()?;
            Some(trimmed(name, composition, reach, &sizes))
        })
        .collect();
    context.shell.result(&images, |images| {
        let mut text = String::new();
        for image in images {
            let least = match args.explain {
                true => 0,
                false => image.bytes / SHOWN_PART,
            };
            text.push_str(&said(image, least));
        }
        if images.is_empty() {
            text.push_str("no image of this host is trimmed: each says trim = false");
        }
        text
    })?;
    Ok(())
}

fn no_image(wanted: &str, images: &BTreeMap<String, Composition>) -> Failure {
    let near = suggest::nearest(wanted, images.keys().map(String::as_str));
    let help = match near {
        Some(near) => format!("did you mean {near:?}?"),
        None => {
            let names: Vec<&str> = images.keys().map(String::as_str).collect();
            format!("its images are {}", names.join(", "))
        }
    };
    Failure::Wrong(format!("this host has no image {wanted:?}; {help}"))
}

fn trimmed(
    name: &str,
    composition: &Composition,
    reach: &Reach,
    sizes: &BTreeMap<TreePath, u64>,
) -> Trimmed {
    let size = |path: &TreePath| match composition.tree.get(path).map(|node| &node.kind) {
        Some(Kind::File(Blob { size, .. })) => *size,
        _ => 0,
    };
    let files = composition.tree.iter();
    let files = files.filter(|(_, node)| matches!(node.kind, Kind::File(_)));
    let mut left: BTreeMap<&str, u64> = BTreeMap::new();
    for (path, package) in &composition.owners {
        if composition.tree.get(path).is_none() {
            *left.entry(package).or_default() += sizes.get(path).copied().unwrap_or(0);
        }
    }
    let left_out = left.into_iter().filter(|(_, bytes)| *bytes > 0);
    let mut left_out: Vec<LeftOut> = left_out
        .map(|(package, bytes)| LeftOut {
            package: package.to_string(),
            bytes,
        })
        .collect();
    left_out.sort_by(|a, b| b.bytes.cmp(&a.bytes).then(a.package.cmp(&b.package)));
    let weights = weigh(reach, size);
    let mut surmised = Vec::new();
    surmises(&weights, reach, &mut surmised);
    surmised.sort_by(|a, b| b.held_bytes.cmp(&a.held_bytes).then(a.path.cmp(&b.path)));
    Trimmed {
        surmised,
        image: name.to_string(),
        files: files.count() as u64,
        bytes: reach.kept.keys().map(size).sum(),
        left_out_bytes: left_out.iter().map(|left| left.bytes).sum(),
        left_out,
        holders: held(weights, composition, reach),
    }
}

/// The uppermost files that all stay only because something may open them.
fn surmises(weights: &[Weight], reach: &Reach, found: &mut Vec<Surmised>) {
    for weight in weights.iter().filter(|w| w.held_bytes >= OFFERED_BYTES) {
        match &weight.holder {
            Holder::Path(path) if reach.reasons(path).all(Reason::is_surmise) => {
                found.push(Surmised {
                    path: path.to_string(),
                    held_bytes: weight.held_bytes,
                });
            }
            _ => surmises(&weight.below, reach, found),
        }
    }
}

fn held(weights: Vec<Weight>, composition: &Composition, reach: &Reach) -> Vec<Held> {
    let one = |weight: Weight| {
        let (what, package, because) = match &weight.holder {
            Holder::Keep(glob) => (
                format!("keep = {glob:?}"),
                None,
                vec!["the spec says so".to_string()],
            ),
            Holder::Path(path) => (
                path.to_string(),
                composition.owners.get(path).cloned(),
                reach.reasons(path).map(ToString::to_string).collect(),
            ),
        };
        Held {
            what,
            package,
            bytes: weight.own_bytes,
            held_bytes: weight.held_bytes,
            because,
            holds: held(weight.below, composition, reach),
        }
    };
    weights.into_iter().map(one).collect()
}

fn said(image: &Trimmed, least: u64) -> String {
    let mut text = format!(
        "image {}: {} in {} files stay, {} of packages stay out\n",
        image.image,
        human_size(image.bytes),
        image.files,
        human_size(image.left_out_bytes)
    );
    for held in &image.holders {
        branch(held, 1, least, &mut text);
    }
    if !image.surmised.is_empty() {
        let paths: Vec<&str> = image.surmised.iter().map(|s| s.path.as_str()).collect();
        let bytes = image.surmised.iter().map(|s| s.held_bytes).sum();
        text.push_str(&format!(
            "  these may not be needed, up to {} of them; what is not is taken out by\n    \
             drop = {paths:?}\n",
            human_size(bytes)
        ));
    }
    text
}

fn branch(held: &Held, level: usize, least: u64, text: &mut String) {
    if held.held_bytes < least {
        return;
    }
    let indent = "  ".repeat(level);
    let because = match held.because.as_slice() {
        [] => String::new(),
        [one] => format!(": {one}"),
        many if least == 0 => format!(": {}", many.join("; ")),
        [first, rest @ ..] => format!(": {first}, and {} more", rest.len()),
    };
    text.push_str(&format!(
        "{:>10}{indent}{}{because}\n",
        human_size(held.held_bytes),
        held.what
    ));
    for below in &held.holds {
        branch(below, level + 1, least, text);
    }
}
