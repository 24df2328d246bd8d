//! Messages on a stream: a `Content-Length` header, an empty line, JSON.
//!
//! Whatever comes, reading goes on at the next message that can be found, and nothing is kept in
//! memory that is longer than the limits here.

use lsp_server::{ErrorCode, Message, RequestId};
use serde_json::{Value, json};
use std::io::{self, BufRead, Read, Write};

/// Longest message that is read, in bytes. A document of the largest size fits, escaped.
const MAX_MESSAGE: u64 = 64 << 20;

/// Longest line of a header, in bytes.
const MAX_LINE: u64 = 8 << 10;

/// What came from the client.
#[derive(Debug)]
pub(super) enum Incoming {
    /// A message.
    Message(Message),
    /// Something else, and what to answer.
    Wrong(Value),
}

/// Reads the next message; `None` at the end of the stream.
///
/// # Errors
/// Where the stream cannot be read.
pub(super) fn read(stream: &mut impl BufRead) -> io::Result<Option<Incoming>> {
    let mut length = None;
    let mut line = Vec::new();
    loop {
        line.clear();
        if stream
            .by_ref()
            .take(MAX_LINE)
            .read_until(b'\n', &mut line)?
            == 0
        {
            return Ok(None);
        }
        let text = line.trim_ascii();
        if text.is_empty() {
            break;
        }
        let mut parts = text.splitn(2, |byte| *byte == b':');
        let name = parts.next().unwrap_or_default();
        if name.eq_ignore_ascii_case(b"content-length") {
            let value = parts.next().unwrap_or_default().trim_ascii();
            let value = std::str::from_utf8(value).ok();
            length = value.and_then(|value| value.parse::<u64>().ok());
        }
    }
    let Some(length) = length else {
        let text = "a message without a Content-Length";
        return Ok(Some(wrong(None, ErrorCode::ParseError, text)));
    };
    let mut body = stream.by_ref().take(length);
    if length > MAX_MESSAGE {
        io::copy(&mut body, &mut io::sink())?;
        let text = format!("a message of more than {MAX_MESSAGE} bytes");
        return Ok(Some(wrong(None, ErrorCode::InvalidRequest, &text)));
    }
    // The length is a promise: memory is taken for what really comes.
    let mut bytes = Vec::new();
    body.read_to_end(&mut bytes)?;
    if bytes.len() as u64 != length {
        return Ok(None);
    }
    Ok(Some(parse(&bytes)))
}

fn parse(bytes: &[u8]) -> Incoming {
    let value: Value = match serde_json::from_slice(bytes) {
        Ok(value) => value,
        Err(error) => return wrong(None, ErrorCode::ParseError, &format!("not JSON: {error}")),
    };
    let id = value.get("id").cloned();
    match serde_json::from_value(value) {
        // With an id that cannot be one it only looks like a notification.
        Ok(Message::Notification(_)) if id.is_some() => {
            let text = "the id of a request is a whole number of 32 bits or a text";
            wrong(None, ErrorCode::InvalidRequest, text)
        }
        Ok(message) => Incoming::Message(message),
        Err(_) => {
            let text = "neither a request, a response nor a notification";
            wrong(id, ErrorCode::InvalidRequest, text)
        }
    }
}

fn wrong(id: Option<Value>, code: ErrorCode, message: &str) -> Incoming {
    // Only what can be an id is given back as one.
    let id = id.filter(|id| serde_json::from_value::<RequestId>(id.clone()).is_ok());
    Incoming::Wrong(json!({
        "jsonrpc": "2.0",
        "id": id,
        "error": { "code": code as i32, "message": message },
    }))
}

/// Writes a message.
///
/// # Errors
/// Where the stream cannot be written.
pub(super) fn write(stream: &mut impl Write, message: &Value) -> io::Result<()> {
    let text = message.to_string();
    write!(stream, "Content-Length: {}\r\n\r\n{text}", text.len())?;
    stream.flush()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is read from some bytes: methods, or the codes of answers.
    fn all(bytes: &[u8]) -> Vec<String> {
        let mut stream = bytes;
        let mut found = Vec::new();
        while let Some(incoming) = read(&mut stream).unwrap() {
            found.push(match incoming {
                Incoming::Message(Message::Request(request)) => request.method,
                Incoming::Message(Message::Notification(notification)) => notification.method,
                Incoming::Message(Message::Response(_)) => "response".into(),
                Incoming::Wrong(answer) => answer["error"]["code"].to_string(),
            });
        }
        found
    }

    fn framed(body: &str) -> Vec<u8> {
        format!("Content-Length: {}\r\n\r\n{body}", body.len()).into_bytes()
    }

    #[test]
    fn reading_goes_on_behind_what_is_wrong() {
        let good = framed(r#"{"jsonrpc":"2.0","method":"good"}"#);
        for (bad, code) in [
            (framed("{"), "-32700"),
            (framed("[1, 2]"), "-32600"),
            (framed("\u{fffd}"), "-32700"),
            (framed(r#"{"id":[],"method":1}"#), "-32600"),
            (framed(&"[".repeat(100_000)), "-32700"),
            (framed(r#"{"id":1e99,"method":"a"}"#), "-32600"),
            (b"no header\r\n\r\n".to_vec(), "-32700"),
            (b"Content-Length: -1\r\n\r\n".to_vec(), "-32700"),
            (
                b"Content-Length: 99999999999999999999\r\n\r\n".to_vec(),
                "-32700",
            ),
        ] {
            assert_eq!(all(&[bad, good.clone()].concat()), [code, "good"]);
        }
        assert_eq!(
            all(&[good.clone(), good.clone()].concat()),
            ["good", "good"]
        );
    }

    #[test]
    fn a_stream_may_end_anywhere_and_promise_anything() {
        let whole = framed(r#"{"id":1,"method":"a","params":{}}"#);
        for end in 0..whole.len() {
            assert!(all(&whole[..end]).is_empty());
        }
        assert!(all(b"Content-Length: 60000000\r\n\r\n{}").is_empty());
        assert_eq!(all(b"Content-Length: 600000000\r\n\r\n{}"), ["-32600"]);
    }
}
