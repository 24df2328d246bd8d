//! Lines of a terminal: pieces of text, some in a colour, cut where the terminal ends.

/// A colour, as the parameter of its escape sequence.
pub(super) type Paint = &'static str;

pub(super) const RUNNING: Paint = "33";
pub(super) const FAILED: Paint = "1;31";
pub(super) const ASIDE: Paint = "2";

/// Characters other than ASCII that we draw with; each takes one column.
const DRAWN: &str = "├└│─▸✗…";

/// One line in the making.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Line(Vec<(String, Option<Paint>)>);

impl Line {
    /// More text. What a terminal would take for a command is shown as `?`.
    pub(super) fn add(&mut self, text: &str) -> &mut Self {
        self.0.push((crate::units::printable(text), None));
        self
    }

    /// More text in a colour.
    pub(super) fn paint(&mut self, text: &str, paint: Paint) -> &mut Self {
        self.0.push((crate::units::printable(text), Some(paint)));
        self
    }

    /// Columns that it takes.
    pub(super) fn width(&self) -> usize {
        let texts = self.0.iter().flat_map(|(text, _)| text.chars());
        texts.map(width).sum()
    }

    /// Its text for so many columns, with escape sequences where there is to be colour.
    pub(super) fn shown(&self, columns: usize, color: bool) -> String {
        let mut shown = String::new();
        let mut left = columns;
        for (text, paint) in &self.0 {
            let mut part = String::new();
            for c in text.chars() {
                let Some(rest) = left.checked_sub(width(c)) else {
                    left = 0;
                    break;
                };
                left = rest;
                part.push(c);
            }
            match paint {
                Some(paint) if color && !part.is_empty() => {
                    shown.push_str(&format!("\x1b[{paint}m{part}\x1b[0m"));
                }
                _ => shown.push_str(&part),
            }
        }
        shown
    }
}

/// Columns of a character: at most what a terminal gives it, so that no line ever wraps.
fn width(c: char) -> usize {
    if c.is_ascii() || DRAWN.contains(c) {
        1
    } else {
        2
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_cut_at_columns_not_in_escape_sequences() {
        let mut line = Line::default();
        line.add("├─ ").paint("日本\x1b[2J", RUNNING).add(" x");
        assert_eq!(line.width(), 3 + 4 + 4 + 2);
        assert_eq!(line.shown(80, false), "├─ 日本?[2J x");
        assert_eq!(line.shown(8, true), "├─ \x1b[33m日本?\x1b[0m");
        assert_eq!(line.shown(6, true), "├─ \x1b[33m日\x1b[0m");
        assert_eq!(line.shown(3, true), "├─ ");
        assert_eq!(line.shown(0, true), "");
    }
}
