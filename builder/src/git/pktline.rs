//! Packets of git's protocol: four hexadecimal digits of length, then that many bytes less four
//! (gitprotocol-common).

use std::io::{self, Read};

/// Longest packet, its length included, in bytes.
const MAX_PACKET_BYTES: usize = 65_520;

/// One packet.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Packet<'a> {
    /// Bytes.
    Data(&'a [u8]),
    /// `0000`: the end of a message.
    Flush,
    /// `0001`: the end of a section.
    Delimiter,
    /// `0002`: the end of an answer.
    End,
}

/// Why no packet could be read.
#[derive(Debug)]
pub(super) enum Trouble {
    /// The stream broke off.
    Io(io::Error),
    /// What came is no packet.
    NoPacket(String),
}

impl From<io::Error> for Trouble {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// Reads packets from a stream.
pub(super) struct Packets<R> {
    input: R,
    buffer: Vec<u8>,
}

impl<R: Read> Packets<R> {
    pub(super) fn new(input: R) -> Self {
        Self {
            input,
            buffer: Vec::new(),
        }
    }

    /// The next packet, which must be there.
    pub(super) fn next(&mut self) -> Result<Packet<'_>, Trouble> {
        let mut head = [0; 4];
        self.input.read_exact(&mut head)?;
        let text = std::str::from_utf8(&head).ok();
        let length = text.filter(|text| text.bytes().all(|b| b.is_ascii_hexdigit()));
        let length = length.and_then(|text| usize::from_str_radix(text, 16).ok());
        match length {
            Some(0) => Ok(Packet::Flush),
            Some(1) => Ok(Packet::Delimiter),
            Some(2) => Ok(Packet::End),
            Some(length @ 4..=MAX_PACKET_BYTES) => {
                self.buffer.resize(length - 4, 0);
                self.input.read_exact(&mut self.buffer)?;
                Ok(Packet::Data(&self.buffer))
            }
            _ => Err(Trouble::NoPacket(format!(
                "{:?} where a packet begins",
                String::from_utf8_lossy(&head)
            ))),
        }
    }
}

/// Appends a packet with a line of text.
pub(super) fn line(out: &mut Vec<u8>, text: &str) {
    out.extend_from_slice(format!("{:04x}{text}\n", text.len() + 5).as_bytes());
}

/// Ends a message.
pub(super) const FLUSH: &[u8] = b"0000";

/// Ends a section.
pub(super) const DELIMITER: &[u8] = b"0001";

/// A line of text without its end.
pub(super) fn text(bytes: &[u8]) -> &[u8] {
    bytes.strip_suffix(b"\n").unwrap_or(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let mut bytes = Vec::new();
        line(&mut bytes, "command=fetch");
        bytes.extend_from_slice(DELIMITER);
        bytes.extend_from_slice(b"0004");
        bytes.extend_from_slice(FLUSH);
        assert!(bytes.starts_with(b"0012command=fetch\n"));
        let mut packets = Packets::new(bytes.as_slice());
        assert_eq!(packets.next().unwrap(), Packet::Data(b"command=fetch\n"));
        assert_eq!(packets.next().unwrap(), Packet::Delimiter);
        assert_eq!(packets.next().unwrap(), Packet::Data(b""));
        assert_eq!(packets.next().unwrap(), Packet::Flush);
        assert!(matches!(packets.next(), Err(Trouble::Io(_))));
    }

    #[test]
    fn what_is_no_packet_is_refused() {
        for bytes in ["0003", "+004", "<htm", "fff1", "000\u{e9}"] {
            let mut packets = Packets::new(bytes.as_bytes());
            assert!(
                matches!(packets.next(), Err(Trouble::NoPacket(_))),
                "{bytes}"
            );
        }
        let mut packets = Packets::new(&b"0009ab"[..]);
        assert!(matches!(packets.next(), Err(Trouble::Io(_))));
    }
}
