//! The client's states (RFC 2131 §4.4), without a socket or a clock: time comes in as
//! milliseconds, packets go in and out as bytes.

use super::packet::{self, Answer, Kind, Question, Route};
use alloc::string::String;
use alloc::vec::Vec;
use core::net::Ipv4Addr;

/// First and longest wait before a question is repeated, in milliseconds. The first is shorter
/// than RFC 2131 proposes: machines here boot faster than its 4 seconds.
const RETRY_MS: (u64, u64) = (1_000, 64_000);
/// Shortest time between two attempts to keep a lease (RFC 2131 §4.4.5), in milliseconds.
const RENEW_RETRY_MS: u64 = 60_000;
/// Shortest lease that is believed, in seconds.
const MIN_LEASE_S: u32 = 30;
/// Lease where the server names none, in seconds.
const DEFAULT_LEASE_S: u32 = 3600;
const INFINITE_S: u32 = u32::MAX;

/// An address to use, and what goes with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    /// The address.
    pub address: Ipv4Addr,
    /// Prefix length of its network.
    pub prefix: u8,
    /// Routes.
    pub routes: Vec<Route>,
    /// Name servers.
    pub dns: Vec<Ipv4Addr>,
    /// Domain for short names.
    pub domain: Option<String>,
    /// Largest packet of the link.
    pub mtu: Option<u16>,
    /// Seconds for which it is good.
    pub lease_s: u32,
}

/// What the caller must do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Send to this address (the broadcast address or a server), server port.
    Send(Ipv4Addr, Vec<u8>),
    /// Use this lease from now on.
    Use(Lease),
    /// Stop using the lease: it has ended or was taken back.
    Drop(Lease),
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum State {
    Selecting,
    Requesting { address: Ipv4Addr, server: Ipv4Addr },
    Bound(Holding),
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Holding {
    lease: Lease,
    server: Ipv4Addr,
    rebind_ms: u64,
    end_ms: u64,
}

/// A client for one interface.
#[derive(Debug, Clone)]
pub struct Client {
    hardware: [u8; 6],
    host: String,
    transaction: u32,
    state: State,
    begun_ms: u64,
    next_ms: u64,
    tries: u32,
}

/// Requests without an answer after which the search starts anew.
const MAX_REQUESTS: u32 = 4;

impl Client {
    /// A client that wants an address now.
    pub fn new(hardware: [u8; 6], host: &str, transaction: u32, now_ms: u64) -> Self {
        Self {
            hardware,
            host: String::from(host),
            transaction,
            state: State::Selecting,
            begun_ms: now_ms,
            next_ms: now_ms,
            tries: 0,
        }
    }

    /// When [`Client::tick`] has something to do.
    pub fn deadline_ms(&self) -> u64 {
        self.next_ms
    }

    /// The link has (again) become usable: asks at once rather than at the next repetition.
    pub fn link_is_up(&mut self, now_ms: u64) {
        if !matches!(self.state, State::Bound(_)) {
            self.restart(now_ms);
        }
    }

    fn restart(&mut self, now_ms: u64) {
        self.state = State::Selecting;
        self.transaction = self.transaction.wrapping_add(1);
        self.begun_ms = now_ms;
        self.next_ms = now_ms;
        self.tries = 0;
    }

    fn question(&self, now_ms: u64) -> Question<'_> {
        let seconds = now_ms.saturating_sub(self.begun_ms) / 1000;
        Question {
            kind: Kind::Request,
            transaction: self.transaction,
            seconds: u16::try_from(seconds).unwrap_or(u16::MAX),
            hardware: self.hardware,
            client: Ipv4Addr::UNSPECIFIED,
            wanted: None,
            server: None,
            host: &self.host,
        }
    }

    /// Does what is due at `now_ms`.
    pub fn tick(&mut self, now_ms: u64) -> Option<Action> {
        if now_ms < self.next_ms {
            return None;
        }
        let retry_ms = (RETRY_MS.0 << self.tries.min(16)).min(RETRY_MS.1);
        match &self.state {
            State::Selecting => {
                let question = Question {
                    kind: Kind::Discover,
                    ..self.question(now_ms)
                };
                let bytes = packet::encode(&question);
                self.wait(now_ms, retry_ms);
                Some(Action::Send(Ipv4Addr::BROADCAST, bytes))
            }
            State::Requesting { .. } if self.tries >= MAX_REQUESTS => {
                self.restart(now_ms);
                self.tick(now_ms)
            }
            State::Requesting { address, server } => {
                let (wanted, server) = (Some(*address), Some(*server));
                let bytes = packet::encode(&Question {
                    wanted,
                    server,
                    ..self.question(now_ms)
                });
                self.wait(now_ms, retry_ms);
                Some(Action::Send(Ipv4Addr::BROADCAST, bytes))
            }
            State::Bound(holding) if now_ms >= holding.end_ms => {
                let lease = holding.lease.clone();
                self.restart(now_ms);
                Some(Action::Drop(lease))
            }
            State::Bound(holding) => {
                // Renewing asks the server that gave the lease, rebinding any.
                let rebinding = now_ms >= holding.rebind_ms;
                let to = if rebinding {
                    Ipv4Addr::BROADCAST
                } else {
                    holding.server
                };
                let phase_end = if rebinding {
                    holding.end_ms
                } else {
                    holding.rebind_ms
                };
                let client = holding.lease.address;
                let bytes = packet::encode(&Question {
                    client,
                    ..self.question(now_ms)
                });
                let wait = (phase_end.saturating_sub(now_ms) / 2).max(RENEW_RETRY_MS);
                self.next_ms = now_ms.saturating_add(wait).min(phase_end);
                Some(Action::Send(to, bytes))
            }
        }
    }

    fn wait(&mut self, now_ms: u64, ms: u64) {
        self.next_ms = now_ms.saturating_add(ms);
        self.tries = self.tries.saturating_add(1);
    }

    /// Takes a packet that has arrived. What it asks for may be due at once: call
    /// [`Client::tick`] after it.
    pub fn receive(&mut self, now_ms: u64, bytes: &[u8]) -> Option<Action> {
        let answer = packet::decode(bytes, self.transaction, self.hardware)?;
        match (&self.state, answer.kind) {
            (State::Selecting, Kind::Offer) => {
                if !is_usable(answer.address) {
                    return None;
                }
                self.state = State::Requesting {
                    address: answer.address,
                    server: answer.server?,
                };
                self.next_ms = now_ms;
                self.tries = 0;
                None
            }
            (State::Requesting { .. }, Kind::Nak) => {
                self.restart(now_ms);
                // A server that refuses what it offered is not asked again in a tight loop.
                self.next_ms = now_ms.saturating_add(RETRY_MS.0);
                None
            }
            (State::Bound(holding), Kind::Nak) => {
                let lease = holding.lease.clone();
                self.restart(now_ms);
                Some(Action::Drop(lease))
            }
            (State::Requesting { server, .. }, Kind::Ack) => {
                let server = answer.server.unwrap_or(*server);
                self.bind(now_ms, answer, server)
            }
            (State::Bound(holding), Kind::Ack) => {
                let server = answer.server.unwrap_or(holding.server);
                self.bind(now_ms, answer, server)
            }
            _ => None,
        }
    }

    fn bind(&mut self, now_ms: u64, answer: Answer, server: Ipv4Addr) -> Option<Action> {
        if !is_usable(answer.address) {
            return None;
        }
        let lease_s = answer.lease_s.unwrap_or(DEFAULT_LEASE_S).max(MIN_LEASE_S);
        // RFC 2131 §4.4.5: half and seven eighths of the lease, unless the server says (and says
        // something that makes sense).
        let rebind_s = answer
            .rebind_s
            .filter(|s| *s < lease_s)
            .unwrap_or(lease_s / 8 * 7);
        let renew_s = answer
            .renew_s
            .filter(|s| *s < rebind_s)
            .unwrap_or(lease_s / 2)
            .max(1);
        let after = |seconds: u32| now_ms.saturating_add(u64::from(seconds) * 1000);
        let never = u64::MAX;
        let infinite = lease_s == INFINITE_S;
        let lease = Lease {
            address: answer.address,
            prefix: answer.prefix,
            routes: answer.routes,
            dns: answer.dns,
            domain: answer.domain,
            mtu: answer.mtu,
            lease_s,
        };
        self.next_ms = if infinite { never } else { after(renew_s) };
        self.state = State::Bound(Holding {
            lease: lease.clone(),
            server,
            rebind_ms: if infinite { never } else { after(rebind_s) },
            end_ms: if infinite { never } else { after(lease_s) },
        });
        self.begun_ms = now_ms;
        self.tries = 0;
        Some(Action::Use(lease))
    }
}

fn is_usable(address: Ipv4Addr) -> bool {
    !(address.is_unspecified()
        || address.is_broadcast()
        || address.is_multicast()
        || address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    const HARDWARE: [u8; 6] = [2, 0, 0, 0, 0, 1];

    fn reply(to: &[u8], kind: u8, lease_s: u32) -> Vec<u8> {
        let mut bytes = vec![0_u8; 240];
        bytes[0] = 2;
        bytes[4..8].copy_from_slice(&to[4..8]);
        bytes[16..20].copy_from_slice(&[192, 0, 2, 9]);
        bytes[28..34].copy_from_slice(&HARDWARE);
        bytes[236..240].copy_from_slice(&[99, 130, 83, 99]);
        bytes.extend_from_slice(&[53, 1, kind, 54, 4, 192, 0, 2, 1, 51, 4]);
        bytes.extend_from_slice(&lease_s.to_be_bytes());
        bytes.push(255);
        bytes
    }

    fn sent(action: Option<Action>) -> (Ipv4Addr, Vec<u8>) {
        match action {
            Some(Action::Send(to, bytes)) => (to, bytes),
            other => panic!("a packet was expected, not {other:?}"),
        }
    }

    fn bound(now_ms: u64, lease_s: u32) -> Client {
        let mut client = Client::new(HARDWARE, "edge", 7, now_ms);
        let (to, discover) = sent(client.tick(now_ms));
        assert_eq!(to, Ipv4Addr::BROADCAST);
        assert_eq!(client.receive(now_ms, &reply(&discover, 2, lease_s)), None);
        let (to, request) = sent(client.tick(now_ms));
        assert_eq!(to, Ipv4Addr::BROADCAST);
        let action = client.receive(now_ms, &reply(&request, 5, lease_s));
        assert!(matches!(action, Some(Action::Use(lease))
            if lease.address == Ipv4Addr::new(192, 0, 2, 9)));
        client
    }

    #[test]
    fn discover_is_repeated_ever_slower() {
        let mut client = Client::new(HARDWARE, "edge", 7, 100);
        let mut at = Vec::new();
        for _ in 0..9 {
            let now = client.deadline_ms();
            at.push(now - 100);
            sent(client.tick(now));
            assert_eq!(client.tick(now), None);
        }
        assert_eq!(
            at,
            [
                0, 1_000, 3_000, 7_000, 15_000, 31_000, 63_000, 127_000, 191_000
            ]
        );
    }

    #[test]
    fn a_link_that_comes_up_is_used_at_once() {
        let mut client = Client::new(HARDWARE, "edge", 7, 0);
        let (_, first) = sent(client.tick(0));
        client.link_is_up(500);
        let (_, second) = sent(client.tick(500));
        assert_ne!(first[4..8], second[4..8], "a new search has a new number");
    }

    #[test]
    fn a_lease_is_renewed_then_rebound_then_dropped() {
        let mut client = bound(0, 800);
        assert_eq!(client.deadline_ms(), 400_000);
        let (to, renew) = sent(client.tick(400_000));
        assert_eq!(to, Ipv4Addr::new(192, 0, 2, 1));
        assert_eq!(renew[12..16], [192, 0, 2, 9]);
        let action = client.receive(400_100, &reply(&renew, 5, 800));
        assert!(matches!(action, Some(Action::Use(_))));
        assert_eq!(client.deadline_ms(), 800_100);

        let mut now = client.deadline_ms();
        let mut broadcasts = 0;
        let dropped = loop {
            match client.tick(now) {
                Some(Action::Send(to, _)) => {
                    let rebinding = now >= 400_100 + 700_000;
                    assert_eq!(to.is_broadcast(), rebinding, "at {now}");
                    broadcasts += u32::from(rebinding);
                }
                Some(Action::Drop(lease)) => break lease,
                other => panic!("{other:?} at {now}"),
            }
            now = client.deadline_ms();
        };
        assert!(broadcasts > 0);
        assert_eq!((now, dropped.prefix), (400_100 + 800_000, 24));
        sent(client.tick(now));
    }

    #[test]
    fn a_refusal_starts_anew() {
        let mut client = bound(0, 800);
        let (_, renew) = sent(client.tick(400_000));
        assert!(matches!(
            client.receive(400_000, &reply(&renew, 6, 0)),
            Some(Action::Drop(_))
        ));
        let (to, _) = sent(client.tick(400_000));
        assert!(to.is_broadcast());
    }

    #[test]
    fn a_server_that_offers_and_falls_silent_is_left() {
        let mut client = Client::new(HARDWARE, "edge", 7, 0);
        let (_, discover) = sent(client.tick(0));
        client.receive(0, &reply(&discover, 2, 60));
        let mut kinds = Vec::new();
        for _ in 0..5 {
            let now = client.deadline_ms();
            kinds.push(sent(client.tick(now)).1[242]);
        }
        assert_eq!(kinds, [3, 3, 3, 3, 1]);
    }

    #[test]
    fn an_infinite_lease_needs_nothing_more() {
        let mut client = bound(0, u32::MAX);
        assert_eq!(client.deadline_ms(), u64::MAX);
        assert_eq!(client.tick(u64::MAX - 1), None);
    }

    #[test]
    fn a_lease_of_no_time_does_not_spin() {
        let client = bound(0, 0);
        assert_eq!(client.deadline_ms(), 15_000);
    }

    #[test]
    fn answers_out_of_turn_change_nothing() {
        let mut client = Client::new(HARDWARE, "edge", 7, 0);
        let (_, discover) = sent(client.tick(0));
        assert_eq!(client.receive(0, &reply(&discover, 5, 60)), None);
        assert_eq!(client.receive(0, &reply(&discover, 6, 60)), None);
        assert_eq!(client.deadline_ms(), 1_000);
    }
}
