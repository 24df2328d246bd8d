//! Taking generations away.

use crate::commit::{OnProgress, Phase};
use crate::disk::{Disk, State};
use crate::entry::{self, ENTRIES};
use crate::install::put_table;
use crate::{Error, GenerationSource, InstallOptions, Report};

impl Disk<'_> {
    /// Removes one generation and everything that no other one uses.
    ///
    /// # Errors
    /// [`Error::NoGeneration`]; [`Error::Protected`] for the one that boots, is on trial or pinned;
    /// [`Error::Io`].
    pub fn remove(&mut self, number: u32) -> Result<Report, Error> {
        self.begin()?;
        self.state.require(number)?;
        let protected = self.state.protected().into_iter();
        let mut why = protected.filter(|(protected, _)| *protected == number);
        match why.find_map(|(_, why)| why.refusal(number)) {
            Some(error) => Err(error),
            None => self.remove_all(vec![number]),
        }
    }

    /// Removes all but the newest `keep` generations, never the one that boots, the one that a
    /// rollback goes to, the one on trial or a pinned one, and everything that no other one uses.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn gc(&mut self, keep: usize) -> Result<Report, Error> {
        self.begin()?;
        self.remove_all(self.state.older_than_newest(keep))
    }

    /// Installs as [`Disk::install`] does, and leaves no more than the newest `keep` generations
    /// and those that [`Disk::gc`] never removes. The older ones go when the new one is there; but
    /// first where there is no room for it otherwise, and where without them there is.
    ///
    /// # Errors
    /// As [`Disk::install`] and [`Disk::gc`].
    pub fn install_and_keep(
        &mut self,
        source: &GenerationSource<'_>,
        options: InstallOptions,
        keep: usize,
        progress: OnProgress<'_>,
    ) -> Result<Report, Error> {
        match self.install(source, options, &mut *progress) {
            Ok(mut report) => {
                let old = self.state.older_than_newest(keep);
                if !old.is_empty() {
                    self.begin()?;
                    report.follows(&self.remove_all(old)?);
                }
                Ok(report)
            }
            Err(Error::Space(shortage)) => {
                self.begin()?;
                let old = self.state.older_than_newest(keep.saturating_sub(1));
                let (mut state, _) = self.state.recovered(self.device)?;
                state.removal(&old)?;
                if old.is_empty() || !state.has_room_for(self.device, source, options)? {
                    return Err(Error::Space(shortage));
                }
                let removal = self.remove_all(old)?;
                let mut report = self.install(source, options, progress)?;
                report.follows(&removal);
                Ok(report)
            }
            Err(error) => Err(error),
        }
    }

    fn remove_all(&mut self, numbers: Vec<u32>) -> Result<Report, Error> {
        let (mut state, phases) = self.state.recovered(self.device)?;
        let mut report = Report {
            number: self.current().unwrap_or(0),
            ..Report::default()
        };
        for phase in &phases {
            phase.run(self.device, &mut report)?;
        }
        if !numbers.is_empty() {
            for phase in state.removal(&numbers)? {
                phase.run(self.device, &mut report)?;
            }
        }
        report.removed = numbers;
        self.refresh()?;
        Ok(report)
    }
}

impl State {
    /// Removes boot entries, and what they alone used, in three phases.
    fn removal(&mut self, numbers: &[u32]) -> Result<Vec<Phase>, Error> {
        let (gone, kept): (Vec<_>, Vec<_>) = std::mem::take(&mut self.entries)
            .into_iter()
            .partition(|entry| numbers.contains(&entry.number));
        self.entries = kept;
        let mut phases = vec![Phase::default(); 3];
        for entry in &gone {
            let name = entry::file_name(entry.number, entry.letter);
            self.volume.remove_file(&format!("{ENTRIES}/{name}"))?;
        }
        let changes = self.volume.take_changes();
        for step in changes.publish {
            phases[0].put_all(self.esp.start, step);
        }
        // The entries' clusters become free when their names are durably gone.
        phases[2].put_all(self.esp.start, changes.tables);
        if self.drop_orphans() {
            put_table(&mut phases, &mut self.table)?;
        }
        self.sweep(&mut phases)?;
        phases.retain(|phase| !phase.is_empty());
        Ok(phases)
    }

    /// Generations behind the newest `keep` that may be removed unasked.
    fn older_than_newest(&self, keep: usize) -> Vec<u32> {
        let kept = self.protected();
        let old = self.entries.len().saturating_sub(keep.max(1));
        let old = self.entries[..old].iter().map(|entry| entry.number);
        old.filter(|n| kept.iter().all(|(kept, _)| kept != n))
            .collect()
    }

    /// Generations that are never removed unasked, and why.
    pub(crate) fn protected(&self) -> Vec<(u32, Protection)> {
        let current = self
            .current()
            .map(|entry| (entry.number, Protection::Boots));
        let trial = self.trial().map(|number| (number, Protection::OnTrial));
        let previous = self.previous().map(|number| (number, Protection::Previous));
        // What a machine returns to from a trial, and what it is known to run in.
        let home = self.home().map(|entry| (entry.number, Protection::Boots));
        let booted = self.pointer.fields.and_then(|fields| fields.booted);
        let booted = booted.map(|number| (number, Protection::Previous));
        let pinned = self.entries.iter().filter(|entry| entry.pinned);
        let pinned = pinned.map(|entry| (entry.number, Protection::Pinned));
        current
            .into_iter()
            .chain(home)
            .chain(trial)
            .chain(pinned)
            .chain(previous)
            .chain(booted)
            .collect()
    }
}

/// Why a generation is not removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Protection {
    Boots,
    OnTrial,
    Pinned,
    /// The one that a rollback goes to, or that ran last: it may be removed by its number.
    Previous,
}

impl Protection {
    /// The error for one that was to be removed by its number, where that is not allowed.
    fn refusal(self, number: u32) -> Option<Error> {
        let another = "`nos switch` to another one first";
        let (role, remedy) = match self {
            Self::Boots => ("the one that boots", another),
            Self::OnTrial => ("on trial", another),
            Self::Pinned => ("pinned", "`nos unpin` it first"),
            Self::Previous => return None,
        };
        Some(Error::Protected {
            number,
            role,
            remedy,
        })
    }
}
