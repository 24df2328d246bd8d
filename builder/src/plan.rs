//! Plan: a [`System`] and its lock become a graph of [`Action`]s.
//!
//! Planning is pure: no file is read, nothing is fetched. An action's *key* is known only when
//! its inputs are, because it is made of their outputs' digests; that is what stops a rebuild
//! where a changed input gave an unchanged output.

mod builds;

pub(crate) use builds::cargo_locks;
pub use builds::{build_group, wanted_commits, wanted_sources};

use crate::kernel::Feature;
use crate::kernel::minimal::{self, Configuration, Deciding};
use crate::make::tools as make_tools;
use crate::work::{Compose, Origin, SystemParts, User, Work};
use nos_manifest::SystemManifest;
use nos_specs::lock::{Lock, LockedPackage};
use nos_specs::system::{Base, Image, Kernel, Platform, Service, Source, System};
use std::collections::{BTreeMap, BTreeSet};

/// Lock group of the boot loader.
pub const BOOT_GROUP: &str = "boot";

/// Debian package that holds systemd-boot and the UKI stub.
pub const BOOT_PACKAGE: &str = "systemd-boot-efi";

/// Lock group of the packages of one image.
pub fn image_group(image: &str) -> String {
    format!("image {image}")
}

/// Lock group of one kernel package.
pub fn kernel_group(package: &str) -> String {
    format!("kernel {package}")
}

/// Lock group of what kernels are built with.
pub const KERNEL_TOOLS_GROUP: &str = "building kernels";

/// The packages that [`KERNEL_TOOLS_GROUP`] asks for, sorted.
fn kernel_tools() -> Vec<String> {
    let names = make_tools::BASE.iter().chain(&minimal::TOOLS);
    sorted(&names.map(ToString::to_string).collect::<Vec<_>>())
}

/// What `systems` need from Debian: lock group → package names, sorted.
///
/// # Errors
/// [`PlanError::ImageClash`] where two hosts use one image name for different packages.
pub fn wanted_groups(systems: &[System]) -> Result<BTreeMap<String, Vec<String>>, PlanError> {
    let mut groups: BTreeMap<String, Vec<String>> = BTreeMap::new();
    groups.insert(BOOT_GROUP.into(), vec![BOOT_PACKAGE.into()]);
    for system in systems {
        let package = match &system.kernel {
            Kernel::Stock { package, .. } => package,
            Kernel::Minimal { source, .. } => {
                groups.insert(KERNEL_TOOLS_GROUP.into(), kernel_tools());
                source
            }
        };
        groups.insert(kernel_group(package), vec![package.clone()]);
        for (name, image) in &system.images {
            if image.packages.is_empty() {
                continue;
            }
            let wants = sorted(&image.packages);
            let old = groups.insert(image_group(name), wants.clone());
            if old.is_some_and(|old| old != wants) {
                return Err(PlanError::ImageClash {
                    image: name.clone(),
                });
            }
        }
    }
    for system in systems {
        builds::wanted(system, &mut groups)?;
    }
    Ok(groups)
}

/// Whether `lock` pins all that `systems` ask for, and for no other question than theirs.
///
/// # Errors
/// As [`wanted_groups`].
pub fn lock_is_current(systems: &[System], lock: &Lock) -> Result<bool, PlanError> {
    let commits = wanted_commits(systems);
    let sources = wanted_sources(systems);
    Ok(commits.keys().all(|name| lock.commits.contains_key(name))
        && sources.iter().all(|name| lock.sources.contains_key(name))
        && wanted_groups(systems)?
            .iter()
            .all(|(group, wants)| lock.groups.get(group).is_some_and(|g| &g.wants == wants)))
}

/// Drops what a lock pins only for maintainer scripts, which are never run: of the boot loader's
/// and the kernels' groups only the packages stay whose files a system takes.
pub fn drop_unused(lock: &mut Lock) {
    keep_only(lock, |group, package| match group.split_once(' ') {
        None if group == BOOT_GROUP => package == BOOT_PACKAGE,
        Some(("kernel", wanted)) => package == wanted || is_kernel_image(package),
        _ => true,
    });
}

/// Keeps of each group the packages that `used(group, package)` says, and of the lock those that
/// some group names.
pub(crate) fn keep_only(lock: &mut Lock, used: impl Fn(&str, &str) -> bool) {
    for (name, group) in &mut lock.groups {
        group.packages.retain(|package| used(name, package));
    }
    let named: BTreeSet<&String> = lock.groups.values().flat_map(|g| &g.packages).collect();
    lock.packages.retain(|package, _| named.contains(package));
}

/// Whether a package is a kernel itself and not a name for the newest one.
fn is_kernel_image(package: &str) -> bool {
    let release = package.strip_prefix("linux-image-");
    release.is_some_and(|release| release.starts_with(|c: char| c.is_ascii_digit()))
}

/// Names an action within its [`Plan`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ActionId(pub(crate) usize);

/// One node of the graph.
#[derive(Debug, Clone)]
pub struct Action {
    /// What a person calls it: `unpack nginx 1.26.3-3`, `image web`.
    pub label: String,
    /// Actions whose outputs it reads, in the order in which [`Work`] expects them.
    pub inputs: Vec<ActionId>,
    /// What it does.
    pub work: Work,
}

/// A graph of actions, ending in one system.
///
/// Invariant: every input has a smaller index than the action that reads it, so the list is a
/// topological order and there are no cycles.
#[derive(Debug, Clone)]
pub struct Plan {
    /// All actions.
    pub actions: Vec<Action>,
}

impl Plan {
    /// The last action, whose output is the system.
    pub fn system(&self) -> ActionId {
        ActionId(self.actions.len().saturating_sub(1))
    }

    /// All actions with their ids, in topological order.
    pub fn iter(&self) -> impl Iterator<Item = (ActionId, &Action)> {
        self.actions
            .iter()
            .enumerate()
            .map(|(i, a)| (ActionId(i), a))
    }

    /// The actions that `target` stands on and `target` itself, which becomes the last.
    pub(crate) fn towards(&self, target: ActionId) -> Plan {
        let mut needed = BTreeSet::from([target]);
        for (id, action) in self.iter().collect::<Vec<_>>().into_iter().rev() {
            if needed.contains(&id) {
                needed.extend(&action.inputs);
            }
        }
        let renumbered: BTreeMap<ActionId, ActionId> =
            needed.iter().copied().zip((0..).map(ActionId)).collect();
        let actions = self.iter().filter(|(id, _)| needed.contains(id));
        let actions = actions.map(|(_, action)| Action {
            inputs: action
                .inputs
                .iter()
                .filter_map(|id| renumbered.get(id).copied())
                .collect(),
            ..action.clone()
        });
        Plan {
            actions: actions.collect(),
        }
    }

    pub(crate) fn push(&mut self, label: String, inputs: Vec<ActionId>, work: Work) -> ActionId {
        self.actions.push(Action {
            label,
            inputs,
            work,
        });
        self.system()
    }
}

/// Why no plan can be made.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// The lock lacks a group, or pins it for other packages.
    #[error(
        "nos.lock does not pin what {group:?} asks for ({wants}); run `nos lock` and commit the result"
    )]
    LockStale {
        /// Group that is missing or differs.
        group: String,
        /// What the spec asks for.
        wants: String,
    },
    /// A lock whose group names a package that it does not pin.
    #[error(
        "nos.lock is damaged: group {group:?} names {package:?}, which it does not pin; run `nos lock` to write it anew"
    )]
    LockDamaged {
        /// Group.
        group: String,
        /// Package.
        package: String,
    },
    /// The lock lacks a commit.
    #[error("nos.lock does not pin commit {commit}; run `nos lock` and commit the result")]
    CommitNotLocked {
        /// The commit.
        commit: String,
    },
    /// The lock lacks a source.
    #[error(
        "nos.lock does not pin the source of {package:?}; run `nos lock` and commit the result"
    )]
    SourceNotLocked {
        /// Name of the source package.
        package: String,
    },
    /// One image name, two contents.
    #[error(
        "image {image:?} has different packages on two hosts of this spec; give one of them another name"
    )]
    ImageClash {
        /// Image name.
        image: String,
    },
    /// What `init` is made with is not known.
    #[error("the pins of what init is made with are damaged ({reason}); install nos anew")]
    Toolchain {
        /// What is wrong in them.
        reason: String,
    },
    /// One build name, two sets of tools.
    #[error(
        "build {build:?} has different tools on two hosts of this spec; give one of them another name"
    )]
    BuildClash {
        /// Build name.
        build: String,
    },
    /// A build that the system does not hold.
    #[error("build {build:?} is named and not there; this is a bug in nos, please report it")]
    NoBuild {
        /// Build name.
        build: String,
    },
    /// The kernel package pinned is not a kernel.
    #[error(
        "package {package:?} brings no kernel image (no linux-image-<version> among what it depends on); name a Debian kernel package such as linux-image-cloud-amd64"
    )]
    NotAKernel {
        /// Package.
        package: String,
    },
}

/// Plans one system, with the `init` that travels with this program where it fits.
///
/// # Errors
/// [`PlanError`] where the lock does not answer what the system asks.
pub fn plan(system: &System, lock: &Lock) -> Result<Plan, PlanError> {
    plan_with(system, lock, false)
}

/// As [`plan`]; where `init_from_source`, `init` is made from its source in any case, and the build
/// fails where that is not the one that travels with this program.
///
/// # Errors
/// As [`plan`].
pub fn plan_with(system: &System, lock: &Lock, init_from_source: bool) -> Result<Plan, PlanError> {
    let mut planner = Planner::new(lock);
    let boot = planner.unpack_group_only(BOOT_GROUP, BOOT_PACKAGE)?;
    let users = users(system);
    let (mut roots, mut images) = (Vec::new(), Vec::new());
    for (name, image) in &system.images {
        let root = planner.root(system, name, image, &users)?;
        roots.push((name.as_str(), root));
        let work = Work::Image { name: name.clone() };
        images.push(planner.plan.push(format!("image {name}"), vec![root], work));
    }
    let kernel = planner.kernel(&system.kernel, system, &roots)?;
    let init = planner.init(init_from_source)?;
    let initrd = planner
        .plan
        .push("initrd".into(), vec![kernel, init], Work::Initrd);
    let mut inputs = vec![boot, kernel, initrd];
    inputs.extend(&images);
    let parts = SystemParts {
        manifest: manifest_template(system, &users),
        cmdline: cmdline(&system.kernel),
        disk: system.disk.clone(),
        machine: system.machine.clone(),
        pins: crate::ingredients::pins(&planner.plan),
    };
    planner.plan.push(
        format!("system {}", system.host),
        inputs,
        Work::System(Box::new(parts)),
    );
    Ok(planner.plan)
}

/// What a container image is called in plans and in the list of ingredients.
fn base_name(base: &Base) -> &str {
    match base {
        Base::Oci { path } => path,
        Base::Registry { url, .. } => url.rsplit('/').next().unwrap_or_default(),
    }
}

struct Planner<'a> {
    lock: &'a Lock,
    plan: Plan,
    /// By name and digest: two locks may pin one name.
    unpacked: BTreeMap<(String, String), ActionId>,
    built: BTreeMap<String, ActionId>,
}

impl<'a> Planner<'a> {
    fn new(lock: &'a Lock) -> Self {
        Self {
            lock,
            plan: Plan {
                actions: Vec::new(),
            },
            unpacked: BTreeMap::new(),
            built: BTreeMap::new(),
        }
    }

    fn group(
        &self,
        group: &str,
        wants: &[String],
    ) -> Result<Vec<(String, LockedPackage)>, PlanError> {
        pins_of(self.lock, group, wants)
    }

    fn unpack(&mut self, name: &str, pin: LockedPackage) -> ActionId {
        let pinned = (name.to_owned(), pin.sha256.clone());
        if let Some(&id) = self.unpacked.get(&pinned) {
            return id;
        }
        let label = format!("unpack {name} {}", pin.version);
        let work = Work::Unpack {
            name: name.into(),
            pin,
        };
        let id = self.plan.push(label, Vec::new(), work);
        self.unpacked.insert(pinned, id);
        id
    }

    /// Unpacks one package of a group and leaves the rest of its closure alone: what a boot
    /// loader or a kernel depends on serves its maintainer scripts, which are never run.
    fn unpack_group_only(&mut self, group: &str, package: &str) -> Result<ActionId, PlanError> {
        let packages = self.group(group, &[package.to_string()])?;
        let found = packages.into_iter().find(|(name, _)| name == package);
        let (name, pin) = found.ok_or_else(|| PlanError::LockDamaged {
            group: group.into(),
            package: package.into(),
        })?;
        Ok(self.unpack(&name, pin))
    }

    fn kernel(
        &mut self,
        kernel: &Kernel,
        system: &System,
        roots: &[(&str, ActionId)],
    ) -> Result<ActionId, PlanError> {
        match kernel {
            Kernel::Stock {
                package, modules, ..
            } => self.stock_kernel(package, modules, system),
            Kernel::Minimal {
                platform,
                source,
                options,
                ..
            } => {
                let deciding = Deciding {
                    configuration: Configuration::of(*platform, system),
                    capabilities: roots
                        .iter()
                        .map(|(image, _)| minimal::capabilities(system, image))
                        .collect(),
                    options: options.clone(),
                };
                self.minimal_kernel(*platform, source, deciding, roots)
            }
        }
    }

    fn stock_kernel(
        &mut self,
        package: &str,
        modules: &[String],
        system: &System,
    ) -> Result<ActionId, PlanError> {
        let packages = self.group(&kernel_group(package), &[package.to_string()])?;
        let found = packages.into_iter().find(|(name, _)| is_kernel_image(name));
        let (name, pin) = found.ok_or_else(|| PlanError::NotAKernel {
            package: package.into(),
        })?;
        let unpacked = self.unpack(&name, pin);
        let mut features = Feature::of_package(package);
        if system.disk.state_bytes.is_none() {
            features.retain(|feature| *feature != Feature::State);
        }
        let own = system.services.iter().flat_map(Feature::of_service);
        features.extend(own.collect::<BTreeSet<_>>());
        let work = Work::Kernel {
            features,
            modules: sorted(modules),
        };
        Ok(self.plan.push("kernel".into(), vec![unpacked], work))
    }

    /// A kernel of the host's own: first without the options of the spec, then with them.
    fn minimal_kernel(
        &mut self,
        platform: Platform,
        source: &str,
        deciding: Deciding,
        roots: &[(&str, ActionId)],
    ) -> Result<ActionId, PlanError> {
        let tools = self.tools(KERNEL_TOOLS_GROUP, &kernel_tools())?;
        let source = self.unpack_group_only(&kernel_group(source), source)?;
        let mut calls = Vec::new();
        for (image, root) in roots {
            let label = format!("calls of {image}");
            calls.push(self.plan.push(label, vec![*root], Work::Calls));
        }
        let off = deciding.options.iter().filter(|(_, value)| *value == "n");
        let work = Work::MinimalKernel {
            off: off.map(|(name, _)| name.clone()).collect(),
            direct: platform.is_direct(),
        };
        let mut make = |deciding: Deciding, label: String, base: Option<ActionId>| {
            let options = Work::Options(Box::new(deciding));
            let options = self
                .plan
                .push(format!("options of {label}"), calls.clone(), options);
            let mut inputs = vec![tools, source, options];
            inputs.extend(base);
            let recipe = minimal::recipe(base.is_some());
            self.plan.push(label, inputs, Work::Make(Box::new(recipe)))
        };
        let without = Deciding {
            options: BTreeMap::new(),
            ..deciding.clone()
        };
        let mut made = make(without, format!("kernel for {}", platform.name()), None);
        if !deciding.options.is_empty() {
            made = make(
                deciding,
                "kernel with the spec's options".into(),
                Some(made),
            );
        }
        Ok(self.plan.push("kernel".into(), vec![made], work))
    }

    /// An image made elsewhere, as a tree.
    fn base(&mut self, base: &Base) -> ActionId {
        let name = base_name(base).to_owned();
        let (label, work) = match base {
            Base::Oci { path } => {
                let work = Work::Source(Origin::Any(path.clone()));
                (format!("image {path}"), work)
            }
            Base::Registry { url, sha256 } => {
                let work = Work::Pull {
                    url: url.clone(),
                    sha256: sha256.clone(),
                };
                (format!("pull {name}"), work)
            }
        };
        let source = self.plan.push(label, Vec::new(), work);
        let label = format!("import {name}");
        self.plan.push(label, vec![source], Work::Oci { name })
    }

    /// The root of an image.
    fn root(
        &mut self,
        system: &System,
        name: &str,
        image: &Image,
        users: &BTreeMap<String, User>,
    ) -> Result<ActionId, PlanError> {
        let mut inputs = Vec::new();
        let mut packages = Vec::new();
        if let Some(base) = &image.from {
            inputs.push(self.base(base));
        }
        if !image.packages.is_empty() {
            let wants = sorted(&image.packages);
            for (package, pin) in self.group(&image_group(name), &wants)? {
                inputs.push(self.unpack(&package, pin));
                packages.push(package);
            }
        }
        for build in &image.builds {
            inputs.push(self.build(system, build)?);
        }
        let mut files = Vec::new();
        for (path, source) in &image.files {
            let (label, origin, mode) = match source {
                Source::Fetch(fetch) => {
                    let label =
                        format!("fetch {}", fetch.url.rsplit('/').next().unwrap_or_default());
                    inputs.push(
                        self.plan
                            .push(label, Vec::new(), Work::Fetch(fetch.clone())),
                    );
                    files.push((path.clone(), None));
                    continue;
                }
                Source::File { path, mode } => {
                    (format!("file {path}"), Origin::File(path.clone()), *mode)
                }
                Source::Folder { path } => {
                    (format!("folder {path}"), Origin::Folder(path.clone()), None)
                }
                Source::Nos => ("nos itself".into(), Origin::Nos, None),
                Source::Text { text, mode } => {
                    (format!("text {path}"), Origin::Text(text.clone()), *mode)
                }
            };
            inputs.push(self.plan.push(label, Vec::new(), Work::Source(origin)));
            files.push((path.clone(), mode));
        }
        let services: Vec<_> = system.services.iter().filter(|s| s.image == name).collect();
        let mut entry_points = BTreeSet::new();
        let mut state = BTreeSet::new();
        let mut commands = BTreeSet::new();
        let mut environment = BTreeSet::new();
        for service in &services {
            commands.insert(service.run.clone());
            if let Some(nos_manifest::Health::Exec { run, .. }) = &service.health {
                commands.insert(run.clone());
            }
            environment.extend(service.env.clone());
            state.extend(service.state.iter().cloned());
        }
        entry_points.extend(commands.iter().filter_map(|run| run.first().cloned()));
        let compose = Compose {
            image: name.into(),
            packages,
            base: image.from.as_ref().map(|base| base_name(base).to_owned()),
            builds: image.builds.clone(),
            files,
            links: image.links.clone(),
            directories: image.directories.clone(),
            keep: image.keep.clone(),
            drop: image.drop.clone(),
            trim: image.trim,
            entry_points: entry_points.into_iter().collect(),
            library_path: services.iter().flat_map(|s| library_path(s)).collect(),
            commands: commands.into_iter().collect(),
            environment: environment.into_iter().collect(),
            state: state.into_iter().collect(),
            users: services
                .iter()
                .filter_map(|s| users.get(&s.name).cloned())
                .collect(),
        };
        let label = format!("compose {name}");
        let work = Work::Compose(Box::new(compose));
        Ok(self.plan.push(label, inputs, work))
    }
}

/// The packages that a lock pins for a group.
fn pins_of(
    lock: &Lock,
    group: &str,
    wants: &[String],
) -> Result<Vec<(String, LockedPackage)>, PlanError> {
    let found = lock.groups.get(group).filter(|g| g.wants == wants);
    let found = found.ok_or_else(|| PlanError::LockStale {
        group: group.into(),
        wants: wants.join(", "),
    })?;
    let mut packages = Vec::new();
    for name in &found.packages {
        let pin = lock.packages.get(name);
        let pin = pin.ok_or_else(|| PlanError::LockDamaged {
            group: group.into(),
            package: name.clone(),
        })?;
        packages.push((name.clone(), pin.clone()));
    }
    Ok(packages)
}

/// The absolute folders of a service's `LD_LIBRARY_PATH`.
fn library_path(service: &Service) -> impl Iterator<Item = String> {
    let path = service
        .env
        .get("LD_LIBRARY_PATH")
        .map_or("", String::as_str);
    path.split(':')
        .filter(|folder| folder.starts_with('/'))
        .map(str::to_string)
}

fn sorted(names: &[String]) -> Vec<String> {
    names
        .iter()
        .cloned()
        .collect::<BTreeSet<_>>()
        .into_iter()
        .collect()
}

/// Service name → the user it runs as. A checked system has an id for each service.
fn users(system: &System) -> BTreeMap<String, User> {
    let user = |s: &Service| User {
        name: s.name.clone(),
        uid: s
            .uid
            .unwrap_or_else(|| nos_specs::system::derive_uid(&s.name)),
    };
    system
        .services
        .iter()
        .map(|s| (s.name.clone(), user(s)))
        .collect()
}

/// The manifest without what only a build knows: kernel release, modules, images.
fn manifest_template(system: &System, users: &BTreeMap<String, User>) -> SystemManifest {
    let services = system.services.iter().map(|s| {
        let uid = users.get(&s.name).map_or(65_534, |u| u.uid);
        nos_manifest::Service {
            name: s.name.clone(),
            image: s.image.clone(),
            run: s.run.clone(),
            env: s.env.clone(),
            workdir: s.workdir.clone(),
            uid,
            gid: uid,
            capabilities: s.capabilities.clone(),
            devices: s.devices.clone(),
            terminal: s.terminal.clone(),
            state: s.state.clone(),
            listen: s.listen.clone(),
            serves: s.serves.clone(),
            calls: s.calls.clone(),
            health: s.health.clone(),
            restart: s.restart,
            after: s.after.clone(),
        }
    });
    SystemManifest {
        version: nos_manifest::MANIFEST_VERSION,
        host: system.host.clone(),
        kernel: String::new(),
        modules: Vec::new(),
        late_modules: Vec::new(),
        trial_modules: Vec::new(),
        images: Vec::new(),
        services: services.collect(),
        network: system.network.clone(),
        state: system.disk.state_bytes.is_some(),
    }
}

/// Words of every kernel command line; the spec's come after them and may overrule them. They
/// name nothing of one disk or machine.
const CMDLINE: [&str; 5] = [
    "console=ttyS0,115200",
    "panic=10",
    "quiet",
    // An overloaded host may starve the timer test, and the kernel then gives up.
    "no_timer_check",
    // The kernel keeps memory for as many requests as a virtual disk could take at once, 448 KiB for
    // the 1024 of QEMU's.
    "virtio_blk.queue_depth=128",
];

/// Where there is a screen; before the others, because the last console is the one that `init`
/// speaks on.
const SCREEN: &str = "console=tty0";

/// Words for what Debian's kernels have and nothing here uses.
const STOCK_CMDLINE: [&str; 2] = [
    // The kernel tests each of its ciphers at every start, a quarter of the way from the firmware
    // to the service; nor does anything use the jitter entropy source, which tests itself besides.
    "cryptomgr.notests=1",
    // Nor does anything here trace the kernel: the first of these looks up the name of each of its
    // functions, the second turns names into numbers in the formats of all events.
    "initcall_blacklist=jent_mod_init,ftrace_check_for_weak_functions,trace_eval_init",
];

/// The kernel command line.
fn cmdline(kernel: &Kernel) -> String {
    let (first, more, own): (Option<&str>, &[&str], _) = match kernel {
        Kernel::Stock { cmdline, .. } => (Some(SCREEN), &STOCK_CMDLINE, cmdline),
        Kernel::Minimal {
            platform, cmdline, ..
        } => ((*platform == Platform::Pc).then_some(SCREEN), &[], cmdline),
    };
    let mut words: Vec<&str> = first.into_iter().collect();
    words.extend(CMDLINE);
    words.extend(more);
    words.extend(own.iter().map(String::as_str));
    words.join(" ")
}
