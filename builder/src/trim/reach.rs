//! The walk over what is reached.

use super::known::{Adds, KNOWN, Trigger};
use super::library::{Loader, Search};
use super::named::Names;
use super::resolve::{Lost, resolve};
use super::{Glob, Lacking, Missing, Reason, TrimError, names, script};
use crate::elf::{DlopenPriority, Dynamic, Elf, ElfError, ReadAt};
use nos_formats::tree::{Kind, Node, Tree, TreePath};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io;
use std::rc::Rc;

/// What is to be kept of a tree.
#[derive(Debug, Clone, Copy, Default)]
pub struct Request<'a> {
    /// Programs that run. What they cannot start without must be in the tree.
    pub programs: &'a [TreePath],
    /// What every image has.
    pub always: &'a [TreePath],
    /// Files, links and folders that the spec places itself; a folder stays with everything
    /// below it.
    pub named: &'a [TreePath],
    /// Globs of further paths. A glob without wildcards that is a folder keeps everything below
    /// it. One that matches nothing is listed in [`Reach::unused_globs`].
    pub keep: &'a [Glob],
    /// What `drop` took out, for messages.
    pub dropped: Option<&'a BTreeMap<TreePath, String>>,
    /// Path → package, for licences and messages.
    pub owners: Option<&'a BTreeMap<TreePath, String>>,
    /// The services' `LD_LIBRARY_PATH`, in order.
    pub library_path: &'a [TreePath],
    /// Commands of the services, each with its program as first word.
    pub commands: &'a [Vec<String>],
    /// Environment variables of the services: name and value.
    pub environment: &'a [(String, String)],
}

/// What stays of a tree, and why.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Reach {
    /// Every path that stays and its first reason. The folders that lead to a path stay with it
    /// and are listed only where they were named themselves.
    pub kept: BTreeMap<TreePath, Reason>,
    /// Further reasons of paths that stay anyway: without them they would not know what their
    /// first reason's going would free.
    pub also: BTreeMap<TreePath, Vec<Reason>>,
    /// What files that stay only by a glob or in a named folder ask for and do not get.
    pub missing: Vec<Missing>,
    /// Globs that match nothing.
    pub unused_globs: Vec<String>,
}

impl Reach {
    /// The chain of reasons of a path, from the path itself to a root. Empty where it does not
    /// stay.
    pub fn why(&self, path: &TreePath) -> Vec<(TreePath, Reason)> {
        let mut chain: Vec<(TreePath, Reason)> = Vec::new();
        let mut at = Some(path);
        while let Some((path, reason)) = at.and_then(|path| self.kept.get_key_value(path)) {
            // Two links may lead to each other; each path is said once.
            if chain.iter().any(|(seen, _)| seen == path) {
                break;
            }
            chain.push((path.clone(), reason.clone()));
            at = reason.cause();
        }
        chain
    }

    /// All reasons of a path, the first one first.
    pub fn reasons(&self, path: &TreePath) -> impl Iterator<Item = &Reason> {
        let also = self.also.get(path).into_iter().flatten();
        self.kept.get(path).into_iter().chain(also)
    }

    /// Keeps a path, or adds a reason to those that it has. Gives whether it is new.
    fn add(&mut self, path: &TreePath, reason: Reason) -> bool {
        let Some(first) = self.kept.get(path) else {
            self.kept.insert(path.clone(), reason);
            return true;
        };
        if *first != reason && reason.cause() != Some(path) {
            let also = self.also.entry(path.clone()).or_default();
            if !also.contains(&reason) {
                also.push(reason);
            }
        }
        false
    }

    /// Removes everything else from the tree.
    pub fn apply<C>(&self, tree: &mut Tree<C>) {
        tree.retain(|path, _| self.kept.contains_key(path));
    }
}

/// Finds what stays. `open` gives a file's content to be read by position.
///
/// # Errors
/// [`TrimError::NoRoot`] for a program or named path that the tree does not have;
/// [`TrimError::Unsatisfied`] with everything that programs need and do not get; [`TrimError::Elf`] and [`TrimError::Read`] for
/// programs that cannot be read.
pub fn reach<'a, C, R: ReadAt>(
    tree: &'a Tree<C>,
    request: &'a Request<'_>,
    open: impl Fn(&'a C) -> io::Result<R>,
) -> Result<Reach, TrimError> {
    let mut walk = Walk {
        tree,
        request,
        open,
        reach: Reach::default(),
        queue: VecDeque::new(),
        texts: VecDeque::new(),
        unsatisfied: Vec::new(),
        by_name: None,
        versions: BTreeMap::new(),
        known_done: BTreeSet::new(),
        known: VecDeque::new(),
        demanded: true,
    };
    for program in request.programs {
        walk.add_root(program, Reason::Runs)?;
    }
    walk.drain()?;

    // What the rest brings is examined last: what it asks for is no error.
    walk.demanded = false;
    for path in request.always {
        walk.add_root(path, Reason::Always)?;
    }
    for path in request.named {
        if let Some(folder) = walk.add_root(path, Reason::Named)? {
            walk.add_below(&folder, || Reason::Below(folder.clone()));
        }
    }
    for glob in request.keep {
        let reason = || Reason::Keep(glob.to_string());
        let matching = walk.add_glob(glob, reason);
        if matching.is_empty() {
            walk.reach.unused_globs.push(glob.to_string());
        }
        for folder in matching.iter().filter(|_| glob.is_literal()) {
            walk.add_below(folder, reason);
        }
    }
    walk.drain()?;
    walk.add_commands()?;
    walk.add_named()?;
    walk.add_name_services()?;
    walk.add_named()?;
    walk.add_licences();
    if walk.unsatisfied.is_empty() {
        Ok(walk.reach)
    } else {
        Err(TrimError::Unsatisfied(walk.unsatisfied))
    }
}

/// Whether a library imports what its users may never ask it for.
fn is_for_others(soname: &[u8]) -> bool {
    const NAMES: [&[u8]; 3] = [b"libstdc++.so.", b"libidn2.so.", b"libunistring.so."];
    NAMES.iter().any(|name| soname.starts_with(name))
}

/// A file to be looked into.
struct Task {
    path: TreePath,
    /// The loading program's search and loader, for libraries.
    context: Option<(Rc<Search>, Loader, u16)>,
}

pub(super) struct Walk<'a, C, F> {
    pub(super) tree: &'a Tree<C>,
    pub(super) request: &'a Request<'a>,
    open: F,
    pub(super) reach: Reach,
    queue: VecDeque<Task>,
    /// Kept files that are to be read for what they name.
    pub(super) texts: VecDeque<(TreePath, Names)>,
    unsatisfied: Vec<Missing>,
    /// Regular files by name; made when a library is first missed.
    by_name: Option<BTreeMap<&'a [u8], Vec<&'a TreePath>>>,
    /// Versions that libraries define, as far as somebody asked.
    versions: BTreeMap<TreePath, Rc<Vec<Vec<u8>>>>,
    known_done: BTreeSet<usize>,
    /// Paths of known rows, and why: a program starts without each single one of them.
    pub(super) known: VecDeque<(Adds, Reason)>,
    /// Whether what is missing now is an error.
    demanded: bool,
}

impl<'a, C, R: ReadAt, F: Fn(&'a C) -> io::Result<R>> Walk<'a, C, F> {
    /// Keeps a path that must be there. Gives the folder, where it is one.
    fn add_root(&mut self, root: &TreePath, reason: Reason) -> Result<Option<TreePath>, TrimError> {
        let found = resolve(self.tree, &TreePath::ROOT, root.as_bytes());
        match (found, self.tree.get(root)) {
            (Ok(found), _) => {
                let is_folder = self.is_folder(&found.path);
                self.keep_resolved(&found.path, &found.links, reason, None);
                Ok(is_folder.then_some(found.path))
            }
            // A declared link may point to what exists only at run time.
            (Err(_), Some(_)) if !self.demanded => {
                self.reach.add(root, reason);
                Ok(None)
            }
            (Err(_), _) => Err(TrimError::NoRoot {
                nearest: self.files_named(root.name()).into_iter().take(3).collect(),
                path: root.clone(),
            }),
        }
    }

    pub(super) fn add_below(&mut self, folder: &TreePath, reason: impl Fn() -> Reason) {
        let below = self.tree.iter();
        let below = below.filter(|(path, _)| path.starts_with(folder) && *path != folder);
        let below: Vec<TreePath> = below.map(|(path, _)| path.clone()).collect();
        for path in below {
            self.keep(&path, reason());
        }
    }

    /// Keeps what a glob matches, and gives it.
    pub(super) fn add_glob(&mut self, glob: &Glob, reason: impl Fn() -> Reason) -> Vec<TreePath> {
        self.add_glob_but(glob, &[], reason)
    }

    /// The same without what one of `but` matches.
    pub(super) fn add_glob_but(
        &mut self,
        glob: &Glob,
        but: &[Glob],
        reason: impl Fn() -> Reason,
    ) -> Vec<TreePath> {
        let matching = self
            .tree
            .iter()
            .filter(|(path, _)| glob.matches(path) && !but.iter().any(|glob| glob.matches(path)));
        let matching: Vec<TreePath> = matching.map(|(path, _)| path.clone()).collect();
        for path in &matching {
            self.keep(path, reason());
        }
        matching
    }

    /// Keeps a path of the tree, and what it leads to where it is a link.
    pub(super) fn keep(&mut self, path: &TreePath, reason: Reason) {
        let Some(node) = self.tree.get(path) else {
            return;
        };
        if !matches!(node.kind, Kind::Symlink(_)) {
            self.keep_resolved(path, &[], reason, None);
            return;
        }
        self.reach.add(path, reason);
        if let Ok(found) = resolve(self.tree, &TreePath::ROOT, path.as_bytes()) {
            let reason = Reason::TargetOf(path.clone());
            self.keep_resolved(&found.path, &found.links, reason, None);
        }
    }

    /// Keeps the end of a path and the links on the way, and puts the end into the queue.
    pub(super) fn keep_resolved(
        &mut self,
        path: &TreePath,
        links: &[TreePath],
        reason: Reason,
        context: Option<(Rc<Search>, Loader, u16)>,
    ) {
        for link in links {
            self.reach.add(link, Reason::LeadsTo(path.clone()));
        }
        let examined = match self.tree.get(path) {
            Some(node) => is_examined(path, node, &reason),
            None => false,
        };
        let is_read = is_read(path, &reason);
        if !self.reach.add(path, reason) {
            return;
        }
        match self.tree.get(path).map(|node| &node.kind) {
            Some(Kind::HardLink(target)) => {
                let reason = Reason::TargetOf(path.clone());
                self.keep_resolved(target, &[], reason, context.clone());
            }
            Some(Kind::File(_)) if examined => {}
            Some(Kind::File(_)) if is_read => {
                self.texts.push_back((path.clone(), Names::Paths));
                return;
            }
            _ => return,
        }
        if examined {
            let path = path.clone();
            self.queue.push_back(Task { path, context });
        }
    }

    pub(super) fn drain(&mut self) -> Result<(), TrimError> {
        while let Some(task) = self.queue.pop_front() {
            self.examine(&task)?;
        }
        Ok(())
    }

    fn examine(&mut self, task: &Task) -> Result<(), TrimError> {
        let path = &task.path;
        let Some(content) = self.content(path)? else {
            return Ok(());
        };
        let elf = match Elf::open(&content) {
            Ok(Some(elf)) => elf,
            Ok(None) => return self.examine_script(path, &content),
            Err(source) => return self.unreadable(path, source),
        };
        match self.examine_elf(task, &elf) {
            Err(TrimError::Elf { path, source }) => self.unreadable(&path, source),
            other => other,
        }
    }

    /// A program that must run has to be read; a file that only came along need not be one.
    fn unreadable(&self, path: &TreePath, source: ElfError) -> Result<(), TrimError> {
        if !self.demanded && !matches!(source, ElfError::Read(_)) {
            return Ok(());
        }
        Err(TrimError::Elf {
            path: path.clone(),
            source,
        })
    }

    fn examine_elf(&mut self, task: &Task, elf: &Elf<'_, R>) -> Result<(), TrimError> {
        let path = &task.path;
        let in_elf = |source| TrimError::Elf {
            path: path.clone(),
            source,
        };
        let mut loader = task.context.as_ref().map_or_else(Loader::default, |c| c.1);
        let interpreter = elf.interpreter().map_err(in_elf)?;
        // A library may have one too; what libraries open is known of each.
        if !is_library(path) {
            let how = match interpreter {
                Some(_) => Names::Strings,
                None => Names::Runs,
            };
            self.texts.push_back((path.clone(), how));
        }
        if let Some(interpreter) = interpreter {
            loader = Loader::of_interpreter(&interpreter);
            let reason = Reason::Interpreter { of: path.clone() };
            self.demand(path, &interpreter, reason);
        }
        let Some(dynamic) = elf.dynamic().map_err(in_elf)? else {
            return Ok(());
        };
        let folder = path.parent().unwrap_or_default();
        let above = task.context.as_ref().map(|c| c.0.as_ref());
        let search = Rc::new(Search::of(&dynamic, &folder, above));
        let context = (search, loader, elf.machine);

        for name in &dynamic.needed {
            let by = path.clone();
            let text = String::from_utf8_lossy(name).into_owned();
            let reason = Reason::Needed {
                by,
                name: text.clone(),
            };
            if loader.is_itself(name) {
                continue;
            }
            match self.add_library(path, name, &context, reason)? {
                Some(library) if loader == Loader::Glibc => {
                    self.compare_versions(path, &dynamic, name, &library)?;
                }
                Some(_) => {}
                None => self.miss(path, text),
            }
        }
        for note in elf.dlopen_notes().map_err(in_elf)? {
            if note.priority == DlopenPriority::Suggested {
                continue;
            }
            for name in &note.soname {
                let reason = Reason::Dlopen {
                    by: path.clone(),
                    what_for: note.description.clone(),
                };
                if self
                    .add_library(path, name.as_bytes(), &context, reason)?
                    .is_some()
                {
                    break;
                }
            }
        }
        self.add_known(path, &dynamic, &context)
    }

    fn add_known(
        &mut self,
        path: &TreePath,
        dynamic: &Dynamic,
        context: &(Rc<Search>, Loader, u16),
    ) -> Result<(), TrimError> {
        for (index, row) in KNOWN.iter().enumerate() {
            let applies = match row.trigger {
                Trigger::Imports(symbol) => {
                    dynamic.imports.contains(symbol)
                        && !dynamic.soname.as_deref().is_some_and(is_for_others)
                }
                Trigger::Library(name) => dynamic.soname.as_deref() == Some(name.as_bytes()),
                Trigger::Program(glob) => Glob::new(glob)?.matches(path),
            };
            if !applies {
                continue;
            }
            let reason = Reason::Known {
                by: path.clone(),
                why: row.why,
            };
            match row.adds {
                Adds::Library(name) => {
                    self.add_library(path, name.as_bytes(), context, reason)?;
                }
                Adds::Paths(_) | Adds::PathsBut(..) if self.known_done.insert(index) => {
                    self.known.push_back((row.adds, reason));
                }
                Adds::Paths(_) | Adds::PathsBut(..) => {}
            }
        }
        Ok(())
    }

    /// Notes versions that a file asks of a library and that this does not have. Of a library
    /// without any versions the loader takes everything.
    fn compare_versions(
        &mut self,
        by: &TreePath,
        dynamic: &Dynamic,
        name: &[u8],
        library: &TreePath,
    ) -> Result<(), TrimError> {
        let needed = dynamic.needed_versions.iter();
        let needed: Vec<&[u8]> = needed
            .filter(|needed| needed.library == name)
            .map(|needed| needed.version.as_slice())
            .collect();
        if needed.is_empty() {
            return Ok(());
        }
        let defined = self.defined_versions(library)?;
        if defined.is_empty() {
            return Ok(());
        }
        let text = |version: &[u8]| String::from_utf8_lossy(version).into_owned();
        for version in needed {
            if defined.iter().any(|defined| defined == version) {
                continue;
            }
            let kind = version.iter().take_while(|byte| !byte.is_ascii_digit());
            let kind = &version[..kind.count()];
            let alike = |defined: &&Vec<u8>| {
                let number = defined.strip_prefix(kind).unwrap_or_default();
                number.first().is_some_and(u8::is_ascii_digit)
            };
            let newest = defined.iter().rfind(alike).map(|newest| text(newest));
            self.note(Missing {
                name: text(version),
                by: by.clone(),
                package: self.owner(by).cloned(),
                elsewhere: None,
                dropped: None,
                lacking: Some(Lacking {
                    library: library.clone(),
                    package: self.owner(library).cloned(),
                    newest,
                }),
            });
        }
        Ok(())
    }

    /// Versions that a library defines; none where it cannot be read, which is said when its
    /// turn comes.
    fn defined_versions(&mut self, library: &TreePath) -> Result<Rc<Vec<Vec<u8>>>, TrimError> {
        if let Some(known) = self.versions.get(library) {
            return Ok(Rc::clone(known));
        }
        let Some(content) = self.content(library)? else {
            return Ok(Rc::default());
        };
        let dynamic = Elf::open(&content).ok().flatten();
        let dynamic = dynamic.and_then(|elf| elf.dynamic().ok()?);
        let defined = Rc::new(dynamic.unwrap_or_default().defined_versions);
        self.versions.insert(library.clone(), Rc::clone(&defined));
        Ok(defined)
    }

    /// Finds and keeps a library as the loader would, and gives it.
    fn add_library(
        &mut self,
        by: &TreePath,
        name: &[u8],
        context: &(Rc<Search>, Loader, u16),
        reason: Reason,
    ) -> Result<Option<TreePath>, TrimError> {
        let (search, loader, machine) = context;
        let candidates: Vec<Vec<u8>> = if name.contains(&b'/') {
            vec![name.to_vec()]
        } else {
            let folders = search.folders(self.request.library_path, *loader);
            folders
                .iter()
                .map(|folder| [folder.as_slice(), b"/", name].concat())
                .collect()
        };
        let folder = by.parent().unwrap_or_default();
        for candidate in candidates {
            let Ok(found) = resolve(self.tree, &folder, &candidate) else {
                continue;
            };
            let fits = self.reach.kept.contains_key(&found.path)
                || self.machine(&found.path)? == Some(*machine);
            if fits {
                let context = Some(context.clone());
                self.keep_resolved(&found.path, &found.links, reason, context);
                return Ok(Some(found.path));
            }
        }
        // A plug-in's library may have been loaded by the program already, from a folder of the
        // program's own; the loader then takes it by its name.
        let mut loaded = self.reach.kept.keys().filter(|path| path.name() == name);
        Ok(loaded.next().filter(|_| !self.demanded).cloned())
    }

    /// The processor that a file is for; `None` for what is not a readable ELF file.
    fn machine(&self, path: &TreePath) -> Result<Option<u16>, TrimError> {
        let Some(content) = self.content(path)? else {
            return Ok(None);
        };
        match Elf::open(&content) {
            Ok(elf) => Ok(elf.map(|elf| elf.machine)),
            Err(ElfError::Read(source)) => Err(TrimError::Read {
                path: path.clone(),
                source,
            }),
            Err(_) => Ok(None),
        }
    }

    fn examine_script(&mut self, path: &TreePath, content: &R) -> Result<(), TrimError> {
        let interpreter = script::interpreter(content).map_err(|source| TrimError::Read {
            path: path.clone(),
            source,
        })?;
        let Some(interpreter) = interpreter else {
            self.texts.push_back((path.clone(), Names::Paths));
            return Ok(());
        };
        let program = interpreter.searched.as_ref();
        let how = match names::is_shell(&[program.unwrap_or(&interpreter.program)]) {
            true => Names::Words,
            false => Names::Paths,
        };
        self.texts.push_back((path.clone(), how));
        let reason = || Reason::Script { of: path.clone() };
        self.demand(path, &interpreter.program, reason());
        if let Some(name) = interpreter.searched {
            let places = script::PATH.iter();
            let found = places
                .map(|folder| [b"/", folder.as_bytes(), b"/", &name].concat())
                .find(|place| resolve(self.tree, &TreePath::ROOT, place).is_ok());
            match found {
                Some(place) => self.demand(path, &place, reason()),
                None if self.reach.reasons(path).all(Reason::is_surmise) => {}
                None => self.miss(path, String::from_utf8_lossy(&name).into_owned()),
            }
        }
        Ok(())
    }

    /// Keeps a program by its absolute path, or notes that it is missing.
    fn demand(&mut self, by: &TreePath, program: &[u8], reason: Reason) {
        match resolve(self.tree, &TreePath::ROOT, program) {
            Ok(found) => self.keep_resolved(&found.path, &found.links, reason, None),
            // Of what only comes along, some scripts are for others than the service.
            Err(_) if self.reach.reasons(by).all(Reason::is_surmise) => {}
            Err(Lost::Missing | Lost::Loop) => {
                self.miss(by, String::from_utf8_lossy(program).into_owned());
            }
        }
    }

    fn miss(&mut self, by: &TreePath, name: String) {
        let file = name.rsplit('/').next().unwrap_or_default().to_owned();
        let elsewhere = if name.contains('/') {
            None
        } else {
            self.files_named(file.as_bytes()).into_iter().next()
        };
        let dropped = self.request.dropped.into_iter().flatten();
        let dropped = dropped
            .filter(|(path, _)| path.name() == file.as_bytes())
            .map(|(_, glob)| glob.clone())
            .next();
        let missing = Missing {
            dropped,
            name,
            by: by.clone(),
            package: self.owner(by).cloned(),
            elsewhere,
            lacking: None,
        };
        self.note(missing);
    }

    fn note(&mut self, missing: Missing) {
        let list = if self.demanded {
            &mut self.unsatisfied
        } else {
            &mut self.reach.missing
        };
        if !list.contains(&missing) {
            list.push(missing);
        }
    }

    /// `/etc/nsswitch.conf` names the libraries that glibc opens for users, groups and hosts;
    /// `files` and `dns` are part of glibc.
    fn add_name_services(&mut self) -> Result<(), TrimError> {
        const WHY: &str = "/etc/nsswitch.conf names it as a source of users, groups or hosts";
        const MAX_BYTES: usize = 64 << 10;
        let path = TreePath::new("etc/nsswitch.conf")?;
        if !self.reach.kept.contains_key(&path) {
            return Ok(());
        }
        let Some(content) = self.content(&path)? else {
            return Ok(());
        };
        let mut text = vec![0; MAX_BYTES];
        let got = content
            .read_at(0, &mut text)
            .map_err(|source| TrimError::Read {
                path: path.clone(),
                source,
            })?;
        let text = String::from_utf8_lossy(&text[..got]).into_owned();
        let lines = text.lines().filter_map(|line| line.split('#').next());
        let sources = lines
            .filter_map(|line| line.split_once(':'))
            .flat_map(|(_, sources)| sources.split_whitespace())
            .filter(|source| {
                source
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || b == b'_')
            })
            .filter(|source| !matches!(*source, "files" | "dns"));
        let sources: BTreeSet<&str> = sources.collect();
        for source in sources {
            let search = Rc::new(Search::default());
            let context = (search, Loader::Glibc, crate::elf::MACHINE_X86_64);
            let reason = Reason::Known {
                by: path.clone(),
                why: WHY,
            };
            let name = format!("libnss_{source}.so.2");
            self.add_library(&path, name.as_bytes(), &context, reason)?;
        }
        Ok(())
    }

    fn add_licences(&mut self) {
        let Some(owners) = self.request.owners else {
            return;
        };
        let mut packages: BTreeMap<&String, &TreePath> = BTreeMap::new();
        for path in self.reach.kept.keys() {
            if let Some((path, package)) = owners.get_key_value(path) {
                packages.entry(package).or_insert(path);
            }
        }
        for (package, for_file) in packages {
            let text = format!("/usr/share/doc/{package}/copyright");
            if let Ok(found) = resolve(self.tree, &TreePath::ROOT, text.as_bytes()) {
                let reason = Reason::Licence {
                    package: package.clone(),
                    for_file: for_file.clone(),
                };
                self.keep_resolved(&found.path, &found.links, reason, None);
            }
        }
    }

    pub(super) fn content(&self, path: &TreePath) -> Result<Option<R>, TrimError> {
        let tree: &'a Tree<C> = self.tree;
        let at = match tree.get(path).map(|node| &node.kind) {
            Some(Kind::HardLink(target)) => target,
            _ => path,
        };
        let Some(Kind::File(content)) = tree.get(at).map(|node| &node.kind) else {
            return Ok(None);
        };
        let opened = (self.open)(content);
        opened.map(Some).map_err(|source| TrimError::Read {
            path: path.clone(),
            source,
        })
    }

    fn files_named(&mut self, name: &[u8]) -> Vec<TreePath> {
        let tree = self.tree;
        let by_name = self.by_name.get_or_insert_with(|| {
            let mut by_name: BTreeMap<&[u8], Vec<&TreePath>> = BTreeMap::new();
            for (path, node) in tree.iter() {
                if !matches!(node.kind, Kind::Directory) {
                    by_name.entry(path.name()).or_default().push(path);
                }
            }
            by_name
        });
        let found = by_name.get(name).into_iter().flatten();
        found.map(|path| (*path).clone()).collect()
    }

    pub(super) fn owner(&self, path: &TreePath) -> Option<&'a String> {
        self.request.owners.and_then(|owners| owners.get(path))
    }

    pub(super) fn is_folder(&self, path: &TreePath) -> bool {
        path.is_root() || matches!(self.tree.get(path).map(|n| &n.kind), Some(Kind::Directory))
    }
}

fn is_library(path: &TreePath) -> bool {
    let name = path.name();
    name.ends_with(b".so") || name.windows(4).any(|part| part == b".so.")
}

/// Whether a file that is no program is read for what it names: what the spec places one by one,
/// and configuration.
fn is_read(path: &TreePath, reason: &Reason) -> bool {
    match reason {
        Reason::Licence { .. } => false,
        Reason::Named | Reason::Argument => true,
        _ => path.as_bytes().starts_with(b"etc/"),
    }
}

/// Whether a file is looked into. What came by a glob or in a folder may be thousands of pages
/// and pictures: only what can be run or loaded is opened.
fn is_examined<C>(path: &TreePath, node: &Node<C>, reason: &Reason) -> bool {
    let by_nature = node.metadata.mode & 0o111 != 0 || is_library(path);
    match reason {
        Reason::Licence { .. } => false,
        Reason::Always
        | Reason::Named
        | Reason::Below(_)
        | Reason::Keep(_)
        | Reason::TargetOf(_)
        | Reason::Argument
        | Reason::NamedBy(_)
        | Reason::Environment(_)
        | Reason::Known { .. } => by_nature,
        _ => true,
    }
}
