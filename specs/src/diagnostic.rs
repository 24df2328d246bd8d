//! Messages about a spec: what is wrong, where, and what to do next.

use crate::source::{LineColumn, Sources, Span};

/// How much a [`Diagnostic`] matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The spec cannot be built.
    Error,
    /// The spec can be built, but probably does not say what was meant.
    Warning,
}

/// A place with a remark.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Label {
    /// The place.
    pub span: Span,
    /// The remark; may be empty.
    pub text: String,
}

/// A replacement that makes the mistake go away.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fix {
    /// What to replace.
    pub span: Span,
    /// The text to put there.
    pub replacement: String,
}

/// One message about a spec.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    /// Stable code, a key of [`crate::codes::explain`].
    pub code: &'static str,
    /// Error or warning.
    pub severity: Severity,
    /// One sentence without a full stop: what is wrong.
    pub message: String,
    /// Places; the first one is where the mistake is.
    pub labels: Vec<Label>,
    /// The chain from the outermost block to the place (`host edge`, `service web`).
    pub context: Vec<String>,
    /// What to do next.
    pub help: String,
    /// A replacement that does it, where there is one.
    pub fix: Option<Fix>,
}

impl Diagnostic {
    /// A message with its place and its remedy. The severity follows from the code's letter.
    pub fn new(
        code: &'static str,
        span: Span,
        message: impl Into<String>,
        help: impl Into<String>,
    ) -> Self {
        let severity = if code.starts_with('W') {
            Severity::Warning
        } else {
            Severity::Error
        };
        Self {
            code,
            severity,
            message: message.into(),
            labels: vec![Label {
                span,
                text: String::new(),
            }],
            context: Vec::new(),
            help: help.into(),
            fix: None,
        }
    }

    /// The remark at the mistake itself.
    #[must_use]
    pub fn at(mut self, text: impl Into<String>) -> Self {
        if let Some(first) = self.labels.first_mut() {
            first.text = text.into();
        }
        self
    }

    /// A further place that explains the mistake.
    #[must_use]
    pub fn label(mut self, span: Span, text: impl Into<String>) -> Self {
        self.labels.push(Label {
            span,
            text: text.into(),
        });
        self
    }

    /// A replacement that makes it go away.
    #[must_use]
    pub fn fix(mut self, span: Span, replacement: impl Into<String>) -> Self {
        self.fix = Some(Fix {
            span,
            replacement: replacement.into(),
        });
        self
    }

    /// The chain of blocks that leads to the place.
    #[must_use]
    pub fn context(mut self, chain: &[String]) -> Self {
        self.context = chain.to_vec();
        self
    }

    /// Whether this is an error.
    pub fn is_error(&self) -> bool {
        self.severity == Severity::Error
    }

    /// Where the mistake is.
    pub fn span(&self) -> Span {
        self.labels
            .first()
            .map(|label| label.span)
            .unwrap_or_default()
    }
}

/// Puts messages into reading order (by text, then place, then code) and drops repetitions.
pub fn tidy(diagnostics: &mut Vec<Diagnostic>) {
    diagnostics.sort_by(|a, b| (a.span(), a.code, &a.message).cmp(&(b.span(), b.code, &b.message)));
    diagnostics.dedup_by(|a, b| a.code == b.code && a.span() == b.span() && a.message == b.message);
}

/// A message in the form that programs read: names and counted places instead of numbers.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Report<'a> {
    code: &'static str,
    severity: Severity,
    message: &'a str,
    labels: Vec<ReportPlace<'a>>,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    context: &'a [String],
    help: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    fix: Option<ReportPlace<'a>>,
}

/// A place in a [`Report`].
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
struct ReportPlace<'a> {
    file: &'a str,
    start: LineColumn,
    end: LineColumn,
    /// Byte offsets.
    bytes: (u32, u32),
    /// The label's remark, or the fix's replacement.
    text: &'a str,
}

/// `diagnostics` in the form that programs read.
pub fn report<'a>(diagnostics: &'a [Diagnostic], sources: &'a Sources) -> Vec<Report<'a>> {
    let place = |span: Span, text: &'a str| ReportPlace {
        file: &sources.get(span.file).name,
        start: sources.line_column(span.file, span.start),
        end: sources.line_column(span.file, span.end),
        bytes: (span.start, span.end),
        text,
    };
    diagnostics
        .iter()
        .map(|d| Report {
            code: d.code,
            severity: d.severity,
            message: &d.message,
            labels: d.labels.iter().map(|l| place(l.span, &l.text)).collect(),
            context: &d.context,
            help: &d.help,
            fix: d.fix.as_ref().map(|f| place(f.span, &f.replacement)),
        })
        .collect()
}
