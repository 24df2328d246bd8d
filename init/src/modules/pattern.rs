//! Patterns of device names, as `fnmatch` without flags reads them.
//!
//! `*` is any text, `?` one byte, `[a-f]` one of a set and `[!a-f]` one outside of it; `\` takes
//! the next byte as it is. A set without an end is no set: its `[` stands for itself.

/// Whether the whole of `text` is what `pattern` describes.
///
/// Takes at most `pattern.len() * text.len()` steps: only the last `*` is ever tried again,
/// since an earlier one that takes more text can reach nothing that the last one cannot.
pub fn matches(pattern: &[u8], text: &[u8]) -> bool {
    let (mut rest, mut at) = (pattern, text);
    // After the last `*` met: what follows it, and the text that it has not taken yet.
    let mut again: Option<(&[u8], &[u8])> = None;
    loop {
        let stepped = match (rest, at) {
            ([], []) => return true,
            ([b'*', after @ ..], _) => {
                again = Some((after, at));
                Some((after, at))
            }
            (_, [byte, later @ ..]) => one(rest, *byte).map(|after| (after, later)),
            _ => None,
        };
        (rest, at) = match (stepped, again) {
            (Some(next), _) => next,
            (None, Some((after, [_, shorter @ ..]))) => {
                again = Some((after, shorter));
                (after, shorter)
            }
            _ => return false,
        };
    }
}

/// The pattern after its first element, if that element is this byte. The element is not `*`.
fn one(pattern: &[u8], byte: u8) -> Option<&[u8]> {
    match pattern {
        [b'?', after @ ..] => Some(after),
        [b'[', inside @ ..] => match set(inside, byte) {
            Some((is_in, after)) => is_in.then_some(after),
            None => (byte == b'[').then_some(inside),
        },
        [b'\\', literal, after @ ..] | [literal, after @ ..] => (*literal == byte).then_some(after),
        [] => None,
    }
}

/// Whether a byte is in the set whose `[` is read already, and the pattern after the set's `]`;
/// `None` for a set without end. A `]` that comes first is a member.
fn set(inside: &[u8], byte: u8) -> Option<(bool, &[u8])> {
    let (is_negated, mut rest) = match inside {
        [b'!' | b'^', rest @ ..] => (true, rest),
        rest => (false, rest),
    };
    let (mut is_member, mut is_first) = (false, true);
    loop {
        let (low, high, after) = match rest {
            [b']', after @ ..] if !is_first => return Some((is_member != is_negated, after)),
            [low, b'-', high, after @ ..] if *high != b']' => (*low, *high, after),
            [only, after @ ..] => (*only, *only, after),
            [] => return None,
        };
        is_member |= (low..=high).contains(&byte);
        is_first = false;
        rest = after;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn check(pattern: &str, text: &str, expected: bool) {
        let got = matches(pattern.as_bytes(), text.as_bytes());
        assert_eq!(got, expected, "{pattern} and {text}");
    }

    #[test]
    fn devices_are_told_apart() {
        let card = "pci:v00008086d000010D3sv00001AF4sd00001100bc02sc00i00";
        check("pci:v00008086d000010D3sv*sd*bc*sc*i*", card, true);
        check("pci:v00008086d000010D4sv*sd*bc*sc*i*", card, false);
        check("pci:v*d*sv*sd*bc02sc00i*", card, true);
        check("pci:v*d*sv*sd*bc01sc06i01*", card, false);
        check("usb:v*p*d*dc*dsc*dp*ic08isc06ip50in*", card, false);
        let processor = "cpu:type:x86,ven0002fam0019mod0001:feature:,0000,00C6,0123";
        check("cpu:type:x86,ven*fam*mod*:feature:*00C6*", processor, true);
        check("cpu:type:x86,ven*fam*mod*:feature:*00C7*", processor, false);
        check("virtio:d0000000[1-4]v*", "virtio:d00000002v00001AF4", true);
        check("virtio:d0000000[!12]v*", "virtio:d00000002v00001AF4", false);
    }

    #[test]
    fn corners() {
        for (pattern, text, expected) in [
            ("", "", true),
            ("", "a", false),
            ("*", "", true),
            ("**", "ab", true),
            ("?", "", false),
            ("a*b*c", "abcbc", true),
            ("a*b*c", "abcb", false),
            ("[]]", "]", true),
            ("[!]]", "]", false),
            ("[a-]", "-", true),
            ("[-a]", "-", true),
            ("[z-a]", "m", false),
            ("[ab", "[ab", true),
            ("[ab", "a", false),
            ("[", "[", true),
            ("\\*", "*", true),
            ("\\*", "a", false),
            ("a\\", "a\\", true),
        ] {
            check(pattern, text, expected);
        }
    }

    #[test]
    fn no_pattern_takes_long() {
        let (pattern, text) = ("*a".repeat(400) + "b", "a".repeat(4000));
        check(&pattern, &text, false);
    }

    /// The definition, by recursion over every way to read a `*`.
    fn slow(pattern: &[u8], text: &[u8]) -> bool {
        match (pattern, text) {
            ([], _) => text.is_empty(),
            ([b'*', after @ ..], _) => (0..=text.len()).any(|taken| slow(after, &text[taken..])),
            (_, []) => false,
            ([b'?', after @ ..], [_, text @ ..]) => slow(after, text),
            ([b'[', low, b'-', high, b']', after @ ..], [byte, text @ ..]) => {
                (low..=high).contains(&byte) && slow(after, text)
            }
            ([literal, after @ ..], [byte, text @ ..]) => literal == byte && slow(after, text),
        }
    }

    proptest! {
        #[test]
        fn matches_what_it_should(
            pattern in r"([abc?*]|\[[abc]-[abc]\]){0,8}",
            text in "[abc]{0,9}",
        ) {
            let expected = slow(pattern.as_bytes(), text.as_bytes());
            prop_assert_eq!(matches(pattern.as_bytes(), text.as_bytes()), expected);
        }

        #[test]
        fn any_bytes_are_fine(pattern: Vec<u8>, text: Vec<u8>) {
            matches(&pattern, &text);
        }
    }
}
