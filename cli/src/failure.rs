//! How a verb can end other than well, and the exit code that says so.

use crate::shell::OutputEnded;
use std::fmt::Display;

/// Why a verb did not do what was asked.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The work could not be done. Exit code 1.
    Failed(String),
    /// The command or the spec is wrong. Exit code 2.
    Wrong(String),
    /// As [`Failure::Wrong`], and already explained. Exit code 2.
    WrongSpec,
    /// As [`Failure::Failed`], and already explained. Exit code 1.
    Explained,
    /// Something would change, where that was the question. Exit code 3.
    ChangesPending,
    /// Nobody reads the output any more.
    BrokenPipe,
}

impl Failure {
    /// Work that could not be done, for this reason.
    pub(crate) fn failed(reason: impl Display) -> Self {
        Self::Failed(reason.to_string())
    }

    /// The process's exit code.
    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            Self::BrokenPipe => 0,
            Self::Failed(_) | Self::Explained => 1,
            Self::Wrong(_) | Self::WrongSpec => 2,
            Self::ChangesPending => 3,
        }
    }

    /// What to say, where nothing was said yet.
    pub(crate) fn message(&self) -> Option<&str> {
        match self {
            Self::Failed(message) | Self::Wrong(message) => Some(message),
            _ => None,
        }
    }
}

impl From<OutputEnded> for Failure {
    fn from(ended: OutputEnded) -> Self {
        match ended {
            OutputEnded::BrokenPipe => Self::BrokenPipe,
            OutputEnded::Failed(error) => Self::Failed(format!(
                "standard output cannot be written: {error}; check where it leads"
            )),
        }
    }
}

impl From<nos_store::StoreError> for Failure {
    fn from(error: nos_store::StoreError) -> Self {
        Self::failed(error)
    }
}

impl From<nos_builder::BuildError> for Failure {
    fn from(error: nos_builder::BuildError) -> Self {
        Self::failed(error)
    }
}
