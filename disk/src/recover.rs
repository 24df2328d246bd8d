//! Putting right what a change that was cut off, another system or a larger device left behind.

use crate::commit::Phase;
use crate::disk::{BackupTable, State, geometry};
use crate::grow::StateSize;
use crate::install::{put_backup, put_table};
use crate::{BlockDevice, Error, entry};
use nos_formats::fat::{Changes, Problem};
use nos_formats::gpt;
use nos_pointer::{Fields, Pointer};

impl State {
    /// The disk with everything put right that can be without knowing more than it says itself,
    /// and the phases that do it; none where there is nothing.
    pub(crate) fn recovered(&self, device: &dyn BlockDevice) -> Result<(Self, Vec<Phase>), Error> {
        self.recovered_and_grown(device, StateSize::Keep)
    }

    /// The same, with another size of the state partition.
    pub(crate) fn recovered_and_grown(
        &self,
        device: &dyn BlockDevice,
        size: StateSize,
    ) -> Result<(Self, Vec<Phase>), Error> {
        let mut state = self.clone();
        let esp = self.esp_window(device);
        let problems = self.volume.check(&esp)?;
        state.volume.tidy(&esp)?;
        let lost = |problem: &Problem| matches!(problem, Problem::Lost { .. });
        if problems.iter().any(lost) && !state.entries.iter().any(|e| e.content.is_err()) {
            // Where another file is damaged nothing can be said to be lost; it stays then.
            let _ = state.volume.free_lost();
        }
        let mut phases = vec![Phase::default(); 3];
        state.mend_tables(device, size, &mut phases)?;
        state.sweep(&mut phases)?;
        if !state.pointer_is_whole() {
            state.mend_pointer(&mut phases[2], device.sector_size() as usize);
        }
        phases.retain(|phase| !phase.is_empty());
        Ok((state, phases))
    }

    /// Makes both tables right: what one of them lost, unused images, the end of a device that
    /// became larger, the state partition's size.
    ///
    /// A table that is lost needs no flush between its array and its header, since the other is
    /// whole all the time. Where both are changed the backup goes first, for as long as it is
    /// written the primary is whole: so a backup that moves is there before a tear of the primary's
    /// header could need it.
    fn mend_tables(
        &mut self,
        device: &dyn BlockDevice,
        size: StateSize,
        phases: &mut [Phase],
    ) -> Result<(), Error> {
        let geometry = geometry(device)?;
        let sector = u64::from(geometry.sector_size);
        let last = geometry.sectors - 1;
        let moves = self.table.backup_lba != last;
        self.table.backup_lba = last;
        let changes = self.drop_orphans() | self.enlarge_state(size)?;
        let lost = self.primary.take().is_some();
        let good = self.backup == BackupTable::Good;
        self.backup = BackupTable::Good;
        if changes {
            put_table(phases, &mut self.table)?;
        } else {
            if lost {
                let array = self.table.array_lba(self.table.place) * sector;
                phases[0].put(array, self.table.encode_array());
            }
            if lost || moves {
                phases[usize::from(moves)].put(sector, self.table.encode_primary());
            }
            if !good {
                put_backup(&mut phases[2], &self.table);
            }
        }
        if moves || (changes && !lost) {
            phases[2] = Phase::default();
            put_backup(&mut phases[0], &self.table);
        }
        if moves || !self.protected {
            let mbr = gpt::protective_mbr(geometry.sectors, geometry.sector_size as usize);
            phases[0].put(0, mbr);
            self.protected = true;
        }
        Ok(())
    }

    /// Writes the pointer's comment anew; what it says to the boot loader stays.
    fn mend_pointer(&mut self, phase: &mut Phase, sector_size: usize) {
        let Some(current) = self.current().map(|entry| entry.number) else {
            return;
        };
        let fields = self.first_fields(current);
        phase.put(
            self.pointer_offset,
            Pointer::encode(self.pointer.letter, &fields, sector_size),
        );
        self.pointer.fields = Some(fields);
    }

    /// What the pointer's comment says where nothing is known of the past.
    pub(crate) fn first_fields(&self, current: u32) -> Fields {
        Fields {
            previous: self.older_than(current),
            ..Fields::new(current)
        }
    }

    /// Takes image partitions that no generation uses out of the table; whether there were any.
    pub(crate) fn drop_orphans(&mut self) -> bool {
        let orphans = self.orphan_partitions();
        for number in &orphans {
            self.table.entries[number - 1] = None;
        }
        !orphans.is_empty()
    }

    /// Removes kernel images that no boot entry uses: names in the second phase, allocation tables
    /// in the third.
    pub(crate) fn sweep(&mut self, phases: &mut [Phase]) -> Result<(), Error> {
        for kernel in self.orphan_kernels() {
            self.volume.remove_file(&entry::uki_path(&kernel))?;
            self.kernels.remove(&kernel);
        }
        let Changes {
            publish, tables, ..
        } = self.volume.take_changes();
        for step in publish {
            phases[1].put_all(self.esp.start, step);
        }
        phases[2].put_all(self.esp.start, tables);
        Ok(())
    }
}
