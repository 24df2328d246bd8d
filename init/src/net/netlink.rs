//! Route netlink messages as bytes (`rtnetlink(7)`, `include/uapi/linux/rtnetlink.h`).

use alloc::vec::Vec;
use core::net::IpAddr;

/// Bytes of a message header (`struct nlmsghdr`).
const HEADER_BYTES: usize = 16;
const REQUEST_WITH_ACK: u16 = (libc::NLM_F_REQUEST | libc::NLM_F_ACK) as u16;
const CREATE_OR_REPLACE: u16 = (libc::NLM_F_CREATE | libc::NLM_F_REPLACE) as u16;
/// The router is on the link although no address says so (`RTNH_F_ONLINK`).
const RTNH_F_ONLINK: u32 = 4;
/// Lifetime without end of an address.
pub const FOREVER: u32 = u32::MAX;

/// A message under construction.
struct Message(Vec<u8>);

impl Message {
    fn new(kind: u16, flags: u16, body: &[u8]) -> Self {
        let mut bytes = Vec::new();
        bytes.extend_from_slice(&[0; 4]);
        bytes.extend_from_slice(&kind.to_ne_bytes());
        bytes.extend_from_slice(&(REQUEST_WITH_ACK | flags).to_ne_bytes());
        bytes.extend_from_slice(&[0; 8]);
        bytes.extend_from_slice(body);
        Self(bytes)
    }

    fn attribute(mut self, kind: u16, value: &[u8]) -> Self {
        let length = (value.len() + 4) as u16;
        self.0.extend_from_slice(&length.to_ne_bytes());
        self.0.extend_from_slice(&kind.to_ne_bytes());
        self.0.extend_from_slice(value);
        self.0.resize(self.0.len().next_multiple_of(4), 0);
        self
    }

    fn finish(mut self) -> Vec<u8> {
        let length = (self.0.len() as u32).to_ne_bytes();
        self.0[..4].copy_from_slice(&length);
        self.0
    }
}

fn octets(address: &IpAddr) -> (u8, Vec<u8>) {
    match address {
        IpAddr::V4(v4) => (libc::AF_INET as u8, v4.octets().to_vec()),
        IpAddr::V6(v6) => (libc::AF_INET6 as u8, v6.octets().to_vec()),
    }
}

/// Sets an interface up, and its MTU where one is given.
pub fn link_up(index: u32, mtu: Option<u32>) -> Vec<u8> {
    let up = libc::IFF_UP as u32;
    // struct ifinfomsg: family, padding, type, index, flags, change mask.
    let mut body = alloc::vec![0_u8; 4];
    for word in [index, up, up] {
        body.extend_from_slice(&word.to_ne_bytes());
    }
    let message = Message::new(libc::RTM_NEWLINK, 0, &body);
    match mtu {
        Some(mtu) => message
            .attribute(libc::IFLA_MTU, &mtu.to_ne_bytes())
            .finish(),
        None => message.finish(),
    }
}

/// Adds an address, or renews its lifetime.
pub fn add_address(index: u32, address: IpAddr, prefix: u8, lifetime_s: u32) -> Vec<u8> {
    let (family, octets) = octets(&address);
    let mut body = alloc::vec![family, prefix, 0, 0];
    body.extend_from_slice(&index.to_ne_bytes());
    // struct ifa_cacheinfo: preferred, valid, created, updated.
    let mut lifetime = Vec::new();
    for word in [lifetime_s, lifetime_s, 0, 0] {
        lifetime.extend_from_slice(&word.to_ne_bytes());
    }
    let mut message = Message::new(libc::RTM_NEWADDR, CREATE_OR_REPLACE, &body)
        .attribute(libc::IFA_LOCAL, &octets)
        .attribute(libc::IFA_ADDRESS, &octets)
        .attribute(libc::IFA_CACHEINFO, &lifetime);
    if let (IpAddr::V4(v4), true) = (address, prefix < 31) {
        let broadcast = u32::from(v4) | u32::MAX.checked_shr(prefix.into()).unwrap_or(0);
        message = message.attribute(libc::IFA_BROADCAST, &broadcast.to_be_bytes());
    }
    message.finish()
}

/// Removes an address.
pub fn remove_address(index: u32, address: IpAddr, prefix: u8) -> Vec<u8> {
    let (family, octets) = octets(&address);
    let mut body = alloc::vec![family, prefix, 0, 0];
    body.extend_from_slice(&index.to_ne_bytes());
    Message::new(libc::RTM_DELADDR, 0, &body)
        .attribute(libc::IFA_LOCAL, &octets)
        .finish()
}

/// Adds a route to a network (`/0`: the default route), through a router or on the link.
pub fn add_route(index: u32, to: IpAddr, prefix: u8, via: Option<IpAddr>) -> Vec<u8> {
    let (family, octets) = octets(&to);
    let scope = if via.is_some() {
        libc::RT_SCOPE_UNIVERSE
    } else {
        libc::RT_SCOPE_LINK
    };
    // struct rtmsg: family, destination and source prefix, tos, table, protocol, scope, type,
    // flags.
    let (table, kind) = (libc::RT_TABLE_MAIN, libc::RTN_UNICAST);
    let mut body = alloc::vec![
        family,
        prefix,
        0,
        0,
        table,
        libc::RTPROT_STATIC,
        scope,
        kind
    ];
    let on_link = if via.is_some() { RTNH_F_ONLINK } else { 0 };
    body.extend_from_slice(&on_link.to_ne_bytes());
    let mut message = Message::new(libc::RTM_NEWROUTE, CREATE_OR_REPLACE, &body)
        .attribute(libc::RTA_OIF, &index.to_ne_bytes());
    if prefix > 0 {
        message = message.attribute(libc::RTA_DST, &octets);
    }
    if let Some(via) = via {
        message = message.attribute(libc::RTA_GATEWAY, &self::octets(&via).1);
    }
    message.finish()
}

/// What the kernel answered to a request: `Some(0)` for done, else the error number; `None`
/// where the message is something else.
pub fn answer(bytes: &[u8]) -> Option<i32> {
    let kind = u16::from_ne_bytes(bytes.get(4..6)?.try_into().ok()?);
    if i32::from(kind) != libc::NLMSG_ERROR {
        return None;
    }
    let code = i32::from_ne_bytes(bytes.get(HEADER_BYTES..HEADER_BYTES + 4)?.try_into().ok()?);
    code.checked_neg()
}

/// What a message says about a link: its index and whether it can carry data now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LinkNews {
    /// Interface index.
    pub index: u32,
    /// Whether the cable (or what stands for it) is connected.
    pub carrier: bool,
}

/// Reads all link news in what one receive gave.
pub fn link_news(mut bytes: &[u8]) -> Vec<LinkNews> {
    let mut news = Vec::new();
    while let Some(length) = bytes
        .get(..4)
        .and_then(|b| b.try_into().ok())
        .map(u32::from_ne_bytes)
    {
        let length = length as usize;
        let Some(message) = bytes.get(..length).filter(|m| m.len() >= HEADER_BYTES) else {
            break;
        };
        let word = |at: usize| {
            message
                .get(at..at + 4)
                .and_then(|b| b.try_into().ok())
                .map(u32::from_ne_bytes)
        };
        let kind = u16::from_ne_bytes([message[4], message[5]]);
        if let (libc::RTM_NEWLINK, Some(index), Some(flags)) =
            (kind, word(HEADER_BYTES + 4), word(HEADER_BYTES + 8))
        {
            let carrier = flags & libc::IFF_LOWER_UP as u32 != 0;
            news.push(LinkNews { index, carrier });
        }
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    news
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_is_set_up() {
        // As strace shows `ip link set dev eth0 up` with index 2.
        let mut wanted = vec![32, 0, 0, 0, 16, 0, 5, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        wanted.extend_from_slice(&[2, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0]);
        assert_eq!(link_up(2, None), wanted);
        assert_eq!(link_up(2, Some(1400)).len(), 40);
    }

    #[test]
    fn an_address_has_a_broadcast_address_where_it_makes_sense() {
        let message = add_address(2, "10.0.2.15".parse().unwrap(), 24, FOREVER);
        assert_eq!(message.len(), 24 + 8 + 8 + 20 + 8);
        assert_eq!(message[..4], 68_u32.to_ne_bytes());
        assert_eq!(message[16..24], [2, 24, 0, 0, 2, 0, 0, 0]);
        assert_eq!(message[60..], [8, 0, 4, 0, 10, 0, 2, 255]);
        for (address, prefix) in [("10.0.2.15", 32), ("10.0.2.15", 31), ("fd00::1", 64)] {
            let message = add_address(2, address.parse().unwrap(), prefix, FOREVER);
            assert_ne!(
                message[message.len() - 8..][..4],
                [8, 0, 4, 0],
                "{address}/{prefix}"
            );
        }
        let all = add_address(2, "10.0.2.15".parse().unwrap(), 0, 1);
        assert_eq!(all[60..], [8, 0, 4, 0, 255, 255, 255, 255]);
    }

    #[test]
    fn a_default_route_has_no_destination() {
        let via = Some("10.0.2.2".parse().unwrap());
        let message = add_route(2, "0.0.0.0".parse().unwrap(), 0, via);
        assert_eq!(message[16..28], [2, 0, 0, 0, 254, 4, 0, 1, 4, 0, 0, 0]);
        assert_eq!(
            message[28..],
            [8, 0, 4, 0, 2, 0, 0, 0, 8, 0, 5, 0, 10, 0, 2, 2]
        );
    }

    #[test]
    fn answers_are_read() {
        let mut bytes = [0_u8; 36];
        bytes[4] = 2;
        assert_eq!(answer(&bytes), Some(0));
        bytes[16..20].copy_from_slice(&(-17_i32).to_ne_bytes());
        assert_eq!(answer(&bytes), Some(17));
        bytes[16..20].copy_from_slice(&i32::MIN.to_ne_bytes());
        assert_eq!(answer(&bytes), None);
        assert_eq!(answer(&bytes[..18]), None);
        assert_eq!(answer(&[]), None);
    }

    #[test]
    fn link_news_survive_hostile_lengths() {
        let mut one = link_up(3, None);
        one[24..28].copy_from_slice(&(libc::IFF_LOWER_UP as u32).to_ne_bytes());
        let wanted = LinkNews {
            index: 3,
            carrier: true,
        };
        assert_eq!(link_news(&one), [wanted]);
        let two = [one.clone(), one.clone()].concat();
        assert_eq!(link_news(&two), [wanted, wanted]);
        for length in [0_u32, 1, 15, 33, u32::MAX] {
            one[..4].copy_from_slice(&length.to_ne_bytes());
            assert_eq!(link_news(&one), []);
        }
        assert_eq!(link_news(&one[..3]), []);
    }
}
