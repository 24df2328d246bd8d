//! `nos flash`: a bootable disk onto real hardware, refusing anything that looks like a mistake.

mod ask;
mod pace;
mod reread;
mod source;

use super::disk::{on, open_for};
use super::{Outcome, log};
use crate::args::FlashArgs;
use crate::context::Context;
use crate::failure::Failure;
use crate::scratch::HeldSignals;
use crate::units::human_size;
use nos_disk::flash::{
    Device, Fit, FlashError, Flashed, KeptState, Machine, geometry_of, stream, write,
};
use nos_disk::{Disk, Progress, Sharing};
use nos_formats::gpt::Geometry;
use pace::Pace;
use serde::Serialize;
use source::Source;
use std::io::{ErrorKind, IsTerminal};
use std::ops::ControlFlow;
use std::os::fd::AsFd;
use std::path::Path;

/// Sector size of image files, in bytes.
const SECTOR_SIZE: u32 = 512;

#[derive(Serialize)]
struct Written<'a> {
    #[serde(serialize_with = "crate::units::shown")]
    device: &'a Path,
    #[serde(skip_serializing_if = "Option::is_none")]
    was: Option<&'a Device>,
    /// Who signed the image, where it was signed.
    #[serde(skip_serializing_if = "Option::is_none")]
    signed_by: Option<String>,
    /// Bytes of the state partition that was kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    kept_state_bytes: Option<u64>,
    /// Whether the kernel goes by the new partitions; of a block device alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    partitions_seen: Option<bool>,
    #[serde(flatten)]
    flashed: &'a Flashed,
    #[serde(flatten)]
    pace: &'a Pace,
}

/// What tells a device from others; empty where it has no serial number.
fn identity(device: &Device) -> String {
    match device.serial.as_str() {
        "" => String::new(),
        serial => format!("{}\n{serial}", device.model),
    }
}

pub(crate) fn run(context: &Context, args: &FlashArgs) -> Outcome {
    match &args.device {
        Some(device) => to_device(context, args, device),
        None => to_pipe(context, args),
    }
}

fn to_device(context: &Context, args: &FlashArgs, path: &Path) -> Outcome {
    let is_file = match std::fs::metadata(path) {
        Ok(metadata) => metadata.is_file(),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            return Err(Failure::failed(format_args!(
                "there is no device {}; `lsblk` lists them, `nos image -o FILE` writes a file",
                path.display()
            )));
        }
        Err(_) => false,
    };
    let inspect = || Machine::default().inspect(path);
    let device = if is_file { None } else { Some(inspect()?) };
    // What can be refused before the build is refused before the build.
    if let Some(device) = &device {
        refuse(device, 0)?;
    }
    let (geometry, kept) = look(context, path, args.keep_state)?;
    let source = Source::open(context, args, Some(geometry))?;
    let needed = source.needed(geometry.sector_size)?;
    if let Some(needed) = needed.filter(|_| kept.is_none()) {
        match &device {
            Some(device) => refuse(device, needed)?,
            None => check_size(path, geometry, needed)?,
        }
    }
    let fit = Fit {
        align_bytes: device.as_ref().map_or(0, |device| device.optimal_io_bytes),
        state: args.state.unwrap_or_default(),
        spare_bytes: source.spare_bytes(),
        kept,
        identity: device.as_ref().map_or_else(String::new, identity),
    };
    source.with_plan(path, geometry, &fit, |plan| {
        ask::confirm(context, args, path, device.as_ref(), &source, plan, &fit)?;
        // Devices come and go, and their names with them.
        if device.is_some() && inspect().ok() != device {
            return Err(Failure::failed(format_args!(
                "{} is not what it was when it was looked at; nothing was written, run this again",
                path.display()
            )));
        }
        let mut target = open_for(context, path, Sharing::Alone)?;
        let (flashed, pace) = {
            let signals = HeldSignals::hold();
            let mut pace = Pace::default();
            let mut watch = |at: &Progress| {
                pace.show(&context.shell, at);
                match signals.count() {
                    0 => ControlFlow::Continue(()),
                    _ => ControlFlow::Break(()),
                }
            };
            let result = write(plan, &mut target, &mut watch);
            context.shell.clear();
            (on(path, result)?, pace)
        };
        let name = source.name();
        let report = &flashed.report;
        match Disk::open(&mut target) {
            Ok(mut disk) => log::keep(context, path, &mut disk, "flash", None, report, &name),
            Err(error) => log::not_kept(context, error),
        }
        drop(target);
        let partitions_seen = device.as_ref().map(|_| reread::reread(context, path));
        let written = Written {
            device: path,
            was: device.as_ref(),
            signed_by: source.signer(),
            kept_state_bytes: fit.kept.as_ref().map(KeptState::size_bytes),
            partitions_seen,
            flashed: &flashed,
            pace: &pace,
        };
        if context.shell.json() {
            return Ok(context.shell.result(&written, |_| String::new())?);
        }
        context.shell.status(
            "Flashed",
            format_args!(
                "{}: generation {} of {}, {}",
                path.display(),
                flashed.report.number,
                source.name(),
                pace.told(&flashed),
            ),
        );
        Ok(())
    })
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

fn check_size(path: &Path, geometry: Geometry, needed: u64) -> Outcome {
    let size = geometry.sectors * u64::from(geometry.sector_size);
    match size < needed {
        false => Ok(()),
        true => Err(Failure::failed(format_args!(
            "{}: a disk of {} is too small: it needs {}, {} bytes more; make the file larger, or \
             have one made with `nos image`",
            path.display(),
            human_size(size),
            human_size(needed),
            needed - size
        ))),
    }
}

/// The device's geometry, and the state partition that is to stay.
fn look(
    context: &Context,
    path: &Path,
    keep_state: bool,
) -> Result<(Geometry, Option<KeptState>), Failure> {
    let device = open_for(context, path, Sharing::ReadOnly)?;
    let geometry = on(path, geometry_of(&device))?;
    let kept = match keep_state {
        true => Some(on(path, KeptState::find(&device))?),
        false => None,
    };
    Ok((geometry, kept))
}

/// The whole disk as a stream of bytes on standard output.
fn to_pipe(context: &Context, args: &FlashArgs) -> Outcome {
    if context.shell.json() {
        return Err(Failure::Wrong(
            "standard output holds the disk, so there is no place for JSON; leave --json out"
                .into(),
        ));
    }
    let out = std::io::stdout();
    if out.is_terminal() {
        return Err(Failure::Wrong(
            "a terminal can do nothing with a disk; pipe it on, as in \
             `nos flash SPEC --stdout | ssh HOST 'cat > /dev/sdX'`"
                .into(),
        ));
    }
    let source = Source::open(context, args, None)?;
    let sector_size = match &source {
        Source::Image(image) => image.device().sector_size(),
        Source::System(_) => args.sector_size.unwrap_or(SECTOR_SIZE),
    };
    let size = match (args.size, &source) {
        (Some(size), _) => size,
        (None, Source::Image(image)) => image.device().size_bytes(),
        (None, Source::System(_)) => {
            source.needed(sector_size)?.unwrap_or(0) + source.spare_bytes()
        }
    };
    let geometry = Geometry {
        sector_size,
        sectors: size / u64::from(sector_size),
    };
    let fit = Fit {
        state: args.state.unwrap_or_default(),
        spare_bytes: source.spare_bytes(),
        ..Fit::default()
    };
    // Not by way of its buffer, which looks for ends of lines.
    let file = out.as_fd().try_clone_to_owned().map(std::fs::File::from);
    let mut file = file.map_err(|error| {
        Failure::failed(format_args!(
            "standard output cannot be written: {error}; check where it leads"
        ))
    })?;
    source.with_plan(Path::new("standard output"), geometry, &fit, |plan| {
        let mut pace = Pace::default();
        let mut watch = |at: &Progress| {
            pace.show(&context.shell, at);
            ControlFlow::Continue(())
        };
        let result = stream(plan, &mut file, &mut watch);
        context.shell.clear();
        match result {
            Ok(_) => Ok(()),
            Err(FlashError::Device { source, .. }) if source.0.kind() == ErrorKind::BrokenPipe => {
                Err(Failure::BrokenPipe)
            }
            Err(FlashError::Device { source, .. }) => Err(Failure::failed(format_args!(
                "standard output cannot be written: {}; check where it leads",
                source.0
            ))),
            Err(error) => Err(Failure::failed(error)),
        }
    })
}
