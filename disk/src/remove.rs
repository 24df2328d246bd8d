//! Taking generations away, and what changes that were cut off left behind.

use crate::commit::Phase;
use crate::disk::{BackupTable, Disk, State};
use crate::entry::{self, ENTRIES};
use crate::install::{put_backup, put_table};
use crate::pointer::{Fields, Pointer};
use crate::{BlockDevice, Error, Report};
use nos_formats::fat::Problem;

impl Disk<'_> {
    /// Removes one generation and everything that no other one uses.
    ///
    /// # Errors
    /// [`Error::NoGeneration`]; [`Error::Protected`] for the one that boots or is on trial;
    /// [`Error::Io`].
    pub fn remove(&mut self, number: u32) -> Result<Report, Error> {
        self.refresh()?;
        self.state.require(number)?;
        let protected = |role| Err(Error::Protected { number, role });
        if self.current() == Some(number) {
            return protected("the one that boots");
        }
        if self.state.trial() == Some(number) {
            return protected("on trial");
        }
        self.remove_all(vec![number])
    }

    /// Removes all but the newest `keep` generations, never the one that boots, the one that a
    /// rollback goes to or the one on trial, and everything that no other one uses.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn gc(&mut self, keep: usize) -> Result<Report, Error> {
        self.refresh()?;
        let kept = [self.current(), self.state.previous(), self.state.trial()];
        let numbers: Vec<u32> = self
            .state
            .entries
            .iter()
            .map(|entry| entry.number)
            .collect();
        let old = numbers.len().saturating_sub(keep.max(1));
        let victims = numbers[..old]
            .iter()
            .copied()
            .filter(|n| !kept.contains(&Some(*n)));
        self.remove_all(victims.collect())
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

    /// Reads the disk again: what is in memory may be from before a change that failed.
    pub(crate) fn refresh(&mut self) -> Result<(), Error> {
        self.state = State::read(self.device)?;
        Ok(())
    }
}

impl State {
    /// The disk with everything cleared that changes which were cut off left behind, and the
    /// phases that clear it; none where there is nothing.
    pub(crate) fn recovered(&self, device: &dyn BlockDevice) -> Result<(Self, Vec<Phase>), Error> {
        let mut state = self.clone();
        let problems = self.volume.check(&self.esp_window(device))?;
        let is_lost = |problem: &Problem| matches!(problem, Problem::Lost { .. });
        let differs = |problem: &Problem| {
            matches!(
                problem,
                Problem::TablesDiffer { .. } | Problem::Summary { .. }
            )
        };
        if problems.iter().any(differs) {
            state.volume.rewrite_tables();
        }
        if problems.iter().any(is_lost) && !state.entries.iter().any(|e| e.content.is_err()) {
            // Where another file is damaged nothing can be said to be lost; it stays then.
            let _ = state.volume.free_lost();
        }
        let mut phases = state.sweep()?;
        if state.backup != BackupTable::Good {
            put_backup(&mut phases[2], &state.table);
            state.backup = BackupTable::Good;
        }
        if state.pointer.fields.is_none() {
            state.mend_pointer(&mut phases[2], device.sector_size() as usize);
        }
        phases.retain(|phase| !phase.is_empty());
        Ok((state, phases))
    }

    /// Writes the pointer's comment anew; what it says to the boot loader stays.
    fn mend_pointer(&mut self, phase: &mut Phase, sector_size: usize) {
        let Some(current) = self.current().map(|entry| entry.number) else {
            return;
        };
        let fields = Fields {
            sequence: 1,
            current,
            previous: self.older_than(current),
            trial: None,
        };
        phase.put(
            self.pointer_offset,
            Pointer::encode(self.pointer.letter, &fields, sector_size),
        );
        self.pointer.fields = Some(fields);
    }

    /// Removes boot entries, and what they alone used, in three phases.
    fn removal(&mut self, numbers: &[u32]) -> Result<Vec<Phase>, Error> {
        let (gone, kept): (Vec<_>, Vec<_>) = std::mem::take(&mut self.entries)
            .into_iter()
            .partition(|entry| numbers.contains(&entry.number));
        self.entries = kept;
        let mut names = Phase::default();
        for entry in &gone {
            let name = entry::file_name(entry.number, entry.letter);
            self.volume.remove_file(&format!("{ENTRIES}/{name}"))?;
        }
        let changes = self.volume.take_changes();
        for step in changes.publish {
            names.put_all(self.esp.start, step);
        }
        let mut phases = self.sweep()?;
        let mut first = names;
        first.absorb(std::mem::take(&mut phases[0]));
        phases[0] = first;
        // The entries' clusters become free when their names are durably gone.
        let mut tables = Phase::default();
        tables.put_all(self.esp.start, changes.tables);
        tables.absorb(std::mem::take(&mut phases[2]));
        phases[2] = tables;
        phases.retain(|phase| !phase.is_empty());
        Ok(phases)
    }

    /// Removes kernel images and image partitions that no boot entry uses, in three phases: what
    /// may be written at once; names and partition header; allocation tables and backup.
    fn sweep(&mut self) -> Result<Vec<Phase>, Error> {
        let mut phases = vec![Phase::default(); 3];
        for kernel in self.orphan_kernels() {
            self.volume.remove_file(&entry::uki_path(&kernel))?;
            self.kernels.remove(&kernel);
        }
        let orphans = self.orphan_partitions();
        if !orphans.is_empty() {
            for number in orphans {
                self.table.entries[number - 1] = None;
            }
            put_table(&mut phases, &mut self.table)?;
        }
        let changes = self.volume.take_changes();
        for step in changes.publish {
            phases[1].put_all(self.esp.start, step);
        }
        phases[2].put_all(self.esp.start, changes.tables);
        Ok(phases)
    }
}
