//! `nos hardware`: the kernel block for a running machine.

use super::Outcome;
use crate::args::HardwareArgs;
use crate::context::Context;
use crate::failure::Failure;
use nos_builder::hardware::Machine;
use serde::Serialize;

#[derive(Serialize)]
struct Found {
    platform: &'static str,
    vendor: String,
    model: String,
    devices: usize,
    kernel: String,
}

pub(crate) fn run(context: &Context, args: &HardwareArgs) -> Outcome {
    let machine = Machine::read(&args.sys);
    if machine.devices.is_empty() {
        return Err(Failure::failed(format_args!(
            "{} shows no devices; run this on the machine itself, with /sys mounted",
            args.sys.display()
        )));
    }
    let found = Found {
        platform: machine.platform().name(),
        devices: machine.devices.len(),
        kernel: machine.kernel_block(),
        vendor: machine.vendor,
        model: machine.model,
    };
    context.shell.result(&found, |found| found.kernel.clone())?;
    Ok(())
}
