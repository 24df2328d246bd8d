//! The machine's network: loopback, addresses, routes, DHCP, name servers.

pub mod address;
pub mod bring_up;
pub mod dhcp;

pub mod netlink;
pub mod resolv;
pub mod rings;
