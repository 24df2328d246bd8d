//! The kinds of blocks and their attributes.

use super::build::{BUILD, FETCH, OCI, PULL};
use super::calls::*;
use super::rules::*;
use super::{Attribute, Block, Type, Word};

/// What holds where an attribute is absent; the table's `default` texts say the same.
pub(crate) mod defaults {
    pub(crate) const KERNEL_PACKAGE: &str = "linux-image-cloud-amd64";
    pub(crate) const KERNEL_SOURCE: &str = "linux-source-6.12";
    pub(crate) const SUITE: &str = "trixie";
    pub(crate) const ESP_BYTES: u64 = 64 << 20;
    /// With a kernel for real hardware.
    pub(crate) const LARGE_ESP_BYTES: u64 = 128 << 20;
    pub(crate) const SPARE_BYTES: u64 = 128 << 20;
    pub(crate) const KEEP: u32 = 5;
    pub(crate) const MEMORY_BYTES: u64 = 256 << 20;
    pub(crate) const CPUS: u32 = 1;
    pub(crate) const WITHIN_MS: u64 = 30_000;
    pub(crate) const BUILD_TIME_MS: u64 = 2 * 3_600_000;
    pub(crate) const BUILD_BYTES: u64 = 8 << 30;
    pub(crate) const BUILD_PROCESSES: u64 = 1024;
}

const MIB: i64 = 1 << 20;
const TIB: i64 = 1 << 40;

const PATHS: Type = Type::List {
    of: &Type::Text(&PATH),
    empty: true,
    repeats: false,
};
const CHANNELS: Type = Type::List {
    of: &Type::Text(&CHANNEL),
    empty: true,
    repeats: false,
};
const COMMAND: Type = Type::List {
    of: &Type::Text(&ARGUMENT),
    empty: false,
    repeats: true,
};

pub(crate) const NETWORKS: &[Word] = &[
    Word {
        name: "none",
        doc: "Loopback only.",
    },
    Word {
        name: "dhcp",
        doc: "DHCPv4 and IPv6 router advertisements on the first Ethernet interface.",
    },
];

pub(crate) const RESTARTS: &[Word] = &[
    Word {
        name: "always",
        doc: "Start it again, each time a little later.",
    },
    Word {
        name: "on-failure",
        doc: "Start it again only if it failed.",
    },
    Word {
        name: "never",
        doc: "Leave it stopped.",
    },
];

/// What kernels can be built for; [`crate::system::Platform`] has the same names.
pub(crate) const PLATFORMS: &[Word] = &[
    Word {
        name: "qemu",
        doc: "QEMU and KVM with UEFI and virtio devices, and clouds made of them.",
    },
    Word {
        name: "microvm",
        doc: "QEMU's microvm: virtio devices without firmware, PCI and ACPI.",
    },
    Word {
        name: "firecracker",
        doc: "Firecracker.",
    },
    Word {
        name: "xen",
        doc: "Xen guests.",
    },
    Word {
        name: "vmware",
        doc: "VMware guests.",
    },
    Word {
        name: "pc",
        doc: "Real machines: NVMe, SATA and USB disks, common network cards.",
    },
];

/// Every set of words.
pub(super) const WORDS: &[&[Word]] = &[NETWORKS, RESTARTS, PLATFORMS];

const NOTHING: Attribute = Attribute {
    name: "",
    ty: &Type::Bool,
    required: false,
    default: None,
    doc: "",
    example: "",
    aliases: &[],
};

/// What an image is made of; shared by `image` and `service`.
const CONTENT: &[Attribute] = &[
    Attribute {
        name: "packages",
        ty: &Type::List {
            of: &Type::Text(&PACKAGE),
            empty: true,
            repeats: false,
        },
        doc: "Debian packages. They are unpacked with what they depend on, never installed: no \
              maintainer script runs. `nos lock` pins their versions.",
        example: "packages = [\"nginx\"]",
        aliases: &["package", "deps", "dependencies"],
        ..NOTHING
    },
    Attribute {
        name: "builds",
        ty: &Type::List {
            of: &Type::Block("build"),
            empty: true,
            repeats: false,
        },
        doc: "What is made from sources. The results lie over the files of packages, and are trimmed \
              like them.",
        example: "builds = [greeter]",
        aliases: &["build", "sources"],
        ..NOTHING
    },
    Attribute {
        name: "from",
        ty: &Type::Calls(&[&OCI, &PULL]),
        doc: "An image made elsewhere. Packages, builds and files lie over it.",
        example: "from = oci(\"image.tar\")",
        aliases: &["base"],
        ..NOTHING
    },
    Attribute {
        name: "files",
        ty: &Type::Map(
            &PATH,
            &Type::Calls(&[&FILE, &FOLDER, &TEXT_CALL, &FETCH, &NOS]),
        ),
        doc: "Files of your own, by their path in the image. They replace those of packages.",
        example: "files = { \"/etc/motd\" = text(\"hello\") }",
        aliases: &["file", "contents", "copy"],
        ..NOTHING
    },
    Attribute {
        name: "links",
        ty: &Type::Map(&PATH, &Type::Text(&TARGET)),
        doc: "Symbolic links: path in the image and what it points to.",
        example: "links = { \"/bin/sh\" = \"/usr/bin/busybox\" }",
        aliases: &["link", "symlinks"],
        ..NOTHING
    },
    Attribute {
        name: "directories",
        ty: &PATHS,
        doc: "Directories to make empty.",
        example: "directories = [\"/var/cache/app\"]",
        aliases: &["dirs", "directory", "folders"],
        ..NOTHING
    },
    Attribute {
        name: "keep",
        ty: &Type::List {
            of: &Type::Text(&GLOB),
            empty: true,
            repeats: false,
        },
        doc: "Patterns (`*`, `**`, `?`, `[…]`) of paths that trimming keeps, besides what the \
              services' commands reach.",
        example: "keep = [\"/usr/share/zoneinfo/**\"]",
        ..NOTHING
    },
    Attribute {
        name: "drop",
        ty: &Type::List {
            of: &Type::Text(&GLOB),
            empty: true,
            repeats: false,
        },
        doc: "Patterns of paths that are left out, trimmed or not. What a program cannot start \
              without is named and not left out; `nos trim` says what each takes.",
        example: "drop = [\"/usr/lib/php/*/fileinfo.so\"]",
        aliases: &["exclude", "remove", "without"],
        ..NOTHING
    },
    Attribute {
        name: "trim",
        ty: &Type::Bool,
        default: Some("true, but false for an image made elsewhere"),
        doc: "Whether files of packages that no service can reach are left out.",
        example: "trim = false",
        ..NOTHING
    },
];

const SERVICE: &[Attribute] = &[
    Attribute {
        name: "image",
        ty: &Type::Block("image"),
        default: Some("an image of the service's own content"),
        doc: "The image that becomes the service's root, where several services share one.",
        example: "image = base",
        aliases: &["root"],
        ..NOTHING
    },
    Attribute {
        name: "run",
        ty: &COMMAND,
        required: true,
        doc: "The program, an absolute path in the image, and its arguments. No shell takes part. \
              The program stays in the foreground.",
        example: "run = [\"/usr/sbin/nginx\", \"-g\", \"daemon off;\"]",
        aliases: &["command", "cmd", "exec", "entrypoint", "start"],
        ..NOTHING
    },
    Attribute {
        name: "env",
        ty: &Type::Map(&VARIABLE, &Type::Text(&TEXT)),
        doc: "The whole environment; nothing is inherited.",
        example: "env = { LANG = \"C.UTF-8\" }",
        aliases: &["environment", "variables"],
        ..NOTHING
    },
    Attribute {
        name: "workdir",
        ty: &Type::Text(&DIRECTORY),
        default: Some("\"/\""),
        doc: "Working directory in the image.",
        example: "workdir = \"/srv\"",
        aliases: &["cwd", "working-directory"],
        ..NOTHING
    },
    Attribute {
        name: "user",
        ty: &Type::Number(0, 65_533),
        default: Some("one of 1000 to 59999, from the service's name"),
        doc: "Number of the user and group that the service runs as.",
        example: "user = 33",
        aliases: &["uid", "run-as"],
        ..NOTHING
    },
    Attribute {
        name: "capabilities",
        ty: &Type::List {
            of: &Type::Text(&CAPABILITY),
            empty: true,
            repeats: false,
        },
        doc: "Linux capabilities that the service keeps. CAP_NET_BIND_SERVICE is among them by \
              itself where it listens on a port below 1024. With CAP_SYS_BOOT, reboot(2) ends the \
              machine as its power button would.",
        example: "capabilities = [\"CAP_NET_RAW\"]",
        aliases: &["caps", "capability"],
        ..NOTHING
    },
    Attribute {
        name: "devices",
        ty: &Type::List {
            of: &Type::Text(&DEVICE),
            empty: true,
            repeats: false,
        },
        doc: "Devices that the service may use, besides those that every service has (null, zero, \
              full, random, urandom, tty): paths below /dev, where `*` stands for any characters, \
              and \"disks\" for every disk with its partitions. They belong to the service's user, \
              and come and go with the hardware. With it, the service sees /sys, read-only.",
        example: "devices = [\"/dev/net/tun\"]",
        aliases: &["device", "hardware"],
        ..NOTHING
    },
    Attribute {
        name: "terminal",
        ty: &Type::Text(&TERMINAL),
        default: Some("nothing to read from, and the log to write to"),
        doc: "The terminal that the service reads from and writes to: a serial line, or /dev/tty1 \
              for screen and keyboard.",
        example: "terminal = \"/dev/ttyS0\"",
        aliases: &["tty", "console", "stdin"],
        ..NOTHING
    },
    Attribute {
        name: "listen",
        ty: &Type::List {
            of: &Type::Calls(&[&TCP, &UDP]),
            empty: true,
            repeats: false,
        },
        doc: "Ports that the service listens on.",
        example: "listen = [tcp(80)]",
        aliases: &["ports", "port", "expose"],
        ..NOTHING
    },
    Attribute {
        name: "serves",
        ty: &CHANNELS,
        doc: "Channels that the service answers on. It is started with a listening Unix socket for \
              each, from descriptor 3 on, as systemd would (LISTEN_FDS, LISTEN_FDNAMES, \
              LISTEN_PID). The machine holds the sockets, so a restart loses no connection that waits.",
        example: "serves = [\"api\"]",
        aliases: &["channels", "channel", "provides", "sockets", "socket"],
        ..NOTHING
    },
    Attribute {
        name: "calls",
        ty: &CHANNELS,
        doc: "Channels that the service connects to, each served by another service of its host. \
              The channel `api` is the socket /run/channels/api, which the variable CHANNEL_API \
              names; it is there before the first service starts, and no other service sees it.",
        example: "calls = [\"api\"]",
        aliases: &["connects", "peers", "talks", "clients"],
        ..NOTHING
    },
    Attribute {
        name: "health",
        ty: &Type::Calls(&[&HTTP, &HTTP_CHANNEL, &TCP_PROBE, &EXEC]),
        default: Some("healthy once started"),
        doc: "How the machine finds out whether the service is healthy. Services that name it in \
              `after` wait for that, and a generation is good once all its services are.",
        example: "health = http(port = 80, path = \"/\", within = 10s)",
        aliases: &["healthcheck", "probe", "check"],
        ..NOTHING
    },
    Attribute {
        name: "state",
        ty: &PATHS,
        doc: "Directories that the service may write to and that outlive it, kept on the state \
              partition. All else it writes is gone when it ends.",
        example: "state = [\"/data\"]",
        aliases: &["volumes", "volume", "data", "persist"],
        ..NOTHING
    },
    Attribute {
        name: "restart",
        ty: &Type::Words(RESTARTS),
        default: Some("always"),
        doc: "What happens when the program ends.",
        example: "restart = on-failure",
        ..NOTHING
    },
    Attribute {
        name: "after",
        ty: &Type::List {
            of: &Type::Block("service"),
            empty: true,
            repeats: false,
        },
        doc: "Services of the same host that must be healthy before this one starts.",
        example: "after = [database]",
        aliases: &["depends", "depends-on", "requires", "needs"],
        ..NOTHING
    },
];

const KERNEL: &[Attribute] = &[
    Attribute {
        name: "package",
        ty: &Type::Text(&PACKAGE),
        default: Some("\"linux-image-cloud-amd64\""),
        doc: "Debian package that names the kernel.",
        example: "package = \"linux-image-amd64\"",
        aliases: &["image", "version"],
        ..NOTHING
    },
    Attribute {
        name: "platform",
        ty: &Type::Words(PLATFORMS),
        default: Some("Debian's own kernel, from `package`"),
        doc: "What the kernel runs on. With it, the kernel is built from source with only what the \
              host uses, all of it built in: no modules.",
        example: "platform = qemu",
        aliases: &["target", "machine"],
        ..NOTHING
    },
    Attribute {
        name: "source",
        ty: &Type::Text(&PACKAGE),
        default: Some("\"linux-source-6.12\""),
        doc: "Debian package with the source that a kernel with a `platform` is built from.",
        example: "source = \"linux-source-6.12\"",
        aliases: &["sources"],
        ..NOTHING
    },
    Attribute {
        name: "options",
        ty: &Type::Map(&OPTION, &Type::Text(&OPTION_VALUE)),
        doc: "Options of the configuration of a kernel with a `platform`, besides those that the \
              host is known to need: \"y\", \"n\", a number or a text. One that does not take \
              effect is an error.",
        example: "options = { CONFIG_TUN = \"y\" }",
        aliases: &["config", "kconfig", "option"],
        ..NOTHING
    },
    Attribute {
        name: "modules",
        ty: &Type::List {
            of: &Type::Text(&MODULE),
            empty: true,
            repeats: false,
        },
        doc: "Modules to load besides those the host is known to need; what they depend on comes \
              with them.",
        example: "modules = [\"nvme\"]",
        aliases: &["module"],
        ..NOTHING
    },
    Attribute {
        name: "cmdline",
        ty: &Type::List {
            of: &Type::Text(&CMDLINE),
            empty: true,
            repeats: true,
        },
        doc: "Further words of the kernel's command line. `sysctl.NAME=VALUE` sets what is below \
              /proc/sys.",
        example: "cmdline = [\"sysctl.net.core.somaxconn=1024\"]",
        aliases: &["params", "args"],
        ..NOTHING
    },
];

const DISK: &[Attribute] = &[
    Attribute {
        name: "esp",
        ty: &Type::Size(33 * MIB, 4096 * MIB),
        default: Some("64MiB"),
        doc: "Size of the EFI system partition, which holds a kernel for each generation; 128MiB \
              where nothing is said and the kernel is one for real hardware.",
        example: "esp = 128MiB",
        aliases: &["boot", "efi"],
        ..NOTHING
    },
    Attribute {
        name: "state",
        ty: &Type::Size(16 * MIB, 64 * TIB),
        default: Some("no state partition"),
        doc: "Size of the partition for what services keep.",
        example: "state = 256MiB",
        aliases: &["data"],
        ..NOTHING
    },
    Attribute {
        name: "spare",
        ty: &Type::Size(0, 64 * TIB),
        default: Some("128MiB"),
        doc: "Space of a new disk image for the images of further generations.",
        example: "spare = 1GiB",
        aliases: &["free"],
        ..NOTHING
    },
    Attribute {
        name: "keep",
        ty: &Type::Number(2, 1000),
        default: Some("5"),
        doc: "How many generations `nos install` leaves on a disk: the newest ones. Those that are \
              pinned, on trial, or what a rollback goes to stay besides.",
        example: "keep = 3",
        aliases: &["generations"],
        ..NOTHING
    },
];

const DEBIAN: &[Attribute] = &[
    Attribute {
        name: "suite",
        ty: &Type::Text(&SUITE),
        default: Some("\"trixie\""),
        doc: "Code name of the Debian release that packages come from.",
        example: "suite = \"trixie\"",
        aliases: &["release"],
        ..NOTHING
    },
    Attribute {
        name: "mirror",
        ty: &Type::Text(&MIRROR),
        default: Some("NOS_DEBIAN_MIRROR, then the machine's own apt configuration"),
        doc: "Address of the mirror. What comes from it is checked by signature and hash.",
        example: "mirror = \"https://mirror.example/debian\"",
        aliases: &["url"],
        ..NOTHING
    },
];

const MACHINE: &[Attribute] = &[
    Attribute {
        name: "memory",
        ty: &Type::Size(32 * MIB, TIB),
        default: Some("256MiB"),
        doc: "Memory of the virtual machine.",
        example: "memory = 512MiB",
        aliases: &["ram"],
        ..NOTHING
    },
    Attribute {
        name: "cpus",
        ty: &Type::Number(1, 256),
        default: Some("1"),
        doc: "Processors of the virtual machine.",
        example: "cpus = 2",
        aliases: &["cores", "cpu"],
        ..NOTHING
    },
    Attribute {
        name: "forward",
        ty: &Type::List {
            of: &Type::Calls(&[&FORWARD]),
            empty: true,
            repeats: false,
        },
        default: Some("every TCP port that a service listens on, to any free port"),
        doc: "TCP ports of the machine that are reachable on the loopback address here.",
        example: "forward = [tcp(80, to = 8080)]",
        aliases: &["ports", "publish"],
        ..NOTHING
    },
];

const HOST: &[Attribute] = &[
    Attribute {
        name: "kernel",
        ty: &Type::Block("kernel"),
        default: Some("Debian's cloud kernel, `kernel.stock` of `use std.kernel`"),
        doc: "The kernel that the machine boots.",
        example: "kernel = kernel.stock",
        ..NOTHING
    },
    Attribute {
        name: "services",
        ty: &Type::List {
            of: &Type::Block("service"),
            empty: true,
            repeats: false,
        },
        required: true,
        doc: "What the machine runs.",
        example: "services = [web]",
        aliases: &["service", "run"],
        ..NOTHING
    },
    Attribute {
        name: "network",
        ty: &Type::WordsOrCalls(NETWORKS, &[&DHCP, &STATIC]),
        default: Some("none"),
        doc: "How the machine is connected.",
        example: "network = static(addresses = [\"192.0.2.7/24\"], gateways = [\"192.0.2.1\"])",
        aliases: &["net", "networking"],
        ..NOTHING
    },
    Attribute {
        name: "disk",
        ty: &Type::Record(DISK),
        doc: "How the machine's disk is laid out.",
        example: "disk = { state = 256MiB, keep = 3 }",
        aliases: &["disks", "storage"],
        ..NOTHING
    },
    Attribute {
        name: "debian",
        ty: &Type::Record(DEBIAN),
        doc: "Where Debian packages come from.",
        example: "debian = { suite = \"trixie\" }",
        aliases: &["apt"],
        ..NOTHING
    },
    Attribute {
        name: "machine",
        ty: &Type::Record(MACHINE),
        doc: "What `nos run` gives the virtual machine.",
        example: "machine = { memory = 512MiB, forward = [tcp(80, to = 8080)] }",
        aliases: &["vm", "qemu"],
        ..NOTHING
    },
];

/// Every kind of block.
pub const BLOCKS: &[Block] = &[
    Block {
        name: "service",
        doc: "A program with all it needs, in a read-only root of its own, under a user of its own.",
        groups: &[CONTENT, SERVICE],
        example: "service web {\n  packages = [\"nginx\"]\n  run      = [\"/usr/sbin/nginx\", \"-g\", \"daemon off;\"]\n  listen   = [tcp(80)]\n}",
    },
    Block {
        name: "image",
        doc: "Content that several services share as their root.",
        groups: &[CONTENT],
        example: "image base {\n  packages = [\"busybox-static\"]\n}",
    },
    Block {
        name: "build",
        doc: "Content made from sources, in a sandbox, by pinned tools.",
        groups: &[BUILD],
        example: "build greeter {\n  source = folder(\"greeter\")\n  using  = cargo(static = true)\n}",
    },
    Block {
        name: "kernel",
        doc: "A Linux kernel: Debian's with the modules that the host needs, or one built for the \
              host.",
        groups: &[KERNEL],
        example: "kernel metal {\n  package = \"linux-image-amd64\"\n  modules = [\"nvme\"]\n}",
    },
    Block {
        name: "host",
        doc: "A machine: a kernel, its services, its network and its disk.",
        groups: &[HOST],
        example: "host edge {\n  services = [web]\n  network  = dhcp\n}",
    },
];
