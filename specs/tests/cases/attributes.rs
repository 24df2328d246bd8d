//! Wrong specs: attributes.

use crate::{HOST, wrong};
use expect_test::expect;

pub(crate) fn cases() {
    wrong(
        &[
            r#"service web {
  pakages = ["nginx"]
  run = ["/bin/a"]
}
"#,
            HOST,
        ]
        .concat(),
        expect![[r#"
            error[E0301]: service `web` has no attribute `pakages`
             --> a.nos:2:3
              |
            2 |   pakages = ["nginx"]
              |   ^^^^^^^
              |
              = note: in service web
            help: did you mean `packages`?
              |
            2 |   packages = ["nginx"]
              |     +
        "#]],
    );
    wrong(
        &[
            r#"service web {
  packages = ["nginx"]
  command = ["/bin/a"]
}
"#,
            HOST,
        ]
        .concat(),
        expect![[r#"
            error[E0301]: service `web` has no attribute `command`
             --> a.nos:3:3
              |
            3 |   command = ["/bin/a"]
              |   ^^^^^^^
              |
              = note: in service web
            help: did you mean `run`?
              |
            3 -   command = ["/bin/a"]
            3 +   run = ["/bin/a"]
              |
        "#]],
    );
    wrong(
        &[
            r#"service web {
  packages = ["nginx"]
  run = ["/bin/a"]
  kernel = 1
}
"#,
            HOST,
        ]
        .concat(),
        expect![[r#"
            error[E0301]: service `web` has no attribute `kernel`
             --> a.nos:4:3
              |
            4 |   kernel = 1
              |   ^^^^^^
              |
              = note: in service web
              = help: `kernel` belongs into a host block
        "#]],
    );
    wrong(
        &[
            r#"service web {
  packages = ["nginx"]
  run = ["/bin/a"]
  xyzzy = 1
}
"#,
            HOST,
        ]
        .concat(),
        expect![[r#"
            error[E0301]: service `web` has no attribute `xyzzy`
             --> a.nos:4:3
              |
            4 |   xyzzy = 1
              |   ^^^^^
              |
              = note: in service web
              = help: the attributes are packages, builds, from, files, links, directories, keep, drop, trim, image, run, env, workdir, user, capabilities, devices, terminal, listen, serves, calls, health, state, restart, after
        "#]],
    );
    wrong(
        &[
            r#"service web {
  packages = ["nginx"]
}
"#,
            HOST,
        ]
        .concat(),
        expect![[r#"
            error[E0302]: service `web` has no `run`
             --> a.nos:1:9
              |
            1 | service web {
              |         ^^^
              |
              = note: in service web
              = help: add `run = ["/usr/sbin/nginx", "-g", "daemon off;"]`
        "#]],
    );
    wrong(
        "host edge {}\n",
        expect![[r#"
            error[E0302]: host `edge` has no `services`
             --> a.nos:1:6
              |
            1 | host edge {}
              |      ^^^^
              |
              = note: in host edge
              = help: add `services = [web]`
        "#]],
    );
    wrong(
        "host edge {\n  services = []\n  services = []\n}\n",
        expect![[r#"
            error[E0303]: the attribute `services` stands here a second time
             --> a.nos:3:3
              |
            2 |   services = []
              |   -------- the first time
            3 |   services = []
              |   ^^^^^^^^
              |
              = note: in host edge
              = help: take one of the two out
        "#]],
    );
    wrong(
        "host edge {\n  services += []\n}\n",
        expect![[r#"
        error[E0304]: there is no `services` to add to
         --> a.nos:2:3
          |
        2 |   services += []
          |   ^^^^^^^^
          |
          = note: in host edge
        help: write `=`
          |
        2 -   services += []
        2 +   services = []
          |
    "#]],
    );
    wrong(
        "host edge {\n  services = []\n  disk = { size = 1GiB }\n}\n",
        expect![[r#"
            error[E0301]: `disk` has no attribute `size`
             --> a.nos:3:12
              |
            3 |   disk = { size = 1GiB }
              |            ^^^^
              |
              = note: in host edge
              = help: the attributes are esp, state, spare, keep
        "#]],
    );
    wrong(
        r#"host edge {
  "services" = []
}
"#,
        expect![[r#"
            error[E0106]: the attributes of a block are plain words
             --> a.nos:2:3
              |
            2 |   "services" = []
              |   ^^^^^^^^^^
              |
              = note: in host edge
            help: take the quotes off: `services = …`
              |
            2 -   "services" = []
            2 +   services = []
              |
        "#]],
    );
    wrong(
        &[
            r#"service web {
  run = ["/bin/a"]
}
"#,
            HOST,
        ]
        .concat(),
        expect![[r#"
            error[E0508]: this service has nothing to run from
             --> a.nos:1:9
              |
            1 | service web {
              |         ^^^
              |
              = note: in service web
              = help: give it `packages`, `builds`, `files` or an `image`
        "#]],
    );
    wrong(
        &[
            r#"image base {
  packages = ["a1"]
}
service web {
  image = base
  packages = ["b1"]
  run = ["/bin/a"]
}
"#,
            HOST,
        ]
        .concat(),
        expect![[r#"
            error[E0506]: `packages` stands beside `image`
             --> a.nos:6:3
              |
            5 |   image = base
              |   ----- the image is named here
            6 |   packages = ["b1"]
              |   ^^^^^^^^
              |
              = note: in service web
              = help: take `image` out, or move the content into the image block
        "#]],
    );
}
