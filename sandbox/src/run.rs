//! A command from its start to its end: what it prints, how long it takes, how much it uses.

use crate::child::Message;
use crate::error::SandboxError;
use crate::job::{Job, Limits};
use crate::spawn::{self, Scratch, Spawned};
use crate::sys;
use crate::watch;
use rustix::fd::{AsFd, OwnedFd};
use rustix::io::Errno;
use std::io::Write;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::time::{Duration, Instant};

/// How often memory and processes are counted.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Bytes of output taken at once.
const CHUNK_BYTES: usize = 64 * 1024;

/// A sandbox that stands. Its first process waits for [`Sandbox::run`]; dropping it ends it.
///
/// The sandbox ends with the thread that made it.
pub struct Sandbox {
    spawned: Option<Spawned>,
    program: String,
    limits: Limits,
}

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// By itself, with this status; 0 means that it did what it should.
    Exited(i32),
    /// By a signal.
    Killed(i32),
    /// Because it took more than it may.
    Over(Limit),
}

/// What a command took too much of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit {
    /// Time.
    Time,
    /// Memory.
    Memory,
    /// Processes and threads.
    Processes,
    /// Output to its log.
    Log,
}

/// A command that has ended, and what it left behind.
#[derive(Debug)]
pub struct Ended {
    /// How.
    pub ending: Ending,
    /// Its writable folders.
    pub scratch: Scratch,
    /// Whether these are full.
    pub full: bool,
    /// Time on the clock.
    pub elapsed: Duration,
}

impl Sandbox {
    /// Makes a sandbox. Nothing runs in it yet: [`Sandbox::scratch`] can be filled.
    ///
    /// # Errors
    /// [`SandboxError`]; [`SandboxError::Refused`] where the machine does not allow it.
    pub fn new(job: &Job) -> Result<Self, SandboxError> {
        let spawned = spawn::spawn(job)?;
        Ok(Self {
            spawned: Some(spawned),
            program: job.command.first().cloned().unwrap_or_default(),
            limits: job.limits,
        })
    }

    /// The folders that the command may write to.
    ///
    /// # Errors
    /// [`SandboxError::Setup`] where the sandbox has ended.
    pub fn scratch(&self) -> Result<&Scratch, SandboxError> {
        self.spawned
            .as_ref()
            .map(|spawned| &spawned.scratch)
            .ok_or_else(gone)
    }

    /// Runs the command to its end; what it prints goes to `log` as it comes. Every process that it
    /// started has ended when this returns.
    ///
    /// # Errors
    /// [`SandboxError::Start`] where the program cannot be started, [`SandboxError::Log`] where the
    /// log cannot be written. A command that fails is no error.
    pub fn run(mut self, log: &mut dyn Write) -> Result<Ended, SandboxError> {
        let spawned = self.spawned.take().ok_or_else(gone)?;
        let started = Instant::now();
        let outcome = self.follow(&spawned, log, started);
        spawn::end(&spawned.process);
        if spawned.output.is_none() {
            take_terminal_back();
        }
        let ending = outcome?;
        // What was printed last.
        let mut rest = Taken::default();
        while let Some(output) = &spawned.output {
            if !rest.take(output, log)? || rest.bytes > self.limits.log_bytes {
                break;
            }
        }
        let ending = match ending {
            Some(over) => over,
            None => self.told(&spawned)?,
        };
        let full = spawned.scratch.free_bytes().is_none_or(|free| free < 4096);
        Ok(Ended {
            ending,
            full,
            scratch: spawned.scratch,
            elapsed: started.elapsed(),
        })
    }

    /// Waits until the first process has ended, or a limit is passed.
    fn follow(
        &self,
        spawned: &Spawned,
        log: &mut dyn Write,
        started: Instant,
    ) -> Result<Option<Ending>, SandboxError> {
        let failed = |step| {
            move |error: Errno| SandboxError::Setup {
                step,
                error: error.into(),
            }
        };
        spawn::go_on(&spawned.control).map_err(failed("talking to the sandbox"))?;
        let mut taken = Taken::default();
        let mut open = spawned.output.as_ref();
        let mut looked = started;
        loop {
            let (ended, printed) =
                spawn::poll_two(spawned.process.as_fd(), open.map(AsFd::as_fd), LOOK_EVERY)
                    .map_err(failed("waiting for the command"))?;
            if let (true, Some(output)) = (printed, open)
                && !taken.take(output, log)?
            {
                open = None;
            }
            if taken.bytes > self.limits.log_bytes {
                return Ok(Some(Ending::Over(Limit::Log)));
            }
            if ended {
                return Ok(None);
            }
            if started.elapsed() > self.limits.time {
                return Ok(Some(Ending::Over(Limit::Time)));
            }
            if looked.elapsed() >= LOOK_EVERY {
                let usage = watch::usage(spawned.id, self.limits.processes);
                if usage.memory_bytes > self.limits.memory_bytes {
                    return Ok(Some(Ending::Over(Limit::Memory)));
                }
                if usage.threads > self.limits.processes {
                    return Ok(Some(Ending::Over(Limit::Processes)));
                }
                looked = Instant::now();
            }
        }
    }

    /// What the first process said last.
    fn told(&self, spawned: &Spawned) -> Result<Ending, SandboxError> {
        let failed = |error: Errno| SandboxError::Setup {
            step: "talking to the sandbox",
            error: error.into(),
        };
        let mut ending = None;
        while let Some((message, _)) = spawn::receive(&spawned.control).map_err(failed)? {
            match message {
                Message::Failed(crate::child::Step::Start, error) => {
                    return Err(SandboxError::Start {
                        program: self.program.clone(),
                        error: error.into(),
                    });
                }
                Message::Failed(step, error) => return Err(spawn::failed(step, error, &[])),
                Message::Ended(status) => ending = Some(ExitStatus::from_raw(status)),
                Message::Ready => {}
            }
        }
        Ok(match ending {
            Some(status) => match status.signal() {
                Some(signal) => Ending::Killed(signal),
                None => Ending::Exited(status.code().unwrap_or(1)),
            },
            // The first process was killed from outside; by whom is not known.
            None => Ending::Killed(libc::SIGKILL),
        })
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        if let Some(spawned) = &self.spawned {
            spawn::end(&spawned.process);
        }
    }
}

/// Gives the terminal, where there is one, to this process's group again.
fn take_terminal_back() {
    // A terminal that is gone wants nobody.
    if sys::hold_terminal_stops(true).is_ok() {
        let _ = rustix::termios::tcsetpgrp(rustix::stdio::stdin(), rustix::process::getpgrp());
        let _ = sys::hold_terminal_stops(false);
    }
}

fn gone() -> SandboxError {
    SandboxError::Setup {
        step: "waiting for the command",
        error: Errno::SRCH.into(),
    }
}

/// Output taken over from a command.
#[derive(Default)]
struct Taken {
    bytes: u64,
}

impl Taken {
    /// Takes what is there; false at the end.
    fn take(&mut self, output: &OwnedFd, log: &mut dyn Write) -> Result<bool, SandboxError> {
        let mut chunk = [0; CHUNK_BYTES];
        let read = loop {
            match rustix::io::read(output, &mut chunk) {
                Err(Errno::INTR) => {}
                done => break done.unwrap_or(0),
            }
        };
        self.bytes += read as u64;
        let some = chunk.get(..read).unwrap_or_default();
        log.write_all(some).map_err(SandboxError::Log)?;
        Ok(read > 0)
    }
}
