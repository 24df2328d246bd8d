//! Choosing modules and the order in which they load.

use super::modinfo::builtin_aliases;
use super::nearest::nearest;
use super::{
    Compression, Condition, Kernel, KernelError, MAX_MODULE_BYTES, ModInfo, ModuleName, decompress,
};
use crate::elf::Elf;
use nos_formats::tree::{Kind, Tree, TreePath};
use std::collections::{BTreeMap, BTreeSet};
use std::io;

/// Deepest chain of dependencies followed. Debian's deepest is under ten.
const MAX_DEPTH: usize = 100;

/// A module that the caller asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// Its name.
    pub name: ModuleName,
    /// When it is to be loaded.
    pub condition: Condition,
    /// Whether its absence is an error. Otherwise it is left out.
    pub required: bool,
    /// Why it is wanted, for people.
    pub why: String,
}

impl Wanted {
    /// A module that a spec names: required, loaded on every boot.
    pub fn named(name: &str) -> Self {
        Self {
            name: ModuleName::new(name),
            condition: Condition::Always,
            required: true,
            why: "the spec names it".to_owned(),
        }
    }
}

/// When `init` loads a module file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Loading {
    /// On every boot.
    Always,
    /// Where there is a device of one of these modules, see [`Module::device_patterns`]: of its
    /// own, or of a module that needs this one. It names every cause and not the next ones, so
    /// a loader needs no graph: it goes through the list once, in order.
    OnDevice(BTreeSet<ModuleName>),
}

/// A module to put into the image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Module {
    /// Its name.
    pub name: ModuleName,
    /// Its file in the kernel package.
    pub path: TreePath,
    /// How that file is compressed.
    pub compression: Compression,
    /// The decompressed file, signature included.
    pub bytes: Vec<u8>,
    /// What it says of itself.
    pub info: ModInfo,
    /// When it is loaded.
    pub loading: Loading,
    /// Why it is here: what the caller said, or "needed by NAME".
    pub why: String,
}

impl Module {
    /// What the `modalias` of its devices matches (`*`, `?`, `[…]`, as `fnmatch` reads them):
    /// those of its aliases that devices can have, `bus:…`. Others name algorithms and file
    /// systems.
    pub fn device_patterns(&self) -> BTreeSet<&str> {
        let aliases = self.info.aliases.iter().map(String::as_str);
        aliases.filter(|alias| alias.contains(':')).collect()
    }
}

/// The modules that a kernel has, by name. Nothing of their content is read yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Modules {
    release: String,
    files: BTreeMap<ModuleName, (TreePath, Compression)>,
    builtin: BTreeSet<ModuleName>,
    builtin_aliases: BTreeMap<String, ModuleName>,
}

/// Where a wanted name led.
enum Found<'a> {
    File(&'a ModuleName),
    BuiltIn,
    Nowhere,
}

impl Modules {
    /// Lists a kernel's modules. `read` gives a file of the package by its path.
    ///
    /// # Errors
    /// [`KernelError::Read`], or [`KernelError::Damaged`] where `modules.builtin` is missing or
    /// is not text.
    pub fn read<C>(
        tree: &Tree<C>,
        kernel: &Kernel,
        mut read: impl FnMut(&TreePath) -> io::Result<Vec<u8>>,
    ) -> Result<Self, KernelError> {
        let mut list = |name: &str| -> Result<Option<Vec<u8>>, KernelError> {
            let path = kernel.modules.join(name)?;
            if tree.get(&path).is_none() {
                return Ok(None);
            }
            read(&path)
                .map(Some)
                .map_err(|source| KernelError::Read { path, source })
        };
        let damaged = |problem: &str| KernelError::Damaged {
            path: kernel.modules.clone(),
            problem: problem.to_owned(),
        };
        let builtin =
            list("modules.builtin")?.ok_or_else(|| damaged("it has no modules.builtin"))?;
        let builtin =
            String::from_utf8(builtin).map_err(|_| damaged("its modules.builtin is not text"))?;
        let aliases = list("modules.builtin.modinfo")?.unwrap_or_default();

        let mut files = BTreeMap::new();
        for (path, node) in tree.iter().filter(|(p, _)| p.starts_with(&kernel.modules)) {
            if let (Kind::File(_), Some((stem, compression))) =
                (&node.kind, Compression::of_file_name(path.name()))
            {
                let name = ModuleName::new(stem);
                files.entry(name).or_insert((path.clone(), compression));
            }
        }
        Ok(Self {
            release: kernel.release.clone(),
            files,
            builtin: builtin.lines().filter_map(name_of_path).collect(),
            builtin_aliases: builtin_aliases(&aliases)
                .map(|(module, alias)| (alias, module))
                .collect(),
        })
    }

    /// Number of modules that are files.
    pub fn len(&self) -> usize {
        self.files.len()
    }

    /// Whether the kernel has no module files.
    pub fn is_empty(&self) -> bool {
        self.files.is_empty()
    }

    /// Whether the module is part of the kernel image.
    pub fn is_builtin(&self, name: &ModuleName) -> bool {
        self.builtin.contains(name)
    }

    /// The wanted modules with all that they need, each before those that depend on it. Modules
    /// that are built in are not listed. The order depends on nothing but the arguments.
    ///
    /// # Errors
    /// [`KernelError::UnknownModule`] with the nearest names; [`KernelError::Circle`];
    /// [`KernelError::WrongRelease`] for a module of another kernel; [`KernelError::Damaged`],
    /// [`KernelError::Elf`] and [`KernelError::Read`] for files that cannot be read.
    pub fn select(
        &self,
        wanted: &[Wanted],
        read: impl FnMut(&TreePath) -> io::Result<Vec<u8>>,
    ) -> Result<Vec<Module>, KernelError> {
        let mut selection = Selection {
            modules: self,
            read,
            loaded: BTreeMap::new(),
            order: Vec::new(),
            under_way: Vec::new(),
        };
        for want in wanted {
            match self.find(&want.name) {
                Found::File(name) => selection.add(name, &want.why)?,
                Found::BuiltIn => {}
                Found::Nowhere if !want.required => {}
                Found::Nowhere => return Err(self.unknown(&want.name, None)),
            }
        }
        let loading = selection.loading(wanted);
        Ok(selection.finish(loading))
    }

    fn find(&self, name: &ModuleName) -> Found<'_> {
        match self.files.get_key_value(name) {
            Some((name, _)) => Found::File(name),
            None if self.builtin.contains(name) => Found::BuiltIn,
            None => Found::Nowhere,
        }
    }

    /// A soft dependency names a module or one of its aliases. The aliases of modules that are
    /// files would cost reading all of them; the two forms in use are `NAME` and `crypto-NAME`.
    fn find_soft(&self, text: &str) -> Found<'_> {
        if self.builtin_aliases.contains_key(text) {
            return Found::BuiltIn;
        }
        let plain = text.strip_prefix("crypto-").unwrap_or(text);
        let candidates = [text, plain, &format!("{plain}_generic")].map(ModuleName::new);
        candidates
            .iter()
            .map(|name| self.find(name))
            .find(|found| !matches!(found, Found::Nowhere))
            .unwrap_or(Found::Nowhere)
    }

    fn unknown(&self, name: &ModuleName, by: Option<&ModuleName>) -> KernelError {
        let known = self.files.keys().chain(&self.builtin);
        KernelError::UnknownModule {
            name: name.to_string(),
            release: self.release.clone(),
            by: by.map(ModuleName::to_string),
            nearest: nearest(name.as_str(), known.map(ModuleName::as_str)),
        }
    }
}

/// `kernel/fs/ext4/ext4.ko` → `ext4`.
fn name_of_path(line: &str) -> Option<ModuleName> {
    let file = line.trim().rsplit('/').next()?;
    Compression::of_file_name(file.as_bytes()).map(|(stem, _)| ModuleName::new(stem))
}

/// A selection being made.
struct Selection<'a, F> {
    modules: &'a Modules,
    read: F,
    loaded: BTreeMap<&'a ModuleName, Module>,
    order: Vec<&'a ModuleName>,
    under_way: Vec<&'a ModuleName>,
}

impl<'a, F: FnMut(&TreePath) -> io::Result<Vec<u8>>> Selection<'a, F> {
    fn add(&mut self, name: &'a ModuleName, why: &str) -> Result<(), KernelError> {
        if self.loaded.contains_key(name) {
            return Ok(());
        }
        let module = self.load(name, why)?;
        let before = module.info.depends.clone();
        let soft_before = module.info.soft_before.clone();
        let soft_after = module.info.soft_after.clone();
        let needed_by = format!("needed by {name}");

        self.under_way.push(name);
        for dependency in &before {
            match self.modules.find(dependency) {
                Found::File(found) => {
                    self.check_circle(found)?;
                    self.add(found, &needed_by)?;
                }
                Found::BuiltIn => {}
                Found::Nowhere => return Err(self.modules.unknown(dependency, Some(name))),
            }
        }
        self.add_soft(&soft_before, &needed_by)?;
        self.under_way.pop();
        if self.loaded.insert(name, module).is_none() {
            self.order.push(name);
        }
        self.add_soft(&soft_after, &format!("goes with {name}"))
    }

    /// Soft dependencies are wishes: absent ones, and those that would close a circle, are left.
    fn add_soft(&mut self, names: &[String], why: &str) -> Result<(), KernelError> {
        for text in names {
            if let Found::File(found) = self.modules.find_soft(text)
                && !self.under_way.contains(&found)
            {
                self.add(found, why)?;
            }
        }
        Ok(())
    }

    fn check_circle(&self, next: &ModuleName) -> Result<(), KernelError> {
        let start = self.under_way.iter().position(|&name| name == next);
        let start = start.or((self.under_way.len() >= MAX_DEPTH).then_some(0));
        let Some(start) = start else {
            return Ok(());
        };
        let circle = self.under_way[start..].iter().copied().chain([next]);
        Err(KernelError::Circle {
            chain: circle
                .map(ModuleName::to_string)
                .collect::<Vec<_>>()
                .join(" → "),
        })
    }

    fn load(&mut self, name: &ModuleName, why: &str) -> Result<Module, KernelError> {
        let Some((path, compression)) = self.modules.files.get(name) else {
            return Err(self.modules.unknown(name, None));
        };
        let damaged = |problem: String| KernelError::Damaged {
            path: path.clone(),
            problem,
        };
        let packed = (self.read)(path).map_err(|source| KernelError::Read {
            path: path.clone(),
            source,
        })?;
        let bytes = decompress(packed, *compression, MAX_MODULE_BYTES).map_err(damaged)?;
        let in_elf = |source| KernelError::Elf {
            path: path.clone(),
            source,
        };
        let section = Elf::open(&bytes)
            .map_err(in_elf)?
            .ok_or_else(|| damaged("it is not a module: the ELF magic is missing".into()))?
            .section(b".modinfo")
            .map_err(in_elf)?
            .ok_or_else(|| damaged("it is not a module: it has no .modinfo".into()))?;
        let info = ModInfo::parse(&section);
        if let Some(inside) = info.name.as_ref().filter(|inside| *inside != name) {
            return Err(damaged(format!("it is the module '{inside}'")));
        }
        match &info.release {
            Some(found) if *found != self.modules.release => Err(KernelError::WrongRelease {
                path: path.clone(),
                expected: self.modules.release.clone(),
                found: found.clone(),
            }),
            _ => Ok(Module {
                name: name.clone(),
                path: path.clone(),
                compression: *compression,
                bytes,
                info,
                loading: Loading::Always,
                why: why.to_owned(),
            }),
        }
    }

    /// When each module loads: its own condition, then that of all which depend on it.
    fn loading(&self, wanted: &[Wanted]) -> BTreeMap<ModuleName, Loading> {
        let mut loading: BTreeMap<ModuleName, Loading> = BTreeMap::new();
        let add =
            |loading: &mut BTreeMap<ModuleName, Loading>, name: &ModuleName, more: Loading| {
                let new = match (loading.remove(name), more) {
                    (None, more) => more,
                    (Some(Loading::OnDevice(mut old)), Loading::OnDevice(more)) => {
                        old.extend(more);
                        Loading::OnDevice(old)
                    }
                    _ => Loading::Always,
                };
                loading.insert(name.clone(), new);
            };
        for want in wanted {
            let Some(module) = self.loaded.get(&want.name) else {
                continue;
            };
            let own = match want.condition {
                Condition::Always => Loading::Always,
                Condition::Device => Loading::OnDevice([module.name.clone()].into()),
                // The table lists these after the modules they go with. One that was left out
                // or is built in adds nothing.
                Condition::With(others) => {
                    let mut causes = BTreeSet::new();
                    let mut always = false;
                    for other in others.iter().map(ModuleName::new) {
                        match loading.get(&other) {
                            Some(Loading::Always) => always = true,
                            Some(Loading::OnDevice(more)) => causes.extend(more.iter().cloned()),
                            None => always |= self.modules.is_builtin(&other),
                        }
                    }
                    if always {
                        Loading::Always
                    } else {
                        Loading::OnDevice(causes)
                    }
                }
            };
            add(&mut loading, &want.name, own);
        }
        // Dependents come later in the order, so going backwards visits them first. What goes
        // after a module (`post`) was not asked for by condition: it loads with it.
        for name in self.order.iter().rev() {
            let Some(module) = self.loaded.get(name) else {
                continue;
            };
            let Some(own) = loading.get(*name).cloned() else {
                continue;
            };
            let soft = [&module.info.soft_before, &module.info.soft_after];
            let soft =
                soft.into_iter()
                    .flatten()
                    .filter_map(|text| match self.modules.find_soft(text) {
                        Found::File(found) => Some(found),
                        _ => None,
                    });
            for needed in module.info.depends.iter().chain(soft) {
                add(&mut loading, needed, own.clone());
            }
        }
        loading
    }

    fn finish(mut self, mut loading: BTreeMap<ModuleName, Loading>) -> Vec<Module> {
        let modules = self.order.iter().filter_map(|name| {
            let mut module = self.loaded.remove(name)?;
            if let Some(when) = loading.remove(*name) {
                module.loading = when;
            }
            Some(module)
        });
        modules.collect()
    }
}
