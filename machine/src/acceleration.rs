//! Whether KVM works here: proven by running a guest, not by looking for `/dev/kvm`.

use crate::config::Accel;
use crate::keeper::wait_until;
use crate::toolbox::Toolbox;
use std::fs::OpenOptions;
use std::io::{ErrorKind, Read};
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

/// How guest instructions are run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Accelerator {
    /// By the processor.
    Kvm,
    /// By emulation.
    Tcg,
}

/// What was chosen, and why it is not the faster one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Acceleration {
    /// What was chosen.
    pub accelerator: Accelerator,
    /// Why KVM is not used, where it was wanted: a phrase for people.
    pub why_not_kvm: Option<String>,
}

/// A working KVM answers in well under a tenth of a second.
const PROBE_LIMIT: Duration = Duration::from_secs(3);

/// Port of QEMU's `isa-debug-exit` device.
const EXIT_PORT: u8 = 0xf4;
/// Value that the probe's guest writes there.
const EXIT_VALUE: u8 = 0x2a;
/// QEMU exits with twice the value, plus one.
const EXIT_CODE: i32 = (EXIT_VALUE as i32) << 1 | 1;

/// Firmware is mapped in units of 64 KiB.
const ROM_BYTES: usize = 64 << 10;

impl Acceleration {
    /// Decides; with [`Accel::Auto`] by running a guest of a few instructions under KVM.
    /// `folder` is a private folder for its ROM.
    pub(crate) fn decide(accel: Accel, toolbox: &Toolbox, folder: &Path) -> Self {
        let chosen = |accelerator, why_not_kvm| Self {
            accelerator,
            why_not_kvm,
        };
        match accel {
            Accel::Kvm => chosen(Accelerator::Kvm, None),
            Accel::Tcg => chosen(Accelerator::Tcg, None),
            Accel::Auto => match probe(toolbox, folder) {
                Ok(()) => chosen(Accelerator::Kvm, None),
                Err(why) => chosen(Accelerator::Tcg, Some(why)),
            },
        }
    }
}

/// A ROM whose reset vector counts memory up and down a while and then leaves through the exit
/// port. A KVM that only starts guests and cannot run them does not get there.
fn probe_rom() -> Vec<u8> {
    let mut rom = vec![0xf4u8; ROM_BYTES]; // hlt
    // Real mode, CS:IP = F000:FFF0, at the last 16 bytes; a near jump into the ROM.
    let start = ROM_BYTES - 0x100;
    #[rustfmt::skip]
    let code = [
        0x31, 0xc0,             // xor ax, ax
        0x8e, 0xd8,             // mov ds, ax
        0xbb, 0x00, 0x10,       // mov bx, 0x1000
        0xb9, 0xff, 0xff,       // mov cx, 0xffff
        0xff, 0x07,             // again: inc word [bx]
        0xe2, 0xfc,             // loop again
        0x0f, 0xa2,             // cpuid (always intercepted: leaves the guest and comes back)
        0xb0, EXIT_VALUE,       // mov al, value
        0xe6, EXIT_PORT,        // out port, al
        0xf4,                   // hlt
    ];
    rom[start..start + code.len()].copy_from_slice(&code);
    let vector = ROM_BYTES - 16;
    // jmp rel16, relative to the instruction's end.
    let distance = (start as i64 - (vector as i64 + 3)) as i16;
    rom[vector] = 0xe9;
    rom[vector + 1..vector + 3].copy_from_slice(&distance.to_le_bytes());
    rom
}

/// Runs the probe under KVM; the error is a phrase that says why KVM is not used.
fn probe(toolbox: &Toolbox, folder: &Path) -> Result<(), String> {
    let device = OpenOptions::new().read(true).write(true).open("/dev/kvm");
    match device.map_err(|error| error.kind()) {
        Ok(_) => {}
        Err(ErrorKind::NotFound) => return Err("this machine has no /dev/kvm".into()),
        Err(ErrorKind::PermissionDenied) => {
            return Err("/dev/kvm is not yours to open; join the group 'kvm'".into());
        }
        Err(other) => return Err(format!("/dev/kvm cannot be opened: {other}")),
    }
    run_probe(toolbox, folder, "kvm")
}

fn run_probe(toolbox: &Toolbox, folder: &Path, accelerator: &str) -> Result<(), String> {
    let rom = folder.join("probe.rom");
    std::fs::write(&rom, probe_rom()).map_err(|e| format!("the KVM test has no room: {e}"))?;
    let mut command = toolbox.command();
    command
        .args(["-nodefaults", "-no-user-config", "-display", "none"])
        .args(["-machine", "q35,sata=off,smbus=off,usb=off,vmport=off"])
        .args(["-global", "apic-common.vapic=off", "-m", "2M"])
        .args(["-no-reboot", "-accel", accelerator, "-bios", "probe.rom"])
        .arg("-device")
        .arg(format!("isa-debug-exit,iobase={EXIT_PORT:#x},iosize=1"))
        .current_dir(folder)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    let mut child = command
        .spawn()
        .map_err(|e| format!("the KVM test did not start: {e}"))?;
    let ended = wait_until(&mut child, Instant::now() + PROBE_LIMIT);
    if !matches!(ended, Ok(Some(_))) {
        // It may have ended meanwhile; there is nothing more to do about it either way.
        let _ = child.kill();
    }
    let status = child.wait();
    let _ = std::fs::remove_file(&rom);
    let mut said = String::new();
    if let Some(stderr) = child.stderr.take() {
        let _ = stderr.take(4096).read_to_string(&mut said);
    }
    match (ended, status) {
        (Ok(Some(_)), Ok(status)) if status.code() == Some(EXIT_CODE) => Ok(()),
        (Ok(Some(_)), Ok(status)) => {
            let line = said.lines().next().unwrap_or_default().to_owned();
            Err(format!("a test guest under KVM failed ({status}) {line}")
                .trim_end()
                .to_owned())
        }
        _ => Err("a test guest under KVM hung".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reset_vector_jumps_to_the_code() {
        let rom = probe_rom();
        assert_eq!(rom.len(), ROM_BYTES);
        let vector = ROM_BYTES - 16;
        assert_eq!(rom[vector], 0xe9);
        let distance = i16::from_le_bytes([rom[vector + 1], rom[vector + 2]]);
        let target = (vector as i64 + 3 + i64::from(distance)) as usize;
        assert_eq!(rom[target..target + 2], [0x31, 0xc0]);
    }

    /// The same ROM under emulation, which always works: so a failure under KVM is KVM's.
    #[test]
    fn the_probe_succeeds_under_emulation() {
        let Some(toolbox) = crate::vm::tests::toolbox() else {
            return;
        };
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(run_probe(&toolbox, folder.path(), "tcg"), Ok(()));
    }
}
