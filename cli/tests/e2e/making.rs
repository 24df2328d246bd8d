//! Content made from sources: a Rust service, from its lines to an image.

use crate::common::Example;
use crate::common::program::{Nos, at};
use crate::common::say;
use expect_test::expect;

/// Labels of the steps that a build would run, in their order.
fn to_run(example: &Example) -> Vec<String> {
    let plan = Nos::new(["plan", &example.spec(), "--locked", "--offline"]).json();
    let steps = at(&plan, "/steps").as_array().unwrap().iter();
    let runs = steps.filter(|step| at(step, "/fate") == "build");
    runs.map(|step| at(step, "/label").as_str().unwrap().to_owned())
        .collect()
}

#[test]
fn a_changed_line_of_rust_compiles_one_crate_and_makes_one_image() {
    let doctor = Nos::new(["doctor", "--offline"]).run();
    if doctor.stdout.contains("no  build: sandbox for programs") {
        say!("SKIPPED: making a Rust service, as sandboxes cannot be made here");
        return;
    }
    let greeter = Example::copy("greeter");
    assert!(to_run(&greeter).is_empty());
    let built = Nos::new(["build", &greeter.spec(), "--locked", "--offline"]).json();
    if !greeter.repinned {
        // The same for every user, folder and machine.
        expect!["101af26f34b62f851f1b459c32c4ce4d27ebb6cbf681dc6c9bfa977b9f12e1fb"].assert_eq(
            at(&built, "/system/manifest/images/0/root_hash")
                .as_str()
                .unwrap(),
        );
    }

    let lines = String::from_utf8(greeter.read("greeter/src/main.rs")).unwrap();
    greeter.write(
        "greeter/src/main.rs",
        lines.replace("Hello, {name}", "Welcome, {name}"),
    );
    let said = Nos::new(["build", &greeter.spec(), "--locked", "--offline"]).succeeds();
    assert!(said.stderr.contains("build greeter"), "{}", said.stderr);
    assert!(!said.stderr.contains("dependencies"), "{}", said.stderr);

    // A comment changes the crate and not the program: nothing behind it runs.
    let lines = String::from_utf8(greeter.read("greeter/src/main.rs")).unwrap();
    greeter.write("greeter/src/main.rs", format!("{lines}// The end.\n"));
    let said = Nos::new(["build", &greeter.spec(), "--locked", "--offline"]).succeeds();
    assert!(said.stderr.contains("build greeter"), "{}", said.stderr);
    assert!(!said.stderr.contains("image hello"), "{}", said.stderr);

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
