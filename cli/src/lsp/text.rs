//! Texts as an editor sees them: lines, positions in the units that were agreed on, and changes.

use lsp_types::{Position, Range, TextDocumentContentChangeEvent};
use nos_specs::source::Span;

/// What a position within a line counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Encoding {
    /// Bytes.
    Utf8,
    /// Units of UTF-16, which is what holds where nothing was agreed on.
    Utf16,
}

/// Where the lines of a text begin. Lines end with `\n`, `\r\n` or `\r`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Lines(Vec<u32>);

impl Lines {
    pub(super) fn new(text: &str) -> Self {
        let bytes = text.as_bytes();
        let mut starts = vec![0];
        for (at, byte) in bytes.iter().enumerate() {
            if *byte == b'\n' || (*byte == b'\r' && bytes.get(at + 1) != Some(&b'\n')) {
                starts.push(u32::try_from(at + 1).unwrap_or(u32::MAX));
            }
        }
        Self(starts)
    }

    /// The offset of a position of `text`; the nearest one before it where there is no such
    /// position.
    pub(super) fn offset(&self, text: &str, position: Position, encoding: Encoding) -> usize {
        let at = |line: usize| self.0.get(line).map(|start| *start as usize);
        let line = usize::try_from(position.line).unwrap_or(usize::MAX);
        let Some(start) = at(line) else {
            return text.len();
        };
        let end = at(line + 1).unwrap_or(text.len());
        let line = text.get(start..end).unwrap_or("");
        let line = line.trim_end_matches(['\n', '\r']);
        let mut left = position.character as usize;
        let mut offset = start;
        for c in line.chars() {
            let units = match encoding {
                Encoding::Utf8 => c.len_utf8(),
                Encoding::Utf16 => c.len_utf16(),
            };
            if left < units {
                break;
            }
            left -= units;
            offset += c.len_utf8();
        }
        offset
    }

    /// The position of an offset of `text`.
    pub(super) fn position(&self, text: &str, offset: u32, encoding: Encoding) -> Position {
        let mut offset = (offset as usize).min(text.len());
        while !text.is_char_boundary(offset) {
            offset -= 1;
        }
        let line = self.0.partition_point(|start| *start as usize <= offset) - 1;
        let start = self.0.get(line).map_or(0, |start| *start as usize);
        let before = text.get(start..offset).unwrap_or("");
        let character = match encoding {
            Encoding::Utf8 => before.len(),
            Encoding::Utf16 => before.chars().map(char::len_utf16).sum(),
        };
        let number = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        Position::new(number(line), number(character))
    }

    /// The range of a place of `text`.
    pub(super) fn range(&self, text: &str, span: Span, encoding: Encoding) -> Range {
        Range {
            start: self.position(text, span.start, encoding),
            end: self.position(text, span.end, encoding),
        }
    }
}

/// A text that is being written.
#[derive(Debug, Clone)]
pub(super) struct Text {
    pub(super) text: String,
    pub(super) lines: Lines,
}

impl Text {
    pub(super) fn new(text: String) -> Self {
        let lines = Lines::new(&text);
        Self { text, lines }
    }

    /// Makes a change. Positions that the text does not have count as the nearest before them.
    pub(super) fn change(&mut self, change: TextDocumentContentChangeEvent, encoding: Encoding) {
        match change.range {
            None => self.text = change.text,
            Some(range) => {
                let start = self.lines.offset(&self.text, range.start, encoding);
                let end = self.lines.offset(&self.text, range.end, encoding);
                self.text
                    .replace_range(start.min(end)..start.max(end), &change.text);
            }
        }
        self.lines = Lines::new(&self.text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn positions_count_what_was_agreed_on() {
        let text = "é😀b\r\nc\rd\n";
        let lines = Lines::new(text);
        let at = |offset, encoding| {
            let position = lines.position(text, offset, encoding);
            assert_eq!(lines.offset(text, position, encoding), offset as usize);
            (position.line, position.character)
        };
        assert_eq!(at(6, Encoding::Utf16), (0, 3));
        assert_eq!(at(6, Encoding::Utf8), (0, 6));
        assert_eq!(at(7, Encoding::Utf16), (0, 4));
        assert_eq!(at(9, Encoding::Utf16), (1, 0));
        assert_eq!(at(11, Encoding::Utf16), (2, 0));
        assert_eq!(at(13, Encoding::Utf16), (3, 0));
    }

    #[test]
    fn positions_that_are_not_there_are_the_nearest_before() {
        let text = "a😀\r\nb";
        let lines = Lines::new(text);
        let at =
            |line, character| lines.offset(text, Position::new(line, character), Encoding::Utf16);
        // Half of a surrogate pair, behind the line, behind the text.
        assert_eq!(at(0, 2), 1);
        assert_eq!(at(0, 99), 5);
        assert_eq!(at(9, 0), text.len());
        assert_eq!(at(u32::MAX, u32::MAX), text.len());
    }

    /// A text as a client keeps it: lines of units of UTF-16.
    fn apply_as_a_client(text: &str, range: Range, put: &str) -> Option<String> {
        let units: Vec<u16> = text.encode_utf16().collect();
        let mut starts = vec![0];
        for (at, unit) in units.iter().enumerate() {
            let cr = *unit == u16::from(b'\r') && units.get(at + 1) != Some(&u16::from(b'\n'));
            if *unit == u16::from(b'\n') || cr {
                starts.push(at + 1);
            }
        }
        let at = |position: Position| starts[position.line as usize] + position.character as usize;
        let put: Vec<u16> = put.encode_utf16().collect();
        let found = [&units[..at(range.start)], &put, &units[at(range.end)..]].concat();
        String::from_utf16(&found).ok()
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(500) })]

        #[test]
        fn the_text_is_the_clients_after_any_edits(
            text in "[ab\\r\\né😀{\"]{0,40}",
            edits in prop::collection::vec((any::<u32>(), any::<u32>(), "[ab\\r\\né😀]{0,6}"), 1..12),
        ) {
            let mut here = Text::new(text.clone());
            let mut there = text;
            for (a, b, put) in edits {
                let lines = Lines::new(&there);
                let length = u32::try_from(there.len()).unwrap() + 1;
                // Between `\r` and `\n` there is no position that a client could name.
                let place = |n: u32| {
                    let at = (n % length) as usize;
                    let at = (0..=at).rev().find(|at| there.is_char_boundary(*at)).unwrap();
                    let position = lines.position(&there, u32::try_from(at).unwrap(), Encoding::Utf16);
                    (lines.offset(&there, position, Encoding::Utf16) == at).then_some(position)
                };
                let (Some(a), Some(b)) = (place(a), place(b)) else { continue };
                let range = Range::new(a.min(b), a.max(b));
                let Some(after) = apply_as_a_client(&there, range, &put) else { continue };
                here.change(TextDocumentContentChangeEvent { range: Some(range), range_length: None, text: put }, Encoding::Utf16);
                there = after;
                prop_assert_eq!(&here.text, &there);
            }
        }

        #[test]
        fn any_change_leaves_a_text(
            text in "\\PC{0,40}",
            range in any::<[u32; 4]>(),
            small in any::<[u8; 4]>(),
            put in "\\PC{0,6}",
            utf8 in any::<bool>(),
        ) {
            let encoding = if utf8 { Encoding::Utf8 } else { Encoding::Utf16 };
            let mut text = Text::new(text);
            let wide = Range::new(Position::new(range[0], range[1]), Position::new(range[2], range[3]));
            let small = small.map(|n| u32::from(n % 8));
            let near = Range::new(Position::new(small[0], small[1]), Position::new(small[2], small[3]));
            for range in [Some(wide), Some(near), None] {
                text.change(TextDocumentContentChangeEvent { range, range_length: None, text: put.clone() }, encoding);
                prop_assert_eq!(&text.lines, &Lines::new(&text.text));
            }
        }
    }
}
