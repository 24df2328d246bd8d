//! Texts and places in them.

use std::ops::Range;

/// Longest spec text that is read, in bytes. Offsets therefore always fit a `u32`.
pub const MAX_TEXT_BYTES: usize = 4 << 20;

/// Which text of a [`Sources`] a place is in. The first text has number 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct FileId(pub u32);

/// A range of bytes in one text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Span {
    /// The text.
    pub file: FileId,
    /// Offset of the first byte.
    pub start: u32,
    /// Offset behind the last byte.
    pub end: u32,
}

impl Span {
    /// The range from `start` to `end` in `file`.
    pub fn new(file: FileId, start: usize, end: usize) -> Self {
        let clamp = |offset: usize| u32::try_from(offset).unwrap_or(u32::MAX);
        Self {
            file,
            start: clamp(start),
            end: clamp(end.max(start)),
        }
    }

    /// From the start of `self` to the end of `other`; both in the same text.
    pub fn to(self, other: Span) -> Self {
        Self {
            file: self.file,
            start: self.start,
            end: other.end.max(self.start),
        }
    }

    /// The empty range at the end of `self`.
    pub fn end_point(self) -> Self {
        Self {
            start: self.end,
            ..self
        }
    }

    /// Offsets for slicing.
    pub fn range(self) -> Range<usize> {
        self.start as usize..self.end as usize
    }
}

/// One text with the name a person knows it by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// Path as it is shown.
    pub name: String,
    /// The text.
    pub text: String,
}

/// All texts that took part in a check, in the order in which they were read.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Sources {
    files: Vec<Source>,
}

/// A place as a person counts it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub struct LineColumn {
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
}

impl Sources {
    /// No texts.
    pub fn new() -> Self {
        Self::default()
    }

    /// One text.
    pub fn single(name: impl Into<String>, text: impl Into<String>) -> Self {
        let mut sources = Self::new();
        sources.add(name, text);
        sources
    }

    /// Adds a text and gives its number.
    pub fn add(&mut self, name: impl Into<String>, text: impl Into<String>) -> FileId {
        let id = FileId(u32::try_from(self.files.len()).unwrap_or(u32::MAX));
        self.files.push(Source {
            name: name.into(),
            text: text.into(),
        });
        id
    }

    /// The text with number `id`; an empty one where there is none.
    pub fn get(&self, id: FileId) -> &Source {
        static NONE: Source = Source {
            name: String::new(),
            text: String::new(),
        };
        self.files.get(id.0 as usize).unwrap_or(&NONE)
    }

    /// All texts in order of their numbers.
    pub fn iter(&self) -> impl Iterator<Item = (FileId, &Source)> {
        (0u32..).map(FileId).zip(&self.files)
    }

    /// The bytes of `span` as text; empty where the span does not fit its text.
    pub fn slice(&self, span: Span) -> &str {
        self.get(span.file).text.get(span.range()).unwrap_or("")
    }

    /// Line and column of the byte at `offset` of `file`.
    pub fn line_column(&self, file: FileId, offset: u32) -> LineColumn {
        let text = &self.get(file).text;
        let mut end = (offset as usize).min(text.len());
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        let before = &text[..end];
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        LineColumn {
            line: before.bytes().filter(|b| *b == b'\n').count() + 1,
            column: before[line_start..].chars().count() + 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_and_columns_count_from_one_in_characters() {
        let sources = Sources::single("a", "é = 1\nb");
        let at = |offset| sources.line_column(FileId(0), offset);
        assert_eq!(at(0), LineColumn { line: 1, column: 1 });
        assert_eq!(at(1), LineColumn { line: 1, column: 1 });
        assert_eq!(at(2), LineColumn { line: 1, column: 2 });
        assert_eq!(at(7), LineColumn { line: 2, column: 1 });
        assert_eq!(at(900), LineColumn { line: 2, column: 2 });
    }
}
