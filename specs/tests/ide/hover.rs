use super::fixture;
use expect_test::{Expect, expect};
use nos_specs::ide;

fn check(text: &str, expected: Expect) {
    let fixture = fixture(text);
    let shown = match ide::hover(&fixture.spec, fixture.file, fixture.offset) {
        Some(hover) => format!(
            "[{}]\n{}\n",
            fixture.spec.sources().slice(hover.span),
            hover.text
        ),
        None => "nothing\n".to_owned(),
    };
    expected.assert_eq(&shown);
}

#[test]
fn attributes_are_explained_by_the_schema() {
    check(
        "service web {\n  heal$0th = http(80)\n}\n",
        expect![[r#"
            [health]
            `service.health`: `http(…)`, `http(…)`, `tcp(…)` or `exec(…)`

            How the machine finds out whether the service is healthy. Services that name it in `after` wait for that, and a generation is good once all its services are.

            Without it: healthy once started.

            - `http(port, path = …, within = …)`: Healthy once an HTTP GET on the loopback address answers 200 to 399.
            - `http(channel, path = …, within = …)`: The same over a channel that the service serves.
            - `tcp(port, within = …)`: Healthy once a TCP connection on the loopback address is accepted.
            - `exec(run, within = …)`: Healthy once a command, run in the service's image as its user, exits with 0.

            ```nos
            health = http(port = 80, path = "/", within = 10s)
            ```
        "#]],
    );
    check(
        "host a {\n  disk = { kee$0p = 3 }\n}\n",
        expect![[r#"
            [keep]
            `host.disk.keep`: a number

            How many generations `nos install` leaves on a disk: the newest ones. Those that are pinned, on trial, or what a rollback goes to stay besides.

            Without it: 5.

            It lies between 2 and 1000.

            ```nos
            keep = 3
            ```
        "#]],
    );
    check(
        "host a {\n  services = []\n  network = dh$0cp\n}\n",
        expect![[r#"
            [dhcp]
            ```nos
            dhcp
            ```

            DHCPv4 and IPv6 router advertisements on the first Ethernet interface.
        "#]],
    );
    check(
        "service web {\n  health = htt$0p(80)\n}\n",
        expect![[r#"
        [http]
        ```nos
        http(port, path = …, within = …)
        ```

        Healthy once an HTTP GET on the loopback address answers 200 to 399.

        - `port`: Port asked.
        - `path`: Path asked for.
        - `within`: Time from its start within which it must first succeed.
    "#]],
    );
    check(
        "service web {\n  health = http(80, with$0in = 5s)\n}\n",
        expect![[r#"
            [within]
            `http(… within …)`: a time

            Time from its start within which it must first succeed.

            Without it: 30s.

            It lies between 100ms and 1h.
        "#]],
    );
    check(
        "serv$0ice web {}\n",
        expect![[r#"
        [service]
        ```nos
        service
        ```

        A program with all it needs, in a read-only root of its own, under a user of its own.
    "#]],
    );
}

#[test]
fn names_show_what_they_stand_for() {
    check(
        "# Where pages are.\nlet base = \"/srv\"\nlet root = { a = \"${base}/www\", b = [1, 64MiB] }\nlet c = ro$0ot\n",
        expect![[r#"
            [root]
            ```nos
            let root = { a = "/srv/www", b = [1, 64MiB] }
            ```
        "#]],
    );
    check(
        "let big = range(1, 10000)\nlet c = b$0ig\n",
        expect![[r#"
            [big]
            ```nos
            let big = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, …]
            ```
        "#]],
    );
    check(
        "let wrong = nothing + 1\nlet c = wro$0ng\n",
        expect![[r#"
        [wrong]
        ```nos
        let wrong = ?
        ```
    "#]],
    );
    check(
        "# A page.\ntemplate service page(port: number, title: text = \"Hi\") {\n  run = [\"/a\", \"${po$0rt}\"]\n}\n",
        expect![[r#"
            [port]
            ```nos
            port: number
            ```

            A parameter of the template.
        "#]],
    );
    check(
        "# A page\n# on a port.\ntemplate service page(port: number, title: text = \"Hi\") {\n}\nservice a like pa$0ge(port = 1)\n",
        expect![[r#"
            [page]
            ```nos
            template service page(port: number, title: text = "Hi")
            ```

            A page
            on a port.
        "#]],
    );
    check(
        "use std.kernel\nhost a { kernel = kernel.st$0ock }\n",
        expect![[r#"
            [stock]
            ```nos
            kernel stock
            ```

            For virtual machines: smaller, with the drivers of the common hypervisors.
        "#]],
    );
    check(
        "use std.ker$0nel\n",
        expect![[r#"
            [kernel]
            ```nos
            # std/kernel.nos
            ```

            Kernels from Debian. Of its own kernels only the modules that a host needs travel with it.
        "#]],
    );
    check(
        "let sizes = { small = 64MiB }\nlet a = sizes.sm$0all\n",
        expect![[r#"
            [small]
            ```nos
            small = 64MiB
            ```
        "#]],
    );
    check(
        "for n$0ame in [1, 2] {\n}\n",
        expect![[r#"
            [name]
            ```nos
            for name in [1, 2]
            ```
        "#]],
    );
}

#[test]
fn there_is_nothing_to_say_about_the_rest() {
    check(
        "let a = 1$00 # no\n",
        expect![[r#"
        nothing
    "#]],
    );
    check(
        "let a = unknow$0n\n",
        expect![[r#"
        nothing
    "#]],
    );
    check(
        "# com$0ment\n",
        expect![[r#"
        nothing
    "#]],
    );
}
