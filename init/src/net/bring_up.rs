//! Bringing the network up, and keeping it up, beside everything else.

use super::dhcp::client::{Action, Client, Lease};
use super::dhcp::{CLIENT_PORT, SERVER_PORT};
use super::{address, netlink, resolv, rings};
use crate::sys::socket::{self, Netlink};
use crate::sys::wait::Poll;
use crate::sys::{self, Errno, Fd, file};
use crate::{debug, say};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddrV4};
use nos_manifest::Network as Declared;

/// Where the name server file is that every service sees.
pub const RESOLV_CONF: &str = "/nos/etc/resolv.conf";

const INTERFACES: &str = "/sys/class/net";
const ETHERNET: &str = "1";
const NO_CARD: &str = "no card has appeared; `nos hardware` on this machine says which driver its \
                       kernel needs";
const WITHOUT_NAME: &str = "without its name in the spec, the first there is will be taken";

/// An interface of the machine.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Interface {
    name: String,
    index: u32,
    hardware: [u8; 6],
}

/// The network of the machine, as declared and as far as it is up.
#[derive(Debug)]
pub struct Network {
    declared: Declared,
    host: String,
    route: Fd,
    news: Fd,
    interface: Option<Interface>,
    carrier: bool,
    dhcp: Option<(Client, Fd)>,
}

fn request(route: &Fd, message: &[u8]) -> sys::Result<()> {
    socket::send(route, message)?;
    let mut buffer = [0_u8; 1024];
    loop {
        let n = socket::receive_netlink(route, &mut buffer)?;
        match netlink::answer(buffer.get(..n).unwrap_or_default()) {
            Some(0) => return Ok(()),
            Some(error) => return Err(Errno(error)),
            None => {}
        }
    }
}

fn read_number(interface: &str, what: &str) -> Option<u32> {
    file::read_text(&format!("{INTERFACES}/{interface}/{what}"))
        .ok()?
        .trim()
        .parse()
        .ok()
}

/// Six bytes from `52:54:00:12:34:56`.
fn parse_hardware(text: &str) -> Option<[u8; 6]> {
    let mut bytes = [0; 6];
    let mut groups = text.trim().split(':');
    for byte in &mut bytes {
        *byte = u8::from_str_radix(groups.next()?, 16).ok()?;
    }
    groups.next().is_none().then_some(bytes)
}

fn read_interface(name: &str) -> Option<Interface> {
    let kind = file::read_text(&format!("{INTERFACES}/{name}/type")).ok()?;
    if kind.trim() != ETHERNET {
        return None;
    }
    let hardware = file::read_text(&format!("{INTERFACES}/{name}/address")).ok()?;
    Some(Interface {
        name: String::from(name),
        index: read_number(name, "ifindex")?,
        hardware: parse_hardware(&hardware)?,
    })
}

/// The interface named, or else the first Ethernet interface by name.
fn find_interface(wanted: Option<&str>) -> Option<Interface> {
    if let Some(name) = wanted {
        return read_interface(name);
    }
    let entries = file::list(INTERFACES).unwrap_or_default();
    entries.iter().find_map(|entry| read_interface(&entry.name))
}

impl Network {
    /// Sets loopback up and begins with the declared network, without waiting for anything.
    ///
    /// # Errors
    /// Where the kernel has no network at all.
    pub fn start(declared: Declared, host: &str) -> sys::Result<Self> {
        let mut network = Self {
            declared,
            host: String::from(host),
            route: socket::netlink(Netlink::Route)?,
            news: socket::netlink(Netlink::LinkNews)?,
            interface: None,
            carrier: false,
            dhcp: None,
        };
        if let Some(index) = read_number("lo", "ifindex") {
            request(&network.route, &netlink::link_up(index, None))?;
        }
        network.look_for_interface();
        Ok(network)
    }

    /// Begins where the declared interface has appeared; called again when a device has come.
    pub fn look_for_interface(&mut self) {
        let wanted = match &self.declared {
            Declared::Dhcp { interface } | Declared::Static { interface, .. } => interface.clone(),
            Declared::None => return,
        };
        if self.interface.is_some() {
            return;
        }
        let Some(interface) = find_interface(wanted.as_deref()) else {
            return;
        };
        if let Err(error) = self.configure(&interface) {
            say!("network: {} cannot be set up: {error}", interface.name);
        }
        self.interface = Some(interface);
    }

    /// What there is to say where nothing has appeared that the declared network could use.
    pub fn complaint(&self) -> Option<String> {
        match self.interface {
            None => absence(&self.declared),
            Some(_) => None,
        }
    }

    fn configure(&mut self, interface: &Interface) -> sys::Result<()> {
        rings::fit(&interface.name);
        request(&self.route, &netlink::link_up(interface.index, None))?;
        debug!("network: {} is up", interface.name);
        match self.declared.clone() {
            Declared::None => {}
            Declared::Dhcp { .. } => {
                self.carrier = read_number(&interface.name, "carrier") == Some(1);
                let fd = socket::udp_broadcast(&interface.name, CLIENT_PORT)?;
                let now_ms = sys::now_ns() / 1_000_000;
                let transaction = sys::random_u32();
                let client = Client::new(interface.hardware, &self.host, transaction, now_ms);
                self.dhcp = Some((client, fd));
                self.tick(now_ms);
            }
            Declared::Static {
                addresses,
                gateways,
                dns,
                ..
            } => {
                self.configure_static(interface, &addresses, &gateways);
                write_resolv_conf(&resolv::resolv_conf(&dns, None));
            }
        }
        Ok(())
    }

    fn configure_static(&self, interface: &Interface, addresses: &[String], gateways: &[String]) {
        let attempt = |what: &str, message: Option<Vec<u8>>| {
            let result = message
                .ok_or(Errno(libc::EINVAL))
                .and_then(|m| request(&self.route, &m));
            match result {
                Ok(()) => say!("network: {} {what}", interface.name),
                Err(error) => say!("network: {} {what}: {error}", interface.name),
            }
        };
        let forever = netlink::FOREVER;
        for text in addresses {
            let message = address::parse_address(text)
                .map(|(ip, prefix)| netlink::add_address(interface.index, ip, prefix, forever));
            attempt(text, message);
        }
        for text in gateways {
            let message = text.parse().ok().map(|via: IpAddr| {
                let any = match via {
                    IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
                    IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
                };
                netlink::add_route(interface.index, any, 0, Some(via))
            });
            attempt(&format!("via {text}"), message);
        }
    }

    /// What the loop waits for: link news, then DHCP where it runs.
    pub fn polls(&self) -> Vec<Poll> {
        let mut polls = alloc::vec![Poll::readable(&self.news)];
        polls.extend(self.dhcp.as_ref().map(|(_, fd)| Poll::readable(fd)));
        polls
    }

    /// When [`Network::tick`] has something to do.
    pub fn deadline_ms(&self) -> u64 {
        self.dhcp
            .as_ref()
            .map_or(u64::MAX, |(client, _)| client.deadline_ms())
    }

    /// Reads what has arrived on either socket.
    pub fn receive(&mut self, now_ms: u64) {
        let mut buffer = [0_u8; 4096];
        while let Ok(n) = socket::receive_netlink(&self.news, &mut buffer) {
            let news = netlink::link_news(buffer.get(..n).unwrap_or_default());
            let index = self.interface.as_ref().map(|i| i.index);
            for news in news.iter().filter(|news| Some(news.index) == index) {
                let came_up = news.carrier && !self.carrier;
                self.carrier = news.carrier;
                if let Some((client, _)) = self.dhcp.as_mut().filter(|_| came_up) {
                    client.link_is_up(now_ms);
                }
            }
        }
        while let Some((client, fd)) = &mut self.dhcp {
            let Ok(n) = file::read(fd, &mut buffer) else {
                break;
            };
            let action = client.receive(now_ms, buffer.get(..n).unwrap_or_default());
            self.act(action);
        }
        self.tick(now_ms);
    }

    /// Does what is due.
    pub fn tick(&mut self, now_ms: u64) {
        while let Some(action) = self
            .dhcp
            .as_mut()
            .and_then(|(client, _)| client.tick(now_ms))
        {
            self.act(Some(action));
        }
    }

    fn act(&mut self, action: Option<Action>) {
        match action {
            None => {}
            Some(Action::Send(to, bytes)) => {
                if let Some((_, fd)) = &self.dhcp {
                    debug!("network: DHCP asks {to}");
                    let to = SocketAddrV4::new(to, SERVER_PORT);
                    if let Err(error) = socket::send_to(fd, &bytes, to) {
                        debug!("network: DHCP cannot send: {error}");
                    }
                }
            }
            Some(Action::Use(lease)) => {
                if let Err(error) = self.use_lease(&lease) {
                    say!(
                        "network: {}/{} cannot be used: {error}",
                        lease.address,
                        lease.prefix
                    );
                }
            }
            Some(Action::Drop(lease)) => {
                say!("network: the lease of {} has ended", lease.address);
                if let Some(interface) = &self.interface {
                    let ip = IpAddr::V4(lease.address);
                    let message = netlink::remove_address(interface.index, ip, lease.prefix);
                    let _ = request(&self.route, &message);
                }
            }
        }
    }

    fn use_lease(&self, lease: &Lease) -> sys::Result<()> {
        let Some(interface) = &self.interface else {
            return Ok(());
        };
        let index = interface.index;
        if let Some(mtu) = lease.mtu.filter(|mtu| *mtu >= 576) {
            request(&self.route, &netlink::link_up(index, Some(u32::from(mtu))))?;
        }
        let ip = IpAddr::V4(lease.address);
        request(
            &self.route,
            &netlink::add_address(index, ip, lease.prefix, lease.lease_s),
        )?;
        for route in &lease.routes {
            let via = Some(IpAddr::V4(route.via)).filter(|via| !via.is_unspecified());
            let to = IpAddr::V4(route.to);
            request(
                &self.route,
                &netlink::add_route(index, to, route.prefix, via),
            )?;
        }
        write_resolv_conf(&resolv::resolv_conf(&lease.dns, lease.domain.as_deref()));
        say!(
            "network: {} {}/{} for {} s",
            interface.name,
            lease.address,
            lease.prefix,
            lease.lease_s
        );
        Ok(())
    }
}

/// Says that the interface of a network is not there, and who tells why.
fn absence(declared: &Declared) -> Option<String> {
    let interface = match declared {
        Declared::Dhcp { interface } | Declared::Static { interface, .. } => interface.as_deref(),
        Declared::None => return None,
    };
    Some(match interface {
        Some(name) => format!("no interface {name} has appeared; {WITHOUT_NAME}"),
        None => String::from(NO_CARD),
    })
}

fn write_resolv_conf(text: &str) {
    if let Err(error) = file::write_file(RESOLV_CONF, text.as_bytes()) {
        say!("network: the name servers cannot be written down: {error}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_without_a_card_is_told_of() {
        let dhcp = |interface: Option<&str>| Declared::Dhcp {
            interface: interface.map(String::from),
        };
        assert_eq!(absence(&Declared::None), None);
        assert!(absence(&dhcp(None)).unwrap().starts_with("no card has"));
        let named = absence(&dhcp(Some("eth7"))).unwrap();
        assert!(named.starts_with("no interface eth7 has"), "{named}");
    }

    #[test]
    fn hardware_addresses_are_read() {
        assert_eq!(
            parse_hardware("52:54:00:12:34:56\n"),
            Some([0x52, 0x54, 0, 0x12, 0x34, 0x56])
        );
        for wrong in [
            "",
            "52:54:00:12:34",
            "52:54:00:12:34:56:78",
            "zz:54:00:12:34:56",
        ] {
            assert_eq!(parse_hardware(wrong), None, "{wrong}");
        }
    }
}
