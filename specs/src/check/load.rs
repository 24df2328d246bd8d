//! Reading a spec and what it uses.

use crate::codes;
use crate::diagnostic::Diagnostic;
use crate::eval::Module;
use crate::library;
use crate::source::{FileId, Sources, Span};
use crate::suggest::nearest;
use crate::syntax::ast::{Item, Name, Use};
use crate::syntax::parse_file;
use std::collections::{BTreeMap, VecDeque};

/// Most files that one spec may be made of.
pub const MAX_FILES: usize = 1000;

/// Gives the texts of files beside the spec.
pub trait Loader {
    /// The text of the file at `path`, which is relative to the spec's folder, has no `..`, and
    /// ends in `.nos`.
    ///
    /// # Errors
    /// A few words that say why it cannot be read, such as "no such file".
    fn load(&self, path: &str) -> Result<String, String>;
}

/// A loader for specs that use no other files.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoFiles;

impl Loader for NoFiles {
    fn load(&self, _: &str) -> Result<String, String> {
        Err("no such file".into())
    }
}

impl Loader for BTreeMap<String, String> {
    fn load(&self, path: &str) -> Result<String, String> {
        self.get(path).cloned().ok_or_else(|| "no such file".into())
    }
}

/// A spec with all it uses: read and parsed, not yet checked.
pub struct Spec {
    /// The files, numbered like their texts; the spec itself comes first.
    pub(crate) modules: Vec<Module>,
    pub(crate) sources: Sources,
    /// What parsing and reading found.
    pub(crate) diagnostics: Vec<Diagnostic>,
}

/// What a `use` reads: a key that is the same for the same text, and how to get it.
enum Target {
    Standard(String),
    File(String),
}

pub(super) fn load(name: &str, text: &str, loader: &dyn Loader) -> Spec {
    let shown_folder = name.rfind('/').map_or("", |slash| &name[..=slash]);
    let mut loaded = Spec {
        modules: Vec::new(),
        sources: Sources::new(),
        diagnostics: Vec::new(),
    };
    let mut known: BTreeMap<String, usize> = BTreeMap::new();
    let mut waiting = VecDeque::new();
    let first = loaded.sources.add(name, text);
    loaded.add(first, String::new(), false);
    waiting.push_back(0);
    while let Some(index) = waiting.pop_front() {
        let uses: Vec<Use> = loaded.modules[index]
            .ast
            .items
            .iter()
            .filter_map(|item| {
                if let Item::Use(item) = item {
                    Some(item.clone())
                } else {
                    None
                }
            })
            .collect();
        let folder = loaded.modules[index].folder.clone();
        let mut resolved = Vec::with_capacity(uses.len());
        for item in &uses {
            let target = target(item, &folder);
            let key = match &target {
                Target::Standard(part) => format!("std/{part}"),
                Target::File(path) => format!("file/{path}"),
            };
            let found = match known.get(&key) {
                Some(found) => Some(*found),
                None => match loaded.read(item, &target, shown_folder, loader) {
                    Some(new) => {
                        known.insert(key, new);
                        waiting.push_back(new);
                        Some(new)
                    }
                    None => None,
                },
            };
            resolved.push(found);
        }
        loaded.modules[index].uses = resolved;
    }
    loaded
}

fn target(item: &Use, folder: &str) -> Target {
    match used_path(item) {
        Some(path) => Target::File(format!("{folder}{path}")),
        None => Target::Standard(joined(&item.path[1..])),
    }
}

/// The path of what a `use` reads, from the folder of the file that says so; `None` for a part of
/// the standard library.
pub(crate) fn used_path(item: &Use) -> Option<String> {
    let standard = item.path.first().is_some_and(|name| name.text == "std");
    (!standard).then(|| format!("{}.nos", joined(&item.path)))
}

fn joined(path: &[Name]) -> String {
    let parts: Vec<&str> = path.iter().map(|name| name.text.as_str()).collect();
    parts.join("/")
}

impl Spec {
    fn add(&mut self, file: FileId, folder: String, standard: bool) -> usize {
        let (ast, diagnostics) = parse_file(file, &self.sources.get(file).text);
        self.diagnostics.extend(diagnostics);
        self.modules.push(Module {
            folder,
            standard,
            ast,
            uses: Vec::new(),
        });
        self.modules.len() - 1
    }

    fn read(
        &mut self,
        item: &Use,
        target: &Target,
        shown_folder: &str,
        loader: &dyn Loader,
    ) -> Option<usize> {
        if self.modules.len() >= MAX_FILES {
            self.wrong(
                item,
                format!("this spec is made of more than {MAX_FILES} files"),
                "put some of them together".into(),
            );
            return None;
        }
        match target {
            Target::Standard(part) => match library::text(part) {
                Some(text) => {
                    let file = self.sources.add(format!("std/{part}.nos"), text);
                    Some(self.add(file, String::new(), true))
                }
                None => {
                    let names: Vec<&str> = library::names().collect();
                    let help = match nearest(part, names.iter().copied()) {
                        Some(near) => format!("did you mean `std.{near}`?"),
                        None => format!("its parts are std.{}", names.join(", std.")),
                    };
                    let what = format!("the standard library has no part `{part}`");
                    self.wrong(item, what, help);
                    None
                }
            },
            Target::File(path) => match loader.load(path) {
                Ok(text) => {
                    let file = self.sources.add(format!("{shown_folder}{path}"), text);
                    let folder = path.rfind('/').map_or("", |slash| &path[..=slash]);
                    Some(self.add(file, folder.to_owned(), false))
                }
                Err(reason) => {
                    let what = format!("the file {shown_folder}{path} cannot be read: {reason}");
                    let near_library = library::text(&item.path[0].text).is_some();
                    let help = if near_library {
                        format!(
                            "for the standard library's write `use std.{}`",
                            item.path[0].text
                        )
                    } else {
                        "write that file, or correct the name; `use a.b` reads a/b.nos".into()
                    };
                    self.wrong(item, what, help);
                    None
                }
            },
        }
    }

    fn wrong(&mut self, item: &Use, message: String, help: String) {
        let span = match (item.path.first(), item.path.last()) {
            (Some(first), Some(last)) => first.span.to(last.span),
            _ => Span::default(),
        };
        self.diagnostics
            .push(Diagnostic::new(codes::UNKNOWN_FILE, span, message, help));
    }
}
