//! Text → [`System`]s and messages.
//!
//! In order: read the file and what it uses, parse, collect names, evaluate, hold each block
//! against the schema, translate it, and look at each host as a whole. A mistake found in one step
//! leaves a gap that later steps pass over in silence, so that nobody reads two messages about one
//! mistake.

mod build;
mod channels;
mod conform;
mod content;
mod gaps;
mod host;
mod load;
mod service;

use crate::codes;
use crate::diagnostic::{Diagnostic, tidy};
use crate::eval::Evaluator;
use crate::eval::value::{BlockId, Fields, Value};
use crate::schema;
use crate::source::{FileId, Sources, Span};
use crate::system::System;
use build::BuildParts;
use service::ServiceParts;
use std::collections::BTreeMap;
use std::rc::Rc;

pub(crate) use load::used_path;
pub use load::{Loader, MAX_FILES, NoFiles, Spec};

/// What a check found.
#[derive(Debug, Clone, Default)]
pub struct Checked {
    /// One for each host block of the first file, in the order of writing; none where there is
    /// any error.
    pub systems: Vec<System>,
    /// Messages in the order of their places.
    pub diagnostics: Vec<Diagnostic>,
    /// The texts that the messages' places are in.
    pub sources: Sources,
    /// Names of things outside of the spec, for whoever can look whether they exist.
    pub mentions: Vec<Mention>,
}

impl Checked {
    /// Whether any message is an error.
    pub fn has_errors(&self) -> bool {
        self.diagnostics.iter().any(Diagnostic::is_error)
    }
}

/// A name of something outside of the spec.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mention {
    /// What is named.
    pub kind: MentionKind,
    /// Its name: a package's, a path relative to the spec's folder, or a path in an image.
    pub name: String,
    /// Where it is named.
    pub span: Span,
    /// The image in which a program is looked for; empty for anything else.
    pub image: String,
}

/// What a [`Mention`] names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MentionKind {
    /// A Debian package.
    Package,
    /// A Debian source package.
    SourcePackage,
    /// A file beside the spec.
    File,
    /// A folder beside the spec.
    Folder,
    /// A program, in the image of [`Mention::image`].
    Program,
    /// A container image beside the spec: a file or a folder.
    Image,
    /// An option of the kernel's configuration.
    KernelOption,
}

/// Checks the spec `text`, which messages call `name`. Other files that it uses come from
/// `loader`; nothing else is read.
pub fn check(name: &str, text: &str, loader: &dyn Loader) -> Checked {
    let spec = Spec::load(name, text, loader);
    let checked = spec.check();
    Checked {
        sources: spec.sources,
        ..checked
    }
}

impl Spec {
    /// Reads the spec `text`, which messages call `name`, and the files that it uses, which come
    /// from `loader`. Never fails: what is wrong is told by [`Spec::check`].
    pub fn load(name: &str, text: &str, loader: &dyn Loader) -> Self {
        load::load(name, text, loader)
    }

    /// The texts, the spec's own first.
    pub fn sources(&self) -> &Sources {
        &self.sources
    }

    /// Whether `file` is a part of the standard library, whose text is inside nos.
    pub fn is_standard(&self, file: FileId) -> bool {
        self.modules
            .get(file.0 as usize)
            .is_some_and(|module| module.standard)
    }

    /// Checks it. [`Checked::sources`] stays empty: the texts are [`Spec::sources`].
    pub fn check(&self) -> Checked {
        let mut checker = Checker {
            sources: &self.sources,
            evaluator: Evaluator::new(&self.modules),
            services: BTreeMap::new(),
            builds: BTreeMap::new(),
            mentions: Vec::new(),
        };
        let mut systems = checker.run();
        let Checker {
            evaluator,
            mentions,
            ..
        } = checker;
        let mut diagnostics = self.diagnostics.clone();
        diagnostics.extend(evaluator.diagnostics);
        tidy(&mut diagnostics);
        gaps::not_specs(&mut diagnostics, &self.modules, &self.sources);
        gaps::without_consequences(&mut diagnostics, &self.modules, &self.sources);
        if diagnostics.iter().any(Diagnostic::is_error) {
            systems.clear();
        }
        Checked {
            systems,
            diagnostics,
            sources: Sources::new(),
            mentions,
        }
    }
}

/// The state of one check.
struct Checker<'a> {
    sources: &'a Sources,
    evaluator: Evaluator<'a>,
    /// Services that have been translated; `None` where they are wrong.
    services: BTreeMap<BlockId, Option<Rc<ServiceParts>>>,
    /// Builds that have been translated; `None` where they are wrong or being looked at.
    builds: BTreeMap<BlockId, Option<Rc<BuildParts>>>,
    mentions: Vec<Mention>,
}

impl Checker<'_> {
    fn run(&mut self) -> Vec<System> {
        self.evaluator.evaluate_all(0);
        let ids: Vec<BlockId> = (0..self.evaluator.blocks.len()).map(BlockId).collect();
        let mut systems = Vec::new();
        let mut hosts = 0;
        for id in ids {
            let block = self.evaluator.block(id);
            let (Some(kind), 0) = (block.kind, block.env.module) else {
                continue;
            };
            match kind.name {
                "host" => {
                    hosts += 1;
                    self.evaluator
                        .used
                        .insert(self.evaluator.block(id).name_span);
                    systems.extend(self.host(id));
                }
                "service" => {
                    self.service(id);
                }
                "build" => {
                    self.build(id);
                }
                "image" => {
                    let fields = self.fields(id);
                    self.in_block(id, |checker| checker.content(&fields));
                }
                _ => {
                    self.fields(id);
                }
            }
        }
        self.unused(hosts);
        systems
    }

    fn report(&mut self, diagnostic: Diagnostic) {
        self.evaluator.report(diagnostic);
    }

    /// Does something with the block's name at the end of the chain that messages show.
    fn in_block<T>(&mut self, id: BlockId, action: impl FnOnce(&mut Self) -> T) -> T {
        let block = self.evaluator.block(id);
        let kind = block.kind.map_or("block", |kind| kind.name);
        let link = format!("{kind} {}", block.name);
        self.evaluator.context.push(link);
        let result = action(self);
        self.evaluator.context.pop();
        result
    }

    /// The attributes of a block that fit the schema; others have been reported and are absent.
    fn fields(&mut self, id: BlockId) -> Fields {
        let block = self.evaluator.block(id);
        let Some(kind) = block.kind else {
            return Fields::default();
        };
        let (name, span) = (Rc::clone(&block.name), block.name_span);
        let fields = self.evaluator.fields(id);
        self.in_block(id, |checker| {
            let attributes: Vec<&'static schema::Attribute> = kind.attributes().collect();
            let owner = format!("{} `{name}`", kind.name);
            checker.conform_fields(&fields, &attributes, &owner, kind.name, span)
        })
    }

    /// Warnings about what the first file defines and nothing uses.
    fn unused(&mut self, hosts: usize) {
        let span = Span::default();
        let nothing_else = self.evaluator.scope(0).definitions().next().is_none();
        if hosts == 0 {
            if !self
                .evaluator
                .blocks
                .iter()
                .any(|block| block.kind.is_none())
            {
                let help = if nothing_else {
                    "write one: `host web { services = [] }`"
                } else {
                    "add one: `host web { services = [] }`"
                };
                self.report(Diagnostic::new(
                    codes::NO_HOST,
                    span,
                    "this spec has no host",
                    help,
                ));
            }
            return;
        }
        let mut found = Vec::new();
        for (name, span, definition) in self.evaluator.scope(0).definitions() {
            if self.evaluator.used.contains(&span) {
                continue;
            }
            found.push(match self.evaluator.kind_of(definition) {
                Some("host") | None => continue,
                Some("service") => Diagnostic::new(
                    codes::NOT_RUN,
                    span,
                    format!("no host runs the service `{name}`"),
                    format!("add it to a host: `services = [{name}]`, or take it out"),
                ),
                Some(kind) => Diagnostic::new(
                    codes::UNUSED,
                    span,
                    format!("nothing uses the {kind} `{name}`"),
                    "use it or take it out",
                ),
            });
        }
        for diagnostic in found {
            self.report(diagnostic);
        }
    }
}

/// A number that the schema holds to be in range.
fn unsigned(value: Option<&Value>) -> Option<u64> {
    value
        .and_then(Value::as_number)
        .and_then(|number| u64::try_from(number).ok())
}
