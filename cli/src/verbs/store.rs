//! `nos store`: what is there, what can go, and whether it is whole.

use super::Outcome;
use crate::args::StoreVerb;
use crate::context::Context;
use crate::failure::Failure;
use crate::units::human_size;
use nos_store::{GcEvent, GcOptions, GcReport, VerifyEvent, VerifyOptions, VerifyReport};
use serde::Serialize;
use std::sync::atomic::{AtomicU64, Ordering};

pub(crate) fn run(context: &Context, verb: StoreVerb) -> Outcome {
    match verb {
        StoreVerb::Ls => list(context),
        StoreVerb::Gc { dry_run } => gc(context, dry_run),
        StoreVerb::Verify { repair } => verify(context, repair),
    }
}

#[derive(Serialize)]
struct Listing {
    path: String,
    roots: Vec<Root>,
}

#[derive(Serialize)]
struct Root {
    name: String,
    targets: usize,
}

fn list(context: &Context) -> Outcome {
    let store = context.open_store()?;
    let roots = store.roots()?;
    let listing = Listing {
        path: store.root().display().to_string(),
        roots: roots
            .into_iter()
            .map(|(name, targets)| Root {
                name,
                targets: targets.len(),
            })
            .collect(),
    };
    context.shell.result(&listing, |listing| {
        let mut text = format!("{}\n", listing.path);
        for root in &listing.roots {
            text.push_str(&format!("  {}  keeps {}\n", root.name, root.targets));
        }
        text
    })?;
    Ok(())
}

fn gc(context: &Context, dry_run: bool) -> Outcome {
    let store = context.open_store()?;
    let options = GcOptions {
        dry_run,
        ..GcOptions::default()
    };
    let shell = &context.shell;
    let report = store.gc(&options, &mut |event| {
        if let GcEvent::Dangling { target } = event {
            shell.warn(format_args!(
                "a root keeps {} which is gone; build its spec again",
                target.digest()
            ));
        }
    })?;
    let verb = if dry_run { "would remove" } else { "removed" };
    shell.result(&report, |report: &GcReport| {
        format!(
            "{verb} {} objects and {} results, {}; {} objects stay\n",
            report.objects_removed,
            report.results_removed,
            human_size(report.freed_bytes),
            report.objects_kept
        )
    })?;
    Ok(())
}

#[derive(Serialize)]
struct Verified {
    #[serde(flatten)]
    report: VerifyReport,
    findings: Vec<String>,
}

fn verify(context: &Context, repair: bool) -> Outcome {
    let store = context.open_store()?;
    let shell = &context.shell;
    let done = AtomicU64::new(0);
    let mut findings = Vec::new();
    let report = store.verify(&VerifyOptions { repair }, &mut |event| match event {
        VerifyEvent::Checked { size } => {
            let sum = done.fetch_add(size, Ordering::Relaxed) + size;
            shell.progress("checking", sum, None);
        }
        VerifyEvent::Problem(problem) => findings.push(problem.to_string()),
        _ => {}
    })?;
    let verified = Verified { report, findings };
    shell.result(&verified, |verified| {
        let mut text: String = verified.findings.iter().map(|f| format!("{f}\n")).collect();
        let report = &verified.report;
        text.push_str(&format!(
            "{} objects ({}), {} results, {} roots checked; {} problems, {} files removed\n",
            report.objects,
            human_size(report.bytes),
            report.results,
            report.roots,
            report.problems,
            report.removed
        ));
        text
    })?;
    match verified.report.problems {
        0 => Ok(()),
        _ if repair => Ok(()),
        _ => Err(Failure::failed(
            "the store is damaged; run `nos store verify --repair`, then build again",
        )),
    }
}
