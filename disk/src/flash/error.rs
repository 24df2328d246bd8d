//! What can go wrong while a disk is written, and what it leaves behind.

use super::keep::NoState;
use super::write::Left;
use crate::{Error, FailedTransfer, OpenError, Shortage};
use std::io;

/// A disk that was not written, or not to its end. Each says what the device holds now.
#[derive(Debug, thiserror::Error)]
pub enum FlashError {
    /// It cannot be done. Nothing was written.
    #[error(transparent)]
    Refused(#[from] Error),
    /// There is no state partition to keep. Nothing was written.
    #[error(transparent)]
    NoState(#[from] NoState),
    /// The medium failed.
    #[error(
        "{doing} {source} failed: {}; {left}; check the device with `dmesg`, its cable and its \
         port, or use another",
        reason(source)
    )]
    Device {
        /// What was being done: `writing`.
        doing: &'static str,
        /// What the system said.
        source: Transfer,
        /// What the device holds now.
        left: Left,
    },
    /// What was to be written cannot be read, or is not what it says it is.
    #[error("{what}; {left}")]
    Source {
        /// What is wrong, and the remedy.
        what: Error,
        /// What the device holds now.
        left: Left,
    },
    /// The medium gave back something else than what was written.
    #[error(
        "the device does not give back what was written to byte {offset} ({what}); {left}; it is \
         worn out, or smaller than it says: use another"
    )]
    ReadBack {
        /// Offset of the first range that differs.
        offset: u64,
        /// What it belongs to.
        what: String,
        /// What the device holds now.
        left: Left,
    },
    /// The caller asked to stop.
    #[error("stopped; {left}")]
    Stopped {
        /// What the device holds now.
        left: Left,
    },
}

/// A transfer that failed: where, as far as that is known, and why.
#[derive(Debug, thiserror::Error)]
#[error("{}", place(.0))]
pub struct Transfer(pub io::Error);

fn transfer(error: &io::Error) -> Option<&FailedTransfer> {
    error.get_ref()?.downcast_ref()
}

fn place(error: &io::Error) -> String {
    match transfer(error) {
        Some(FailedTransfer { offset, length, .. }) => format!("{length} bytes at byte {offset}"),
        None => "the device".into(),
    }
}

fn reason(error: &Transfer) -> String {
    match transfer(&error.0) {
        Some(failed) => failed.source.to_string(),
        None => error.0.to_string(),
    }
}

impl FlashError {
    /// An error of the parts that a disk is made of, where the device was left like this.
    pub(super) fn of(error: Error, left: Left) -> Self {
        match error {
            Error::Io { doing, source } => Self::Device {
                doing: match doing {
                    "flushing the disk" => "flushing",
                    "reading back what was written" => "reading back",
                    _ => "writing",
                },
                source: Transfer(source),
                left,
            },
            Error::ReadBack { offset, what } => Self::ReadBack { offset, what, left },
            what if left == Left::AsItWas => Self::Refused(what),
            what => Self::Source { what, left },
        }
    }
}

impl From<OpenError> for FlashError {
    fn from(error: OpenError) -> Self {
        Self::Refused(error.into())
    }
}

impl From<Shortage> for FlashError {
    fn from(error: Shortage) -> Self {
        Self::Refused(error.into())
    }
}
