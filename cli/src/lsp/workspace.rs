//! What is open, and which specs it belongs to.

use super::text::{Encoding, Text};
use super::uri;
use lsp_types::Uri;
use nos_builder::outside::bad_sources;
use nos_builder::project::{ProjectError, read_text};
use nos_specs::check::{Checked, Loader, Spec};
use nos_specs::diagnostic::{Diagnostic, tidy};
use nos_specs::ide::{self, Summary};
use nos_specs::source::FileId;
use std::collections::{BTreeMap, BTreeSet};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::SystemTime;

/// How many folders above a file are searched for specs that use it.
const MAX_FOLDERS: usize = 6;

/// How many files of one folder are looked at for that.
const MAX_CANDIDATES: usize = 1000;

/// How many specs one file is looked at as a part of.
const MAX_ROOTS: usize = 16;

/// A document that is open.
#[derive(Clone)]
pub(super) struct Document {
    /// Its address as the client writes it.
    pub(super) uri: Uri,
    pub(super) version: i32,
    pub(super) text: Arc<Text>,
}

/// All documents at one moment; cheap to clone.
#[derive(Clone)]
pub(super) struct Snapshot {
    /// Grows with every change.
    pub(super) generation: u64,
    pub(super) encoding: Encoding,
    /// Folders that are open.
    pub(super) folders: Vec<PathBuf>,
    /// Open documents by their paths; those without one by their addresses.
    pub(super) open: BTreeMap<PathBuf, Document>,
    /// Where copies of the standard library are put for reading.
    pub(super) library: Option<PathBuf>,
}

impl Snapshot {
    /// The text of a file: what is open, or else what the disk has.
    pub(super) fn text(&self, path: &Path) -> Result<String, String> {
        if let Some(document) = self.open.get(path) {
            return Ok(document.text.text.clone());
        }
        read_text(path).map_err(|error| match error {
            ProjectError::Io { error, .. } if error.kind() == ErrorKind::NotFound => {
                "no such file".to_owned()
            }
            ProjectError::Io { error, .. } => error.to_string(),
            other => other.to_string(),
        })
    }

    /// The address of a file, as the client wrote it where it did.
    pub(super) fn uri(&self, path: &Path) -> Option<Uri> {
        match self.open.get(path) {
            Some(document) => Some(document.uri.clone()),
            None => uri::from_path(path),
        }
    }

    /// Whether a file is a copy of a part of the standard library.
    pub(super) fn is_library(&self, path: &Path) -> bool {
        self.library
            .as_ref()
            .is_some_and(|library| path.starts_with(library))
    }
}

/// What a document is known by.
pub(super) fn key(uri: &Uri) -> PathBuf {
    uri::to_path(uri).unwrap_or_else(|| PathBuf::from(uri.as_str()))
}

/// A spec that has been read, with the paths of its files.
pub(super) struct Project {
    pub(super) spec: Spec,
    root: PathBuf,
    files: BTreeMap<PathBuf, FileId>,
    diagnostics: OnceLock<Vec<Diagnostic>>,
}

impl Project {
    fn load(snapshot: &Snapshot, root: &Path) -> Result<Self, String> {
        let text = snapshot.text(root)?;
        let folder = folder(root);
        let loader = Beside { snapshot, folder };
        let spec = Spec::load(&root.to_string_lossy(), &text, &loader);
        let mut project = Self {
            spec,
            root: root.to_path_buf(),
            files: BTreeMap::new(),
            diagnostics: OnceLock::new(),
        };
        let ids = project.spec.sources().iter().map(|(id, _)| id);
        let ids: Vec<FileId> = ids.collect();
        for id in ids {
            if let Some(path) = project.path(id) {
                project.files.insert(path, id);
            }
        }
        Ok(project)
    }

    /// What `nos check` says about the spec.
    pub(super) fn diagnostics(&self) -> &[Diagnostic] {
        self.diagnostics.get_or_init(|| {
            let checked = Checked {
                sources: self.spec.sources().clone(),
                ..self.spec.check()
            };
            let outside = self.folder().map(|folder| bad_sources(folder, &checked));
            let mut found = checked.diagnostics;
            found.extend(outside.unwrap_or_default());
            tidy(&mut found);
            found
        })
    }

    /// The folder of the spec; `None` for a document that is no file.
    pub(super) fn folder(&self) -> Option<&Path> {
        folder(&self.root)
    }

    /// The path of a file of the spec; `None` for the standard library, which has none.
    pub(super) fn path(&self, file: FileId) -> Option<PathBuf> {
        if file == FileId(0) {
            return Some(self.root.clone());
        }
        if self.spec.is_standard(file) {
            return None;
        }
        // Names begin with the spec's folder, in whatever letters it is shown.
        let root = self.root.to_string_lossy();
        let shown = root.rfind('/').map_or(0, |slash| slash + 1);
        let name = &self.spec.sources().get(file).name;
        Some(uri::plain(&folder(&self.root)?.join(name.get(shown..)?)))
    }

    /// The file of the spec at `path`.
    pub(super) fn file(&self, path: &Path) -> Option<FileId> {
        self.files.get(path).copied()
    }

    /// All files of the spec but those of the standard library.
    pub(super) fn files(&self) -> impl Iterator<Item = (&PathBuf, FileId)> {
        self.files.iter().map(|(path, id)| (path, *id))
    }
}

fn folder(root: &Path) -> Option<&Path> {
    root.parent().filter(|_| root.is_absolute())
}

/// Files beside a spec, as they are in the editor.
struct Beside<'a> {
    snapshot: &'a Snapshot,
    folder: Option<&'a Path>,
}

impl Loader for Beside<'_> {
    fn load(&self, path: &str) -> Result<String, String> {
        match self.folder {
            Some(folder) => self.snapshot.text(&uri::plain(&folder.join(path))),
            None => Err("save this text first".into()),
        }
    }
}

/// What is known of files, kept between requests.
#[derive(Default)]
pub(super) struct Cache {
    generation: u64,
    projects: BTreeMap<PathBuf, Arc<Project>>,
    summaries: BTreeMap<PathBuf, (Stamp, Arc<Summary>)>,
}

/// What tells one state of a file from another.
#[derive(Debug, PartialEq, Eq)]
enum Stamp {
    Open(i32),
    Disk(Option<SystemTime>, u64),
}

impl Cache {
    /// The spec that begins with the file `root`.
    ///
    /// # Errors
    /// Why that cannot be read.
    pub(super) fn project(
        &mut self,
        snapshot: &Snapshot,
        root: &Path,
    ) -> Result<Arc<Project>, String> {
        if self.generation != snapshot.generation {
            self.generation = snapshot.generation;
            self.projects.clear();
        }
        if let Some(found) = self.projects.get(root) {
            return Ok(Arc::clone(found));
        }
        let project = Arc::new(Project::load(snapshot, root)?);
        self.projects
            .insert(root.to_path_buf(), Arc::clone(&project));
        Ok(project)
    }

    /// The specs that the file at `path` belongs to: those that reach it by `use`, and itself where
    /// it has hosts or nothing uses it.
    pub(super) fn roots(&mut self, snapshot: &Snapshot, path: &Path) -> Vec<PathBuf> {
        if !path.is_absolute() {
            return vec![path.to_path_buf()];
        }
        let mut users: BTreeMap<PathBuf, Vec<PathBuf>> = BTreeMap::new();
        for candidate in candidates(snapshot, path) {
            let Some(summary) = self.summary(snapshot, &candidate) else {
                continue;
            };
            let folder = candidate.parent().unwrap_or(&candidate);
            for used in &summary.uses {
                let used = uri::plain(&folder.join(used));
                users.entry(used).or_default().push(candidate.clone());
            }
        }
        let mut roots = BTreeSet::new();
        let mut seen = BTreeSet::from([path.to_path_buf()]);
        let mut waiting = vec![path.to_path_buf()];
        while let Some(file) = waiting.pop() {
            let users = users.get(&file).map_or(&[][..], Vec::as_slice);
            let users = users.iter().filter(|user| **user != file);
            let mut hosts = || self.summary(snapshot, &file).is_some_and(|s| s.hosts);
            if users.clone().next().is_none() || hosts() {
                roots.insert(file.clone());
            }
            for user in users {
                if seen.insert(user.clone()) {
                    waiting.push(user.clone());
                }
            }
        }
        // Files that only use each other: there is no better beginning than this one.
        if roots.is_empty() {
            roots.insert(path.to_path_buf());
        }
        roots.into_iter().take(MAX_ROOTS).collect()
    }

    fn summary(&mut self, snapshot: &Snapshot, path: &Path) -> Option<Arc<Summary>> {
        let stamp = match snapshot.open.get(path) {
            Some(document) => Stamp::Open(document.version),
            None => {
                let metadata = std::fs::metadata(path).ok()?;
                Stamp::Disk(metadata.modified().ok(), metadata.len())
            }
        };
        if let Some((known, summary)) = self.summaries.get(path)
            && *known == stamp
        {
            return Some(Arc::clone(summary));
        }
        let summary = Arc::new(ide::summary(&snapshot.text(path).ok()?));
        self.summaries
            .insert(path.to_path_buf(), (stamp, Arc::clone(&summary)));
        Some(summary)
    }
}

/// Files that may use the one at `path`: a `use` never leads upwards, so they are in its folder
/// and those above, as far as these are open.
fn candidates(snapshot: &Snapshot, path: &Path) -> BTreeSet<PathBuf> {
    let is_spec = |path: &Path| path.extension().is_some_and(|e| e == "nos");
    let mut found = BTreeSet::from([path.to_path_buf()]);
    for folder in path.ancestors().skip(1).take(MAX_FOLDERS) {
        let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
        let files = entries.map(|entry| entry.path());
        found.extend(files.filter(|path| is_spec(path)).take(MAX_CANDIDATES));
        let open = snapshot.open.keys();
        let open = open.filter(|path| path.parent() == Some(folder) && is_spec(path));
        found.extend(open.cloned());
        if snapshot.folders.iter().any(|open| open == folder) {
            break;
        }
    }
    found
}
