//! Wrong specs: names and references.

use crate::{HOST, SERVICE, wrong};
use expect_test::expect;

pub(crate) fn cases() {
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
