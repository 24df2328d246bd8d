//! Sets of kernel options: the files of `sets/`, and when each of them counts.

use nos_specs::system::Platform;

const ALWAYS: &str = include_str!("sets/always.config");
const NETWORK: &str = include_str!("sets/network.config");
const STATE: &str = include_str!("sets/state.config");
const VIRTUAL: &str = include_str!("sets/virtual.config");
const UEFI: &str = include_str!("sets/uefi.config");
const VIRTIO: &str = include_str!("sets/virtio.config");
const VIRTIO_MMIO: &str = include_str!("sets/virtio-mmio.config");
const VIRTIO_NETWORK: &str = include_str!("sets/virtio-network.config");
const QEMU: &str = include_str!("sets/qemu.config");
const FIRECRACKER: &str = include_str!("sets/firecracker.config");
const XEN: &str = include_str!("sets/xen.config");
const XEN_NETWORK: &str = include_str!("sets/xen-network.config");
const VMWARE: &str = include_str!("sets/vmware.config");
const VMWARE_NETWORK: &str = include_str!("sets/vmware-network.config");
const PC: &str = include_str!("sets/pc.config");
const PC_NETWORK: &str = include_str!("sets/pc-network.config");

/// What a capability lets a service do that the kernel must be able to.
const CAPABILITIES: [(&str, &str); 2] = [
    ("CAP_NET_RAW", "CONFIG_PACKET=y\n"),
    ("CAP_NET_ADMIN", "CONFIG_PACKET=y\nCONFIG_TUN=y\n"),
];

/// What a device of a service needs.
const DEVICES: [(&str, &str); 3] = [
    (
        "/dev/net/tun",
        "CONFIG_NETDEVICES=y\nCONFIG_NET_CORE=y\nCONFIG_TUN=y\n",
    ),
    ("/dev/fuse", "CONFIG_FUSE_FS=y\n"),
    (
        "/dev/kvm",
        "CONFIG_VIRTUALIZATION=y\nCONFIG_KVM=y\nCONFIG_KVM_INTEL=y\nCONFIG_KVM_AMD=y\n",
    ),
];

/// Why a set counts, in words that complete "it is for …", and the set.
pub(super) type Reasoned = (&'static str, &'static str);

const PLATFORM: &str = "its platform";

/// The sets of a platform; later ones overrule earlier ones.
pub(super) fn of(platform: Platform, has_network: bool, has_state: bool) -> Vec<Reasoned> {
    let (own, network): (&[&'static str], &str) = match platform {
        Platform::Qemu => (&[VIRTUAL, UEFI, VIRTIO, VIRTIO_MMIO, QEMU], VIRTIO_NETWORK),
        Platform::Microvm => (&[VIRTUAL, VIRTIO, VIRTIO_MMIO], VIRTIO_NETWORK),
        Platform::Firecracker => (&[VIRTUAL, VIRTIO, VIRTIO_MMIO, FIRECRACKER], VIRTIO_NETWORK),
        Platform::Xen => (&[VIRTUAL, UEFI, XEN], XEN_NETWORK),
        Platform::Vmware => (&[VIRTUAL, UEFI, VMWARE], VMWARE_NETWORK),
        Platform::Pc => (&[UEFI, PC], PC_NETWORK),
    };
    let mut sets = vec![("every host", ALWAYS)];
    sets.extend(own.iter().map(|set| (PLATFORM, *set)));
    if has_network {
        sets.push(("its network", NETWORK));
        sets.push(("its network on this platform", network));
    }
    if has_state {
        sets.push(("its state partition", STATE));
    }
    sets
}

/// The capabilities and devices of a service that have sets, and these.
pub(super) fn of_declared(capabilities: &[String], devices: &[String]) -> Vec<Reasoned> {
    let has = |list: &[String], name: &str| list.iter().any(|known| known == name);
    let capabilities = CAPABILITIES
        .into_iter()
        .filter(|(name, _)| has(capabilities, name));
    let devices = DEVICES.into_iter().filter(|(path, _)| has(devices, path));
    capabilities.chain(devices).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_hold_options_and_comments_alone() {
        for platform in Platform::ALL {
            for (_, set) in of(platform, true, true) {
                for line in set.lines() {
                    let option = line.split_once('=');
                    let fits = |(name, value): (&str, &str)| {
                        name.starts_with("CONFIG_") && !value.is_empty() && value != "m"
                    };
                    assert!(
                        line.is_empty() || line.starts_with('#') || option.is_some_and(fits),
                        "{line}"
                    );
                }
            }
        }
    }

    #[test]
    fn what_a_host_does_not_use_is_not_there() {
        let has = |sets: Vec<Reasoned>, option: &str| sets.iter().any(|s| s.1.contains(option));
        for platform in Platform::ALL {
            assert!(!has(of(platform, false, false), "CONFIG_EXT4_FS"));
            assert!(!has(of(platform, false, false), "CONFIG_NETDEVICES"));
            assert!(has(of(platform, true, true), "CONFIG_EXT4_FS"));
            assert!(has(of(platform, true, true), "CONFIG_NETDEVICES"));
        }
        assert!(!has(of(Platform::Microvm, true, true), "CONFIG_PCI"));
        let declared = of_declared(&["CAP_NET_RAW".into()], &["/dev/net/tun".into()]);
        assert_eq!(declared.len(), 2);
    }
}
