//! `nos log`, and keeping it.

use super::Outcome;
use super::disk::{on, table};
use crate::args::DiskArgs;
use crate::context::Context;
use crate::failure::Failure;
use crate::units::human_time;
use nos_disk::{Disk, FileDevice, LogRecord, LoggedOperation, Report};
use serde::Serialize;
use std::path::Path;

#[derive(Serialize)]
struct Log<'a> {
    #[serde(serialize_with = "crate::units::shown")]
    disk: &'a Path,
    records: Vec<LogRecord>,
}

pub(crate) fn run(context: &Context, args: &DiskArgs) -> Outcome {
    let path = &args.disk;
    let mut device = FileDevice::open_read_only(path)?;
    let records = on(path, on(path, Disk::open(&mut device))?.log())?;
    let records = records.ok_or_else(|| {
        Failure::failed(format_args!(
            "{} was made by a nos that kept no log; disks that are written anew have one",
            path.display()
        ))
    })?;
    let log = Log {
        disk: path,
        records,
    };
    context.shell.result(&log, |log| {
        let head = [
            "N",
            "WHEN (UTC)",
            "WHAT",
            "FROM",
            "TO",
            "WHO",
            "NOS",
            "NOTE",
        ];
        let mut rows = vec![head.map(String::from)];
        let number =
            |generation: Option<u32>| generation.map_or_else(|| "-".into(), |n| n.to_string());
        for LogRecord {
            number: n,
            operation,
        } in &log.records
        {
            rows.push([
                n.to_string(),
                operation.when.map_or_else(|| "-".into(), human_time),
                operation.what.clone(),
                number(operation.from),
                number(operation.to),
                operation.who.clone(),
                operation.nos.clone(),
                operation.note.clone(),
            ]);
        }
        context.shell.headed(&table(&rows))
    })?;
    Ok(())
}

/// Writes down that `what` was done to a disk, which booted `from` before (`None`: what boots is
/// the same). What was done is done: where the log cannot be
/// written, that is said and nothing more.
pub(crate) fn keep(
    context: &Context,
    path: &Path,
    disk: &mut Disk<'_>,
    what: &str,
    from: Option<u32>,
    report: &Report,
    note: &str,
) {
    if report.sectors_written == 0 {
        return;
    }
    let mut write = || -> Result<bool, Failure> {
        let removed: Vec<String> = report.removed.iter().map(u32::to_string).collect();
        let note = match removed.as_slice() {
            [] => note.to_string(),
            removed => format!("removed {} {note}", removed.join(", "))
                .trim_end()
                .to_string(),
        };
        let operation = LoggedOperation {
            what: what.to_string(),
            when: Some(context.now),
            who: context.who.clone(),
            from: from.or(Some(report.number)),
            to: Some(report.number),
            note,
            nos: env!("CARGO_PKG_VERSION").to_string(),
        };
        on(path, disk.remember(&operation))
    };
    if let Err(failure) = write() {
        not_kept(context, failure.message().unwrap_or_default());
    }
}

/// Says that the log could not be written.
pub(crate) fn not_kept(context: &Context, why: impl std::fmt::Display) {
    context
        .shell
        .warn(format_args!("the disk's log was not written: {why}"));
}
