//! A DHCPv4 client (RFC 2131, RFC 2132).

pub mod client;
pub mod packet;

/// Port of a client.
pub const CLIENT_PORT: u16 = 68;
/// Port of a server.
pub const SERVER_PORT: u16 = 67;
