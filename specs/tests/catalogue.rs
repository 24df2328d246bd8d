//! A catalogue of wrong specs with their exact messages.
//!
//! Each names the place and the remedy. To see and accept changed messages:
//! `UPDATE_EXPECT=1 cargo test -p nos-specs --test catalogue`, then read the difference.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod cases;

use nos_specs::{Checked, check, render};
use std::collections::{BTreeMap, BTreeSet};

/// A spec that is right, for cases that add one mistake.
pub(crate) const SERVICE: &str =
    "service web {\n  packages = [\"nginx\"]\n  run = [\"/bin/a\"]\n}\n";
pub(crate) const HOST: &str = "host edge {\n  services = [web]\n}\n";

pub(crate) fn checked(text: &str) -> Checked {
    let mut files = BTreeMap::new();
    files.insert(
        "shared/base.nos".to_owned(),
        "image base {\n  packages = [\"busybox-static\"]\n}\n".to_owned(),
    );
    files.insert("other.nos".to_owned(), format!("let port = 80\n{SERVICE}"));
    files.insert("broken.nos".to_owned(), "let x = [1\n".to_owned());
    check("a.nos", text, &files)
}

/// Checks that `text` has exactly the messages `expected`.
pub(crate) fn wrong(text: &str, expected: expect_test::Expect) {
    let checked = checked(text);
    assert!(checked.systems.is_empty() || !checked.has_errors());
    for diagnostic in &checked.diagnostics {
        assert!(!diagnostic.help.is_empty(), "no remedy: {diagnostic:?}");
        assert!(
            nos_specs::explain(diagnostic.code).is_some(),
            "{} is not explained",
            diagnostic.code
        );
        SEEN.with_borrow_mut(|seen| seen.insert(diagnostic.code));
    }
    expected.assert_eq(&render(&checked.diagnostics, &checked.sources, false, 100));
}

thread_local! {
    /// Codes that the cases of this thread have had.
    static SEEN: std::cell::RefCell<BTreeSet<&'static str>> = const { std::cell::RefCell::new(BTreeSet::new()) };
}

#[test]
fn every_case_has_its_messages_and_every_code_a_case() {
    cases::syntax::cases();
    cases::names::cases();
    cases::attributes::cases();
    cases::values::cases();
    cases::machines::cases();
    cases::expressions::cases();
    cases::hosts::cases();
    cases::builds::cases();
    cases::channels::cases();
    cases::templates::cases();
    let unseen: Vec<&str> = nos_specs::codes::ALL
        .iter()
        .map(|(code, _, _)| *code)
        .filter(|code| !SEEN.with_borrow(|seen| seen.contains(code)))
        .collect();
    // A file of more than 4 MiB is in tests/limits.rs.
    // What starts with E07 is found by those who can look outside of the spec.
    let unseen: Vec<&str> = unseen
        .into_iter()
        .filter(|code| !code.starts_with("E07"))
        .collect();
    assert_eq!(unseen, ["E0110"]);
}

#[test]
fn fixes_make_their_mistake_go_away() {
    for text in cases::FIXABLE {
        let before = checked(text);
        let diagnostic = before.diagnostics.iter().find(|d| d.fix.is_some());
        let diagnostic = diagnostic.unwrap_or_else(|| panic!("no fix in\n{text}"));
        let fix = diagnostic.fix.as_ref().unwrap();
        let mut fixed = text.to_string();
        fixed.replace_range(fix.span.range(), &fix.replacement);
        let after = checked(&fixed);
        let same = |d: &&nos_specs::Diagnostic| {
            d.code == diagnostic.code && d.message == diagnostic.message
        };
        assert!(
            !after.diagnostics.iter().any(|d| same(&d)),
            "still there after\n{fixed}"
        );
        assert!(
            after.diagnostics.len() < before.diagnostics.len(),
            "no fewer messages after\n{fixed}"
        );
    }
}

#[test]
fn ten_mistakes_are_ten_messages() {
    let checked = checked(
        r#"use std.kernle
servce db { run = ["/bin/db"] }
service web {
  pakages = ["nginx"]
  run = "/usr/sbin/nginx"
  files = { "etc/a" = file("../a") }
  listen = [tcp(70000)]
  health = http(port = 80, within = 10)
  restart = sometimes
}
host edge {
  services = [webb]
  network = "dhcp"
}
"#,
    );
    let codes: Vec<&str> = checked.diagnostics.iter().map(|d| d.code).collect();
    assert_eq!(
        codes,
        [
            "E0206", "E0203", "E0301", "E0401", "E0403", "E0404", "E0402", "E0401", "E0201",
            "E0201", "E0401"
        ]
    );
}
