//! Without network: with a full store everything works, with an empty one it is said what is
//! missing.

use crate::common::Example;
use crate::common::program::{Nos, at};

/// A place where no mirror is. Nobody may ask for it.
const NOWHERE: &str = "http://127.0.0.1:1/debian";

#[test]
fn a_full_store_needs_no_mirror() {
    for name in ["hello", "web", "cache"] {
        let example = Example::copy(name);
        let spec = example.spec();
        Nos::new(["build", &spec, "--offline"]).succeeds();
        Nos::new(["build", &spec])
            .env("NOS_DEBIAN_MIRROR", NOWHERE)
            .succeeds();
        Nos::new(["plan", &spec, "--offline"]).succeeds();
    }
}

#[test]
fn an_empty_store_says_what_it_needs() {
    let hello = Example::copy("hello");
    let empty = tempfile::tempdir().unwrap();
    let store = empty.path().join("store");
    let spec = hello.spec();
    let plan = Nos::new(["plan", &spec, "--offline"]).store(&store).json();
    let fetch = at(&plan, "/fetch").as_array().unwrap();
    assert!(fetch.len() >= 3, "{plan:#}");
    for more in [["--offline", "--quiet"], ["--mirror", NOWHERE]] {
        let build = Nos::new(["build", &spec].into_iter().chain(more)).store(&store);
        let output = build.run().expect_code(1);
        for package in fetch {
            let name = at(package, "/package").as_str().unwrap();
            assert!(
                output.stderr.contains(name),
                "no {name} in {}",
                output.stderr
            );
        }
        assert_eq!(output.stdout, "");
    }
}
