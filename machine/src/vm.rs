//! A running virtual machine.

use crate::acceleration::Acceleration;
use crate::arguments::{MONITOR, arguments};
use crate::config::{Boot, Config, ConsoleTo, Forward};
use crate::console::Console;
use crate::error::MachineError;
use crate::keeper::{Keeper, wait_until};
use crate::qmp::{Qmp, QmpError};
use crate::scratch::Scratch;
use crate::toolbox::Toolbox;
use serde_json::json;
use std::fs::File;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// Most time for QEMU to open its monitor. It does so before the guest runs.
const START_LIMIT: Duration = Duration::from_secs(60);
/// Pause between looks whether the monitor is there.
const START_PAUSE: Duration = Duration::from_millis(2);
/// Most time for QEMU to leave when told to.
const QUIT_LIMIT: Duration = Duration::from_secs(10);

/// A running virtual machine. Dropping it is pulling the plug.
#[derive(Debug)]
pub struct Vm {
    child: Child,
    ended: Option<Ended>,
    qmp: Option<Qmp>,
    console: Console,
    errors: Console,
    forwards: Vec<Forward>,
    acceleration: Acceleration,
    // Dropped after the child is gone, in this order.
    _keeper: Option<Keeper>,
    _scratch: Scratch,
}

/// How a machine ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended {
    /// QEMU's exit status.
    pub status: ExitStatus,
    /// Why, in QEMU's words: `guest-shutdown`, `guest-reset`, `guest-panic`, `host-qmp-quit`, …
    pub reason: Option<String>,
}

impl Ended {
    /// Whether the guest powered itself off.
    pub fn powered_off(&self) -> bool {
        self.reason.as_deref() == Some("guest-shutdown")
    }

    /// Whether the guest reset itself, with [`crate::OnReset::End`].
    pub fn reset(&self) -> bool {
        self.reason.as_deref() == Some("guest-reset")
    }
}

impl Vm {
    /// Starts a machine. On return the guest runs, and its ports are forwarded.
    ///
    /// # Errors
    /// [`MachineError::PortInUse`] for a wanted port that is taken;
    /// [`MachineError::EndedEarly`] with QEMU's words where it does not like the configuration;
    /// [`MachineError::File`], [`MachineError::Spawn`] and [`MachineError::Monitor`].
    pub fn start(toolbox: &Toolbox, config: &Config) -> Result<Self, MachineError> {
        let scratch = Scratch::new(&config.scratch)?;
        for disk in &config.disks {
            check_file(&disk.path, !disk.read_only && !disk.snapshot)?;
        }
        let variables = place_variables(config, toolbox, scratch.path())?;
        let acceleration = Acceleration::decide(config.accel, toolbox, scratch.path());

        let to_memory = config.console != ConsoleTo::Stdio;
        let copy = match &config.console {
            ConsoleTo::File(path) => Some(File::create(path).map_err(|error| {
                let path = path.clone();
                MachineError::File { path, error }
            })?),
            _ => None,
        };
        let (stdin, stdout) = if to_memory {
            let stdin = match config.input {
                true => Stdio::piped(),
                false => Stdio::null(),
            };
            (stdin, Stdio::piped())
        } else {
            (Stdio::inherit(), Stdio::inherit())
        };
        let mut command = toolbox.command();
        if to_memory {
            // Ctrl-C at the terminal is for this program, which may want to end the guest well.
            command.process_group(0);
        }
        let mut child = command
            .args(arguments(
                config,
                toolbox,
                acceleration.accelerator,
                &variables,
            ))
            .current_dir(scratch.path())
            .env("TMPDIR", scratch.path())
            .stdin(stdin)
            .stdout(stdout)
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| MachineError::Spawn {
                program: toolbox.qemu().to_path_buf(),
                error,
            })?;
        // Without a shell on this machine only a killed nos would leave a machine running.
        let keeper = Keeper::guard(&child, scratch.path()).ok();
        let console = match child.stdout.take() {
            Some(pipe) => Console::read_from(pipe, copy),
            None => {
                let console = Console::default();
                console.close();
                console
            }
        };
        let errors = match child.stderr.take() {
            Some(pipe) => Console::read_from(pipe, None),
            None => Console::default(),
        };
        let mut vm = Self {
            child,
            ended: None,
            qmp: None,
            console,
            errors,
            forwards: config.forwards.clone(),
            acceleration,
            _keeper: keeper,
            _scratch: scratch,
        };
        vm.connect()?;
        vm.learn_ports()?;
        Ok(vm)
    }

    fn connect(&mut self) -> Result<(), MachineError> {
        let until = Instant::now() + START_LIMIT;
        let stream = loop {
            match Qmp::open_socket(self._scratch.path(), MONITOR) {
                Ok(stream) => break stream,
                Err(_) if self.running()? && Instant::now() < until => {
                    std::thread::sleep(START_PAUSE);
                }
                Err(error) => return Err(self.early_end(error)),
            }
        };
        match Qmp::greet(stream) {
            Ok(qmp) => {
                self.qmp = Some(qmp);
                Ok(())
            }
            // QEMU opens the socket before it looks at its devices and files.
            Err(QmpError::Io { error, .. }) => Err(self.early_end(error)),
            Err(other) => Err(other.into()),
        }
    }

    /// The error for a machine that did not get as far as its monitor.
    fn early_end(&mut self, error: io::Error) -> MachineError {
        let until = Instant::now() + QUIT_LIMIT;
        let status = match wait_until(&mut self.child, until) {
            Ok(Some(status)) => status,
            _ => {
                let command = "greeting".into();
                return QmpError::Io { command, error }.into();
            }
        };
        let said = self.errors.lines().collect::<Vec<_>>().join(" ");
        let taken = self.forwards.iter().find(|forward| {
            forward.host != 0
                && said.contains("host forwarding rule")
                && said.contains(&format!("tcp:127.0.0.1:{}-", forward.host))
        });
        match taken {
            Some(forward) => MachineError::PortInUse { port: forward.host },
            None => MachineError::EndedEarly {
                how: status.to_string(),
                said: said.replace("qemu-system-x86_64: ", ""),
            },
        }
    }

    /// Asks which ports were given where any free one was wanted.
    fn learn_ports(&mut self) -> Result<(), MachineError> {
        if self.forwards.iter().all(|forward| forward.host != 0) {
            return Ok(());
        }
        let table = self.monitor()?.human("info usernet")?;
        let mut found = parse_forwards(&table);
        for forward in self.forwards.iter_mut().filter(|f| f.host == 0) {
            let at = found.iter().position(|f| f.guest == forward.guest);
            if let Some(at) = at {
                forward.host = found.swap_remove(at).host;
            }
        }
        Ok(())
    }

    fn running(&mut self) -> Result<bool, MachineError> {
        let status = self.child.try_wait().map_err(MachineError::Wait)?;
        Ok(status.is_none())
    }

    /// The forwarded ports with the real port of this machine for each.
    pub fn forwards(&self) -> &[Forward] {
        &self.forwards
    }

    /// The port of this machine that reaches a guest's port.
    pub fn host_port(&self, guest: u16) -> Option<u16> {
        let forward = self.forwards.iter().find(|f| f.guest == guest)?;
        Some(forward.host)
    }

    /// The guest's console; empty with [`ConsoleTo::Stdio`].
    pub fn console(&self) -> &Console {
        &self.console
    }

    /// A pipe to the guest's first serial port, once, with [`Config::input`].
    pub fn take_input(&mut self) -> Option<ChildStdin> {
        self.child.stdin.take()
    }

    /// How the guest's instructions are run, and why not faster.
    pub fn acceleration(&self) -> &Acceleration {
        &self.acceleration
    }

    /// Process id of QEMU.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// What QEMU has written to standard error so far.
    pub fn complaints(&self) -> String {
        self.errors.text()
    }

    /// The machine's monitor.
    ///
    /// # Errors
    /// [`QmpError::Io`] where the machine has ended.
    pub fn monitor(&mut self) -> Result<&mut Qmp, QmpError> {
        self.qmp.as_mut().ok_or_else(|| QmpError::Io {
            command: "connect".into(),
            error: io::ErrorKind::NotConnected.into(),
        })
    }

    /// Presses the power button; the guest decides what it does about it.
    ///
    /// # Errors
    /// [`MachineError::Monitor`] where the machine does not answer.
    pub fn powerdown(&mut self) -> Result<(), MachineError> {
        self.monitor()?.execute("system_powerdown", json!({}))?;
        Ok(())
    }

    /// Presses the reset button.
    ///
    /// # Errors
    /// [`MachineError::Monitor`] where the machine does not answer.
    pub fn reset(&mut self) -> Result<(), MachineError> {
        self.monitor()?.execute("system_reset", json!({}))?;
        Ok(())
    }

    /// Ends the machine without the guest's help, and waits for it. What the guest has written
    /// to its disks reaches the files.
    ///
    /// # Errors
    /// [`MachineError::Wait`] where the process cannot be waited for.
    pub fn quit(mut self) -> Result<Ended, MachineError> {
        if let Some(qmp) = &mut self.qmp {
            // QEMU may be gone before it answers.
            let _ = qmp.execute("quit", json!({}));
        }
        if let Some(ended) = self.wait(QUIT_LIMIT)? {
            return Ok(ended);
        }
        self.child.kill().map_err(MachineError::Wait)?;
        let status = self.child.wait().map_err(MachineError::Wait)?;
        Ok(Ended {
            status,
            reason: None,
        })
    }

    /// Pulls the plug: what the guest has written and not flushed may be lost, as on hardware.
    pub fn cut_power(self) {
        drop(self);
    }

    /// Waits for the machine to end by itself; `None` where it still runs after `limit`.
    ///
    /// # Errors
    /// [`MachineError::Wait`] where the process cannot be waited for.
    pub fn wait(&mut self, limit: Duration) -> Result<Option<Ended>, MachineError> {
        if self.ended.is_none() {
            let ended = wait_until(&mut self.child, Instant::now() + limit);
            let Some(status) = ended.map_err(MachineError::Wait)? else {
                return Ok(None);
            };
            let reason = self.qmp.take().and_then(Qmp::into_shutdown_reason);
            self.ended = Some(Ended { status, reason });
        }
        Ok(self.ended.clone())
    }

    /// Memory of this machine that the virtual machine occupies now, in bytes.
    ///
    /// # Errors
    /// [`MachineError::File`] where `/proc` does not say.
    pub fn resident_bytes(&self) -> Result<u64, MachineError> {
        let path = PathBuf::from(format!("/proc/{}/status", self.id()));
        let text = std::fs::read_to_string(&path);
        let text = text.map_err(|error| MachineError::File {
            path: path.clone(),
            error,
        })?;
        let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kibibytes = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
        kibibytes
            .map(|kibibytes| kibibytes * 1024)
            .ok_or(MachineError::File {
                path,
                error: io::ErrorKind::InvalidData.into(),
            })
    }
}

impl Drop for Vm {
    fn drop(&mut self) {
        // Errors mean that it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn check_file(path: &Path, write: bool) -> Result<(), MachineError> {
    let opened = File::options().read(true).write(write).open(path);
    opened.map(drop).map_err(|error| MachineError::File {
        path: path.to_path_buf(),
        error,
    })
}

/// The firmware's variable file: the caller's, made from the template if it is missing, or a
/// copy that is forgotten.
fn place_variables(
    config: &Config,
    toolbox: &Toolbox,
    folder: &Path,
) -> Result<PathBuf, MachineError> {
    let kept = match &config.boot {
        Boot::Uefi { variables } => variables.clone(),
        Boot::Direct { .. } => return Ok(PathBuf::new()),
    };
    let path = kept.unwrap_or_else(|| folder.join("variables.fd"));
    if path.exists() {
        return Ok(path);
    }
    // The template may be a read-only file of a store; its mode must not be copied.
    let copied = File::open(toolbox.firmware_variables())
        .and_then(|mut template| io::copy(&mut template, &mut File::create_new(&path)?));
    match copied {
        Ok(_) => Ok(path),
        Err(error) => Err(MachineError::File { path, error }),
    }
}

/// Reads the table of `info usernet`:
/// `TCP[HOST_FORWARD]  11  127.0.0.1 40123  10.0.2.15  80  0  0`.
fn parse_forwards(table: &str) -> Vec<Forward> {
    let rows = table.lines().filter_map(|line| {
        let mut words = line.split_whitespace();
        if words.next()? != "TCP[HOST_FORWARD]" {
            return None;
        }
        Some(Forward {
            host: words.nth(2)?.parse().ok()?,
            guest: words.nth(1)?.parse().ok()?,
        })
    });
    rows.collect()
}

#[cfg(test)]
pub(crate) mod tests;
