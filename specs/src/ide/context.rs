//! What can stand at a place of a text that is being written.
//!
//! The tree has a gap exactly where something is missing, so this looks at the tokens before the
//! place instead: which brackets are open there, and what each of them holds.

use crate::schema::{self, Attribute, Call, Type};
use crate::source::{FileId, Span};
use crate::syntax::lexer::{hole_end, is_closed, tokenize, tokenize_part};
use crate::syntax::token::{Token, TokenKind};

/// How deep texts may lie in the holes of texts.
const MAX_HOLES: usize = 8;

/// What a value must be, where that is known.
pub(super) type Expected = Option<&'static Type>;

/// What can stand at a place.
#[derive(Debug)]
pub(super) struct Context<'t> {
    pub(super) place: Place<'t>,
    /// What is there of it already: the word or the inside of the text before the place.
    pub(super) written: Span,
    /// Loop variables and parameters, the innermost last.
    pub(super) locals: Vec<&'t str>,
    /// Names that stand in the same braces or parentheses already.
    pub(super) present: Vec<&'t str>,
    /// Whether a `=` follows already.
    pub(super) assigned: bool,
}

#[derive(Debug)]
pub(super) enum Place<'t> {
    /// Nothing that could be said.
    Nothing,
    /// The first word of a line outside of all brackets.
    Item,
    /// A kind of block.
    Kind,
    /// Behind the name of a block.
    Like,
    /// What a block of this kind is like.
    Base(&'t str),
    /// The name of an attribute, with the names that lead to it.
    Attribute(Vec<&'static str>, Vec<&'static Attribute>),
    /// A value.
    Value(Expected),
    /// An argument of a call of the schema: a value or the name of one.
    Argument(&'static Call, Expected),
    /// An argument of something else, named by its path.
    TemplateArgument(Vec<&'t str>),
    /// A part of what a path names.
    Member(Vec<&'t str>),
    /// A part of a path behind `use`.
    Use(Vec<&'t str>),
    /// The type of a parameter.
    ParameterType,
    /// The inside of a text.
    Text(Expected),
}

/// What can stand at `offset` of `text`.
pub(super) fn context(text: &str, offset: usize) -> Context<'_> {
    let mut offset = offset.min(text.len());
    while !text.is_char_boundary(offset) {
        offset -= 1;
    }
    let tokens = tokenize(FileId(0), text, &mut Vec::new());
    let mut reader = Reader {
        text,
        frames: vec![Frame::new(Holds::Items)],
        locals: Vec::new(),
    };
    reader.read(&tokens, offset, 0)
}

/// What some brackets hold.
#[derive(Debug, Clone)]
enum Holds<'t> {
    Items,
    /// Attributes with the names that lead to them.
    Attributes(Vec<&'static str>, Vec<&'static Attribute>),
    /// Names of the user's choice with values of one type.
    Names(Expected),
    List(Expected),
    Arguments(&'static Call),
    TemplateArguments(Vec<&'t str>),
    Parameters,
    Value(Expected),
}

struct Frame<'t> {
    holds: Holds<'t>,
    /// The tokens of the statement that is being read; brackets stand for all they hold.
    statement: Vec<Piece<'t>>,
    present: Vec<&'t str>,
    /// Arguments before the one that is being read.
    position: usize,
    /// Length of the locals outside.
    outer: usize,
}

#[derive(Debug, Clone, Copy)]
struct Piece<'t> {
    kind: TokenKind,
    text: &'t str,
}

impl<'t> Frame<'t> {
    fn new(holds: Holds<'t>) -> Self {
        Self {
            holds,
            statement: Vec::new(),
            present: Vec::new(),
            position: 0,
            outer: 0,
        }
    }

    fn by_lines(&self) -> bool {
        matches!(
            self.holds,
            Holds::Items | Holds::Attributes(..) | Holds::Names(_) | Holds::List(_)
        )
    }

    fn word(&self, at: usize) -> &'t str {
        match self.statement.get(at) {
            Some(piece) if piece.kind == TokenKind::Name => piece.text,
            _ => "",
        }
    }

    fn has(&self, word: &str) -> bool {
        let is_word = |piece: &Piece<'_>| piece.kind == TokenKind::Name && piece.text == word;
        self.statement.iter().any(is_word)
    }

    /// The `=` of an attribute or argument, if its name stands before it.
    fn is_assignment(&self) -> bool {
        let kind = |at: usize| self.statement.get(at).map(|piece| piece.kind);
        matches!(kind(0), Some(TokenKind::Name | TokenKind::Text))
            && matches!(kind(1), Some(TokenKind::Equals | TokenKind::PlusEquals))
    }

    /// The name before the `=`.
    fn key(&self) -> &'t str {
        match self.statement.first() {
            Some(piece) => piece.text.trim_matches('"'),
            None => "",
        }
    }

    fn end_statement(&mut self) {
        if self.is_assignment() {
            self.present.push(self.key());
        }
        self.statement.clear();
    }

    /// Whether this is the head of a `for` or `if`, or its `else`, rather than a value.
    fn is_repetition(&self) -> bool {
        matches!(self.word(0), "for" | "if")
    }

    /// What the value that is being read must be.
    fn expected(&self) -> Expected {
        let operators = self.statement.iter().any(|piece| match piece.kind {
            TokenKind::EqualEqual
            | TokenKind::NotEqual
            | TokenKind::Less
            | TokenKind::LessEqual
            | TokenKind::Greater
            | TokenKind::GreaterEqual => true,
            TokenKind::Name => matches!(piece.text, "and" | "or" | "not" | "in"),
            _ => false,
        });
        // Between `if` and its braces stands a condition.
        let last_if = self.statement.iter().rposition(|p| p.text == "if");
        let in_condition = last_if.is_some_and(|at| {
            let mut behind = self.statement[at..].iter();
            !behind.any(|piece| piece.kind == TokenKind::LeftBrace)
        });
        if operators || in_condition {
            return None;
        }
        match &self.holds {
            Holds::Attributes(_, attributes) if self.is_assignment() => {
                let known = attributes.iter().find(|a| a.name == self.key())?;
                Some(known.ty)
            }
            Holds::Names(ty) if self.is_assignment() => *ty,
            Holds::List(ty) | Holds::Value(ty) => *ty,
            Holds::Arguments(call) if self.is_assignment() => {
                Some(call.arguments.iter().find(|a| a.name == self.key())?.ty)
            }
            Holds::Arguments(call) => {
                let positional = call.arguments.get(self.position).filter(|a| a.required);
                Some(positional?.ty)
            }
            _ => None,
        }
    }

    /// The names before the end: `a.b` of `x = a.b`; with a `.` at the end where `dot` is set.
    fn path(&self, dot: bool) -> Vec<&'t str> {
        let mut pieces = self.statement.iter().rev();
        if dot {
            pieces.next();
        }
        let mut path = Vec::new();
        while let Some(piece) = pieces.next() {
            if piece.kind != TokenKind::Name {
                break;
            }
            path.push(piece.text);
            if pieces.next().is_none_or(|p| p.kind != TokenKind::Dot) {
                break;
            }
        }
        path.reverse();
        path
    }
}

struct Reader<'t> {
    text: &'t str,
    frames: Vec<Frame<'t>>,
    locals: Vec<&'t str>,
}

impl<'t> Reader<'t> {
    /// Reads the tokens up to `offset` and says what can stand there.
    fn read(&mut self, tokens: &[Token], offset: usize, holes: usize) -> Context<'t> {
        let mut newline = true;
        let mut at = 0;
        let mut inside = None;
        while let Some(token) = tokens.get(at) {
            if token.span.start as usize >= offset {
                break;
            }
            let ends_here = token.span.end as usize >= offset;
            match token.kind {
                TokenKind::Space => {
                    let end = (token.span.end as usize).min(offset);
                    let space = self.text.get(token.span.start as usize..end);
                    newline |= space.is_some_and(|space| space.contains('\n'));
                }
                TokenKind::Comment if ends_here => return self.nothing(offset),
                TokenKind::Comment => {}
                TokenKind::Name | TokenKind::Number if ends_here => {
                    inside = Some(*token);
                    break;
                }
                TokenKind::Text | TokenKind::LongText
                    if token.span.end as usize > offset || !self.is_closed(token) =>
                {
                    self.begin(newline, tokens, at);
                    return self.in_text(token, offset, holes);
                }
                _ => {
                    self.begin(newline, tokens, at);
                    self.token(token);
                    newline = false;
                }
            }
            at += 1;
        }
        if inside.is_some_and(|token| token.kind == TokenKind::Number) {
            return self.nothing(offset);
        }
        if newline
            && let Some(frame) = self.frames.last_mut()
            && frame.by_lines()
        {
            frame.end_statement();
        }
        let start = inside.map_or(offset, |token| token.span.start as usize);
        let mut followed = tokens[at..].iter().map(|token| token.kind);
        let followed = followed.find(|kind| !matches!(kind, TokenKind::Space | TokenKind::Name));
        let assigned = matches!(followed, Some(TokenKind::Equals | TokenKind::PlusEquals));
        self.finish(Span::new(FileId(0), start, offset), assigned)
    }

    fn slice(&self, token: &Token) -> &'t str {
        self.text.get(token.span.range()).unwrap_or("")
    }

    fn is_closed(&self, token: &Token) -> bool {
        is_closed(token.kind, self.slice(token))
    }

    fn nothing(&self, offset: usize) -> Context<'t> {
        Context {
            place: Place::Nothing,
            written: Span::new(FileId(0), offset, offset),
            locals: Vec::new(),
            present: Vec::new(),
            assigned: false,
        }
    }

    /// A new line ends a statement, and an item in the first column all brackets before it.
    fn begin(&mut self, newline: bool, tokens: &[Token], at: usize) {
        let Some(token) = tokens.get(at).filter(|_| newline) else {
            return;
        };
        let start = token.span.start as usize;
        let first_column = start == 0 || self.text.as_bytes().get(start - 1) == Some(&b'\n');
        if first_column && self.frames.len() > 1 && self.starts_item(tokens, at) {
            self.frames.truncate(1);
            self.locals.clear();
        }
        let is_else = token.kind == TokenKind::Name && self.slice(token) == "else";
        if let Some(frame) = self.frames.last_mut()
            && frame.by_lines()
            && !is_else
        {
            frame.end_statement();
        }
    }

    fn starts_item(&self, tokens: &[Token], at: usize) -> bool {
        let word = |token: &Token| match token.kind {
            TokenKind::Name => self.slice(token),
            _ => "",
        };
        let first = tokens.get(at).map_or("", word);
        let mut behind = tokens[at..].iter().skip(1);
        let next = behind.find(|token| token.kind != TokenKind::Space);
        let named = next.is_some_and(|t| matches!(t.kind, TokenKind::Name | TokenKind::Text));
        named
            && (matches!(first, "use" | "let" | "template") || schema::block(first).is_some())
            && !matches!(next.map_or("", word), "in" | "and" | "or")
    }

    fn token(&mut self, token: &Token) {
        let text = self.slice(token);
        let kind = token.kind;
        match kind {
            TokenKind::LeftBrace | TokenKind::LeftBracket | TokenKind::LeftParen => {
                self.open(kind);
            }
            TokenKind::RightBrace | TokenKind::RightBracket | TokenKind::RightParen => {
                if self.frames.len() > 1
                    && let Some(frame) = self.frames.pop()
                {
                    // The parameters of a template hold until its braces end.
                    if !matches!(frame.holds, Holds::Parameters) {
                        self.locals.truncate(frame.outer);
                    }
                }
            }
            TokenKind::Comma => {
                let Some(frame) = self.frames.last_mut() else {
                    return;
                };
                if frame.word(0) == "for" && !frame.has("in") {
                    frame.statement.push(Piece { kind, text });
                } else {
                    frame.position += 1;
                    frame.end_statement();
                }
            }
            _ => {
                let Some(frame) = self.frames.last_mut() else {
                    return;
                };
                let parameter =
                    matches!(frame.holds, Holds::Parameters) && kind == TokenKind::Colon;
                if parameter && let Some(name) = frame.statement.last() {
                    self.locals.push(name.text);
                }
                frame.statement.push(Piece { kind, text });
            }
        }
    }

    fn open(&mut self, kind: TokenKind) {
        let Some(frame) = self.frames.last_mut() else {
            return;
        };
        let outer = self.locals.len();
        let mut locals = Vec::new();
        let holds = match kind {
            TokenKind::LeftParen => called(frame),
            TokenKind::LeftBracket => Holds::List(match frame.expected() {
                Some(Type::List { of, .. }) => Some(of),
                _ => None,
            }),
            _ => {
                if frame.word(0) == "for" {
                    let names = frame.statement.iter().skip(1);
                    let names = names.take_while(|piece| piece.text != "in");
                    let names = names.filter(|piece| piece.kind == TokenKind::Name);
                    locals.extend(names.map(|piece| piece.text));
                }
                braces(frame)
            }
        };
        frame.statement.push(Piece { kind, text: "" });
        let outer = match (&holds, kind) {
            // Parameters are outside of the braces of their template but end with them.
            (Holds::Attributes(..), TokenKind::LeftBrace) if frame.word(0) == "template" => 0,
            _ => outer,
        };
        self.locals.extend(locals);
        self.frames.push(Frame {
            outer,
            ..Frame::new(holds)
        });
    }

    /// What can stand inside of a text.
    fn in_text(&mut self, token: &Token, offset: usize, holes: usize) -> Context<'t> {
        let quotes = if token.kind == TokenKind::LongText {
            3
        } else {
            1
        };
        let start = token.span.start as usize + quotes;
        if offset < start {
            return self.nothing(offset);
        }
        let mut at = start;
        while let Some(found) = self.text.get(at..offset).and_then(|text| text.find("${")) {
            let hole = at + found + 2;
            let escaped = self.text.as_bytes().get(hole - 3) == Some(&b'\\');
            let end = token.span.end as usize;
            let (length, closed) = hole_end(self.text.get(hole..end).unwrap_or(""), 0);
            if !escaped && (hole + length > offset || !closed) {
                if holes >= MAX_HOLES {
                    return self.nothing(offset);
                }
                let part = Span::new(FileId(0), hole, offset);
                let tokens = tokenize_part(self.text, part, &mut Vec::new());
                self.frames.push(Frame::new(Holds::Value(None)));
                return self.read(&tokens, offset, holes + 1);
            }
            at = if escaped { hole } else { hole + length };
        }
        let frame = self.frames.last();
        let in_key = frame.is_some_and(|frame| {
            frame.statement.is_empty()
                && matches!(
                    frame.holds,
                    Holds::Attributes(..) | Holds::Names(_) | Holds::Items
                )
        });
        let expected = frame.and_then(Frame::expected).filter(|_| !in_key);
        Context {
            place: Place::Text(expected),
            written: Span::new(FileId(0), start, offset),
            locals: Vec::new(),
            present: Vec::new(),
            assigned: false,
        }
    }

    fn finish(&mut self, written: Span, assigned: bool) -> Context<'t> {
        let place = match self.frames.last() {
            Some(frame) => place(frame),
            None => Place::Nothing,
        };
        Context {
            place,
            written,
            locals: std::mem::take(&mut self.locals),
            present: self
                .frames
                .last_mut()
                .map_or_else(Vec::new, |frame| std::mem::take(&mut frame.present)),
            assigned,
        }
    }
}

/// What stands in the parentheses that open behind this statement.
fn called<'t>(frame: &Frame<'t>) -> Holds<'t> {
    let expected = frame.expected();
    if matches!(frame.holds, Holds::Items) && frame.word(0) == "template" {
        let first = !frame
            .statement
            .iter()
            .any(|p| p.kind == TokenKind::LeftParen);
        if first && frame.statement.len() == 3 {
            return Holds::Parameters;
        }
    }
    let path = frame.path(false);
    let grouping = matches!(
        path.first(),
        None | Some(&("and" | "or" | "not" | "in" | "if"))
    );
    match path.as_slice() {
        [name] => match schema::call(name, expected) {
            Some(call) => Holds::Arguments(call),
            None if grouping => Holds::Value(expected),
            None => Holds::TemplateArguments(path),
        },
        _ if grouping => Holds::Value(expected),
        _ => Holds::TemplateArguments(path),
    }
}

/// What stands in the braces that open behind this statement.
fn braces<'t>(frame: &Frame<'t>) -> Holds<'t> {
    let record = |expected: Expected, path: &[&'static str]| match expected {
        Some(Type::Record(inner)) => Holds::Attributes(path.to_vec(), inner.iter().collect()),
        Some(Type::Map(_, value)) => Holds::Names(Some(value)),
        _ => Holds::Names(None),
    };
    let block = |kind: &str, statement: &[Piece<'_>]| match schema::block(kind) {
        Some(block) if !statement.is_empty() => {
            Holds::Attributes(vec![block.name], block.attributes().collect())
        }
        _ => Holds::Names(None),
    };
    let value = frame.has("if") || frame.has("else");
    match &frame.holds {
        Holds::Items => match frame.word(0) {
            "for" | "if" => Holds::Items,
            "let" if value => Holds::Value(None),
            "let" | "use" => Holds::Names(None),
            "template" => block(frame.word(1), &frame.statement),
            kind => block(kind, &frame.statement),
        },
        Holds::Attributes(..) | Holds::Names(_) if frame.is_repetition() => frame.holds.clone(),
        Holds::List(_) if frame.is_repetition() => frame.holds.clone(),
        // What a condition chooses has the type that stands before it.
        _ if value => {
            let mut outside = Frame::new(frame.holds.clone());
            outside.position = frame.position;
            if frame.is_assignment() {
                outside.statement.extend(frame.statement.iter().take(2));
            }
            Holds::Value(outside.expected())
        }
        Holds::Attributes(path, attributes) => {
            let mut path = path.clone();
            let known = attributes.iter().find(|a| a.name == frame.key());
            path.extend(known.map(|known| known.name));
            record(known.map(|known| known.ty), &path)
        }
        _ => record(frame.expected(), &[]),
    }
}

/// What can stand behind the statement as far as it is read.
fn place<'t>(frame: &Frame<'t>) -> Place<'t> {
    let last = frame.statement.last().copied();
    let behind = |kind: TokenKind| last.is_some_and(|piece| piece.kind == kind);
    if frame.word(0) == "use" && matches!(frame.holds, Holds::Items) {
        return match last {
            Some(piece) if piece.kind == TokenKind::Dot => Place::Use(frame.path(true)),
            Some(piece) if piece.text == "use" => Place::Use(Vec::new()),
            _ => Place::Nothing,
        };
    }
    if behind(TokenKind::Dot) {
        return Place::Member(frame.path(true));
    }
    let keyword = last.is_some_and(|piece| {
        piece.kind == TokenKind::Name
            && matches!(piece.text, "if" | "in" | "and" | "or" | "not" | "else")
    });
    let operator = last.is_some_and(|piece| {
        matches!(
            piece.kind,
            TokenKind::Equals
                | TokenKind::PlusEquals
                | TokenKind::Plus
                | TokenKind::Minus
                | TokenKind::Star
                | TokenKind::EqualEqual
                | TokenKind::NotEqual
                | TokenKind::Less
                | TokenKind::LessEqual
                | TokenKind::Greater
                | TokenKind::GreaterEqual
        )
    });
    let value = keyword || operator;
    match &frame.holds {
        Holds::Items => match (frame.word(0), frame.statement.len()) {
            ("", 0) => Place::Item,
            ("template", 1) => Place::Kind,
            _ if last.is_some_and(|p| p.kind == TokenKind::Name && p.text == "like") => {
                let kind = if frame.word(0) == "template" {
                    frame.word(1)
                } else {
                    frame.word(0)
                };
                Place::Base(kind)
            }
            ("let", _) | ("for" | "if", _) if value => Place::Value(None),
            ("let" | "for" | "if", _) => Place::Nothing,
            ("template", _) if behind(TokenKind::LeftParen) => Place::Like,
            (_, 2) => Place::Like,
            _ => Place::Nothing,
        },
        Holds::Attributes(path, attributes) if frame.statement.is_empty() => {
            Place::Attribute(path.clone(), attributes.clone())
        }
        Holds::Attributes(..) | Holds::Names(_) if value => Place::Value(frame.expected()),
        Holds::List(_) | Holds::Value(_) if value || frame.statement.is_empty() => {
            Place::Value(frame.expected())
        }
        Holds::Arguments(call) if frame.statement.is_empty() => {
            Place::Argument(call, frame.expected())
        }
        Holds::TemplateArguments(path) if frame.statement.is_empty() => {
            Place::TemplateArgument(path.clone())
        }
        Holds::Arguments(_) | Holds::TemplateArguments(_) if value => {
            Place::Value(frame.expected())
        }
        Holds::Parameters if behind(TokenKind::Colon) => Place::ParameterType,
        Holds::Parameters if operator => Place::Value(None),
        _ => Place::Nothing,
    }
}
