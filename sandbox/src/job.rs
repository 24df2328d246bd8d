//! What is to run, over what, and how much of the machine it may take.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

/// A command and everything that it sees.
#[derive(Debug, Clone, Default)]
pub struct Job {
    /// The program, an absolute path inside, and its arguments.
    pub command: Vec<String>,
    /// The whole environment.
    pub env: BTreeMap<String, String>,
    /// Working folder, an absolute path inside; must exist (`/build` does).
    pub folder: String,
    /// Folder whose names become the names of `/`: folders and files as read-only inputs, symbolic
    /// links as they are. `build`, `dev`, `out`, `proc` and `tmp` are left out.
    pub root: Option<PathBuf>,
    /// Further inputs.
    pub inputs: Vec<Input>,
    /// What it may take.
    pub limits: Limits,
    /// How many processors it sees; `None`: all that this process may use.
    pub cores: Option<usize>,
    /// The second in which its wall clock stands, since 1970; `None`: the machine's clock. Of times of
    /// files those of this build lie in that second, all others are as they are. With it `/etc` is
    /// made by the sandbox, of the names that the root has there.
    pub clock_s: Option<i64>,
    /// Whether it talks to this process's own terminal instead of a log: for looking around.
    pub interactive: bool,
}

/// A file or folder of the machine, read-only inside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Input {
    /// Where it is.
    pub source: PathBuf,
    /// Absolute path inside, without `.`, `..` or empty parts, not below another input.
    pub target: String,
}

/// How much a command may take. Where it takes more it is ended, with all it has started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Time on the clock.
    pub time: Duration,
    /// Memory of all processes together, in bytes; of files what is mapped and lies in memory.
    pub memory_bytes: u64,
    /// What all writable folders hold together, in bytes. They lie in memory.
    pub space_bytes: u64,
    /// What it may print, in bytes.
    pub log_bytes: u64,
    /// Processes and threads at once. The kernel allows a quarter more, so that a command which
    /// passes this is seen and ended.
    pub processes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            time: Duration::from_secs(2 * 3600),
            memory_bytes: 8 << 30,
            space_bytes: 8 << 30,
            log_bytes: 64 << 20,
            processes: 1024,
        }
    }
}
