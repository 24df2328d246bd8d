//! `Cargo.lock`: which crates, from where, with which digest.

use super::{registry, workspace};
use crate::error::BuildError;
use crate::realise::Builder;
use nos_store::{ActionResult, Digest, Output};

/// One crate that must be fetched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Crate {
    pub(crate) name: String,
    pub(crate) version: String,
    /// The registry, as the file names it (`registry+https://…`).
    pub(crate) source: String,
    pub(crate) checksum: Digest,
}

impl Crate {
    /// Name of its folder.
    pub(crate) fn title(&self) -> String {
        format!("{}-{}", self.name, self.version)
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
            let checksum = checksum.and_then(|text| text.parse().ok());
            let Some(checksum) = checksum else {
                let from = match source.starts_with("git+") {
                    true => "; crates are not taken from repositories",
                    false => "",
                };
                return Err(wrong(format!(
                    "the crate {name} {version} comes from {source} and has no checksum in \
                     Cargo.lock{from}; take it from a registry, or copy it beside the package and \
                     name it by its path"
                )));
            };
            found.crates.push(Crate {
                name,
                version,
                source,
                checksum,
            });
        }
        found.members.sort();
        found.members.dedup();
        Ok(found)
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
        let git = "[[package]]\nname = \"a\"\nversion = \"1\"\nsource = \"git+https://x\"\n";
        let error = LockFile::parse(git).unwrap_err().to_string();
        assert!(error.contains("has no checksum"), "{error}");
        for bad in [
            "package = 1",
            "[[package]]\nname = \"../a\"\nversion = \"1\"\n",
            "\0",
        ] {
            assert!(LockFile::parse(bad).is_err(), "{bad:?}");
        }
    }
}
