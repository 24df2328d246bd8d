//! The kernel's `KEY=value` texts about devices: `uevent` files in sysfs and the messages that
//! the kernel sends when a device comes or goes.

/// A device as the kernel describes it; absent keys are empty.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Device<'a> {
    /// `add`, `remove`, `change`…; empty in a sysfs file.
    pub action: &'a str,
    /// `block`, `net`, `input`…; empty in a sysfs file.
    pub subsystem: &'a str,
    /// `disk` or `partition`.
    pub kind: &'a str,
    /// Name under `/dev`.
    pub name: &'a str,
    /// GPT unique GUID in text form, given by kernels since 6.9.
    pub part_uuid: &'a str,
    /// Number of the partition on its disk.
    pub part_number: Option<u32>,
    /// Interface name.
    pub interface: &'a str,
    /// What patterns of drivers are matched against.
    pub description: &'a str,
}

impl<'a> Device<'a> {
    /// Reads either form; lines end with a newline (sysfs) or a zero byte (messages). What is
    /// not UTF-8 or not `KEY=value` is skipped.
    pub fn parse(bytes: &'a [u8]) -> Self {
        let mut device = Self::default();
        for line in bytes.split(|b| matches!(b, b'\n' | 0)) {
            let Some((key, value)) = core::str::from_utf8(line)
                .ok()
                .and_then(|line| line.split_once('='))
            else {
                continue;
            };
            match key {
                "ACTION" => device.action = value,
                "SUBSYSTEM" => device.subsystem = value,
                "DEVTYPE" => device.kind = value,
                "DEVNAME" => device.name = value,
                "PARTUUID" => device.part_uuid = value,
                "PARTN" => device.part_number = value.parse().ok(),
                "MODALIAS" => device.description = value,
                "INTERFACE" => device.interface = value,
                _ => {}
            }
        }
        device
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sysfs_file_is_read() {
        let text = b"MAJOR=254\nMINOR=2\nDEVNAME=vda2\nDEVTYPE=partition\nDISKSEQ=9\nPARTN=2\n\
            PARTNAME=web 3f\nPARTUUID=00112233-4455-6677-8899-aabbccddeeff\n";
        let device = Device::parse(text);
        assert_eq!(device.kind, "partition");
        assert_eq!(device.name, "vda2");
        assert_eq!(device.part_number, Some(2));
        assert_eq!(device.part_uuid, "00112233-4455-6677-8899-aabbccddeeff");
    }

    #[test]
    fn a_message_is_read() {
        let text = b"add@/devices/pci0/net/eth0\0ACTION=add\0SUBSYSTEM=net\0INTERFACE=eth0\0\
            MODALIAS=virtio:d1v2\0";
        let device = Device::parse(text);
        assert_eq!((device.action, device.subsystem), ("add", "net"));
        assert_eq!(device.interface, "eth0");
        assert_eq!(device.description, "virtio:d1v2");
    }

    #[test]
    fn rubbish_is_nothing() {
        for text in [
            &b""[..],
            b"\0\0\n",
            b"=\n==",
            b"PARTN=-1\n",
            b"DEVNAME\n",
            b"\xff=\xff\n",
        ] {
            let device = Device::parse(text);
            assert_eq!((device.name, device.part_number), ("", None));
        }
    }
}
