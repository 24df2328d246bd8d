//! The guest's serial console, kept in memory.

use crate::error::MachineError;
use std::fs::File;
use std::io::{Read, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Most text kept; the oldest is dropped first.
const KEPT_BYTES: usize = 4 << 20;
/// How much an error shows.
const TAIL_BYTES: usize = 2000;

/// What the guest said on its console. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct Console(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    text: Vec<u8>,
    /// Bytes dropped before `text`.
    dropped: usize,
    /// Where the next [`Console::wait_for`] begins, counted from the very first byte.
    cursor: usize,
    closed: bool,
}

impl State {
    fn append(&mut self, bytes: &[u8]) {
        self.text.extend_from_slice(bytes);
        if self.text.len() > 2 * KEPT_BYTES {
            let surplus = self.text.len() - KEPT_BYTES;
            self.text.drain(..surplus);
            self.dropped += surplus;
        }
    }

    /// The text from a position on.
    fn from(&self, position: usize) -> &[u8] {
        let start = position.saturating_sub(self.dropped);
        self.text.get(start..).unwrap_or_default()
    }

    fn tail(&self) -> String {
        let start = self.text.len().saturating_sub(TAIL_BYTES);
        readable(&self.text[start..])
    }
}

impl Console {
    /// Reads in a thread of its own until the end, copying into `copy` where there is one.
    pub(crate) fn read_from(mut from: impl Read + Send + 'static, mut copy: Option<File>) -> Self {
        let console = Self::default();
        let writer = console.clone();
        std::thread::spawn(move || {
            let mut buffer = [0u8; 8192];
            loop {
                match from.read(&mut buffer) {
                    Ok(0) => break,
                    Ok(n) => {
                        // A full disk must not stop the guest; the text in memory is whole.
                        if let Some(file) = &mut copy
                            && file.write_all(&buffer[..n]).is_err()
                        {
                            copy = None;
                        }
                        writer.lock().append(&buffer[..n]);
                        writer.0.changed.notify_all();
                    }
                    Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                    Err(_) => break,
                }
            }
            writer.close();
        });
        console
    }

    /// Marks the end of the text.
    pub(crate) fn close(&self) {
        self.lock().closed = true;
        self.0.changed.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing panics while it holds the lock.
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Everything kept, without terminal control sequences.
    pub fn text(&self) -> String {
        readable(&self.lock().text)
    }

    /// Waits until the guest says `wanted`, and gives the whole line as far as it is there. The
    /// next call looks behind it, so calls follow the guest in order.
    ///
    /// # Errors
    /// [`MachineError::Silent`] after `limit`; [`MachineError::EndedWaiting`] where the console
    /// is closed first. Both show what the guest said last.
    pub fn wait_for(&self, wanted: &str, limit: Duration) -> Result<String, MachineError> {
        let until = Instant::now() + limit;
        let mut state = self.lock();
        loop {
            let text = state.from(state.cursor);
            if let Some(at) = find(text, wanted.as_bytes()) {
                let start = text[..at]
                    .iter()
                    .rposition(|&b| b == b'\n')
                    .map_or(0, |n| n + 1);
                let end = text[at..]
                    .iter()
                    .position(|&b| b == b'\n')
                    .map_or(text.len(), |n| at + n);
                let line = readable(&text[start..end]);
                let skipped = state.cursor.max(state.dropped);
                state.cursor = skipped + at + wanted.len();
                return Ok(line);
            }
            let (wanted, tail) = (wanted.to_owned(), || state.tail());
            if state.closed {
                let tail = tail();
                return Err(MachineError::EndedWaiting { wanted, tail });
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                let tail = tail();
                return Err(MachineError::Silent {
                    wanted,
                    limit,
                    tail,
                });
            }
            let waited = self.0.changed.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// The text from the beginning as it comes: whole lines at once, and the beginning of a line when
    /// no more has come for `patience`, as behind a prompt. Ends when the console closes.
    pub fn pieces(&self, patience: Duration) -> impl Iterator<Item = String> + use<> {
        let console = self.clone();
        let mut position = 0;
        std::iter::from_fn(move || {
            let mut state = console.lock();
            let mut is_over = false;
            loop {
                position = position.max(state.dropped);
                let text = state.from(position);
                let length = text.len();
                let whole = text.iter().rposition(|&b| b == b'\n').map(|end| end + 1);
                let rest = (is_over || state.closed).then_some(length);
                if let Some(end) = rest.or(whole).filter(|end| *end > 0) {
                    let piece = readable(text.get(..end).unwrap_or_default());
                    position += end;
                    return Some(piece);
                }
                if state.closed {
                    return None;
                }
                if length == 0 {
                    let waited = console.0.changed.wait(state);
                    state = waited.unwrap_or_else(PoisonError::into_inner);
                } else {
                    let waited = console.0.changed.wait_timeout(state, patience);
                    let (now, timeout) = waited.unwrap_or_else(PoisonError::into_inner);
                    is_over = timeout.timed_out() && now.from(position).len() == length;
                    state = now;
                }
            }
        })
    }

    /// The lines from the beginning, each as soon as it is whole; ends when the console closes.
    pub fn lines(&self) -> impl Iterator<Item = String> + use<> {
        let console = self.clone();
        let mut position = 0;
        std::iter::from_fn(move || {
            let mut state = console.lock();
            loop {
                position = position.max(state.dropped);
                let text = state.from(position);
                let end = match text.iter().position(|&b| b == b'\n') {
                    Some(end) => Some((end, end + 1)),
                    None if state.closed && !text.is_empty() => Some((text.len(), text.len())),
                    None => None,
                };
                if let Some((end, next)) = end {
                    let line = readable(&text[..end]);
                    position += next;
                    return Some(line);
                }
                if state.closed {
                    return None;
                }
                let waited = console.0.changed.wait(state);
                state = waited.unwrap_or_else(PoisonError::into_inner);
            }
        })
    }
}

fn find(text: &[u8], wanted: &[u8]) -> Option<usize> {
    if wanted.is_empty() {
        return Some(0);
    }
    text.windows(wanted.len()).position(|part| part == wanted)
}

/// Text without carriage returns and ANSI control sequences, which firmware is fond of.
fn readable(bytes: &[u8]) -> String {
    let mut out = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        match (byte, after.first()) {
            (b'\r', _) => {}
            // ESC [ parameters, ended by a letter or one of @[\]^_`{|}~
            (0x1b, Some(b'[')) => {
                let end = after[1..].iter().position(|b| (0x40..=0x7e).contains(b));
                rest = &after[end.map_or(after.len(), |end| end + 2)..];
            }
            _ => out.push(byte),
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Duration = Duration::ZERO;
    const LONG: Duration = Duration::from_secs(300);

    fn of(text: &'static str) -> Console {
        Console::read_from(text.as_bytes(), None)
    }

    #[test]
    fn waits_follow_the_guest_in_order() {
        let console = of("boot\r\n\x1b[2J\x1b[01;01Hlogin: a\nlogin: b\n");
        assert_eq!(console.wait_for("login", LONG).unwrap(), "login: a");
        assert_eq!(console.wait_for("login", LONG).unwrap(), "login: b");
        let error = console.wait_for("login", LONG).unwrap_err();
        assert!(
            matches!(error, MachineError::EndedWaiting { .. }),
            "{error}"
        );
        assert!(error.to_string().contains("boot\nlogin: a\n"), "{error}");
        assert_eq!(console.text(), "boot\nlogin: a\nlogin: b\n");
    }

    #[test]
    fn a_silent_console_is_an_error_with_its_last_words() {
        let console = Console::default();
        console.lock().append(b"stuck here");
        let error = console.wait_for("ready", NOW).unwrap_err().to_string();
        assert!(error.contains("within 0.0 s"), "{error}");
        assert!(error.ends_with("stuck here"), "{error}");
    }

    #[test]
    fn text_that_comes_later_wakes_the_wait() {
        let (reader, mut writer) = std::io::pipe().unwrap();
        let console = Console::read_from(reader, None);
        let waiting = console.clone();
        let thread = std::thread::spawn(move || waiting.wait_for("two", LONG).unwrap());
        writer.write_all(b"one\ntw").unwrap();
        writer.write_all(b"o\n").unwrap();
        assert!(thread.join().unwrap().starts_with("two"));
    }

    #[test]
    fn lines_end_with_the_console_and_are_copied() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        let copy = file.reopen().unwrap();
        let console = Console::read_from(&b"a\nb\nc"[..], Some(copy));
        let lines: Vec<_> = console.lines().collect();
        assert_eq!(lines, ["a", "b", "c"]);
        let mut copied = String::new();
        file.read_to_string(&mut copied).unwrap();
        assert_eq!(copied, "a\nb\nc");
    }

    #[test]
    fn a_prompt_is_given_although_its_line_goes_on() {
        let (reader, mut writer) = std::io::pipe().unwrap();
        let console = Console::read_from(reader, None);
        let mut pieces = console.pieces(Duration::from_millis(10));
        writer.write_all(b"one\r\n> ").unwrap();
        let said: String = pieces.by_ref().take(2).collect();
        assert_eq!(said, "one\n> ");
        writer.write_all(b"two").unwrap();
        drop(writer);
        assert_eq!(pieces.collect::<String>(), "two");
    }

    #[test]
    fn memory_is_bounded() {
        let mut state = State::default();
        let line = [b'x'; 1024];
        for _ in 0..3 * KEPT_BYTES / line.len() {
            state.append(&line);
        }
        assert!(state.text.len() <= 2 * KEPT_BYTES);
        assert_eq!(state.dropped + state.text.len(), 3 * KEPT_BYTES);
    }
}
