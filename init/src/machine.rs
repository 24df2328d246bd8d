//! The one loop of a running machine: signals, devices, network, services.

use crate::boot;
use crate::modules::Loader;
use crate::net::bring_up::Network;
use crate::power;
use crate::say;
use crate::service::supervisor::Supervisor;
use crate::sys::wait::{self, Poll};
use crate::sys::{self, Fd, Reboot};
use crate::trace::Tracer;
use crate::trial::Guard;
use alloc::format;
use alloc::vec::Vec;
use nos_manifest::SystemManifest;
use nos_pointer::Failure;

/// When modules that nobody waits for are loaded although not every service is healthy yet, in
/// milliseconds from the start of init.
const LATE_MS: u64 = 3_000;

#[derive(Debug, Clone, Copy)]
struct Stopping {
    how: Reboot,
    kill_ms: u64,
}

/// A machine whose images are mounted.
#[derive(Debug)]
pub struct Machine {
    begun_ns: u64,
    signals: Fd,
    devices: Fd,
    network: Network,
    services: Supervisor,
    buttons: Vec<Fd>,
    modules: Loader,
    guard: Guard,
    tracer: Option<Tracer>,
    /// Whether modules for later are still to be loaded.
    is_early: bool,
    has_state: bool,
    is_ready: bool,
    stopping: Option<Stopping>,
}

fn now_ms() -> u64 {
    sys::now_ns() / 1_000_000
}

impl Machine {
    /// A machine whose services are not started yet.
    pub fn new(
        begun_ns: u64,
        signals: Fd,
        devices: Fd,
        network: Network,
        modules: Loader,
        guard: Guard,
        mut manifest: SystemManifest,
    ) -> Self {
        Self {
            begun_ns,
            signals,
            devices,
            network,
            services: boot::supervisor(&mut manifest),
            buttons: Vec::new(),
            modules,
            guard,
            tracer: None,
            is_early: true,
            has_state: manifest.state,
            is_ready: false,
            stopping: None,
        }
    }

    /// Has what services open be said.
    pub fn traced_by(self, tracer: Option<Tracer>) -> Self {
        Self { tracer, ..self }
    }

    /// Runs until the machine ends.
    pub fn run(mut self) -> ! {
        let now = now_ms();
        self.guard.services_begin(now, self.services.patience_ms());
        self.services.start_due(now);
        loop {
            // Before the end that a milestone may be.
            if let Some(tracer) = &mut self.tracer {
                tracer.step(self.services.running());
            }
            self.check_milestones();
            let mut polls =
                alloc::vec![Poll::readable(&self.signals), Poll::readable(&self.devices)];
            let fixed = polls.len();
            polls.extend(self.buttons.iter().map(Poll::readable));
            let buttons = polls.len();
            polls.extend(self.network.polls());
            let network = polls.len();
            polls.extend(self.services.polls());
            let services = polls.len();
            // Its news only have to wake the loop.
            polls.extend(self.tracer.as_ref().map(|t| Poll::readable(t.news())));

            let deadline = self.deadline_ms();
            let timeout = (deadline != u64::MAX).then(|| deadline.saturating_sub(now_ms()));
            wait::poll(&mut polls, timeout);

            let now = now_ms();
            let is_ready = |range: core::ops::Range<usize>| {
                polls
                    .get(range)
                    .is_some_and(|polls| polls.iter().any(Poll::is_ready))
            };
            // Services first: what they say comes before the news of their end.
            self.services
                .step(now, polls.get(network..services).unwrap_or_default());
            if is_ready(0..1) {
                self.take_signals(now);
            }
            if is_ready(1..2) {
                self.take_device_news();
            }
            if is_ready(fixed..buttons) && self.buttons.iter().any(power::is_pressed) {
                self.stop(now, Reboot::PowerOff, "the power button was pressed");
            }
            if is_ready(buttons..network) {
                self.network.receive(now);
            } else {
                self.network.tick(now);
            }
        }
    }

    fn deadline_ms(&self) -> u64 {
        let late = match self.is_early {
            true => self.begun_ns / 1_000_000 + LATE_MS,
            false => u64::MAX,
        };
        let steady = match self.guard.is_on_trial() {
            true => self.services.steady_ms(),
            false => u64::MAX,
        };
        let kill = self.stopping.map_or(u64::MAX, |stopping| stopping.kill_ms);
        self.network
            .deadline_ms()
            .min(self.services.deadline_ms())
            .min(late)
            .min(kill)
            .min(self.guard.deadline_ms())
            .min(steady)
    }

    /// Does once what is done once.
    fn check_milestones(&mut self) {
        let now = now_ms();
        self.guard.tick(now);
        let was_ready = self.is_ready;
        if !self.is_ready && self.stopping.is_none() && self.services.is_ready() {
            self.is_ready = true;
            let (all, kernel) = (now, self.begun_ns / 1_000_000);
            say!(
                "ready in {}.{:03} s (kernel {}.{:03} s), {} services healthy",
                all / 1000,
                all % 1000,
                kernel / 1000,
                kernel % 1000,
                self.services.count()
            );
        }
        let is_late = self.is_ready || now >= self.begun_ns / 1_000_000 + LATE_MS;
        if self.is_early && is_late {
            self.is_early = false;
            let news = self.modules.load_late(&self.devices);
            if news.nodes {
                self.services.follow_devices();
            }
            if news.net {
                self.network.look_for_interface();
            }
            if let Some(complaint) = self.network.complaint() {
                say!("network: {complaint}");
            }
            self.buttons = power::open_buttons();
            if let Some(why) = self.guard.settle(self.is_ready) {
                self.stop(now, Reboot::Restart, &why);
            }
        } else if self.is_ready && !was_ready {
            self.guard.note(true);
        }
        self.judge(now);
        let Some(stopping) = self.stopping else {
            return;
        };
        if self.services.is_stopped() {
            power::end(stopping.how, self.has_state);
        }
        if now >= stopping.kill_ms {
            self.services.kill();
            self.stopping = Some(Stopping {
                kill_ms: u64::MAX,
                ..stopping
            });
        }
    }

    /// Comes to a verdict where this boot is a trial.
    fn judge(&mut self, now: u64) {
        if !self.guard.is_on_trial() || self.stopping.is_some() {
            return;
        }
        let overdue = || {
            self.guard
                .is_overdue(now)
                .then(|| self.services.complaint())
        };
        let why = if let Some(why) = self.services.failure().or_else(overdue) {
            why
        } else if self.services.steady_ms() <= now {
            match self.guard.succeed() {
                Ok(()) => return,
                Err(error) => format!("the verdict cannot be written: {error}"),
            }
        } else {
            return;
        };
        self.guard.fail(Failure::Unhealthy, &why);
        self.stop(now, Reboot::Restart, "the trial has failed");
    }

    fn take_signals(&mut self, now: u64) {
        while let Some(signal) = wait::next_signal(&self.signals) {
            if let Some(how) = power::asked_by(signal) {
                self.stop(now, how, "a signal asked for it");
            }
        }
        // One signal may stand for several children.
        while let Some((pid, ended)) = wait::reap() {
            if let Some((how, service)) = self.services.child_ended(now, pid, ended) {
                let why = format!("service {service} asked for it");
                self.stop(now, how, &why);
            }
        }
        self.services.start_due(now);
    }

    fn take_device_news(&mut self) {
        let news = self.modules.load(&self.devices, || {});
        if news.nodes {
            self.services.follow_devices();
        }
        if news.net {
            self.network.look_for_interface();
        }
        if news.input && !self.is_early {
            self.buttons = power::open_buttons();
        }
    }

    fn stop(&mut self, now: u64, how: Reboot, why: &str) {
        if self.stopping.is_none() {
            say!("stopping: {why}");
            self.guard.fail(
                Failure::Stopped,
                &format_args!("{}: {why}", Failure::Stopped.text()),
            );
            self.stopping = Some(Stopping {
                how,
                kill_ms: now.saturating_add(power::STOP_MS),
            });
            self.services.stop();
        }
    }
}
