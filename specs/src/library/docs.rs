//! The library as documentation, made from its own texts: a comment before a definition, or at the
//! head of a part, says what it is for.

use super::{names, text};
use crate::syntax::ast::{Item, Key};
use crate::syntax::parse;
use std::fmt::Write as _;

/// Something that a part defines.
struct Definition {
    name: String,
    /// How it is used, in one line.
    form: String,
    doc: String,
    /// Its text.
    source: &'static str,
}

/// What `nos explain` says of `std`, `std.PART` or `std.PART.NAME`; `None` where there is no such
/// thing.
pub(crate) fn explain(path: &str) -> Option<String> {
    let mut parts = path.split('.').skip(1);
    let (part, name) = (parts.next(), parts.next());
    if parts.next().is_some() {
        return None;
    }
    let Some(part) = part else {
        let mut out = String::from("std — the standard library, inside nos: `use std.kernel`\n");
        for part in names() {
            let _ = write!(out, "\n  std.{part}\n{}", indented(&head(text(part)?)));
        }
        return Some(out);
    };
    let text = text(part)?;
    let Some(name) = name else {
        let mut out = format!("std.{part} — `use std.{part}`\n\n{}", head(text));
        for definition in definitions(part, text) {
            let Definition { form, doc, .. } = definition;
            let _ = write!(out, "\n  {form}\n{}", indented(&doc));
        }
        return Some(out);
    };
    let mut all = definitions(part, text).into_iter();
    let Definition {
        form, doc, source, ..
    } = all.find(|definition| definition.name == name)?;
    Some(format!(
        "{form}\n\n{doc}\nIt is written:\n\n{}",
        indented(source)
    ))
}

/// Paths that [`explain`] knows.
pub(crate) fn paths() -> Vec<String> {
    let mut paths = vec!["std".to_owned()];
    for part in names() {
        paths.push(format!("std.{part}"));
        let all = definitions(part, text(part).unwrap_or_default());
        paths.extend(all.iter().map(|found| format!("std.{part}.{}", found.name)));
    }
    paths
}

fn definitions(part: &str, text: &'static str) -> Vec<Definition> {
    let (ast, _) = parse(text);
    let written = |span: crate::source::Span| text.get(span.range()).unwrap_or_default();
    let mut found = Vec::new();
    for item in &ast.items {
        let (name, form) = match item {
            Item::Template(template) => {
                let (name, kind) = (&template.name.text, &template.kind.text);
                let parameters: Vec<String> = template
                    .parameters
                    .iter()
                    .map(|parameter| {
                        let default = parameter.default.as_ref();
                        let default = default.map(|value| format!(" = {}", written(value.span)));
                        let (name, kind) = (&parameter.name.text, &parameter.kind.text);
                        format!("{name}: {kind}{}", default.unwrap_or_default())
                    })
                    .collect();
                let parameters = parameters.join(", ");
                (
                    name,
                    format!("{kind} NAME like {part}.{name}({parameters})"),
                )
            }
            Item::Block(block) => match &block.name {
                Key::Name(name) => (&name.text, format!("{part}.{}", name.text)),
                Key::Text(_) => continue,
            },
            _ => continue,
        };
        let span = item.span();
        found.push(Definition {
            name: name.clone(),
            form,
            doc: before(text.get(..span.range().start).unwrap_or_default()),
            source: written(span),
        });
    }
    found
}

/// The comment at the end of `text`.
fn before(text: &str) -> String {
    let mut lines: Vec<&str> = text.lines().rev().map_while(comment).collect();
    lines.reverse();
    joined(&lines)
}

/// The comment at the head of `text`.
fn head(text: &str) -> String {
    let lines: Vec<&str> = text.lines().map_while(comment).collect();
    joined(&lines)
}

fn comment(line: &str) -> Option<&str> {
    line.strip_prefix('#')
        .map(|rest| rest.strip_prefix(' ').unwrap_or(rest))
}

fn joined(lines: &[&str]) -> String {
    lines.iter().map(|line| format!("{line}\n")).collect()
}

fn indented(text: &str) -> String {
    text.lines()
        .map(|line| match line {
            "" => "\n".to_owned(),
            line => format!("    {line}\n"),
        })
        .collect()
}
