//! Messages for a person: the line, a caret, and the remedy.

use crate::diagnostic::{Diagnostic, Fix, Severity};
use crate::source::{FileId, Sources, Span};
use annotate_snippets::{AnnotationKind, Element, Group, Level, Message, Patch, Renderer, Snippet};
use std::ops::Range;

/// Renders `diagnostics` for a terminal of `width` columns, with escape sequences for colours
/// where `color` is set. Each message ends with a line break, and an empty line lies between two.
pub fn render(diagnostics: &[Diagnostic], sources: &Sources, color: bool, width: usize) -> String {
    let renderer = if color {
        Renderer::styled()
    } else {
        Renderer::plain()
    };
    let renderer = renderer.term_width(width);
    let mut out = String::new();
    for (index, diagnostic) in diagnostics.iter().enumerate() {
        if index > 0 {
            out.push('\n');
        }
        let text = renderer.render(&groups(diagnostic, sources));
        // Padding at the ends of lines is of no use to a terminal and a nuisance elsewhere.
        for line in text.lines() {
            out.push_str(line.trim_end());
            out.push('\n');
        }
    }
    out
}

fn groups<'a>(diagnostic: &'a Diagnostic, sources: &'a Sources) -> Vec<Group<'a>> {
    let level = match diagnostic.severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
    };
    let title = level
        .primary_title(diagnostic.message.as_str())
        .id(diagnostic.code);
    let mut main = Group::with_title(title).elements(snippets(diagnostic, sources));
    if !diagnostic.context.is_empty() {
        main = main.element(note(format!("in {}", diagnostic.context.join(" → "))));
    }
    let short = |fix: &&Fix| !is_long_around(&sources.get(fix.span.file).text, fix.span);
    match diagnostic.fix.as_ref().filter(short) {
        Some(fix) => {
            let help = Level::HELP.secondary_title(diagnostic.help.as_str());
            let source = sources.get(fix.span.file);
            let patch = Snippet::source(source.text.as_str())
                .path(source.name.as_str())
                .patch(Patch::new(
                    fit(fix.span, &source.text),
                    fix.replacement.as_str(),
                ));
            vec![main, Group::with_title(help).element(patch)]
        }
        None => vec![main.element(Level::HELP.message(diagnostic.help.as_str()))],
    }
}

fn note(text: String) -> Message<'static> {
    Level::NOTE.message(text)
}

/// Bytes of a line beyond which it is not shown whole.
const LONG_LINE: usize = 2000;

/// Whether the line that `span` begins in is too long to be shown, as lines of patches are.
fn is_long_around(text: &str, span: Span) -> bool {
    let (before, behind) = text.split_at(fit(span, text).start);
    let before = before.rsplit('\n').next().map_or(0, str::len);
    let behind = behind.split('\n').next().map_or(0, str::len);
    before + behind > LONG_LINE
}

/// Whether a label can be shown with that of the mistake: not if both are on one line, far apart.
fn is_in_sight(text: &str, first: Span, other: Span) -> bool {
    let (a, b) = (fit(first, text).start, fit(other, text).start);
    let between = text.get(a.min(b)..a.max(b)).unwrap_or_default();
    // What is behind the last line is shown at its end.
    between.len() <= LONG_LINE || between.trim_end().contains('\n')
}

/// One snippet for each text that has a label, that of the mistake first.
fn snippets<'a>(diagnostic: &'a Diagnostic, sources: &'a Sources) -> Vec<Element<'a>> {
    let mut files: Vec<FileId> = Vec::new();
    for label in &diagnostic.labels {
        if !files.contains(&label.span.file) {
            files.push(label.span.file);
        }
    }
    files
        .into_iter()
        .map(|file| {
            let source = sources.get(file);
            let annotations = diagnostic
                .labels
                .iter()
                .enumerate()
                .filter(|(_, l)| {
                    let first = diagnostic.span();
                    let together = l.span.file == file && first.file == file;
                    l.span.file == file && (!together || is_in_sight(&source.text, first, l.span))
                })
                .map(|(index, label)| {
                    let kind = if index == 0 {
                        AnnotationKind::Primary
                    } else {
                        AnnotationKind::Context
                    };
                    let annotation = kind.span(fit(label.span, &source.text));
                    if label.text.is_empty() {
                        annotation
                    } else {
                        annotation.label(label.text.as_str())
                    }
                });
            Snippet::source(source.text.as_str())
                .path(source.name.as_str())
                .annotations(annotations)
                .into()
        })
        .collect()
}

/// The range of `span`, cut to `text` and to whole characters.
fn fit(span: Span, text: &str) -> Range<usize> {
    let down = |mut offset: usize| {
        offset = offset.min(text.len());
        while !text.is_char_boundary(offset) {
            offset -= 1;
        }
        offset
    };
    down(span.start as usize)..down(span.end as usize)
}
