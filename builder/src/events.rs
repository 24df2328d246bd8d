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
    /// Files are about to be downloaded, beside those that were said before.
    Wanted {
        /// How many.
        files: usize,
        /// Their bytes.
        bytes: u64,
    },
    /// A download is complete and verified.
    Downloaded {
        /// Package or index.
        name: &'a str,
    },
    /// Actions are about to run.
    Outline(&'a Outline),
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
    /// An action need not run: what it reads turned out to be the same as in an earlier build.
    Reused {
        /// Its label.
        label: &'a str,
    },
    /// An action has failed.
    Failed {
        /// Its label.
        label: &'a str,
        /// After how long.
        elapsed: Duration,
    },
    /// Something a person should know although the work goes on.
    Warning(&'a str),
}

/// The actions that may have to run, inputs before what reads them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Outline {
    /// All of them; the last makes the result.
    pub actions: Vec<Outlined>,
    /// How many processors there are for them.
    pub cores: usize,
    /// Whether a failure stops only what needs its result.
    pub keep_going: bool,
}

/// One action of an [`Outline`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outlined {
    /// Its label.
    pub label: String,
    /// Which actions of the outline it reads.
    pub inputs: Vec<usize>,
    /// How long it takes, by the times that are remembered.
    pub estimate: Option<Duration>,
    /// How many processors it keeps busy.
    pub cores: usize,
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

/// Passes on what the Debian source tells.
pub struct Relay<'a>(pub &'a dyn Observer);

impl crate::debian::Progress for Relay<'_> {
    fn event(&self, event: crate::debian::Event<'_>) {
        use crate::debian::Event as Fetch;
        match event {
            Fetch::Started {
                item,
                done_bytes,
                total_bytes,
            }
            | Fetch::Advanced {
                item,
                done_bytes,
                total_bytes,
            } => {
                // Bytes that are all there are not yet verified: `Finished` says so.
                self.0.event(Event::Download {
                    name: item,
                    done: done_bytes,
                    total: total_bytes,
                });
            }
            Fetch::Wanted { items, bytes } => {
                let files = items;
                self.0.event(Event::Wanted { files, bytes });
            }
            Fetch::Finished { item } => self.0.event(Event::Downloaded { name: item }),
            Fetch::Retrying {
                item,
                attempt,
                reason,
            } => {
                let text = format!("{item}: {reason}; attempt {attempt} follows");
                self.0.event(Event::Warning(&text));
            }
            Fetch::Warning { text } => self.0.event(Event::Warning(text)),
        }
    }
}
