//! Why nothing could be run.

use std::io;
use std::path::PathBuf;

/// Why a sandbox could not be made. How a command ended is no error: [`crate::Ended`] says it.
#[derive(Debug, thiserror::Error)]
pub enum SandboxError {
    /// The machine does not let ordinary users make namespaces.
    #[error(
        "this machine does not let you make a sandbox ({reason}); nothing is built outside of \
         one: {remedy}"
    )]
    Refused {
        /// What was refused.
        reason: String,
        /// What to do.
        remedy: &'static str,
    },
    /// An input is not there.
    #[error("the input {} cannot be reached: {error}; check the path and its permissions", path.display())]
    Input {
        /// Its path on the machine.
        path: PathBuf,
        /// The operating system's answer.
        error: io::Error,
    },
    /// The job contradicts itself.
    #[error("the sandbox cannot be set up: {reason}; correct the job's description")]
    Job {
        /// What is wrong.
        reason: String,
    },
    /// The program could not be started.
    #[error(
        "{program} cannot be started inside the sandbox: {error}; {}",
        start_remedy(error)
    )]
    Start {
        /// Path inside.
        program: String,
        /// The operating system's answer.
        error: io::Error,
    },
    /// A step failed that fails on no sound machine.
    #[error("the sandbox cannot be set up, {step} failed: {error}; run `nos doctor`")]
    Setup {
        /// What was being done.
        step: &'static str,
        /// The operating system's answer.
        error: io::Error,
    },
    /// The log could not be written.
    #[error("the log cannot be written: {0}; free some space in the store's file system")]
    Log(#[source] io::Error),
}

fn start_remedy(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::NotFound => {
            "name a package that has it among the tools, and the interpreter that it needs"
        }
        io::ErrorKind::PermissionDenied => "make it executable",
        _ => "name a program for this machine's processor",
    }
}
