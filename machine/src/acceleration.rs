//! Whether KVM works here: proven by running a guest, not by looking for `/dev/kvm`.

use crate::config::Accel;
use crate::console::Console;
use crate::error::MachineError;
use crate::toolbox::Toolbox;
use std::fs::OpenOptions;
use std::io::ErrorKind;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

/// How guest instructions are run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Accelerator {
    /// By the processor.
    Kvm,
    /// By emulation.
    Tcg,
}

impl Accelerator {
    /// QEMU's arguments for it. The probe must use the same: a processor that KVM cannot give
    /// its guests whole makes QEMU abort.
    pub(crate) fn arguments(self) -> [&'static str; 4] {
        match self {
            Self::Kvm => ["-accel", "kvm", "-cpu", "host"],
            // Five-level page tables gain nothing here, and older QEMUs emulate them wrongly.
            Self::Tcg => ["-accel", "tcg,thread=multi", "-cpu", "max,la57=off"],
        }
    }
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
    /// Decides what a machine will run on; with [`Accel::Auto`] by running a guest of a few instructions under KVM.
    /// `folder` is a private folder for its ROM.
    pub fn decide(accel: Accel, toolbox: &Toolbox, folder: &Path) -> Self {
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

/// A ROM whose reset vector does what firmware does first: count in memory, ask for the
/// processor's features, set up its floating-point units. Then it leaves through the exit port.
/// A KVM that only starts guests, or emulates a part of the instructions, does not get there.
fn probe_rom() -> Vec<u8> {
    let mut rom = vec![0xf4u8; ROM_BYTES]; // hlt
    // Real mode, CS:IP = F000:FFF0, at the last 16 bytes; a near jump into the ROM.
    let start = ROM_BYTES - 0x100;
    #[rustfmt::skip]
    let code = [
        0x31, 0xc0,                   // xor ax, ax
        0x8e, 0xd8,                   // mov ds, ax
        0xbb, 0x00, 0x10,             // mov bx, 0x1000
        0xb9, 0xff, 0xff,             // mov cx, 0xffff
        0xff, 0x07,                   // again: inc word [bx]
        0xe2, 0xfc,                   // loop again
        0x31, 0xc0,                   // xor ax, ax
        0x0f, 0xa2,                   // cpuid
        0x9b, 0xdb, 0xe3,             // finit
        0xbb, 0x00, 0x10,             // mov bx, 0x1000 (cpuid has used it)
        0x0f, 0x20, 0xe0,             // mov eax, cr4
        0x0d, 0x00, 0x06,             // or ax, OSFXSR | OSXMMEXCPT
        0x0f, 0x22, 0xe0,             // mov cr4, eax
        0xc7, 0x07, 0x80, 0x1f,       // mov word [bx], 0x1f80 (the reset value)
        0xc7, 0x47, 0x02, 0x00, 0x00, // mov word [bx + 2], 0
        0x0f, 0xae, 0x17,             // ldmxcsr [bx]
        0x0f, 0x57, 0xc0,             // xorps xmm0, xmm0
        0xb0, EXIT_VALUE,             // mov al, value
        0xe6, EXIT_PORT,              // out port, al
        0xf4,                         // hlt
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
    run_probe(toolbox, folder, Accelerator::Kvm, PROBE_LIMIT)
}

fn run_probe(
    toolbox: &Toolbox,
    folder: &Path,
    on: Accelerator,
    limit: Duration,
) -> Result<(), String> {
    let rom = folder.join("probe.rom");
    std::fs::write(&rom, probe_rom()).map_err(|e| format!("the KVM test has no room: {e}"))?;
    let mut command = toolbox.command();
    command
        .args(["-nodefaults", "-no-user-config", "-display", "none"])
        .args(["-machine", "q35,sata=off,smbus=off,usb=off,vmport=off"])
        .args(["-global", "apic-common.vapic=off", "-m", "2M"])
        .args(["-no-reboot", "-bios", "probe.rom"])
        .args(on.arguments())
        .arg("-device")
        .arg(format!("isa-debug-exit,iobase={EXIT_PORT:#x},iosize=1"))
        .current_dir(folder)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    let mut child = command
        .spawn()
        .map_err(|e| format!("the KVM test did not start: {e}"))?;
    // An instruction that KVM cannot run stops the guest, and QEMU says so and waits.
    let said = match child.stderr.take() {
        Some(stderr) => Console::read_from(stderr, None),
        None => Console::default(),
    };
    let outcome = said.wait_for("internal error", limit);
    if !matches!(outcome, Err(MachineError::EndedWaiting { .. })) {
        // It may have ended meanwhile; there is nothing more to do about it either way.
        let _ = child.kill();
    }
    let status = child
        .wait()
        .map_err(|e| format!("the KVM test was lost: {e}"))?;
    let _ = std::fs::remove_file(&rom);
    match outcome {
        Ok(line) => Err(format!("a test guest under KVM stopped: {line}")),
        Err(MachineError::EndedWaiting { .. }) if status.code() == Some(EXIT_CODE) => Ok(()),
        Err(MachineError::EndedWaiting { .. }) => {
            let text = said.text();
            let line = text.lines().last().unwrap_or_default();
            Err(format!("a test guest under KVM failed ({status}) {line}")
                .trim_end()
                .to_owned())
        }
        Err(_) => Err("a test guest under KVM hung".into()),
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
        let limit = Duration::from_secs(600);
        let outcome = run_probe(&toolbox, folder.path(), Accelerator::Tcg, limit);
        assert_eq!(outcome, Ok(()));
    }
}
