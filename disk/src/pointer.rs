//! `\loader\loader.conf`: one sector that says which generation boots.
//!
//! ```text
//! # nOs: which generation boots. …
//! timeout 0
//! editor no
//! auto-entries no
//! default nos-*-b.conf
//! #nos format=1 sequence=00000000000000000042 current=0000000042 previous=0000000041 trial=0000000000 check=5d1a77c3
//! #(spaces to the end of the sector)
//! ```
//!
//! Every generation on a disk has a letter of its own, which is part of its boot entry's name, and
//! the `default` line matches the name by that letter alone. So of everything that the boot loader
//! reads here *one byte* differs between any two generations, and a write of this sector that
//! tears at any byte, in any order, still boots the old generation or the new one. The rest is
//! for us, in comments of fixed width; where a tear left it inconsistent the checksum says so and
//! the letter decides.

use nos_formats::gpt::crc32;

/// Version of the disk format that this program writes, and the newest that it reads.
pub const FORMAT_VERSION: u32 = 1;

/// Most generations that a disk can hold: one for each letter.
pub const MAX_GENERATIONS: usize = LETTERS.len();

/// Letters of generations, in the order in which they are given out. FAT ignores case.
pub(crate) const LETTERS: &[u8; 36] = b"abcdefghijklmnopqrstuvwxyz0123456789";

const HEAD: &str = "\
# nOs: which generation boots. One sector, rewritten in place by `nos`: do not edit.
timeout 0
editor no
auto-entries no
";
const DEFAULT: &str = "default nos-*-";
const FIELDS: &str = "#nos format=";

/// What the pointer says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pointer {
    /// Letter of the generation that boots.
    pub letter: u8,
    /// The rest; `None` where its checksum is wrong, as after a write that was torn.
    pub fields: Option<Fields>,
}

/// What the pointer says in its comment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fields {
    /// Counts the writes of the pointer.
    pub sequence: u64,
    /// The generation that boots.
    pub current: u32,
    /// The generation that booted before, to which a rollback goes.
    pub previous: Option<u32>,
    /// The generation that the next boot tries once.
    pub trial: Option<u32>,
}

/// Why a sector is not a pointer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum PointerError {
    /// No line of ours.
    NotOurs,
    /// A newer format.
    Newer(u32),
    /// A line of ours that this program does not understand.
    Damaged(&'static str),
}

impl Pointer {
    /// The sector. All pointers have their line ends and field names in the same places.
    pub(crate) fn encode(letter: u8, fields: &Fields, sector_size: usize) -> Vec<u8> {
        let mut text = format!(
            "{HEAD}{DEFAULT}{}.conf\n{FIELDS}{FORMAT_VERSION} sequence={:020} current={:010} \
             previous={:010} trial={:010} check=",
            char::from(letter),
            fields.sequence,
            fields.current,
            fields.previous.unwrap_or(0),
            fields.trial.unwrap_or(0),
        )
        .into_bytes();
        let check = text.len();
        text.extend_from_slice(b"00000000\n#");
        text.resize(sector_size.max(text.len() + 1) - 1, b' ');
        text.push(b'\n');
        let sum = format!("{:08x}", crc32(&text));
        text[check..check + 8].copy_from_slice(sum.as_bytes());
        text
    }

    /// Reads a sector.
    pub(crate) fn parse(sector: &[u8]) -> Result<Self, PointerError> {
        let text = std::str::from_utf8(sector).map_err(|_| PointerError::NotOurs)?;
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
            .filter(|letter| letter.len() == 1)
            .map(|letter| letter.as_bytes()[0])
            .filter(|letter| LETTERS.contains(letter))
            .ok_or(PointerError::Damaged("has no `default` line of ours"))?;
        Ok(Self {
            letter,
            fields: Fields::parse(rest).filter(|fields| {
                // The checksum covers every byte, so equal sectors are the only proof needed.
                Self::encode(letter, fields, sector.len()) == sector
            }),
        })
    }
}

impl Fields {
    fn parse(rest: &str) -> Option<Self> {
        let field = |name: &str| {
            rest.split(' ')
                .find_map(|word| word.strip_prefix(name)?.strip_prefix('='))
        };
        let generation = |name| field(name)?.parse().ok();
        let optional = |number: u32| (number != 0).then_some(number);
        Some(Self {
            sequence: field("sequence")?.parse().ok()?,
            current: generation("current")?,
            previous: optional(generation("previous")?),
            trial: optional(generation("trial")?),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::expect;
    use proptest::prelude::*;

    fn fields(sequence: u64, current: u32, previous: u32) -> Fields {
        Fields {
            sequence,
            current,
            previous: Some(previous),
            trial: None,
        }
    }

    #[test]
    fn bytes_are_pinned() {
        let sector = Pointer::encode(b'b', &fields(42, 42, 41), 512);
        assert_eq!(sector.len(), 512);
        let text = String::from_utf8(sector).unwrap();
        expect![[r#"
            # nOs: which generation boots. One sector, rewritten in place by `nos`: do not edit.
            timeout 0
            editor no
            auto-entries no
            default nos-*-b.conf
            #nos format=1 sequence=00000000000000000042 current=0000000042 previous=0000000041 trial=0000000000 check=a5c170e5
            #"#]].assert_eq(text.trim_end_matches(['\n', ' ']));
    }

    #[test]
    fn a_newer_format_is_said_to_be_newer() {
        let sector = Pointer::encode(b'b', &fields(1, 1, 1), 512);
        let text = String::from_utf8(sector)
            .unwrap()
            .replace("format=1", "format=2");
        assert_eq!(Pointer::parse(text.as_bytes()), Err(PointerError::Newer(2)));
        assert_eq!(Pointer::parse(b"timeout 3\n"), Err(PointerError::NotOurs));
    }

    /// What a boot loader reads: lines that are no comment.
    fn seen_by_the_loader(sector: &[u8]) -> Vec<&str> {
        let lines = std::str::from_utf8(sector).unwrap().lines();
        lines.filter(|line| !line.starts_with('#')).collect()
    }

    proptest! {
        /// Any mixture of the bytes of two pointers reads as one of the two.
        #[test]
        fn every_tear_is_old_or_new(
            a in (0usize..36, any::<u64>(), 1u32.., any::<u32>()),
            b in (0usize..36, any::<u64>(), 1u32.., any::<u32>()),
            mask in proptest::collection::vec(any::<bool>(), 512),
            wide in any::<bool>(),
        ) {
            let size = if wide { 4096 } else { 512 };
            let sector = |(letter, sequence, current, previous)| {
                Pointer::encode(LETTERS[letter], &fields(sequence, current, previous), size)
            };
            let (old, new) = (sector(a), sector(b));
            let mut torn = old.clone();
            for (index, byte) in torn.iter_mut().enumerate() {
                if mask[index % mask.len()] {
                    *byte = new[index];
                }
            }
            let loader = seen_by_the_loader(&torn);
            prop_assert!(
                loader == seen_by_the_loader(&old) || loader == seen_by_the_loader(&new)
            );
            let read = Pointer::parse(&torn).unwrap();
            prop_assert!(read.letter == LETTERS[a.0] || read.letter == LETTERS[b.0]);
            if torn == old || torn == new {
                prop_assert!(read.fields.is_some());
            }
        }

        #[test]
        fn noise_is_an_error(sector in proptest::collection::vec(any::<u8>(), 0..600)) {
            prop_assert!(Pointer::parse(&sector).is_err());
        }
    }
}
