//! Requests and their answers.

use super::outside::Around;
use super::shape::{Shapes, difference, markdown};
use super::text::Lines;
use super::workspace::{Cache, Project, Snapshot, key};
use lsp_server::{ErrorCode, ResponseError};
use lsp_types::request::{
    CodeActionRequest, Completion, DocumentHighlightRequest, DocumentSymbolRequest, Formatting,
    GotoDefinition, HoverRequest, PrepareRenameRequest, References, Rename, Request,
};
use lsp_types::{
    CodeAction, CodeActionKind, CodeActionOrCommand, CodeActionParams, CompletionParams,
    CompletionResponse, DocumentFormattingParams, DocumentHighlight, DocumentHighlightParams,
    DocumentSymbolParams, DocumentSymbolResponse, GotoDefinitionParams, GotoDefinitionResponse,
    Hover, HoverContents, HoverParams, Location, Position, PrepareRenameResponse, ReferenceParams,
    RenameParams, TextDocumentPositionParams, TextEdit, Uri, WorkspaceEdit,
};
use nos_specs::diagnostic::Fix;
use nos_specs::ide;
use nos_specs::source::{FileId, Sources, Span};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

/// Letters of a replacement that its title shows.
const MOST_SHOWN: usize = 40;

type Answer<T> = Result<T, ResponseError>;

/// A request that can be answered: the documents as they were when it came.
pub(super) struct Asked<'a> {
    pub(super) snapshot: &'a Snapshot,
    pub(super) cache: &'a Mutex<Cache>,
}

/// A place in a file of a spec.
struct Place {
    project: Arc<Project>,
    file: FileId,
    offset: u32,
}

fn refused(code: ErrorCode, message: impl std::fmt::Display) -> ResponseError {
    ResponseError {
        code: code as i32,
        message: message.to_string(),
        data: None,
    }
}

/// The address of a document among the parameters of most requests.
fn unknown(uri: &Uri, reason: &str) -> ResponseError {
    let message = format!(
        "{} is not open and cannot be read: {reason}; open it first",
        uri.as_str()
    );
    refused(ErrorCode::InvalidParams, message)
}

impl Asked<'_> {
    /// The answer to a request.
    ///
    /// # Errors
    /// What to tell the client instead.
    pub(super) fn answer(&self, method: &str, params: Value) -> Answer<Value> {
        match method {
            HoverRequest::METHOD => with(params, |params| self.hover(&params)),
            Completion::METHOD => with(params, |params| self.completion(&params)),
            GotoDefinition::METHOD => with(params, |params| self.definition(&params)),
            References::METHOD => with(params, |params| self.references(&params)),
            DocumentHighlightRequest::METHOD => with(params, |params| self.highlights(&params)),
            PrepareRenameRequest::METHOD => with(params, |params| self.prepare_rename(&params)),
            Rename::METHOD => with(params, |params| self.rename(params)),
            Formatting::METHOD => with(params, |params| self.formatting(&params)),
            DocumentSymbolRequest::METHOD => with(params, |params| self.symbols(&params)),
            CodeActionRequest::METHOD => with(params, |params| self.code_actions(&params)),
            _ => {
                let message = format!("nos lsp does not know the request {method}");
                Err(refused(ErrorCode::MethodNotFound, message))
            }
        }
    }

    fn cache(&self) -> std::sync::MutexGuard<'_, Cache> {
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The spec in which a file is looked at: itself where it is one, else the first that uses it.
    fn project(&self, uri: &Uri) -> Answer<(Arc<Project>, FileId)> {
        let path = key(uri);
        let mut cache = self.cache();
        let roots = cache.roots(self.snapshot, &path);
        let root = roots.iter().find(|root| **root == path);
        let root = root.or(roots.first()).unwrap_or(&path);
        let project = cache.project(self.snapshot, root);
        let project = project.map_err(|reason| unknown(uri, &reason))?;
        match project.file(&path) {
            Some(file) => Ok((project, file)),
            None => Err(unknown(uri, "it is not part of a spec")),
        }
    }

    fn place(&self, at: &TextDocumentPositionParams) -> Answer<Place> {
        let (project, file) = self.project(&at.text_document.uri)?;
        let offset = self.offset(&project, file, at.position);
        Ok(Place {
            project,
            file,
            offset,
        })
    }

    fn offset(&self, project: &Project, file: FileId, position: Position) -> u32 {
        let text = &project.spec.sources().get(file).text;
        let offset = Lines::new(text).offset(text, position, self.snapshot.encoding);
        u32::try_from(offset).unwrap_or(u32::MAX)
    }

    /// The same name in every spec that has the file in which it is defined.
    fn everywhere(&self, place: Place) -> Vec<Place> {
        let origin = ide::origin(&place.project.spec, place.file, place.offset);
        let path = origin.and_then(|origin| place.project.path(origin.file));
        let (Some(origin), Some(path)) = (origin, path) else {
            return vec![place];
        };
        let mut found = Vec::new();
        let mut cache = self.cache();
        for root in cache.roots(self.snapshot, &path) {
            let Ok(project) = cache.project(self.snapshot, &root) else {
                continue;
            };
            if let Some(file) = project.file(&path) {
                found.push(Place {
                    project,
                    file,
                    offset: origin.start,
                });
            }
        }
        if found.is_empty() {
            found.push(place);
        }
        found
    }

    fn hover(&self, params: &HoverParams) -> Answer<Option<Hover>> {
        let at = self.place(&params.text_document_position_params)?;
        let found = ide::hover(&at.project.spec, at.file, at.offset);
        let mut shapes = Shapes::new(self.snapshot, &at.project);
        Ok(found.map(|hover| Hover {
            range: Some(shapes.range(hover.span)),
            contents: HoverContents::Markup(markdown(hover.text)),
        }))
    }

    fn completion(&self, params: &CompletionParams) -> Answer<CompletionResponse> {
        let at = self.place(&params.text_document_position)?;
        let around = Around(&at.project);
        let offers = ide::completions(&at.project.spec, at.file, at.offset, &around);
        let mut shapes = Shapes::new(self.snapshot, &at.project);
        let offers = offers.into_iter().map(|offer| shapes.completion(offer));
        Ok(CompletionResponse::Array(offers.collect()))
    }

    fn definition(&self, params: &GotoDefinitionParams) -> Answer<Option<GotoDefinitionResponse>> {
        let at = self.place(&params.text_document_position_params)?;
        let found = ide::definition(&at.project.spec, at.file, at.offset);
        let mut shapes = Shapes::new(self.snapshot, &at.project);
        let location = found.and_then(|span| shapes.location(span));
        Ok(location.map(GotoDefinitionResponse::Scalar))
    }

    fn references(&self, params: &ReferenceParams) -> Answer<Vec<Location>> {
        let at = self.place(&params.text_document_position)?;
        let with_definition = params.context.include_declaration;
        let mut found: Vec<Location> = Vec::new();
        for at in self.everywhere(at) {
            let spans = ide::references(&at.project.spec, at.file, at.offset, with_definition);
            let mut shapes = Shapes::new(self.snapshot, &at.project);
            for location in spans.into_iter().filter_map(|span| shapes.location(span)) {
                if !found.contains(&location) {
                    found.push(location);
                }
            }
        }
        Ok(found)
    }

    fn highlights(&self, params: &DocumentHighlightParams) -> Answer<Vec<DocumentHighlight>> {
        let at = self.place(&params.text_document_position_params)?;
        let spans = ide::references(&at.project.spec, at.file, at.offset, true);
        let mut shapes = Shapes::new(self.snapshot, &at.project);
        let here = spans.into_iter().filter(|span| span.file == at.file);
        let highlight = |span: Span| DocumentHighlight {
            range: shapes.range(span),
            kind: None,
        };
        Ok(here.map(highlight).collect())
    }

    /// Refuses to change what only looks like a file of the user's.
    fn changeable(&self, uri: &Uri) -> Answer<()> {
        if self.snapshot.is_library(&key(uri)) {
            let message = "this is a copy of the standard library, which is inside nos; define \
                           something of your own instead";
            return Err(refused(ErrorCode::RequestFailed, message));
        }
        Ok(())
    }

    fn prepare_rename(&self, params: &TextDocumentPositionParams) -> Answer<PrepareRenameResponse> {
        self.changeable(&params.text_document.uri)?;
        let at = self.place(params)?;
        match ide::can_rename(&at.project.spec, at.file, at.offset) {
            Ok(span) => Ok(PrepareRenameResponse::Range(
                Shapes::new(self.snapshot, &at.project).range(span),
            )),
            Err(error) => Err(refused(ErrorCode::RequestFailed, error)),
        }
    }

    fn rename(&self, params: RenameParams) -> Answer<WorkspaceEdit> {
        self.changeable(&params.text_document_position.text_document.uri)?;
        let at = self.place(&params.text_document_position)?;
        let mut changes = Changes::default();
        for at in self.everywhere(at) {
            let edits = ide::rename(&at.project.spec, at.file, at.offset, &params.new_name);
            let edits = edits.map_err(|error| refused(ErrorCode::RequestFailed, error))?;
            let mut shapes = Shapes::new(self.snapshot, &at.project);
            for edit in edits {
                changes.add(&mut shapes, edit.span, edit.text);
            }
        }
        Ok(changes.finish())
    }

    fn formatting(&self, params: &DocumentFormattingParams) -> Answer<Option<Vec<TextEdit>>> {
        let uri = &params.text_document.uri;
        let text = self.snapshot.text(&key(uri));
        let text = text.map_err(|reason| unknown(uri, &reason))?;
        // A text with mistakes stays as it is: the diagnostics say why.
        let formatted = nos_specs::fmt::format(&text).ok();
        let encoding = self.snapshot.encoding;
        Ok(formatted.map(|formatted| difference(&text, &formatted, encoding)))
    }

    fn symbols(&self, params: &DocumentSymbolParams) -> Answer<DocumentSymbolResponse> {
        let (project, file) = self.project(&params.text_document.uri)?;
        let mut shapes = Shapes::new(self.snapshot, &project);
        let symbols = ide::symbols(&project.spec, file).into_iter();
        let symbols = symbols.map(|symbol| shapes.symbol(symbol)).collect();
        Ok(DocumentSymbolResponse::Nested(symbols))
    }

    fn code_actions(&self, params: &CodeActionParams) -> Answer<Vec<CodeActionOrCommand>> {
        let uri = &params.text_document.uri;
        let wanted = params.context.only.as_ref();
        if wanted.is_some_and(|only| !only.contains(&CodeActionKind::QUICKFIX)) {
            return Ok(Vec::new());
        }
        let (project, file) = self.project(uri)?;
        let start = self.offset(&project, file, params.range.start);
        let end = self.offset(&project, file, params.range.end);
        let mut shapes = Shapes::new(self.snapshot, &project);
        let mut actions = Vec::new();
        for found in project.diagnostics() {
            let Some(fix) = &found.fix else { continue };
            let touched = |span: Span| span.file == file && span.start <= end && start <= span.end;
            if !touched(found.span()) && !touched(fix.span) {
                continue;
            }
            let mut changes = Changes::default();
            changes.add(&mut shapes, fix.span, fix.replacement.clone());
            actions.push(CodeActionOrCommand::CodeAction(CodeAction {
                title: title(fix, project.spec.sources()),
                kind: Some(CodeActionKind::QUICKFIX),
                diagnostics: Some(vec![shapes.diagnostic(found)]),
                edit: Some(changes.finish()),
                is_preferred: Some(true),
                ..CodeAction::default()
            }));
        }
        Ok(actions)
    }
}

/// What a fix does, in words.
fn title(fix: &Fix, sources: &Sources) -> String {
    let short = |text: &str| {
        let text = text.trim();
        match text.char_indices().nth(MOST_SHOWN) {
            Some((end, _)) => format!("{}…", &text[..end]),
            None => text.to_owned(),
        }
    };
    let (old, new) = (short(sources.slice(fix.span)), short(&fix.replacement));
    match (old.as_str(), new.as_str()) {
        (old, "") => format!("Take `{old}` out"),
        ("", new) => format!("Put `{new}` here"),
        (old, new) => format!("Write `{new}` instead of `{old}`"),
    }
}

fn with<P: DeserializeOwned, T: Serialize>(
    params: Value,
    answer: impl FnOnce(P) -> Answer<T>,
) -> Answer<Value> {
    let params = serde_json::from_value(params);
    let params = params.map_err(|error| refused(ErrorCode::InvalidParams, error))?;
    serde_json::to_value(answer(params)?).map_err(|error| refused(ErrorCode::InternalError, error))
}

/// Edits of several files, each once.
#[derive(Default)]
struct Changes(BTreeMap<String, (Option<Uri>, Vec<TextEdit>)>);

impl Changes {
    fn add(&mut self, shapes: &mut Shapes<'_>, span: Span, text: String) {
        let Some(uri) = shapes.uri(span.file) else {
            return;
        };
        let edit = TextEdit::new(shapes.range(span), text);
        let entry = self.0.entry(uri.as_str().to_owned()).or_default();
        entry.0 = Some(uri);
        if !entry.1.contains(&edit) {
            entry.1.push(edit);
        }
    }

    fn finish(self) -> WorkspaceEdit {
        let files = self.0.into_values();
        let files = files.filter_map(|(uri, edits)| Some((uri?, edits)));
        #[expect(clippy::mutable_key_type, reason = "the protocol's own type")]
        let changes: HashMap<Uri, Vec<TextEdit>> = files.collect();
        WorkspaceEdit {
            changes: Some(changes),
            ..WorkspaceEdit::default()
        }
    }
}
