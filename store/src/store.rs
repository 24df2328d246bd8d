//! The store as a whole: opening it, and what its parts share.

use crate::error::{Context, Result, StoreError};
use crate::fs::Fs;
use crate::listing::{self, MAX_LISTING_BYTES};
use crate::meta::{self, Access};
use crate::session::{Hold, Session};
use crate::{Blob, Digest, Output};
use nos_formats::tree::Tree;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A store, open. Clones share one session; all methods may be called from many threads, and
/// many processes may have the same store open.
#[derive(Clone)]
pub struct Store {
    inner: Arc<Inner>,
}

struct Inner {
    fs: Fs,
    session: Session,
    access: Access,
    options: Options,
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.session.end(&self.fs);
    }
}

/// How a store is opened; from [`Store::options`].
#[derive(Debug, Clone)]
pub struct Options {
    durable: bool,
    /// `None`: by the number of cores, which takes a while to find.
    threads: Option<usize>,
}

impl Options {
    /// Whether results and roots outlast a power cut once they are visible (default: yes).
    ///
    /// Without, a power cut may leave results that name lost or torn objects, until
    /// [`Store::verify`] repairs the store. For stores in memory and for measuring.
    #[must_use]
    pub fn durable(mut self, durable: bool) -> Self {
        self.durable = durable;
        self
    }

    /// Threads for importing and verifying (default: one for each core, at least 2, at most 16).
    /// No result depends on it.
    #[must_use]
    pub fn threads(mut self, threads: usize) -> Self {
        self.threads = Some(threads.clamp(1, 256));
        self
    }

    /// Opens the store in a folder, making the folder and the store where they are missing.
    ///
    /// # Errors
    /// [`StoreError::NotAStore`] for a folder with other things in it, [`StoreError::TooNew`] for a
    /// store with unknown incompatible features.
    pub fn open(&self, path: impl AsRef<Path>) -> Result<Store> {
        let path = path.as_ref();
        let absolute = std::path::absolute(path).context("find", path)?;
        let fs = match Fs::open(&absolute) {
            Err(StoreError::Io { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => {
                std::fs::create_dir_all(&absolute).context("create the store", &absolute)?;
                Fs::open(&absolute)?
            }
            opened => opened?,
        };
        self.open_fs(fs)
    }

    pub(crate) fn open_fs(&self, fs: Fs) -> Result<Store> {
        let access = meta::open(&fs)?;
        Ok(Store {
            inner: Arc::new(Inner {
                fs,
                session: Session::default(),
                access,
                options: self.clone(),
            }),
        })
    }
}

impl Store {
    /// The options a store is opened with, at their defaults.
    pub fn options() -> Options {
        Options {
            durable: true,
            threads: None,
        }
    }

    /// Opens the store in a folder with default options, making both where they are missing.
    ///
    /// # Errors
    /// As [`Options::open`].
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        Self::options().open(path)
    }

    /// The store's folder.
    pub fn root(&self) -> &Path {
        self.inner.fs.path()
    }

    /// Stores a tree's listing; its digest is the tree's identity. The contents must be stored
    /// already, which is not checked.
    ///
    /// # Errors
    /// [`StoreError::BadTree`] or [`StoreError::Tree`] for what a listing cannot hold.
    pub fn add_tree(&self, tree: &Tree<Blob>) -> Result<Digest> {
        let bytes = listing::encode(tree)?;
        let digest = Digest::of(&bytes);
        let hold = self.hold()?;
        hold.record([Output::Tree(digest)])?;
        self.add_named(&digest, &bytes)?;
        Ok(digest)
    }

    /// The digest that [`Store::add_tree`] would give, without storing anything.
    ///
    /// # Errors
    /// As [`Store::add_tree`].
    pub fn tree_digest(tree: &Tree<Blob>) -> Result<Digest> {
        Ok(Digest::of(&listing::encode(tree)?))
    }

    /// Reads a tree. Hard links come back with their target's metadata.
    ///
    /// # Errors
    /// [`StoreError::Missing`], [`StoreError::Damaged`] as for objects;
    /// [`StoreError::BadListing`] for an object that is no tree listing.
    pub fn read_tree(&self, digest: &Digest) -> Result<Tree<Blob>> {
        listing::decode(&self.read_object_bounded(digest, MAX_LISTING_BYTES)?)
    }

    /// Path of the store's folder, owned, for messages.
    pub(crate) fn path(&self) -> PathBuf {
        self.root().to_path_buf()
    }

    pub(crate) fn fs(&self) -> &Fs {
        &self.inner.fs
    }

    pub(crate) fn durable(&self) -> bool {
        self.inner.options.durable
    }

    pub(crate) fn threads(&self) -> usize {
        self.inner.options.threads.unwrap_or_else(|| {
            let cores = std::thread::available_parallelism().map_or(2, usize::from);
            cores.clamp(2, 16)
        })
    }

    /// Does many operations at the cost of one: collections in other processes wait until all are
    /// done, and what they hold on to is recorded in one piece.
    ///
    /// # Errors
    /// Those of `work`; [`StoreError::Io`] where the record cannot be written.
    pub fn together<T, E: From<StoreError>>(
        &self,
        work: impl FnOnce() -> std::result::Result<T, E>,
    ) -> std::result::Result<T, E> {
        if !self.is_writable() {
            return work();
        }
        let gathering = self.inner.session.gather(&self.inner.fs)?;
        let done = work()?;
        gathering.finish()?;
        Ok(done)
    }

    /// Keeps collections from removing anything while the guard lives.
    pub(crate) fn hold(&self) -> Result<Hold<'_>> {
        self.check_writable()?;
        self.inner.session.hold(&self.inner.fs)
    }

    pub(crate) fn is_writable(&self) -> bool {
        self.inner.access == Access::Full
    }

    pub(crate) fn check_writable(&self) -> Result<()> {
        match &self.inner.access {
            Access::Full => Ok(()),
            Access::NotOurs => Err(StoreError::NotWritable { path: self.path() }),
            Access::ReadOnly(feature) => Err(StoreError::ReadOnly {
                path: self.path(),
                feature: feature.clone(),
            }),
        }
    }
}
