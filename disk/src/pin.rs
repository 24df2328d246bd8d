//! Pins: generations that no `gc` removes.

use crate::commit::Phase;
use crate::disk::Disk;
use crate::entry::{self, ENTRIES};
use crate::install::space;
use crate::{Error, Report};
use nos_formats::fat::Changes;

impl Disk<'_> {
    /// Keeps generation `number` until it is unpinned, and calls it `label` where that is given.
    ///
    /// A pin is the read-only attribute of the boot entry: one bit of one sector, so a full disk
    /// can be pinned on. Another label is another file under the same name: it is written beside
    /// the old one and takes its place by the write of that sector.
    ///
    /// # Errors
    /// [`Error::NoGeneration`]; [`Error::Broken`] where a label cannot be kept since the entry
    /// cannot be read; [`Error::Space`] where there is no room for another label; [`Error::Io`].
    pub fn pin(&mut self, number: u32, label: Option<&str>) -> Result<Report, Error> {
        self.set_pin(number, true, label)
    }

    /// Lets generation `number` go with the next `gc` that it is too old for.
    ///
    /// # Errors
    /// [`Error::NoGeneration`], [`Error::Io`].
    pub fn unpin(&mut self, number: u32) -> Result<Report, Error> {
        self.set_pin(number, false, None)
    }

    fn set_pin(&mut self, number: u32, pinned: bool, label: Option<&str>) -> Result<Report, Error> {
        self.begin()?;
        let mut report = Report {
            number: self.current().unwrap_or(0),
            ..Report::default()
        };
        let found = self.state.require(number)?;
        let path = format!("{ENTRIES}/{}", entry::file_name(number, found.letter));
        let content = match (label, &found.content) {
            (None, _) => None,
            (Some(_), Err(why)) => {
                let why = format!("its boot entry {why}");
                return Err(Error::Broken { number, why });
            }
            (Some(label), Ok(content)) => {
                let mut content = content.clone();
                content.label = entry::clean(label);
                Some(content.encode(number)).filter(|_| Ok(&content) != found.content.as_ref())
            }
        };
        if content.is_none() && found.pinned == pinned {
            return Ok(report);
        }
        let mut volume = self.state.volume.clone();
        if content.is_some() {
            let (state, recovery) = self.state.recovered(self.device)?;
            for phase in &recovery {
                phase.run(self.device, &mut report)?;
            }
            volume = state.volume;
        }
        let mut phases = vec![Phase::default(); 3];
        let start = self.state.esp.start;
        let replaced = content
            .map(|text| volume.replace_file(&path, text.as_bytes()))
            .transpose()
            .map_err(space)?;
        volume.set_read_only(&path, pinned)?;
        let Changes {
            data,
            tables,
            publish,
        } = volume.take_changes();
        phases[0].put_all(start, data);
        phases[0].put_all(start, tables);
        // Both steps write the same sector; the later one is what is left.
        for step in publish {
            phases[1].put_all(start, step);
        }
        if let Some(replaced) = replaced {
            volume.release(replaced);
            phases[2].put_all(start, volume.take_changes().tables);
        }
        for phase in &phases {
            phase.run(self.device, &mut report)?;
        }
        self.refresh()?;
        Ok(report)
    }
}
