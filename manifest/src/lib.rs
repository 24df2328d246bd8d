//! The system manifest: what a build tells `init` and the disk about one system.
//!
//! The manifest travels inside the UKI, as `nos/manifest.json` in the first, uncompressed cpio
//! segment of the initramfs. `init` reads it from its root file system; the disk code reads it
//! from the UKI to learn which images a generation needs. There is one copy, so the two cannot
//! disagree, and the firmware's measurement or signature of the UKI covers it.
//!
//! The crate needs no standard library, because `init` has none.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod ingredients;

pub use ingredients::{INGREDIENTS_VERSION, Ingredients, Package};

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

/// Path of the manifest inside the initramfs, without a leading slash.
pub const MANIFEST_PATH: &str = "nos/manifest.json";

/// Folder of the initramfs that holds modules, without a leading slash.
pub const MODULE_FOLDER: &str = "modules";

/// Version of the manifest this program writes; `init` refuses a newer one.
pub const MANIFEST_VERSION: u32 = 1;

/// Folder, in the root of a service, of the sockets of the channels that it calls.
pub const CHANNEL_FOLDER: &str = "/run/channels";

/// Word of the kernel's command line that has `init` say what services open of their images.
pub const TRACE_WORD: &str = "nos.trace";

/// What `init` says on the console when it has begun to do so.
pub const TRACE_BEGINS: &str = "saying what services open";

/// What begins each line about an opened file or folder. A number follows, counted from 1 without a
/// gap, then a space, the service (`-`: not known), a space and the path with bytes beyond printable
/// ASCII written as in a byte string of Rust. Nothing behind the number: something was missed.
pub const TRACE_OPENED: &str = "opened ";

/// Among the devices of a service: every disk of the machine with its partitions.
pub const ALL_DISKS: &str = "disks";

/// The environment variable that tells a service where the socket of a channel that it calls is:
/// `CHANNEL_ORDER_BOOK` for `order-book`.
pub fn channel_variable(channel: &str) -> String {
    let mut name = String::from("CHANNEL_");
    name.extend(channel.chars().map(|c| match c {
        '-' => '_',
        other => other.to_ascii_uppercase(),
    }));
    name
}

/// GPT partition type GUID of a verity-protected, read-only service image.
pub const IMAGE_TYPE_GUID: &str = "6e4f5331-696d-4167-8500-000000000001";

/// GPT partition type GUID of the state file system.
pub const STATE_TYPE_GUID: &str = "6e4f5331-7374-4174-8500-000000000002";

/// Everything `init` needs to turn a booted kernel into running services.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SystemManifest {
    /// [`MANIFEST_VERSION`] of the writer.
    pub version: u32,
    /// Host name.
    pub host: String,
    /// Kernel release, as `uname -r` will say; for listing only.
    pub kernel: String,
    /// Kernel modules in the initramfs, each after those that it needs.
    pub modules: Vec<Module>,
    /// Modules that no image, network or service start waits for (power button, UEFI
    /// variables), loaded in this order once every service has been started.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub late_modules: Vec<Module>,
    /// Modules that only a boot needs which is a trial, or follows one (watchdogs, what keeps a
    /// panic's words), loaded in this order before the images are opened.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub trial_modules: Vec<Module>,
    /// Verity images, ordered by name.
    pub images: Vec<Image>,
    /// Services, in start order.
    pub services: Vec<Service>,
    /// Network to bring up before the first service starts.
    pub network: Network,
    /// Whether the disk has a state partition that must be mounted.
    pub state: bool,
}

/// A kernel module, and the machines that it is loaded on.
///
/// With neither [`Module::devices`] nor [`Module::with`] it is loaded on every machine.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Module {
    /// Name, with `_` and never `-`; see [`Module::path`].
    pub name: String,
    /// What the kernel must undo while loading (`xz`); empty: nothing. A driver that few
    /// machines need costs the others less where it stays compressed.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub compression: String,
    /// Loaded where a device's `modalias` matches one of these patterns (`*`, `?` and `[…]`, as
    /// in `fnmatch`).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub devices: Vec<String>,
    /// Loaded where the devices of one of these modules are there (or that module is loaded on
    /// every machine), because those modules need this one. So each pattern is written once,
    /// however many modules a driver needs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub with: Vec<String>,
}

impl Module {
    /// A module that is loaded on every machine.
    pub fn always(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            ..Self::default()
        }
    }

    /// Whether it is loaded on every machine.
    pub fn is_always(&self) -> bool {
        self.devices.is_empty() && self.with.is_empty()
    }

    /// Its file in the initramfs, as an absolute path.
    pub fn path(&self) -> String {
        let dot = if self.compression.is_empty() { "" } else { "." };
        format!("/{MODULE_FOLDER}/{}.ko{dot}{}", self.name, self.compression)
    }
}

/// One read-only service image: a partition that holds an EROFS followed by its hash tree.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Image {
    /// Name that services refer to; also the start of the partition's label.
    pub name: String,
    /// Verity root hash, 64 lower-case hex digits. Its first 32 digits are the PARTUUID,
    /// written as a GUID in text order (`01234567-89ab-cdef-…`).
    pub root_hash: String,
    /// Verity salt, lower-case hex; may be empty.
    pub salt: String,
    /// Number of 4096-byte data blocks (the EROFS).
    pub data_blocks: u64,
    /// First 4096-byte block of the hash tree proper, counted from the start of the partition.
    /// The verity superblock is the block before it.
    pub hash_start_block: u64,
    /// Length of the whole partition content (data + superblock + tree) in bytes.
    pub size_bytes: u64,
}

impl Image {
    /// The PARTUUID under which the partition is found: the first 128 bits of the root hash in
    /// GUID text form, or `None` where the root hash is not 64 hex digits.
    pub fn part_uuid(&self) -> Option<String> {
        let h = &self.root_hash;
        if h.len() != 64 || !h.bytes().all(|b| b.is_ascii_hexdigit()) {
            return None;
        }
        Some(format!(
            "{}-{}-{}-{}-{}",
            &h[0..8],
            &h[8..12],
            &h[12..16],
            &h[16..20],
            &h[20..32]
        ))
    }
}

/// One supervised program.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Service {
    /// Unique name.
    pub name: String,
    /// Name of the [`Image`] that becomes the service's read-only root.
    pub image: String,
    /// Program and arguments; the program is an absolute path inside the image.
    pub run: Vec<String>,
    /// The whole environment, nothing is inherited.
    pub env: BTreeMap<String, String>,
    /// Working directory inside the image.
    pub workdir: String,
    /// Numeric user and group the service runs as.
    pub uid: u32,
    /// See [`Service::uid`].
    pub gid: u32,
    /// Linux capability names (`CAP_NET_BIND_SERVICE`), kept as ambient capabilities.
    pub capabilities: Vec<String>,
    /// Absolute directories inside the image that are backed by the state partition and owned
    /// by the service's user. Each exists in the image as an empty directory.
    pub state: Vec<String>,
    /// Devices it may use besides those that every service has: paths below `/dev` in which `*`
    /// stands for any characters, and [`ALL_DISKS`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub devices: Vec<String>,
    /// The terminal that it reads from and writes to, a path below `/dev`; `None`: it reads nothing
    /// and writes to the log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub terminal: Option<String>,
    /// Ports the service is declared to listen on.
    pub listen: Vec<Port>,
    /// Channels whose listening sockets it gets, in this order from descriptor 3 on. No other
    /// service of the system serves one of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub serves: Vec<String>,
    /// Channels it can connect to; each is served by a service of the system.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub calls: Vec<String>,
    /// How the service is known to be healthy; `None`: it is healthy once started.
    pub health: Option<Health>,
    /// What to do when it ends.
    pub restart: Restart,
    /// Services that must be healthy before this one starts.
    pub after: Vec<String>,
}

/// A transport protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// TCP over IPv4 and IPv6.
    Tcp,
    /// UDP over IPv4 and IPv6.
    Udp,
}

/// A port a service listens on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Port {
    /// Transport protocol.
    pub protocol: Protocol,
    /// Port number, never 0.
    pub port: u16,
}

/// A health probe; every time is in milliseconds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase", deny_unknown_fields)]
pub enum Health {
    /// An HTTP GET on the loopback address that answers 200–399.
    Http {
        /// Port probed.
        port: u16,
        /// Absolute path requested.
        path: String,
        /// Time from start within which it must first succeed.
        within_ms: u64,
    },
    /// A TCP connection on the loopback address that is accepted.
    Tcp {
        /// Port probed.
        port: u16,
        /// Time from start within which it must first succeed.
        within_ms: u64,
    },
    /// As [`Health::Http`], over a channel that the service serves.
    Channel {
        /// Channel asked.
        channel: String,
        /// Absolute path requested.
        path: String,
        /// Time from start within which it must first succeed.
        within_ms: u64,
    },
    /// A command run inside the service's image, as its user, that exits 0.
    Exec {
        /// Program and arguments.
        run: Vec<String>,
        /// Time from start within which it must first succeed.
        within_ms: u64,
    },
}

/// What happens when a service's process ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Restart {
    /// Start it again, with exponential back-off.
    #[default]
    Always,
    /// Start it again only if it failed.
    OnFailure,
    /// Leave it stopped.
    Never,
}

/// How the machine is connected.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase", deny_unknown_fields)]
pub enum Network {
    /// Loopback only.
    #[default]
    None,
    /// DHCPv4 and IPv6 router advertisements on the first Ethernet interface (or the named one).
    Dhcp {
        /// Interface name; `None` means the first Ethernet interface, by name.
        interface: Option<String>,
    },
    /// Fixed addresses.
    Static {
        /// Interface name; `None` means the first Ethernet interface, by name.
        interface: Option<String>,
        /// Addresses with prefix length, IPv4 or IPv6 (`192.0.2.7/24`).
        addresses: Vec<String>,
        /// Default routers, at most one per address family.
        gateways: Vec<String>,
        /// Name servers, written to every service's `/etc/resolv.conf`.
        dns: Vec<String>,
    },
}

/// A manifest that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// Not JSON, or not the fields of this version.
    #[error("the system manifest cannot be read: {0}; rebuild the system with this nos")]
    Syntax(#[from] serde_json::Error),
    /// Written by a newer program.
    #[error(
        "the system manifest has version {found}, this program reads up to {MANIFEST_VERSION}; use a newer nos"
    )]
    TooNew {
        /// Version found.
        found: u32,
    },
}

impl SystemManifest {
    /// The manifest's one byte form: indented JSON with fields in declaration order and a final
    /// newline.
    ///
    /// # Errors
    /// Never for manifests built from this module's types; the signature keeps the JSON
    /// library's error rather than a panic.
    pub fn to_bytes(&self) -> Result<Vec<u8>, ManifestError> {
        let mut bytes = serde_json::to_vec_pretty(self)?;
        bytes.push(b'\n');
        Ok(bytes)
    }

    /// Reads a manifest.
    ///
    /// # Errors
    /// [`ManifestError::TooNew`] before [`ManifestError::Syntax`], so that an old reader says
    /// "newer" and not "unknown field".
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, ManifestError> {
        #[derive(Deserialize)]
        struct Version {
            version: u32,
        }
        let Version { version } = serde_json::from_slice(bytes)?;
        if version > MANIFEST_VERSION {
            return Err(ManifestError::TooNew { found: version });
        }
        Ok(serde_json::from_slice(bytes)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(root_hash: &str) -> Image {
        Image {
            name: "web".into(),
            root_hash: root_hash.into(),
            salt: String::new(),
            data_blocks: 1,
            hash_start_block: 2,
            size_bytes: 12288,
        }
    }

    #[test]
    fn part_uuid_is_the_first_half_of_the_root_hash() {
        let hash = "00112233445566778899aabbccddeeff".repeat(2);
        assert_eq!(
            image(&hash).part_uuid().unwrap(),
            "00112233-4455-6677-8899-aabbccddeeff"
        );
        assert_eq!(image("0011").part_uuid(), None);
        assert_eq!(image(&"é".repeat(32)).part_uuid(), None);
    }

    #[test]
    fn channels_have_variables() {
        assert_eq!(channel_variable("order-book2"), "CHANNEL_ORDER_BOOK2");
    }

    #[test]
    fn a_module_says_only_what_it_must() {
        let always = Module::always("erofs");
        assert_eq!(always.path(), "/modules/erofs.ko");
        assert_eq!(
            serde_json::to_string(&always).unwrap(),
            r#"{"name":"erofs"}"#
        );
        let text = r#"{"name":"ptp","compression":"xz","devices":["pci:v*"],"with":["igb"]}"#;
        let module: Module = serde_json::from_str(text).unwrap();
        assert_eq!(module.path(), "/modules/ptp.ko.xz");
        assert!(always.is_always() && !module.is_always());
        assert_eq!(serde_json::to_string(&module).unwrap(), text);
    }

    #[test]
    fn a_newer_manifest_is_refused_by_version() {
        let text = br#"{"version": 2, "surprise": true}"#;
        assert!(matches!(
            SystemManifest::from_bytes(text),
            Err(ManifestError::TooNew { found: 2 })
        ));
    }
}
