//! Tokens → tree: values.

use super::ast::*;
use super::lexer::is_closed;
use super::literal::{self, Piece};
use super::parser::{MAX_OPERATORS, Parsed, Parser, Repeatable, Reported};
use super::token::TokenKind;
use crate::codes;
use crate::diagnostic::Diagnostic;

const VALUE_HELP: &str = "values are texts \"…\", numbers 80, sizes 64MiB, times 10s, true, false, names, lists […] and records {…}";

impl Parser<'_> {
    /// A value.
    pub(super) fn expression(&mut self) -> Parsed<Expr> {
        self.nested(|parser| parser.binary(1, true))
    }

    /// A value before the `{` of a `for` or `if`: a record there needs parentheses.
    pub(super) fn before_brace(&mut self) -> Parsed<Expr> {
        self.nested(|parser| parser.binary(1, false))
    }

    /// What a block can be like: a name or a call.
    pub(super) fn base(&mut self) -> Parsed<Expr> {
        if self.peek() != TokenKind::Name {
            return self.expected("a block or a template", "write `service b like a { … }`");
        }
        self.nested(|parser| parser.path_or_call())
    }

    fn binary(&mut self, lowest: u8, braces: bool) -> Parsed<Expr> {
        let mut left = self.unary(braces)?;
        while let Some(operator) = self.operator() {
            let precedence = operator.precedence();
            if precedence < lowest {
                break;
            }
            self.count_operator()?;
            self.step();
            let right = self.binary(precedence + 1, braces)?;
            let span = left.span.to(right.span);
            left = Expr {
                kind: ExprKind::Binary(operator, Box::new(left), Box::new(right)),
                span,
            };
            if precedence == BinaryOperator::Equal.precedence()
                && self
                    .operator()
                    .is_some_and(|o| o.precedence() == precedence)
            {
                return self.expected(
                    "the end of the comparison",
                    "join two comparisons with `and`: `a < b and b < c`",
                );
            }
        }
        Ok(left)
    }

    fn count_operator(&mut self) -> Parsed<()> {
        self.operators += 1;
        if self.operators > MAX_OPERATORS {
            self.diagnostics.push(Diagnostic::new(
                codes::TOO_DEEP,
                self.span(),
                format!("this value has more than {MAX_OPERATORS} operators"),
                "give a part of it a name with `let`",
            ));
            return Err(Reported);
        }
        Ok(())
    }

    /// The operator that the next token is, if it belongs to the value before it: outside of
    /// parentheses a new line ends a value.
    fn operator(&self) -> Option<BinaryOperator> {
        if self.at_line_start() && !self.in_parens {
            return None;
        }
        Some(match self.peek() {
            TokenKind::Plus => BinaryOperator::Add,
            TokenKind::Minus => BinaryOperator::Subtract,
            TokenKind::Star => BinaryOperator::Multiply,
            TokenKind::EqualEqual => BinaryOperator::Equal,
            TokenKind::NotEqual => BinaryOperator::NotEqual,
            TokenKind::Less => BinaryOperator::Less,
            TokenKind::LessEqual => BinaryOperator::LessEqual,
            TokenKind::Greater => BinaryOperator::Greater,
            TokenKind::GreaterEqual => BinaryOperator::GreaterEqual,
            TokenKind::Name if self.is_word(0, "and") => BinaryOperator::And,
            TokenKind::Name if self.is_word(0, "or") => BinaryOperator::Or,
            TokenKind::Name if self.is_word(0, "in") => BinaryOperator::In,
            _ => return None,
        })
    }

    fn unary(&mut self, braces: bool) -> Parsed<Expr> {
        let (operator, strength) = if self.is_word(0, "not") {
            (UnaryOperator::Not, NOT_PRECEDENCE + 1)
        } else if self.peek() == TokenKind::Minus {
            (UnaryOperator::Negate, NEGATE_PRECEDENCE)
        } else {
            return self.primary(braces);
        };
        let start = self.step();
        self.nested(|parser| {
            let operand = parser.binary(strength, braces)?;
            let span = start.to(operand.span);
            Ok(Expr {
                kind: ExprKind::Unary(operator, Box::new(operand)),
                span,
            })
        })
    }

    fn primary(&mut self, braces: bool) -> Parsed<Expr> {
        match self.peek() {
            TokenKind::Text | TokenKind::LongText => Ok(self.text_literal()),
            TokenKind::Number => {
                let span = self.step();
                let kind = match literal::number(span, self.slice(span)) {
                    Ok((amount, unit)) => ExprKind::Number(amount, unit),
                    Err(diagnostic) => {
                        self.diagnostics.push(*diagnostic);
                        ExprKind::Error
                    }
                };
                Ok(Expr { kind, span })
            }
            TokenKind::LeftBracket => {
                let open = self.step();
                let elements =
                    self.nested(|p| Ok(p.bracketed(open, TokenKind::RightBracket, Element::one)))?;
                Ok(Expr {
                    kind: ExprKind::List(elements),
                    span: open.to(self.last_span()),
                })
            }
            TokenKind::LeftBrace if braces => {
                let open = self.span();
                let entries = self.entries(VALUE_HELP)?;
                Ok(Expr {
                    kind: ExprKind::Record(entries),
                    span: open.to(self.last_span()),
                })
            }
            TokenKind::LeftParen => self.parenthesised(),
            TokenKind::Name if self.is_word(0, "if") => self.if_value(),
            TokenKind::Name => self.path_or_call(),
            _ => self.expected("a value", VALUE_HELP),
        }
    }

    fn parenthesised(&mut self) -> Parsed<Expr> {
        let open = self.step();
        let in_parens = std::mem::replace(&mut self.in_parens, true);
        let inner = self.expression();
        self.in_parens = in_parens;
        let inner = inner?;
        if self.eat(TokenKind::RightParen).is_none() {
            return self.expected("`)`", "close the parenthesis");
        }
        // The parentheses are in the shape of the tree; the place keeps them for messages.
        Ok(Expr {
            span: open.to(self.last_span()),
            ..inner
        })
    }

    fn if_value(&mut self) -> Parsed<Expr> {
        let help = "as a value it is `if condition { a } else { b }`, with one value in each";
        let start = self.step();
        let condition = self.before_brace()?;
        let then = self.braced_value(help)?;
        if self.eat_word("else").is_none() {
            return self.expected("`else`", help);
        }
        let otherwise = if self.is_word(0, "if") {
            self.nested(|parser| parser.if_value())?
        } else {
            self.braced_value(help)?
        };
        let kind = ExprKind::If(Box::new(condition), Box::new(then), Box::new(otherwise));
        Ok(Expr {
            kind,
            span: start.to(self.last_span()),
        })
    }

    fn braced_value(&mut self, help: &str) -> Parsed<Expr> {
        if self.eat(TokenKind::LeftBrace).is_none() {
            return self.expected("`{`", help);
        }
        let in_parens = std::mem::replace(&mut self.in_parens, true);
        let value = self.expression();
        self.in_parens = in_parens;
        let value = value?;
        if self.eat(TokenKind::RightBrace).is_none() {
            return self.expected("`}`", help);
        }
        Ok(value)
    }

    fn path_or_call(&mut self) -> Parsed<Expr> {
        let start = self.span();
        let mut path = vec![self.path_name()?];
        while self.peek() == TokenKind::Dot && (self.in_parens || !self.at_line_start()) {
            self.step();
            path.push(self.name("a name", "a name follows the `.`: `kernel.stock`")?);
        }
        let open = self.span();
        if self.peek() != TokenKind::LeftParen || (self.at_line_start() && !self.in_parens) {
            let span = start.to(self.last_span());
            return Ok(Expr {
                kind: ExprKind::Path(path),
                span,
            });
        }
        self.step();
        let arguments = self.nested(|parser| {
            Ok(parser.bracketed(open, TokenKind::RightParen, |parser| {
                let named =
                    parser.peek() == TokenKind::Name && parser.peek_at(1) == TokenKind::Equals;
                let name = if named {
                    let name = parser.name("an argument", "choose another name")?;
                    parser.step();
                    Some(name)
                } else {
                    None
                };
                Ok(Argument {
                    name,
                    value: parser.expression()?,
                })
            }))
        })?;
        let kind = ExprKind::Call {
            function: path,
            arguments,
        };
        Ok(Expr {
            kind,
            span: start.to(self.last_span()),
        })
    }

    /// The first word of a path: also `true` and `false`, but no other keyword.
    fn path_name(&mut self) -> Parsed<Name> {
        let is_value = self.is_word(0, "true") || self.is_word(0, "false");
        let word = self.slice(self.span());
        if !is_value && super::KEYWORDS.contains(&word) {
            return self.expected("a value", VALUE_HELP);
        }
        let span = self.step();
        Ok(Name {
            text: word.to_owned(),
            span,
        })
    }

    /// A `"…"` or `"""…"""` token, which is next.
    pub(super) fn text_literal(&mut self) -> Expr {
        let kind = self.peek();
        let long = kind == TokenKind::LongText;
        let span = self.step();
        let token = self.slice(span);
        let closed = is_closed(kind, token);
        let pieces = if !closed {
            Vec::new()
        } else if long {
            literal::long_text(span, token, &mut self.diagnostics)
        } else {
            literal::text(span, token, &mut self.diagnostics)
        };
        let parts = pieces
            .into_iter()
            .map(|piece| match piece {
                Piece::Chars(chars) => TextPart::Chars(chars),
                Piece::Hole(place) => TextPart::Hole(self.hole(place)),
            })
            .collect();
        let kind = if closed {
            ExprKind::Text { parts, long }
        } else {
            ExprKind::Error
        };
        Expr { kind, span }
    }
}

impl Repeatable for Element {
    fn one(parser: &mut Parser<'_>) -> Parsed<Self> {
        match parser.repeated() {
            Some(found) => found,
            None => parser.expression().map(Element::Value),
        }
    }

    fn from_for(item: For<Self>) -> Self {
        Element::For(item)
    }

    fn from_if(item: If<Self>) -> Self {
        Element::If(item)
    }
}
