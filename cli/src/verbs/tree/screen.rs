//! What of a tree is on the screen.

use super::model::{Model, Order, Row};
use crate::units::{human_size, printable};

/// Columns of the bar that shows how much of a folder something is.
const BAR: usize = 8;

/// The least that can be drawn on.
const MIN_WIDTH: usize = 20;
const MIN_HEIGHT: usize = 4;

/// Lines around the tree.
const FRAME: usize = 2;

/// How many lines of the tree are seen on a screen of this height.
pub(super) fn page(height: usize) -> usize {
    height.max(MIN_HEIGHT) - FRAME
}

/// The lines of a screen, each without its end. `top` is the first line of the tree that was
/// shown, and is moved as little as the cursor needs.
pub(super) fn draw(
    model: &Model,
    top: &mut usize,
    width: usize,
    height: usize,
    color: bool,
) -> Vec<String> {
    let (width, page) = (width.max(MIN_WIDTH), page(height));
    let rows = model.rows();
    let least = (model.cursor + 1).saturating_sub(page);
    *top = (*top).clamp(least, model.cursor);
    // A tree that has become shorter leaves no room unused.
    *top = (*top).min(rows.len().saturating_sub(page).max(least));
    let order = match model.order {
        Order::Size => "by size",
        Order::Name => "by name",
    };
    let mut lines = vec![bold(cut(&format!("      SIZE  {order}"), width), color)];
    for index in *top..*top + page {
        let line = match rows.get(index) {
            Some(row) => line(row, index == model.cursor, width, color),
            None => String::new(),
        };
        lines.push(line);
    }
    let help = "arrows move and unfold  s sort  q quit";
    let place = format!("{}/{}  {help}", model.cursor + 1, rows.len());
    lines.push(bold(cut(&place, width), color));
    lines
}

fn line(row: &Row<'_>, here: bool, width: usize, color: bool) -> String {
    let node = row.node;
    let fold = match (node.children.is_empty(), node.open) {
        (true, _) => ' ',
        (false, true) => '-',
        (false, false) => '+',
    };
    // Rounded up, so that nothing but nothing has no bar.
    let full = u128::from(node.bytes) * BAR as u128;
    let full = full.div_ceil(u128::from(row.of.max(1))).min(BAR as u128) as usize;
    let bar = format!("{}{}", "#".repeat(full), " ".repeat(BAR - full));
    let files = match node.files {
        0 => String::new(),
        1 => "  (1 file)".to_string(),
        n => format!("  ({n} files)"),
    };
    // Without colours the place must still be seen.
    let mark = if here { '>' } else { ' ' };
    let text = format!(
        "{mark}{:>9}  {bar} {}{fold} {}{files}",
        human_size(node.bytes),
        "  ".repeat(row.depth),
        printable(&node.name)
    );
    let text = cut(&text, width);
    match here && color {
        true => format!("\x1b[7m{text}\x1b[0m"),
        false => text,
    }
}

fn cut(text: &str, width: usize) -> String {
    text.chars().take(width).collect()
}

fn bold(text: String, color: bool) -> String {
    match color {
        true => format!("\x1b[1m{text}\x1b[0m"),
        false => text,
    }
}

#[cfg(test)]
mod tests {
    use super::super::keys::Key;
    use super::super::model::tests::model;
    use super::*;
    use expect_test::expect;

    #[test]
    fn a_screen_shows_sizes_shares_and_the_place() {
        let mut model = model();
        for key in [Key::Last, Key::Right, Key::Right] {
            model.press(key, 10);
        }
        let lines = draw(&model, &mut 0, 60, 8, false).join("\n");
        expect![[r#"
                  SIZE  by size
              5.68 KiB  ######## - host  (2 files)
              4.88 KiB  #######      kernel
                 820 B  ##         - image web  (2 files)
            >    800 B  ########     + usr  (2 files)
                  20 B  #            + etc  (1 file)

            4/5  arrows move and unfold  s sort  q quit"#]]
        .assert_eq(
            &lines
                .lines()
                .map(str::trim_end)
                .collect::<Vec<_>>()
                .join("\n"),
        );
    }

    #[test]
    fn every_screen_is_filled_and_never_overrun() {
        let mut model = model();
        let mut top = 0;
        for (turn, key) in [Key::Last, Key::Right, Key::Last, Key::First, Key::Left]
            .iter()
            .enumerate()
        {
            model.press(*key, 3);
            for (width, height) in [(80, 24), (20, 4), (1, 1), (33, 5), (0, 0)] {
                for color in [false, true] {
                    let lines = draw(&model, &mut top, width, height, color);
                    assert_eq!(lines.len(), height.max(MIN_HEIGHT), "{turn}");
                    for line in lines {
                        let bare = line
                            .replace("\x1b[7m", "")
                            .replace("\x1b[1m", "")
                            .replace("\x1b[0m", "");
                        assert!(bare.chars().count() <= width.max(MIN_WIDTH));
                        assert!(!bare.contains('\x1b'));
                        assert!(color || bare == line);
                    }
                }
            }
        }
    }
}
