//! The typed result of a checked spec: one [`System`] per host block.
//!
//! A `System` is pure data. Two equal texts give equal systems on any machine; nothing in it
//! comes from a file, a clock or the environment.

use nos_manifest::{Health, Network, Port, Restart};
use std::collections::{BTreeMap, BTreeSet};

/// One host, as declared.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct System {
    /// Name of the host block; also the machine's host name.
    pub host: String,
    /// Which kernel the machine boots.
    pub kernel: Kernel,
    /// Images by name. A service with packages or files of its own has an image of its name.
    pub images: BTreeMap<String, Image>,
    /// Builds that the images need, by name, with all that those need.
    pub builds: BTreeMap<String, Build>,
    /// Services in start order (dependencies first, then by declaration).
    pub services: Vec<Service>,
    /// Network of the machine.
    pub network: Network,
    /// How a disk for this host is laid out.
    pub disk: DiskLayout,
    /// Where Debian packages come from.
    pub debian: Debian,
    /// What `nos run` gives the virtual machine.
    pub machine: VirtualMachine,
}

/// Which kernel a host boots.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Kernel {
    /// A Debian kernel image with only the modules the host needs.
    Stock {
        /// Debian meta-package that names it, `linux-image-cloud-amd64` unless told.
        package: String,
        /// Modules to include and load beyond those the host is known to need.
        modules: Vec<String>,
        /// Extra kernel command line words, after our own.
        cmdline: Vec<String>,
    },
    /// A kernel built from Debian's source with only what the host uses, all of it built in.
    Minimal {
        /// What it runs on.
        platform: Platform,
        /// Debian package with the source, `linux-source-6.12` unless told.
        source: String,
        /// Options of its configuration besides those that the host is known to need: name
        /// (`CONFIG_…`) → `y`, `n`, a number or a text.
        options: BTreeMap<String, String>,
        /// Extra kernel command line words, after our own.
        cmdline: Vec<String>,
    },
}

/// What a kernel of its own is built for.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum Platform {
    /// QEMU and KVM with UEFI and virtio devices, and their kin among the clouds.
    Qemu,
    /// QEMU's machine without firmware, PCI and ACPI.
    Microvm,
    /// Firecracker.
    Firecracker,
    /// Xen guests.
    Xen,
    /// VMware guests.
    Vmware,
    /// Real machines.
    Pc,
}

impl Platform {
    /// Every platform.
    pub const ALL: [Self; 6] = [
        Self::Qemu,
        Self::Microvm,
        Self::Firecracker,
        Self::Xen,
        Self::Vmware,
        Self::Pc,
    ];

    /// Whether its kernel starts on machines without firmware, PCI and ACPI.
    pub fn is_direct(self) -> bool {
        matches!(self, Self::Qemu | Self::Microvm | Self::Firecracker)
    }

    /// The word for it in a spec.
    pub fn name(self) -> &'static str {
        match self {
            Self::Qemu => "qemu",
            Self::Microvm => "microvm",
            Self::Firecracker => "firecracker",
            Self::Xen => "xen",
            Self::Vmware => "vmware",
            Self::Pc => "pc",
        }
    }
}

/// The content of one read-only image.
#[derive(Debug, Clone, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
pub struct Image {
    /// Debian packages by name.
    pub packages: Vec<String>,
    /// An image made elsewhere, below everything else.
    pub from: Option<Base>,
    /// Builds whose results lie over the packages, by name in [`System::builds`].
    pub builds: Vec<String>,
    /// Absolute path in the image → where its content comes from.
    pub files: BTreeMap<String, Source>,
    /// Symbolic links: absolute path in the image → target.
    pub links: BTreeMap<String, String>,
    /// Directories to create empty.
    pub directories: Vec<String>,
    /// Globs (`*`, `**`, `?`, `[…]`) of absolute paths that trimming keeps besides what the
    /// services' commands reach.
    pub keep: Vec<String>,
    /// Globs of absolute paths that are left out, whatever would keep them.
    pub drop: Vec<String>,
    /// Whether files that no service can reach are left out (default: yes).
    pub trim: bool,
}

/// Where the bytes of a declared file come from.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Source {
    /// A file beside the spec; path relative to the spec's folder, `/`-separated, no `..`.
    File {
        /// Relative path.
        path: String,
        /// Permission bits; `None`: 0755 where the file is executable, else 0644.
        mode: Option<u32>,
    },
    /// A folder beside the spec, taken whole.
    Folder {
        /// Relative path.
        path: String,
    },
    /// A file from the network.
    Fetch(Fetch),
    /// The program that builds the system.
    Nos,
    /// Text written in the spec.
    Text {
        /// The content.
        text: String,
        /// Permission bits; `None`: 0644.
        mode: Option<u32>,
    },
}

/// An image made elsewhere.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Base {
    /// An image of the Open Container Initiative beside the spec: a layout as a folder or an
    /// archive, or an archive of `docker save`.
    Oci {
        /// Relative path, as [`Source::File`].
        path: String,
    },
    /// An image in a registry.
    Registry {
        /// Address of the registry and name of the image: `https://HOST/NAME`.
        url: String,
        /// Digest of its manifest, or of an index that has one for this processor; 64 hexadecimal
        /// digits.
        sha256: String,
    },
}

/// Content made from sources.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Build {
    /// What is built; `None`: nothing, for a script.
    pub source: Option<BuildSource>,
    /// How.
    pub using: Using,
    /// Debian packages beside those that `using` brings.
    pub tools: Vec<String>,
    /// Builds whose results it sees, by name.
    pub needs: Vec<String>,
    /// Environment variables.
    pub env: BTreeMap<String, String>,
    /// How much it may take.
    pub limits: BuildLimits,
}

/// Where the sources of a build come from.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum BuildSource {
    /// A folder beside the spec.
    Folder {
        /// Relative path.
        path: String,
    },
    /// An archive from the network.
    Fetch(Fetch),
    /// A commit of a git repository.
    Git(Git),
    /// The source of a Debian package.
    Debian {
        /// Name of the source package.
        package: String,
        /// Whether Debian's patches are applied.
        patches: bool,
    },
}

/// A commit of a git repository, with the files that it names.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Git {
    /// Address of the repository.
    pub url: String,
    /// Other places, in the order in which they are asked.
    pub mirrors: Vec<String>,
    /// Name of the commit, 40 hexadecimal digits.
    pub commit: String,
    /// Whether the files of its submodules are among them.
    pub submodules: bool,
}

impl Git {
    /// What the lock calls its files: two commits of one name differ in them only where their
    /// submodules are left out.
    pub fn pin_name(&self) -> String {
        match self.submodules {
            true => self.commit.clone(),
            false => format!("{}{WITHOUT_SUBMODULES}", self.commit),
        }
    }
}

/// Behind the commit in a pin's name where submodules are left out.
pub(crate) const WITHOUT_SUBMODULES: &str = " without submodules";

/// A file from the network.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Fetch {
    /// Where it is.
    pub url: String,
    /// Other places, in the order in which they are asked.
    pub mirrors: Vec<String>,
    /// Its digest, 64 hexadecimal digits.
    pub sha256: String,
}

/// How a build is done.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Using {
    /// Lines for the shell.
    Script {
        /// The lines.
        run: Vec<String>,
    },
    /// `make` and `make install`.
    Make {
        /// Further arguments.
        flags: Vec<String>,
    },
    /// `configure`, `make`, `make install`.
    Autotools {
        /// Further arguments of `configure`.
        flags: Vec<String>,
    },
    /// CMake.
    Cmake {
        /// Further arguments of its configuration.
        flags: Vec<String>,
    },
    /// Cargo.
    Cargo(Cargo),
}

/// A Rust package.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Cargo {
    /// Whether programs carry the C library in them.
    pub is_static: bool,
    /// Which package of a workspace.
    pub package: Option<String>,
    /// Features to switch on.
    pub features: Vec<String>,
    /// Whether the default features are on.
    pub default_features: bool,
}

/// How much a build may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct BuildLimits {
    /// Time on the clock.
    pub time_ms: u64,
    /// Memory of all processes together.
    pub memory_bytes: u64,
    /// What its folders hold together.
    pub space_bytes: u64,
    /// Processes and threads at once.
    pub processes: u64,
}

/// One supervised program.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Service {
    /// Unique name.
    pub name: String,
    /// Name of its image in [`System::images`].
    pub image: String,
    /// Program (absolute path in the image) and arguments.
    pub run: Vec<String>,
    /// Environment variables.
    pub env: BTreeMap<String, String>,
    /// Working directory, `/` unless told.
    pub workdir: String,
    /// Numeric user id. In a [`System`] that a check gives it is always there: the declared one,
    /// or the one that [`assign_users`] derived.
    pub uid: Option<u32>,
    /// Linux capabilities to keep (`CAP_…`).
    pub capabilities: Vec<String>,
    /// Devices it may use, see [`nos_manifest::Service::devices`].
    pub devices: Vec<String>,
    /// Terminal that it reads from and writes to.
    pub terminal: Option<String>,
    /// Directories in the image kept on the state partition.
    pub state: Vec<String>,
    /// Ports it listens on.
    pub listen: Vec<Port>,
    /// Channels whose listening sockets it is given; no two services of a system serve one.
    pub serves: Vec<String>,
    /// Channels it can connect to; each is served by another service of the system.
    pub calls: Vec<String>,
    /// Health probe.
    pub health: Option<Health>,
    /// Restart policy.
    pub restart: Restart,
    /// Services that must be healthy first.
    pub after: Vec<String>,
}

/// How a disk for a host is laid out. Sizes are in bytes.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct DiskLayout {
    /// Size of the EFI system partition.
    pub esp_bytes: u64,
    /// Size of the state partition; `None`: the disk has no state partition.
    pub state_bytes: Option<u64>,
    /// Space kept for images beyond those of the first generation, in `nos image` output.
    pub spare_bytes: u64,
    /// Generations kept by default.
    pub keep: u32,
}

/// Where Debian packages come from.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Debian {
    /// Release code name, `trixie` unless told.
    pub suite: String,
    /// Address of the mirror; `None`: `NOS_DEBIAN_MIRROR`, then apt's own configuration.
    pub mirror: Option<String>,
}

/// What `nos run` gives the virtual machine.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct VirtualMachine {
    /// Guest memory in bytes.
    pub memory_bytes: u64,
    /// Virtual processors.
    pub cpus: u32,
    /// Guest TCP port → wanted port on the machine's loopback address (0: any free one).
    pub forward: BTreeMap<u16, u16>,
}

/// User ids that are derived from names: 1000 to 59999.
pub const DERIVED_USERS: std::ops::Range<u32> = 1000..60_000;

/// The user id that a service of this name has where none is declared and no other service of its
/// host has it already: 32-bit FNV-1a of the name, folded into [`DERIVED_USERS`].
pub fn derive_uid(name: &str) -> u32 {
    let hash = name.bytes().fold(0x811c_9dc5_u32, |hash, byte| {
        (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)
    });
    DERIVED_USERS.start + hash % (DERIVED_USERS.end - DERIVED_USERS.start)
}

/// Gives each service without a user id one of its own: [`derive_uid`] of its name, or the next
/// free one. Names are taken in their order, so the order of services does not matter.
pub fn assign_users(services: &mut [Service]) {
    let mut taken: BTreeSet<u32> = services.iter().filter_map(|service| service.uid).collect();
    let mut open: Vec<&mut Service> = services
        .iter_mut()
        .filter(|service| service.uid.is_none())
        .collect();
    open.sort_by(|a, b| a.name.cmp(&b.name));
    for service in open {
        let first = derive_uid(&service.name);
        let free = (first..DERIVED_USERS.end)
            .chain(DERIVED_USERS.start..first)
            .find(|uid| !taken.contains(uid));
        service.uid = Some(free.unwrap_or(first));
        taken.extend(service.uid);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn service(name: &str, uid: Option<u32>) -> Service {
        Service {
            name: name.into(),
            image: name.into(),
            run: Vec::new(),
            env: BTreeMap::new(),
            workdir: "/".into(),
            uid,
            capabilities: Vec::new(),
            devices: Vec::new(),
            terminal: None,
            state: Vec::new(),
            listen: Vec::new(),
            serves: Vec::new(),
            calls: Vec::new(),
            health: None,
            restart: Restart::Always,
            after: Vec::new(),
        }
    }

    #[test]
    fn derived_users_never_change() {
        // State directories belong to these users: other numbers would lock services out.
        assert_eq!(derive_uid("web"), 15_825);
        assert_eq!(derive_uid("cache"), 44_085);
        assert_eq!(derive_uid(""), 11_261);
    }

    #[test]
    fn no_two_services_share_a_user_and_order_does_not_matter() {
        let clash = derive_uid("a");
        let mut one = [
            service("a", None),
            service("b", Some(clash)),
            service("c", None),
        ];
        assign_users(&mut one);
        assert_eq!(one[0].uid, Some(clash + 1));
        let mut two = [
            service("c", None),
            service("b", Some(clash)),
            service("a", None),
        ];
        assign_users(&mut two);
        assert_eq!((two[2].uid, two[0].uid), (one[0].uid, one[2].uid));
    }
}
