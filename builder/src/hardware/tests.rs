//! Machines as their sysfs shows them.

use super::*;
use expect_test::{Expect, expect};
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

/// Makes a sysfs with lines `bus name driver vendor:device class`; `-` is nothing.
fn sysfs(root: &Path, maker: &str, model: &str, devices: &str) {
    fs::create_dir_all(root.join("class/dmi/id")).unwrap();
    fs::write(root.join("class/dmi/id/sys_vendor"), format!("{maker}\n")).unwrap();
    fs::write(root.join("class/dmi/id/product_name"), format!("{model}\n")).unwrap();
    for line in devices.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [bus, name, driver, id, class] = words[..] else {
            panic!("{line}");
        };
        let folder = root.join("bus").join(bus).join("devices").join(name);
        fs::create_dir_all(&folder).unwrap();
        if driver != "-" {
            symlink(format!("../../drivers/{driver}"), folder.join("driver")).unwrap();
        }
        if let Some((vendor, device)) = id.split_once(':') {
            fs::write(folder.join("vendor"), format!("0x{vendor}\n")).unwrap();
            fs::write(folder.join("device"), format!("0x{device}\n")).unwrap();
            fs::write(folder.join("class"), format!("0x{class}\n")).unwrap();
        }
    }
}

fn check(maker: &str, model: &str, devices: &str, expected: Expect) {
    let folder = tempfile::tempdir().unwrap();
    sysfs(folder.path(), maker, model, devices);
    let block = Machine::read(folder.path()).kernel_block();
    expected.assert_eq(&block);
    // It is a spec, and in its canonical form but for the host that would use it.
    let spec = format!("{block}\nhost a {{\n  kernel   = machine\n  services = []\n}}\n");
    let checked = nos_specs::check("a.nos", &spec, &nos_specs::NoFiles);
    assert!(checked.diagnostics.is_empty(), "{:?}", checked.diagnostics);
}

#[test]
fn a_server_gets_the_drivers_that_the_platform_lacks() {
    check(
        "Dell Inc.",
        "PowerEdge R640",
        "pci 0000:00:1f.2 - 8086:a1d2 010601\n\
         pci 0000:18:00.0 megaraid_sas 1000:0016 010400\n\
         pci 0000:19:00.0 i40e 8086:1572 020000\n\
         pci 0000:19:00.1 i40e 8086:1572 020000\n\
         pci 0000:3b:00.0 mlx5_core 15b3:1015 020000\n\
         pci 0000:5e:00.0 qede 1077:8070 020000\n\
         pci 0000:03:00.0 mgag200 102b:0536 030000\n\
         pci 0000:00:14.0 xhci_hcd 8086:a1af 0c0330\n\
         usb 1-7 usb - -\n",
        expect![[r##"
            # Dell Inc. PowerEdge R640.
            # The platform has the drivers of
            #   i40e, network card: pci 0000:19:00.0 [8086:1572], pci 0000:19:00.1 [8086:1572]
            #   xhci_hcd, USB controller: pci 0000:00:14.0 [8086:a1af]
            # pci 0000:00:1f.2 [8086:a1d2] has no driver in the running kernel
            # pci 0000:5e:00.0 [1077:8070] is driven by qede: find the option that builds it, and add it
            kernel machine {
              platform = pc
              options = {
                # megaraid_sas, disk controller: pci 0000:18:00.0 [1000:0016]
                CONFIG_SCSI_LOWLEVEL = "y"
                CONFIG_MEGARAID_SAS = "y"
                # mlx5_core, network card: pci 0000:3b:00.0 [15b3:1015]
                CONFIG_NET_VENDOR_MELLANOX = "y"
                CONFIG_MLX5_CORE = "y"
                CONFIG_MLX5_CORE_EN = "y"
              }
            }
        "##]],
    );
}

#[test]
fn guests_are_known_by_their_devices_and_makers() {
    check(
        "QEMU",
        "Standard PC (Q35 + ICH9, 2009)",
        "pci 0000:00:02.0 virtio-pci 1af4:1041 020000\n\
         pci 0000:00:03.0 virtio-pci 1af4:1042 010000\n\
         virtio virtio0 virtio_net - -\n\
         virtio virtio1 virtio_blk - -\n\
         pci 0000:00:1f.0 lpc_ich 8086:2918 060100\n",
        expect![[r#"
            # QEMU Standard PC (Q35 + ICH9, 2009).
            # The platform has the drivers of
            #   virtio-pci, virtio device: pci 0000:00:02.0 [1af4:1041], pci 0000:00:03.0 [1af4:1042]
            #   virtio_blk, disk: virtio virtio1
            #   virtio_net, network card: virtio virtio0
            kernel machine {
              platform = qemu
            }
        "#]],
    );
    let platform = |maker: &str, devices: &str| {
        let folder = tempfile::tempdir().unwrap();
        sysfs(folder.path(), maker, "", devices);
        Machine::read(folder.path()).platform()
    };
    assert_eq!(platform("VMware, Inc.", ""), Platform::Vmware);
    assert_eq!(platform("Xen", ""), Platform::Xen);
    let mmio = "platform virtio-mmio.0 virtio-mmio - -\n";
    assert_eq!(platform("", mmio), Platform::Firecracker);
    assert_eq!(platform("LENOVO", ""), Platform::Pc);
}

#[test]
fn the_drivers_of_a_platform_are_in_the_table() {
    // What a set of options builds in, the table knows the driver of: else a device of the platform
    // would be said to have no driver.
    let has = Configuration::of_platform(Platform::Pc, true, true);
    for name in [
        "e1000", "e1000e", "igb", "igc", "ixgbe", "i40e", "r8169", "tg3", "bnxt_en", "nvme", "ahci",
    ] {
        let row = driver(name).unwrap();
        assert!(row.options.iter().all(|option| has.has(option)), "{name}");
    }
}

#[test]
fn the_table_is_whole_and_each_driver_stands_once() {
    let rows = include_str!("drivers").lines();
    let mut names: Vec<&str> = rows
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .filter_map(|line| line.split_whitespace().next())
        .collect();
    for name in &names {
        let row = driver(name).unwrap();
        assert!(
            !row.options.is_empty() && !row.kind.is_empty(),
            "{}",
            row.name
        );
    }
    let all = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), all);
    assert_eq!(driver("8139too").unwrap().options[1], "CONFIG_8139TOO");
    assert_eq!(driver("xhci_hcd").unwrap().kind, "USB controller");
}
