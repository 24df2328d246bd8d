//! What the language says, in the shapes of the protocol.

use super::text::{Encoding, Lines};
use super::workspace::{Project, Snapshot};
use lsp_types::{
    CompletionItem, CompletionItemKind, CompletionTextEdit, Diagnostic,
    DiagnosticRelatedInformation, DiagnosticSeverity, DiagnosticTag, DocumentSymbol, Documentation,
    Location, MarkupContent, MarkupKind, NumberOrString, Range, SymbolKind, TextEdit, Uri,
};
use nos_specs::codes;
use nos_specs::diagnostic::{self, Severity};
use nos_specs::ide::{self, Completion, CompletionKind};
use nos_specs::source::{FileId, Span};
use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

/// Turns places of one spec into those of the protocol.
pub(super) struct Shapes<'a> {
    pub(super) snapshot: &'a Snapshot,
    pub(super) project: &'a Project,
    lines: BTreeMap<FileId, Lines>,
}

impl<'a> Shapes<'a> {
    pub(super) fn new(snapshot: &'a Snapshot, project: &'a Project) -> Self {
        Self {
            snapshot,
            project,
            lines: BTreeMap::new(),
        }
    }

    fn encoding(&self) -> Encoding {
        self.snapshot.encoding
    }

    pub(super) fn range(&mut self, span: Span) -> Range {
        let text = &self.project.spec.sources().get(span.file).text;
        let encoding = self.encoding();
        let lines = self.lines.entry(span.file);
        let lines = lines.or_insert_with(|| Lines::new(text));
        lines.range(text, span, encoding)
    }

    /// The address of a file; that of a copy for a part of the standard library.
    pub(super) fn uri(&self, file: FileId) -> Option<Uri> {
        match self.project.path(file) {
            Some(path) => self.snapshot.uri(&path),
            None => self.library(file).and_then(|path| self.snapshot.uri(&path)),
        }
    }

    pub(super) fn location(&mut self, span: Span) -> Option<Location> {
        let uri = self.uri(span.file)?;
        let range = self.range(span);
        Some(Location { uri, range })
    }

    /// Puts a part of the standard library where an editor can read it.
    fn library(&self, file: FileId) -> Option<PathBuf> {
        let source = self.project.spec.sources().get(file);
        let name = source.name.rsplit('/').next()?;
        let path = self.snapshot.library.as_ref()?.join(name);
        if fs::read_to_string(&path).is_ok_and(|text| text == source.text) {
            return Some(path);
        }
        fs::create_dir_all(path.parent()?).ok()?;
        nos_builder::project::replace_file(&path, source.text.as_bytes()).ok()?;
        Some(path)
    }

    pub(super) fn diagnostic(&mut self, found: &diagnostic::Diagnostic) -> Diagnostic {
        let mut message = found.message.clone();
        let remark = found.labels.first().map_or("", |label| label.text.as_str());
        if !remark.is_empty() && !message.contains(remark) {
            message = format!("{message}\n{remark}");
        }
        if !found.help.is_empty() {
            message = format!("{message}\nhelp: {}", found.help);
        }
        if !found.context.is_empty() {
            message = format!("{message}\nin {}", found.context.join(" → "));
        }
        let mut related = Vec::new();
        for label in found.labels.iter().skip(1) {
            if let Some(location) = self.location(label.span) {
                let message = match label.text.as_str() {
                    "" => "here too".to_owned(),
                    text => text.to_owned(),
                };
                related.push(DiagnosticRelatedInformation { location, message });
            }
        }
        let unused = [codes::UNUSED, codes::NOT_RUN].contains(&found.code);
        Diagnostic {
            range: self.range(found.span()),
            severity: Some(match found.severity {
                Severity::Error => DiagnosticSeverity::ERROR,
                Severity::Warning => DiagnosticSeverity::WARNING,
            }),
            code: Some(NumberOrString::String(found.code.to_owned())),
            source: Some("nos".into()),
            message,
            related_information: (!related.is_empty()).then_some(related),
            tags: unused.then(|| vec![DiagnosticTag::UNNECESSARY]),
            ..Diagnostic::default()
        }
    }

    pub(super) fn completion(&mut self, offer: Completion) -> CompletionItem {
        let range = self.range(offer.span);
        let kind = match offer.kind {
            CompletionKind::Keyword => CompletionItemKind::KEYWORD,
            CompletionKind::BlockKind => CompletionItemKind::CLASS,
            CompletionKind::Attribute => CompletionItemKind::PROPERTY,
            CompletionKind::Call => CompletionItemKind::FUNCTION,
            CompletionKind::Word => CompletionItemKind::ENUM_MEMBER,
            CompletionKind::Name => CompletionItemKind::VARIABLE,
            CompletionKind::Template => CompletionItemKind::CONSTRUCTOR,
            CompletionKind::File => CompletionItemKind::FILE,
            CompletionKind::Folder => CompletionItemKind::FOLDER,
            CompletionKind::Package => CompletionItemKind::MODULE,
        };
        CompletionItem {
            sort_text: Some(format!("{} {}", offer.rank, offer.label)),
            // What is there is compared with this, from the beginning of the range on.
            filter_text: Some(offer.label.clone()),
            label: offer.label,
            kind: Some(kind),
            detail: (!offer.detail.is_empty()).then_some(offer.detail),
            documentation: (!offer.doc.is_empty())
                .then(|| Documentation::MarkupContent(markdown(offer.doc))),
            text_edit: Some(CompletionTextEdit::Edit(TextEdit::new(range, offer.text))),
            ..CompletionItem::default()
        }
    }

    pub(super) fn symbol(&mut self, symbol: ide::Symbol) -> DocumentSymbol {
        let kind = match symbol.kind {
            ide::SymbolKind::File => SymbolKind::MODULE,
            ide::SymbolKind::Let => SymbolKind::CONSTANT,
            ide::SymbolKind::Block => SymbolKind::CLASS,
            ide::SymbolKind::Template => SymbolKind::CONSTRUCTOR,
            ide::SymbolKind::Group => SymbolKind::NAMESPACE,
            ide::SymbolKind::Attribute => SymbolKind::PROPERTY,
        };
        let children = symbol.children.into_iter();
        let children: Vec<_> = children.map(|child| self.symbol(child)).collect();
        #[expect(deprecated, reason = "the field has no default")]
        DocumentSymbol {
            name: symbol.name,
            detail: (!symbol.detail.is_empty()).then_some(symbol.detail),
            kind,
            tags: None,
            deprecated: None,
            range: self.range(symbol.span),
            selection_range: self.range(symbol.name_span),
            children: (!children.is_empty()).then_some(children),
        }
    }
}

pub(super) fn markdown(value: String) -> MarkupContent {
    MarkupContent {
        kind: MarkupKind::Markdown,
        value,
    }
}

/// The edits that make `new` of `old`: the lines between the first and the last that differ.
pub(super) fn difference(old: &str, new: &str, encoding: Encoding) -> Vec<TextEdit> {
    if old == new {
        return Vec::new();
    }
    let same = |a: &mut dyn Iterator<Item = &str>, b: &mut dyn Iterator<Item = &str>| {
        let mut length = 0;
        while let (Some(a), Some(b)) = (a.next(), b.next()) {
            if a != b {
                break;
            }
            length += a.len();
        }
        length
    };
    let before = same(
        &mut old.split_inclusive('\n'),
        &mut new.split_inclusive('\n'),
    );
    let (rest, new) = (&old[before..], &new[before..]);
    let after = same(
        &mut rest.split_inclusive('\n').rev(),
        &mut new.split_inclusive('\n').rev(),
    );
    let lines = Lines::new(old);
    let span = Span::new(FileId(0), before, old.len() - after);
    let range = lines.range(old, span, encoding);
    vec![TextEdit::new(range, new[..new.len() - after].to_owned())]
}

#[cfg(test)]
mod tests {
    use super::super::text::Text;
    use super::*;
    use lsp_types::TextDocumentContentChangeEvent;

    #[test]
    fn a_difference_makes_the_new_text_of_the_old_one() {
        for (old, new) in [
            ("", "a\n"),
            ("a\nb\nc\n", "a\nB\nc\n"),
            ("a\nb", "a\nb\n"),
            ("a\na\na\n", "a\na\n"),
            ("a\n", ""),
            ("\n\n\nx\n", "x\n"),
        ] {
            let mut text = Text::new(old.to_owned());
            for edit in difference(old, new, Encoding::Utf16) {
                text.change(
                    TextDocumentContentChangeEvent {
                        range: Some(edit.range),
                        range_length: None,
                        text: edit.new_text,
                    },
                    Encoding::Utf16,
                );
            }
            assert_eq!(text.text, new);
        }
        let edits = difference("a\nb\nc\n", "a\nB\nc\n", Encoding::Utf16);
        assert_eq!(edits[0].range.start.line, 1);
        assert_eq!(edits[0].new_text, "B\n");
    }
}
