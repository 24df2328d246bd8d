//! Locks that are damaged, newer, or name other bytes than there are.

use crate::said::{hello, run};

#[test]
fn damaged_and_newer_locks_are_refused() {
    let place = hello();
    let path = place.path().join("nos.lock");
    let good = std::fs::read_to_string(&path).unwrap();
    let sha = good.find("sha256 = \"").unwrap() + 10;
    for (lock, message) in [
        (
            good[..good.len() / 2].to_string(),
            "take the file from version control, or remove it",
        ),
        (
            format!("<<<<<<< HEAD\n{good}"),
            "./nos.lock: line 1, column 9: key with no value",
        ),
        (
            // Whatever else it may hold.
            good.replace("version = 1\n", "version = 3\nnews = true\n"),
            "it has version 3, this program reads up to 2; use a newer nos",
        ),
        (
            good.replace(&good[sha..sha + 64], &good[sha..sha + 63]),
            "not a SHA-256 of 64",
        ),
        (
            good.replace("pool/", "../pool/"),
            "not a relative path without `..`",
        ),
    ] {
        std::fs::write(&path, &lock).unwrap();
        run(place.path(), &["build", "--offline"]).expect(2, &["./nos.lock: ", message]);
        assert_eq!(
            std::fs::read_to_string(&path).unwrap(),
            lock,
            "the lock was changed"
        );
    }
}

#[test]
fn a_lock_that_does_not_fit_is_refused_where_it_must_not_change() {
    let place = hello();
    let path = place.path().join("nos.lock");
    let spec = place.path().join("hello.nos");
    let text = std::fs::read_to_string(&spec).unwrap();
    std::fs::write(&spec, text.replace("busybox-static", "busybox")).unwrap();
    let said = run(place.path(), &["build", "--locked"]);
    said.expect(
        1,
        &["./nos.lock does not fit the spec; run `nos lock` and commit the result"],
    );
    std::fs::remove_file(&path).unwrap();
    let said = run(place.path(), &["build", "--locked"]);
    said.expect(
        1,
        &["./nos.lock is missing; run `nos lock` and commit the result"],
    );
    assert!(!path.exists());
}

#[test]
fn bytes_that_are_not_the_locked_ones_are_never_kept() {
    let place = hello();
    let at = place.path();
    // A mirror with files of the right names and sizes and other bytes.
    let lock = std::fs::read_to_string(at.join("nos.lock")).unwrap();
    let lock = nos_specs::lock::Lock::parse(&lock).unwrap();
    let mirror = at.join("mirror");
    for package in lock.packages.values() {
        let path = mirror.join(&package.path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        let file = std::fs::File::create(path).unwrap();
        file.set_len(package.size).unwrap();
    }
    let mirror = mirror.to_str().unwrap();
    let said = run(at, &["build", "--store", "store", "--mirror", mirror]);
    said.expect(
        1,
        &["is not the package that nos.lock names", "nothing was kept"],
    );
    for package in lock.packages.values() {
        let (first, rest) = package.sha256.split_at(2);
        assert!(!at.join("store/objects").join(first).join(rest).exists());
    }
    let said = run(at, &["store", "verify", "--store", "store", "--json"]);
    assert_eq!(
        (said.code, &said.json()["problems"]),
        (Some(0), &0.into()),
        "{said:#?}"
    );
}
