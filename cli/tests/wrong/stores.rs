//! Places that cannot be a store.

use crate::said::{Said, hello, nos, run, skip};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::process::Command;

#[test]
fn places_that_are_no_store_are_refused() {
    let place = hello();
    let at = place.path();
    std::fs::create_dir_all(at.join("newer")).unwrap();
    run(at, &["store", "ls", "--store", "newer"]).expect(0, &[]);
    let meta = at.join("newer/meta.json");
    let text = std::fs::read_to_string(&meta).unwrap();
    let newer = text.replacen("1", "99", 1);
    assert_ne!(text, newer);
    // It is read-only.
    std::fs::remove_file(&meta).unwrap();
    std::fs::write(&meta, newer).unwrap();
    for (store, message) in [
        (
            "hello.nos",
            "Not a directory (os error 20); name a folder, new or empty",
        ),
        (
            "site",
            "is not a nOs store (it has no meta.json but holds other files); name an empty",
        ),
        (
            "newer",
            "use the newer nos that wrote it, or name another store",
        ),
        (
            "/proc/nos",
            "cannot create the store /proc/nos: No such file or directory",
        ),
    ] {
        for verb in [
            &["build"][..],
            &["plan"],
            &["store", "ls"],
            &["store", "gc"],
        ] {
            let said = run(at, &[verb, &["--offline", "--store", store]].concat());
            said.expect(1, &[message, store]);
        }
    }
    // A variable without a value says nothing.
    let mut command = nos(at);
    command.env_remove("HOME").env("NOS_STORE", "");
    let said = command.arg("build").output().unwrap();
    Said::from(said).expect(
        2,
        &["neither NOS_STORE, XDG_DATA_HOME nor HOME is set; set one, or use --store DIR"],
    );
}

/// Runs as a user whom permissions bind, also where the tests are root's.
fn as_anyone(command: &mut Command) -> &mut Command {
    match rustix::process::geteuid().is_root() {
        true => command.uid(65_534).gid(65_534),
        false => command,
    }
}

#[test]
fn a_store_that_may_not_be_written_is_refused() {
    let place = hello();
    let at = place.path();
    std::fs::set_permissions(at, PermissionsExt::from_mode(0o755)).unwrap();
    std::fs::create_dir(at.join("closed")).unwrap();
    std::fs::set_permissions(at.join("closed"), PermissionsExt::from_mode(0o555)).unwrap();
    let mut command = nos(at);
    let said = as_anyone(command.args(["build", "--store", "closed"])).output();
    let Ok(said) = said else {
        return skip("another user may not run this nos");
    };
    Said::from(said).expect(1, &["closed", "make it accessible to this user"]);
}
