//! The sector's bytes.
//!
//! ```text
//! # nOs: which generation boots. Rewritten in place by `nos`: do not edit.
//! timeout 0
//! editor no
//! auto-entries no
//! default nos-*-b.conf
//! #nos format=1 sequence=00000000000000000042 current=0000000042 previous=0000000041 booted=0000000042 check=5d1a77c3
//! #nos trial=0000000043-c-w-b stray=- verdicts=gg----------------------------------
//! #nos reason=0000000000 (text, spaces)
//! #(spaces to the end of the sector)
//! ```
//!
//! Every generation on a disk has a letter of its own, which is part of its boot entry's name, and
//! the `default` line matches the name by that letter alone. So of everything that the boot loader
//! reads here *one byte* differs between any two generations, and a write of this sector that
//! tears at any byte, in any order, still boots the old generation or the new one. The rest is
//! for us, in comments: every line end and every `#` stands in the same place in all pointers, and
//! all text is ASCII, so that no tear makes a line of a comment. Where a tear left the comments
//! inconsistent the checksum says so and the letter decides.

use crate::check::crc32;
use crate::trial::{Phase, Trial, Verdicts};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

/// Version of the disk format that this program writes, and the newest that it reads.
pub const FORMAT_VERSION: u32 = 1;

/// Most generations that a disk can hold: one for each letter.
pub const MAX_GENERATIONS: usize = LETTERS.len();

/// Letters of generations, in the order in which they are given out. FAT ignores case.
pub const LETTERS: &[u8; 36] = b"abcdefghijklmnopqrstuvwxyz0123456789";

/// Longest reason that is kept, in bytes.
pub const REASON_BYTES: usize = 144;

const HEAD: &str = "\
# nOs: which generation boots. Rewritten in place by `nos`: do not edit.
timeout 0
editor no
auto-entries no
";
const DEFAULT: &str = "default nos-*-";
const FIELDS: &str = "#nos format=";
const TRIAL: &str = "#nos trial=";
const REASON: &str = "#nos reason=";
const NOT_STRAY: u8 = b'-';

/// A generation by what its boot entry is called: `nos-000042-b.conf`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Name {
    /// Its number, never 0.
    pub number: u32,
    /// Its letter, one of [`LETTERS`].
    pub letter: u8,
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "nos-{:06}-{}.conf", self.number, char::from(self.letter))
    }
}

impl Name {
    /// Reads the name of a boot entry, in either case as FAT keeps it; `None` where it is not
    /// one of ours.
    pub fn parse(name: &str) -> Option<Self> {
        let name = name.to_ascii_lowercase();
        let (number, letter) = name
            .strip_prefix("nos-")?
            .strip_suffix(".conf")?
            .split_once('-')?;
        let letter = match letter.as_bytes() {
            [letter] if LETTERS.contains(letter) => *letter,
            _ => return None,
        };
        let number: u32 = number.parse().ok()?;
        let parsed = Self { number, letter };
        (number > 0 && name == format!("{parsed}")).then_some(parsed)
    }
}

/// What the pointer says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pointer {
    /// Letter of the generation that boots.
    pub letter: u8,
    /// The rest; `None` where its checksum is wrong, as after a write that was torn.
    pub fields: Option<Fields>,
}

/// What the pointer says in its comments.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fields {
    /// Counts the writes of the pointer.
    pub sequence: u64,
    /// The generation that boots. During a trial on a machine whose firmware has no variables
    /// the letter is that of the trial and this remains the generation to return to.
    pub current: u32,
    /// The generation that booted before, to which a rollback goes.
    pub previous: Option<u32>,
    /// The generation in which init last saw the machine run.
    pub booted: Option<u32>,
    /// The generation that is to be tried once, and how far that is.
    pub trial: Option<Trial>,
    /// The letter of the generation for which the machine was restarted because an EFI variable
    /// had made another one boot, and which has not booted since.
    pub stray: Option<u8>,
    /// What is known of each generation, by letter.
    pub verdicts: Verdicts,
    /// Why the last generation that failed did.
    pub reason: Option<Reason>,
}

/// Why a generation failed, in one line of ASCII.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reason {
    /// The generation.
    pub number: u32,
    /// Its text, then spaces.
    text: [u8; REASON_BYTES],
}

impl Reason {
    /// Keeps the beginning of `text`; what is not printable ASCII becomes `?`.
    pub fn new(number: u32, text: &str) -> Self {
        let mut kept = [b' '; REASON_BYTES];
        for (place, c) in kept.iter_mut().zip(text.trim().chars()) {
            let byte = u8::try_from(c).unwrap_or(b'?');
            let is_plain = (b' '..=b'~').contains(&byte);
            *place = if is_plain { byte } else { b'?' };
        }
        Self { number, text: kept }
    }

    /// The text.
    pub fn text(&self) -> &str {
        core::str::from_utf8(&self.text).unwrap_or_default().trim()
    }
}

/// Why a sector is not a pointer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PointerError {
    /// No line of ours.
    #[error("was not written by nos")]
    NotOurs,
    /// A newer format.
    #[error("has format {0}; use a newer nos")]
    Newer(u32),
    /// A line of ours that this program does not understand.
    #[error("{0}")]
    Damaged(&'static str),
}

impl Fields {
    /// What the pointer of a disk says whose generation `current` boots, and nothing else.
    pub fn new(current: u32) -> Self {
        Self {
            sequence: 1,
            current,
            previous: None,
            booted: None,
            trial: None,
            stray: None,
            verdicts: Verdicts::default(),
            reason: None,
        }
    }

    /// The fields of the next write.
    pub fn next(&self) -> Self {
        Self {
            sequence: self.sequence.wrapping_add(1),
            ..*self
        }
    }
}

impl Pointer {
    /// The sector. All pointers have their line ends, comment signs and field names in the same
    /// places.
    pub fn encode(letter: u8, fields: &Fields, sector_size: usize) -> Vec<u8> {
        let trial = match &fields.trial {
            Some(trial) => trial.encode(),
            None => "0000000000------".into(),
        };
        let text = format!(
            "{HEAD}{DEFAULT}{}.conf\n{FIELDS}{FORMAT_VERSION} sequence={:020} current={:010} \
             previous={:010} booted={:010} check=",
            char::from(letter),
            fields.sequence,
            fields.current,
            fields.previous.unwrap_or(0),
            fields.booted.unwrap_or(0),
        );
        let check = text.len();
        let mut text = text.into_bytes();
        text.extend_from_slice(b"00000000\n");
        text.extend_from_slice(TRIAL.as_bytes());
        text.extend_from_slice(trial.as_bytes());
        text.extend_from_slice(b" stray=");
        text.push(fields.stray.unwrap_or(NOT_STRAY));
        text.extend_from_slice(b" verdicts=");
        text.extend_from_slice(&fields.verdicts.encode());
        text.push(b'\n');
        let reason = fields.reason.unwrap_or(Reason::new(0, ""));
        text.extend_from_slice(format!("{REASON}{:010} ", reason.number).as_bytes());
        text.extend_from_slice(&reason.text);
        text.extend_from_slice(b"\n#");
        text.resize(sector_size.max(text.len() + 1) - 1, b' ');
        text.push(b'\n');
        let sum = format!("{:08x}", crc32(&text));
        if let Some(place) = text.get_mut(check..check + sum.len()) {
            place.copy_from_slice(sum.as_bytes());
        }
        text
    }

    /// Letter of the generation that boots but for a trial that is under way.
    pub fn home(&self) -> u8 {
        match self.fields.and_then(|fields| fields.trial) {
            Some(trial) if trial.name.letter == self.letter => trial.home,
            _ => self.letter,
        }
    }

    /// The sector, with the fields that it has.
    pub fn to_sector(&self, sector_size: usize) -> Option<Vec<u8>> {
        let fields = self.fields.as_ref()?;
        Some(Self::encode(self.letter, fields, sector_size))
    }

    /// Reads a sector.
    ///
    /// # Errors
    /// [`PointerError`], in words that complete "the pointer …".
    pub fn parse(sector: &[u8]) -> Result<Self, PointerError> {
        let text = core::str::from_utf8(sector).map_err(|_| PointerError::NotOurs)?;
        let line = |start: &str| text.lines().find_map(|line| line.strip_prefix(start));
        let rest = line(FIELDS).ok_or(PointerError::NotOurs)?;
        let format: u32 = rest
            .split(' ')
            .next()
            .and_then(|number| number.parse().ok())
            .ok_or(PointerError::Damaged("has no format number"))?;
        if format > FORMAT_VERSION {
            return Err(PointerError::Newer(format));
        }
        let letter = line(DEFAULT)
            .and_then(|rest| rest.strip_suffix(".conf"))
            .and_then(only_letter)
            .ok_or(PointerError::Damaged("has no `default` line of ours"))?;
        let fields = || {
            let trial = line(TRIAL)?;
            let reason = line(REASON)?;
            // The checksum covers every byte, so equal sectors are the only proof needed.
            Fields::parse(rest, trial, reason)
                .filter(|fields| Self::encode(letter, fields, sector.len()) == sector)
        };
        Ok(Self {
            letter,
            fields: fields(),
        })
    }
}

/// The one letter of a text that is one.
pub(crate) fn only_letter(text: &str) -> Option<u8> {
    match text.as_bytes() {
        [letter] if LETTERS.contains(letter) => Some(*letter),
        _ => None,
    }
}

impl Fields {
    fn parse(rest: &str, trial: &str, reason: &str) -> Option<Self> {
        let field = |name: &str| {
            rest.split(' ')
                .find_map(|word| word.strip_prefix(name)?.strip_prefix('='))
        };
        let generation = |name| field(name)?.parse::<u32>().ok();
        let optional = |number: u32| (number != 0).then_some(number);
        let (trial, verdicts) = trial.split_once(" verdicts=")?;
        let (trial, stray) = trial.split_once(" stray=")?;
        let (number, text) = reason.split_once(' ')?;
        let number: u32 = number.parse().ok()?;
        Some(Self {
            sequence: field("sequence")?.parse().ok()?,
            current: generation("current")?,
            previous: optional(generation("previous")?),
            booted: optional(generation("booted")?),
            trial: Trial::parse(trial),
            stray: only_letter(stray),
            verdicts: Verdicts::parse(verdicts)?,
            reason: (number != 0).then(|| Reason::new(number, text)),
        })
    }
}

impl Trial {
    fn encode(&self) -> String {
        format!(
            "{:010}-{}-{}-{}",
            self.name.number,
            char::from(self.name.letter),
            char::from(self.phase.code()),
            char::from(self.home)
        )
    }

    fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split('-');
        let number: u32 = parts.next()?.parse().ok().filter(|number| *number != 0)?;
        let letter = only_letter(parts.next()?)?;
        let [phase] = *parts.next()?.as_bytes() else {
            return None;
        };
        Some(Self {
            name: Name { number, letter },
            phase: Phase::of_code(phase)?,
            home: only_letter(parts.next()?)?,
        })
    }
}

#[cfg(test)]
mod tests;
