//! Sockets: route and event netlink, UDP for DHCP, TCP for probes.

use super::{Errno, Fd, Result, call};
use alloc::vec::Vec;
use core::net::{Ipv4Addr, SocketAddrV4};

fn socket(family: i32, kind: i32, protocol: i32) -> Result<Fd> {
    let kind = (kind | libc::SOCK_CLOEXEC) as usize;
    // SAFETY: takes no pointer.
    unsafe {
        call(
            libc::SYS_socket,
            &[family as usize, kind, protocol as usize],
        )
    }
    .map(Fd::own)
}

fn set_option(fd: &Fd, level: i32, name: i32, value: &[u8]) -> Result<()> {
    // SAFETY: the kernel reads `value.len()` bytes.
    unsafe {
        call(
            libc::SYS_setsockopt,
            &[
                fd.argument(),
                level as usize,
                name as usize,
                value.as_ptr() as usize,
                value.len(),
            ],
        )
        .map(drop)
    }
}

/// `struct sockaddr_in` as bytes.
fn address_bytes(address: SocketAddrV4) -> [u8; 16] {
    let mut bytes = [0; 16];
    let [family_low, family_high] = (libc::AF_INET as u16).to_ne_bytes();
    let [port_high, port_low] = address.port().to_be_bytes();
    let [a, b, c, d] = address.ip().octets();
    bytes[..8].copy_from_slice(&[family_low, family_high, port_high, port_low, a, b, c, d]);
    bytes
}

fn bind(fd: &Fd, address: &[u8]) -> Result<()> {
    // SAFETY: the kernel reads `address.len()` bytes.
    unsafe {
        call(
            libc::SYS_bind,
            &[fd.argument(), address.as_ptr() as usize, address.len()],
        )
        .map(drop)
    }
}

/// Which messages of the kernel a netlink socket carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Netlink {
    /// Requests and answers about links, addresses and routes; waits for its answers.
    Route,
    /// News about links; never waits.
    LinkNews,
    /// Devices that come and go; never waits.
    Devices,
}

/// Opens a netlink socket.
///
/// # Errors
/// What the kernel says.
pub fn netlink(which: Netlink) -> Result<Fd> {
    let (kind, protocol, groups) = match which {
        Netlink::Route => (libc::SOCK_RAW, libc::NETLINK_ROUTE, 0_u32),
        Netlink::LinkNews => (
            libc::SOCK_RAW | libc::SOCK_NONBLOCK,
            libc::NETLINK_ROUTE,
            libc::RTMGRP_LINK as u32,
        ),
        Netlink::Devices => (
            libc::SOCK_RAW | libc::SOCK_NONBLOCK,
            libc::NETLINK_KOBJECT_UEVENT,
            1,
        ),
    };
    let fd = socket(libc::AF_NETLINK, kind, protocol)?;
    // struct sockaddr_nl: family 2, padding 2, port 4 (0: the kernel chooses), groups 4.
    let mut address = [0_u8; 12];
    address[..2].copy_from_slice(&(libc::AF_NETLINK as u16).to_ne_bytes());
    address[8..].copy_from_slice(&groups.to_ne_bytes());
    bind(&fd, &address)?;
    Ok(fd)
}

/// A UDP socket on a port of one interface that may broadcast; never waits.
///
/// # Errors
/// What the kernel says.
pub fn udp_broadcast(interface: &str, port: u16) -> Result<Fd> {
    let fd = socket(libc::AF_INET, libc::SOCK_DGRAM | libc::SOCK_NONBLOCK, 0)?;
    let one = 1_i32.to_ne_bytes();
    set_option(&fd, libc::SOL_SOCKET, libc::SO_BROADCAST, &one)?;
    set_option(&fd, libc::SOL_SOCKET, libc::SO_REUSEADDR, &one)?;
    set_option(
        &fd,
        libc::SOL_SOCKET,
        libc::SO_BINDTODEVICE,
        interface.as_bytes(),
    )?;
    bind(
        &fd,
        &address_bytes(SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, port)),
    )?;
    Ok(fd)
}

/// How many packets the rings of a network card hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RingSizes {
    /// Of packets to come.
    pub receive: u32,
    /// Of packets to go.
    pub send: u32,
}

/// Places of `struct ethtool_ringparam`, which is nine words.
const RECEIVE: usize = 5;
const SEND: usize = 8;

/// Asks for a card's rings, or sets them, by one of the two commands for it.
fn rings(interface: &str, parameters: &mut [u32; 9]) -> Result<()> {
    const SIOCETHTOOL: usize = 0x8946;
    let fd = socket(libc::AF_INET, libc::SOCK_DGRAM, 0)?;
    // struct ifreq: the name in 16 bytes with its zero, then a union of 24, here a pointer.
    let mut request = [0_usize; 5];
    let name: &mut [usize] = &mut request[..2];
    for (at, byte) in interface.bytes().take(15).enumerate() {
        name[at / 8] |= usize::from(byte) << (8 * (at % 8));
    }
    request[2] = parameters.as_mut_ptr() as usize;
    let arguments = [fd.argument(), SIOCETHTOOL, request.as_ptr() as usize];
    // SAFETY: `request` has the layout of `struct ifreq`, and the pointer in it is to nine words, which
    // is what the kernel reads and writes for the two commands that this function is called with.
    unsafe { call(libc::SYS_ioctl, &arguments) }.map(drop)
}

/// How many packets the rings of a card hold (`ETHTOOL_GRINGPARAM`).
///
/// # Errors
/// What the kernel says; `EOPNOTSUPP` for cards that do not tell.
pub fn ring_sizes(interface: &str) -> Result<RingSizes> {
    let mut parameters = [0x10, 0, 0, 0, 0, 0, 0, 0, 0];
    rings(interface, &mut parameters)?;
    Ok(RingSizes {
        receive: parameters[RECEIVE],
        send: parameters[SEND],
    })
}

/// Makes the rings of a card hold so many packets (`ETHTOOL_SRINGPARAM`).
///
/// # Errors
/// What the kernel says; cards whose rings cannot change do not change them.
pub fn set_ring_sizes(interface: &str, sizes: RingSizes) -> Result<()> {
    let mut parameters = [0x11, 0, 0, 0, 0, 0, 0, 0, 0];
    parameters[RECEIVE] = sizes.receive;
    parameters[SEND] = sizes.send;
    rings(interface, &mut parameters)
}

/// Sends a datagram.
///
/// # Errors
/// What the kernel says.
pub fn send_to(fd: &Fd, bytes: &[u8], to: SocketAddrV4) -> Result<()> {
    let address = address_bytes(to);
    // SAFETY: the kernel reads `bytes.len()` bytes of payload and the whole address.
    unsafe {
        call(
            libc::SYS_sendto,
            &[
                fd.argument(),
                bytes.as_ptr() as usize,
                bytes.len(),
                libc::MSG_NOSIGNAL as usize,
                address.as_ptr() as usize,
                address.len(),
            ],
        )
        .map(drop)
    }
}

/// Sends on a connected socket (or to the kernel); how much was taken.
///
/// # Errors
/// What the kernel says.
pub fn send(fd: &Fd, bytes: &[u8]) -> Result<usize> {
    // SAFETY: the kernel reads `bytes.len()` bytes; no address is given.
    unsafe {
        call(
            libc::SYS_sendto,
            &[
                fd.argument(),
                bytes.as_ptr() as usize,
                bytes.len(),
                libc::MSG_NOSIGNAL as usize,
                0,
                0,
            ],
        )
    }
}

/// Receives one message from the kernel; 0 for one that another process forged.
///
/// # Errors
/// What the kernel says.
pub fn receive_netlink(fd: &Fd, buffer: &mut [u8]) -> Result<usize> {
    let mut address = [0_u8; 12];
    let mut length = 12_u32;
    // SAFETY: the kernel writes at most `buffer.len()` bytes of payload and at most `length`
    // bytes of address, and updates `length`.
    let n = unsafe {
        call(
            libc::SYS_recvfrom,
            &[
                fd.argument(),
                buffer.as_mut_ptr() as usize,
                buffer.len(),
                0,
                address.as_mut_ptr() as usize,
                (&raw mut length) as usize,
            ],
        )
    }?;
    // The kernel itself has port 0; anybody may send to a netlink port.
    Ok(if address[4..8] == [0; 4] { n } else { 0 })
}

/// Begins a TCP connection without waiting for it: the socket turns writable when it is decided.
///
/// # Errors
/// `ECONNREFUSED` where that is known at once (loopback), else what the kernel says.
pub fn connect_tcp(to: SocketAddrV4) -> Result<Fd> {
    let fd = socket(libc::AF_INET, libc::SOCK_STREAM | libc::SOCK_NONBLOCK, 0)?;
    let address = address_bytes(to);
    // SAFETY: the kernel reads the whole address.
    let result = unsafe {
        call(
            libc::SYS_connect,
            &[fd.argument(), address.as_ptr() as usize, address.len()],
        )
    };
    match result {
        Ok(_) | Err(Errno(libc::EINPROGRESS)) => Ok(fd),
        Err(error) => Err(error),
    }
}

/// `struct sockaddr_un` as bytes.
fn unix_address(path: &str) -> Result<Vec<u8>> {
    const MAX_PATH: usize = 108;
    let path = super::zero_terminated(path)?;
    if path.len() > MAX_PATH {
        return Err(Errno(libc::ENAMETOOLONG));
    }
    let mut address = (libc::AF_UNIX as u16).to_ne_bytes().to_vec();
    address.extend(path);
    Ok(address)
}

/// A Unix stream socket at a path where nothing is yet, that listens. It waits like any other:
/// whoever inherits it decides.
///
/// # Errors
/// What the kernel says.
pub fn listen_unix(path: &str) -> Result<Fd> {
    let fd = socket(libc::AF_UNIX, libc::SOCK_STREAM, 0)?;
    bind(&fd, &unix_address(path)?)?;
    let backlog = libc::SOMAXCONN as usize;
    // SAFETY: takes no pointer.
    unsafe { call(libc::SYS_listen, &[fd.argument(), backlog]) }?;
    Ok(fd)
}

/// Connects to a Unix stream socket, or joins the queue of those that wait for its server; the
/// socket turns writable at once and never waits.
///
/// # Errors
/// `EAGAIN` where the queue is full, else what the kernel says.
pub fn connect_unix(path: &str) -> Result<Fd> {
    let fd = socket(libc::AF_UNIX, libc::SOCK_STREAM | libc::SOCK_NONBLOCK, 0)?;
    let address = unix_address(path)?;
    // SAFETY: the kernel reads the whole address.
    unsafe {
        call(
            libc::SYS_connect,
            &[fd.argument(), address.as_ptr() as usize, address.len()],
        )
    }?;
    Ok(fd)
}

/// Whether a connection that was begun has come about.
///
/// # Errors
/// Why it has not.
pub fn connection_result(fd: &Fd) -> Result<()> {
    let (mut value, mut length) = (0_i32, 4_u32);
    // SAFETY: the kernel writes at most `length` bytes into `value` and updates `length`.
    unsafe {
        call(
            libc::SYS_getsockopt,
            &[
                fd.argument(),
                libc::SOL_SOCKET as usize,
                libc::SO_ERROR as usize,
                (&raw mut value) as usize,
                (&raw mut length) as usize,
            ],
        )
    }?;
    if value == 0 {
        Ok(())
    } else {
        Err(Errno(value))
    }
}
