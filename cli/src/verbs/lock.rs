//! `nos lock` and `nos update`; and the lock that every building verb needs.

use super::build::session;
use super::{Outcome, check};
use crate::args::{SpecArgs, UpdateArgs};
use crate::context::Context;
use crate::failure::Failure;
use nos_builder::debian::{
    self, AptFile, Changes, Environment, Mirror, MirrorError, Mode, Request, TrustSet,
};
use nos_builder::events::Relay;
use nos_builder::plan;
use nos_builder::project::Project;
use nos_specs::lock::Lock;
use nos_store::Store;
use serde::Serialize;
use std::path::Path;

/// Where apt keeps its configuration.
const APT_FOLDER: &str = "/etc/apt";

/// Everything that fetching from Debian needs, ready to be borrowed.
pub(crate) struct Archive<'a> {
    context: &'a Context,
    store: &'a Store,
    mirror: Result<Mirror, MirrorError>,
    trust: TrustSet,
    relay: Relay<'a>,
}

impl<'a> Archive<'a> {
    /// `spec` is the mirror that the spec names, which the command line overrides.
    pub(crate) fn new(context: &'a Context, store: &'a Store, spec: Option<&str>) -> Self {
        let apt = AptFile::read_all(Path::new(APT_FOLDER));
        Self {
            context,
            store,
            mirror: match &context.mirror {
                Some(given) => Mirror::find(None, Some(given), &[]).map_err(|error| match error {
                    MirrorError::BadAddress { address, .. } => MirrorError::BadAddress {
                        address,
                        place: "--mirror",
                    },
                    other => other,
                }),
                None => Mirror::find(spec, context.environment_mirror.as_deref(), &apt),
            },
            trust: TrustSet::debian(),
            relay: Relay(&context.shell),
        }
    }

    /// What the library takes.
    pub(crate) fn environment(&self) -> Environment<'_> {
        let mirror = match &self.mirror {
            _ if self.context.offline => Err(MirrorError::Offline),
            Ok(mirror) => Ok(mirror),
            Err(error) => Err(error.clone()),
        };
        let now = i64::try_from(self.context.now).unwrap_or(i64::MAX);
        Environment::new(self.store, mirror, &self.trust, now, &self.relay)
    }
}

#[derive(Serialize)]
struct Locked<'a> {
    lock: String,
    #[serde(flatten)]
    changes: &'a Changes,
}

pub(crate) fn lock(context: &Context, args: &SpecArgs) -> Outcome {
    let project = check::load_text(context, &args.spec)?;
    renew(context, &project, &Mode::Keep)
}

pub(crate) fn update(context: &Context, args: &UpdateArgs) -> Outcome {
    if args.tools {
        let pins = crate::tools::renew(context, &context.open_store()?)?;
        context.shell.status("Locked", pins.display());
        if context.shell.json() {
            context
                .shell
                .result(&serde_json::json!({ "lock": pins }), |_| String::new())?;
        }
        return Ok(());
    }
    let project = check::load_text(context, &args.spec.spec)?;
    let mode = match args.packages.as_slice() {
        [] => Mode::UpdateAll,
        names => Mode::Update(names.iter().cloned().collect()),
    };
    renew(context, &project, &mode)
}

fn renew(context: &Context, project: &Project, mode: &Mode) -> Outcome {
    let store = context.open_store()?;
    let old = project.lock()?;
    let (new, changes) = resolve(context, &store, project, old.as_ref(), mode)?;
    let path = project.lock_path();
    let unchanged = old.as_ref() == Some(&new);
    if !unchanged {
        project.write_lock(&new)?;
    }
    say(context, &changes);
    let verb = if unchanged { "Unchanged" } else { "Locked" };
    context.shell.status(
        verb,
        format_args!("{} packages in {}", new.packages.len(), path.display()),
    );
    if context.shell.json() {
        let locked = Locked {
            lock: path.display().to_string(),
            changes: &changes,
        };
        context.shell.result(&locked, |_| String::new())?;
    }
    Ok(())
}

fn say(context: &Context, changes: &Changes) {
    for (name, (from, to)) in &changes.moved {
        context
            .shell
            .status("Updated", format_args!("{name} {from} -> {to}"));
    }
    for (name, version) in &changes.removed {
        context
            .shell
            .status("Dropped", format_args!("{name} {version}"));
    }
}

/// The lock of a project, written first where it is missing or does not fit the spec.
pub(crate) fn ensure(
    context: &Context,
    store: &Store,
    project: &Project,
    locked: bool,
) -> Result<Lock, Failure> {
    let old = project.lock()?;
    let systems = &project.checked.systems;
    let wrong = match &old {
        None => "is missing".to_owned(),
        Some(lock) if !plan::lock_is_current(systems, lock).map_err(Failure::failed)? => {
            "does not fit the spec".to_owned()
        }
        Some(lock) => match session(context, store, project).unpinned_commit(systems, lock) {
            None => return Ok(old.unwrap_or_default()),
            Some(new) => format!(
                "does not pin commit {} of {}, which {} names",
                new.commit, new.url, new.named_by
            ),
        },
    };
    if locked {
        return Err(Failure::failed(format_args!(
            "{} {wrong}; run `nos lock` and commit the result",
            project.lock_path().display(),
        )));
    }
    let (new, changes) = resolve(context, store, project, old.as_ref(), &Mode::Keep)?;
    project.write_lock(&new)?;
    say(context, &changes);
    context
        .shell
        .status("Locked", project.lock_path().display());
    Ok(new)
}

fn resolve(
    context: &Context,
    store: &Store,
    project: &Project,
    old: Option<&Lock>,
    mode: &Mode,
) -> Result<(Lock, Changes), Failure> {
    let systems = &project.checked.systems;
    let Some(first) = systems.first() else {
        return Err(Failure::Wrong(format!(
            "{} describes no host, so there is nothing to lock; add a `host` block",
            project.spec.display()
        )));
    };
    if let Some(other) = systems.iter().find(|s| s.debian != first.debian) {
        return Err(Failure::Wrong(format!(
            "hosts {} and {} take packages from different places; one spec has one lock, so give \
             both the same `debian`, or put them into two folders",
            first.host, other.host
        )));
    }
    let request = Request {
        suite: first.debian.suite.clone(),
        groups: plan::wanted_groups(systems).map_err(Failure::failed)?,
        sources: plan::wanted_sources(systems),
    };
    context.shell.status(
        "Resolving",
        format_args!("packages of {}", project.spec.display()),
    );
    let archive = Archive::new(context, store, first.debian.mirror.as_deref());
    let (mut new, _) = debian::lock(&archive.environment(), &request, old, mode)
        .map_err(|error| check::explained(context, project, error.into()))?;
    plan::drop_unused(&mut new);
    new.commits = session(context, store, project)
        .pin_commits(systems, &new, old)
        .map_err(|error| check::explained(context, project, error))?;
    let changes = Changes::between(old, &new);
    Ok((new, changes))
}
