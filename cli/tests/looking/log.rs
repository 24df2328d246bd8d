//! `nos log`: what was done to a disk.

use crate::said::{Said, filled_store, hello, make_disk, nos, run};
use expect_test::expect;

#[test]
fn a_disk_remembers_what_was_done_to_it() {
    let Some(store) = filled_store() else { return };
    let place = hello();
    let at = place.path();
    let store = store.to_str().unwrap();
    let machine = rustix::system::uname()
        .nodename()
        .to_string_lossy()
        .into_owned();
    let nos = |args: &[&str]| -> Said {
        let mut command = nos(at);
        command
            .env("LOGNAME", "ada")
            .args(args)
            .args(["--offline", "--store", store]);
        command.output().unwrap().into()
    };
    nos(&["image", "-o", "disk.img", "-q"]).expect(0, &[]);
    assert_eq!(
        nos(&["log", "disk.img", "--json"]).json()["records"],
        serde_json::json!([])
    );
    std::fs::write(at.join("site/index.html"), "another page\n").unwrap();
    nos(&["install", ".", "disk.img", "-q", "--label", "another page"]).expect(0, &[]);
    nos(&["rollback", "disk.img", "-q"]).expect(0, &[]);
    nos(&["pin", "disk.img", "2", "-q"]).expect(0, &[]);
    nos(&["unpin", "disk.img", "2", "-q"]).expect(0, &[]);
    nos(&["remove", "disk.img", "2", "-q"]).expect(0, &[]);
    // What changes nothing is nothing to remember.
    nos(&["gc", "disk.img", "-q"]).expect(0, &[]);

    let log = nos(&["log", "disk.img", "--json"]).json();
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap()
        .as_secs();
    for record in log["records"].as_array().unwrap() {
        let when = record["when"].as_u64().unwrap();
        assert!((now - 3600..=now).contains(&when), "{record:#}");
    }
    let said = nos(&["log", "disk.img"]);
    assert_eq!((said.code, said.err.as_str()), (Some(0), ""));
    let stable: Vec<String> = said
        .out
        .lines()
        .map(|line| {
            let words: Vec<&str> = line.split_whitespace().collect();
            let words = words.join(" ").replace(&format!("ada@{machine}"), "WHO");
            let words = words.replace(env!("CARGO_PKG_VERSION"), "VERSION");
            // Day and minute.
            let is_time = |w: &str| w.starts_with("20") && w.contains('-') || w.contains(':');
            let words: Vec<&str> = words.split(' ').filter(|w| !is_time(w)).collect();
            words.join(" ")
        })
        .collect();
    expect![[r#"
        N WHEN (UTC) WHAT FROM TO WHO NOS NOTE
        1 install 1 2 WHO VERSION another page
        2 rollback 2 1 WHO VERSION
        3 pin 1 1 WHO VERSION generation 2
        4 unpin 1 1 WHO VERSION generation 2
        5 remove 1 1 WHO VERSION removed 2"#]]
    .assert_eq(&stable.join("\n"));
}

#[test]
fn words_in_a_log_are_no_commands_to_the_terminal() {
    let place = crate::said::folder(&[]);
    let at = place.path();
    make_disk(&at.join("disk.img"), "");
    let mut command = nos(at);
    command
        .env("LOGNAME", "ada\x1b[31m")
        .args(["pin", "disk.img", "1"]);
    Said::from(command.output().unwrap()).expect(0, &[]);
    let said = run(at, &["log", "disk.img"]);
    assert!(
        said.code == Some(0) && !said.out.contains('\x1b') && said.out.contains("ada"),
        "{said:#?}"
    );
    run(at, &["log", "gone.img"]).expect(1, &["gone.img"]);
}
