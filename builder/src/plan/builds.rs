//! Actions of what is made from sources.

use super::{ActionId, Plan, PlanError, Planner, pins_of, sorted};
use crate::cargo::{self, Part};
use crate::fetch::debian;
use crate::init;
use crate::make::{self, Place};
use crate::work::{Origin, Work};
use nos_specs::lock::{Lock, LockedPackage};
use nos_specs::system::{Build, BuildSource, Cargo, Git, System, Using};
use std::collections::{BTreeMap, BTreeSet};

/// Lock group of the tools of one build.
pub fn build_group(build: &str) -> String {
    format!("build {build}")
}

/// Debian packages that a build asks for.
pub(super) fn tools_of(build: &Build) -> Vec<String> {
    let compiler = ["binutils", "gcc", "libc6-dev"];
    let more: &[&str] = match build.using {
        Using::Script { .. } => &[],
        Using::Make { .. } | Using::Autotools { .. } => &["make"],
        Using::Cmake { .. } => &["cmake", "g++", "make"],
        Using::Cargo(_) => &["cargo", "rustc"],
    };
    let compiler = match build.using {
        Using::Script { .. } => &[][..],
        _ => &compiler[..],
    };
    let mut wants: Vec<String> = make::tools::BASE.map(String::from).into();
    wants.extend(compiler.iter().chain(more).map(|name| (*name).to_owned()));
    if let Some(BuildSource::Debian { patches: true, .. }) = build.source {
        wants.push("patch".into());
    }
    wants.extend(build.tools.iter().cloned());
    sorted(&wants)
}

/// Adds to `groups` what the builds of `system` ask of Debian.
pub(super) fn wanted(
    system: &System,
    groups: &mut BTreeMap<String, Vec<String>>,
) -> Result<(), PlanError> {
    for (name, build) in &system.builds {
        let wants = tools_of(build);
        let old = groups.insert(build_group(name), wants.clone());
        if old.is_some_and(|old| old != wants) {
            return Err(PlanError::BuildClash {
                build: name.clone(),
            });
        }
    }
    Ok(())
}

/// The commits that the builds of `systems` are made from, by the name of their pin.
pub fn wanted_commits(systems: &[System]) -> BTreeMap<String, Git> {
    let builds = systems.iter().flat_map(|system| system.builds.values());
    let commits = builds.filter_map(|build| match &build.source {
        Some(BuildSource::Git(git)) => Some((git.pin_name(), git.clone())),
        _ => None,
    });
    commits.collect()
}

/// The packages whose sources the builds of `systems` are made from.
pub fn wanted_sources(systems: &[System]) -> BTreeSet<String> {
    let builds = systems.iter().flat_map(|system| system.builds.values());
    let sources = builds.filter_map(|build| match &build.source {
        Some(BuildSource::Debian { package, .. }) => Some(package.clone()),
        _ => None,
    });
    sources.collect()
}

/// For each source of a Rust package that `systems` are made from, the plan that takes its
/// `Cargo.lock` out of it. `lock` must pin what the sources are.
///
/// # Errors
/// [`PlanError`] where it does not.
pub(crate) fn cargo_locks(systems: &[System], lock: &Lock) -> Result<Vec<Plan>, PlanError> {
    let builds = systems.iter().flat_map(|system| system.builds.iter());
    let mut sources = BTreeMap::new();
    for (name, build) in builds {
        match (&build.using, &build.source) {
            // Debian's own sources of Rust packages take crates from Debian.
            (Using::Cargo(_), Some(BuildSource::Debian { .. })) => {}
            (Using::Cargo(_), Some(source)) => drop(sources.insert(name, source)),
            _ => {}
        }
    }
    let mut plans = Vec::new();
    for (name, source) in sources {
        let mut planner = Planner::new(lock);
        // Only patches need tools.
        let source = planner.build_source(source, ActionId(0))?;
        planner.cargo_lock(name, source);
        plans.push(planner.plan);
    }
    Ok(plans)
}

impl Planner<'_> {
    /// The actions of one build; its result is the last one's tree. Builds that it needs come
    /// first.
    pub(super) fn build(&mut self, system: &System, name: &str) -> Result<ActionId, PlanError> {
        if let Some(id) = self.built.get(name) {
            return Ok(*id);
        }
        let Some(build) = system.builds.get(name) else {
            return Err(PlanError::NoBuild { build: name.into() });
        };
        let tools = self.tools(&build_group(name), &tools_of(build))?;
        let source = match &build.source {
            Some(source) => Some(self.build_source(source, tools)?),
            None => None,
        };
        let mut needs = Vec::new();
        for need in &build.needs {
            needs.push((need.clone(), self.build(system, need)?));
        }
        let mut inputs = vec![tools];
        let mut recipe = match (&build.using, source, make::recipes::recipe(name, build)) {
            (Using::Cargo(package), Some(source), _) => {
                inputs.extend(self.cargo(name, build, package, tools, source));
                cargo::package(name, build, package)
            }
            (_, Some(source), Some(mut recipe)) => {
                inputs.push(source);
                recipe.places.push(Place::Copy("source".into()));
                recipe
            }
            (_, None, Some(recipe)) => recipe,
            (_, None, None) => return Err(PlanError::NoBuild { build: name.into() }),
            (_, Some(_), None) => return Err(PlanError::NoBuild { build: name.into() }),
        };
        for (need, id) in needs {
            inputs.push(id);
            recipe.places.push(Place::At(format!("/needs/{need}")));
        }
        let label = recipe.name.clone();
        let id = self.plan.push(label, inputs, Work::Make(Box::new(recipe)));
        self.built.insert(name.into(), id);
        Ok(id)
    }

    /// The root of tools that a lock group pins.
    pub(super) fn tools(&mut self, group: &str, wants: &[String]) -> Result<ActionId, PlanError> {
        let pins = self.group(group, wants)?;
        Ok(self.root_of(group, pins))
    }

    /// The root of these packages.
    fn root_of(&mut self, group: &str, mut pins: Vec<(String, LockedPackage)>) -> ActionId {
        let mut inputs = Vec::new();
        let mut packages = Vec::new();
        pins.sort_by(|a, b| a.0.cmp(&b.0));
        for (package, pin) in pins {
            inputs.push(self.unpack(&package, pin));
            packages.push(package);
        }
        let same = |plan: &Plan| {
            let found = plan.iter().find(|(_, action)| {
                action.inputs == inputs
                    && matches!(&action.work, Work::Tools { packages: known } if *known == packages)
            });
            found.map(|(id, _)| id)
        };
        if let Some(id) = same(&self.plan) {
            return id;
        }
        let label = format!("tools of {group}");
        self.plan.push(label, inputs, Work::Tools { packages })
    }

    /// PID 1: the one that travels with this program, or made from its source.
    pub(super) fn init(&mut self, from_source: bool) -> Result<ActionId, PlanError> {
        let shipped = init::shipped();
        if let (Some(sha256), false) = (shipped, from_source) {
            let work = Work::ShippedInit { sha256 };
            return Ok(self.plan.push("init".into(), Vec::new(), work));
        }
        let (build, package) = init::build();
        let group = init::TOOLCHAIN_GROUP;
        let pins = pins_of(&init::toolchain()?, group, &tools_of(&build))?;
        let tools = self.root_of("init", pins);
        let source = self
            .plan
            .push("source of init".into(), Vec::new(), Work::InitSource);
        let mut inputs = vec![tools];
        inputs.extend(self.cargo("init", &build, &package, tools, source));
        let recipe = init::recipe(&build, &package);
        let label = recipe.name.clone();
        let made = self.plan.push(label, inputs, Work::Make(Box::new(recipe)));
        let work = Work::MadeInit { expected: shipped };
        Ok(self.plan.push("init".into(), vec![made], work))
    }

    /// Takes the lock file out of a source.
    fn cargo_lock(&mut self, name: &str, source: ActionId) -> ActionId {
        let label = format!("Cargo.lock of {name}");
        self.plan.push(label, vec![source], Work::CargoLock)
    }

    /// The steps before a Rust package itself; gives its inputs behind the tools.
    fn cargo(
        &mut self,
        name: &str,
        build: &Build,
        package: &Cargo,
        tools: ActionId,
        source: ActionId,
    ) -> [ActionId; 3] {
        let lock = self.cargo_lock(name, source);
        let crates = Work::Crates {
            commits: self.lock.commits.clone(),
        };
        let crates = self
            .plan
            .push(format!("crates of {name}"), vec![lock], crates);
        let mut part = |part: Part, label: &str| {
            let work = Work::CargoPart {
                package: package.package.clone(),
                part,
            };
            self.plan
                .push(format!("{label} of {name}"), vec![source], work)
        };
        let skeleton = part(Part::Skeleton, "skeleton");
        let beside = part(Part::Libraries, "library sources");
        let own = part(Part::Package, "sources");
        let recipe = cargo::dependencies(name, build, package);
        let dependencies = self.plan.push(
            recipe.name.clone(),
            vec![tools, skeleton, crates],
            Work::Make(Box::new(recipe)),
        );
        let recipe = cargo::libraries(name, build, package);
        let libraries = self.plan.push(
            recipe.name.clone(),
            vec![tools, beside, crates, dependencies],
            Work::CargoLibraries(Box::new(recipe)),
        );
        [own, crates, libraries]
    }

    fn build_source(
        &mut self,
        source: &BuildSource,
        tools: ActionId,
    ) -> Result<ActionId, PlanError> {
        Ok(match source {
            BuildSource::Folder { path } => self.plan.push(
                format!("folder {path}"),
                Vec::new(),
                Work::Source(Origin::Sources(path.clone())),
            ),
            BuildSource::Fetch(fetch) => {
                let name = fetch.url.rsplit('/').next().unwrap_or_default().to_owned();
                let fetched = self.plan.push(
                    format!("fetch {name}"),
                    Vec::new(),
                    Work::Fetch(fetch.clone()),
                );
                let label = format!("unpack {name}");
                self.plan.push(label, vec![fetched], Work::Archive { name })
            }
            BuildSource::Debian { package, patches } => {
                let pin = self.lock.sources.get(package);
                let pin = pin.ok_or_else(|| PlanError::SourceNotLocked {
                    package: package.clone(),
                })?;
                let has_patches = *patches && debian::has_patches(pin);
                let work = Work::DebianSource {
                    package: package.clone(),
                    pin: pin.clone(),
                    patches: *patches,
                };
                let label = format!("source {package} {}", pin.version);
                let whole = self.plan.push(label, Vec::new(), work);
                if !has_patches {
                    return Ok(whole);
                }
                let recipe = make::recipes::patches(package);
                let label = recipe.name.clone();
                let work = Work::Make(Box::new(recipe));
                self.plan.push(label, vec![tools, whole], work)
            }
            BuildSource::Git(git) => {
                let pin = self.lock.commits.get(&git.pin_name());
                let pin = pin.ok_or_else(|| PlanError::CommitNotLocked {
                    commit: git.pin_name(),
                })?;
                let name = git.url.trim_end_matches('/').rsplit('/').next();
                let name = name.unwrap_or_default().trim_end_matches(".git");
                let short = git.commit.get(..12).unwrap_or(&git.commit);
                let work = Work::Git(git.clone(), pin.clone());
                self.plan
                    .push(format!("commit {name} {short}"), Vec::new(), work)
            }
        })
    }
}
