//! Verbs that change or look at a disk that is there: install, generations, switch, rollback,
//! verify, gc.

use super::Outcome;
use super::build::{self, Made};
use super::log;
use crate::args::{DiskArgs, GcArgs, GrowArgs, InstallArgs, PinArgs, SwitchArgs, VerifyArgs};
use crate::context::Context;
use crate::failure::Failure;
use crate::shell::Shell;
use crate::units::{counted, human_size, human_time, printable};
use nos_builder::BuiltSystem;
use nos_disk::{
    DeviceError, Disk, Error, FileDevice, Finding, GenerationInfo, GenerationSource, ImageSource,
    InstallOptions, KernelSource, OpenError, OpenImage, Progress, Report, Sharing, StateSize,
    VerifyReport,
};
use nos_store::{Blob, Store};
use serde::Serialize;
use std::path::Path;

impl From<DeviceError> for Failure {
    fn from(error: DeviceError) -> Self {
        Failure::failed(error)
    }
}

impl From<OpenError> for Failure {
    fn from(error: OpenError) -> Self {
        Failure::failed(error)
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Failure::failed(error)
    }
}

/// A built system as the disk code takes it.
pub(crate) fn generation<'a>(
    store: &'a Store,
    system: &'a BuiltSystem,
    label: &str,
    installed: Option<u64>,
) -> GenerationSource<'a> {
    let open = |blob: &'a Blob| -> OpenImage<'a> {
        Box::new(move || {
            let file = store.open_object(&blob.digest);
            Ok(Box::new(file.map_err(std::io::Error::other)?))
        })
    };
    let images = system.manifest.images.iter().zip(&system.images);
    GenerationSource {
        uki: KernelSource {
            size_bytes: system.uki.size,
            digest: system.uki.digest.0,
            open: open(&system.uki),
        },
        title: format!("nOs {}", system.manifest.host),
        label: label.to_string(),
        kernel: system.manifest.kernel.clone(),
        installed,
        images: images
            .map(|(image, blob)| ImageSource {
                image: image.clone(),
                open: open(blob),
            })
            .collect(),
    }
}

/// Shows how far writing or checking a disk is.
pub(crate) fn progress(shell: &Shell) -> impl FnMut(&Progress) + '_ {
    |at| {
        shell.progress(
            &format!("{} {}", at.doing, at.what),
            at.done,
            Some(at.total),
        )
    }
}

/// Adds the place to what is wrong with a disk.
pub(crate) fn on<T, E: std::fmt::Display>(path: &Path, result: Result<T, E>) -> Result<T, Failure> {
    result.map_err(|error| Failure::failed(format_args!("{}: {error}", path.display())))
}

/// Opens a disk to change it, and says where another program keeps it waiting.
fn open(context: &Context, path: &Path) -> Result<FileDevice, Failure> {
    open_for(context, path, Sharing::AmongNos)
}

/// As [`open`], for another use.
pub(crate) fn open_for(
    context: &Context,
    path: &Path,
    sharing: Sharing,
) -> Result<FileDevice, Failure> {
    let mut waiting = || {
        context.shell.status(
            "Waiting",
            format_args!("for another program that looks at {}", path.display()),
        );
    };
    Ok(FileDevice::open_waiting(path, sharing, &mut waiting)?)
}

pub(crate) fn install(context: &Context, args: &InstallArgs) -> Outcome {
    let path = &args.disk.disk;
    // A disk that cannot be used or written is found out before the work, not after it.
    on(path, Disk::open(&mut open(context, path)?).map(drop))?;
    let made = build::make(context, &args.spec, args.locked)?;
    let (store, built) = (&made.store, &made.built);
    let keep = made.project.system()?.disk.keep;
    let label = args.label.as_deref().unwrap_or_default();
    let source = generation(store, &built.system, label, Some(context.now));
    let mut device = open(context, path)?;
    let options = InstallOptions {
        trial: args.trial,
        // What an image file holds is the business of whoever keeps it; a medium may lie.
        read_back: args.verify || device.is_block_device(),
    };
    let mut disk = on(path, Disk::open(&mut device))?;
    let from = disk.current();
    let mut watch = progress(&context.shell);
    let keep = usize::try_from(keep).unwrap_or(usize::MAX);
    let report = disk.install_and_keep(&source, options, keep, &mut watch);
    let report = on(path, report)?;
    drop(watch);
    context.shell.clear();
    let what = if args.trial { "trial" } else { "install" };
    log::keep(context, path, &mut disk, what, from, &report, label);
    match args.trial {
        true => changed_to(
            context,
            "Installed",
            trial_ahead(report.number, path),
            &report,
        ),
        false => changed(context, path, "Installed", &report),
    }
}

pub(crate) fn switch(context: &Context, args: &SwitchArgs) -> Outcome {
    let path = &args.disk.disk;
    let number = args.generation;
    let mut device = open(context, path)?;
    let mut disk = on(path, Disk::open(&mut device))?;
    let from = disk.current();
    if args.trial {
        let report = on(path, disk.set_trial(Some(number)))?;
        let note = format!("of generation {number}");
        log::keep(context, path, &mut disk, "trial", from, &report, &note);
        return changed_to(context, "Trial", trial_ahead(number, path), &report);
    }
    let report = on(path, disk.switch(number))?;
    log::keep(context, path, &mut disk, "switch", from, &report, "");
    changed(context, path, "Switched", &report)
}

/// What a trial means, for a person.
fn trial_ahead(number: u32, path: &Path) -> String {
    format!(
        "the next boot of {} tries generation {number} once, and it stays if every service becomes \
         healthy (where firmware keeps no variables, a kernel that never reaches init is not caught)",
        path.display()
    )
}

pub(crate) fn rollback(context: &Context, args: &DiskArgs) -> Outcome {
    let path = &args.disk;
    let mut device = open(context, path)?;
    let mut disk = on(path, Disk::open(&mut device))?;
    let from = disk.current();
    let report = on(path, disk.rollback())?;
    log::keep(context, path, &mut disk, "rollback", from, &report, "");
    changed(context, path, "Rolled back", &report)
}

pub(crate) fn gc(context: &Context, args: &GcArgs) -> Outcome {
    let path = &args.disk.disk;
    let keep = usize::try_from(args.keep).unwrap_or(usize::MAX);
    let mut device = open(context, path)?;
    let mut disk = on(path, Disk::open(&mut device))?;
    let report = on(path, disk.gc(keep))?;
    log::keep(context, path, &mut disk, "gc", None, &report, "");
    let said = match report.removed.as_slice() {
        [] => format!("nothing of {}; every generation stays", path.display()),
        removed => of(path, removed),
    };
    changed_to(context, "Collected", said, &report)
}

pub(crate) fn remove(context: &Context, args: &SwitchArgs) -> Outcome {
    let path = &args.disk.disk;
    let mut device = open(context, path)?;
    let mut disk = on(path, Disk::open(&mut device))?;
    let report = on(path, disk.remove(args.generation))?;
    log::keep(context, path, &mut disk, "remove", None, &report, "");
    changed_to(context, "Removed", of(path, &report.removed), &report)
}

pub(crate) fn pin(context: &Context, args: &PinArgs) -> Outcome {
    let path = &args.disk.disk;
    let mut device = open(context, path)?;
    let mut disk = on(path, Disk::open(&mut device))?;
    let report = on(path, disk.pin(args.generation, args.label.as_deref()))?;
    let note = format!("generation {}", args.generation);
    log::keep(context, path, &mut disk, "pin", None, &report, &note);
    changed_to(context, "Pinned", of(path, &[args.generation]), &report)
}

pub(crate) fn unpin(context: &Context, args: &SwitchArgs) -> Outcome {
    let path = &args.disk.disk;
    let mut device = open(context, path)?;
    let mut disk = on(path, Disk::open(&mut device))?;
    let report = on(path, disk.unpin(args.generation))?;
    let note = format!("generation {}", args.generation);
    log::keep(context, path, &mut disk, "unpin", None, &report, &note);
    changed_to(context, "Unpinned", of(path, &[args.generation]), &report)
}

pub(crate) fn grow(context: &Context, args: &GrowArgs) -> Outcome {
    let path = &args.disk.disk;
    let size = args.state.unwrap_or(StateSize::Keep);
    let mut device = open(context, path)?;
    let mut disk = on(path, Disk::open(&mut device))?;
    let report = on(path, disk.grow(size))?;
    log::keep(context, path, &mut disk, "grow", None, &report, "");
    changed(context, path, "Grown", &report)
}

/// Says what a change did: the next boot's generation and what was written.
fn changed(context: &Context, path: &Path, verb: &str, report: &Report) -> Outcome {
    let mut said = format!("{} boots generation {} next", path.display(), report.number);
    if !report.removed.is_empty() {
        said.push_str(&format!("; removed {}", list(&report.removed)));
    }
    changed_to(context, verb, said, report)
}

/// Some generations of a disk, for a person.
fn of(path: &Path, numbers: &[u32]) -> String {
    let word = if numbers.len() == 1 {
        "generation"
    } else {
        "generations"
    };
    format!("{word} {} of {}", list(numbers), path.display())
}

fn list(numbers: &[u32]) -> String {
    let numbers: Vec<String> = numbers.iter().map(u32::to_string).collect();
    numbers.join(", ")
}

fn changed_to(context: &Context, verb: &str, said: String, report: &Report) -> Outcome {
    let shell = &context.shell;
    if shell.json() {
        return Ok(shell.result(report, |_| String::new())?);
    }
    let sectors = match report.sectors_written {
        1 => "1 sector".to_string(),
        n => format!("{n} sectors"),
    };
    shell.status(
        verb,
        format_args!("{said} ({} in {sectors})", human_size(report.bytes_written)),
    );
    for image in &report.images_written {
        shell.status("Wrote", format_args!("image {image}"));
    }
    for image in &report.images_reused {
        shell.status("Reused", format_args!("image {image}"));
    }
    Ok(())
}

#[derive(Serialize)]
struct Listing<'a> {
    #[serde(serialize_with = "crate::units::shown")]
    disk: &'a Path,
    generations: Vec<GenerationInfo>,
}

pub(crate) fn generations(context: &Context, args: &DiskArgs) -> Outcome {
    let path = &args.disk;
    let mut device = open_for(context, path, Sharing::ReadOnly)?;
    let disk = on(path, Disk::open(&mut device))?;
    let listing = Listing {
        disk: path,
        generations: disk.generations(),
    };
    let shell = &context.shell;
    shell.result(&listing, |listing| {
        generation_table(shell, &listing.generations)
    })?;
    Ok(())
}

/// Generations as a person reads them: one a line, then why any has failed.
pub(crate) fn generation_table(shell: &Shell, generations: &[GenerationInfo]) -> String {
    let head = [
        "",
        "N",
        "INSTALLED (UTC)",
        "KERNEL",
        "NEW",
        "SIZE",
        "VERDICT",
        "LABEL",
    ];
    let mut rows = vec![head.map(String::from)];
    rows.extend(generations.iter().map(row));
    let mut text = shell.headed(&table(&rows));
    for generation in generations {
        let reason = generation.verdict.as_ref().and_then(|v| v.reason.as_ref());
        if let Some(reason) = reason {
            let line = format!("generation {} failed: {reason}", generation.number);
            text.push_str(&printable(&line));
            text.push('\n');
        }
    }
    text
}

/// A generation in the columns of the listing.
fn row(generation: &GenerationInfo) -> [String; 8] {
    let next = match (generation.current, generation.previous) {
        (true, _) => "→",
        (_, true) => "←",
        _ => "",
    };
    let marks = [
        if generation.booted { "●" } else { "" },
        next,
        if generation.pinned { "pinned" } else { "" },
    ];
    let marks: Vec<&str> = marks.into_iter().filter(|mark| !mark.is_empty()).collect();
    let verdict = match (generation.trial, &generation.verdict) {
        (Some("wanted"), _) => "tried next",
        (Some(_), _) => "on trial",
        (None, Some(verdict)) if verdict.good => "good",
        (None, Some(_)) => "failed",
        (None, None) => "-",
    };
    let label = match &generation.broken {
        Some(why) => format!("{} (broken: {why})", generation.label),
        None => generation.label.clone(),
    };
    [
        marks.join(" "),
        generation.number.to_string(),
        generation.installed.map_or_else(|| "-".into(), human_time),
        generation.kernel.clone(),
        human_size(generation.new_bytes),
        human_size(generation.size_bytes),
        verdict.to_string(),
        label,
    ]
}

/// Rows in columns that are as wide as their widest cell. Cells come from disks that others may
/// have written.
pub(crate) fn table<const N: usize>(rows: &[[String; N]]) -> String {
    let plain = |row: &[String; N]| row.each_ref().map(|cell| printable(cell));
    let rows: Vec<[String; N]> = rows.iter().map(plain).collect();
    let width = |column: usize| {
        rows.iter()
            .map(|r| r[column].chars().count())
            .max()
            .unwrap_or(0)
    };
    let widths: [usize; N] = std::array::from_fn(width);
    let mut text = String::new();
    for row in &rows {
        let cells = row
            .iter()
            .zip(widths)
            .map(|(cell, width)| format!("{cell:<width$}"));
        text.push_str(cells.collect::<Vec<_>>().join("  ").trim_end());
        text.push('\n');
    }
    text
}

#[derive(Serialize)]
struct Verified<'a> {
    #[serde(serialize_with = "crate::units::shown")]
    disk: &'a Path,
    good: bool,
    #[serde(flatten)]
    report: VerifyReport,
}

pub(crate) fn verify(context: &Context, args: &VerifyArgs) -> Outcome {
    let path = &args.disk.disk;
    if args.repair {
        let made = args.from.as_ref();
        let made = made
            .map(|spec| build::make(context, spec, false))
            .transpose()?;
        let mut device = open(context, path)?;
        let mut report = on(path, nos_disk::repair(&mut device))?;
        let mut disk = on(path, Disk::open(&mut device))?;
        if let Some(Made { store, built, .. }) = &made {
            let source = generation(store, &built.system, "", None);
            let healed = on(path, disk.heal(&source, &mut progress(&context.shell)))?;
            report.add(healed);
        }
        for what in &report.repaired {
            context.shell.status("Repaired", printable(what));
        }
        let repaired = report.repaired.join("; ");
        log::keep(context, path, &mut disk, "repair", None, &report, &repaired);
    }
    let mut device = open_for(context, path, Sharing::ReadOnly)?;
    let disk = on(path, Disk::open(&mut device))?;
    let mut watch = progress(&context.shell);
    let report = on(path, disk.verify(&mut watch))?;
    drop(watch);
    let verified = Verified {
        disk: path,
        good: report.is_good(),
        report,
    };
    context.shell.result(&verified, |verified| {
        let report = &verified.report;
        let plain =
            |finding: &Finding| printable(&format!("{finding}; {}", finding.remedy())) + "\n";
        let mut text: String = report.findings.iter().map(plain).collect();
        text.push_str(&format!(
            "{}: {}, {}, {}, {} checked: {}\n",
            path.display(),
            counted(report.generations, "generation"),
            counted(report.kernels, "kernel image"),
            counted(report.images, "image"),
            human_size(report.bytes),
            if verified.good { "all good" } else { "DAMAGED" },
        ));
        text
    })?;
    if verified.good {
        Ok(())
    } else {
        Err(Failure::Explained)
    }
}
