//! Tokens: every byte of a text belongs to exactly one.

use crate::source::Span;

/// What a token is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenKind {
    /// Spaces, tabs and line ends.
    Space,
    /// `#` up to the end of the line.
    Comment,
    /// A word: `service`, `on-failure`, `web_2`.
    Name,
    /// Digits with the letters that follow them: `80`, `64MiB`.
    Number,
    /// Text in quotes on one line: `"…"`.
    Text,
    /// Text over several lines: `"""…"""`.
    LongText,
    /// `{`
    LeftBrace,
    /// `}`
    RightBrace,
    /// `[`
    LeftBracket,
    /// `]`
    RightBracket,
    /// `(`
    LeftParen,
    /// `)`
    RightParen,
    /// `=`
    Equals,
    /// `+=`
    PlusEquals,
    /// `,`
    Comma,
    /// `.`
    Dot,
    /// `:`
    Colon,
    /// `+`
    Plus,
    /// `-`
    Minus,
    /// `*`
    Star,
    /// `==`
    EqualEqual,
    /// `!=`
    NotEqual,
    /// `<`
    Less,
    /// `<=`
    LessEqual,
    /// `>`
    Greater,
    /// `>=`
    GreaterEqual,
    /// Characters that the language does not have.
    Unknown,
    /// The end of the text; never in a token list, only seen by the parser.
    End,
}

impl TokenKind {
    /// Whether the token is white space or a comment.
    pub fn is_trivia(self) -> bool {
        matches!(self, TokenKind::Space | TokenKind::Comment)
    }

    /// The token as it is called in messages.
    pub fn describe(self) -> &'static str {
        match self {
            TokenKind::Space => "white space",
            TokenKind::Comment => "a comment",
            TokenKind::Name => "a name",
            TokenKind::Number => "a number",
            TokenKind::Text => "a text",
            TokenKind::LongText => "a text over several lines",
            TokenKind::LeftBrace => "`{`",
            TokenKind::RightBrace => "`}`",
            TokenKind::LeftBracket => "`[`",
            TokenKind::RightBracket => "`]`",
            TokenKind::LeftParen => "`(`",
            TokenKind::RightParen => "`)`",
            TokenKind::Equals => "`=`",
            TokenKind::PlusEquals => "`+=`",
            TokenKind::Comma => "`,`",
            TokenKind::Dot => "`.`",
            TokenKind::Colon => "`:`",
            TokenKind::Plus => "`+`",
            TokenKind::Minus => "`-`",
            TokenKind::Star => "`*`",
            TokenKind::EqualEqual => "`==`",
            TokenKind::NotEqual => "`!=`",
            TokenKind::Less => "`<`",
            TokenKind::LessEqual => "`<=`",
            TokenKind::Greater => "`>`",
            TokenKind::GreaterEqual => "`>=`",
            TokenKind::Unknown => "an unknown character",
            TokenKind::End => "the end of the file",
        }
    }
}

/// One token with its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Token {
    /// What it is.
    pub kind: TokenKind,
    /// Where it is.
    pub span: Span,
}
