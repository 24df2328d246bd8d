//! Flashing what looks like a mistake.

use crate::said::{
    Said, digest, filled_store, folder, hello, make_disk_with_state, nos, run, skip,
};
use nos_disk::{Disk, Finding, MemoryDevice};
use rustix::process::{Pid, Signal};
use std::path::Path;
use std::process::{Command, Stdio};

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
            "small.img: a disk of 1.00 MiB is too small: it needs ",
            "make the file larger",
        ],
    );
    assert_eq!(
        std::fs::read(at.join("small.img")).unwrap(),
        vec![7; 1 << 20]
    );
    flash("gone.img", &["--yes", "none"])
        .expect(1, &["there is no device gone.img; `lsblk` lists"]);
    std::fs::write(at.join("disk.img.xz"), b"\xFD7zXZ\0 and so on").unwrap();
    run(at, &["flash", "disk.img.xz", "stick.img", "--yes", "none"]).expect(
        2,
        &["disk.img.xz is compressed by xz; unpack it first (`xz -dk disk.img.xz`)"],
    );
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

#[test]
fn after_flashing_a_device_the_kernel_sees_its_partitions_or_that_is_said() {
    if !rustix::process::geteuid().is_root() {
        return skip("only root can make a loop device");
    }
    let place = folder(&[]);
    let at = place.path();
    make_disk_with_state(&at.join("disk.img"), "first", 2 << 20);
    let attach = |file: &str, options: &[&str]| {
        let made = Command::new("losetup")
            .args(["--find", "--show", file])
            .args(options)
            .current_dir(at)
            .output();
        let made = made.ok().filter(|made| made.status.success())?;
        Some(Loop(
            String::from_utf8(made.stdout).ok()?.trim().to_string(),
        ))
    };
    let partitions = |device: &Loop| {
        let folder = Path::new("/sys/class/block").join(device.0.trim_start_matches("/dev/"));
        let all = std::fs::read_dir(folder).unwrap();
        let places = all.map(|entry| entry.unwrap().path());
        places
            .filter(|place| place.join("partition").exists())
            .count()
    };
    let flash_onto = |options: &[&str], sees: bool| {
        let stick = std::fs::File::create(at.join("stick")).unwrap();
        stick.set_len(24 << 20).unwrap();
        let device = attach("stick", options).unwrap();
        let said = run(
            at,
            &["flash", "disk.img", &device.0, "--yes", "none", "--json"],
        );
        said.expect(0, &[]);
        let warning = format!("the kernel goes by other partitions of {} than", device.0);
        assert_eq!(said.err.contains(&warning), !sees, "{}", said.err);
        assert_eq!(said.json()["partitions_seen"], sees);
        // EFI system partition, image, state.
        assert_eq!(partitions(&device), if sees { 3 } else { 0 });
    };
    let Some(known) = attach("disk.img", &["--partscan"]) else {
        return skip("there are no loop devices");
    };
    let reads_tables = partitions(&known) == 3;
    drop(known);
    flash_onto(&[], false);
    // A kernel without GPT shows none of any device: there only the warning can be seen.
    if reads_tables {
        flash_onto(&["--partscan"], true);
    }
}

/// What a file at `path` holds as a disk: the generation that boots, `None` for no disk of ours.
fn boots(path: &Path) -> Option<u32> {
    let mut device = MemoryDevice::from_bytes(std::fs::read(path).unwrap(), 512);
    Disk::open(&mut device).ok()?.current()
}

#[test]
fn images_are_flashed_and_the_state_is_kept() {
    let place = folder(&[]);
    let at = place.path();
    make_disk_with_state(&at.join("disk.img"), "first", 2 << 20);
    std::fs::File::create(at.join("stick"))
        .unwrap()
        .set_len(24 << 20)
        .unwrap();
    let flash = |more: &[&str]| run(at, &[&["flash"], more].concat());
    let keep = ["disk.img", "stick", "--yes", "none", "--keep-state"];
    flash(&keep).expect(
        1,
        &["stick: there is no state to keep: the disk has no partition table"],
    );
    let said = flash(&["disk.img", "stick", "--yes", "none", "--json"]);
    said.expect(
        0,
        &["new: disk.img (", "unsigned: nobody vouches for this image"],
    );
    let told = said.json();
    assert!(told["bytes_verified"].as_u64() > Some(1 << 20), "{told}");
    assert_eq!(told["number"], 1);
    assert_eq!(boots(&at.join("stick")), Some(1));

    // What services wrote stays when all else is written again.
    let mut bytes = std::fs::read(at.join("stick")).unwrap();
    let state = (24 << 20) - (3 << 20)..(24 << 20) - (1 << 20);
    bytes[state.clone()].fill(0x5A);
    std::fs::write(at.join("stick"), &bytes).unwrap();
    let said = flash(&keep);
    said.expect(
        0,
        &[
            "kept: state partition (2.00 MiB)",
            "Flashed stick: generation 1 of",
        ],
    );
    let after = std::fs::read(at.join("stick")).unwrap();
    assert!(after[state].iter().all(|byte| *byte == 0x5A));
    assert_eq!(boots(&at.join("stick")), Some(1));

    // The same disk through a pipe, and through a compressor.
    let piped = nos(at)
        .args(["flash", "disk.img", "--stdout"])
        .output()
        .unwrap();
    std::fs::write(at.join("piped"), &piped.stdout).unwrap();
    assert_eq!(piped.stdout.len(), 16 << 20);
    assert_eq!(boots(&at.join("piped")), Some(1));
    let packed = zstd::encode_all(std::fs::File::open(at.join("disk.img")).unwrap(), 1).unwrap();
    std::fs::write(at.join("disk.img.zst"), packed).unwrap();
    flash(&["disk.img.zst", "stick", "--yes", "none"]).expect(0, &["generation 1 of disk.img.zst"]);
    flash(&["disk.img", "--stdout", "--json"]).expect(2, &["leave --json out"]);
    flash(&["disk.img"]).expect(2, &["DEVICE"]);

    // Nobody reads on.
    let mut child = nos(at)
        .args(["flash", "disk.img", "--stdout"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let ended = Said::from(child.wait_with_output().unwrap());
    assert_eq!((ended.code, ended.err.as_str()), (Some(0), ""));
}

#[test]
fn images_are_only_what_was_signed() {
    let place = folder(&[]);
    let at = place.path();
    make_disk_with_state(&at.join("disk.img"), "first", 2 << 20);
    std::fs::File::create(at.join("stick"))
        .unwrap()
        .set_len(24 << 20)
        .unwrap();
    let blank = digest(&at.join("stick"));
    let flash = |more: &[&str]| {
        run(
            at,
            &[&["flash", "disk.img", "stick", "--yes", "none"], more].concat(),
        )
    };
    let key = nos_store::SecretKey::from_seed(&[3; 32]);
    let public = key.public().to_string();
    let stranger = nos_store::SecretKey::from_seed(&[4; 32])
        .public()
        .to_string();
    flash(&["--trust", &public]).expect(1, &["disk.img is not signed: there is no disk.img.sig"]);
    let device = nos_disk::FileDevice::open_read_only(&at.join("disk.img")).unwrap();
    let sealed = nos_disk::flash::SealedImage::new(device, &mut |_| {}).unwrap();
    let signature = key.sign_digest("disk image", &nos_store::Digest(sealed.digest()));
    drop(sealed);
    std::fs::write(at.join("disk.img.sig"), signature.to_string()).unwrap();
    flash(&["--trust", &stranger]).expect(
        1,
        &[&format!(
            "signed by {public}, which is none of the keys that you trust"
        )],
    );
    // One bit of what nobody reads.
    let good = std::fs::read(at.join("disk.img")).unwrap();
    let mut bad = good.clone();
    bad[(16 << 20) - (5 << 20)] ^= 1;
    std::fs::write(at.join("disk.img"), &bad).unwrap();
    flash(&[]).expect(1, &["disk.img is not what disk.img.sig was made for"]);
    std::fs::write(at.join("note"), "no signature").unwrap();
    flash(&["--signature", "note"]).expect(1, &["note: this is no signature"]);
    assert_eq!(digest(&at.join("stick")), blank);
    std::fs::write(at.join("disk.img"), &good).unwrap();
    flash(&["--trust", &public]).expect(0, &["which you trust", "Flashed stick"]);
    let said = flash(&["--json"]);
    said.expect(0, &[&format!("--trust {public} if that is the right key")]);
    assert_eq!(said.json()["signed_by"], public.as_str());
}

/// Killed or interrupted at any moment, the disk is what it was or boots nothing, and the next
/// run makes it whole.
#[test]
fn a_flash_that_is_killed_or_interrupted_never_half_boots() {
    let place = folder(&[]);
    let at = place.path();
    make_disk_with_state(&at.join("disk.img"), "new", 2 << 20);
    make_disk_with_state(&at.join("old.img"), "old", 2 << 20);
    let label = |path: &Path| {
        let mut device = MemoryDevice::from_bytes(std::fs::read(path).unwrap(), 512);
        let disk = Disk::open(&mut device).ok()?;
        let findings = disk.verify(&mut |_| {}).unwrap().findings;
        let is_ignored = |finding: &Finding| finding.to_string().contains("no protective MBR");
        if findings.iter().any(is_ignored) {
            return None;
        }
        assert_eq!(findings, []);
        Some(disk.generations()[0].label.clone())
    };
    let mut stopped = 0;
    for (round, signal) in [Signal::KILL, Signal::INT, Signal::TERM]
        .iter()
        .cycle()
        .take(24)
        .enumerate()
    {
        std::fs::copy(at.join("old.img"), at.join("stick")).unwrap();
        let child = nos(at)
            .args(["flash", "disk.img", "stick", "--yes", "none"])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // At another moment each time: after so many looks at the file.
        let pid = Pid::from_child(&child);
        for _ in 0..round {
            let _ = std::fs::metadata(at.join("stick"));
            std::thread::yield_now();
        }
        let _ = rustix::process::kill_process(pid, *signal);
        let said = Said::from(child.wait_with_output().unwrap());
        match (label(&at.join("stick")).as_deref(), said.code) {
            (Some("new"), Some(0) | None) | (Some("old"), None) => {}
            (Some("old"), Some(1)) => {
                said.expect(1, &["stick: stopped; nothing was written"]);
            }
            (None, None) => stopped += 1,
            (None, Some(1)) => {
                said.expect(
                    1,
                    &["stick: stopped; the device has no partition table now"],
                );
                stopped += 1;
            }
            other => panic!("{signal:?} in round {round}: {other:?}\n{said:#?}"),
        }
    }
    println!("{stopped} of 24 were stopped half-way");
    run(at, &["flash", "disk.img", "stick", "--yes", "none"]).expect(0, &["Flashed"]);
    assert_eq!(label(&at.join("stick")).as_deref(), Some("new"));
    let log = run(at, &["log", "stick"]).out;
    assert!(log.contains("flash") && log.contains("disk.img"), "{log}");
}
