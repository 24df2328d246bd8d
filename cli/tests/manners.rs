//! The manners of the program: help, exit codes, streams, colours and JSON, verb by verb.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that cannot go on should stop"
)]

mod said;

use expect_test::expect;
use said::{Said, filled_store, folder, hello, make_disk, nos, run, skip};
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

/// Columns that help must fit.
const COLUMNS: usize = 80;

// ── Help and usage ──────────────────────────────────────────────────────────────────────────

/// Every command with its verbs, as the program lists them.
fn all_verbs(at: &Path) -> Vec<Vec<String>> {
    let mut found: Vec<Vec<String>> = Vec::new();
    let mut open: Vec<Vec<String>> = vec![Vec::new()];
    while let Some(verb) = open.pop() {
        let args: Vec<&str> = verb.iter().map(String::as_str).chain(["--help"]).collect();
        let said = run(at, &args);
        let listed = said
            .out
            .lines()
            .skip_while(|line| *line != "Commands:")
            .skip(1);
        for line in listed.take_while(|line| line.starts_with("  ")) {
            // Deeper lines continue a description.
            if let Some(name) = line
                .strip_prefix("  ")
                .filter(|rest| !rest.starts_with(' '))
            {
                let name = name.split_whitespace().next().unwrap().to_string();
                if name != "help" {
                    open.push([verb.clone(), vec![name]].concat());
                }
            }
        }
        found.push(verb);
    }
    found
}

#[test]
fn help_of_every_verb_fits_a_terminal() {
    let place = folder(&[]);
    let verbs = all_verbs(place.path());
    assert!(verbs.len() > 18, "{verbs:?}");
    for verb in verbs {
        for option in ["--help", "-h"] {
            let args: Vec<&str> = verb.iter().map(String::as_str).chain([option]).collect();
            let said = run(place.path(), &args);
            assert_eq!((said.code, said.err.as_str()), (Some(0), ""), "{args:?}");
            assert!(said.out.contains("Usage: nos"), "{args:?}");
            for line in said.out.lines() {
                assert!(line.chars().count() <= COLUMNS, "{args:?}: {line}");
            }
        }
    }
    let said = run(place.path(), &["--version"]);
    assert_eq!(
        (said.code, said.out),
        (Some(0), format!("nos {}\n", env!("CARGO_PKG_VERSION")))
    );
}

#[test]
fn wrong_usage_ends_with_2_and_says_what_is_right() {
    let place = folder(&[]);
    for (args, message) in [
        (&[][..], "Usage: nos [OPTIONS] <COMMAND>"),
        (&["chek"], "tip: a similar subcommand exists: 'check'"),
        (
            &["instal"],
            "tip: some similar subcommands exist: 'init', 'install'",
        ),
        (
            &["check", "--jsn"],
            "tip: a similar argument exists: '--json'",
        ),
        (&["check", "a", "b"], "unexpected argument 'b'"),
        (&["image"], "--output <FILE>"),
        (
            &["image", "-o", "x", "--size", "3"],
            "write a whole number with a unit, such as 512MiB",
        ),
        (
            &["image", "-o", "x", "--size", "99999999TiB"],
            "the size is too large",
        ),
        (
            &["image", "-o", "x", "--sector-size", "1000"],
            "a sector has 512 or 4096 bytes",
        ),
        (
            &["run", "--port", "80"],
            "write HOST:GUEST, such as 8080:80",
        ),
        (
            &["run", "--port", "80:0"],
            "write HOST:GUEST, such as 8080:80",
        ),
        (&["plan", "--check"], "unexpected argument '--check'"),
        (&["build", "--jobs", "0"], "0 is not in 1..=256"),
        (
            &["build", "--color", "blue"],
            "[possible values: auto, always, never]",
        ),
        (&["switch", "disk.img"], "<N>"),
        (
            &["install", ".", "d.img", "--label", "two\nlines"],
            "a label is one line of plain text",
        ),
        (&["store"], "Usage: nos store"),
        (&["explain", "E9999"], "nothing is called \"E9999\""),
    ] {
        let said = run(place.path(), args);
        assert_eq!(
            (said.code, said.out.as_str()),
            (Some(2), ""),
            "{args:?}: {said:#?}"
        );
        assert!(said.err.contains(message), "{args:?}: {}", said.err);
    }
    assert_eq!(
        std::fs::read_dir(place.path()).unwrap().count(),
        0,
        "something was written"
    );
}

// ── Streams ─────────────────────────────────────────────────────────────────────────────────

/// Commands that print much, and need no build.
const TALKATIVE: [&[&str]; 7] = [
    &["--help"],
    &["completions", "bash"],
    &["explain"],
    &["explain", "service"],
    &["generations", "disk.img"],
    &["verify", "disk.img", "--json"],
    &["check", "hello.nos", "--json"],
];

#[test]
fn a_reader_that_goes_away_is_a_quiet_end() {
    let place = hello();
    make_disk(&place.path().join("disk.img"), "");
    for args in TALKATIVE {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let output = nos(place.path())
            .args(args)
            .stdout(writer)
            .output()
            .unwrap();
        let said = Said::from(output);
        assert_eq!(said.code, Some(0), "{args:?}: {said:#?}");
        assert!(
            !said.err.contains("pipe") && !said.err.contains("bug"),
            "{args:?}: {said:#?}"
        );
    }
    // Standard error gone as well: there is nobody to tell, and still no panic.
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let status = nos(place.path())
        .args(["check", "gone.nos"])
        .stderr(writer)
        .status()
        .unwrap();
    assert_eq!(status.code(), Some(2));
}

#[test]
fn closed_and_full_outputs_are_no_bugs() {
    let place = hello();
    make_disk(&place.path().join("disk.img"), "");
    let shell = |script: &str, args: &[&str]| -> Said {
        let program = nos(place.path());
        let mut command = Command::new("sh");
        command
            .args(["-c", script])
            .arg(program.get_program())
            .args(args);
        command
            .current_dir(place.path())
            .env_clear()
            .env("HOME", place.path());
        command.stdin(Stdio::null()).output().unwrap().into()
    };
    for args in TALKATIVE {
        let said = shell("exec \"$0\" \"$@\" <&- >&- 2>&-", args);
        assert_eq!(said.code, Some(0), "{args:?}");
    }
    for args in [
        &["generations", "disk.img"][..],
        &["explain", "service"],
        &["completions", "zsh"],
    ] {
        let said = shell("exec \"$0\" \"$@\" >/dev/full", args);
        said.expect(
            1,
            &["error: standard output cannot be written: No space left on device"],
        );
    }
}

#[test]
fn results_go_to_standard_output_and_talk_to_standard_error() {
    let Some(store) = filled_store() else { return };
    let place = hello();
    let store = store.to_str().unwrap();
    let said = run(place.path(), &["build", "--offline", "--store", store]);
    said.expect(0, &[]);
    let path = said.out.strip_suffix('\n').unwrap();
    assert!(
        Path::new(path).is_file() && !path.contains('\n'),
        "{path:?}"
    );
    let said = run(
        place.path(),
        &["image", "--offline", "--store", store, "-o", "disk.img"],
    );
    assert_eq!((said.code, said.out.as_str()), (Some(0), ""));
    assert!(
        said.err.contains("Wrote disk.img: generation 1 of hello"),
        "{}",
        said.err
    );
    assert!(
        !said.err.contains('\x1b') && !said.err.contains('\r'),
        "{:?}",
        said.err
    );
}

#[test]
fn quiet_says_nothing_but_errors() {
    let Some(store) = filled_store() else { return };
    let place = hello();
    let at = place.path();
    let store = store.to_str().unwrap();
    for args in [
        &["check"][..],
        &["lock"],
        &["image", "-o", "disk.img"],
        &["install", ".", "disk.img"],
        &["rollback", "disk.img"],
        &["switch", "disk.img", "2"],
        &["gc", "disk.img"],
    ] {
        let said = run(
            at,
            &[args, &["--quiet", "--offline", "--store", store]].concat(),
        );
        assert_eq!(said.shown(), "exit 0\n", "{args:?}");
    }
    // What was asked for is still answered.
    let said = run(at, &["build", "-q", "--offline", "--store", store]);
    assert_eq!(
        (said.code, said.err.as_str(), said.out.lines().count()),
        (Some(0), "", 1)
    );
    // A warning is silent, an error is not.
    std::fs::write(
        at.join("hello.nos"),
        "service idle {\n  files = { \"/a\" = text(\"\") }\n  run = [\"/a\"]\n}\n",
    )
    .unwrap();
    let loud = run(at, &["check"]);
    loud.expect(0, &["warning["]);
    assert_eq!(run(at, &["check", "--quiet"]).shown(), "exit 0\n");
    run(at, &["check", "--quiet", "gone"]).expect(2, &["error: there is no spec gone"]);
}

// ── Colours ─────────────────────────────────────────────────────────────────────────────────

#[test]
fn colours_are_for_terminals_unless_told() {
    let place = folder(&[("wrong.nos", "host a { kernel = nothing }")]);
    let colours = |args: &[&str], variable: Option<&str>| {
        let mut command = nos(place.path());
        if let Some(value) = variable {
            command.env("NO_COLOR", value);
        }
        let said = Said::from(command.arg("check").args(args).output().unwrap());
        assert_eq!(said.code, Some(2));
        said.err.contains("\x1b[")
    };
    assert!(!colours(&["wrong.nos"], None));
    assert!(colours(&["wrong.nos", "--color", "always"], None));
    assert!(
        colours(&["wrong.nos", "--color=always"], Some("1")),
        "what is asked for counts more"
    );
    assert!(!colours(&["wrong.nos", "--color", "never"], None));
    assert!(colours(&["gone", "--color", "always"], None));

    // On a terminal.
    let terminal = |options: &str, variables: &[(&str, &str)]| -> Option<bool> {
        let program = env!("CARGO_BIN_EXE_nos");
        let mut command = Command::new("script");
        command.args([
            "-qec",
            &format!("{program} check wrong.nos {options}"),
            "/dev/null",
        ]);
        command
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .env("TERM", "xterm");
        command
            .envs(variables.iter().copied())
            .current_dir(place.path())
            .stdin(Stdio::null());
        let text = String::from_utf8(command.output().ok()?.stdout).unwrap();
        assert!(text.contains("nothing"), "{text}");
        Some(text.contains("\x1b["))
    };
    if terminal("", &[]).is_none() {
        return skip("there is no `script` program to be a terminal");
    }
    assert_eq!(terminal("", &[]), Some(true));
    assert_eq!(terminal("", &[("NO_COLOR", "1")]), Some(false));
    assert_eq!(
        terminal("", &[("NO_COLOR", "")]),
        Some(true),
        "empty means not set"
    );
    assert_eq!(terminal("", &[("TERM", "dumb")]), Some(false));
    assert_eq!(terminal("--color never", &[]), Some(false));
}

// ── JSON ────────────────────────────────────────────────────────────────────────────────────

#[test]
fn every_verb_answers_with_one_json_document() {
    let Some(store) = filled_store() else { return };
    let place = hello();
    let at = place.path();
    let store = store.to_str().unwrap();
    let mut fields = Vec::new();
    for args in [
        &["check"][..],
        &["fmt"],
        &["fmt", "--check"],
        &["fmt", "--diff"],
        &["lock"],
        &["plan"],
        &["build", "-o", "result"],
        &["tree"],
        &["why", ".", "/usr/bin/busybox"],
        &["why", ".", "busybox-static"],
        &["diff", ".", "."],
        &["image", "-o", "disk.img"],
        &["install", ".", "disk.img", "--label", "second"],
        &["generations", "disk.img"],
        &["switch", "disk.img", "1"],
        &["switch", "disk.img", "2"],
        &["rollback", "disk.img"],
        &["verify", "disk.img"],
        &["gc", "disk.img", "--keep", "1"],
        &["log", "disk.img"],
        &["store", "ls"],
        &["store", "gc", "--dry-run"],
        &["explain"],
        &["explain", "service.health"],
        &["init", "first"],
    ] {
        let said = run(
            at,
            &[args, &["--json", "--offline", "--store", store]].concat(),
        );
        assert_eq!(said.code, Some(0), "{args:?}: {said:#?}");
        let names = match said.json() {
            serde_json::Value::Object(fields) => {
                fields.keys().cloned().collect::<Vec<_>>().join(" ")
            }
            serde_json::Value::Array(elements) => {
                let first = elements.first().and_then(|first| first.as_object());
                let names =
                    first.map(|fields| fields.keys().cloned().collect::<Vec<_>>().join(" "));
                format!("[{}]", names.unwrap_or_default())
            }
            other => panic!("{args:?}: {other}"),
        };
        fields.push(format!("{}: {names}", args.join(" ")));
    }
    // Names that programs rely on.
    expect![[r#"
        check: diagnostics hosts spec
        fmt: [changed file]
        fmt --check: [changed file]
        fmt --diff: [changed file]
        lock: added lock moved removed
        plan: changes fetch fetch_bytes host previous_bytes size_bytes steps
        build -o result: built content_bytes digest host out_link path system
        tree: boot_loader_bytes content_bytes host images initrd_bytes kernel_bytes system
        why . /usr/bin/busybox: [chain package path place]
        why . busybox-static: [chain package path place]
        diff . .: after before changes
        image -o disk.img: bytes_written content_bytes disk flushes host images_reused images_written number removed repaired sectors_written size_bytes uki_reused
        install . disk.img --label second: bytes_written flushes images_reused images_written number removed repaired sectors_written uki_reused
        generations disk.img: disk generations
        switch disk.img 1: bytes_written flushes images_reused images_written number removed repaired sectors_written uki_reused
        switch disk.img 2: bytes_written flushes images_reused images_written number removed repaired sectors_written uki_reused
        rollback disk.img: bytes_written flushes images_reused images_written number removed repaired sectors_written uki_reused
        verify disk.img: bytes disk findings generations good images kernels
        gc disk.img --keep 1: bytes_written flushes images_reused images_written number removed repaired sectors_written uki_reused
        log disk.img: disk records
        store ls: path roots
        store gc --dry-run: freed_bytes leftovers objects_kept objects_removed results_kept results_removed
        explain: []
        explain service.health: text what
        init first: written"#]].assert_eq(&fields.join("\n"));
}

#[test]
fn the_doctor_finds_what_is_wrong_and_says_one_thing_to_do_for_each() {
    let place = folder(&[("file", "")]);
    let at = place.path();
    let look = |args: &[&str]| {
        let said = run(at, &[&["doctor", "--json"], args].concat());
        let findings = said.json().as_array().unwrap().clone();
        for finding in &findings {
            let good = finding["good"].as_bool().unwrap();
            assert_eq!(good, finding["remedy"].is_null(), "{finding:#}");
            assert!(
                !finding["found"].as_str().unwrap().is_empty(),
                "{finding:#}"
            );
        }
        let bad = |f: &&serde_json::Value| f["needed"] == true && f["good"] == false;
        let needed = findings.iter().filter(bad).count();
        assert_eq!(said.code, Some(i32::from(needed > 0)), "{said:#?}");
        let find = |what: &str| findings.iter().find(|f| f["what"] == what).cloned();
        [find("build: store"), find("build: Debian mirror")]
    };
    let [store, mirror] = look(&["--offline", "--store", "store"]);
    assert!(store.unwrap()["found"].as_str().unwrap().contains(" free)"));
    assert_eq!(mirror, None, "asked although it must not");
    let [store, _] = look(&["--offline", "--store", "file"]);
    let store = store.unwrap();
    assert_eq!(
        (&store["good"], &store["remedy"]),
        (&false.into(), &"name a folder, new or empty".into())
    );
    let [_, mirror] = look(&["--mirror", "http://127.0.0.1:1/debian", "--store", "store"]);
    let mirror = mirror.unwrap();
    assert_eq!(mirror["good"], false);
    assert!(
        mirror["found"]
            .as_str()
            .unwrap()
            .contains("http://127.0.0.1:1/debian cannot be reached")
    );
    assert!(
        mirror["remedy"]
            .as_str()
            .unwrap()
            .starts_with("connect this machine to the network")
    );
}

#[test]
fn failures_answer_with_one_json_document_too() {
    let place = hello();
    let at = place.path();
    make_disk(&at.join("disk.img"), "");
    for (args, code) in [
        (&["check", "gone"][..], 2),
        (&["build", "hello.nos#edge"], 2),
        (&["build", "--offline"], 1),
        (&["image", "--offline", "-o", "disk.img"], 1),
        (&["install", ".", "gone.img"], 1),
        (&["generations", "gone.img"], 1),
        (&["switch", "disk.img", "9"], 1),
        (&["rollback", "disk.img"], 1),
        (&["store", "ls", "--store", "hello.nos"], 1),
        (&["why", "gone", "/bin/sh"], 2),
        (&["explain", "nothing"], 2),
    ] {
        let said = run(at, &[args, &["--json"]].concat());
        assert_eq!(said.code, Some(code), "{args:?}: {said:#?}");
        let text = said.json()["error"].as_str().unwrap().to_string();
        assert!(said.err.ends_with(&format!("error: {text}\n")), "{said:#?}");
    }
    std::fs::write(
        at.join("hello.nos"),
        "host a {\n  services = [nothing]\n}\n",
    )
    .unwrap();
    let said = run(at, &["build", "--json"]);
    assert_eq!((said.code, said.err.as_str()), (Some(2), ""));
    assert_eq!(said.json()["diagnostics"][0]["code"], "E0201");
}

// ── Standard input ──────────────────────────────────────────────────────────────────────────

#[test]
fn fmt_reads_standard_input_and_nothing_else_waits_for_it() {
    let place = folder(&[]);
    let feed = |bytes: &[u8]| -> Said {
        let mut command = nos(place.path());
        command
            .args(["fmt", "-"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        child.stdin.take().unwrap().write_all(bytes).unwrap();
        child.wait_with_output().unwrap().into()
    };
    let said = feed(b"host  a{services=[ ]}\n");
    assert_eq!(
        (said.code, said.out.as_str()),
        (Some(0), "host a {\n  services = []\n}\n")
    );
    feed(b"host a {").expect(2, &["error[", "<stdin>:1:"]);
    feed(b"host \xff").expect(
        2,
        &["error: <stdin> is not UTF-8 text from byte 5 (line 1) on"],
    );
}

// ── What a disk says is not what a terminal does ────────────────────────────────────────────

#[test]
fn words_from_a_disk_are_no_commands_to_the_terminal() {
    let place = folder(&[]);
    make_disk(&place.path().join("disk.img"), "PLAIN");
    let path = place.path().join("disk.img");
    let mut bytes = std::fs::read(&path).unwrap();
    let places: Vec<usize> = (0..bytes.len() - 5)
        .filter(|&at| bytes[at..].starts_with(b"PLAIN"))
        .collect();
    assert!(!places.is_empty());
    for at in places {
        bytes[at..at + 5].copy_from_slice(b"\x1b[31m");
    }
    std::fs::write(&path, bytes).unwrap();
    let said = run(place.path(), &["generations", "disk.img"]);
    assert_eq!(said.code, Some(0), "{said:#?}");
    assert!(!said.out.contains('\x1b'), "{:?}", said.out);
}
