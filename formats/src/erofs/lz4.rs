//! LZ4 blocks: an encoder that fills a given number of bytes, and a decoder that may stop early.
//!
//! Block format: token (literal length 4 bits, match length less 4 in 4 bits), more literal
//! length, literals, offset `u16`, more match length. A length nibble of 15 continues in bytes
//! that add up, ending with one below 255. The last sequence has literals only: at least 5, and
//! the last match starts at least 12 bytes before the end, which fast decoders rely on.

const MIN_MATCH: usize = 4;
/// A match must end this many bytes before the end of the block.
const LAST_LITERALS: usize = 5;
/// A match must start this many bytes before the end of the block.
const MATCH_FREE_END: usize = 12;
/// Kept free for the last sequence: a token and as many literals as [`MATCH_FREE_END`] asks for
/// behind the shortest match.
const LAST_SEQUENCE: usize = 1 + MATCH_FREE_END - MIN_MATCH;
const MAX_OFFSET: usize = 65535;
const HASH_BITS: u32 = 13;
/// After this many misses in a row (as a power of two) the search strides one byte wider.
const SKIP_TRIGGER: u32 = 6;

/// Compresses consecutive clusters of one buffer.
pub(super) struct Encoder {
    /// Last position of each hash, plus one. Positions before the current cluster, and those past
    /// its end that an earlier call looked at, are stale: recognised by their value, so nothing
    /// is cleared between clusters.
    table: Vec<u32>,
}

impl Encoder {
    pub(super) fn new() -> Self {
        Self {
            table: vec![0; 1 << HASH_BITS],
        }
    }

    /// Appends to the empty `out` at most `room` bytes that decode to the longest prefix of
    /// `data[from..]` found to fit, and gives the prefix's length. `data` is the same for every
    /// call, shorter than 4 GiB, and `from` never decreases.
    pub(super) fn fill(
        &mut self,
        data: &[u8],
        from: usize,
        room: usize,
        out: &mut Vec<u8>,
    ) -> usize {
        let end = data.len();
        let mut anchor = from;
        let mut at = from;
        'sequences: while at + MATCH_FREE_END <= end {
            // Search.
            let mut misses = 1u32 << SKIP_TRIGGER;
            let candidate = loop {
                if at + MATCH_FREE_END > end || out.len() + (at - anchor) > room {
                    break 'sequences;
                }
                let here = load(data, at);
                let slot = &mut self.table[hash(here)];
                let candidate = *slot as usize;
                *slot = at as u32 + 1;
                if candidate > from
                    && candidate <= at
                    && at + 1 - candidate <= MAX_OFFSET
                    && load(data, candidate - 1) == here
                {
                    break candidate - 1;
                }
                at += (misses >> SKIP_TRIGGER) as usize;
                misses += 1;
            };
            let mut start = at;
            let mut source = candidate;
            while start > anchor && source > from && data[start - 1] == data[source - 1] {
                start -= 1;
                source -= 1;
            }
            let literals = &data[anchor..start];
            let used = out.len() + 1 + extension(literals.len()) + literals.len() + 2;
            let Some(spare) = room.checked_sub(used + LAST_SEQUENCE) else {
                break;
            };
            // Extend, no further than its length can still be written.
            let longest = MIN_MATCH + 14 + 255 * spare;
            let limit = (end - LAST_LITERALS).min(start.saturating_add(longest));
            let matched =
                at - start + MIN_MATCH + common(data, candidate + MIN_MATCH, at + MIN_MATCH, limit);
            let matched = matched.min(longest);
            push_sequence(out, literals, Some((start - source, matched)));
            at = start + matched;
            anchor = at;
            if at + MATCH_FREE_END <= end {
                self.table[hash(load(data, at - 2))] = at as u32 - 1;
            }
        }
        let spare = room.saturating_sub(out.len() + 1);
        let mut count = (end - anchor).min(spare);
        while count + extension(count) > spare {
            count -= 1;
        }
        push_sequence(out, &data[anchor..anchor + count], None);
        anchor + count - from
    }
}

fn load(data: &[u8], at: usize) -> u32 {
    data[at..]
        .first_chunk()
        .map_or(0, |b| u32::from_le_bytes(*b))
}

fn hash(value: u32) -> usize {
    (value.wrapping_mul(2_654_435_761) >> (32 - HASH_BITS)) as usize
}

/// Number of bytes from which `a` and `b` agree, `b` staying below `limit`.
fn common(data: &[u8], a: usize, b: usize, limit: usize) -> usize {
    if b >= limit {
        return 0;
    }
    let right = &data[b..limit];
    let left = &data[a..a + right.len()];
    let mut count = 0;
    for (l, r) in left.chunks_exact(8).zip(right.chunks_exact(8)) {
        let word = |s: &[u8]| s.first_chunk().map_or(0, |b| u64::from_le_bytes(*b));
        let differ = word(l) ^ word(r);
        if differ != 0 {
            return count + (differ.trailing_zeros() / 8) as usize;
        }
        count += 8;
    }
    let tail = left[count..].iter().zip(&right[count..]);
    count + tail.take_while(|(l, r)| l == r).count()
}

/// Bytes that a length needs beyond its nibble.
fn extension(length: usize) -> usize {
    if length < 15 {
        0
    } else {
        (length - 15) / 255 + 1
    }
}

fn push_sequence(out: &mut Vec<u8>, literals: &[u8], matched: Option<(usize, usize)>) {
    let match_code = matched.map_or(0, |(_, length)| length - MIN_MATCH);
    out.push(((literals.len().min(15) << 4) | match_code.min(15)) as u8);
    push_extension(out, literals.len());
    out.extend_from_slice(literals);
    if let Some((offset, _)) = matched {
        out.extend_from_slice(&(offset as u16).to_le_bytes());
        push_extension(out, match_code);
    }
}

fn push_extension(out: &mut Vec<u8>, length: usize) {
    if let Some(mut rest) = length.checked_sub(15) {
        while rest >= 255 {
            out.push(255);
            rest -= 255;
        }
        out.push(rest as u8);
    }
}

/// Appends the first `length` decoded bytes of a block to the empty `out`; `None` where the block
/// is damaged or decodes to less.
pub(super) fn decode(block: &[u8], length: usize, out: &mut Vec<u8>) -> Option<()> {
    let mut rest = block;
    while out.len() < length {
        let (&token, after) = rest.split_first()?;
        rest = after;
        let literals = read_length(&mut rest, token >> 4)?.min(length - out.len());
        let (bytes, after) = rest.split_at_checked(literals)?;
        out.extend_from_slice(bytes);
        rest = after;
        if out.len() == length {
            break;
        }
        let (offset, after) = rest.split_first_chunk()?;
        rest = after;
        let offset = usize::from(u16::from_le_bytes(*offset));
        let matched = read_length(&mut rest, token & 15)?.checked_add(MIN_MATCH)?;
        let mut left = matched.min(length - out.len());
        let from = out.len().checked_sub(offset).filter(|_| offset > 0)?;
        while left > 0 {
            // An overlapping match repeats what it has just written.
            let piece = left.min(out.len() - from);
            out.extend_from_within(from..from + piece);
            left -= piece;
        }
    }
    Some(())
}

fn read_length(rest: &mut &[u8], nibble: u8) -> Option<usize> {
    let mut length = usize::from(nibble);
    if nibble == 15 {
        loop {
            let (&byte, after) = rest.split_first()?;
            *rest = after;
            length = length.checked_add(usize::from(byte))?;
            if byte < 255 {
                break;
            }
        }
    }
    Some(length)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Compresses `data` into clusters of `room` bytes; every cluster must decode, with an
    /// outside decoder and with ours, to what it was said to hold.
    fn round_trip(data: &[u8], room: usize) -> usize {
        let mut encoder = Encoder::new();
        let (mut from, mut total) = (0, 0);
        while from < data.len() {
            let mut out = Vec::new();
            let length = encoder.fill(data, from, room, &mut out);
            assert!(length > 0 && out.len() <= room);
            let expected = &data[from..from + length];
            let mut theirs = vec![0; length];
            let decoded = lz4_flex::block::decompress_into(&out, &mut theirs).unwrap();
            assert_eq!(decoded, length);
            assert_eq!(theirs, expected);
            for part in [length, length / 2, length.saturating_sub(1)] {
                let mut ours = Vec::new();
                decode(&out, part, &mut ours).unwrap();
                assert_eq!(ours, expected[..part]);
            }
            from += length;
            total += out.len();
        }
        total
    }

    #[test]
    fn clusters_are_filled_and_decode() {
        let text: Vec<u8> = (0..60_000u32)
            .flat_map(|i| format!("line {} of {};", i % 977, i / 13).into_bytes())
            .collect();
        let size = round_trip(&text, 4096);
        assert!(size < text.len() * 2 / 5, "{size}");
        assert!(round_trip(&vec![0; 300_000], 4096) < 2000);
        round_trip(b"", 64);
        round_trip(b"abc", 64);
    }

    #[test]
    fn damage_is_refused() {
        let mut out = Vec::new();
        // An offset before the start, a cut, an endless length.
        for block in [&[0x10, b'a', 2, 0][..], &[0xf0, 255, 255], &[0x40, 1], &[]] {
            out.clear();
            assert_eq!(decode(block, 100, &mut out), None);
        }
    }

    proptest! {
        #[test]
        fn any_data_comes_back(
            words in prop::collection::vec((any::<u8>(), 1usize..40), 0..400),
            room in 16usize..5000,
        ) {
            let data: Vec<u8> = words.iter().flat_map(|&(b, n)| std::iter::repeat_n(b % 7, n)).collect();
            round_trip(&data, room);
        }

        #[test]
        fn any_block_is_decoded_or_refused(block in prop::collection::vec(any::<u8>(), 0..300)) {
            let mut out = Vec::new();
            let _ = decode(&block, 70_000, &mut out);
            prop_assert!(out.len() <= 70_000);
        }
    }
}
