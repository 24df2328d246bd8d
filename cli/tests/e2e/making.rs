//! Content made from sources: a Rust service, from its lines to an image.

use crate::common::program::{Nos, at};
use crate::common::{Example, can_make_sandboxes, say, shared_store};
use expect_test::expect;

/// Labels of the steps that a build would run, in their order.
fn to_run(example: &Example) -> Vec<String> {
    let plan = Nos::new(["plan", &example.spec(), "--locked", "--offline"]).json();
    let steps = at(&plan, "/steps").as_array().unwrap().iter();
    let runs = steps.filter(|step| at(step, "/fate") == "build");
    runs.map(|step| at(step, "/label").as_str().unwrap().to_owned())
        .collect()
}

/// Builds; gives the labels of the actions that ran.
fn ran(example: &Example) -> Vec<String> {
    let built = Nos::new(["build", &example.spec(), "--locked", "--offline"]).json();
    let labels = at(&built, "/built").as_array().unwrap().iter();
    labels.map(|label| label.as_str().unwrap().into()).collect()
}

#[test]
fn a_changed_line_of_rust_compiles_one_crate_and_makes_one_image() {
    if !can_make_sandboxes() {
        say!("SKIPPED: making a Rust service, as sandboxes cannot be made here");
        return;
    }
    let greeter = Example::copy("greeter");
    assert!(to_run(&greeter).is_empty());
    let built = Nos::new(["build", &greeter.spec(), "--locked", "--offline"]).json();
    if !greeter.repinned {
        // The same for every user, folder and machine.
        expect!["91e6202d3acd962a9d8a0834eeac43f1df758a03aff8b5e206fd263be7806383"].assert_eq(
            at(&built, "/system/manifest/images/0/root_hash")
                .as_str()
                .unwrap(),
        );
    }

    let lines = String::from_utf8(greeter.read("greeter/src/main.rs")).unwrap();
    greeter.write(
        "greeter/src/main.rs",
        // A store that an earlier run filled does not know this line.
        lines.replace(
            "Hello, {name}",
            &format!("Welcome {}, {{name}}", std::process::id()),
        ),
    );
    let changed = ran(&greeter);
    let has = |ran: &[String], part: &str| ran.iter().any(|label| label.contains(part));
    assert!(has(&changed, "build greeter"), "{changed:?}");
    assert!(has(&changed, "image hello"), "{changed:?}");
    assert!(!has(&changed, "dependencies"), "{changed:?}");

    // A comment changes the crate and not the program: nothing behind it runs.
    let lines = String::from_utf8(greeter.read("greeter/src/main.rs")).unwrap();
    greeter.write("greeter/src/main.rs", format!("{lines}// The end.\n"));
    let changed = ran(&greeter);
    assert!(has(&changed, "build greeter"), "{changed:?}");
    assert!(!has(&changed, "image hello"), "{changed:?}");
    assert!(ran(&greeter).is_empty());

    // A mistake is shown as the compiler says it.
    greeter.write("greeter/src/main.rs", "fn main() { 1 + }\n");
    let wrong = Nos::new([
        "build",
        &greeter.spec(),
        "--locked",
        "--offline",
        "--keep-failed",
    ])
    .run();
    assert_eq!(wrong.code, Some(1), "{}", wrong.stderr);
    assert!(
        wrong.stderr.contains("expected expression, found `}`"),
        "{}",
        wrong.stderr
    );
    let kept = wrong
        .stderr
        .lines()
        .find_map(|line| line.strip_prefix("What it left is in "));
    let kept = std::path::Path::new(kept.unwrap()).join("build/source/src/main.rs");
    assert_eq!(
        std::fs::read_to_string(kept).unwrap(),
        "fn main() { 1 + }\n"
    );
}

#[test]
fn what_a_build_puts_below_usr_is_also_where_debian_has_it() {
    if !can_make_sandboxes() {
        say!("SKIPPED: making a Rust service, as sandboxes cannot be made here");
        return;
    }
    let greeter = Example::copy("greeter");
    let spec = String::from_utf8(greeter.read("greeter.nos")).unwrap();
    // No package is there that could bring the link.
    greeter.write("greeter.nos", spec.replace("/usr/bin/", "/bin/"));
    let images = Nos::new(["trim", &greeter.spec(), "--offline"]).json();
    let held = at(&images, "/0/holders").to_string();
    for path in ["\"/bin\"", "\"/usr/bin/greeter\""] {
        assert!(held.contains(path), "{path}: {held}");
    }
}

const WORKSPACE: [(&str, &str); 9] = [
    (
        "both.nos",
        r#"
use std.kernel

build one {
  source = folder("work")
  using  = cargo(static = true, package = "one")
}
build two {
  source = folder("work")
  using  = cargo(static = true, package = "two")
}
service first {
  builds = [one]
  run    = ["/usr/bin/one"]
}
service second {
  builds = [two]
  run    = ["/usr/bin/two"]
}
host both {
  kernel   = kernel.stock
  services = [first, second]
}
"#,
    ),
    (
        "work/Cargo.lock",
        r#"version = 4

[[package]]
name = "httparse"
version = "1.10.1"
source = "registry+https://github.com/rust-lang/crates.io-index"
checksum = "6dbf3de79e51f3d586ab4cb9d5c3e2c14aa28ed23d180cf89b4df0454a69cc87"

[[package]]
name = "one"
version = "0.1.0"
dependencies = [
 "shared",
]

[[package]]
name = "shared"
version = "0.1.0"
dependencies = [
 "httparse",
]

[[package]]
name = "two"
version = "0.1.0"
dependencies = [
 "shared",
]
"#,
    ),
    (
        "work/Cargo.toml",
        "[workspace]\nresolver = \"3\"\nmembers = [\"one\", \"shared\", \"two\"]\n\n\
         [workspace.dependencies]\nshared = { path = \"shared\" }\n",
    ),
    (
        "work/one/Cargo.toml",
        "[package]\nname = \"one\"\nversion = \"0.1.0\"\nedition = \"2024\"\n\n[dependencies]\n\
         shared.workspace = true\n",
    ),
    (
        "work/one/src/main.rs",
        "fn main() {\n    println!(\"one {}\", shared::greeting());\n}\n",
    ),
    (
        "work/shared/Cargo.toml",
        "[package]\nname = \"shared\"\nversion = \"0.1.0\"\nedition = \"2024\"\n\n[dependencies]\n\
         httparse = \"1.10\"\n",
    ),
    (
        "work/shared/src/lib.rs",
        "pub fn greeting() -> &'static str {\n    let none = httparse::EMPTY_HEADER.name;\n    if \
         none.is_empty() { \"hello\" } else { none }\n}\n",
    ),
    (
        "work/two/Cargo.toml",
        "[package]\nname = \"two\"\nversion = \"0.1.0\"\nedition = \"2024\"\n\n[dependencies]\n\
         shared = { path = \"../shared\" }\n",
    ),
    (
        "work/two/src/main.rs",
        "fn main() {\n    println!(\"two {}\", shared::greeting());\n}\n",
    ),
];

/// A workspace of two services and a library that needs a crate from elsewhere, made with the tools
/// and the crate that `examples/greeter` pins.
fn workspace() -> Example {
    let folder = tempfile::tempdir().unwrap();
    for (path, text) in WORKSPACE {
        let path = folder.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    let mut lock = Example::copy("greeter").lock();
    let tools = lock.groups.remove("build greeter").unwrap();
    for build in ["build one", "build two"] {
        lock.groups.insert(build.into(), tools.clone());
    }
    std::fs::write(folder.path().join("nos.lock"), lock.to_text()).unwrap();
    Example::from_folder("both", folder.path())
}

/// Builds after a change; the actions that ran, and the crates that were compiled in them.
fn rebuilt(example: &Example) -> (Vec<String>, Vec<String>) {
    let ran = ran(example);
    let logs = std::fs::read_dir(shared_store().join("logs")).unwrap();
    let mut logs: Vec<_> = logs.map(|log| log.unwrap()).collect();
    logs.sort_by_key(|log| log.metadata().unwrap().modified().unwrap());
    let mut compiled = Vec::new();
    for label in &ran {
        let prefix = label.replace(' ', "-");
        let name = |log: &std::fs::DirEntry| log.file_name().into_string().unwrap();
        // The newest log of an action that ran is its own.
        let log = logs.iter().rev().find(|log| {
            let name = name(log);
            name.rsplit_once('-')
                .is_some_and(|(name, _)| name == prefix)
        });
        let Some(log) = log else { continue };
        let text = std::fs::read_to_string(log.path()).unwrap();
        let crates = text.lines().filter_map(|line| {
            let (name, _) = line
                .trim_start()
                .strip_prefix("Compiling ")?
                .split_once(' ')?;
            Some(format!("{label}: {name}"))
        });
        compiled.extend(crates);
    }
    compiled.sort();
    (ran, compiled)
}

#[test]
fn in_a_workspace_only_what_changed_and_what_needs_it_is_compiled() {
    if !can_make_sandboxes() {
        say!("SKIPPED: making a workspace of Rust services, as sandboxes cannot be made here");
        return;
    }
    let both = workspace();
    let plan = Nos::new(["plan", &both.spec(), "--locked", "--offline"]).json();
    let steps = at(&plan, "/steps").as_array().unwrap();
    assert!(
        steps
            .iter()
            .any(|step| step["label"] == "dependencies of one"),
        "{plan:#}"
    );
    // A store that an earlier run filled knows none of this one's lines.
    let tag = std::process::id();

    // A line of one service.
    let main = String::from_utf8(both.read("work/one/src/main.rs")).unwrap();
    both.write(
        "work/one/src/main.rs",
        main.replace("one {}", &format!("one {tag} {{}}")),
    );
    let (ran, compiled) = rebuilt(&both);
    assert_eq!(compiled, ["build one: one"], "{ran:?}");
    assert!(ran.contains(&"image first".to_string()), "{ran:?}");
    for other in [
        "build two",
        "compose second",
        "image second",
        "libraries of one",
        "libraries of two",
    ] {
        assert!(!ran.contains(&other.to_string()), "{ran:?}");
    }

    // A line of what both need: nothing from elsewhere is compiled again.
    let shared = String::from_utf8(both.read("work/shared/src/lib.rs")).unwrap();
    both.write(
        "work/shared/src/lib.rs",
        shared.replace("hello", &format!("hola {tag}")),
    );
    let (ran, compiled) = rebuilt(&both);
    let own: Vec<_> = compiled
        .iter()
        .filter(|line| line.starts_with("build"))
        .collect();
    assert_eq!(own, ["build one: one", "build two: two"], "{ran:?}");
    assert!(
        compiled.contains(&"libraries of one: shared".to_string()),
        "{compiled:?}"
    );
    let again = |line: &String| line.ends_with(": httparse");
    assert!(!compiled.iter().any(again), "{compiled:?}");
    assert!(
        !ran.iter().any(|label| label.starts_with("dependencies")),
        "{ran:?}"
    );

    // A comment there: the programs stay as they are, and so do the images.
    both.write(
        "work/shared/src/lib.rs",
        shared.replace("hello", &format!("hola {tag}")) + "// The end.\n",
    );
    let (ran, _) = rebuilt(&both);
    assert!(
        !ran.iter().any(|label| label.starts_with("image")),
        "{ran:?}"
    );
}
