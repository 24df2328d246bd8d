//! The standard library: each part is right, canonical and documented, each template makes what it
//! says.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use nos_specs::{NoFiles, check, explain_path, library, render, schema};

/// A host of each platform, and every service.
const ALL: &str = r#"use std.platforms
use std.services

service files like services.nginx() {
  files += { "/srv/www" = folder("site") }
}

service front like services.proxy(channel = "app", port = 8080)
service app like services.gunicorn(app = "app:app", channel = "app", workers = 1)
service database like services.postgresql(database = "app")
service sessions like services.redis(memory-mib = 16)
service cache like services.memcached()

service balancer like services.haproxy(port = 443, config = """
  defaults
    mode tcp
    timeout connect 5s
  """)

host small like platforms.vm(cpus = 2, state = 64MiB) {
  services = [files, front, app, database, sessions, cache]
}

host large like platforms.cloud() {
  services = [files, balancer]
}

host real like platforms.metal(state = 1GiB) {
  services = [files, sessions]
}
"#;

#[test]
fn every_part_is_right_and_canonical() {
    for name in library::names() {
        let text = library::text(name).unwrap();
        let checked = check(&format!("std/{name}.nos"), text, &NoFiles);
        let wrong: Vec<_> = checked
            .diagnostics
            .iter()
            .filter(|d| d.code != "W0604")
            .collect();
        assert!(wrong.is_empty(), "{wrong:?}");
        assert_eq!(nos_specs::fmt::format(text).unwrap(), text, "std.{name}");
    }
}

#[test]
fn every_definition_makes_a_machine() {
    let checked = check("all.nos", ALL, &NoFiles);
    let shown = render(&checked.diagnostics, &checked.sources, false, 100);
    assert!(checked.diagnostics.is_empty(), "{shown}");
    let [small, large, real] = &checked.systems[..] else {
        panic!("{} systems", checked.systems.len())
    };
    assert_eq!(small.disk.state_bytes, Some(64 << 20));
    assert_eq!((large.disk.state_bytes, large.disk.keep), (None, 10));
    assert_ne!(large.kernel, real.kernel);
    assert!(
        small
            .services
            .iter()
            .all(|service| service.health.is_some())
    );
    // Only what is meant for the network listens on a port that is forwarded by default.
    assert!(large.machine.forward.contains_key(&80));
    for part in library::names() {
        for path in schema::paths() {
            let Some(name) = path.strip_prefix(&format!("std.{part}.")) else {
                continue;
            };
            let used = ALL.contains(&format!("{part}.{name}")) || part == "kernel";
            assert!(used, "no test of {path}");
        }
    }
}

#[test]
fn every_definition_is_explained() {
    let shown = explain_path("std.services.redis").unwrap();
    assert!(
        shown.starts_with(
            "service NAME like services.redis(memory-mib: number = 64, port: number = 6379)\n\n\
             redis for services of the same host; what it holds outlives reboots.\n"
        ),
        "{shown}"
    );
    for path in schema::paths()
        .iter()
        .filter(|path| path.starts_with("std"))
    {
        let shown = explain_path(path).unwrap();
        let doc = shown.split("\n\n").nth(1).unwrap_or_default();
        assert!(doc.len() > 20, "{path} says too little:\n{shown}");
    }
    assert!(explain_path("std").unwrap().contains("std.platforms"));
    assert_eq!(explain_path("std.services.apache"), None);
    assert_eq!(explain_path("std.service"), None);
}
