//! From the bytes of a terminal to keys.

/// What a person presses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Key {
    Up,
    Down,
    Left,
    Right,
    PageUp,
    PageDown,
    First,
    Last,
    Toggle,
    Sort,
    Quit,
}

const ESCAPE: u8 = 0x1b;
const CTRL_C: u8 = 0x03;
const CTRL_D: u8 = 0x04;

/// Sequences of terminals that speak as xterm and VT220 do, behind ESC.
const SEQUENCES: [(&[u8], Key); 18] = [
    (b"[A", Key::Up),
    (b"[B", Key::Down),
    (b"[C", Key::Right),
    (b"[D", Key::Left),
    (b"[H", Key::First),
    (b"[F", Key::Last),
    (b"OA", Key::Up),
    (b"OB", Key::Down),
    (b"OC", Key::Right),
    (b"OD", Key::Left),
    (b"OH", Key::First),
    (b"OF", Key::Last),
    (b"[1~", Key::First),
    (b"[4~", Key::Last),
    (b"[5~", Key::PageUp),
    (b"[6~", Key::PageDown),
    (b"[7~", Key::First),
    (b"[8~", Key::Last),
];

/// Takes the first key from `bytes`; `None` where more must come, or nothing is left. Bytes that
/// are no key are skipped. `whole` is whether nothing more comes soon: then ESC is a key itself.
pub(super) fn take(bytes: &mut Vec<u8>, whole: bool) -> Option<Key> {
    loop {
        let (first, rest) = bytes.split_first()?;
        let (used, key) = match first {
            &ESCAPE => match sequence(rest) {
                Sequence::Key(used, key) => (1 + used, Some(key)),
                Sequence::Unknown(used) => (1 + used, None),
                Sequence::Begun if whole => (bytes.len(), Some(Key::Quit)),
                Sequence::Begun => return None,
            },
            &CTRL_C | &CTRL_D | b'q' => (1, Some(Key::Quit)),
            b'k' => (1, Some(Key::Up)),
            b'j' => (1, Some(Key::Down)),
            b'h' => (1, Some(Key::Left)),
            b'l' => (1, Some(Key::Right)),
            b'g' => (1, Some(Key::First)),
            b'G' => (1, Some(Key::Last)),
            b's' => (1, Some(Key::Sort)),
            b' ' | b'\r' | b'\n' => (1, Some(Key::Toggle)),
            _ => (1, None),
        };
        bytes.drain(..used);
        if key.is_some() {
            return key;
        }
    }
}

enum Sequence {
    Key(usize, Key),
    /// One that says nothing to us.
    Unknown(usize),
    /// Its end is not there yet.
    Begun,
}

fn sequence(rest: &[u8]) -> Sequence {
    if let Some((bytes, key)) = SEQUENCES.iter().find(|(bytes, _)| rest.starts_with(bytes)) {
        return Sequence::Key(bytes.len(), *key);
    }
    match rest {
        // ECMA-48: parameters and intermediates, then one final byte.
        [b'[', parameters @ ..] => {
            match parameters.iter().position(|b| (0x40..=0x7e).contains(b)) {
                Some(end) => Sequence::Unknown(end + 2),
                None => Sequence::Begun,
            }
        }
        [b'O', _, ..] => Sequence::Unknown(2),
        [] | [b'O'] => Sequence::Begun,
        // The key by itself, twice.
        [ESCAPE, ..] => Sequence::Key(0, Key::Quit),
        // Another key with Alt.
        _ => Sequence::Unknown(1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(text: &[u8], whole: bool) -> Vec<Key> {
        let mut bytes = text.to_vec();
        std::iter::from_fn(|| take(&mut bytes, whole)).collect()
    }

    #[test]
    fn keys_are_read_as_terminals_send_them() {
        let all = keys(b"\x1b[Aj\x1b[6~\x1bOB\x1b[1;5Cxs \x1b[H", false);
        use Key::{Down, First, PageDown, Sort, Toggle, Up};
        assert_eq!(all, [Up, Down, PageDown, Down, Sort, Toggle, First]);
    }

    #[test]
    fn an_escape_alone_is_a_key_when_nothing_follows() {
        assert_eq!(keys(b"\x1b", false), []);
        assert_eq!(keys(b"\x1b", true), [Key::Quit]);
        assert_eq!(keys(b"\x1b[1;", false), []);
        assert_eq!(keys(b"\x03", false), [Key::Quit]);
    }

    #[test]
    fn noise_ends() {
        let noise: Vec<u8> = (0..=255).cycle().take(4096).collect();
        assert!(keys(&noise, true).len() < 4096);
    }
}
