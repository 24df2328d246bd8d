//! Wrong specs: values.

use super::{host, service};
use crate::{HOST, SERVICE, wrong};
use expect_test::expect;

pub(crate) fn cases() {
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
              = help: write what it needs, such as `run = ["/usr/bin/app"]`
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
              = help: write `true` or `false`
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
              = help: take it out
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
            error[E0401]: `files` takes `file(…)`, `folder(…)`, `text(…)`, `fetch(…)` or `nos()`, not a text
             --> a.nos:4:24
              |
            4 |   files = { "/etc/a" = "a" }
              |                        ^^^
              |
              = note: in service web
              = help: say what it is: `file("a")`, `folder("a")`, `text("a")` or `fetch("a")`
        "#]],
    );
    wrong(
        &service(r#"files = ["a"]"#),
        expect![[r#"
            error[E0401]: `files` takes a record of an absolute path = `file(…)`, `folder(…)`, `text(…)`, `fetch(…)` or `nos()`, not a list
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
              = help: write at least two of a-z, 0-9, +, - and ., a letter or digit first, such as "nginx"
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
              = help: write one that capabilities(7) lists, such as "CAP_NET_RAW"
        "#]],
    );
    wrong(
        &service(r#"devices = ["disk", "kvm", "/dev/video[0-9]", "/dev/*", "/srv/x"]"#),
        expect![[r#"
            error[E0407]: "disk" is not a path below /dev
             --> a.nos:4:14
              |
            4 |   devices = ["disk", "kvm", "/dev/video[0-9]", "/dev/*", "/srv/x"]
              |              ^^^^^^
              |
              = note: in service web
            help: write "disks"
              |
            4 |   devices = ["disks", "kvm", "/dev/video[0-9]", "/dev/*", "/srv/x"]
              |                   +

            error[E0407]: "kvm" is not a path below /dev
             --> a.nos:4:22
              |
            4 |   devices = ["disk", "kvm", "/dev/video[0-9]", "/dev/*", "/srv/x"]
              |                      ^^^^^
              |
              = note: in service web
            help: write "/dev/kvm"
              |
            4 |   devices = ["disk", "/dev/kvm", "/dev/video[0-9]", "/dev/*", "/srv/x"]
              |                       +++++

            error[E0407]: "/dev/video[0-9]" is not a device
             --> a.nos:4:29
              |
            4 |   devices = ["disk", "kvm", "/dev/video[0-9]", "/dev/*", "/srv/x"]
              |                             ^^^^^^^^^^^^^^^^^
              |
              = note: in service web
              = help: of patterns only `*` is known, which stands for any characters: "/dev/video*"

            error[E0407]: "/dev/*" does not name a device
             --> a.nos:4:48
              |
            4 |   devices = ["disk", "kvm", "/dev/video[0-9]", "/dev/*", "/srv/x"]
              |                                                ^^^^^^^^
              |
              = note: in service web
              = help: name it as it is called below /dev, such as "/dev/net/tun"

            error[E0407]: "/srv/x" is not a path below /dev
             --> a.nos:4:58
              |
            4 |   devices = ["disk", "kvm", "/dev/video[0-9]", "/dev/*", "/srv/x"]
              |                                                          ^^^^^^^^
              |
              = note: in service web
              = help: name a device as it is called there, such as "/dev/net/tun"
        "#]],
    );
    wrong(
        &service(r#"terminal = "ttyS0""#),
        expect![[r#"
            error[E0407]: "ttyS0" is not a path below /dev
             --> a.nos:4:14
              |
            4 |   terminal = "ttyS0"
              |              ^^^^^^^
              |
              = note: in service web
            help: write "/dev/ttyS0"
              |
            4 |   terminal = "/dev/ttyS0"
              |               +++++
        "#]],
    );
    wrong(
        &service(r#"terminal = "/dev/tty*""#),
        expect![[r#"
            error[E0407]: "/dev/tty*" is not a terminal
             --> a.nos:4:14
              |
            4 |   terminal = "/dev/tty*"
              |              ^^^^^^^^^^^
              |
              = note: in service web
              = help: name one: "/dev/ttyS0" is the first serial line, "/dev/tty1" screen and keyboard
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
              = help: write letters, digits and _, and no digit first, such as "LANG"

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
              = help: write one like "192.0.2.7/24"

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
              = help: write one such as `dhcp`
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
              = help: write one such as `64MiB`
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
              = help: write one like "https://mirror.example/debian"
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
              = help: make its parts smaller: numbers lie between -9223372036854775808 and 9223372036854775807

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
    wrong(
        "let a = join([1, 2])\nhost h {\n  services = []\n}\n",
        expect![[r#"
            error[E0406]: `join` takes a list and the text between its elements
             --> a.nos:1:9
              |
            1 | let a = join([1, 2])
              |         ^^^^^^^^^^^^
              |
              = help: write `join(["a", "b"], ", ")`
        "#]],
    );
    wrong(
        "let a = join([[1], 2], \"\")\nhost h {\n  services = []\n}\n",
        expect![[r#"
            error[E0412]: a list cannot be put into a text
             --> a.nos:1:15
              |
            1 | let a = join([[1], 2], "")
              |               ^^^
              |
              = help: put texts, numbers, sizes, times, true, false or blocks into texts
        "#]],
    );
}
