//! A realised system: what a disk, a virtual machine or a person needs to know of it.

use nos_manifest::SystemManifest;
use nos_specs::system::{DiskLayout, VirtualMachine};
use nos_store::Blob;
use serde::{Deserialize, Serialize};

/// Version of the description this program writes.
pub const SYSTEM_VERSION: u32 = 1;

/// The description of a built system, stored as canonical JSON. Its digest names the system.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BuiltSystem {
    /// [`SYSTEM_VERSION`].
    pub version: u32,
    /// The unified kernel image: one object that boots.
    pub uki: Blob,
    /// systemd-boot.
    pub boot_loader: Blob,
    /// Kernel image inside the UKI, for direct boot.
    pub kernel: Blob,
    /// The same kernel for machines without firmware: an ELF with a PVH entry, not compressed.
    /// `None`: the kernel finds no devices on such machines.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub direct: Option<Blob>,
    /// Initramfs inside the UKI, for direct boot.
    pub initrd: Blob,
    /// Kernel command line inside the UKI.
    pub cmdline: String,
    /// Image contents, in the order of [`SystemManifest::images`].
    pub images: Vec<Blob>,
    /// What `init` is told.
    pub manifest: SystemManifest,
    /// Disk layout.
    pub disk: DiskLayout,
    /// Virtual machine defaults.
    pub machine: VirtualMachine,
}

impl BuiltSystem {
    /// Bytes that a disk must hold for this system alone: UKI, boot loader and images.
    pub fn content_bytes(&self) -> u64 {
        self.uki.size
            + self.boot_loader.size
            + self.images.iter().map(|image| image.size).sum::<u64>()
    }
}
