//! What completion offers from outside of the spec: packages of the lock, files beside it.

use super::workspace::Project;
use nos_builder::project::{LOCK_NAME, read_text};
use nos_specs::ide::Outside;
use nos_specs::lock::Lock;
use std::collections::BTreeMap;
use std::path::Path;

/// Most names of one folder that are offered.
const MOST: usize = 1000;

/// The surroundings of a spec.
pub(super) struct Around<'a>(pub(super) &'a Project);

impl Around<'_> {
    /// The spec's lock; empty where there is none.
    fn lock(&self) -> Lock {
        let lock = self.0.folder().map(|folder| folder.join(LOCK_NAME));
        let text = lock.and_then(|path| read_text(&path).ok());
        let lock = text.and_then(|text| Lock::parse(&text).ok());
        lock.unwrap_or_default()
    }
}

impl Outside for Around<'_> {
    fn packages(&self) -> Vec<(String, String)> {
        let packages = self.lock().packages.into_iter();
        packages
            .map(|(name, package)| (name, package.version))
            .collect()
    }

    fn source_packages(&self) -> Vec<(String, String)> {
        let lock = self.lock();
        // The archive keeps a package in the folder of its source: pool/main/d/dropbear/….
        let folders = lock.packages.values().filter_map(|package| {
            let name = package.path.split('/').nth(3)?;
            Some((name.to_owned(), String::new()))
        });
        let sources = lock.sources.into_iter();
        let pinned = sources.map(|(name, source)| (name, source.version));
        let all: BTreeMap<String, String> = folders.chain(pinned).collect();
        all.into_iter().collect()
    }

    fn entries(&self, folder: &str) -> Vec<(String, bool)> {
        let Some(root) = self.0.folder() else {
            return Vec::new();
        };
        let path = root.join(Path::new(folder));
        let entries = std::fs::read_dir(path).into_iter().flatten().flatten();
        let named = entries.filter_map(|entry| {
            let is_folder = entry.path().is_dir();
            Some((entry.file_name().into_string().ok()?, is_folder))
        });
        let mut found: Vec<_> = named.take(MOST).collect();
        found.sort();
        found
    }
}
