//! The outline of a file.

use crate::check::Spec;
use crate::source::{FileId, Span};
use crate::syntax::ast::{Entry, ExprKind, Item, Key, Name};

/// A part of a file's outline.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Symbol {
    /// Its name.
    pub name: String,
    /// A word or two about it, such as the kind of a block; may be empty.
    pub detail: String,
    /// What it is.
    pub kind: SymbolKind,
    /// All of it.
    pub span: Span,
    /// Its name's place.
    pub name_span: Span,
    /// What it holds.
    pub children: Vec<Symbol>,
}

/// What a [`Symbol`] is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SymbolKind {
    /// A used file.
    File,
    /// A `let`.
    Let,
    /// A block.
    Block,
    /// A template.
    Template,
    /// A `for` or `if` with what it makes.
    Group,
    /// An attribute, or a name of a record.
    Attribute,
}

/// The outline of `file`, in reading order.
pub fn symbols(spec: &Spec, file: FileId) -> Vec<Symbol> {
    let Some(module) = spec.modules.get(file.0 as usize) else {
        return Vec::new();
    };
    items(spec, &module.ast.items)
}

fn items(spec: &Spec, all: &[Item]) -> Vec<Symbol> {
    all.iter().map(|item| one(spec, item)).collect()
}

fn one(spec: &Spec, item: &Item) -> Symbol {
    let span = item.span();
    let symbol = |name: &str, name_span: Span, detail: String, kind, children| Symbol {
        name: name.to_owned(),
        detail,
        kind,
        span,
        name_span,
        children,
    };
    let named = |name: &Name, detail: String, kind, children| {
        symbol(&name.text, name.span, detail, kind, children)
    };
    // What stands between the first word and the braces.
    let head = |end: u32| {
        let head = Span { end, ..span };
        spec.sources.slice(head).trim_end().to_owned()
    };
    match item {
        Item::Use(item) => {
            let path: Vec<&str> = item.path.iter().map(|name| name.text.as_str()).collect();
            let name = item.alias.as_ref().or(item.path.last());
            match name {
                Some(name) => named(name, path.join("."), SymbolKind::File, Vec::new()),
                None => symbol("use", span, String::new(), SymbolKind::File, Vec::new()),
            }
        }
        Item::Let(item) => {
            let children = match &item.value.kind {
                ExprKind::Record(body) => entries(spec, body),
                _ => Vec::new(),
            };
            named(&item.name, "let".into(), SymbolKind::Let, children)
        }
        Item::Block(block) => {
            let name = spec.sources.slice(block.name.span()).trim_matches('"');
            let children = entries(spec, &block.body);
            let place = block.name.span();
            // Editors refuse symbols without a name.
            let name = if name.is_empty() { "\"\"" } else { name };
            symbol(
                name,
                place,
                block.kind.text.clone(),
                SymbolKind::Block,
                children,
            )
        }
        Item::Template(template) => {
            let detail = format!("template {}", template.kind.text);
            let children = entries(spec, &template.body);
            named(&template.name, detail, SymbolKind::Template, children)
        }
        Item::For(item) => {
            let head = head(item.list.span.end);
            let place = Span {
                end: item.list.span.end,
                ..span
            };
            let children = items(spec, &item.body);
            symbol(&head, place, String::new(), SymbolKind::Group, children)
        }
        Item::If(item) => {
            let head = head(item.condition.span.end);
            let place = Span {
                end: item.condition.span.end,
                ..span
            };
            let mut children = items(spec, &item.then);
            children.extend(items(spec, item.otherwise.as_deref().unwrap_or_default()));
            symbol(&head, place, String::new(), SymbolKind::Group, children)
        }
    }
}

fn entries(spec: &Spec, body: &[Entry]) -> Vec<Symbol> {
    let mut found = Vec::new();
    for entry in body {
        let Entry::Attribute(attribute) = entry else {
            continue;
        };
        let name = match &attribute.key {
            Key::Name(name) => name.text.as_str(),
            Key::Text(text) => spec.sources.slice(text.span),
        };
        let children = match &attribute.value.kind {
            ExprKind::Record(body) => entries(spec, body),
            _ => Vec::new(),
        };
        found.push(Symbol {
            name: name.to_owned(),
            detail: String::new(),
            kind: SymbolKind::Attribute,
            span: attribute.span,
            name_span: attribute.key.span(),
            children,
        });
    }
    found
}
