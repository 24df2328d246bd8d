//! What the letters of numbers and texts mean.

use super::lexer::hole_end;
use crate::codes;
use crate::diagnostic::Diagnostic;
use crate::source::Span;

/// What a number counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Things.
    None,
    /// Bytes.
    Size,
    /// Milliseconds.
    Time,
}

/// Every unit: how it is written, what it counts, and how many of that it is.
pub const UNITS: &[(&str, Unit, u64)] = &[
    ("B", Unit::Size, 1),
    ("KiB", Unit::Size, 1 << 10),
    ("MiB", Unit::Size, 1 << 20),
    ("GiB", Unit::Size, 1 << 30),
    ("TiB", Unit::Size, 1 << 40),
    ("ms", Unit::Time, 1),
    ("s", Unit::Time, 1000),
    ("min", Unit::Time, 60_000),
    ("h", Unit::Time, 3_600_000),
];

/// Reads a number token such as `80`, `10_000` or `64MiB`: its amount in units, bytes or
/// milliseconds. The result fits an `i64`.
///
/// # Errors
/// A diagnostic for unknown units, fractions, leading zeros and amounts that are too large.
pub fn number(span: Span, text: &str) -> Result<(i64, Unit), Box<Diagnostic>> {
    let wrong = |message: String, help: String| {
        Err(Box::new(Diagnostic::new(
            codes::BAD_NUMBER,
            span,
            message,
            help,
        )))
    };
    if text.contains('.') {
        return wrong(
            format!("`{text}` is not a whole number"),
            "write it in a smaller unit: 1536MiB, 1500ms".into(),
        );
    }
    let digits_end = text
        .find(|c: char| !c.is_ascii_digit() && c != '_')
        .unwrap_or(text.len());
    let (digits, suffix) = text.split_at(digits_end);
    if digits.ends_with('_') || digits.contains("__") {
        return wrong(
            format!("`{text}` is not a number"),
            "a `_` stands between two digits: 10_000".into(),
        );
    }
    if digits.len() > 1 && digits.starts_with('0') {
        return wrong(
            format!("the number `{text}` begins with 0"),
            "leave the 0 out; file modes are texts: mode = \"0755\"".into(),
        );
    }
    let Some(&(_, unit, factor)) = (if suffix.is_empty() {
        Some(&("", Unit::None, 1))
    } else {
        UNITS.iter().find(|(name, _, _)| *name == suffix)
    }) else {
        return Err(Box::new(unknown_unit(span, text, digits, suffix)));
    };
    let amount = digits.replace('_', "").parse::<i64>().ok();
    match amount.and_then(|n| n.checked_mul(i64::try_from(factor).ok()?)) {
        Some(amount) => Ok((amount, unit)),
        None => wrong(
            format!("`{text}` is too large"),
            format!("the largest number is {}", i64::MAX),
        ),
    }
}

fn unknown_unit(span: Span, text: &str, digits: &str, suffix: &str) -> Diagnostic {
    let meant = match suffix {
        "K" | "k" | "KB" | "kB" | "kb" | "kib" | "KIB" | "Kib" => Some("KiB"),
        "M" | "m" | "MB" | "Mb" | "mb" | "mib" | "MIB" | "Mib" => Some("MiB"),
        "G" | "g" | "GB" | "Gb" | "gb" | "gib" | "GIB" | "Gib" => Some("GiB"),
        "T" | "t" | "TB" | "tb" | "tib" | "TIB" | "Tib" => Some("TiB"),
        "b" | "byte" | "bytes" => Some("B"),
        "sec" | "secs" | "S" | "second" | "seconds" => Some("s"),
        "minute" | "minutes" | "mins" => Some("min"),
        "hour" | "hours" | "hr" | "H" => Some("h"),
        "msec" | "MS" | "millis" => Some("ms"),
        _ => None,
    };
    let diagnostic = |help: String| {
        Diagnostic::new(
            codes::BAD_NUMBER,
            span,
            format!("`{suffix}` in `{text}` is no unit"),
            help,
        )
    };
    match meant {
        Some(unit) => {
            diagnostic(format!("write `{digits}{unit}`")).fix(span, format!("{digits}{unit}"))
        }
        None => {
            diagnostic("the units are B KiB MiB GiB TiB for sizes, ms s min h for times".into())
        }
    }
}

/// A piece of a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Piece {
    /// Characters, escapes already resolved.
    Chars(String),
    /// The inside of a `${…}`: an expression.
    Hole(Span),
}

/// Splits a `"…"` token (with its quotes) into pieces and resolves escapes.
pub fn text(span: Span, token: &str, diagnostics: &mut Vec<Diagnostic>) -> Vec<Piece> {
    let body = token.get(1..).unwrap_or("");
    let body = body.strip_suffix('"').unwrap_or(body);
    let mut pieces = Pieces::default();
    let place = |from: usize, to: usize| {
        Span::new(
            span.file,
            span.start as usize + 1 + from,
            span.start as usize + 1 + to,
        )
    };
    let mut at = 0;
    while let Some(c) = body[at..].chars().next() {
        let next = at + c.len_utf8();
        if c == '$' && body[next..].starts_with('{') {
            // An unclosed hole makes the text unclosed, which the lexer has reported.
            at = pieces.hole(body, next + 1, &place).unwrap_or(body.len());
        } else if c == '\\' {
            let (found, end) = escape(body, next);
            match found {
                Some(found) => pieces.chars.push(found),
                None => diagnostics.push(Diagnostic::new(
                    codes::BAD_ESCAPE,
                    place(at, end),
                    format!("`{}` is no escape", &body[at..end]),
                    "the escapes are \\n \\t \\\" \\\\ \\$ and \\u{…} with the hexadecimal number of a character",
                )),
            }
            at = end;
        } else {
            pieces.chars.push(c);
            at = next;
        }
    }
    pieces.finish()
}

/// Reads the escape whose letter begins at `at`: its character and where it ends.
fn escape(body: &str, at: usize) -> (Option<char>, usize) {
    let Some(letter) = body[at..].chars().next() else {
        return (None, at);
    };
    let end = at + letter.len_utf8();
    match letter {
        'n' => (Some('\n'), end),
        't' => (Some('\t'), end),
        '"' | '\\' | '$' => (Some(letter), end),
        'u' if body[end..].starts_with('{') => match body[end..].find('}') {
            Some(close) => {
                let digits = &body[end + 1..end + close];
                let plain = digits.len() <= 6 && digits.bytes().all(|b| b.is_ascii_hexdigit());
                let found = u32::from_str_radix(digits, 16)
                    .ok()
                    .and_then(char::from_u32);
                (found.filter(|_| plain), end + close + 1)
            }
            None => (None, end),
        },
        _ => (None, end),
    }
}

/// Splits a `"""…"""` token into pieces. The common indentation of all lines (that of the closing
/// quotes counts) is taken off; each line ends with a line break; `\${` and `\"""` stand for
/// `${` and `"""`, and nothing else is an escape.
pub fn long_text(span: Span, token: &str, diagnostics: &mut Vec<Diagnostic>) -> Vec<Piece> {
    let mut pieces = Pieces::default();
    let Some((lines, indentation)) = long_text_lines(token) else {
        diagnostics.push(Diagnostic::new(
            codes::BAD_LONG_TEXT,
            span,
            "a text between `\"\"\"` begins and ends with lines of its own",
            "put a line break behind the first `\"\"\"` and the last `\"\"\"` on a line of its own",
        ));
        return pieces.finish();
    };
    for (start, line) in lines {
        // A line of nothing but white space may be shorter than the indentation.
        let from = indentation.min(line.len());
        let base = span.start as usize + start;
        let place = |from: usize, to: usize| Span::new(span.file, base + from, base + to);
        let mut at = if is_blank(line) { line.len() } else { from };
        while let Some(c) = line[at..].chars().next() {
            let rest = &line[at..];
            if rest.starts_with("${") {
                at = pieces.hole(line, at + 2, &place).unwrap_or_else(|| {
                    diagnostics.push(Diagnostic::new(
                        codes::UNCLOSED_TEXT,
                        place(at, at + 2),
                        "this `${` has no `}` on its line",
                        "close it, or write `\\${` for the two characters themselves",
                    ));
                    line.len()
                });
            } else if rest.starts_with("\\${") || rest.starts_with("\\\"\"\"") {
                at += 1;
                pieces.chars.push_str(&line[at..at + 2]);
                at += 2;
            } else {
                pieces.chars.push(c);
                at += c.len_utf8();
            }
        }
        pieces.chars.push('\n');
    }
    pieces.finish()
}

/// The lines of a `"""…"""` token, each with its offset in the token, and the number of bytes of
/// indentation common to them and the closing quotes. `None` where the quotes do not stand on
/// lines of their own.
pub fn long_text_lines(token: &str) -> Option<(Vec<(usize, &str)>, usize)> {
    let body = token.strip_prefix("\"\"\"")?.strip_suffix("\"\"\"")?;
    let (first, body) = body.split_once('\n')?;
    let (content, last) = match body.rsplit_once('\n') {
        Some((content, last)) => (Some(content), last),
        None => (None, body),
    };
    if !is_blank(first) || !is_blank(last) {
        return None;
    }
    let mut at = 3 + first.len() + 1;
    let mut lines = Vec::new();
    let mut common = last;
    for line in content.into_iter().flat_map(|content| content.split('\n')) {
        let start = at;
        at += line.len() + 1;
        let line = line.strip_suffix('\r').unwrap_or(line);
        if !is_blank(line) {
            let same = common
                .bytes()
                .zip(line.bytes())
                .take_while(|(a, b)| a == b)
                .count();
            common = &common[..same];
        }
        lines.push((start, line));
    }
    Some((lines, common.len()))
}

/// Whether a line shows nothing. ASCII only, so that indentation is counted in bytes.
fn is_blank(line: &str) -> bool {
    line.bytes().all(|b| matches!(b, b' ' | b'\t' | b'\r'))
}

/// Pieces that are being put together.
#[derive(Default)]
struct Pieces {
    done: Vec<Piece>,
    chars: String,
}

impl Pieces {
    /// Takes the hole whose inside begins at `from` of `body`; gives where it ends, or `None`
    /// where it does not.
    fn hole(
        &mut self,
        body: &str,
        from: usize,
        place: &dyn Fn(usize, usize) -> Span,
    ) -> Option<usize> {
        let (length, closed) = hole_end(&body[from..], 0);
        if !closed {
            return None;
        }
        if !self.chars.is_empty() {
            self.done
                .push(Piece::Chars(std::mem::take(&mut self.chars)));
        }
        self.done.push(Piece::Hole(place(from, from + length - 1)));
        Some(from + length)
    }

    fn finish(mut self) -> Vec<Piece> {
        if !self.chars.is_empty() {
            self.done.push(Piece::Chars(self.chars));
        }
        self.done
    }
}
