//! The conversation: what comes is taken in at once, what takes time is done beside it.
//!
//! The thread that reads only keeps the documents up to date and hands out snapshots of them. One
//! thread answers requests in their order, one checks. Checks that a change has made pointless
//! before they began never begin.

use super::answer::Asked;
use super::report::Reports;
use super::text::{Encoding, Text};
use super::transport::{self, Incoming};
use super::uri;
use super::workspace::{Cache, Document, Snapshot, key};
use lsp_server::{ErrorCode, Message, Notification, Request, RequestId, Response, ResponseError};
use lsp_types::notification::{
    Cancel, DidChangeTextDocument, DidChangeWatchedFiles, DidChangeWorkspaceFolders,
    DidCloseTextDocument, DidOpenTextDocument, DidSaveTextDocument, Exit, Initialized,
    Notification as _, PublishDiagnostics,
};
use lsp_types::request::{Initialize, RegisterCapability, Request as _, Shutdown};
use lsp_types::{
    CancelParams, CodeActionKind, CodeActionOptions, CodeActionProviderCapability,
    CompletionOptions, DidChangeTextDocumentParams, DidChangeWorkspaceFoldersParams,
    DidCloseTextDocumentParams, DidOpenTextDocumentParams, HoverProviderCapability,
    InitializeParams, InitializeResult, NumberOrString, OneOf, PositionEncodingKind, RenameOptions,
    ServerCapabilities, ServerInfo, TextDocumentSyncCapability, TextDocumentSyncKind,
    TextDocumentSyncOptions, WorkspaceFoldersServerCapabilities, WorkspaceServerCapabilities,
};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, BufRead};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, Sender};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

/// How a conversation ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ended {
    /// The client asked for the end, and then for the exit.
    Well,
    /// The client went away.
    Badly,
}

/// What to send.
pub(super) enum Out {
    Message(Value),
    /// Nothing more comes.
    End,
}

/// A request that waits for its answer.
struct Job {
    id: RequestId,
    method: String,
    params: Value,
    snapshot: Snapshot,
}

/// What the threads share.
pub(super) struct Shared {
    cache: Mutex<Cache>,
    /// Requests that were neither answered nor cancelled.
    pending: Mutex<BTreeSet<RequestId>>,
    /// The newest state that is not checked, and the files that changed up to it; all where
    /// these are `None`.
    stale: Mutex<Option<(Snapshot, Option<BTreeSet<PathBuf>>)>>,
    wake: Condvar,
    out: Sender<Out>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    pub(super) fn new(out: Sender<Out>) -> Self {
        Self {
            cache: Mutex::default(),
            pending: Mutex::default(),
            stale: Mutex::default(),
            wake: Condvar::new(),
            out,
        }
    }

    fn send(&self, mut message: Value) {
        message["jsonrpc"] = json!("2.0");
        // Where nobody writes any more, nobody reads any more.
        let _ = self.out.send(Out::Message(message));
    }

    /// Answers a request, unless that was done already.
    fn respond(&self, id: RequestId, result: Result<Value, ResponseError>) {
        if lock(&self.pending).remove(&id) {
            let response = Response {
                id,
                response_result: result,
            };
            self.send(serde_json::to_value(response).unwrap_or_default());
        }
    }

    /// Answers requests, one after the other, until no more can come.
    fn answer(&self, jobs: &Receiver<Job>) {
        for job in jobs {
            if !lock(&self.pending).contains(&job.id) {
                continue;
            }
            let asked = Asked {
                snapshot: &job.snapshot,
                cache: &self.cache,
            };
            let answer = AssertUnwindSafe(|| asked.answer(&job.method, job.params));
            let result = catch_unwind(answer).unwrap_or_else(|_| {
                Err(error(
                    ErrorCode::InternalError,
                    "a bug in nos; its words are on standard error",
                ))
            });
            self.respond(job.id, result);
        }
    }

    /// Checks what changed, for ever.
    fn check(&self) {
        let mut reports = Reports::default();
        loop {
            let mut stale = lock(&self.stale);
            let (snapshot, changed) = loop {
                match stale.take() {
                    Some(found) => break found,
                    None => {
                        stale = self
                            .wake
                            .wait(stale)
                            .unwrap_or_else(PoisonError::into_inner);
                    }
                }
            };
            drop(stale);
            let round =
                AssertUnwindSafe(|| reports.round(&snapshot, changed.as_ref(), &self.cache));
            for news in catch_unwind(round).unwrap_or_default() {
                self.send(json!({ "method": PublishDiagnostics::METHOD, "params": news }));
            }
        }
    }

    fn is_stale(&self, snapshot: &Snapshot, path: Option<PathBuf>) {
        let mut stale = lock(&self.stale);
        let before = stale.take().map(|(_, changed)| changed);
        let changed = match (before, path) {
            (Some(None), _) | (_, None) => None,
            (Some(Some(mut changed)), Some(path)) => {
                changed.insert(path);
                Some(changed)
            }
            (None, Some(path)) => Some(BTreeSet::from([path])),
        };
        *stale = Some((snapshot.clone(), changed));
        self.wake.notify_one();
    }
}

fn error(code: ErrorCode, message: impl Into<String>) -> ResponseError {
    ResponseError {
        code: code as i32,
        message: message.into(),
        data: None,
    }
}

/// How far the conversation is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    New,
    Open,
    ShutDown,
}

/// Talks with the client until one of the two goes.
///
/// # Errors
/// Where `input` cannot be read, or a thread cannot be started.
pub(super) fn converse(
    input: &mut impl BufRead,
    shared: &Arc<Shared>,
    library: Option<PathBuf>,
) -> io::Result<Ended> {
    let (jobs, waiting) = std::sync::mpsc::channel();
    let (answers, checks) = (Arc::clone(shared), Arc::clone(shared));
    let spawn = |name: &str| std::thread::Builder::new().name(name.into());
    spawn("answers").spawn(move || answers.answer(&waiting))?;
    spawn("checks").spawn(move || checks.check())?;
    let mut server = Server {
        shared,
        jobs,
        phase: Phase::New,
        watches: false,
        documents: Snapshot {
            generation: 1,
            encoding: Encoding::Utf16,
            folders: Vec::new(),
            open: BTreeMap::new(),
            library,
        },
    };
    while let Some(incoming) = transport::read(input)? {
        match incoming {
            Incoming::Wrong(answer) => shared.send(answer),
            Incoming::Message(Message::Request(request)) => server.request(request),
            Incoming::Message(Message::Response(_)) => {}
            Incoming::Message(Message::Notification(found)) if found.method == Exit::METHOD => {
                return Ok(match server.phase {
                    Phase::ShutDown => Ended::Well,
                    _ => Ended::Badly,
                });
            }
            Incoming::Message(Message::Notification(found)) => server.notification(found),
        }
    }
    Ok(Ended::Badly)
}

struct Server<'a> {
    shared: &'a Arc<Shared>,
    jobs: Sender<Job>,
    phase: Phase,
    /// Whether the client can tell of changes on the disk.
    watches: bool,
    documents: Snapshot,
}

impl Server<'_> {
    fn request(&mut self, request: Request) {
        let Request { id, method, params } = request;
        if !lock(&self.shared.pending).insert(id.clone()) {
            // The same number twice: the first one gets the answer.
            return;
        }
        let result = match (self.phase, method.as_str()) {
            (Phase::New, Initialize::METHOD) => self.initialize(params),
            (Phase::New, _) => Err(error(
                ErrorCode::ServerNotInitialized,
                "`initialize` comes first",
            )),
            (Phase::ShutDown, _) => Err(error(
                ErrorCode::InvalidRequest,
                "nothing can be asked after `shutdown`",
            )),
            (Phase::Open, Initialize::METHOD) => Err(error(
                ErrorCode::InvalidRequest,
                "`initialize` comes only once",
            )),
            (Phase::Open, Shutdown::METHOD) => {
                self.phase = Phase::ShutDown;
                Ok(Value::Null)
            }
            (Phase::Open, _) => {
                let job = Job {
                    id: id.clone(),
                    method,
                    params,
                    snapshot: self.documents.clone(),
                };
                if self.jobs.send(job).is_ok() {
                    return;
                }
                Err(error(ErrorCode::InternalError, "a bug in nos"))
            }
        };
        self.shared.respond(id, result);
    }

    fn initialize(&mut self, params: Value) -> Result<Value, ResponseError> {
        let params: InitializeParams = serde_json::from_value(params)
            .map_err(|found| error(ErrorCode::InvalidParams, found.to_string()))?;
        self.phase = Phase::Open;
        let folders = params.workspace_folders.unwrap_or_default().into_iter();
        let mut folders: Vec<_> = folders.map(|folder| folder.uri).collect();
        #[expect(deprecated, reason = "what older clients send")]
        if folders.is_empty() {
            folders.extend(params.root_uri);
        }
        self.documents.folders = folders.iter().filter_map(uri::to_path).collect();
        let general = params.capabilities.general.unwrap_or_default();
        let encodings = general.position_encodings.unwrap_or_default();
        if encodings.contains(&PositionEncodingKind::UTF8) {
            self.documents.encoding = Encoding::Utf8;
        }
        let workspace = params.capabilities.workspace.unwrap_or_default();
        let watched = workspace.did_change_watched_files.unwrap_or_default();
        self.watches = watched.dynamic_registration == Some(true);
        let result = InitializeResult {
            capabilities: capabilities(self.documents.encoding),
            server_info: Some(ServerInfo {
                name: "nos".into(),
                version: Some(env!("CARGO_PKG_VERSION").into()),
            }),
        };
        serde_json::to_value(result)
            .map_err(|found| error(ErrorCode::InternalError, found.to_string()))
    }

    fn notification(&mut self, notification: Notification) {
        if self.phase != Phase::Open {
            return;
        }
        let params = notification.params;
        match notification.method.as_str() {
            Initialized::METHOD if self.watches => self.watch(),
            Cancel::METHOD => self.cancel(params),
            DidOpenTextDocument::METHOD => self.open(params),
            DidChangeTextDocument::METHOD => self.change(params),
            DidCloseTextDocument::METHOD => self.close(params),
            DidSaveTextDocument::METHOD | DidChangeWatchedFiles::METHOD => self.changed(None),
            DidChangeWorkspaceFolders::METHOD => self.folders(params),
            _ => {}
        }
    }

    /// Asks to be told of changes on the disk.
    fn watch(&self) {
        let watchers = json!([
            { "globPattern": "**/*.nos" },
            { "globPattern": "**/nos.lock" },
        ]);
        self.shared.send(json!({
            "id": "watch",
            "method": RegisterCapability::METHOD,
            "params": { "registrations": [{
                "id": "watch",
                "method": DidChangeWatchedFiles::METHOD,
                "registerOptions": { "watchers": watchers },
            }] },
        }));
    }

    fn cancel(&self, params: Value) {
        let Some(CancelParams { id }) = read(params) else {
            return;
        };
        let id = match id {
            NumberOrString::Number(number) => RequestId::from(number),
            NumberOrString::String(text) => RequestId::from(text),
        };
        let cancelled = error(ErrorCode::RequestCanceled, "cancelled");
        self.shared.respond(id, Err(cancelled));
    }

    /// The documents are others: those who check are told, of all or of one path.
    fn changed(&mut self, path: Option<PathBuf>) {
        self.documents.generation += 1;
        self.shared.is_stale(&self.documents, path);
    }

    fn open(&mut self, params: Value) {
        let Some(DidOpenTextDocumentParams { text_document }) = read(params) else {
            return;
        };
        let document = Document {
            version: text_document.version,
            text: Arc::new(Text::new(text_document.text)),
            uri: text_document.uri,
        };
        let path = key(&document.uri);
        self.documents.open.insert(path, document);
        // A new file may belong to specs that are not looked at yet.
        self.changed(None);
    }

    fn change(&mut self, params: Value) {
        let Some(DidChangeTextDocumentParams {
            text_document,
            content_changes,
        }) = read(params)
        else {
            return;
        };
        let path = key(&text_document.uri);
        let encoding = self.documents.encoding;
        let Some(document) = self.documents.open.get_mut(&path) else {
            return;
        };
        document.version = text_document.version;
        let text = Arc::make_mut(&mut document.text);
        for change in content_changes {
            text.change(change, encoding);
        }
        self.changed(Some(path));
    }

    fn close(&mut self, params: Value) {
        let Some(DidCloseTextDocumentParams { text_document }) = read(params) else {
            return;
        };
        self.documents.open.remove(&key(&text_document.uri));
        self.changed(None);
    }

    fn folders(&mut self, params: Value) {
        let Some(DidChangeWorkspaceFoldersParams { event }) = read(params) else {
            return;
        };
        for folder in event.removed {
            let path = uri::to_path(&folder.uri);
            let folders = &mut self.documents.folders;
            folders.retain(|known| Some(known) != path.as_ref());
        }
        let added = event.added.iter();
        let added = added.filter_map(|folder| uri::to_path(&folder.uri));
        self.documents.folders.extend(added);
        self.changed(None);
    }
}

/// The parameters of a notification; there is nobody to tell where they are wrong.
fn read<T: DeserializeOwned>(params: Value) -> Option<T> {
    serde_json::from_value(params).ok()
}

fn capabilities(encoding: Encoding) -> ServerCapabilities {
    ServerCapabilities {
        position_encoding: Some(match encoding {
            Encoding::Utf8 => PositionEncodingKind::UTF8,
            Encoding::Utf16 => PositionEncodingKind::UTF16,
        }),
        text_document_sync: Some(TextDocumentSyncCapability::Options(
            TextDocumentSyncOptions {
                open_close: Some(true),
                change: Some(TextDocumentSyncKind::INCREMENTAL),
                save: Some(true.into()),
                ..TextDocumentSyncOptions::default()
            },
        )),
        hover_provider: Some(HoverProviderCapability::Simple(true)),
        completion_provider: Some(CompletionOptions {
            trigger_characters: Some([".", "\"", "/"].map(String::from).to_vec()),
            ..CompletionOptions::default()
        }),
        definition_provider: Some(OneOf::Left(true)),
        references_provider: Some(OneOf::Left(true)),
        document_highlight_provider: Some(OneOf::Left(true)),
        document_symbol_provider: Some(OneOf::Left(true)),
        document_formatting_provider: Some(OneOf::Left(true)),
        rename_provider: Some(OneOf::Right(RenameOptions {
            prepare_provider: Some(true),
            work_done_progress_options: Default::default(),
        })),
        code_action_provider: Some(CodeActionProviderCapability::Options(CodeActionOptions {
            code_action_kinds: Some(vec![CodeActionKind::QUICKFIX]),
            ..CodeActionOptions::default()
        })),
        workspace: Some(WorkspaceServerCapabilities {
            workspace_folders: Some(WorkspaceFoldersServerCapabilities {
                supported: Some(true),
                change_notifications: Some(OneOf::Left(true)),
            }),
            file_operations: None,
        }),
        ..ServerCapabilities::default()
    }
}
