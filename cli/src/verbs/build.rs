//! `nos build`; and the built system that other verbs start from.

use super::{Outcome, check, lock, prove};
use crate::args::BuildArgs;
use crate::context::Context;
use crate::failure::Failure;
use crate::units::{counted, human_duration};
pub(crate) use nos_builder::build::Built;
use nos_builder::build::Session;
use nos_builder::project::Project;
use nos_store::Store;
use serde::Serialize;
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Instant;

/// A spec, built.
pub(crate) struct Made {
    pub(crate) store: Store,
    pub(crate) project: Project,
    pub(crate) built: Built,
}

/// Checks, locks, fetches and builds what an argument names.
pub(crate) fn make(context: &Context, spec: &str, locked: bool) -> Result<Made, Failure> {
    make_by(context, spec, locked, |session| session)
}

/// As [`make`], in a session that `change` decides about.
fn make_by(
    context: &Context,
    spec: &str,
    locked: bool,
    change: impl for<'s> FnOnce(Session<'s>) -> Session<'s>,
) -> Result<Made, Failure> {
    let project = check::load(context, spec)?;
    let store = context.open_store()?;
    let begun = Instant::now();
    let built = {
        let system = project.system()?;
        let lock = lock::ensure(context, &store, &project, locked)?;
        let archive = lock::Archive::new(context, &store, system.debian.mirror.as_deref());
        let session = change(session(context, &store, &project));
        let build = || session.build(system, &lock, &archive.environment());
        let built = context.shell.watch(build);
        built.map_err(|error| check::explained(context, &project, error))?
    };
    if built.ran > 0 {
        let took = human_duration(begun.elapsed());
        let ran = counted(built.ran, "action");
        let text = format!("{} after {took}, {ran} run", project.system()?.host);
        context.shell.status("Finished", text);
    }
    Ok(Made {
        store,
        project,
        built,
    })
}

/// Where and how this run builds.
pub(crate) fn session<'a>(
    context: &'a Context,
    store: &'a Store,
    project: &'a Project,
) -> Session<'a> {
    Session {
        store,
        folder: &project.folder,
        jobs: context.jobs,
        memory_bytes: context.memory_bytes,
        keep_going: false,
        observer: &context.shell,
        options: context.build_options(),
    }
}

#[derive(Serialize)]
struct Report<'a> {
    host: &'a str,
    #[serde(serialize_with = "crate::units::shown")]
    path: PathBuf,
    digest: String,
    content_bytes: u64,
    /// Labels of the actions that ran; empty where everything was in the store.
    built: BTreeSet<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    out_link: Option<String>,
    system: &'a nos_builder::BuiltSystem,
}

/// Opens a shell where the build `name` would run.
fn look(context: &Context, args: &BuildArgs, name: &str) -> Outcome {
    let project = check::load(context, &args.spec.spec)?;
    let system = project.system()?;
    let store = context.open_store()?;
    let lock = lock::ensure(context, &store, &project, args.locked)?;
    let archive = lock::Archive::new(context, &store, system.debian.mirror.as_deref());
    context.shell.status(
        "Opening",
        format_args!("the sandbox of build {name}; its own lines are in /build/lines"),
    );
    let session = session(context, &store, &project);
    let looked = session.look(system, &lock, &archive.environment(), name);
    match looked.map_err(|error| check::explained(context, &project, error))? {
        0 => Ok(()),
        _ => Err(Failure::Explained),
    }
}

pub(crate) fn build(context: &Context, args: &BuildArgs) -> Outcome {
    if let Some(name) = &args.shell {
        return look(context, args, name);
    }
    let made = make_by(context, &args.spec.spec, args.locked, |mut session| {
        session.keep_going = args.keep_going;
        session.options.keep_failed = args.keep_failed;
        session.options.init_from_source = args.init_from_source;
        session.options.vary = args.vary;
        session
    })?;
    let Made {
        store,
        project,
        built,
    } = &made;
    if args.check {
        prove::prove(context, &made)?;
    }
    let path = store.object_path(&built.digest);
    if let Some(link) = &args.out_link {
        nos_builder::build::link(store, built, link).map_err(Failure::failed)?;
    }
    let report = Report {
        host: &project.system()?.host,
        path,
        digest: built.digest.to_string(),
        content_bytes: built.system.content_bytes(),
        built: context.shell.ran(),
        out_link: args
            .out_link
            .as_ref()
            .map(|link| link.display().to_string()),
        system: &built.system,
    };
    context
        .shell
        .result(&report, |report| report.path.display().to_string())?;
    Ok(())
}
