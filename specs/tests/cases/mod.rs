//! The wrong specs. `S` is a good service, `H` a good host.

use super::{HOST, SERVICE, wrong};
use expect_test::expect;

/// A good template.
const TEMPLATE: &str = r#"template service page(port: number) {
  packages = ["nginx"]
  run = ["/bin/a"]
  listen = [tcp(port)]
}
"#;

/// A service with some lines, and a host that runs it.
fn service(lines: &str) -> String {
    let packages = if lines.contains("packages") {
        ""
    } else {
        "  packages = [\"nginx\"]\n"
    };
    let run = if lines.contains("run =") {
        ""
    } else {
        "  run = [\"/bin/a\"]\n"
    };
    format!(
        "service web {{\n{packages}{run}  {lines}\n}}\n{}",
        HOST.replace("[web]", "[web]\n  disk = { state = 64MiB }")
    )
}

/// A host with some lines.
fn host(lines: &str) -> String {
    format!("host edge {{\n  services = []\n  {lines}\n}}\n")
}

pub(crate) fn syntax() {
    wrong(
        "host edge { services = [] };\n",
        expect![[r#"
        error[E0101]: `;` means nothing here
         --> a.nos:1:28
          |
        1 | host edge { services = [] };
          |                            ^
          |
          = help: take it out: attributes need nothing between them but a new line
    "#]],
    );
    wrong(
        "host edge { services = ['a'] }\n",
        expect![[r#"
            error[E0101]: `'` means nothing here
             --> a.nos:1:25
              |
            1 | host edge { services = ['a'] }
              |                         ^
              |
              = help: write texts in straight double quotes: "…"

            error[E0101]: `'` means nothing here
             --> a.nos:1:27
              |
            1 | host edge { services = ['a'] }
              |                           ^
              |
              = help: write texts in straight double quotes: "…"
        "#]],
    );
    wrong(
        "// a comment\nhost edge { services = [] }\n",
        expect![[r#"
            error[E0101]: `//` means nothing here
             --> a.nos:1:1
              |
            1 | // a comment
              | ^^
              |
              = help: a comment begins with `#`; a path is a text in quotes: "/srv"
        "#]],
    );
    wrong(
        r#"let a = "no end
host edge { services = [] }
"#,
        expect![[r#"
            error[E0102]: this text has no end
             --> a.nos:1:9
              |
            1 | let a = "no end
              |         ^ it begins here
              |
              = help: end the text with `"` on the same line, or write it over several lines between `"""`
        "#]],
    );
    wrong(
        r#"let a = """
  no end
"#,
        expect![[r#"
            error[E0102]: this text has no end
             --> a.nos:1:9
              |
            1 | let a = """
              |         ^^^ it begins here
              |
              = help: end the text with `"""` on a line of its own
        "#]],
    );
    wrong(
        r#"let a = "a\qb"
host edge { services = [] env = a }
"#,
        expect![[r#"
            error[E0103]: `\q` is no escape
             --> a.nos:1:11
              |
            1 | let a = "a\qb"
              |           ^^
              |
              = help: the escapes are \n \t \" \\ \$ and \u{…} with the hexadecimal number of a character

            error[E0106]: expected a new line, found `env`
             --> a.nos:2:27
              |
            2 | host edge { services = [] env = a }
              |                           ^^^ expected a new line
              |
              = help: write each attribute on a line of its own, or put a `,` between two
        "#]],
    );
    wrong(
        "let a = 64MB\nlet b = 1.5GiB\nlet c = 0755\nlet d = 5xyz\nlet e = 99999999999999999999\nlet f = 1__0\n",
        expect![[r#"
            error[E0104]: `MB` in `64MB` is no unit
             --> a.nos:1:9
              |
            1 | let a = 64MB
              |         ^^^^
              |
            help: write `64MiB`
              |
            1 | let a = 64MiB
              |            +

            error[E0104]: `1.5GiB` is not a whole number
             --> a.nos:2:9
              |
            2 | let b = 1.5GiB
              |         ^^^^^^
              |
              = help: write it in a smaller unit: 1536MiB, 1500ms

            error[E0104]: the number `0755` begins with 0
             --> a.nos:3:9
              |
            3 | let c = 0755
              |         ^^^^
              |
              = help: leave the 0 out; file modes are texts: mode = "0755"

            error[E0104]: `xyz` in `5xyz` is no unit
             --> a.nos:4:9
              |
            4 | let d = 5xyz
              |         ^^^^
              |
              = help: the units are B KiB MiB GiB TiB for sizes, ms s min h for times

            error[E0104]: `99999999999999999999` is too large
             --> a.nos:5:9
              |
            5 | let e = 99999999999999999999
              |         ^^^^^^^^^^^^^^^^^^^^
              |
              = help: the largest number is 9223372036854775807

            error[E0104]: `1__0` is not a number
             --> a.nos:6:9
              |
            6 | let f = 1__0
              |         ^^^^
              |
              = help: a `_` stands between two digits: 10_000
        "#]],
    );
    wrong(
        r#"let a = """x"""
"#,
        expect![[r#"
            error[E0105]: a text between `"""` begins and ends with lines of its own
             --> a.nos:1:9
              |
            1 | let a = """x"""
              |         ^^^^^^^
              |
              = help: put a line break behind the first `"""` and the last `"""` on a line of its own
        "#]],
    );
    wrong(
        r#"let a = """
  ${b
  """
"#,
        expect![[r#"
            error[E0102]: this `${` has no `}` on its line
             --> a.nos:2:3
              |
            2 |   ${b
              |   ^^
              |
              = help: close it, or write `\${` for the two characters themselves
        "#]],
    );
    wrong(
        "host edge\n",
        expect![[r#"
        error[E0106]: expected `{`, found the end of the file
         --> a.nos:1:10
          |
        1 | host edge
          |          ^ expected `{`
          |
          = help: a block is a kind, a name and braces: `service web { … }`
    "#]],
    );
    wrong(
        "host { services = [] }\n",
        expect![[r#"
        error[E0106]: expected a block's name, found `{`
         --> a.nos:1:6
          |
        1 | host { services = [] }
          |      ^ expected a block's name
          |
          = help: give the block a name: `host web { … }`
    "#]],
    );
    wrong(
        "port = 80\n",
        expect![[r#"
        error[E0106]: expected a block's name, found `=`
         --> a.nos:1:6
          |
        1 | port = 80
          |      ^ expected a block's name
          |
          = help: put it into a block, or define a name with `let port = …`
    "#]],
    );
    wrong(
        "host edge {\n  services: []\n}\n",
        expect![[r#"
        error[E0106]: a `:` stands where `=` belongs
         --> a.nos:2:11
          |
        2 |   services: []
          |           ^
          |
        help: write `=`
          |
        2 -   services: []
        2 +   services = []
          |
    "#]],
    );
    wrong(
        "host edge {\n  services\n  network = dhcp\n}\n",
        expect![[r#"
            error[E0106]: expected `=`, found `network`
             --> a.nos:2:11
              |
            2 |   services
              |           ^ expected `=`
              |
              = help: an attribute is a name, `=` and a value: `restart = never`
        "#]],
    );
    wrong(
        "host edge {\n  services = []\n  disk { keep = 3 }\n}\n",
        expect![[r#"
            error[E0106]: an attribute needs `=` before its value
             --> a.nos:3:8
              |
            3 |   disk { keep = 3 }
              |        ^
              |
            help: put `=` before the `{`
              |
            3 |   disk = { keep = 3 }
              |        +
        "#]],
    );
    wrong(
        "host edge {\n  services = [\n  network = dhcp\n}\n",
        expect![[r#"
            error[E0107]: this `[` is never closed
             --> a.nos:2:14
              |
            2 |   services = [
              |              ^
            3 |   network = dhcp
              |   ------- `network` comes before `]`
              |
              = help: put `]` where it ends
        "#]],
    );
    wrong(
        "host edge {\n  services = []\n\nhost other {\n  services = []\n}\n",
        expect![[r#"
            error[E0107]: this `{` is never closed
             --> a.nos:1:11
              |
            1 | host edge {
              |           ^
            ...
            4 | host other {
              | ---- `host` comes before `}`
              |
              = help: put `}` where it ends
        "#]],
    );
    wrong(
        "host edge {\n  services = []\n}\n}\n",
        expect![[r#"
        error[E0108]: this `}` closes nothing
         --> a.nos:4:1
          |
        4 | }
          | ^
          |
          = help: take it out, or open the block or list that it should close
    "#]],
    );
    wrong(
        "host edge {\n  services = [1 2]\n}\n",
        expect![[r#"
            error[E0106]: expected `,` or `]`, found `2`
             --> a.nos:2:17
              |
            2 |   services = [1 2]
              |                 ^ expected `,` or `]`
              |
              = help: put a `,` or a new line between two values of a list
        "#]],
    );
    wrong(
        "host edge {\n  services = [] network = dhcp\n}\n",
        expect![[r#"
            error[E0106]: expected a new line, found `network`
             --> a.nos:2:17
              |
            2 |   services = [] network = dhcp
              |                 ^^^^^^^ expected a new line
              |
              = help: write each attribute on a line of its own, or put a `,` between two
        "#]],
    );
    wrong(
        "host edge {\n  services =\n    []\n}\n",
        expect![[r#"
            error[E0106]: expected a value, found `[`
             --> a.nos:2:13
              |
            2 |   services =
              |             ^ expected a value
              |
              = help: put the value behind the `=`, on the same line
        "#]],
    );
    wrong(
        "let a = f(1 2)\nlet b = (1\n",
        expect![[r#"
            error[E0106]: expected `,` or `)`, found `2`
             --> a.nos:1:13
              |
            1 | let a = f(1 2)
              |             ^ expected `,` or `)`
              |
              = help: put a `,` between two arguments

            error[E0106]: expected `)`, found the end of the file
             --> a.nos:2:11
              |
            2 | let b = (1
              |           ^ expected `)`
              |
              = help: close the parenthesis
        "#]],
    );
    wrong(
        "let a = 1 +\nlet b = 2\n",
        expect![[r#"
        error[E0106]: expected a value, found `let`
         --> a.nos:1:12
          |
        1 | let a = 1 +
          |            ^ expected a value
          |
          = help: values are texts "…", numbers 80, sizes 64MiB, times 10s, true, false, names, lists […] and records {…}
    "#]],
    );
    wrong(
        "let a = 1 < 2 < 3\n",
        expect![[r#"
        error[E0106]: expected the end of the comparison, found `<`
         --> a.nos:1:15
          |
        1 | let a = 1 < 2 < 3
          |               ^ expected the end of the comparison
          |
          = help: join two comparisons with `and`: `a < b and b < c`
    "#]],
    );
    wrong(
        "let a = if true { 1 }\n",
        expect![[r#"
        error[E0106]: expected `else`, found the end of the file
         --> a.nos:1:22
          |
        1 | let a = if true { 1 }
          |                      ^ expected `else`
          |
          = help: as a value it is `if condition { a } else { b }`, with one value in each
    "#]],
    );
    wrong(
        "for x { }\n",
        expect![[r#"
        error[E0106]: expected `in`, found `{`
         --> a.nos:1:7
          |
        1 | for x { }
          |       ^ expected `in`
          |
          = help: write `for x in list { … }`, or `for name, value in record { … }`
    "#]],
    );
    wrong(
        r#"use "shared.nos"
"#,
        expect![[r#"
            error[E0106]: expected the name of a file, found a text
             --> a.nos:1:5
              |
            1 | use "shared.nos"
              |     ^^^^^^^^^^^^ expected the name of a file
              |
              = help: name a file or a part of the standard library: `use std.kernel`, `use shared.web`
        "#]],
    );
    wrong(
        r#"let a = "${1 2}"
let b = "${1 # c}"
"#,
        expect![[r#"
            error[E0106]: expected `}`, found `2`
             --> a.nos:1:14
              |
            1 | let a = "${1 2}"
              |              ^ expected `}`
              |
              = help: one value stands between `${` and `}`

            error[E0106]: a comment cannot stand inside `${…}`
             --> a.nos:2:14
              |
            2 | let b = "${1 # c}"
              |              ^^^
              |
              = help: put the comment on a line of its own
        "#]],
    );
    wrong(
        "let a = [[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]\n",
        expect![[r#"
            error[E0109]: brackets lie more than 64 deep in each other here
             --> a.nos:1:41
              |
            1 | let a = [[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]...
              |                                         ^
              |
              = help: give the inner part a name with `let` and use that
        "#]],
    );
    wrong(
        "host a {} host b {}\n",
        expect![[r#"
            error[E0106]: expected a new line, found `host`
             --> a.nos:1:11
              |
            1 | host a {} host b {}
              |           ^^^^ expected a new line
              |
              = help: begin each block on a line of its own
        "#]],
    );
}

pub(crate) fn names() {
    wrong(
        &[SERVICE, "host edge {\n  services = [wbe]\n}\n"].concat(),
        expect![[r#"
            error[E0201]: nothing here is called `wbe`
             --> a.nos:6:15
              |
            6 |   services = [wbe]
              |               ^^^
              |
              = note: in host edge
            help: did you mean `web`?
              |
            6 -   services = [wbe]
            6 +   services = [web]
              |
        "#]],
    );
    wrong(
        &[
            SERVICE,
            "host edge {\n  kernel = kernel.stock\n  services = [web]\n}\n",
        ]
        .concat(),
        expect![[r#"
            error[E0201]: nothing here is called `kernel`
             --> a.nos:6:12
              |
            6 |   kernel = kernel.stock
              |            ^^^^^^
              |
              = note: in host edge
              = help: write `use std.kernel` at the top of the file
        "#]],
    );
    wrong(
        &[
            "use std.kernel\n",
            SERVICE,
            "host edge {\n  kernel = kernel.stok\n  services = [web]\n}\n",
        ]
        .concat(),
        expect![[r#"
            error[E0201]: `kernel` defines no `stok`
             --> a.nos:7:19
              |
            7 |   kernel = kernel.stok
              |                   ^^^^
              |
              = note: in host edge
            help: did you mean `stock`?
              |
            7 |   kernel = kernel.stock
              |                      +
        "#]],
    );
    wrong(
        "use std.kernels\n",
        expect![[r#"
            error[E0206]: the standard library has no part `kernels`
             --> a.nos:1:5
              |
            1 | use std.kernels
              |     ^^^^^^^^^^^
              |
              = help: did you mean `std.kernel`?
        "#]],
    );
    wrong(
        "use missing.file\n",
        expect![[r#"
            error[E0206]: the file missing/file.nos cannot be read: no such file
             --> a.nos:1:5
              |
            1 | use missing.file
              |     ^^^^^^^^^^^^
              |
              = help: write that file, or correct the name; `use a.b` reads a/b.nos
        "#]],
    );
    wrong(
        "use kernel\n",
        expect![[r#"
            error[E0206]: the file kernel.nos cannot be read: no such file
             --> a.nos:1:5
              |
            1 | use kernel
              |     ^^^^^^
              |
              = help: for the standard library's write `use std.kernel`
        "#]],
    );
    wrong(
        &["use broken\n", SERVICE, HOST].concat(),
        expect![[r#"
        error[E0107]: this `[` is never closed
         --> broken.nos:1:9
          |
        1 | let x = [1
          |         ^ - the file ends before `]`
          |
          = help: put `]` where it ends
    "#]],
    );
    wrong(
        &[SERVICE, SERVICE, HOST].concat(),
        expect![[r#"
        error[E0202]: `web` is defined a second time
         --> a.nos:5:9
          |
        1 | service web {
          |         --- the first definition
        ...
        5 | service web {
          |         ^^^
          |
          = help: give one of the two another name
    "#]],
    );
    wrong(
        "servce web {}\n",
        expect![[r#"
        error[E0203]: there are no `servce` blocks
         --> a.nos:1:1
          |
        1 | servce web {}
          | ^^^^^^
          |
        help: did you mean `service`?
          |
        1 | service web {}
          |     +
    "#]],
    );
    wrong(
        &["let dhcp = 1\n", SERVICE, HOST].concat(),
        expect![[r#"
            error[E0204]: `dhcp` is a word of the language
             --> a.nos:1:5
              |
            1 | let dhcp = 1
              |     ^^^^
              |
              = help: choose another name
        "#]],
    );
    wrong(
        "let if = 1\n",
        expect![[r#"
            error[E0204]: `if` is a word of the language and cannot be a name
             --> a.nos:1:5
              |
            1 | let if = 1
              |     ^^
              |
              = help: choose another name
        "#]],
    );
    wrong(
        "host Edge_1 {\n  services = []\n}\n",
        expect![[r#"
        error[E0208]: `Edge_1` cannot be the name of a block
         --> a.nos:1:6
          |
        1 | host Edge_1 {
          |      ^^^^^^
          |
          = help: use 1 to 32 of a-z, 0-9 and -, a letter first and no - last
    "#]],
    );
    wrong(
        &[
            SERVICE,
            "host edge {\n  services = [web]\n  kernel = web\n}\n",
        ]
        .concat(),
        expect![[r#"
            error[E0209]: `kernel` takes kernels, but `web` is a service
             --> a.nos:7:12
              |
            1 | service web {
              |         --- the service
            ...
            7 |   kernel = web
              |            ^^^
              |
              = note: in host edge
              = help: name a kernel block
        "#]],
    );
    wrong(
        &["let a = b\nlet b = a\n", "host edge {\n  services = a\n}\n"].concat(),
        expect![[r#"
            error[E0207]: `a` is made of itself
             --> a.nos:1:5
              |
            1 | let a = b
              |     ^
              |
              = help: take the name out of what it is made of, directly or by way of others
        "#]],
    );
    wrong(
        &[
            "service a like b\nservice b like a\n",
            "host edge {\n  services = [a, b]\n}\n",
        ]
        .concat(),
        expect![[r#"
            error[E0207]: `a` is made of itself
             --> a.nos:1:9
              |
            1 | service a like b
              |         ^
              |
              = note: in service a → service b
              = help: take the name out of what it is made of, directly or by way of others
        "#]],
    );
    wrong(
        &[
            SERVICE,
            r#"host edge {
  services = [service("wbe")]
}
"#,
        ]
        .concat(),
        expect![[r#"
            error[E0201]: there is no service `wbe` in this file
             --> a.nos:6:23
              |
            6 |   services = [service("wbe")]
              |                       ^^^^^
              |
              = note: in host edge
              = help: did you mean "web"?
        "#]],
    );
    wrong(
        &[SERVICE, "host edge {\n  services = [htpt(1)]\n}\n"].concat(),
        expect![[r#"
            error[E0205]: `htpt` cannot be called
             --> a.nos:6:15
              |
            6 |   services = [htpt(1)]
              |               ^^^^
              |
              = note: in host edge
            help: did you mean `http`?
              |
            6 -   services = [htpt(1)]
            6 +   services = [http(1)]
              |
        "#]],
    );
    wrong(
        &[SERVICE, "host edge {\n  services = [web(1)]\n}\n"].concat(),
        expect![[r#"
            error[E0205]: `web` cannot be called
             --> a.nos:6:15
              |
            6 |   services = [web(1)]
              |               ^^^
              |
              = note: in host edge
              = help: leave the parentheses out, or see `nos explain E0205` for what can be called
        "#]],
    );
    wrong(
        &[
            "let a = { b = 1 }\n",
            "host edge {\n  services = [a.c]\n}\n",
        ]
        .concat(),
        expect![[r#"
            error[E0201]: there is no `c` in this
             --> a.nos:3:17
              |
            1 | let a = { b = 1 }
              |         --------- defined here
            2 | host edge {
            3 |   services = [a.c]
              |                 ^
              |
              = note: in host edge
              = help: did you mean `b`?
        "#]],
    );
    wrong(
        &["let a = 1\n", "host edge {\n  services = [a.c]\n}\n"].concat(),
        expect![[r#"
            error[E0401]: a number has no parts
             --> a.nos:3:17
              |
            3 |   services = [a.c]
              |                 ^
              |
              = note: in host edge
              = help: take `.c` out; only records, blocks and files have named parts
        "#]],
    );
    wrong(
        &[
            "use std.kernel\n",
            "host edge {\n  services = []\n  kernel = kernel\n}\n",
        ]
        .concat(),
        expect![[r#"
            error[E0401]: `kernel` is a file, not a value
             --> a.nos:4:12
              |
            4 |   kernel = kernel
              |            ^^^^^^
              |
              = note: in host edge
              = help: name something in it: `kernel.…`
        "#]],
    );
}

pub(crate) fn attributes() {
    wrong(
        &[
            r#"service web {
  pakages = ["nginx"]
  run = ["/bin/a"]
}
"#,
            HOST,
        ]
        .concat(),
        expect![[r#"
            error[E0301]: service `web` has no attribute `pakages`
             --> a.nos:2:3
              |
            2 |   pakages = ["nginx"]
              |   ^^^^^^^
              |
              = note: in service web
            help: did you mean `packages`?
              |
            2 |   packages = ["nginx"]
              |     +
        "#]],
    );
    wrong(
        &[
            r#"service web {
  packages = ["nginx"]
  command = ["/bin/a"]
}
"#,
            HOST,
        ]
        .concat(),
        expect![[r#"
            error[E0301]: service `web` has no attribute `command`
             --> a.nos:3:3
              |
            3 |   command = ["/bin/a"]
              |   ^^^^^^^
              |
              = note: in service web
            help: did you mean `run`?
              |
            3 -   command = ["/bin/a"]
            3 +   run = ["/bin/a"]
              |
        "#]],
    );
    wrong(
        &[
            r#"service web {
  packages = ["nginx"]
  run = ["/bin/a"]
  kernel = 1
}
"#,
            HOST,
        ]
        .concat(),
        expect![[r#"
            error[E0301]: service `web` has no attribute `kernel`
             --> a.nos:4:3
              |
            4 |   kernel = 1
              |   ^^^^^^
              |
              = note: in service web
              = help: `kernel` belongs into a host block
        "#]],
    );
    wrong(
        &[
            r#"service web {
  packages = ["nginx"]
  run = ["/bin/a"]
  xyzzy = 1
}
"#,
            HOST,
        ]
        .concat(),
        expect![[r#"
            error[E0301]: service `web` has no attribute `xyzzy`
             --> a.nos:4:3
              |
            4 |   xyzzy = 1
              |   ^^^^^
              |
              = note: in service web
              = help: the attributes are packages, files, links, directories, keep, trim, image, run, env, workdir, user, capabilities, listen, health, state, restart, after
        "#]],
    );
    wrong(
        &[
            r#"service web {
  packages = ["nginx"]
}
"#,
            HOST,
        ]
        .concat(),
        expect![[r#"
            error[E0302]: service `web` has no `run`
             --> a.nos:1:9
              |
            1 | service web {
              |         ^^^
              |
              = note: in service web
              = help: add `run = ["/usr/sbin/nginx", "-g", "daemon off;"]`
        "#]],
    );
    wrong(
        "host edge {}\n",
        expect![[r#"
            error[E0302]: host `edge` has no `services`
             --> a.nos:1:6
              |
            1 | host edge {}
              |      ^^^^
              |
              = note: in host edge
              = help: add `services = [web]`
        "#]],
    );
    wrong(
        "host edge {\n  services = []\n  services = []\n}\n",
        expect![[r#"
            error[E0303]: the attribute `services` stands here a second time
             --> a.nos:3:3
              |
            2 |   services = []
              |   -------- the first time
            3 |   services = []
              |   ^^^^^^^^
              |
              = note: in host edge
              = help: take one of the two out
        "#]],
    );
    wrong(
        "host edge {\n  services += []\n}\n",
        expect![[r#"
        error[E0304]: there is no `services` to add to
         --> a.nos:2:3
          |
        2 |   services += []
          |   ^^^^^^^^
          |
          = note: in host edge
        help: write `=`
          |
        2 -   services += []
        2 +   services = []
          |
    "#]],
    );
    wrong(
        "host edge {\n  services = []\n  disk = { size = 1GiB }\n}\n",
        expect![[r#"
            error[E0301]: `disk` has no attribute `size`
             --> a.nos:3:12
              |
            3 |   disk = { size = 1GiB }
              |            ^^^^
              |
              = note: in host edge
              = help: the attributes are esp, state, spare, keep
        "#]],
    );
    wrong(
        r#"host edge {
  "services" = []
}
"#,
        expect![[r#"
            error[E0106]: the attributes of a block are plain words
             --> a.nos:2:3
              |
            2 |   "services" = []
              |   ^^^^^^^^^^
              |
              = note: in host edge
            help: take the quotes off: `services = …`
              |
            2 -   "services" = []
            2 +   services = []
              |
        "#]],
    );
    wrong(
        &[
            r#"service web {
  run = ["/bin/a"]
}
"#,
            HOST,
        ]
        .concat(),
        expect![[r#"
            error[E0508]: this service has nothing to run from
             --> a.nos:1:9
              |
            1 | service web {
              |         ^^^
              |
              = note: in service web
              = help: give it `packages`, `files` or an `image`
        "#]],
    );
    wrong(
        &[
            r#"image base {
  packages = ["a1"]
}
service web {
  image = base
  packages = ["b1"]
  run = ["/bin/a"]
}
"#,
            HOST,
        ]
        .concat(),
        expect![[r#"
            error[E0506]: `packages` stands beside `image`
             --> a.nos:6:3
              |
            5 |   image = base
              |   ----- the image is named here
            6 |   packages = ["b1"]
              |   ^^^^^^^^
              |
              = note: in service web
              = help: take `image` out, or move the content into the image block
        "#]],
    );
}

pub(crate) fn values() {
    wrong(
        &service(r#"packages = "nginx""#),
        expect![[r#"
        error[E0401]: `packages` takes a list of package names, not a text
         --> a.nos:3:14
          |
        3 |   packages = "nginx"
          |              ^^^^^^^
          |
          = note: in service web
        help: put it in brackets
          |
        3 -   packages = "nginx"
        3 +   packages = ["nginx"]
          |
    "#]],
    );
    wrong(
        &service(r#"run = "/bin/a""#),
        expect![[r#"
        error[E0401]: `run` takes a list of arguments, not a text
         --> a.nos:3:9
          |
        3 |   run = "/bin/a"
          |         ^^^^^^^^
          |
          = note: in service web
        help: put it in brackets
          |
        3 -   run = "/bin/a"
        3 +   run = ["/bin/a"]
          |
    "#]],
    );
    wrong(
        &service("run = []"),
        expect![[r#"
            error[E0409]: `run` is empty
             --> a.nos:3:9
              |
            3 |   run = []
              |         ^^
              |
              = note: in service web
              = help: an example: run = ["/usr/bin/app"]
        "#]],
    );
    wrong(
        &service(r#"run = ["nginx"]"#),
        expect![[r#"
        error[E0403]: the program "nginx" is not an absolute path
         --> a.nos:3:10
          |
        3 |   run = ["nginx"]
          |          ^^^^^^^
          |
          = note: in service web
          = help: name the program by its absolute path in the image, such as "/usr/bin/app"
    "#]],
    );
    wrong(
        &service(r#"run = ["/bin/a -f", 80]"#),
        expect![[r#"
        error[E0401]: `run` takes an argument, not a number
         --> a.nos:3:23
          |
        3 |   run = ["/bin/a -f", 80]
          |                       ^^
          |
          = note: in service web
        help: put it in quotes
          |
        3 -   run = ["/bin/a -f", 80]
        3 +   run = ["/bin/a -f", "80"]
          |
    "#]],
    );
    wrong(
        &service(r#"trim = "yes""#),
        expect![[r#"
        error[E0401]: `trim` takes `true` or `false`, not a text
         --> a.nos:4:10
          |
        4 |   trim = "yes"
          |          ^^^^^
          |
          = note: in service web
          = help: an example: true
    "#]],
    );
    wrong(
        &service(r#"restart = "never""#),
        expect![[r#"
        error[E0401]: `restart` takes `always`, `on-failure` or `never`, not a text
         --> a.nos:4:13
          |
        4 |   restart = "never"
          |             ^^^^^^^
          |
          = note: in service web
        help: leave out the quotes
          |
        4 -   restart = "never"
        4 +   restart = never
          |
    "#]],
    );
    wrong(
        &service("restart = dhcp"),
        expect![[r#"
        error[E0405]: `restart` cannot be `dhcp`
         --> a.nos:4:13
          |
        4 |   restart = dhcp
          |             ^^^^
          |
          = note: in service web
          = help: write `always`, `on-failure` or `never`
    "#]],
    );
    wrong(
        &service("user = 70000"),
        expect![[r#"
        error[E0402]: `user` is 70000, more than the most: 65533
         --> a.nos:4:10
          |
        4 |   user = 70000
          |          ^^^^^
          |
          = note: in service web
          = help: give something between 0 and 65533
    "#]],
    );
    wrong(
        &service(r#"user = "33""#),
        expect![[r#"
        error[E0401]: `user` takes a number, not a text
         --> a.nos:4:10
          |
        4 |   user = "33"
          |          ^^^^
          |
          = note: in service web
        help: leave out the quotes
          |
        4 -   user = "33"
        4 +   user = 33
          |
    "#]],
    );
    wrong(
        &service("listen = [80]"),
        expect![[r#"
        error[E0401]: `listen` takes `tcp(…)` or `udp(…)`, not a number
         --> a.nos:4:13
          |
        4 |   listen = [80]
          |             ^^
          |
          = note: in service web
          = help: say what it is: `tcp(80)` or `udp(80)`
    "#]],
    );
    wrong(
        &service("listen = [tcp(0)]"),
        expect![[r#"
        error[E0402]: `port` is 0, less than the least: 1
         --> a.nos:4:17
          |
        4 |   listen = [tcp(0)]
          |                 ^
          |
          = note: in service web
          = help: give something between 1 and 65535
    "#]],
    );
    wrong(
        &service("listen = [tcp()]"),
        expect![[r#"
            error[E0406]: `tcp` needs a number: `port`
             --> a.nos:4:13
              |
            4 |   listen = [tcp()]
              |             ^^^^^
              |
              = note: in service web
              = help: write `tcp(80)`
        "#]],
    );
    wrong(
        &service("listen = [tcp(80), tcp(80)]"),
        expect![[r#"
        error[E0408]: this stands in `listen` a second time
         --> a.nos:4:22
          |
        4 |   listen = [tcp(80), tcp(80)]
          |             -------  ^^^^^^^
          |             |
          |             the first time
          |
          = note: in service web
          = help: take one of the two out
    "#]],
    );
    wrong(
        &service("listen = [tcp(80, 90)]"),
        expect![[r#"
        error[E0406]: `tcp` takes no value here without its name
         --> a.nos:4:21
          |
        4 |   listen = [tcp(80, 90)]
          |                     ^^
          |
          = note: in service web
          = help: its arguments are port
    "#]],
    );
    wrong(
        &service("health = http(prt = 80)"),
        expect![[r#"
        error[E0406]: `http` has no argument `prt`
         --> a.nos:4:17
          |
        4 |   health = http(prt = 80)
          |                 ^^^
          |
          = note: in service web
        help: did you mean `port`?
          |
        4 |   health = http(port = 80)
          |                  +
    "#]],
    );
    wrong(
        &service("health = http(port = 80, within = 10)\n  listen = [tcp(80)]"),
        expect![[r#"
            error[E0401]: `within` takes a time, not a number
             --> a.nos:4:37
              |
            4 |   health = http(port = 80, within = 10)
              |                                     ^^
              |
              = note: in service web
            help: say what it counts: s, ms, min
              |
            4 |   health = http(port = 80, within = 10s)
              |                                       +
        "#]],
    );
    wrong(
        &service("health = http(port = 80, port = 81)"),
        expect![[r#"
            error[E0406]: the argument `port` is given twice
             --> a.nos:4:28
              |
            4 |   health = http(port = 80, port = 81)
              |                            ^^^^
              |
              = note: in service web
              = help: take one of the two out
        "#]],
    );
    wrong(
        &service(
            r#"health = http(port = 80, path = "health")
  listen = [tcp(80)]"#,
        ),
        expect![[r#"
            error[E0407]: "health" is not a request path
             --> a.nos:4:35
              |
            4 |   health = http(port = 80, path = "health")
              |                                   ^^^^^^^^
              |
              = note: in service web
            help: begin it with `/`
              |
            4 |   health = http(port = 80, path = "/health")
              |                                    +
        "#]],
    );
    wrong(
        &service(r#"health = exec(["check"])"#),
        expect![[r#"
        error[E0403]: the program "check" is not an absolute path
         --> a.nos:4:18
          |
        4 |   health = exec(["check"])
          |                  ^^^^^^^
          |
          = note: in service web
          = help: name the program by its absolute path in the image, such as "/usr/bin/app"
    "#]],
    );
    wrong(
        &service(r#"files = { "etc/a" = text("x") }"#),
        expect![[r#"
            error[E0403]: "etc/a" is not an absolute path
             --> a.nos:4:13
              |
            4 |   files = { "etc/a" = text("x") }
              |             ^^^^^^^
              |
              = note: in service web
            help: begin it with `/`
              |
            4 |   files = { "/etc/a" = text("x") }
              |              +
        "#]],
    );
    wrong(
        &service(r#"files = { "/etc/../a" = text("x") }"#),
        expect![[r#"
            error[E0403]: "/etc/../a" holds `.` or `..`
             --> a.nos:4:13
              |
            4 |   files = { "/etc/../a" = text("x") }
              |             ^^^^^^^^^^^
              |
              = note: in service web
              = help: write the path without them
        "#]],
    );
    wrong(
        &service(r#"files = { "/etc/a" = file("../a") }"#),
        expect![[r#"
            error[E0404]: "../a" leads out of the spec's folder
             --> a.nos:4:29
              |
            4 |   files = { "/etc/a" = file("../a") }
              |                             ^^^^^^
              |
              = note: in service web
              = help: copy it into the folder and name it without `..`
        "#]],
    );
    wrong(
        &service(r#"files = { "/etc/a" = file("/etc/a") }"#),
        expect![[r#"
            error[E0404]: "/etc/a" is not below the spec's folder
             --> a.nos:4:29
              |
            4 |   files = { "/etc/a" = file("/etc/a") }
              |                             ^^^^^^^^
              |
              = note: in service web
              = help: copy it beside the spec and name it by a relative path
        "#]],
    );
    wrong(
        &service(r#"files = { "/etc/a" = "a" }"#),
        expect![[r#"
        error[E0401]: `files` takes `file(…)`, `folder(…)` or `text(…)`, not a text
         --> a.nos:4:24
          |
        4 |   files = { "/etc/a" = "a" }
          |                        ^^^
          |
          = note: in service web
          = help: say what it is: `file("a")`, `folder("a")` or `text("a")`
    "#]],
    );
    wrong(
        &service(r#"files = ["a"]"#),
        expect![[r#"
        error[E0401]: `files` takes a record of an absolute path = `file(…)`, `folder(…)` or `text(…)`, not a list
         --> a.nos:4:11
          |
        4 |   files = ["a"]
          |           ^^^^^
          |
          = note: in service web
          = help: write it in braces: files = { "/srv/www" = file("site") }
    "#]],
    );
    wrong(
        &service(r#"files = { "/etc/a" = file("a", mode = 755) }"#),
        expect![[r#"
            error[E0401]: `mode` takes a file mode, not a number
             --> a.nos:4:41
              |
            4 |   files = { "/etc/a" = file("a", mode = 755) }
              |                                         ^^^
              |
              = note: in service web
            help: put it in quotes
              |
            4 -   files = { "/etc/a" = file("a", mode = 755) }
            4 +   files = { "/etc/a" = file("a", mode = "755") }
              |
        "#]],
    );
    wrong(
        &service(r#"files = { "/etc/a" = file("a", mode = "4755") }"#),
        expect![[r#"
            error[E0407]: "4755" sets the user or group on execution
             --> a.nos:4:41
              |
            4 |   files = { "/etc/a" = file("a", mode = "4755") }
              |                                         ^^^^^^
              |
              = note: in service web
              = help: services run with no_new_privs, where such bits do nothing; write "0755"
        "#]],
    );
    wrong(
        &service(r#"files = { "/a" = text("x"), "/a/b" = text("y") }"#),
        expect![[r#"
            error[E0510]: `/a/b`, a file, lies below a file
             --> a.nos:4:31
              |
            4 |   files = { "/a" = text("x"), "/a/b" = text("y") }
              |             ----              ^^^^^^
              |             |
              |             `/a` is a file
              |
              = note: in service web
              = help: give one of the two another path
        "#]],
    );
    wrong(
        &service(
            r#"files = { "/a" = text("x") }
  links = { "/a" = "b" }"#,
        ),
        expect![[r#"
            error[E0510]: `/a` is a link here and a file elsewhere
             --> a.nos:5:13
              |
            4 |   files = { "/a" = text("x") }
              |             ---- a file here
            5 |   links = { "/a" = "b" }
              |             ^^^^
              |
              = note: in service web
              = help: take one of the two out, or give it another path
        "#]],
    );
    wrong(
        &service(r#"packages = ["Nginx", "nginx=1.2", "n"]"#),
        expect![[r#"
            error[E0407]: "Nginx" is not a package name
             --> a.nos:3:15
              |
            3 |   packages = ["Nginx", "nginx=1.2", "n"]
              |               ^^^^^^^
              |
              = note: in service web
            help: package names are lower-case
              |
            3 -   packages = ["Nginx", "nginx=1.2", "n"]
            3 +   packages = ["nginx", "nginx=1.2", "n"]
              |

            error[E0407]: "nginx=1.2" is not a package name
             --> a.nos:3:24
              |
            3 |   packages = ["Nginx", "nginx=1.2", "n"]
              |                        ^^^^^^^^^^^
              |
              = note: in service web
              = help: give the name alone; `nos lock` pins versions, and hosts have one architecture

            error[E0407]: "n" is not a package name
             --> a.nos:3:37
              |
            3 |   packages = ["Nginx", "nginx=1.2", "n"]
              |                                     ^^^
              |
              = note: in service web
              = help: an example: "nginx"
        "#]],
    );
    wrong(
        &service(r#"packages = ["nginx", "nginx"]"#),
        expect![[r#"
            error[E0408]: this stands in `packages` a second time
             --> a.nos:3:24
              |
            3 |   packages = ["nginx", "nginx"]
              |               -------  ^^^^^^^
              |               |
              |               the first time
              |
              = note: in service web
              = help: take one of the two out
        "#]],
    );
    wrong(
        &service(r#"capabilities = ["net_raw", "CAP_FLY"]"#),
        expect![[r#"
            error[E0407]: "net_raw" is not a capability
             --> a.nos:4:19
              |
            4 |   capabilities = ["net_raw", "CAP_FLY"]
              |                   ^^^^^^^^^
              |
              = note: in service web
            help: did you mean "CAP_NET_RAW"?
              |
            4 -   capabilities = ["net_raw", "CAP_FLY"]
            4 +   capabilities = ["CAP_NET_RAW", "CAP_FLY"]
              |

            error[E0407]: "CAP_FLY" is not a capability
             --> a.nos:4:30
              |
            4 |   capabilities = ["net_raw", "CAP_FLY"]
              |                              ^^^^^^^^^
              |
              = note: in service web
              = help: capabilities(7) lists them; an example: "CAP_NET_RAW"
        "#]],
    );
    wrong(
        &service(r#"env = { "1A" = "x", B = 1 }"#),
        expect![[r#"
        error[E0407]: "1A" is not a variable's name
         --> a.nos:4:11
          |
        4 |   env = { "1A" = "x", B = 1 }
          |           ^^^^
          |
          = note: in service web
          = help: an example: "LANG"

        error[E0401]: `env` takes a text, not a number
         --> a.nos:4:27
          |
        4 |   env = { "1A" = "x", B = 1 }
          |                           ^
          |
          = note: in service web
        help: put it in quotes
          |
        4 -   env = { "1A" = "x", B = 1 }
        4 +   env = { "1A" = "x", B = "1" }
          |
    "#]],
    );
    wrong(
        &service(r#"state = ["data", "/"]"#),
        expect![[r#"
        error[E0403]: "data" is not an absolute path
         --> a.nos:4:12
          |
        4 |   state = ["data", "/"]
          |            ^^^^^^
          |
          = note: in service web
        help: begin it with `/`
          |
        4 |   state = ["/data", "/"]
          |             +

        error[E0403]: "/" is the root itself
         --> a.nos:4:20
          |
        4 |   state = ["data", "/"]
          |                    ^^^
          |
          = note: in service web
          = help: name something below it
    "#]],
    );
    wrong(
        &service(r#"after = ["web"]"#),
        expect![[r#"
        error[E0401]: `after` takes a service, not a text
         --> a.nos:4:12
          |
        4 |   after = ["web"]
          |            ^^^^^
          |
          = note: in service web
        help: leave out the quotes
          |
        4 -   after = ["web"]
        4 +   after = [web]
          |
    "#]],
    );
    wrong(
        &service(r#"env = { A = "${[1]}" }"#),
        expect![[r#"
        error[E0412]: a list cannot be put into a text
         --> a.nos:4:18
          |
        4 |   env = { A = "${[1]}" }
          |                  ^^^
          |
          = note: in service web
          = help: put texts, numbers, sizes, times, true, false or blocks into texts
    "#]],
    );
    wrong(
        &host(r#"network = static(address = ["192.0.2.1"])"#),
        expect![[r#"
            error[E0406]: `static` has no argument `address`
             --> a.nos:3:20
              |
            3 |   network = static(address = ["192.0.2.1"])
              |                    ^^^^^^^
              |
              = note: in host edge
            help: did you mean `addresses`?
              |
            3 |   network = static(addresses = ["192.0.2.1"])
              |                           ++

            error[E0407]: "192.0.2.1" has no prefix length
             --> a.nos:3:31
              |
            3 |   network = static(address = ["192.0.2.1"])
              |                               ^^^^^^^^^^^
              |
              = note: in host edge
            help: say how many bits name the network
              |
            3 |   network = static(address = ["192.0.2.1/24"])
              |                                         +++
        "#]],
    );
    wrong(
        &host(
            r#"network = static(addresses = ["192.0.2.1", "192.0.2.1/33", "host"], gateways = "192.0.2.1")"#,
        ),
        expect![[r#"
            error[E0407]: "192.0.2.1" has no prefix length
             --> a.nos:3:33
              |
            3 |   network = static(addresses = ["192.0.2.1", "192.0.2.1/33", "host"], gateways = "192.0.2.1")
              |                                 ^^^^^^^^^^^
              |
              = note: in host edge
            help: say how many bits name the network
              |
            3 |   network = static(addresses = ["192.0.2.1/24", "192.0.2.1/33", "host"], gateways = "192.0.2.1")
              |                                           +++

            error[E0407]: "192.0.2.1/33" has a wrong prefix length
             --> a.nos:3:46
              |
            3 |   network = static(addresses = ["192.0.2.1", "192.0.2.1/33", "host"], gateways = "192.0.2.1")
              |                                              ^^^^^^^^^^^^^^
              |
              = note: in host edge
              = help: it is a number from 0 to 32

            error[E0407]: "host" is not an address with its prefix
             --> a.nos:3:62
              |
            3 |   network = static(addresses = ["192.0.2.1", "192.0.2.1/33", "host"], gateways = "192.0.2.1")
              |                                                              ^^^^^^
              |
              = note: in host edge
              = help: an example: "192.0.2.7/24"

            error[E0401]: `gateways` takes a list of IP addresses, not a text
             --> a.nos:3:82
              |
            3 |   network = static(addresses = ["192.0.2.1", "192.0.2.1/33", "host"], gateways = "192.0.2.1")
              |                                                                                  ^^^^^^^^^^^
              |
              = note: in host edge
            help: put it in brackets
              |
            3 -   network = static(addresses = ["192.0.2.1", "192.0.2.1/33", "host"], gateways = "192.0.2.1")
            3 +   network = static(addresses = ["192.0.2.1", "192.0.2.1/33", "host"], gateways = ["192.0.2.1"])
              |
        "#]],
    );
    wrong(
        &host(r#"network = "dhcp""#),
        expect![[r#"
        error[E0401]: `network` takes `none`, `dhcp`, `dhcp(…)` or `static(…)`, not a text
         --> a.nos:3:13
          |
        3 |   network = "dhcp"
          |             ^^^^^^
          |
          = note: in host edge
        help: leave out the quotes
          |
        3 -   network = "dhcp"
        3 +   network = dhcp
          |
    "#]],
    );
    wrong(
        &host("network = tcp(80)"),
        expect![[r#"
        error[E0401]: `network` takes `none`, `dhcp`, `dhcp(…)` or `static(…)`, not `tcp(…)`
         --> a.nos:3:13
          |
        3 |   network = tcp(80)
          |             ^^^^^^^
          |
          = note: in host edge
          = help: an example: dhcp
    "#]],
    );
    wrong(
        &host("network = dhcpp"),
        expect![[r#"
        error[E0201]: nothing here is called `dhcpp`
         --> a.nos:3:13
          |
        3 |   network = dhcpp
          |             ^^^^^
          |
          = note: in host edge
        help: did you mean `dhcp`?
          |
        3 -   network = dhcpp
        3 +   network = dhcp
          |
    "#]],
    );
    wrong(
        &host("disk = { esp = 64 }"),
        expect![[r#"
        error[E0401]: `esp` takes a size, not a number
         --> a.nos:3:18
          |
        3 |   disk = { esp = 64 }
          |                  ^^
          |
          = note: in host edge
        help: say what it counts: MiB, GiB
          |
        3 |   disk = { esp = 64MiB }
          |                    +++
    "#]],
    );
    wrong(
        &host("disk = { state = 1MiB, keep = 1 }"),
        expect![[r#"
        error[E0402]: `state` is 1MiB, less than the least: 16MiB
         --> a.nos:3:20
          |
        3 |   disk = { state = 1MiB, keep = 1 }
          |                    ^^^^
          |
          = note: in host edge
          = help: give something between 16MiB and 64TiB

        error[E0402]: `keep` is 1, less than the least: 2
         --> a.nos:3:33
          |
        3 |   disk = { state = 1MiB, keep = 1 }
          |                                 ^
          |
          = note: in host edge
          = help: give something between 2 and 1000
    "#]],
    );
    wrong(
        &host("machine = { memory = 10s }"),
        expect![[r#"
        error[E0401]: `memory` takes a size, not a time
         --> a.nos:3:24
          |
        3 |   machine = { memory = 10s }
          |                        ^^^
          |
          = note: in host edge
          = help: an example: 64MiB
    "#]],
    );
    wrong(
        &host(r#"debian = { suite = "stable", mirror = "mirror.example" }"#),
        expect![[r#"
            error[E0407]: "stable" means another release every few years
             --> a.nos:3:22
              |
            3 |   debian = { suite = "stable", mirror = "mirror.example" }
              |                      ^^^^^^^^
              |
              = note: in host edge
              = help: give the code name, such as "trixie"

            error[E0407]: "mirror.example" is not a web address
             --> a.nos:3:41
              |
            3 |   debian = { suite = "stable", mirror = "mirror.example" }
              |                                         ^^^^^^^^^^^^^^^^
              |
              = note: in host edge
              = help: an example: "https://mirror.example/debian"
        "#]],
    );
    wrong(
        &[
            r#"let a = 1 + "a"
let b = -"a"
let c = 1 < "a"
let d = 9223372036854775807 + 1
let e = not 1
let f = 1 == 1s
let g = 1 in 2
"#,
            SERVICE,
            HOST,
        ]
        .concat(),
        expect![[r#"
            error[E0410]: `+` does not join a number and a text
             --> a.nos:1:9
              |
            1 | let a = 1 + "a"
              |         -^^^---
              |         |   |
              |         |   a text
              |         a number
              |
              = help: join two of one type; a number is put into a text by `${…}`

            error[E0410]: `-` stands before numbers, not before a text
             --> a.nos:2:9
              |
            2 | let b = -"a"
              |         ^^^^
              |
              = help: take the `-` out

            error[E0410]: `<` does not join a number and a text
             --> a.nos:3:9
              |
            3 | let c = 1 < "a"
              |         -^^^---
              |         |   |
              |         |   a text
              |         a number
              |
              = help: give it two numbers, two sizes or two times

            error[E0413]: the result is larger than any number
             --> a.nos:4:9
              |
            4 | let d = 9223372036854775807 + 1
              |         ^^^^^^^^^^^^^^^^^^^^^^^
              |
              = help: numbers lie between -9223372036854775808 and 9223372036854775807

            error[E0401]: a condition is true or false, not a number
             --> a.nos:5:13
              |
            5 | let e = not 1
              |             ^
              |
              = help: compare it with something: `x == "a"`, `n > 1`

            error[E0410]: `==` does not join a number and a time
             --> a.nos:6:9
              |
            6 | let f = 1 == 1s
              |         -^^^^--
              |         |    |
              |         |    a time
              |         a number
              |
              = help: compare two values of one type

            error[E0410]: `in` does not join a number and a number
             --> a.nos:7:9
              |
            7 | let g = 1 in 2
              |         -^^^^-
              |         |    |
              |         |    a number
              |         a number
              |
              = help: `in` looks for a value in a list, or for a name in a record
        "#]],
    );
    wrong(
        &[
            r#"let a = range(1, 99999999)
let b = range("a")
"#,
            SERVICE,
            HOST,
        ]
        .concat(),
        expect![[r#"
            error[E0411]: this range has more than 10000 numbers
             --> a.nos:1:9
              |
            1 | let a = range(1, 99999999)
              |         ^^^^^^^^^^^^^^^^^^
              |
              = help: take a shorter one

            error[E0406]: `range` takes two numbers: the first and the last
             --> a.nos:2:9
              |
            2 | let b = range("a")
              |         ^^^^^^^^^^
              |
              = help: write `range(1, 10)`
        "#]],
    );
    wrong(
        r#"use std.kernel
kernel k like kernel.stock {
  modules = ["nvme.ko.xz"]
  cmdline = ["a b"]
}
host edge {
  kernel = k
  services = []
}
"#,
        expect![[r#"
            error[E0407]: "nvme.ko.xz" is a module's file, not its name
             --> a.nos:3:14
              |
            3 |   modules = ["nvme.ko.xz"]
              |              ^^^^^^^^^^^^
              |
              = note: in kernel k
            help: leave the ending out
              |
            3 -   modules = ["nvme.ko.xz"]
            3 +   modules = ["nvme"]
              |

            error[E0407]: "a b" holds white space
             --> a.nos:4:14
              |
            4 |   cmdline = ["a b"]
              |              ^^^^^
              |
              = note: in kernel k
              = help: make each word of the command line an element of its own
        "#]],
    );
}

pub(crate) fn hosts() {
    wrong(
        &[
            "use other\n",
            SERVICE,
            "host edge {\n  services = [web, other.web]\n}\n",
        ]
        .concat(),
        expect![[r#"
            error[E0509]: two services of this host are called `web`
             --> a.nos:7:20
              |
            7 |   services = [web, other.web]
              |               ---  ^^^^^^^^^
              |               |
              |               the other one
              |
              = note: in host edge
              = help: give one of the two another name where it is defined
        "#]],
    );
    wrong(
        r#"service a {
  packages = ["nginx"]
  run = ["/bin/a"]
  listen = [tcp(80)]
}
service b like a
host edge {
  services = [a, b]
}
"#,
        expect![[r#"
            error[E0501]: the services `a` and `b` both listen on TCP port 80
             --> a.nos:8:18
              |
            8 |   services = [a, b]
              |               -  ^ `b` listens here
              |               |
              |               `a` listens here
              |
              = note: in host edge
              = help: give one of the two another port, or run them on two hosts
        "#]],
    );
    wrong(
        r#"service a {
  packages = ["nginx"]
  run = ["/bin/a"]
  state = ["/data"]
}
host edge {
  services = [a]
}
"#,
        expect![[r#"
            error[E0502]: the service `a` keeps state, but this host has no place for it
             --> a.nos:6:6
              |
            4 |   state = ["/data"]
              |           --------- kept here
            5 | }
            6 | host edge {
              |      ^^^^
              |
              = note: in host edge
              = help: say how large it is: `disk = { state = 256MiB }`
        "#]],
    );
    wrong(
        "host edge {\n  services = []\n  disk = { keep = 20 }\n}\n",
        expect![[r#"
            error[E0503]: an EFI system partition of 64MiB cannot hold 20 generations
             --> a.nos:3:12
              |
            3 |   disk = { keep = 20 }
              |            ^^^^^^^^^
              |
              = note: in host edge
              = help: write `esp = 242MiB`, or `keep = 5`
        "#]],
    );
    wrong(
        r#"service a {
  packages = ["nginx"]
  run = ["/bin/a"]
  after = [b]
}
service b like a {
  after = [c]
}
service c like a {
  after = [a]
}
host edge {
  services = [a, b, c]
}
"#,
        expect![[r#"
            error[E0504]: services wait for each other: a → b → c → a
              --> a.nos:4:12
               |
             4 |   after = [b]
               |            ^
            ...
             7 |   after = [c]
               |            -
            ...
            10 |   after = [a]
               |            -
               |
               = note: in host edge
               = help: take one of them out of the `after` of the next
        "#]],
    );
    wrong(
        r#"service a {
  packages = ["nginx"]
  run = ["/bin/a"]
  user = 33
}
service b like a
host edge {
  services = [a, b]
}
"#,
        expect![[r#"
            error[E0505]: the services `a` and `b` both run as user 33
             --> a.nos:4:10
              |
            4 |   user = 33
              |          ^^
              |          |
              |          `a` runs as it here
              |
              = note: in host edge
              = help: leave `user` out, and each gets one of its own
        "#]],
    );
    wrong(
        r#"service a {
  packages = ["nginx"]
  run = ["/bin/a"]
  after = [b]
}
service b like a {
  after = []
}
host edge {
  services = [a]
}
"#,
        expect![[r#"
            error[E0507]: `a` waits for `b`, which this host does not run
              --> a.nos:4:12
               |
             4 |   after = [b]
               |            ^
            ...
            10 |   services = [a]
               |               - the host runs `a`
               |
               = note: in host edge
               = help: add `b` to the host's services, or take it out of `after`
        "#]],
    );
    wrong(
        r#"use shared.base
image web like base.base
service a {
  image = web
  run = ["/bin/a"]
}
service b {
  image = base.base
  run = ["/bin/b"]
}
service base2 like b
host edge {
  services = [a, b, base2]
  machine = { forward = [tcp(80, to = 8080)] }
}
"#,
        expect![[r#"
            error[E0511]: no service of this host listens on TCP port 80
              --> a.nos:14:26
               |
            14 |   machine = { forward = [tcp(80, to = 8080)] }
               |                          ^^^^^^^^^^^^^^^^^^
               |
               = note: in host edge
               = help: add the port to a service's `listen`
        "#]],
    );
    wrong(
        r#"use shared.base
service base-x {
  image = base.base
  run = ["/bin/a"]
}
image base2 like base.base
host edge {
  services = [base-x]
}
"#,
        expect![[r#"
            warning[W0601]: nothing uses the image `base2`
             --> a.nos:6:7
              |
            6 | image base2 like base.base
              |       ^^^^^
              |
              = help: use it or take it out
        "#]],
    );
    wrong(
        &[SERVICE, "host edge {\n  services = []\n}\n"].concat(),
        expect![[r#"
            warning[W0602]: no host runs the service `web`
             --> a.nos:1:9
              |
            1 | service web {
              |         ^^^
              |
              = help: add it to a host: `services = [web]`, or take it out
        "#]],
    );
    wrong(
        &["use std.kernel\nlet unused = 1\n", SERVICE, HOST].concat(),
        expect![[r#"
            warning[W0601]: nothing uses the file `kernel`
             --> a.nos:1:9
              |
            1 | use std.kernel
              |         ^^^^^^
              |
              = help: use it or take it out

            warning[W0601]: nothing uses the name `unused`
             --> a.nos:2:5
              |
            2 | let unused = 1
              |     ^^^^^^
              |
              = help: use it or take it out
        "#]],
    );
    wrong(
        &service("health = http(port = 8080)\n  listen = [tcp(80)]"),
        expect![[r#"
            warning[W0603]: the service does not listen on port 8080
             --> a.nos:4:24
              |
            4 |   health = http(port = 8080)
              |                        ^^^^
              |
              = note: in service web
              = help: it listens on 80
        "#]],
    );
    wrong(
        SERVICE,
        expect![[r#"
        warning[W0604]: this spec has no host
         --> a.nos:1:1
          |
        1 | service web {
          | ^
          |
          = help: add one: `host web { services = [] }`
    "#]],
    );
    wrong(
        "",
        expect![[r#"
            warning[W0604]: this spec has no host
             --> a.nos:1:1
              |
            1 |
              | ^
              |
              = help: write one: `host web { services = [] }`
        "#]],
    );
    wrong(
        r#"use shared.base
image base2 {
  packages = ["nginx"]
}
service one {
  image = base2
  run = ["/bin/a"]
}
service base2x like one {
  image = base.base
}
service base like one
host edge {
  services = [one, base, base2x]
}
"#,
        expect![[r#"
            error[E0202]: `base` is defined a second time
              --> a.nos:12:9
               |
             1 | use shared.base
               |            ---- the first definition
            ...
            12 | service base like one
               |         ^^^^
               |
               = help: give one of the two another name
        "#]],
    );
}

pub(crate) fn templates() {
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
              = help: call it: `like page()`
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
              = help: the types are text, number, size, time, bool, list, record, service, image, kernel, host
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

/// Specs whose first message with a fix is gone once the fix is made.
pub(crate) const FIXABLE: &[&str] = &[
    "let a = 64MB\nhost a {\n  services = []\n}\n",
    "host a {\n  services: []\n}\n",
    "host a {\n  services = []\n  disk { keep = 3 }\n}\n",
    "hots a {\n  services = []\n}\n",
    "host a {\n  sevices = []\n}\n",
    "host a {\n  services += []\n}\n",
    "host a {\n  \"services\" = []\n}\n",
    "host a {\n  services = []\n  network = \"dhcp\"\n}\n",
    "host a {\n  services = []\n  network = dcp\n}\n",
    "host a {\n  services = []\n  disk = { keep = \"3\" }\n}\n",
    "host a {\n  services = []\n  disk = { esp = 64 }\n}\n",
    "image i {\n  packages = \"nginx\"\n}\nservice s {\n  image = i\n  run = [\"/a\"]\n}\nhost a {\n  services = [s]\n}\n",
    "image i {\n  packages = [\"Nginx\"]\n}\nservice s {\n  image = i\n  run = [\"/a\"]\n}\nhost a {\n  services = [s]\n}\n",
    "use std.kernel\nhost a {\n  kernel = kernel.stokc\n  services = []\n}\n",
    "host a {\n  services = []\n  network = static(address = [\"192.0.2.1/24\"])\n}\n",
];
