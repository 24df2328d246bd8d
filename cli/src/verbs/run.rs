//! `nos run`: the real disk, booted here.

use super::build::{self, Made};
use super::image::{check_place, write_image};
use super::{Outcome, disk};
use crate::args::{Accel, RunArgs};
use crate::context::Context;
use crate::failure::Failure;
use crate::scratch::{HeldSignals, Scratch};
use crate::tools;
use crate::units::human_size;
use nos_builder::BuiltSystem;
use nos_disk::{BlockDevice, Disk, FileDevice};
use nos_machine::{
    Accelerator, Boot, Config, Disk as MachineDisk, Ended, Forward, MachineError, OnReset, Vm,
};
use nos_manifest::Protocol;
use nos_store::Store;
use rustix::process::getpgrp;
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcgetpgrp, tcsetattr};
use serde::Serialize;
use serde_json::json;
use std::collections::BTreeMap;
use std::io::{BufRead, Write};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Sector size of disks made for a virtual machine, in bytes.
pub(crate) const SECTOR_SIZE: u32 = 512;

/// How long to wait for the machine before looking whether Ctrl-C was pressed.
const GLANCE: Duration = Duration::from_millis(100);

/// How long a machine may take to switch itself off. Its services have 10 s of it.
const POWER_OFF_LIMIT: Duration = Duration::from_secs(20);

/// Words that a kernel started without firmware gets besides its own: such a machine has no power
/// switch, and ends when it is reset.
const DIRECT_WORDS: &str = "reboot=t nos.off=reset";

/// The guest's serial line that this console is.
const SERIAL_LINE: &str = "/dev/ttyS0";

/// How long the guest is silent behind the beginning of a line before that is shown.
const PROMPT: Duration = Duration::from_millis(30);

/// How long until the power button is pressed once more.
const PRESS_AGAIN: Duration = Duration::from_secs(1);

/// How long QEMU may take to leave.
const QUIT_LIMIT: Duration = Duration::from_secs(10);

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
    let Made {
        store,
        project,
        built,
    } = &made;
    // Before a disk is made for nothing.
    let boot = match args.direct {
        true => Some(direct_boot(store, &built.system)?),
        false => None,
    };
    let toolbox = match args.system_qemu {
        true => tools::system_toolbox(context)?,
        false => tools::toolbox(context, store)?,
    };
    let own = match args.disk {
        Some(_) => None,
        None => Some(Scratch::folder("nos-run-")?),
    };
    let path = match (&args.disk, &own) {
        (None, Some(own)) => own.path().join("disk.img"),
        (disk, _) => disk.clone().unwrap_or_default(),
    };
    let path = path.as_path();
    let mut restarts = args.restart;
    let mut vm_disk = MachineDisk::new(path);
    if path.exists() {
        let mut device = FileDevice::open_read_only(path)?;
        vm_disk.sector_bytes = device.sector_size();
        let generations = disk::on(path, Disk::open(&mut device))?.generations();
        // A trial is one restart there and, where it fails, one back.
        restarts |= generations.iter().any(|g| g.trial.is_some());
    } else {
        check_place(path, false)?;
        write_image(context, &made, path, None, SECTOR_SIZE)?;
    }
    let vm = &built.system.machine;
    let mut config = Config::new(std::env::temp_dir());
    config.memory_bytes = args.memory.unwrap_or(vm.memory_bytes);
    config.cpus = args.cpus.unwrap_or(vm.cpus);
    vm_disk.usb = args.usb;
    config.disks = vec![vm_disk];
    config.disks.extend(args.with.iter().map(MachineDisk::new));
    let has_terminal = |s: &nos_manifest::Service| s.terminal.as_deref() == Some(SERIAL_LINE);
    config.input = built.system.manifest.services.iter().any(has_terminal);
    config.forwards = forwards(&built.system, &args.port);
    config.accel = match args.accel {
        Accel::Auto => nos_machine::Accel::Auto,
        Accel::Kvm => nos_machine::Accel::Kvm,
        Accel::Tcg => nos_machine::Accel::Tcg,
    };
    if restarts {
        config.on_reset = OnReset::Boot;
        config.watchdog = true;
    }
    config.boot = boot.unwrap_or_else(|| Boot::Uefi {
        variables: args.variables.clone(),
    });
    config.extra.clone_from(&args.qemu);
    let mut machine = Vm::start(&toolbox, &config)?;
    // QEMU has it open; without a name it is gone however this ends.
    drop(own);
    let signals = HeldSignals::hold();
    say(
        context,
        &project.system()?.host,
        &built.system,
        &machine,
        path,
    )?;
    let gone = Arc::new(AtomicBool::new(false));
    let console = show_console(&machine, context.shell.json(), &gone);
    let typing = machine.take_input().and_then(Typing::begin);
    // One Ctrl-C may end the reader as well, and must not count twice.
    let asked = || {
        signals
            .count()
            .max(usize::from(gone.load(Ordering::Relaxed)))
    };
    let ended = wait(context, &mut machine, !args.direct, asked)?;
    let _ = console.join();
    drop(typing);
    finish(context, &ended, &machine, args.direct)
}

/// Kernel, initramfs and command line as a microVM host gets them.
fn direct_boot(store: &Store, system: &BuiltSystem) -> Result<Boot, Failure> {
    let kernel = system.direct.ok_or_else(|| {
        Failure::failed(
            "--direct needs a kernel that starts without firmware and finds devices without PCI: \
             give the host `kernel = kernel.minimal` (`use std.kernel`), or a kernel block with \
             `platform = microvm`",
        )
    })?;
    Ok(Boot::Direct {
        kernel: store.object_path(&kernel.digest),
        initrd: Some(store.object_path(&system.initrd.digest)),
        cmdline: format!("{} {DIRECT_WORDS}", system.cmdline),
        microvm: true,
    })
}

/// What is typed goes to the guest, which echoes it.
struct Typing {
    /// How the terminal was, where it is one.
    before: Option<Termios>,
}

impl Typing {
    /// Copies standard input to the guest in a thread of its own, which nobody waits for; not where
    /// another program has the terminal.
    fn begin(mut to: impl Write + Send + 'static) -> Option<Self> {
        let stdin = std::io::stdin();
        let before = tcgetattr(&stdin).ok();
        if let Some(before) = &before {
            if tcgetpgrp(&stdin).ok() != Some(getpgrp()) {
                return None;
            }
            let mut silent = before.clone();
            silent.local_modes.remove(LocalModes::ECHO);
            let _ = tcsetattr(&stdin, OptionalActions::Now, &silent);
        }
        std::thread::spawn(move || {
            let mut line = Vec::new();
            loop {
                line.clear();
                let read = std::io::stdin().lock().read_until(b'\n', &mut line);
                if !read.is_ok_and(|n| n > 0) || to.write_all(&line).is_err() {
                    return;
                }
            }
        });
        Some(Self { before })
    }
}

impl Drop for Typing {
    fn drop(&mut self) {
        if let Some(before) = &self.before {
            let _ = tcsetattr(std::io::stdin(), OptionalActions::Now, before);
        }
    }
}

/// Copies the guest's console, which is data, to standard output; beside JSON it is talk. Sets `gone`
/// where nobody reads what it says any more.
fn show_console(machine: &Vm, json: bool, gone: &Arc<AtomicBool>) -> JoinHandle<()> {
    let pieces = machine.console().pieces(PROMPT);
    let gone = Arc::clone(gone);
    std::thread::spawn(move || {
        let say = |piece: &str| match json {
            true => std::io::stderr().write_all(piece.as_bytes()),
            false => {
                let mut out = std::io::stdout().lock();
                out.write_all(piece.as_bytes()).and_then(|()| out.flush())
            }
        };
        let mut is_open = false;
        for piece in pieces {
            is_open = !piece.ends_with('\n');
            if say(&piece).is_err() {
                gone.store(true, Ordering::Relaxed);
                return;
            }
        }
        if is_open {
            let _ = say("\n");
        }
    })
}

/// Waits for the machine to end. The first of `asked` (Ctrl-C, or nobody who reads the console)
/// presses its power button, so that nothing it was asked to keep is lost; the second pulls the
/// plug; so does the first where the machine has no button.
fn wait(
    context: &Context,
    machine: &mut Vm,
    has_button: bool,
    asked: impl Fn() -> usize,
) -> Result<Ended, Failure> {
    let mut stopping: Option<(Instant, u32)> = None;
    loop {
        if let Some(ended) = machine.wait(GLANCE)? {
            return Ok(ended);
        }
        match (asked(), &mut stopping) {
            (0, _) => {}
            (1, None) if has_button => {
                context
                    .shell
                    .status("Stopping", "the machine; Ctrl-C again pulls the plug");
                // It may end at this moment.
                let _ = machine.powerdown();
                stopping = Some((Instant::now(), 1));
            }
            (1, Some((since, presses))) if since.elapsed() < POWER_OFF_LIMIT => {
                // Early in a boot nobody listens to the button.
                if since.elapsed() > *presses * PRESS_AGAIN {
                    let _ = machine.powerdown();
                    *presses += 1;
                }
            }
            _ => {
                // It may end at this moment; else dropping it kills it.
                let _ = machine
                    .monitor()
                    .map(|monitor| monitor.execute("quit", json!({})));
                return match machine.wait(QUIT_LIMIT)? {
                    Some(ended) => Ok(ended),
                    None => Err(Failure::failed("QEMU does not end; it is killed")),
                };
            }
        }
    }
}

/// Presses the power button and waits for the machine to end; a further Ctrl-C pulls the plug.
pub(crate) fn power_off(context: &Context, machine: &mut Vm, signals: &HeldSignals) -> Outcome {
    let before = signals.count();
    let asked = || 1 + signals.count() - before;
    wait(context, machine, true, asked).map(drop)
}

/// Every declared TCP port, as the spec and the command line want it forwarded.
pub(crate) fn forwards(system: &BuiltSystem, extra: &[(u16, u16)]) -> Vec<Forward> {
    let listens = system.manifest.services.iter().flat_map(|s| &s.listen);
    let mut wanted: BTreeMap<u16, u16> = listens
        .filter(|port| port.protocol == Protocol::Tcp)
        .map(|port| {
            (
                port.port,
                system.machine.forward.get(&port.port).copied().unwrap_or(0),
            )
        })
        .collect();
    wanted.extend(&system.machine.forward);
    wanted.extend(extra.iter().map(|(host, guest)| (*guest, *host)));
    wanted
        .into_iter()
        .map(|(guest, host)| Forward { host, guest })
        .collect()
}

fn say(context: &Context, host: &str, system: &BuiltSystem, machine: &Vm, disk: &Path) -> Outcome {
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
        return Ok(shell.result(
            &Running {
                host,
                accelerator,
                forwards,
            },
            |_| String::new(),
        )?);
    }
    shell.status(
        "Booting",
        format_args!("{host} from {} ({accelerator})", disk.display()),
    );
    shell.status("Content", human_size(system.content_bytes()));
    for Address {
        service,
        guest,
        address,
    } in &forwards
    {
        shell.status(
            "Forwarding",
            format_args!("http://{address} to {service} port {guest}"),
        );
    }
    Ok(())
}

fn finish(context: &Context, ended: &Ended, machine: &Vm, direct: bool) -> Outcome {
    if ended.reset() && !direct {
        return Err(Failure::failed(
            "the guest restarted instead of switching itself off; its last words above say why, \
             and --restart lets it go on",
        ));
    }
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
