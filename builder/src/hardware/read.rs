//! Reading sysfs.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// Buses whose devices are looked at.
const BUSES: [&str; 7] = ["pci", "usb", "virtio", "scsi", "platform", "acpi", "xen"];

/// Longest text of sysfs that is read, in bytes.
const MAX_TEXT_BYTES: usize = 4096;

/// A device and the driver that the running kernel has given it to.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Device {
    /// Bus: `pci`, `usb`…
    pub bus: String,
    /// Its name on the bus: `0000:00:1f.6`.
    pub name: String,
    /// Driver; empty where it has none.
    pub driver: String,
    /// Vendor and device number of a PCI device, `8086:15bb`; else empty.
    pub id: String,
    /// Class of a PCI device, `020000`; else empty.
    pub class: String,
}

/// What was read of a machine.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Machine {
    /// Maker and model, as the firmware says them; empty where it does not.
    pub vendor: String,
    /// Model.
    pub model: String,
    /// Type of the hypervisor where the kernel knows one: `xen`.
    pub hypervisor: String,
    /// Devices by bus and name.
    pub devices: BTreeSet<Device>,
}

impl Machine {
    /// Reads the machine whose sysfs is mounted at `sys`. What cannot be read is left out.
    pub fn read(sys: &Path) -> Self {
        let mut devices = BTreeSet::new();
        for bus in BUSES {
            for name in names(&sys.join("bus").join(bus).join("devices")) {
                let folder = sys.join("bus").join(bus).join("devices").join(&name);
                let number = |file: &str| text(&folder.join(file)).replace("0x", "");
                let (vendor, device) = match bus {
                    "pci" => (number("vendor"), number("device")),
                    _ => Default::default(),
                };
                devices.insert(Device {
                    bus: bus.to_owned(),
                    driver: link(&folder.join("driver")),
                    class: if bus == "pci" {
                        number("class")
                    } else {
                        String::new()
                    },
                    id: [vendor, device].join(":").trim_matches(':').to_owned(),
                    name,
                });
            }
        }
        let dmi = |name: &str| text(&sys.join("class/dmi/id").join(name));
        Self {
            vendor: dmi("sys_vendor"),
            model: dmi("product_name"),
            hypervisor: text(&sys.join("hypervisor/type")),
            devices,
        }
    }
}

/// The names in a folder, sorted; none where it cannot be read.
fn names(folder: &Path) -> BTreeSet<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .filter_map(|entry| entry.file_name().into_string().ok())
        .collect()
}

/// One line without control characters; empty where it cannot be read.
fn text(path: &Path) -> String {
    let bytes = fs::read(path).unwrap_or_default();
    let bytes = bytes.get(..MAX_TEXT_BYTES).unwrap_or(&bytes);
    let text = String::from_utf8_lossy(bytes);
    let line = text.lines().next().unwrap_or_default().trim();
    line.chars().filter(|c| !c.is_control()).collect()
}

/// The last part of a link's target; empty where there is none.
fn link(path: &Path) -> String {
    let target = fs::read_link(path).ok();
    let name = target.as_deref().and_then(Path::file_name);
    name.map(|name| name.to_string_lossy().into_owned())
        .unwrap_or_default()
}
