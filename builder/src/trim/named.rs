//! The part of the walk that follows what bytes name: see [`names`].
//!
//! What a text names is kept where the tree has it, and never demanded: a configuration may name
//! what is made at run time.

use super::known::Adds;
use super::reach::Walk;
use super::resolve::resolve;
use super::{Glob, Reason, TrimError, known, names};
use crate::elf::ReadAt;
use nos_formats::tree::{Kind, TreePath};
use std::io;

/// Largest text that is read, in bytes.
const MAX_TEXT_BYTES: usize = 256 << 10;
/// Largest program whose strings are read, in bytes.
const MAX_PROGRAM_BYTES: usize = 64 << 20;
/// Components that a folder on a command line has at least for its content to stay: `/usr/share`
/// is everybody's.
const OWN_FOLDER: usize = 3;

/// Folders of programs that are run by their name.
const PROGRAMS: [&[u8]; 6] = [
    b"usr/local/sbin",
    b"usr/local/bin",
    b"usr/sbin",
    b"usr/bin",
    b"sbin",
    b"bin",
];
/// Folders of libraries, which the loader finds, and of what nobody opens to work.
const NEVER: [&[u8]; 5] = [
    b"usr/lib/x86_64-linux-gnu",
    b"usr/share/doc",
    b"usr/share/man",
    b"usr/share/info",
    b"usr/share/locale",
];

/// How a kept file is read for what it names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Names {
    /// Configuration, or a script in some language: its absolute paths.
    Paths,
    /// A script for a shell: its words too.
    Words,
    /// A program: its strings.
    Strings,
    /// A static program: what stands in it, also of strings that no zero byte ends.
    Runs,
}

impl<'a, C, R: ReadAt, F: Fn(&'a C) -> io::Result<R>> Walk<'a, C, F> {
    /// Keeps what the services' commands and environments name.
    pub(super) fn add_commands(&mut self) -> Result<(), TrimError> {
        for command in self.request.commands {
            let is_shell = names::is_shell(command);
            for argument in command.iter().skip(1) {
                for path in names::paths(argument.as_bytes()) {
                    for path in self.keep_named(path, &Reason::Argument)? {
                        // What a shell is given as a file is a script, executable or not.
                        let how = match is_shell && path.to_string() == *argument {
                            true => Names::Words,
                            false => Names::Paths,
                        };
                        if self.is_folder(&path) {
                            self.add_below_own(&path, &Reason::Argument);
                        } else {
                            self.texts.push_back((path, how));
                        }
                    }
                }
                if is_shell {
                    self.keep_programs(argument.as_bytes(), &Reason::Argument);
                }
            }
        }
        for (name, value) in self.request.environment {
            let reason = Reason::Environment(name.clone());
            match name.as_str() {
                "PATH" | "LD_LIBRARY_PATH" | "HOME" | "PWD" => {}
                "TZ" => {
                    let zone = format!("/usr/share/zoneinfo/{}", value.trim_start_matches(':'));
                    self.keep_named(zone.as_bytes(), &reason)?;
                }
                _ if name == "LANG" || name.starts_with("LC_") => {
                    self.keep_locale(value, &reason)?
                }
                _ => {
                    for path in names::paths(value.as_bytes()) {
                        self.keep_named(path, &reason)?;
                    }
                }
            }
        }
        Ok(())
    }

    /// Keeps what is in a folder, unless that is everybody's.
    fn add_below_own(&mut self, folder: &TreePath, reason: &Reason) {
        let is_own = folder.components().count() >= OWN_FOLDER;
        if is_own && !NEVER[..1].contains(&folder.as_bytes()) {
            self.add_below(folder, || reason.clone());
        }
    }

    /// `de_DE.UTF-8` is in `/usr/lib/locale/de_DE.utf8`, or in the archive of all.
    fn keep_locale(&mut self, value: &str, reason: &Reason) -> Result<(), TrimError> {
        let (name, codeset) = value.split_once('.').unwrap_or((value, ""));
        let is_name = |text: &str| {
            let mut bytes = text.bytes();
            bytes.all(|b| b.is_ascii_alphanumeric() || b"_-@".contains(&b))
        };
        if name.is_empty() || !is_name(name) || !is_name(codeset) {
            return Ok(());
        }
        let codeset = codeset.replace('-', "").to_lowercase();
        let dot = if codeset.is_empty() { "" } else { "." };
        for pattern in [
            format!("/usr/lib/locale/{name}{dot}{codeset}/**"),
            "/usr/lib/locale/locale-archive".to_string(),
        ] {
            self.add_glob(&Glob::new(&pattern)?, || reason.clone());
        }
        Ok(())
    }

    /// Keeps what is known to be opened, and reads what has come to be kept, until nothing new comes
    /// of it.
    pub(super) fn add_named(&mut self) -> Result<(), TrimError> {
        loop {
            self.drain()?;
            if let Some((adds, reason)) = self.known.pop_front() {
                let (globs, but) = match adds {
                    Adds::Paths(globs) => (globs, &[][..]),
                    Adds::PathsBut(globs, but) => (globs, but),
                    Adds::Library(_) => continue,
                };
                let but = but.iter().map(|glob| Glob::new(glob));
                let but = but.collect::<Result<Vec<_>, _>>()?;
                for glob in globs {
                    self.add_glob_but(&Glob::new(glob)?, &but, || reason.clone());
                }
                continue;
            }
            let Some((path, how)) = self.texts.pop_front() else {
                return Ok(());
            };
            let limit = match how {
                Names::Strings | Names::Runs => MAX_PROGRAM_BYTES,
                _ => MAX_TEXT_BYTES,
            };
            let Some(bytes) = self.whole(&path, limit)? else {
                continue;
            };
            let reason = Reason::NamedBy(path.clone());
            if how == Names::Runs && names::has(&bytes, known::ZONES_FOLDER) {
                let reason = Reason::Known {
                    by: path.clone(),
                    why: known::ZONES_WHY,
                };
                self.known
                    .push_back((Adds::Paths(known::ZONE_GLOBS), reason));
            }
            let files = match how {
                Names::Runs => self.files(),
                _ => Vec::new(),
            };
            let found = match how {
                Names::Strings => names::strings(&bytes),
                Names::Runs => names::runs(&bytes, &files),
                // No text.
                _ if bytes.contains(&0) => continue,
                _ => names::paths(&bytes),
            };
            let by_spec = |reason: &Reason| matches!(reason, Reason::Named | Reason::Below(_));
            let is_spec_s = self.reach.reasons(&path).any(by_spec);
            for name in found {
                if !is_spec_s && how != Names::Words && !self.is_own(&path, name) {
                    continue;
                }
                for named in self.keep_named(name, &reason)? {
                    // Such as the pages that a server is told to serve.
                    let is_never = NEVER.contains(&named.as_bytes());
                    if is_spec_s && how == Names::Paths && !is_never && self.is_folder(&named) {
                        self.add_below_own(&named, &reason);
                    }
                }
            }
            if how == Names::Words {
                self.keep_programs(&bytes, &reason);
            }
        }
    }

    /// Whether what a package's file names is its own: it may know a hundred programs that it could
    /// start, or that are told of in its examples.
    fn is_own(&self, of: &TreePath, name: &[u8]) -> bool {
        // Patterns are for files beside it.
        let Ok(path) = resolve(self.tree, &TreePath::ROOT, name).map(|found| found.path) else {
            return !name.starts_with(b"/*") && !name.starts_with(b"/usr/");
        };
        let is_below = |folders: &[&[u8]]| {
            let mut above = path.parent();
            std::iter::from_fn(move || {
                let here = above.take()?;
                above = here.parent();
                Some(here)
            })
            .any(|folder| folders.contains(&folder.as_bytes()))
        };
        match is_below(&PROGRAMS) {
            true => self.owner(&path).is_some() && self.owner(&path) == self.owner(of),
            false => !is_below(&NEVER[1..]),
        }
    }

    /// Keeps the programs among the words of a script.
    fn keep_programs(&mut self, text: &[u8], reason: &Reason) {
        for word in names::words(text) {
            let places = PROGRAMS
                .iter()
                .map(|folder| [b"/", *folder, b"/", word].concat());
            for place in places {
                if let Ok(found) = resolve(self.tree, &TreePath::ROOT, &place)
                    && !self.is_folder(&found.path)
                {
                    self.keep_resolved(&found.path, &found.links, reason.clone(), None);
                    break;
                }
            }
        }
    }

    /// Keeps what is at a path, or what a pattern matches; a folder without what is in it. Gives
    /// what is new.
    fn keep_named(&mut self, path: &[u8], reason: &Reason) -> Result<Vec<TreePath>, TrimError> {
        if !path.contains(&b'*') && !path.contains(&b'?') {
            let Ok(found) = resolve(self.tree, &TreePath::ROOT, path) else {
                return Ok(Vec::new());
            };
            self.keep_resolved(&found.path, &found.links, reason.clone(), None);
            return Ok(vec![found.path]);
        }
        let glob = std::str::from_utf8(path).ok().map(Glob::new);
        let Some(Ok(glob)) = glob else {
            return Ok(Vec::new());
        };
        let tree = self.tree;
        let matching = tree
            .iter()
            .filter(|(path, node)| !matches!(node.kind, Kind::Directory) && glob.matches(path));
        let matching: Vec<TreePath> = matching.map(|(path, _)| path.clone()).collect();
        for path in &matching {
            self.keep(path, reason.clone());
        }
        Ok(matching)
    }

    /// Absolute paths of all files, sorted; without what lies at the top, as the links of a merged
    /// `/usr` do.
    fn files(&self) -> Vec<Vec<u8>> {
        let files = self.tree.iter().filter(|(path, node)| {
            !matches!(node.kind, Kind::Directory) && path.components().count() > 1
        });
        let mut files: Vec<_> = files
            .map(|(path, _)| [b"/", path.as_bytes()].concat())
            .collect();
        files.sort_unstable();
        files
    }

    /// All bytes of a file, where it has no more than `limit`.
    fn whole(&self, path: &TreePath, limit: usize) -> Result<Option<Vec<u8>>, TrimError> {
        const STEP: usize = 64 << 10;
        let Some(content) = self.content(path)? else {
            return Ok(None);
        };
        let mut bytes = Vec::new();
        loop {
            let old = bytes.len();
            bytes.resize(old + STEP, 0);
            let got = content.read_at(old as u64, bytes.get_mut(old..).unwrap_or_default());
            let got = got.map_err(|source| TrimError::Read {
                path: path.clone(),
                source,
            })?;
            bytes.truncate(old + got);
            if bytes.len() > limit {
                return Ok(None);
            }
            if got == 0 {
                return Ok(Some(bytes));
            }
        }
    }
}
