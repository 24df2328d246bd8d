//! `nos run`: the real disk, booted here.

use super::build::{self, Made};
use super::image::write_image;
use super::{Outcome, disk};
use crate::args::{Accel, RunArgs};
use crate::context::Context;
use crate::failure::Failure;
use crate::tools;
use crate::units::human_size;
use nos_builder::BuiltSystem;
use nos_disk::{Disk, FileDevice};
use nos_machine::{Accelerator, Config, ConsoleTo, Disk as MachineDisk, Ended, Forward, MachineError, Vm};
use nos_manifest::Protocol;
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

/// Sector size of disks made for a virtual machine, in bytes.
const SECTOR_SIZE: u32 = 512;

/// How long to wait for the machine at a time.
const WAIT: Duration = Duration::from_secs(3600);

impl From<MachineError> for Failure {
    fn from(error: MachineError) -> Self {
        Failure::failed(error)
    }
}

#[derive(Serialize)]
struct Running<'a> {
    host: &'a str,
    accelerator: String,
    forwards: Vec<Address>,
}

#[derive(Serialize)]
struct Address {
    service: String,
    guest: u16,
    address: String,
}

pub(crate) fn run(context: &Context, args: &RunArgs) -> Outcome {
    let made = build::make(context, &args.spec.spec, args.locked)?;
    let Made { store, project, built } = &made;
    let toolbox = match args.system_qemu {
        true => tools::system_toolbox(context)?,
        false => tools::toolbox(context, store)?,
    };
    let scratch = tempfile::Builder::new()
        .prefix("nos-run-")
        .tempdir()
        .map_err(|e| Failure::failed(format_args!("no scratch folder: {e}; set TMPDIR to one")))?;
    let own = scratch.path().join("disk.img");
    let path = args.disk.as_deref().unwrap_or(&own);
    if path.exists() {
        disk::on(path, Disk::open(&mut FileDevice::open_read_only(path)?).map(drop))?;
    } else {
        write_image(context, &made, path, None, SECTOR_SIZE)?;
    }
    let vm = &built.system.machine;
    let mut config = Config::new(scratch.path());
    config.memory_bytes = args.memory.unwrap_or(vm.memory_bytes);
    config.cpus = args.cpus.unwrap_or(vm.cpus);
    config.disks = vec![MachineDisk::new(path)];
    config.forwards = forwards(&built.system, &args.port);
    config.console = if context.shell.json() { ConsoleTo::Pipe } else { ConsoleTo::Stdio };
    config.accel = match args.accel {
        Accel::Auto => nos_machine::Accel::Auto,
        Accel::Kvm => nos_machine::Accel::Kvm,
        Accel::Tcg => nos_machine::Accel::Tcg,
    };
    let mut machine = Vm::start(&toolbox, &config)?;
    say(context, &project.system()?.host, &built.system, &machine, path)?;
    if args.disk.is_none() {
        // QEMU has it open; without a name it is gone however this ends.
        let _ = std::fs::remove_file(&own);
    }
    let ended = loop {
        if let Some(ended) = machine.wait(WAIT)? {
            break ended;
        }
    };
    finish(context, &ended, &machine)
}

/// Every declared TCP port, as the spec and the command line want it forwarded.
fn forwards(system: &BuiltSystem, extra: &[(u16, u16)]) -> Vec<Forward> {
    let listens = system.manifest.services.iter().flat_map(|s| &s.listen);
    let mut wanted: BTreeMap<u16, u16> = listens
        .filter(|port| port.protocol == Protocol::Tcp)
        .map(|port| (port.port, system.machine.forward.get(&port.port).copied().unwrap_or(0)))
        .collect();
    wanted.extend(&system.machine.forward);
    wanted.extend(extra.iter().map(|(host, guest)| (*guest, *host)));
    wanted.into_iter().map(|(guest, host)| Forward { host, guest }).collect()
}

fn say(
    context: &Context,
    host: &str,
    system: &BuiltSystem,
    machine: &Vm,
    disk: &Path,
) -> Outcome {
    let shell = &context.shell;
    let service = |guest: u16| {
        let services = system.manifest.services.iter();
        let mut owners = services.filter(|s| s.listen.iter().any(|l| l.port == guest));
        owners.next().map_or_else(String::new, |s| s.name.clone())
    };
    let forwards: Vec<Address> = machine
        .forwards()
        .iter()
        .map(|f| Address {
            service: service(f.guest),
            guest: f.guest,
            address: format!("127.0.0.1:{}", f.host),
        })
        .collect();
    let chosen = machine.acceleration();
    let accelerator = match (chosen.accelerator, &chosen.why_not_kvm) {
        (Accelerator::Kvm, _) => "KVM".to_string(),
        (Accelerator::Tcg, None) => "emulated".to_string(),
        (Accelerator::Tcg, Some(why)) => format!("emulated, not KVM: {why}"),
    };
    if shell.json() {
        return Ok(shell.result(&Running { host, accelerator, forwards }, |_| String::new())?);
    }
    shell.status("Booting", format_args!("{host} from {} ({accelerator})", disk.display()));
    shell.status("Content", human_size(system.content_bytes()));
    for Address { service, guest, address } in &forwards {
        shell.status("Forwarding", format_args!("http://{address} to {service} port {guest}"));
    }
    Ok(())
}

fn finish(context: &Context, ended: &Ended, machine: &Vm) -> Outcome {
    if ended.status.success() {
        let why = ended.reason.as_deref().unwrap_or("it ended");
        context.shell.status("Stopped", why);
        return Ok(());
    }
    Err(Failure::failed(format_args!(
        "the virtual machine ended with {}: {}; `nos doctor` says what this machine can do",
        ended.status,
        machine.complaints().trim()
    )))
}
