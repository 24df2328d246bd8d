//! What a terminal shows while a build goes on: in all its sizes, and when it is made another.

use crate::common::can_make_sandboxes;
use crate::common::program::Nos;
use crate::common::{Example, say};
use crate::terminal::{Terminal, text};
use rustix::process::Signal;
use std::path::Path;
use tempfile::TempDir;

/// A spec whose builds wait until they are ended.
fn waiting() -> Option<Example> {
    if !can_make_sandboxes() {
        say!("SKIPPED: what a terminal shows of a build, as sandboxes cannot be made here");
        return None;
    }
    let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/e2e/scripts");
    let example = Example::from_folder("scripts", &from);
    let spec = String::from_utf8(example.read("scripts.nos")).unwrap();
    // A text that no run before has built.
    let wait = format!("sleep 1000{}", std::process::id());
    let spec = spec.replace("cp hello $out/one", &wait);
    example.write("scripts.nos", spec.replace("echo three >$out/three", &wait));
    Some(example)
}

/// A build on a terminal of this size, and a folder that it needs.
fn build(example: &Example, set: (&str, &str), (columns, rows): (u16, u16)) -> (Terminal, TempDir) {
    let spec = example.spec();
    let nos = Nos::new(["build", &spec, "--locked", "--offline", "--jobs", "2"]);
    let (mut command, home) = nos.env("TERM", "xterm").env(set.0, set.1).into_command();
    command.env_remove("NO_COLOR").env(set.0, set.1);
    (Terminal::start(command, columns, rows), home)
}

/// The lines that are not empty.
fn lines(screen: &vt100::Screen) -> Vec<String> {
    let text = text(screen);
    let lines = text.lines().filter(|line| !line.is_empty());
    lines.map(String::from).collect()
}

#[test]
fn a_terminal_shows_what_runs_whatever_its_size() {
    let Some(example) = waiting() else { return };
    let (mut terminal, _home) = build(&example, ("TERM", "xterm"), (20, 5));
    let small = |screen: &vt100::Screen| {
        let lines = lines(screen);
        let shown = |part: &str| lines.iter().filter(|line| line.starts_with(part)).count();
        // How many are done takes more room where there is no time left to be said.
        let counts = shown("0/") + shown("0 of ");
        // Each once: what was drawn before is gone.
        shown("▸ build one") == 1 && shown("▸ build three") == 1 && counts == 1
    };
    terminal.wait(small);
    terminal.resize(100, 24);
    let large = terminal.wait(|screen| {
        let text = text(screen);
        text.contains("Working system many") && text.contains("2 running")
    });
    for part in [
        "     Working system many",
        "├─ build two",
        "▸ build one",
        " done, 2 running, ",
    ] {
        assert!(large.contains(part), "{part:?} is not in\n{large}");
    }
    terminal.resize(100, 6);
    terminal.wait(|screen| {
        let lines = lines(screen);
        let working = lines.iter().filter(|line| line.contains("Working")).count();
        working == 1 && lines.last().is_some_and(|line| line.contains("2 running"))
    });
    terminal.resize(20, 5);
    terminal.wait(small);
    // Its last words are long.
    terminal.resize(100, 24);
    terminal.signal(Signal::INT);
    terminal.see("error: stopped by SIGINT");
    let (status, raw) = terminal.end();
    assert!(!status.success(), "{raw}");
    assert!(raw.contains("\x1b[33m▸ build one\x1b[0m"), "{raw}");
}

#[test]
fn colour_is_left_out_where_it_is_not_wanted() {
    let Some(example) = waiting() else { return };
    let (mut terminal, _home) = build(&example, ("NO_COLOR", "1"), (80, 24));
    terminal.see("▸ build three");
    terminal.signal(Signal::TERM);
    terminal.see("error: stopped by SIGTERM");
    let (_, raw) = terminal.end();
    assert!(!raw.contains("\x1b[3") && !raw.contains("\x1b[1"), "{raw}");
}
