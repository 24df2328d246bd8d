//! The nOs language: syntax, checking, formatting, diagnostics, the typed [`System`], the lock file.
//!
//! Everything here is a pure function of texts. Files, the clock, the environment and the terminal
//! belong to the caller:
//!
//! ```
//! use nos_specs::{NoFiles, check};
//!
//! let checked = check("web.nos", "host web { services = [] }", &NoFiles);
//! assert!(checked.diagnostics.is_empty());
//! assert_eq!(checked.systems[0].host, "web");
//! ```
#![forbid(unsafe_code)]

pub mod check;
pub mod codes;
pub mod diagnostic;
mod eval;
pub mod fmt;
pub mod ide;
pub mod library;
pub mod lock;
pub mod render;
pub mod schema;
pub mod source;
pub mod suggest;
pub mod syntax;
pub mod system;

pub use check::{Checked, Loader, Mention, MentionKind, NoFiles, Spec, check};
pub use codes::explain;
pub use diagnostic::{Diagnostic, Severity, report};
pub use render::render;
pub use schema::explain_path;
pub use source::{FileId, Sources, Span};
pub use syntax::{Ast, parse};
pub use system::System;
