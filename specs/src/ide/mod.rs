//! What an editor asks: what is here, where is it defined and used, what can stand here.
//!
//! Pure functions of a [`Spec`] that has been read and parsed; places are byte offsets. Nothing
//! here needs a spec without mistakes. Protocols, files and the counting of lines belong to the
//! caller.

mod complete;
mod context;
mod files;
mod hover;
mod names;
mod rename;
mod show;
mod symbols;
mod walk;

pub use complete::{Completion, CompletionKind, Outside, completions};
pub use files::{Summary, summary};
pub use hover::{Hover, hover};
pub use rename::{Edit, RenameError, can_rename, rename};
pub use symbols::{Symbol, SymbolKind, symbols};

use crate::check::Spec;
use crate::source::{FileId, Span};
use names::Names;
use std::collections::BTreeSet;
use walk::{Meaning, Occurrence, walk};

/// Where that is defined which stands at `offset` of `file`. A path behind `use` leads to the
/// beginning of the file that it names.
pub fn definition(spec: &Spec, file: FileId, offset: u32) -> Option<Span> {
    let names = Names::new(spec);
    let found = at(spec, &names, file, offset);
    let found = found
        .iter()
        .find_map(|occurrence| match occurrence.meaning {
            Meaning::File(Some(module)) => Some(Span::new(file_id(module), 0, 0)),
            Meaning::File(None) => Some(occurrence.span),
            Meaning::Reference(symbol, _) => Some(symbol),
            Meaning::Definition(node) => Some(node.name_span()),
            _ => None,
        })?;
    // The name of a used file leads to that file at once.
    Some(match names.file_of(found) {
        Some(module) => Span::new(file_id(module), 0, 0),
        None => found,
    })
}

/// Where the name is defined that stands at `offset` of `file`: what [`references`] and [`rename`]
/// are about.
pub fn origin(spec: &Spec, file: FileId, offset: u32) -> Option<Span> {
    let names = Names::new(spec);
    let found = at(spec, &names, file, offset);
    found.iter().find_map(|found| found.meaning.symbol())
}

/// All places of that which stands at `offset` of `file`, in reading order: where it is used and,
/// where asked for, where it is defined.
pub fn references(spec: &Spec, file: FileId, offset: u32, with_definition: bool) -> Vec<Span> {
    let names = Names::new(spec);
    let found = at(spec, &names, file, offset);
    let Some(symbol) = found.iter().find_map(|found| found.meaning.symbol()) else {
        return Vec::new();
    };
    let mut places = BTreeSet::new();
    each_of(spec, &names, symbol, &mut |occurrence| {
        let defines = !matches!(occurrence.meaning, Meaning::Reference(..));
        if with_definition || !defines {
            places.insert(occurrence.span);
        }
    });
    places.into_iter().collect()
}

/// Files and their texts are numbered alike.
fn file_id(module: usize) -> FileId {
    FileId(u32::try_from(module).unwrap_or(0))
}

/// What stands at `offset`, the smallest first.
fn at<'a>(spec: &'a Spec, names: &Names<'a>, file: FileId, offset: u32) -> Vec<Occurrence<'a>> {
    let mut found = Vec::new();
    walk(spec, names, file.0 as usize, &mut |occurrence| {
        if (occurrence.span.start..=occurrence.span.end).contains(&offset) {
            found.push(occurrence);
        }
    });
    // Between two words that touch, what begins at the offset counts.
    found.sort_by_key(|o| (o.span.end == offset, o.span.end - o.span.start));
    found
}

/// Every occurrence of a definition, in all files.
fn each_of<'a>(
    spec: &'a Spec,
    names: &Names<'a>,
    symbol: Span,
    found: &mut dyn FnMut(Occurrence<'a>),
) {
    for module in 0..spec.modules.len() {
        walk(spec, names, module, &mut |occurrence| {
            if occurrence.meaning.symbol() == Some(symbol) {
                found(occurrence);
            }
        });
    }
}
