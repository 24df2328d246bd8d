//! Moving the pointer: one sector, one flush.

use crate::commit::Phase;
use crate::disk::Disk;
use crate::{Error, Report};
use nos_pointer::{Fields, Name, Phase as TrialPhase, Pointer, Trial};

impl Disk<'_> {
    /// Lets generation `number` boot from now on. Writes one sector and allocates nothing.
    ///
    /// # Errors
    /// [`Error::NoGeneration`]; [`Error::Broken`] where it would not boot; [`Error::Io`].
    pub fn switch(&mut self, number: u32) -> Result<Report, Error> {
        self.begin()?;
        let current = self.current();
        let previous = match current {
            Some(current) if current == number => self.state.previous(),
            other => other,
        };
        self.point_at(number, previous, None)
    }

    /// Lets the generation boot that did before the current one; after that, a further rollback
    /// goes to the next older one. Writes one sector and allocates nothing.
    ///
    /// # Errors
    /// [`Error::NoPrevious`]; [`Error::Broken`] where it would not boot; [`Error::Io`].
    pub fn rollback(&mut self) -> Result<Report, Error> {
        self.begin()?;
        let current = self.current().unwrap_or(0);
        let target = self.state.previous().ok_or(Error::NoPrevious { current })?;
        let before = self.state.older_than(target);
        self.point_at(target, before, None)
    }

    /// Records that the next boot tries generation `number` once, or with `None` that it does
    /// not; the pointer stays where it is. Writes one sector.
    ///
    /// # Errors
    /// [`Error::NoGeneration`]; [`Error::TrialOfCurrent`]; [`Error::Broken`] where it would not
    /// boot; [`Error::Io`].
    pub fn set_trial(&mut self, number: Option<u32>) -> Result<Report, Error> {
        self.begin()?;
        let home = self.state.home().ok_or(Error::NoGeneration {
            number: 0,
            nearest: None,
        })?;
        let (home, current) = (home.letter, home.number);
        let trial = match number {
            Some(number) if number == current => return Err(Error::TrialOfCurrent { number }),
            Some(number) => Some(Trial {
                name: Name {
                    number,
                    letter: self.require_whole(number)?,
                },
                phase: TrialPhase::Wanted,
                home,
            }),
            None => None,
        };
        self.point_at(current, self.state.previous(), trial)
    }

    fn require_whole(&self, number: u32) -> Result<u8, Error> {
        let entry = self.state.require(number)?;
        match self.state.why_broken(entry) {
            Some(why) => Err(Error::Broken { number, why }),
            None => Ok(entry.letter),
        }
    }

    fn point_at(
        &mut self,
        current: u32,
        previous: Option<u32>,
        trial: Option<Trial>,
    ) -> Result<Report, Error> {
        let letter = self.require_whole(current)?;
        let fields = match self.state.pointer.fields {
            Some(fields) => fields.next(),
            None => Fields::new(current),
        };
        let fields = Fields {
            current,
            previous,
            trial,
            ..fields
        };
        let sector_size = self.device.sector_size() as usize;
        let mut phase = Phase::default();
        phase.put(
            self.state.pointer_offset,
            Pointer::encode(letter, &fields, sector_size),
        );
        let mut report = Report {
            number: current,
            ..Report::default()
        };
        phase.run(self.device, &mut report)?;
        self.refresh()?;
        Ok(report)
    }
}
