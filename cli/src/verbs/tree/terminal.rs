//! A terminal in its raw mode, and giving it back as it was.

use super::keys::{self, Key};
use super::model::Model;
use super::screen;
use crate::failure::Failure;
use crate::shell::OutputEnded;
use crate::verbs::Outcome;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::termios::{OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr};
use signal_hook::SigId;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGWINCH};
use signal_hook::low_level::{emulate_default_handler, pipe, unregister};
use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// How long the rest of a key's bytes may take: less than a person between two keys, more than a
/// slow line between two bytes.
const REST_OF_A_KEY: Timespec = Timespec {
    tv_sec: 0,
    tv_nsec: 50_000_000,
};

/// Lets a person walk through a tree until they want no more.
pub(super) fn walk(model: &mut Model, color: bool) -> Outcome {
    let terminal = Terminal::enter().map_err(|error| {
        Failure::failed(format_args!(
            "the terminal cannot be used: {error}; --print needs none"
        ))
    })?;
    let ended = terminal.run(model, color);
    let signal = terminal.asked_to_end();
    // The terminal is given back before anything else is said or done.
    drop(terminal);
    if signal != 0 {
        let _ = emulate_default_handler(signal);
    }
    Ok(ended.map_err(OutputEnded::from)?)
}

/// The terminal, raw, with a screen of its own.
struct Terminal {
    before: Termios,
    /// Becomes readable with each signal.
    woken: UnixStream,
    signals: Vec<SigId>,
    /// The signal that wants an end; 0: none.
    end: Arc<AtomicUsize>,
}

impl Terminal {
    fn enter() -> io::Result<Self> {
        let before = tcgetattr(io::stdin())?;
        let (woken, wake) = UnixStream::pair()?;
        woken.set_nonblocking(true)?;
        let end = Arc::new(AtomicUsize::new(0));
        let mut signals = Vec::new();
        for signal in [SIGHUP, SIGINT, SIGTERM] {
            let number = usize::try_from(signal).map_err(io::Error::other)?;
            signals.push(signal_hook::flag::register_usize(
                signal,
                Arc::clone(&end),
                number,
            )?);
        }
        for signal in [SIGHUP, SIGINT, SIGTERM, SIGWINCH] {
            signals.push(pipe::register(signal, wake.try_clone()?)?);
        }
        let terminal = Self {
            before,
            woken,
            signals,
            end,
        };
        let mut raw = terminal.before.clone();
        raw.make_raw();
        tcsetattr(io::stdin(), OptionalActions::Flush, &raw)?;
        // Its own screen, no cursor.
        put("\x1b[?1049h\x1b[?25l")?;
        Ok(terminal)
    }

    fn asked_to_end(&self) -> i32 {
        i32::try_from(self.end.load(Ordering::Relaxed)).unwrap_or(SIGTERM)
    }

    fn run(&self, model: &mut Model, color: bool) -> io::Result<()> {
        let (mut top, mut bytes) = (0, Vec::new());
        loop {
            let (width, height) = size();
            let lines = screen::draw(model, &mut top, width, height, color);
            let mut text = String::from("\x1b[H");
            for (index, line) in lines.iter().take(height.max(1)).enumerate() {
                if index > 0 {
                    text.push_str("\r\n");
                }
                text.push_str(line);
                text.push_str("\x1b[K");
            }
            text.push_str("\x1b[J");
            put(&text)?;
            let page = screen::page(height);
            match self.wait(&mut bytes)? {
                Woken::Key(key) if !model.press(key, page) => return Ok(()),
                Woken::End => return Ok(()),
                Woken::Key(_) | Woken::Resized => {}
            }
        }
    }

    /// Waits for a key, for another size, or for the end.
    fn wait(&self, bytes: &mut Vec<u8>) -> io::Result<Woken> {
        loop {
            if let Some(key) = keys::take(bytes, false) {
                return Ok(Woken::Key(key));
            }
            // Something is begun: an escape sequence, or the escape key by itself.
            let limit = (!bytes.is_empty()).then_some(&REST_OF_A_KEY);
            let stdin = io::stdin();
            let mut ready = [
                PollFd::new(&stdin, PollFlags::IN),
                PollFd::new(&self.woken, PollFlags::IN),
            ];
            match poll(&mut ready, limit) {
                Err(rustix::io::Errno::INTR) => continue,
                Err(error) => return Err(error.into()),
                Ok(0) => {
                    if let Some(key) = keys::take(bytes, true) {
                        return Ok(Woken::Key(key));
                    }
                    continue;
                }
                Ok(_) => {}
            }
            let (typed, woken) = (ready[0].revents(), ready[1].revents());
            if !woken.is_empty() {
                // How often does not matter.
                let _ = (&self.woken).read(&mut [0; 64]);
                if self.end.load(Ordering::Relaxed) != 0 {
                    return Ok(Woken::End);
                }
                return Ok(Woken::Resized);
            }
            if !typed.is_empty() {
                let mut some = [0; 256];
                match rustix::io::read(&stdin, &mut some) {
                    Ok(0) => return Ok(Woken::End),
                    Ok(count) => bytes.extend_from_slice(&some[..count]),
                    Err(rustix::io::Errno::INTR) => {}
                    // The terminal went away.
                    Err(_) => return Ok(Woken::End),
                }
            }
        }
    }
}

enum Woken {
    Key(Key),
    Resized,
    End,
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // Where the terminal is gone there is nothing to give back.
        let _ = put("\x1b[?25h\x1b[?1049l");
        let _ = tcsetattr(io::stdin(), OptionalActions::Flush, &self.before);
        for signal in self.signals.drain(..) {
            unregister(signal);
        }
    }
}

/// Columns and lines.
fn size() -> (usize, usize) {
    match tcgetwinsize(io::stdout()) {
        Ok(size) if size.ws_col > 0 && size.ws_row > 0 => (size.ws_col.into(), size.ws_row.into()),
        _ => (80, 24),
    }
}

fn put(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()
}
