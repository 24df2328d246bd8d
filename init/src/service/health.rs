//! Health probes that never wait: each step does what can be done now.

use super::{channels, spawn};
use crate::sys::socket;
use crate::sys::wait::{Ended, Poll};
use crate::sys::{self, Errno, Fd, file, process};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::net::{Ipv4Addr, SocketAddrV4};
use nos_manifest::{Health, Service};

/// Shortest and longest pause between attempts until the first success, in milliseconds; between
/// them it is an eighth of the time since the start, so that a success is seen soon for its time.
const STARTING_PAUSE_MS: (u64, u64) = (2, 100);
/// Pause between attempts while healthy, in milliseconds.
const HEALTHY_PAUSE_MS: u64 = 30_000;
/// Pause after a failed attempt while healthy, in milliseconds.
const DOUBTFUL_PAUSE_MS: u64 = 2_000;
/// Failed attempts in a row after which a healthy service is unhealthy.
const MAX_FAILURES: u32 = 3;
/// Longest attempt, in milliseconds.
const ATTEMPT_MS: u64 = 5_000;
/// Longest start of an answer that is looked at, in bytes.
const MAX_ANSWER_BYTES: usize = 64;

/// What a probe has found out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The first success.
    Healthy,
    /// No success in time, or no longer; why.
    Unhealthy(String),
}

#[derive(Debug)]
enum Attempt {
    Connecting(Fd),
    Reading(Fd, Vec<u8>),
    Running(i32),
}

#[derive(Debug, PartialEq, Eq)]
enum Progress {
    Going,
    Passed,
    Failed(String),
}

/// The probe of one running service.
#[derive(Debug)]
pub struct Prober {
    health: Health,
    attempt: Option<Attempt>,
    attempt_end_ms: u64,
    next_ms: u64,
    started_ms: u64,
    give_up_ms: u64,
    is_healthy: bool,
    failures: u32,
}

/// The status code of an HTTP answer; `None` while there is too little of it.
///
/// # Errors
/// Where it is no HTTP answer.
pub fn http_status(bytes: &[u8]) -> Result<Option<u16>, &'static str> {
    const NO_HTTP: &str = "the answer is not HTTP";
    let start = b"HTTP/1.";
    let n = bytes.len().min(start.len());
    if bytes.get(..n) != start.get(..n) {
        return Err(NO_HTTP);
    }
    let Some([minor, b' ', a, b, c]) = bytes.get(7..12) else {
        return if bytes.len() < 12 {
            Ok(None)
        } else {
            Err(NO_HTTP)
        };
    };
    if ![minor, a, b, c].iter().all(|digit| digit.is_ascii_digit()) {
        return Err(NO_HTTP);
    }
    let digit = |byte: &u8| u16::from(byte - b'0');
    Ok(Some(digit(a) * 100 + digit(b) * 10 + digit(c)))
}

/// Time from its start, in milliseconds, within which a service must first be healthy.
pub fn within_ms(health: &Health) -> u64 {
    match health {
        Health::Http { within_ms, .. }
        | Health::Channel { within_ms, .. }
        | Health::Tcp { within_ms, .. }
        | Health::Exec { within_ms, .. } => *within_ms,
    }
}

impl Prober {
    /// A probe for a service started at `now_ms`.
    pub fn new(health: Health, now_ms: u64) -> Self {
        let within_ms = within_ms(&health);
        Self {
            health,
            attempt: None,
            attempt_end_ms: 0,
            next_ms: now_ms,
            started_ms: now_ms,
            give_up_ms: now_ms.saturating_add(within_ms),
            is_healthy: false,
            failures: 0,
        }
    }

    /// What the loop waits for on the probe's behalf.
    pub fn poll(&self) -> Option<Poll> {
        match &self.attempt {
            Some(Attempt::Connecting(fd)) => Some(Poll::writable(fd)),
            Some(Attempt::Reading(fd, _)) => Some(Poll::readable(fd)),
            Some(Attempt::Running(_)) | None => None,
        }
    }

    /// When [`Prober::step`] has something to do without any descriptor being ready.
    pub fn deadline_ms(&self) -> u64 {
        if self.attempt.is_some() {
            self.attempt_end_ms
        } else {
            self.next_ms
        }
    }

    /// Goes on as far as is possible now; `ready` says whether the descriptor of
    /// [`Prober::poll`] is.
    pub fn step(
        &mut self,
        now_ms: u64,
        ready: bool,
        service: &Service,
        pid: i32,
    ) -> Option<Outcome> {
        let progress = match self.attempt.take() {
            Some(attempt) if ready => self.advance(attempt),
            Some(attempt) if now_ms >= self.attempt_end_ms => {
                if let Attempt::Running(probe) = attempt {
                    process::kill(probe, libc::SIGKILL);
                }
                Progress::Failed(format!("no answer within {ATTEMPT_MS} ms"))
            }
            Some(attempt) => {
                self.attempt = Some(attempt);
                Progress::Going
            }
            None if now_ms >= self.next_ms => {
                self.attempt_end_ms = now_ms.saturating_add(ATTEMPT_MS);
                self.begin(service, pid)
            }
            None => Progress::Going,
        };
        self.conclude(now_ms, progress)
    }

    /// A child has ended that may be this probe's command.
    pub fn child_ended(&mut self, now_ms: u64, pid: i32, ended: Ended) -> Option<Outcome> {
        if !matches!(self.attempt, Some(Attempt::Running(probe)) if probe == pid) {
            return None;
        }
        self.attempt = None;
        let progress = match ended {
            Ended::Exit(0) => Progress::Passed,
            other => Progress::Failed(format!("its probe {other}")),
        };
        self.conclude(now_ms, progress)
    }

    fn begin(&mut self, service: &Service, pid: i32) -> Progress {
        let (what, connected) = match &self.health {
            Health::Http { port, .. } | Health::Tcp { port, .. } => {
                let address = SocketAddrV4::new(Ipv4Addr::LOCALHOST, *port);
                (format!("port {port}"), socket::connect_tcp(address))
            }
            Health::Channel { channel, .. } => (
                format!("channel {channel}"),
                socket::connect_unix(&channels::path(channel)),
            ),
            Health::Exec { run, .. } => {
                return match spawn::start_beside(service, pid, run) {
                    Ok(probe) => {
                        self.attempt = Some(Attempt::Running(probe));
                        Progress::Going
                    }
                    Err(error) => Progress::Failed(format!("its probe cannot run: {error}")),
                };
            }
        };
        match connected {
            Ok(fd) => {
                self.attempt = Some(Attempt::Connecting(fd));
                Progress::Going
            }
            Err(error) => Progress::Failed(format!("{what}: {error}")),
        }
    }

    fn advance(&mut self, attempt: Attempt) -> Progress {
        let result = match attempt {
            Attempt::Connecting(fd) => self.connected(fd),
            Attempt::Reading(fd, answer) => self.read(fd, answer),
            running @ Attempt::Running(_) => {
                self.attempt = Some(running);
                Ok(Progress::Going)
            }
        };
        result.unwrap_or_else(|error| Progress::Failed(error.to_string()))
    }

    fn connected(&mut self, fd: Fd) -> sys::Result<Progress> {
        socket::connection_result(&fd)?;
        let (Health::Http { path, .. } | Health::Channel { path, .. }) = &self.health else {
            return Ok(Progress::Passed);
        };
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: localhost\r\nUser-Agent: nos\r\nConnection: close\r\n\r\n"
        );
        // A fresh socket takes a request of this size at once.
        socket::send(&fd, request.as_bytes())?;
        self.attempt = Some(Attempt::Reading(fd, Vec::new()));
        Ok(Progress::Going)
    }

    fn read(&mut self, fd: Fd, mut answer: Vec<u8>) -> sys::Result<Progress> {
        let mut buffer = [0_u8; MAX_ANSWER_BYTES];
        let n = match file::read(&fd, &mut buffer) {
            Err(Errno(libc::EAGAIN)) => {
                self.attempt = Some(Attempt::Reading(fd, answer));
                return Ok(Progress::Going);
            }
            other => other?,
        };
        answer.extend_from_slice(buffer.get(..n).unwrap_or_default());
        Ok(match http_status(&answer) {
            Ok(Some(200..=399)) => Progress::Passed,
            Ok(Some(status)) => Progress::Failed(format!("HTTP status {status}")),
            Ok(None) if n == 0 => Progress::Failed("it hung up without an answer".into()),
            Ok(None) => {
                self.attempt = Some(Attempt::Reading(fd, answer));
                Progress::Going
            }
            Err(text) => Progress::Failed(text.into()),
        })
    }

    fn conclude(&mut self, now_ms: u64, progress: Progress) -> Option<Outcome> {
        match progress {
            Progress::Going => None,
            Progress::Passed => {
                self.failures = 0;
                self.next_ms = now_ms.saturating_add(HEALTHY_PAUSE_MS);
                let first = !self.is_healthy;
                self.is_healthy = true;
                first.then_some(Outcome::Healthy)
            }
            Progress::Failed(why) if self.is_healthy => {
                self.failures += 1;
                self.next_ms = now_ms.saturating_add(DOUBTFUL_PAUSE_MS);
                (self.failures >= MAX_FAILURES).then_some(Outcome::Unhealthy(why))
            }
            Progress::Failed(why) => {
                let eighth = now_ms.saturating_sub(self.started_ms) / 8;
                let pause_ms = eighth.clamp(STARTING_PAUSE_MS.0, STARTING_PAUSE_MS.1);
                self.next_ms = now_ms.saturating_add(pause_ms);
                (now_ms >= self.give_up_ms).then_some(Outcome::Unhealthy(why))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_line_is_read_piece_by_piece() {
        let line = b"HTTP/1.1 301 Moved\r\n";
        for end in 0..12 {
            assert_eq!(http_status(&line[..end]), Ok(None), "{end}");
        }
        assert_eq!(http_status(&line[..12]), Ok(Some(301)));
        assert_eq!(http_status(line), Ok(Some(301)));
    }

    #[test]
    fn what_is_not_http_is_refused() {
        for bytes in [
            &b"SSH-2.0"[..],
            b"HTTP/2",
            b"HTTP/1.1 20x OK",
            b"HTTP/1.1-200",
            b"\0",
        ] {
            assert!(http_status(bytes).is_err(), "{bytes:?}");
        }
    }

    fn prober(within_ms: u64) -> Prober {
        Prober::new(Health::Tcp { port: 1, within_ms }, 1_000)
    }

    #[test]
    fn it_asks_often_at_first_and_gives_up_in_time() {
        let mut prober = prober(500);
        let (mut times, mut outcome) = (Vec::new(), None);
        while outcome.is_none() {
            let now = prober.deadline_ms();
            times.push(now - 1_000);
            outcome = prober.conclude(now, Progress::Failed("port 1".into()));
        }
        assert_eq!(outcome, Some(Outcome::Unhealthy("port 1".into())));
        assert_eq!(times[..4], [0, 2, 4, 6]);
        assert!(
            times
                .windows(2)
                .all(|pair| pair[1] - pair[0] <= 2 + pair[0] / 8),
            "{times:?}"
        );
        assert!((500..=570).contains(times.last().unwrap()), "{times:?}");
    }

    #[test]
    fn one_failure_of_a_healthy_service_is_forgiven() {
        let mut prober = prober(500);
        let failed = || Progress::Failed("x".into());
        assert_eq!(prober.conclude(0, Progress::Passed), Some(Outcome::Healthy));
        assert_eq!(prober.conclude(0, failed()), None);
        assert_eq!(prober.conclude(0, failed()), None);
        assert_eq!(prober.conclude(0, Progress::Passed), None);
        assert_eq!(prober.conclude(0, failed()), None);
        assert_eq!(prober.conclude(0, failed()), None);
        assert_eq!(
            prober.conclude(0, failed()),
            Some(Outcome::Unhealthy("x".into()))
        );
    }

    #[test]
    fn another_child_s_end_means_nothing() {
        let mut prober = prober(0);
        prober.attempt = Some(Attempt::Running(7));
        assert_eq!(prober.child_ended(0, 8, Ended::Exit(1)), None);
        assert_eq!(
            prober.child_ended(0, 7, Ended::Exit(0)),
            Some(Outcome::Healthy)
        );
    }
}
