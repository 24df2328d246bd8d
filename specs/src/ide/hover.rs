//! What is shown about the word at a place.

use super::names::{Names, Node};
use super::walk::Meaning;
use super::{at, show};
use crate::check::Spec;
use crate::eval::Evaluator;
use crate::schema::{self, Attribute, Type};
use crate::source::{FileId, Span};
use crate::syntax::ast::{ExprKind, Key};
use crate::syntax::token::TokenKind;
use std::fmt::Write as _;

/// What is shown about a word.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hover {
    /// The word.
    pub span: Span,
    /// Markdown; code is fenced as `nos`.
    pub text: String,
}

/// What there is to say about the word at `offset` of `file`: what the schema says about what it
/// knows, and what the spec says about names.
pub fn hover(spec: &Spec, file: FileId, offset: u32) -> Option<Hover> {
    let names = Names::new(spec);
    let found = at(spec, &names, file, offset).into_iter().next()?;
    let text = match &found.meaning {
        Meaning::Kind(block) => format!("{}\n\n{}", code(block.name), block.doc),
        Meaning::Attribute(path, attribute, _) => attribute_text(&path.join("."), attribute),
        Meaning::Argument(call, argument) => {
            attribute_text(&format!("{}(… {} …)", call.name, argument.name), argument)
        }
        Meaning::Call(call) => {
            let mut text = format!("{}\n\n{}\n", code(&schema::signature(call)), call.doc);
            for argument in call.arguments {
                let _ = write!(text, "\n- `{}`: {}", argument.name, argument.doc);
            }
            text
        }
        Meaning::Range => format!(
            "{}\n\nThe whole numbers from the first to the last.",
            code("range(first, last)")
        ),
        Meaning::Word(word) => format!("{}\n\n{}", code(word.name), word.doc),
        Meaning::ParameterType => {
            format!(
                "{}\n\nThe type that an argument must have.",
                code(spec.sources.slice(found.span))
            )
        }
        Meaning::File(module) => file_text(spec, (*module)?),
        Meaning::Definition(node) => node_text(spec, &names, *node),
        Meaning::Reference(_, node) => node_text(spec, &names, (*node)?),
    };
    Some(Hover {
        span: found.span,
        text,
    })
}

fn code(text: &str) -> String {
    format!("```nos\n{text}\n```")
}

/// What the schema says about an attribute or an argument.
pub(super) fn attribute_text(path: &str, attribute: &Attribute) -> String {
    let mut text = format!("`{path}`: {}\n\n{}", attribute.ty.describe(), attribute.doc);
    match (attribute.required, attribute.default) {
        (true, _) => text.push_str(" It must be there."),
        (false, Some(default)) => {
            let _ = write!(text, "\n\nWithout it: {default}.");
        }
        (false, None) => {}
    }
    let mut range = String::new();
    schema::range(&mut range, attribute.ty);
    if !range.is_empty() {
        let _ = write!(text, "\n\n{}", range.trim_end());
    }
    let mut choices: Vec<(String, &str)> = Vec::new();
    match attribute.ty {
        Type::Words(words) => choices.extend(words.iter().map(|w| (w.name.to_owned(), w.doc))),
        Type::Calls(calls)
        | Type::Map(_, Type::Calls(calls))
        | Type::List {
            of: Type::Calls(calls),
            ..
        } => choices.extend(calls.iter().map(|call| (schema::signature(call), call.doc))),
        Type::WordsOrCalls(words, calls) => {
            choices.extend(words.iter().map(|w| (w.name.to_owned(), w.doc)));
            choices.extend(calls.iter().map(|call| (schema::signature(call), call.doc)));
        }
        Type::Record(inner) => {
            choices.extend(inner.iter().map(|a| (a.name.to_owned(), a.doc)));
        }
        _ => {}
    }
    if !choices.is_empty() {
        text.push('\n');
    }
    for (name, doc) in choices {
        let _ = write!(text, "\n- `{name}`: {doc}");
    }
    if !attribute.example.is_empty() {
        let _ = write!(text, "\n\n{}", code(attribute.example));
    }
    text
}

fn file_text(spec: &Spec, module: usize) -> String {
    let file = super::file_id(module);
    let source = spec.sources.get(file);
    let mut text = code(&format!("# {}", source.name));
    let comment = comment_before(spec, file, u32::MAX, true);
    if !comment.is_empty() {
        let _ = write!(text, "\n\n{comment}");
    }
    text
}

/// What a definition says, with its comment.
pub(super) fn node_text(spec: &Spec, names: &Names<'_>, node: Node<'_>) -> String {
    let span = node.name_span();
    let (head, from) = match node {
        Node::Use(_) => match names.file_of(span) {
            Some(module) => return file_text(spec, module),
            None => return code(&format!("use {}", spec.sources.slice(span))),
        },
        Node::Let(item) => {
            let mut evaluator = Evaluator::new(&spec.modules);
            let value = evaluator.value_of_let(span.file.0 as usize, &item.name.text);
            let value = value.map(|value| show::value(&evaluator, &value));
            let value = value.as_deref().unwrap_or("?");
            (format!("let {} = {value}", item.name.text), item.span.start)
        }
        Node::Block(block) => {
            let mut head = format!("{} {}", block.kind.text, spec.sources.slice(span));
            if let Some(like) = &block.like {
                let _ = write!(head, " like {}", one_line(spec.sources.slice(like.span)));
            }
            (head, block.span.start)
        }
        Node::Template(template) => (template_head(spec, template), template.span.start),
        Node::Parameter(parameter) => {
            let mut head = format!("{}: {}", parameter.name.text, parameter.kind.text);
            if let Some(default) = &parameter.default {
                let _ = write!(head, " = {}", one_line(spec.sources.slice(default.span)));
            }
            return format!("{}\n\nA parameter of the template.", code(&head));
        }
        Node::Variable(name, list) => {
            let list = one_line(spec.sources.slice(list.span));
            return code(&format!("for {} in {list}", name.text));
        }
        Node::Field(attribute) => {
            let key = match &attribute.key {
                Key::Name(name) => name.text.as_str(),
                Key::Text(text) => spec.sources.slice(text.span),
            };
            let value = match &attribute.value.kind {
                ExprKind::Error => "?".to_owned(),
                _ => one_line(spec.sources.slice(attribute.value.span)),
            };
            (format!("{key} = {value}"), attribute.span.start)
        }
    };
    let mut text = code(&head);
    let comment = comment_before(spec, span.file, from, false);
    if !comment.is_empty() {
        let _ = write!(text, "\n\n{comment}");
    }
    text
}

/// `template service page(port: number, title: text = "Welcome")`
pub(super) fn template_head(spec: &Spec, template: &crate::syntax::ast::Template) -> String {
    let parameters: Vec<String> = template
        .parameters
        .iter()
        .map(|parameter| match &parameter.default {
            Some(default) => format!(
                "{}: {} = {}",
                parameter.name.text,
                parameter.kind.text,
                one_line(spec.sources.slice(default.span))
            ),
            None => format!("{}: {}", parameter.name.text, parameter.kind.text),
        })
        .collect();
    format!(
        "template {} {}({})",
        template.kind.text,
        template.name.text,
        parameters.join(", ")
    )
}

/// The first line of some text, with dots where there is more.
fn one_line(text: &str) -> String {
    match text.split_once('\n') {
        Some((first, _)) => format!("{} …", first.trim_end()),
        None => text.to_owned(),
    }
}

/// The comment on the lines directly before `offset`, without its signs; at the beginning of the
/// file where `first` is set.
fn comment_before(spec: &Spec, file: FileId, offset: u32, first: bool) -> String {
    let Some(module) = spec.modules.get(file.0 as usize) else {
        return String::new();
    };
    let tokens = &module.ast.tokens;
    let mut lines = Vec::new();
    let words = |span: Span| {
        let text = spec.sources.slice(span).trim_start_matches('#');
        text.trim().to_owned()
    };
    let breaks = |span: Span| spec.sources.slice(span).matches('\n').count();
    if first {
        for token in tokens {
            match token.kind {
                TokenKind::Comment => lines.push(words(token.span)),
                TokenKind::Space if breaks(token.span) < 2 => {}
                _ => break,
            }
        }
        return lines.join("\n");
    }
    let end = tokens.partition_point(|token| token.span.start < offset);
    let mut before = tokens[..end].iter().rev().peekable();
    while let Some(space) = before.next_if(|token| token.kind == TokenKind::Space) {
        // More than one line break is an empty line.
        if breaks(space.span) != 1 {
            break;
        }
        match before.next_if(|token| token.kind == TokenKind::Comment) {
            Some(comment) => lines.push(words(comment.span)),
            None => break,
        }
        // A comment behind something is about that.
        let own_line = before
            .peek()
            .is_none_or(|t| t.kind == TokenKind::Space && breaks(t.span) > 0);
        if !own_line {
            lines.pop();
            break;
        }
    }
    lines.reverse();
    lines.join("\n")
}
