//! DHCP messages as bytes (RFC 2131 §2, options of RFC 2132 and RFC 3442).

use alloc::string::String;
use alloc::vec::Vec;
use core::net::Ipv4Addr;

const COOKIE: [u8; 4] = [99, 130, 83, 99];
const OPTIONS_AT: usize = 240;
/// Smallest message that every relay passes on (RFC 951).
const SMALLEST_BYTES: usize = 300;
const BROADCAST: [u8; 2] = [0x80, 0];

/// Kinds of messages that this client sends or understands (option 53).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Who is there?
    Discover = 1,
    /// A server offers an address.
    Offer = 2,
    /// The client wants this address (again).
    Request = 3,
    /// It is the client's.
    Ack = 5,
    /// It is not.
    Nak = 6,
}

/// What a client asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question<'a> {
    /// [`Kind::Discover`] or [`Kind::Request`].
    pub kind: Kind,
    /// Number that ties answers to questions.
    pub transaction: u32,
    /// Seconds since the client began.
    pub seconds: u16,
    /// Ethernet address.
    pub hardware: [u8; 6],
    /// Own address, where it is in use already (renewing), else unspecified.
    pub client: Ipv4Addr,
    /// Address wanted (option 50), while selecting.
    pub wanted: Option<Ipv4Addr>,
    /// Server chosen (option 54), while selecting.
    pub server: Option<Ipv4Addr>,
    /// Name of this machine (option 12).
    pub host: &'a str,
}

/// A network reached through a router.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Route {
    /// Network address.
    pub to: Ipv4Addr,
    /// Its prefix length; 0 is the default route.
    pub prefix: u8,
    /// The router; unspecified where the network is on the link.
    pub via: Ipv4Addr,
}

/// What a server says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// [`Kind::Offer`], [`Kind::Ack`] or [`Kind::Nak`].
    pub kind: Kind,
    /// The client's address.
    pub address: Ipv4Addr,
    /// Prefix length of the subnet mask, 24 where none is given.
    pub prefix: u8,
    /// The server.
    pub server: Option<Ipv4Addr>,
    /// Routes: classless ones (option 121), else the default route (option 3).
    pub routes: Vec<Route>,
    /// Name servers.
    pub dns: Vec<Ipv4Addr>,
    /// Domain in which short names are looked up.
    pub domain: Option<String>,
    /// Largest packet of the link.
    pub mtu: Option<u16>,
    /// Length of the lease, seconds.
    pub lease_s: Option<u32>,
    /// When to renew, seconds.
    pub renew_s: Option<u32>,
    /// When to ask any server, seconds.
    pub rebind_s: Option<u32>,
}

/// Writes a question.
pub fn encode(question: &Question<'_>) -> Vec<u8> {
    let mut bytes = alloc::vec![1, 1, 6, 0];
    bytes.extend_from_slice(&question.transaction.to_be_bytes());
    bytes.extend_from_slice(&question.seconds.to_be_bytes());
    // Answers come as broadcasts while there is no address to send them to.
    let flags = if question.client.is_unspecified() {
        BROADCAST
    } else {
        [0, 0]
    };
    bytes.extend_from_slice(&flags);
    bytes.extend_from_slice(&question.client.octets());
    bytes.resize(28, 0);
    bytes.extend_from_slice(&question.hardware);
    bytes.resize(OPTIONS_AT - COOKIE.len(), 0);
    bytes.extend_from_slice(&COOKIE);
    let mut option = |code: u8, value: &[u8]| {
        let value = value.get(..255).unwrap_or(value);
        bytes.extend_from_slice(&[code, value.len() as u8]);
        bytes.extend_from_slice(value);
    };
    option(53, &[question.kind as u8]);
    let mut identity = [1; 7];
    identity[1..].copy_from_slice(&question.hardware);
    option(61, &identity);
    if let Some(wanted) = question.wanted {
        option(50, &wanted.octets());
    }
    if let Some(server) = question.server {
        option(54, &server.octets());
    }
    if !question.host.is_empty() {
        option(12, question.host.as_bytes());
    }
    option(57, &1472_u16.to_be_bytes());
    option(55, &[1, 121, 3, 6, 15, 26, 51, 54, 58, 59]);
    bytes.push(255);
    bytes.resize(bytes.len().max(SMALLEST_BYTES), 0);
    bytes
}

/// Reads an answer to a question of this client. `None` for everything else: foreign
/// transactions, other protocols, messages cut short, lengths that lead outside.
pub fn decode(bytes: &[u8], transaction: u32, hardware: [u8; 6]) -> Option<Answer> {
    let fixed = bytes.get(..OPTIONS_AT)?;
    let ours = fixed[0] == 2
        && fixed[4..8] == transaction.to_be_bytes()
        && fixed[28..34] == hardware
        && fixed[236..240] == COOKIE;
    if !ours {
        return None;
    }
    let mut answer = Answer {
        kind: Kind::Nak,
        address: Ipv4Addr::new(fixed[16], fixed[17], fixed[18], fixed[19]),
        prefix: 24,
        server: None,
        routes: Vec::new(),
        dns: Vec::new(),
        domain: None,
        mtu: None,
        lease_s: None,
        renew_s: None,
        rebind_s: None,
    };
    let (mut kind, mut router, mut classless) = (None, None, None);
    let mut rest = bytes.get(OPTIONS_AT..)?;
    loop {
        let (code, tail) = match *rest {
            [] | [255, ..] => break,
            [0, ref tail @ ..] => {
                rest = tail;
                continue;
            }
            [code, ref tail @ ..] => (code, tail),
        };
        let (length, tail) = tail.split_first()?;
        let value = tail.get(..usize::from(*length))?;
        rest = tail.get(usize::from(*length)..)?;
        match code {
            1 => answer.prefix = prefix(address(value)?)?,
            3 => router = address(value),
            6 => answer.dns = value.chunks_exact(4).filter_map(address).collect(),
            15 => answer.domain = domain(value),
            26 => answer.mtu = value.try_into().ok().map(u16::from_be_bytes),
            51 => answer.lease_s = seconds(value),
            53 => kind = value.first().copied(),
            54 => answer.server = address(value),
            58 => answer.renew_s = seconds(value),
            59 => answer.rebind_s = seconds(value),
            121 => classless = classless_routes(value),
            _ => {}
        }
    }
    answer.kind = match kind? {
        2 => Kind::Offer,
        5 => Kind::Ack,
        6 => Kind::Nak,
        _ => return None,
    };
    // RFC 3442: where classless routes are given, the router option is ignored.
    answer.routes = classless.unwrap_or_else(|| {
        let default = |via| Route {
            to: Ipv4Addr::UNSPECIFIED,
            prefix: 0,
            via,
        };
        router.map(default).into_iter().collect()
    });
    Some(answer)
}

fn address(value: &[u8]) -> Option<Ipv4Addr> {
    let octets: [u8; 4] = value.get(..4)?.try_into().ok()?;
    Some(Ipv4Addr::from(octets))
}

fn seconds(value: &[u8]) -> Option<u32> {
    value.try_into().ok().map(u32::from_be_bytes)
}

/// Prefix length of a mask whose ones are all at the left.
fn prefix(mask: Ipv4Addr) -> Option<u8> {
    let ones = u32::from(mask).leading_ones();
    (u32::from(mask).count_ones() == ones).then_some(ones as u8)
}

/// A domain that may go into `resolv.conf`: nothing that could start another line or word.
fn domain(value: &[u8]) -> Option<String> {
    let name = value.strip_suffix(&[0]).unwrap_or(value);
    let fine = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_');
    if name.is_empty() || !name.iter().all(fine) {
        return None;
    }
    core::str::from_utf8(name).ok().map(String::from)
}

/// RFC 3442: prefix length, as many octets of the network as it covers, router.
fn classless_routes(mut value: &[u8]) -> Option<Vec<Route>> {
    let mut routes = Vec::new();
    while let Some((&prefix, rest)) = value.split_first() {
        let octets = usize::from(prefix).div_ceil(8);
        if prefix > 32 {
            return None;
        }
        let mut to = [0; 4];
        to.get_mut(..octets)?.copy_from_slice(rest.get(..octets)?);
        routes.push(Route {
            to: to.into(),
            prefix,
            via: address(rest.get(octets..)?)?,
        });
        value = rest.get(octets + 4..)?;
    }
    Some(routes)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HARDWARE: [u8; 6] = [0x52, 0x54, 0, 0x12, 0x34, 0x56];

    /// A server's message with the given options, without the end mark.
    fn message(options: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0_u8; OPTIONS_AT];
        bytes[0] = 2;
        bytes[4..8].copy_from_slice(&7_u32.to_be_bytes());
        bytes[16..20].copy_from_slice(&[10, 0, 2, 15]);
        bytes[28..34].copy_from_slice(&HARDWARE);
        bytes[236..240].copy_from_slice(&COOKIE);
        bytes.extend_from_slice(options);
        bytes
    }

    fn read(options: &[u8]) -> Option<Answer> {
        decode(&message(options), 7, HARDWARE)
    }

    #[test]
    fn a_question_has_its_fields_in_place() {
        let bytes = encode(&Question {
            kind: Kind::Request,
            transaction: 0x0102_0304,
            seconds: 5,
            hardware: HARDWARE,
            client: Ipv4Addr::UNSPECIFIED,
            wanted: Some(Ipv4Addr::new(10, 0, 2, 15)),
            server: Some(Ipv4Addr::new(10, 0, 2, 2)),
            host: "edge",
        });
        assert_eq!(bytes.len(), SMALLEST_BYTES);
        assert_eq!(bytes[..12], [1, 1, 6, 0, 1, 2, 3, 4, 0, 5, 0x80, 0]);
        assert_eq!(bytes[28..34], HARDWARE);
        assert_eq!(bytes[240..243], [53, 1, 3]);
        assert_eq!(bytes[252..258], [50, 4, 10, 0, 2, 15]);
        assert_eq!(bytes[258..264], [54, 4, 10, 0, 2, 2]);
        assert_eq!(&bytes[264..270], b"\x0c\x04edge");
        let end = bytes.iter().rposition(|b| *b == 255).unwrap();
        assert!(bytes[end + 1..].iter().all(|b| *b == 0));
    }

    #[test]
    fn no_host_name_can_overflow_its_option() {
        let host = "x".repeat(600);
        let question = Question {
            kind: Kind::Discover,
            transaction: 1,
            seconds: 0,
            hardware: HARDWARE,
            client: Ipv4Addr::new(10, 0, 0, 1),
            wanted: None,
            server: None,
            host: &host,
        };
        let bytes = encode(&question);
        assert_eq!(
            bytes[10..12],
            [0, 0],
            "an address in use is answered directly"
        );
        assert_eq!(bytes[252..254], [12, 255]);
        assert_eq!(bytes[254 + 255], 57);
    }

    #[test]
    fn an_ack_of_qemu_is_understood() {
        let answer = read(&[
            53, 1, 5, 54, 4, 10, 0, 2, 2, 1, 4, 255, 255, 255, 0, 3, 4, 10, 0, 2, 2, 6, 4, 10, 0,
            2, 3, 51, 4, 0, 1, 81, 128, 255,
        ])
        .unwrap();
        assert_eq!(answer.kind, Kind::Ack);
        assert_eq!(answer.address, Ipv4Addr::new(10, 0, 2, 15));
        assert_eq!((answer.prefix, answer.lease_s), (24, Some(86400)));
        let via = Ipv4Addr::new(10, 0, 2, 2);
        assert_eq!(
            answer.routes,
            [Route {
                to: Ipv4Addr::UNSPECIFIED,
                prefix: 0,
                via
            }]
        );
        assert_eq!(answer.dns, [Ipv4Addr::new(10, 0, 2, 3)]);
    }

    #[test]
    fn classless_routes_replace_the_router() {
        let answer = read(&[
            53, 1, 5, 3, 4, 10, 0, 0, 1, 121, 13, 24, 192, 0, 2, 10, 0, 0, 2, 0, 10, 0, 0, 3,
        ])
        .unwrap();
        let route = |to: [u8; 4], prefix, via: [u8; 4]| Route {
            to: to.into(),
            prefix,
            via: via.into(),
        };
        let wanted = [
            route([192, 0, 2, 0], 24, [10, 0, 0, 2]),
            route([0; 4], 0, [10, 0, 0, 3]),
        ];
        assert_eq!(answer.routes, wanted);
        let cut = read(&[53, 1, 5, 3, 4, 10, 0, 0, 1, 121, 6, 0, 10, 0, 0, 3, 24]).unwrap();
        assert_eq!(
            cut.routes,
            [route([0; 4], 0, [10, 0, 0, 1])],
            "broken ones are as none"
        );
    }

    #[test]
    fn what_is_not_for_us_is_ignored() {
        let ack = message(&[53, 1, 5, 255]);
        assert!(decode(&ack, 7, HARDWARE).is_some());
        assert_eq!(decode(&ack, 8, HARDWARE), None);
        assert_eq!(decode(&ack, 7, [0; 6]), None);
        let mut request = ack.clone();
        request[0] = 1;
        assert_eq!(decode(&request, 7, HARDWARE), None);
        assert_eq!(read(&[255]), None, "no message type");
        assert_eq!(read(&[53, 1, 1, 255]), None, "a client's message");
    }

    #[test]
    fn hostile_messages_are_refused() {
        let whole = message(&[53, 1, 5, 1, 4, 255, 255, 255, 0, 255]);
        for end in 0..whole.len() {
            let _ = decode(&whole[..end], 7, HARDWARE);
        }
        assert_eq!(read(&[53, 200, 5]), None, "a length beyond the end");
        assert_eq!(read(&[53]), None, "no length");
        assert_eq!(
            read(&[53, 1, 5, 1, 4, 255, 0, 255, 0]),
            None,
            "a mask with holes"
        );
        assert_eq!(read(&[53, 1, 5, 1, 2, 255, 0]), None, "a short mask");
        let answer = read(b"\x35\x01\x05\x0f\x0cx\nnameserver").unwrap();
        assert_eq!(answer.domain, None, "no line break reaches resolv.conf");
        let answer = read(&[53, 1, 5, 121, 6, 33, 1, 2, 3, 4, 5]).unwrap();
        assert_eq!(answer.routes, [], "a prefix beyond 32");
        let answer = read(&[53, 1, 5, 51, 3, 1, 2, 3, 26, 1, 9, 0, 0, 0]).unwrap();
        assert_eq!((answer.lease_s, answer.mtu), (None, None));
    }

    #[test]
    fn no_bytes_make_it_panic() {
        // A small generator instead of a random one: the same cases every time.
        let mut seed = 1_u32;
        for length in 0..2000 {
            let options: Vec<u8> = (0..length % 90)
                .map(|_| {
                    seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                    (seed >> 24) as u8
                })
                .collect();
            let _ = read(&options);
            let _ = classless_routes(&options);
        }
    }
}
