//! What a build tells while it runs. Libraries say it; only the program prints it.

use std::time::Duration;

/// Something that happened during a build.
#[derive(Debug, Clone)]
pub enum Event<'a> {
    /// Bytes of one download so far.
    Download {
        /// Package or index.
        name: &'a str,
        /// Bytes received.
        done: u64,
        /// Bytes in all, where known.
        total: Option<u64>,
    },
    /// An action starts to run (it was not in the store).
    Started {
        /// Its label.
        label: &'a str,
    },
    /// An action has run.
    Finished {
        /// Its label.
        label: &'a str,
        /// How long it took.
        elapsed: Duration,
    },
    /// Something a person should know although the work goes on.
    Warning(&'a str),
}

/// Who listens. Called from several threads.
pub trait Observer: Sync {
    /// Takes one event; must be quick.
    fn event(&self, event: Event<'_>);
}

/// Hears nothing.
#[derive(Debug, Clone, Copy)]
pub struct Silent;

impl Observer for Silent {
    fn event(&self, _event: Event<'_>) {}
}
