//! Specs that are wrong, each with all its mistakes shown in one run.

use crate::said::{folder, hello, run};
use expect_test::expect;

/// Ten mistakes of ten kinds, one of them about a file.
const TEN_MISTAKES: &str = r#"use std.kernel

service web {
  packages = ["nginx", "nginx"]
  files    = { "/srv/www" = folder("site"), "/etc/nginx.conf" = file("ngnix.conf") }
  keep     = ["etc/mime.types"]
  run      = "/usr/sbin/nginx"
  listen   = [tcp(80)]
  health   = http(port = 80, within = 10)
}

service cache {
  packages = ["redis-server"]
  run      = ["/usr/bin/redis-server"]
  state    = ["/data"]
  listen   = [tcp(70000)]
  restart  = sometimes
}

service lonely {
  packages = ["busybox-static"]
}

host edge {
  kernel   = kernel.stok
  services = [web, cash]
  disk     = { esp = 64MB }
}
"#;

#[test]
fn ten_mistakes_are_all_shown_in_one_run() {
    let place = folder(&[
        ("ten.nos", TEN_MISTAKES),
        ("nginx.conf", ""),
        ("site/index.html", ""),
    ]);
    // The messages themselves are pinned where the language is; here that none is missing.
    let said = run(place.path(), &["check", "ten.nos"]);
    let title = |line: &str| line.starts_with("error[") || line.trim_start().starts_with("-->");
    let titles: Vec<&str> = said
        .err
        .lines()
        .filter(|line| title(line))
        .map(str::trim)
        .collect();
    expect![[r#"
        error[E0408]: this stands in `packages` a second time
        --> ten.nos:4:24
        error[E0702]: "ngnix.conf" is not there
        --> ten.nos:5:70
        error[E0403]: "etc/mime.types" is not an absolute path
        --> ten.nos:6:15
        error[E0401]: `run` takes a list of arguments, not a text
        --> ten.nos:7:14
        error[E0401]: `within` takes a time, not a number
        --> ten.nos:9:39
        error[E0402]: `port` is 70000, more than the most: 65535
        --> ten.nos:16:19
        error[E0201]: nothing here is called `sometimes`
        --> ten.nos:17:14
        error[E0302]: service `lonely` has no `run`
        --> ten.nos:20:9
        error[E0201]: `kernel` defines no `stok`
        --> ten.nos:25:21
        error[E0201]: nothing here is called `cash`
        --> ten.nos:26:20
        error[E0104]: `MB` in `64MB` is no unit
        --> ten.nos:27:22"#]]
    .assert_eq(&titles.join("\n"));
    assert_eq!((said.code, said.out.as_str()), (Some(2), ""));
    assert_eq!(
        said.err.matches("help: ").count(),
        titles.len() / 2,
        "{}",
        said.err
    );

    let said = run(place.path(), &["build", "ten.nos", "--json"]);
    assert_eq!((said.code, said.err.as_str()), (Some(2), ""));
    let report = said.json();
    let diagnostics = report["diagnostics"].as_array().unwrap();
    assert!(diagnostics.len() >= 10, "{diagnostics:#?}");
    for diagnostic in diagnostics {
        let text = |name: &str| diagnostic[name].as_str().unwrap();
        assert!(
            !text("message").is_empty() && !text("help").is_empty(),
            "{diagnostic:#}"
        );
        assert!(text("code").starts_with(['E', 'W']), "{diagnostic:#}");
        let label = &diagnostic["labels"][0];
        assert_eq!(label["file"], "ten.nos");
        assert!(label["start"]["line"].as_u64() >= Some(1), "{diagnostic:#}");
    }
}

#[test]
fn a_missing_source_is_shown_where_it_is_named_and_by_check_already() {
    let place = hello();
    std::fs::rename(place.path().join("site"), place.path().join("sites")).unwrap();
    let said = run(place.path(), &["check"]);
    expect![[r#"
        exit 2
        err: error[E0702]: "site" is not there
        err:  --> ./hello.nos:6:36
        err:   |
        err: 6 |   files    = { "/srv/www" = folder("site") }
        err:   |                                    ^^^^^^
        err:   |
        err: help: did you mean "sites"? Else create it, or correct the path; it counts from the folder of the file that names it
        err:   |
        err: 6 |   files    = { "/srv/www" = folder("sites") }
        err:   |                                         +
    "#]].assert_eq(&said.shown());
    // Pinning packages does not need the files: they may be made by a later step.
    let store = place.path().join("store");
    run(
        place.path(),
        &["lock", "--offline", "--store", store.to_str().unwrap()],
    )
    .expect(0, &[]);
}

#[test]
fn sources_that_are_no_files_are_refused() {
    let place = hello();
    let site = place.path().join("site");
    std::fs::remove_dir_all(&site).unwrap();
    std::os::unix::fs::symlink("/etc", &site).unwrap();
    run(place.path(), &["check"]).expect(
        2,
        &[
            "error[E0702]: \"site\" leads out of the spec's folder by a symbolic link",
            "copy what is",
        ],
    );
    std::fs::remove_file(&site).unwrap();
    std::fs::write(&site, "").unwrap();
    run(place.path(), &["check"]).expect(2, &["\"site\" is a file", "write file(\"site\")"]);
}

#[test]
fn specs_that_cannot_be_read_are_refused() {
    let place = folder(&[("two/a.nos", ""), ("two/b.nos", ""), ("none/readme", "")]);
    let at = place.path();
    std::fs::write(at.join("latin.nos"), b"# caf\xe9\nhost a {}").unwrap();
    std::fs::write(at.join("large.nos"), vec![b' '; 64 << 20]).unwrap();
    std::fs::write(at.join("larger.nos"), vec![b' '; (64 << 20) + 1]).unwrap();
    for (spec, message) in [
        (
            "gone.nos",
            "there is no spec gone.nos; name a .nos file or a folder with one",
        ),
        (
            "none",
            "the folder none has no .nos file; name a folder with a spec",
        ),
        (
            "two",
            "the folder two has several specs (a.nos, b.nos); name one of them",
        ),
        (
            "latin.nos",
            "latin.nos is not UTF-8 text from byte 5 (line 1) on; save it as UTF-8, or name \
             another file",
        ),
        (
            "larger.nos",
            "larger.nos is larger than 64 MiB, too large to be a spec or a lock; name another file",
        ),
        (
            "/dev/zero",
            "/dev/zero is larger than 64 MiB, too large to be a spec or a lock; name another file",
        ),
    ] {
        let said = run(at, &["check", spec]);
        assert_eq!(said.shown(), format!("exit 2\nerr: error: {message}\n"));
    }
    let said = run(at, &["check", "large.nos"]);
    said.expect(
        2,
        &[
            "error[E0110]: this file has 67108864 bytes",
            "split it into several files",
        ],
    );
    assert!(said.err.len() < 1000, "{} bytes of message", said.err.len());
}

#[test]
fn a_pipe_without_a_writer_is_no_spec() {
    let place = hello();
    let pipe = place.path().join("pipe.nos");
    rustix::fs::mkfifoat(rustix::fs::CWD, &pipe, 0o600.into()).unwrap();
    run(place.path(), &["check", "pipe.nos"]).expect(1, &["pipe.nos", "it is a pipe, not a file"]);
}

#[test]
fn hosts_that_are_not_there_are_refused_by_every_verb() {
    let place = hello();
    for verb in ["check", "lock", "update", "plan", "build", "run"] {
        let said = run(place.path(), &[verb, "hello.nos#edge"]);
        said.expect(
            2,
            &["error: hello.nos has no host \"edge\"; its hosts are hello"],
        );
    }
    let none = folder(&[("empty.nos", "")]);
    run(none.path(), &["build"]).expect(2, &["./empty.nos describes no host; add a `host` block"]);
}
