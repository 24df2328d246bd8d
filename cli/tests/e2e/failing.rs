//! Builds that go wrong: what is said, what still gets built, what is kept to look at; and that the
//! store is whole whatever happens.

use crate::common::program::{Nos, Output, at};
use crate::common::{Example, say, store_with_packages};
use crate::terminal::Terminal;
use rustix::process::{Pid, Signal, kill_process};
use std::io::Write;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// How long anything may take before a test gives up.
const LIMIT: Duration = Duration::from_secs(600);

/// The spec with three builds; `None`, said aloud, where no build can run.
fn scripts() -> Option<Example> {
    let doctor = Nos::new(["doctor", "--offline"]).run();
    if doctor.stdout.contains("no  build: sandbox for programs") {
        say!("SKIPPED: builds that go wrong, as sandboxes cannot be made here");
        return None;
    }
    let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/e2e/scripts");
    Some(Example::from_folder("scripts", &from))
}

/// Lets a build of the spec run another line.
fn change(example: &Example, from: &str, to: &str) {
    let text = String::from_utf8(example.read("scripts.nos")).unwrap();
    assert!(text.contains(from), "{text}");
    example.write("scripts.nos", text.replace(from, to));
}

fn build(example: &Example, options: &[&str]) -> Nos {
    let spec = example.spec();
    let always = ["build", spec.as_str(), "--locked", "--offline"];
    Nos::new(always.iter().chain(options))
}

/// Fails unless each part was said.
fn expect(output: &Output, parts: &[&str]) {
    for part in parts {
        assert!(
            output.stderr.contains(part),
            "{part:?} is not in\n{}",
            output.stderr
        );
    }
}

/// The store that tests share is whole, but for roots whose results tests have forgotten.
fn verify() {
    let check = Nos::new(["store", "verify", "--json"]).run().json();
    let findings = at(&check, "/findings").as_array().unwrap().iter();
    let others: Vec<_> = findings
        .filter(|finding| !finding.as_str().unwrap().starts_with("the root "))
        .collect();
    assert!(others.is_empty(), "{others:#?}");
}

#[test]
fn a_failure_stops_what_needs_it_and_all_failures_are_named_at_the_end() {
    let Some(scripts) = scripts() else { return };
    change(&scripts, "cp hello $out/one", "echo one goes wrong; false");
    // Text that no run before has built.
    let new = format!("echo {}", std::process::id());
    change(&scripts, "echo three", &new);
    let said = build(&scripts, &["--keep-going"]).run().expect_code(1);
    expect(
        &said,
        &["build one: it ended with status 1", "one goes wrong"],
    );
    let plan = Nos::new(["plan", &scripts.spec(), "--locked", "--offline"]).json();
    let left: Vec<_> = at(&plan, "/steps").as_array().unwrap().iter().collect();
    let left: Vec<_> = left
        .into_iter()
        .filter(|step| at(step, "/fate") == "build")
        .map(|step| at(step, "/label").as_str().unwrap())
        .collect();
    assert!(
        left.contains(&"build two") && !left.contains(&"build three"),
        "{left:?}"
    );
    // What could be built is there, and is not built again.
    change(
        &scripts,
        &format!("{new} >$out/three"),
        "echo three goes wrong; exit 7",
    );
    change(&scripts, "cp /needs", "true; cp /needs");
    let said = build(&scripts, &["--keep-going", "--keep-failed", "--json"])
        .run()
        .expect_code(1);
    let error = said.json();
    let error = at(&error, "/error").as_str().unwrap();
    for part in [
        "2 actions failed, and 4 that need them did not run",
        "build one: it ended with status 1",
        "build three: it ended with status 7",
        "three goes wrong",
        "\n  not run for want of build one: build two",
        // Of the one that failed first.
        "; image page; system many",
    ] {
        assert!(error.contains(part), "{part:?} is not in {error}");
    }
    let kept = error
        .lines()
        .filter_map(|line| line.strip_prefix("What it left is in "));
    let hello = kept
        .map(|folder| Path::new(folder).join("build/source/hello"))
        .find(|p| p.exists());
    assert_eq!(std::fs::read(hello.unwrap()).unwrap(), b"hello\n");
    verify();
}

#[test]
fn a_build_that_gives_other_bytes_each_time_is_named_with_file_and_byte() {
    let Some(scripts) = scripts() else { return };
    let said = build(&scripts, &["--check"]).succeeds();
    expect(&said, &["Reproducible"]);
    assert!(!said.stderr.contains("same user"), "{}", said.stderr);
    let line = "mkdir $out/d; { echo same; od -An -tx8 -N16 /dev/urandom; } >$out/d/three";
    change(&scripts, "echo three >$out/three", line);
    let said = build(&scripts, &["--check"]).run().expect_code(1);
    let place = "building again gave other bytes: build three: /d/three differs from byte ";
    let (_, rest) = said.stderr.split_once(place).unwrap();
    let byte: usize = rest.split(' ').next().unwrap().parse().unwrap();
    // Behind what is the same; two numbers may share their first digits.
    assert!((5..20).contains(&byte), "{}", said.stderr);
}

#[test]
fn every_build_takes_place_in_the_same_second() {
    let Some(scripts) = scripts() else { return };
    let image = || {
        let built = build(&scripts, &[]).json();
        let root = at(&built, "/system/manifest/images/0/root_hash");
        root.as_str().unwrap().to_owned()
    };
    let asked = "{ date; date +%N; touch /tmp/new; stat -c %X-%Y-%Z /tmp/new; } >$out/three";
    let known = "{ echo 'Tue Jan  1 00:00:00 UTC 2036'; echo 500000000; echo \
                 2082758400-2082758400-2082758400; } >$out/three";
    change(&scripts, "echo three >$out/three", known);
    let by_hand = image();
    change(&scripts, known, asked);
    assert_eq!(image(), by_hand);
    // What would be another one in another year is told.
    let said = build(&scripts, &["--check"]).run().expect_code(1);
    expect(&said, &["build three: /three differs from byte 0 "]);
}

/// A static program of x86-64 that asks the kernel itself, past any library, and writes down what the
/// wall clock says: `clock_gettime(CLOCK_REALTIME)`, `write(1)`, `exit(0)`.
fn static_clock() -> Vec<u8> {
    const BASE: u64 = 0x40_0000;
    const HEAD: u64 = 64 + 56;
    let code = [
        &[0xb8, 228, 0, 0, 0][..],       // mov eax, 228
        &[0x31, 0xff],                   // xor edi, edi
        &[0x48, 0x8d, 0x74, 0x24, 0xc0], // lea rsi, [rsp - 64]
        &[0x0f, 0x05],                   // syscall
        &[0xb8, 1, 0, 0, 0],             // mov eax, 1
        &[0xbf, 1, 0, 0, 0],             // mov edi, 1
        &[0xba, 16, 0, 0, 0],            // mov edx, 16
        &[0x0f, 0x05],                   // syscall
        &[0xb8, 60, 0, 0, 0],            // mov eax, 60
        &[0x31, 0xff],                   // xor edi, edi
        &[0x0f, 0x05],                   // syscall
    ]
    .concat();
    let mut elf = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0".to_vec();
    elf.extend([2, 0, 62, 0, 1, 0, 0, 0]);
    for word in [BASE + HEAD, 64, 0] {
        elf.extend(word.to_le_bytes());
    }
    for half in [0u16, 0, 64, 56, 1, 64, 0, 0] {
        elf.extend(half.to_le_bytes());
    }
    let size = HEAD + code.len() as u64;
    // PT_LOAD, to be read and executed.
    elf.extend([1, 0, 0, 0, 5, 0, 0, 0]);
    for word in [0, BASE, BASE, size, size, 0x1000] {
        elf.extend(word.to_le_bytes());
    }
    elf.extend(code);
    elf
}

#[test]
fn a_static_program_that_writes_down_the_time_is_found() {
    use std::os::unix::fs::PermissionsExt;
    let Some(scripts) = scripts() else { return };
    scripts.write("source/clock", static_clock());
    let program = scripts.path().join("source/clock");
    std::fs::set_permissions(program, std::fs::Permissions::from_mode(0o755)).unwrap();
    change(&scripts, "cp hello $out/one", "./clock >$out/one");
    let said = build(&scripts, &["--check"]).run().expect_code(1);
    expect(
        &said,
        &["building again gave other bytes: build one: /one differs from byte "],
    );
}

#[test]
fn a_source_that_changes_while_it_is_read_is_told() {
    let Some(scripts) = scripts() else { return };
    let path = scripts.path().join("source/big");
    std::fs::write(&path, vec![1; 32 << 20]).unwrap();
    let over = AtomicBool::new(false);
    let said = std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut file = std::fs::OpenOptions::new()
                .append(true)
                .open(&path)
                .unwrap();
            while !over.load(Ordering::Relaxed) {
                file.write_all(b"more").unwrap();
            }
        });
        // On a busy machine whoever writes may not have had its turn while all of it was read.
        let mut turns = std::iter::repeat_with(|| build(&scripts, &[]).run()).take(20);
        let said = turns.find(|said| said.code != Some(0));
        over.store(true, Ordering::Relaxed);
        said
    });
    let said = said
        .expect("each time it was read nobody wrote")
        .expect_code(1);
    expect(
        &said,
        &["source/big changed while it was read; let whatever writes it finish"],
    );
    verify();
    build(&scripts, &[]).succeeds();
}

#[test]
fn a_build_that_writes_endlessly_is_ended_and_says_what_was_full() {
    let Some(scripts) = scripts() else { return };
    change(
        &scripts,
        "echo three >$out/three\"])",
        "cat /dev/zero >$out/three\"])\n  limits = { space = 4MiB }",
    );
    let said = build(&scripts, &[]).run().expect_code(1);
    expect(
        &said,
        &["build three: its folders are full (4 MiB); give it more by `limits"],
    );
    change(
        &scripts,
        "cat /dev/zero >$out/three",
        "while :; do echo yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy; cat /dev/zero | od -v; done",
    );
    let said = build(&scripts, &[]).run().expect_code(1);
    expect(
        &said,
        &["build three: it was ended because it printed more than 64 MiB; look for a loop"],
    );
    verify();
}

#[test]
fn builds_that_take_too_much_are_ended_by_name_and_others_go_on() {
    let Some(scripts) = scripts() else { return };
    let new = format!("echo {} >$out/three", std::process::id());
    change(&scripts, "echo three >$out/three", &new);
    // Each in its own way: those of the first two live on where a process or its memory is refused.
    let hold =
        "mawk 'BEGIN { s = 1; while (length(s) < 10000000) s = s s; system(\\\"sleep 100\\\") }'";
    let glutton = format!("{hold} & {hold} & {hold} & wait");
    let greedy = [
        (
            "bomb",
            "(while :; do sleep 100 & done) & sleep 100",
            "processes = 32",
        ),
        ("glutton", &glutton, "memory = 40MiB"),
        (
            "miser",
            "head -c 300M /dev/zero | tail -c 200M",
            "memory = 40MiB",
        ),
        ("sleeper", "sleep 100", "time = 1s"),
        (
            "talker",
            "while :; do head -c 60000 /dev/zero; done",
            "time = 100s",
        ),
    ];
    let mut text = String::from_utf8(scripts.read("scripts.nos")).unwrap();
    for (name, line, limits) in greedy {
        text.push_str(&format!(
            "\nbuild {name} {{\n  using  = script([\"{line}\"])\n  limits = {{ {limits} }}\n}}\n"
        ));
    }
    let builds = "builds   = [two, three, bomb, glutton, miser, sleeper, talker]";
    scripts.write(
        "scripts.nos",
        text.replace("builds   = [two, three]", builds),
    );
    let lock = String::from_utf8(scripts.read("nos.lock")).unwrap();
    scripts.write(
        "nos.lock",
        with_tools(&lock, &greedy.map(|(name, ..)| name)),
    );
    let said = build(&scripts, &["--keep-going"]).run().expect_code(1);
    expect(
        &said,
        &[
            "5 actions failed, and 3 that need them did not run",
            "build bomb: it was ended because it had more than 32 processes at once; look for a loop, \
             or give it more by `limits = { processes = … }`",
            "build glutton: it was ended because it took more than 40 MiB of memory; give it more by \
             `limits = { memory = … }`",
            "build miser: it ended with status 1; the end of its log speaks of memory, of which it may \
             have 40 MiB; give it more by `limits = { memory = … }`",
            "build sleeper: it was ended after 1 s; give it more by `limits = { time = … }`",
            "build talker: it was ended because it printed more than 64 MiB; look for a loop",
        ],
    );
    let plan = Nos::new(["plan", &scripts.spec(), "--locked", "--offline"]).json();
    let steps = at(&plan, "/steps").as_array().unwrap().iter();
    let left: Vec<&str> = steps
        .filter(|step| at(step, "/fate") == "build")
        .map(|step| at(step, "/label").as_str().unwrap())
        .collect();
    assert!(
        left.contains(&"build bomb") && !left.contains(&"build three"),
        "{left:?}"
    );
    verify();
}

/// A lock in which further builds have the tools of `one`.
fn with_tools(lock: &str, builds: &[&str]) -> String {
    let head = "[groups.\"build one\"]\n";
    let (_, rest) = lock.split_once(head).unwrap();
    let (group, _) = rest.split_once("\n[").unwrap();
    let groups = builds
        .iter()
        .map(|name| format!("\n[groups.\"build {name}\"]\n{group}"));
    lock.to_owned() + &groups.collect::<String>()
}

/// Waits for a condition.
#[track_caller]
fn wait(what: &str, mut reached: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !reached() {
        assert!(begun.elapsed() < LIMIT, "{what} does not come");
        std::thread::yield_now();
    }
}

/// Processes of this machine that have a text on their command line.
fn processes_with(text: &str) -> usize {
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    let lines = processes.filter_map(|process| std::fs::read(process.path().join("cmdline")).ok());
    lines
        .filter(|line| String::from_utf8_lossy(line).contains(text))
        .count()
}

#[test]
fn a_build_that_is_killed_leaves_no_process_and_a_whole_store() {
    let Some(scripts) = scripts() else { return };
    let marker = format!("loop-{}", std::process::id());
    let original = String::from_utf8(scripts.read("scripts.nos")).unwrap();
    for (number, signal) in [Signal::KILL, Signal::INT].into_iter().enumerate() {
        let line = format!(": {marker}-{number}; while :; do echo half >$out/three; done");
        scripts.write(
            "scripts.nos",
            original.replace("echo three >$out/three", &line),
        );
        let (mut command, _home) = build(&scripts, &[]).into_command();
        let child = command.spawn().unwrap();
        let here = || processes_with(&marker);
        wait("the build", || here() > 0);
        kill_process(Pid::from_child(&child), signal).unwrap();
        let ended = child.wait_with_output().unwrap();
        assert!(!ended.status.success());
        let said = String::from_utf8(ended.stderr).unwrap();
        let last = "error: stopped by SIGINT; what was finished stays in the store, and the same \
                    command goes on from there\n";
        assert_eq!(said.ends_with(last), signal == Signal::INT, "{said}");
        wait("its end", || here() == 0);
        verify();
        scripts.write("scripts.nos", &original);
        build(&scripts, &[]).succeeds();
    }
    Nos::new(["store", "gc", "--dry-run"]).succeeds();
}

#[test]
fn a_full_disk_ends_a_build_and_the_store_is_whole() {
    let Some(scripts) = scripts() else { return };
    let place = tempfile::tempdir().unwrap();
    let (packages, small) = (place.path().join("packages"), place.path().join("small"));
    store_with_packages(&packages, &scripts.lock());
    std::fs::create_dir(&small).unwrap();
    let bytes: u64 = walk(&packages);
    // A small file system in a namespace, so that no privilege is needed.
    let script =
        "mount -t tmpfs -o size=$2 small $1/small && cp -r $1/packages $1/small/store || exit 99
        $3 build $4 --locked --offline --store $1/small/store; ended=$?
        $3 store verify --store $1/small/store >&2 || exit 98
        exit $ended";
    // Unpacking packages, tools, a checkout, a log, an image: each comes to the end of it somewhere.
    for spare in [1, 24, 60, 100] {
        let size = (bytes + (spare << 20)).to_string();
        let at = place.path().display().to_string();
        let program = env!("CARGO_BIN_EXE_nos");
        let spec = scripts.spec();
        let words = ["-rm", "sh", "-c", script, "sh", &at, &size, program, &spec];
        let said = Nos::of(Path::new("/usr/bin/unshare"), words).run();
        if said.code == Some(99) || said.stderr.contains("unshare failed") {
            say!(
                "SKIPPED: a full disk, as nothing can be mounted here: {}",
                said.stderr
            );
            return;
        }
        if said.code == Some(0) {
            assert!(spare > 24, "this fits into {spare} MiB: choose other sizes");
            return;
        }
        let said = said.expect_code(1);
        expect(&said, &["No space left on device", "free", "space"]);
        assert!(!said.stderr.contains("report this"), "{}", said.stderr);
    }
}

/// Bytes of all files below a folder, each with what a file system adds to it.
fn walk(folder: &Path) -> u64 {
    let entries = std::fs::read_dir(folder).unwrap().flatten();
    let sizes = entries.map(|entry| match entry.file_type().unwrap().is_dir() {
        true => walk(&entry.path()),
        false => entry.metadata().unwrap().len().next_multiple_of(4096),
    });
    sizes.sum()
}

#[test]
fn a_shell_opens_where_a_build_would_run() {
    let Some(scripts) = scripts() else { return };
    if !Path::new("/usr/bin/setsid").exists() {
        say!("SKIPPED: a shell in a sandbox, as there is no setsid here");
        return;
    }
    let (nos, _home) = build(&scripts, &["--shell", "two"]).into_command();
    let mut command = Command::new("/usr/bin/setsid");
    command
        .arg("--ctty")
        .arg(nos.get_program())
        .args(nos.get_args());
    command.env_clear().env("TERM", "xterm");
    for (name, value) in nos.get_envs() {
        command.env(name, value.unwrap());
    }
    let mut terminal = Terminal::start(command, 100, 30);
    // Each line is typed at a prompt: what is typed before may be thrown away by an interrupt.
    let prompt = |terminal: &Terminal, number: usize| {
        terminal.wait(|screen| {
            let text = screen.contents();
            let prompts = text.matches("nos:/build$").count();
            prompts == number && text.trim_end().ends_with("nos:/build$")
        })
    };
    prompt(&terminal, 1);
    terminal.press("cat lines; id -u; ls /needs/one\r");
    let text = prompt(&terminal, 2);
    assert!(
        text.contains("cp /needs/one/one $out/two\n1000\none"),
        "{text}"
    );
    // An interrupt ends what runs in the shell, and neither the shell nor nos. A line that comes
    // twice says that the program runs: the terminal shows it, then what reads it.
    terminal.press("cat\ragain\r");
    terminal.see("again\nagain");
    terminal.press("\x03");
    prompt(&terminal, 3);
    terminal.press("sh lines; cat $out/two; ls /etc/shadow\r");
    let text = prompt(&terminal, 4);
    assert!(
        text.contains("hello\nls: cannot access '/etc/shadow'"),
        "{text}"
    );
    terminal.press("true; exit\r");
    let (status, raw) = terminal.end();
    assert!(status.success(), "{status}: {raw}");
    assert!(!raw.contains("process group"), "{raw}");
    assert!(terminal.is_as_before());
}
