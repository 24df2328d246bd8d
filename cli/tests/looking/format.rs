//! `nos fmt --diff`: what would change, for people and for `patch`.

use crate::said::{folder, nos, run, skip};
use expect_test::expect;
use std::io::Write;
use std::process::{Command, Stdio};

const UGLY: &str = "# A comment.\nhost  a{services=[ ]}\n\n\n\nhost b {\n  services = []\n}\n";

#[test]
fn a_diff_is_shown_and_nothing_is_written() {
    let place = folder(&[
        ("a.nos", UGLY),
        ("good.nos", "host a {\n  services = []\n}\n"),
    ]);
    let said = run(place.path(), &["fmt", "--diff", "a.nos", "good.nos"]);
    expect![[r#"
        exit 3
        out: --- a.nos
        out: +++ a.nos
        out: @@ -1,7 +1,7 @@
        out:  # A comment.
        out: -host  a{services=[ ]}
        out: -
        out: -
        out: +host a {
        out: +  services = []
        out: +}
        out:
        out:  host b {
        out:    services = []
        err: Not canonical a.nos
    "#]]
    .assert_eq(&said.shown());
    let left = std::fs::read_to_string(place.path().join("a.nos")).unwrap();
    assert_eq!(left, UGLY);
    let said = run(place.path(), &["fmt", "--diff", "good.nos"]);
    assert_eq!(said.shown(), "exit 0\n");

    let said = run(
        place.path(),
        &["fmt", "--diff", "--json", "a.nos", "good.nos"],
    );
    assert_eq!(said.code, Some(3));
    let files = said.json();
    assert_eq!(files[0]["changed"], true);
    assert!(
        files[0]["diff"]
            .as_str()
            .unwrap()
            .starts_with("--- a.nos\n+++ a.nos\n@@ ")
    );
    assert!(files[1].get("diff").is_none() && files[1]["changed"] == false);
}

#[test]
fn patch_makes_of_it_what_fmt_makes() {
    let place = folder(&[("a.nos", UGLY), ("b.nos", UGLY)]);
    let diff = run(place.path(), &["fmt", "--diff", "a.nos"]).out;
    let child = Command::new("git")
        .args(["apply", "-p0", "-"])
        .current_dir(place.path())
        .stdin(Stdio::piped())
        .spawn();
    let Ok(mut child) = child else {
        return skip("there is no git to apply a patch");
    };
    child
        .stdin
        .take()
        .unwrap()
        .write_all(diff.as_bytes())
        .unwrap();
    assert!(child.wait().unwrap().success(), "{diff}");
    run(place.path(), &["fmt", "b.nos"]).expect(0, &[]);
    let read = |name| std::fs::read_to_string(place.path().join(name)).unwrap();
    assert_eq!(read("a.nos"), read("b.nos"));
}

#[test]
fn standard_input_is_compared_too() {
    let place = folder(&[]);
    let mut command = nos(place.path());
    command.args(["fmt", "--diff", "-"]).stdin(Stdio::piped());
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(b"host a{}\n")
        .unwrap();
    let output = child.wait_with_output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(3));
    assert!(
        text.starts_with("--- <stdin>\n+++ <stdin>\n@@ -1 +1"),
        "{text}"
    );
}
