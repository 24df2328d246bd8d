use super::*;
use crate::trial::{Failure, Verdict};
use expect_test::expect;
use proptest::prelude::*;
extern crate std;
use std::string::ToString;

fn full() -> Fields {
    let mut verdicts = Verdicts::default();
    verdicts.set(b'a', Some(Verdict::Good));
    verdicts.set(b'c', Some(Verdict::Failed(Failure::Panic)));
    Fields {
        sequence: 42,
        current: 42,
        previous: Some(41),
        booted: Some(42),
        trial: Some(Trial {
            name: Name {
                number: 43,
                letter: b'c',
            },
            phase: Phase::Begun,
            home: b'b',
        }),
        stray: Some(b'z'),
        verdicts,
        reason: Some(Reason::new(39, " service w\u{fc}b is\nnot healthy ")),
    }
}

#[test]
fn bytes_are_pinned() {
    for sector_size in [512, 4096] {
        let sector = Pointer::encode(b'b', &full(), sector_size);
        assert_eq!(sector.len(), sector_size);
        let read = Pointer::parse(&sector).unwrap();
        assert_eq!((read.letter, read.fields), (b'b', Some(full())));
    }
    let text = String::from_utf8(Pointer::encode(b'b', &full(), 512)).unwrap();
    let lines: Vec<&str> = text.lines().map(str::trim_end).collect();
    expect![[r#"
        # nOs: which generation boots. Rewritten in place by `nos`: do not edit.
        timeout 0
        editor no
        auto-entries no
        default nos-*-b.conf
        #nos format=1 sequence=00000000000000000042 current=0000000042 previous=0000000041 booted=0000000042 check=04c2fa88
        #nos trial=0000000043-c-b-b stray=z verdicts=g-p---------------------------------
        #nos reason=0000000039 service w?b is?not healthy
        #"#]].assert_eq(&lines.join("\n"));
}

#[test]
fn a_newer_format_is_said_to_be_newer() {
    let text = String::from_utf8(Pointer::encode(b'b', &full(), 512)).unwrap();
    let text = text.replace("format=1", "format=2");
    assert_eq!(Pointer::parse(text.as_bytes()), Err(PointerError::Newer(2)));
    assert_eq!(Pointer::parse(b"timeout 3\n"), Err(PointerError::NotOurs));
}

#[test]
fn names_round_trip_and_others_are_not_ours() {
    for number in [1, 42, 999_999, 1_000_000, u32::MAX] {
        let name = Name {
            number,
            letter: b'0',
        };
        assert_eq!(Name::parse(&name.to_string()), Some(name));
    }
    let name = Name::parse("NOS-000042-B.CONF").unwrap();
    assert_eq!((name.number, name.letter), (42, b'b'));
    for name in [
        "nos-42-b.conf",
        "nos-000000-b.conf",
        "arch.conf",
        "nos-000001-.conf",
        "\u{e9}",
    ] {
        assert_eq!(Name::parse(name), None, "{name}");
    }
}

/// What a boot loader reads: lines that are no comment.
fn seen_by_the_loader(sector: &[u8]) -> Vec<&str> {
    let lines = core::str::from_utf8(sector).unwrap().lines();
    lines.filter(|line| !line.starts_with('#')).collect()
}

fn any_name() -> impl Strategy<Value = Name> {
    (1u32.., 0usize..36).prop_map(|(number, letter)| Name {
        number,
        letter: LETTERS[letter],
    })
}

pub(crate) fn any_fields() -> impl Strategy<Value = Fields> {
    let failure = prop_oneof![Just(Failure::Silent), Just(Failure::Hang)];
    let verdict = prop_oneof![Just(Verdict::Good), failure.prop_map(Verdict::Failed)];
    let phase = prop_oneof![
        Just(Phase::Wanted),
        Just(Phase::Begun),
        Just(Phase::Started)
    ];
    let trial = (any_name(), phase, 0usize..36).prop_map(|(name, phase, home)| Trial {
        name,
        phase,
        home: LETTERS[home],
    });
    let generation = || proptest::option::of(1u32..);
    (
        (any::<u64>(), 1u32.., generation(), generation()),
        proptest::option::of(trial),
        proptest::collection::vec((0usize..36, verdict), 0..36),
        proptest::option::of((1u32.., "\\PC{0,200}")),
        proptest::option::of(0usize..36),
    )
        .prop_map(|(numbers, trial, known, reason, stray)| {
            let mut verdicts = Verdicts::default();
            for (letter, verdict) in known {
                verdicts.set(LETTERS[letter], Some(verdict));
            }
            Fields {
                sequence: numbers.0,
                current: numbers.1,
                previous: numbers.2,
                booted: numbers.3,
                trial,
                stray: stray.map(|letter| LETTERS[letter]),
                verdicts,
                reason: reason.map(|(number, text)| Reason::new(number, &text)),
            }
        })
}

proptest! {
    #[test]
    fn every_pointer_reads_back(letter in 0usize..36, fields in any_fields(), wide in any::<bool>()) {
        let letter = LETTERS[letter];
        let sector = Pointer::encode(letter, &fields, if wide { 4096 } else { 512 });
        prop_assert_eq!(sector.len(), if wide { 4096 } else { 512 });
        prop_assert_eq!(Pointer::parse(&sector), Ok(Pointer { letter, fields: Some(fields) }));
    }

    /// Any mixture of the bytes of two pointers reads as one of the two.
    #[test]
    fn every_tear_is_old_or_new(
        a in (0usize..36, any_fields()),
        b in (0usize..36, any_fields()),
        mask in proptest::collection::vec(any::<bool>(), 512),
        wide in any::<bool>(),
    ) {
        let size = if wide { 4096 } else { 512 };
        let (old, new) = (
            Pointer::encode(LETTERS[a.0], &a.1, size),
            Pointer::encode(LETTERS[b.0], &b.1, size),
        );
        let mut torn = old.clone();
        for (index, byte) in torn.iter_mut().enumerate() {
            if mask[index % mask.len()] {
                *byte = new[index];
            }
        }
        let loader = seen_by_the_loader(&torn);
        prop_assert!(loader == seen_by_the_loader(&old) || loader == seen_by_the_loader(&new));
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
