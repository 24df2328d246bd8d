//! The canonical form: examples, and what must hold for every text.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use expect_test::{Expect, expect};
use nos_specs::fmt::format;
use nos_specs::parse;
use nos_specs::syntax::outline::outline;
use nos_specs::syntax::token::TokenKind;
use proptest::prelude::*;

fn check(text: &str, expected: Expect) {
    let formatted = format(text).expect("the text parses");
    expected.assert_eq(&formatted);
    holds(text);
}

/// What formatting promises for every text that parses.
fn holds(text: &str) {
    let Ok(once) = format(text) else { return };
    let twice = format(&once).unwrap_or_else(|d| panic!("{text}\n---\n{once}\n---\n{d:#?}"));
    assert_eq!(
        once, twice,
        "formatting again changes something, from\n{text}"
    );
    let (before, after) = (parse(text).0, parse(&once).0);
    assert_eq!(
        outline(&before),
        outline(&after),
        "the meaning changed, from\n{text}\nto\n{once}"
    );
    let comments = |text: &str, ast: &nos_specs::Ast| {
        let found = ast
            .tokens
            .iter()
            .filter(|token| token.kind == TokenKind::Comment);
        let mut found: Vec<String> = found
            .map(|token| text[token.span.range()].trim_end().to_owned())
            .collect();
        found.sort();
        found
    };
    assert_eq!(
        comments(text, &before),
        comments(&once, &after),
        "comments changed in\n{once}"
    );
    assert!(once.lines().all(|line| line.trim_end() == line) || text.contains("\"\"\""));
}

#[test]
fn neighbours_are_aligned_and_long_values_broken() {
    check(
        r#"use std.kernel
service web {
packages=["nginx"]
  files = { "/etc/nginx/nginx.conf" = file("nginx.conf"), "/srv/www" = folder("site") }
  run=["/usr/sbin/nginx","-g","daemon off;"]
  listen  =  [tcp(80)]


  health = http(port=80,path="/",within=10s)
}
host edge { services=[web], network=dhcp }
"#,
        expect![[r#"
            use std.kernel

            service web {
              packages = ["nginx"]
              files = {
                "/etc/nginx/nginx.conf" = file("nginx.conf")
                "/srv/www"              = folder("site")
              }
              run    = ["/usr/sbin/nginx", "-g", "daemon off;"]
              listen = [tcp(80)]

              health = http(port = 80, path = "/", within = 10s)
            }

            host edge {
              services = [web]
              network  = dhcp
            }
        "#]],
    );
}

#[test]
fn comments_keep_their_places() {
    check(
        r#"# The first line.

# About web.
service web { # behind the brace
  # about run
  run = ["/bin/a", # the program
    # the flag
    "-f"
    # nothing more
  ] # behind run
  restart = never   # behind restart
  env = { A = "1" }
  # at the end
} # behind web
# the last line"#,
        expect![[r##"
            # The first line.

            # About web.
            service web {
              # behind the brace
              # about run
              run = [
                "/bin/a" # the program
                # the flag
                "-f"
                # nothing more
              ] # behind run
              restart = never # behind restart
              env     = { A = "1" }
              # at the end
            } # behind web
            # the last line
        "##]],
    );
}

#[test]
fn the_whole_language_has_a_form() {
    check(
        r#"use shared.web as w
let sites = { blog = 80, shop = 8080 }
let many = [for n in range(1, 3) {"a-${n}"}, if not (1 < 2 and true) { "x" } else if 2 == 3 { "y" } else { "z" }]
let sum = (1 + 2) * 3 - -4
let which = if 1 in [1, 2] { "a" } else if true { "b" } else { "c" }
let exposed = [(if true { 1 } else { 2 }) + 1]
template service page(port: number = 80, root: text) like base {
  listen += [tcp(port)]
  if port < 1024 { user = 0 } else { restart = never }
}
for name, port in sites {
  service "page-${name}" like page(port = port, root = "/srv/${name}")
}
host edge {
  services = [for name, port in sites { service("page-${name}") }]
  network = static(addresses = ["192.0.2.7/24", "2001:db8::7/64"], gateways = ["192.0.2.1"], dns = ["192.0.2.1"])
}
service motd {
  files = { "/etc/motd" = text("""
          Welcome
            to ${name}.

          """) }
  run = ["/bin/cat"]
}
"#,
        expect![[r#"
            use shared.web as w
            let sites = { blog = 80, shop = 8080 }
            let many = [
              for n in range(1, 3) { "a-${n}" }
              if not (1 < 2 and true) { "x" } else if 2 == 3 { "y" } else { "z" }
            ]
            let sum = (1 + 2) * 3 - -4
            let which = if 1 in [1, 2] { "a" } else if true { "b" } else { "c" }
            let exposed = [(if true { 1 } else { 2 } + 1)]

            template service page(port: number = 80, root: text) like base {
              listen += [tcp(port)]
              if port < 1024 {
                user = 0
              } else {
                restart = never
              }
            }

            for name, port in sites {
              service "page-${name}" like page(port = port, root = "/srv/${name}")
            }

            host edge {
              services = [for name, port in sites { service("page-${name}") }]
              network = static(
                addresses = ["192.0.2.7/24", "2001:db8::7/64"],
                gateways = ["192.0.2.1"],
                dns = ["192.0.2.1"],
              )
            }

            service motd {
              files = {
                "/etc/motd" = text("""
                  Welcome
                    to ${name}.

                  """)
              }
              run = ["/bin/cat"]
            }
        "#]],
    );
}

#[test]
fn elements_in_the_first_column_do_not_look_like_blocks() {
    holds("let a = [\ntrue\na\n{}\n]\n");
    assert!(format("let a = [\nb\nc\n{}\n]\n").is_ok());
}

#[test]
fn a_text_that_does_not_parse_is_refused() {
    assert_eq!(format("host a {").unwrap_err().len(), 1);
    assert_eq!(format("").unwrap(), "");
    assert_eq!(format("\n\n# only this").unwrap(), "# only this\n");
}

#[test]
fn a_comment_in_the_middle_of_an_attribute_follows_it() {
    check(
        "service web {\n  l# why\n = [1]\n  health = 2\n}\n",
        expect![[r#"
            service web {
              l = [1]
              # why

              health = 2
            }
        "#]],
    );
}

/// White space and comments where the language allows a new line.
fn gap() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => Just("\n".to_owned()),
        2 => Just(", ".to_owned()),
        1 => Just(",\n\n\n".to_owned()),
        1 => "[a-z]{0,3}".prop_map(|comment| format!(" # {comment}\n")),
        1 => "[a-z]{0,3}".prop_map(|comment| format!("\n#{comment}\n\n")),
    ]
}

fn joined(parts: Vec<(String, String)>) -> String {
    parts.into_iter().map(|(part, gap)| part + &gap).collect()
}

fn value() -> BoxedStrategy<String> {
    let leaf = prop_oneof![
        "[a-f][a-f0-9-]{0,8}",
        "[1-9][0-9]{0,4}(MiB|s|)",
        Just("\"text ${a} \\\" \\$\"".to_owned()),
        Just("\"\"\"\n  one\n\n    two ${b}\n  \"\"\"".to_owned()),
        Just("\"${\"in ${c}\"}\"".to_owned()),
        Just("true".to_owned()),
        Just("a.b.c".to_owned()),
    ];
    leaf.prop_recursive(4, 40, 4, |inner| {
        let list = prop::collection::vec((inner.clone(), gap()), 0..4);
        let elements = prop::collection::vec((element(inner.clone()), gap()), 0..4);
        let entries = prop::collection::vec((entry(inner.clone()), gap()), 0..4);
        let operator = prop::sample::select(vec!["+", "-", "*", "and", "or", "==", "<", "in"]);
        prop_oneof![
            elements.prop_map(|e| format!("[{}]", joined(e))),
            list.prop_map(|e| format!("[ # open\n{}]", joined(e))),
            entries.prop_map(|e| format!("{{{}}}", joined(e))),
            (inner.clone(), operator, inner.clone())
                .prop_map(|(a, o, b)| format!("({a}) {o} ({b})")),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("call({a}, name = {b})")),
            inner.clone().prop_map(|a| format!("not ({a})")),
            inner.clone().prop_map(|a| format!("-({a})")),
            (inner.clone(), inner.clone(), inner)
                .prop_map(|(a, b, c)| format!("if ({a}) {{ {b} }} else {{ {c} }}")),
        ]
    })
    .boxed()
}

fn element(inner: BoxedStrategy<String>) -> impl Strategy<Value = String> {
    prop_oneof![
        4 => inner.clone().prop_map(|a| format!("({a})")),
        1 => (inner.clone(), inner.clone(), gap())
            .prop_map(|(a, b, gap)| format!("for x in ({a}) {{ ({b}){gap}}}")),
        1 => (inner.clone(), inner.clone(), inner)
            .prop_map(|(a, b, c)| format!("if ({a}) {{ ({b}) }} else {{\n({c})\n# end\n}}")),
    ]
}

fn entry(inner: BoxedStrategy<String>) -> impl Strategy<Value = String> {
    prop_oneof![
        6 => ("[a-f]{1,9}", inner.clone()).prop_map(|(name, a)| format!("{name} = {a}")),
        2 => ("[a-f]{1,9}", inner.clone()).prop_map(|(name, a)| format!("\"{name}\" += {a}")),
        1 => (inner.clone(), inner.clone())
            .prop_map(|(a, b)| format!("for x, y in ({a}) {{ b = {b} # end\n}}")),
        1 => (inner.clone(), inner)
            .prop_map(|(a, b)| format!("if ({a}) {{ b = {b} }} else if ({a}) {{}} else {{ c = a }}")),
    ]
}

fn spec() -> impl Strategy<Value = String> {
    let body = || prop::collection::vec((entry(value()), gap()), 0..5).prop_map(joined);
    let item = prop_oneof![
        ("[a-z]{1,5}", value()).prop_map(|(name, a)| format!("let x{name} = {a}")),
        body().prop_map(|body| format!("service web {{{body}}}")),
        body().prop_map(|body| format!("host \"h-${{n}}\" like base(a = 1) {{ # head\n{body}}}")),
        (body(), value())
            .prop_map(|(b, v)| format!("template host t(a: number, b: text = {v}) {{{b}}}")),
        body().prop_map(|body| format!("for x in [1] {{ host a {{{body}}}\n# end\n }}")),
        body().prop_map(|body| format!("if true {{ host a {{{body}}} }} else {{ host b {{}} }}")),
        Just("use std.kernel as k # why".to_owned()),
        Just("# alone\n".to_owned()),
    ];
    prop::collection::vec(item, 0..5).prop_map(|items| items.join("\n"))
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(400) })]

    #[test]
    fn formatting_keeps_meaning_and_comments_and_settles_at_once(text in spec()) {
        prop_assert!(parse(&text).1.is_empty(), "{}\n{:#?}", text, parse(&text).1);
        holds(&text);
    }
}
