//! Bad input: wrong specs, locks, stores, disks and places, each refused with its place and the
//! remedy, and with nothing half done.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that cannot go on should stop"
)]

mod common_wrong;

use common_wrong::{Said, digest, filled_store, folder, hello, make_disk, nos, run, skip};
use expect_test::expect;
use std::io::Read;
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

/// Reaches nothing, at once.
const DEAD_MIRROR: &str = "http://127.0.0.1:1/debian";

// ── Specs ───────────────────────────────────────────────────────────────────────────────────

/// Ten mistakes of ten kinds, one of them about a file.
const TEN_MISTAKES: &str = r#"use std.kernel

service web {
  packages = ["nginx", "nginx"]
  files    = { "/srv/www" = folder("site"), "/etc/nginx.conf" = file("ngnix.conf") }
  keep     = ["etc/mime.types"]
  run      = "/usr/sbin/nginx"
  listen   = [tcp(80)]
  health   = http(port = 80, within = 10)
}

service cache {
  packages = ["redis-server"]
  run      = ["/usr/bin/redis-server"]
  state    = ["/data"]
  listen   = [tcp(70000)]
  restart  = sometimes
}

service lonely {
  packages = ["busybox-static"]
}

host edge {
  kernel   = kernel.stok
  services = [web, cash]
  disk     = { esp = 64MB }
}
"#;

#[test]
fn ten_mistakes_are_all_shown_in_one_run() {
    let place = folder(&[
        ("ten.nos", TEN_MISTAKES),
        ("nginx.conf", ""),
        ("site/index.html", ""),
    ]);
    // The messages themselves are pinned where the language is; here that none is missing.
    let said = run(place.path(), &["check", "ten.nos"]);
    let title = |line: &str| line.starts_with("error[") || line.trim_start().starts_with("-->");
    let titles: Vec<&str> = said
        .err
        .lines()
        .filter(|line| title(line))
        .map(str::trim)
        .collect();
    expect![[r#"
        error[E0408]: this stands in `packages` a second time
        --> ten.nos:4:24
        error[E0702]: "ngnix.conf" is not there
        --> ten.nos:5:70
        error[E0403]: "etc/mime.types" is not an absolute path
        --> ten.nos:6:15
        error[E0401]: `run` takes a list of arguments, not a text
        --> ten.nos:7:14
        error[E0401]: `within` takes a time, not a number
        --> ten.nos:9:39
        error[E0402]: `port` is 70000, more than the most: 65535
        --> ten.nos:16:19
        error[E0201]: nothing here is called `sometimes`
        --> ten.nos:17:14
        error[E0302]: service `lonely` has no `run`
        --> ten.nos:20:9
        error[E0201]: `kernel` defines no `stok`
        --> ten.nos:25:21
        error[E0201]: nothing here is called `cash`
        --> ten.nos:26:20
        error[E0104]: `MB` in `64MB` is no unit
        --> ten.nos:27:22"#]]
    .assert_eq(&titles.join("\n"));
    assert_eq!((said.code, said.out.as_str()), (Some(2), ""));
    assert_eq!(
        said.err.matches("help: ").count(),
        titles.len() / 2,
        "{}",
        said.err
    );

    let said = run(place.path(), &["build", "ten.nos", "--json"]);
    assert_eq!((said.code, said.err.as_str()), (Some(2), ""));
    let report = said.json();
    let diagnostics = report["diagnostics"].as_array().unwrap();
    assert!(diagnostics.len() >= 10, "{diagnostics:#?}");
    for diagnostic in diagnostics {
        let text = |name: &str| diagnostic[name].as_str().unwrap();
        assert!(
            !text("message").is_empty() && !text("help").is_empty(),
            "{diagnostic:#}"
        );
        assert!(text("code").starts_with(['E', 'W']), "{diagnostic:#}");
        let label = &diagnostic["labels"][0];
        assert_eq!(label["file"], "ten.nos");
        assert!(label["start"]["line"].as_u64() >= Some(1), "{diagnostic:#}");
    }
}

#[test]
fn a_missing_source_is_shown_where_it_is_named_and_by_check_already() {
    let place = hello();
    std::fs::rename(place.path().join("site"), place.path().join("sites")).unwrap();
    let said = run(place.path(), &["check"]);
    expect![[r#"
        exit 2
        err: error[E0702]: "site" is not there
        err:  --> ./hello.nos:6:36
        err:   |
        err: 6 |   files    = { "/srv/www" = folder("site") }
        err:   |                                    ^^^^^^
        err:   |
        err: help: did you mean "sites"? Else create it, or correct the path; it counts from the folder of the file that names it
        err:   |
        err: 6 |   files    = { "/srv/www" = folder("sites") }
        err:   |                                         +
    "#]].assert_eq(&said.shown());
    // Pinning packages does not need the files: they may be made by a later step.
    let store = place.path().join("store");
    run(
        place.path(),
        &["lock", "--offline", "--store", store.to_str().unwrap()],
    )
    .expect(0, &[]);
}

#[test]
fn sources_that_are_no_files_are_refused() {
    let place = hello();
    let site = place.path().join("site");
    std::fs::remove_dir_all(&site).unwrap();
    std::os::unix::fs::symlink("/etc", &site).unwrap();
    run(place.path(), &["check"]).expect(
        2,
        &[
            "error[E0702]: \"site\" leads out of the spec's folder by a symbolic link",
            "copy what is",
        ],
    );
    std::fs::remove_file(&site).unwrap();
    std::fs::write(&site, "").unwrap();
    run(place.path(), &["check"]).expect(2, &["\"site\" is a file", "write file(\"site\")"]);
}

#[test]
fn specs_that_cannot_be_read_are_refused() {
    let place = folder(&[("two/a.nos", ""), ("two/b.nos", ""), ("none/readme", "")]);
    let at = place.path();
    std::fs::write(at.join("latin.nos"), b"# caf\xe9\nhost a {}").unwrap();
    std::fs::write(at.join("large.nos"), vec![b' '; 64 << 20]).unwrap();
    std::fs::write(at.join("larger.nos"), vec![b' '; (64 << 20) + 1]).unwrap();
    for (spec, message) in [
        (
            "gone.nos",
            "there is no spec gone.nos; name a .nos file or a folder with one",
        ),
        (
            "none",
            "the folder none has no .nos file; name a folder with a spec",
        ),
        (
            "two",
            "the folder two has several specs (a.nos, b.nos); name one of them",
        ),
        (
            "latin.nos",
            "latin.nos is not UTF-8 text from byte 5 (line 1) on; save it as UTF-8, or name \
             another file",
        ),
        (
            "larger.nos",
            "larger.nos is larger than 64 MiB, too large to be a spec or a lock; name another file",
        ),
        (
            "/dev/zero",
            "/dev/zero is larger than 64 MiB, too large to be a spec or a lock; name another file",
        ),
    ] {
        let said = run(at, &["check", spec]);
        assert_eq!(said.shown(), format!("exit 2\nerr: error: {message}\n"));
    }
    let said = run(at, &["check", "large.nos"]);
    said.expect(
        2,
        &[
            "error[E0110]: this file has 67108864 bytes",
            "split it into several files",
        ],
    );
    assert!(said.err.len() < 1000, "{} bytes of message", said.err.len());
}

#[test]
fn hosts_that_are_not_there_are_refused_by_every_verb() {
    let place = hello();
    for verb in ["check", "lock", "update", "plan", "build", "run"] {
        let said = run(place.path(), &[verb, "hello.nos#edge"]);
        said.expect(
            2,
            &["error: hello.nos has no host \"edge\"; its hosts are hello"],
        );
    }
    let none = folder(&[("empty.nos", "")]);
    run(none.path(), &["build"]).expect(2, &["./empty.nos describes no host; add a `host` block"]);
}

// ── Packages ────────────────────────────────────────────────────────────────────────────────

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

// ── The network ─────────────────────────────────────────────────────────────────────────────

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

// ── Locks ───────────────────────────────────────────────────────────────────────────────────

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
            good.replace("version = 1\n", "version = 2\n"),
            "use a newer nos",
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

// ── Stores ──────────────────────────────────────────────────────────────────────────────────

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
    let said = nos(at).env_remove("HOME").arg("build").output().unwrap();
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

#[test]
fn a_full_file_system_is_told_and_leaves_a_store_that_verifies() {
    let Some(store) = filled_store() else { return };
    let place = hello();
    let at = place.path();
    let full = at.join("full");
    std::fs::create_dir(&full).unwrap();
    if !rustix::process::geteuid().is_root() {
        return skip("only root can mount a small file system");
    }
    // All packages are there, so that no network is needed to come to the end of the space.
    let lock = std::fs::read_to_string(at.join("nos.lock")).unwrap();
    let lock = nos_specs::lock::Lock::parse(&lock).unwrap();
    let mirror = at.join("mirror");
    let mut packages = 0;
    for package in lock.packages.values() {
        let (first, rest) = package.sha256.split_at(2);
        let path = mirror.join(&package.path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        // Of the kernel's two packages one is but a name, and never fetched.
        packages += std::fs::copy(store.join("objects").join(first).join(rest), path).unwrap_or(0);
    }
    if packages < 1 << 20 {
        return skip("the store no longer holds the packages themselves");
    }
    let (full, mirror) = (full.to_str().unwrap(), mirror.to_str().unwrap());
    // Fetching, unpacking, picking modules and the last file come to the end of it.
    for size in ["8m", "48m", "74m", "84m"] {
        let Some(_mounted) = Mounted::new(Path::new(full), size) else {
            return skip("tmpfs cannot be mounted here");
        };
        let said = run(at, &["build", "--store", full, "--mirror", mirror]);
        if said.code == Some(0) && size == "84m" {
            return skip("packages have become small: choose other sizes");
        }
        said.expect(1, &["No space left on device", "free some space there"]);
        assert!(!said.err.contains("report this"), "{}", said.err);
        let said = run(at, &["store", "verify", "--store", full, "--json"]);
        assert_eq!(
            (said.code, &said.json()["problems"]),
            (Some(0), &0.into()),
            "{said:#?}"
        );
    }
    let Some(_mounted) = Mounted::new(Path::new(full), "8m") else {
        return;
    };
    // The same for a disk image: no part of it stays behind.
    let store = store.to_str().unwrap();
    let said = run(
        at,
        &[
            "image",
            "-o",
            "full/disk.img",
            "--store",
            store,
            "--offline",
        ],
    );
    said.expect(
        1,
        &[
            "error: full/disk.img: ",
            "No space left on device",
            "free some space there or choose",
        ],
    );
    assert_eq!(
        std::fs::read_dir(full).unwrap().count(),
        0,
        "a part of the image stays behind"
    );
}

#[test]
fn a_lock_without_room_leaves_the_old_one() {
    let Some(store) = filled_store() else { return };
    if !rustix::process::geteuid().is_root() {
        return skip("only root can mount a small file system");
    }
    let place = folder(&[]);
    let Some(_mounted) = Mounted::new(place.path(), "64k") else {
        return skip("tmpfs cannot be mounted here");
    };
    let hello = hello();
    for name in ["hello.nos", "nos.lock"] {
        std::fs::copy(hello.path().join(name), place.path().join(name)).unwrap();
    }
    // A lock with a group that nothing asks for: locking again would drop it.
    let lock = place.path().join("nos.lock");
    let mut old = std::fs::read_to_string(&lock).unwrap();
    old.push_str("\n# old\n");
    let old = old.replace(
        "[groups.boot]",
        "[groups.\"image old\"]\nwants = []\npackages = []\n\n[groups.boot]",
    );
    std::fs::write(&lock, &old).unwrap();
    let filler = std::fs::File::create(place.path().join("filler")).unwrap();
    let mut at = 0;
    while filler
        .write_at(&[1; 4096], at)
        .is_ok_and(|written| written > 0)
    {
        at += 4096;
    }
    let said = run(
        place.path(),
        &["lock", "--offline", "--store", store.to_str().unwrap()],
    );
    said.expect(
        1,
        &[
            "cannot write ./nos.lock: No space left on device",
            "free some space there",
        ],
    );
    assert_eq!(std::fs::read_to_string(&lock).unwrap(), old);
}

/// A small file system, gone when this is.
struct Mounted(std::path::PathBuf);

impl Mounted {
    fn new(place: &Path, size: &str) -> Option<Self> {
        let option = format!("size={size}");
        let mount = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &option, "nos-test"])
            .arg(place)
            .output();
        mount
            .is_ok_and(|output| output.status.success())
            .then(|| Self(place.to_path_buf()))
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.0).status();
    }
}

// ── Disks ───────────────────────────────────────────────────────────────────────────────────

#[test]
fn a_disk_too_small_is_refused_before_the_first_write() {
    let Some(store) = filled_store() else { return };
    let place = hello();
    let store = store.to_str().unwrap();
    let args = [
        "image",
        "--offline",
        "--store",
        store,
        "-o",
        "disk.img",
        "--size",
        "8MiB",
    ];
    let said = run(place.path(), &args);
    said.expect(
        1,
        &[
            "a disk of 8.00 MiB is too small for hello: it needs ",
            " more (",
            "--size",
        ],
    );
    let left: Vec<_> = std::fs::read_dir(place.path())
        .unwrap()
        .map(|e| e.unwrap().file_name())
        .collect();
    assert!(
        left.iter()
            .all(|name| !name.to_string_lossy().starts_with("disk.img")),
        "{left:?}"
    );
}

#[test]
fn an_install_without_room_changes_nothing() {
    let Some(store) = filled_store() else { return };
    let place = hello();
    let at = place.path();
    let common = ["--offline", "--store", store.to_str().unwrap()];
    let spec = std::fs::read_to_string(at.join("hello.nos")).unwrap();
    let tight = spec.replace(
        "network  = dhcp",
        "network  = dhcp\n  disk = { spare = 0MiB }",
    );
    std::fs::write(at.join("hello.nos"), tight).unwrap();
    run(at, &[&["image", "-o", "disk.img"][..], &common].concat()).expect(0, &[]);
    let before = digest(&at.join("disk.img"));
    let noise: Vec<u8> = (0..6u32 << 20)
        .map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8 ^ (i >> 7) as u8)
        .collect();
    std::fs::write(at.join("site/noise"), noise).unwrap();
    let said = run(at, &[&["install", ".", "disk.img"][..], &common].concat());
    said.expect(
        1,
        &[
            "error: disk.img: image \"page\" needs ",
            "bytes too few; remove old generations",
        ],
    );
    assert_eq!(digest(&at.join("disk.img")), before, "the disk was changed");
}

/// Every verb that takes a disk, with the disk at `disk`.
fn disk_verbs(disk: &str) -> Vec<Vec<String>> {
    let verbs = [
        &["generations", disk][..],
        &["verify", disk],
        &["switch", disk, "1"],
        &["rollback", disk],
        &["gc", disk],
        &["install", "hello.nos", disk],
    ];
    verbs
        .iter()
        .map(|verb| verb.iter().map(ToString::to_string).collect())
        .collect()
}

/// Every verb refuses the disk with `message`, and does not change it.
#[track_caller]
fn refuse(at: &Path, disk: &str, message: &str) {
    let path = at.join(disk);
    let before = path.is_file().then(|| digest(&path));
    for verb in disk_verbs(disk) {
        let args: Vec<&str> = verb.iter().map(String::as_str).collect();
        let said = run(at, &args);
        let err = said.err.trim_end();
        assert_eq!(
            (said.code, said.out.as_str()),
            (Some(1), ""),
            "{args:?}: {said:#?}"
        );
        assert!(
            err.starts_with("error: ") && err.lines().count() == 1,
            "{args:?}: {err}"
        );
        assert!(
            err.contains(disk) && err.contains(message),
            "{args:?}: {err}"
        );
        assert_eq!(
            before,
            path.is_file().then(|| digest(&path)),
            "{args:?} changed the disk"
        );
        let json = run(at, &[&args[..], &["--json"]].concat()).json();
        assert_eq!(format!("error: {}", json["error"].as_str().unwrap()), err);
    }
}

#[test]
fn what_is_no_disk_is_refused() {
    let place = hello();
    let at = place.path();
    std::fs::create_dir(at.join("dir.img")).unwrap();
    refuse(
        at,
        "gone.img",
        "cannot open gone.img: No such file or directory (os error 2); check the",
    );
    refuse(
        at,
        "dir.img",
        "dir.img is neither an image file nor a block device; name one",
    );
    refuse(
        at,
        "/dev/null",
        "/dev/null is neither an image file nor a block device; name one",
    );
}

#[test]
fn disks_that_are_not_ours_are_refused() {
    let place = hello();
    let at = place.path();
    let no_table = "this disk has no GUID partition table, so it is not a nOs disk; `nos image` or";
    std::fs::write(at.join("empty.img"), "").unwrap();
    refuse(at, "empty.img", no_table);
    std::fs::write(at.join("zeros.img"), vec![0; 1 << 20]).unwrap();
    refuse(at, "zeros.img", no_table);
    let noise: Vec<u8> = (0..1u32 << 20)
        .map(|i| (i.wrapping_mul(2_654_435_761) >> 21) as u8)
        .collect();
    std::fs::write(at.join("noise.img"), noise).unwrap();
    refuse(at, "noise.img", no_table);

    // A table of another system: no EFI system partition, then one without our pointer.
    let disk = at.join("foreign.img");
    make_disk(&disk, "");
    patch(&disk, b"nos format=", b"our form at", usize::MAX);
    refuse(
        at,
        "foreign.img",
        "this is not a nOs disk: its \\loader\\loader.conf was not written by nos",
    );
    patch(&disk, b"l\0o\0a\0d\0e\0", b"b\0o\0a\0d\0e\0", usize::MAX);
    refuse(
        at,
        "foreign.img",
        "this is not a nOs disk: it has no \\loader\\loader.conf",
    );
    std::fs::write(&disk, foreign_table()).unwrap();
    refuse(
        at,
        "foreign.img",
        "this is not a nOs disk: it has no EFI system partition",
    );
}

#[test]
fn damaged_and_newer_disks_are_refused() {
    let place = hello();
    let at = place.path();
    let disk = at.join("newer.img");
    make_disk(&disk, "");
    patch(&disk, b"#nos format=1", b"#nos format=2", usize::MAX);
    refuse(
        at,
        "newer.img",
        "this disk has format 2 and this program knows formats up to 1; use a newer",
    );

    let disk = at.join("primary.img");
    make_disk(&disk, "");
    patch(&disk, b"EFI PART", b"EFI PORT", 1);
    refuse(at, "primary.img", "the primary partition table is broken (");
    refuse(
        at,
        "primary.img",
        "the backup at the end of the disk is good",
    );
    patch(&disk, b"EFI PART", b"EFI PORT", 1);
    refuse(at, "primary.img", no_or_broken());

    let disk = at.join("entries.img");
    make_disk(&disk, "");
    let file = std::fs::OpenOptions::new().write(true).open(&disk).unwrap();
    file.write_all_at(b"damage", 2 * 512 + 40).unwrap();
    refuse(at, "entries.img", "the primary partition table is broken (");

    let disk = at.join("short.img");
    make_disk(&disk, "");
    std::fs::OpenOptions::new()
        .write(true)
        .open(&disk)
        .unwrap()
        .set_len(8 << 20)
        .unwrap();
    refuse(at, "short.img", "the primary partition table is broken (");
}

fn no_or_broken() -> &'static str {
    "this disk has no GUID partition table"
}

/// Replaces the first `most` occurrences of `from` in a file.
#[track_caller]
fn patch(path: &Path, from: &[u8], to: &[u8], most: usize) {
    assert_eq!(from.len(), to.len());
    let mut bytes = std::fs::read(path).unwrap();
    let places: Vec<usize> = (0..=bytes.len() - from.len())
        .filter(|&at| bytes[at..].starts_with(from))
        .take(most)
        .collect();
    assert!(!places.is_empty(), "nothing to patch");
    for at in places {
        bytes[at..at + to.len()].copy_from_slice(to);
    }
    std::fs::write(path, bytes).unwrap();
}

/// A disk of 1 MiB with a valid partition table of its own.
fn foreign_table() -> Vec<u8> {
    use nos_formats::gpt::{Entry, Geometry, Table, protective_mbr};
    let sectors = 2048;
    let geometry = Geometry {
        sector_size: 512,
        sectors,
    };
    let mut table = Table::new(
        geometry,
        "11111111-2222-3333-4444-555555555555".parse().unwrap(),
    )
    .unwrap();
    let entry = Entry {
        type_guid: "0fc63daf-8483-4772-8e79-3d69d8477de4".parse().unwrap(),
        unique_guid: "11111111-2222-3333-4444-666666666666".parse().unwrap(),
        first_lba: 128,
        last_lba: 1023,
        attributes: 0,
        name: Entry::encode_name("data"),
    };
    table.add(entry).unwrap();
    let mut disk = vec![0; sectors as usize * 512];
    let mut put = |lba: u64, bytes: &[u8]| {
        let at = lba as usize * 512;
        disk[at..at + bytes.len()].copy_from_slice(bytes);
    };
    put(0, &protective_mbr(sectors, 512));
    put(1, &table.encode_primary());
    put(2, &table.encode_array());
    put(table.backup_array_lba(), &table.encode_array());
    put(table.backup_lba, &table.encode_backup());
    disk
}

#[test]
fn generations_that_are_not_there_are_refused() {
    let place = hello();
    let at = place.path();
    make_disk(&at.join("disk.img"), "first");
    let before = digest(&at.join("disk.img"));
    for (args, message) in [
        (
            &["switch", "disk.img", "7"][..],
            "generation 7 is not on this disk; the nearest one is 1",
        ),
        (
            &["switch", "disk.img", "0"],
            "generation 0 is not on this disk; the nearest one is 1",
        ),
        (
            &["rollback", "disk.img"],
            "generation 1 is the oldest on this disk; there is none to roll",
        ),
    ] {
        run(at, args).expect(1, &["error: disk.img: ", message]);
    }
    for args in [
        &["switch", "disk.img", "two"][..],
        &["switch", "disk.img", "99999999999"],
    ] {
        run(at, args).expect(2, &["'<N>'"]);
    }
    assert_eq!(digest(&at.join("disk.img")), before);
}

#[test]
fn a_disk_in_use_is_refused() {
    let place = hello();
    let at = place.path();
    make_disk(&at.join("disk.img"), "");
    // Another process, as a virtual machine would be.
    let held = Command::new("flock")
        .args(["disk.img", "sh", "-c", "echo held; exec cat"])
        .current_dir(at)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn();
    let Ok(mut held) = held else {
        return skip("there is no flock program");
    };
    let mut said = [0; 5];
    held.stdout.as_mut().unwrap().read_exact(&mut said).unwrap();
    refuse(
        at,
        "disk.img",
        "disk.img is in use by another nos (or a virtual machine); wait until",
    );
    drop(held.stdin.take());
    held.wait().unwrap();
    run(at, &["generations", "disk.img"]).expect(0, &[]);
}

#[test]
fn an_image_is_never_put_in_the_place_of_something_else() {
    let place = hello();
    let at = place.path();
    std::fs::write(at.join("there.img"), "precious").unwrap();
    std::fs::create_dir(at.join("dir.img")).unwrap();
    for (output, force, message) in [
        (
            "there.img",
            false,
            "there.img exists already; `nos install` adds a generation to it",
        ),
        (
            "dir.img",
            true,
            "dir.img is not a regular file; name a file, or write to a device with",
        ),
        (
            "/dev/null",
            true,
            "/dev/null is not a regular file; name a file, or write to a device",
        ),
        (
            "no/disk.img",
            false,
            "no is not a folder, so no/disk.img cannot be written; make it first",
        ),
    ] {
        let args = ["image", "-o", output];
        let said = run(
            at,
            &[&args[..], if force { &["--force"] } else { &[] }].concat(),
        );
        said.expect(1, &[message]);
    }
    assert_eq!(std::fs::read(at.join("there.img")).unwrap(), b"precious");
}

// ── Flashing ────────────────────────────────────────────────────────────────────────────────

#[test]
fn flashing_without_a_yes_writes_nothing() {
    let Some(store) = filled_store() else { return };
    let place = hello();
    let at = place.path();
    let image = at.join("stick.img");
    std::fs::write(&image, vec![7; 100 << 20]).unwrap();
    let before = digest(&image);
    let common = ["--offline", "--store", store.to_str().unwrap()];
    let flash =
        |device: &str, more: &[&str]| run(at, &[&["flash", ".", device], more, &common].concat());
    flash("stick.img", &[]).expect(
        2,
        &[
            "stick.img: an image file",
            "nobody is here to confirm; nothing was written, repeat with",
        ],
    );
    flash("stick.img", &["--yes", "S3R1AL"]).expect(
        2,
        &["the serial number of stick.img is \"none\", not \"S3R1AL\"; nothing was written"],
    );
    assert_eq!(digest(&image), before);
    std::fs::write(at.join("small.img"), vec![7; 1 << 20]).unwrap();
    flash("small.img", &["--yes", "none"]).expect(
        1,
        &[
            "a disk of 1.00 MiB is too small for hello: it needs ",
            "make the file larger",
        ],
    );
    assert_eq!(
        std::fs::read(at.join("small.img")).unwrap(),
        vec![7; 1 << 20]
    );
    flash("gone.img", &["--yes", "none"])
        .expect(1, &["there is no device gone.img; `lsblk` lists"]);
    flash("/dev/null", &["--yes", "none"]).expect(1, &["/dev/null is neither an image file nor"]);
    flash("site", &["--yes", "none"])
        .expect(1, &["site is neither an image file nor a block device"]);
}

#[test]
fn flashing_a_device_in_use_is_refused_and_names_the_use() {
    let place = hello();
    let at = place.path();
    let tool = |program: &str, args: &[&str]| -> Option<String> {
        let output = Command::new(program)
            .args(args)
            .current_dir(at)
            .output()
            .ok()?;
        output
            .status
            .success()
            .then(|| String::from_utf8_lossy(&output.stdout).trim().to_string())
    };
    std::fs::File::create(at.join("disk.img"))
        .unwrap()
        .set_len(64 << 20)
        .unwrap();
    if !rustix::process::geteuid().is_root()
        || tool("mkfs.ext4", &["-q", "-F", "disk.img"]).is_none()
    {
        return skip("only root can mount a device, and mkfs.ext4 is needed");
    }
    let Some(device) = tool("losetup", &["--find", "--show", "disk.img"]) else {
        return skip("there are no loop devices");
    };
    let device = Loop(device);
    std::fs::create_dir(at.join("in-use")).unwrap();
    let said = match tool("mount", &[&device.0, "in-use"]) {
        None => None,
        Some(_) => {
            let said = run(at, &["flash", ".", &device.0, "--yes", "none"]);
            tool("umount", &["in-use"]).unwrap();
            Some(said)
        }
    };
    let before = digest(&at.join("disk.img"));
    let Some(said) = said else {
        return skip("a loop device cannot be mounted here");
    };
    let name = device.0.trim_start_matches("/dev/");
    said.expect(
        1,
        &[
            &format!("error: {} will not be written: ", device.0),
            name,
            "/in-use",
        ],
    );
    drop(device);
    assert_eq!(digest(&at.join("disk.img")), before);
}

/// A loop device, gone when this is.
struct Loop(String);

impl Drop for Loop {
    fn drop(&mut self) {
        let _ = Command::new("losetup").args(["-d", &self.0]).status();
    }
}
