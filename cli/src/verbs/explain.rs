//! Verbs that help a person along: `nos explain`, `nos init`, `nos completions`.

use super::Outcome;
use crate::args::{CompletionsArgs, ExplainArgs, InitArgs, Shell};
use crate::complete;
use crate::context::Context;
use crate::failure::Failure;
use crate::shell::OutputEnded;
use clap_complete::env::{self, EnvCompleter};
use nos_specs::{codes, schema, suggest};
use serde_json::json;
use std::io::Write;
use std::path::Path;

pub(crate) fn explain(context: &Context, args: &ExplainArgs) -> Outcome {
    let Some(what) = &args.what else {
        let names = schema::paths();
        context.shell.result(&names, |names| names.join("\n"))?;
        return Ok(());
    };
    let found = codes::explain(what)
        .map(str::to_string)
        .or_else(|| schema::explain_path(what));
    let Some(text) = found else {
        let names = schema::paths();
        let near = suggest::nearest(what, names.iter().map(String::as_str));
        let near = near.map_or_else(String::new, |near| format!("did you mean {near}? "));
        return Err(Failure::Wrong(format!(
            "nothing is called {what:?}; {near}`nos explain` lists every name"
        )));
    };
    context
        .shell
        .result(&json!({ "what": what, "text": text }), |_| text.clone())?;
    Ok(())
}

/// A first spec, and the page that it serves.
const FIRST: [(&str, &str); 2] = [
    ("host.nos", include_str!("../../templates/host.nos")),
    (
        "site/index.html",
        include_str!("../../templates/index.html"),
    ),
];

pub(crate) fn init(context: &Context, args: &InitArgs) -> Outcome {
    let failed = |path: &Path, error: std::io::Error| {
        Failure::failed(format_args!(
            "{} cannot be written: {error}; name another folder",
            path.display()
        ))
    };
    for (name, _) in FIRST {
        let path = args.folder.join(name);
        if path.exists() {
            return Err(Failure::failed(format_args!(
                "{} exists already; name an empty or a new folder",
                path.display()
            )));
        }
    }
    let mut written = Vec::new();
    for (name, text) in FIRST {
        let path = args.folder.join(name);
        let folder = path.parent().unwrap_or(&args.folder);
        std::fs::create_dir_all(folder).map_err(|e| failed(folder, e))?;
        std::fs::write(&path, text).map_err(|e| failed(&path, e))?;
        context.shell.status("Wrote", path.display());
        written.push(path);
    }
    if context.shell.json() {
        return Ok(context
            .shell
            .result(&json!({ "written": written }), |_| String::new())?);
    }
    let folder = args.folder.display();
    context
        .shell
        .status("Next", format_args!("nos run {folder}"));
    Ok(())
}

pub(crate) fn completions(args: &CompletionsArgs) -> Outcome {
    let shell: &dyn EnvCompleter = match args.shell {
        Shell::Bash => &env::Bash,
        Shell::Elvish => &env::Elvish,
        Shell::Fish => &env::Fish,
        Shell::Powershell => &env::Powershell,
        Shell::Zsh => &env::Zsh,
    };
    let mut script = Vec::new();
    shell
        .write_registration(complete::VARIABLE, "nos", "nos", "nos", &mut script)
        .map_err(OutputEnded::from)?;
    std::io::stdout()
        .write_all(&script)
        .map_err(OutputEnded::from)?;
    Ok(())
}
