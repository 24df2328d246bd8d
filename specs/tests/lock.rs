//! The lock file: one canonical text, and nothing taken on trust.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use expect_test::{Expect, expect};
use nos_specs::lock::{
    Group, LOCK_VERSION, Lock, LockedCommit, LockedFile, LockedPackage, LockedSource, SuitePin,
};
use proptest::prelude::*;

fn lock() -> Lock {
    let sha256 = "0123456789abcdef".repeat(4);
    let package = |name: &str| LockedPackage {
        version: "1:1.2-3+deb13u1~x".into(),
        architecture: "amd64".into(),
        suite: "trixie".into(),
        path: format!("pool/main/{name}.deb"),
        size: 1234,
        sha256: sha256.clone(),
    };
    Lock {
        version: LOCK_VERSION,
        suites: [(
            "trixie".to_owned(),
            SuitePin {
                date: "2026-01-31T12:00:00Z".into(),
                sha256: sha256.clone(),
            },
        )]
        .into(),
        groups: [(
            "image web".to_owned(),
            Group {
                wants: vec!["nginx".into()],
                packages: vec!["libc6".into(), "nginx".into()],
            },
        )]
        .into(),
        packages: ["libc6", "nginx", "libstdc++6"]
            .map(|n| (n.to_owned(), package(n)))
            .into(),
        sources: [(
            "libc".to_owned(),
            LockedSource {
                version: "1.2-3".into(),
                suite: "trixie".into(),
                files: ["debian.tar.xz", "orig.tar.gz"]
                    .map(|ending| LockedFile {
                        path: format!("pool/main/libc_1.2.{ending}"),
                        size: 12,
                        sha256: sha256.clone(),
                    })
                    .into(),
            },
        )]
        .into(),
        commits: ["", " without submodules"]
            .map(|n| {
                (
                    format!("{}{n}", "a1".repeat(20)),
                    LockedCommit {
                        tree: sha256.clone(),
                    },
                )
            })
            .into(),
    }
}

#[test]
fn the_text_is_canonical_and_reads_back() {
    let text = lock().to_text();
    assert_eq!(Lock::parse(&text).unwrap(), lock());
    expect![[r#"
        # Made by nos lock; do not edit.
        version = 2

        [suites.trixie]
        date = "2026-01-31T12:00:00Z"
        sha256 = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

        [groups."image web"]
        wants = [
            "nginx",
        ]
        packages = [
            "libc6",
            "nginx",
        ]

        [packages.libc6]
        version = "1:1.2-3+deb13u1~x"
        architecture = "amd64"
        suite = "trixie"
        path = "pool/main/libc6.deb"
        size = 1234
        sha256 = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
    "#]]
    .assert_eq(text.split("\n[packages.\"libstdc++6\"]").next().unwrap());
    expect![[r#"
        [sources.libc]
        version = "1.2-3"
        suite = "trixie"
        files = [
            { path = "pool/main/libc_1.2.debian.tar.xz", size = 12, sha256 = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef" },
            { path = "pool/main/libc_1.2.orig.tar.gz", size = 12, sha256 = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef" },
        ]

        [commits.a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1]
        tree = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

        [commits."a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1 without submodules"]
        tree = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
    "#]]
    .assert_eq(&text[text.find("[sources").unwrap()..]);
}

#[test]
fn a_text_asks_for_no_newer_program_than_it_needs() {
    let mut plain = lock();
    plain.sources.clear();
    plain.commits.clear();
    let text = plain.to_text();
    assert!(text.contains("\nversion = 1\n"), "{text}");
    assert_eq!(Lock::parse(&text).unwrap(), plain);
    // What an older program wrote, and one between the two.
    let newer = text.replace("version = 1\n", "version = 2\n");
    assert_eq!(Lock::parse(&newer).unwrap(), plain);
    let mixed = lock().to_text().replace("version = 2\n", "version = 1\n");
    assert_eq!(Lock::parse(&mixed).unwrap(), lock());
}

/// The message for the lock's text with `from` replaced by `to`.
fn wrong(from: &str, to: &str, message: Expect) {
    let text = lock().to_text();
    assert!(text.contains(from), "{from:?} is not in the text");
    let error = Lock::parse(&text.replacen(from, to, 1)).unwrap_err();
    let shown = error.to_string();
    let remedy = "; take the file from version control, or remove it and run `nos lock`";
    assert!(
        shown.ends_with(remedy) || shown.ends_with("use a newer nos"),
        "{shown}"
    );
    message.assert_eq(shown.strip_suffix(remedy).unwrap_or(&shown));
}

#[test]
fn a_lock_that_nos_lock_never_writes_is_refused_with_its_place() {
    wrong(
        "version = 2\n",
        "version = 7\nsurprise = 1\n",
        expect!["it has version 7, this program reads up to 2; use a newer nos"],
    );
    wrong(
        "version = 2\n",
        "version = 0\n",
        expect!["version: there is no version 0"],
    );
    wrong(
        "version = 2\n",
        "<<<<<<< HEAD\n",
        expect!["line 2, column 9: key with no value, expected `=`"],
    );
    wrong(
        "size = 1234",
        "size = -1",
        expect!["line 22, column 8: invalid value: integer `-1`, expected u64"],
    );
    wrong(
        "size = 1234",
        "size = 0",
        expect!["packages.libc6.size: not between 1 and 17179869184 bytes"],
    );
    wrong(
        "size = 1234",
        "weight = 1",
        expect![
            "line 22, column 1: unknown field `weight`, expected one of `version`, `architecture`, `suite`, `path`, `size`, `sha256`"
        ],
    );
    wrong(
        "pool/main/libc6.deb",
        "../libc6.deb",
        expect!["packages.libc6.path: not a relative path without `..`"],
    );
    wrong(
        "pool/main/libc6.deb",
        "/libc6.deb",
        expect!["packages.libc6.path: not a relative path without `..`"],
    );
    wrong(
        "pool/main/libc6.deb",
        "pool/main/libc6.deb?x",
        expect!["packages.libc6.path: not the path of a .deb file"],
    );
    wrong(
        "libc_1.2.debian",
        "a/../libc_1.2.debian",
        expect!["sources.libc.files.path: not a relative path without `..`"],
    );
    wrong(
        "libc_1.2.debian",
        "libc_1.2.zebra",
        expect!["sources.libc.files: their paths are not in order, or one stands twice"],
    );
    wrong(
        "size = 12,",
        "size = 0,",
        expect!["sources.libc.files.size: not between 1 and 17179869184 bytes"],
    );
    wrong(
        "[commits.a1",
        "[commits.X1",
        expect![[
            r#"commits."X1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1": not the name of a commit"#
        ]],
    );
    wrong(
        "tree = \"01",
        "tree = \"1",
        expect![
            "commits.a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1.tree: not a SHA-256 of 64 lower-case hexadecimal digits"
        ],
    );
    wrong(
        "sha256 = \"01",
        "sha256 = \"0X",
        expect!["suites.trixie.sha256: not a SHA-256 of 64 lower-case hexadecimal digits"],
    );
    wrong(
        "2026-01-31T12:00:00Z",
        "31 January",
        expect!["suites.trixie.date: not a date such as 2026-01-31T12:00:00Z"],
    );
    wrong(
        "    \"libc6\",\n    \"nginx\",",
        "    \"nginx\",\n    \"libc6\",",
        expect![[
            r#"groups."image web".packages: the names are not in order, or one stands twice"#
        ]],
    );
    wrong(
        "[packages.nginx]",
        "[packages.apache2]",
        expect![[r#"groups."image web".packages: "nginx" is not pinned"#]],
    );
    wrong(
        "architecture = \"amd64\"",
        "architecture = \"../x\"",
        expect!["packages.libc6.architecture: not an architecture such as amd64 or all"],
    );
    wrong(
        "1:1.2-3+deb13u1~x",
        "1.2 or so",
        expect!["packages.libc6.version: not a Debian version"],
    );
    wrong(
        "[packages.libc6]",
        "[packages.LIBC6]",
        expect![[r#"groups."image web".packages: "libc6" is not pinned"#]],
    );
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_text_makes_the_reader_fail_otherwise_than_by_an_error(text in "\\PC*") {
        let _ = Lock::parse(&text);
    }

    #[test]
    fn names_of_groups_survive_quoting(name in "[ -~éß]{1,20}") {
        let mut lock = lock();
        lock.groups.insert(name, Group::default());
        prop_assert_eq!(Lock::parse(&lock.to_text()), Ok(lock));
    }
}
