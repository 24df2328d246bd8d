//! Disks that are not ours, damaged, newer, too small or in use.

use crate::said::{Said, digest, filled_store, hello, make_disk, run, skip};
use std::io::Read;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::{Command, Stdio};

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

#[test]
fn a_disk_keeps_as_many_generations_as_its_spec_says() {
    let Some(store) = filled_store() else { return };
    let place = hello();
    let at = place.path();
    let common = ["--offline", "--store", store.to_str().unwrap()];
    let spec = std::fs::read_to_string(at.join("hello.nos")).unwrap();
    let few = spec.replace("network  = dhcp", "network  = dhcp\n  disk = { keep = 2 }");
    std::fs::write(at.join("hello.nos"), few).unwrap();
    run(at, &[&["image", "-o", "disk.img"][..], &common].concat()).expect(0, &[]);
    let install = || run(at, &[&["install", ".", "disk.img"][..], &common].concat());
    install().expect(0, &["boots generation 2 next"]);
    run(at, &["pin", "disk.img", "1"]).expect(0, &["Pinned generation 1 of disk.img"]);
    install().expect(0, &["boots generation 3 next"]);
    run(at, &["switch", "disk.img", "1"]).expect(0, &[]);
    run(at, &["switch", "disk.img", "3"]).expect(0, &[]);
    install().expect(0, &["boots generation 4 next; removed 2"]);
    run(at, &["gc", "disk.img", "--keep", "1"]).expect(0, &["nothing of disk.img"]);
    run(at, &["unpin", "disk.img", "1"]).expect(0, &["Unpinned generation 1 of disk.img"]);
    run(at, &["gc", "disk.img", "--keep", "1"]).expect(0, &["generation 1 of disk.img"]);
    run(at, &["remove", "disk.img", "3"]).expect(0, &["Removed generation 3 of disk.img"]);
    let log = run(at, &["log", "disk.img", "--json"]).json().to_string();
    for note in ["generation 1", "removed 2", "removed 3"] {
        assert!(log.contains(&format!("\"note\":\"{note}")), "{note}: {log}");
    }
}

#[test]
fn a_disk_may_have_any_name() {
    use std::os::unix::ffi::OsStrExt;
    let place = crate::said::folder(&[]);
    let name = std::ffi::OsStr::from_bytes(b"a \xFF\n.img");
    make_disk(&place.path().join(name), "first");
    for verb in ["generations", "verify", "log"] {
        let mut nos = crate::said::nos(place.path());
        let said = Said::from(nos.arg(verb).arg(name).arg("--json").output().unwrap());
        said.expect(0, &[]);
        assert_eq!(said.json()["disk"], "a \u{FFFD}\n.img", "{verb}");
    }
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
    let _socket = std::os::unix::net::UnixListener::bind(at.join("socket.img")).unwrap();
    refuse(
        at,
        "socket.img",
        "socket.img is neither an image file nor a block device; name one",
    );
    std::os::unix::fs::symlink("round.img", at.join("round.img")).unwrap();
    refuse(at, "round.img", "(os error 40); check the path");
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
        "\\loader\\loader.conf is missing or damaged; `nos verify --repair` lets the newest",
    );
    patch(&disk, b"l\0o\0a\0d\0e\0", b"b\0o\0a\0d\0e\0", usize::MAX);
    refuse(
        at,
        "foreign.img",
        "the boot files of this nOs disk are lost: it has no \\loader\\loader.conf; its partitions are",
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
    // With one of the two tables everything works: see `rescue`.
    patch(&disk, b"EFI PART", b"EFI PORT", usize::MAX);
    refuse(at, "primary.img", "this disk has no GUID partition table");

    let disk = at.join("entries.img");
    make_disk(&disk, "");
    let file = std::fs::OpenOptions::new().write(true).open(&disk).unwrap();
    file.write_all_at(b"damage", 2 * 512 + 40).unwrap();
    let end = file.metadata().unwrap().len();
    file.write_all_at(b"damage", end - 32 * 512).unwrap();
    refuse(
        at,
        "entries.img",
        "(the partition entries in sector 2 do not match",
    );

    // A part of what is used is cut off; where only room is, the disk works: see disk/tests/damage.rs.
    let disk = at.join("short.img");
    make_disk(&disk, "");
    std::fs::OpenOptions::new()
        .write(true)
        .open(&disk)
        .unwrap()
        .set_len(4 << 20)
        .unwrap();
    refuse(
        at,
        "short.img",
        "the medium has 4194304 bytes, and partition 1 (EFI system) of",
    );
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
