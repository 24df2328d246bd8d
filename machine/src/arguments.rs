//! From a [`Config`] to QEMU's arguments: a pure function.

use crate::acceleration::Accelerator;
use crate::config::{Boot, Config, ConsoleTo, OnReset};
use crate::toolbox::{Toolbox, in_option};
use std::ffi::OsString;
use std::path::Path;

/// The q35 machine without what no image uses; each device costs the firmware time to look at.
const Q35: &str = "q35,sata=off,smbus=off,usb=off,vmport=off";
/// The minimal machine. Under ACPI it has no clock that Debian's kernel can calibrate another by,
/// and the boot stands still; without, devices are named on the kernel's command line.
const MICROVM: &str = "microvm,acpi=off,rtc=on,pit=on,pic=on,pcie=off,usb=off";

/// Name of the monitor's socket in the private folder, which is QEMU's working folder.
pub(crate) const MONITOR: &str = "qmp";

/// The arguments. `variables` is the firmware's variable file, already in place.
pub(crate) fn arguments(
    config: &Config,
    toolbox: &Toolbox,
    accelerator: Accelerator,
    variables: &Path,
) -> Vec<OsString> {
    let mut args = Arguments(Vec::new());
    let microvm = matches!(config.boot, Boot::Direct { microvm: true, .. });
    // Devices on PCI, or on virtio's own bus.
    let device = |name: &str| {
        let bus = if microvm { "device" } else { "pci" };
        format!("{name}-{bus}")
    };

    args.flag("-nodefaults").flag("-no-user-config");
    args.pair("-name", "nos").pair("-display", "none");
    args.pair("-machine", if microvm { MICROVM } else { Q35 });
    for argument in accelerator.arguments() {
        args.flag(argument);
    }
    // A helper ROM of KVM for guests of another age, a file that need not be there.
    args.pair("-global", "apic-common.vapic=off");
    let mebibytes = config.memory_bytes.div_ceil(1 << 20).max(1);
    args.pair("-m", &format!("{mebibytes}M"));
    args.pair("-smp", &config.cpus.max(1).to_string());

    match &config.boot {
        Boot::Uefi { .. } => {
            args.path(
                "-drive",
                "if=pflash,unit=0,format=raw,readonly=on,file=",
                toolbox.firmware_code(),
            );
            args.path("-drive", "if=pflash,unit=1,format=raw,file=", variables);
        }
        Boot::Direct {
            kernel,
            initrd,
            cmdline,
            ..
        } => {
            args.flag("-kernel").flag(absolute(kernel));
            if let Some(initrd) = initrd {
                args.flag("-initrd").flag(absolute(initrd));
            }
            args.pair("-append", cmdline);
        }
    }

    if config.disks.iter().any(|disk| disk.usb) {
        args.pair("-device", "qemu-xhci,id=usb");
    }
    for (index, disk) in config.disks.iter().enumerate() {
        let on = |value: bool| if value { "on" } else { "off" };
        let prefix = format!(
            "if=none,id=disk{index},format=raw,snapshot={},readonly={},discard=unmap,file=",
            on(disk.snapshot),
            on(disk.read_only && !disk.snapshot),
        );
        args.path("-drive", &prefix, &disk.path);
        let sector = disk.sector_bytes;
        let boot_index = if microvm {
            String::new()
        } else {
            format!(",bootindex={index}")
        };
        let options = format!(
            "drive=disk{index},logical_block_size={sector},physical_block_size={}{boot_index}",
            sector.max(4096)
        );
        let kind = match disk.usb {
            true => "usb-storage,bus=usb.0,removable=on".to_string(),
            false => device("virtio-blk"),
        };
        args.pair("-device", &format!("{kind},{options}"));
    }

    let forwards = config.forwards.iter();
    let rules = forwards.map(|f| format!(",hostfwd=tcp:127.0.0.1:{}-:{}", f.host, f.guest));
    let rules: String = rules.collect();
    args.pair("-netdev", &format!("user,id=net0{rules}"));
    // Without a ROM the firmware has nothing to boot from the network with.
    let rom = if microvm { "" } else { ",romfile=" };
    args.pair(
        "-device",
        &format!("{},netdev=net0{rom}", device("virtio-net")),
    );
    args.pair("-object", "rng-builtin,id=rng0");
    args.pair("-device", &format!("{},rng=rng0", device("virtio-rng")));
    if config.watchdog && !microvm {
        args.pair("-device", "i6300esb");
        args.pair("-action", "watchdog=reset");
    }
    if config.on_reset == OnReset::End {
        args.flag("-no-reboot");
    }

    // With a terminal, Ctrl-C is for this program, and not a byte for the guest.
    let signal = if config.console == ConsoleTo::Stdio {
        "on"
    } else {
        "off"
    };
    args.pair("-chardev", &format!("stdio,id=console,signal={signal}"));
    args.pair("-serial", "chardev:console");
    args.pair(
        "-chardev",
        &format!("socket,id=monitor,path={MONITOR},server=on,wait=off"),
    );
    args.pair("-mon", "chardev=monitor,mode=control");
    args.0.extend(config.extra.iter().cloned());
    args.0
}

/// QEMU runs in a private folder, so a relative path would mean another file there.
fn absolute(path: &Path) -> OsString {
    std::path::absolute(path)
        .unwrap_or_else(|_| path.to_path_buf())
        .into_os_string()
}

struct Arguments(Vec<OsString>);

impl Arguments {
    fn flag(&mut self, flag: impl AsRef<std::ffi::OsStr>) -> &mut Self {
        self.0.push(flag.as_ref().to_owned());
        self
    }

    fn pair(&mut self, flag: &str, value: &str) -> &mut Self {
        self.flag(flag).flag(value)
    }

    fn path(&mut self, flag: &str, prefix: &str, path: &Path) -> &mut Self {
        let mut value = OsString::from(prefix);
        value.push(in_option(Path::new(&absolute(path))));
        self.flag(flag).flag(value)
    }
}

#[cfg(test)]
mod tests;
