//! What actions do: one variant of [`Work`] each, with the parameters that are part of its key.

use crate::cargo;
pub use crate::cargo::Part;
use crate::debian;
use crate::error::BuildError;
use crate::init;
use crate::kernel::Feature;
use crate::kernel::minimal::{self, Deciding};
use crate::make::{self, Recipe};
use crate::realise::Builder;
use crate::schedule::Cost;
use crate::system::SYSTEM_VERSION;
use nos_manifest::{MANIFEST_VERSION, SystemManifest};
use nos_specs::lock::{LockedCommit, LockedPackage, LockedSource};
use nos_specs::system::{DiskLayout, Fetch, Git, VirtualMachine};
use nos_store::{ActionKey, ActionResult, Digest, KeyBuilder, Output};
use std::collections::BTreeMap;

/// Raised when an action's code changes what it makes of the same inputs, so that results of
/// older programs are not taken for ours.
const WORK_VERSION: u32 = 11;

/// The same for [`Work::Make`], whose results take minutes and are made by other programs than this
/// one: raised when a sandbox shows its command something else, or when what it leaves is taken
/// otherwise.
const MAKE_VERSION: u32 = 5;

/// A unit of building.
#[derive(Debug, Clone)]
pub enum Work {
    /// A `.deb` becomes a tree. No inputs. Output `tree`.
    Unpack {
        /// Package name.
        name: String,
        /// Its pin; the digest decides.
        pin: LockedPackage,
    },
    /// A local file, folder or text enters the store. No inputs. Output `file` (with the fact
    /// `executable`) or `tree`. Never cached by key: its content is read each time.
    Source(Origin),
    /// Kernel image and modules. Input: the kernel package's tree. Outputs `vmlinuz`, `modules`
    /// (a tree) and, where the package has it, `config`; facts `release`, `modules`, `late` and
    /// `trial` (JSON lists of
    /// [`nos_manifest::Module`], in loading order).
    Kernel {
        /// What the host needs of its kernel, in the order in which it is loaded.
        features: Vec<Feature>,
        /// Modules asked for by the spec, sorted.
        modules: Vec<String>,
    },
    /// A kernel of the host's own. Input: what building it left. Outputs and facts as of
    /// [`Work::Kernel`], without modules; with `direct` also `vmlinux`.
    MinimalKernel {
        /// Options that the spec switches off, sorted.
        off: Vec<String>,
        /// Whether it boots on machines without firmware.
        direct: bool,
    },
    /// What the programs of an image call. Input: its composed root. Output `file`, a
    /// [`minimal::Calls`] as JSON.
    Calls,
    /// The configuration of a host's own kernel. Inputs: the [`Work::Calls`] of its images. Output
    /// `file`, as Kconfig reads it.
    Options(Box<Deciding>),
    /// The `init` that travels with this program. No inputs. Output `file`.
    ShippedInit {
        /// Its digest.
        sha256: Digest,
    },
    /// The source of `init`. No inputs. Output `tree`.
    InitSource,
    /// The `init` that was made of it. Input: what its build left. Output `file`.
    MadeInit {
        /// Digest that it must have.
        expected: Option<Digest>,
    },
    /// The compressed part of the initramfs: init and modules. Inputs: the kernel, init. Output
    /// `segment`.
    Initrd,
    /// The root of one image. Inputs: its packages' trees, then its files' sources. Output
    /// `tree`; fact `packages` (JSON, package → bytes of its files in the image).
    Compose(Box<Compose>),
    /// A file from the network. No inputs. Output `file`. Its digest alone is its key.
    Fetch(Fetch),
    /// The files of a commit. No inputs. Output `tree`. Which commit and which files is its key, where
    /// it is from is not.
    Git(Git, LockedCommit),
    /// The source of a Debian package becomes a tree: upstream's archives, and with `patches` the
    /// folder `debian` that says how they are changed. No inputs. Output `tree`.
    DebianSource {
        /// Name of the source package.
        package: String,
        /// Its archives; their digests decide.
        pin: LockedSource,
        /// Whether Debian's part is wanted.
        patches: bool,
    },
    /// An archive becomes a tree. Input: the file. Output `tree`.
    Archive {
        /// Its name.
        name: String,
    },
    /// The `Cargo.lock` of a source. Input: its tree. Output `file`.
    CargoLock,
    /// The crates that a `Cargo.lock` names, unpacked. Input: the file. Output `tree`: `crates/`, one
    /// folder each; `git/COMMIT/`, those of a repository; `config.toml`, by which cargo takes them.
    Crates {
        /// The commits that are pinned, by [`Git::pin_name`].
        commits: BTreeMap<String, LockedCommit>,
    },
    /// A part of a source of Rust packages. Input: its tree. Output `tree`; fact `packages`, the
    /// names of those whose code is in it, one a line.
    CargoPart {
        /// The package that is wanted.
        package: Option<String>,
        /// Which part.
        part: Part,
    },
    /// Compiles the packages of a source that the wanted one needs. Inputs: one for each of
    /// [`Recipe::places`]: tools, part, crates, compiled dependencies. Output `tree`; where there are
    /// none, the last input's.
    CargoLibraries(Box<Recipe>),
    /// An image from a registry, in the layout of such images. No inputs. Output `tree`. Its digest
    /// alone is its key.
    Pull {
        /// Address of the registry and name of the image.
        url: String,
        /// Digest of its manifest or index.
        sha256: String,
    },
    /// A container image becomes a tree. Input: a file or tree. Output `tree`.
    Oci {
        /// Its name.
        name: String,
    },
    /// The root of tools that builds run in. Inputs: its packages' trees. Output `tree`.
    Tools {
        /// Names of the packages, in the order of the inputs.
        packages: Vec<String>,
    },
    /// A command in a sandbox. Inputs: one for each of [`Recipe::places`]. Output `tree`.
    Make(Box<Recipe>),
    /// EROFS and verity hash tree. Input: a composed root. Output `image`, and its
    /// [`nos_manifest::Image`] as the fact `image`; the root's fact `packages` is handed on.
    Image {
        /// Image name.
        name: String,
    },
    /// UKI and system description. Inputs: boot package, kernel, initrd, then images. Outputs
    /// `uki`, `boot_loader`, `system`; fact `pins` ([`SystemParts::pins`] as JSON).
    System(Box<SystemParts>),
}

/// Where a local source comes from; paths are relative to the spec's folder.
#[derive(Debug, Clone)]
pub enum Origin {
    /// A file.
    File(String),
    /// A folder, taken whole.
    Folder(String),
    /// A folder, without what tools keep beside sources; see
    /// [`nos_store::ImportOptions::only_sources`].
    Sources(String),
    /// A file or a folder, whichever is there.
    Any(String),
    /// Text from the spec.
    Text(String),
    /// The program that builds, see [`crate::build::Options::program`], without what only debuggers
    /// read.
    Nos,
}

/// A user known inside an image.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct User {
    /// Login name: the service's name.
    pub name: String,
    /// User and group id.
    pub uid: u32,
}

/// How the root of an image is put together.
#[derive(Debug, Clone, Default, serde::Serialize)]
pub struct Compose {
    /// Image name.
    pub image: String,
    /// Names of the packages whose trees are the first inputs.
    pub packages: Vec<String>,
    /// Name of the container image whose tree is the first input and lies below all else.
    pub base: Option<String>,
    /// Names of the builds whose trees follow those of packages among the inputs.
    pub builds: Vec<String>,
    /// Path in the image and mode of each source among the inputs, in input order.
    pub files: Vec<(String, Option<u32>)>,
    /// Symbolic links.
    pub links: BTreeMap<String, String>,
    /// Empty directories.
    pub directories: Vec<String>,
    /// Globs that trimming keeps.
    pub keep: Vec<String>,
    /// Globs of what is taken out.
    pub drop: Vec<String>,
    /// Whether to trim.
    pub trim: bool,
    /// Programs that services of this image start.
    pub entry_points: Vec<String>,
    /// Folders of the services' `LD_LIBRARY_PATH`, in order.
    pub library_path: Vec<String>,
    /// Commands of the services, for what their arguments name.
    pub commands: Vec<Vec<String>>,
    /// Environment variables of the services, for what they name.
    pub environment: Vec<(String, String)>,
    /// Directories backed by the state partition.
    pub state: Vec<String>,
    /// Users of the services of this image.
    pub users: Vec<User>,
}

/// What a system is besides its images, kernel and boot loader.
#[derive(Debug, Clone, serde::Serialize)]
pub struct SystemParts {
    /// The manifest without kernel release, modules and images.
    pub manifest: SystemManifest,
    /// Kernel command line.
    pub cmdline: String,
    /// Disk layout.
    pub disk: DiskLayout,
    /// Virtual machine defaults.
    pub machine: VirtualMachine,
    /// Versions of the packages that are unpacked for it.
    pub pins: crate::ingredients::Pins,
}

impl Work {
    /// The action's key, given its inputs' results; `None` where it is never cached.
    ///
    /// # Errors
    /// Only if the parameters could not be encoded, which plain data always can.
    pub(crate) fn key(&self, inputs: &[&ActionResult]) -> Result<Option<ActionKey>, BuildError> {
        let mut key = match self {
            Work::Unpack { name, pin } => {
                return Ok(Some(debian::unpack_key(&debian::digest_of(name, pin)?)));
            }
            Work::Source(_) => return Ok(None),
            // The table's rows and not the features' names: a changed table is another question.
            Work::Kernel { features, modules } => {
                let mut key = KeyBuilder::new("nos.kernel");
                for choice in features.iter().flat_map(|feature| feature.modules()) {
                    key = key.text("choice", &choice.to_string());
                }
                key.text("modules", &modules.join("\n"))
            }
            Work::MinimalKernel { off, direct } => KeyBuilder::new("nos.minimal-kernel")
                .list("off", off)
                .number("direct", u64::from(*direct)),
            // The table is what is looked for.
            Work::Calls => KeyBuilder::new("nos.calls").text("table", &minimal::Calls::table()),
            Work::Options(deciding) => KeyBuilder::new("nos.kernel-options")
                .text("table", &minimal::Calls::table())
                .bytes("deciding", &serde_json::to_vec(deciding)?),
            Work::ShippedInit { sha256 } => {
                KeyBuilder::new("nos.shipped-init").digest("sha256", sha256)
            }
            Work::InitSource => {
                let key = KeyBuilder::new("nos.init-source");
                let files = init::SOURCE.iter();
                files.fold(key, |key, (path, text)| key.text(path, text))
            }
            Work::MadeInit { expected } => {
                let expected = expected.map(|digest| digest.to_string());
                KeyBuilder::new("nos.init").text("expected", &expected.unwrap_or_default())
            }
            Work::Initrd => KeyBuilder::new("nos.initrd"),
            Work::Compose(compose) => {
                KeyBuilder::new("nos.compose").bytes("parts", &serde_json::to_vec(compose)?)
            }
            Work::Git(wanted, pin) => {
                let digest = crate::git::digest_of(wanted, pin)?;
                let key = KeyBuilder::new("nos.git").text("commit", &wanted.pin_name());
                return Ok(Some(key.digest("tree", &digest).finish()));
            }
            Work::Pull { url, sha256 } => {
                let digest = crate::oci::registry::digest_of(url, sha256)?;
                let key = KeyBuilder::new("nos.pull").digest("sha256", &digest);
                return Ok(Some(key.finish()));
            }
            Work::Fetch(wanted) => {
                let digest = crate::fetch::digest_of(wanted)?;
                return Ok(Some(
                    KeyBuilder::new("nos.fetch")
                        .digest("sha256", &digest)
                        .finish(),
                ));
            }
            Work::DebianSource { pin, patches, .. } => {
                let key = KeyBuilder::new("nos.debian-source").number("patches", (*patches).into());
                let files = pin.files.iter();
                files.fold(key, |key, file| key.text(file.name(), &file.sha256))
            }
            Work::Archive { .. } => KeyBuilder::new("nos.archive"),
            Work::CargoLock => KeyBuilder::new("nos.cargo-lock"),
            Work::Crates { commits } => {
                let key = KeyBuilder::new("nos.crates");
                let pins = commits.iter();
                pins.fold(key, |key, (name, pin)| key.text(name, &pin.tree))
            }
            Work::CargoPart { package, part } => KeyBuilder::new("nos.cargo-part")
                .bytes("part", &serde_json::to_vec(&(package, part))?),
            Work::CargoLibraries(recipe) => {
                KeyBuilder::new("nos.cargo-libraries").bytes("recipe", &serde_json::to_vec(recipe)?)
            }
            Work::Oci { .. } => KeyBuilder::new("nos.oci"),
            Work::Tools { packages } => KeyBuilder::new("nos.tools").list("packages", packages),
            Work::Make(recipe) => {
                KeyBuilder::new("nos.make").bytes("recipe", &serde_json::to_vec(recipe)?)
            }
            Work::Image { name } => KeyBuilder::new("nos.image").text("name", name),
            // A description that this program could not read must not be taken for its own.
            Work::System(parts) => KeyBuilder::new("nos.system")
                .number("description", u64::from(SYSTEM_VERSION))
                .number("manifest", u64::from(MANIFEST_VERSION))
                .bytes("parts", &serde_json::to_vec(parts)?),
        };
        let version = match self {
            Work::Make(_) => MAKE_VERSION,
            _ => WORK_VERSION,
        };
        key = key.number("version", u64::from(version));
        for input in inputs {
            key = key.number("outputs", input.outputs.len() as u64);
            for (name, output) in &input.outputs {
                let digest = match output {
                    Output::Object(blob) => blob.digest,
                    Output::Tree(digest) => *digest,
                };
                key = key.text(name, &digest.to_string());
            }
            for (name, fact) in &input.facts {
                key = key.text(name, fact);
            }
        }
        Ok(Some(key.finish()))
    }

    /// The files of Debian's archive that it reads, each with its name.
    pub(crate) fn pins(&self) -> Vec<(String, LockedPackage)> {
        match self {
            Work::Unpack { name, pin } => vec![(name.clone(), pin.clone())],
            Work::DebianSource { pin, .. } => pin.pins().collect(),
            _ => Vec::new(),
        }
    }

    /// What it needs while it runs, on `cores` processors.
    pub(crate) fn cost(&self, cores: usize) -> Cost {
        if let Work::Make(recipe) | Work::CargoLibraries(recipe) = self {
            let cores = if recipe.asks_for_cores() { cores } else { 1 };
            // A compiler for each processor.
            let memory_bytes = (512 << 20) * cores as u64;
            return Cost {
                cores,
                memory_bytes: memory_bytes.min(recipe.limits.memory_bytes),
            };
        }
        let memory_mib: u64 = match self {
            // Decompressors of packages keep windows of up to 64 MiB.
            Work::Unpack { .. }
            | Work::DebianSource { .. }
            | Work::Archive { .. }
            | Work::Crates { .. }
            | Work::Oci { .. } => 96,
            // Objects that deltas stand on.
            Work::Git(..) => 256,
            Work::Source(_)
            | Work::ShippedInit { .. }
            | Work::InitSource
            | Work::MadeInit { .. }
            | Work::Fetch(_)
            | Work::Pull { .. }
            | Work::CargoLock
            | Work::CargoPart { .. }
            | Work::Tools { .. }
            | Work::MinimalKernel { .. }
            | Work::Calls
            | Work::Options(_)
            | Work::Compose(_)
            | Work::System(_) => 32,
            Work::Kernel { .. } => 128,
            Work::Initrd => 192,
            // Its own threads share the processors with those of others.
            Work::Image { .. } => 64 * cores as u64,
            Work::Make(_) | Work::CargoLibraries(_) => 0,
        };
        Cost {
            cores: 0,
            memory_bytes: memory_mib << 20,
        }
    }

    /// Runs the action.
    ///
    /// # Errors
    /// Whatever stops it; the store holds no result of it then.
    pub(crate) fn run(
        &self,
        builder: &Builder<'_>,
        inputs: &[&ActionResult],
    ) -> Result<ActionResult, BuildError> {
        match self {
            Work::Unpack { name, pin } => crate::packages::unpack(builder, name, pin),
            Work::Source(origin) => crate::sources::read(builder, origin),
            Work::Kernel { features, modules } => {
                crate::boot::kernel(builder, features, modules, inputs)
            }
            Work::ShippedInit { sha256 } => init::take_shipped(builder, sha256),
            Work::InitSource => init::source(builder),
            Work::MadeInit { expected } => init::take_made(builder, expected.as_ref(), inputs),
            Work::MinimalKernel { off, direct } => minimal::take(builder, off, *direct, inputs),
            Work::Calls => minimal::calls(builder, inputs),
            Work::Options(deciding) => minimal::options(builder, deciding, inputs),
            Work::Initrd => crate::boot::initrd(builder, inputs),
            Work::Compose(parts) => crate::compose::compose(builder, parts, inputs),
            Work::Fetch(wanted) => crate::fetch::fetch(builder, wanted),
            Work::Git(wanted, pin) => crate::git::fetch(builder, wanted, pin),
            Work::DebianSource {
                package,
                pin,
                patches,
            } => crate::fetch::debian::source(builder, package, pin, *patches),
            Work::Archive { name } => crate::fetch::archive(builder, name, inputs),
            Work::CargoLock => cargo::lock_file(builder, inputs),
            Work::Crates { commits } => cargo::crates(builder, commits, inputs),
            Work::CargoPart { package, part } => {
                cargo::part(builder, package.as_deref(), *part, inputs)
            }
            Work::CargoLibraries(recipe) => cargo::make_libraries(builder, recipe, inputs),
            Work::Pull { url, sha256 } => crate::oci::registry::pull(builder, url, sha256),
            Work::Oci { name } => crate::oci::import(builder, name, inputs),
            Work::Tools { packages } => make::tools::tools(builder, packages, inputs),
            Work::Make(recipe) => make::run(builder, recipe, inputs),
            Work::Image { name } => crate::image::image(builder, name, inputs),
            Work::System(parts) => crate::boot::system(builder, parts, inputs),
        }
    }
}
