//! Text → tokens, without loss: the tokens' texts put together are the text.

use super::token::{Token, TokenKind};
use crate::codes;
use crate::diagnostic::Diagnostic;
use crate::source::{FileId, Span};
use nom::branch::alt;
use nom::bytes::complete::{tag, take_while, take_while1};
use nom::character::complete::satisfy;
use nom::combinator::{recognize, value};
use nom::sequence::pair;
use nom::{IResult, Parser};

/// How deep texts may lie in the `${…}` of texts.
const MAX_TEXT_NESTING: usize = 8;

/// Splits `text` into tokens. Characters that the language does not have become
/// [`TokenKind::Unknown`] and are reported, a run of them once.
pub fn tokenize(file: FileId, text: &str, diagnostics: &mut Vec<Diagnostic>) -> Vec<Token> {
    tokenize_part(text, Span::new(file, 0, text.len()), diagnostics)
}

/// Splits `text[part]` into tokens whose places count from the start of `text`.
pub(crate) fn tokenize_part(
    text: &str,
    part: Span,
    diagnostics: &mut Vec<Diagnostic>,
) -> Vec<Token> {
    let text = &text[..part.end as usize];
    let mut rest = &text[part.start as usize..];
    let mut tokens = Vec::with_capacity(rest.len() / 4);
    while !rest.is_empty() {
        let start = text.len() - rest.len();
        let (after, kind) = match token(rest) {
            Ok(found) => found,
            Err(_) => (take_unknown(rest), TokenKind::Unknown),
        };
        let span = Span::new(part.file, start, text.len() - after.len());
        match kind {
            TokenKind::Unknown => diagnostics.push(unknown(span, &text[span.range()])),
            TokenKind::Text | TokenKind::LongText if !is_closed(kind, &text[span.range()]) => {
                diagnostics.push(unclosed(span, kind));
            }
            _ => {}
        }
        tokens.push(Token { kind, span });
        rest = after;
    }
    tokens
}

fn token(input: &str) -> IResult<&str, TokenKind> {
    alt((
        value(TokenKind::Space, take_while1(is_space)),
        value(
            TokenKind::Comment,
            pair(tag("#"), take_while(|c| c != '\n')),
        ),
        value(TokenKind::Name, name),
        value(TokenKind::Number, number),
        value(TokenKind::LongText, long_text),
        value(TokenKind::Text, quoted),
        punctuation,
    ))
    .parse(input)
}

fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\n' | '\r')
}

/// Whether a name may begin with `c`.
fn starts_name(c: char) -> bool {
    c.is_ascii_alphabetic() || c == '_'
}

/// Whether `c` may stand inside a name.
fn continues_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_' || c == '-'
}

/// Whether the whole of `text` is a name of the language.
pub fn is_name(text: &str) -> bool {
    matches!(name(text), Ok(("", _)))
}

fn name(input: &str) -> IResult<&str, &str> {
    recognize(pair(satisfy(starts_name), take_while(continues_name))).parse(input)
}

/// A digit and all digits, letters and underscores behind it; what they mean, and whether they
/// mean something, is [`super::literal::number`]'s affair. A point between digits belongs to it,
/// so that `1.5GiB` is one wrong number and not three tokens.
fn number(input: &str) -> IResult<&str, &str> {
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let (_, _) = satisfy(|c| c.is_ascii_digit()).parse(input)?;
    let mut end = input.find(|c| !word(c)).unwrap_or(input.len());
    if let Some(fraction) = input[end..].strip_prefix('.')
        && fraction.starts_with(|c: char| c.is_ascii_digit())
    {
        end += 1 + fraction.find(|c| !word(c)).unwrap_or(fraction.len());
    }
    Ok((&input[end..], &input[..end]))
}

/// `"…"` on one line, with escapes and `${…}`. Where the closing quote is missing, the rest of
/// the line.
fn quoted(input: &str) -> IResult<&str, &str> {
    let (body, _) = tag("\"").parse(input)?;
    let end = 1 + quoted_end(body, 0).0;
    Ok((&input[end..], &input[..end]))
}

/// Length of a text's body with its closing quote, and whether there is one.
fn quoted_end(body: &str, nesting: usize) -> (usize, bool) {
    let bytes = body.as_bytes();
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'"' => return (at + 1, true),
            b'\n' => return (at, false),
            b'\\' => {
                // The escaped character belongs to the text whatever it is, unless it ends the
                // line; it may have several bytes.
                let escaped = body[at + 1..].chars().next().filter(|c| *c != '\n');
                at += 1 + escaped.map_or(0, char::len_utf8);
            }
            b'$' if bytes.get(at + 1) == Some(&b'{') => {
                at += 2 + hole_end(&body[at + 2..], nesting).0;
            }
            _ => at += 1,
        }
    }
    (at, false)
}

/// Length of what follows `${` with the closing brace, and whether there is one. A hole ends
/// with its line at the latest.
pub(crate) fn hole_end(body: &str, nesting: usize) -> (usize, bool) {
    let bytes = body.as_bytes();
    let (mut at, mut depth) = (0, 0usize);
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'\n' => return (at, false),
            b'{' => depth += 1,
            b'}' if depth == 0 => return (at + 1, true),
            b'}' => depth -= 1,
            b'"' if nesting < MAX_TEXT_NESTING => {
                at += 1 + quoted_end(&body[at + 1..], nesting + 1).0;
                continue;
            }
            _ => {}
        }
        at += 1;
    }
    (at, false)
}

/// `"""` up to the next `"""` that no backslash precedes, or to the end.
fn long_text(input: &str) -> IResult<&str, &str> {
    let (body, _) = tag("\"\"\"").parse(input)?;
    let mut from = 0;
    while let Some(found) = body[from..].find("\"\"\"") {
        let at = from + found;
        if !body[..at].ends_with('\\') {
            let end = 3 + at + 3;
            return Ok((&input[end..], &input[..end]));
        }
        from = at + 3;
    }
    Ok(("", input))
}

fn punctuation(input: &str) -> IResult<&str, TokenKind> {
    alt((
        alt((
            value(TokenKind::PlusEquals, tag("+=")),
            value(TokenKind::EqualEqual, tag("==")),
            value(TokenKind::NotEqual, tag("!=")),
            value(TokenKind::LessEqual, tag("<=")),
            value(TokenKind::GreaterEqual, tag(">=")),
        )),
        alt((
            value(TokenKind::LeftBrace, tag("{")),
            value(TokenKind::RightBrace, tag("}")),
            value(TokenKind::LeftBracket, tag("[")),
            value(TokenKind::RightBracket, tag("]")),
            value(TokenKind::LeftParen, tag("(")),
            value(TokenKind::RightParen, tag(")")),
            value(TokenKind::Equals, tag("=")),
            value(TokenKind::Comma, tag(",")),
            value(TokenKind::Dot, tag(".")),
            value(TokenKind::Colon, tag(":")),
            value(TokenKind::Plus, tag("+")),
            value(TokenKind::Minus, tag("-")),
            value(TokenKind::Star, tag("*")),
            value(TokenKind::Less, tag("<")),
            value(TokenKind::Greater, tag(">")),
        )),
    ))
    .parse(input)
}

/// What follows the longest beginning of `input` in which no token begins.
fn take_unknown(input: &str) -> &str {
    let mut chars = input.chars();
    chars.next();
    while !chars.as_str().is_empty() && token(chars.as_str()).is_err() {
        chars.next();
    }
    chars.as_str()
}

pub(crate) fn is_closed(kind: TokenKind, text: &str) -> bool {
    match kind {
        TokenKind::LongText => {
            text.len() >= 6 && text.ends_with("\"\"\"") && !text.ends_with("\\\"\"\"")
        }
        _ => quoted_end(&text[1..], 0).1,
    }
}

fn unknown(span: Span, text: &str) -> Diagnostic {
    let help = match text.chars().next() {
        Some(';') => "take it out: attributes need nothing between them but a new line",
        Some('\'' | '`' | '“' | '”' | '‘' | '’') => {
            "write texts in straight double quotes: \"…\""
        }
        Some('/') => "a comment begins with `#`; a path is a text in quotes: \"/srv\"",
        Some('$') => "`${…}` stands inside a text: \"web-${n}\"",
        Some('%' | '&' | '|' | '!' | '?' | '^') => {
            "the operators are + - * == != < <= > >= and the words and, or, not"
        }
        _ => "take it out; outside of texts a spec is written in plain ASCII",
    };
    let mut shown = String::new();
    for c in text.chars().take(12) {
        if c.is_control() {
            shown.extend(c.escape_default())
        } else {
            shown.push(c)
        }
    }
    Diagnostic::new(
        codes::UNKNOWN_CHARACTER,
        span,
        format!("`{shown}` means nothing here"),
        help,
    )
}

fn unclosed(span: Span, kind: TokenKind) -> Diagnostic {
    let (start, help) = match kind {
        TokenKind::LongText => (3, "end the text with `\"\"\"` on a line of its own"),
        _ => (
            1,
            "end the text with `\"` on the same line, or write it over several lines between `\"\"\"`",
        ),
    };
    let opening = Span {
        end: span.start + start,
        ..span
    };
    Diagnostic::new(codes::UNCLOSED_TEXT, opening, "this text has no end", help)
        .at("it begins here")
}
