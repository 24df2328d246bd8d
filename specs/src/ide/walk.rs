//! Every word of a tree with what it means.

use super::names::{Names, Node, literal};
use crate::check::Spec;
use crate::schema::{self, Attribute, Call, Type, Word};
use crate::source::Span;
use crate::syntax::ast::*;

/// A word or text of a spec that means something.
#[derive(Debug, Clone)]
pub(super) struct Occurrence<'a> {
    /// Where it stands; a text with its quotes.
    pub(super) span: Span,
    pub(super) meaning: Meaning<'a>,
}

/// What an [`Occurrence`] means.
#[derive(Debug, Clone)]
pub(super) enum Meaning<'a> {
    /// The first word of a block.
    Kind(&'static schema::Block),
    /// An attribute, with the names that lead to it: `host`, `disk`, `state`.
    Attribute(
        Vec<&'static str>,
        &'static Attribute,
        &'a crate::syntax::ast::Attribute,
    ),
    /// An argument of a call that the language knows.
    Argument(&'static Call, &'static Attribute),
    /// What is called.
    Call(&'static Call),
    /// `range`
    Range,
    /// A choice such as `dhcp`.
    Word(&'static Word),
    /// The type of a parameter.
    ParameterType,
    /// A part of the path behind `use`, with the file that it names.
    File(Option<usize>),
    /// A name where it is defined.
    Definition(Node<'a>),
    /// A name where it is used; where the definition is, and what defines it where that is known.
    Reference(Span, Option<Node<'a>>),
}

impl Meaning<'_> {
    /// The place that identifies the definition in question.
    pub(super) fn symbol(&self) -> Option<Span> {
        match self {
            Meaning::Definition(node) => Some(node.name_span()),
            Meaning::Attribute(_, _, attribute) => Some(attribute.key.span()),
            Meaning::Reference(symbol, _) => Some(*symbol),
            _ => None,
        }
    }
}

/// What the entries of some braces are.
#[derive(Clone)]
enum Place {
    /// Attributes of a block or a record, and the names that lead to them.
    Attributes(Vec<&'static str>, Vec<&'static Attribute>),
    /// Names of the user's choice, with values of one type.
    Map(&'static Type),
    /// Names of the user's choice, with any values.
    Free,
}

type Expected = Option<&'static Type>;

/// Goes through one file.
pub(super) struct Walk<'a, 'w> {
    names: &'w Names<'a>,
    module: usize,
    /// Loop variables and parameters, the innermost last.
    locals: Vec<Node<'a>>,
    found: &'w mut dyn FnMut(Occurrence<'a>),
}

/// Tells `found` every word of the file `module` that means something.
pub(super) fn walk<'a>(
    spec: &'a Spec,
    names: &Names<'a>,
    module: usize,
    found: &mut dyn FnMut(Occurrence<'a>),
) {
    let Some(file) = spec.modules.get(module) else {
        return;
    };
    let mut uses = file.uses.iter();
    let mut walk = Walk {
        names,
        module,
        locals: Vec::new(),
        found,
    };
    for item in &file.ast.items {
        match item {
            Item::Use(item) => walk.use_item(item, uses.next().copied().flatten()),
            other => walk.item(other),
        }
    }
}

impl<'a> Walk<'a, '_> {
    fn put(&mut self, span: Span, meaning: Meaning<'a>) {
        (self.found)(Occurrence { span, meaning });
    }

    fn define(&mut self, node: Node<'a>) {
        self.put(node.name_span(), Meaning::Definition(node));
    }

    fn use_item(&mut self, item: &'a Use, file: Option<usize>) {
        let node = Node::Use(item);
        for name in &item.path {
            self.put(name.span, Meaning::File(file));
        }
        self.define(node);
    }

    fn item(&mut self, item: &'a Item) {
        match item {
            Item::Use(_) => {}
            Item::Let(item) => {
                self.define(Node::Let(item));
                self.value(&item.value, None);
            }
            Item::Block(block) => {
                if let Key::Text(text) = &block.name {
                    self.value(text, None);
                }
                self.define(Node::Block(block));
                self.block(&block.kind, block.like.as_ref(), &block.body);
            }
            Item::Template(template) => {
                self.define(Node::Template(template));
                let outer = self.locals.len();
                for parameter in &template.parameters {
                    self.put(parameter.kind.span, Meaning::ParameterType);
                    if let Some(default) = &parameter.default {
                        self.value(default, None);
                    }
                    self.define(Node::Parameter(parameter));
                    self.locals.push(Node::Parameter(parameter));
                }
                self.block(&template.kind, template.like.as_ref(), &template.body);
                self.locals.truncate(outer);
            }
            Item::For(item) => self.for_loop(item, |walk, item| walk.item(item)),
            Item::If(item) => self.condition(item, |walk, item| walk.item(item)),
        }
    }

    fn block(&mut self, kind: &'a Name, like: Option<&'a Expr>, body: &'a [Entry]) {
        let place = match schema::block(&kind.text) {
            Some(block) => {
                self.put(kind.span, Meaning::Kind(block));
                Place::Attributes(vec![block.name], block.attributes().collect())
            }
            None => Place::Free,
        };
        if let Some(like) = like {
            self.value(like, None);
        }
        self.entries(body, &place);
    }

    fn for_loop<T>(&mut self, item: &'a For<T>, one: impl Fn(&mut Self, &'a T)) {
        self.value(&item.list, None);
        let outer = self.locals.len();
        for name in &item.names {
            let node = Node::Variable(name, &item.list);
            self.define(node);
            self.locals.push(node);
        }
        for inner in &item.body {
            one(self, inner);
        }
        self.locals.truncate(outer);
    }

    fn condition<T>(&mut self, item: &'a If<T>, one: impl Fn(&mut Self, &'a T)) {
        self.value(&item.condition, None);
        for inner in item.then.iter().chain(item.otherwise.iter().flatten()) {
            one(self, inner);
        }
    }

    fn entries(&mut self, entries: &'a [Entry], place: &Place) {
        for entry in entries {
            match entry {
                Entry::Attribute(attribute) => self.attribute(attribute, place),
                Entry::For(item) => {
                    self.for_loop(item, |walk, entry| {
                        walk.entries(std::slice::from_ref(entry), place);
                    });
                }
                Entry::If(item) => {
                    self.condition(item, |walk, entry| {
                        walk.entries(std::slice::from_ref(entry), place);
                    });
                }
            }
        }
    }

    fn attribute(&mut self, attribute: &'a crate::syntax::ast::Attribute, place: &Place) {
        let name = match &attribute.key {
            Key::Name(name) => Some(name.text.as_str()),
            Key::Text(text) => {
                self.value(text, None);
                literal(text)
            }
        };
        let known = match place {
            Place::Attributes(path, attributes) => {
                let found = attributes.iter().find(|known| Some(known.name) == name);
                found.map(|known| (path, *known))
            }
            _ => None,
        };
        let Some((path, known)) = known else {
            self.define(Node::Field(attribute));
            let ty = match place {
                Place::Map(ty) => Some(*ty),
                _ => None,
            };
            return self.value(&attribute.value, ty);
        };
        let mut path = path.clone();
        path.push(known.name);
        // A record's own attributes are found by the path of the record.
        if let (Type::Record(inner), ExprKind::Record(entries)) = (known.ty, &attribute.value.kind)
        {
            let place = Place::Attributes(path.clone(), inner.iter().collect());
            self.put(
                attribute.key.span(),
                Meaning::Attribute(path, known, attribute),
            );
            return self.entries(entries, &place);
        }
        self.put(
            attribute.key.span(),
            Meaning::Attribute(path, known, attribute),
        );
        self.value(&attribute.value, Some(known.ty));
    }

    fn value(&mut self, expr: &'a Expr, expected: Expected) {
        match &expr.kind {
            ExprKind::Text { parts, .. } => {
                for part in parts {
                    if let TextPart::Hole(hole) = part {
                        self.value(hole, None);
                    }
                }
            }
            ExprKind::Number(..) | ExprKind::Error => {}
            ExprKind::Path(path) => self.path(path, expected),
            ExprKind::List(elements) => {
                let of = match expected {
                    Some(Type::List { of, .. }) => Some(*of),
                    _ => None,
                };
                self.elements(elements, of);
            }
            ExprKind::Record(entries) => {
                let place = match expected {
                    Some(Type::Map(_, ty)) => Place::Map(ty),
                    Some(Type::Record(inner)) => {
                        Place::Attributes(Vec::new(), inner.iter().collect())
                    }
                    _ => Place::Free,
                };
                self.entries(entries, &place);
            }
            ExprKind::Call {
                function,
                arguments,
            } => self.call(function, arguments, expected),
            ExprKind::Unary(_, operand) => self.value(operand, None),
            ExprKind::Binary(operator, left, right) => {
                let expected = expected.filter(|_| *operator == BinaryOperator::Add);
                self.value(left, expected);
                self.value(right, expected);
            }
            ExprKind::If(condition, then, otherwise) => {
                self.value(condition, None);
                self.value(then, expected);
                self.value(otherwise, expected);
            }
        }
    }

    fn elements(&mut self, elements: &'a [Element], of: Expected) {
        for element in elements {
            match element {
                Element::Value(value) => self.value(value, of),
                Element::For(item) => self.for_loop(item, |walk, element| {
                    walk.elements(std::slice::from_ref(element), of);
                }),
                Element::If(item) => self.condition(item, |walk, element| {
                    walk.elements(std::slice::from_ref(element), of);
                }),
            }
        }
    }

    fn path(&mut self, path: &'a [Name], expected: Expected) {
        let Some((first, mut rest)) = path.split_first() else {
            return;
        };
        let local = self.locals.iter().rev().copied();
        let local = local
            .into_iter()
            .find(|node| local_name(*node) == first.text);
        let mut value = if let Some(node) = local {
            self.put(first.span, Meaning::Reference(node.name_span(), Some(node)));
            Some(node)
        } else if let Some(named) = self.names.get(self.module, &first.text) {
            let mut node = self.names.node(named.span);
            self.put(first.span, Meaning::Reference(named.span, node));
            if let (Some(module), Some((name, after))) = (named.module, rest.split_first()) {
                rest = after;
                let Some(named) = self.names.get(module, &name.text) else {
                    return;
                };
                node = self.names.node(named.span);
                self.put(name.span, Meaning::Reference(named.span, node));
            }
            node
        } else {
            if let Some(word) = schema::word(&first.text, expected) {
                self.put(first.span, Meaning::Word(word));
            }
            return;
        };
        for name in rest {
            let Some(found) = value.and_then(|value| self.names.member(value, &name.text)) else {
                return;
            };
            let node = Node::Field(found);
            self.put(name.span, Meaning::Reference(node.name_span(), Some(node)));
            value = Some(node);
        }
    }

    fn call(&mut self, function: &'a [Name], arguments: &'a [Argument], expected: Expected) {
        let known = match function {
            [name] => schema::call(&name.text, expected).map(|call| (name, call)),
            _ => None,
        };
        if let Some((name, call)) = known {
            self.put(name.span, Meaning::Call(call));
            for (position, argument) in arguments.iter().enumerate() {
                let parameter = match &argument.name {
                    Some(name) => call.arguments.iter().find(|a| a.name == name.text),
                    None => call.arguments.get(position),
                };
                if let (Some(name), Some(parameter)) = (&argument.name, parameter) {
                    self.put(name.span, Meaning::Argument(call, parameter));
                }
                self.value(&argument.value, parameter.map(|parameter| parameter.ty));
            }
            return;
        }
        if let [name] = function
            && let Some(kind) = schema::block(&name.text)
        {
            self.put(name.span, Meaning::Kind(kind));
            if let [Argument { name: None, value }] = arguments
                && let Some(named) = literal(value).and_then(|n| self.names.get(self.module, n))
            {
                let node = self.names.node(named.span);
                return self.put(value.span, Meaning::Reference(named.span, node));
            }
        } else if let [name] = function
            && name.text == "range"
        {
            self.put(name.span, Meaning::Range);
        } else {
            self.path(function, None);
        }
        let template = match self.names.definition(self.module, function) {
            Some(Node::Template(template)) => Some(template),
            _ => None,
        };
        for argument in arguments {
            if let (Some(name), Some(template)) = (&argument.name, template) {
                let mut parameters = template.parameters.iter();
                if let Some(parameter) = parameters.find(|p| p.name.text == name.text) {
                    let node = Node::Parameter(parameter);
                    self.put(name.span, Meaning::Reference(node.name_span(), Some(node)));
                }
            }
            self.value(&argument.value, None);
        }
    }
}

/// The word that a local name is.
pub(super) fn local_name(node: Node<'_>) -> &str {
    match node {
        Node::Parameter(parameter) => &parameter.name.text,
        Node::Variable(name, _) => &name.text,
        _ => "",
    }
}
