//! Globs over absolute paths: `*`, `**`, `?`, `[…]`.
//!
//! | Part | Matches |
//! |---|---|
//! | `?` | one byte, not `/` |
//! | `*` | any bytes within one name |
//! | `[a-z]`, `[!0-9]` | one byte of (not of) a set, never `/` |
//! | `/**/` | `/`, or any number of folders between |
//! | `/**` at the end | everything below |
//! | `\x` | `x` itself |
//!
//! Matching takes time proportional to pattern × path, whatever the pattern.

use nos_formats::tree::TreePath;
use std::fmt;

/// Longest pattern accepted, in bytes.
pub const MAX_GLOB_BYTES: usize = 4096;

/// A pattern that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the pattern {pattern:?} cannot be used: {problem}")]
pub struct GlobError {
    /// The pattern.
    pub pattern: String,
    /// What is wrong with it, and what to write instead.
    pub problem: &'static str,
}

/// A checked pattern.
#[derive(Clone, PartialEq, Eq)]
pub struct Glob {
    text: String,
    tokens: Vec<Token>,
    literal: Vec<u8>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Token {
    Byte(u8),
    /// `?`
    Any,
    /// `*`
    Star,
    /// `[…]`: ranges, and whether the set is inverted.
    Set(Vec<(u8, u8)>, bool),
    /// `**/`: nothing, or anything that ends in `/`.
    Folders,
    /// `**` at the end: one byte or more of anything.
    Rest,
}

impl Glob {
    /// Reads a pattern.
    ///
    /// # Errors
    /// [`GlobError`] where it is not absolute, too long, or a part of it is not closed.
    pub fn new(text: &str) -> Result<Self, GlobError> {
        let bad = |problem| GlobError {
            pattern: text.to_owned(),
            problem,
        };
        if text.len() > MAX_GLOB_BYTES {
            return Err(bad("it is over 4096 bytes long; split it"));
        }
        let mut rest = text
            .as_bytes()
            .strip_prefix(b"/")
            .ok_or_else(|| bad("it does not begin with '/'; write the absolute path"))?;
        let mut tokens = Vec::new();
        let mut at_name_start = true;
        while let Some((&byte, after)) = rest.split_first() {
            rest = after;
            let token = match byte {
                b'?' => Token::Any,
                b'*' if rest.first() == Some(&b'*') => {
                    rest = &rest[1..];
                    match rest.split_first() {
                        None if at_name_start => Token::Rest,
                        Some((b'/', after)) if at_name_start => {
                            rest = after;
                            tokens.push(Token::Folders);
                            continue;
                        }
                        _ => return Err(bad("'**' stands for whole folders; write '/**/' or '*'")),
                    }
                }
                b'*' => Token::Star,
                b'[' => {
                    let (set, after) = parse_set(rest)
                        .ok_or_else(|| bad("'[' is not closed; add ']' or write '\\['"))?;
                    rest = after;
                    set
                }
                b'\\' => {
                    let (&literal, after) = rest
                        .split_first()
                        .ok_or_else(|| bad("it ends in '\\'; write '\\\\' for the byte itself"))?;
                    rest = after;
                    Token::Byte(literal)
                }
                byte => Token::Byte(byte),
            };
            at_name_start = token == Token::Byte(b'/');
            tokens.push(token);
        }
        // Nothing has a name that ends in '/'; a folder is meant.
        if tokens.last() == Some(&Token::Byte(b'/')) {
            tokens.pop();
        }
        let literal = tokens.iter().map_while(|token| match token {
            Token::Byte(byte) => Some(*byte),
            _ => None,
        });
        Ok(Self {
            text: text.to_owned(),
            literal: literal.collect(),
            tokens,
        })
    }

    /// The pattern as it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether the pattern is a plain path.
    pub fn is_literal(&self) -> bool {
        self.literal.len() == self.tokens.len()
    }

    /// Whether the whole path matches.
    pub fn matches(&self, path: &TreePath) -> bool {
        let path = path.as_bytes();
        let Some(path) = path.strip_prefix(self.literal.as_slice()) else {
            return false;
        };
        let tokens = &self.tokens[self.literal.len()..];
        // One flag per token: "everything before it has matched so far".
        let mut now = vec![false; tokens.len() + 1];
        let mut next = vec![false; tokens.len() + 1];
        enter(tokens, &mut now, 0);
        for &byte in path {
            next.fill(false);
            for (at, token) in tokens.iter().enumerate().filter(|(at, _)| now[*at]) {
                match token {
                    Token::Byte(wanted) if *wanted == byte => enter(tokens, &mut next, at + 1),
                    Token::Any if byte != b'/' => enter(tokens, &mut next, at + 1),
                    Token::Star if byte != b'/' => enter(tokens, &mut next, at),
                    Token::Set(ranges, inverted) if byte != b'/' => {
                        let inside = ranges
                            .iter()
                            .any(|(low, high)| (*low..=*high).contains(&byte));
                        if inside != *inverted {
                            enter(tokens, &mut next, at + 1);
                        }
                    }
                    Token::Folders => {
                        next[at] = true;
                        if byte == b'/' {
                            enter(tokens, &mut next, at + 1);
                        }
                    }
                    Token::Rest => {
                        next[at] = true;
                        next[at + 1] = true;
                    }
                    _ => {}
                }
            }
            std::mem::swap(&mut now, &mut next);
        }
        now[tokens.len()]
    }
}

/// Marks a token, and those after it as long as they may match nothing.
fn enter(tokens: &[Token], flags: &mut [bool], mut at: usize) {
    flags[at] = true;
    while let Some(Token::Star | Token::Folders) = tokens.get(at) {
        at += 1;
        flags[at] = true;
    }
}

/// Reads a set after its `[`; gives what follows its `]`. A `]` that comes first is a member.
fn parse_set(text: &[u8]) -> Option<(Token, &[u8])> {
    let (inverted, mut rest) = match text.split_first()? {
        (b'!' | b'^', after) => (true, after),
        _ => (false, text),
    };
    let mut ranges = Vec::new();
    loop {
        let (&low, after) = rest.split_first()?;
        rest = after;
        if low == b']' && !ranges.is_empty() {
            return Some((Token::Set(ranges, inverted), rest));
        }
        match rest {
            [b'-', high, after @ ..] if *high != b']' => {
                ranges.push((low, *high));
                rest = after;
            }
            _ => ranges.push((low, low)),
        }
    }
}

impl fmt::Debug for Glob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.text)
    }
}

impl fmt::Display for Glob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::str::FromStr for Glob {
    type Err = GlobError;

    fn from_str(text: &str) -> Result<Self, GlobError> {
        Self::new(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn matches(glob: &str, path: &str) -> bool {
        Glob::new(glob)
            .unwrap()
            .matches(&TreePath::new(path).unwrap())
    }

    #[test]
    fn the_table_of_parts() {
        for (glob, path, expected) in [
            ("/etc/nginx", "/etc/nginx", true),
            ("/etc/nginx/", "/etc/nginx", true),
            ("/etc/nginx", "/etc/nginx/x", false),
            ("/etc/*", "/etc/passwd", true),
            ("/etc/*", "/etc/a/b", false),
            ("/etc/*", "/etc", false),
            ("/etc/**", "/etc/a/b", true),
            ("/etc/**", "/etc", false),
            ("/**", "/etc", true),
            ("/**/*.so", "/x.so", true),
            ("/**/*.so", "/a/b/x.so", true),
            ("/**/*.so", "/a/b/xso", false),
            ("/a/**/b", "/a/b", true),
            ("/a/**/b", "/a/x/y/b", true),
            ("/a/**/b", "/a/xb", false),
            ("/a/**/b/**/c", "/a/b/b/q/c", true),
            ("/lib?.so", "/libc.so", true),
            ("/lib?.so", "/lib/.so", false),
            ("/[a-c]x", "/bx", true),
            ("/[!a-c]x", "/bx", false),
            ("/[]]x", "/]x", true),
            ("/[a-]x", "/-x", true),
            ("/x[!a]y", "/x/y", false),
            (r"/\*", "/*", true),
            (r"/\*", "/x", false),
            (
                "/usr/share/locale/*/LC_MESSAGES/*",
                "/usr/share/locale/de/LC_MESSAGES/a.mo",
                true,
            ),
        ] {
            assert_eq!(matches(glob, path), expected, "{glob} on {path}");
        }
    }

    #[test]
    fn bad_patterns_say_what_to_write() {
        for bad in ["etc/*", "", "/a**", "/a/**b", "/[a", "/[]", "/x\\"] {
            let error = Glob::new(bad).unwrap_err().to_string();
            assert!(error.contains(';'), "{error}");
        }
        assert!(Glob::new("/a/b").unwrap().is_literal());
        assert!(!Glob::new("/a/*").unwrap().is_literal());
    }

    #[test]
    fn a_pattern_made_to_backtrack_is_quick() {
        let glob = format!("/{}b", "*a".repeat(200));
        let path = "a".repeat(255);
        assert!(!matches(&glob, &path));
    }

    /// The meaning, written down without thought for speed.
    fn slow(glob: &[u8], path: &[u8]) -> bool {
        match glob {
            [] => path.is_empty(),
            [b'*', b'*'] => !path.is_empty(),
            [b'*', b'*', b'/', after @ ..] => {
                let folders = (0..path.len()).filter(|&i| path[i] == b'/');
                slow(after, path) || folders.into_iter().any(|i| slow(after, &path[i + 1..]))
            }
            [b'*', after @ ..] => {
                slow(after, path)
                    || (path.first().is_some_and(|&b| b != b'/') && slow(glob, &path[1..]))
            }
            [b'?', after @ ..] => {
                path.first().is_some_and(|&b| b != b'/') && slow(after, &path[1..])
            }
            [byte, after @ ..] => path.first() == Some(byte) && slow(after, &path[1..]),
        }
    }

    proptest! {
        #[test]
        fn matching_means_what_the_slow_matcher_means(
            glob in "/(\\*\\*/)?[ab*?]{0,3}(/\\*\\*)?(/[ab*?]{1,3}){0,2}(/\\*\\*)?",
            path in "[ab]{1,2}(/[ab]{1,2}){0,3}",
        ) {
            if let Ok(parsed) = Glob::new(&glob) && !glob.ends_with('/') {
                let path = TreePath::new(&path).unwrap();
                prop_assert_eq!(parsed.matches(&path), slow(&glob.as_bytes()[1..], path.as_bytes()));
            }
        }

        #[test]
        fn no_pattern_panics(glob in "/[a-c/*?\\[\\]!^\\\\-]{0,20}", path in "[a-c/]{1,10}") {
            if let (Ok(glob), Ok(path)) = (Glob::new(&glob), TreePath::new(&path)) {
                glob.matches(&path);
            }
        }
    }
}
