//! What a shell completes besides verbs and options: hosts of specs, generations of disks,
//! packages of locks, roots of the store. Nothing here speaks or writes.

use crate::context::Context;
use clap::{Command, FromArgMatches};
use clap_complete::engine::{
    ArgValueCompleter, CompletionCandidate, PathCompleter, ValueCompleter,
};
use nos_builder::project::{Project, Target};
use nos_disk::{Disk, FileDevice};
use nos_specs::{codes, schema};
use nos_store::Store;
use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::path::Path;

/// Variable by which the scripts of shells ask.
pub(crate) const VARIABLE: &str = "NOS_COMPLETE";

/// What fits a word, given all that were typed.
type Complete = fn(&[String], &OsStr) -> Vec<CompletionCandidate>;

/// The command line with everything that can be completed of it, given the words typed so far.
pub(crate) fn command(words: &[OsString]) -> Command {
    let words: Vec<String> = words
        .iter()
        .map(|w| w.to_string_lossy().into_owned())
        .collect();
    let completers: [(&str, Complete); 8] = [
        ("spec", |_, current| selected(current, &is_spec)),
        ("specs", |_, current| selected(current, &is_spec)),
        ("system", |_, current| selected(current, &|_| true)),
        ("before", |_, current| selected(current, &|_| true)),
        ("after", |_, current| selected(current, &|_| true)),
        ("generation", |words, current| {
            matching(generations_typed(words), current)
        }),
        ("packages", |words, current| {
            matching(packages(words), current)
        }),
        ("root", |words, current| matching(roots(words), current)),
    ];
    // Options are for who types a dash: hidden ones are shown where nothing else fits.
    let wants_options = words.last().is_some_and(|word| word.starts_with('-'));
    let attach = |command: Command, verb: &str| {
        let mut command = command.mut_args(|arg| match arg.is_positional() || wants_options {
            true => arg,
            false => arg.hide(true),
        });
        command = command.disable_help_flag(!wants_options);
        for (id, complete) in completers {
            if command.get_arguments().any(|arg| arg.get_id() == id) {
                let words = words.clone();
                let completer =
                    ArgValueCompleter::new(move |current: &OsStr| complete(&words, current));
                command = command.mut_arg(id, |arg| arg.add(completer.clone()));
            }
        }
        let words = words.clone();
        match verb {
            "why" => command.mut_arg("what", |arg| {
                arg.add(ArgValueCompleter::new(move |current: &OsStr| {
                    matching(packages(&words), current)
                }))
            }),
            "explain" => command.mut_arg("what", |arg| {
                arg.add(ArgValueCompleter::new(|current: &OsStr| {
                    matching(names(), current)
                }))
            }),
            _ => command,
        }
    };
    let mut command = crate::help::command().mut_args(|arg| match wants_options {
        true => arg,
        false => arg.hide(true),
    });
    command = command
        .disable_help_flag(!wants_options)
        .disable_version_flag(!wants_options);
    let verbs: Vec<String> = command
        .get_subcommands()
        .map(|verb| verb.get_name().to_string())
        .collect();
    for verb in &verbs {
        command = command.mut_subcommand(verb, |c| {
            let below: Vec<String> = c
                .get_subcommands()
                .map(|b| b.get_name().to_string())
                .collect();
            let c = below
                .iter()
                .fold(c, |c, below| c.mut_subcommand(below, |b| attach(b, below)));
            attach(c, verb)
        });
    }
    command
}

fn is_spec(path: &Path) -> bool {
    path.is_dir() || path.extension().is_some_and(|extension| extension == "nos")
}

/// Paths that `wanted` takes; behind a `#`, or where a path is whole, hosts and generations.
fn selected(current: &OsStr, wanted: &'static dyn Fn(&Path) -> bool) -> Vec<CompletionCandidate> {
    // zsh gives a word as it is written, where a sharp may stand behind a backslash.
    let text = current.to_string_lossy().replace("\\#", "#");
    if let Some((path, _)) = text.rsplit_once('#') {
        return matching(inside(path), OsStr::new(&text));
    }
    let shown = PathCompleter::any().filter(|path| path.is_dir() || is_plain(path));
    let mut found = shown.complete(current);
    found.retain(|candidate| wanted(Path::new(candidate.get_value())));
    // A path that is typed to its end may go on with what is in it.
    if !text.is_empty() && Path::new(&text).exists() {
        found.extend(matching(inside(text.trim_end_matches('/')), current));
    }
    found
}

fn is_plain(path: &Path) -> bool {
    // Hidden files are for who types their dot.
    path.file_name()
        .is_some_and(|name| !name.as_encoded_bytes().starts_with(b"."))
}

/// What can be selected in a spec or on a disk.
fn inside(path: &str) -> Vec<(String, String)> {
    let with = |(name, help): (String, String)| (format!("{path}#{name}"), help);
    let on_disk = generations(Path::new(path));
    if !on_disk.is_empty() {
        return on_disk.into_iter().map(with).collect();
    }
    let project = Target::find(path).and_then(Project::load);
    let systems = project
        .map(|project| project.checked.systems)
        .unwrap_or_default();
    let hosts = systems.into_iter().map(|system| {
        let services: Vec<String> = system.services.into_iter().map(|s| s.name).collect();
        (system.host, services.join(", "))
    });
    hosts.map(with).collect()
}

/// The generations of the disk that was typed before.
fn generations_typed(words: &[String]) -> Vec<(String, String)> {
    let found = words.iter().map(|word| generations(Path::new(word)));
    found
        .into_iter()
        .find(|found| !found.is_empty())
        .unwrap_or_default()
}

fn generations(disk: &Path) -> Vec<(String, String)> {
    if !disk.metadata().is_ok_and(|metadata| !metadata.is_dir()) {
        return Vec::new();
    }
    let Ok(mut device) = FileDevice::open_read_only(disk) else {
        return Vec::new();
    };
    let Ok(disk) = Disk::open(&mut device) else {
        return Vec::new();
    };
    let generations = disk.generations().into_iter().map(|generation| {
        let boots = if generation.current { " (boots)" } else { "" };
        let help = format!("{}{boots} {}", generation.kernel, generation.label);
        (
            generation.number.to_string(),
            crate::units::printable(help.trim()),
        )
    });
    generations.collect()
}

/// Packages that the lock of the spec that was typed before pins, else of the one that is here.
fn packages(words: &[String]) -> Vec<(String, String)> {
    let typed = words
        .iter()
        .map(String::as_str)
        .filter(|word| is_spec(Path::new(word.split('#').next().unwrap_or_default())));
    let lock = typed.chain(["."]).find_map(|spec| {
        let project = Target::find(spec).and_then(Project::load).ok()?;
        project.lock().ok().flatten()
    });
    let lock = lock.unwrap_or_default();
    let sources = lock.sources.into_iter();
    let mut all: BTreeMap<String, String> = sources.map(|(n, pin)| (n, pin.version)).collect();
    let packages = lock.packages.into_iter();
    all.extend(packages.map(|(name, pin)| (name, pin.version)));
    all.into_iter().collect()
}

/// Roots of the store, where there is one.
fn roots(words: &[String]) -> Vec<(String, String)> {
    let parsed = crate::help::command()
        .ignore_errors(true)
        .try_get_matches_from(words);
    let global = parsed.and_then(|matches| crate::args::Global::from_arg_matches(&matches));
    let Ok(global) = global else {
        return Vec::new();
    };
    let context = Context::from_environment(global);
    let path = match context.store_path() {
        Ok(path) if path.join("meta.json").exists() => path.clone(),
        _ => return Vec::new(),
    };
    let roots = Store::open(path).and_then(|store| store.roots());
    let names = roots.map(|roots| roots.into_keys().collect::<Vec<_>>());
    names
        .unwrap_or_default()
        .into_iter()
        .map(|name| (name, String::new()))
        .collect()
}

/// What `nos explain` knows.
fn names() -> Vec<(String, String)> {
    let codes = codes::ALL.iter();
    let codes = codes.map(|(code, title, _)| (code.to_string(), title.to_string()));
    let names = schema::paths()
        .into_iter()
        .map(|name| (name, String::new()));
    codes.chain(names).collect()
}

fn matching(all: Vec<(String, String)>, current: &OsStr) -> Vec<CompletionCandidate> {
    let typed = current.to_string_lossy();
    all.into_iter()
        .filter(|(value, _)| value.starts_with(typed.as_ref()))
        .map(|(value, help)| {
            let help = (!help.is_empty()).then(|| help.into());
            CompletionCandidate::new(value).help(help)
        })
        .collect()
}
