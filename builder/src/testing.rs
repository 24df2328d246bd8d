//! What several tests of this crate need.

#[path = "../tests/common/mod.rs"]
mod common;

pub(crate) use common::git;
pub(crate) use common::server::{Reply, Request, Server};

use crate::events::{Event, Observer};
use crate::realise::{Builder, Options};
use nos_store::Store;
use std::path::Path;
use std::sync::Mutex;

/// Keeps what it is warned of.
#[derive(Default)]
pub(crate) struct Warnings(Mutex<Vec<String>>);

impl Warnings {
    pub(crate) fn all(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }
}

impl Observer for Warnings {
    fn event(&self, event: Event<'_>) {
        if let Event::Warning(text) = event {
            self.0.lock().unwrap().push(text.to_owned());
        }
    }
}

/// A builder that works alone.
pub(crate) fn builder<'a>(
    store: &'a Store,
    folder: &'a Path,
    observer: &'a dyn Observer,
) -> Builder<'a> {
    Builder {
        store,
        folder,
        jobs: 1,
        memory_bytes: u64::MAX,
        keep_going: false,
        observer,
        options: Options::default(),
    }
}
