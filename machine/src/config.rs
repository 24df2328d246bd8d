//! What a virtual machine is made of.

use std::ffi::OsString;
use std::path::PathBuf;

/// A virtual machine to start.
#[derive(Debug, Clone)]
pub struct Config {
    /// Guest memory in bytes, rounded up to whole MiB.
    pub memory_bytes: u64,
    /// Virtual processors, at least one.
    pub cpus: u32,
    /// Disks in the order of the guest's bus; the first is the one that firmware boots.
    pub disks: Vec<Disk>,
    /// TCP ports of the guest that are reached on the loopback address.
    pub forwards: Vec<Forward>,
    /// Where the guest's first serial port goes.
    pub console: ConsoleTo,
    /// Whether [`crate::Vm::take_input`] gives a pipe to that port, where its output goes into memory.
    pub input: bool,
    /// How the guest starts.
    pub boot: Boot,
    /// How its instructions are run.
    pub accel: Accel,
    /// What happens when the guest resets itself.
    pub on_reset: OnReset,
    /// Whether there is a watchdog device that resets a guest which stops feeding it.
    pub watchdog: bool,
    /// Existing folder in which a private folder for sockets and the like is made, and removed
    /// when the machine ends.
    pub scratch: PathBuf,
    /// Further arguments for QEMU, after all of ours.
    pub extra: Vec<OsString>,
}

impl Config {
    /// A machine with 256 MiB, one processor, no disk and no network forwards, that starts by
    /// UEFI, writes its console to a pipe, and ends when it resets.
    pub fn new(scratch: impl Into<PathBuf>) -> Self {
        Self {
            memory_bytes: 256 << 20,
            cpus: 1,
            disks: Vec::new(),
            forwards: Vec::new(),
            console: ConsoleTo::Pipe,
            input: false,
            boot: Boot::Uefi { variables: None },
            accel: Accel::Auto,
            on_reset: OnReset::End,
            watchdog: false,
            scratch: scratch.into(),
            extra: Vec::new(),
        }
    }
}

/// A raw disk image file or block device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Disk {
    /// The file.
    pub path: PathBuf,
    /// Whether the guest sees a read-only disk.
    pub read_only: bool,
    /// Whether what the guest writes is forgotten when the machine ends.
    pub snapshot: bool,
    /// Logical sector size in bytes: 512 or 4096.
    pub sector_bytes: u32,
    /// Whether it is a USB stick, and not a virtio disk.
    pub usb: bool,
}

impl Disk {
    /// A disk that the guest may change, with 512-byte sectors.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            read_only: false,
            snapshot: false,
            sector_bytes: 512,
            usb: false,
        }
    }

    /// A disk whose changes are forgotten.
    pub fn snapshot(path: impl Into<PathBuf>) -> Self {
        Self {
            snapshot: true,
            ..Self::new(path)
        }
    }
}

/// One forwarded TCP port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Forward {
    /// Port on the loopback address; 0 in a [`Config`] means any free one.
    pub host: u16,
    /// Port of the guest.
    pub guest: u16,
}

/// Where the guest's first serial port goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ConsoleTo {
    /// To this program's own standard output; its standard input goes to the guest.
    Stdio,
    /// Into memory, see [`crate::Vm::console`].
    Pipe,
    /// Into memory and into this file, which is replaced.
    File(PathBuf),
}

/// How the guest starts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Boot {
    /// By UEFI firmware from the first disk.
    Uefi {
        /// File that keeps the firmware's variables from boot to boot; made if it is missing.
        /// `None`: fresh variables, forgotten at the end.
        variables: Option<PathBuf>,
    },
    /// Directly into a kernel.
    Direct {
        /// Linux image.
        kernel: PathBuf,
        /// Initramfs.
        initrd: Option<PathBuf>,
        /// Kernel command line.
        cmdline: String,
        /// QEMU's minimal machine without PCI and ACPI: devices are virtio-mmio, named on the
        /// kernel's command line by QEMU. It has no power button.
        microvm: bool,
    },
}

/// How guest instructions are run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Accel {
    /// KVM where it is proven to work, else emulation.
    #[default]
    Auto,
    /// Emulation.
    Tcg,
    /// KVM, untested.
    Kvm,
}

/// What happens when the guest resets itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnReset {
    /// The machine ends.
    #[default]
    End,
    /// The guest boots again, as on hardware.
    Boot,
}
