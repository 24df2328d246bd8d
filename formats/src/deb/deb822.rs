//! Stanzas of `Field: value` lines: control files, `Packages`, `Release`.
//!
//! Borrowed and lazy: finding the stanzas of a 56 MB index costs one pass over its bytes, and a
//! field is looked for only when asked for.

/// A line that is neither a field, nor its continuation, nor a comment.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("byte {offset} of the text begins no field: {line:?}; the file is damaged, fetch it again")]
pub struct BadLine {
    /// Byte offset from the start of the text that [`stanzas`] was given.
    pub offset: usize,
    /// The line, cut to its first 80 characters.
    pub line: String,
}

/// Cuts a text into stanzas at its blank lines. Never fails: what is wrong with a stanza is said
/// when its fields are read.
pub fn stanzas(text: &str) -> Stanzas<'_> {
    Stanzas { text, at: 0 }
}

/// Iterator of [`stanzas`].
#[derive(Debug, Clone)]
pub struct Stanzas<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Iterator for Stanzas<'a> {
    type Item = Stanza<'a>;

    fn next(&mut self) -> Option<Stanza<'a>> {
        let bytes = self.text.as_bytes();
        while self.at < bytes.len() {
            match blank_line(&bytes[self.at..]) {
                Some(size) => self.at += size,
                None => break,
            }
        }
        if self.at >= bytes.len() {
            return None;
        }
        let start = self.at;
        let mut end = bytes.len();
        while let Some(newline) = self.text[self.at..].find('\n') {
            self.at += newline + 1;
            if self.at < bytes.len() && blank_line(&bytes[self.at..]).is_some() {
                end = self.at;
                break;
            }
        }
        if end == bytes.len() {
            self.at = end;
        }
        Some(Stanza {
            text: &self.text[start..end],
            offset: start,
        })
    }
}

/// Length of the line at the start of `bytes` (its newline included) if it is blank.
fn blank_line(bytes: &[u8]) -> Option<usize> {
    match bytes.first() {
        Some(b'\n') => Some(1),
        Some(b' ' | b'\t' | b'\r') => {
            let end = bytes
                .iter()
                .position(|b| !matches!(b, b' ' | b'\t' | b'\r'));
            match end {
                None => Some(bytes.len()),
                Some(end) => (bytes[end] == b'\n').then_some(end + 1),
            }
        }
        _ => None,
    }
}

/// One stanza.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Stanza<'a> {
    text: &'a str,
    offset: usize,
}

impl<'a> Stanza<'a> {
    /// The stanza's text.
    pub fn as_str(&self) -> &'a str {
        self.text
    }

    /// Byte offset of the stanza in the text it was cut from.
    pub fn offset(&self) -> usize {
        self.offset
    }

    /// Its fields, in order. Comment lines (`#`) are left out.
    pub fn fields(&self) -> Fields<'a> {
        Fields {
            rest: self.text,
            offset: self.offset,
        }
    }

    /// The value of the first field with this name; case does not matter. Lines that are no field
    /// are passed over.
    pub fn get(&self, name: &str) -> Option<&'a str> {
        let mut rest = self.text;
        while !rest.is_empty() {
            let bytes = rest.as_bytes();
            if bytes.get(name.len()) == Some(&b':')
                && bytes[..name.len()].eq_ignore_ascii_case(name.as_bytes())
            {
                let (value, _) = split_value(&rest[name.len() + 1..]);
                return Some(value);
            }
            rest = &rest[line_size(rest)..];
        }
        None
    }
}

/// One field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Field<'a> {
    /// Name as written.
    pub name: &'a str,
    /// Value without the white space around it. Continuation lines are in it as written, each
    /// behind a newline and with its leading space.
    pub value: &'a str,
}

impl<'a> Field<'a> {
    /// The value's lines, trimmed, without the empty first one of a list (`SHA256:`).
    pub fn lines(&self) -> impl Iterator<Item = &'a str> + use<'a> {
        lines(self.value)
    }
}

/// The lines of a field's value, trimmed, without empty ones.
pub fn lines(value: &str) -> impl Iterator<Item = &str> {
    value.lines().map(str::trim).filter(|line| !line.is_empty())
}

/// Iterator of [`Stanza::fields`].
#[derive(Debug, Clone)]
pub struct Fields<'a> {
    rest: &'a str,
    offset: usize,
}

impl<'a> Fields<'a> {
    fn advance(&mut self, size: usize) {
        self.rest = &self.rest[size..];
        self.offset += size;
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Result<Field<'a>, BadLine>;

    fn next(&mut self) -> Option<Self::Item> {
        while self.rest.starts_with('#') {
            self.advance(line_size(self.rest));
        }
        if self.rest.is_empty() {
            return None;
        }
        let line = &self.rest[..line_size(self.rest)];
        let name = line.find(':').map(|colon| &line[..colon]);
        let Some(name) = name.filter(|name| is_name(name)) else {
            let bad = BadLine {
                offset: self.offset,
                line: line.trim_end().chars().take(80).collect(),
            };
            self.advance(line.len());
            return Some(Err(bad));
        };
        let (value, size) = split_value(&self.rest[name.len() + 1..]);
        self.advance(name.len() + 1 + size);
        Some(Ok(Field { name, value }))
    }
}

/// Printable ASCII but space and colon, not beginning with `#` or `-` (deb822(5)).
fn is_name(name: &str) -> bool {
    !name.is_empty() && !name.starts_with('-') && name.bytes().all(|b| b.is_ascii_graphic())
}

/// Length of the first line, its newline included.
fn line_size(text: &str) -> usize {
    text.find('\n').map_or(text.len(), |newline| newline + 1)
}

/// The trimmed value at the start of `text` and the length of all its lines.
fn split_value(text: &str) -> (&str, usize) {
    let mut size = line_size(text);
    while text[size..].starts_with([' ', '\t']) {
        size += line_size(&text[size..]);
    }
    let value = text[..size].trim_end();
    (value.trim_start_matches([' ', '\t']), size)
}
