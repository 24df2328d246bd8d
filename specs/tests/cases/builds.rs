//! Wrong specs: what is made from sources.

use crate::wrong;
use expect_test::expect;

/// A host that runs a service with the build `app`.
const HOST: &str = "service web {\n  builds = [app]\n  run = [\"/bin/a\"]\n}\nhost edge {\n  services = [web]\n}\n";

fn build(lines: &str) -> String {
    format!("build app {{\n{lines}}}\n{HOST}")
}

pub(crate) fn cases() {
    wrong(
        &build("  using = make()\n"),
        expect![[r#"
        error[E0521]: this build has no source
         --> a.nos:1:7
          |
        1 | build app {
          |       ^^^
          |
          = note: in build app
          = help: add `source = folder("…")`; only a script can do without
    "#]],
    );
    wrong(
        &build("  source = folder(\"a\")\n"),
        expect![[r#"
        error[E0302]: build `app` has no `using`
         --> a.nos:1:7
          |
        1 | build app {
          |       ^^^
          |
          = note: in build app
          = help: add `using = cargo(static = true)`
    "#]],
    );
    wrong(
        &build("  source = file(\"a\")\n  using = cargo(\"static\")\n"),
        expect![[r#"
            error[E0401]: `source` takes `folder(…)` or `fetch(…)`, not `file(…)`
             --> a.nos:2:12
              |
            2 |   source = file("a")
              |            ^^^^^^^^^
              |
              = note: in build app
              = help: write one such as `folder("site")`

            error[E0406]: `cargo` takes no value here without its name
             --> a.nos:3:17
              |
            3 |   using = cargo("static")
              |                 ^^^^^^^^
              |
              = note: in build app
              = help: take it out, or name it: `static = …`, `package = …`, `features = …` or `default-features = …`
        "#]],
    );
    wrong(
        &build("  source = fetch(\"app.tar\", sha256 = \"ABC\")\n  using = script(run = [])\n"),
        expect![[r#"
            error[E0407]: "app.tar" is not a web address
             --> a.nos:2:18
              |
            2 |   source = fetch("app.tar", sha256 = "ABC")
              |                  ^^^^^^^^^
              |
              = note: in build app
              = help: write one like "https://mirror.example/debian"

            error[E0407]: "ABC" is not a SHA-256
             --> a.nos:2:38
              |
            2 |   source = fetch("app.tar", sha256 = "ABC")
              |                                      ^^^^^
              |
              = note: in build app
              = help: it has 64 of 0-9 and a-f, such as "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"

            error[E0409]: `run` is empty
             --> a.nos:3:24
              |
            3 |   using = script(run = [])
              |                        ^^
              |
              = note: in build app
              = help: write what it needs, such as `run = ["/usr/bin/app"]`
        "#]],
    );
    wrong(
        &build("  using = script([\"true\"])\n  needs = [app]\n"),
        expect![[r#"
            error[E0522]: the build `app` needs itself
             --> a.nos:3:12
              |
            3 |   needs = [app]
              |            ^^^
              |
              = help: take it out of its own `needs`
        "#]],
    );
    wrong(
        &format!(
            "build other {{\n  using = script([\"true\"])\n  needs = [app]\n}}\n{}",
            build("  using = script([\"true\"])\n  needs = [other]\n")
        ),
        expect![[r#"
            error[E0522]: the builds `app` and `other` need each other
             --> a.nos:7:12
              |
            7 |   needs = [other]
              |            ^^^^^
              |
              = help: take one of the two out of the other's `needs`
        "#]],
    );
    wrong(
        &build("  using = script([\"true\"])\n  needs = [web]\n  limits = { memory = 2 }\n"),
        expect![[r#"
            error[E0209]: `needs` takes builds, but `web` is a service
             --> a.nos:3:12
              |
            3 |   needs = [web]
              |            ^^^
            ...
            6 | service web {
              |         --- the service
              |
              = note: in build app
              = help: name a build block

            error[E0401]: `memory` takes a size, not a number
             --> a.nos:4:23
              |
            4 |   limits = { memory = 2 }
              |                       ^
              |
              = note: in build app
            help: say what it counts: MiB, GiB
              |
            4 |   limits = { memory = 2MiB }
              |                        +++
        "#]],
    );
    wrong(
        "build app {\n  using = script([\"true\"])\n}\nhost edge {\n  services = []\n}\n",
        expect![[r#"
            warning[W0601]: nothing uses the build `app`
             --> a.nos:1:7
              |
            1 | build app {
              |       ^^^
              |
              = help: use it or take it out
        "#]],
    );
    wrong(
        "service web {\n  from = \"image.tar\"\n  run = [\"/bin/a\"]\n}\nhost edge {\n  services = [web]\n}\n",
        expect![[r#"
            error[E0401]: `from` takes `oci(…)`, not a text
             --> a.nos:2:10
              |
            2 |   from = "image.tar"
              |          ^^^^^^^^^^^
              |
              = note: in service web
              = help: say what it is: `oci("image.tar")`
        "#]],
    );
}
