//! All talk goes through one object: status lines, warnings and progress on standard error,
//! results on standard output.

use crate::args::Color;
use crate::units::human_size;
use nos_builder::events::{Event, Observer};
use std::collections::BTreeMap;
use std::fmt::Display;
use std::io::{self, IsTerminal, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Time between two drawings of the progress line.
const REDRAW: Duration = Duration::from_millis(80);

/// Actions that took less are not worth a line.
const WORTH_SAYING: Duration = Duration::from_millis(50);

/// Width of the verb column of status lines.
const VERB_WIDTH: usize = 12;

/// Speaks to the person at the terminal.
pub(crate) struct Shell {
    quiet: bool,
    json: bool,
    color_err: bool,
    color_out: bool,
    live: bool,
    /// Whether a result was printed.
    answered: AtomicBool,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    downloads: BTreeMap<String, (u64, Option<u64>)>,
    running: Vec<String>,
    work: Option<(String, u64, Option<u64>)>,
    drawn: Option<Instant>,
    line_shown: bool,
}

/// Why output ended.
#[derive(Debug)]
pub(crate) enum OutputEnded {
    /// The reader went away: nothing more to do, and nothing to complain of.
    BrokenPipe,
    /// Anything else.
    Failed(io::Error),
}

impl From<io::Error> for OutputEnded {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Self::BrokenPipe,
            _ => Self::Failed(error),
        }
    }
}

impl Shell {
    /// A shell for these options. `no_color` is whether `NO_COLOR` is set, `dumb` whether the
    /// terminal, if there is one, can do nothing but show lines.
    pub(crate) fn new(color: Color, no_color: bool, dumb: bool, quiet: bool, json: bool) -> Self {
        let wanted = |terminal: bool| match color {
            Color::Always => true,
            Color::Never => false,
            Color::Auto => terminal && !no_color && !dumb,
        };
        let err_terminal = io::stderr().is_terminal();
        Self {
            quiet,
            json,
            color_err: wanted(err_terminal),
            color_out: wanted(io::stdout().is_terminal()),
            live: err_terminal && !dumb && !quiet,
            answered: AtomicBool::new(false),
            state: Mutex::default(),
        }
    }

    /// Whether results are wanted as JSON.
    pub(crate) fn json(&self) -> bool {
        self.json
    }

    /// Whether only errors are to be said.
    pub(crate) fn quiet(&self) -> bool {
        self.quiet
    }

    /// Whether what goes to standard error may have colour.
    pub(crate) fn color_err(&self) -> bool {
        self.color_err
    }

    /// Text in bold, where standard output has colour.
    pub(crate) fn bold(&self, text: impl Display) -> String {
        if self.color_out {
            format!("\x1b[1m{text}\x1b[0m")
        } else {
            text.to_string()
        }
    }

    /// A line about what is being done: a verb and its object.
    pub(crate) fn status(&self, verb: &str, object: impl Display) {
        if !self.quiet {
            let verb = format!("{verb:>VERB_WIDTH$}");
            self.line(&format!("{} {object}", self.paint(&verb, "1;32")));
        }
    }

    /// Something to know, although the work goes on.
    pub(crate) fn warn(&self, text: impl Display) {
        if !self.quiet {
            self.line(&format!("{} {text}", self.paint("warning:", "1;33")));
        }
    }

    /// Why the work does not go on. Where JSON is wanted and there is no result, standard output
    /// says it too, so that it always holds one document.
    pub(crate) fn failure(&self, text: &str) {
        self.line(&format!("{} {text}", self.paint("error:", "1;31")));
        if self.json && !self.answered.load(Ordering::Relaxed) {
            // Said above already.
            let _ = self.result(&serde_json::json!({ "error": text }), |_| String::new());
        }
    }

    /// Text that is already laid out, such as diagnostics.
    pub(crate) fn plain(&self, text: &str) {
        self.line(text.trim_end_matches('\n'));
    }

    /// Shows how far a long piece of work has come; on a terminal only.
    pub(crate) fn progress(&self, what: &str, done: u64, total: Option<u64>) {
        let mut state = self.lock();
        state.work = Some((what.to_string(), done, total));
        self.draw(&mut state);
    }

    /// Takes the progress line away.
    pub(crate) fn clear(&self) {
        let mut state = self.lock();
        state.work = None;
        state.downloads.clear();
        self.erase(&mut state);
    }

    /// Prints a result: JSON where asked for, else what `human` says.
    ///
    /// # Errors
    /// [`OutputEnded`] where standard output cannot be written.
    pub(crate) fn result<T: serde::Serialize>(
        &self,
        value: &T,
        human: impl FnOnce(&T) -> String,
    ) -> Result<(), OutputEnded> {
        self.clear();
        self.answered.store(true, Ordering::Relaxed);
        let mut text = if self.json {
            serde_json::to_string_pretty(value).map_err(io::Error::from)?
        } else {
            human(value)
        };
        if !text.is_empty() && !text.ends_with('\n') {
            text.push('\n');
        }
        let mut out = io::stdout().lock();
        out.write_all(text.as_bytes())?;
        Ok(out.flush()?)
    }

    fn paint(&self, text: &str, code: &str) -> String {
        if self.color_err {
            format!("\x1b[{code}m{text}\x1b[0m")
        } else {
            text.to_string()
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn line(&self, text: &str) {
        let mut state = self.lock();
        self.erase(&mut state);
        // Talk that cannot be heard is no reason to stop working.
        let _ = writeln!(io::stderr().lock(), "{text}");
    }

    fn erase(&self, state: &mut State) {
        if state.line_shown {
            let _ = write!(io::stderr().lock(), "\r\x1b[K");
            state.line_shown = false;
        }
    }

    fn draw(&self, state: &mut State) {
        if !self.live || state.drawn.is_some_and(|at| at.elapsed() < REDRAW) {
            return;
        }
        let text = state.progress_line();
        let width = terminal_width();
        let shown: String = text.chars().take(width.saturating_sub(1)).collect();
        let mut err = io::stderr().lock();
        let _ = write!(err, "\r\x1b[K{shown}");
        let _ = err.flush();
        state.drawn = Some(Instant::now());
        state.line_shown = true;
    }
}

impl State {
    fn progress_line(&self) -> String {
        let mut parts = Vec::new();
        if let Some((what, done, total)) = &self.work {
            parts.push(amount(what, *done, *total));
        }
        if !self.downloads.is_empty() {
            let done = self.downloads.values().map(|d| d.0).sum();
            let total = self.downloads.values().map(|d| d.1).sum::<Option<u64>>();
            let what = match self.downloads.len() {
                1 => format!(
                    "fetching {}",
                    self.downloads.keys().next().map_or("", String::as_str)
                ),
                n => format!("fetching {n} files"),
            };
            parts.push(amount(&what, done, total));
        }
        if !self.running.is_empty() {
            parts.push(self.running.join(", "));
        }
        format!("{:>VERB_WIDTH$} {}", "Working", parts.join("; "))
    }
}

fn amount(what: &str, done: u64, total: Option<u64>) -> String {
    match total {
        Some(total) if total > 0 => format!(
            "{what} {} of {} ({} %)",
            human_size(done),
            human_size(total),
            done.saturating_mul(100) / total
        ),
        _ => format!("{what} {}", human_size(done)),
    }
}

fn terminal_width() -> usize {
    rustix::termios::tcgetwinsize(io::stderr()).map_or(80, |size| match size.ws_col {
        0 => 80,
        columns => usize::from(columns),
    })
}

impl Observer for Shell {
    fn event(&self, event: Event<'_>) {
        match event {
            Event::Warning(text) => self.warn(text),
            Event::Started { label } => {
                let mut state = self.lock();
                state.running.push(label.to_string());
                self.draw(&mut state);
            }
            Event::Finished { label, elapsed } => {
                self.lock().running.retain(|l| l != label);
                if elapsed < WORTH_SAYING {
                    return;
                }
                let text = format!("{label} ({:.2} s)", elapsed.as_secs_f64());
                self.status("Built", text);
            }
            Event::Download { name, done, total } => {
                let mut state = self.lock();
                state.downloads.insert(name.to_string(), (done, total));
                self.draw(&mut state);
            }
            Event::Downloaded { name } => {
                self.lock().downloads.remove(name);
                self.status("Fetched", name);
            }
        }
    }
}
