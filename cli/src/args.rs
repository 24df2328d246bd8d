//! The command line: verbs, options and their help.

use clap::{Args, Parser, Subcommand, ValueEnum};
use std::path::PathBuf;

/// Declarative images, atomic generations.
#[derive(Debug, Parser)]
#[command(
    name = "nos",
    version,
    about = "Turns a text file into a machine",
    long_about = "nos turns a text file into a machine: it builds reproducible, minimal systems \
                  from a spec and writes them to disks that switch and roll back atomically.",
    after_help = "SPEC is a .nos file, FILE#HOST for one host of several, or a folder with one \
                  spec.\nDISK is a disk image or a block device.\n\nExit codes: 0 done, 1 failed, \
                  2 wrong usage or wrong spec, 3 changes pending, 101 a bug in nos.",
    max_term_width = 80,
    arg_required_else_help = true
)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) verb: Verb,
}

/// Options that every verb takes.
#[derive(Debug, Args)]
pub(crate) struct Global {
    /// Folder of the store [env: NOS_STORE]
    #[arg(long, global = true, value_name = "DIR")]
    pub(crate) store: Option<PathBuf>,
    /// Print results as JSON
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Say nothing but errors
    #[arg(short, long, global = true)]
    pub(crate) quiet: bool,
    /// When to use colour
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto")]
    pub(crate) color: Color,
    /// Actions and downloads at once, and processors for each build [default: one
    /// per processor]
    #[arg(short, long, global = true, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    pub(crate) jobs: Option<u16>,
    /// Memory for actions that run side by side, such as 2GiB [default: three
    /// quarters of what is available]
    #[arg(long, global = true, value_name = "SIZE", value_parser = crate::units::parse_size)]
    pub(crate) build_memory: Option<u64>,
    /// Use nothing but what the store holds
    #[arg(long, global = true)]
    pub(crate) offline: bool,
    /// Debian mirror, before the spec's, NOS_DEBIAN_MIRROR and apt's own
    #[arg(long, global = true, value_name = "URL")]
    pub(crate) mirror: Option<String>,
}

/// When to use colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Color {
    /// On a terminal, unless `NO_COLOR` is set
    Auto,
    /// Always
    Always,
    /// Never
    Never,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Say what is wrong with a spec, without network
    Check(SpecArgs),
    /// Put specs into their canonical form
    Fmt(FmtArgs),
    /// Pin the packages that a spec asks for
    Lock(SpecArgs),
    /// Move pins to the newest versions
    Update(UpdateArgs),
    /// Show what a build would fetch, build and reuse
    Plan(PlanArgs),
    /// Build a system and print the path of its description
    Build(BuildArgs),
    /// Write a complete bootable disk image
    Image(ImageArgs),
    /// Boot a spec in a local virtual machine
    Run(RunArgs),
    /// Write a bootable disk to real hardware
    Flash(FlashArgs),
    /// Add the next generation to a disk and make it the default
    Install(InstallArgs),
    /// Show what was done to a disk
    Log(DiskArgs),
    /// List the generations of a disk
    Generations(DiskArgs),
    /// Make a generation the default
    Switch(SwitchArgs),
    /// Go back to the generation before
    Rollback(DiskArgs),
    /// Check every byte and structure of a disk
    Verify(VerifyArgs),
    /// Look after the disks of a machine that no longer boots
    Rescue(RescueArgs),
    /// Drop old generations of a disk
    Gc(GcArgs),
    /// Drop one generation of a disk
    Remove(SwitchArgs),
    /// Keep a generation, whatever `gc` is asked for
    Pin(PinArgs),
    /// Let a pinned generation go with the next `gc`
    Unpin(SwitchArgs),
    /// Use all of a disk that has become larger
    Grow(GrowArgs),
    /// Look after the store
    #[command(subcommand)]
    Store(StoreVerb),
    /// Say whether this machine can build, run and flash
    Doctor,
    /// Write the kernel block for the machine that runs this
    Hardware(HardwareArgs),
    /// Show where the bytes of a system are
    Tree(TreeArgs),
    /// Say why a file, a package or a kernel option is in a system
    Why(WhyArgs),
    /// Show what differs between two systems
    Diff(DiffArgs),
    /// Say what trimming keeps of each image, and what its bytes hang on
    Trim(TrimArgs),
    /// List what a system is made of, for other programs
    Sbom(SbomArgs),
    /// State what a system was made from
    Provenance(SpecArgs),
    /// Explain a message's code, a block or an attribute
    Explain(ExplainArgs),
    /// Write a first spec that boots
    Init(InitArgs),
    /// Serve an editor: the language server protocol on standard input and output
    Lsp,
    /// Print completions for a shell
    Completions(CompletionsArgs),
    /// Print a page of the manual, or write all
    Man(ManArgs),
}

#[derive(Debug, Args)]
pub(crate) struct HardwareArgs {
    /// Look at the machine whose /sys was copied here
    #[arg(long, value_name = "DIR", default_value = "/sys")]
    pub(crate) sys: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct TreeArgs {
    /// Spec (FILE#HOST), result of a build, or disk (DISK#N)
    #[arg(value_name = "SYSTEM", default_value = ".")]
    pub(crate) system: String,
    /// Levels of folders to print
    #[arg(short, long, value_name = "N", default_value = "2")]
    pub(crate) depth: usize,
    /// Print, where a terminal would be walked through
    #[arg(short, long)]
    pub(crate) print: bool,
}

#[derive(Debug, Args)]
pub(crate) struct WhyArgs {
    /// Spec file, FILE#HOST, or a folder with one spec
    #[arg(value_name = "SPEC")]
    pub(crate) spec: String,
    /// Absolute path in an image, a package, a kernel module, or CONFIG_…
    #[arg(value_name = "WHAT")]
    pub(crate) what: String,
}

#[derive(Debug, Args)]
pub(crate) struct TrimArgs {
    #[command(flatten)]
    pub(crate) spec: SpecArgs,
    /// Only this image
    #[arg(short, long, value_name = "NAME")]
    pub(crate) image: Option<String>,
    /// Every file with all reasons why it stays
    #[arg(long)]
    pub(crate) explain: bool,
    /// Run the services with all their files and list what they open
    #[arg(long)]
    pub(crate) trace: bool,
    /// Trace for this long once all services are healthy, such as 30s
    #[arg(long = "for", value_name = "TIME", requires = "trace", value_parser = crate::units::parse_time)]
    pub(crate) time: Option<std::time::Duration>,
    /// Trace until this command ends; port 80 of the machine is its $NOS_PORT_80
    #[arg(long, value_name = "COMMAND", requires = "trace")]
    pub(crate) exec: Vec<String>,
}

#[derive(Debug, Args)]
pub(crate) struct SbomArgs {
    #[command(flatten)]
    pub(crate) spec: SpecArgs,
    /// Form of the list
    #[arg(short, long, value_name = "FORM", default_value = "spdx")]
    pub(crate) format: BomFormat,
}

/// A form of a bill of materials.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum BomFormat {
    /// SPDX 2.3, JSON
    Spdx,
    /// CycloneDX 1.6, JSON
    Cyclonedx,
}

#[derive(Debug, Args)]
pub(crate) struct DiffArgs {
    /// Spec (FILE#HOST), result of a build, or disk (DISK#N)
    #[arg(value_name = "BEFORE")]
    pub(crate) before: String,
    /// What to compare it with
    #[arg(value_name = "AFTER")]
    pub(crate) after: String,
}

#[derive(Debug, Args)]
pub(crate) struct ExplainArgs {
    /// Such as E0101, service, service.health or http; all names when left out
    #[arg(value_name = "WHAT")]
    pub(crate) what: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct InitArgs {
    /// Folder to write to; made where it is missing
    #[arg(value_name = "FOLDER", default_value = ".")]
    pub(crate) folder: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct CompletionsArgs {
    /// Shell to print them for
    #[arg(value_name = "SHELL")]
    pub(crate) shell: Shell,
}

/// Shells that can be told what to complete.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Shell {
    /// GNU Bash 4.4 or newer
    Bash,
    /// Elvish
    Elvish,
    /// Fish
    Fish,
    /// PowerShell
    Powershell,
    /// Z shell
    Zsh,
}

#[derive(Debug, Args)]
pub(crate) struct ManArgs {
    /// Verb to print the page of; of nos itself when left out
    #[arg(value_name = "VERB", num_args = 0..=2)]
    pub(crate) verb: Vec<String>,
    /// Write every page into this folder; made where it is missing
    #[arg(long, value_name = "DIR", conflicts_with = "verb")]
    pub(crate) to: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct SpecArgs {
    /// Spec file, FILE#HOST, or a folder with one spec
    #[arg(value_name = "SPEC", default_value = ".")]
    pub(crate) spec: String,
}

#[derive(Debug, Args)]
pub(crate) struct FmtArgs {
    /// Spec files, or folders with one spec; `-` reads standard input
    #[arg(value_name = "SPEC", default_value = ".")]
    pub(crate) specs: Vec<String>,
    /// Write nothing; exit with 3 where a file is not canonical
    #[arg(long)]
    pub(crate) check: bool,
    /// As --check, and print what would change as a unified diff
    #[arg(long)]
    pub(crate) diff: bool,
}

#[derive(Debug, Args)]
pub(crate) struct UpdateArgs {
    #[command(flatten)]
    pub(crate) spec: SpecArgs,
    /// Packages to move; all when none is named
    #[arg(value_name = "PACKAGE")]
    pub(crate) packages: Vec<String>,
    /// Move the pins of the virtual machine that `nos run` uses instead
    #[arg(long, conflicts_with = "packages")]
    pub(crate) tools: bool,
}

#[derive(Debug, Args)]
pub(crate) struct PlanArgs {
    #[command(flatten)]
    pub(crate) spec: SpecArgs,
    /// Refuse to write nos.lock; fail where it does not fit the spec
    #[arg(long)]
    pub(crate) locked: bool,
}

#[derive(Debug, Args)]
pub(crate) struct BuildArgs {
    #[command(flatten)]
    pub(crate) spec: SpecArgs,
    /// Refuse to write nos.lock; fail where it does not fit the spec
    #[arg(long)]
    pub(crate) locked: bool,
    /// Build again from scratch and compare every output
    #[arg(long)]
    pub(crate) check: bool,
    /// Make init from its source, and refuse where the one that travels with nos differs
    #[arg(long)]
    pub(crate) init_from_source: bool,
    /// Vary what builds see of this machine; what the second build of --check does
    #[arg(long, hide = true)]
    pub(crate) vary: bool,
    /// After a failure, go on with what does not need its result
    #[arg(short, long)]
    pub(crate) keep_going: bool,
    /// Keep what a build that fails left in its folders
    #[arg(long)]
    pub(crate) keep_failed: bool,
    /// Open a shell in the sandbox of this build, instead of building
    #[arg(long, value_name = "BUILD", conflicts_with_all = ["check", "out_link", "keep_going"])]
    pub(crate) shell: Option<String>,
    /// Link to make to the result
    #[arg(short, long, value_name = "LINK")]
    pub(crate) out_link: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct ImageArgs {
    #[command(flatten)]
    pub(crate) spec: SpecArgs,
    /// Disk image to write
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: PathBuf,
    /// Replace an existing file
    #[arg(short, long)]
    pub(crate) force: bool,
    /// Size of the disk, such as 2GiB [default: what fits, and the spec's spare]
    #[arg(long, value_name = "SIZE", value_parser = crate::units::parse_size)]
    pub(crate) size: Option<u64>,
    /// Bytes in a sector
    #[arg(long, value_name = "BYTES", default_value = "512", value_parser = crate::units::parse_sector_size)]
    pub(crate) sector_size: u32,
    /// Sign the image with the secret key in this file, into FILE.sig
    #[arg(long, value_name = "KEY-FILE")]
    pub(crate) sign: Option<PathBuf>,
    /// Refuse to write nos.lock
    #[arg(long)]
    pub(crate) locked: bool,
}

#[derive(Debug, Args)]
pub(crate) struct RunArgs {
    #[command(flatten)]
    pub(crate) spec: SpecArgs,
    /// Boot this disk image and keep what it writes; made from SPEC where missing
    #[arg(long, value_name = "FILE")]
    pub(crate) disk: Option<PathBuf>,
    /// Guest memory, such as 256MiB
    #[arg(long, value_name = "SIZE", value_parser = crate::units::parse_size)]
    pub(crate) memory: Option<u64>,
    /// Virtual processors
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=255))]
    pub(crate) cpus: Option<u32>,
    /// Forward HOST:GUEST besides the spec's ports; HOST 0 takes a free one
    #[arg(short, long, value_name = "HOST:GUEST", value_parser = crate::units::parse_forward)]
    pub(crate) port: Vec<(u16, u16)>,
    /// Start the kernel without firmware, as microVM hosts do; for a kernel of its own
    #[arg(long)]
    pub(crate) direct: bool,
    /// How the processor is emulated
    #[arg(long, value_name = "HOW", default_value = "auto")]
    pub(crate) accel: Accel,
    /// Go on when the machine restarts itself, and give it a watchdog; always so for a trial
    #[arg(long)]
    pub(crate) restart: bool,
    /// Attach a further disk; the machine boots from the first
    #[arg(long, value_name = "FILE")]
    pub(crate) with: Vec<PathBuf>,
    /// Attach the disk that is booted as a USB stick
    #[arg(long, conflicts_with = "direct")]
    pub(crate) usb: bool,
    /// Keep the firmware's variables in FILE; made where missing
    #[arg(long, value_name = "FILE")]
    pub(crate) variables: Option<PathBuf>,
    /// A further argument for QEMU
    #[arg(long, value_name = "ARGUMENT", allow_hyphen_values = true)]
    pub(crate) qemu: Vec<std::ffi::OsString>,
    /// Use the QEMU and OVMF installed on this machine
    #[arg(long)]
    pub(crate) system_qemu: bool,
    /// Refuse to write nos.lock
    #[arg(long)]
    pub(crate) locked: bool,
}

/// How the processor is emulated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Accel {
    /// KVM where it works, else TCG
    Auto,
    /// KVM or nothing
    Kvm,
    /// Software
    Tcg,
}

#[derive(Debug, Args)]
pub(crate) struct FlashArgs {
    /// Spec, a link of `nos build -o`, or a disk image (also as .zst)
    #[arg(value_name = "SPEC")]
    pub(crate) source: String,
    /// Block device, or an image file that stands in for one
    #[arg(value_name = "DEVICE", required_unless_present = "stdout")]
    pub(crate) device: Option<PathBuf>,
    /// Do not ask; SERIAL must be the device's (`none` where it has none, and for an image file)
    #[arg(long, value_name = "SERIAL")]
    pub(crate) yes: Option<String>,
    /// Leave the state partition of the nOs disk that is there as it is
    #[arg(long)]
    pub(crate) keep_state: bool,
    /// Make the state partition so large, such as 2GiB, or `all` for the rest of the device
    #[arg(long, value_name = "SIZE", conflicts_with = "keep_state", value_parser = crate::units::parse_state_size)]
    pub(crate) state: Option<nos_disk::StateSize>,
    /// Give the whole disk to a pipe instead of a device
    #[arg(long, conflicts_with_all = ["device", "yes", "keep_state"])]
    pub(crate) stdout: bool,
    /// Size of the disk in the pipe [default: the image's, or what fits and the spec's spare]
    #[arg(long, value_name = "SIZE", requires = "stdout", value_parser = crate::units::parse_size)]
    pub(crate) size: Option<u64>,
    /// Bytes in a sector of the disk in the pipe
    #[arg(long, value_name = "BYTES", requires = "stdout", value_parser = crate::units::parse_sector_size)]
    pub(crate) sector_size: Option<u32>,
    /// Signature of the image [default: IMAGE.sig, where that is there]
    #[arg(long, value_name = "FILE")]
    pub(crate) signature: Option<PathBuf>,
    /// Refuse an image that is not signed by this key; may be repeated
    #[arg(long, value_name = "KEY")]
    pub(crate) trust: Vec<String>,
    /// Refuse to write nos.lock
    #[arg(long)]
    pub(crate) locked: bool,
}

#[derive(Debug, Args)]
pub(crate) struct InstallArgs {
    /// Spec file, FILE#HOST, or a folder with one spec
    #[arg(value_name = "SPEC")]
    pub(crate) spec: String,
    #[command(flatten)]
    pub(crate) disk: DiskArgs,
    /// Words to know this generation by
    #[arg(long, value_name = "TEXT", value_parser = crate::units::parse_label)]
    pub(crate) label: Option<String>,
    /// Try it at the next boot; it stays only if every service becomes healthy
    #[arg(long)]
    pub(crate) trial: bool,
    /// Read back what was written before it may boot, as is always done on a block device
    #[arg(long)]
    pub(crate) verify: bool,
    /// Refuse to write nos.lock
    #[arg(long)]
    pub(crate) locked: bool,
}

#[derive(Debug, Args)]
pub(crate) struct DiskArgs {
    /// Disk image or block device
    #[arg(value_name = "DISK")]
    pub(crate) disk: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct RescueArgs {
    /// Disk images or block devices; all disks of the machine when none is named
    #[arg(value_name = "DISK")]
    pub(crate) disks: Vec<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct VerifyArgs {
    #[command(flatten)]
    pub(crate) disk: DiskArgs,
    /// First put right what can be: tables, leftovers of a cut-off change, a damaged pointer
    #[arg(long)]
    pub(crate) repair: bool,
    /// Besides, write damaged images and kernel images anew from the spec they were built from
    #[arg(long, value_name = "SPEC", requires = "repair")]
    pub(crate) from: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct SwitchArgs {
    #[command(flatten)]
    pub(crate) disk: DiskArgs,
    /// Number of the generation
    #[arg(value_name = "N")]
    pub(crate) generation: u32,
    /// Only try it at the next boot; it stays if every service becomes healthy
    #[arg(long)]
    pub(crate) trial: bool,
}

#[derive(Debug, Args)]
pub(crate) struct GcArgs {
    #[command(flatten)]
    pub(crate) disk: DiskArgs,
    /// How many of the newest generations to keep besides the current one
    #[arg(long, value_name = "N", default_value = "5")]
    pub(crate) keep: u32,
}

#[derive(Debug, Args)]
pub(crate) struct PinArgs {
    #[command(flatten)]
    pub(crate) disk: DiskArgs,
    /// Number of the generation
    #[arg(value_name = "N")]
    pub(crate) generation: u32,
    /// Words to know it by, instead of those that it has
    #[arg(long, value_name = "TEXT", value_parser = crate::units::parse_label)]
    pub(crate) label: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct GrowArgs {
    #[command(flatten)]
    pub(crate) disk: DiskArgs,
    /// Make the state partition so large, such as 2GiB, or `all` for all that is behind it
    #[arg(long, value_name = "SIZE", value_parser = crate::units::parse_state_size)]
    pub(crate) state: Option<nos_disk::StateSize>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum StoreVerb {
    /// Show where the store is, what it holds and what keeps it
    Ls,
    /// Remove what no root keeps, and old leftovers of builds
    Gc {
        /// Show what would go, remove nothing
        #[arg(long)]
        dry_run: bool,
    },
    /// Let go of what a root keeps; `nos store gc` then removes it
    Drop {
        /// Name of the root, as `nos store ls` shows it
        #[arg(value_name = "ROOT")]
        root: String,
    },
    /// Write everything that a root keeps to a file, for another store
    Export {
        /// Name of the root, as `nos store ls` shows it
        #[arg(value_name = "ROOT")]
        root: String,
        /// File to write
        #[arg(short, long, value_name = "FILE")]
        output: PathBuf,
        /// File with the 32 bytes of a secret key to sign with
        #[arg(long, value_name = "KEY")]
        sign: Option<PathBuf>,
    },
    /// Take in what another store exported
    Import {
        /// File to read
        #[arg(value_name = "FILE")]
        file: PathBuf,
        /// Public key that must have signed it, in hex; may be given several times
        #[arg(long, value_name = "HEX", required_unless_present = "unsigned")]
        trust: Vec<String>,
        /// Take it whoever made it
        #[arg(long, conflicts_with = "trust")]
        unsigned: bool,
    },
    /// Check every object against its name
    Verify {
        /// Remove damaged objects, and results that name them
        #[arg(long)]
        repair: bool,
    },
}
