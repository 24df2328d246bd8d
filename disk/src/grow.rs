//! A device that has become larger.

use crate::disk::{Disk, State};
use crate::layout::{PARTITION_ALIGN, guid};
use crate::{Error, Report};

/// How large the state partition is to become.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum StateSize {
    /// As large as it is, or as a new disk's system asks.
    #[default]
    Keep,
    /// All the room behind it.
    All,
    /// This many bytes, rounded up to whole MiB.
    Bytes(u64),
}

impl Disk<'_> {
    /// Uses all of a device that has become larger: moves the backup partition table to the end,
    /// which makes room for images, and gives the state partition as much of the room behind it
    /// as asked for. The file system in it is enlarged by the kernel when it is next mounted.
    ///
    /// Nothing is written where there is nothing to do.
    ///
    /// # Errors
    /// [`Error::Layout`] where the state partition cannot become so large, before the first write;
    /// [`Error::Io`].
    pub fn grow(&mut self, size: StateSize) -> Result<Report, Error> {
        self.begin()?;
        let mut report = Report {
            number: self.current().unwrap_or(0),
            ..Report::default()
        };
        let (_, phases) = self.state.recovered_and_grown(self.device, size)?;
        for phase in &phases {
            phase.run(self.device, &mut report)?;
        }
        self.refresh()?;
        Ok(report)
    }
}

impl State {
    /// Gives the state partition its new size in the table; whether that is another.
    pub(crate) fn enlarge_state(&mut self, size: StateSize) -> Result<bool, Error> {
        let larger = self.larger_state(size)?;
        if let Some((index, last)) = larger
            && let Some(entry) = self.table.entries[index].as_mut()
        {
            entry.last_lba = last;
        }
        Ok(larger.is_some())
    }

    /// Index and last sector of the state partition where it is to become larger.
    fn larger_state(&self, size: StateSize) -> Result<Option<(usize, u64)>, Error> {
        let cannot = |what: String| Err(Error::Layout { what });
        let found = self
            .table
            .find_type(guid(nos_manifest::STATE_TYPE_GUID))
            .map(|(number, entry)| (number - 1, entry));
        let Some((index, entry)) = found else {
            return match size {
                StateSize::Keep => Ok(None),
                _ => cannot("it has no state partition; leave --state out".into()),
            };
        };
        let sector = u64::from(self.table.geometry().sector_size);
        let align = PARTITION_ALIGN / sector;
        let behind = self
            .table
            .numbered()
            .map(|(_, other)| other.first_lba)
            .filter(|first| *first > entry.last_lba)
            .min()
            .unwrap_or(self.table.last_usable() + 1);
        let most = (behind - behind % align).max(entry.last_lba + 1);
        let end = match size {
            StateSize::Keep => return Ok(None),
            StateSize::All => most,
            StateSize::Bytes(bytes) => {
                let sectors = bytes.div_ceil(PARTITION_ALIGN).saturating_mul(align);
                entry.first_lba.saturating_add(sectors)
            }
        };
        let bytes = |end: u64| (end - entry.first_lba) * sector;
        if end > most {
            return cannot(format!(
                "the state partition can have {} bytes at most; ask for less, or for a larger disk",
                bytes(most)
            ));
        }
        if end < entry.last_lba + 1 {
            return cannot(format!(
                "the state partition has {} bytes and cannot be made smaller; ask for more",
                bytes(entry.last_lba + 1)
            ));
        }
        Ok((end > entry.last_lba + 1).then_some((index, end - 1)))
    }
}
