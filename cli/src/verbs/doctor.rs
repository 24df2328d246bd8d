//! `nos doctor`: can this machine build, run and flash; if not, the one thing to do.
//!
//! Each finding comes from trying, not from looking at settings.

use super::Outcome;
use super::lock::Archive;
use crate::context::Context;
use crate::failure::Failure;
use crate::scratch::Scratch;
use crate::tools;
use crate::units::human_size;
use nos_builder::debian::{self, Environment, Retry};
use nos_machine::{Accel, Acceleration, Accelerator, Toolbox};
use nos_store::Store;
use rustix::process::geteuid;
use serde::Serialize;
use std::io::ErrorKind;

/// Release whose index is asked for, to see whether the mirror answers.
const SUITE: &str = "trixie";

/// Free space below which a build may not come to its end: packages, trees and one image.
const ENOUGH_BYTES: u64 = 1 << 30;

#[derive(Serialize)]
struct Finding {
    what: &'static str,
    good: bool,
    /// Whether nothing can be built as long as it is not good.
    needed: bool,
    found: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    remedy: Option<String>,
}

impl Finding {
    fn good(what: &'static str, found: impl ToString) -> Self {
        Self {
            what,
            good: true,
            needed: false,
            found: found.to_string(),
            remedy: None,
        }
    }

    fn bad(what: &'static str, found: impl ToString, remedy: impl ToString) -> Self {
        let remedy = Some(remedy.to_string());
        Self {
            what,
            good: false,
            needed: false,
            found: found.to_string(),
            remedy,
        }
    }

    /// What is wrong and what to do, from a message that says both: what is behind the last
    /// semicolon is the remedy.
    fn failed(what: &'static str, message: &str) -> Self {
        match message.rsplit_once("; ") {
            Some((found, remedy)) => Self::bad(what, found, remedy),
            None => Self::bad(what, message, "see above"),
        }
    }

    fn needed(self) -> Self {
        Self {
            needed: true,
            ..self
        }
    }
}

pub(crate) fn run(context: &Context) -> Outcome {
    let mut findings = Vec::new();
    let toolbox = match context.open_store() {
        Ok(store) => {
            findings.push(space(&store).needed());
            if !context.offline {
                findings.push(mirror(context, &store).needed());
            }
            let toolbox = tools::stored_toolbox(context, &store).ok();
            context.shell.clear();
            toolbox
        }
        Err(failure) => {
            findings.push(
                Finding::failed(STORE, failure.message().unwrap_or("cannot be used")).needed(),
            );
            None
        }
    };
    findings.push(sandbox());
    findings.push(machine(toolbox.as_ref()));
    findings.push(acceleration(toolbox.as_ref()));
    findings.push(devices());
    context.shell.result(&findings, |findings| {
        let mut text = String::new();
        for finding in findings {
            let mark = if finding.good { "ok" } else { "no" };
            text.push_str(&format!("{mark}  {}: {}\n", finding.what, finding.found));
            if let Some(remedy) = &finding.remedy {
                text.push_str(&format!("    → {remedy}\n"));
            }
        }
        text
    })?;
    match findings
        .iter()
        .all(|finding| finding.good || !finding.needed)
    {
        true => Ok(()),
        false => Err(Failure::Explained),
    }
}

const STORE: &str = "build: store";

fn space(store: &Store) -> Finding {
    let place = store.root().display();
    if let Err(error) = store.add_bytes(b"nos doctor\n") {
        return Finding::failed(STORE, &error.to_string());
    }
    match rustix::fs::statvfs(store.root()) {
        Ok(system) => {
            let free = system.f_bavail.saturating_mul(system.f_frsize);
            let found = format!("{place} ({} free)", human_size(free));
            match free >= ENOUGH_BYTES {
                true => Finding::good(STORE, found),
                false => Finding::bad(
                    STORE,
                    found,
                    "free some space (`nos store gc` helps), or name another place with NOS_STORE",
                ),
            }
        }
        Err(_) => Finding::good(STORE, place),
    }
}

/// Whether the archive answers and is what it should be.
fn mirror(context: &Context, store: &Store) -> Finding {
    let what = "build: Debian mirror";
    let archive = Archive::new(context, store, None);
    let ask = || -> Result<String, Failure> {
        let environment = Environment {
            retry: Retry {
                attempts: 1,
                ..Retry::default()
            },
            ..archive.environment()
        };
        debian::probe(&environment, SUITE).map_err(Failure::failed)?;
        let base = environment
            .mirror
            .map(|mirror| mirror.base(SUITE).to_string());
        base.map_err(Failure::failed)
    };
    let asked = ask();
    context.shell.clear();
    match asked {
        Ok(base) => Finding::good(
            what,
            format_args!("{base} answers, and its signature is Debian's"),
        ),
        Err(failure) => Finding::failed(what, failure.message().unwrap_or("does not answer")),
    }
}

/// The sandbox itself, empty.
fn sandbox() -> Finding {
    let what = "build: sandbox for programs";
    match nos_builder::make::probe() {
        Ok(()) => Finding::good(what, "namespaces can be made"),
        Err(nos_builder::make::SandboxError::Refused { reason, remedy }) => Finding::bad(
            what,
            format_args!(
                "namespaces are refused ({reason}); specs without programs to build need none"
            ),
            remedy,
        ),
        Err(error) => Finding::failed(what, &error.to_string()),
    }
}

fn machine(toolbox: Option<&Toolbox>) -> Finding {
    let what = "run: virtual machine";
    match toolbox {
        None => Finding::good(what, "not fetched yet; the first `nos run` does it"),
        Some(toolbox) => match toolbox.version() {
            Ok(version) => Finding::good(what, version),
            Err(error) => Finding::failed(what, &error.to_string()),
        },
    }
}

/// Tried by running a guest, where there is a QEMU to run it.
fn acceleration(toolbox: Option<&Toolbox>) -> Finding {
    let what = "run: acceleration";
    let slow = "machines are emulated, several times slower";
    let opened = std::fs::OpenOptions::new()
        .read(true)
        .write(true)
        .open("/dev/kvm");
    let remedy = match &opened {
        Ok(_) => {
            "nothing to do here; a newer kernel, or one that is not itself a guest, may do better"
        }
        Err(error) if error.kind() == ErrorKind::PermissionDenied => {
            "join the group that owns /dev/kvm (`usermod -aG kvm USER`, then log in again)"
        }
        Err(_) => "enable virtualisation in the firmware, or for the guest that this machine is",
    };
    match (toolbox, Scratch::folder("nos-doctor-")) {
        (Some(toolbox), Ok(scratch)) => {
            let chosen = Acceleration::decide(Accel::Auto, toolbox, scratch.path());
            match (chosen.accelerator, chosen.why_not_kvm) {
                (Accelerator::Kvm, _) => Finding::good(what, "KVM runs guests"),
                (Accelerator::Tcg, why) => {
                    let why = why.unwrap_or_else(|| "KVM does not run guests".into());
                    Finding::bad(what, format_args!("{why}; {slow}"), remedy)
                }
            }
        }
        _ => match opened {
            Ok(_) => Finding::good(
                what,
                "/dev/kvm opens; whether it runs guests, `nos run` finds out",
            ),
            Err(error) => Finding::bad(what, format_args!("/dev/kvm: {error}; {slow}"), remedy),
        },
    }
}

fn devices() -> Finding {
    let what = "flash: block devices";
    match geteuid().is_root() {
        true => Finding::good(what, "root may write to them"),
        false => Finding::bad(
            what,
            "an ordinary user may not write to them; disk images work",
            "run `nos flash` as root, or as a member of the group that owns the device",
        ),
    }
}
