//! `nos lsp`, driven by clients that are not ours: Neovim's language client, and its tree-sitter
//! for the grammar.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot go on should stop"
)]

#[path = "../common/mod.rs"]
mod common;
mod grammars;
mod protocol;

use common::say;
use expect_test::{Expect, expect};
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use tempfile::TempDir;

const MAIN: &str = r#"use std.kernel
use shared.web as w
let place = w.root
service page {
  packages = ["nginx"]
  env = { A = place }
  files = { "/srv/a" = text("a") }
  run = ["/usr/sbin/nginx"]
  listen = [tcp(80)]
  health = http(port = 80)
}
host edge {
  services = [page]
  kernel = kernel.stock
}
"#;

const SHARED: &str = "# Where pages are.\nlet root = \"/srv\"\n";

const LOCK: &str = r#"version = 1

[suites.trixie]
date = "2026-01-31T12:00:00Z"
sha256 = "0000000000000000000000000000000000000000000000000000000000000000"

[packages.nginx]
version = "1.26.3-3"
architecture = "amd64"
suite = "trixie"
path = "pool/n.deb"
size = 1
sha256 = "0000000000000000000000000000000000000000000000000000000000000000"
"#;

/// Neovim with nothing of its user's, in a folder of its own; `None` where it is not installed.
fn neovim(folder: &Path) -> Option<Command> {
    let found = Command::new("nvim").arg("--version").output();
    if !found.is_ok_and(|output| output.status.success()) {
        say!("skipped: nvim is not installed, so no editor drives nos lsp");
        return None;
    }
    let mut command = Command::new("nvim");
    command
        .args(["--headless", "-u", "NONE", "-i", "NONE", "-n"])
        .env("HOME", folder)
        .env("XDG_CACHE_HOME", folder.join("cache"))
        .env("XDG_DATA_HOME", folder.join("data"))
        .env("XDG_CONFIG_HOME", folder.join("config"))
        .env("XDG_STATE_HOME", folder.join("state"))
        .current_dir(folder)
        .stdin(Stdio::null());
    Some(command)
}

fn script(name: &str) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/editor");
    format!("luafile {}", folder.join(name).display())
}

fn check(said: &str, expected: Expect) {
    let mut shown = String::new();
    for line in said.lines() {
        let line: serde_json::Value =
            serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {said}"));
        let step = line["step"].as_str().unwrap();
        shown.push_str(&format!("{step}:\n"));
        let parts = match &line["value"] {
            serde_json::Value::Array(parts) => parts.clone(),
            one => vec![one.clone()],
        };
        for part in parts {
            let text = part
                .as_str()
                .map_or_else(|| part.to_string(), str::to_owned);
            for line in text.lines() {
                shown.push_str(&format!("  {line}\n"));
            }
        }
    }
    expected.assert_eq(&shown);
}

#[test]
fn an_editor_is_served() {
    let folder = TempDir::new().unwrap();
    let root = folder.path().join("spec");
    fs::create_dir_all(root.join("shared")).unwrap();
    fs::write(root.join("main.nos"), MAIN).unwrap();
    fs::write(root.join("shared/web.nos"), SHARED).unwrap();
    fs::write(root.join("nos.lock"), LOCK).unwrap();
    let Some(mut neovim) = neovim(folder.path()) else {
        return;
    };
    let output = neovim
        .args(["-c", &script("session.lua")])
        .env("NOS", env!("CARGO_BIN_EXE_nos"))
        .env("ROOT", &root)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let talk = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}\n{talk}");
    check(
        &said,
        expect![[r#"
            mistake:
              9:3 E0301 service `page` has no attribute `listne`
              help: did you mean `listen`?
              in service page
            action:
              Write `listen` instead of `listne`
            repaired:
                listen = [tcp(80)]
            other:
              2:20 E0106 expected a value, found the end of the file
              help: values are texts "…", numbers 80, sizes 64MiB, times 10s, true, false, names, lists […] and records {…}
            hover attribute:
              `service.health`
            hover value:
              ```nos
              let place = "/srv/ä😀"
              ```
            definition:
              main.nos:3:5
            definition across files:
              shared/web.nos:2:5
            definition in the library:
              kernel stock {
            references:
              main.nos:3:15
              shared/web.nos:2:5
            completion of packages:
              nginx
            completion of members:
              generic minimal stock
            completion behind 😀:
              place
            refused:
              {"error":"`stock` belongs to the standard library, which is inside nos; give it a name of your own with `let`"}
            renamed:
              let place = w.pages
              let pages = "/srv/ä😀"
            formatted:
              service page {
                packages = ["nginx"]
                env      = { A = "😀${place}" }
                files    = { "/srv/a" = text("a") }
                run      = ["/usr/sbin/nginx"]
                listen   = [tcp(80)]
            symbols:
              kernel
              w
              place
              page
              edge
            an unknown file:
              {"error":"file:///nowhere/x.nos is not open and cannot be read: no such file; open it first"}
            exit code:
              0
        "#]],
    );
}
