//! `nos flash`: a bootable disk onto real hardware, refusing anything that looks like a mistake.

use super::Outcome;
use super::build::{self, Made};
use super::image::{Parts, write_image};
use crate::args::FlashArgs;
use crate::context::Context;
use crate::failure::Failure;
use crate::units::{human_size, printable};
use nos_disk::flash::{Device, Machine};
use nos_disk::{BlockDevice, FileDevice, Report};
use serde::Serialize;
use std::io::{BufRead, IsTerminal};
use std::path::Path;
use std::time::Instant;

/// What `--yes` takes for an image file, or for a device without a serial number.
const NO_SERIAL: &str = "none";

/// Sector size of image files, in bytes.
const SECTOR_SIZE: u32 = 512;

#[derive(Serialize)]
struct Flashed<'a> {
    device: &'a Path,
    #[serde(skip_serializing_if = "Option::is_none")]
    was: Option<&'a Device>,
    #[serde(flatten)]
    report: &'a Report,
}

pub(crate) fn run(context: &Context, args: &FlashArgs) -> Outcome {
    let path = &args.device;
    let is_file = match std::fs::metadata(path) {
        Ok(metadata) => metadata.is_file(),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Err(Failure::failed(format_args!(
                "there is no device {}; `lsblk` lists them, `nos image -o FILE` writes a file",
                path.display()
            )));
        }
        Err(_) => false,
    };
    let device = if is_file {
        None
    } else {
        Some(Machine::default().inspect(path)?)
    };
    // What can be refused before the build is refused before the build.
    if let Some(device) = &device {
        refuse(device, 0)?;
    }
    let made = build::make(context, &args.spec, args.locked)?;
    let parts = Parts::read(&made.store, &made.built)?;
    let sector_size = device.as_ref().map_or(SECTOR_SIZE, |d| d.sector_size);
    let needed = parts.needed(&made.built.system, 0, sector_size)?;
    if let Some(device) = &device {
        refuse(device, needed)?;
    }
    confirm(context, args, device.as_ref(), &made)?;
    // Devices come and go, and their names with them.
    if device.is_some() && Machine::default().inspect(path).ok() != device {
        return Err(Failure::failed(format_args!(
            "{} is not what it was when it was looked at; nothing was written, run this again",
            path.display()
        )));
    }
    let started = Instant::now();
    let report = match &device {
        Some(_) => to_device(context, &made, &parts, path)?,
        None => to_file(context, &made, &parts, path)?,
    };
    context.shell.clear();
    if context.shell.json() {
        let flashed = Flashed {
            device: path,
            was: device.as_ref(),
            report: &report,
        };
        return Ok(context.shell.result(&flashed, |_| String::new())?);
    }
    let seconds = started.elapsed().as_secs_f64();
    let written = human_size(report.bytes_written);
    context.shell.status(
        "Flashed",
        format_args!(
            "{}: generation 1 of {}, {written} written and read back in {seconds:.1} s",
            path.display(),
            made.built.system.manifest.host,
        ),
    );
    Ok(())
}

/// Every reason not to write to the device, in one message.
fn refuse(device: &Device, needed: u64) -> Outcome {
    let reasons = device.refusals(needed, None);
    if reasons.is_empty() {
        return Ok(());
    }
    let reasons: Vec<String> = reasons.iter().map(ToString::to_string).collect();
    Err(Failure::failed(format_args!(
        "{} will not be written: {}",
        device.path.display(),
        reasons.join("; and ")
    )))
}

fn to_device(
    context: &Context,
    made: &Made,
    parts: &Parts,
    path: &Path,
) -> Result<Report, Failure> {
    let mut device = FileDevice::open_alone(path)?;
    parts.write(context, made, &mut device, path)
}

/// An image file stands in for a device: it keeps its size, and is whole at every moment.
fn to_file(context: &Context, made: &Made, parts: &Parts, path: &Path) -> Result<Report, Failure> {
    let size = FileDevice::open(path)?.size_bytes();
    let remedy = "make the file larger, or have one made with `nos image`";
    parts.check_size(&made.built.system, size, SECTOR_SIZE, remedy)?;
    Ok(write_image(context, made, path, Some(size), SECTOR_SIZE)?.1)
}

/// Shows what would be lost and has it confirmed: by `--yes` with the device's serial number, or
/// by typing it.
fn confirm(context: &Context, args: &FlashArgs, device: Option<&Device>, made: &Made) -> Outcome {
    let serial = match device {
        Some(device) if !device.serial.is_empty() => device.serial.as_str(),
        _ => NO_SERIAL,
    };
    context.shell.plain(&describe(args, device, made));
    match &args.yes {
        Some(given) if given == serial => return Ok(()),
        Some(given) => {
            return Err(Failure::Wrong(format!(
                "the serial number of {} is {serial:?}, not {given:?}; nothing was written, name \
                 the device that you mean",
                args.device.display()
            )));
        }
        None => {}
    }
    if !std::io::stdin().is_terminal() {
        return Err(Failure::Wrong(format!(
            "nobody is here to confirm; nothing was written, repeat with --yes {serial:?}"
        )));
    }
    context
        .shell
        .plain(&format!("Type {serial} to erase all of this:"));
    let mut answer = String::new();
    std::io::stdin()
        .lock()
        .read_line(&mut answer)
        .map_err(|error| {
            Failure::failed(format_args!(
                "the answer cannot be read: {error}; use --yes {serial:?}"
            ))
        })?;
    match answer.trim() == serial {
        true => Ok(()),
        false => Err(Failure::failed("not confirmed; nothing was written")),
    }
}

fn describe(args: &FlashArgs, device: Option<&Device>, made: &Made) -> String {
    let mut text = match device {
        Some(device) => format!(
            "{}: {}, serial {}, {}",
            args.device.display(),
            if device.model.is_empty() {
                "no model name"
            } else {
                &device.model
            },
            if device.serial.is_empty() {
                NO_SERIAL
            } else {
                &device.serial
            },
            human_size(device.size_bytes),
        ),
        None => format!("{}: an image file", args.device.display()),
    };
    if let Some(device) = device {
        if let Some(file) = &device.backing_file {
            text.push_str(&format!(", backed by {file}"));
        }
        let content = device.content.as_deref();
        match (device.parts.is_empty(), content) {
            (true, None) => text.push_str("\n  nothing known is on it"),
            (true, Some(content)) => text.push_str(&format!("\n  lost: {content}")),
            (false, _) => {}
        }
        for part in &device.parts {
            let content = part.content.as_deref().unwrap_or("unknown content");
            text.push_str(&format!(
                "\n  lost: {} {} ({content}, {})",
                part.name,
                printable(&part.label),
                human_size(part.size_bytes)
            ));
        }
    }
    text.push_str(&format!(
        "\n  new: {} ({})",
        made.built.system.manifest.host,
        human_size(made.built.system.content_bytes())
    ));
    text
}
