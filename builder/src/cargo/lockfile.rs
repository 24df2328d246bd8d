//! `Cargo.lock`: which crates, from where, with which digest.

use super::repository::Repository;
use super::{registry, workspace};
use crate::build::Session;
use crate::compose::output_object;
use crate::error::BuildError;
use crate::plan::Plan;
use crate::project::read_text;
use crate::realise::{Builder, realise, survey};
use nos_specs::lock::Lock;
use nos_specs::system::{BuildSource, Git, System, Using};
use nos_store::{ActionResult, Digest, Output};
use std::collections::{BTreeMap, BTreeSet};

/// Its name, at the top of a source.
const LOCK_NAME: &str = "Cargo.lock";

/// One crate that must be fetched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Crate {
    pub(crate) name: String,
    pub(crate) version: String,
    /// The registry or repository, as the file names it (`registry+https://…`, `git+https://…`).
    pub(crate) source: String,
    pub(crate) pin: Pin,
}

/// What says that a crate is the one that is meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Pin {
    /// The checksum of its archive.
    Checksum(Digest),
    /// The commit of its repository.
    Commit(Repository),
}

impl Crate {
    /// Name of its folder.
    pub(crate) fn title(&self) -> String {
        format!("{}-{}", self.name, self.version)
    }

    /// Path of its folder among all crates.
    pub(crate) fn folder(&self) -> String {
        match &self.pin {
            Pin::Checksum(_) => format!("crates/{}", self.title()),
            Pin::Commit(repository) => format!("{}/{}", repository.folder(), self.title()),
        }
    }

    /// Whether it is from the registry that packages are from which name none.
    pub(crate) fn is_usual(&self) -> bool {
        registry::is_crates_io(&self.source)
    }
}

/// What a `Cargo.lock` says.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct LockFile {
    pub(crate) crates: Vec<Crate>,
    /// Packages of the workspace itself, sorted.
    pub(super) members: Vec<String>,
}

/// Takes the lock file out of a source; see [`crate::work::Work::CargoLock`].
///
/// # Errors
/// [`BuildError::Cargo`] where there is none.
pub(crate) fn lock_file(
    builder: &Builder<'_>,
    inputs: &[&ActionResult],
) -> Result<ActionResult, BuildError> {
    let file = workspace::lock_in(&workspace::source(builder, inputs)?)?;
    Ok(ActionResult::with_output("file", Output::Object(file)))
}

/// The commits that a lock file takes crates from. The plan's last action takes the file out of its
/// source.
///
/// # Errors
/// [`BuildError`] where the source cannot be had or has no lock file that can be followed.
pub(crate) fn commits_of(builder: &Builder<'_>, plan: &Plan) -> Result<Vec<Git>, BuildError> {
    let mut all = realise(builder, plan, survey(builder, plan)?)?;
    let done = all.remove(&plan.system());
    let done = done.ok_or(BuildError::MissingOutput { name: "file" })?;
    let file = output_object(&done.result, "file")?;
    let text = builder.store.read_object(&file.digest)?;
    let lock = LockFile::parse(&String::from_utf8_lossy(&text))?;
    Ok(lock.repositories().keys().map(|r| r.git()).collect())
}

#[derive(serde::Deserialize)]
struct File {
    #[serde(default)]
    package: Vec<Package>,
}

#[derive(serde::Deserialize)]
struct Package {
    name: String,
    version: String,
    source: Option<String>,
    checksum: Option<String>,
}

impl LockFile {
    /// The repositories that crates are from, each with those that are from it.
    pub(crate) fn repositories(&self) -> BTreeMap<&Repository, Vec<&Crate>> {
        let mut found: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for wanted in &self.crates {
            if let Pin::Commit(repository) = &wanted.pin {
                found.entry(repository).or_default().push(wanted);
            }
        }
        found
    }

    /// Reads the text of a lock file.
    ///
    /// # Errors
    /// [`BuildError::Cargo`] for what is none, and for crates that no checksum pins.
    pub(crate) fn parse(text: &str) -> Result<Self, BuildError> {
        let wrong = |reason: String| BuildError::Cargo { reason };
        let file: File = toml::from_str(text)
            .map_err(|error| wrong(format!("Cargo.lock cannot be read: {}", error.message())))?;
        let mut found = Self::default();
        for package in file.package {
            let Package {
                name,
                version,
                source,
                checksum,
            } = package;
            // They become names of folders.
            let plain = |text: &str| {
                let fits = |b: u8| b.is_ascii_alphanumeric() || b"-_.+".contains(&b);
                !text.is_empty() && text.bytes().all(fits) && !text.starts_with('.')
            };
            if !plain(&name) || !plain(&version) {
                let reason = format!("Cargo.lock names {name:?} {version:?}, which is no crate");
                return Err(wrong(reason));
            }
            let Some(source) = source else {
                found.members.push(name);
                continue;
            };
            let refused = |why: String| {
                wrong(format!(
                    "the crate {name} {version} comes from {source}, which {why}"
                ))
            };
            let pin = if source.starts_with("git+") {
                Pin::Commit(Repository::parse(&source).map_err(refused)?)
            } else {
                let checksum = checksum.and_then(|text| text.parse().ok());
                Pin::Checksum(checksum.ok_or_else(|| {
                    refused(
                        "has no checksum in Cargo.lock; take it from a registry or a repository, \
                         or copy it beside the package and name it by its path"
                            .into(),
                    )
                })?)
            };
            found.crates.push(Crate {
                name,
                version,
                source,
                pin,
            });
        }
        found.members.sort();
        found.members.dedup();
        Ok(found)
    }
}

/// A commit that `nos.lock` has yet to pin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unpinned {
    /// Name of the commit.
    pub commit: String,
    /// Its repository.
    pub url: String,
    /// The lock file of a Rust package that takes crates from it, relative to the spec's folder.
    pub named_by: String,
}

impl Session<'_> {
    /// A commit that `lock` does not pin and that the lock file of a Rust package beside the spec
    /// names: that file may have changed since `lock` was written. What cannot be read is for the
    /// build to complain of.
    pub fn unpinned_commit(&self, systems: &[System], lock: &Lock) -> Option<Unpinned> {
        let builds = systems.iter().flat_map(|system| system.builds.values());
        let folders = builds.filter_map(|build| match (&build.using, &build.source) {
            (Using::Cargo(_), Some(BuildSource::Folder { path })) => Some(path),
            _ => None,
        });
        let folders: BTreeSet<&String> = folders.collect();
        folders.into_iter().find_map(|folder| {
            let named_by = format!("{folder}/{LOCK_NAME}");
            let text = read_text(&self.folder.join(&named_by)).ok()?;
            // Most name none, and need not be read further.
            let names_any = text.contains("\"git+");
            let file = names_any.then(|| LockFile::parse(&text).ok()).flatten()?;
            let mut repositories = file.repositories().into_keys();
            let new = repositories.find(|r| !lock.commits.contains_key(&r.git().pin_name()))?;
            Some(Unpinned {
                commit: new.commit.clone(),
                url: new.url.clone(),
                named_by,
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn crates_and_members_are_told_apart() {
        let digest = Digest::of(b"x");
        let text = format!(
            "version = 4\n[[package]]\nname = \"greeter\"\nversion = \"0.1.0\"\n[[package]]\n\
             name = \"itoa\"\nversion = \"1.0.0+b\"\nsource = \"registry+r\"\nchecksum = \"{digest}\"\n"
        );
        let lock = LockFile::parse(&text).unwrap();
        assert_eq!(lock.members, ["greeter"]);
        assert_eq!(lock.crates.len(), 1);
        assert_eq!(lock.crates[0].version, "1.0.0+b");
        assert_eq!(LockFile::parse("").unwrap(), LockFile::default());
    }

    #[test]
    fn what_no_checksum_pins_is_refused() {
        for (source, reason) in [
            ("registry+https://x", "has no checksum"),
            ("git+https://x", "names no commit"),
            (
                "git+ssh://x#0123456789012345678901234567890123456789",
                "not asked over HTTPS",
            ),
        ] {
            let text =
                format!("[[package]]\nname = \"a\"\nversion = \"1\"\nsource = \"{source}\"\n");
            let error = LockFile::parse(&text).unwrap_err().to_string();
            assert!(error.contains(reason), "{error}");
        }
        for bad in [
            "package = 1",
            "[[package]]\nname = \"../a\"\nversion = \"1\"\n",
            "\0",
        ] {
            assert!(LockFile::parse(bad).is_err(), "{bad:?}");
        }
    }
}
