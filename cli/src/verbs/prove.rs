//! `nos build --check`: everything once more, with all varied that must not matter.

use super::build::{Built, Made, session};
use super::{Outcome, lock};
use crate::context::Context;
use crate::failure::Failure;
use crate::scratch::Scratch;
use nos_builder::build::Session;
use nos_builder::compare::first_difference;
use nos_builder::make;
use nos_builder::project::LOCK_NAME;
use nos_store::Store;
use rustix::fs::Mode;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Component, Path, PathBuf};
use std::process::{Command, Stdio};

/// The environment of the second build; nothing else is in it but a home and a scratch folder.
const OTHER_ENVIRONMENT: [(&str, &str); 4] = [
    ("LC_ALL", "tr_TR.UTF-8"),
    ("TZ", "Pacific/Kiritimati"),
    ("SOURCE_DATE_EPOCH", "1999999999"),
    ("PATH", "/usr/bin:/bin"),
];

/// Builds again in a process of its own: an empty store, a folder of another name that holds
/// nothing but what the spec names, made in the opposite order and with other times and
/// permissions, another number of threads, another environment, and as another user. Its builds see
/// other numbers of processors, other orders of folders and another wall clock. Then compares action
/// by action.
pub(super) fn prove(context: &Context, made: &Made) -> Outcome {
    let Made {
        store,
        project,
        built,
    } = made;
    let scratch = Scratch::folder("nos-check-")?;
    let place = scratch.path();
    let again = Store::open(place.join("store"))?;
    let system = project.system()?;
    let lock = lock::ensure(context, store, project, true)?;
    let first = session(context, store, project);

    let folder = place.join("the same elsewhere");
    let mut paths: Vec<PathBuf> = vec![LOCK_NAME.into()];
    // What other hosts of the spec name has to be there for the spec to be right.
    for host in &project.checked.systems {
        let sources = first.local_sources(host, &lock)?;
        paths.extend(sources.into_iter().map(PathBuf::from));
    }
    let texts = project.checked.sources.iter();
    let texts = texts.map(|(_, source)| Path::new(&source.name));
    paths.extend(texts.filter_map(|path| inside(path, &project.folder)));
    paths.sort();
    paths.dedup();
    for path in paths.iter().rev() {
        let (from, to) = (project.folder.join(path), folder.join(path));
        copy(&from, &to).map_err(|error| {
            Failure::failed(format_args!(
                "cannot copy {} for the second build: {error}; free some space in {}, or set \
                 TMPDIR to a place that has it",
                from.display(),
                place.display()
            ))
        })?;
    }

    let second = Session {
        folder: &folder,
        ..session(context, &again, project)
    };
    second.borrow_packages(store, system, &lock)?;
    let spec = inside(&project.spec, &project.folder).unwrap_or_default();
    let mut target = OsString::from(folder.join(spec));
    target.push(format!("#{}", system.host));
    build_again(context, &target, again.root(), place)?;
    match first_difference(&first, &second, system, &lock)? {
        None => {
            said(context, built);
            Ok(())
        }
        Some(difference) => Err(Failure::failed(format_args!(
            "building again gave other bytes: {difference}; take out what differs, such as times, \
             random names or the order of a folder"
        ))),
    }
}

fn said(context: &Context, built: &Built) {
    let host = &built.system.manifest.host;
    let (verb, object) = ("Reproducible", format!("host {host}"));
    context.shell.status(verb, object);
}

/// `path` relative to `folder`; `None` where it is not in it, as the parts of `std` are not.
fn inside(path: &Path, folder: &Path) -> Option<PathBuf> {
    let path = path.strip_prefix(folder).ok().or_else(|| {
        let here = folder == Path::new(".") && path.is_relative();
        here.then_some(path)
    })?;
    let plain = |part| matches!(part, Component::Normal(_));
    (path.components().all(plain) && folder.join(path).is_file()).then(|| path.to_path_buf())
}

fn build_again(context: &Context, target: &OsString, store: &Path, place: &Path) -> Outcome {
    let failed = |error: io::Error| {
        Failure::failed(format_args!(
            "cannot start the second build: {error}; try again"
        ))
    };
    let program = std::env::current_exe().map_err(failed)?;
    let command = || {
        let mut command = Command::new(&program);
        command
            .args(["build", "--locked", "--offline", "--quiet", "--vary"])
            .arg("--jobs")
            .arg(if context.jobs == 1 { "3" } else { "1" })
            .arg("--store")
            .arg(store)
            .arg(target)
            .env_clear()
            .envs(OTHER_ENVIRONMENT)
            .env("HOME", place)
            .env("TMPDIR", place)
            .current_dir("/")
            .stdin(Stdio::null())
            .stdout(Stdio::null());
        command
    };
    let usual = rustix::process::umask(Mode::RWXG | Mode::RWXO);
    let mut other = command();
    make::as_other_user(&mut other);
    let child = other.spawn().or_else(|error| {
        context.shell.warn(format_args!(
            "the second build runs as the same user, as this machine makes no other: {error}; `nos \
             doctor` says what would help"
        ));
        command().spawn()
    });
    rustix::process::umask(usual);
    let ended = child.and_then(|mut child| child.wait()).map_err(failed)?;
    match ended.success() {
        true => Ok(()),
        false => Err(Failure::failed(
            "the second build failed where the first did not; what it says is above",
        )),
    }
}

/// Copies a file or a folder; names of a folder are made in the opposite of their order.
fn copy(from: &Path, to: &Path) -> io::Result<()> {
    if let Some(parent) = to.parent() {
        fs::create_dir_all(parent)?;
    }
    let kind = fs::symlink_metadata(from)?.file_type();
    if kind.is_symlink() {
        return match fs::symlink_metadata(to) {
            Ok(_) => Ok(()),
            Err(_) => std::os::unix::fs::symlink(fs::read_link(from)?, to),
        };
    }
    if !kind.is_dir() {
        return fs::copy(from, to).map(drop);
    }
    fs::create_dir_all(to)?;
    let mut names: Vec<OsString> = Vec::new();
    for entry in fs::read_dir(from)? {
        names.push(entry?.file_name());
    }
    names.sort();
    names
        .iter()
        .rev()
        .try_for_each(|name| copy(&from.join(name), &to.join(name)))
}
