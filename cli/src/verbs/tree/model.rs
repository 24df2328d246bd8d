//! The tree that is walked through, and where in it a person is. Knows no terminal.

use super::keys::Key;
use crate::verbs::system::Opened;
use nos_builder::contents::OpenImage;
use nos_formats::tree::Kind;
use std::cmp::Reverse;
use std::collections::BTreeMap;

/// A part of a system: the whole, an image, a folder, a file.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Node {
    pub(super) name: String,
    /// Bytes of it, before compression for files and folders.
    pub(super) bytes: u64,
    /// Files below it; 0 for what is no folder.
    pub(super) files: u64,
    /// What is in it, in the order in which it is shown.
    pub(super) children: Vec<Node>,
    /// Whether what is in it is shown.
    pub(super) open: bool,
}

impl Node {
    fn leaf(name: &str, bytes: u64) -> Self {
        Self {
            name: name.to_string(),
            bytes,
            ..Self::default()
        }
    }

    fn sort(&mut self, order: Order) {
        match order {
            Order::Size => self
                .children
                .sort_by(|a, b| (Reverse(a.bytes), &a.name).cmp(&(Reverse(b.bytes), &b.name))),
            Order::Name => self.children.sort_by(|a, b| a.name.cmp(&b.name)),
        }
        self.children.iter_mut().for_each(|child| child.sort(order));
    }
}

/// A whole system as a tree.
pub(super) fn root(opened: &Opened<'_>) -> Node {
    let contents = &opened.contents;
    let mut children = vec![
        Node::leaf("kernel", contents.kernel_bytes),
        Node::leaf("initramfs", contents.initrd_bytes),
    ];
    children.extend(
        opened
            .boot_loader_bytes
            .map(|bytes| Node::leaf("boot loader", bytes)),
    );
    for image in contents.images.values() {
        let files = files(image);
        children.push(Node {
            name: format!("image {}", image.image.name),
            bytes: image.image.size_bytes,
            ..files
        });
    }
    let mut root = Node {
        name: contents.manifest.host.clone(),
        bytes: contents.content_bytes() + opened.boot_loader_bytes.unwrap_or(0),
        files: children.iter().map(|child| child.files).sum(),
        children,
        open: true,
    };
    root.sort(Order::Size);
    root
}

/// The files of an image as a tree, the largest first.
pub(super) fn files(image: &OpenImage<'_>) -> Node {
    let mut root = Folder::default();
    for (path, node) in image.tree.iter() {
        let Kind::File(inode) = &node.kind else {
            continue;
        };
        let mut at = &mut root;
        for name in path.components() {
            at = at.0.entry(name).or_default();
        }
        at.1 = Some(inode.size_bytes());
    }
    let mut root = root.node(String::new());
    root.sort(Order::Size);
    root
}

/// A folder while it is gathered; with a size it is a file.
#[derive(Default)]
struct Folder<'t>(BTreeMap<&'t [u8], Folder<'t>>, Option<u64>);

impl Folder<'_> {
    fn node(self, name: String) -> Node {
        let children = self.0.into_iter();
        let children: Vec<Node> = children
            .map(|(name, child)| child.node(String::from_utf8_lossy(name).into_owned()))
            .collect();
        let bytes = children.iter().map(|child| child.bytes);
        let files = children
            .iter()
            .map(|child| match child.children.as_slice() {
                [] => 1,
                _ => child.files,
            });
        Node {
            name,
            bytes: self.1.unwrap_or_else(|| bytes.fold(0, u64::saturating_add)),
            files: files.sum(),
            children,
            open: false,
        }
    }
}

/// In which order a folder's content is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    Size,
    Name,
}

/// A tree and where in it a person is.
pub(super) struct Model {
    pub(super) root: Node,
    pub(super) order: Order,
    /// Index among the rows that are shown.
    pub(super) cursor: usize,
}

/// A line of what is shown.
pub(super) struct Row<'n> {
    pub(super) depth: usize,
    pub(super) node: &'n Node,
    /// Bytes of what it is in.
    pub(super) of: u64,
}

impl Model {
    pub(super) fn new(root: Node) -> Self {
        Self {
            root,
            order: Order::Size,
            cursor: 0,
        }
    }

    /// Every line, from the top.
    pub(super) fn rows(&self) -> Vec<Row<'_>> {
        let mut rows = Vec::new();
        let mut todo = vec![Row {
            depth: 0,
            node: &self.root,
            of: self.root.bytes,
        }];
        while let Some(row) = todo.pop() {
            if row.node.open {
                let below = row.node.children.iter().rev().map(|node| Row {
                    depth: row.depth + 1,
                    node,
                    of: row.node.bytes.max(node.bytes),
                });
                todo.extend(below);
            }
            rows.push(row);
        }
        rows
    }

    /// Does what a key says; `page` is how many lines are seen at once. Whether to go on.
    pub(super) fn press(&mut self, key: Key, page: usize) -> bool {
        let last = self.rows().len().saturating_sub(1);
        match key {
            Key::Quit => return false,
            Key::Up => self.cursor = self.cursor.saturating_sub(1),
            Key::Down => self.cursor = (self.cursor + 1).min(last),
            Key::PageUp => self.cursor = self.cursor.saturating_sub(page),
            Key::PageDown => self.cursor = (self.cursor + page).min(last),
            Key::First => self.cursor = 0,
            Key::Last => self.cursor = last,
            Key::Toggle => self.fold(|open| !open),
            Key::Right if self.here().open => self.cursor = (self.cursor + 1).min(last),
            Key::Right => self.fold(|_| true),
            Key::Left if self.here().open => self.fold(|_| false),
            Key::Left => self.cursor = self.parent(),
            Key::Sort => self.sort(),
        }
        true
    }

    fn here(&self) -> &Node {
        let rows = self.rows();
        rows.get(self.cursor).map_or(&self.root, |row| row.node)
    }

    fn fold(&mut self, to: impl Fn(bool) -> bool) {
        let mut left = self.cursor;
        if let Some(node) = nth(&mut self.root, &mut left) {
            node.open = to(node.open) && !node.children.is_empty();
        }
    }

    /// The line of the folder that the current line is in.
    fn parent(&self) -> usize {
        let rows = self.rows();
        let depth = rows.get(self.cursor).map_or(0, |row| row.depth);
        let above = rows
            .iter()
            .take(self.cursor)
            .rposition(|row| row.depth < depth);
        above.unwrap_or(0)
    }

    /// Sorts the other way; stays at the same part.
    fn sort(&mut self) {
        self.order = match self.order {
            Order::Size => Order::Name,
            Order::Name => Order::Size,
        };
        let path = self.path();
        self.root.sort(self.order);
        let mut at = &self.root;
        self.cursor = 0;
        for name in path {
            for child in at.children.iter() {
                self.cursor += 1;
                if child.name == name {
                    at = child;
                    break;
                }
                self.cursor += shown_below(child);
            }
        }
    }

    /// Names from the root to the current line.
    fn path(&self) -> Vec<String> {
        let rows = self.rows();
        let mut names = Vec::new();
        let mut depth = usize::MAX;
        for row in rows.iter().take(self.cursor + 1).rev() {
            if row.depth < depth && row.depth > 0 {
                names.push(row.node.name.clone());
                depth = row.depth;
            }
        }
        names.reverse();
        names
    }
}

/// Lines below a part that are shown.
fn shown_below(node: &Node) -> usize {
    match node.open {
        true => node
            .children
            .iter()
            .map(|child| 1 + shown_below(child))
            .sum(),
        false => 0,
    }
}

/// The part that is `left` lines further down.
fn nth<'n>(node: &'n mut Node, left: &mut usize) -> Option<&'n mut Node> {
    let Some(less) = left.checked_sub(1) else {
        return Some(node);
    };
    *left = less;
    if !node.open {
        return None;
    }
    node.children
        .iter_mut()
        .find_map(|child| match shown_below(child) {
            below if *left > below => {
                *left -= below + 1;
                None
            }
            _ => nth(child, left),
        })
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    fn folder(name: &str, children: Vec<Node>) -> Node {
        Node {
            name: name.to_string(),
            bytes: children.iter().map(|c| c.bytes).sum(),
            files: children.len() as u64,
            children,
            open: false,
        }
    }

    /// `host` with a kernel and an image of two folders.
    pub(in crate::verbs::tree) fn model() -> Model {
        let usr = folder("usr", vec![Node::leaf("b", 700), Node::leaf("a", 100)]);
        let etc = folder("etc", vec![Node::leaf("passwd", 20)]);
        let image = folder("image web", vec![usr, etc]);
        let mut root = folder("host", vec![image, Node::leaf("kernel", 5000)]);
        root.open = true;
        root.sort(Order::Size);
        Model::new(root)
    }

    fn shown(model: &Model) -> String {
        let rows = model.rows();
        let line = |(i, row): (usize, &Row<'_>)| {
            let mark = if i == model.cursor { ">" } else { " " };
            format!("{mark}{}{}", "  ".repeat(row.depth), row.node.name)
        };
        rows.iter()
            .enumerate()
            .map(line)
            .collect::<Vec<_>>()
            .join("\n")
    }

    fn after(keys: &[Key]) -> String {
        let mut model = model();
        assert!(keys.iter().all(|key| model.press(*key, 10)));
        shown(&model)
    }

    #[test]
    fn folders_unfold_and_fold() {
        assert_eq!(after(&[]), ">host\n   kernel\n   image web");
        let open = after(&[Key::Last, Key::Right, Key::Right, Key::Right]);
        assert_eq!(
            open,
            " host\n   kernel\n   image web\n>    usr\n       b\n       a\n     etc"
        );
        let back = after(&[
            Key::Last,
            Key::Right,
            Key::Right,
            Key::Right,
            Key::Right,
            Key::Left,
            Key::Left,
            Key::Left,
        ]);
        assert_eq!(back, " host\n   kernel\n>  image web\n     usr\n     etc");
        assert_eq!(
            after(&[Key::Down, Key::Right, Key::Toggle]),
            " host\n>  kernel\n   image web"
        );
        assert_eq!(after(&[Key::Left]), ">host");
        assert_eq!(
            after(&[Key::Left, Key::Down, Key::Toggle, Key::PageDown]),
            " host\n   kernel\n>  image web"
        );
    }

    #[test]
    fn sorting_stays_at_the_same_part() {
        let open = [Key::Last, Key::Right, Key::Right, Key::Right, Key::Right];
        let sorted = after(&[&open[..], &[Key::Sort]].concat());
        assert_eq!(
            sorted,
            " host\n   image web\n     etc\n     usr\n       a\n>      b\n   kernel"
        );
        let again = after(&[&open[..], &[Key::Sort, Key::Sort]].concat());
        assert_eq!(again, after(&open));
    }

    #[test]
    fn the_cursor_stays_on_the_tree() {
        let keys = [
            Key::Up,
            Key::Down,
            Key::PageUp,
            Key::PageDown,
            Key::First,
            Key::Last,
            Key::Left,
            Key::Right,
            Key::Toggle,
            Key::Sort,
        ];
        let (mut model, mut state) = (model(), 1u64);
        for _ in 0..5000 {
            state = state
                .wrapping_mul(6364136223846793005)
                .wrapping_add(1442695040888963407);
            let key = keys[(state >> 33) as usize % keys.len()];
            assert!(model.press(key, 3));
            assert!(model.cursor < model.rows().len());
        }
        assert!(!model.press(Key::Quit, 3));
    }
}
