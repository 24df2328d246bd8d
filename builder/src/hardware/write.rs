//! The kernel block of a machine.

use super::{Device, Driver, Machine, driver};
use crate::kernel::minimal::Configuration;
use nos_specs::system::Platform;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

/// PCI classes of devices that a machine of nOs uses: disks (01) and network cards (02).
const USED_CLASSES: [&str; 2] = ["01", "02"];

/// What is said of a driver's devices.
struct Row {
    driver: Driver,
    devices: Vec<String>,
}

/// Writes the block. What the platform has anyway is named in comments alone.
pub(super) fn block(machine: &Machine, platform: Platform, has: &Configuration) -> String {
    let mut rows: BTreeMap<&str, Row> = BTreeMap::new();
    let mut unknown = BTreeSet::new();
    for device in &machine.devices {
        match driver(&device.driver) {
            Some(driver) => rows
                .entry(driver.name)
                .or_insert(Row {
                    driver,
                    devices: Vec::new(),
                })
                .devices
                .push(describe(device)),
            None if is_used(device) => {
                unknown.insert((describe(device), device.driver.as_str()));
            }
            None => {}
        }
    }
    let (known, new): (Vec<&Row>, Vec<&Row>) = rows
        .values()
        .partition(|row| row.driver.options.iter().all(|option| has.has(option)));

    let mut text = String::new();
    let model = [machine.vendor.as_str(), machine.model.as_str()].join(" ");
    let model = match model.trim() {
        "" => "A machine whose firmware does not say what it is",
        model => model,
    };
    let _ = writeln!(text, "# {model}.");
    if !known.is_empty() {
        let _ = writeln!(text, "# The platform has the drivers of");
        for row in known {
            let _ = writeln!(text, "#   {}", told(row));
        }
    }
    for (device, driver) in unknown {
        let _ = match driver {
            "" => writeln!(text, "# {device} has no driver in the running kernel"),
            driver => writeln!(
                text,
                "# {device} is driven by {driver}: find the option that builds it, and add it"
            ),
        };
    }
    let _ = writeln!(text, "kernel machine {{\n  platform = {}", platform.name());
    if !new.is_empty() {
        let _ = writeln!(text, "  options = {{");
        let mut written = BTreeSet::new();
        for row in new {
            let _ = writeln!(text, "    # {}", told(row));
            for option in &row.driver.options {
                if !has.has(option) && written.insert(option.as_str()) {
                    let _ = writeln!(text, "    {} = \"y\"", quoted(option));
                }
            }
        }
        let _ = writeln!(text, "  }}");
    }
    let _ = writeln!(text, "}}");
    text
}

fn told(row: &Row) -> String {
    let Row { driver, devices } = row;
    format!("{}, {}: {}", driver.name, driver.kind, devices.join(", "))
}

fn describe(device: &Device) -> String {
    let Device { bus, name, id, .. } = device;
    match id.as_str() {
        "" => format!("{bus} {name}"),
        id => format!("{bus} {name} [{id}]"),
    }
}

fn is_used(device: &Device) -> bool {
    let class = device.class.get(..2).unwrap_or_default();
    USED_CLASSES.contains(&class)
}

/// A name of a record, in quotes where it is no name of the language.
fn quoted(option: &str) -> String {
    let plain = option
        .bytes()
        .all(|b| b.is_ascii_alphanumeric() || b == b'_');
    if plain {
        option.to_owned()
    } else {
        format!("{option:?}")
    }
}
