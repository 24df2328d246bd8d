//! `nos man`: the manual, made of what the program says of itself.

use super::Outcome;
use crate::args::ManArgs;
use crate::context::Context;
use crate::failure::Failure;
use crate::help;
use crate::shell::OutputEnded;
use clap::Command;
use clap_mangen::Man;
use serde_json::json;
use std::io::{self, Write};

/// Day of the text, as man pages carry one; no clock is asked.
const DATE: &str = "2026-11-20";

const EXIT_CODES: &str = "\
.TP
.B 0
Done.
.TP
.B 1
It could not be done; what was there before is as it was.
.TP
.B 2
The command or the spec is wrong.
.TP
.B 3
Something would change, where that was the question (\\fBnos fmt \\-\\-check\\fR).
.TP
.B 101
A bug in nos.
";

const ENVIRONMENT: &str = "\
.TP
.B NOS_STORE
Folder of the store; \\fB\\-\\-store\\fR comes before it.
.TP
.B XDG_DATA_HOME
Where the store is otherwise: in \\fInos/store\\fR below it, or below \\fI~/.local/share\\fR.
.TP
.B NOS_DEBIAN_MIRROR
Debian mirror, where neither \\fB\\-\\-mirror\\fR nor the spec names one; else the machine's own apt
configuration says where packages come from.
.TP
.B http_proxy\\fR, \\fBhttps_proxy\\fR, \\fBno_proxy
How the mirror is reached.
.TP
.B NO_COLOR
Where it is set and not empty, nothing is coloured.
.TP
.B TERM
Where it is \\fIdumb\\fR, neither progress nor colour is shown.
.TP
.B TMPDIR
Where scratch files are made.
";

const FILES: &str = "\
.TP
.I *.nos
A spec. \\fIFILE.nos#HOST\\fR names one of its hosts, a folder its only spec.
.TP
.I nos.lock
Beside the spec: the exact packages that it stands for. Meant to be committed.
.TP
.I DISK
A disk image or a block device. \\fIDISK#N\\fR names its generation N.
.TP
.I ~/.local/share/nos/store
The store: what was fetched and built, under the digests of its content.
";

pub(crate) fn run(context: &Context, args: &ManArgs) -> Outcome {
    let mut root = help::command();
    root.build();
    let pages = pages(&root);
    let Some(folder) = &args.to else {
        let wanted = args.verb.join("-");
        let name = match wanted.as_str() {
            "" => "nos.1".to_string(),
            verb => format!("nos-{verb}.1"),
        };
        let page = pages.iter().find(|(page, _)| *page == name);
        let (_, text) = page.ok_or_else(|| {
            Failure::Wrong(format!(
                "there is no verb {:?}; `nos --help` lists them",
                args.verb.join(" ")
            ))
        })?;
        std::io::stdout()
            .write_all(text)
            .map_err(OutputEnded::from)?;
        return Ok(());
    };
    let failed = |error: io::Error| {
        Failure::failed(format_args!(
            "{}: {error}; name another folder",
            folder.display()
        ))
    };
    std::fs::create_dir_all(folder).map_err(failed)?;
    let mut written = Vec::new();
    for (name, text) in pages {
        let path = folder.join(name);
        std::fs::write(&path, text).map_err(failed)?;
        written.push(path);
    }
    context.shell.status(
        "Wrote",
        format_args!("{} pages to {}", written.len(), folder.display()),
    );
    if context.shell.json() {
        let written = json!({ "written": written });
        context.shell.result(&written, |_| String::new())?;
    }
    Ok(())
}

/// Every page, by the name of its file.
fn pages(root: &Command) -> Vec<(String, Vec<u8>)> {
    let mut pages = vec![("nos.1".to_string(), page(root, "nos", root))];
    for verb in root
        .get_subcommands()
        .filter(|verb| verb.get_name() != "help")
    {
        let name = format!("nos-{}", verb.get_name());
        pages.push((format!("{name}.1"), page(verb, &name, root)));
        for below in verb.get_subcommands().filter(|b| b.get_name() != "help") {
            let name = format!("{name}-{}", below.get_name());
            pages.push((format!("{name}.1"), page(below, &name, root)));
        }
    }
    pages
}

fn page(command: &Command, name: &str, root: &Command) -> Vec<u8> {
    let mut out = Vec::new();
    // Writing to memory never fails.
    let _ = write_page(command, name, root, &mut out);
    // An empty line between two breaks is one space.
    let text = String::from_utf8_lossy(&out);
    text.replace("\n.br\n\n.br\n", "\n.sp\n").into_bytes()
}

fn write_page(command: &Command, name: &str, root: &Command, out: &mut Vec<u8>) -> io::Result<()> {
    let is_root = name == "nos";
    let version = format!("nos {}", env!("CARGO_PKG_VERSION"));
    // The examples have a section of their own; verbs are called with a space, pages with a dash.
    let shown = command
        .clone()
        .display_name(name.to_string())
        .disable_help_subcommand(true);
    let man = Man::new(shown)
        .title(name.to_uppercase())
        .date(DATE)
        .source(version)
        .manual("nOs Manual");
    man.render_title(out)?;
    man.render_name_section(out)?;
    man.render_synopsis_section(out)?;
    man.render_description_section(out)?;
    man.render_options_section(out)?;
    if command.has_subcommands() {
        section(out, "VERBS", &verbs(command, name))?;
    }
    section(out, "EXIT STATUS", EXIT_CODES)?;
    if is_root {
        section(out, "ENVIRONMENT", ENVIRONMENT)?;
        section(out, "FILES", FILES)?;
    } else {
        section(out, "EXAMPLES", &examples(command))?;
    }
    section(out, "SEE ALSO", &see_also(name, root))
}

fn section(out: &mut Vec<u8>, name: &str, body: &str) -> io::Result<()> {
    if body.is_empty() {
        return Ok(());
    }
    write!(out, ".SH \"{name}\"\n{body}")
}

/// The verbs of a command, each with its page.
fn verbs(command: &Command, name: &str) -> String {
    let verbs = command.get_subcommands().filter(|v| v.get_name() != "help");
    let line = |verb: &Command| {
        let about = verb
            .get_about()
            .map(ToString::to_string)
            .unwrap_or_default();
        format!(
            ".TP\n\\fB{}\\fR(1)\n{}\n",
            escaped(&format!("{name}-{}", verb.get_name())),
            escaped(&about)
        )
    };
    verbs.map(line).collect()
}

fn examples(command: &Command) -> String {
    let examples = help::examples_of(command);
    if examples.is_empty() {
        return String::new();
    }
    let lines: String = examples.iter().map(|e| escaped(e) + "\n").collect();
    format!(".nf\n{lines}.fi\n")
}

/// The page of the whole, and those of verbs that share the first word.
fn see_also(name: &str, root: &Command) -> String {
    let mut pages: Vec<String> = Vec::new();
    if name == "nos" {
        for first in ["init", "build", "run", "install"] {
            if root.find_subcommand(first).is_some() {
                pages.push(format!("nos-{first}"));
            }
        }
    } else {
        pages.push("nos".to_string());
        if let Some((parent, _)) = name.trim_start_matches("nos-").split_once('-') {
            pages.push(format!("nos-{parent}"));
        }
    }
    let pages: Vec<String> = pages
        .iter()
        .map(|page| format!("\\fB{}\\fR(1)", escaped(page)))
        .collect();
    pages.join(",\n") + "\n"
}

/// Text as roff takes it: no dash that becomes another, no dot that becomes a command.
fn escaped(text: &str) -> String {
    let text = text
        .replace('\\', "\\e")
        .replace('-', "\\-")
        .replace('\'', "\\(aq");
    match text.starts_with('.') {
        true => format!("\\&{text}"),
        false => text,
    }
}
