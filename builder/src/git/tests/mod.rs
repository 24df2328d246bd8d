//! Judged by git itself: what it writes must be read, what it says of it must be said here.

mod clone;
mod hostile;
mod packs;

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

/// Whether there is a git to ask.
fn has_git() -> bool {
    let found = Command::new("git").arg("--version").output().is_ok();
    if !found {
        eprintln!("skipped: git is not installed");
    }
    found
}

/// A git that nothing of this machine or user has a say in.
fn git(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new("git");
    command
        .arg("-C")
        .arg(folder)
        .args([
            "-c",
            "protocol.file.allow=always",
            "-c",
            "init.defaultBranch=main",
        ])
        .args(arguments)
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("HOME", folder)
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_TERMINAL_PROMPT", "0");
    for who in ["AUTHOR", "COMMITTER"] {
        command
            .env(format!("GIT_{who}_NAME"), "A")
            .env(format!("GIT_{who}_EMAIL"), "a@b.example")
            .env(format!("GIT_{who}_DATE"), "2001-02-03T04:05:06Z");
    }
    command
}

/// Runs git, gives it `input` and returns what it prints.
fn fed(folder: &Path, arguments: &[&str], input: &[u8]) -> Vec<u8> {
    let mut child = git(folder, arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input).unwrap();
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "git {arguments:?}: {said}");
    output.stdout
}

/// Runs git and returns the line that it prints.
fn asked(folder: &Path, arguments: &[&str]) -> String {
    let output = fed(folder, arguments, b"");
    String::from_utf8(output).unwrap().trim().to_owned()
}
