//! The value of each kind of expression.

use super::value::{ArgumentValue, CallValue, Value, ValueKind};
use super::{Definition, Env, Evaluator, MAX_VALUE_DEPTH, MAX_VALUE_WEIGHT};
use crate::codes;
use crate::diagnostic::Diagnostic;
use crate::schema;
use crate::source::Span;
use crate::suggest::nearest;
use crate::syntax::ast::{Argument, Element, Expr, ExprKind, Name, TextPart, UnaryOperator};
use crate::syntax::literal::{UNITS, Unit};
use std::fmt::Write as _;
use std::rc::Rc;

/// Longest text that a spec can put together, in bytes.
const MAX_TEXT: usize = 1 << 20;

/// Most numbers that `range` gives.
const MAX_RANGE: i64 = 10_000;

impl<'a> Evaluator<'a> {
    /// The value of `expr`; [`ValueKind::Error`] where that has been reported to be wrong.
    pub(crate) fn value(&mut self, env: &Env, expr: &'a Expr) -> Value {
        if !self.spend(1, expr.span) {
            return Value::error(expr.span);
        }
        if !self.deeper(expr.span) {
            return Value::error(expr.span);
        }
        let mut value = self.bare_value(env, expr);
        self.depth -= 1;
        if !matches!(expr.kind, ExprKind::Path(_)) {
            value.span = expr.span;
        }
        let too_long = value.as_text().is_some_and(|text| text.len() > MAX_TEXT);
        if too_long || value.depth > MAX_VALUE_DEPTH || value.weight > MAX_VALUE_WEIGHT {
            self.report(Diagnostic::new(
                codes::TOO_MUCH,
                expr.span,
                "this value is too large",
                "make it of fewer or shorter lists",
            ));
            return Value::error(expr.span);
        }
        value
    }

    fn bare_value(&mut self, env: &Env, expr: &'a Expr) -> Value {
        let span = expr.span;
        match &expr.kind {
            ExprKind::Error => Value::error(span),
            ExprKind::Number(amount, unit) => Value::new(ValueKind::Number(*amount, *unit), span),
            ExprKind::Text { parts, .. } => self.text_value(env, parts, span),
            ExprKind::Path(path) => self.path_value(env, path),
            ExprKind::List(elements) => {
                let mut values = Vec::with_capacity(elements.len());
                self.collect_elements(env, elements, &mut values);
                Value::new(ValueKind::List(Rc::new(values)), span)
            }
            ExprKind::Record(entries) => {
                let fields = self.entries(env, entries, &super::Fields::default(), false);
                Value::new(ValueKind::Record(Rc::new(fields)), span)
            }
            ExprKind::Call {
                function,
                arguments,
            } => self.call(env, function, arguments, span),
            ExprKind::Unary(UnaryOperator::Not, operand) => match self.condition(env, operand) {
                Some(value) => Value::new(ValueKind::Bool(!value), span),
                None => Value::error(span),
            },
            ExprKind::Unary(UnaryOperator::Negate, operand) => {
                let operand = self.value(env, operand);
                self.negate(&operand, span)
            }
            ExprKind::Binary(operator, left, right) => {
                if let Some(value) = self.short_circuit(env, *operator, left, right, span) {
                    return value;
                }
                let left = self.value(env, left);
                let right = self.value(env, right);
                self.binary(*operator, left, right, span)
            }
            ExprKind::If(condition, then, otherwise) => match self.condition(env, condition) {
                Some(true) => self.value(env, then),
                Some(false) => self.value(env, otherwise),
                None => Value::error(span),
            },
        }
    }

    /// The value of a condition; `None` where it is wrong and reported.
    pub(super) fn condition(&mut self, env: &Env, expr: &'a Expr) -> Option<bool> {
        let value = self.value(env, expr);
        match value.kind {
            ValueKind::Bool(value) => Some(value),
            ValueKind::Error => None,
            _ => {
                self.report(Diagnostic::new(
                    codes::WRONG_TYPE,
                    expr.span,
                    format!("a condition is true or false, not {}", value.describe()),
                    "compare it with something: `x == \"a\"`, `n > 1`",
                ));
                None
            }
        }
    }

    fn text_value(&mut self, env: &Env, parts: &'a [TextPart], span: Span) -> Value {
        let mut text = String::new();
        let mut wrong = false;
        for part in parts {
            match part {
                TextPart::Chars(chars) => text.push_str(chars),
                TextPart::Hole(hole) => {
                    let value = self.value(env, hole);
                    wrong |= !self.put_into_text(&mut text, &value);
                }
            }
            if text.len() > MAX_TEXT {
                return self.text_too_long(span);
            }
        }
        if !self.spend(text.len() / 8, span) || wrong {
            return Value::error(span);
        }
        Value::text(&text, span)
    }

    fn text_too_long(&mut self, span: Span) -> Value {
        self.report(Diagnostic::new(
            codes::TOO_MUCH,
            span,
            format!("this text is longer than {MAX_TEXT} bytes"),
            "put long contents into a file beside the spec and name it: file(\"…\")",
        ));
        Value::error(span)
    }

    fn put_into_text(&mut self, text: &mut String, value: &Value) -> bool {
        match &value.kind {
            ValueKind::Text(part) => text.push_str(part),
            ValueKind::Number(amount, unit) => put_number(text, *amount, *unit),
            ValueKind::Bool(value) => text.push_str(if *value { "true" } else { "false" }),
            ValueKind::Block(id) => text.push_str(&self.block(*id).name),
            ValueKind::Error => return false,
            _ => {
                self.report(Diagnostic::new(
                    codes::NOT_A_TEXT_PIECE,
                    value.span,
                    format!("{} cannot be put into a text", value.describe()),
                    "put texts, numbers, sizes, times, true, false or blocks into texts",
                ));
                return false;
            }
        }
        true
    }

    fn collect_elements(&mut self, env: &Env, elements: &'a [Element], out: &mut Vec<Value>) {
        for element in elements {
            match element {
                Element::Value(expr) => {
                    let value = self.value(env, expr);
                    out.push(value);
                }
                Element::If(item) => {
                    let branch = self.branch(env, item);
                    self.collect_elements(env, branch, out);
                }
                Element::For(item) => {
                    for inner in self.rounds(env, &item.names, &item.list) {
                        self.collect_elements(&inner, &item.body, out);
                    }
                }
            }
        }
    }

    fn call(
        &mut self,
        env: &Env,
        function: &'a [Name],
        arguments: &'a [Argument],
        span: Span,
    ) -> Value {
        let mut values = Vec::with_capacity(arguments.len());
        for argument in arguments {
            values.push(ArgumentValue {
                name: argument
                    .name
                    .as_ref()
                    .map(|name| (name.text.as_str().into(), name.span)),
                value: self.value(env, &argument.value),
            });
        }
        if let [name] = function {
            if let Some(name) = schema::call_name(&name.text) {
                return Value::new(
                    ValueKind::Call(Rc::new(CallValue {
                        name,
                        arguments: values,
                    })),
                    span,
                );
            }
            match name.text.as_str() {
                "range" => return self.range(&values, span),
                "join" => return self.join(&values, span),
                _ => {}
            }
            if schema::block(&name.text).is_some() {
                return self.block_by_name(env, &name.text, &values, span);
            }
        }
        let shown = function
            .iter()
            .map(|name| name.text.as_str())
            .collect::<Vec<_>>()
            .join(".");
        let place = function.first().map_or(span, |first| first.span);
        let wrong = match self.resolve_definition(env, function) {
            Some(Definition::Wrong) => return Value::error(span),
            Some(Definition::Template(_, template)) => Diagnostic::new(
                codes::UNKNOWN_CALL,
                place,
                format!("`{shown}` is a template, not a value"),
                format!(
                    "make a block of it: `{} NAME like {shown}(…)`",
                    template.kind.text
                ),
            ),
            _ => {
                let near = nearest(&shown, schema::call_names().chain(["range", "join"]));
                let wrong = Diagnostic::new(
                    codes::UNKNOWN_CALL,
                    place,
                    format!("`{shown}` cannot be called"),
                    match near {
                        Some(near) => format!("did you mean `{near}`?"),
                        None => "leave the parentheses out, or see `nos explain E0205` for what can be called".into(),
                    },
                );
                match near {
                    Some(near) => wrong.fix(place, near),
                    None => wrong,
                }
            }
        };
        self.report(wrong);
        Value::error(span)
    }

    /// `range(first, last)`: the whole numbers from the first to the last.
    fn range(&mut self, arguments: &[ArgumentValue], span: Span) -> Value {
        let numbers: Vec<i64> = arguments
            .iter()
            .filter(|argument| argument.name.is_none())
            .filter_map(|argument| match argument.value.kind {
                ValueKind::Number(number, Unit::None) => Some(number),
                _ => None,
            })
            .collect();
        let [first, last] = numbers[..] else {
            if !arguments.iter().any(|argument| argument.value.is_error()) {
                self.report(Diagnostic::new(
                    codes::BAD_ARGUMENT,
                    span,
                    "`range` takes two numbers: the first and the last",
                    "write `range(1, 10)`",
                ));
            }
            return Value::error(span);
        };
        if last
            .checked_sub(first)
            .is_none_or(|distance| distance >= MAX_RANGE)
        {
            self.report(Diagnostic::new(
                codes::TOO_MUCH,
                span,
                format!("this range has more than {MAX_RANGE} numbers"),
                "take a shorter one",
            ));
            return Value::error(span);
        }
        let values: Vec<Value> = (first..=last)
            .map(|number| Value::new(ValueKind::Number(number, Unit::None), span))
            .collect();
        self.spend(values.len(), span);
        Value::new(ValueKind::List(Rc::new(values)), span)
    }

    /// `join(list, ", ")`: the elements of a list as one text, with another between them.
    fn join(&mut self, arguments: &[ArgumentValue], span: Span) -> Value {
        let given: Vec<&Value> = arguments
            .iter()
            .filter(|argument| argument.name.is_none())
            .map(|argument| &argument.value)
            .collect();
        let (list, between) = match given[..] {
            [list, between] if arguments.len() == 2 => match (&list.kind, &between.kind) {
                (ValueKind::Error, _) | (_, ValueKind::Error) => return Value::error(span),
                (ValueKind::List(list), ValueKind::Text(between)) => (list, between),
                _ => return self.wrong_join(span),
            },
            _ => return self.wrong_join(span),
        };
        let mut text = String::new();
        let mut whole = true;
        for (index, element) in list.iter().enumerate() {
            if index > 0 {
                text.push_str(between);
            }
            whole &= self.put_into_text(&mut text, element);
            if text.len() > MAX_TEXT {
                return self.text_too_long(span);
            }
        }
        match whole && self.spend(list.len() + text.len() / 8, span) {
            true => Value::text(&text, span),
            false => Value::error(span),
        }
    }

    fn wrong_join(&mut self, span: Span) -> Value {
        self.report(Diagnostic::new(
            codes::BAD_ARGUMENT,
            span,
            "`join` takes a list and the text between its elements",
            "write `join([\"a\", \"b\"], \", \")`",
        ));
        Value::error(span)
    }

    /// `service("web-1")`: a block by a name that is put together.
    fn block_by_name(
        &mut self,
        env: &Env,
        kind: &str,
        arguments: &[ArgumentValue],
        span: Span,
    ) -> Value {
        let [ArgumentValue { name: None, value }] = arguments else {
            self.report(Diagnostic::new(
                codes::BAD_ARGUMENT,
                span,
                format!("`{kind}(…)` takes the name of a {kind}"),
                format!("write `{kind}(\"name-${{n}}\")`"),
            ));
            return Value::error(span);
        };
        let Some(name) = value.as_text() else {
            if !value.is_error() {
                self.report(Diagnostic::new(
                    codes::WRONG_TYPE,
                    value.span,
                    format!("the name of a {kind} is a text, not {}", value.describe()),
                    format!("without a text it needs no call: write the {kind}'s name alone"),
                ));
            }
            return Value::error(span);
        };
        let path = [Name {
            text: name.to_owned(),
            span: value.span,
        }];
        match self.scopes[env.module].get(name) {
            Some(Definition::Block(_)) => self.path_value(env, &path).used_at(span),
            Some(Definition::Wrong) => Value::error(span),
            _ => {
                let known: Vec<String> = self
                    .blocks
                    .iter()
                    .map(|block| block.name.to_string())
                    .collect();
                let near = nearest(name, known.iter().map(String::as_str));
                let help = match near {
                    Some(near) => format!("did you mean \"{near}\"?"),
                    None => format!("define it: `{kind} {name} {{ … }}`"),
                };
                self.report(Diagnostic::new(
                    codes::UNKNOWN_NAME,
                    value.span,
                    format!("there is no {kind} `{name}` in this file"),
                    help,
                ));
                Value::error(span)
            }
        }
    }
}

/// Writes a number with the largest unit that divides it.
pub(crate) fn put_number(text: &mut String, amount: i64, unit: Unit) {
    let best = UNITS
        .iter()
        .filter(|(_, u, _)| *u == unit)
        .filter_map(|(name, _, factor)| Some((name, i64::try_from(*factor).ok()?)))
        .rfind(|(_, factor)| amount % factor == 0 && (amount != 0 || *factor == 1));
    let _ = match best {
        Some((name, factor)) => write!(text, "{}{name}", amount / factor),
        None => write!(text, "{amount}"),
    };
}
