//! The `nos` program, started as a person would start it, with an environment that says nothing
//! but what a test wants it to say.

use serde_json::Value;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use tempfile::TempDir;

/// Variables that say how the network is reached.
const NETWORK: [&str; 9] = [
    "NOS_DEBIAN_MIRROR",
    "http_proxy",
    "https_proxy",
    "all_proxy",
    "no_proxy",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "ALL_PROXY",
    "NO_PROXY",
];

/// A run of `nos` that is about to start.
pub(crate) struct Nos {
    command: Command,
    folder: TempDir,
}

/// How a run ended.
pub(crate) struct Output {
    /// Exit code; `None` where a signal ended it.
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Nos {
    /// A run with these arguments, on the shared store.
    pub(crate) fn new<S: AsRef<OsStr>>(arguments: impl IntoIterator<Item = S>) -> Self {
        Self::of(Path::new(env!("CARGO_BIN_EXE_nos")), arguments)
    }

    /// A run of a copy of the program.
    pub(crate) fn of<S: AsRef<OsStr>>(
        program: &Path,
        arguments: impl IntoIterator<Item = S>,
    ) -> Self {
        let folder = tempfile::Builder::new()
            .prefix("nos-home-")
            .tempdir()
            .unwrap();
        let mut command = Command::new(program);
        command
            .args(arguments)
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .env("HOME", folder.path())
            .env("NOS_STORE", super::shared_store())
            .current_dir(folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        for name in NETWORK {
            if let Some(value) = std::env::var_os(name) {
                command.env(name, value);
            }
        }
        let mut nos = Self { command, folder };
        std::fs::create_dir(nos.scratch()).unwrap();
        nos.command.env("TMPDIR", nos.folder.path().join("tmp"));
        nos
    }

    /// Sets a variable.
    pub(crate) fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    /// Uses another store.
    pub(crate) fn store(self, place: &Path) -> Self {
        self.env("NOS_STORE", place)
    }

    /// The folder for its temporary files.
    pub(crate) fn scratch(&self) -> PathBuf {
        self.folder.path().join("tmp")
    }

    /// The command, to change it further or to start it by hand. The folder with its home and
    /// temporary files lasts as long as the second value.
    pub(crate) fn into_command(self) -> (Command, TempDir) {
        (self.command, self.folder)
    }

    /// Runs it to its end.
    pub(crate) fn run(mut self) -> Output {
        let output = self.command.output().unwrap();
        Output {
            code: output.status.code(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// Runs it; it must exit with 0.
    pub(crate) fn succeeds(self) -> Output {
        self.run().expect_code(0)
    }

    /// Runs it with `--json`; gives what it printed.
    pub(crate) fn json(mut self) -> Value {
        self.command.arg("--json");
        self.succeeds().json()
    }
}

impl Output {
    /// Fails, and shows everything, where the exit code is another.
    pub(crate) fn expect_code(self, code: i32) -> Self {
        let Self { stdout, stderr, .. } = &self;
        assert_eq!(
            self.code,
            Some(code),
            "exit code\n--- stdout\n{stdout}\n--- stderr\n{stderr}"
        );
        self
    }

    /// Standard output as JSON.
    pub(crate) fn json(&self) -> Value {
        let parsed = serde_json::from_str(&self.stdout);
        parsed.unwrap_or_else(|error| panic!("not JSON: {error}\n{}", self.stdout))
    }
}

/// A member of a JSON value that must be there, by a pointer such as `/system/images/0`.
pub(crate) fn at<'a>(value: &'a Value, pointer: &str) -> &'a Value {
    value
        .pointer(pointer)
        .unwrap_or_else(|| panic!("no {pointer} in {value:#}"))
}
