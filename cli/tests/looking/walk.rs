//! `nos tree` on a terminal, as a person walks through it; and printed.

use crate::said::{filled_store, hello, nos, run};
use crate::terminal::Terminal;
use rustix::process::Signal;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use tempfile::TempDir;

/// A folder with a disk that holds `examples/hello`.
fn disk() -> Option<TempDir> {
    let store = filled_store()?;
    let place = hello();
    let store = store.to_str().unwrap();
    run(
        place.path(),
        &[
            "image",
            "-o",
            "disk.img",
            "--offline",
            "-q",
            "--store",
            store,
        ],
    )
    .expect(0, &[]);
    Some(place)
}

fn walk(at: &Path, variables: &[(&str, &str)]) -> Terminal {
    let mut command = nos(at);
    command.args(["tree", "disk.img"]).env("TERM", "xterm");
    command.envs(variables.iter().copied());
    let terminal = Terminal::start(command, 80, 24);
    terminal.see("image page");
    terminal
}

/// The line that the mark is at.
fn here(text: &str) -> &str {
    text.lines()
        .find(|line| line.starts_with('>'))
        .unwrap_or_default()
}

#[test]
fn a_person_walks_into_images_folders_and_files() {
    let Some(place) = disk() else { return };
    let mut terminal = walk(place.path(), &[]);
    let first = terminal.see("q quit");
    assert!(
        first.contains("SIZE  by size") && here(&first).contains("- hello"),
        "{first}"
    );
    // Down to the image, the last or the last but one by size.
    terminal.press("\x1b[B\x1b[B\x1b[B");
    let last = |screen: &vt100::Screen| {
        let text = screen.contents();
        ["image page", "initramfs"]
            .iter()
            .any(|name| here(&text).contains(name))
            && text.contains("4/4")
    };
    if here(&terminal.wait(last)).contains("initramfs") {
        terminal.press("k");
    }
    terminal.wait(|screen| here(&screen.contents()).contains("+ image page"));
    terminal.press("\x1b[C");
    terminal.see("+ usr");
    terminal.press("\x1b[C\x1b[C");
    terminal.see("+ bin");
    terminal.press("\x1b[C\x1b[C");
    let deep = terminal.wait(|screen| screen.contents().contains("busybox"));
    assert!(here(&deep).contains("bin"), "{deep}");
    // Names instead of sizes: the place stays.
    terminal.press("s");
    let named = terminal.see("by name");
    assert!(here(&named).contains("bin"), "{named}");
    // Fold the image again: from the folder to what it is in, twice.
    terminal.press("hhhh");
    terminal.wait(|screen| {
        !screen.contents().contains("busybox") && !screen.contents().contains("+ bin")
    });
    terminal.press("q");
    let (status, _) = terminal.end();
    assert!(status.success() && terminal.is_as_before());
}

#[test]
fn another_size_of_the_window_is_another_screen() {
    let Some(place) = disk() else { return };
    let mut terminal = walk(place.path(), &[]);
    terminal.see("q quit");
    terminal.resize(40, 6);
    let small = terminal.wait(|screen| {
        let text = screen.contents();
        let last = text.lines().last().unwrap_or_default();
        text.lines().count() == 6 && last.contains("arrows")
    });
    assert!(
        small.lines().all(|line| line.chars().count() <= 40),
        "{small}"
    );
    terminal.press("G");
    terminal.wait(|screen| {
        here(&screen.contents()).contains("initramfs")
            || here(&screen.contents()).contains("image page")
    });
    terminal.resize(100, 30);
    terminal.wait(|screen| {
        screen.contents().contains("  s sort  q quit") && screen.contents().lines().count() == 30
    });
    terminal.press("\x03");
    let (status, _) = terminal.end();
    assert!(status.success() && terminal.is_as_before());
}

#[test]
fn every_way_out_gives_the_terminal_back() {
    let Some(place) = disk() else { return };
    for keys in ["q", "\x1b", "\x03", "\x04"] {
        let mut terminal = walk(place.path(), &[]);
        terminal.press(keys);
        let (status, _) = terminal.end();
        assert!(status.success() && terminal.is_as_before(), "{keys:?}");
    }
    for signal in [Signal::TERM, Signal::INT, Signal::HUP] {
        let mut terminal = walk(place.path(), &[]);
        terminal.signal(signal);
        let (status, _) = terminal.end();
        assert_eq!(status.signal(), Some(signal.as_raw()));
        assert!(terminal.is_as_before(), "{signal:?}");
    }
}

#[test]
fn colours_are_for_who_wants_them() {
    let Some(place) = disk() else { return };
    let codes = |variables: &[(&str, &str)]| {
        let mut terminal = walk(place.path(), variables);
        terminal.press("jq");
        let (_, raw) = terminal.end();
        raw.contains("\x1b[7m") || raw.contains("\x1b[1m")
    };
    assert!(codes(&[]));
    assert!(!codes(&[("NO_COLOR", "1")]));
}

#[test]
fn without_a_terminal_it_is_printed() {
    let Some(place) = disk() else { return };
    let at = place.path();
    let said = run(at, &["tree", "disk.img", "-d", "1"]);
    assert_eq!((said.code, said.err.as_str()), (Some(0), ""));
    let names: Vec<&str> = said.out.lines().map(|line| line[10..].trim()).collect();
    assert_eq!(names[..3], ["hello", "kernel", "initramfs"]);
    assert!(
        names[3].starts_with("image page (") && names[4..].contains(&"/usr"),
        "{names:?}"
    );
    // On a terminal that can do nothing but show lines, and where it was asked for.
    for (option, term) in [("-p", "xterm"), ("-d1", "dumb")] {
        let mut command = nos(at);
        command.args(["tree", "disk.img", option]).env("TERM", term);
        let mut terminal = Terminal::start(command, 80, 24);
        terminal.see("/usr");
        let (status, raw) = terminal.end();
        assert!(status.success() && !raw.contains("\x1b[?1049h"), "{raw:?}");
    }
}
