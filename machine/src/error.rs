//! What can go wrong around a virtual machine.

use crate::qmp::QmpError;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

/// Why a virtual machine could not be started or used.
#[derive(Debug, thiserror::Error)]
pub enum MachineError {
    /// A program or firmware file that the toolbox should have.
    #[error("{path} is missing, and without it no virtual machine starts; {remedy}")]
    NoTool {
        /// The file.
        path: PathBuf,
        /// What to do.
        remedy: &'static str,
    },
    /// A file that the configuration names.
    #[error(
        "{path} cannot be used for the virtual machine: {error}; check that it exists and is yours to read and write"
    )]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// The process could not be started.
    #[error("{program} could not be started: {error}; fetch the virtual machine's packages again")]
    Spawn {
        /// The program.
        program: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// A wanted port of this machine is taken.
    #[error("port {port} of 127.0.0.1 is in use; stop what uses it, or forward another port")]
    PortInUse {
        /// The port.
        port: u16,
    },
    /// The machine ended before it was ready.
    #[error("the virtual machine ended at once ({how}): {said}; check memory, disk and arguments")]
    EndedEarly {
        /// Exit status in words.
        how: String,
        /// What QEMU wrote to standard error.
        said: String,
    },
    /// The monitor did not answer.
    #[error("the virtual machine's monitor: {0}")]
    Monitor(#[from] QmpError),
    /// Text did not appear in time.
    #[error("the console did not say {wanted:?} within {}; its last lines were:\n{tail}", seconds(.limit))]
    Silent {
        /// What was waited for.
        wanted: String,
        /// For how long.
        limit: Duration,
        /// The last of what it did say.
        tail: String,
    },
    /// The machine ended while text was waited for.
    #[error(
        "the virtual machine ended before its console said {wanted:?}; its last lines were:\n{tail}"
    )]
    EndedWaiting {
        /// What was waited for.
        wanted: String,
        /// The last of what it did say.
        tail: String,
    },
    /// Waiting for the process failed.
    #[error("waiting for the virtual machine failed: {0}; it was ended")]
    Wait(io::Error),
}

fn seconds(limit: &Duration) -> String {
    format!("{:.1} s", limit.as_secs_f64())
}
