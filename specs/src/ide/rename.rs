//! Giving another name to a definition, everywhere at once or not at all.

use super::names::{Names, Node, literal};
use super::walk::{Meaning, walk};
use super::{at, each_of};
use crate::check::{Checked, Spec};
use crate::eval::is_block_name;
use crate::schema;
use crate::source::{FileId, Sources, Span};
use crate::syntax::ast::Key;
use crate::syntax::lexer::is_name;
use crate::syntax::{KEYWORDS, parse_file};
use std::collections::BTreeMap;

/// What stands between the path of a used file and the name that it is given.
const AS: &str = " as ";

/// A replacement of one place.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Edit {
    /// What is replaced; may be empty.
    pub span: Span,
    /// What stands there afterwards.
    pub text: String,
}

/// Why something keeps its name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RenameError {
    /// Nothing that has a name of its own.
    #[error(
        "nothing here can be renamed; put the cursor on the name of a block, `let`, template, parameter, loop variable or used file"
    )]
    Nothing,
    /// A word of the language or its schema.
    #[error("`{0}` is a word of the language; only names that a spec defines can be renamed")]
    Language(String),
    /// A name of the standard library.
    #[error(
        "`{0}` belongs to the standard library, which is inside nos; give it a name of your own with `let`"
    )]
    Standard(String),
    /// A name of a record or an attribute.
    #[error(
        "`{0}` is a name of a record: loops and sums may reach it unseen; change it by hand and run `nos check`"
    )]
    Field(String),
    /// A name that is put together.
    #[error("this name is put together from parts; change the parts")]
    PutTogether,
    /// Not all places are known.
    #[error("the spec has mistakes, so not every place of `{0}` is known; correct them first")]
    Mistakes(String),
    /// Not a name.
    #[error("`{name}` cannot be the new name: {reason}")]
    BadName {
        /// What was asked for.
        name: String,
        /// What is wrong with it, and what to write.
        reason: &'static str,
    },
    /// Something else would change its meaning.
    #[error("`{0}` would mean something else in one place; choose another name")]
    Capture(String),
    /// The spec would be wrong.
    #[error("with the new name the spec would be wrong: {0}; choose another name")]
    Breaks(String),
}

/// The word at `offset` of `file`, if what it means can have another name.
///
/// # Errors
/// [`RenameError`] that says why not.
pub fn can_rename(spec: &Spec, file: FileId, offset: u32) -> Result<Span, RenameError> {
    let names = Names::new(spec);
    let (span, _) = target(spec, &names, file, offset)?;
    Ok(inner(&spec.sources, span))
}

/// The edits that give the definition at `offset` of `file` the name `new` in every file of the
/// spec, in reading order. What they lead to has been checked: every name means what it meant, and
/// the spec has no new mistakes.
///
/// # Errors
/// [`RenameError`] where that is not so.
pub fn rename(spec: &Spec, file: FileId, offset: u32, new: &str) -> Result<Vec<Edit>, RenameError> {
    let names = Names::new(spec);
    let (span, node) = target(spec, &names, file, offset)?;
    let old = spec.sources.slice(inner(&spec.sources, span)).to_owned();
    is_good_name(new, matches!(node, Node::Block(_)))?;
    if new == old {
        return Ok(Vec::new());
    }
    if spec.diagnostics.iter().any(|d| d.is_error()) {
        return Err(RenameError::Mistakes(old));
    }
    let symbol = node.name_span();
    let mut edits = Vec::new();
    each_of(spec, &names, symbol, &mut |occurrence| {
        let place = inner(&spec.sources, occurrence.span);
        edits.push(match (&occurrence.meaning, node) {
            (Meaning::Definition(_), Node::Use(item)) if item.alias.is_none() => Edit {
                span: place.end_point(),
                text: format!("{AS}{new}"),
            },
            _ => Edit {
                span: place,
                text: new.to_owned(),
            },
        });
    });
    edits.sort();
    edits.dedup();
    let renamed = spec.edited(&edits);
    keeps_meaning(spec, &names, &renamed, symbol, &edits, new)?;
    let (before, after) = (spec.check(), renamed.check());
    if let Some(problem) = new_problem(&before, &after) {
        return Err(RenameError::Breaks(problem));
    }
    Ok(edits)
}

fn is_good_name(name: &str, block: bool) -> Result<(), RenameError> {
    let reason = if !is_name(name) {
        "a name begins with a letter or `_` and has letters, digits, `_` and `-`"
    } else if KEYWORDS.contains(&name) || schema::is_word(name) {
        "it is a word of the language; choose another"
    } else if block && !is_block_name(name) {
        "the name of a block has 1 to 32 of a-z, 0-9 and -, a letter first and no - last"
    } else {
        return Ok(());
    };
    Err(RenameError::BadName {
        name: name.to_owned(),
        reason,
    })
}

/// The word at a place and the definition that it means, if that can have another name.
fn target<'a>(
    spec: &'a Spec,
    names: &Names<'a>,
    file: FileId,
    offset: u32,
) -> Result<(Span, Node<'a>), RenameError> {
    let found = at(spec, names, file, offset);
    let mut refused = RenameError::Nothing;
    for occurrence in &found {
        let word = || spec.sources.slice(occurrence.span).to_owned();
        let node = match &occurrence.meaning {
            Meaning::Definition(node) => Some(*node),
            Meaning::Reference(_, node) => *node,
            Meaning::File(_) => continue,
            _ => return Err(RenameError::Language(word())),
        };
        match node {
            None => refused = RenameError::PutTogether,
            Some(Node::Field(_)) => return Err(RenameError::Field(word())),
            Some(Node::Block(block)) if matches!(&block.name, Key::Text(text) if literal(text).is_none()) =>
            {
                return Err(RenameError::PutTogether);
            }
            Some(node) if spec.is_standard(node.name_span().file) => {
                return Err(RenameError::Standard(word()));
            }
            Some(node) => return Ok((occurrence.span, node)),
        }
    }
    Err(refused)
}

/// A text without its quotes.
fn inner(sources: &Sources, span: Span) -> Span {
    if !sources.slice(span).starts_with('"') {
        return span;
    }
    Span {
        start: span.start + 1,
        end: span.end.saturating_sub(1).max(span.start + 1),
        ..span
    }
}

/// Whether every name of `after` means what it meant before.
fn keeps_meaning<'a>(
    before: &'a Spec,
    names: &Names<'a>,
    after: &Spec,
    symbol: Span,
    edits: &[Edit],
    new: &str,
) -> Result<(), RenameError> {
    let shift = Shift::new(edits);
    let new_names = Names::new(after);
    let mut new_symbol = shift.moved(symbol);
    // A used file that had no name of its own has one now, behind its path.
    if let Some(Node::Use(item)) = names.node(symbol)
        && item.alias.is_none()
    {
        new_symbol.start = new_symbol.end + u32::try_from(AS.len()).unwrap_or(0);
        new_symbol.end = new_symbol.start + u32::try_from(new.len()).unwrap_or(0);
    }
    for module in 0..before.modules.len() {
        let wanted = references(before, names, module).into_iter();
        let wanted = wanted.map(|(place, definition)| {
            let definition = if definition == symbol {
                new_symbol
            } else {
                shift.moved(definition)
            };
            (shift.moved(place), definition)
        });
        if !wanted.eq(references(after, &new_names, module)) {
            return Err(RenameError::Capture(new.to_owned()));
        }
    }
    Ok(())
}

/// Each use of a name in a file with the place of what it means.
fn references<'a>(spec: &'a Spec, names: &Names<'a>, module: usize) -> Vec<(Span, Span)> {
    let mut found = Vec::new();
    walk(spec, names, module, &mut |occurrence| {
        if let Meaning::Reference(definition, _) = occurrence.meaning {
            found.push((occurrence.span, definition));
        }
    });
    found
}

/// The first message of `after` of a kind that `before` has fewer of.
fn new_problem(before: &Checked, after: &Checked) -> Option<String> {
    let mut known: BTreeMap<&str, usize> = BTreeMap::new();
    for diagnostic in &before.diagnostics {
        *known.entry(diagnostic.code).or_default() += 1;
    }
    after.diagnostics.iter().find_map(|diagnostic| {
        let left = known.entry(diagnostic.code).or_default();
        if *left == 0 {
            return Some(diagnostic.message.clone());
        }
        *left -= 1;
        None
    })
}

/// Where places are after some edits.
struct Shift<'a>(&'a [Edit]);

impl<'a> Shift<'a> {
    fn new(edits: &'a [Edit]) -> Self {
        Self(edits)
    }

    fn moved(&self, span: Span) -> Span {
        let delta = |offset: u32| {
            let before = self.0.iter().filter(|edit| {
                edit.span.file == span.file && edit.span.start < offset && edit.span.end <= offset
            });
            before.fold(i64::from(offset), |at, edit| {
                let removed = i64::from(edit.span.end) - i64::from(edit.span.start);
                at - removed + i64::try_from(edit.text.len()).unwrap_or(0)
            })
        };
        let clamp = |offset: i64| u32::try_from(offset).unwrap_or(0);
        Span {
            start: clamp(delta(span.start)),
            end: clamp(delta(span.end)),
            ..span
        }
    }
}

impl Spec {
    /// The same spec with `edits` made, which are in order and do not overlap. Its `use` items
    /// read what they read before.
    fn edited(&self, edits: &[Edit]) -> Self {
        let mut sources = Sources::new();
        let mut modules = Vec::with_capacity(self.modules.len());
        let mut diagnostics = Vec::new();
        for ((id, source), module) in self.sources.iter().zip(&self.modules) {
            let mut text = String::with_capacity(source.text.len());
            let mut at = 0;
            for edit in edits.iter().filter(|edit| edit.span.file == id) {
                text.push_str(source.text.get(at..edit.span.start as usize).unwrap_or(""));
                text.push_str(&edit.text);
                at = edit.span.end as usize;
            }
            text.push_str(source.text.get(at..).unwrap_or(""));
            let (ast, found) = parse_file(id, &text);
            diagnostics.extend(found);
            sources.add(source.name.clone(), text);
            modules.push(crate::eval::Module {
                folder: module.folder.clone(),
                standard: module.standard,
                ast,
                uses: module.uses.clone(),
            });
        }
        Self {
            modules,
            sources,
            diagnostics,
        }
    }
}
