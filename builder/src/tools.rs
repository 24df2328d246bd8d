//! Programs that `nos` itself runs on this machine, straight from pinned Debian packages: fetched,
//! unpacked, trimmed to what the program reaches, and checked out as a folder.

use crate::build::Session;
use crate::checkout::{Order, checkout};
use crate::debian::{self, Changes, Environment, Mode};
use crate::error::BuildError;
use crate::plan::{Plan, keep_only};
use crate::realise::{realise, survey};
use crate::work::{Compose, Work};
use nos_specs::lock::Lock;
use nos_store::RootTarget;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

/// A program and what it needs besides the libraries that it names itself.
#[derive(Debug, Clone)]
pub struct Tools<'a> {
    /// Name of the tool: its lock group and root.
    pub name: &'a str,
    /// Debian packages to unpack.
    pub packages: &'a [&'a str],
    /// Programs, as paths inside the packages.
    pub programs: &'a [&'a str],
    /// Globs of files that the programs open by themselves.
    pub files: &'a [&'a str],
}

impl Tools<'_> {
    fn group(&self) -> String {
        format!("tool {}", self.name)
    }

    /// Pins the tool's packages.
    ///
    /// # Errors
    /// As [`debian::lock`].
    pub fn lock(
        &self,
        suite: &str,
        old: Option<&Lock>,
        archive: &Environment<'_>,
    ) -> Result<(Lock, Changes), BuildError> {
        let wants = self.packages.iter().map(|p| p.to_string()).collect();
        let request = debian::Request {
            suite: suite.to_string(),
            groups: BTreeMap::from([(self.group(), wants)]),
            sources: BTreeSet::new(),
        };
        let mode = if old.is_some() {
            Mode::UpdateAll
        } else {
            Mode::Keep
        };
        let (mut lock, _) = debian::lock(archive, &request, old, &mode)?;
        keep_only(&mut lock, |_, package| self.packages.contains(&package));
        let changes = Changes::between(old, &lock);
        Ok((lock, changes))
    }

    /// Makes sure that the tool stands ready and gives the folder that holds its tree.
    ///
    /// # Errors
    /// [`BuildError`]; [`debian::DebianError::Gone`] in it where the mirror has moved on and the
    /// tool must be pinned anew.
    pub fn ready(
        &self,
        session: &Session<'_>,
        lock: &Lock,
        archive: &Environment<'_>,
    ) -> Result<PathBuf, BuildError> {
        let plan = self.plan(lock)?;
        let builder = session.builder();
        let known = survey(&builder, &plan)?;
        if !known.contains_key(&plan.system()) {
            let fetch = session.lacking(&plan, &known)?;
            debian::fetch(archive, fetch.iter().map(|(name, pin)| (name, pin)))?;
        }
        let all = realise(&builder, &plan, known)?;
        let done = all
            .get(&plan.system())
            .ok_or(BuildError::MissingOutput { name: "tree" })?;
        let tree = crate::compose::output_tree(&done.result, "tree")?;
        if let Some(key) = done.key {
            let mut targets = vec![RootTarget::Result(key)];
            targets.extend(all.values().filter_map(|r| r.key).map(RootTarget::Result));
            session
                .store
                .set_root(&self.group().replace(' ', "-"), &targets)?;
        }
        checkout(session.store, &tree, Order::Names)
    }

    fn plan(&self, lock: &Lock) -> Result<Plan, BuildError> {
        let mut plan = Plan {
            actions: Vec::new(),
        };
        let mut inputs = Vec::new();
        for &package in self.packages {
            let pin =
                lock.packages
                    .get(package)
                    .ok_or_else(|| crate::plan::PlanError::LockDamaged {
                        group: self.group(),
                        package: package.into(),
                    })?;
            let label = format!("unpack {package} {}", pin.version);
            let work = Work::Unpack {
                name: package.into(),
                pin: pin.clone(),
            };
            inputs.push(plan.push(label, Vec::new(), work));
        }
        let compose = Compose {
            image: self.name.into(),
            packages: self.packages.iter().map(|p| p.to_string()).collect(),
            keep: self.files.iter().map(|f| format!("/{f}")).collect(),
            entry_points: self.programs.iter().map(|p| format!("/{p}")).collect(),
            trim: true,
            ..Compose::default()
        };
        plan.push(
            format!("compose {}", self.name),
            inputs,
            Work::Compose(Box::new(compose)),
        );
        Ok(plan)
    }
}
