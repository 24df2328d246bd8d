//! QEMU's machine protocol: one JSON object a line, over a socket.
//!
//! By the [QMP specification](https://www.qemu.org/docs/master/interop/qmp-spec.html).

use serde_json::{Value, json};
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

/// Longest line accepted.
const MAX_LINE_BYTES: u64 = 16 << 20;
/// Most time for an answer; QEMU answers at once unless its main loop is stuck.
const ANSWER_LIMIT: Duration = Duration::from_secs(30);

/// Why the monitor did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum QmpError {
    /// The socket failed, was closed, or did not answer in time.
    #[error("no answer to '{command}': {error}; see its console for what the guest does")]
    Io {
        /// What was asked.
        command: String,
        /// What the system said.
        error: io::Error,
    },
    /// What came back is not the protocol.
    #[error("the answer to '{command}' is not QMP: {problem}; use the QEMU that nos brings")]
    Protocol {
        /// What was asked.
        command: String,
        /// What is wrong with it.
        problem: String,
    },
    /// QEMU refused.
    #[error("QEMU refuses '{command}': {description}")]
    Refused {
        /// What was asked.
        command: String,
        /// QEMU's words.
        description: String,
    },
}

/// A connection to a machine's monitor.
#[derive(Debug)]
pub struct Qmp {
    reader: BufReader<UnixStream>,
    /// Why the guest was shut down, from the last `SHUTDOWN` event.
    shutdown: Option<String>,
}

impl Qmp {
    /// Opens the socket `name` in a folder. The folder's path may be longer than a socket's
    /// address can be.
    pub(crate) fn open_socket(folder: &Path, name: &str) -> io::Result<UnixStream> {
        let folder = File::open(folder)?;
        UnixStream::connect(format!("/proc/self/fd/{}/{name}", folder.as_raw_fd()))
    }

    /// Greets the monitor behind a connected socket.
    ///
    /// # Errors
    /// [`QmpError`] where what answers is not a monitor.
    pub fn greet(stream: UnixStream) -> Result<Self, QmpError> {
        let command = "greeting";
        let io = |error| QmpError::Io {
            command: command.into(),
            error,
        };
        stream.set_read_timeout(Some(ANSWER_LIMIT)).map_err(io)?;
        stream.set_write_timeout(Some(ANSWER_LIMIT)).map_err(io)?;
        let mut qmp = Self {
            reader: BufReader::new(stream),
            shutdown: None,
        };
        let greeting = qmp.read(command)?;
        if greeting.get("QMP").is_none() {
            return Err(QmpError::Protocol {
                command: command.into(),
                problem: "there is no greeting".into(),
            });
        }
        qmp.execute("qmp_capabilities", json!({}))?;
        Ok(qmp)
    }

    /// Runs a command and gives what it returns.
    ///
    /// # Errors
    /// [`QmpError::Refused`] with QEMU's words; the others where there is no proper answer.
    pub fn execute(&mut self, command: &str, arguments: Value) -> Result<Value, QmpError> {
        let mut line = json!({ "execute": command, "arguments": arguments }).to_string();
        line.push('\n');
        let mut stream = self.reader.get_ref();
        stream
            .write_all(line.as_bytes())
            .map_err(|error| QmpError::Io {
                command: command.into(),
                error,
            })?;
        loop {
            let mut answer = self.read(command)?;
            if let Some(value) = answer.get_mut("return") {
                return Ok(value.take());
            }
            if let Some(error) = answer.get("error") {
                let description = error.get("desc").and_then(Value::as_str);
                return Err(QmpError::Refused {
                    command: command.into(),
                    description: description.unwrap_or("no reason given").to_owned(),
                });
            }
        }
    }

    /// Runs a command of the human monitor, for what QMP has no command of its own.
    ///
    /// # Errors
    /// As [`Qmp::execute`].
    pub fn human(&mut self, line: &str) -> Result<String, QmpError> {
        let arguments = json!({ "command-line": line });
        let value = self.execute("human-monitor-command", arguments)?;
        Ok(value.as_str().unwrap_or_default().to_owned())
    }

    /// Reads what is left after the machine ended; gives why it was shut down, in QEMU's words
    /// (`guest-shutdown`, `guest-reset`, `guest-panic`, `host-qmp-quit`, …).
    pub(crate) fn into_shutdown_reason(mut self) -> Option<String> {
        while self.read("end").is_ok() {}
        self.shutdown
    }

    /// Reads one line; events are noted on the way.
    fn read(&mut self, command: &str) -> Result<Value, QmpError> {
        let mut line = Vec::new();
        let mut limited = (&mut self.reader).take(MAX_LINE_BYTES);
        let got = limited.read_until(b'\n', &mut line);
        let io = |error| QmpError::Io {
            command: command.into(),
            error,
        };
        if got.map_err(io)? == 0 {
            return Err(io(io::ErrorKind::UnexpectedEof.into()));
        }
        let value: Value = serde_json::from_slice(&line).map_err(|error| QmpError::Protocol {
            command: command.into(),
            problem: error.to_string(),
        })?;
        if value.get("event").and_then(Value::as_str) == Some("SHUTDOWN") {
            let reason = value.pointer("/data/reason").and_then(Value::as_str);
            self.shutdown = reason.map(str::to_owned);
        }
        Ok(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::thread::JoinHandle;

    const GREETING: &str = r#"{"QMP": {"version": {}, "capabilities": []}}"#;

    /// A monitor that says its lines whatever it is asked, one more after each question.
    fn monitor(answers: &[&str]) -> (UnixStream, JoinHandle<Vec<Value>>) {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let answers: Vec<String> = answers.iter().map(|s| format!("{s}\n")).collect();
        let thread = std::thread::spawn(move || {
            let mut asked = Vec::new();
            let mut lines = BufReader::new(theirs.try_clone().unwrap()).lines();
            for answer in answers {
                (&theirs).write_all(answer.as_bytes()).unwrap();
                match lines.next() {
                    Some(Ok(line)) => asked.push(serde_json::from_str(&line).unwrap()),
                    _ => break,
                }
            }
            asked
        });
        (ours, thread)
    }

    #[test]
    fn commands_are_asked_and_events_passed_over() {
        let (stream, thread) = monitor(&[
            GREETING,
            r#"{"return": {}}"#,
            "{\"event\": \"NIC_RX_FILTER_CHANGED\", \"data\": {}}\n{\"return\": \"text\\r\\n\"}",
            r#"{"error": {"class": "GenericError", "desc": "no such thing"}}"#,
            r#"{"event": "SHUTDOWN", "data": {"guest": true, "reason": "guest-reset"}}"#,
        ]);
        let mut qmp = Qmp::greet(stream).unwrap();
        assert_eq!(qmp.human("info usernet").unwrap(), "text\r\n");
        let error = qmp.execute("nonsense", json!({})).unwrap_err();
        assert_eq!(error.to_string(), "QEMU refuses 'nonsense': no such thing");
        let mut stream = qmp.reader.get_ref();
        stream.write_all(b"{}\n").unwrap();
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        assert_eq!(qmp.into_shutdown_reason().as_deref(), Some("guest-reset"));
        let asked = thread.join().unwrap();
        assert_eq!(asked[0]["execute"], "qmp_capabilities");
        assert_eq!(asked[1]["arguments"]["command-line"], "info usernet");
    }

    #[test]
    fn what_is_not_a_monitor_is_refused() {
        for (lines, part) in [
            (&["hello"][..], "is not QMP"),
            (&["{}"], "there is no greeting"),
            (&[], "no answer to 'greeting'"),
        ] {
            let (stream, thread) = monitor(lines);
            let error = Qmp::greet(stream).unwrap_err().to_string();
            assert!(error.contains(part), "{error}");
            thread.join().unwrap();
        }
    }
}
