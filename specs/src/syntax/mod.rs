//! Text → tokens → syntax tree.
//!
//! Invariant: no text makes this module fail, and none makes it recurse deeper than
//! [`MAX_DEPTH`]. A mistake gives one diagnostic and the parser goes on at the next place where it
//! knows what it reads.

pub mod ast;
mod expression;
pub mod lexer;
pub mod literal;
pub mod outline;
mod parser;
pub mod token;

pub use ast::Ast;
pub use parser::{MAX_DEPTH, parse, parse_file};

/// Words with a meaning of their own, which nothing can be named after.
pub const KEYWORDS: &[&str] = &[
    "use", "as", "let", "template", "like", "for", "in", "if", "else", "and", "or", "not", "true",
    "false",
];
