//! Wrong specs: channels between services.

use crate::wrong;
use expect_test::expect;

/// Two services, each with a line, and a host with the services that are named.
fn two(server: &str, caller: &str, services: &str) -> String {
    let service = |name: &str, line: &str| {
        format!("service {name} {{\n  packages = [\"nginx\"]\n  run = [\"/bin/a\"]\n  {line}\n}}\n")
    };
    format!(
        "{}{}host edge {{\n  services = [{services}]\n}}\n",
        service("app", server),
        service("front", caller)
    )
}

pub(crate) fn cases() {
    let serves = "serves = [\"api\"]";
    let calls = "calls = [\"api\"]";
    wrong(
        &two(serves, "", "app, front"),
        expect![[r#"
        error[E0512]: `app` serves `api`, which no other service of this host calls
         --> a.nos:4:13
          |
        4 |   serves = ["api"]
          |             ^^^^^
          |
          = note: in host edge
          = help: add `calls = ["api"]` to the service that connects to it
    "#]],
    );
    wrong(
        &two("", calls, "app, front"),
        expect![[r#"
        error[E0512]: `front` calls `api`, which no service of this host serves
          --> a.nos:9:12
           |
         9 |   calls = ["api"]
           |            ^^^^^
        ...
        12 |   services = [app, front]
           |                    ----- the host runs `front`
           |
           = note: in host edge
           = help: add `serves = ["api"]` to the service that answers
    "#]],
    );
    wrong(
        &two("serves = [\"api\"]\n  calls = [\"api\"]", "", "app"),
        expect![[r#"
            error[E0512]: `app` serves `api`, which no other service of this host calls
             --> a.nos:4:13
              |
            4 |   serves = ["api"]
              |             ^^^^^
              |
              = note: in host edge
              = help: add `calls = ["api"]` to the service that connects to it
        "#]],
    );
    wrong(
        &two(serves, "calls = [\"apj\"]", "app, front"),
        expect![[r#"
            error[E0512]: `front` calls `apj`, which no service of this host serves
              --> a.nos:9:12
               |
             9 |   calls = ["apj"]
               |            ^^^^^
            ...
            12 |   services = [app, front]
               |                    ----- the host runs `front`
               |
               = note: in host edge
            help: did you mean "api"?
               |
             9 -   calls = ["apj"]
             9 +   calls = ["api"]
               |
        "#]],
    );
    wrong(
        &two(serves, calls, "front"),
        expect![[r#"
        error[E0512]: `front` calls `api`, which no service of this host serves
          --> a.nos:9:12
           |
         4 |   serves = ["api"]
           |             ----- `app` serves it, but is not on this host
        ...
         9 |   calls = ["api"]
           |            ^^^^^
        ...
        12 |   services = [front]
           |               ----- the host runs `front`
           |
           = note: in host edge
           = help: add `app` to the host's services, or take `api` out of `calls`
    "#]],
    );
    wrong(
        &two(serves, serves, "app, front"),
        expect![[r#"
            error[E0513]: the services `app` and `front` both serve `api`
             --> a.nos:9:13
              |
            4 |   serves = ["api"]
              |             ----- `app` serves it here
            ...
            9 |   serves = ["api"]
              |             ^^^^^
              |
              = note: in host edge
              = help: give one of the two channels another name, or run the services on two hosts
        "#]],
    );
    wrong(
        &two(serves, "calls = [\"API\"]", "app, front"),
        expect![[r#"
            error[E0407]: "API" is not the name of a channel
             --> a.nos:9:12
              |
            9 |   calls = ["API"]
              |            ^^^^^
              |
              = note: in service front
              = help: write 1 to 32 of a-z, 0-9 and -, beginning with a letter, such as "api"
        "#]],
    );
    wrong(
        &two(serves, "calls = \"api\"", "app, front"),
        expect![[r#"
        error[E0401]: `calls` takes a list of channels, not a text
         --> a.nos:9:11
          |
        9 |   calls = "api"
          |           ^^^^^
          |
          = note: in service front
        help: put it in brackets
          |
        9 -   calls = "api"
        9 +   calls = ["api"]
          |
    "#]],
    );
    wrong(
        &two(
            serves,
            "calls = [\"api\"]\n  env = { CHANNEL_API = \"/x\" }",
            "app, front",
        ),
        expect![[r#"
            error[E0514]: the machine sets `CHANNEL_API` itself
              --> a.nos:10:11
               |
            10 |   env = { CHANNEL_API = "/x" }
               |           ^^^^^^^^^^^
               |
               = note: in service front
               = help: take it out; `calls` brings it
        "#]],
    );
    wrong(
        &two(
            "serves = [\"api\"]\n  env = { LISTEN_FDS = \"1\" }",
            calls,
            "app, front",
        ),
        expect![[r#"
            error[E0514]: the machine sets `LISTEN_FDS` itself
             --> a.nos:5:11
              |
            5 |   env = { LISTEN_FDS = "1" }
              |           ^^^^^^^^^^
              |
              = note: in service app
              = help: take it out; `serves` brings it
        "#]],
    );
    wrong(
        &two(
            "serves = [\"api\"]\n  health = http(channel = \"app\")",
            calls,
            "app, front",
        ),
        expect![[r#"
            error[E0512]: the service does not serve the channel `app`
             --> a.nos:5:27
              |
            5 |   health = http(channel = "app")
              |                           ^^^^^
              |
              = note: in service app
              = help: ask a channel that it serves (api), or add "app" to `serves`
        "#]],
    );
    wrong(
        &two(
            "health = http(channel = \"api\", port = 80)",
            "",
            "app, front",
        ),
        expect![[r#"
            error[E0406]: `http` has no argument `channel`
             --> a.nos:4:17
              |
            4 |   health = http(channel = "api", port = 80)
              |                 ^^^^^^^
              |
              = note: in service app
              = help: give it `port` or `channel`, not both
        "#]],
    );
    wrong(
        &two("chanels = [\"api\"]", calls, "app, front"),
        expect![[r#"
            error[E0301]: service `app` has no attribute `chanels`
             --> a.nos:4:3
              |
            4 |   chanels = ["api"]
              |   ^^^^^^^
              |
              = note: in service app
              = help: the attributes are packages, builds, from, files, links, directories, keep, drop, trim, image, run, env, workdir, user, capabilities, devices, terminal, listen, serves, calls, health, state, restart, after
        "#]],
    );
}
