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
    #[serde(serialize_with = "crate::units::shown")]
    file: PathBuf,
    /// Whether it was, or with `--check` would be, changed.
    changed: bool,
    /// The canonical form of standard input.
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<String>,
    /// What would change, as a unified diff.
    #[serde(skip_serializing_if = "Option::is_none")]
    diff: Option<String>,
    /// Why it has no canonical form.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    diagnostics: Vec<serde_json::Value>,
}

/// Lines shown around each change.
const CONTEXT_LINES: usize = 3;

pub(crate) fn run(context: &Context, args: &FmtArgs) -> Outcome {
    let mut done = Vec::new();
    for spec in &args.specs {
        done.push(match spec.as_str() {
            "-" => standard_input(context, args)?,
            spec => file(context, Target::find(spec)?.spec, args)?,
        });
    }
    let looks = args.check || args.diff;
    let verb = if looks { "Not canonical" } else { "Formatted" };
    for file in done.iter().filter(|f| f.changed && f.text.is_none()) {
        context.shell.status(verb, file.file.display());
    }
    let text = |done: &Vec<Formatted>| -> String {
        let texts = done
            .iter()
            .filter_map(|f| f.text.as_deref().or(f.diff.as_deref()));
        texts.collect()
    };
    context.shell.result(&done, text)?;
    match () {
        () if done.iter().any(|f| !f.diagnostics.is_empty()) => Err(Failure::WrongSpec),
        () if looks && done.iter().any(|f| f.changed) => Err(Failure::ChangesPending),
        () => Ok(()),
    }
}

fn file(context: &Context, path: PathBuf, args: &FmtArgs) -> Result<Formatted, Failure> {
    let text = read_text(&path)?;
    let (canonical, formatted) = format(context, &path, &text, args)?;
    if let Some(canonical) = canonical
        && formatted.changed
        && !args.check
        && !args.diff
    {
        replace_file(&path, canonical.as_bytes()).map_err(|error| ProjectError::Io {
            action: "write",
            path,
            error,
        })?;
    }
    Ok(formatted)
}

fn standard_input(context: &Context, args: &FmtArgs) -> Result<Formatted, Failure> {
    let path = Path::new(STDIN);
    let text = text_from(std::io::stdin().lock(), path)?;
    let (canonical, formatted) = format(context, path, &text, args)?;
    Ok(Formatted {
        text: canonical.filter(|_| !args.check && !args.diff),
        ..formatted
    })
}

/// What leads from one text to the other, as `diff -u` writes it and `patch` takes it.
fn unified(path: &Path, old: &str, new: &str) -> String {
    let name = path.display().to_string();
    let diff = similar::TextDiff::from_lines(old, new);
    let mut unified = diff.unified_diff();
    unified.context_radius(CONTEXT_LINES).header(&name, &name);
    unified.to_string()
}

/// The canonical form and what to say of it; no form, with the messages shown, where the text
/// cannot be parsed.
fn format(
    context: &Context,
    path: &Path,
    text: &str,
    args: &FmtArgs,
) -> Result<(Option<String>, Formatted), Failure> {
    let file = path.to_path_buf();
    match nos_specs::fmt::format(text) {
        Ok(canonical) => {
            let changed = canonical != text;
            let diff = (args.diff && changed).then(|| unified(path, text, &canonical));
            Ok((
                Some(canonical),
                Formatted {
                    file,
                    changed,
                    text: None,
                    diff,
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
                    diff: None,
                    diagnostics,
                },
            ))
        }
    }
}
