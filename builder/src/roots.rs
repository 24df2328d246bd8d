//! Roots that builds make by themselves, and when they may go.
//!
//! A root's name says for whom it keeps something: `build:HOST:FOLDER` for the last build of a spec's
//! host, `link:PATH` for a link to a result. Where the folder or the link is gone, so is the reason.

use nos_store::{KeyBuilder, Store, StoreError};
use std::path::Path;

const BUILD: &str = "build:";
const LINK: &str = "link:";

/// Longest name that is kept readable, in bytes as the store writes it. A longer place is hashed.
const MAX_NAME: usize = 240;

/// The root of the last build of a host whose spec is in `folder`.
pub(crate) fn of_build(host: &str, folder: &Path) -> String {
    named(&format!("{BUILD}{host}:"), folder)
}

/// The root of a link to a result.
pub(crate) fn of_link(link: &Path) -> String {
    named(LINK, link)
}

fn named(prefix: &str, place: &Path) -> String {
    let written = |byte: u8| if byte.is_ascii_alphanumeric() { 1 } else { 3 };
    match place.to_str() {
        Some(text) if prefix.len() + text.bytes().map(written).sum::<usize>() <= MAX_NAME => {
            format!("{prefix}{text}")
        }
        _ => {
            let place = place.as_os_str().as_encoded_bytes();
            let hash = KeyBuilder::new("nos.root").bytes("place", place).finish();
            format!("{prefix}{hash}")
        }
    }
}

/// Names of the roots whose folder or link is no longer there.
///
/// # Errors
/// Where the store's roots cannot be read.
pub fn forgotten(store: &Store) -> Result<Vec<String>, StoreError> {
    let names = store.roots()?.into_keys();
    Ok(names.filter(|name| is_forgotten(name)).collect())
}

fn is_forgotten(name: &str) -> bool {
    let place = match (name.strip_prefix(BUILD), name.strip_prefix(LINK)) {
        (Some(rest), _) => rest.split_once(':').map(|(_, folder)| folder),
        (_, Some(link)) => Some(link),
        _ => None,
    };
    // A place that was hashed says nothing of where it is, so it is kept.
    let place = place.filter(|place| place.starts_with('/')).map(Path::new);
    place.is_some_and(|place| place.symlink_metadata().is_err())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_root_is_forgotten_with_its_place() {
        let folder = tempfile::tempdir().unwrap();
        let name = of_build("edge", folder.path());
        assert_eq!(name, format!("build:edge:{}", folder.path().display()));
        assert!(!is_forgotten(&name));
        let link = folder.path().join("result");
        std::os::unix::fs::symlink("/nowhere", &link).unwrap();
        assert!(!is_forgotten(&of_link(&link)), "the link is what counts");
        drop(folder);
        assert!(is_forgotten(&name) && is_forgotten(&of_link(&link)));
    }

    #[test]
    fn other_roots_and_hashed_places_stay() {
        let long = format!("/{}", "long/".repeat(60));
        let name = of_build("edge", Path::new(&long));
        assert!(name.len() <= MAX_NAME && !is_forgotten(&name), "{name}");
        assert_ne!(name, of_build("edge", Path::new(&long.replace('l', "L"))));
        assert!(!is_forgotten("tool-qemu") && !is_forgotten("import:1234"));
    }
}
