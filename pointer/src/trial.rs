//! How a generation is tried, and what comes of it.
//!
//! | Phase | The sector says | Written by |
//! |---|---|---|
//! | wanted | the letter of the old generation | `nos install --trial`, from outside |
//! | begun | so, and the boot loader is told to take the new one once | init of the old generation, before it resets |
//! | started | so, and the new one's init has come to life | init of the new generation |
//! | none, good | the letter of the new generation | init of the new one, every service being healthy |
//! | none, failed | the letter of the old generation, and why | whichever init knows |
//!
//! Every row is one write of one sector. A phase never goes back, and no boot repeats one: whoever
//! finds *begun* and is not the new generation, or *started* without having written it, concludes
//! that the trial is over. So no cut and no crash makes a machine try twice.
//!
//! Where the firmware has no variables to tell the boot loader with, *begun* has the letter of the
//! new generation, and a failure writes the old one's letter back.

use crate::sector::{Fields, LETTERS, Name, Pointer, Reason};

/// A trial.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Trial {
    /// The generation that is tried.
    pub name: Name,
    /// How far it is.
    pub phase: Phase,
    /// Letter of the generation that boots unless the trial is a success.
    pub home: u8,
}

/// How far a trial is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// The next boot is to begin it.
    Wanted,
    /// The machine was reset into it.
    Begun,
    /// Its init has come to life.
    Started,
}

impl Phase {
    /// Its name.
    pub fn text(self) -> &'static str {
        match self {
            Self::Wanted => "wanted",
            Self::Begun => "begun",
            Self::Started => "started",
        }
    }

    pub(crate) fn code(self) -> u8 {
        match self {
            Self::Wanted => b'w',
            Self::Begun => b'b',
            Self::Started => b's',
        }
    }

    pub(crate) fn of_code(code: u8) -> Option<Self> {
        let all = [Self::Wanted, Self::Begun, Self::Started];
        all.into_iter().find(|phase| phase.code() == code)
    }
}

/// What is known of a generation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It has run with every service healthy.
    Good,
    /// It was tried and did not.
    Failed(Failure),
}

/// How a trial failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// A service was not healthy in time.
    Unhealthy,
    /// Init could not go on: an image is missing or damaged, or init itself crashed.
    GaveUp,
    /// The kernel panicked and said why.
    Panic,
    /// The watchdog reset the machine.
    Hang,
    /// It started and nothing more is known: a panic, a hang or a power cut.
    Silent,
    /// Its init never came to life.
    NotReached,
    /// The machine was switched off before the verdict.
    Stopped,
}

impl Failure {
    const ALL: [(Self, u8, &'static str); 7] = [
        (Self::Unhealthy, b's', "a service was not healthy in time"),
        (Self::GaveUp, b'i', "init could not go on"),
        (Self::Panic, b'p', "the kernel panicked"),
        (
            Self::Hang,
            b'w',
            "it hung, and the watchdog reset the machine",
        ),
        (
            Self::Silent,
            b'n',
            "it ended without a verdict: a panic, a hang or a power cut",
        ),
        (
            Self::NotReached,
            b'u',
            "its init was never reached: a panic or a hang of the kernel, a power cut, or \
             firmware that forgot which entry to boot once",
        ),
        (
            Self::Stopped,
            b'x',
            "the machine was switched off before the verdict",
        ),
    ];

    /// What happened, as a sentence without its end.
    pub fn text(self) -> &'static str {
        let row = Self::ALL.iter().find(|row| row.0 == self);
        row.map_or("", |row| row.2)
    }

    fn code(self) -> u8 {
        let row = Self::ALL.iter().find(|row| row.0 == self);
        row.map_or(b'n', |row| row.1)
    }
}

/// What is known of each generation of a disk, by its letter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verdicts([u8; LETTERS.len()]);

const UNKNOWN: u8 = b'-';
const GOOD: u8 = b'g';

impl Default for Verdicts {
    fn default() -> Self {
        Self([UNKNOWN; LETTERS.len()])
    }
}

impl Verdicts {
    /// What is known of the generation with this letter.
    pub fn get(&self, letter: u8) -> Option<Verdict> {
        let index = LETTERS.iter().position(|l| *l == letter)?;
        match self.0.get(index)? {
            &GOOD => Some(Verdict::Good),
            code => {
                let mut rows = Failure::ALL.iter();
                rows.find(|row| row.1 == *code)
                    .map(|row| Verdict::Failed(row.0))
            }
        }
    }

    /// Notes what is known of the generation with this letter.
    pub fn set(&mut self, letter: u8, verdict: Option<Verdict>) {
        let places = LETTERS.iter().zip(&mut self.0);
        for (_, place) in places.filter(|(l, _)| **l == letter) {
            *place = match verdict {
                None => UNKNOWN,
                Some(Verdict::Good) => GOOD,
                Some(Verdict::Failed(failure)) => failure.code(),
            };
        }
    }

    pub(crate) fn encode(&self) -> [u8; LETTERS.len()] {
        self.0
    }

    pub(crate) fn parse(text: &str) -> Option<Self> {
        let codes: [u8; LETTERS.len()] = text.as_bytes().try_into().ok()?;
        let known = |code: &u8| {
            matches!(*code, UNKNOWN | GOOD) || Failure::ALL.iter().any(|row| row.1 == *code)
        };
        codes.iter().all(known).then_some(Self(codes))
    }
}

/// What an init does about the pointer that it finds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Nothing: no trial is wanted or under way.
    Nothing,
    /// Writes [`Pointer::begun`], tells the boot loader and resets.
    Begin(Trial),
    /// Is the generation on trial: writes [`Pointer::started`] and works towards a verdict.
    Run(Trial),
    /// The trial is over without a verdict: writes [`Pointer::judged`].
    Conclude {
        /// The trial.
        trial: Trial,
        /// What is known without asking elsewhere.
        failure: Failure,
        /// Whether this machine runs, or may run, the generation that failed, and must be reset.
        reset: bool,
    },
}

/// What an init does about the pointer that it finds. `selected` is the entry that the boot loader
/// says it has booted, where it says so.
pub fn next(pointer: &Pointer, selected: Option<Name>) -> Step {
    let Some(trial) = pointer.fields.and_then(|fields| fields.trial) else {
        return Step::Nothing;
    };
    let flipped = pointer.letter == trial.name.letter;
    let is_trial = match selected {
        Some(name) => name == trial.name,
        None => flipped,
    };
    let over = |failure, reset| Step::Conclude {
        trial,
        failure,
        reset,
    };
    match trial.phase {
        Phase::Wanted if flipped => Step::Nothing,
        Phase::Wanted => Step::Begin(trial),
        Phase::Begun if is_trial => Step::Run(trial),
        // Without the boot loader's word this may be either generation.
        Phase::Begun => over(Failure::NotReached, selected.is_none()),
        Phase::Started => over(Failure::Silent, is_trial || selected.is_none()),
    }
}

impl Pointer {
    fn with(&self, letter: u8, change: impl FnOnce(&mut Fields)) -> Option<Self> {
        let mut fields = self.fields?.next();
        change(&mut fields);
        Some(Self {
            letter,
            fields: Some(fields),
        })
    }

    /// The trial is begun. With `flip` the boot loader can be told in no other way than by the
    /// pointer itself. `None` where none is wanted.
    pub fn begun(&self, flip: bool) -> Option<Self> {
        let trial = self.fields?.trial?;
        let letter = if flip { trial.name.letter } else { trial.home };
        let phase = Phase::Begun;
        self.with(letter, |fields| {
            fields.trial = Some(Trial { phase, ..trial })
        })
    }

    /// The generation on trial has come to life. `None` where none is on trial.
    pub fn started(&self) -> Option<Self> {
        let trial = self.fields?.trial?;
        let phase = Phase::Started;
        self.with(self.letter, |fields| {
            fields.trial = Some(Trial { phase, ..trial });
        })
    }

    /// The trial is over: a good generation boots from now on, after any other the old one does.
    /// `None` where none is on trial.
    pub fn judged(&self, verdict: Verdict, reason: &str) -> Option<Self> {
        let Trial { name, home, .. } = self.fields?.trial?;
        let letter = match verdict {
            Verdict::Good => name.letter,
            Verdict::Failed(_) => home,
        };
        self.with(letter, |fields| {
            fields.trial = None;
            fields.verdicts.set(name.letter, Some(verdict));
            if verdict == Verdict::Good {
                fields.previous = Some(fields.current);
                fields.current = name.number;
                fields.booted = Some(name.number);
            } else {
                fields.reason = Some(Reason::new(name.number, reason));
            }
        })
    }

    /// Another generation than the pointer's was booted, by an EFI variable that is gone now, and
    /// the machine is restarted. `None` where it was for the same reason before: firmware that
    /// brings variables back must not make a machine restart for ever.
    pub fn astray(&self) -> Option<Self> {
        let before = self.fields?.stray;
        let change = |fields: &mut Fields| fields.stray = Some(self.letter);
        (before != Some(self.letter)).then(|| self.with(self.letter, change))?
    }

    /// A generation runs, and every service of it is healthy if `good`. `None` where the pointer
    /// says so already, so that a machine that is started day by day writes nothing.
    pub fn seen(&self, name: Name, good: bool) -> Option<Self> {
        let fields = self.fields?;
        let mut verdicts = fields.verdicts;
        if good {
            verdicts.set(name.letter, Some(Verdict::Good));
        }
        let arrived = name.letter == self.letter && fields.stray.is_some();
        if fields.booted == Some(name.number) && verdicts == fields.verdicts && !arrived {
            return None;
        }
        self.with(self.letter, |fields| {
            if arrived {
                fields.stray = None;
            }
            fields.booted = Some(name.number);
            fields.verdicts = verdicts;
        })
    }
}

#[cfg(test)]
mod tests;
