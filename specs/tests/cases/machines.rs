//! Wrong specs: values of hosts, networks, disks and kernels.

use super::host;
use crate::wrong;
use expect_test::expect;

pub(crate) fn cases() {
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
