//! A tree without places, as one line per item: what two texts must agree on to mean the same.

use super::ast::*;
use std::fmt::Write as _;

/// The shape of `ast`: equal for texts that differ only in layout and comments.
pub fn outline(ast: &Ast) -> String {
    let mut out = Outline(String::new());
    for item in &ast.items {
        out.item(item);
        out.0.push('\n');
    }
    out.0
}

struct Outline(String);

impl Outline {
    fn put(&mut self, text: &str) {
        self.0.push_str(text);
    }

    /// `(head part part …)`
    fn node<T>(&mut self, head: &str, parts: &[T], one: fn(&mut Self, &T)) {
        self.put("(");
        self.put(head);
        for part in parts {
            self.put(" ");
            one(self, part);
        }
        self.put(")");
    }

    fn item(&mut self, item: &Item) {
        match item {
            Item::Use(item) => {
                self.node("use", &item.path, Self::name);
                if let Some(alias) = &item.alias {
                    self.put(" as ");
                    self.name(alias);
                }
            }
            Item::Let(item) => {
                self.put("let ");
                self.name(&item.name);
                self.put(" ");
                self.expr(&item.value);
            }
            Item::Block(block) => {
                self.name(&block.kind);
                self.put(" ");
                self.key(&block.name);
                self.like(block.like.as_ref());
                self.node("body", &block.body, Self::entry);
            }
            Item::Template(template) => {
                self.put("template ");
                self.name(&template.kind);
                self.put(" ");
                self.name(&template.name);
                self.node("parameters", &template.parameters, |out, parameter| {
                    out.name(&parameter.name);
                    out.put(":");
                    out.name(&parameter.kind);
                    if let Some(default) = &parameter.default {
                        out.put("=");
                        out.expr(default);
                    }
                });
                self.like(template.like.as_ref());
                self.node("body", &template.body, Self::entry);
            }
            Item::For(item) => self.for_loop(item, Self::item),
            Item::If(item) => self.condition(item, Self::item),
        }
    }

    fn like(&mut self, like: Option<&Expr>) {
        if let Some(base) = like {
            self.put(" like ");
            self.expr(base);
        }
    }

    fn for_loop<T>(&mut self, item: &For<T>, one: fn(&mut Self, &T)) {
        self.node("for", &item.names, Self::name);
        self.expr(&item.list);
        self.node("do", &item.body, one);
    }

    fn condition<T>(&mut self, item: &If<T>, one: fn(&mut Self, &T)) {
        self.put("if ");
        self.expr(&item.condition);
        self.node("then", &item.then, one);
        if let Some(otherwise) = &item.otherwise {
            self.node("else", otherwise, one);
        }
    }

    fn entry(&mut self, entry: &Entry) {
        match entry {
            Entry::Attribute(attribute) => {
                self.key(&attribute.key);
                self.put(if attribute.add { "+=" } else { "=" });
                self.expr(&attribute.value);
            }
            Entry::For(item) => self.for_loop(item, Self::entry),
            Entry::If(item) => self.condition(item, Self::entry),
        }
    }

    fn element(&mut self, element: &Element) {
        match element {
            Element::Value(value) => self.expr(value),
            Element::For(item) => self.for_loop(item, Self::element),
            Element::If(item) => self.condition(item, Self::element),
        }
    }

    fn name(&mut self, name: &Name) {
        self.put(&name.text);
    }

    fn key(&mut self, key: &Key) {
        match key {
            Key::Name(name) => self.name(name),
            Key::Text(text) => self.expr(text),
        }
    }

    fn expr(&mut self, expr: &Expr) {
        match &expr.kind {
            ExprKind::Text { parts, long } => {
                self.node(
                    if *long { "long" } else { "text" },
                    parts,
                    |out, part| match part {
                        TextPart::Chars(chars) => {
                            let _ = write!(out.0, "{chars:?}");
                        }
                        TextPart::Hole(hole) => out.expr(hole),
                    },
                );
            }
            ExprKind::Number(amount, unit) => {
                let _ = write!(self.0, "{amount}:{unit:?}");
            }
            ExprKind::Path(path) => self.node("path", path, Self::name),
            ExprKind::List(elements) => self.node("list", elements, Self::element),
            ExprKind::Record(entries) => self.node("record", entries, Self::entry),
            ExprKind::Call {
                function,
                arguments,
            } => {
                self.node("call", function, Self::name);
                self.node("with", arguments, |out, argument| {
                    if let Some(name) = &argument.name {
                        out.name(name);
                        out.put("=");
                    }
                    out.expr(&argument.value);
                });
            }
            ExprKind::Unary(operator, operand) => {
                let _ = write!(self.0, "({operator:?} ");
                self.expr(operand);
                self.put(")");
            }
            ExprKind::Binary(operator, left, right) => {
                self.put("(");
                self.expr(left);
                let _ = write!(self.0, " {} ", operator.as_str());
                self.expr(right);
                self.put(")");
            }
            ExprKind::If(condition, then, otherwise) => {
                self.put("(if ");
                self.expr(condition);
                self.put(" ");
                self.expr(then);
                self.put(" ");
                self.expr(otherwise);
                self.put(")");
            }
            ExprKind::Error => self.put("?"),
        }
    }
}
