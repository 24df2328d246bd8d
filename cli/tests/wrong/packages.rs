//! Packages that do not exist or exclude each other, and a network that is not there.

use crate::said::{Said, filled_store, folder, hello, run, skip};
use std::path::Path;

/// Reaches nothing, at once.
const DEAD_MIRROR: &str = "http://127.0.0.1:1/debian";

/// A spec with these packages.
fn with_packages(packages: &str) -> tempfile::TempDir {
    let spec = format!(
        "service web {{\n  packages = [{packages}]\n  run = [\"/bin/web\"]\n}}\n\n\
         host edge {{\n  services = [web]\n}}\n"
    );
    folder(&[("edge.nos", &spec)])
}

/// Locks the spec with indexes from the network; `None`, said aloud, where there is none.
fn lock_online(place: &Path) -> Option<Said> {
    let store = filled_store()?;
    let said = run(place, &["lock", "--store", store.to_str().unwrap()]);
    if said.err.contains("cannot be reached") {
        skip("no network: the archive's package index is needed");
        return None;
    }
    Some(said)
}

#[test]
fn unknown_packages_are_shown_in_the_spec_with_the_nearest_names() {
    let place = with_packages("\"ngnix\", \"busybox-statik\"");
    let Some(said) = lock_online(place.path()) else {
        return;
    };
    said.expect(
        2,
        &[
            "error[E0701]: there is no package \"ngnix\" in trixie",
            "edge.nos:2:15",
            "nginx",
            "error[E0701]: there is no package \"busybox-statik\" in trixie",
            "edge.nos:2:24",
            "busybox-static",
        ],
    );
    assert!(!place.path().join("nos.lock").exists());
}

#[test]
fn packages_that_exclude_each_other_are_shown_with_the_chain() {
    let place = with_packages("\"postfix\", \"exim4-daemon-light\"");
    let Some(said) = lock_online(place.path()) else {
        return;
    };
    said.expect(
        2,
        &[
            "error[E0703]: these packages cannot be together",
            "image web wants postfix",
            "image web wants exim4-daemon-light",
            "conflicts with mail-transport-agent",
            "edge.nos:2:15",
            "leave out one of them",
        ],
    );
    assert!(!place.path().join("nos.lock").exists());
}

#[test]
fn without_network_an_empty_store_says_what_it_needs() {
    let place = hello();
    let at = place.path();
    let said = run(at, &["build", "--mirror", DEAD_MIRROR]);
    said.expect(
        1,
        &[
            "cannot be reached",
            "needed from it: ",
            "busybox-static",
            "linux-image-",
            "systemd-boot-efi",
            "connect this machine to the network",
        ],
    );
    let said = run(at, &["build", "--offline"]);
    said.expect(
        1,
        &[
            "busybox-static",
            "linux-image-",
            "leave out --offline once to fetch",
        ],
    );
    // And without a lock the archive's index.
    std::fs::remove_file(at.join("nos.lock")).unwrap();
    let said = run(at, &["lock", "--mirror", DEAD_MIRROR]);
    said.expect(1, &["cannot be reached", "InRelease"]);
    assert!(!at.join("nos.lock").exists());
}

#[test]
fn without_network_a_full_store_is_enough() {
    let Some(store) = filled_store() else { return };
    let place = hello();
    let store = store.to_str().unwrap();
    let locked = std::fs::read(place.path().join("nos.lock")).unwrap();
    for args in [
        &["lock", "--mirror", DEAD_MIRROR][..],
        &["plan", "--mirror", DEAD_MIRROR],
        &["build", "--mirror", DEAD_MIRROR],
        &["build", "--offline"],
        &["image", "--offline", "-o", "disk.img"],
    ] {
        run(place.path(), &[args, &["--store", store]].concat()).expect(0, &[]);
    }
    assert_eq!(
        std::fs::read(place.path().join("nos.lock")).unwrap(),
        locked
    );
}
