//! Git itself, for tests: it makes repositories and serves them.

use super::server::{Reply, Request};
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

/// Whether there is a git to ask.
pub(crate) fn has_git() -> bool {
    let found = Command::new("git").arg("--version").output().is_ok();
    if !found {
        eprintln!("skipped: git is not installed");
    }
    found
}

/// A git that nothing of this machine or user has a say in.
pub(crate) fn git(folder: &Path, arguments: &[&str]) -> Command {
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
pub(crate) fn fed(folder: &Path, arguments: &[&str], input: &[u8]) -> Vec<u8> {
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
pub(crate) fn asked(folder: &Path, arguments: &[&str]) -> String {
    let output = fed(folder, arguments, b"");
    String::from_utf8(output).unwrap().trim().to_owned()
}

/// Lets `git http-backend` answer for the repositories below a folder, as a web server does. Without
/// `newest` it speaks nothing newer than version 0 of the protocol.
pub(crate) fn backend(root: &Path, request: &Request, newest: bool) -> Reply {
    let (path, query) = request
        .target
        .split_once('?')
        .unwrap_or((&request.target, ""));
    let mut backend = git(root, &["http-backend"]);
    backend
        .env("GIT_PROJECT_ROOT", root)
        .env("GIT_HTTP_EXPORT_ALL", "1")
        .env("REQUEST_METHOD", &request.method)
        .env("PATH_INFO", path)
        .env("QUERY_STRING", query)
        .env(
            "CONTENT_TYPE",
            request.header("content-type").unwrap_or_default(),
        )
        .env("CONTENT_LENGTH", request.body.len().to_string())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    if let (Some(version), true) = (request.header("git-protocol"), newest) {
        backend.env("GIT_PROTOCOL", version);
    }
    let mut child = backend.spawn().unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(&request.body)
        .unwrap();
    let output = child.wait_with_output().unwrap().stdout;
    let end = output
        .windows(4)
        .position(|bytes| bytes == b"\r\n\r\n")
        .unwrap();
    let head = String::from_utf8(output[..end].to_vec()).unwrap();
    let mut reply = Reply::new(200, &output[end + 4..]);
    for line in head.lines() {
        let (name, value) = line.split_once(": ").unwrap();
        match name {
            "Status" => reply.status = value[..3].parse().unwrap(),
            name => reply = reply.with(name, value),
        }
    }
    reply
}
