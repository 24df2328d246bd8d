//! Wrong specs: services and hosts as a whole.

use super::service;
use crate::{HOST, SERVICE, wrong};
use expect_test::expect;

pub(crate) fn cases() {
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
  terminal = "/dev/ttyS0"
}
service b like a
host edge {
  services = [a, b]
}
"#,
        expect![[r#"
            error[E0515]: the services `a` and `b` both have the terminal /dev/ttyS0
             --> a.nos:8:18
              |
            8 |   services = [a, b]
              |               -  ^
              |               |
              |               `a` has it here
              |
              = note: in host edge
              = help: give one of the two another terminal, or run them on two hosts
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
              = help: write `esp = 250MiB`, or `keep = 5`
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
              = help: ask a port that it listens on (80), or add `tcp(8080)` to `listen`
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
    wrong(
        "use std.kernel\nhost edge {\n  kernel = kernel.generic\n  services = []\n  disk = { esp = 64MiB }\n}\n",
        expect![[r#"
            error[E0503]: an EFI system partition of 64MiB cannot hold 5 generations
             --> a.nos:5:12
              |
            5 |   disk = { esp = 64MiB }
              |            ^^^^^^^^^^^
              |
              = note: in host edge
              = help: write `esp = 82MiB`, or `keep = 3`
        "#]],
    );
    wrong(
        "kernel k {\n  package = \"linux-image-amd64\"\n  platform = qemu\n  modules = [\"nvme\"]\n}\n\
         host a {\n  kernel = k\n  services = []\n}\n",
        expect![[r#"
            error[E0520]: `package` is for kernels that Debian has built
             --> a.nos:2:3
              |
            2 |   package = "linux-image-amd64"
              |   ^^^^^^^
            3 |   platform = qemu
              |   -------- this builds a kernel from source
              |
              = note: in host a
              = help: take it out, or take out `platform` and with it `source` and `options`

            error[E0520]: `modules` is for kernels that Debian has built
             --> a.nos:4:3
              |
            3 |   platform = qemu
              |   -------- this builds a kernel from source
            4 |   modules = ["nvme"]
              |   ^^^^^^^
              |
              = note: in host a
              = help: take it out, or take out `platform` and with it `source` and `options`
        "#]],
    );
    wrong(
        "kernel k {\n  options = { CONFIG_TUN = \"y\" }\n}\nhost a {\n  kernel = k\n  services = []\n}\n",
        expect![[r#"
            error[E0520]: `options` is for kernels with a `platform`
             --> a.nos:2:3
              |
            2 |   options = { CONFIG_TUN = "y" }
              |   ^^^^^^^
              |
              = note: in host a
              = help: say what the kernel runs on: `platform = qemu`
        "#]],
    );
    wrong(
        "kernel k {\n  platform = kvm\n  options = { TUN = \"y\", CONFIG_VETH = \"m\", CONFIG_A = true, \
         \"CONFIG_B C\" = \"y\", CONFIG_D = \"\" }\n}\nhost a {\n  kernel = k\n  services = []\n}\n",
        expect![[r#"
            error[E0201]: nothing here is called `kvm`
             --> a.nos:2:14
              |
            2 |   platform = kvm
              |              ^^^
              |
              = note: in kernel k
              = help: define it by a block or `let`; a text stands in quotes: "…"

            error[E0407]: "TUN" is not a kernel option
             --> a.nos:3:15
              |
            3 |   options = { TUN = "y", CONFIG_VETH = "m", CONFIG_A = true, "CONFIG_B C" = "y", CONFIG_D = "" }
              |               ^^^
              |
              = note: in kernel k
            help: their names begin with `CONFIG_`
              |
            3 |   options = { CONFIG_TUN = "y", CONFIG_VETH = "m", CONFIG_A = true, "CONFIG_B C" = "y", CONFIG_D = "" }
              |               +++++++

            error[E0407]: "m" would make a module
             --> a.nos:3:40
              |
            3 |   options = { TUN = "y", CONFIG_VETH = "m", CONFIG_A = true, "CONFIG_B C" = "y", CONFIG_D = "" }
              |                                        ^^^
              |
              = note: in kernel k
            help: a kernel of its own has no modules: write "y" to build it in
              |
            3 -   options = { TUN = "y", CONFIG_VETH = "m", CONFIG_A = true, "CONFIG_B C" = "y", CONFIG_D = "" }
            3 +   options = { TUN = "y", CONFIG_VETH = "y", CONFIG_A = true, "CONFIG_B C" = "y", CONFIG_D = "" }
              |

            error[E0401]: `options` takes the value of a kernel option, not `true`
             --> a.nos:3:56
              |
            3 |   options = { TUN = "y", CONFIG_VETH = "m", CONFIG_A = true, "CONFIG_B C" = "y", CONFIG_D = "" }
              |                                                        ^^^^
              |
              = note: in kernel k
              = help: write one such as `"y"`

            error[E0407]: "CONFIG_B C" is not a kernel option
             --> a.nos:3:62
              |
            3 |   options = { TUN = "y", CONFIG_VETH = "m", CONFIG_A = true, "CONFIG_B C" = "y", CONFIG_D = "" }
              |                                                              ^^^^^^^^^^^^
              |
              = note: in kernel k
              = help: write one like "CONFIG_TUN"

            error[E0407]: "" is no value of a kernel option
             --> a.nos:3:93
              |
            3 |   options = { TUN = "y", CONFIG_VETH = "m", CONFIG_A = true, "CONFIG_B C" = "y", CONFIG_D = "" }
              |                                                                                             ^^
              |
              = note: in kernel k
              = help: write "y", "n", a number such as "14" or "0x100", or a text of up to 256 printable ASCII characters without quotes and backslashes
        "#]],
    );
}
