//! Showing what would be lost, and having it confirmed.

use super::source::Source;
use crate::args::FlashArgs;
use crate::context::Context;
use crate::failure::Failure;
use crate::units::{human_size, printable};
use crate::verbs::Outcome;
use nos_disk::flash::{Device, Fit, KeptState, Plan};
use std::io::{BufRead, IsTerminal};
use std::path::Path;

/// What `--yes` takes for an image file, or for a device without a serial number.
const NO_SERIAL: &str = "none";

/// Shows what would be lost and has it confirmed: by `--yes` with the device's serial number, or
/// by typing it.
pub(super) fn confirm(
    context: &Context,
    args: &FlashArgs,
    path: &Path,
    device: Option<&Device>,
    source: &Source,
    plan: &Plan<'_>,
    fit: &Fit,
) -> Outcome {
    let serial = match device {
        Some(device) if !device.serial.is_empty() => device.serial.as_str(),
        _ => NO_SERIAL,
    };
    context
        .shell
        .plain(&describe(path, device, source, plan, fit.kept.as_ref()));
    match &args.yes {
        Some(given) if given == serial => return Ok(()),
        Some(given) => {
            return Err(Failure::Wrong(format!(
                "the serial number of {} is {serial:?}, not {given:?}; nothing was written, name \
                 the device that you mean",
                path.display()
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

fn describe(
    path: &Path,
    device: Option<&Device>,
    source: &Source,
    plan: &Plan<'_>,
    kept: Option<&KeptState>,
) -> String {
    let or = |text: &str, other: &'static str| match text {
        "" => other.to_string(),
        text => printable(text),
    };
    let mut text = match device {
        Some(device) => format!(
            "{}: {}, serial {}, {}, sectors of {} bytes",
            path.display(),
            or(&device.model, "no model name"),
            or(&device.serial, NO_SERIAL),
            human_size(device.size_bytes),
            device.sector_size,
        ),
        None => format!(
            "{}: an image file, {}",
            path.display(),
            human_size(plan.size_bytes())
        ),
    };
    if let Some(device) = device {
        if let Some(file) = &device.backing_file {
            text.push_str(&format!(", backed by {}", printable(file)));
        }
        match (device.parts.is_empty(), device.content.as_deref()) {
            (true, None) => text.push_str("\n  nothing known is on it"),
            (true, Some(content)) => text.push_str(&format!("\n  lost: {content}")),
            (false, _) => {}
        }
        for part in &device.parts {
            let stays = kept.is_some_and(|kept| kept.number() == part.number);
            let content = part.content.as_deref().unwrap_or("unknown content");
            text.push_str(&format!(
                "\n  {}: {} {} ({content}, {})",
                if stays { "kept" } else { "lost" },
                part.name,
                printable(&part.label),
                human_size(part.size_bytes)
            ));
        }
    } else if let Some(kept) = kept {
        text.push_str(&format!(
            "\n  kept: state partition ({})",
            human_size(kept.size_bytes())
        ));
    }
    text.push_str(&format!(
        "\n  new: {} ({} to write",
        source.name(),
        human_size(plan.data_bytes())
    ));
    if let Some(state) = plan.state() {
        let size = human_size(state.end - state.start);
        text.push_str(&format!(", state partition of {size}"));
    }
    text.push(')');
    if let Some(vouched) = source.vouched() {
        text.push_str(&format!("\n  {vouched}"));
    }
    text
}
