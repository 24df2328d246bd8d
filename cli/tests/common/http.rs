//! The smallest client that tells a whole answer from half of one.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// How long a server may keep silent.
const PATIENCE: Duration = Duration::from_secs(300);

/// An answer, as far as it came.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Answer {
    /// Status; 0 where there was no status line.
    pub(crate) status: u16,
    pub(crate) body: Vec<u8>,
    /// Length that the header said.
    pub(crate) length: Option<usize>,
}

impl Answer {
    /// Whether everything came.
    pub(crate) fn is_whole(&self) -> bool {
        self.status == 200 && self.length.is_none_or(|length| length == self.body.len())
    }
}

/// Asks for a path. A connection that breaks off gives what came before.
pub(crate) fn get(address: SocketAddr, path: &str) -> Answer {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    write!(stream, "GET {path} HTTP/1.0\r\nHost: test\r\n\r\n").unwrap();
    let mut bytes = Vec::new();
    // An error is an end; what counts is what came.
    let _ = stream.read_to_end(&mut bytes);
    let Some(end) = bytes.windows(4).position(|w| w == b"\r\n\r\n") else {
        return Answer::default();
    };
    let head = String::from_utf8_lossy(&bytes[..end]).to_lowercase();
    let mut lines = head.lines();
    let status = lines
        .next()
        .and_then(|line| line.split(' ').nth(1)?.parse().ok());
    let length = lines.find_map(|line| line.strip_prefix("content-length:")?.trim().parse().ok());
    Answer {
        status: status.unwrap_or(0),
        body: bytes[end + 4..].to_vec(),
        length,
    }
}
