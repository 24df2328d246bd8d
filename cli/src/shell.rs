//! All talk goes through one object: status lines, warnings and progress on standard error,
//! results on standard output.

use crate::args::Color;
use crate::live::{Live, VERB_WIDTH};
use nos_builder::events::{Event, Observer};
use std::collections::BTreeSet;
use std::fmt::Display;
use std::io::{self, IsTerminal, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Time between two drawings of what goes on.
const REDRAW: Duration = Duration::from_millis(80);

/// Time between two words on what goes on, where nothing can be drawn.
const SILENCE: Duration = Duration::from_secs(60);

/// Actions that took less are not worth a line.
const WORTH_SAYING: Duration = Duration::from_millis(50);

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
    live: Live,
    drawn: Option<Instant>,
    /// Lines on the screen that will be drawn over.
    lines_shown: usize,
    /// Labels of the actions that have run.
    ran: BTreeSet<String>,
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

    /// Whether what goes to standard output may have colour.
    pub(crate) fn color_out(&self) -> bool {
        self.color_out
    }

    /// Labels of the actions that have run, also of those that no line was said about.
    pub(crate) fn ran(&self) -> BTreeSet<String> {
        self.lock().ran.clone()
    }

    /// Text in bold, where standard output has colour.
    pub(crate) fn bold(&self, text: impl Display) -> String {
        if self.color_out {
            format!("\x1b[1m{text}\x1b[0m")
        } else {
            text.to_string()
        }
    }

    /// A table with its first line in bold, where standard output has colour.
    pub(crate) fn headed(&self, table: &str) -> String {
        match table.split_once('\n') {
            Some((head, rest)) => format!("{}\n{rest}", self.bold(head)),
            None => table.to_string(),
        }
    }

    /// A line about work that failed, while other work goes on.
    fn failed(&self, object: impl Display) {
        if !self.quiet {
            let verb = format!("{:>VERB_WIDTH$}", "Failed");
            self.line(&format!("{} {object}", self.paint(&verb, "1;31")));
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

    /// Asks for a line, which is typed behind the text.
    pub(crate) fn prompt(&self, text: &str) {
        let mut state = self.lock();
        self.erase(&mut state);
        let mut err = io::stderr().lock();
        let _ = write!(err, "{text}");
        let _ = err.flush();
    }

    /// Shows how far a long piece of work has come; on a terminal only.
    pub(crate) fn progress(&self, what: &str, done: u64, total: Option<u64>) {
        let mut state = self.lock();
        state.live.work(what, done, total);
        self.draw(&mut state);
    }

    /// As [`Shell::progress`], with words on how fast it goes, where that is known.
    pub(crate) fn progress_at(&self, what: &str, done: u64, total: u64, pace: Option<String>) {
        let mut state = self.lock();
        state.live.work(what, done, Some(total));
        state.live.pace(pace);
        self.draw(&mut state);
    }

    /// Takes away what is shown of work that is over.
    pub(crate) fn clear(&self) {
        let mut state = self.lock();
        state.live.over();
        self.erase(&mut state);
    }

    /// Does work, and meanwhile keeps what is shown of it up to date.
    pub(crate) fn watch<T>(&self, work: impl FnOnce() -> T) -> T {
        let done = match self.quiet {
            true => work(),
            false => self.redraw_during(work),
        };
        crate::scratch::builds(false);
        done
    }

    fn redraw_during<T>(&self, work: impl FnOnce() -> T) -> T {
        let over = (Mutex::new(false), Condvar::new());
        let done = std::thread::scope(|scope| {
            scope.spawn(|| {
                let mut ended = over.0.lock().unwrap_or_else(PoisonError::into_inner);
                let every = if self.live { REDRAW } else { SILENCE };
                while !*ended {
                    let waited = over.1.wait_timeout(ended, every);
                    ended = waited.unwrap_or_else(PoisonError::into_inner).0;
                    let mut state = self.lock();
                    if *ended || state.live.is_idle() {
                        continue;
                    }
                    if self.live {
                        self.draw(&mut state);
                        continue;
                    }
                    let words = state.live.words(Instant::now());
                    drop(state);
                    self.status("Working", words);
                }
            });
            // Also where the work panics, or nobody would ever see why.
            let _end = Ending(&over);
            work()
        });
        self.clear();
        done
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
        if state.lines_shown > 0 {
            let _ = write!(io::stderr().lock(), "{}", over(state.lines_shown));
            state.lines_shown = 0;
        }
    }

    fn draw(&self, state: &mut State) {
        if !self.live || state.drawn.is_some_and(|at| at.elapsed() < REDRAW) {
            return;
        }
        let now = Instant::now();
        let (columns, rows) = terminal_size();
        let lines = state.live.lines(now, columns, rows, self.color_err);
        // All at once, where the terminal can: nobody sees it half drawn.
        let (over, lines_shown) = (over(state.lines_shown), lines.len());
        let text = format!("\x1b[?2026h{over}{}\x1b[?2026l", lines.join("\n"));
        let mut err = io::stderr().lock();
        let _ = err.write_all(text.as_bytes());
        let _ = err.flush();
        state.drawn = Some(now);
        state.lines_shown = lines_shown;
    }
}

/// Dropped when work is over: ends the thread that redraws.
struct Ending<'a>(&'a (Mutex<bool>, Condvar));

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        *self.0.0.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.0.1.notify_all();
    }
}

/// To the first of `lines` lines that end at the cursor, and all of them away.
fn over(lines: usize) -> String {
    match lines {
        0 | 1 => "\r\x1b[J".into(),
        more => format!("\r\x1b[{}A\x1b[J", more - 1),
    }
}

/// Columns and rows; those of old where the terminal does not say.
fn terminal_size() -> (usize, usize) {
    let or = |number: u16, other: usize| match number {
        0 => other,
        number => usize::from(number),
    };
    rustix::termios::tcgetwinsize(io::stderr())
        .map_or((80, 24), |size| (or(size.ws_col, 80), or(size.ws_row, 24)))
}

impl Observer for Shell {
    fn event(&self, event: Event<'_>) {
        let goes_on = {
            let mut state = self.lock();
            state.live.hear(&event, Instant::now());
            if let Event::Finished { label, .. } = event {
                state.ran.insert(label.to_string());
            }
            state.live.is_building()
        };
        match event {
            Event::Warning(text) => self.warn(text),
            Event::Finished { elapsed, .. } if elapsed < WORTH_SAYING => {}
            Event::Finished { label, elapsed } => {
                let text = format!("{label} ({:.2} s)", elapsed.as_secs_f64());
                self.status("Built", text);
            }
            Event::Downloaded { name } => self.status("Fetched", name),
            // Else the reason comes at once.
            Event::Failed { label, elapsed } if goes_on => {
                self.failed(format_args!("{label} ({:.2} s)", elapsed.as_secs_f64()));
            }
            Event::Failed { .. }
            | Event::Outline(_)
            | Event::Reused { .. }
            | Event::Wanted { .. } => {}
            Event::Started { .. } | Event::Download { .. } => {
                crate::scratch::builds(!self.quiet);
                self.draw(&mut self.lock());
            }
        }
    }
}
