//! What a host needs of its kernel, and which modules give it.
//!
//! The names are those of Linux 6.12 as Debian configures it; what a kernel has built in costs
//! nothing and stays in the table for kernels that have it as a module.

use super::{ModuleName, Wanted};
use nos_specs::system::Service;
use std::fmt;

/// When a module is loaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Condition {
    /// On every boot.
    Always,
    /// Where a device (or processor feature) matches one of its own aliases.
    Device,
    /// Where one of these modules is loaded: for drivers whose device appears only then.
    With(&'static [&'static str]),
}

/// One row of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ModuleChoice {
    /// The module.
    pub name: &'static str,
    /// When it is loaded.
    pub condition: Condition,
    /// Whether a kernel that does not have it at all is refused. Otherwise it is left out.
    pub required: bool,
    /// Why it is here, for people.
    pub why: &'static str,
}

/// Something that a host does and that the kernel may need modules for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Feature {
    /// Read-only service images: EROFS on dm-verity.
    Images,
    /// The state partition.
    State,
    /// IPv4, IPv6 and DHCP.
    Network,
    /// Disk, network and entropy of QEMU/KVM and of most clouds.
    Virtio,
    /// Virtio SCSI disks: Proxmox, OpenStack, older Google machine types.
    VirtioScsi,
    /// Virtio without PCI: Firecracker, QEMU's microvm.
    VirtioMmio,
    /// The power button: a clean stop when the hypervisor asks for one.
    PowerButton,
    /// Reading and writing UEFI variables: one-shot boot entries, boot loader facts.
    EfiVariables,
    /// Amazon EC2 (Nitro).
    Amazon,
    /// Google Compute Engine.
    Google,
    /// Hyper-V and Azure.
    HyperV,
    /// Xen guests.
    Xen,
    /// VMware guests.
    Vmware,
    /// SATA and NVMe disks of real machines.
    Disks,
    /// USB disks, to boot from a stick.
    Usb,
    /// Common wired network cards of real machines.
    NetworkCards,
    /// A watchdog that resets a machine that hangs.
    Watchdog,
    /// The words of a kernel that panics, kept in UEFI variables.
    LastWords,
    /// USB keyboards, for a service on the screen.
    Keyboards,
    /// `/dev/net/tun`.
    Tunnels,
    /// `/dev/fuse`.
    Fuse,
    /// `/dev/kvm`.
    Kvm,
}

const fn required(name: &'static str, condition: Condition, why: &'static str) -> ModuleChoice {
    ModuleChoice {
        name,
        condition,
        required: true,
        why,
    }
}

const fn optional(name: &'static str, condition: Condition, why: &'static str) -> ModuleChoice {
    ModuleChoice {
        name,
        condition,
        required: false,
        why,
    }
}

use Condition::{Always, Device, With};

const IMAGES: &[ModuleChoice] = &[
    // Before dm-verity: a hash is chosen when a target is made, and the generic one is several
    // times slower. It refuses to load on processors without SSSE3, which is no failure.
    optional(
        "sha256-ssse3",
        Device,
        "verity hashing at the processor's speed (SHA-NI, AVX2, SSSE3)",
    ),
    required("dm-verity", Always, "every block of an image is verified"),
    required("erofs", Always, "the file system of images"),
];

const STATE: &[ModuleChoice] = &[required(
    "ext4",
    Always,
    "the file system of the state partition",
)];

const NETWORK: &[ModuleChoice] = &[
    required("af_packet", Always, "DHCP before there is an address"),
    required("ipv6", Always, "IPv6"),
];

const VIRTIO: &[ModuleChoice] = &[
    required("virtio_pci", Always, "virtio devices on the PCI bus"),
    required("virtio_blk", Device, "virtio disks"),
    required("virtio_net", Device, "virtio network cards"),
    optional(
        "virtio-rng",
        Device,
        "entropy from the host, so that boot never waits for it",
    ),
];

// Apart from the other virtio drivers, because the SCSI layer weighs more than all of them.
const VIRTIO_SCSI: &[ModuleChoice] = &[
    optional("virtio_scsi", Device, "virtio SCSI controllers"),
    optional("sd_mod", With(&["virtio_scsi"]), "the disks behind them"),
];

const VIRTIO_MMIO: &[ModuleChoice] = &[required(
    "virtio_mmio",
    Always,
    "virtio devices named on the kernel's command line or by ACPI",
)];

const POWER_BUTTON: &[ModuleChoice] = &[
    required(
        "button",
        Always,
        "the ACPI power button becomes an input device",
    ),
    required("evdev", Always, "init reads the button from /dev/input"),
];

const EFI_VARIABLES: &[ModuleChoice] = &[required(
    "efivarfs",
    Always,
    "one-shot boot entries and the boot loader's facts",
)];

const AMAZON: &[ModuleChoice] = &[
    optional("nvme", Device, "EBS and instance disks"),
    optional("ena", Device, "Elastic Network Adapter"),
];

// Persistent disks of older machine types are virtio SCSI.
const GOOGLE: &[ModuleChoice] = &[
    optional("nvme", Device, "disks of newer machine types"),
    optional("gve", Device, "Google Virtual NIC"),
];

// Devices on the VM bus appear only after hv_vmbus is loaded, so everything follows it.
const HYPERV: &[ModuleChoice] = &[
    optional("hv_vmbus", Device, "the bus of all Hyper-V devices"),
    optional("hv_storvsc", With(&["hv_vmbus"]), "disks"),
    optional("sd_mod", With(&["hv_storvsc"]), "disks"),
    optional("hv_netvsc", With(&["hv_vmbus"]), "network"),
    optional("hv_utils", With(&["hv_vmbus"]), "shutdown, time, heartbeat"),
];

const XEN: &[ModuleChoice] = &[
    optional("xen-blkfront", Device, "disks"),
    optional("xen-netfront", Device, "network"),
];

const VMWARE: &[ModuleChoice] = &[
    optional("vmw_pvscsi", Device, "disks"),
    optional("sd_mod", With(&["vmw_pvscsi"]), "disks"),
    optional("vmxnet3", Device, "network"),
];

const DISKS: &[ModuleChoice] = &[
    optional("vmd", Device, "NVMe disks behind Intel's RAID mode"),
    optional("nvme", Device, "NVMe disks"),
    optional("ahci", Device, "SATA disks"),
    optional("sd_mod", With(&["ahci"]), "SATA disks"),
];

const USB: &[ModuleChoice] = &[
    optional("xhci-pci", Device, "USB 3 controllers"),
    optional("ehci-pci", Device, "USB 2 controllers"),
    optional(
        "usb-storage",
        With(&["xhci-pci", "ehci-pci"]),
        "USB sticks and disks",
    ),
    optional(
        "uas",
        With(&["xhci-pci", "ehci-pci"]),
        "faster USB disks (USB attached SCSI)",
    ),
    optional("sd_mod", With(&["usb-storage", "uas"]), "USB disks"),
];

const NETWORK_CARDS: &[ModuleChoice] = &[
    optional("e1000", Device, "Intel 8254x, also emulated by hypervisors"),
    optional("e1000e", Device, "Intel desktop and laptop Ethernet"),
    optional("igb", Device, "Intel server Ethernet, 1 Gbit/s"),
    optional("igc", Device, "Intel Ethernet, 2.5 Gbit/s"),
    optional("ixgbe", Device, "Intel Ethernet, 10 Gbit/s"),
    optional("i40e", Device, "Intel Ethernet, 40 Gbit/s"),
    optional("r8169", Device, "Realtek Ethernet"),
    optional("tg3", Device, "Broadcom Ethernet, 1 Gbit/s"),
    optional("bnxt_en", Device, "Broadcom Ethernet, 10 to 100 Gbit/s"),
];

const WATCHDOG: &[ModuleChoice] = &[
    optional("i6300esb", Device, "the watchdog that QEMU emulates"),
    optional("iTCO_wdt", Device, "watchdog of Intel chipsets"),
    optional("sp5100_tco", Device, "watchdog of AMD chipsets"),
    optional(
        "wdat_wdt",
        Device,
        "watchdog described by the firmware (ACPI WDAT)",
    ),
    optional(
        "softdog",
        Always,
        "a timer of the kernel's own, where the machine has no watchdog",
    ),
];

const LAST_WORDS: &[ModuleChoice] = &[optional(
    "efi-pstore",
    Always,
    "the last words of a kernel that panics, as UEFI variables",
)];

// Loaded with the controllers and not for a keyboard that is there, so that one may come later.
const KEYBOARDS: &[ModuleChoice] = &[
    optional("xhci-pci", Device, "USB 3 controllers"),
    optional("ehci-pci", Device, "USB 2 controllers"),
    optional("usbhid", With(&["xhci-pci", "ehci-pci"]), "USB keyboards"),
    optional(
        "hid-generic",
        With(&["xhci-pci", "ehci-pci"]),
        "USB keyboards that need no driver of their own",
    ),
];

const TUNNELS: &[ModuleChoice] = &[required("tun", Always, "a service has /dev/net/tun")];

const FUSE: &[ModuleChoice] = &[required("fuse", Always, "a service has /dev/fuse")];

const KVM: &[ModuleChoice] = &[
    optional("kvm-intel", Device, "a service has /dev/kvm"),
    optional("kvm-amd", Device, "a service has /dev/kvm"),
];

impl fmt::Display for ModuleChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let need = if self.required { "requires" } else { "wants" };
        write!(f, "{need} {} ", self.name)?;
        match self.condition {
            Condition::Always => f.write_str("always"),
            Condition::Device => f.write_str("for its devices"),
            Condition::With(others) => write!(f, "with {}", others.join(", ")),
        }
    }
}

/// Whether a terminal is on the screen: `/dev/tty1`, and not `/dev/ttyS0`.
pub(crate) fn is_screen(terminal: &str) -> bool {
    let number = terminal.strip_prefix("/dev/tty");
    number.is_some_and(|number| number.starts_with(|c: char| c.is_ascii_digit()))
}

impl Feature {
    /// Every feature.
    pub const ALL: [Self; 22] = [
        Self::Images,
        Self::State,
        Self::Network,
        Self::Virtio,
        Self::VirtioScsi,
        Self::VirtioMmio,
        Self::PowerButton,
        Self::EfiVariables,
        Self::Amazon,
        Self::Google,
        Self::HyperV,
        Self::Xen,
        Self::Vmware,
        Self::Disks,
        Self::Usb,
        Self::NetworkCards,
        Self::Watchdog,
        Self::LastWords,
        Self::Keyboards,
        Self::Tunnels,
        Self::Fuse,
        Self::Kvm,
    ];

    /// What is loaded only once every service has been started.
    pub const LATE: [Self; 2] = [Self::PowerButton, Self::EfiVariables];

    /// What is loaded only in boots that are a trial of a generation, or follow one.
    pub const TRIAL: [Self; 2] = [Self::Watchdog, Self::LastWords];

    /// The virtual machines that a system runs on, QEMU's and virtio clouds first.
    pub const VIRTUAL: [Self; 7] = [
        Self::Virtio,
        Self::VirtioScsi,
        Self::Amazon,
        Self::Google,
        Self::HyperV,
        Self::Xen,
        Self::Vmware,
    ];

    /// Real machines.
    pub const HARDWARE: [Self; 3] = [Self::Disks, Self::Usb, Self::NetworkCards];

    /// What a host does on whatever it runs.
    pub const BASE: [Self; 7] = [
        Self::Images,
        Self::Network,
        Self::State,
        Self::PowerButton,
        Self::EfiVariables,
        Self::Watchdog,
        Self::LastWords,
    ];

    /// What a host gets from a Debian kernel package, in loading order: one system boots on
    /// every machine that the package is for, and a driver is loaded only where its device is.
    /// Debian's cloud kernel is for virtual machines, any other for all.
    ///
    /// Drivers come first: disks are probed, and the network's answers travel, while the file
    /// systems are loaded.
    pub fn of_package(package: &str) -> Vec<Self> {
        let mut features = Self::VIRTUAL.to_vec();
        if !package.split('-').any(|part| part == "cloud") {
            features.extend(Self::HARDWARE);
        }
        features.extend(Self::BASE);
        features
    }

    /// What the devices and the terminal of a service need besides.
    pub fn of_service(service: &Service) -> Vec<Self> {
        let has = |path: &str| service.devices.iter().any(|device| device == path);
        let screen = service.terminal.as_deref().is_some_and(is_screen);
        let needs = [
            (Self::Keyboards, screen),
            (Self::Tunnels, has("/dev/net/tun")),
            (Self::Fuse, has("/dev/fuse")),
            (Self::Kvm, has("/dev/kvm")),
        ];
        let needed = needs.into_iter().filter(|(_, needed)| *needed);
        needed.map(|(feature, _)| feature).collect()
    }

    /// The modules of this feature, in the order in which they are to be loaded.
    pub fn modules(self) -> &'static [ModuleChoice] {
        match self {
            Self::Images => IMAGES,
            Self::State => STATE,
            Self::Network => NETWORK,
            Self::Virtio => VIRTIO,
            Self::VirtioScsi => VIRTIO_SCSI,
            Self::VirtioMmio => VIRTIO_MMIO,
            Self::PowerButton => POWER_BUTTON,
            Self::EfiVariables => EFI_VARIABLES,
            Self::Amazon => AMAZON,
            Self::Google => GOOGLE,
            Self::HyperV => HYPERV,
            Self::Xen => XEN,
            Self::Vmware => VMWARE,
            Self::Disks => DISKS,
            Self::Usb => USB,
            Self::NetworkCards => NETWORK_CARDS,
            Self::Watchdog => WATCHDOG,
            Self::LastWords => LAST_WORDS,
            Self::Keyboards => KEYBOARDS,
            Self::Tunnels => TUNNELS,
            Self::Fuse => FUSE,
            Self::Kvm => KVM,
        }
    }

    /// What to select for a set of features.
    pub fn wanted(features: &[Self]) -> Vec<Wanted> {
        let choices = features.iter().flat_map(|feature| feature.modules());
        choices
            .map(|choice| Wanted {
                name: ModuleName::new(choice.name),
                condition: choice.condition,
                required: choice.required,
                why: choice.why.to_owned(),
            })
            .collect()
    }
}
