//! A build from end to end: look at what is there, fetch what is missing, run what must run, keep
//! the result alive.

use crate::bom::{self, Inventory, Material};
pub use crate::cargo::Unpinned;
use crate::changes::{self, Change, Profile};
pub use crate::compose::Composition;
use crate::compose::{composition, output_tree};
use crate::debian::{self, Environment};
use crate::error::BuildError;
use crate::events::Observer;
use crate::ingredients::{self, PINS_FACT, Pins, pins};
use crate::plan::{ActionId, Plan, PlanError, plan, plan_with};
pub use crate::realise::Options;
use crate::realise::{Builder, Fate, Realised, realise, survey};
use crate::roots;
use crate::system::BuiltSystem;
use crate::times::Times;
use crate::work::{Origin, Work};
use nos_formats::pe::Uki;
use nos_formats::tree::{Kind, TreePath};
use nos_manifest::Ingredients;
use nos_specs::lock::{Lock, LockedPackage, SOURCE_ARCHITECTURE};
use nos_specs::system::System;
use nos_store::{ActionResult, Digest, Output, RootTarget, Store};
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::Path;

/// Where and how builds happen.
#[derive(Clone, Copy)]
pub struct Session<'a> {
    /// Holds everything.
    pub store: &'a Store,
    /// The spec's folder.
    pub folder: &'a Path,
    /// Actions at once.
    pub jobs: usize,
    /// Memory that they may need together, in bytes.
    pub memory_bytes: u64,
    /// Whether a failed action stops only what needs its result.
    pub keep_going: bool,
    /// Hears what happens.
    pub observer: &'a dyn Observer,
    /// What else the caller decides.
    pub options: Options<'a>,
}

/// A built system and its name in the store.
#[derive(Debug, Clone)]
pub struct Built {
    /// Digest of the description.
    pub digest: Digest,
    /// The description.
    pub system: BuiltSystem,
    /// Number of actions that ran; 0 where nothing had changed.
    pub ran: usize,
}

/// One line of a plan.
#[derive(Debug, Clone, serde::Serialize)]
pub struct Step {
    /// The action, in a person's words.
    pub label: String,
    /// `build` where it would run, `reuse` where its result is in the store, `read` for sources.
    pub fate: &'static str,
    /// How long it took the last time it ran, in milliseconds; only where it would run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub estimate_ms: Option<u64>,
    /// Bytes of the files that it made, where it is done.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
}

impl Step {
    /// Whether a build would run it.
    pub fn will_run(&self) -> bool {
        self.fate == "build"
    }
}

/// What a build would do.
#[derive(Debug, Clone)]
pub struct Outlook {
    /// Packages and archives of sources that would be fetched.
    pub fetch: Vec<(String, LockedPackage)>,
    /// All actions.
    pub steps: Vec<Step>,
    /// The result, where it is built already.
    pub system: Option<BuiltSystem>,
    /// The last result of the same host, where the store still has it.
    pub previous: Option<BuiltSystem>,
    /// What differs between that and what would be built.
    pub changes: Vec<Change>,
}

impl Session<'_> {
    pub(crate) fn builder(&self) -> Builder<'_> {
        Builder {
            store: self.store,
            folder: self.folder,
            jobs: self.jobs,
            memory_bytes: self.memory_bytes,
            keep_going: self.keep_going,
            observer: self.observer,
            options: self.options,
        }
    }

    fn plan(&self, system: &System, lock: &Lock) -> Result<Plan, PlanError> {
        plan_with(system, lock, self.options.init_from_source)
    }

    /// Fetches packages that `lock` pins, or the lock of what `init` is made with.
    fn fetch(
        &self,
        archive: &Environment<'_>,
        lock: &Lock,
        wanted: &[(String, LockedPackage)],
    ) -> Result<(), BuildError> {
        let is_own = |(name, pin): &&(String, LockedPackage)| {
            pin.architecture == SOURCE_ARCHITECTURE || lock.packages.get(name) == Some(pin)
        };
        let (own, others): (Vec<_>, Vec<_>) = wanted.iter().partition(is_own);
        debian::fetch(archive, own.into_iter().map(|(name, pin)| (name, pin)))?;
        let fetched = debian::fetch(archive, others.into_iter().map(|(name, pin)| (name, pin)));
        fetched.map_err(|error| match error {
            debian::DebianError::Gone { mirror, packages } => BuildError::Init {
                reason: format!(
                    "the mirror {mirror} no longer has {}, which this nos makes init with; name a \
                     mirror that keeps old packages, or take a newer nos",
                    packages.join(", ")
                ),
            },
            other => other.into(),
        })
    }

    /// What a build would fetch and run; runs nothing but the reading of local sources.
    ///
    /// # Errors
    /// [`BuildError`] where no plan can be made or a source cannot be read.
    pub fn outlook(&self, system: &System, lock: &Lock) -> Result<Outlook, BuildError> {
        let plan = self.plan(system, lock)?;
        let known = survey(&self.builder(), &plan)?;
        let times = Times::load(self.store);
        let steps = plan.iter().map(|(id, action)| {
            let fate = match (known.get(&id), &action.work) {
                (_, Work::Source(_)) => "read",
                (Some(_), _) => "reuse",
                (None, _) => "build",
            };
            let time = times.get(&action.label).filter(|_| fate == "build");
            Step {
                label: action.label.clone(),
                fate,
                estimate_ms: time.and_then(|time| u64::try_from(time.as_millis()).ok()),
                bytes: known.get(&id).and_then(|done| file_bytes(&done.result)),
            }
        });
        let steps = steps.collect();
        let built = match known.get(&plan.system()) {
            Some(done) => Some(read_system(self.store, &done.result)?),
            None => None,
        };
        let previous = self.previous(system)?;
        let changes = match (&previous, &built) {
            (Some(old), Some((digest, _))) if old.digest == *digest => Vec::new(),
            (Some(old), Some((_, new))) => {
                let new =
                    Profile::of_built(new, Some(&pins(&plan)), self.ingredients(new).as_ref());
                changes::profiles(&self.profile(old), &new)
            }
            (Some(old), None) => {
                let new = planned(&plan, &known).unwrap_or_default();
                changes::profiles(&self.profile(old), &new)
            }
            (None, _) => Vec::new(),
        };
        Ok(Outlook {
            fetch: self.lacking(&plan, &known)?,
            steps,
            system: built.map(|(_, system)| system),
            previous: previous.map(|old| old.system),
            changes,
        })
    }

    /// The last result of the same host and folder: the root that keeps it remembers it.
    fn previous(&self, system: &System) -> Result<Option<Previous>, BuildError> {
        let name = self.root(system);
        let targets = self.store.root_targets(&name)?.unwrap_or_default();
        for target in targets {
            let RootTarget::Result(key) = target else {
                continue;
            };
            let Some(result) = self.store.result(&key)? else {
                continue;
            };
            // A description that this program cannot read is no result of its own.
            if let Ok((digest, system)) = read_system(self.store, &result) {
                let pins = result.facts.get(PINS_FACT);
                return Ok(Some(Previous {
                    digest,
                    system,
                    pins: pins.and_then(|pins| serde_json::from_str(pins).ok()),
                }));
            }
        }
        Ok(None)
    }

    fn profile(&self, old: &Previous) -> Profile {
        let made_of = self.ingredients(&old.system);
        Profile::of_built(&old.system, old.pins.as_ref(), made_of.as_ref())
    }

    /// The ingredients inside a system's kernel image.
    fn ingredients(&self, system: &BuiltSystem) -> Option<Ingredients> {
        let uki = self.store.read_object(&system.uki.digest).ok()?;
        ingredients::decode(Uki::parse(&uki).ok()?.ingredients?).ok()
    }

    fn root(&self, system: &System) -> String {
        let folder = self.folder.canonicalize();
        let folder = folder.unwrap_or_else(|_| self.folder.to_path_buf());
        roots::of_build(&system.host, &folder)
    }

    /// Builds a system; fetches what it needs and the store lacks. The result stays in the store
    /// until the same spec and host are built to something else.
    ///
    /// # Errors
    /// [`BuildError`]; what was done up to there is kept and not done again.
    pub fn build(
        &self,
        system: &System,
        lock: &Lock,
        archive: &Environment<'_>,
    ) -> Result<Built, BuildError> {
        let plan = self.plan(system, lock)?;
        let (built, all) = self.make(&plan, lock, archive)?;
        self.keep(system, &plan, &all)?;
        Ok(built)
    }

    /// As [`Session::build`], for something to be used at once: the last result of the host stays
    /// what it was, and this goes when the store is next collected.
    ///
    /// # Errors
    /// As [`Session::build`].
    pub fn build_aside(
        &self,
        system: &System,
        lock: &Lock,
        archive: &Environment<'_>,
    ) -> Result<Built, BuildError> {
        Ok(self.make(&self.plan(system, lock)?, lock, archive)?.0)
    }

    fn make(
        &self,
        plan: &Plan,
        lock: &Lock,
        archive: &Environment<'_>,
    ) -> Result<(Built, BTreeMap<ActionId, Realised>), BuildError> {
        let builder = self.builder();
        let known = survey(&builder, plan)?;
        let complete = known.contains_key(&plan.system());
        self.fetch(archive, lock, &self.lacking(plan, &known)?)?;
        let all = if complete {
            known
        } else {
            realise(&builder, plan, known)?
        };
        let done = all
            .get(&plan.system())
            .ok_or(BuildError::MissingOutput { name: "system" })?;
        let (digest, system) = read_system(self.store, &done.result)?;
        let ran = all.values().filter(|r| r.fate == Fate::Built).count();
        let built = Built {
            digest,
            system,
            ran,
        };
        Ok((built, all))
    }

    /// What a system is made of, from its spec, its lock and the lock files of its Rust packages.
    /// Their crates are fetched, because they say their licences.
    ///
    /// # Errors
    /// [`BuildError`] where no plan can be made or a crate cannot be had.
    pub fn inventory(&self, system: &System, lock: &Lock) -> Result<Inventory, BuildError> {
        let plan = plan(system, lock)?;
        let builder = self.builder();
        let mut read = bom::Read::default();
        for (id, action) in plan.iter() {
            if !matches!(
                action.work,
                Work::Crates { .. } | Work::Source(Origin::Any(_))
            ) {
                continue;
            }
            let part = plan.towards(id);
            let last = part.system();
            let all = realise(&builder, &part, survey(&builder, &part)?)?;
            let Some(made) = all.get(&last) else {
                continue;
            };
            let inputs = part.actions.last().map(|action| action.inputs.as_slice());
            match inputs.and_then(|inputs| all.get(inputs.first()?)) {
                Some(lock) => {
                    let pinned = bom::of_build(self.store, &lock.result, &made.result)?;
                    read.crates.insert(id, pinned);
                }
                None => {
                    let digest = crate::oci::digest_of(&builder, &action.label, &made.result)?;
                    read.images.insert(id, digest);
                }
            }
        }
        Ok(Inventory::of(&system.host, &plan, lock, &read)?)
    }

    /// Paths of the local sources that a system reads, relative to the spec's folder, sorted.
    ///
    /// # Errors
    /// [`BuildError`] where no plan can be made.
    pub fn local_sources(
        &self,
        system: &System,
        lock: &Lock,
    ) -> Result<BTreeSet<String>, BuildError> {
        let plan = self.plan(system, lock)?;
        let paths = plan.iter().filter_map(|(_, action)| match &action.work {
            Work::Source(
                Origin::File(path)
                | Origin::Folder(path)
                | Origin::Sources(path)
                | Origin::Any(path),
            ) => Some(path.clone()),
            _ => None,
        });
        Ok(paths.collect())
    }

    /// The local sources of a system, as they are now.
    ///
    /// # Errors
    /// [`BuildError`] where no plan can be made or a source cannot be read.
    pub fn materials(&self, system: &System, lock: &Lock) -> Result<Vec<Material>, BuildError> {
        let plan = self.plan(system, lock)?;
        let known = survey(&self.builder(), &plan)?;
        let mut materials = Vec::new();
        for (id, action) in plan.iter() {
            let (Work::Source(_), Some(done)) = (&action.work, known.get(&id)) else {
                continue;
            };
            materials.extend(done.result.outputs.values().map(|output| Material {
                name: action.label.clone(),
                sha256: match output {
                    Output::Object(blob) => blob.digest,
                    Output::Tree(digest) => *digest,
                },
            }));
        }
        materials.sort_unstable();
        materials.dedup();
        Ok(materials)
    }

    /// Makes what the build `name` stands on and opens a shell where it would run, on this
    /// process's terminal. Gives the shell's status.
    ///
    /// # Errors
    /// [`BuildError`]; [`BuildError::NoSuchBuild`] where the system has no build of that name.
    pub fn look(
        &self,
        system: &System,
        lock: &Lock,
        archive: &Environment<'_>,
        name: &str,
    ) -> Result<i32, BuildError> {
        let whole = self.plan(system, lock)?;
        let wanted = format!("build {name}");
        let found = whole.iter().find(|(_, action)| action.label == wanted);
        let found = found.ok_or_else(|| {
            let names: Vec<&str> = system.builds.keys().map(String::as_str).collect();
            BuildError::NoSuchBuild {
                wanted: name.to_owned(),
                known: match names.is_empty() {
                    true => "it has none".into(),
                    false => format!("its builds are {}", names.join(", ")),
                },
            }
        })?;
        let mut part = whole.towards(found.0);
        let Some(target) = part.actions.pop() else {
            return Ok(0);
        };
        let builder = self.builder();
        let known = survey(&builder, &part)?;
        self.fetch(archive, lock, &self.lacking(&part, &known)?)?;
        let all = realise(&builder, &part, known)?;
        let inputs = target
            .inputs
            .iter()
            .map(|id| all.get(id).map(|r| &r.result));
        let inputs: Option<Vec<_>> = inputs.collect();
        match (&target.work, inputs) {
            (Work::Make(recipe), Some(inputs)) => crate::make::look(&builder, recipe, &inputs),
            _ => Err(BuildError::MissingOutput { name: "tree" }),
        }
    }

    /// How the root of each image is put together, by image name. Everything it stands on must be
    /// in the store, as it is after a build.
    ///
    /// # Errors
    /// [`BuildError::MissingOutput`] where something has not been built.
    pub fn compositions(
        &self,
        system: &System,
        lock: &Lock,
    ) -> Result<BTreeMap<String, Composition>, BuildError> {
        let plan = self.plan(system, lock)?;
        let builder = self.builder();
        let known = survey(&builder, &plan)?;
        let mut compositions = BTreeMap::new();
        for (_, action) in plan.iter() {
            let Work::Compose(parts) = &action.work else {
                continue;
            };
            let inputs = action
                .inputs
                .iter()
                .map(|id| known.get(id).map(|r| &r.result));
            let inputs: Option<Vec<_>> = inputs.collect();
            let inputs = inputs.ok_or(BuildError::MissingOutput { name: "tree" })?;
            compositions.insert(parts.image.clone(), composition(&builder, parts, &inputs)?);
        }
        Ok(compositions)
    }

    /// Sizes of the files that the system's packages bring, in bytes, also of those that no image
    /// keeps; where two bring one path, of either.
    ///
    /// # Errors
    /// [`BuildError::MissingOutput`] where a package has not been unpacked.
    pub fn unpacked_sizes(
        &self,
        system: &System,
        lock: &Lock,
    ) -> Result<BTreeMap<TreePath, u64>, BuildError> {
        let plan = self.plan(system, lock)?;
        let known = survey(&self.builder(), &plan)?;
        let mut sizes = BTreeMap::new();
        for (id, action) in plan.iter() {
            let Work::Unpack { .. } = action.work else {
                continue;
            };
            let done = known
                .get(&id)
                .ok_or(BuildError::MissingOutput { name: "tree" })?;
            let tree = self.store.read_tree(&output_tree(&done.result, "tree")?)?;
            for (path, node) in tree.iter() {
                if let Kind::File(blob) = &node.kind {
                    sizes.insert(path.clone(), blob.size);
                }
            }
        }
        Ok(sizes)
    }

    /// Copies what `from` holds of pinned packages, files, commits and crates, so that a second store needs
    /// no network. What they are is fixed by digests, so nothing is lost to a comparison.
    ///
    /// # Errors
    /// [`BuildError`] where one store cannot be read or the other not written.
    pub fn borrow_packages(
        &self,
        from: &Store,
        system: &System,
        lock: &Lock,
    ) -> Result<(), BuildError> {
        let plan = self.plan(system, lock)?;
        let there = Builder {
            store: from,
            ..self.builder()
        };
        let known = survey(&there, &plan)?;
        for (id, action) in plan.iter() {
            for (name, pin) in action.work.pins() {
                let digest = debian::digest_of(&name, &pin)?;
                if from.contains(&digest)? {
                    self.store.add_file(from.object_path(&digest))?;
                }
            }
            let work = &action.work;
            let is_fetched = matches!(
                work,
                Work::Fetch(_) | Work::Git(..) | Work::Pull { .. } | Work::Crates { .. }
            );
            if let (true, Some(done)) = (is_fetched, known.get(&id)) {
                self.borrow(from, done)?;
            }
        }
        Ok(())
    }

    /// Copies a result with all it names.
    fn borrow(&self, from: &Store, done: &Realised) -> Result<(), BuildError> {
        let copy = |digest: &Digest| self.store.add_file(from.object_path(digest));
        for output in done.result.outputs.values() {
            match output {
                Output::Object(blob) => {
                    copy(&blob.digest)?;
                }
                Output::Tree(digest) => {
                    let tree = from.read_tree(digest)?;
                    for (_, node) in tree.iter() {
                        if let Kind::File(blob) = &node.kind {
                            copy(&blob.digest)?;
                        }
                    }
                    self.store.add_tree(&tree)?;
                }
            }
        }
        if let Some(key) = &done.key {
            self.store.put_result(key, &done.result)?;
        }
        Ok(())
    }

    /// Packages and sources whose trees are not known and whose files are not stored.
    pub(crate) fn lacking(
        &self,
        plan: &Plan,
        known: &BTreeMap<ActionId, Realised>,
    ) -> Result<Vec<(String, LockedPackage)>, BuildError> {
        let mut fetch = Vec::new();
        for (id, action) in plan.iter() {
            if known.contains_key(&id) {
                continue;
            }
            for (name, pin) in action.work.pins() {
                if !self.store.contains(&debian::digest_of(&name, &pin)?)? {
                    fetch.push((name, pin));
                }
            }
        }
        Ok(fetch)
    }

    /// Makes everything that the build read and made a root of the store.
    fn keep(
        &self,
        system: &System,
        plan: &Plan,
        all: &BTreeMap<ActionId, Realised>,
    ) -> Result<(), BuildError> {
        let mut targets = Vec::new();
        self.store.together(|| {
            for (id, action) in plan.iter() {
                if let Some(key) = all.get(&id).and_then(|r| r.key) {
                    targets.push(RootTarget::Result(key));
                }
                for (name, pin) in action.work.pins() {
                    let digest = debian::digest_of(&name, &pin)?;
                    if self.store.contains(&digest)? {
                        targets.push(RootTarget::Object(digest));
                    }
                }
            }
            Ok::<(), BuildError>(())
        })?;
        let name = self.root(system);
        targets.sort_unstable();
        targets.dedup();
        // Making a root waits for the disk; a build that changed nothing need not.
        if self.store.root_targets(&name)?.as_ref() != Some(&targets) {
            self.store.set_root(&name, &targets)?;
        }
        Ok(())
    }
}

/// The last result of a host.
struct Previous {
    digest: Digest,
    system: BuiltSystem,
    /// What was pinned for it.
    pins: Option<Pins>,
}

/// What is known of a system that is not built: its plan, and images that are there already.
fn planned(plan: &Plan, known: &BTreeMap<ActionId, Realised>) -> Option<Profile> {
    let Work::System(parts) = &plan.actions.last()?.work else {
        return None;
    };
    let images = plan.iter().filter_map(|(id, action)| match &action.work {
        Work::Image { name } => {
            let done = known.get(&id);
            let bytes = done.and_then(|done| Some(done.result.object("image")?.size));
            Some((name.clone(), bytes))
        }
        _ => None,
    });
    Some(Profile::of_plan(
        &parts.manifest,
        &parts.cmdline,
        &parts.pins,
        &images.collect(),
    ))
}

/// Bytes of the files among an action's outputs; `None` where it makes none.
fn file_bytes(result: &ActionResult) -> Option<u64> {
    let sizes = result.outputs.values().filter_map(|output| match output {
        Output::Object(blob) => Some(blob.size),
        Output::Tree(_) => None,
    });
    sizes.reduce(u64::saturating_add)
}

fn read_system(store: &Store, done: &ActionResult) -> Result<(Digest, BuiltSystem), BuildError> {
    let missing = BuildError::MissingOutput { name: "system" };
    let blob = done.object("system").ok_or(missing)?;
    let system = serde_json::from_slice(&store.read_object(&blob.digest)?)?;
    Ok((blob.digest, system))
}

/// Makes `link` a symbolic link to the system's description, and a root of the store.
///
/// # Errors
/// [`BuildError::Io`] where the link cannot be made; anything but a link at that place is left
/// alone.
pub fn link(store: &Store, built: &Built, link: &Path) -> Result<(), BuildError> {
    let failed = |error| BuildError::Io {
        path: link.to_path_buf(),
        error,
    };
    match std::fs::symlink_metadata(link) {
        Ok(old) if !old.file_type().is_symlink() => {
            return Err(failed(io::Error::new(
                io::ErrorKind::AlreadyExists,
                "something other than a link is there, name another place",
            )));
        }
        _ => {}
    }
    let mut targets = vec![RootTarget::Object(built.digest)];
    let system = &built.system;
    let parts = [system.uki, system.boot_loader, system.kernel, system.initrd];
    targets.extend(
        parts
            .iter()
            .chain(&system.direct)
            .chain(&system.images)
            .map(|b| RootTarget::Object(b.digest)),
    );
    // The root is named after the link's place, also where it was given by a bare name.
    let folder = link
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder
        .unwrap_or(Path::new("."))
        .canonicalize()
        .map_err(failed)?;
    let place = folder.join(link.file_name().unwrap_or_default());
    store.set_root(&roots::of_link(&place), &targets)?;
    let scratch = folder.join(format!(".nos-link.{}.part", std::process::id()));
    std::os::unix::fs::symlink(store.object_path(&built.digest), &scratch).map_err(failed)?;
    std::fs::rename(&scratch, &place).map_err(|error| {
        // Of no use without its name.
        let _ = std::fs::remove_file(&scratch);
        failed(error)
    })
}
