//! What a signal that ends this program finds: files and folders that go with it, the last words of
//! a build, and a virtual machine that is to end first.

use crate::failure::Failure;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use signal_hook::low_level::emulate_default_handler;
use std::collections::BTreeSet;
use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, Once, PoisonError};

/// What a signal finds.
static STATE: Mutex<State> = Mutex::new(State {
    paths: BTreeSet::new(),
    builds: false,
    held: None,
});

struct State {
    paths: BTreeSet<PathBuf>,
    /// Whether actions of a build run whose end is worth a word.
    builds: bool,
    /// How many signals came since they are held; `None` where they end the program.
    held: Option<usize>,
}

fn state() -> MutexGuard<'static, State> {
    STATE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Starts listening, once. Until then a signal just ends the program, which is right as long as
/// there is nothing to remove.
fn listen() {
    static LISTENING: Once = Once::new();
    LISTENING.call_once(|| {
        // Where this fails, signals go on to end the program, and leave a scratch file behind.
        let Ok(mut signals) = Signals::new([SIGINT, SIGTERM]) else {
            return;
        };
        std::thread::spawn(move || {
            for signal in signals.forever() {
                take(signal);
            }
        });
    });
}

fn take(signal: i32) {
    let mut state = state();
    if let Some(count) = &mut state.held {
        *count += 1;
        return;
    }
    state.paths.iter().for_each(|path| remove(path));
    if state.builds {
        let mut stderr = std::io::stderr();
        // Behind what goes on there, and the `^C` of the terminal.
        let begin = if stderr.is_terminal() { "\n" } else { "" };
        let name = if signal == SIGINT {
            "SIGINT"
        } else {
            "SIGTERM"
        };
        let _ = writeln!(
            stderr,
            "{begin}error: stopped by {name}; what was finished stays in the store, and the same \
             command goes on from there"
        );
    }
    let _ = emulate_default_handler(signal);
}

/// From now on a signal that ends the program says what becomes of the build, or not any more.
pub(crate) fn builds(now: bool) {
    if now {
        listen();
    }
    state().builds = now;
}

/// Gone already where the work was done.
fn remove(path: &Path) {
    let _ = match path.is_dir() {
        true => std::fs::remove_dir_all(path),
        false => std::fs::remove_file(path),
    };
}

/// A path that is removed when this is dropped, or the program ended by a signal.
pub(crate) struct Scratch(PathBuf);

impl Scratch {
    /// A path that nothing is at yet.
    pub(crate) fn new(path: PathBuf) -> Self {
        listen();
        state().paths.insert(path.clone());
        Self(path)
    }

    /// A fresh folder among the machine's temporary files.
    ///
    /// # Errors
    /// Where it cannot be made.
    pub(crate) fn folder(prefix: &str) -> Result<Self, Failure> {
        listen();
        let mut state = state();
        let folder = tempfile::Builder::new()
            .prefix(prefix)
            .tempdir()
            .map_err(|error| {
                Failure::failed(format_args!(
                    "no scratch folder: {error}; set TMPDIR to one"
                ))
            })?;
        let path = folder.keep();
        state.paths.insert(path.clone());
        Ok(Self(path))
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        remove(&self.0);
        state().paths.remove(&self.0);
    }
}

/// While this lives, signals do not end the program but are counted.
pub(crate) struct HeldSignals(());

impl HeldSignals {
    /// Holds them from now on.
    pub(crate) fn hold() -> Self {
        listen();
        state().held = Some(0);
        Self(())
    }

    /// How many came.
    pub(crate) fn count(&self) -> usize {
        state().held.unwrap_or(0)
    }
}

impl Drop for HeldSignals {
    fn drop(&mut self) {
        state().held = None;
    }
}
