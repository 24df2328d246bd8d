//! `nos plan`: what a build would fetch, run and reuse, and what would be other in its result.

use super::build::session;
use super::{Outcome, check, lock};
use crate::args::PlanArgs;
use crate::changes;
use crate::context::Context;
use crate::units::human_size;
use nos_builder::build::Step;
use nos_builder::changes::Change;
use nos_specs::system::Kernel;
use serde::Serialize;

#[derive(Serialize)]
struct Planned {
    host: String,
    fetch: Vec<Fetch>,
    fetch_bytes: u64,
    steps: Vec<Step>,
    /// Bytes of the result, where it is built already.
    size_bytes: Option<u64>,
    /// Bytes of the last result of this host, where there is one.
    previous_bytes: Option<u64>,
    /// What differs from that.
    changes: Vec<Change>,
}

#[derive(Serialize)]
struct Fetch {
    package: String,
    version: String,
    size: u64,
}

pub(crate) fn run(context: &Context, args: &PlanArgs) -> Outcome {
    let project = check::load(context, &args.spec.spec)?;
    let system = project.system()?;
    let store = context.open_store()?;
    let lock = lock::ensure(context, &store, &project, args.locked)?;
    let outlook = session(context, &store, &project).outlook(system, &lock)?;
    let fetch: Vec<Fetch> = outlook
        .fetch
        .iter()
        .map(|(name, pin)| Fetch {
            package: name.clone(),
            version: pin.version.clone(),
            size: pin.size,
        })
        .collect();
    let planned = Planned {
        host: system.host.clone(),
        fetch_bytes: fetch.iter().map(|f| f.size).sum(),
        fetch,
        steps: outlook.steps,
        size_bytes: outlook.system.as_ref().map(|s| s.content_bytes()),
        previous_bytes: outlook.previous.as_ref().map(|s| s.content_bytes()),
        changes: outlook.changes,
    };
    context.shell.result(&planned, describe)?;
    if matches!(system.kernel, Kernel::Minimal { .. }) {
        let spec = &args.spec.spec;
        context.shell.status(
            "Note",
            format_args!("`nos why {spec} CONFIG_NAME` says what asks for an option of its kernel"),
        );
    }
    Ok(())
}

fn describe(planned: &Planned) -> String {
    let mut text = String::new();
    for Fetch {
        package,
        version,
        size,
    } in &planned.fetch
    {
        text.push_str(&format!(
            "fetch  {package} {version} ({})\n",
            human_size(*size)
        ));
    }
    for step in planned.steps.iter().filter(|step| step.will_run()) {
        let time = step
            .estimate_ms
            .map(|ms| format!(" (about {})", seconds(ms)));
        text.push_str(&format!(
            "build  {}{}\n",
            step.label,
            time.unwrap_or_default()
        ));
    }
    if !text.is_empty() && !planned.changes.is_empty() {
        text.push('\n');
    }
    text.push_str(&changes::lines(&planned.changes));
    if !text.is_empty() {
        text.push('\n');
    }
    let count = |fate: &str| planned.steps.iter().filter(|s| s.fate == fate).count();
    text.push_str(&format!(
        "host {}: {} to fetch, {} to build, {} reused",
        planned.host,
        human_size(planned.fetch_bytes),
        count("build"),
        count("reuse"),
    ));
    match (planned.size_bytes, planned.previous_bytes) {
        (Some(size), Some(previous)) => {
            let grown = changes::growth(previous, size);
            text.push_str(&format!("; result {}, {grown}", human_size(size)));
        }
        (Some(size), None) => text.push_str(&format!("; result {}", human_size(size))),
        (None, Some(previous)) => {
            text.push_str(&format!("; last result {}", human_size(previous)));
        }
        (None, None) => {}
    }
    text
}

fn seconds(milliseconds: u64) -> String {
    let seconds = milliseconds as f64 / 1000.0;
    match milliseconds {
        10_000.. => format!("{seconds:.0} s"),
        _ => format!("{seconds:.1} s"),
    }
}
