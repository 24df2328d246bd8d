//! The canonical form of values.

use super::{AsIf, Formatter, INDENT, Line, WIDTH, columns};
use crate::source::Span;
use crate::syntax::ast::*;
use crate::syntax::literal::long_text_lines;
use crate::syntax::token::TokenKind;

impl<'a> Formatter<'a> {
    /// Columns of the line that is being put out.
    pub(super) fn column(&self) -> usize {
        columns(&self.out[self.out.rfind('\n').map_or(0, |at| at + 1)..])
    }

    /// Puts out a value: on one line if it fits there.
    pub(super) fn value(&mut self, expr: &Expr, indent: usize) {
        self.operand(expr, indent, 0, true);
    }

    fn operand(&mut self, expr: &Expr, indent: usize, strength: u8, braces: bool) {
        if let Some(flat) = self.flat_operand(expr, strength, braces) {
            let unbreakable = !matches!(
                expr.kind,
                ExprKind::List(_)
                    | ExprKind::Record(_)
                    | ExprKind::Call { .. }
                    | ExprKind::Binary(..)
                    | ExprKind::Unary(..)
            );
            if unbreakable || self.column() + columns(&flat) <= WIDTH {
                return self.put(&flat);
            }
        }
        let parens = needs_parens(expr, strength, braces);
        self.put(if parens { "(" } else { "" });
        self.broken(expr, indent, braces || parens);
        self.put(if parens { ")" } else { "" });
    }

    /// Puts out a value over several lines.
    fn broken(&mut self, expr: &Expr, indent: usize, braces: bool) {
        match &expr.kind {
            ExprKind::Text { .. } => self.long_text(expr.span, indent + INDENT),
            ExprKind::List(elements) => {
                let after = elements
                    .last()
                    .map_or(expr.span.start, |last| last.span().end);
                let end = self.closing(TokenKind::RightBracket, after);
                self.put("[\n");
                self.lines(elements, indent + INDENT, end, Self::element);
                self.start_line(indent);
                self.put("]");
            }
            ExprKind::Record(entries) => self.body(entries, expr.span.start, indent, Self::entry),
            ExprKind::Call {
                function,
                arguments,
            } => {
                self.put(&path(function));
                self.arguments(arguments, indent);
            }
            ExprKind::Unary(operator, inner) => {
                let (sign, strength) = unary(*operator);
                self.put(sign);
                self.operand(inner, indent, strength, braces);
            }
            ExprKind::Binary(operator, left, right) => {
                let (before, behind) = sides(*operator);
                self.operand(left, indent, before, braces);
                self.put(" ");
                self.put(operator.as_str());
                self.put(" ");
                self.operand(right, indent, behind, braces);
            }
            ExprKind::If(condition, then, otherwise) => {
                self.put("if ");
                self.operand(condition, indent, 0, false);
                self.put(" { ");
                self.value(then, indent);
                self.put(" } else { ");
                self.value(otherwise, indent);
                self.put(" }");
            }
            ExprKind::Path(_) | ExprKind::Number(..) | ExprKind::Error => {
                self.put(self.slice(expr.span));
            }
        }
    }

    fn arguments(&mut self, arguments: &[Argument], indent: usize) {
        // One argument, or one that has several lines by nature, stays at its parenthesis.
        let together = arguments.len() == 1
            || arguments
                .iter()
                .any(|argument| self.flat(&argument.value).is_none());
        self.put(if together { "(" } else { "(\n" });
        for (index, argument) in arguments.iter().enumerate() {
            if together {
                self.put(if index > 0 { ", " } else { "" });
            } else {
                self.start_line(indent + INDENT);
            }
            if let Some(name) = &argument.name {
                self.put(&name.text);
                self.put(" = ");
            }
            let inner = if together { indent } else { indent + INDENT };
            self.value(&argument.value, inner);
            self.put(if together { "" } else { ",\n" });
        }
        if !together {
            self.start_line(indent);
        }
        self.put(")");
    }

    fn element(&mut self, element: &Element, indent: usize) {
        self.start_line(indent);
        if let Some(flat) = self.flat_element(element)
            && indent + columns(&flat) <= WIDTH
        {
            return self.put(&flat);
        }
        match element {
            Element::Value(value) if begins_with_if(value) => {
                self.put("(");
                self.value(value, indent);
                self.put(")");
            }
            Element::Value(value) => self.value(value, indent),
            Element::For(element) => self.for_lines(element, indent, Self::element),
            Element::If(element) => self.if_lines(element, indent, Self::element),
        }
    }

    fn long_text(&mut self, span: Span, indent: usize) {
        let token = self.literal(span);
        let Some((lines, common)) = long_text_lines(token) else {
            return self.put(token);
        };
        self.put("\"\"\"\n");
        for (_, line) in lines {
            let line = line.get(common..).unwrap_or("");
            // A line of white space alone is an empty line.
            if !line
                .bytes()
                .all(|byte| matches!(byte, b' ' | b'\t' | b'\r'))
            {
                self.start_line(indent);
                self.put(line);
            }
            self.put("\n");
        }
        self.start_line(indent);
        self.put("\"\"\"");
    }

    /// The text or number token that `span`, perhaps with parentheses, holds.
    fn literal(&self, span: Span) -> &'a str {
        let first = self
            .tokens
            .partition_point(|token| token.span.start < span.start);
        let found = self.tokens[first..].iter().find(|token| {
            matches!(
                token.kind,
                TokenKind::Text | TokenKind::LongText | TokenKind::Number
            )
        });
        // Inside of a text's `${…}` there are no tokens: what stands there stays as it is.
        match found {
            Some(token) if token.span.end <= span.end => &self.text[token.span.range()],
            _ => &self.text[span.range()],
        }
    }

    /// The value on one line; `None` where it holds comments or texts over several lines.
    pub(super) fn flat(&self, expr: &Expr) -> Option<String> {
        self.flat_operand(expr, 0, true)
    }

    fn flat_operand(&self, expr: &Expr, strength: u8, braces: bool) -> Option<String> {
        // Inside parentheses a record may stand anywhere.
        let parens = needs_parens(expr, strength, braces);
        let flat = self.flat_bare(expr, braces || parens)?;
        Some(if parens { format!("({flat})") } else { flat })
    }

    fn flat_bare(&self, expr: &Expr, braces: bool) -> Option<String> {
        Some(match &expr.kind {
            ExprKind::Text { long: true, .. } => return None,
            ExprKind::Text { .. } | ExprKind::Number(..) => self.literal(expr.span).to_owned(),
            ExprKind::Path(names) => path(names),
            ExprKind::List(elements) => {
                if self.has_comment(expr.span) {
                    return None;
                }
                let parts = elements.iter().map(|element| self.flat_element(element));
                format!("[{}]", parts.collect::<Option<Vec<_>>>()?.join(", "))
            }
            ExprKind::Record(entries) => {
                if self.has_comment(expr.span) {
                    return None;
                }
                braced(&self.flat_entries(entries)?)
            }
            ExprKind::Call {
                function,
                arguments,
            } => {
                let parts = arguments.iter().map(|argument| {
                    let value = self.flat(&argument.value)?;
                    Some(match &argument.name {
                        Some(name) => format!("{} = {value}", name.text),
                        None => value,
                    })
                });
                format!(
                    "{}({})",
                    path(function),
                    parts.collect::<Option<Vec<_>>>()?.join(", ")
                )
            }
            ExprKind::Unary(operator, inner) => {
                let (sign, strength) = unary(*operator);
                format!("{sign}{}", self.flat_operand(inner, strength, braces)?)
            }
            ExprKind::Binary(operator, left, right) => {
                let (before, behind) = sides(*operator);
                let left = self.flat_operand(left, before, braces)?;
                let right = self.flat_operand(right, behind, braces)?;
                format!("{left} {} {right}", operator.as_str())
            }
            ExprKind::If(condition, then, otherwise) => {
                let condition = self.flat_operand(condition, 0, false)?;
                let then = self.flat(then)?;
                let otherwise = match otherwise.kind {
                    ExprKind::If(..) => self.flat(otherwise)?,
                    _ => format!("{{ {} }}", self.flat(otherwise)?),
                };
                format!("if {condition} {{ {then} }} else {otherwise}")
            }
            ExprKind::Error => return None,
        })
    }

    fn flat_entries(&self, entries: &[Entry]) -> Option<Vec<String>> {
        let flat = |entry: &Entry| match entry {
            Entry::Attribute(attribute) => {
                let sign = if attribute.add { "+=" } else { "=" };
                let value = self.flat(&attribute.value)?;
                Some(format!(
                    "{} {sign} {value}",
                    self.slice(attribute.key.span())
                ))
            }
            // What is repeated or chosen has lines of its own.
            Entry::For(_) | Entry::If(_) => None,
        };
        entries.iter().map(flat).collect()
    }

    fn flat_element(&self, element: &Element) -> Option<String> {
        match element {
            Element::Value(value) => {
                let flat = self.flat(value)?;
                Some(if begins_with_if(value) {
                    format!("({flat})")
                } else {
                    flat
                })
            }
            Element::For(item) if !self.has_comment(item.span) => {
                let list = self.flat_operand(&item.list, 0, false)?;
                let body = self.flat_elements(&item.body)?;
                Some(format!("{}{list} {}", for_head(&item.names), braced(&body)))
            }
            Element::If(item) if !self.has_comment(item.span) => {
                let then = braced(&self.flat_elements(&item.then)?);
                let head = format!("if {} ", self.flat_operand(&item.condition, 0, false)?);
                Some(match &item.otherwise {
                    None => format!("{head}{then}"),
                    Some(otherwise) => {
                        let otherwise = match otherwise.as_slice() {
                            [only] if only.as_if().is_some() => self.flat_element(only)?,
                            _ => braced(&self.flat_elements(otherwise)?),
                        };
                        format!("{head}{then} else {otherwise}")
                    }
                })
            }
            _ => None,
        }
    }

    fn flat_elements(&self, elements: &[Element]) -> Option<Vec<String>> {
        elements
            .iter()
            .map(|element| self.flat_element(element))
            .collect()
    }

    /// A value before a `{`.
    pub(super) fn head(&mut self, expr: &Expr, indent: usize) {
        self.operand(expr, indent, 0, false);
    }
}

/// `for a, b in `
pub(super) fn for_head(names: &[Name]) -> String {
    let names: Vec<&str> = names.iter().map(|name| name.text.as_str()).collect();
    format!("for {} in ", names.join(", "))
}

/// `{ a, b }` or `{}`
fn braced(parts: &[String]) -> String {
    if parts.is_empty() {
        "{}".to_owned()
    } else {
        format!("{{ {} }}", parts.join(", "))
    }
}

fn path(names: &[Name]) -> String {
    names
        .iter()
        .map(|name| name.text.as_str())
        .collect::<Vec<_>>()
        .join(".")
}

/// A sign and how strongly it binds what follows.
fn unary(operator: UnaryOperator) -> (&'static str, u8) {
    match operator {
        UnaryOperator::Not => ("not ", NOT_PRECEDENCE + 1),
        UnaryOperator::Negate => ("-", NEGATE_PRECEDENCE),
    }
}

/// How strongly the operands of `operator` must bind to need no parentheses.
fn sides(operator: BinaryOperator) -> (u8, u8) {
    let strength = operator.precedence();
    let comparison = strength == BinaryOperator::Equal.precedence();
    (
        if comparison { strength + 1 } else { strength },
        strength + 1,
    )
}

fn needs_parens(expr: &Expr, strength: u8, braces: bool) -> bool {
    match &expr.kind {
        ExprKind::Binary(operator, ..) => operator.precedence() < strength,
        ExprKind::Unary(UnaryOperator::Not, _) => NOT_PRECEDENCE < strength,
        ExprKind::Unary(UnaryOperator::Negate, _) => NEGATE_PRECEDENCE < strength,
        ExprKind::Record(_) => !braces,
        _ => false,
    }
}

/// Whether the value's first word is `if`, which begins something else in a list.
fn begins_with_if(expr: &Expr) -> bool {
    match &expr.kind {
        ExprKind::If(..) => true,
        ExprKind::Binary(operator, left, _) => {
            !needs_parens(left, sides(*operator).0, true) && begins_with_if(left)
        }
        _ => false,
    }
}
