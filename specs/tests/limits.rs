//! Hostile texts: no panic, no hang, bounded memory, whatever is read.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use nos_specs::source::MAX_TEXT_BYTES;
use nos_specs::{NoFiles, check, parse, render, report};
use proptest::prelude::*;

/// Checks, renders and formats `text`; gives the codes of the messages.
fn survives(text: &str) -> Vec<&'static str> {
    let checked = check("a.nos", text, &NoFiles);
    let shown = render(&checked.diagnostics, &checked.sources, false, 80);
    assert_eq!(shown.is_empty(), checked.diagnostics.is_empty());
    assert!(!checked.has_errors() || checked.systems.is_empty());
    serde_json::to_string(&report(&checked.diagnostics, &checked.sources)).unwrap();
    let (ast, _) = parse(text);
    let whole: String = ast
        .tokens
        .iter()
        .map(|token| &text[token.span.range()])
        .collect();
    assert!(
        whole == text || text.len() > MAX_TEXT_BYTES,
        "tokens lose text"
    );
    if let Ok(once) = nos_specs::fmt::format(text) {
        assert_eq!(nos_specs::fmt::format(&once).as_deref(), Ok(once.as_str()));
    }
    checked.diagnostics.iter().map(|d| d.code).collect()
}

#[test]
fn a_long_line_is_shown_around_its_mistake() {
    let list = "\"x\", ".repeat(40_000);
    for text in [
        format!("service a {{ run = [{list}\n"),
        format!("service a {{ runn = [{list}] }}\n"),
        format!("service a {{ run = [{list}] runn = [{list}] }}\n"),
    ] {
        let checked = check("a.nos", &text, &NoFiles);
        assert!(checked.has_errors());
        for color in [false, true] {
            let shown = render(&checked.diagnostics, &checked.sources, color, 80);
            let longest = shown.lines().map(str::len).max();
            assert!(longest < Some(1000), "{longest:?}");
            assert!(shown.contains("a.nos:1:") && shown.contains('^'), "{shown}");
        }
    }
}

/// Checks that `text` has a message with `code`.
fn refused(text: &str, code: &str) {
    let codes = survives(text);
    assert!(
        codes.contains(&code),
        "{codes:?} has no {code} for {:.60}",
        text
    );
}

const DEPTH: usize = 100_000;

#[test]
fn brackets_cannot_lie_too_deep() {
    for (open, close) in [
        ("[", "]"),
        ("(", ")"),
        ("{a=", "}"),
        ("f(", ")"),
        ("-", ""),
        ("not ", ""),
    ] {
        let text = format!("let a = {}1{}", open.repeat(DEPTH), close.repeat(DEPTH));
        refused(&text, "E0109");
        // Without an end it is one mistake more, not one for each bracket.
        let codes = survives(&format!("let a = {}", open.repeat(DEPTH)));
        assert!(codes.len() <= 3, "{open}: {}", codes.len());
    }
    refused(&format!("let a = {}1", "1 + ".repeat(DEPTH)), "E0109");
    refused(
        &format!(
            "let a = {}1{}",
            "if true { 1 } else { ".repeat(500),
            "}".repeat(500)
        ),
        "E0109",
    );
    refused(
        &format!(
            "{}{}",
            "for x in [1] {\n".repeat(DEPTH),
            "}\n".repeat(DEPTH)
        ),
        "E0109",
    );
    survives(&format!("if true {{}}{}", " else if true {}".repeat(DEPTH)));
    survives(&format!("let a = \"{}", "${\"".repeat(DEPTH)));
    survives(&format!(
        "let a = \"{}1{}\"",
        "${\"".repeat(20),
        "\"}".repeat(20)
    ));
}

#[test]
fn names_cannot_stand_for_names_without_end() {
    let chain: String = (0..5000)
        .map(|n| format!("let a{n} = [a{}]\n", n + 1))
        .collect();
    refused(&format!("{chain}let a5000 = 1\n"), "E0109");
    // In the other order each step is shallow, but the value is deep.
    let chain: String = (0..5000)
        .map(|n| format!("let a{} = [a{n}]\n", n + 1))
        .collect();
    refused(&format!("let a0 = 1\n{chain}"), "E0411");
    let likes: String = (0..5000)
        .map(|n| format!("image a{n} like a{}\n", n + 1))
        .collect();
    refused(
        &format!("{likes}image a5000 {{}}\nhost h {{ services = [] }}"),
        "E0109",
    );
}

#[test]
fn values_cannot_grow_without_end() {
    let double = |first: &str, step: &dyn Fn(usize) -> String| {
        let lines: String = (0..64)
            .map(|n| format!("let a{} = {}\n", n + 1, step(n)))
            .collect();
        format!("let a0 = {first}\n{lines}")
    };
    refused(&double("[1]", &|n| format!("a{n} + a{n}")), "E0411");
    refused(&double("[1]", &|n| format!("[a{n}, a{n}]")), "E0411");
    refused(
        &double("\"x\"", &|n| format!("\"${{a{n}}}${{a{n}}}\"")),
        "E0411",
    );
    refused(&double("\"x\"", &|n| format!("a{n} + a{n}")), "E0411");
    refused(
        &double("\"xxxxxxxx\"", &|n| format!("join([a{n}, a{n}], a{n})")),
        "E0411",
    );
    refused(&double("1", &|n| format!("a{n} + a{n}")), "E0413");
    let rounds = "for x in range(1, 9999) { for y in range(1, 9999) { for z in range(1, 9999) {";
    refused(&format!("let a = [{rounds} 1 }} }} }}]"), "E0411");
    refused(&format!("let a = [{rounds} }} }} }}]"), "E0411");
    refused(
        &format!("{rounds} host \"h${{x}}\" {{ services = [] }} }} }} }}"),
        "E0411",
    );
}

#[test]
fn a_text_has_a_largest_size() {
    refused(&" ".repeat(MAX_TEXT_BYTES + 1), "E0110");
    survives(&"a".repeat(MAX_TEXT_BYTES / 4));
    survives(&"\u{1F600}".repeat(10_000));
}

/// Pieces of the language in any order.
fn soup() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec![
        "service",
        "host",
        "image",
        "kernel",
        "web",
        "use",
        "std.kernel",
        "let",
        "template",
        "for",
        "in",
        "if",
        "else",
        "like",
        "and",
        "not",
        "true",
        "{",
        "}",
        "[",
        "]",
        "(",
        ")",
        "=",
        "+=",
        ",",
        ".",
        ":",
        "+",
        "-",
        "*",
        "==",
        "<",
        "1",
        "64MiB",
        "10s",
        "0x",
        "\"a\"",
        "\"${",
        "}\"",
        "\"\"\"\n",
        "\"",
        "\\",
        "#",
        "\n",
        "\n",
        "\n",
        " ",
        "é",
        "\0",
        "\r\n",
        "services",
        "run",
        "packages",
        "tcp(80)",
        "dhcp",
        "file(\"a\")",
        "health",
        "http(port = 80)",
        ";",
        "'",
        "${a}",
    ]);
    prop::collection::vec(piece, 0..60).prop_map(|pieces| pieces.join(" "))
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(1000) })]

    #[test]
    fn any_characters(text in "\\PC{0,200}") {
        survives(&text);
    }

    #[test]
    fn any_bytes(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        survives(&String::from_utf8_lossy(&bytes));
    }

    #[test]
    fn any_pieces_of_the_language(text in soup()) {
        survives(&text);
    }

    #[test]
    fn an_example_with_a_piece_torn_out_or_put_in(at in 0usize..600, length in 0usize..40, put in soup()) {
        let text = include_str!("../../examples/web/web.nos");
        let start = at.min(text.len());
        let end = (start + length).min(text.len());
        prop_assume!(text.is_char_boundary(start) && text.is_char_boundary(end));
        survives(&format!("{}{}", &text[..start], &text[end..]));
        survives(&format!("{}{}{}", &text[..start], put, &text[end..]));
    }
}
