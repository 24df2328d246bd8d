//! Same spec, same lock: same bytes, whoever builds them, where and when.

use crate::common::disk::{read, sectors_that_differ};
use crate::common::program::{Nos, at};
use crate::common::say;
use crate::common::{Example, store_with_packages};
use expect_test::expect_file;
use std::fs::{File, FileTimes, Permissions};
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::time::{Duration, UNIX_EPOCH};

/// A user id that nothing on the machine has.
const STRANGER: u32 = 54_321;

/// Everything below a folder, and the folder itself.
fn walk(folder: &Path, visit: &mut dyn FnMut(&Path)) {
    visit(folder);
    if folder.is_dir() {
        for entry in std::fs::read_dir(folder).unwrap() {
            walk(&entry.unwrap().path(), visit);
        }
    }
}

/// Lets a program see the clock of 2033, where libfaketime is installed.
fn in_another_year(nos: Nos) -> Nos {
    let library = Path::new("/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1");
    if !library.exists() {
        say!("SKIPPED: building in another year, as libfaketime is not installed");
        return nos;
    }
    nos.env("LD_PRELOAD", library)
        .env("FAKETIME", "2033-05-18 03:33:20")
        .env("FAKETIME_DONT_FAKE_MONOTONIC", "1")
}

#[test]
fn two_users_two_folders_two_stores_two_clocks_give_one_disk() {
    let web = Example::copy("web");
    let first = web.beside("first.img");
    Nos::new([
        "image",
        &web.spec(),
        "-o",
        &first,
        "--offline",
        "--jobs",
        "1",
    ])
    .succeeds();

    let is_root = rustix::process::geteuid().is_root();
    let place = tempfile::Builder::new()
        .prefix("nos other place ")
        .tempdir()
        .unwrap();
    let place = place.path();
    let folder = place.join("a longer name/of the same");
    crate::common::copy_folder(&web.path(), &folder);
    store_with_packages(&place.join("store"), &web.lock());
    let program = place.join("nos");
    std::fs::copy(env!("CARGO_BIN_EXE_nos"), &program).unwrap();
    // Files of another age, with other permissions.
    walk(&folder, &mut |path| {
        let mode = if path.is_dir() { 0o700 } else { 0o600 };
        std::fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
        let long_ago = UNIX_EPOCH + Duration::from_secs(981_173_106);
        let times = FileTimes::new()
            .set_modified(long_ago)
            .set_accessed(long_ago);
        File::open(path).unwrap().set_times(times).unwrap();
    });

    let second = place.join("second.img");
    let spec = folder.display().to_string();
    let nos = Nos::of(
        Path::new("/bin/sh"),
        [
            "-c",
            "umask 077; exec \"$0\" \"$@\"",
            &program.display().to_string(),
        ],
    );
    let nos = nos
        .store(&place.join("store"))
        .env("TZ", "Asia/Kathmandu")
        .env("LANG", "tr_TR");
    let nos = in_another_year(nos);
    let (mut command, home) = nos.env("LC_ALL", "de_DE.UTF-8").into_command();
    command
        .args(["image", &spec, "--offline", "--locked", "--jobs", "7", "-o"])
        .arg(&second);
    if is_root {
        for owned in [place, home.path()] {
            walk(owned, &mut |path| {
                chown(path, Some(STRANGER), Some(STRANGER)).unwrap()
            });
        }
        command.uid(STRANGER).gid(STRANGER);
    } else {
        say!("SKIPPED: building as a second user, which only root can start");
    }
    let output = command.output().unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );

    let differ = sectors_that_differ(&read(&first), &std::fs::read(second).unwrap());
    assert!(
        differ.is_empty(),
        "{} sectors differ, from {}",
        differ.len(),
        differ[0]
    );
}

#[test]
fn building_again_gives_the_same_bytes() {
    let cache = Example::copy("cache");
    let output = Nos::new(["build", &cache.spec(), "--check", "--offline"]).succeeds();
    assert!(output.stderr.contains("Reproducible"), "{}", output.stderr);
}

/// The root hashes of the examples' images, which cover every byte of them, and the digests of their
/// unified kernel images, which have kernel, modules, `init` and manifest in them.
///
/// Where a root hash differs and nothing was pinned anew, today's program makes other images of the
/// same packages: every machine that is updated will write all its images once more, and
/// `WORK_VERSION` must be raised so that stores do not mix the old and the new. A kernel image
/// differs as well where `init` or what it is told has changed. If that is meant, `UPDATE_EXPECT=1
/// cargo test -p nos --test e2e pinned` writes the new ones.
#[test]
fn systems_of_the_examples_have_the_pinned_digests() {
    // A store that no older program has made images in.
    let place = tempfile::tempdir().unwrap();
    let store = place.path().join("store");
    let mut found = String::new();
    for name in ["cache", "hello", "web"] {
        let example = Example::copy(name);
        if example.repinned {
            say!("SKIPPED: pinned digests, as the archive has moved on since {name} was");
            return;
        }
        store_with_packages(&store, &example.lock());
        let build = Nos::new(["build", &example.spec(), "--locked", "--offline"]);
        let built = build.store(&store).json();
        for image in at(&built, "/system/manifest/images").as_array().unwrap() {
            let hash = at(image, "/root_hash").as_str().unwrap();
            let image = at(image, "/name").as_str().unwrap();
            found.push_str(&format!("{name} {image} {hash}\n"));
        }
        let uki = at(&built, "/system/uki/digest").as_str().unwrap();
        found.push_str(&format!("{name} kernel-image {uki}\n"));
    }
    expect_file![concat!(env!("CARGO_MANIFEST_DIR"), "/tests/e2e/pinned.txt")].assert_eq(&found);
}
