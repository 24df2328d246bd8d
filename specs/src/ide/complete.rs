//! What can be written at a place.

use super::context::{Context, Expected, Place, context};
use super::hover::{attribute_text, node_text, template_head};
use super::names::{Names, Node};
use crate::check::Spec;
use crate::eval::PARAMETER_TYPES;
use crate::library;
use crate::schema::{self, Attribute, Call, Type};
use crate::source::{FileId, Span};
use std::collections::BTreeSet;

/// Most completions that are offered at once.
const MOST: usize = 2000;

/// Something that can be written at a place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Completion {
    /// What a list shows and what is written is compared with.
    pub label: String,
    /// What it is.
    pub kind: CompletionKind,
    /// A few words about it; may be empty.
    pub detail: String,
    /// Markdown; may be empty.
    pub doc: String,
    /// What to replace.
    pub span: Span,
    /// What to put there.
    pub text: String,
    /// Offers with a lower rank are more probable.
    pub rank: u8,
}

/// What a [`Completion`] is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CompletionKind {
    /// A word of the language.
    Keyword,
    /// A kind of block.
    BlockKind,
    /// An attribute or an argument.
    Attribute,
    /// A call of the schema, or `range`.
    Call,
    /// A choice such as `dhcp`.
    Word,
    /// A name that the spec defines.
    Name,
    /// A template.
    Template,
    /// A used file, or one that can be used.
    File,
    /// A folder.
    Folder,
    /// A Debian package.
    Package,
}

/// What completion wants to know of the world outside of the spec.
pub trait Outside {
    /// Debian packages that are known, with a few words about each.
    fn packages(&self) -> Vec<(String, String)>;

    /// Debian source packages that are known, with a few words about each.
    fn source_packages(&self) -> Vec<(String, String)>;

    /// Files and folders in `folder`, which is relative to the spec's folder and empty or ends
    /// in `/`; folders are marked by `true`.
    fn entries(&self, folder: &str) -> Vec<(String, bool)>;
}

/// What can be written at `offset` of `file`. What is there of it already is not compared with
/// anything: that is the editor's part.
pub fn completions(
    spec: &Spec,
    file: FileId,
    offset: u32,
    outside: &dyn Outside,
) -> Vec<Completion> {
    let source = spec.sources.get(file);
    let context = context(&source.text, offset as usize);
    let names = Names::new(spec);
    let mut list = List {
        spec,
        names: &names,
        module: file.0 as usize,
        span: Span {
            file,
            ..context.written
        },
        outside,
        found: Vec::new(),
    };
    list.fill(&context);
    let mut found = list.found;
    found.sort_by(|a, b| (a.rank, &a.label).cmp(&(b.rank, &b.label)));
    found.dedup_by(|a, b| a.label == b.label && a.kind == b.kind);
    found.truncate(MOST);
    found
}

struct List<'a, 'l> {
    spec: &'a Spec,
    names: &'l Names<'a>,
    module: usize,
    span: Span,
    outside: &'l dyn Outside,
    found: Vec<Completion>,
}

impl<'a> List<'a, '_> {
    fn put(&mut self, kind: CompletionKind, label: &str, rank: u8) -> &mut Completion {
        self.found.push(Completion {
            label: label.to_owned(),
            kind,
            detail: String::new(),
            doc: String::new(),
            span: self.span,
            text: label.to_owned(),
            rank,
        });
        let last = self.found.len() - 1;
        &mut self.found[last]
    }

    fn words(&mut self, words: &[&str]) {
        for word in words {
            self.put(CompletionKind::Keyword, word, 5).text = format!("{word} ");
        }
    }

    fn fill(&mut self, context: &Context<'_>) {
        match &context.place {
            Place::Nothing => {}
            Place::Item => {
                self.kinds();
                self.words(&["use", "let", "template", "for", "if"]);
            }
            Place::Kind => self.kinds(),
            Place::Like => self.words(&["like"]),
            Place::Base(kind) => self.bases(kind),
            Place::Attribute(path, attributes) => {
                for attribute in attributes {
                    if !context.present.contains(&attribute.name) {
                        self.attribute(path, attribute, context.assigned);
                    }
                }
                self.words(&["for", "if"]);
            }
            Place::Value(expected) => self.values(context, *expected),
            Place::Argument(call, expected) => {
                self.arguments(call, context);
                // Only what must be given can be given without its name.
                if expected.is_some() {
                    self.values(context, *expected);
                }
            }
            Place::TemplateArgument(path) => {
                self.template_arguments(path, context);
                self.values(context, None);
            }
            Place::Member(path) => self.members(path),
            Place::Use(path) => self.files(path),
            Place::ParameterType => {
                for name in PARAMETER_TYPES {
                    self.put(CompletionKind::Keyword, name, 1);
                }
            }
            Place::Text(expected) => self.texts(*expected),
        }
    }

    fn kinds(&mut self) {
        for block in schema::BLOCKS {
            let item = self.put(CompletionKind::BlockKind, block.name, 1);
            item.detail = "block".into();
            item.doc = format!("{}\n\n```nos\n{}\n```", block.doc, block.example);
            item.text = format!("{} ", block.name);
        }
    }

    fn attribute(&mut self, path: &[&str], attribute: &'static Attribute, assigned: bool) {
        let mut path = path.to_vec();
        path.push(attribute.name);
        let rank = if attribute.required { 0 } else { 1 };
        let item = self.put(CompletionKind::Attribute, attribute.name, rank);
        item.detail = attribute.ty.describe();
        item.doc = attribute_text(&path.join("."), attribute);
        if !assigned {
            item.text = format!("{} = ", attribute.name);
        }
    }

    fn arguments(&mut self, call: &'static Call, context: &Context<'_>) {
        for argument in call.arguments {
            if context.present.contains(&argument.name) {
                continue;
            }
            let item = self.put(CompletionKind::Attribute, argument.name, 0);
            item.detail = argument.ty.describe();
            item.doc = argument.doc.to_owned();
            if !context.assigned {
                item.text = format!("{} = ", argument.name);
            }
        }
    }

    fn template_arguments(&mut self, path: &[&str], context: &Context<'_>) {
        let Some(Node::Template(template)) = self.definition(path) else {
            return;
        };
        for parameter in &template.parameters {
            let name = parameter.name.text.as_str();
            if context.present.contains(&name) {
                continue;
            }
            let item = self.put(CompletionKind::Attribute, name, 0);
            item.detail = parameter.kind.text.clone();
            if !context.assigned {
                item.text = format!("{name} = ");
            }
        }
    }

    /// The definition that a path of words names as a whole.
    fn definition(&self, path: &[&str]) -> Option<Node<'a>> {
        let (first, rest) = path.split_first()?;
        let mut named = self.names.get(self.module, first)?;
        let mut rest = rest.iter();
        if let (Some(module), Some(name)) = (named.module, rest.clone().next()) {
            rest.next();
            named = self.names.get(module, name)?;
        }
        let mut node = self.names.node(named.span)?;
        for name in rest {
            node = Node::Field(self.names.member(node, name)?);
        }
        Some(node)
    }

    /// Names of this file, and behind the names of used files those of theirs.
    fn each_name(&self, mut found: impl FnMut(&str, Node<'a>)) {
        for (name, named) in self.names.of(self.module) {
            if let Some(node) = self.names.node(named.span) {
                found(name, node);
            }
            let Some(module) = named.module else { continue };
            for (inner, named) in self.names.of(module) {
                if named.module.is_none()
                    && let Some(node) = self.names.node(named.span)
                {
                    found(&format!("{name}.{inner}"), node);
                }
            }
        }
    }

    fn bases(&mut self, kind: &str) {
        let mut found = Vec::new();
        self.each_name(|name, node| match node {
            Node::Block(block) if block.kind.text == kind => found.push((name.to_owned(), node)),
            Node::Template(template) if template.kind.text == kind => {
                found.push((name.to_owned(), node));
            }
            _ => {}
        });
        for (name, node) in found {
            self.named(&name, node, 1);
        }
    }

    fn named(&mut self, name: &str, node: Node<'a>, rank: u8) {
        let (spec, names) = (self.spec, self.names);
        let (kind, detail) = match node {
            Node::Use(_) => (CompletionKind::File, "file".to_owned()),
            Node::Template(template) => (CompletionKind::Template, template_head(spec, template)),
            Node::Block(block) => (CompletionKind::Name, block.kind.text.clone()),
            Node::Let(_) => (CompletionKind::Name, "let".to_owned()),
            _ => (CompletionKind::Name, String::new()),
        };
        // Values are worked out when they are asked for, not for a whole list.
        let doc = match node {
            Node::Let(_) => String::new(),
            node => node_text(spec, names, node),
        };
        let item = self.put(kind, name, rank);
        item.detail = detail;
        item.doc = doc;
        match node {
            Node::Use(_) => item.text = format!("{name}."),
            Node::Template(_) => item.text = format!("{name}("),
            _ => {}
        }
    }

    fn call(&mut self, call: &'static Call, rank: u8) {
        let item = self.put(CompletionKind::Call, call.name, rank);
        item.detail = schema::signature(call);
        item.doc = call.doc.to_owned();
        item.text = format!("{}(", call.name);
    }

    fn values(&mut self, context: &Context<'_>, expected: Expected) {
        for local in &context.locals {
            self.put(CompletionKind::Name, local, 0).detail = "here".into();
        }
        let (words, calls): (&'static [schema::Word], &'static [&'static Call]) = match expected {
            Some(Type::Words(words)) => (words, &[]),
            Some(Type::Calls(calls)) => (&[], calls),
            Some(Type::WordsOrCalls(words, calls)) => (words, calls),
            _ => (&[], &[]),
        };
        for word in words {
            self.put(CompletionKind::Word, word.name, 0).doc = word.doc.to_owned();
        }
        for call in calls {
            self.call(call, 0);
        }
        if matches!(expected, Some(Type::Bool) | None) {
            self.put(CompletionKind::Keyword, "true", 2);
            self.put(CompletionKind::Keyword, "false", 2);
        }
        let wanted = match expected {
            Some(Type::Block(kind)) => Some(*kind),
            _ => None,
        };
        let mut found = Vec::new();
        self.each_name(|name, node| {
            let rank = match (node, wanted) {
                (Node::Block(block), Some(kind)) if block.kind.text == kind => 0,
                (Node::Block(_), Some(_)) | (Node::Template(_), _) => return,
                (Node::Block(_), None) if expected.is_some() => return,
                (Node::Use(_), _) => 3,
                _ => 2,
            };
            found.push((name.to_owned(), node, rank));
        });
        for (name, node, rank) in found {
            self.named(&name, node, rank);
        }
        if expected.is_none() {
            for call in schema::CALLS {
                self.call(call, 4);
            }
            for word in schema::words() {
                self.put(CompletionKind::Word, word, 4);
            }
        }
        if matches!(expected, None | Some(Type::List { .. })) {
            let range = self.put(CompletionKind::Call, "range", 4);
            range.detail = "range(first, last)".into();
            range.text = "range(".into();
        }
        self.words(&["if", "not"]);
    }

    fn members(&mut self, path: &[&str]) {
        if let [name] = path
            && let Some(module) = self.names.get(self.module, name).and_then(|n| n.module)
        {
            let names: Vec<_> = self
                .names
                .of(module)
                .filter(|(_, named)| named.module.is_none())
                .filter_map(|(name, named)| Some((name.to_owned(), self.names.node(named.span)?)))
                .collect();
            for (name, node) in names {
                self.named(&name, node, 0);
            }
            return;
        }
        let Some(node) = self.definition(path) else {
            return;
        };
        let mut found = Vec::new();
        self.names.members(node, &mut |name, attribute| {
            if crate::syntax::lexer::is_name(name) {
                found.push((name.to_owned(), attribute));
            }
        });
        for (name, attribute) in found {
            self.named(&name, Node::Field(attribute), 0);
        }
    }

    fn files(&mut self, path: &[&str]) {
        match path {
            ["std"] => {
                for part in library::names() {
                    self.put(CompletionKind::File, part, 0);
                }
                return;
            }
            [] => {
                let std = self.put(CompletionKind::File, "std", 0);
                std.text = "std.".into();
                std.detail = "the standard library".into();
            }
            _ => {}
        }
        let own = self.spec.modules.get(self.module);
        let folder = own.map_or("", |module| &module.folder);
        let mut folder = folder.to_owned();
        for part in path {
            folder.push_str(part);
            folder.push('/');
        }
        let source = &self.spec.sources.get(FileId(self.span.file.0)).name;
        let own_name = source.rsplit('/').next().unwrap_or("").to_owned();
        for (name, is_folder) in self.outside.entries(&folder) {
            if is_folder && crate::syntax::lexer::is_name(&name) {
                self.put(CompletionKind::Folder, &name, 2).text = format!("{name}.");
            } else if let Some(stem) = name.strip_suffix(".nos")
                && crate::syntax::lexer::is_name(stem)
                && !(path.is_empty() && name == own_name)
            {
                self.put(CompletionKind::File, stem, 1);
            }
        }
    }

    fn texts(&mut self, expected: Expected) {
        let Some(Type::Text(rule)) = expected else {
            return;
        };
        if rule.name == schema::PACKAGE.name {
            for (name, detail) in self.outside.packages() {
                self.put(CompletionKind::Package, &name, 0).detail = detail;
            }
        } else if rule.name == schema::SOURCE_PACKAGE.name {
            for (name, detail) in self.outside.source_packages() {
                self.put(CompletionKind::Package, &name, 0).detail = detail;
            }
        } else if rule.name == schema::CAPABILITY.name {
            for name in schema::CAPABILITIES {
                self.put(CompletionKind::Word, name, 0);
            }
        } else if rule.name == schema::SOURCE.name {
            self.paths();
        }
    }

    /// Files and folders behind the `/` that is written last.
    fn paths(&mut self) {
        let written = self.spec.sources.slice(self.span);
        let own = self.spec.modules.get(self.module);
        let folder = own.map_or("", |module| &module.folder);
        let (inner, last) = match written.rfind('/') {
            Some(slash) => written.split_at(slash + 1),
            None => ("", written),
        };
        if inner.starts_with('/') || inner.split('/').any(|part| part == "..") {
            return;
        }
        self.span.start = self.span.end - u32::try_from(last.len()).unwrap_or(0);
        let entries: BTreeSet<_> = self
            .outside
            .entries(&format!("{folder}{inner}"))
            .into_iter()
            .collect();
        for (name, is_folder) in entries {
            if name.starts_with('.') {
                continue;
            }
            if is_folder {
                self.put(CompletionKind::Folder, &name, 1).text = format!("{name}/");
            } else if !name.ends_with(".nos") && name != "nos.lock" {
                self.put(CompletionKind::File, &name, 0);
            }
        }
    }
}
