//! Names of Linux capabilities (`include/uapi/linux/capability.h`).

use nos_manifest::Service;

/// All names, without `CAP_`; the position is the number.
const NAMES: [&str; 41] = [
    "CHOWN",
    "DAC_OVERRIDE",
    "DAC_READ_SEARCH",
    "FOWNER",
    "FSETID",
    "KILL",
    "SETGID",
    "SETUID",
    "SETPCAP",
    "LINUX_IMMUTABLE",
    "NET_BIND_SERVICE",
    "NET_BROADCAST",
    "NET_ADMIN",
    "NET_RAW",
    "IPC_LOCK",
    "IPC_OWNER",
    "SYS_MODULE",
    "SYS_RAWIO",
    "SYS_CHROOT",
    "SYS_PTRACE",
    "SYS_PACCT",
    "SYS_ADMIN",
    "SYS_BOOT",
    "SYS_NICE",
    "SYS_RESOURCE",
    "SYS_TIME",
    "SYS_TTY_CONFIG",
    "MKNOD",
    "LEASE",
    "AUDIT_WRITE",
    "AUDIT_CONTROL",
    "SETFCAP",
    "MAC_OVERRIDE",
    "MAC_ADMIN",
    "SYSLOG",
    "WAKE_ALARM",
    "BLOCK_SUSPEND",
    "AUDIT_READ",
    "PERFMON",
    "BPF",
    "CHECKPOINT_RESTORE",
];

/// Ports below this one need a capability.
const FIRST_UNPRIVILEGED_PORT: u16 = 1024;

/// The number of a capability, by its name with or without `CAP_`.
pub fn number(name: &str) -> Option<u32> {
    let short = name.strip_prefix("CAP_").unwrap_or(name);
    (0..)
        .zip(NAMES)
        .find(|(_, known)| *known == short)
        .map(|(number, _)| number)
}

/// The bit of a capability in a mask; 0 for an unknown name.
pub fn bit(name: &str) -> u64 {
    number(name).map_or(0, |number| 1 << number)
}

/// The capabilities of a service: those it declares, and the one to bind low ports where it
/// declares a low port.
///
/// # Errors
/// The name that no capability has.
pub fn mask(service: &Service) -> Result<u64, &str> {
    let mut mask = 0;
    for name in &service.capabilities {
        match bit(name) {
            0 => return Err(name),
            bit => mask |= bit,
        }
    }
    if service
        .listen
        .iter()
        .any(|listen| listen.port < FIRST_UNPRIVILEGED_PORT)
    {
        mask |= bit("NET_BIND_SERVICE");
    }
    Ok(mask)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use nos_manifest::{Port, Protocol, Restart};

    pub(crate) fn service(capabilities: &[&str], ports: &[u16]) -> Service {
        let port = |port: &u16| Port {
            protocol: Protocol::Tcp,
            port: *port,
        };
        Service {
            name: "web".into(),
            image: "web".into(),
            run: vec!["/web".into()],
            env: Default::default(),
            workdir: "/".into(),
            uid: 1000,
            gid: 1000,
            capabilities: capabilities.iter().map(|c| (*c).into()).collect(),
            devices: vec![],
            terminal: None,
            state: vec![],
            listen: ports.iter().map(port).collect(),
            serves: vec![],
            calls: vec![],
            health: None,
            restart: Restart::Always,
            after: vec![],
        }
    }

    #[test]
    fn numbers_are_the_kernel_s() {
        assert_eq!(number("CAP_CHOWN"), Some(0));
        assert_eq!(number("CAP_NET_BIND_SERVICE"), Some(10));
        assert_eq!(number("CAP_SYS_ADMIN"), Some(21));
        assert_eq!(number("CAP_CHECKPOINT_RESTORE"), Some(40));
        assert_eq!(number("CAP_CAP_CHOWN"), None);
        assert_eq!(number(""), None);
    }

    #[test]
    fn a_low_port_brings_its_capability() {
        assert_eq!(mask(&service(&[], &[80])), Ok(1 << 10));
        assert_eq!(mask(&service(&[], &[1024, 8080])), Ok(0));
        assert_eq!(mask(&service(&["CAP_KILL"], &[443])), Ok(1 << 10 | 1 << 5));
        assert_eq!(
            mask(&service(&["CAP_EVERYTHING"], &[])),
            Err("CAP_EVERYTHING")
        );
    }
}
