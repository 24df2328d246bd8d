//! Wrong specs: what cannot be read.

use crate::wrong;
use expect_test::expect;

pub(crate) fn cases() {
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
    // A page, a program, a configuration of something else: one message each.
    wrong(
        "<!doctype html>\n<html>\n<head><title>It's here</title></head>\n<body class='a'>\n<p>Hello &amp; welcome; all.</p>\n</body>\n</html>\n",
        expect![[r#"
            error[E0111]: a.nos is not a spec
             --> a.nos:1:2
              |
            1 | <!doctype html>
              |  ^
              |
              = help: name a file with blocks such as `host web { services = [] }`; `nos init FOLDER` writes a first one
        "#]],
    );
    wrong(
        "{ pkgs, ... }:\n{\n  services.nginx.enable = true;\n  users.users.root.shell = pkgs.zsh;\n  time.timeZone = \"UTC\";\n  networking.useDHCP = true;\n}\n",
        expect![[r#"
            error[E0111]: a.nos is not a spec
             --> a.nos:1:1
              |
            1 | { pkgs, ... }:
              | ^
              |
              = help: name a file with blocks such as `host web { services = [] }`; `nos init FOLDER` writes a first one
        "#]],
    );
    wrong(
        &"\u{1}\u{2}\u{fffd}\n\0ELF;'\n".repeat(100),
        expect![[r#"
        error[E0111]: a.nos is not a spec
         --> a.nos:1:1
          |
        1 | ␁␂�
          | ^^^
          |
          = help: name a file with blocks such as `host web { services = [] }`; `nos init FOLDER` writes a first one
    "#]],
    );
}
