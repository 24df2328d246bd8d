//! Kernels for other platforms than QEMU's own, booted on what QEMU can stand in for: the disk, the
//! network card and the way to start of each. Each platform's kernel is built once, which takes
//! minutes, so these tests run when asked: `cargo test -p nos --test e2e -- --ignored platforms`.
//!
//! Xen is not among them: QEMU emulates none without KVM. Firmware reads the first disk, which is
//! QEMU's own kind and which these kernels have no driver for; what they run from is the second.

use crate::common::Example;
use crate::common::machine::Machine;
use std::net::{SocketAddr, TcpListener};

/// examples/tiny for another platform, with more in its host.
fn tiny_for(platform: &str, host: &str) -> Example {
    let folder = tempfile::tempdir().unwrap();
    let from = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/tiny");
    crate::common::copy_folder(&from, folder.path());
    let spec = std::fs::read_to_string(folder.path().join("tiny.nos")).unwrap();
    let block = format!("kernel own {{\n  platform = {platform}\n}}\n\nhost tiny {{\n{host}");
    let spec = spec
        .replace("host tiny {\n", &block)
        .replace("kernel.minimal", "own")
        .replace("96MiB", "192MiB");
    std::fs::write(folder.path().join("tiny.nos"), spec).unwrap();
    Example::from_folder("tiny", folder.path())
}

/// Boots by firmware, with these devices besides; `DISK` in them is the disk once more, `NET` the
/// network.
fn boots_with(example: &Example, disk: &str, devices: &[&str]) {
    // Freed again before QEMU takes it.
    let port = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let mut more = vec![
        // The same file as the first disk's, which only that one writes.
        format!(
            "-drive=if=none,id=second,format=raw,snapshot=on,file.filename={disk},file.locking=off"
        ),
        format!("-netdev=user,id=second,hostfwd=tcp:127.0.0.1:{port}-:80"),
    ];
    for device in devices {
        let device = device
            .replace("DISK", "drive=second")
            // Its program for firmware is not among the pinned tools, and not asked for.
            .replace("NET", "netdev=second,romfile=");
        more.push(format!("-device={device}"));
    }
    let more: Vec<String> = more
        .iter()
        .filter_map(|argument| argument.split_once('='))
        .flat_map(|(flag, value)| [format!("--qemu={flag}"), format!("--qemu={value}")])
        .chain(["--offline".to_owned()])
        .collect();
    let more: Vec<&str> = more.iter().map(String::as_str).collect();
    let machine = Machine::start_with(example, Some(disk), "tcg", &more);
    machine.wait_for("nos: ready in");
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    let answer = crate::common::http::get(address, "/");
    let page = example.read("site/index.html");
    assert!(answer.body == page, "with {devices:?}: {}", answer.status);
    machine.stop();
}

fn boots_direct(platform: &str) {
    let tiny = tiny_for(platform, "");
    let disk = tiny.image("tiny.img");
    let mut machine = Machine::boot_direct(&tiny, Some(&disk), "48MiB");
    assert_eq!(machine.get("/").body, tiny.read("site/index.html"));
    machine.signal(rustix::process::Signal::INT);
    assert_eq!(machine.end().0.code(), Some(0));
}

#[test]
#[ignore = "builds a kernel, which takes minutes"]
fn microvm_starts_on_a_machine_without_pci() {
    boots_direct("microvm");
}

#[test]
#[ignore = "builds a kernel, which takes minutes"]
fn firecracker_starts_on_a_machine_without_pci() {
    boots_direct("firecracker");
}

#[test]
#[ignore = "builds a kernel, which takes minutes"]
fn vmware_has_its_disk_controller_and_its_network_card() {
    let tiny = tiny_for("vmware", "");
    let disk = tiny.image("tiny.img");
    boots_with(
        &tiny,
        &disk,
        &["pvscsi,id=scsi", "scsi-hd,bus=scsi.0,DISK", "vmxnet3,NET"],
    );
    boots_with(
        &tiny,
        &disk,
        &["ich9-ahci,id=sata", "ide-hd,bus=sata.0,DISK", "e1000e,NET"],
    );
}

#[test]
#[ignore = "builds a kernel, which takes minutes"]
fn pc_has_the_disks_and_network_cards_of_real_machines() {
    let tiny = tiny_for("pc", "");
    let disk = tiny.image("tiny.img");
    for devices in [
        &["ich9-ahci,id=sata", "ide-hd,bus=sata.0,DISK", "e1000e,NET"][..],
        &["nvme,serial=one,DISK", "igb,NET"],
        &[
            "qemu-xhci,id=usb",
            "usb-storage,bus=usb.0,DISK",
            "e1000,NET",
        ],
        &[
            "qemu-xhci,id=usb",
            "usb-uas,bus=usb.0,id=uas",
            "scsi-hd,bus=uas.0,DISK",
            "rtl8139,NET",
        ],
        &[
            "usb-ehci,id=usb",
            "usb-storage,bus=usb.0,DISK",
            "e1000e,NET",
        ],
    ] {
        boots_with(&tiny, &disk, devices);
    }
}

#[test]
#[ignore = "builds a kernel, which takes minutes"]
fn a_state_partition_and_a_second_processor_are_used() {
    let tiny = tiny_for("qemu", "  disk     = { state = 64MiB }\n");
    let disk = tiny.image("tiny.img");
    let more = ["--offline", "--cpus", "2"];
    let machine = Machine::start_with(&tiny, Some(&disk), "tcg", &more);
    machine.wait_for("nos: ready in");
    assert_eq!(machine.get("/").body, tiny.read("site/index.html"));
    machine.stop();
}
