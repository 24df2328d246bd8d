//! Wrong specs: what is made from sources.

use crate::wrong;
use expect_test::expect;

/// A host that runs a service with the build `app`.
const HOST: &str = "service web {\n  builds = [app]\n  run = [\"/bin/a\"]\n}\nhost edge {\n  services = [web]\n}\n";

fn build(lines: &str) -> String {
    format!("build app {{\n{lines}}}\n{HOST}")
}

fn git(url: &str, commit: &str) -> String {
    build(&format!(
        "  source = git(\"{url}\", commit = \"{commit}\")\n  using = make()\n"
    ))
}

fn pull(url: &str) -> String {
    format!(
        "service web {{\n  from = pull(\"{url}\", sha256 = \"latest\")\n  run = [\"/bin/a\"]\n}}\n\
         host edge {{\n  services = [web]\n}}\n"
    )
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
            error[E0401]: `source` takes `folder(…)`, `debian(…)`, `fetch(…)` or `git(…)`, not `file(…)`
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
        &build("  source = debian(\"Dropbear=2025\", patches = \"no\")\n  using = autotools()\n"),
        expect![[r#"
            error[E0407]: "Dropbear=2025" is not a package name
             --> a.nos:2:19
              |
            2 |   source = debian("Dropbear=2025", patches = "no")
              |                   ^^^^^^^^^^^^^^^
              |
              = note: in build app
              = help: give the name alone; `nos lock` pins versions, and hosts have one architecture

            error[E0401]: `patches` takes `true` or `false`, not a text
             --> a.nos:2:46
              |
            2 |   source = debian("Dropbear=2025", patches = "no")
              |                                              ^^^^
              |
              = note: in build app
              = help: write `true` or `false`
        "#]],
    );
    wrong(
        &git("git@git.example:app", "main"),
        expect![[r#"
        error[E0407]: "git@git.example:app" is a repository by SSH, for which nos would need a key
         --> a.nos:2:16
          |
        2 |   source = git("git@git.example:app", commit = "main")
          |                ^^^^^^^^^^^^^^^^^^^^^
          |
          = note: in build app
          = help: write its address for HTTPS, such as "https://git.example/app.git"

        error[E0407]: "main" is not a commit; a branch or tag stands for another one tomorrow
         --> a.nos:2:48
          |
        2 |   source = git("git@git.example:app", commit = "main")
          |                                                ^^^^^^
          |
          = note: in build app
          = help: write the 40 digits that `git ls-remote URL NAME` prints; for a tag those of the line that ends in ^{}, where there is one
    "#]],
    );
    wrong(
        &git("https://me:secret@git.example/app", "f3a1b2c"),
        expect![[r#"
            error[E0407]: "https://me:secret@git.example/app" holds a name or password, which everybody could read who has the spec
             --> a.nos:2:16
              |
            2 |   source = git("https://me:secret@git.example/app", commit = "f3a1b2c")
              |                ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
              |
              = note: in build app
              = help: take out what stands before `@`; a private repository can be cloned beside the spec and named by folder("…")

            error[E0407]: "f3a1b2c" is the beginning of a commit's name
             --> a.nos:2:62
              |
            2 |   source = git("https://me:secret@git.example/app", commit = "f3a1b2c")
              |                                                              ^^^^^^^^^
              |
              = note: in build app
              = help: write all 40 digits; `git rev-parse` in a clone prints them
        "#]],
    );
    wrong(
        &git(
            "ssh://git.example/app",
            "F3A1B2C4D5E6F708192A3B4C5D6E7F8091A2B3C4",
        ),
        expect![[r#"
            error[E0407]: "ssh://git.example/app" is a repository by SSH, for which nos would need a key
             --> a.nos:2:16
              |
            2 |   source = git("ssh://git.example/app", commit = "F3A1B2C4D5E6F708192A3B4C5D6E7F8091A2B3C4")
              |                ^^^^^^^^^^^^^^^^^^^^^^^
              |
              = note: in build app
              = help: write its address for HTTPS, such as "https://git.example/app.git"

            error[E0407]: "F3A1B2C4D5E6F708192A3B4C5D6E7F8091A2B3C4" is not a commit
             --> a.nos:2:50
              |
            2 |   source = git("ssh://git.example/app", commit = "F3A1B2C4D5E6F708192A3B4C5D6E7F8091A2B3C4")
              |                                                  ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
              |
              = note: in build app
            help: its letters are lower-case
              |
            2 -   source = git("ssh://git.example/app", commit = "F3A1B2C4D5E6F708192A3B4C5D6E7F8091A2B3C4")
            2 +   source = git("ssh://git.example/app", commit = "f3a1b2c4d5e6f708192a3b4c5d6e7f8091a2b3c4")
              |
        "#]],
    );
    wrong(
        &git(
            "../app",
            "0000000000000000000000000000000000000000000000000000000000000000",
        ),
        expect![[r#"
            error[E0407]: "../app" is not the address of a git repository
             --> a.nos:2:16
              |
            2 |   source = git("../app", commit = "0000000000000000000000000000000000000000000000000000000000...
              |                ^^^^^^^^
              |
              = note: in build app
              = help: write one like "https://git.example/app.git"

            error[E0407]: "000000000000000000000000000000000000000000000000000000000000…" is a commit of a SHA-256 repository, which nos cannot read
             --> a.nos:2:35
              |
            2 | ...", commit = "0000000000000000000000000000000000000000000000000000000000000000")
              |                ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
              |
              = note: in build app
              = help: clone it beside the spec and name it by folder("…")
        "#]],
    );
    wrong(
        &pull("registry.example/app"),
        expect![[r#"
        error[E0407]: "registry.example/app" is not the address of an image in a registry
         --> a.nos:2:15
          |
        2 |   from = pull("registry.example/app", sha256 = "latest")
          |               ^^^^^^^^^^^^^^^^^^^^^^
          |
          = note: in service web
          = help: write one like "https://registry.example/team/app"

        error[E0407]: "latest" is not a SHA-256
         --> a.nos:2:48
          |
        2 |   from = pull("registry.example/app", sha256 = "latest")
          |                                                ^^^^^^^^
          |
          = note: in service web
          = help: it has 64 of 0-9 and a-f, such as "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
    "#]],
    );
    wrong(
        &pull("https://registry.example/app:1.2"),
        expect![[r#"
        error[E0407]: "https://registry.example/app:1.2" names a tag or digest, and a tag stands for another image tomorrow
         --> a.nos:2:15
          |
        2 |   from = pull("https://registry.example/app:1.2", sha256 = "latest")
          |               ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
          |
          = note: in service web
          = help: write "https://registry.example/app" without ":1.2"; `sha256` says which image

        error[E0407]: "latest" is not a SHA-256
         --> a.nos:2:60
          |
        2 |   from = pull("https://registry.example/app:1.2", sha256 = "latest")
          |                                                            ^^^^^^^^
          |
          = note: in service web
          = help: it has 64 of 0-9 and a-f, such as "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
    "#]],
    );
    wrong(
        &build("  source = git(\"https://git.example/app\")\n  using = make()\n"),
        expect![[r#"
            error[E0406]: `git` needs a commit: `commit`
             --> a.nos:2:12
              |
            2 |   source = git("https://git.example/app")
              |            ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
              |
              = note: in build app
              = help: add `commit = "f3a1b2c4d5e6f708192a3b4c5d6e7f8091a2b3c4"`
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
            error[E0401]: `from` takes `oci(…)` or `pull(…)`, not a text
             --> a.nos:2:10
              |
            2 |   from = "image.tar"
              |          ^^^^^^^^^^^
              |
              = note: in service web
              = help: say what it is: `oci("image.tar")` or `pull("image.tar")`
        "#]],
    );
}
