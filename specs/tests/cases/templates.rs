//! Wrong specs: templates, `for` and `if`.

use super::TEMPLATE;
use crate::{HOST, SERVICE, wrong};
use expect_test::expect;

pub(crate) fn cases() {
    wrong(
        &[
            TEMPLATE,
            "service a like page(prt = 80)\n",
            "host edge {\n  services = [a]\n}\n",
        ]
        .concat(),
        expect![[r#"
            error[E0406]: the template has no parameter `prt`
             --> a.nos:6:21
              |
            1 | template service page(port: number) {
              |                  ---- defined here
            ...
            6 | service a like page(prt = 80)
              |                     ^^^
              |
              = note: in service a
            help: did you mean `port`?
              |
            6 | service a like page(port = 80)
              |                      +
        "#]],
    );
    wrong(
        &[
            TEMPLATE,
            r#"service a like page(port = "80")
"#,
            "host edge {\n  services = [a]\n}\n",
        ]
        .concat(),
        expect![[r#"
            error[E0401]: `port` takes a number, not a text
             --> a.nos:6:28
              |
            1 | template service page(port: number) {
              |                       ---- the parameter
            ...
            6 | service a like page(port = "80")
              |                            ^^^^
              |
              = note: in service a
              = help: give a number
        "#]],
    );
    wrong(
        &[
            TEMPLATE,
            "service a like page()\n",
            "host edge {\n  services = [a]\n}\n",
        ]
        .concat(),
        expect![[r#"
            error[E0406]: the argument `port` is missing
             --> a.nos:6:16
              |
            1 | template service page(port: number) {
              |                       ---- needed here
            ...
            6 | service a like page()
              |                ^^^^^^
              |
              = note: in service a
              = help: add `port = …`, a number
        "#]],
    );
    wrong(
        &[
            TEMPLATE,
            "service a like page\n",
            "host edge {\n  services = [a]\n}\n",
        ]
        .concat(),
        expect![[r#"
            error[E0401]: `page` is a template and needs its arguments
             --> a.nos:6:16
              |
            1 | template service page(port: number) {
              |                  ---- defined here
            ...
            6 | service a like page
              |                ^^^^
              |
              = note: in service a
              = help: call it: `like page(port = …)`
        "#]],
    );
    wrong(
        &[
            TEMPLATE,
            "service a like page(80, 81, port = 82)\n",
            "host edge {\n  services = [a]\n}\n",
        ]
        .concat(),
        expect![[r#"
            error[E0406]: the template has fewer parameters
             --> a.nos:6:25
              |
            1 | template service page(port: number) {
              |                  ---- defined here
            ...
            6 | service a like page(80, 81, port = 82)
              |                         ^^
              |
              = note: in service a
              = help: its parameters are port

            error[E0406]: the argument `port` is given twice
             --> a.nos:6:29
              |
            6 | service a like page(80, 81, port = 82)
              |                             ^^^^
              |
              = note: in service a
              = help: take one of the two out
        "#]],
    );
    wrong(
        &[TEMPLATE, "host a like page(80)\n"].concat(),
        expect![[r#"
            error[E0209]: a host cannot be like a service
             --> a.nos:6:13
              |
            6 | host a like page(80)
              |             ^^^^^^^^
              |
              = note: in host a
              = help: name a host block or a template for host blocks
        "#]],
    );
    wrong(
        &[TEMPLATE, "host edge {\n  services = [page]\n}\n"].concat(),
        expect![[r#"
            error[E0401]: `page` is a template, not a value
             --> a.nos:7:15
              |
            1 | template service page(port: number) {
              |                  ---- defined here
            ...
            7 |   services = [page]
              |               ^^^^
              |
              = note: in host edge
              = help: make a block of it: `service NAME like page(…)`
        "#]],
    );
    wrong(
        &[TEMPLATE, "host edge {\n  services = [page(80)]\n}\n"].concat(),
        expect![[r#"
            error[E0205]: `page` is a template, not a value
             --> a.nos:7:15
              |
            7 |   services = [page(80)]
              |               ^^^^
              |
              = note: in host edge
              = help: make a block of it: `service NAME like page(…)`
        "#]],
    );
    wrong(
        &["template service p(a: int) {\n}\n", SERVICE, HOST].concat(),
        expect![[r#"
            error[E0210]: there is no type `int`
             --> a.nos:1:23
              |
            1 | template service p(a: int) {
              |                       ^^^
              |
              = help: the types are text, number, size, time, bool, list, record, service, image, build, kernel, host
        "#]],
    );
    wrong(
        &[
            "template service p(a: number, a: text) {\n}\n",
            SERVICE,
            HOST,
        ]
        .concat(),
        expect![[r#"
            error[E0202]: there is a parameter `a` already
             --> a.nos:1:31
              |
            1 | template service p(a: number, a: text) {
              |                    -          ^
              |                    |
              |                    the first one
              |
              = help: choose another name
        "#]],
    );
    wrong(
        &[
            "template service p(a: number) like p(a)\n",
            "service b like p(1)\n",
            "host edge {\n  services = [b]\n}\n",
        ]
        .concat(),
        expect![[r#"
            error[E0207]: `p` is made of itself
             --> a.nos:1:36
              |
            1 | template service p(a: number) like p(a)
              |                                    ^^^^
              |
              = note: in service b
              = help: take the name out of what it is made of, directly or by way of others
        "#]],
    );
    wrong(
        &[SERVICE, "service b like 5\n", HOST].concat(),
        expect![[r#"
            error[E0106]: expected a block or a template, found `5`
             --> a.nos:5:16
              |
            5 | service b like 5
              |                ^ expected a block or a template
              |
              = help: write `service b like a { … }`
        "#]],
    );
    wrong(
        &[SERVICE, "service b like web(1)\n", HOST].concat(),
        expect![[r#"
            error[E0205]: a block is no template and takes no arguments
             --> a.nos:5:16
              |
            5 | service b like web(1)
              |                ^^^^^^
              |
              = note: in service b
              = help: leave the parentheses out
        "#]],
    );
    wrong(
        "for n in 5 {\n  host a {\n    services = []\n  }\n}\n",
        expect![[r#"
            error[E0401]: `for` goes through a list or a record, not a number
             --> a.nos:1:10
              |
            1 | for n in 5 {
              |          ^
              |
              = help: write a list: `for x in [1, 2] { … }`, or `range(1, 10)`
        "#]],
    );
    wrong(
        "for n in { a = 1 } {\n  host a {\n    services = []\n  }\n}\n",
        expect![[r#"
            error[E0106]: expected a value, found `{`
             --> a.nos:1:10
              |
            1 | for n in { a = 1 } {
              |          ^ expected a value
              |
              = help: values are texts "…", numbers 80, sizes 64MiB, times 10s, true, false, names, lists […] and records {…}

            error[E0108]: this `}` closes nothing
             --> a.nos:5:1
              |
            5 | }
              | ^
              |
              = help: take it out, or open the block or list that it should close
        "#]],
    );
    wrong(
        "for a, b in [1] {\n  host a {\n    services = []\n  }\n}\n",
        expect![[r#"
            error[E0401]: a list is gone through with one name
             --> a.nos:1:13
              |
            1 | for a, b in [1] {
              |             ^^^
              |
              = help: write `for x in list { … }`
        "#]],
    );
    wrong(
        "for n in [1, 2] {\n  host a {\n    services = []\n  }\n}\n",
        expect![[r#"
            error[E0202]: `a` is defined a second time
             --> a.nos:2:8
              |
            2 |   host a {
              |        ^
              |        |
              |        the first definition
              |
              = help: give one of the two another name
        "#]],
    );
    wrong(
        "if 1 {\n  host a {\n    services = []\n  }\n}\n",
        expect![[r#"
            error[E0401]: a condition is true or false, not a number
             --> a.nos:1:4
              |
            1 | if 1 {
              |    ^
              |
              = help: compare it with something: `x == "a"`, `n > 1`
        "#]],
    );
    wrong(
        &["for n in [1] {\n  let x = n\n}\n", SERVICE, HOST].concat(),
        expect![[r#"
            error[E0106]: only blocks can stand in `for` and `if`
             --> a.nos:2:3
              |
            2 |   let x = n
              |   ^^^^^^^^^
              |
              = help: move this to the top level of the file
        "#]],
    );
    wrong(
        &[
            TEMPLATE,
            r#"for n in [80, 70000] {
  service "p-${n}" like page(port = n)
}
host edge {
  services = [service("p-80"), service("p-70000")]
}
"#,
        ]
        .concat(),
        expect![[r#"
            error[E0402]: `port` is 70000, more than the most: 65535
             --> a.nos:4:17
              |
            4 |   listen = [tcp(port)]
              |                 ^^^^
              |
              = note: in service p-70000
              = help: give something between 1 and 65535
        "#]],
    );
}
