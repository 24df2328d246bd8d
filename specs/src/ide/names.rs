//! What is defined where: the names of each file with the parts of the tree that define them.

use crate::check::Spec;
use crate::eval::{Definition, Evaluator};
use crate::source::Span;
use crate::syntax::ast::{self, Entry, Expr, ExprKind, For, Item, Key, Name};
use std::collections::BTreeMap;

/// How many names may stand for each other until a part of a record is found.
const MAX_STEPS: usize = 32;

/// The part of the tree that defines something.
#[derive(Debug, Clone, Copy)]
pub(super) enum Node<'a> {
    Use(&'a ast::Use),
    Let(&'a ast::Let),
    Block(&'a ast::Block),
    Template(&'a ast::Template),
    Parameter(&'a ast::Parameter),
    /// A loop variable, and what the loop goes through.
    Variable(&'a Name, &'a Expr),
    /// An attribute of a block, or a name of a record.
    Field(&'a ast::Attribute),
}

impl<'a> Node<'a> {
    /// Where the name stands that it defines.
    pub(super) fn name_span(self) -> Span {
        match self {
            Node::Use(item) => match item.alias.as_ref().or(item.path.last()) {
                Some(name) => name.span,
                None => item.span,
            },
            Node::Let(item) => item.name.span,
            Node::Block(block) => block.name.span(),
            Node::Template(template) => template.name.span,
            Node::Parameter(parameter) => parameter.name.span,
            Node::Variable(name, _) => name.span,
            Node::Field(attribute) => attribute.key.span(),
        }
    }
}

/// What a name of a file means.
#[derive(Debug, Clone, Copy)]
pub(super) struct Named {
    /// Where the name is defined: this place is what identifies the definition.
    pub(super) span: Span,
    /// The file that it stands for, if any.
    pub(super) module: Option<usize>,
}

/// The names of all files of a spec.
pub(super) struct Names<'a> {
    files: Vec<BTreeMap<String, Named>>,
    nodes: BTreeMap<Span, Node<'a>>,
}

impl<'a> Names<'a> {
    /// Collects the names, also those that a `for` puts together.
    pub(super) fn new(spec: &'a Spec) -> Self {
        let evaluator = Evaluator::new(&spec.modules);
        let mut files = Vec::with_capacity(spec.modules.len());
        let mut nodes = BTreeMap::new();
        for (index, module) in spec.modules.iter().enumerate() {
            let names = evaluator.scope(index).definitions();
            let names = names.map(|(name, span, definition)| {
                let module = match definition {
                    Definition::Module(module) => Some(module),
                    _ => None,
                };
                (name.to_owned(), Named { span, module })
            });
            files.push(names.collect());
            collect(&module.ast.items, &mut nodes);
        }
        Self { files, nodes }
    }

    /// What `name` means at the top level of a file.
    pub(super) fn get(&self, module: usize, name: &str) -> Option<Named> {
        self.files.get(module)?.get(name).copied()
    }

    /// All names of a file, in order.
    pub(super) fn of(&self, module: usize) -> impl Iterator<Item = (&str, Named)> {
        let names = self.files.get(module).into_iter().flatten();
        names.map(|(name, named)| (name.as_str(), *named))
    }

    /// The file that the `use` whose name stands at `span` reads.
    pub(super) fn file_of(&self, span: Span) -> Option<usize> {
        let file = self.files.get(span.file.0 as usize)?;
        file.values().find(|named| named.span == span)?.module
    }

    /// The definition at the top level whose name stands at `span`.
    pub(super) fn node(&self, span: Span) -> Option<Node<'a>> {
        self.nodes.get(&span).copied()
    }

    /// The attribute that `value.name` means, where that can be seen without working out values.
    pub(super) fn member(&self, value: Node<'a>, name: &str) -> Option<&'a ast::Attribute> {
        let mut found = None;
        self.members(value, &mut |key, attribute| {
            if found.is_none() && key == name {
                found = Some(attribute);
            }
        });
        found
    }

    /// The attributes that stand behind a `.`, where that can be seen without working out values:
    /// those of the value itself first, then those it takes over.
    pub(super) fn members(&self, value: Node<'a>, found: &mut dyn FnMut(&str, &'a ast::Attribute)) {
        let mut next = Some(value);
        for _ in 0..MAX_STEPS {
            let Some(value) = next else { return };
            next = self.own_members(value, found);
        }
    }

    /// Tells the attributes that stand in a definition itself, and gives what it takes over.
    fn own_members(
        &self,
        value: Node<'a>,
        found: &mut dyn FnMut(&str, &'a ast::Attribute),
    ) -> Option<Node<'a>> {
        {
            let (body, next) = match value {
                Node::Let(item) => self.parts(&item.value),
                Node::Field(attribute) => self.parts(&attribute.value),
                Node::Block(block) => (Some(&block.body), block.like.as_ref()),
                Node::Template(template) => (Some(&template.body), template.like.as_ref()),
                _ => return None,
            };
            for entry in body.into_iter().flatten() {
                if let Entry::Attribute(attribute) = entry
                    && let Some(key) = key(attribute)
                {
                    found(key, attribute);
                }
            }
            let path = match &next?.kind {
                ExprKind::Path(path) | ExprKind::Call { function: path, .. } => path,
                _ => return None,
            };
            self.definition(next?.span.file.0 as usize, path)
        }
    }

    /// The entries that a value written like this has, or else the name that it goes by.
    fn parts(&self, value: &'a Expr) -> (Option<&'a Vec<Entry>>, Option<&'a Expr>) {
        match &value.kind {
            ExprKind::Record(entries) => (Some(entries), None),
            ExprKind::Path(_) => (None, Some(value)),
            _ => (None, None),
        }
    }

    /// The definition that a path names as a whole.
    pub(super) fn definition(&self, module: usize, path: &[Name]) -> Option<Node<'a>> {
        let (first, rest) = path.split_first()?;
        let named = self.get(module, &first.text)?;
        match (named.module, rest) {
            (_, []) => self.node(named.span),
            (Some(other), [name]) => self.node(self.get(other, &name.text)?.span),
            _ => None,
        }
    }
}

/// The name that an attribute has.
pub(super) fn key(attribute: &ast::Attribute) -> Option<&str> {
    match &attribute.key {
        Key::Name(key) => Some(&key.text),
        Key::Text(text) => literal(text),
    }
}

/// The characters of a text without holes and escapes that matter.
pub(super) fn literal(expr: &Expr) -> Option<&str> {
    match &expr.kind {
        ExprKind::Text { parts, long: false } => match parts.as_slice() {
            [ast::TextPart::Chars(chars)] => Some(chars),
            _ => None,
        },
        _ => None,
    }
}

fn collect<'a>(items: &'a [Item], nodes: &mut BTreeMap<Span, Node<'a>>) {
    for item in items {
        let node = match item {
            Item::Use(item) => Node::Use(item),
            Item::Let(item) => Node::Let(item),
            Item::Block(block) => Node::Block(block),
            Item::Template(template) => Node::Template(template),
            Item::For(For { body, .. }) => {
                collect(body, nodes);
                continue;
            }
            Item::If(item) => {
                collect(&item.then, nodes);
                collect(item.otherwise.as_deref().unwrap_or_default(), nodes);
                continue;
            }
        };
        nodes.entry(node.name_span()).or_insert(node);
    }
}
