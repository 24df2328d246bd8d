//! A spec on this machine: its file, its folder, its lock, and the systems it describes.

use nos_specs::check::{Checked, Loader, check};
use nos_specs::lock::{Lock, LockError};
use nos_specs::system::System;
use std::collections::BTreeSet;
use std::io::{self, Read};
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

/// Name of the lock file, beside the spec.
pub const LOCK_NAME: &str = "nos.lock";

/// Largest spec or lock file read, in bytes.
const MAX_FILE_BYTES: u64 = 64 << 20;

const MIB: u64 = 1 << 20;

/// Why a spec could not be found or read. What is wrong *in* it is in [`Project::checked`].
#[derive(Debug, thiserror::Error)]
pub enum ProjectError {
    /// Neither a file nor a folder.
    #[error("there is no spec {}; name a .nos file or a folder with one", path.display())]
    NotFound {
        /// What was named.
        path: PathBuf,
    },
    /// A folder without a spec.
    #[error("the folder {} has no .nos file; name a folder with a spec", path.display())]
    NoSpec {
        /// The folder.
        path: PathBuf,
    },
    /// A folder with several specs.
    #[error("the folder {} has several specs ({names}); name one of them", path.display())]
    Several {
        /// The folder.
        path: PathBuf,
        /// File names.
        names: String,
    },
    /// Reading or writing failed.
    #[error("cannot {action} {}: {error}; {}", path.display(), remedy(error))]
    Io {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// The operating system's answer.
        error: io::Error,
    },
    /// Not text.
    #[error(
        "{} is not UTF-8 text from byte {offset} (line {line}) on; save it as UTF-8, or name \
         another file",
        path.display()
    )]
    NotText {
        /// The file.
        path: PathBuf,
        /// First byte that is not part of a character.
        offset: usize,
        /// Its line, from 1.
        line: usize,
    },
    /// Too large to be a spec.
    #[error(
        "{} is larger than {} MiB, too large to be a spec or a lock; name another file",
        path.display(),
        MAX_FILE_BYTES / MIB
    )]
    TooLarge {
        /// The file.
        path: PathBuf,
    },
    /// The lock cannot be read.
    #[error("{}: {error}", path.display())]
    Lock {
        /// The file.
        path: PathBuf,
        /// What is wrong in it.
        error: LockError,
    },
    /// No host of that name.
    #[error("{} has no host {wanted:?}; its hosts are {hosts}", path.display())]
    NoHost {
        /// The spec.
        path: PathBuf,
        /// Host asked for.
        wanted: String,
        /// Hosts it has.
        hosts: String,
    },
    /// A spec with several hosts where one is needed.
    #[error(
        "{} has several hosts ({hosts}); name one, such as {}#{first}",
        path.display(),
        path.display()
    )]
    SeveralHosts {
        /// The spec.
        path: PathBuf,
        /// Hosts it has.
        hosts: String,
        /// One of them.
        first: String,
    },
    /// A spec without a host where one is needed.
    #[error("{} describes no host; add a `host` block", path.display())]
    NoHosts {
        /// The spec.
        path: PathBuf,
    },
}

fn remedy(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => "free some space there",
        io::ErrorKind::IsADirectory => "name a file",
        _ => "check the path and its permissions",
    }
}

/// What an argument `SPEC` names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// The spec file.
    pub spec: PathBuf,
    /// The host after `#`.
    pub host: Option<String>,
}

impl Target {
    /// Finds the spec that `argument` names: a file, `file#host`, or a folder with one spec.
    ///
    /// # Errors
    /// [`ProjectError`] where there is none, or more than one.
    pub fn find(argument: &str) -> Result<Self, ProjectError> {
        let (path, host) = match argument.rsplit_once('#') {
            Some((path, host)) if !Path::new(argument).exists() => (path, Some(host.to_string())),
            _ => (argument, None),
        };
        let path = if path.is_empty() {
            PathBuf::from(".")
        } else {
            PathBuf::from(path)
        };
        let metadata = std::fs::metadata(&path).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => {
                ProjectError::NotFound { path: path.clone() }
            }
            _ => ProjectError::Io {
                action: "look at",
                path: path.clone(),
                error,
            },
        })?;
        if !metadata.is_dir() {
            return Ok(Self { spec: path, host });
        }
        let failed = |error| ProjectError::Io {
            action: "list",
            path: path.clone(),
            error,
        };
        let mut names = BTreeSet::new();
        for entry in std::fs::read_dir(&path).map_err(failed)? {
            let name = entry.map_err(failed)?.file_name();
            if Path::new(&name).extension().is_some_and(|e| e == "nos") {
                names.insert(name.to_string_lossy().into_owned());
            }
        }
        let mut all = names.iter();
        match (all.next(), all.next()) {
            (Some(name), None) => Ok(Self {
                spec: path.join(name),
                host,
            }),
            (None, _) => Err(ProjectError::NoSpec { path }),
            // A spec named like its folder is the folder's spec; the others are its parts.
            _ => match folder_name(&path).filter(|name| names.contains(name)) {
                Some(name) => Ok(Self {
                    spec: path.join(name),
                    host,
                }),
                None => {
                    let names = names.into_iter().collect::<Vec<_>>().join(", ");
                    Err(ProjectError::Several { path, names })
                }
            },
        }
    }
}

fn folder_name(path: &Path) -> Option<String> {
    let name = path
        .canonicalize()
        .ok()?
        .file_name()?
        .to_string_lossy()
        .into_owned();
    Some(format!("{name}.nos"))
}

/// A spec that has been read and checked.
pub struct Project {
    /// The spec file.
    pub spec: PathBuf,
    /// The folder that local sources are relative to.
    pub folder: PathBuf,
    /// Systems and diagnostics.
    pub checked: Checked,
    host: Option<String>,
}

impl Project {
    /// Reads and checks a spec. Mistakes in it are in [`Project::checked`].
    ///
    /// # Errors
    /// [`ProjectError`] where the file cannot be read.
    pub fn load(target: Target) -> Result<Self, ProjectError> {
        let Target { spec, host } = target;
        let text = read_text(&spec)?;
        let folder = match spec.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent.to_path_buf(),
            _ => PathBuf::from("."),
        };
        let checked = check(&spec.to_string_lossy(), &text, &Beside(&folder));
        Ok(Self {
            spec,
            folder,
            checked,
            host,
        })
    }

    /// Adds to [`Project::checked`] what is wrong with the local sources that the spec names:
    /// missing, of the wrong kind, or outside of the spec's folder.
    pub fn check_sources(&mut self) {
        let found = crate::outside::bad_sources(&self.folder, &self.checked);
        if !found.is_empty() {
            self.checked.systems.clear();
            self.checked.diagnostics.extend(found);
            nos_specs::diagnostic::tidy(&mut self.checked.diagnostics);
        }
    }

    /// Whether the argument names one host.
    pub fn host_is_named(&self) -> bool {
        self.host.is_some()
    }

    /// The one system that is meant.
    ///
    /// # Errors
    /// [`ProjectError`] where the host named does not exist, or none was named and there are
    /// several.
    pub fn system(&self) -> Result<&System, ProjectError> {
        let systems = &self.checked.systems;
        let path = self.spec.clone();
        let hosts = || {
            systems
                .iter()
                .map(|s| s.host.as_str())
                .collect::<Vec<_>>()
                .join(", ")
        };
        match (&self.host, systems.as_slice()) {
            (_, []) => Err(ProjectError::NoHosts { path }),
            (Some(wanted), all) => {
                all.iter()
                    .find(|s| &s.host == wanted)
                    .ok_or_else(|| ProjectError::NoHost {
                        path,
                        wanted: wanted.clone(),
                        hosts: hosts(),
                    })
            }
            (None, [one]) => Ok(one),
            (None, [first, ..]) => Err(ProjectError::SeveralHosts {
                path,
                hosts: hosts(),
                first: first.host.clone(),
            }),
        }
    }

    /// Where the lock is.
    pub fn lock_path(&self) -> PathBuf {
        self.folder.join(LOCK_NAME)
    }

    /// Reads the lock; `None` where there is none.
    ///
    /// # Errors
    /// [`ProjectError::Lock`] with the place of what is wrong in it.
    pub fn lock(&self) -> Result<Option<Lock>, ProjectError> {
        let path = self.lock_path();
        let text = match read_text(&path) {
            Err(ProjectError::Io { error, .. }) if error.kind() == io::ErrorKind::NotFound => {
                return Ok(None);
            }
            text => text?,
        };
        Lock::parse(&text)
            .map(Some)
            .map_err(|error| ProjectError::Lock { path, error })
    }

    /// Writes the lock: whole or not at all.
    ///
    /// # Errors
    /// [`ProjectError::Io`].
    pub fn write_lock(&self, lock: &Lock) -> Result<(), ProjectError> {
        let path = self.lock_path();
        replace_file(&path, lock.to_text().as_bytes()).map_err(|error| ProjectError::Io {
            action: "write",
            path,
            error,
        })
    }
}

/// Replaces a file in one step: readers see the old bytes or the new ones, also after a power
/// cut. Keeps the file's permissions, and a symbolic link to it.
///
/// # Errors
/// The operating system's; the old file is then untouched.
pub fn replace_file(path: &Path, bytes: &[u8]) -> io::Result<()> {
    use std::io::Write;
    let path = path.canonicalize().unwrap_or_else(|_| path.to_path_buf());
    let folder = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let mut scratch = tempfile::Builder::new()
        .prefix(".nos-")
        .tempfile_in(folder)?;
    scratch.write_all(bytes)?;
    let permissions = match std::fs::metadata(&path) {
        Ok(old) => old.permissions(),
        Err(_) => std::os::unix::fs::PermissionsExt::from_mode(0o644),
    };
    scratch.as_file().set_permissions(permissions)?;
    scratch.as_file().sync_all()?;
    scratch.persist(&path).map_err(|e| e.error)?;
    std::fs::File::open(folder)?.sync_all()
}

/// Reads a spec or a lock, of at most 64 MiB.
///
/// # Errors
/// [`ProjectError::Io`], [`ProjectError::TooLarge`], [`ProjectError::NotText`].
pub fn read_text(path: &Path) -> Result<String, ProjectError> {
    let failed = |error| ProjectError::Io {
        action: "read",
        path: path.into(),
        error,
    };
    // Nobody may ever write to a pipe that has a name. One of a shell, `<(…)`, has none.
    let is_pipe = std::fs::metadata(path).is_ok_and(|m| m.file_type().is_fifo());
    if is_pipe && std::fs::canonicalize(path).is_ok() {
        return Err(failed(std::io::Error::other("it is a pipe, not a file")));
    }
    text_from(std::fs::File::open(path).map_err(failed)?, path)
}

/// As [`read_text`], from a stream that messages call `path`. A pipe or a device does not say how
/// much is to come, so the limit holds while reading.
///
/// # Errors
/// As [`read_text`].
pub fn text_from(stream: impl Read, path: &Path) -> Result<String, ProjectError> {
    let mut bytes = Vec::new();
    stream
        .take(MAX_FILE_BYTES + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| ProjectError::Io {
            action: "read",
            path: path.into(),
            error,
        })?;
    if bytes.len() as u64 > MAX_FILE_BYTES {
        return Err(ProjectError::TooLarge { path: path.into() });
    }
    String::from_utf8(bytes).map_err(|error| {
        let offset = error.utf8_error().valid_up_to();
        let before = error.as_bytes().iter().take(offset);
        let line = before.filter(|byte| **byte == b'\n').count() + 1;
        ProjectError::NotText {
            path: path.into(),
            offset,
            line,
        }
    })
}

/// Files beside the spec.
struct Beside<'a>(&'a Path);

impl Loader for Beside<'_> {
    fn load(&self, path: &str) -> Result<String, String> {
        read_text(&self.0.join(path)).map_err(|error| match error {
            ProjectError::Io { error, .. } if error.kind() == io::ErrorKind::NotFound => {
                "no such file".to_string()
            }
            ProjectError::Io { error, .. } => error.to_string(),
            other => other.to_string(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(files: &[&str]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for file in files {
            std::fs::write(folder.path().join(file), "").unwrap();
        }
        folder
    }

    #[test]
    fn a_folder_means_its_only_spec() {
        let one = folder(&["a.nos", "nos.lock", "page.html"]);
        let argument = one.path().to_str().unwrap();
        let target = Target::find(&format!("{argument}#edge")).unwrap();
        assert_eq!(
            target,
            Target {
                spec: one.path().join("a.nos"),
                host: Some("edge".into())
            }
        );

        let none = folder(&["nos.lock"]);
        let none = Target::find(none.path().to_str().unwrap());
        assert!(matches!(none, Err(ProjectError::NoSpec { .. })));

        let two = folder(&["a.nos", "b.nos"]);
        let message = Target::find(two.path().to_str().unwrap())
            .unwrap_err()
            .to_string();
        assert!(
            message.contains("(a.nos, b.nos); name one of them"),
            "{message}"
        );
        assert!(matches!(
            Target::find("/nonexistent"),
            Err(ProjectError::NotFound { .. })
        ));
    }

    #[test]
    fn replacing_a_file_keeps_its_mode_and_leaves_nothing_behind() {
        use std::os::unix::fs::PermissionsExt;
        let place = folder(&["lock"]);
        let path = place.path().join("lock");
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o600)).unwrap();
        replace_file(&path, b"new").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"new");
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(std::fs::read_dir(place.path()).unwrap().count(), 1);

        let link = place.path().join("link");
        std::os::unix::fs::symlink("lock", &link).unwrap();
        replace_file(&link, b"newer").unwrap();
        assert!(link.is_symlink());
        assert_eq!(std::fs::read(&path).unwrap(), b"newer");
    }
}
