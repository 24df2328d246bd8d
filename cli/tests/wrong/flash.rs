//! Flashing what looks like a mistake.

use crate::said::{digest, filled_store, hello, run, skip};
use std::process::Command;

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
