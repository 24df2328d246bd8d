//! What operators make of values.

use super::value::{Value, ValueKind};
use super::{Env, Evaluator};
use crate::codes;
use crate::diagnostic::Diagnostic;
use crate::source::Span;
use crate::syntax::ast::{BinaryOperator, Expr};
use crate::syntax::literal::Unit;
use std::cmp::Ordering;
use std::rc::Rc;

impl<'a> Evaluator<'a> {
    /// `and` and `or`, which look at their right side only if they must; `None` for others.
    pub(super) fn short_circuit(
        &mut self,
        env: &Env,
        operator: BinaryOperator,
        left: &'a Expr,
        right: &'a Expr,
        span: Span,
    ) -> Option<Value> {
        let decided_by = match operator {
            BinaryOperator::And => false,
            BinaryOperator::Or => true,
            _ => return None,
        };
        let result = match self.condition(env, left) {
            Some(value) if value == decided_by => Some(value),
            Some(_) => self.condition(env, right),
            None => None,
        };
        Some(match result {
            Some(value) => Value::new(ValueKind::Bool(value), span),
            None => Value::error(span),
        })
    }

    /// `-operand`
    pub(super) fn negate(&mut self, operand: &Value, span: Span) -> Value {
        match operand.kind {
            ValueKind::Error => Value::error(span),
            ValueKind::Number(amount, unit) => self.number(amount.checked_neg(), unit, span),
            _ => {
                self.report(Diagnostic::new(
                    codes::BAD_OPERANDS,
                    span,
                    format!(
                        "`-` stands before numbers, not before {}",
                        operand.describe()
                    ),
                    "take the `-` out",
                ));
                Value::error(span)
            }
        }
    }

    fn number(&mut self, amount: Option<i64>, unit: Unit, span: Span) -> Value {
        match amount {
            Some(amount) => Value::new(ValueKind::Number(amount, unit), span),
            None => {
                self.report(Diagnostic::new(
                    codes::OVERFLOW,
                    span,
                    "the result is larger than any number",
                    format!(
                        "make its parts smaller: numbers lie between {} and {}",
                        i64::MIN,
                        i64::MAX
                    ),
                ));
                Value::error(span)
            }
        }
    }

    /// `left operator right` for all operators but `and` and `or`.
    pub(super) fn binary(
        &mut self,
        operator: BinaryOperator,
        left: Value,
        right: Value,
        span: Span,
    ) -> Value {
        use BinaryOperator as Op;
        if left.is_error() || right.is_error() {
            return Value::error(span);
        }
        let steps = match operator {
            Op::Add => cost(&left) + cost(&right),
            Op::In => right.weight as usize,
            _ => left.weight.min(right.weight) as usize,
        };
        if !self.spend(steps, span) {
            return Value::error(span);
        }
        let known = match operator {
            Op::Equal => left.same(&right).map(ValueKind::Bool),
            Op::NotEqual => left.same(&right).map(|same| ValueKind::Bool(!same)),
            Op::Less => compare(&left, &right, Ordering::is_lt),
            Op::LessEqual => compare(&left, &right, Ordering::is_le),
            Op::Greater => compare(&left, &right, Ordering::is_gt),
            Op::GreaterEqual => compare(&left, &right, Ordering::is_ge),
            Op::In => contains(&left, &right),
            Op::Add => match (&left.kind, &right.kind) {
                (ValueKind::Number(a, x), ValueKind::Number(b, y)) if x == y => {
                    return self.number(a.checked_add(*b), *x, span);
                }
                _ => joined(&left, &right),
            },
            Op::Subtract => match (&left.kind, &right.kind) {
                (ValueKind::Number(a, x), ValueKind::Number(b, y)) if x == y => {
                    return self.number(a.checked_sub(*b), *x, span);
                }
                _ => None,
            },
            Op::Multiply => match (&left.kind, &right.kind) {
                (ValueKind::Number(a, Unit::None), ValueKind::Number(b, unit))
                | (ValueKind::Number(a, unit), ValueKind::Number(b, Unit::None)) => {
                    return self.number(a.checked_mul(*b), *unit, span);
                }
                _ => None,
            },
            Op::And | Op::Or => None,
        };
        if let Some(kind) = known {
            return Value::new(kind, span);
        }
        let sign = operator.as_str();
        self.report(
            Diagnostic::new(
                codes::BAD_OPERANDS,
                span,
                format!(
                    "`{sign}` does not join {} and {}",
                    left.describe(),
                    right.describe()
                ),
                match operator {
                    Op::Add => "join two of one type; a number is put into a text by `${…}`",
                    Op::Equal | Op::NotEqual => "compare two values of one type",
                    Op::In => "`in` looks for a value in a list, or for a name in a record",
                    Op::Multiply => "multiply a number by a number, a size or a time",
                    _ => "give it two numbers, two sizes or two times",
                },
            )
            .label(left.span, left.describe())
            .label(right.span, right.describe()),
        );
        Value::error(span)
    }
}

/// Steps that copying the value's own level takes.
fn cost(value: &Value) -> usize {
    match &value.kind {
        ValueKind::Text(_) => value.weight as usize,
        ValueKind::List(list) => list.len(),
        ValueKind::Record(fields) => fields.len(),
        _ => 1,
    }
}

fn compare(left: &Value, right: &Value, test: fn(Ordering) -> bool) -> Option<ValueKind> {
    match (&left.kind, &right.kind) {
        (ValueKind::Number(a, x), ValueKind::Number(b, y)) if x == y => {
            Some(ValueKind::Bool(test(a.cmp(b))))
        }
        _ => None,
    }
}

fn contains(left: &Value, right: &Value) -> Option<ValueKind> {
    match (&left.kind, &right.kind) {
        (_, ValueKind::List(list)) => Some(ValueKind::Bool(
            list.iter().any(|value| left.same(value) == Some(true)),
        )),
        (ValueKind::Text(name), ValueKind::Record(fields)) => {
            Some(ValueKind::Bool(fields.get(name).is_some()))
        }
        _ => None,
    }
}

/// Texts and lists one behind the other, records one over the other.
fn joined(left: &Value, right: &Value) -> Option<ValueKind> {
    match (&left.kind, &right.kind) {
        (ValueKind::Text(a), ValueKind::Text(b)) => {
            Some(ValueKind::Text([&**a, &**b].concat().into()))
        }
        (ValueKind::List(a), ValueKind::List(b)) => {
            Some(ValueKind::List(Rc::new([&a[..], &b[..]].concat())))
        }
        (ValueKind::Record(a), ValueKind::Record(b)) => {
            let mut all = (**a).clone();
            for field in b.iter() {
                all.set(field.clone());
            }
            Some(ValueKind::Record(Rc::new(all)))
        }
        _ => None,
    }
}
