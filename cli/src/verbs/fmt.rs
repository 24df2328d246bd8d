//! `nos fmt`: one canonical form.

use super::{Outcome, check};
use crate::args::FmtArgs;
use crate::context::Context;
use crate::failure::Failure;
use nos_builder::project::{ProjectError, Target, read_text, replace_file, text_from};
use nos_specs::diagnostic;
use nos_specs::source::Sources;
use serde::Serialize;
use std::path::{Path, PathBuf};

/// What standard input is called in messages.
const STDIN: &str = "<stdin>";

/// What became of one file.
#[derive(Serialize)]
struct Formatted {
    file: PathBuf,
    /// Whether it was, or with `--check` would be, changed.
    changed: bool,
    /// The canonical form of standard input.
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<String>,
    /// Why it has no canonical form.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    diagnostics: Vec<serde_json::Value>,
}

pub(crate) fn run(context: &Context, args: &FmtArgs) -> Outcome {
    let mut done = Vec::new();
    for spec in &args.specs {
        done.push(match spec.as_str() {
            "-" => standard_input(context, args.check)?,
            spec => file(context, Target::find(spec)?.spec, args.check)?,
        });
    }
    let verb = if args.check {
        "Not canonical"
    } else {
        "Formatted"
    };
    for file in done.iter().filter(|f| f.changed && f.text.is_none()) {
        context.shell.status(verb, file.file.display());
    }
    let text = |done: &Vec<Formatted>| done.iter().filter_map(|f| f.text.as_deref()).collect();
    context.shell.result(&done, text)?;
    match () {
        () if done.iter().any(|f| !f.diagnostics.is_empty()) => Err(Failure::WrongSpec),
        () if args.check && done.iter().any(|f| f.changed) => Err(Failure::ChangesPending),
        () => Ok(()),
    }
}

fn file(context: &Context, path: PathBuf, check: bool) -> Result<Formatted, Failure> {
    let text = read_text(&path)?;
    let (canonical, formatted) = format(context, &path, &text)?;
    if let Some(canonical) = canonical
        && formatted.changed
        && !check
    {
        replace_file(&path, canonical.as_bytes()).map_err(|error| ProjectError::Io {
            action: "write",
            path,
            error,
        })?;
    }
    Ok(formatted)
}

fn standard_input(context: &Context, check: bool) -> Result<Formatted, Failure> {
    let path = Path::new(STDIN);
    let text = text_from(std::io::stdin().lock(), path)?;
    let (canonical, formatted) = format(context, path, &text)?;
    Ok(Formatted {
        text: canonical.filter(|_| !check),
        ..formatted
    })
}

/// The canonical form and what to say of it; no form, with the messages shown, where the text
/// cannot be parsed.
fn format(
    context: &Context,
    path: &Path,
    text: &str,
) -> Result<(Option<String>, Formatted), Failure> {
    let file = path.to_path_buf();
    match nos_specs::fmt::format(text) {
        Ok(canonical) => {
            let changed = canonical != text;
            Ok((
                Some(canonical),
                Formatted {
                    file,
                    changed,
                    text: None,
                    diagnostics: Vec::new(),
                },
            ))
        }
        Err(found) => {
            let sources = Sources::single(path.to_string_lossy(), text);
            if !context.shell.json() {
                check::show(context, &found, &sources)?;
            }
            let report = diagnostic::report(&found, &sources)
                .into_iter()
                .map(serde_json::to_value);
            let diagnostics = report.collect::<Result<_, _>>().map_err(Failure::failed)?;
            Ok((
                None,
                Formatted {
                    file,
                    changed: false,
                    text: None,
                    diagnostics,
                },
            ))
        }
    }
}
