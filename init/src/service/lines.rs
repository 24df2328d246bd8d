//! Cutting a service's output into log lines.

use alloc::string::String;
use alloc::vec::Vec;

/// Longest line, in bytes; a longer one is cut into several.
pub const MAX_BYTES: usize = 1024;

/// What of a line has arrived so far.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Lines {
    partial: Vec<u8>,
}

impl Lines {
    /// Takes output and gives every complete line to `each`, without what ends it, and safe to
    /// show: control characters are replaced, so that no service can rewrite another's lines.
    pub fn push(&mut self, bytes: &[u8], mut each: impl FnMut(&str)) {
        for &byte in bytes {
            if byte == b'\n' {
                self.flush_always(&mut each);
            } else {
                self.partial.push(byte);
                if self.partial.len() >= MAX_BYTES {
                    self.flush_always(&mut each);
                }
            }
        }
    }

    /// Gives what was begun and not ended, at the end of the output.
    pub fn finish(&mut self, mut each: impl FnMut(&str)) {
        if !self.partial.is_empty() {
            self.flush_always(&mut each);
        }
    }

    fn flush_always(&mut self, each: &mut impl FnMut(&str)) {
        let line = self.partial.strip_suffix(b"\r").unwrap_or(&self.partial);
        let text: String = String::from_utf8_lossy(line)
            .chars()
            .map(|c| {
                if c.is_control() && c != '\t' {
                    '\u{fffd}'
                } else {
                    c
                }
            })
            .collect();
        each(&text);
        self.partial.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(chunks: &[&[u8]]) -> Vec<String> {
        let (mut lines, mut found) = (Lines::default(), Vec::new());
        for chunk in chunks {
            lines.push(chunk, |line| found.push(line.to_owned()));
        }
        lines.finish(|line| found.push(line.to_owned()));
        found
    }

    #[test]
    fn lines_are_joined_over_chunks() {
        assert_eq!(
            lines(&[b"one\ntw", b"o\r\n\nthree"]),
            ["one", "two", "", "three"]
        );
        assert_eq!(lines(&[b"", b"x\n"]), ["x"]);
    }

    #[test]
    fn long_lines_are_cut() {
        let long = vec![b'x'; MAX_BYTES * 2 + 5];
        let found = lines(&[&long]);
        let lengths: Vec<usize> = found.iter().map(String::len).collect();
        assert_eq!(lengths, [MAX_BYTES, MAX_BYTES, 5]);
    }

    #[test]
    fn nothing_reaches_the_terminal_that_moves_its_cursor() {
        assert_eq!(
            lines(&[b"a\x1b[2Jb\rc\td\x00\n"]),
            ["a\u{fffd}[2Jb\u{fffd}c\td\u{fffd}"]
        );
        assert_eq!(lines(&[b"\xff\xfe\n"]), ["\u{fffd}\u{fffd}"]);
    }
}
