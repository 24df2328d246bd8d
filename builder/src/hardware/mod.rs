//! What a running machine is made of, and the kernel block that suits it.
//!
//! Read from sysfs alone: which devices there are and which drivers the running kernel has given
//! them to. A kernel that already drives the machine knows better than any list of devices what
//! it needs; the table `drivers` says what builds each of these drivers in.

mod read;
mod write;

pub use read::{Device, Machine};

use crate::kernel::minimal::Configuration;
use nos_specs::system::Platform;

/// A row of the table `drivers`.
struct Driver {
    name: &'static str,
    /// What it is for.
    kind: String,
    /// Options that build it in, with `CONFIG_`.
    options: Vec<String>,
}

/// The row of a driver.
fn driver(name: &str) -> Option<Driver> {
    let rows = include_str!("drivers").lines();
    let row = rows.filter(|line| !line.starts_with('#')).find(|line| {
        let driver = line.split_whitespace().next();
        driver == Some(name)
    })?;
    let mut words = row.split_whitespace();
    let name = words.next()?;
    let (options, kind): (Vec<&str>, Vec<&str>) = words.partition(|word| is_option(word));
    Some(Driver {
        name,
        kind: kind.join(" "),
        options: options.iter().map(|o| format!("CONFIG_{o}")).collect(),
    })
}

/// Whether a word of the table is an option, and not a part of what the driver is for.
fn is_option(word: &str) -> bool {
    let upper = |b: u8| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_';
    word.bytes().all(upper) && word != "USB"
}

impl Machine {
    /// The platform of the machine.
    pub fn platform(&self) -> Platform {
        let vendor = self.vendor.as_str();
        let has = |driver: &str| self.devices.iter().any(|device| device.driver == driver);
        if vendor.starts_with("VMware") {
            Platform::Vmware
        } else if vendor == "Xen" || self.hypervisor == "xen" {
            Platform::Xen
        } else if has("virtio-pci") {
            Platform::Qemu
        } else if has("virtio-mmio") {
            Platform::Firecracker
        } else {
            Platform::Pc
        }
    }

    /// The kernel block for the machine, as text of a spec.
    pub fn kernel_block(&self) -> String {
        let platform = self.platform();
        write::block(
            self,
            platform,
            &Configuration::of_platform(platform, true, true),
        )
    }
}

#[cfg(test)]
mod tests;
