//! `nos fmt`: one canonical form.

use super::Outcome;
use crate::args::FmtArgs;
use crate::context::Context;
use crate::failure::Failure;
use nos_builder::project::{Target, replace_file};
use nos_specs::source::Sources;
use serde::Serialize;
use std::io::{Read, Write};

#[derive(Serialize)]
struct Formatted {
    file: String,
    changed: bool,
}

pub(crate) fn run(context: &Context, args: &FmtArgs) -> Outcome {
    let mut done = Vec::new();
    let mut wrong = false;
    for spec in &args.specs {
        if spec == "-" {
            return standard_input(context);
        }
        let target = Target::find(spec)?;
        let file = target.spec.to_string_lossy().into_owned();
        let failed = |what: &str, error: std::io::Error| {
            Failure::Wrong(format!("cannot {what} {file}: {error}; check its permissions"))
        };
        let text = std::fs::read_to_string(&target.spec).map_err(|e| failed("read", e))?;
        let Some(canonical) = format(context, &file, &text)? else {
            wrong = true;
            continue;
        };
        let changed = canonical != text;
        if changed && !args.check {
            replace_file(&target.spec, canonical.as_bytes()).map_err(|e| failed("write", e))?;
        }
        done.push(Formatted { file, changed });
    }
    if context.shell.json() {
        context.shell.result(&done, |_| String::new())?;
    } else {
        let verb = if args.check { "Not canonical" } else { "Formatted" };
        for file in done.iter().filter(|f| f.changed) {
            context.shell.status(verb, &file.file);
        }
    }
    match () {
        () if wrong => Err(Failure::WrongSpec),
        () if args.check && done.iter().any(|f| f.changed) => Err(Failure::ChangesPending),
        () => Ok(()),
    }
}

fn standard_input(context: &Context) -> Outcome {
    let mut text = String::new();
    std::io::stdin()
        .read_to_string(&mut text)
        .map_err(|e| Failure::Wrong(format!("standard input cannot be read: {e}; give UTF-8 text")))?;
    let canonical = format(context, "<stdin>", &text)?.ok_or(Failure::WrongSpec)?;
    let mut out = std::io::stdout().lock();
    out.write_all(canonical.as_bytes())
        .and_then(|()| out.flush())
        .map_err(crate::shell::OutputEnded::from)?;
    Ok(())
}

/// The canonical form; `None`, with the messages shown, where the text cannot be parsed.
fn format(context: &Context, name: &str, text: &str) -> Result<Option<String>, Failure> {
    match nos_specs::fmt::format(text) {
        Ok(canonical) => Ok(Some(canonical)),
        Err(diagnostics) => {
            super::check::show(context, &diagnostics, &Sources::single(name, text))?;
            Ok(None)
        }
    }
}
