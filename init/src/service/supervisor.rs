//! Keeps the services as they are declared: started in order, watched, started again.

use super::backoff::Backoff;
use super::capability;
use super::channels;
use super::devices::Devices;
use super::health::{Outcome, Prober, within_ms};
use super::lines::Lines;
use super::spawn;
use crate::sys::process;
use crate::sys::wait::{Ended, Poll};
use crate::sys::{Fd, Reboot, file};
use crate::{debug, log, say};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use nos_manifest::{Restart, Service};

/// Most output that is taken from one service before the others have their turn, in reads.
const MAX_READS: usize = 4;
const READ_BYTES: usize = 4096;

/// How long a service that has no way to say that it is healthy must run to be taken for it
/// where that matters, in milliseconds.
const STEADY_MS: u64 = 3_000;

#[derive(Debug)]
struct Running {
    pid: i32,
    /// `None` once every writer has closed it, which a service may do and live on.
    output: Option<Fd>,
    launch: Option<Fd>,
    lines: Lines,
    started_ms: u64,
    prober: Option<Prober>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Waits for the services it comes after.
    Waiting,
    /// Runs, not yet known to be healthy.
    Starting,
    /// Runs and is healthy.
    Healthy,
    /// Will be started again at this time.
    Resting(u64),
    /// Has done its work and stays ended.
    Ended,
    /// Has failed and stays so.
    Failed,
}

#[derive(Debug)]
struct Unit {
    service: Service,
    /// Sockets of the channels that it serves. Held here, they outlive it.
    sockets: Vec<Fd>,
    /// Its own devices, where it declares any.
    devices: Option<Devices>,
    state: State,
    backoff: Backoff,
    running: Option<Running>,
    /// Whether it was not healthy in time, once.
    is_late: bool,
    /// What last went wrong with it.
    trouble: Option<String>,
}

/// All services of the machine.
#[derive(Debug)]
pub struct Supervisor {
    units: Vec<Unit>,
    is_stopping: bool,
}

/// Whether a service that ended like this is started again.
fn starts_again(restart: Restart, ended: Ended) -> bool {
    match restart {
        Restart::Always => true,
        Restart::OnFailure => ended != Ended::Exit(0),
        Restart::Never => false,
    }
}

fn own_devices(service: &Service) -> Option<Devices> {
    if service.devices.is_empty() {
        return None;
    }
    match Devices::new(service) {
        Ok(devices) => Some(devices),
        Err(error) => {
            let name = &service.name;
            say!("the devices of service {name} cannot be made: {error}");
            None
        }
    }
}

/// What a service asks of the machine by such an end: `reboot(2)` in a process namespace ends its
/// first process by one of two signals that nothing else ends it by, and whoever waits for that is
/// to do the rest.
fn asked_by(service: &Service, ended: Ended) -> Option<Reboot> {
    let boot = capability::bit("SYS_BOOT");
    if capability::mask(service).is_ok_and(|mask| mask & boot == 0) {
        return None;
    }
    match ended {
        Ended::Signal(libc::SIGINT) => Some(Reboot::PowerOff),
        Ended::Signal(libc::SIGHUP) => Some(Reboot::Restart),
        _ => None,
    }
}

/// Whether the process would ignore SIGTERM: it is the first of its process namespace, where a
/// signal that it has not asked for is lost (`pid_namespaces(7)`), and has not asked for this.
/// One that says itself that it ignores the signal is left its time.
fn ignores_term(status: &str) -> bool {
    let term = 1_u64 << (libc::SIGTERM - 1);
    let has = |field: &str| {
        let mask = status
            .lines()
            .find_map(|line| line.strip_prefix(field))
            .map(str::trim);
        mask.and_then(|mask| u64::from_str_radix(mask, 16).ok())
            .is_some_and(|m| m & term != 0)
    };
    !has("SigCgt:") && !has("SigBlk:") && !has("SigIgn:")
}

impl Supervisor {
    /// None of them started yet; their channels are there.
    pub fn new(services: Vec<Service>) -> Self {
        let unit = |service| Unit {
            sockets: channels::listen(&service).unwrap_or_else(|error| {
                say!(
                    "the channels of service {} cannot be made: {error}",
                    service.name
                );
                Vec::new()
            }),
            devices: own_devices(&service),
            service,
            state: State::Waiting,
            backoff: Backoff::default(),
            running: None,
            is_late: false,
            trouble: None,
        };
        Self {
            units: services.into_iter().map(unit).collect(),
            is_stopping: false,
        }
    }

    /// Whether every service is healthy (or has ended as it should).
    pub fn is_ready(&self) -> bool {
        self.units
            .iter()
            .all(|unit| matches!(unit.state, State::Healthy | State::Ended))
    }

    /// In how much time, in milliseconds, every service must be healthy, one after the other.
    pub fn patience_ms(&self) -> u64 {
        let units = self.units.iter();
        let each = units.map(|unit| unit.service.health.as_ref().map_or(STEADY_MS, within_ms));
        each.fold(0, u64::saturating_add)
    }

    /// From when on all services can be called healthy that are so now, if nothing happens: one
    /// that has no way to say so is taken to be when it has run for a while.
    pub fn steady_ms(&self) -> u64 {
        let mut since = 0;
        for unit in &self.units {
            since = since.max(match (unit.state, &unit.running) {
                (State::Ended, _) => 0,
                (State::Healthy, Some(running)) if running.prober.is_some() => 0,
                (State::Healthy, Some(running)) => running.started_ms.saturating_add(STEADY_MS),
                _ => u64::MAX,
            });
        }
        since
    }

    /// Why some service will not be healthy in time, where that is certain.
    pub fn failure(&self) -> Option<String> {
        let is_over = |unit: &&Unit| unit.state == State::Failed || unit.is_late;
        let unit = self.units.iter().find(is_over)?;
        Some(unit.complaint())
    }

    /// What is the matter with the services that are not healthy.
    pub fn complaint(&self) -> String {
        let is_well = |unit: &&Unit| matches!(unit.state, State::Healthy | State::Ended);
        let ill = self.units.iter().filter(|unit| !is_well(unit));
        let complaints: Vec<String> = ill.map(Unit::complaint).collect();
        if complaints.is_empty() {
            return "services are healthy for moments only".into();
        }
        complaints.join("; ")
    }

    /// Whether no service's process is left.
    pub fn is_stopped(&self) -> bool {
        self.units.iter().all(|unit| unit.running.is_none())
    }

    /// Number of services.
    pub fn count(&self) -> usize {
        self.units.len()
    }

    /// The services that run, each with its first process.
    pub fn running(&self) -> impl Iterator<Item = (&str, i32)> {
        self.units.iter().filter_map(|unit| {
            let running = unit.running.as_ref()?;
            Some((unit.service.name.as_str(), running.pid))
        })
    }

    /// What the loop waits for; [`Supervisor::step`] takes the answers in the same order.
    pub fn polls(&self) -> Vec<Poll> {
        let mut polls = Vec::new();
        for running in self.units.iter().filter_map(|unit| unit.running.as_ref()) {
            polls.extend(running.output.as_ref().map(Poll::readable));
            polls.extend(running.launch.as_ref().map(Poll::readable));
            polls.extend(running.prober.as_ref().and_then(Prober::poll));
        }
        polls
    }

    /// When [`Supervisor::step`] has something to do without any descriptor being ready.
    pub fn deadline_ms(&self) -> u64 {
        let mut deadline = u64::MAX;
        for unit in &self.units {
            if let State::Resting(until) = unit.state {
                deadline = deadline.min(until);
            }
            if let Some(prober) = unit.running.as_ref().and_then(|r| r.prober.as_ref()) {
                deadline = deadline.min(prober.deadline_ms());
            }
        }
        deadline
    }

    /// Takes output, goes on with probes and starts what is due.
    pub fn step(&mut self, now_ms: u64, polls: &[Poll]) {
        let mut ready = polls.iter().map(Poll::is_ready);
        for unit in &mut self.units {
            let Unit {
                service,
                state,
                running,
                ..
            } = unit;
            let Some(running) = running else { continue };
            if running.output.is_some() && ready.next().unwrap_or(false) {
                running.take_output(&service.name, MAX_READS);
            }
            let launched = running.launch.is_some() && ready.next().unwrap_or(false);
            if launched && running.has_launched() {
                debug!("service {} runs", service.name);
                if running.prober.is_none() {
                    *state = State::Healthy;
                }
            }
            let Some(prober) = &mut running.prober else {
                continue;
            };
            let probed = prober.poll().is_some() && ready.next().unwrap_or(false);
            let outcome = prober.step(now_ms, probed, service, running.pid);
            unit.apply(outcome);
        }
        self.start_due(now_ms);
    }

    /// Starts the services whose time has come.
    pub fn start_due(&mut self, now_ms: u64) {
        for i in 0..self.units.len() {
            let Some(unit) = self.units.get(i) else { break };
            let is_due = match unit.state {
                State::Waiting => unit.service.after.iter().all(|name| self.is_healthy(name)),
                State::Resting(until) => now_ms >= until,
                _ => false,
            };
            let unit = self
                .units
                .get_mut(i)
                .filter(|_| is_due && !self.is_stopping);
            if let Some(unit) = unit {
                unit.start(now_ms);
            }
        }
    }

    fn is_healthy(&self, name: &str) -> bool {
        let unit = self.units.iter().find(|unit| unit.service.name == name);
        // A service that the manifest does not have cannot be waited for.
        unit.is_none_or(|unit| matches!(unit.state, State::Healthy | State::Ended))
    }

    /// A child of init has ended: a service, a probe, or an orphan of nobody. Gives what a service
    /// asks of the machine by that, and the name of the service.
    pub fn child_ended(&mut self, now_ms: u64, pid: i32, ended: Ended) -> Option<(Reboot, &str)> {
        for unit in &mut self.units {
            let Some(running) = &mut unit.running else {
                continue;
            };
            if running.pid == pid {
                let asked = asked_by(&unit.service, ended);
                unit.ended(now_ms, ended, self.is_stopping || asked.is_some());
                return asked.map(|how| (how, unit.service.name.as_str()));
            }
            if let Some(prober) = &mut running.prober {
                let outcome = prober.child_ended(now_ms, pid, ended);
                unit.apply(outcome);
            }
        }
        None
    }

    /// Devices came or went.
    pub fn follow_devices(&mut self) {
        for unit in &mut self.units {
            if let Some(devices) = &mut unit.devices {
                devices.follow(&unit.service);
            }
        }
    }

    /// Asks every service to end; none is started again.
    pub fn stop(&mut self) {
        self.is_stopping = true;
        for unit in &mut self.units {
            let Some(running) = &mut unit.running else {
                continue;
            };
            running.prober = None;
            let status = file::read_text(&format!("/proc/{}/status", running.pid));
            let ignores = status.is_ok_and(|status| ignores_term(&status));
            // What SIGTERM would have done without the namespace.
            let signal = if ignores {
                libc::SIGKILL
            } else {
                libc::SIGTERM
            };
            process::kill(running.pid, signal);
        }
    }

    /// Ends what has not ended by itself, and says so.
    pub fn kill(&mut self) {
        for unit in &self.units {
            if let Some(running) = &unit.running {
                say!("service {} does not end, killed", unit.service.name);
                process::kill(running.pid, libc::SIGKILL);
            }
        }
    }
}

impl Unit {
    /// What is the matter with it.
    fn complaint(&self) -> String {
        let name = &self.service.name;
        match (&self.trouble, self.state) {
            (Some(trouble), _) => format!("service {name} {trouble}"),
            (None, State::Waiting) => format!("service {name} waits for others"),
            (None, _) => format!("service {name} is not healthy in time"),
        }
    }

    /// What a probe's outcome means.
    fn apply(&mut self, outcome: Option<Outcome>) {
        let name = &self.service.name;
        match (outcome, &mut self.running) {
            (Some(Outcome::Healthy), _) => {
                self.state = State::Healthy;
                self.trouble = None;
                debug!("service {name} is healthy");
            }
            (Some(Outcome::Unhealthy(why)), Some(running)) => {
                say!("service {name} is not healthy: {why}");
                // Its end is what starts it again.
                running.prober = None;
                process::kill(running.pid, libc::SIGKILL);
                self.is_late |= self.state == State::Starting;
                self.trouble = Some(format!("is not healthy: {why}"));
            }
            _ => {}
        }
    }

    fn start(&mut self, now_ms: u64) {
        if let Some(devices) = &mut self.devices {
            devices.follow(&self.service);
        }
        match spawn::start(&self.service, &self.sockets) {
            Ok(started) => {
                debug!(
                    "service {} started, process {}",
                    self.service.name, started.pid
                );
                let health = self.service.health.clone();
                self.state = if health.is_some() {
                    State::Starting
                } else {
                    State::Healthy
                };
                self.running = Some(Running {
                    pid: started.pid,
                    output: Some(started.output),
                    launch: Some(started.launch),
                    lines: Lines::default(),
                    started_ms: now_ms,
                    prober: health.map(|health| Prober::new(health, now_ms)),
                });
            }
            Err(error) => {
                let wait_ms = self.backoff.next_ms(0);
                say!("service {} cannot be started: {error}", self.service.name);
                self.trouble = Some(format!("cannot be started: {error}"));
                self.state = State::Resting(now_ms.saturating_add(wait_ms));
            }
        }
    }

    fn ended(&mut self, now_ms: u64, ended: Ended, is_stopping: bool) {
        let name = &self.service.name;
        let ran_ms = match self.running.take() {
            Some(mut running) => {
                running.take_output(name, usize::MAX);
                running
                    .lines
                    .finish(|line| log::line(name, format_args!("{line}")));
                now_ms.saturating_sub(running.started_ms)
            }
            None => 0,
        };
        if is_stopping {
            debug!("service {name} {ended}");
            self.state = State::Ended;
        } else if starts_again(self.service.restart, ended) {
            let wait_ms = self.backoff.next_ms(ran_ms);
            say!("service {name} {ended}, starting it again in {wait_ms} ms");
            self.trouble.get_or_insert_with(|| format!("{ended}"));
            self.state = State::Resting(now_ms.saturating_add(wait_ms));
        } else {
            say!("service {name} {ended}");
            self.trouble.get_or_insert_with(|| format!("{ended}"));
            self.state = if ended == Ended::Exit(0) {
                State::Ended
            } else {
                State::Failed
            };
        }
    }
}

impl Running {
    /// Reads what the launch has come to; whether the service's program runs now.
    fn has_launched(&mut self) -> bool {
        let mut buffer = [0];
        let read = self
            .launch
            .as_ref()
            .map(|launch| file::read(launch, &mut buffer));
        self.launch = None;
        read == Some(Ok(0))
    }

    fn take_output(&mut self, name: &str, max_reads: usize) {
        let mut buffer = [0_u8; READ_BYTES];
        for _ in 0..max_reads {
            let Some(output) = &self.output else { return };
            match file::read(output, &mut buffer) {
                Ok(0) => self.output = None,
                Ok(n) => {
                    let bytes = buffer.get(..n).unwrap_or_default();
                    self.lines
                        .push(bytes, |line| log::line(name, format_args!("{line}")));
                }
                Err(_) => return,
            }
        }
    }
}

/// Names of services that are named in `after` but do not exist, for a warning.
pub fn unknown_names(services: &[Service]) -> Vec<String> {
    let mut unknown = Vec::new();
    for name in services.iter().flat_map(|service| &service.after) {
        if !services.iter().any(|service| service.name == *name) {
            unknown.push(name.clone());
        }
    }
    unknown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_who_may_end_the_machine_ends_it() {
        use crate::service::capability::tests::service;
        let may = service(&["CAP_SYS_BOOT"], &[]);
        let asked = |signal| asked_by(&may, Ended::Signal(signal));
        assert_eq!(asked(libc::SIGINT), Some(Reboot::PowerOff));
        assert_eq!(asked(libc::SIGHUP), Some(Reboot::Restart));
        assert_eq!(asked(libc::SIGKILL), None);
        assert_eq!(asked_by(&may, Ended::Exit(0)), None);
        let may_not = service(&["CAP_KILL"], &[80]);
        assert_eq!(asked_by(&may_not, Ended::Signal(libc::SIGINT)), None);
    }

    #[test]
    fn restart_policies() {
        let ends = [Ended::Exit(0), Ended::Exit(1), Ended::Signal(9)];
        let again = |restart| ends.map(|ended| starts_again(restart, ended));
        assert_eq!(again(Restart::Always), [true, true, true]);
        assert_eq!(again(Restart::OnFailure), [false, true, true]);
        assert_eq!(again(Restart::Never), [false, false, false]);
    }

    #[test]
    fn a_first_process_without_a_handler_ignores_term() {
        let status = |caught: &str, blocked: &str, ignored: &str| {
            format!("Name:\tx\nSigBlk:\t{blocked}\nSigIgn:\t{ignored}\nSigCgt:\t{caught}\n")
        };
        let (none, term) = ("0000000000000000", "0000000000004000");
        assert!(ignores_term(&status(none, none, none)));
        assert!(!ignores_term(&status(term, none, none)));
        assert!(
            !ignores_term(&status(none, term, none)),
            "it takes signals by descriptor"
        );
    }
}
