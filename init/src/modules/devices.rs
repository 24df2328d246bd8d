//! What devices the machine has, as the kernel describes them to those who load modules.

use crate::sys::file;
use alloc::collections::BTreeSet;
use alloc::format;
use alloc::string::{String, ToString};

/// Most bytes that a device's description may have: as much as a file of sysfs can hold.
const MAX_BYTES: usize = 4096;
const BUSES: &str = "/sys/bus";
/// The processor is not on a bus: its description is a file of its own.
const PROCESSOR: (&str, &str) = ("cpu", "/sys/devices/system/cpu/modalias");

/// The bus that a pattern or description is about: the text before its first `:`. A pattern of
/// devices that the firmware lists begins with `acpi*:`, which is the bus `acpi`.
pub fn bus_of(text: &str) -> &str {
    let bus = text.split(':').next().unwrap_or_default();
    bus.split(['*', '?', '[']).next().unwrap_or_default()
}

/// The descriptions of all devices on one bus.
pub fn on_bus(bus: &str) -> BTreeSet<String> {
    if bus == PROCESSOR.0 {
        return read(PROCESSOR.1).into_iter().collect();
    }
    // What a pattern names becomes part of a path.
    if bus.is_empty() || bus.contains(['/', '.']) {
        return BTreeSet::new();
    }
    let folder = format!("{BUSES}/{bus}/devices");
    let devices = file::list(&folder).unwrap_or_default();
    let descriptions = devices
        .iter()
        .filter_map(|device| read(&format!("{folder}/{}/modalias", device.name)));
    descriptions.collect()
}

fn read(path: &str) -> Option<String> {
    let mut buffer = [0_u8; MAX_BYTES];
    // A file of sysfs gives all that it has at the first reading.
    let n = file::read(&file::open(path, file::Mode::Read).ok()?, &mut buffer).ok()?;
    let text = core::str::from_utf8(buffer.get(..n)?).ok()?.trim_end();
    (!text.is_empty()).then(|| text.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bus_comes_first() {
        for (text, bus) in [
            ("pci:v00008086d*sv*", "pci"),
            ("acpi*:VMBUS:*", "acpi"),
            ("cpu:type:x86,ven*", "cpu"),
            ("pci", "pci"),
            ("*", ""),
            ("", ""),
        ] {
            assert_eq!(bus_of(text), bus, "{text}");
        }
    }

    #[test]
    fn no_pattern_leads_out_of_the_folder_of_buses() {
        for bus in ["", "..", "../devices", "no_such_bus"] {
            assert!(on_bus(bus).is_empty(), "{bus}");
        }
    }
}
