//! Trials: this generation, or another one, is booted once and has to prove itself.
//!
//! What is written and why it is safe stands in `nos_pointer` and in `disk/FORMAT.md`; here is
//! what a machine does about it. A boot without a trial reads the pointer once, four sectors, and
//! has nothing else of this until its services run: firmware variables, watchdogs and what the
//! kernel left of its last boot are looked at only where a trial is wanted or under way.

pub mod evidence;
pub mod place;
pub mod variables;
pub mod watchdog;

use crate::disk::home::Home;
use crate::modules::Loader;
use crate::sys::{self, Errno, Fd, Reboot, file};
use crate::{debug, say};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt::Display;
use core::mem::ManuallyDrop;
use core::sync::atomic::{AtomicI32, AtomicU32, AtomicU64, Ordering::Relaxed};
use nos_pointer::{Failure, Name, Pointer, Record, Step, Trial, Verdict, next};
use place::{Esp, Place};
use variables::Variables;
use watchdog::Watchdogs;

/// What a trial has beyond the time in which its services say that they are healthy, in
/// milliseconds.
const MARGIN_MS: u64 = 15_000;

/// Kernel settings during a trial: what would leave a machine half alive ends it instead.
const STRICT: [&str; 3] = ["panic_on_oops", "softlockup_panic", "hardlockup_panic"];
/// Seconds from a panic to the restart, where the command line has not said any.
const PANIC_SECONDS: &str = "10";

/// Where the pointer is while this boot is a trial, for [`failed`], which may be called from
/// anywhere, also when the guard is gone: disk (−1 without a trial), start of the EFI system
/// partition, sector size.
static DISK: AtomicI32 = AtomicI32::new(-1);
static START: AtomicU64 = AtomicU64::new(0);
static SECTOR_SIZE: AtomicU32 = AtomicU32::new(0);

/// The pointer, and the trial that this boot is.
#[derive(Debug, Default)]
pub struct Guard {
    place: Option<Place>,
    trial: Option<Trial>,
    /// What the boot loader says it has booted; not asked before it is needed.
    selected: Option<Name>,
    variables: Option<Variables>,
    watchdogs: Watchdogs,
    /// Kernel settings that the trial has made strict.
    relax: Vec<&'static str>,
    deadline_ms: u64,
}

/// Writes down that the generation that is on trial in this boot has failed; whether there is one.
/// The caller ends the machine.
pub fn failed(failure: Failure, why: &dyn Display) -> bool {
    let disk = DISK.swap(-1, Relaxed);
    let Ok(number) = usize::try_from(disk) else {
        return false;
    };
    // Never closed: this may be called again from within.
    let mut esp = ManuallyDrop::new(Esp {
        disk: Fd::own(number),
        start: START.load(Relaxed),
        sector_size: SECTOR_SIZE.load(Relaxed) as usize,
    });
    let size = esp.sector_size;
    let esp: &mut Esp = &mut esp;
    let written = Record::open(esp, size)
        .map_err(|error| error.to_string())
        .and_then(|mut record| {
            let pointer = *record.pointer();
            let judged = pointer.judged(Verdict::Failed(failure), &why.to_string());
            let home = pointer.fields.map_or(0, |fields| fields.current);
            let name = pointer.fields.and_then(|fields| fields.trial);
            let number = name.map_or(0, |trial| trial.name.number);
            say!("generation {number} has failed its trial: {why}; generation {home} boots again");
            let judged = judged.ok_or_else(|| "the pointer is damaged".to_string())?;
            record.write(esp, judged).map_err(|error| error.to_string())
        });
    if let Err(error) = written {
        say!("the verdict cannot be written: {error}");
    }
    true
}

/// Restarts from the firmware at once; nothing is mounted that could be lost.
fn restart() {
    file::sync();
    if let Err(error) = sys::reboot(Reboot::Restart) {
        say!("the kernel does not restart the machine: {error}");
    }
}

impl Guard {
    /// Looks at the pointer of the disk that the machine was started from and does what is to be
    /// done about a trial before anything else. Where that disk is not known, no pointer is
    /// touched, unless there is only one. May restart the machine.
    pub fn look(home: &Home, modules: &mut Loader, devices: &Fd) -> Self {
        let place = match home {
            Home::Disk(disk) => Place::of(disk),
            Home::OneOf(disks) if disks.is_empty() => Place::only(None),
            _ => None,
        };
        let mut guard = Self {
            place,
            ..Self::default()
        };
        let has_trial = |place: &Place| place.pointer().fields.is_some_and(|f| f.trial.is_some());
        if guard.place.as_ref().is_some_and(has_trial) {
            modules.load_all(devices);
            guard.ask_firmware();
            guard.act();
        }
        guard
    }

    /// Asks the boot loader what it has booted, and from where.
    fn ask_firmware(&mut self) {
        self.variables = Variables::open();
        let Some(variables) = self.variables else {
            return;
        };
        self.selected = variables.selected();
        // Another disk may hold the same images.
        let Some(device) = variables.device() else {
            return;
        };
        let is_other = |place: &Place| place.part_uuid != device;
        if self.place.as_ref().is_some_and(is_other) {
            self.place = Place::only(Some(&device)).or(self.place.take());
        }
    }

    fn act(&mut self) {
        let Some(place) = &mut self.place else { return };
        let pointer = place.pointer();
        match next(&pointer, self.selected) {
            Step::Nothing => {}
            Step::Begin(trial) => self.begin(&pointer, trial),
            Step::Run(trial) => {
                if let Err(error) = place.write(pointer.started()) {
                    say!("the start of the trial cannot be written: {error}; restarting");
                    return restart();
                }
                let Esp {
                    start, sector_size, ..
                } = &place.esp;
                START.store(*start, Relaxed);
                SECTOR_SIZE.store(u32::try_from(*sector_size).unwrap_or(0), Relaxed);
                match place.another_descriptor() {
                    Ok(disk) => DISK.store(ManuallyDrop::new(disk).number(), Relaxed),
                    Err(error) => say!("what goes wrong early cannot be written: {error}"),
                }
                self.trial = Some(trial);
                self.watchdogs = Watchdogs::start();
                self.watchdogs.tick(0);
                self.relax = be_strict();
                say!(
                    "this is generation {}, on trial, with {} watchdogs",
                    trial.name.number,
                    self.watchdogs.count()
                );
            }
            Step::Conclude {
                trial,
                failure,
                reset,
            } => {
                let silent = || (failure, failure.text().to_string());
                let (failure, why) = evidence::of_last_boot().unwrap_or_else(silent);
                let number = trial.name.number;
                say!("generation {number} has failed its trial: {why}");
                if let Err(error) = place.write(pointer.judged(Verdict::Failed(failure), &why)) {
                    say!("the verdict cannot be written: {error}");
                } else if reset {
                    say!("restarting into the generation before it");
                    restart();
                }
            }
        }
    }

    /// Resets the machine into the generation that is to be tried. The record is cleared first:
    /// a trial that cannot be begun is over, and not begun again and again.
    fn begin(&mut self, pointer: &Pointer, trial: Trial) {
        let Some(place) = &mut self.place else { return };
        let number = trial.name.number;
        let once = match self.variables {
            Some(variables) => place.write(pointer.begun(false)).and_then(|()| {
                let set = variables.boot_once(trial.name);
                if let Err(error) = set {
                    say!("the firmware does not take variables: {error}");
                }
                set
            }),
            None => Err(Errno(libc::ENOENT)),
        };
        let begun = match once {
            Ok(()) => Ok(()),
            // The pointer itself leads there, and init leads back.
            Err(_) => place.write(pointer.begun(true)),
        };
        match begun {
            Ok(()) => {
                let how = if once.is_ok() { "" } else { " by the pointer" };
                say!("generation {number} is to be tried: restarting into it{how}");
                restart();
            }
            Err(error) => say!("generation {number} cannot be tried: the pointer: {error}"),
        }
    }

    /// Whether this boot is a trial without a verdict.
    pub fn is_on_trial(&self) -> bool {
        self.trial.is_some()
    }

    /// Services are started now, and have so long to become healthy.
    pub fn services_begin(&mut self, now_ms: u64, patience_ms: u64) {
        self.deadline_ms = now_ms.saturating_add(patience_ms).saturating_add(MARGIN_MS);
    }

    /// Whether the time for a verdict is over.
    pub fn is_overdue(&self, now_ms: u64) -> bool {
        self.is_on_trial() && now_ms >= self.deadline_ms
    }

    /// When the loop must come by again.
    pub fn deadline_ms(&self) -> u64 {
        let verdict = if self.is_on_trial() {
            self.deadline_ms
        } else {
            u64::MAX
        };
        verdict.min(self.watchdogs.deadline_ms())
    }

    /// Says to the watchdogs that init lives.
    pub fn tick(&mut self, now_ms: u64) {
        self.watchdogs.tick(now_ms);
    }

    /// The verdict is good: this generation boots from now on.
    ///
    /// # Errors
    /// What the kernel says; the old generation boots then, and this machine should too.
    pub fn succeed(&mut self) -> sys::Result<()> {
        let (Some(place), Some(trial)) = (&mut self.place, self.trial) else {
            return Ok(());
        };
        let judged = place.pointer().judged(Verdict::Good, "");
        place.write(judged)?;
        DISK.store(-1, Relaxed);
        self.trial = None;
        self.watchdogs.stop();
        for setting in self.relax.drain(..) {
            let _ = file::set(&setting_path(setting), "0");
        }
        let number = trial.name.number;
        say!("generation {number} is good: it boots from now on");
        Ok(())
    }

    /// The verdict is bad. The caller ends the machine; the watchdogs see to it that it does.
    pub fn fail(&mut self, failure: Failure, why: &dyn Display) {
        if self.trial.take().is_some() {
            failed(failure, why);
        }
    }

    /// What can wait until services run: variables that would outrank the pointer are removed, and
    /// the pointer learns which generation runs and, once it is so, that it is healthy. Gives why
    /// the machine must be restarted, where another generation than the pointer's was booted.
    pub fn settle(&mut self, is_ready: bool) -> Option<String> {
        if self.variables.is_none() {
            self.ask_firmware();
        }
        let gone = self.variables.map(Variables::tidy).unwrap_or_default();
        for (name, text) in &gone {
            say!("EFI variable {name} ({text}) was left over, removed");
        }
        self.note(is_ready);
        let place = self.place.as_mut().filter(|_| self.trial.is_none())?;
        let pointer = place.pointer();
        let selected = self.selected?;
        if selected.letter == pointer.letter || !Variables::had_outranking(&gone) {
            return None;
        }
        // Once: where variables come back, the machine stays in what it has booted.
        place.write(Some(pointer.astray()?)).ok()?;
        Some(format!(
            "generation {} was booted by an EFI variable and not by the pointer",
            selected.number
        ))
    }

    /// Lets the pointer know that this generation runs, and whether every service is healthy.
    pub fn note(&mut self, is_ready: bool) {
        let Some(place) = self.place.as_mut().filter(|_| self.trial.is_none()) else {
            return;
        };
        let pointer = place.pointer();
        let by_pointer = || {
            let fields = pointer.fields?;
            let (number, letter) = (fields.current, pointer.letter);
            (pointer.home() == letter).then_some(Name { number, letter })
        };
        let Some(name) = self.selected.or_else(by_pointer) else {
            return;
        };
        match place.write(pointer.seen(name, is_ready)) {
            Ok(()) => {}
            Err(error) => debug!("the pointer does not learn what runs: {error}"),
        }
    }
}

fn setting_path(setting: &str) -> String {
    format!("/proc/sys/kernel/{setting}")
}

/// Lets the kernel end the machine where it would go on half alive, and start it again; gives the
/// settings that were another way before.
fn be_strict() -> Vec<&'static str> {
    let is_zero = |setting: &str| {
        file::read_text(&setting_path(setting)).is_ok_and(|value| value.trim() == "0")
    };
    if is_zero("panic") {
        let _ = file::set(&setting_path("panic"), PANIC_SECONDS);
    }
    let mut changed = Vec::new();
    for setting in STRICT {
        if is_zero(setting) && file::set(&setting_path(setting), "1").is_ok() {
            changed.push(setting);
        }
    }
    changed
}
