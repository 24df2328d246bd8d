//! `nos diff`: what differs between two systems, wherever they are.

use super::Outcome;
use super::system::{Named, Opened};
use crate::args::DiffArgs;
use crate::changes;
use crate::context::Context;
use crate::units::{human_size, printable};
use nos_builder::changes::{self as between, Change};
use serde::Serialize;

#[derive(Serialize)]
struct Diff {
    before: Side,
    after: Side,
    changes: Vec<Change>,
}

#[derive(Serialize)]
struct Side {
    system: String,
    host: String,
    /// Bytes of kernel image and images.
    content_bytes: u64,
    /// Whether packages and kernel options are known.
    has_ingredients: bool,
}

impl Side {
    fn of(opened: &Opened<'_>) -> Self {
        let contents = &opened.contents;
        Self {
            system: opened.name.clone(),
            host: contents.manifest.host.clone(),
            content_bytes: contents.content_bytes(),
            has_ingredients: contents.ingredients.is_some(),
        }
    }
}

pub(crate) fn run(context: &Context, args: &DiffArgs) -> Outcome {
    let (before, after) = (Named::find(&args.before)?, Named::find(&args.after)?);
    let diff = before.with(context, |a| {
        after.with(context, |b| {
            Ok(Diff {
                before: Side::of(a),
                after: Side::of(b),
                changes: between::systems(&a.contents, &b.contents)?,
            })
        })
    })?;
    context.shell.clear();
    for side in [&diff.before, &diff.after] {
        if !side.has_ingredients {
            context.shell.warn(format_args!(
                "{} was built by a nos that kept no record of packages and kernel options; they \
                 are not compared",
                side.system
            ));
        }
    }
    context.shell.result(&diff, |diff| {
        let Diff {
            before,
            after,
            changes,
        } = diff;
        let side = |side: &Side| {
            let host = printable(&side.host);
            format!(
                "{} ({host}, {})",
                side.system,
                human_size(side.content_bytes)
            )
        };
        let count = match changes.len() {
            0 => "no difference".to_string(),
            1 => "1 difference".to_string(),
            n => format!("{n} differences"),
        };
        let grown = changes::growth(before.content_bytes, after.content_bytes);
        let lines = changes::lines(changes);
        format!(
            "{lines}{} -> {}: {count}, {grown}",
            side(before),
            side(after)
        )
    })?;
    Ok(())
}
