//! Completions, in the shells themselves: typed on a terminal, read off its screen.

use crate::said::{folder, make_disk, skip, workspace};
use crate::terminal::Terminal;
use std::path::Path;
use std::process::Command;
use tempfile::TempDir;

/// How a shell is started without anybody's settings, and what it needs before completions.
struct Shell {
    name: &'static str,
    options: &'static [&'static str],
    set_up: &'static str,
}

const SHELLS: [Shell; 3] = [
    Shell {
        name: "bash",
        options: &["--norc", "--noprofile", "-i"],
        set_up: "PS1='$ '; source <(nos completions bash)",
    },
    Shell {
        name: "zsh",
        options: &["-f", "-i"],
        set_up: "PS1='$ '; autoload -U compinit; compinit -u -D; source <(nos completions zsh)",
    },
    Shell {
        name: "fish",
        options: &["--no-config", "-i"],
        set_up: "function fish_prompt; echo '$ '; end; nos completions fish | source",
    },
];

/// A folder with specs, a disk and what the examples need.
fn place() -> TempDir {
    let place = folder(&[("fleet/fleet.nos", FLEET), ("fleet/nos.lock", "")]);
    let lock = std::fs::read(workspace().join("examples/hello/nos.lock")).unwrap();
    std::fs::write(place.path().join("fleet/nos.lock"), lock).unwrap();
    make_disk(&place.path().join("disk.img"), "known good");
    place
}

const FLEET: &str = "\
use std.kernel

service a {
  packages = [\"busybox-static\"]
  run      = [\"/usr/bin/busybox\", \"httpd\"]
}

host edge {
  kernel   = kernel.stock
  services = [a]
}

host core {
  kernel   = kernel.stock
  services = [a]
}
";

fn start(shell: &Shell, at: &Path) -> Option<Terminal> {
    let known = ["/usr/bin", "/bin"]
        .iter()
        .any(|bin| Path::new(bin).join(shell.name).exists());
    if !known || !Path::new("/usr/bin/setsid").exists() {
        skip(&format!("there is no {} (or no setsid) here", shell.name));
        return None;
    }
    let program = Path::new(env!("CARGO_BIN_EXE_nos")).parent().unwrap();
    let mut command = Command::new("/usr/bin/setsid");
    command.args(["--ctty", shell.name]).args(shell.options);
    command
        .env_clear()
        .env("PATH", format!("{}:/usr/bin:/bin", program.display()))
        .env("HOME", at)
        .env("TERM", "xterm")
        .env("LC_ALL", "C.UTF-8")
        .current_dir(at);
    let mut terminal = Terminal::start(command, 100, 30);
    // What is typed before a shell reads is lost in some: wait for its first prompt.
    terminal.wait(|screen| !screen.contents().trim().is_empty());
    terminal.press(&format!("{}; echo re''ady\r", shell.set_up));
    terminal.wait(|screen| screen.contents().lines().any(|line| line.trim() == "ready"));
    Some(terminal)
}

#[test]
fn shells_complete_verbs_options_hosts_and_generations() {
    let place = place();
    for shell in &SHELLS {
        let Some(mut terminal) = start(shell, place.path()) else {
            continue;
        };
        for (typed, completed) in [
            ("nos generat\t", "nos generations"),
            ("nos build --out\t", "nos build --out-link"),
            (
                "nos plan fleet/fleet.nos#ed\t",
                "nos plan fleet/fleet.nos#edge",
            ),
            ("nos run fleet#co\t", "nos run fleet#core"),
            ("nos switch disk.img \t", "nos switch disk.img 1"),
            ("nos tree disk.img#\t", "nos tree disk.img#1"),
            ("nos why fleet busybox-s\t", "nos why fleet busybox-static"),
            ("nos explain service.hea\t", "nos explain service.health"),
            ("nos run --accel tc\t", "nos run --accel tcg"),
        ] {
            terminal.press(typed);
            terminal.wait(|screen| {
                // zsh may write a sharp with a backslash; it means the same.
                screen.contents().replace("\\#", "#").contains(completed)
            });
            // Away with the line, and with what was listed below it.
            terminal.press("\x15\x0c");
            terminal.wait(|screen| !screen.contents().contains("nos "));
        }
        // Where several fit, all are listed.
        terminal.press("nos run fleet#\t\t");
        terminal.wait(|screen| {
            let text = screen.contents().replace("\\#", "#");
            text.contains("fleet#core") && text.contains("fleet#edge")
        });
    }
}

#[test]
fn completing_says_nothing_of_what_is_wrong() {
    let place = folder(&[("wrong.nos", "host {"), ("disk.img", "no disk")]);
    for (words, index) in [
        (&["nos", "run", "wrong.nos#"][..], "2"),
        (&["nos", "switch", "disk.img", ""], "3"),
        (&["nos", "store", "drop", ""], "3"),
        (&["nos", "nothing", "", ""], "3"),
        (&["nos"], "7"),
    ] {
        let mut command = crate::said::nos(place.path());
        command
            .env("NOS_COMPLETE", "bash")
            .env("_CLAP_COMPLETE_INDEX", index);
        command.arg("--").args(words);
        let output = command.output().unwrap();
        let said = crate::said::Said::from(output);
        assert_eq!((said.code, said.err.as_str()), (Some(0), ""), "{words:?}");
    }
    let left = std::fs::read_dir(place.path()).unwrap().count();
    assert_eq!(left, 2, "a store was made");
}
