//! Values: what expressions come to.

use crate::source::Span;
use crate::syntax::literal::Unit;
use std::collections::BTreeMap;
use std::rc::Rc;

/// Number of a block among all blocks of a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct BlockId(pub(crate) usize);

/// A value with the places it comes from.
#[derive(Debug, Clone)]
pub(crate) struct Value {
    pub(crate) kind: ValueKind,
    /// Where it is used.
    pub(crate) span: Span,
    /// Where it is written; differs from `span` where a name stands for it.
    pub(crate) origin: Span,
    /// How deep lists, records and calls lie in it.
    pub(crate) depth: u16,
    /// How many values it holds, itself included.
    pub(crate) weight: u32,
}

#[derive(Debug, Clone)]
pub(crate) enum ValueKind {
    Text(Rc<str>),
    /// A number, a size in bytes or a time in milliseconds.
    Number(i64, Unit),
    Bool(bool),
    /// A word of the language such as `dhcp`.
    Word(&'static str),
    List(Rc<Vec<Value>>),
    Record(Rc<Fields>),
    /// A call of one of the schema's constructors such as `tcp(80)`.
    Call(Rc<CallValue>),
    Block(BlockId),
    /// Something wrong that has been reported; fits everywhere.
    Error,
}

/// A call with its arguments.
#[derive(Debug, Clone)]
pub(crate) struct CallValue {
    pub(crate) name: &'static str,
    pub(crate) arguments: Vec<ArgumentValue>,
}

impl CallValue {
    /// Whether an argument is given by this name.
    pub(crate) fn has(&self, name: &str) -> bool {
        let mut names = self.arguments.iter().filter_map(|a| a.name.as_ref());
        names.any(|(given, _)| &**given == name)
    }
}

#[derive(Debug, Clone)]
pub(crate) struct ArgumentValue {
    pub(crate) name: Option<(Rc<str>, Span)>,
    pub(crate) value: Value,
}

/// Names with values, in the order of writing, each name once.
#[derive(Debug, Clone, Default)]
pub(crate) struct Fields {
    list: Vec<Field>,
    /// Positions by name, kept from [`INDEXED`] fields on.
    index: BTreeMap<Rc<str>, usize>,
    /// Something wrong, which has been reported, may have kept fields out.
    pub(crate) incomplete: bool,
}

/// From how many fields on an index is faster than looking at each.
const INDEXED: usize = 24;

#[derive(Debug, Clone)]
pub(crate) struct Field {
    pub(crate) name: Rc<str>,
    pub(crate) name_span: Span,
    pub(crate) value: Value,
}

impl Fields {
    /// No fields, because of something wrong that has been reported.
    pub(crate) fn unknown() -> Self {
        Self {
            incomplete: true,
            ..Self::default()
        }
    }

    pub(crate) fn get(&self, name: &str) -> Option<&Value> {
        self.field(name).map(|field| &field.value)
    }

    pub(crate) fn field(&self, name: &str) -> Option<&Field> {
        self.position(name).and_then(|at| self.list.get(at))
    }

    fn position(&self, name: &str) -> Option<usize> {
        if self.list.len() < INDEXED {
            return self.list.iter().position(|field| &*field.name == name);
        }
        self.index.get(name).copied()
    }

    pub(crate) fn iter(&self) -> std::slice::Iter<'_, Field> {
        self.list.iter()
    }

    pub(crate) fn len(&self) -> usize {
        self.list.len()
    }

    /// Sets a field, in place where its name is there already.
    pub(crate) fn set(&mut self, field: Field) {
        if let Some(at) = self.position(&field.name) {
            self.list[at] = field;
            return;
        }
        self.list.push(field);
        if self.list.len() == INDEXED {
            let names = self.list.iter().map(|field| Rc::clone(&field.name));
            self.index = names.zip(0..).collect();
        } else if let (true, Some(last)) = (self.list.len() > INDEXED, self.list.last()) {
            self.index
                .insert(Rc::clone(&last.name), self.list.len() - 1);
        }
    }
}

impl Value {
    pub(crate) fn new(kind: ValueKind, span: Span) -> Self {
        let (depth, weight) = match &kind {
            ValueKind::List(list) => measure(list.iter()),
            ValueKind::Record(fields) => measure(fields.iter().map(|field| &field.value)),
            ValueKind::Call(call) => measure(call.arguments.iter().map(|a| &a.value)),
            ValueKind::Text(text) => (0, 1 + u32::try_from(text.len() / 8).unwrap_or(u32::MAX)),
            _ => (0, 1),
        };
        Self {
            kind,
            span,
            origin: span,
            depth,
            weight,
        }
    }

    pub(crate) fn error(span: Span) -> Self {
        Self::new(ValueKind::Error, span)
    }

    pub(crate) fn text(text: &str, span: Span) -> Self {
        Self::new(ValueKind::Text(text.into()), span)
    }

    /// The same value where a name at `span` stands for it.
    pub(crate) fn used_at(mut self, span: Span) -> Self {
        self.span = span;
        self
    }

    pub(crate) fn is_error(&self) -> bool {
        matches!(self.kind, ValueKind::Error)
    }

    pub(crate) fn as_text(&self) -> Option<&str> {
        match &self.kind {
            ValueKind::Text(text) => Some(text),
            _ => None,
        }
    }

    pub(crate) fn as_number(&self) -> Option<i64> {
        match self.kind {
            ValueKind::Number(number, _) => Some(number),
            _ => None,
        }
    }

    pub(crate) fn as_word(&self) -> Option<&'static str> {
        match self.kind {
            ValueKind::Word(word) => Some(word),
            _ => None,
        }
    }

    pub(crate) fn as_bool(&self) -> Option<bool> {
        match self.kind {
            ValueKind::Bool(value) => Some(value),
            _ => None,
        }
    }

    pub(crate) fn as_block(&self) -> Option<BlockId> {
        match self.kind {
            ValueKind::Block(id) => Some(id),
            _ => None,
        }
    }

    pub(crate) fn as_call(&self) -> Option<&CallValue> {
        match &self.kind {
            ValueKind::Call(call) => Some(call),
            _ => None,
        }
    }

    pub(crate) fn as_record(&self) -> Option<&Fields> {
        match &self.kind {
            ValueKind::Record(fields) => Some(fields),
            _ => None,
        }
    }

    /// The elements of a list; none for anything else.
    pub(crate) fn elements(&self) -> &[Value] {
        match &self.kind {
            ValueKind::List(list) => list,
            _ => &[],
        }
    }

    /// The texts of a list.
    pub(crate) fn texts(&self) -> Vec<String> {
        self.elements()
            .iter()
            .filter_map(Value::as_text)
            .map(str::to_owned)
            .collect()
    }

    /// What it is, with its article, for messages.
    pub(crate) fn describe(&self) -> String {
        match &self.kind {
            ValueKind::Text(_) => "a text".into(),
            ValueKind::Number(_, Unit::None) => "a number".into(),
            ValueKind::Number(_, Unit::Size) => "a size".into(),
            ValueKind::Number(_, Unit::Time) => "a time".into(),
            ValueKind::Bool(value) => format!("`{value}`"),
            ValueKind::Word(word) => format!("`{word}`"),
            ValueKind::List(_) => "a list".into(),
            ValueKind::Record(_) => "a record".into(),
            ValueKind::Call(call) => format!("`{}(…)`", call.name),
            ValueKind::Block(_) => "a block".into(),
            ValueKind::Error => "something wrong".into(),
        }
    }

    /// Whether two values are the same; `None` where they cannot be compared.
    pub(crate) fn same(&self, other: &Value) -> Option<bool> {
        Some(match (&self.kind, &other.kind) {
            (ValueKind::Text(a), ValueKind::Text(b)) => a == b,
            (ValueKind::Number(a, x), ValueKind::Number(b, y)) if x == y => a == b,
            (ValueKind::Bool(a), ValueKind::Bool(b)) => a == b,
            (ValueKind::Word(a), ValueKind::Word(b)) => a == b,
            (ValueKind::Block(a), ValueKind::Block(b)) => a == b,
            (ValueKind::List(a), ValueKind::List(b)) => {
                if a.len() != b.len() {
                    return Some(false);
                }
                for (a, b) in a.iter().zip(b.iter()) {
                    if !a.same(b)? {
                        return Some(false);
                    }
                }
                true
            }
            (ValueKind::Record(a), ValueKind::Record(b)) => {
                if a.len() != b.len() {
                    return Some(false);
                }
                for field in a.iter() {
                    match b.get(&field.name) {
                        Some(value) if field.value.same(value)? => {}
                        _ => return Some(false),
                    }
                }
                true
            }
            _ => return None,
        })
    }
}

fn measure<'a>(parts: impl Iterator<Item = &'a Value>) -> (u16, u32) {
    parts.fold((1, 1), |(depth, weight), part| {
        (
            depth.max(part.depth.saturating_add(1)),
            weight.saturating_add(part.weight),
        )
    })
}
