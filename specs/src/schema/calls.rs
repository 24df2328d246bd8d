//! Constructors: values with a name and arguments.

use super::build::{AUTOTOOLS, CARGO, CMAKE, DEBIAN, FETCH, GIT, MAKE, OCI, PULL, SCRIPT};
use super::rules::*;
use super::{Attribute, Call, Type};

const PORT: Type = Type::Number(1, 65_535);
const WITHIN: Type = Type::Time(100, 3_600_000);
const MODE_TYPE: Type = Type::Text(&MODE);

pub(super) const fn argument(
    name: &'static str,
    ty: &'static Type,
    doc: &'static str,
) -> Attribute {
    Attribute {
        name,
        ty,
        required: true,
        default: None,
        doc,
        example: "",
        aliases: &[],
    }
}

pub(super) const fn option(
    name: &'static str,
    ty: &'static Type,
    default: &'static str,
    doc: &'static str,
) -> Attribute {
    Attribute {
        name,
        ty,
        required: false,
        default: Some(default),
        doc,
        example: "",
        aliases: &[],
    }
}

const WITHIN_ARGUMENT: Attribute = option(
    "within",
    &WITHIN,
    "30s",
    "Time from its start within which it must first succeed.",
);

/// `file("nginx.conf")`
pub(crate) const FILE: Call = Call {
    name: "file",
    doc: "A file beside the spec.",
    arguments: &[
        argument(
            "path",
            &Type::Text(&SOURCE),
            "Path relative to the spec's folder.",
        ),
        option(
            "mode",
            &MODE_TYPE,
            "0755 where the file is executable, else 0644",
            "Permission bits in octal.",
        ),
    ],
};

/// `folder("site")`
pub(crate) const FOLDER: Call = Call {
    name: "folder",
    doc: "A folder beside the spec with all it holds.",
    arguments: &[argument(
        "path",
        &Type::Text(&SOURCE),
        "Path relative to the spec's folder.",
    )],
};

/// `text("…")`
pub(crate) const TEXT_CALL: Call = Call {
    name: "text",
    doc: "A file with the text written here.",
    arguments: &[
        argument("text", &Type::Text(&TEXT), "The content."),
        option("mode", &MODE_TYPE, "0644", "Permission bits in octal."),
    ],
};

/// `nos()`
pub(crate) const NOS: Call = Call {
    name: "nos",
    doc: "The nos that builds the spec, as a program: for systems that look after disks. It needs the \
          packages libc6 and libgcc-s1, of a release that is not older than what it was compiled on. \
          Another build of nos makes another image.",
    arguments: &[],
};

/// `tcp(80)`
pub(crate) const TCP: Call = Call {
    name: "tcp",
    doc: "A TCP port, over IPv4 and IPv6.",
    arguments: &[argument("port", &PORT, "Port number.")],
};

/// `udp(53)`
pub(crate) const UDP: Call = Call {
    name: "udp",
    doc: "A UDP port, over IPv4 and IPv6.",
    arguments: &[argument("port", &PORT, "Port number.")],
};

/// `tcp(80, to = 8080)`
pub(crate) const FORWARD: Call = Call {
    name: "tcp",
    doc: "A TCP port of the machine that `nos run` makes reachable on this one.",
    arguments: &[
        argument("port", &PORT, "Port in the machine."),
        option(
            "to",
            &Type::Number(1, 65_535),
            "any free port",
            "Port on the loopback address here.",
        ),
    ],
};

/// `http(port = 80, path = "/")`
pub(crate) const HTTP: Call = Call {
    name: "http",
    doc: "Healthy once an HTTP GET on the loopback address answers 200 to 399.",
    arguments: &[
        argument("port", &PORT, "Port asked."),
        option("path", &Type::Text(&REQUEST), "\"/\"", "Path asked for."),
        WITHIN_ARGUMENT,
    ],
};

/// `http(channel = "api", path = "/")`
pub(crate) const HTTP_CHANNEL: Call = Call {
    name: "http",
    doc: "The same over a channel that the service serves.",
    arguments: &[
        argument("channel", &Type::Text(&CHANNEL), "Channel asked."),
        option("path", &Type::Text(&REQUEST), "\"/\"", "Path asked for."),
        WITHIN_ARGUMENT,
    ],
};

/// `tcp(6379)` as a probe
pub(crate) const TCP_PROBE: Call = Call {
    name: "tcp",
    doc: "Healthy once a TCP connection on the loopback address is accepted.",
    arguments: &[
        argument("port", &PORT, "Port connected to."),
        WITHIN_ARGUMENT,
    ],
};

/// `exec(["/usr/bin/check"])`
pub(crate) const EXEC: Call = Call {
    name: "exec",
    doc: "Healthy once a command, run in the service's image as its user, exits with 0.",
    arguments: &[
        argument(
            "run",
            &Type::List {
                of: &Type::Text(&ARGUMENT),
                empty: false,
                repeats: true,
            },
            "Program (an absolute path in the image) and arguments.",
        ),
        WITHIN_ARGUMENT,
    ],
};

const INTERFACE_ARGUMENT: Attribute = option(
    "interface",
    &Type::Text(&INTERFACE),
    "the first Ethernet interface",
    "Name of the network interface.",
);

/// `dhcp(interface = "eth1")`
pub(crate) const DHCP: Call = Call {
    name: "dhcp",
    doc: "DHCPv4 and IPv6 router advertisements on a given interface.",
    arguments: &[INTERFACE_ARGUMENT],
};

/// `static(addresses = ["192.0.2.7/24"])`
pub(crate) const STATIC: Call = Call {
    name: "static",
    doc: "Fixed addresses.",
    arguments: &[
        argument(
            "addresses",
            &Type::List {
                of: &Type::Text(&NETWORK_ADDRESS),
                empty: false,
                repeats: false,
            },
            "Addresses with the lengths of their prefixes, IPv4 or IPv6.",
        ),
        option(
            "gateways",
            &Type::List {
                of: &Type::Text(&ADDRESS),
                empty: true,
                repeats: false,
            },
            "none",
            "Default routers, at most one for IPv4 and one for IPv6.",
        ),
        option(
            "dns",
            &Type::List {
                of: &Type::Text(&ADDRESS),
                empty: true,
                repeats: false,
            },
            "none",
            "Name servers.",
        ),
        INTERFACE_ARGUMENT,
    ],
};

/// Every call; where one name has several, the one to document comes first.
pub const CALLS: &[&Call] = &[
    &FILE,
    &FOLDER,
    &TEXT_CALL,
    &NOS,
    &TCP,
    &UDP,
    &HTTP,
    &EXEC,
    &DHCP,
    &STATIC,
    &FETCH,
    &GIT,
    &DEBIAN,
    &OCI,
    &PULL,
    &SCRIPT,
    &CARGO,
    &MAKE,
    &AUTOTOOLS,
    &CMAKE,
    &TCP_PROBE,
    &FORWARD,
    &HTTP_CHANNEL,
];
