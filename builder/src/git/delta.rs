//! Deltas of packs: how to put an object together from pieces of another one (gitformat-pack).

/// Reads a length: seven bits a byte, the lowest first.
pub(super) fn length(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0u64;
    for shift in (0..63).step_by(7) {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

/// The lengths at the head of a delta: of its base and of its result.
pub(super) fn lengths(mut delta: &[u8]) -> Option<(u64, u64)> {
    Some((length(&mut delta)?, length(&mut delta)?))
}

/// Applies a delta. Whoever calls has looked whether the result's length is one to be taken.
///
/// `None` for a delta that is damaged or of another base.
pub(super) fn apply(base: &[u8], mut delta: &[u8]) -> Option<Vec<u8>> {
    let base_length = length(&mut delta)?;
    let result_length = usize::try_from(length(&mut delta)?).ok()?;
    if base_length != base.len() as u64 {
        return None;
    }
    let mut result = Vec::with_capacity(result_length);
    while let Some((&code, rest)) = delta.split_first() {
        delta = rest;
        let piece = if code & 0x80 == 0 {
            // A literal; code 0 is reserved.
            let length = usize::from(code);
            let (literal, rest) = delta.split_at_checked(length).filter(|_| length > 0)?;
            delta = rest;
            literal
        } else {
            let offset = number(code, 4, &mut delta)?;
            let length = match number(code >> 4, 3, &mut delta)? {
                0 => 0x1_0000,
                length => length,
            };
            base.get(offset..offset.checked_add(length)?)?
        };
        if piece.len() > result_length - result.len() {
            return None;
        }
        result.extend_from_slice(piece);
    }
    (result.len() == result_length).then_some(result)
}

/// A number of up to `bytes` bytes, of which `present` says which are there; the others are 0.
fn number(present: u8, bytes: u32, delta: &mut &[u8]) -> Option<usize> {
    let mut value = 0;
    for at in 0..bytes {
        if present & (1 << at) != 0 {
            let (byte, rest) = delta.split_first()?;
            *delta = rest;
            value |= usize::from(*byte) << (8 * at);
        }
    }
    Some(value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn copies_and_literals_make_the_result() {
        // Base of 10, result of 8: copy 3 from 2, literal "xy", copy 3 from 0.
        let delta = [10, 8, 0b1001_0001, 2, 3, 2, b'x', b'y', 0b1001_0000, 3];
        assert_eq!(apply(b"0123456789", &delta).unwrap(), b"234xy012");
        assert_eq!(lengths(&delta), Some((10, 8)));
    }

    #[test]
    fn wrong_deltas_are_refused() {
        for (what, delta) in [
            ("another base", &[9, 1, 1, b'x'][..]),
            ("reserved", &[10, 1, 0]),
            ("short literal", &[10, 4, 4, b'x']),
            ("beyond the base", &[10, 4, 0b1001_0001, 8, 4]),
            ("more than said", &[10, 1, 2, b'x', b'y']),
            ("less than said", &[10, 3, 1, b'x']),
            ("no end of length", &[10, 0x80]),
            ("endless length", &[0xff; 12]),
            ("no length of copy", &[10, 4, 0b1001_0001, 8]),
        ] {
            assert_eq!(apply(b"0123456789", delta), None, "{what}");
        }
    }

    proptest! {
        #[test]
        fn no_delta_makes_it_panic(base: Vec<u8>, mut delta: Vec<u8>, right: bool) {
            if right && base.len() < 128 {
                delta.splice(0..0, [base.len() as u8, 64]);
            }
            // Lengths beyond this are not taken by whoever calls.
            if lengths(&delta).is_none_or(|(_, result)| result < 1 << 20) {
                let _ = apply(&base, &delta);
            }
        }
    }
}
