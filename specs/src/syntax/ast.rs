//! The syntax tree: what was written, each piece with its place.

use super::literal::Unit;
use super::token::Token;
use crate::source::Span;

/// A parsed text. Parsing never fails; where the text is wrong, the tree has gaps
/// ([`ExprKind::Error`]) and the parser's diagnostics say why.
#[derive(Debug, Clone, Default)]
pub struct Ast {
    /// Top-level items in order.
    pub items: Vec<Item>,
    /// Every token of the text, white space and comments with them.
    pub tokens: Vec<Token>,
}

/// A word with its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Name {
    /// The word.
    pub text: String,
    /// Where it stands.
    pub span: Span,
}

/// The place of a whole path.
pub fn path_span(path: &[Name]) -> Span {
    match (path.first(), path.last()) {
        (Some(first), Some(last)) => first.span.to(last.span),
        _ => Span::default(),
    }
}

/// Something at the top level of a file.
#[derive(Debug, Clone)]
pub enum Item {
    /// `use std.kernel`
    Use(Use),
    /// `let name = value`
    Let(Let),
    /// `service web { … }`
    Block(Block),
    /// `template service page(port: number) { … }`
    Template(Template),
    /// `for x in list { … }`
    For(For<Item>),
    /// `if condition { … } else { … }`
    If(If<Item>),
}

impl Item {
    /// Where it stands.
    pub fn span(&self) -> Span {
        match self {
            Item::Use(item) => item.span,
            Item::Let(item) => item.span,
            Item::Block(item) => item.span,
            Item::Template(item) => item.span,
            Item::For(item) => item.span,
            Item::If(item) => item.span,
        }
    }
}

/// `use a.b as c`
#[derive(Debug, Clone)]
pub struct Use {
    /// `a`, `b`
    pub path: Vec<Name>,
    /// `c`
    pub alias: Option<Name>,
    /// The whole line.
    pub span: Span,
}

/// `let name = value`
#[derive(Debug, Clone)]
pub struct Let {
    /// What is defined.
    pub name: Name,
    /// What it stands for.
    pub value: Expr,
    /// All of it.
    pub span: Span,
}

/// `kind name like base { … }`
#[derive(Debug, Clone)]
pub struct Block {
    /// `service`, `host`, …
    pub kind: Name,
    /// A word, or a text that may have holes.
    pub name: Key,
    /// What the block starts from.
    pub like: Option<Expr>,
    /// Attributes.
    pub body: Vec<Entry>,
    /// All of it.
    pub span: Span,
}

/// `template kind name(parameters) like base { … }`
#[derive(Debug, Clone)]
pub struct Template {
    /// Kind of the blocks it makes.
    pub kind: Name,
    /// Its name.
    pub name: Name,
    /// What it must be told.
    pub parameters: Vec<Parameter>,
    /// What the blocks start from.
    pub like: Option<Expr>,
    /// Attributes.
    pub body: Vec<Entry>,
    /// All of it.
    pub span: Span,
}

/// `name: type = default`
#[derive(Debug, Clone)]
pub struct Parameter {
    /// Its name.
    pub name: Name,
    /// Its type's name.
    pub kind: Name,
    /// Value where none is given.
    pub default: Option<Expr>,
}

/// `for a, b in list { … }`
#[derive(Debug, Clone)]
pub struct For<T> {
    /// One name for the elements of a list, or two for the names and values of a record.
    pub names: Vec<Name>,
    /// What is gone through.
    pub list: Expr,
    /// What is repeated.
    pub body: Vec<T>,
    /// All of it.
    pub span: Span,
}

/// `if condition { … } else { … }`
#[derive(Debug, Clone)]
pub struct If<T> {
    /// The condition.
    pub condition: Expr,
    /// What holds if it does.
    pub then: Vec<T>,
    /// What holds if it does not; `None` where there is no `else`.
    pub otherwise: Option<Vec<T>>,
    /// All of it.
    pub span: Span,
}

impl<T> If<T> {
    /// The part that counts for this value of the condition.
    pub fn branch(&self, condition: Option<bool>) -> &[T] {
        match condition {
            Some(true) => &self.then,
            Some(false) => self.otherwise.as_deref().unwrap_or(&[]),
            None => &[],
        }
    }
}

/// The left side of an attribute, or the name of a block.
#[derive(Debug, Clone)]
pub enum Key {
    /// A plain word.
    Name(Name),
    /// A text in quotes.
    Text(Expr),
}

impl Key {
    /// Where it stands.
    pub fn span(&self) -> Span {
        match self {
            Key::Name(name) => name.span,
            Key::Text(expr) => expr.span,
        }
    }
}

/// Something in the braces of a block or a record.
#[derive(Debug, Clone)]
pub enum Entry {
    /// `name = value` or `name += value`
    Attribute(Attribute),
    /// `for x in list { … }`
    For(For<Entry>),
    /// `if condition { … }`
    If(If<Entry>),
}

/// `name = value`
#[derive(Debug, Clone)]
pub struct Attribute {
    /// The name.
    pub key: Key,
    /// `+=` rather than `=`: added to what the block starts from.
    pub add: bool,
    /// The value.
    pub value: Expr,
    /// All of it.
    pub span: Span,
}

/// Something in the brackets of a list.
#[derive(Debug, Clone)]
pub enum Element {
    /// A value.
    Value(Expr),
    /// `for x in list { … }`
    For(For<Element>),
    /// `if condition { … }`
    If(If<Element>),
}

/// A value as written.
#[derive(Debug, Clone)]
pub struct Expr {
    /// What it is.
    pub kind: ExprKind,
    /// Where it stands.
    pub span: Span,
}

/// The kinds of [`Expr`].
#[derive(Debug, Clone)]
pub enum ExprKind {
    /// `"…"` or `"""…"""`
    Text {
        /// Characters and holes.
        parts: Vec<TextPart>,
        /// Written between `"""`.
        long: bool,
    },
    /// `80`, `64MiB`, `10s`: amount in units, bytes or milliseconds.
    Number(i64, Unit),
    /// `name`, `kernel.stock`, `true`
    Path(Vec<Name>),
    /// `[…]`
    List(Vec<Element>),
    /// `{…}`
    Record(Vec<Entry>),
    /// `file("x", mode = "0755")`
    Call {
        /// What is called.
        function: Vec<Name>,
        /// With what.
        arguments: Vec<Argument>,
    },
    /// `not x`, `-x`
    Unary(UnaryOperator, Box<Expr>),
    /// `a + b`
    Binary(BinaryOperator, Box<Expr>, Box<Expr>),
    /// `if condition { a } else { b }`
    If(Box<Expr>, Box<Expr>, Box<Expr>),
    /// Something that could not be read and has been reported.
    Error,
}

/// A piece of a text.
#[derive(Debug, Clone)]
pub enum TextPart {
    /// Characters.
    Chars(String),
    /// `${expression}`
    Hole(Expr),
}

/// An argument of a call.
#[derive(Debug, Clone)]
pub struct Argument {
    /// Its name, where one is written.
    pub name: Option<Name>,
    /// Its value.
    pub value: Expr,
}

/// An operator before its operand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UnaryOperator {
    /// `not`
    Not,
    /// `-`
    Negate,
}

/// An operator between its operands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BinaryOperator {
    /// `or`
    Or,
    /// `and`
    And,
    /// `==`
    Equal,
    /// `!=`
    NotEqual,
    /// `<`
    Less,
    /// `<=`
    LessEqual,
    /// `>`
    Greater,
    /// `>=`
    GreaterEqual,
    /// `in`
    In,
    /// `+`
    Add,
    /// `-`
    Subtract,
    /// `*`
    Multiply,
}

impl BinaryOperator {
    /// As it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            BinaryOperator::Or => "or",
            BinaryOperator::And => "and",
            BinaryOperator::Equal => "==",
            BinaryOperator::NotEqual => "!=",
            BinaryOperator::Less => "<",
            BinaryOperator::LessEqual => "<=",
            BinaryOperator::Greater => ">",
            BinaryOperator::GreaterEqual => ">=",
            BinaryOperator::In => "in",
            BinaryOperator::Add => "+",
            BinaryOperator::Subtract => "-",
            BinaryOperator::Multiply => "*",
        }
    }

    /// How strongly it binds; comparisons do not chain.
    pub fn precedence(self) -> u8 {
        match self {
            BinaryOperator::Or => 1,
            BinaryOperator::And => 2,
            BinaryOperator::Add | BinaryOperator::Subtract => 5,
            BinaryOperator::Multiply => 6,
            _ => 4,
        }
    }
}

/// Strength of `not`: above `and`, below comparisons.
pub const NOT_PRECEDENCE: u8 = 3;
/// Strength of the `-` before a number.
pub const NEGATE_PRECEDENCE: u8 = 7;
