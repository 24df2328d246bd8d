//! The grammars for editors take what the language takes: read by Neovim's tree-sitter and by VS
//! Code's tokeniser.

use super::{neovim, script};
use crate::common::say;
use expect_test::{Expect, expect};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .unwrap()
        .into()
}

/// Files below a folder that end in `.nos`, in order.
fn specs(folder: &Path, found: &mut Vec<PathBuf>) {
    let entries = fs::read_dir(folder).unwrap();
    let mut entries: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    entries.sort();
    for path in entries {
        if path.is_dir() {
            specs(&path, found);
        } else if path.extension().is_some_and(|e| e == "nos") {
            found.push(path);
        }
    }
}

/// Every spec of the tree: examples, library, templates, the snippets of the language's page, and
/// a long one that holds every form.
fn corpus(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for part in ["examples", "specs/src/library", "cli/templates"] {
        specs(&workspace().join(part), &mut found);
    }
    let page = fs::read_to_string(workspace().join("specs/LANGUAGE.md")).unwrap();
    for (number, rest) in page.split("```nos\n").skip(1).enumerate() {
        let (snippet, _) = rest.split_once("```").unwrap();
        let path = folder.join(format!("snippet-{number}.nos"));
        fs::write(&path, snippet).unwrap();
        found.push(path);
    }
    let path = folder.join("forms.nos");
    fs::write(&path, FORMS).unwrap();
    assert!(nos_specs::parse(FORMS).1.is_empty());
    found.push(path);
    found
}

const FORMS: &str = r#"use shared.web as w
let many = [
  for n in range(1, 3) { "a-${n}" }
  if not (1 < 2 and true) { "x" } else if 2 == 3 { "y" } else { "z" }
  first
  (second)
  [3], -4
]
let sum = (1 + 2) * 3 - -4 == 64MiB
let which = if 1 in [1, 2] { "a" } else if true { "b" } else { "c" }
let spread = call(
  1,
  name = a.b.c
    + 2,
)
template service page(port: number, title: text = "é${"in ${x}"}") like w.base {
  run += ["\n\u{e9}\${x}", "${port + 1}"] # why
  if port < 1024 { user = 0 } else { restart = on-failure }
  if port > 1 {
  }
  else {
    user = 1
  }
}
service "s-${name}" like page(port = 80)
service web like page(1)
for name, port in areas {
  service "area-${name}" like page(port, title = """
    # no comment ${name} \${b} "quoted" ""
    """) { }
}
host h { services = [], "quoted" = { "a b" = 1, c = dhcp } }
"#;

/// The grammar as a library, made by the C compiler; `None` where there is none.
fn parser(folder: &Path) -> Option<PathBuf> {
    let grammar = workspace().join("editors/tree-sitter-nos/src");
    let library = folder.join("nos.so");
    let made = Command::new("cc")
        .args(["-shared", "-fPIC", "-Os", "-Wall", "-Werror", "-I"])
        .arg(&grammar)
        .args([grammar.join("parser.c"), grammar.join("scanner.c")])
        .arg("-o")
        .arg(&library)
        .output();
    match made {
        Ok(output) => {
            let said = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "{said}");
            Some(library)
        }
        Err(_) => {
            say!("skipped: there is no C compiler, so the tree-sitter grammar is not tried");
            None
        }
    }
}

/// What tree-sitter says about some files, a line each.
fn trees(folder: &Path, files: &[PathBuf], show: bool) -> Option<Vec<String>> {
    let mut neovim = neovim(folder)?;
    let parser = parser(folder)?;
    let queries = workspace().join("editors/tree-sitter-nos/queries/highlights.scm");
    let names: Vec<&str> = files.iter().map(|file| file.to_str().unwrap()).collect();
    neovim
        .args(["-c", &script("grammar.lua")])
        .env("PARSER", parser)
        .env("HIGHLIGHTS", queries)
        .env("FILES", names.join("\n"));
    if show {
        neovim.env("SHOW", "1");
    }
    let output = neovim.output().unwrap();
    let talk = String::from_utf8_lossy(&output.stderr);
    let said = String::from_utf8_lossy(&output.stdout);
    let lines: Vec<String> = said.lines().map(str::to_owned).collect();
    assert_eq!(lines.len(), files.len(), "{said}\n{talk}");
    Some(lines)
}

#[test]
fn tree_sitter_reads_every_spec() {
    let folder = TempDir::new().unwrap();
    let files = corpus(folder.path());
    let Some(found) = trees(folder.path(), &files, false) else {
        return;
    };
    for line in found {
        assert!(line.starts_with("good "), "{line}");
    }
}

#[test]
fn tree_sitter_sees_lines_and_mistakes() {
    let folder = TempDir::new().unwrap();
    let mut files = Vec::new();
    for (name, text) in [
        ("lines", "let a = [b\n(c)\n-1]\n"),
        ("parentheses", "let a = (b\n- 1)\n"),
        ("otherwise", "if a {\n}\nelse {\n}\n"),
        ("mistake", "let = 1\n"),
    ] {
        let path = folder.path().join(name);
        fs::write(&path, text).unwrap();
        files.push(path);
    }
    let Some(found) = trees(folder.path(), &files, true) else {
        return;
    };
    expect![[r#"
        good lines (source_file (let name: (identifier) value: (list (path (identifier)) (parenthesized (path (identifier))) (unary (number)))))
        good parentheses (source_file (let name: (identifier) value: (parenthesized (binary left: (path (identifier)) right: (number)))))
        good otherwise (source_file (if_items condition: (path (identifier))))
        wrong mistake (source_file (ERROR (number)))"#]].assert_eq(&found.join("\n"));
}

/// VS Code's tokeniser over some files; `None` where it is not there.
fn tokens(arguments: &[PathBuf]) -> Option<(bool, String)> {
    let Some(packages) = std::env::var_os("NOS_TEST_TEXTMATE") else {
        say!(
            "skipped: NOS_TEST_TEXTMATE names no folder with vscode-textmate, so the grammar of VS Code is not tried"
        );
        return None;
    };
    let output = Command::new("node")
        .arg(workspace().join("editors/vscode/test/tokens.js"))
        .args(arguments)
        .env("NODE_PATH", packages)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let talk = String::from_utf8_lossy(&output.stderr);
    assert!(talk.is_empty(), "{talk}");
    Some((output.status.success(), said))
}

#[test]
fn vs_code_reads_every_spec() {
    let folder = TempDir::new().unwrap();
    if let Some((good, said)) = tokens(&corpus(folder.path())) {
        assert!(good, "{said}");
    }
}

#[test]
fn vs_code_tells_the_parts_apart() {
    let check = |text: &str, expected: Expect| {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("a.nos");
        fs::write(&path, text).unwrap();
        if let Some((_, said)) = tokens(&["--show".into(), path]) {
            expected.assert_eq(&said.replace('\t', ": "));
        }
    };
    check(
        "service \"s-${n}\" like page(port = 80)\n",
        expect![[r#"
        service: storage.type
        ": string.quoted.double
        s-: string.quoted.double
        ${: string.quoted.double meta.interpolation punctuation.section.interpolation.begin
        n: string.quoted.double meta.interpolation variable.other
        }: string.quoted.double meta.interpolation punctuation.section.interpolation.end
        ": string.quoted.double
        like: keyword.other
        page: support.function
        (: punctuation
        port: variable.other.property
        =: keyword.operator
        80: constant.numeric
        ): punctuation
    "#]],
    );
    check(
        "host web { # why\n  a += [\"\\n\", dhcp]\n}\n",
        expect![[r#"
        host: storage.type
        web: entity.name.type
        {: punctuation
        # why: comment.line.number-sign
        a: variable.other.property
        +=: keyword.operator
        [: punctuation
        ": string.quoted.double
        \n: string.quoted.double constant.character.escape
        ": string.quoted.double
        ,: punctuation
        dhcp: variable.other
        ]: punctuation
        }: punctuation
    "#]],
    );
    check(
        "let a = \"\\x\"\n",
        expect![[r#"
        let: keyword.other
        a: variable.other.constant
        =: keyword.operator
        ": string.quoted.double
        \x: string.quoted.double invalid.illegal.escape
        a.nos:1: `\x` means nothing
        ": string.quoted.double
    "#]],
    );
}
