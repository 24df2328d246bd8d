//! A machine that no longer boots, and a stick that brings it back.

use crate::common::disk::{self, sectors_that_differ};
use crate::common::machine::Machine;
use crate::common::program::{Nos, at};
use crate::common::{Example, shared_store};
use nos_disk::flash::{Fit, Plan, geometry_of, write};
use nos_disk::{BlockDevice, FileDevice};
use std::fs::OpenOptions;
use std::ops::ControlFlow;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// Overwrites the beginning of the kernel image of a disk's newest generation.
fn break_kernel(path: &str) {
    let listing = Nos::new(["generations", path]).json();
    let generations = at(&listing, "/generations").as_array().unwrap();
    let newest = generations.iter().max_by_key(|g| g["number"].as_u64());
    let digest = newest.unwrap()["uki"].as_str().unwrap().parse().unwrap();
    let store = nos_store::Store::open(shared_store()).unwrap();
    let uki = store.read_object(&digest).unwrap();
    let bytes = disk::read(path);
    let mut starts = (0..bytes.len()).step_by(disk::SECTOR);
    let place = starts.find(|start| bytes[*start..].starts_with(&uki));
    let place = place.expect("the kernel image is on the disk in one piece");
    let file = OpenOptions::new().write(true).open(path).unwrap();
    file.write_all_at(&[0xA5; disk::SECTOR], place as u64)
        .unwrap();
}

#[test]
fn a_stick_brings_a_machine_back_that_no_longer_boots() {
    let hello = Example::copy("hello");
    let old_page = hello.read("site/index.html");
    let path = hello.image("hello.img");
    hello.write("site/index.html", "<!doctype html><p>Never seen.\n");
    Nos::new(["install", &hello.spec(), &path, "--locked", "--offline"]).succeeds();
    break_kernel(&path);
    let dead = Machine::start(&hello, Some(&path));
    dead.wait_for("Error");
    drop(dead);

    let before = disk::read(&path);
    let rescue = Example::copy("rescue");
    let stick = rescue.image("stick.img");
    let more = ["--offline", "--usb", "--with", &path];
    let mut machine = Machine::start_with(&rescue, Some(&stick), "tcg", &more);
    machine.wait_for("/dev/sda, QEMU");
    machine.wait_for("this system runs from it");
    machine.wait_for("1  roll /dev/vda back to generation 1");
    machine.wait_for("A number, or a command");
    machine.types("1\n");
    machine.wait_for("/dev/vda boots generation 1 next");
    machine.types("off\n");
    let (status, said) = machine.end();
    assert_eq!(status.code(), Some(0), "{said}");
    assert!(said.contains("nos: switching off"), "{said}");
    // The pointer, and a line of the log.
    let written = sectors_that_differ(&before, &disk::read(&path));
    assert_eq!(written.len(), 2, "{written:?}\n{said}");

    let machine = Machine::boot(&hello, Some(&path));
    let answer = machine.get("/");
    assert_eq!((answer.status, answer.body), (200, old_page));
    machine.stop();
}

/// Writes a disk image onto another disk, as `nos flash` writes it onto a device.
fn flash(from: &str, to: &str) {
    let image = FileDevice::open_read_only(Path::new(from)).unwrap();
    let sector_size = image.sector_size();
    let mut target = FileDevice::create(Path::new(to), image.size_bytes(), sector_size).unwrap();
    let fit = Fit {
        identity: "another disk".into(),
        ..Fit::default()
    };
    let geometry = geometry_of(&target).unwrap();
    let plan = Plan::of_image(&image, geometry, &fit).unwrap();
    write(&plan, &mut target, &mut |_| ControlFlow::Continue(())).unwrap();
}

/// Boots a disk beside another one, which the kernel finds first.
fn start_beside(example: &Example, disk: &str, other: &str) -> Machine {
    let drive = format!("if=none,id=other,format=raw,file={other}");
    let disks = ["-device", "virtio-scsi-pci", "-drive", &drive];
    let disks = disks.iter().chain(&["-device", "scsi-hd,drive=other"]);
    let arguments = disks.flat_map(|argument| ["--qemu", argument]);
    let mut more = vec!["--offline"];
    more.extend(arguments);
    Machine::start_with(example, Some(disk), "tcg", &more)
}

#[test]
fn a_copy_of_the_disk_is_not_taken_for_it() {
    let cache = Example::copy("cache");
    let (disk, twin) = (cache.image("cache.img"), cache.beside("twin.img"));
    flash(&disk, &twin);
    let before = disk::read(&twin);
    let machine = start_beside(&cache, &disk, &twin);
    machine.wait_for("nos: ready in");
    machine.stop();
    assert!(disk::read(&twin) == before, "the other disk was written");
    // Init has noted there what runs, and redis what it keeps.
    let listing = Nos::new(["generations", &disk]).json();
    assert_eq!(at(&listing, "/generations/0/booted"), true);
    assert_eq!(at(&listing, "/generations/0/verdict/good"), true);

    // Byte for byte the same: nobody can say which is which.
    std::fs::copy(&disk, &twin).unwrap();
    let before = disk::read(&disk);
    let machine = start_beside(&cache, &disk, &twin);
    machine.wait_for("FATAL: the disks sda, vda are copies of each other");
    drop(machine);
    assert!(disk::read(&disk) == before && disk::read(&twin) == before);
}
