//! File systems without room.

use crate::said::{filled_store, folder, hello, run, skip};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::Command;

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
