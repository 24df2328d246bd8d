//! `nos plan` and `nos diff` on `examples/hello`: what is said of a change before and after it.

use crate::said::{Said, filled_store, hello, run};
use expect_test::expect;
use std::path::Path;

/// Changes the page, the service's command and the kernel's command line.
fn change(at: &Path, page: &str) {
    let spec = at.join("hello.nos");
    let text = std::fs::read_to_string(&spec).unwrap();
    assert!(text.contains(r#""-p", "80""#), "{text}");
    std::fs::write(&spec, text.replace(r#""-p", "80""#, r#""-p", "80", "-v""#)).unwrap();
    std::fs::write(at.join("site/index.html"), page).unwrap();
}

/// What was said, with what differs from day to day left out.
fn shown(said: &Said) -> String {
    let digits = |word: &str| {
        let bare = word.trim_end_matches(',');
        (bare.len() == 12 && bare.bytes().all(|b| b.is_ascii_hexdigit())).then_some("HASH")
    };
    let line = |line: &str| {
        let line = line.split(" (about ").next().unwrap();
        let words: Vec<&str> = line.split(' ').map(|w| digits(w).unwrap_or(w)).collect();
        words.join(" ")
    };
    said.shown().lines().map(|l| line(l) + "\n").collect()
}

#[test]
fn a_plan_says_what_would_be_other_than_the_last_result() {
    let Some(store) = filled_store() else { return };
    let place = hello();
    let at = place.path();
    let store = store.to_str().unwrap();
    let nos = |args: &[&str]| run(at, &[args, &["--offline", "--store", store]].concat());
    nos(&["build", "-q"]).expect(0, &[]);
    let before = nos(&["plan", "--json"]).json();
    assert_eq!(before["changes"], serde_json::json!([]));
    assert_eq!(before["size_bytes"], before["previous_bytes"]);

    // A page that no run of this test has built before.
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap();
    change(at, &format!("{now:?}\n"));
    let said = nos(&["plan"]);
    let text = shown(&said);
    let (work, rest) = text.split_once("out:\n").unwrap();
    expect![[r#"
        exit 0
        out: build  compose page
        out: build  image page
        out: build  system hello
    "#]]
    .assert_eq(work);
    assert!(
        rest.starts_with(
            "out: ~ service page.run /usr/bin/busybox httpd -f -p 80 -h /srv/www -> \
             /usr/bin/busybox httpd -f -p 80 -v -h /srv/www\n\
             out: ~ image page -> to be built ("
        ),
        "{rest}"
    );
    assert!(
        rest.contains("\nout: host hello: 0 B to fetch, 3 to build, "),
        "{rest}"
    );
    assert!(rest.contains("; last result "), "{rest}");

    // Built with another root of the store, as if by someone else: all of it is known.
    nos(&["build", "-q"]).expect(0, &[]);
    assert_eq!(
        nos(&["plan", "--json"]).json()["changes"],
        serde_json::json!([])
    );
}

#[test]
fn systems_are_compared_wherever_they_are() {
    let Some(store) = filled_store() else { return };
    let place = hello();
    let at = place.path();
    let store = store.to_str().unwrap();
    let nos = |args: &[&str]| run(at, &[args, &["--offline", "-q", "--store", store]].concat());
    nos(&["build", "-o", "result"]).expect(0, &[]);
    nos(&["image", "-o", "disk.img"]).expect(0, &[]);
    change(at, "another page\n");
    nos(&["install", ".", "disk.img"]).expect(0, &[]);

    let whole = nos(&["diff", "disk.img#1", "disk.img#2"]);
    let text = shown(&whole);
    let (changes, end) = text.rsplit_once("out: disk.img#1 (hello, ").unwrap();
    expect![[r#"
        exit 0
        out: ~ service page.run /usr/bin/busybox httpd -f -p 80 -h /srv/www -> /usr/bin/busybox httpd -f -p 80 -v -h /srv/www
        out: ~ image page HASH -> HASH
        out: ~ file page /srv/www/index.html sha256 HASH -> sha256 HASH (13 B, -206 B)
    "#]]
    .assert_eq(changes);
    assert!(
        end.contains(") -> disk.img#2 (hello, ") && end.contains("): 3 differences, "),
        "{end}"
    );

    // The same from wherever the two are looked at, also without a store.
    let changes = |a: &str, b: &str| nos(&["diff", a, b, "--json"]).json()["changes"].clone();
    let expected = changes("disk.img#1", "disk.img#2");
    assert_eq!(expected.as_array().unwrap().len(), 3);
    assert_eq!(changes("result", "disk.img"), expected);
    assert_eq!(changes("result", "."), expected);
    assert_eq!(changes("disk.img#1", "hello.nos#hello"), expected);
    assert_eq!(changes("disk.img", "."), serde_json::json!([]));
    let bare = run(
        at,
        &[
            "diff",
            "disk.img#1",
            "disk.img#2",
            "--json",
            "--store",
            "/nowhere",
        ],
    );
    assert_eq!(bare.json()["changes"], expected);
}

#[test]
fn packages_and_kernel_options_are_known_from_a_disk() {
    let Some(store) = filled_store() else { return };
    let place = hello();
    let at = place.path();
    let store = store.to_str().unwrap();
    run(
        at,
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
    let mut disk = nos_disk::FileDevice::open_read_only(&at.join("disk.img")).unwrap();
    let disk = nos_disk::Disk::open(&mut disk).unwrap();
    let uki = disk.kernel_image(1).unwrap();
    let contents = nos_builder::contents::Contents::open(&uki, |image| {
        Ok(Box::new(disk.image_bytes(image).unwrap()))
    });
    let contents = contents.unwrap();
    let made_of = contents.ingredients.as_ref().unwrap();
    let lock = std::fs::read_to_string(at.join("nos.lock")).unwrap();
    let lock = nos_specs::lock::Lock::parse(&lock).unwrap();
    for (name, package) in &made_of.packages["page"] {
        assert_eq!(package.version, lock.packages[name].version, "{name}");
        assert!(package.bytes > 0, "{name}");
    }
    assert!(made_of.packages["page"].contains_key("busybox-static"));
    assert!(
        made_of.boot.contains_key("systemd-boot-efi"),
        "{:?}",
        made_of.boot
    );
    assert_eq!(made_of.options["CONFIG_DM_VERITY"], "m");
    assert!(made_of.options.len() > 1000, "{}", made_of.options.len());

    // Another kernel, another package: as one would see after an update.
    let mut other = nos_builder::contents::Contents::open(&uki, |image| {
        Ok(Box::new(disk.image_bytes(image).unwrap()))
    })
    .unwrap();
    let changed = other.ingredients.as_mut().unwrap();
    changed
        .options
        .insert("CONFIG_DM_VERITY".into(), "y".into());
    changed
        .packages
        .get_mut("page")
        .unwrap()
        .remove("busybox-static");
    let changes = nos_builder::changes::systems(&contents, &other).unwrap();
    let said: Vec<String> = changes
        .iter()
        .map(|c| format!("{:?} {}", c.subject, c.name))
        .collect();
    assert_eq!(said, ["Option CONFIG_DM_VERITY", "Package busybox-static"]);
}

#[test]
fn what_cannot_be_compared_is_said() {
    let place = hello();
    let at = place.path();
    std::fs::write(at.join("result"), "{}").unwrap();
    crate::said::make_disk(&at.join("disk.img"), "");
    for (args, code, message) in [
        (
            ["diff", "gone", "."],
            2,
            "there is no gone; name a spec (FILE#HOST), the result of a build",
        ),
        (
            ["diff", "disk.img#two", "."],
            2,
            "\"two\" is no number of a generation; `nos generations disk.img`",
        ),
        (
            ["diff", "disk.img#7", "."],
            1,
            "disk.img: generation 7 is not on this disk",
        ),
        (
            ["diff", "disk.img", "."],
            1,
            "disk.img: the kernel image cannot be read",
        ),
        (
            ["diff", "result", "."],
            1,
            "result is no description of a build that this nos reads",
        ),
        (
            ["diff", "result#1", "."],
            2,
            "result is one build, of which nothing can be selected",
        ),
        (["tree", "gone", "-p"], 2, "there is no gone; name a spec"),
    ] {
        run(at, &args).expect(code, &[message]);
    }
}
