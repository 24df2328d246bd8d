//! Wrong specs: values of services.

use super::service;
use crate::wrong;
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
}
