//! Values and definitions as one would write them.

use crate::eval::Evaluator;
use crate::eval::put_number;
use crate::eval::value::{Value, ValueKind};
use std::fmt::Write as _;

/// Characters of a value that are shown.
const MOST: usize = 600;

/// Parts of a list or record that are shown.
const MOST_PARTS: usize = 16;

/// Lists and records with more characters are broken into lines.
const LINE: usize = 60;

/// `value` as one would write it, cut where it is long.
pub(super) fn value(evaluator: &Evaluator<'_>, value: &Value) -> String {
    let mut shown = Shown {
        evaluator,
        out: String::new(),
    };
    shown.put(value, 0);
    let mut out = shown.out;
    if let Some((end, _)) = out.char_indices().nth(MOST) {
        out.truncate(end);
        out.push('…');
    }
    out
}

struct Shown<'e, 'a> {
    evaluator: &'e Evaluator<'a>,
    out: String,
}

impl Shown<'_, '_> {
    fn put(&mut self, value: &Value, depth: usize) {
        if self.out.len() > 4 * MOST {
            return;
        }
        match &value.kind {
            ValueKind::Text(text) => {
                self.out.push('"');
                for c in text.chars().take(MOST) {
                    match c {
                        '\n' => self.out.push_str("\\n"),
                        '\t' => self.out.push_str("\\t"),
                        '"' | '\\' | '$' => self.out.extend(['\\', c]),
                        c if c.is_control() => {
                            let _ = write!(self.out, "\\u{{{:x}}}", u32::from(c));
                        }
                        c => self.out.push(c),
                    }
                }
                self.out.push('"');
            }
            ValueKind::Number(amount, unit) => put_number(&mut self.out, *amount, *unit),
            ValueKind::Bool(value) => {
                let _ = write!(self.out, "{value}");
            }
            ValueKind::Word(word) => self.out.push_str(word),
            ValueKind::Block(id) => self.out.push_str(&self.evaluator.block(*id).name),
            ValueKind::Error => self.out.push('?'),
            ValueKind::List(elements) => self.group("[", "]", depth, elements, |shown, element| {
                shown.put(element, depth + 1);
            }),
            ValueKind::Record(fields) => {
                let fields: Vec<_> = fields.iter().collect();
                self.group("{ ", " }", depth, &fields, |shown, field| {
                    if crate::syntax::lexer::is_name(&field.name) {
                        let _ = write!(shown.out, "{} = ", field.name);
                    } else {
                        let _ = write!(shown.out, "{:?} = ", field.name);
                    }
                    shown.put(&field.value, depth + 1);
                });
            }
            ValueKind::Call(call) => {
                let open = format!("{}(", call.name);
                self.group(&open, ")", depth, &call.arguments, |shown, argument| {
                    if let Some((name, _)) = &argument.name {
                        let _ = write!(shown.out, "{name} = ");
                    }
                    shown.put(&argument.value, depth + 1);
                });
            }
        }
    }

    /// Parts between brackets, on one line where they are short.
    fn group<T>(
        &mut self,
        open: &str,
        close: &str,
        depth: usize,
        parts: &[T],
        one: impl Fn(&mut Self, &T),
    ) {
        let before = std::mem::take(&mut self.out);
        let mut shown = Vec::with_capacity(parts.len().min(MOST_PARTS + 1));
        let mut length = 0;
        for part in parts {
            if shown.len() == MOST_PARTS || length > MOST {
                shown.push("…".to_owned());
                break;
            }
            one(self, part);
            let text = std::mem::take(&mut self.out);
            length += text.len() + 2;
            shown.push(text);
        }
        self.out = before;
        self.out.push_str(open);
        if length > LINE {
            let indent = "  ".repeat(depth + 1);
            for part in &shown {
                let _ = write!(self.out, "\n{indent}{part}");
            }
            let _ = write!(self.out, "\n{}", "  ".repeat(depth));
            self.out.push_str(close.trim_start());
        } else if shown.is_empty() {
            self.out.truncate(self.out.trim_end().len());
            self.out.push_str(close.trim_start());
        } else {
            self.out.push_str(&shown.join(", "));
            self.out.push_str(close);
        }
    }
}
