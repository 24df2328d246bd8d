//! The table as documentation.

use super::{Attribute, BLOCKS, CALLS, Call, Type, block};
use crate::library;
use std::fmt::Write as _;

/// What `nos explain PATH` says about a block (`service`), an attribute (`service.health`,
/// `host.disk.state`), a call (`http`) or the standard library (`std.kernel`); `None` where there is
/// no such thing.
pub fn explain_path(path: &str) -> Option<String> {
    let mut parts = path.split('.');
    let first = parts.next()?;
    if first == "std" {
        return library::explain(path);
    }
    let Some(found) = block(first) else {
        let forms = CALLS.iter().filter(|call| call.name == first);
        let forms: Vec<String> = forms.map(|call| explain_call(call)).collect();
        return (parts.next().is_none() && !forms.is_empty()).then(|| forms.join("\n"));
    };
    let Some(name) = parts.next() else {
        let mut out = format!("{} — {}\n\n", found.name, found.doc);
        for line in found.example.lines() {
            let _ = writeln!(out, "  {line}");
        }
        out.push('\n');
        table(&mut out, found.attributes());
        return Some(out);
    };
    let mut attribute = found
        .attributes()
        .find(|attribute| attribute.name == name)?;
    for part in parts {
        let Type::Record(inner) = attribute.ty else {
            return None;
        };
        attribute = inner.iter().find(|attribute| attribute.name == part)?;
    }
    Some(explain_attribute(path, attribute))
}

/// Paths that [`explain_path`] knows, for completion.
pub fn paths() -> Vec<String> {
    let mut paths = Vec::new();
    for block in BLOCKS {
        paths.push(block.name.to_owned());
        for attribute in block.attributes() {
            let path = format!("{}.{}", block.name, attribute.name);
            if let Type::Record(inner) = attribute.ty {
                paths.extend(inner.iter().map(|part| format!("{path}.{}", part.name)));
            }
            paths.push(path);
        }
    }
    paths.extend(CALLS.iter().map(|call| call.name.to_owned()));
    paths.extend(library::paths());
    paths.sort();
    paths.dedup();
    paths
}

fn explain_attribute(path: &str, attribute: &Attribute) -> String {
    let mut out = format!("{path} — {}\n\n", attribute.ty.describe());
    let _ = writeln!(out, "  {}\n", attribute.example);
    wrapped(&mut out, attribute.doc, 0, 0);
    match (attribute.required, attribute.default) {
        (true, _) => out.push_str("It must be there.\n"),
        (false, Some(default)) => {
            let _ = writeln!(out, "Without it: {default}.");
        }
        (false, None) => {}
    }
    range(&mut out, attribute.ty);
    match attribute.ty {
        Type::Record(inner) => {
            out.push('\n');
            table(&mut out, inner.iter());
        }
        Type::Words(words) => list(&mut out, words.iter().map(|w| (w.name.to_owned(), w.doc))),
        Type::Calls(calls)
        | Type::Map(_, Type::Calls(calls))
        | Type::List {
            of: Type::Calls(calls),
            ..
        } => {
            list(
                &mut out,
                calls.iter().map(|call| (signature(call), call.doc)),
            );
        }
        Type::WordsOrCalls(words, calls) => list(
            &mut out,
            words
                .iter()
                .map(|word| (word.name.to_owned(), word.doc))
                .chain(calls.iter().map(|call| (signature(call), call.doc))),
        ),
        _ => {}
    }
    out
}

pub(crate) fn range(out: &mut String, ty: &Type) {
    use crate::eval::put_number;
    use crate::syntax::literal::Unit;
    let (least, most, unit) = match *ty {
        Type::Number(least, most) => (least, most, Unit::None),
        Type::Size(least, most) => (least, most, Unit::Size),
        Type::Time(least, most) => (least, most, Unit::Time),
        _ => return,
    };
    out.push_str("It lies between ");
    put_number(out, least, unit);
    out.push_str(" and ");
    put_number(out, most, unit);
    out.push_str(".\n");
}

fn explain_call(call: &Call) -> String {
    let mut out = format!("{} — ", signature(call));
    let column = out.chars().count();
    wrapped(&mut out, call.doc, column, 0);
    out.push('\n');
    list(
        &mut out,
        call.arguments.iter().map(|a| (a.name.to_owned(), a.doc)),
    );
    out
}

/// `http(port, path = …, within = …)`
pub(crate) fn signature(call: &Call) -> String {
    let arguments: Vec<String> = call
        .arguments
        .iter()
        .map(|a| {
            if a.required {
                a.name.to_owned()
            } else {
                format!("{} = …", a.name)
            }
        })
        .collect();
    format!("{}({})", call.name, arguments.join(", "))
}

fn table(out: &mut String, attributes: impl Iterator<Item = &'static Attribute>) {
    list(
        out,
        attributes.map(|attribute| {
            let mark = if attribute.required { " (needed)" } else { "" };
            (format!("{}{mark}", attribute.name), attribute.doc)
        }),
    );
}

/// Names with texts beside them, wrapped at 80 columns.
fn list<'a>(out: &mut String, rows: impl Iterator<Item = (String, &'a str)>) {
    let rows: Vec<(String, &str)> = rows.collect();
    let width = rows
        .iter()
        .map(|(name, _)| name.chars().count())
        .max()
        .unwrap_or(0)
        .min(24);
    for (name, doc) in rows {
        let _ = write!(out, "  {name:width$}");
        if name.chars().count() > width {
            let _ = write!(out, "\n  {:width$}", "");
        }
        out.push_str("  ");
        wrapped(out, doc, width + 4, width + 4);
    }
}

/// Words on lines of at most 80 columns; the first begins at `column`, the others at `indent`.
fn wrapped(out: &mut String, text: &str, mut column: usize, indent: usize) {
    let mut first = true;
    for word in text.split_whitespace() {
        let length = word.chars().count();
        if !first && column + 1 + length > 80 {
            let _ = write!(out, "\n{:indent$}", "");
            column = indent;
        } else if !first {
            out.push(' ');
            column += 1;
        }
        out.push_str(word);
        column += length;
        first = false;
    }
    out.push('\n');
}
