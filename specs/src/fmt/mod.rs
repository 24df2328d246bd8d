//! The canonical form of a text.
//!
//! Layout follows from what the text says and from where its comments and blank lines are, never
//! from how its brackets were broken: what fits on a line is on one line, what does not has one
//! element on each. The `=` of neighbouring attributes stand below each other. Comments keep their
//! places: on a line of their own before what they are about, or behind it.

mod expression;

use crate::diagnostic::Diagnostic;
use crate::source::Span;
use crate::syntax::ast::*;
use crate::syntax::parse;
use crate::syntax::token::{Token, TokenKind};

/// Columns that a line should not pass.
const WIDTH: usize = 80;

/// Columns of one level.
const INDENT: usize = 2;

/// The canonical form of `text`. Formatting it again changes nothing, and it parses to the same
/// tree.
///
/// # Errors
/// The diagnostics, where the text cannot be parsed.
pub fn format(text: &str) -> Result<String, Vec<Diagnostic>> {
    let (ast, diagnostics) = parse(text);
    if diagnostics.iter().any(Diagnostic::is_error) {
        return Err(diagnostics);
    }
    let comments = ast.tokens.iter().filter(|t| t.kind == TokenKind::Comment);
    let mut formatter = Formatter {
        text,
        tokens: &ast.tokens,
        comments: comments.map(|token| token.span).collect(),
        next_comment: 0,
        out: String::with_capacity(text.len() + text.len() / 8),
        last: None,
    };
    formatter.lines(&ast.items, 0, text.len(), Formatter::item);
    Ok(formatter.out)
}

/// Something that stands on lines of its own.
trait Line {
    fn span(&self) -> Span;
    /// Whether an empty line sets it apart from its neighbours.
    fn stands_alone(&self) -> bool {
        false
    }
    /// An attribute whose `=` may stand below that of its neighbour.
    fn attribute(&self) -> Option<&Attribute> {
        None
    }
}

impl Line for Item {
    fn span(&self) -> Span {
        self.span()
    }

    fn stands_alone(&self) -> bool {
        !matches!(self, Item::Use(_) | Item::Let(_))
    }
}

impl Line for Entry {
    fn span(&self) -> Span {
        match self {
            Entry::Attribute(entry) => entry.span,
            Entry::For(entry) => entry.span,
            Entry::If(entry) => entry.span,
        }
    }

    fn attribute(&self) -> Option<&Attribute> {
        match self {
            Entry::Attribute(attribute) => Some(attribute),
            _ => None,
        }
    }
}

impl Line for Element {
    fn span(&self) -> Span {
        match self {
            Element::Value(element) => element.span,
            Element::For(element) => element.span,
            Element::If(element) => element.span,
        }
    }
}

struct Formatter<'a> {
    text: &'a str,
    tokens: &'a [Token],
    /// All comments in order; those before `next_comment` have been put out.
    comments: Vec<Span>,
    next_comment: usize,
    out: String,
    /// End, in the text, of what was put out last on the present level; `None` at its start.
    last: Option<u32>,
}

impl<'a> Formatter<'a> {
    fn put(&mut self, text: &str) {
        self.out.push_str(text);
    }

    fn start_line(&mut self, indent: usize) {
        self.out.extend(std::iter::repeat_n(' ', indent));
    }

    fn slice(&self, span: Span) -> &'a str {
        &self.text[span.range()]
    }

    /// Number of line breaks in the text from `from` to `to`.
    fn breaks(&self, from: u32, to: u32) -> usize {
        let part = self.text.get(from as usize..to as usize).unwrap_or("");
        part.bytes().filter(|byte| *byte == b'\n').count()
    }

    /// Where the first bracket of this kind from `after` on begins.
    fn closing(&self, kind: TokenKind, after: u32) -> usize {
        let first = self
            .tokens
            .partition_point(|token| token.span.start < after);
        let close = self.tokens[first..].iter().find(|token| token.kind == kind);
        close.map_or(self.text.len(), |token| token.span.start as usize)
    }

    /// Whether a comment lies within `span`.
    fn has_comment(&self, span: Span) -> bool {
        let first = self
            .comments
            .partition_point(|comment| comment.start < span.start);
        self.comments
            .get(first)
            .is_some_and(|comment| comment.start < span.end)
    }

    /// An empty line, if the text has one before `start` and something stands above.
    fn blank_line(&mut self, start: u32, wanted: bool) {
        if self
            .last
            .is_some_and(|last| wanted || self.breaks(last, start) > 1)
        {
            self.put("\n");
        }
    }

    /// Puts out the comments before `end`, each on its line. The first is set apart if `apart`.
    fn comments_before(&mut self, end: usize, indent: usize, mut apart: bool) -> bool {
        let first = self.next_comment;
        while let Some(comment) = self.comments.get(self.next_comment).copied() {
            if comment.start as usize >= end {
                break;
            }
            self.next_comment += 1;
            self.blank_line(comment.start, std::mem::take(&mut apart));
            self.start_line(indent);
            self.put(self.slice(comment).trim_end());
            self.put("\n");
            self.last = Some(comment.end);
        }
        self.next_comment > first
    }

    /// Puts out the comment that stands behind something that ends at `end`, on its line.
    fn comment_behind(&mut self, end: u32) {
        self.last = Some(end);
        if let Some(comment) = self.comments.get(self.next_comment).copied() {
            let between = self.text.get(end as usize..comment.start as usize);
            if between.is_some_and(|text| text.bytes().all(|b| matches!(b, b' ' | b'\t' | b','))) {
                self.next_comment += 1;
                self.put(" ");
                self.put(self.slice(comment).trim_end());
                self.last = Some(comment.end);
            }
        }
        self.put("\n");
    }

    /// Puts out things on lines of their own, with the comments among them, up to `end`.
    fn lines<T: Line>(
        &mut self,
        lines: &[T],
        indent: usize,
        end: usize,
        one: fn(&mut Self, &T, usize),
    ) {
        let outer = self.last.take();
        let mut width = 0;
        for (index, line) in lines.iter().enumerate() {
            let span = line.span();
            let before = index.checked_sub(1).map(|before| &lines[before]);
            let apart = before.is_some_and(|b| b.stands_alone() || line.stands_alone());
            let commented = self.comments_before(span.start as usize, indent, apart);
            self.blank_line(span.start, apart && !commented);
            match line.attribute() {
                Some(attribute) => {
                    if index == 0 || !self.aligned(&lines[index - 1], line, indent) {
                        width = self.width(&lines[index..], indent);
                    }
                    self.attribute(attribute, indent, width);
                }
                None => one(self, line, indent),
            }
            self.comment_behind(span.end);
            // What stood in places where no line begins follows the whole.
            self.comments_before(span.end as usize, indent, false);
        }
        self.comments_before(end, indent, false);
        self.last = outer;
    }

    /// Whether the `=` of two neighbours stand below each other: both are attributes on one line,
    /// with nothing between them.
    fn aligned<T: Line>(&self, above: &T, below: &T, indent: usize) -> bool {
        let close = self.breaks(above.span().end, below.span().start) < 2;
        let between = Span {
            start: above.span().end,
            end: below.span().start,
            ..above.span()
        };
        let own_line = |comment: &Span| {
            between.start <= comment.start
                && comment.start < between.end
                && self.breaks(between.start, comment.start) > 0
        };
        close
            // One in the middle of it follows it on its own line.
            && !self.has_comment(above.span())
            && !self.comments.iter().any(own_line)
            && self.is_one_line(above, indent)
            && self.is_one_line(below, indent)
    }

    fn is_one_line<T: Line>(&self, line: &T, indent: usize) -> bool {
        line.attribute().is_some_and(|attribute| {
            let left = indent + attribute.key.span().range().len() + 4;
            self.flat(&attribute.value)
                .is_some_and(|value| left + columns(&value) <= WIDTH)
        })
    }

    /// Where the `=` of the neighbours that begin with the first of `lines` stands: columns of the
    /// longest name, with the `+` of a `+=`.
    fn width<T: Line>(&self, lines: &[T], indent: usize) -> usize {
        let mut width = 0;
        for (index, line) in lines.iter().enumerate() {
            if index > 0 && !self.aligned(&lines[index - 1], line, indent) {
                break;
            }
            if let Some(attribute) = line.attribute() {
                let name = columns(self.slice(attribute.key.span()));
                width = width.max(name + usize::from(attribute.add));
            }
        }
        width
    }

    fn attribute(&mut self, attribute: &Attribute, indent: usize, width: usize) {
        let name = self.slice(attribute.key.span());
        self.start_line(indent);
        self.put(name);
        self.start_line(width.saturating_sub(columns(name)));
        self.put(if attribute.add { "+= " } else { " = " });
        self.value(&attribute.value, indent);
    }

    fn item(&mut self, item: &Item, indent: usize) {
        self.start_line(indent);
        match item {
            Item::Use(item) => {
                let path: Vec<&str> = item.path.iter().map(|name| name.text.as_str()).collect();
                self.put("use ");
                self.put(&path.join("."));
                if let Some(alias) = &item.alias {
                    self.put(" as ");
                    self.put(&alias.text);
                }
            }
            Item::Let(item) => {
                self.put("let ");
                self.put(&item.name.text);
                self.put(" = ");
                self.value(&item.value, indent);
            }
            Item::Block(block) => {
                self.put(&block.kind.text);
                self.put(" ");
                self.put(self.slice(block.name.span()));
                let head = block
                    .like
                    .as_ref()
                    .map_or(block.name.span(), |like| like.span);
                self.like_and_body(block.like.as_ref(), &block.body, head, block.span, indent);
            }
            Item::Template(template) => {
                self.put("template ");
                self.put(&template.kind.text);
                self.put(" ");
                self.put(&template.name.text);
                self.parameters(&template.parameters, indent);
                let last = template.parameters.last();
                let head = match (&template.like, last) {
                    (Some(like), _) => like.span,
                    (None, Some(last)) => last.default.as_ref().map_or(last.kind.span, |d| d.span),
                    (None, None) => template.name.span,
                };
                self.like_and_body(
                    template.like.as_ref(),
                    &template.body,
                    head,
                    template.span,
                    indent,
                );
            }
            Item::For(item) => self.for_lines(item, indent, Self::item),
            Item::If(item) => self.if_lines(item, indent, Self::item),
        }
    }

    fn like_and_body(
        &mut self,
        like: Option<&Expr>,
        body: &[Entry],
        head: Span,
        whole: Span,
        indent: usize,
    ) {
        if let Some(like) = like {
            self.put(" like ");
            self.value(like, indent);
        }
        let rest = Span {
            start: head.end,
            ..whole
        };
        if body.is_empty() && !self.has_comment(rest) {
            self.put(if like.is_some() { "" } else { " {}" });
            return;
        }
        self.put(" ");
        self.body(body, head.end, indent, Self::entry);
    }

    fn parameters(&mut self, parameters: &[Parameter], indent: usize) {
        let head = |parameter: &Parameter| {
            let sign = if parameter.default.is_some() {
                " = "
            } else {
                ""
            };
            format!("{}: {}{sign}", parameter.name.text, parameter.kind.text)
        };
        let flat = parameters.iter().map(|parameter| match &parameter.default {
            Some(default) => Some(head(parameter) + &self.flat(default)?),
            None => Some(head(parameter)),
        });
        if let Some(flat) = flat.collect::<Option<Vec<_>>>() {
            let flat = format!("({})", flat.join(", "));
            if self.column() + columns(&flat) + 2 <= WIDTH {
                return self.put(&flat);
            }
        }
        self.put("(\n");
        for parameter in parameters {
            self.start_line(indent + INDENT);
            self.put(&head(parameter));
            if let Some(default) = &parameter.default {
                self.value(default, indent + INDENT);
            }
            self.put(",\n");
        }
        self.start_line(indent);
        self.put(")");
    }

    /// `{`, lines, `}`; the head before them ends at `head_end`.
    fn body<T: Line>(
        &mut self,
        body: &[T],
        head_end: u32,
        indent: usize,
        one: fn(&mut Self, &T, usize),
    ) {
        let after = body.last().map_or(head_end, |last| last.span().end);
        let end = self.closing(TokenKind::RightBrace, after);
        let comment = self.comments.get(self.next_comment);
        if body.is_empty() && comment.is_none_or(|comment| comment.start as usize >= end) {
            return self.put("{}");
        }
        self.put("{\n");
        self.lines(body, indent + INDENT, end, one);
        self.start_line(indent);
        self.put("}");
    }

    fn entry(&mut self, entry: &Entry, indent: usize) {
        self.start_line(indent);
        match entry {
            Entry::Attribute(_) => {}
            Entry::For(entry) => self.for_lines(entry, indent, Self::entry),
            Entry::If(entry) => self.if_lines(entry, indent, Self::entry),
        }
    }

    fn for_lines<T: Line>(&mut self, item: &For<T>, indent: usize, one: fn(&mut Self, &T, usize)) {
        self.put(&expression::for_head(&item.names));
        self.head(&item.list, indent);
        self.put(" ");
        self.body(&item.body, item.list.span.end, indent, one);
    }

    fn if_lines<T: Line + AsIf>(
        &mut self,
        item: &If<T>,
        indent: usize,
        one: fn(&mut Self, &T, usize),
    ) {
        self.put("if ");
        self.head(&item.condition, indent);
        self.put(" ");
        self.body(&item.then, item.condition.span.end, indent, one);
        let Some(otherwise) = &item.otherwise else {
            return;
        };
        self.put(" else ");
        if let [only] = otherwise.as_slice()
            && let Some(inner) = only.as_if()
        {
            return self.if_lines(inner, indent, one);
        }
        let after = item
            .then
            .last()
            .map_or(item.condition.span.end, |last| last.span().end);
        let close = self.closing(TokenKind::RightBrace, after);
        let head_end = u32::try_from(close + 1).unwrap_or(u32::MAX);
        self.body(otherwise, head_end, indent, one);
    }
}

/// What may be an `if` behind an `else`.
trait AsIf: Sized {
    fn as_if(&self) -> Option<&If<Self>>;
}

impl AsIf for Item {
    fn as_if(&self) -> Option<&If<Self>> {
        if let Item::If(item) = self {
            Some(item)
        } else {
            None
        }
    }
}

impl AsIf for Entry {
    fn as_if(&self) -> Option<&If<Self>> {
        if let Entry::If(entry) = self {
            Some(entry)
        } else {
            None
        }
    }
}

impl AsIf for Element {
    fn as_if(&self) -> Option<&If<Self>> {
        if let Element::If(element) = self {
            Some(element)
        } else {
            None
        }
    }
}

/// Columns that `text` takes.
fn columns(text: &str) -> usize {
    text.chars().count()
}
