//! What a caller is told while work goes on.

/// One thing that happened. Items are named as a person would: `InRelease of trixie`,
/// `nginx 1.26.3-3`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event<'a> {
    /// Transfers are about to begin.
    Wanted {
        /// How many.
        items: usize,
        /// Their bytes in all.
        bytes: u64,
    },
    /// A transfer begins, `done_bytes` being there from an earlier attempt.
    Started {
        /// What is fetched.
        item: &'a str,
        /// Bytes that need not be fetched again.
        done_bytes: u64,
        /// Its size, where known.
        total_bytes: Option<u64>,
    },
    /// More of it has come.
    Advanced {
        /// What is fetched.
        item: &'a str,
        /// Bytes there so far.
        done_bytes: u64,
        /// Its size, where known.
        total_bytes: Option<u64>,
    },
    /// It is complete and verified.
    Finished {
        /// What was fetched.
        item: &'a str,
    },
    /// An attempt failed and another follows.
    Retrying {
        /// What is fetched.
        item: &'a str,
        /// Number of the coming attempt, from 2.
        attempt: u32,
        /// What went wrong.
        reason: &'a str,
    },
    /// Something a person should know; work goes on.
    Warning {
        /// One sentence.
        text: &'a str,
    },
}

/// Someone who is told. Called from several threads at once; must be quick.
pub trait Progress: Sync {
    /// Takes one event.
    fn event(&self, event: Event<'_>);
}

impl<F: Fn(Event<'_>) + Sync> Progress for F {
    fn event(&self, event: Event<'_>) {
        self(event);
    }
}

/// Tells nobody.
#[derive(Debug, Clone, Copy, Default)]
pub struct Quiet;

impl Progress for Quiet {
    fn event(&self, _: Event<'_>) {}
}
