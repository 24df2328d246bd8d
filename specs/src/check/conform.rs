//! Values against the schema.

use super::Checker;
use crate::codes;
use crate::diagnostic::Diagnostic;
use crate::eval::put_number;
use crate::eval::value::{CallValue, Field, Fields, Value, ValueKind};
use crate::schema::{self, Attribute, Call, Rule, Type, choice};
use crate::source::Span;
use crate::suggest::nearest;
use crate::syntax::literal::Unit;
use std::rc::Rc;

impl Checker<'_> {
    /// The fields that `attributes` know and whose values fit; everything else is reported.
    /// `owner` is what has the fields (`service `web``), `path` its place in the schema.
    pub(super) fn conform_fields(
        &mut self,
        fields: &Fields,
        attributes: &[&'static Attribute],
        owner: &str,
        path: &str,
        owner_span: Span,
    ) -> Fields {
        let mut good = Fields::default();
        good.incomplete = fields.incomplete;
        // An attribute under a wrong name is not also missing under its right one.
        let mut meant = Vec::new();
        for field in fields.iter() {
            let Some(attribute) = attributes.iter().find(|a| *a.name == *field.name) else {
                meant.extend(self.unknown_attribute(field, attributes, owner, path));
                continue;
            };
            if self.conform(&field.value, attribute.ty, attribute.name) {
                good.set(field.clone());
            }
        }
        for attribute in attributes {
            let there = fields.get(attribute.name).is_some() || meant.contains(&attribute.name);
            if attribute.required && !there && !fields.incomplete {
                let message = format!("{owner} has no `{}`", attribute.name);
                let help = format!("add `{}`", attribute.example);
                self.report(Diagnostic::new(
                    codes::MISSING_ATTRIBUTE,
                    owner_span,
                    message,
                    help,
                ));
            }
        }
        good
    }

    fn unknown_attribute(
        &mut self,
        field: &Field,
        attributes: &[&'static Attribute],
        owner: &str,
        path: &str,
    ) -> Option<&'static str> {
        let name = &*field.name;
        let alias = attributes
            .iter()
            .find(|a| a.aliases.contains(&name))
            .map(|a| a.name);
        let near = alias.or_else(|| nearest(name, attributes.iter().map(|a| a.name)));
        let message = format!("{owner} has no attribute `{name}`");
        let wrong = |help| {
            Diagnostic::new(
                codes::UNKNOWN_ATTRIBUTE,
                field.name_span,
                message.clone(),
                help,
            )
        };
        let wrong = match near {
            Some(near) => wrong(format!("did you mean `{near}`?")).fix(field.name_span, near),
            None => match schema::BLOCKS
                .iter()
                .find(|b| b.attributes().any(|a| a.name == name))
            {
                Some(other) if other.name != path => {
                    wrong(format!("`{name}` belongs into a {} block", other.name))
                }
                _ => {
                    let known: Vec<&str> = attributes.iter().map(|a| a.name).collect();
                    wrong(format!("the attributes are {}", known.join(", ")))
                }
            },
        };
        self.report(wrong);
        near
    }

    /// Whether `value`, given to the attribute `name`, is what `ty` takes; reports where not.
    pub(super) fn conform(&mut self, value: &Value, ty: &'static Type, name: &str) -> bool {
        if value.is_error() || !self.evaluator.spend(1, value.span) {
            return false;
        }
        match (ty, &value.kind) {
            (Type::Bool, ValueKind::Bool(_)) => true,
            (Type::Text(rule), ValueKind::Text(text)) => self.text(value, text, rule),
            (Type::Number(least, most), ValueKind::Number(amount, Unit::None))
            | (Type::Size(least, most), ValueKind::Number(amount, Unit::Size))
            | (Type::Time(least, most), ValueKind::Number(amount, Unit::Time)) => {
                self.range(value, *amount, *least, *most, name)
            }
            (Type::Words(words), ValueKind::Word(word))
            | (Type::WordsOrCalls(words, _), ValueKind::Word(word)) => {
                let known = words.iter().any(|known| known.name == *word);
                if !known {
                    self.wrong_word(value, word, ty, name);
                }
                known
            }
            (Type::List { of, empty, repeats }, ValueKind::List(elements)) => {
                let mut fits = true;
                for element in elements.iter() {
                    fits &= self.conform(element, of, name);
                }
                if elements.is_empty() && !empty {
                    self.report(Diagnostic::new(
                        codes::EMPTY_LIST,
                        value.span,
                        format!("`{name}` is empty"),
                        format!("write what it needs, such as `{name} = {}`", ty.example()),
                    ));
                    fits = false;
                }
                if !repeats {
                    fits &= self.no_repeats(elements, name);
                }
                fits
            }
            (Type::Map(key, of), ValueKind::Record(fields)) => {
                let mut fits = true;
                for field in fields.iter() {
                    let label = Value::text(&field.name, field.name_span);
                    fits &= self.text(&label, &field.name, key);
                    fits &= self.conform(&field.value, of, name);
                }
                fits
            }
            (Type::Record(attributes), ValueKind::Record(fields)) => {
                let attributes: Vec<&'static Attribute> = attributes.iter().collect();
                let owner = format!("`{name}`");
                let good = self.conform_fields(fields, &attributes, &owner, name, value.span);
                good.len() == fields.len()
            }
            (Type::Block(kind), ValueKind::Block(id)) => {
                let block = self.evaluator.block(*id);
                let (found, label) = (block.kind.map_or("", |kind| kind.name), block.name_span);
                if found != *kind {
                    let text = &*block.name;
                    let wrong = Diagnostic::new(
                        codes::WRONG_KIND,
                        value.span,
                        format!(
                            "`{name}` takes {}s, but `{text}` is {}",
                            kind,
                            schema::article(found)
                        ),
                        format!("name a {kind} block"),
                    );
                    self.report(wrong.label(label, format!("the {found}")));
                }
                found == *kind
            }
            (Type::Calls(calls), ValueKind::Call(call))
            | (Type::WordsOrCalls(_, calls), ValueKind::Call(call)) => {
                match schema::meant(calls, call.name, |name| call.has(name)) {
                    Some(known) => self.call(value, call, known),
                    None => self.wrong_type(value, ty, name),
                }
            }
            _ => self.wrong_type(value, ty, name),
        }
    }

    fn text(&mut self, value: &Value, text: &str, rule: &Rule) -> bool {
        let Err(problem) = (rule.check)(text) else {
            return true;
        };
        let shown: String = text.chars().take(60).flat_map(char::escape_debug).collect();
        let dots = if text.chars().count() > 60 { "…" } else { "" };
        let mut wrong = Diagnostic::new(
            problem.code,
            value.span,
            format!("\"{shown}{dots}\" {}", problem.message),
            problem.help,
        );
        if value.origin != value.span {
            wrong = wrong.label(value.origin, "written here");
        }
        if let Some(better) = problem.better {
            wrong = match self.sources.slice(value.origin).starts_with('"') {
                true => wrong.fix(value.origin, format!("{better:?}")),
                false => wrong.fix(value.origin, better),
            };
        }
        self.report(wrong);
        false
    }

    fn range(&mut self, value: &Value, amount: i64, least: i64, most: i64, name: &str) -> bool {
        if (least..=most).contains(&amount) {
            return true;
        }
        let ValueKind::Number(_, unit) = value.kind else {
            return false;
        };
        let shown = |amount| {
            let mut text = String::new();
            put_number(&mut text, amount, unit);
            text
        };
        let side = if amount < least {
            "less than the least"
        } else {
            "more than the most"
        };
        let bound = shown(if amount < least { least } else { most });
        let wrong = Diagnostic::new(
            codes::OUT_OF_RANGE,
            value.span,
            format!("`{name}` is {}, {side}: {bound}", shown(amount)),
            format!(
                "give something between {} and {}",
                shown(least),
                shown(most)
            ),
        );
        self.report(wrong);
        false
    }

    fn no_repeats(&mut self, elements: &[Value], name: &str) -> bool {
        let key = |value: &Value| match &value.kind {
            ValueKind::Text(text) => Some(text.to_string()),
            ValueKind::Block(id) => Some(id.0.to_string()),
            ValueKind::Call(call) => {
                let first = call.arguments.first()?.value.as_number()?;
                Some(format!("{}({first})", call.name))
            }
            _ => None,
        };
        let mut seen = std::collections::BTreeMap::new();
        let mut fits = true;
        for value in elements {
            let Some(key) = key(value) else { continue };
            if let Some(first) = seen.insert(key, value.span) {
                self.report(
                    Diagnostic::new(
                        codes::REPEATED_ELEMENT,
                        value.span,
                        format!("this stands in `{name}` a second time"),
                        "take one of the two out",
                    )
                    .label(first, "the first time"),
                );
                fits = false;
            }
        }
        fits
    }

    fn call(&mut self, value: &Value, call: &CallValue, known: &'static Call) -> bool {
        let mut values: Vec<Option<&Value>> = vec![None; known.arguments.len()];
        let mut fits = true;
        let names = || known.arguments.iter().map(|argument| argument.name);
        for (position, argument) in call.arguments.iter().enumerate() {
            let place = argument
                .name
                .as_ref()
                .map_or(argument.value.span, |(_, span)| *span);
            let index = match &argument.name {
                Some((name, _)) => known.arguments.iter().position(|a| *a.name == **name),
                // Only what must be given can be given without its name.
                None => known
                    .arguments
                    .get(position)
                    .filter(|a| a.required)
                    .map(|_| position),
            };
            match index {
                Some(index) if values[index].is_none() => values[index] = Some(&argument.value),
                Some(index) => {
                    fits = false;
                    self.report(Diagnostic::new(
                        codes::BAD_ARGUMENT,
                        place,
                        format!(
                            "the argument `{}` is given twice",
                            known.arguments[index].name
                        ),
                        "take one of the two out",
                    ));
                }
                None => {
                    fits = false;
                    let near = argument.name.as_ref().and_then(|(name, _)| {
                        let alias = known.arguments.iter().find(|a| {
                            a.name == format!("{name}es") || a.name == format!("{name}s")
                        });
                        alias.map(|a| a.name).or_else(|| nearest(name, names()))
                    });
                    let what = match &argument.name {
                        Some((name, _)) => format!("`{}` has no argument `{name}`", known.name),
                        None => format!("`{}` takes no value here without its name", known.name),
                    };
                    let other = argument.name.as_ref().and_then(|(name, _)| {
                        let other = schema::meant(schema::CALLS, call.name, |n| n == &**name)?;
                        other.arguments.iter().find(|a| *a.name == **name)
                    });
                    let help = match (near, other) {
                        (Some(near), _) => format!("did you mean `{near}`?"),
                        (None, Some(other)) => {
                            let first = known.arguments.first().map_or("", |a| a.name);
                            format!("give it `{first}` or `{}`, not both", other.name)
                        }
                        (None, None) => {
                            let open = known.arguments.iter().zip(&values);
                            let open = open.filter(|(_, value)| value.is_none());
                            match choice(open.map(|(a, _)| format!("`{} = …`", a.name))) {
                                open if open.is_empty() => "take it out".into(),
                                open => format!("take it out, or name it: {open}"),
                            }
                        }
                    };
                    let wrong = Diagnostic::new(codes::BAD_ARGUMENT, place, what, help);
                    if let Some(near) = near {
                        if let Some(index) = known.arguments.iter().position(|a| a.name == near) {
                            // Not missing, only misspelt.
                            values[index].get_or_insert(&argument.value);
                        }
                        self.report(wrong.fix(place, near));
                    } else {
                        self.report(wrong);
                    }
                }
            }
        }
        for (argument, found) in known.arguments.iter().zip(&values) {
            match found {
                Some(value) => fits &= self.conform(value, argument.ty, argument.name),
                None if argument.required => {
                    fits = false;
                    let given = call.arguments.is_empty();
                    let wrong = Diagnostic::new(
                        codes::BAD_ARGUMENT,
                        value.span,
                        format!(
                            "`{}` needs {}: `{}`",
                            known.name,
                            argument.ty.describe(),
                            argument.name
                        ),
                        if given {
                            format!("write `{}`", known.example())
                        } else {
                            format!("add `{} = {}`", argument.name, argument.ty.example())
                        },
                    );
                    self.report(wrong);
                }
                None => {}
            }
        }
        fits
    }

    fn wrong_word(&mut self, value: &Value, word: &str, ty: &Type, name: &str) {
        self.report(Diagnostic::new(
            codes::UNKNOWN_WORD,
            value.span,
            format!("`{name}` cannot be `{word}`"),
            format!("write {}", ty.describe()),
        ));
    }

    /// Reports a value of the wrong type, with the repair of the common slips.
    fn wrong_type(&mut self, value: &Value, ty: &'static Type, name: &str) -> bool {
        let source = self.sources.slice(value.span);
        let literal = value.origin == value.span;
        let message = format!("`{name}` takes {}, not {}", ty.describe(), value.describe());
        let wrong =
            |help: String| Diagnostic::new(codes::WRONG_TYPE, value.span, message.clone(), help);
        let quoted = value.as_text().filter(|_| literal);
        let mut diagnostic = match (ty, &value.kind) {
            (Type::List { of, .. }, _) if fits_loosely(of, value) => {
                wrong("put it in brackets".into()).fix(value.span, format!("[{source}]"))
            }
            (Type::Words(words) | Type::WordsOrCalls(words, _), ValueKind::Text(text)) => {
                let near = words
                    .iter()
                    .map(|word| word.name)
                    .find(|word| **word == **text);
                match near {
                    Some(word) => wrong("leave out the quotes".into()).fix(value.span, word),
                    None => wrong(format!("write {}", ty.describe())),
                }
            }
            (Type::Number(..) | Type::Size(..) | Type::Time(..), ValueKind::Text(_))
                if quoted.is_some_and(is_number) =>
            {
                wrong("leave out the quotes".into()).fix(value.span, quoted.unwrap_or_default())
            }
            (Type::Size(..), ValueKind::Number(amount, Unit::None)) if literal => {
                wrong("say what it counts: MiB, GiB".into()).fix(value.span, format!("{amount}MiB"))
            }
            (Type::Time(..), ValueKind::Number(amount, Unit::None)) if literal => {
                wrong("say what it counts: s, ms, min".into()).fix(value.span, format!("{amount}s"))
            }
            (Type::Text(_), ValueKind::Number(..)) if literal => {
                wrong("put it in quotes".into()).fix(value.span, format!("\"{source}\""))
            }
            (Type::Calls(calls), ValueKind::Text(_)) if literal => {
                let calls = calls.iter().filter(|call| !call.arguments.is_empty());
                let calls = calls.map(|call| format!("`{}({source})`", call.name));
                wrong(format!("say what it is: {}", choice(calls)))
            }
            (Type::Calls(calls), ValueKind::Number(_, Unit::None)) if literal => {
                let calls = calls.iter().filter(|call| !call.arguments.is_empty());
                let calls = calls.map(|call| format!("`{}({source})`", call.name));
                wrong(format!("say what it is: {}", choice(calls)))
            }
            (Type::Block(kind), ValueKind::Text(text)) => {
                let id = self.evaluator.block_named(text);
                match id {
                    Some(_) => wrong("leave out the quotes".into()).fix(value.span, &**text),
                    None => wrong(format!(
                        "name {}",
                        schema::article(&format!("{kind} block"))
                    )),
                }
            }
            (Type::Block(kind), _) => wrong(format!("name a {kind} block")),
            (Type::Map(..), ValueKind::List(_)) => {
                wrong(format!("write it in braces: {name} = {}", ty.example()))
            }
            (Type::Bool, _) => wrong("write `true` or `false`".into()),
            _ => wrong(format!("write one such as `{}`", ty.example())),
        };
        if !literal && self.sources.slice(value.origin) != source {
            diagnostic = diagnostic.label(value.origin, "written here");
        }
        self.report(diagnostic);
        false
    }
}

/// Whether `value` looks like an element of a list of `ty`.
fn fits_loosely(ty: &Type, value: &Value) -> bool {
    match (ty, &value.kind) {
        (Type::Text(_), ValueKind::Text(_)) | (Type::Block(_), ValueKind::Block(_)) => true,
        (Type::Calls(calls), ValueKind::Call(call)) => calls.iter().any(|c| c.name == call.name),
        _ => false,
    }
}

fn is_number(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_digit())
        && crate::syntax::literal::number(Span::default(), text).is_ok()
}

/// The values of a call's arguments, by their names.
pub(super) fn arguments(call: &CallValue, known: &Call) -> Fields {
    let mut fields = Fields::default();
    for (position, argument) in call.arguments.iter().enumerate() {
        let name: Option<Rc<str>> = match &argument.name {
            Some((name, _)) => Some(Rc::clone(name)),
            None => known.arguments.get(position).map(|a| a.name.into()),
        };
        if let Some(name) = name {
            fields.set(Field {
                name,
                name_span: argument.value.span,
                value: argument.value.clone(),
            });
        }
    }
    fields
}
