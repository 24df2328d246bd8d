//! Crates that Rust packages are made of, from their lock files.

use crate::cargo::{Crate, LockFile, Pin};
use crate::compose::output_tree;
use crate::error::BuildError;
use crate::init;
use nos_formats::tree::{Kind, Tree, TreePath};
use nos_store::{ActionResult, Blob, Store};

/// The lock file inside the source of `init`.
const LOCK: &str = "Cargo.lock";

/// One crate, as a lock file pins it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PinnedCrate {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Where it is from, in cargo's words; `None` for the usual registry.
    pub registry: Option<String>,
    /// SHA-256 of its archive, 64 hexadecimal digits; `None` where it is from a repository.
    pub sha256: Option<String>,
    /// Address of its repository and the commit, where it is from one.
    pub commit: Option<(String, String)>,
    /// Its licences as an SPDX expression, where its manifest has one.
    pub licence: Option<String>,
}

/// The crates of a lock file, with the licences that their manifests say. `made` is the result of
/// [`crate::work::Work::Crates`] for it.
///
/// # Errors
/// [`BuildError`] where the store cannot be read.
pub(crate) fn of_build(
    store: &Store,
    lock: &ActionResult,
    made: &ActionResult,
) -> Result<Vec<PinnedCrate>, BuildError> {
    let file = crate::compose::output_object(lock, "file")?;
    let text = store.read_object(&file.digest)?;
    let lock = LockFile::parse(&String::from_utf8_lossy(&text))?;
    let tree = store.read_tree(&output_tree(made, "tree")?)?;
    let mut pinned = Vec::new();
    for wanted in lock.crates {
        let licence = licence(store, &tree, &wanted)?;
        pinned.push(pin(wanted, licence));
    }
    Ok(pinned)
}

/// The crates that `init` is made of. Its licences are in the crates, which are not fetched for this.
pub(crate) fn of_init() -> Vec<PinnedCrate> {
    let text = init::SOURCE.iter().find(|(path, _)| *path == LOCK);
    let lock = LockFile::parse(text.map_or("", |(_, text)| text)).unwrap_or_default();
    lock.crates.into_iter().map(|c| pin(c, None)).collect()
}

fn pin(wanted: Crate, licence: Option<String>) -> PinnedCrate {
    let is_usual = wanted.is_usual();
    let (registry, sha256, commit) = match wanted.pin {
        Pin::Checksum(sha256) => {
            let registry = (!is_usual).then_some(wanted.source);
            (registry, Some(sha256.to_string()), None)
        }
        Pin::Commit(repository) => (None, None, Some((repository.url, repository.commit))),
    };
    PinnedCrate {
        name: wanted.name,
        version: wanted.version,
        registry,
        sha256,
        commit,
        licence,
    }
}

fn licence(
    store: &Store,
    crates: &Tree<Blob>,
    wanted: &Crate,
) -> Result<Option<String>, BuildError> {
    let path = TreePath::new(format!("{}/Cargo.toml", wanted.folder()))?;
    let Some(Kind::File(blob)) = crates.get(&path).map(|node| &node.kind) else {
        return Ok(None);
    };
    let text = String::from_utf8_lossy(&store.read_object(&blob.digest)?).into_owned();
    let manifest: toml::Table = toml::from_str(&text).unwrap_or_default();
    let said = manifest
        .get("package")
        .and_then(|p| p.get("license")?.as_str());
    Ok(said.and_then(expression))
}

/// A licence as manifests write it, as an expression of SPDX: an old way to write `OR` is `/`.
fn expression(said: &str) -> Option<String> {
    let said = said
        .replace('/', " OR ")
        .replace('(', " ( ")
        .replace(')', " ) ");
    let fits = |word: &str| {
        matches!(word, "(" | ")")
            || word
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"-.+".contains(&b))
    };
    let words: Vec<&str> = said.split_whitespace().collect();
    let text = words.join(" ").replace("( ", "(").replace(" )", ")");
    (!words.is_empty() && words.iter().all(|word| fits(word))).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn licences_become_expressions() {
        let says = |text: &str| expression(text).unwrap_or_default();
        assert_eq!(says("MIT"), "MIT");
        assert_eq!(says("MIT/Apache-2.0"), "MIT OR Apache-2.0");
        assert_eq!(
            says("(MIT OR Apache-2.0) AND Unicode-3.0"),
            "(MIT OR Apache-2.0) AND Unicode-3.0"
        );
        assert_eq!(says("see LICENSE!"), "");
        assert_eq!(says(" "), "");
    }

    #[test]
    fn init_names_its_crates() {
        let crates = of_init();
        let json = crates.iter().find(|c| c.name == "serde_json").unwrap();
        assert_eq!(json.sha256.as_ref().unwrap().len(), 64);
        assert_eq!(json.registry, None);
    }
}
