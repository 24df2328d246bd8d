//! Tokens → tree: items and entries, and how to go on after a mistake.

use super::KEYWORDS;
use super::ast::*;
use super::lexer::{tokenize, tokenize_part};
use super::token::{Token, TokenKind};
use crate::codes;
use crate::diagnostic::Diagnostic;
use crate::source::{FileId, MAX_TEXT_BYTES, Span};

/// How deep brackets, braces, blocks and calls may lie in each other.
pub const MAX_DEPTH: usize = 64;

/// How many operators may lie on the way from a value to any of its parts. With [`MAX_DEPTH`]
/// this bounds the height of every tree, and so every recursion over it.
pub(super) const MAX_OPERATORS: usize = 256;

/// What was read is wrong, and that has been reported.
pub(super) struct Reported;

pub(super) type Parsed<T> = Result<T, Reported>;

/// Parses `text` as the first file of a check. Never fails: what could not be read is missing
/// from the tree and reported.
pub fn parse(text: &str) -> (Ast, Vec<Diagnostic>) {
    parse_file(FileId(0), text)
}

/// Parses `text`; places refer to `file`.
pub fn parse_file(file: FileId, text: &str) -> (Ast, Vec<Diagnostic>) {
    let mut diagnostics = Vec::new();
    if text.len() > MAX_TEXT_BYTES {
        diagnostics.push(Diagnostic::new(
            codes::TEXT_TOO_LARGE,
            Span::new(file, 0, 0),
            format!(
                "this file has {} bytes, more than {MAX_TEXT_BYTES}",
                text.len()
            ),
            "split it into several files and put them together with `use`",
        ));
        return (Ast::default(), diagnostics);
    }
    let tokens = tokenize(file, text, &mut diagnostics);
    let mut parser = Parser::new(file, text, &tokens, text.len());
    let items = parser.items();
    // A character that means nothing is left out, so what stands around it may look wrong too.
    let lines: Vec<usize> = diagnostics
        .iter()
        .filter(|d| d.code == codes::UNKNOWN_CHARACTER)
        .map(|d| line_start(text, d.span()))
        .collect();
    let lines_of = |d: &Diagnostic| lines.binary_search(&line_start(text, d.span())).is_ok();
    parser
        .diagnostics
        .retain(|d| d.code != codes::UNEXPECTED || !lines_of(d));
    diagnostics.append(&mut parser.diagnostics);
    (Ast { items, tokens }, diagnostics)
}

/// Where the line begins on which `span` begins.
fn line_start(text: &str, span: Span) -> usize {
    text.as_bytes()[..span.start as usize]
        .iter()
        .rposition(|b| *b == b'\n')
        .map_or(0, |at| at + 1)
}

/// The parser's place in the tokens.
pub(super) struct Parser<'a> {
    pub(super) file: FileId,
    pub(super) text: &'a str,
    /// Tokens that are not white space or comments, and whether a new line precedes each.
    tokens: Vec<(Token, bool)>,
    at: usize,
    end: usize,
    pub(super) depth: usize,
    pub(super) operators: usize,
    /// Inside `(…)`, where a new line means nothing.
    pub(super) in_parens: bool,
    pub(super) diagnostics: Vec<Diagnostic>,
    /// A bracket that the end of the text left open has been reported; those around it are not.
    end_reported: bool,
}

/// What can be repeated by `for` and chosen by `if`.
pub(super) trait Repeatable: Sized {
    fn one(parser: &mut Parser<'_>) -> Parsed<Self>;
    fn from_for(item: For<Self>) -> Self;
    fn from_if(item: If<Self>) -> Self;
}

impl<'a> Parser<'a> {
    fn new(file: FileId, text: &'a str, all: &[Token], end: usize) -> Self {
        let mut tokens = Vec::with_capacity(all.len() / 2 + 1);
        let mut newline = true;
        for token in all {
            if token.kind == TokenKind::Space {
                newline |= text[token.span.range()].contains('\n');
            } else if !token.kind.is_trivia() && token.kind != TokenKind::Unknown {
                tokens.push((*token, std::mem::take(&mut newline)));
            }
        }
        Self {
            file,
            text,
            tokens,
            at: 0,
            end,
            depth: 0,
            operators: 0,
            in_parens: false,
            diagnostics: Vec::new(),
            end_reported: false,
        }
    }

    // Looking and stepping.

    pub(super) fn peek(&self) -> TokenKind {
        self.peek_at(0)
    }

    pub(super) fn peek_at(&self, ahead: usize) -> TokenKind {
        self.tokens
            .get(self.at + ahead)
            .map_or(TokenKind::End, |(token, _)| token.kind)
    }

    /// The place of the next token.
    pub(super) fn span(&self) -> Span {
        match self.tokens.get(self.at) {
            Some((token, _)) => token.span,
            None => Span::new(self.file, self.end, self.end),
        }
    }

    /// The place of the token before the next.
    pub(super) fn last_span(&self) -> Span {
        match self.at.checked_sub(1).and_then(|at| self.tokens.get(at)) {
            Some((token, _)) => token.span,
            None => Span::new(self.file, 0, 0),
        }
    }

    /// Whether the next token begins a line (or the text ends).
    pub(super) fn at_line_start(&self) -> bool {
        self.tokens.get(self.at).is_none_or(|(_, newline)| *newline)
    }

    pub(super) fn slice(&self, span: Span) -> &'a str {
        &self.text[span.range()]
    }

    /// Whether the token `ahead` of the next is the word `word`.
    pub(super) fn is_word(&self, ahead: usize, word: &str) -> bool {
        self.tokens.get(self.at + ahead).is_some_and(|(token, _)| {
            token.kind == TokenKind::Name && self.slice(token.span) == word
        })
    }

    pub(super) fn step(&mut self) -> Span {
        let span = self.span();
        self.at += 1;
        span
    }

    pub(super) fn eat(&mut self, kind: TokenKind) -> Option<Span> {
        (self.peek() == kind && kind != TokenKind::End).then(|| self.step())
    }

    pub(super) fn eat_word(&mut self, word: &str) -> Option<Span> {
        self.is_word(0, word).then(|| self.step())
    }

    // Reporting.

    /// Reports that something else was expected at the next token.
    pub(super) fn expected<T>(&mut self, what: &str, help: impl Into<String>) -> Parsed<T> {
        let kind = self.peek();
        if kind == TokenKind::End && self.end_reported {
            return Err(Reported);
        }
        self.end_reported |= kind == TokenKind::End;
        let found = match kind {
            TokenKind::Name | TokenKind::Number => format!("`{}`", self.slice(self.span())),
            other => other.describe().to_owned(),
        };
        // At a new line or the end the mistake is behind the last token, not before the next.
        let span = if self.at_line_start() && self.at > 0 {
            self.last_span().end_point()
        } else {
            self.span()
        };
        self.diagnostics.push(
            Diagnostic::new(
                codes::UNEXPECTED,
                span,
                format!("expected {what}, found {found}"),
                help,
            )
            .at(format!("expected {what}")),
        );
        Err(Reported)
    }

    /// A word that is not a keyword.
    pub(super) fn name(&mut self, what: &str, help: &str) -> Parsed<Name> {
        if self.peek() != TokenKind::Name {
            return self.expected(what, help);
        }
        let span = self.step();
        let text = self.slice(span).to_owned();
        if KEYWORDS.contains(&text.as_str()) {
            self.diagnostics.push(Diagnostic::new(
                codes::RESERVED_NAME,
                span,
                format!("`{text}` is a word of the language and cannot be {what}"),
                "choose another name",
            ));
        }
        Ok(Name { text, span })
    }

    // Recovery.

    /// Skips to where the next entry of the surrounding brackets can begin: a token at the start
    /// of a line or behind a comma, or the bracket that closes. Brackets on the way are skipped
    /// with what they hold.
    fn recover(&mut self, moved_from: usize) {
        let mut open = 0usize;
        loop {
            match self.peek() {
                TokenKind::End => return,
                TokenKind::LeftBrace | TokenKind::LeftBracket | TokenKind::LeftParen => open += 1,
                TokenKind::RightBrace | TokenKind::RightBracket | TokenKind::RightParen => {
                    if open == 0 {
                        return;
                    }
                    open -= 1;
                }
                TokenKind::Comma if open == 0 => {
                    self.step();
                    return;
                }
                _ => {}
            }
            if self.at > moved_from && self.at_line_start() && (open == 0 || self.starts_item()) {
                return;
            }
            self.step();
            if open == 0 && self.at_line_start() {
                return;
            }
        }
    }

    /// Whether the next token stands in the first column and begins what can only be a top-level
    /// item: a sign that a bracket before it was never closed.
    fn starts_item(&self) -> bool {
        let span = self.span();
        let column_one = span.start == 0 || self.text.as_bytes()[span.start as usize - 1] == b'\n';
        let one_line = |ahead: usize| {
            (1..=ahead).all(|n| {
                self.tokens
                    .get(self.at + n)
                    .is_some_and(|(_, newline)| !newline)
            })
        };
        column_one
            && self.peek() == TokenKind::Name
            && match self.slice(span) {
                "use" | "let" | "template" => self.peek_at(1) == TokenKind::Name && one_line(1),
                _ => {
                    self.peek_at(1) == TokenKind::Name
                        && self.peek_at(2) == TokenKind::LeftBrace
                        && one_line(2)
                }
            }
    }

    /// Whether the next line is an attribute, which cannot stand in a list.
    fn starts_attribute(&self) -> bool {
        self.at_line_start()
            && self.peek() == TokenKind::Name
            && matches!(self.peek_at(1), TokenKind::Equals | TokenKind::PlusEquals)
    }

    /// Goes one level deeper for `inner`, unless that is too deep.
    pub(super) fn nested<T>(&mut self, inner: impl FnOnce(&mut Self) -> Parsed<T>) -> Parsed<T> {
        if self.depth >= MAX_DEPTH {
            self.diagnostics.push(Diagnostic::new(
                codes::TOO_DEEP,
                self.span(),
                format!("brackets lie more than {MAX_DEPTH} deep in each other here"),
                "give the inner part a name with `let` and use that",
            ));
            return Err(Reported);
        }
        self.depth += 1;
        let result = inner(self);
        self.depth -= 1;
        result
    }

    /// What stands between `open` (already read) and `close`: things with commas or new lines
    /// between them.
    pub(super) fn bracketed<T>(
        &mut self,
        open: Span,
        close: TokenKind,
        one: impl Fn(&mut Self) -> Parsed<T>,
    ) -> Vec<T> {
        let in_parens = std::mem::replace(&mut self.in_parens, close == TokenKind::RightParen);
        let operators = self.operators;
        let mut found = Vec::new();
        loop {
            self.operators = operators;
            if self.eat(close).is_some() {
                break;
            }
            let kind = self.peek();
            let wrong_close = matches!(
                kind,
                TokenKind::RightBrace | TokenKind::RightBracket | TokenKind::RightParen
            );
            let attribute = close == TokenKind::RightBracket && self.starts_attribute();
            if kind == TokenKind::End || wrong_close || attribute || self.starts_item() {
                self.unclosed(open, close);
                break;
            }
            let before = self.at;
            match one(self) {
                Ok(value) => {
                    found.push(value);
                    let separated = self.eat(TokenKind::Comma).is_some()
                        || (self.at_line_start() && close != TokenKind::RightParen);
                    if !separated && self.peek() != close && self.peek() != TokenKind::End {
                        let (what, help) = match close {
                            TokenKind::RightParen => {
                                ("`,` or `)`", "put a `,` between two arguments")
                            }
                            TokenKind::RightBracket => (
                                "`,` or `]`",
                                "put a `,` or a new line between two values of a list",
                            ),
                            _ => (
                                "a new line",
                                "write each attribute on a line of its own, or put a `,` between two",
                            ),
                        };
                        let closes = matches!(
                            self.peek(),
                            TokenKind::RightBrace | TokenKind::RightBracket | TokenKind::RightParen
                        );
                        if !closes {
                            let _: Parsed<()> = self.expected(what, help);
                            self.recover(self.at);
                        }
                    }
                }
                Err(Reported) => self.recover(before),
            }
            if self.at == before
                && self.peek() != close
                && !matches!(
                    self.peek(),
                    TokenKind::End
                        | TokenKind::RightBrace
                        | TokenKind::RightBracket
                        | TokenKind::RightParen
                )
            {
                self.step();
            }
        }
        self.in_parens = in_parens;
        self.operators = operators;
        found
    }

    fn unclosed(&mut self, open: Span, close: TokenKind) {
        let at_end = self.peek() == TokenKind::End;
        if at_end && std::mem::replace(&mut self.end_reported, true) {
            return;
        }
        let bracket = self.slice(open);
        let close = close.describe();
        let what = if at_end {
            "the file ends".to_owned()
        } else {
            format!("`{}` comes", self.slice(self.span()))
        };
        self.diagnostics.push(
            Diagnostic::new(
                codes::UNCLOSED_BRACKET,
                open,
                format!("this `{bracket}` is never closed"),
                format!("put {close} where it ends"),
            )
            .label(self.span(), format!("{what} before {close}")),
        );
    }

    // Items.

    fn items(&mut self) -> Vec<Item> {
        let mut items = Vec::new();
        while self.peek() != TokenKind::End {
            let before = self.at;
            match Item::one(self) {
                Ok(item) => {
                    items.push(item);
                    if !self.at_line_start() && !self.is_closer() {
                        let _: Parsed<()> =
                            self.expected("a new line", "begin each block on a line of its own");
                        self.recover(self.at);
                    }
                }
                Err(Reported) => self.recover(before),
            }
            let mut first = true;
            while self.is_closer() {
                let span = self.step();
                // Several in a row are one mistake.
                if !std::mem::take(&mut first) {
                    continue;
                }
                self.diagnostics.push(Diagnostic::new(
                    codes::UNOPENED_BRACKET,
                    span,
                    format!("this `{}` closes nothing", self.slice(span)),
                    "take it out, or open the block or list that it should close",
                ));
            }
            if self.at == before {
                self.step();
            }
        }
        items
    }

    fn is_closer(&self) -> bool {
        matches!(
            self.peek(),
            TokenKind::RightBrace | TokenKind::RightBracket | TokenKind::RightParen
        )
    }

    /// `{ … }` with entries.
    pub(super) fn entries(&mut self, help: &str) -> Parsed<Vec<Entry>> {
        let Some(open) = self.eat(TokenKind::LeftBrace) else {
            return self.expected("`{`", help);
        };
        self.nested(|parser| Ok(parser.bracketed(open, TokenKind::RightBrace, Entry::one)))
    }

    fn use_item(&mut self, start: Span) -> Parsed<Use> {
        let help =
            "name a file or a part of the standard library: `use std.kernel`, `use shared.web`";
        let mut path = vec![self.name("the name of a file", help)?];
        while self.eat(TokenKind::Dot).is_some() {
            path.push(self.name("a name", help)?);
        }
        let alias = match self.eat_word("as") {
            Some(_) => Some(self.name("a name", "write `as` and a name of your choice")?),
            None => None,
        };
        Ok(Use {
            path,
            alias,
            span: start.to(self.last_span()),
        })
    }

    fn let_item(&mut self, start: Span) -> Parsed<Let> {
        let help = "write `let name = value`";
        let name = self.name("a name", help)?;
        if self.eat(TokenKind::Equals).is_none() {
            return self.expected("`=`", help);
        }
        let value = self.expression()?;
        Ok(Let {
            name,
            value,
            span: start.to(self.last_span()),
        })
    }

    fn block(&mut self) -> Parsed<Block> {
        let help = "a block is a kind, a name and braces: `service web { … }`";
        let kind = self.name("a block", help)?;
        match self.peek() {
            TokenKind::Equals => {
                let text = format!(
                    "put it into a block, or define a name with `let {} = …`",
                    kind.text
                );
                return self.expected("a block's name", text);
            }
            TokenKind::LeftBrace => {
                let found: Parsed<()> = self.expected(
                    "a block's name",
                    format!("give the block a name: `{} web {{ … }}`", kind.text),
                );
                // Read it all the same, for the mistakes inside.
                let _ = self.entries(help);
                found?;
            }
            _ => {}
        }
        let name = match self.peek() {
            TokenKind::Text => Key::Text(self.text_literal()),
            _ => Key::Name(self.name("a block's name", help)?),
        };
        let like = self.like()?;
        let body = if like.is_some() && self.peek() != TokenKind::LeftBrace {
            Vec::new()
        } else {
            self.entries(help)?
        };
        Ok(Block {
            span: kind.span.to(self.last_span()),
            kind,
            name,
            like,
            body,
        })
    }

    fn like(&mut self) -> Parsed<Option<Expr>> {
        match self.eat_word("like") {
            Some(_) => Ok(Some(self.base()?)),
            None => Ok(None),
        }
    }

    fn template(&mut self, start: Span) -> Parsed<Template> {
        let help = "write `template service page(port: number) { … }`";
        let kind = self.name("a kind of block", help)?;
        let name = self.name("the template's name", help)?;
        let Some(open) = self.eat(TokenKind::LeftParen) else {
            return self.expected("`(`", help);
        };
        let parameters =
            self.nested(|parser| {
                Ok(parser.bracketed(open, TokenKind::RightParen, |parser| {
                let help = "a parameter is a name and a type: `port: number`, or with a default \
                            `port: number = 80`";
                let name = parser.name("a parameter", help)?;
                if parser.eat(TokenKind::Colon).is_none() {
                    return parser.expected("`:` and a type", help);
                }
                let kind = parser.name("a type", help)?;
                let default = match parser.eat(TokenKind::Equals) {
                    Some(_) => Some(parser.expression()?),
                    None => None,
                };
                Ok(Parameter { name, kind, default })
            }))
            })?;
        let like = self.like()?;
        let body = if like.is_some() && self.peek() != TokenKind::LeftBrace {
            Vec::new()
        } else {
            self.entries(help)?
        };
        Ok(Template {
            kind,
            name,
            parameters,
            like,
            body,
            span: start.to(self.last_span()),
        })
    }

    /// `{ … }` with what `T` is.
    fn body<T: Repeatable>(&mut self, help: &str) -> Parsed<Vec<T>> {
        let Some(open) = self.eat(TokenKind::LeftBrace) else {
            return self.expected("`{`", help);
        };
        self.nested(|parser| Ok(parser.bracketed(open, TokenKind::RightBrace, T::one)))
    }

    /// `for …` or `if …` where the next word is one of them.
    pub(super) fn repeated<T: Repeatable>(&mut self) -> Option<Parsed<T>> {
        if let Some(start) = self.eat_word("for") {
            return Some(self.for_loop(start).map(T::from_for));
        }
        if let Some(start) = self.eat_word("if") {
            return Some(self.condition(start).map(T::from_if));
        }
        None
    }

    fn for_loop<T: Repeatable>(&mut self, start: Span) -> Parsed<For<T>> {
        let help = "write `for x in list { … }`, or `for name, value in record { … }`";
        let mut names = vec![self.name("a name", help)?];
        if self.eat(TokenKind::Comma).is_some() {
            names.push(self.name("a name", help)?);
        }
        if self.eat_word("in").is_none() {
            return self.expected("`in`", help);
        }
        let list = self.before_brace()?;
        let body = self.body(help)?;
        Ok(For {
            names,
            list,
            body,
            span: start.to(self.last_span()),
        })
    }

    fn condition<T: Repeatable>(&mut self, start: Span) -> Parsed<If<T>> {
        let help = "write `if condition { … }` or `if condition { … } else { … }`";
        let condition = self.before_brace()?;
        let then = self.body(help)?;
        let otherwise = match self.eat_word("else") {
            Some(_) if self.is_word(0, "if") => {
                let start = self.step();
                let inner = self.nested(|parser| parser.condition(start))?;
                Some(vec![T::from_if(inner)])
            }
            Some(_) => Some(self.body(help)?),
            None => None,
        };
        Ok(If {
            condition,
            then,
            otherwise,
            span: start.to(self.last_span()),
        })
    }

    /// The expression inside a text's `${…}`.
    pub(super) fn hole(&mut self, place: Span) -> Expr {
        let error = Expr {
            kind: ExprKind::Error,
            span: place,
        };
        let result = self.nested(|parser| {
            let tokens = tokenize_part(parser.text, place, &mut parser.diagnostics);
            if let Some(comment) = tokens.iter().find(|t| t.kind == TokenKind::Comment) {
                parser.diagnostics.push(Diagnostic::new(
                    codes::UNEXPECTED,
                    comment.span,
                    "a comment cannot stand inside `${…}`",
                    "put the comment on a line of its own",
                ));
                return Err(Reported);
            }
            let mut inner = Parser::new(parser.file, parser.text, &tokens, place.end as usize);
            inner.depth = parser.depth;
            inner.operators = parser.operators;
            inner.in_parens = true;
            let mut result = inner.expression();
            if result.is_ok() && inner.peek() != TokenKind::End {
                result = inner.expected("`}`", "one value stands between `${` and `}`");
            }
            parser.diagnostics.append(&mut inner.diagnostics);
            result
        });
        result.unwrap_or(error)
    }
}

impl Repeatable for Item {
    fn one(parser: &mut Parser<'_>) -> Parsed<Self> {
        if let Some(start) = parser.eat_word("use") {
            return parser.use_item(start).map(Item::Use);
        }
        if let Some(start) = parser.eat_word("let") {
            return parser.let_item(start).map(Item::Let);
        }
        if let Some(start) = parser.eat_word("template") {
            return parser.template(start).map(Item::Template);
        }
        match parser.repeated() {
            Some(found) => found,
            None => parser.block().map(Item::Block),
        }
    }

    fn from_for(item: For<Self>) -> Self {
        Item::For(item)
    }

    fn from_if(item: If<Self>) -> Self {
        Item::If(item)
    }
}

impl Repeatable for Entry {
    fn one(parser: &mut Parser<'_>) -> Parsed<Self> {
        if let Some(found) = parser.repeated() {
            return found;
        }
        let help = "an attribute is a name, `=` and a value: `restart = never`";
        let key = match parser.peek() {
            TokenKind::Text => Key::Text(parser.text_literal()),
            _ => Key::Name(parser.name("an attribute", help)?),
        };
        let next = parser.span();
        let add = match parser.peek() {
            TokenKind::Equals => false,
            TokenKind::PlusEquals => true,
            TokenKind::Colon => {
                let wrong = Diagnostic::new(
                    codes::UNEXPECTED,
                    next,
                    "a `:` stands where `=` belongs",
                    "write `=`",
                );
                parser.diagnostics.push(wrong.fix(next, " ="));
                false
            }
            TokenKind::LeftBrace if !parser.at_line_start() => {
                let wrong = Diagnostic::new(
                    codes::UNEXPECTED,
                    next,
                    "an attribute needs `=` before its value",
                    "put `=` before the `{`",
                );
                parser.diagnostics.push(wrong.fix(
                    Span {
                        end: next.start,
                        ..next
                    },
                    "= ",
                ));
                let value = parser.expression()?;
                let span = key.span().to(parser.last_span());
                return Ok(Entry::Attribute(Attribute {
                    key,
                    add: false,
                    value,
                    span,
                }));
            }
            _ => return parser.expected("`=`", help),
        };
        parser.step();
        if parser.at_line_start() {
            return parser.expected("a value", "put the value behind the `=`, on the same line");
        }
        let value = parser.expression()?;
        let span = key.span().to(parser.last_span());
        Ok(Entry::Attribute(Attribute {
            key,
            add,
            value,
            span,
        }))
    }

    fn from_for(item: For<Self>) -> Self {
        Entry::For(item)
    }

    fn from_if(item: If<Self>) -> Self {
        Entry::If(item)
    }
}
