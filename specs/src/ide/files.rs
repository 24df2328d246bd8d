//! What a file says about other files, for whoever looks for the specs that it belongs to.

use crate::check::used_path;
use crate::syntax::ast::Item;
use crate::syntax::parse;

/// How a file stands among others.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Summary {
    /// The files that it uses, by their paths from its own folder, without the standard library.
    pub uses: Vec<String>,
    /// Whether it has hosts, and so is a spec of its own.
    pub hosts: bool,
}

/// How the file with this text stands among others.
pub fn summary(text: &str) -> Summary {
    let (ast, _) = parse(text);
    let uses = ast.items.iter().filter_map(|item| match item {
        Item::Use(item) => used_path(item),
        _ => None,
    });
    Summary {
        uses: uses.collect(),
        hosts: has_host(&ast.items),
    }
}

fn has_host(items: &[Item]) -> bool {
    items.iter().any(|item| match item {
        Item::Block(block) => block.kind.text == "host",
        Item::For(item) => has_host(&item.body),
        Item::If(item) => {
            has_host(&item.then) || has_host(item.otherwise.as_deref().unwrap_or_default())
        }
        _ => false,
    })
}
