//! A real pseudo-terminal, and a terminal emulator that we did not write, which says what a
//! person would see.

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcgetattr, tcsetwinsize};
use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::process::{Child, Command, ExitStatus};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

/// How long anything may take before a test gives up.
const LIMIT: Duration = Duration::from_secs(300);

/// A program on a terminal of its own.
pub(crate) struct Terminal {
    master: File,
    child: Child,
    screen: Arc<(Mutex<State>, Condvar)>,
    /// Kept open, so that the modes can be asked for when the program is gone.
    slave: File,
}

struct State {
    parser: vt100::Parser,
    raw: Vec<u8>,
}

impl Terminal {
    /// Starts a program on a terminal of this size.
    pub(crate) fn start(mut command: Command, columns: u16, rows: u16) -> Self {
        let master =
            openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        let path = ptsname(&master, Vec::new()).unwrap();
        let open = || {
            let mut options = OpenOptions::new();
            std::os::unix::fs::OpenOptionsExt::custom_flags(&mut options, 0o400);
            options
                .read(true)
                .write(true)
                .open(path.to_str().unwrap())
                .unwrap()
        };
        let slave = open();
        tcsetwinsize(&slave, size(columns, rows)).unwrap();
        command.stdin(open()).stdout(open()).stderr(open());
        let child = command.spawn().unwrap();
        drop(command);
        let master = File::from(master);
        let screen = Arc::new((
            Mutex::new(State {
                parser: vt100::Parser::new(rows, columns, 0),
                raw: Vec::new(),
            }),
            Condvar::new(),
        ));
        let (mut reader, shared) = (master.try_clone().unwrap(), Arc::clone(&screen));
        std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            // The last end that closes is an error here; it is the end all the same.
            while let Ok(count @ 1..) = reader.read(&mut bytes) {
                let mut state = shared.0.lock().unwrap();
                state.parser.process(&bytes[..count]);
                state.raw.extend_from_slice(&bytes[..count]);
                shared.1.notify_all();
            }
        });
        Self {
            master,
            child,
            screen,
            slave,
        }
    }

    /// Types.
    pub(crate) fn press(&mut self, keys: &str) {
        self.master.write_all(keys.as_bytes()).unwrap();
    }

    /// Makes the terminal another size, as a window manager would.
    pub(crate) fn resize(&mut self, columns: u16, rows: u16) {
        self.screen
            .0
            .lock()
            .unwrap()
            .parser
            .screen_mut()
            .set_size(rows, columns);
        tcsetwinsize(&self.slave, size(columns, rows)).unwrap();
        // The terminal tells its foreground group, which this program is not part of.
        self.signal(rustix::process::Signal::WINCH);
    }

    pub(crate) fn signal(&self, signal: rustix::process::Signal) {
        let id = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(id, signal).unwrap();
    }

    /// Waits until the screen is as wanted, and gives its text.
    #[track_caller]
    pub(crate) fn wait(&self, wanted: impl Fn(&vt100::Screen) -> bool) -> String {
        let state = self.screen.0.lock().unwrap();
        let (state, waited) = self
            .screen
            .1
            .wait_timeout_while(state, LIMIT, |state| !wanted(state.parser.screen()))
            .unwrap();
        let text = text(state.parser.screen());
        assert!(!waited.timed_out(), "the screen stays:\n{text}");
        text
    }

    /// Waits until a text is on the screen.
    #[track_caller]
    pub(crate) fn see(&self, part: &str) -> String {
        self.wait(|screen| text(screen).contains(part))
    }

    /// Whether the terminal is as a shell leaves it: line by line, with an echo, the usual screen
    /// and a cursor.
    pub(crate) fn is_as_before(&self) -> bool {
        use rustix::termios::LocalModes as Local;
        let modes = tcgetattr(&self.slave).unwrap().local_modes;
        let state = self.screen.0.lock().unwrap();
        let screen = state.parser.screen();
        modes.contains(Local::ICANON | Local::ECHO | Local::ISIG)
            && !screen.alternate_screen()
            && !screen.hide_cursor()
    }

    /// Waits for the program to end; gives how, and all that it wrote.
    pub(crate) fn end(&mut self) -> (ExitStatus, String) {
        let begun = std::time::Instant::now();
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            assert!(begun.elapsed() < LIMIT, "it does not end");
            std::thread::yield_now();
        };
        // What it wrote last may still be under way.
        self.wait(|screen| !screen.alternate_screen() && !screen.hide_cursor());
        let raw = self.screen.0.lock().unwrap().raw.clone();
        (status, String::from_utf8_lossy(&raw).into_owned())
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn size(columns: u16, rows: u16) -> Winsize {
    Winsize {
        ws_row: rows,
        ws_col: columns,
        ws_xpixel: 0,
        ws_ypixel: 0,
    }
}

/// The lines of a screen without what is empty at their ends.
pub(crate) fn text(screen: &vt100::Screen) -> String {
    let lines: Vec<String> = screen
        .contents()
        .lines()
        .map(|l| l.trim_end().to_string())
        .collect();
    lines.join("\n")
}
