//! `nos store`: what is there, what can go, and whether it is whole.

use super::Outcome;
use crate::args::StoreVerb;
use crate::context::Context;
use crate::failure::Failure;
use crate::units::human_size;
use nos_builder::leftovers::{self, Swept};
use nos_store::{
    Digest, GcEvent, GcOptions, GcReport, PublicKey, Trust, VerifyEvent, VerifyOptions,
    VerifyReport,
};
use serde::Serialize;
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

pub(crate) fn run(context: &Context, verb: StoreVerb) -> Outcome {
    match verb {
        StoreVerb::Ls => list(context),
        StoreVerb::Gc { dry_run } => gc(context, dry_run),
        StoreVerb::Drop { root } => drop_root(context, &root),
        StoreVerb::Export { root, output, sign } => {
            export(context, &root, &output, sign.as_deref())
        }
        StoreVerb::Import {
            file,
            trust,
            unsigned,
        } => import(context, &file, &trust, unsigned),
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

/// The error for a root that does not exist.
fn no_root(name: &str) -> Failure {
    Failure::failed(format_args!(
        "the store has no root {name:?}; `nos store ls` lists them"
    ))
}

fn drop_root(context: &Context, name: &str) -> Outcome {
    if !context.open_store()?.remove_root(name)? {
        return Err(no_root(name));
    }
    context.shell.status("Dropped", name);
    if context.shell.json() {
        let dropped = serde_json::json!({ "dropped": name });
        context.shell.result(&dropped, |_| String::new())?;
    }
    Ok(())
}

fn export(context: &Context, root: &str, output: &Path, sign: Option<&Path>) -> Outcome {
    let store = context.open_store()?;
    let targets = store.root_targets(root)?.ok_or_else(|| no_root(root))?;
    let failed = |path: &Path, error: std::io::Error| {
        Failure::failed(format_args!(
            "{}: {error}; check the path and its permissions",
            path.display()
        ))
    };
    let key = sign.map(super::image::read_key).transpose()?;
    let folder = match output.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let mut file = tempfile::NamedTempFile::new_in(folder).map_err(|e| failed(output, e))?;
    let report = store.export(&targets, key.as_ref(), &mut file)?;
    file.as_file().sync_all().map_err(|e| failed(output, e))?;
    file.persist(output).map_err(|e| failed(output, e.error))?;
    context.shell.result(&report, |report| {
        let signed = match &key {
            Some(key) => format!(", signed by {}", key.public()),
            None => String::new(),
        };
        format!(
            "{}: {} objects, {}{signed}",
            output.display(),
            report.objects,
            human_size(report.bytes)
        )
    })?;
    Ok(())
}

fn import(context: &Context, file: &Path, trust: &[String], unsigned: bool) -> Outcome {
    let store = context.open_store()?;
    let keys = trust.iter().map(|key| key.parse::<PublicKey>());
    let keys = keys.collect::<Result<Vec<_>, _>>().map_err(|error| {
        Failure::Wrong(format!("{error}; `nos store export --sign` shows a key"))
    })?;
    let trust = if unsigned {
        Trust::Anyone
    } else {
        Trust::Keys(keys)
    };
    let mut archive = std::fs::File::open(file).map_err(|error| {
        Failure::failed(format_args!(
            "{}: {error}; name an exported file",
            file.display()
        ))
    })?;
    let report = store.import(&mut archive, &trust)?;
    // Without a root the next collection would take it all away again.
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    store.set_root(&format!("import:{name}"), &report.targets)?;
    context.shell.result(&report, |report| {
        format!(
            "{}: {} objects, {}",
            file.display(),
            report.objects,
            human_size(report.bytes)
        )
    })?;
    Ok(())
}

/// What a collection removed, or would remove.
#[derive(Serialize)]
struct Collected {
    #[serde(flatten)]
    report: GcReport,
    leftovers: Swept,
}

impl Collected {
    fn text(&self, dry_run: bool) -> String {
        let Self { report, leftovers } = self;
        let verb = if dry_run { "would remove" } else { "removed" };
        format!(
            "{verb} {} objects and {} results, {}; {} objects stay\n\
             {verb} {} checkouts, {} failed builds, {} logs and {} unfinished files, {}; {} \
             checkouts, {} failed builds and {} logs stay\n",
            report.objects_removed,
            report.results_removed,
            human_size(report.freed_bytes),
            report.objects_kept,
            leftovers.checkouts_removed,
            leftovers.failed_removed,
            leftovers.logs_removed,
            leftovers.unfinished_removed,
            human_size(leftovers.freed_bytes),
            leftovers.checkouts_kept,
            leftovers.failed_kept,
            leftovers.logs_kept,
        )
    }
}

fn gc(context: &Context, dry_run: bool) -> Outcome {
    let store = context.open_store()?;
    let options = GcOptions {
        dry_run,
        ..GcOptions::default()
    };
    let shell = &context.shell;
    for root in nos_builder::roots::forgotten(&store)? {
        if dry_run {
            shell.status("Would drop", format_args!("{root}, whose place is gone"));
        } else {
            store.remove_root(&root)?;
            shell.status("Dropped", format_args!("{root}, whose place is gone"));
        }
    }
    let mut gone: BTreeSet<Digest> = BTreeSet::new();
    let report = store.gc(&options, &mut |event| match event {
        GcEvent::Dangling { target } => shell.warn(format_args!(
            "a root keeps {} which is gone; build its spec again",
            target.digest()
        )),
        GcEvent::Object { digest, .. } => {
            gone.insert(digest);
        }
        _ => {}
    })?;
    let leftovers = leftovers::sweep(&store, SystemTime::now(), dry_run, &|digest| {
        gone.contains(digest)
    });
    let collected = Collected {
        report,
        leftovers: leftovers.map_err(Failure::failed)?,
    };
    shell.result(&collected, |collected| collected.text(dry_run))?;
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
