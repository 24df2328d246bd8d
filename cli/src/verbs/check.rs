//! `nos check`, and loading a spec for every verb that takes one.

use super::Outcome;
use crate::args::SpecArgs;
use crate::context::Context;
use crate::failure::Failure;
use nos_builder::BuildError;
use nos_builder::project::{Project, ProjectError, Target};
use nos_specs::diagnostic::{self, Diagnostic};
use nos_specs::source::Sources;
use serde_json::json;

/// Columns that diagnostics are laid out for.
const WIDTH: usize = 100;

impl From<ProjectError> for Failure {
    fn from(error: ProjectError) -> Self {
        match error {
            ProjectError::Io { .. } => Failure::failed(error),
            _ => Failure::Wrong(error.to_string()),
        }
    }
}

/// Reads and checks the spec that an argument names, and that the files it names are there. All
/// mistakes are shown.
///
/// # Errors
/// [`Failure::WrongSpec`] where there are errors.
pub(crate) fn load(context: &Context, argument: &str) -> Result<Project, Failure> {
    let mut project = Project::load(Target::find(argument)?)?;
    project.check_sources();
    finish(context, project)
}

/// As [`load`], for verbs that do not need the files that the spec names: they may yet be made.
pub(crate) fn load_text(context: &Context, argument: &str) -> Result<Project, Failure> {
    finish(context, Project::load(Target::find(argument)?)?)
}

fn finish(context: &Context, project: Project) -> Result<Project, Failure> {
    let checked = &project.checked;
    show(context, &checked.diagnostics, &checked.sources)?;
    if checked.has_errors() {
        return Err(Failure::WrongSpec);
    }
    if project.host_is_named() {
        project.system()?;
    }
    Ok(project)
}

/// What stopped a build, shown at the places of the spec that led to it, where there are some.
pub(crate) fn explained(context: &Context, project: &Project, error: BuildError) -> Failure {
    let checked = &project.checked;
    let places = nos_builder::outside::explain(checked, &error);
    if places.is_empty() {
        return error.into();
    }
    show(context, &places, &checked.sources)
        .err()
        .unwrap_or(Failure::WrongSpec)
}

/// Shows messages about a spec: on standard error, or as JSON on standard output.
pub(crate) fn show(context: &Context, diagnostics: &[Diagnostic], sources: &Sources) -> Outcome {
    let wrong = diagnostics.iter().any(Diagnostic::is_error);
    if diagnostics.is_empty() || (context.shell.quiet() && !wrong) {
        return Ok(());
    }
    if context.shell.json() && wrong {
        let report = json!({ "diagnostics": diagnostic::report(diagnostics, sources) });
        context.shell.result(&report, |_| String::new())?;
    } else {
        let color = context.shell.color_err();
        context
            .shell
            .plain(&nos_specs::render(diagnostics, sources, color, WIDTH));
    }
    Ok(())
}

pub(crate) fn run(context: &Context, args: &SpecArgs) -> Outcome {
    let project = load(context, &args.spec)?;
    let checked = &project.checked;
    let hosts: Vec<&str> = checked.systems.iter().map(|s| s.host.as_str()).collect();
    let report = json!({
        "spec": project.spec,
        "hosts": hosts,
        "diagnostics": diagnostic::report(&checked.diagnostics, &checked.sources),
    });
    if context.shell.json() {
        context.shell.result(&report, |_| String::new())?;
    } else {
        let hosts = match hosts.as_slice() {
            [] => "no host".to_string(),
            [one] => format!("host {one}"),
            many => format!("{} hosts: {}", many.len(), many.join(", ")),
        };
        context.shell.status(
            "Checked",
            format_args!("{} ({hosts})", project.spec.display()),
        );
    }
    Ok(())
}
