//! Mistakes that are only consequences of others.
//!
//! Where a text cannot be parsed, the tree has a gap, and what stood there seems to be missing.
//! Where anything is wrong, something may only seem to be unused.

use crate::codes;
use crate::diagnostic::Diagnostic;
use crate::eval::Module;
use crate::schema;
use crate::source::{Sources, Span};
use crate::syntax::ast::Item;

/// Mistakes that leave a gap in the tree; the parser reads past others.
const GAPS: &[&str] = &[
    codes::UNKNOWN_CHARACTER,
    codes::UNEXPECTED,
    codes::UNCLOSED_BRACKET,
    codes::UNOPENED_BRACKET,
    codes::TOO_DEEP,
    codes::TEXT_TOO_LARGE,
];

/// What is said about something that is not there.
const ABSENT: &[&str] = &[
    codes::UNKNOWN_NAME,
    codes::UNKNOWN_CALL,
    codes::MISSING_ATTRIBUTE,
    codes::NOTHING_TO_ADD_TO,
    codes::EMPTY_LIST,
    codes::NO_STATE_PARTITION,
    codes::NOT_ON_HOST,
    codes::NO_CONTENT,
    codes::PORT_NOT_LISTENED,
    codes::CHANNEL_ONE_END,
];

/// Warnings about something that is not there.
const UNUSED: &[&str] = &[
    codes::UNUSED,
    codes::NOT_RUN,
    codes::NO_HOST,
    codes::HEALTH_PORT,
];

/// Mistakes that a text of another language is full of.
const FORMS: &[&str] = &[
    codes::UNKNOWN_CHARACTER,
    codes::UNEXPECTED,
    codes::UNCLOSED_BRACKET,
    codes::UNOPENED_BRACKET,
];

/// Mistakes of form from which on a text without any item of the language is no spec.
const MANY: usize = 5;

/// Says once of each text that is not a spec what would else be said of each of its lines.
pub(super) fn not_specs(diagnostics: &mut Vec<Diagnostic>, modules: &[Module], sources: &Sources) {
    for (index, module) in modules.iter().enumerate() {
        let is_here = |d: &Diagnostic| d.span().file.0 as usize == index;
        let is_form = |d: &&Diagnostic| is_here(d) && FORMS.contains(&d.code);
        let mut forms = diagnostics.iter().filter(is_form);
        let Some(first) = forms.next().map(Diagnostic::span) else {
            continue;
        };
        if forms.count() + 1 < MANY || module.ast.items.iter().any(is_of_the_language) {
            continue;
        }
        diagnostics.retain(|d| !is_here(d));
        let name = &sources.get(first.file).name;
        diagnostics.push(Diagnostic::new(
            codes::NOT_A_SPEC,
            first,
            format!("{name} is not a spec"),
            "name a file with blocks such as `host web { services = [] }`; `nos init FOLDER` writes \
             a first one",
        ));
    }
}

/// Whether only somebody who means a spec would write this.
fn is_of_the_language(item: &Item) -> bool {
    let kind = match item {
        Item::Use(_) | Item::For(_) => return true,
        Item::Block(block) => &block.kind,
        Item::Template(template) => &template.kind,
        Item::Let(_) | Item::If(_) => return false,
    };
    schema::block(&kind.text).is_some()
}

/// Takes out the messages that are probably consequences of others.
pub(super) fn without_consequences(
    diagnostics: &mut Vec<Diagnostic>,
    modules: &[Module],
    sources: &Sources,
) {
    if diagnostics.iter().any(Diagnostic::is_error) {
        diagnostics.retain(|d| !UNUSED.contains(&d.code));
    }
    let gaps: Vec<Span> = diagnostics
        .iter()
        .filter(|d| GAPS.contains(&d.code) && d.fix.is_none() && d.context.is_empty())
        .map(Diagnostic::span)
        .collect();
    if gaps.is_empty() {
        return;
    }
    let items = |span: Span| {
        let module = modules.get(span.file.0 as usize);
        module
            .into_iter()
            .flat_map(|module| &module.ast.items)
            .map(|item| item.span())
    };
    let around = |place: Span| {
        items(place).find(|item| item.start <= place.start && place.start <= item.end)
    };
    // A gap outside of all items is an item that is missing with the names it defines.
    let names_missing = gaps.iter().any(|gap| around(*gap).is_none());
    let holes: Vec<Span> = gaps.iter().filter_map(|gap| around(*gap)).collect();
    let line = |span: Span| (span.file, sources.line_column(span.file, span.start).line);
    let lines: Vec<_> = gaps.iter().map(|gap| line(*gap)).collect();
    diagnostics.retain(|d| {
        let span = d.span();
        let in_hole = || {
            let inside = |hole: &Span| {
                hole.file == span.file && hole.start <= span.start && span.start <= hole.end
            };
            holes.iter().any(inside)
        };
        d.code < codes::UNKNOWN_NAME
            || !(names_missing && d.code == codes::UNKNOWN_NAME
                || ABSENT.contains(&d.code) && in_hole()
                || lines.contains(&line(span)))
    });
}
