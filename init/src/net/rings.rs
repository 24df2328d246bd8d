//! Fewer buffers for packets on machines with little memory.
//!
//! A network card holds a buffer for each place of its receive ring, whether packets come or not: 1.5 MB
//! for the 1024 places of QEMU's virtio card, which would be a sixth of all that the smallest machine
//! uses. 256 are what cards of real machines have.

use crate::debug;
use crate::sys::file;
use crate::sys::socket::{self, RingSizes};

/// Machines with less memory than this, in KiB, get small rings.
const LITTLE_MEMORY_KIB: u64 = 1 << 20;
/// Places of a small ring.
const PLACES: u32 = 256;

/// Makes the rings of a card small where the machine has little memory and the card can; to be called
/// before it is up, as it has no buffers until then.
pub fn fit(interface: &str) {
    let has_little = file::read_text("/proc/meminfo")
        .ok()
        .and_then(|text| total_kib(&text))
        .is_some_and(|total| total < LITTLE_MEMORY_KIB);
    if !has_little {
        return;
    }
    let changed = socket::ring_sizes(interface).and_then(|sizes| match small(sizes) {
        Some(sizes) => socket::set_ring_sizes(interface, sizes),
        None => Ok(()),
    });
    if let Err(error) = changed {
        debug!("network: {interface} keeps the size of its rings: {error}");
    }
}

/// The smaller sizes, where they are smaller.
fn small(sizes: RingSizes) -> Option<RingSizes> {
    let smaller = RingSizes {
        receive: sizes.receive.min(PLACES),
        send: sizes.send.min(PLACES),
    };
    (smaller != sizes).then_some(smaller)
}

/// All memory of the machine in KiB, from `/proc/meminfo`.
fn total_kib(text: &str) -> Option<u64> {
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:"))?;
    line.trim().strip_suffix(" kB")?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rings_never_grow() {
        let sizes = |receive, send| RingSizes { receive, send };
        assert_eq!(small(sizes(1024, 1024)), Some(sizes(256, 256)));
        assert_eq!(small(sizes(1024, 64)), Some(sizes(256, 64)));
        assert_eq!(small(sizes(256, 256)), None);
        assert_eq!(small(sizes(0, 0)), None);
    }

    #[test]
    fn memory_is_read_as_linux_writes_it() {
        let text = "MemTotal:         500052 kB\nMemFree:          487492 kB\n";
        assert_eq!(total_kib(text), Some(500_052));
        assert_eq!(total_kib("MemFree: 1 kB\n"), None);
        let own = std::fs::read_to_string("/proc/meminfo").unwrap();
        assert!(total_kib(&own).is_some());
    }
}
