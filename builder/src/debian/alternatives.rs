//! Links that a package's maintainer script would make with update-alternatives(1).
//!
//! No script runs: the links that a script's text names are told of each package, and
//! [`link_alternatives`] makes those that an installation of several would have.

use super::error::DebianError;
use super::merge::{self, Merged};
use nos_formats::tree::{Kind, Metadata, Node, TreeError, TreePath};
use nos_store::ActionResult;
use std::collections::BTreeMap;

/// Fact of an unpacking that holds the links, one a line.
pub(super) const FACT: &str = "alternatives";

/// A link that an installation would offer.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
pub struct Alternative {
    /// Absolute path of the link (`/usr/bin/awk`).
    pub link: String,
    /// Absolute path of the program that the package ships (`/usr/bin/mawk`).
    pub target: String,
    /// The highest one wins where several packages offer the same link.
    pub priority: i64,
}

/// The links that an unpacked package would have offered; from the result of
/// [`unpack`](super::unpack()).
pub fn alternatives(unpacked: &ActionResult) -> Vec<Alternative> {
    let fact = unpacked.facts.get(FACT).map_or("", String::as_str);
    let read = |line: &str| {
        let mut words = line.split(' ');
        Some(Alternative {
            link: words.next()?.to_owned(),
            target: words.next()?.to_owned(),
            priority: words.next()?.parse().ok()?,
        })
    };
    fact.lines().filter_map(read).collect()
}

/// Makes the links that packages would have offered at their installation, where their targets are
/// there and their places free: of several the one of the highest priority, of equals that of the first
/// package by name. Takes the packages sorted by name, each with what unpacking gave.
///
/// # Errors
/// [`DebianError::Unpack`] for a path that no tree can have.
pub fn link_alternatives<'a>(
    merged: &mut Merged,
    unpacked: impl IntoIterator<Item = (&'a String, &'a ActionResult)>,
) -> Result<(), DebianError> {
    let mut best: BTreeMap<String, (Alternative, &String)> = BTreeMap::new();
    for (package, result) in unpacked {
        for offered in alternatives(result) {
            let known = best.get(&offered.link);
            if known.is_none_or(|(known, _)| offered.priority > known.priority) {
                best.insert(offered.link.clone(), (offered, package));
            }
        }
    }
    for (offered, package) in best.into_values() {
        let wrong = |error: TreeError| DebianError::Unpack {
            package: package.clone(),
            reason: error.to_string(),
        };
        let link = merge::canonical(&TreePath::new(&offered.link).map_err(wrong)?);
        let link = link.map_err(wrong)?;
        let target = merge::canonical(&TreePath::new(&offered.target).map_err(wrong)?);
        let there = merged.tree.get(&target.map_err(wrong)?).is_some();
        if !there || merged.tree.get(&link).is_some() || merged.blocked(&link) {
            continue;
        }
        let node = Node {
            metadata: Metadata::with_mode(0o777),
            kind: Kind::Symlink(offered.target.into_bytes()),
        };
        let placed = merged.tree.insert_with_parents(link.clone(), node);
        placed.map_err(wrong)?;
        merged.owners.insert(link, package.clone());
    }
    Ok(())
}

pub(super) fn to_fact(links: &[Alternative]) -> String {
    let lines = links
        .iter()
        .map(|a| format!("{} {} {}", a.link, a.target, a.priority));
    lines.collect::<Vec<_>>().join("\n")
}

/// Finds the links in a script's text. What a script computes (`$i`) cannot be known and is left
/// out.
pub(super) fn in_script(script: &str) -> Vec<Alternative> {
    let mut found = Vec::new();
    for line in script.replace("\\\n", " ").lines() {
        let line = line.trim_start();
        let Some((_, command)) = line.split_once("update-alternatives") else {
            continue;
        };
        if !line.starts_with('#') {
            found.extend(in_command(command));
        }
    }
    found.sort();
    found.dedup();
    found
}

/// `--install LINK NAME TARGET PRIORITY [--slave LINK NAME TARGET]…`
fn in_command(command: &str) -> Vec<Alternative> {
    let quotes = |word: &str| word.trim_matches(['"', '\'', ';']).to_owned();
    let words: Vec<String> = command.split_ascii_whitespace().map(quotes).collect();
    let Some(at) = words.iter().position(|word| word == "--install") else {
        return Vec::new();
    };
    let words = &words[at..];
    let Some(priority) = words.get(4).and_then(|word| word.parse().ok()) else {
        return Vec::new();
    };
    let options = ["--install", "--slave", "--follower"];
    let links = words
        .windows(4)
        .filter(|w| options.contains(&w[0].as_str()));
    let known = |path: &str| path.starts_with('/') && !path.contains(['$', '`', '*']);
    links
        .filter(|w| known(&w[1]) && known(&w[3]))
        .map(|w| Alternative {
            link: w[1].clone(),
            target: w[3].clone(),
            priority,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn links_are_found_and_come_back() {
        let script = r#"#!/bin/sh
set -e
# update-alternatives --install /no /no /no 1
if [ "$1" = configure ]; then
    update-alternatives --quiet --install /usr/bin/awk awk "/usr/bin/mawk" 5 \
        --slave /usr/share/man/man1/awk.1.gz awk.1.gz /usr/share/man/man1/mawk.1.gz
    for i in vi view; do
        update-alternatives --install /usr/bin/$i $i /usr/bin/vim.basic 30
    done
    update-alternatives --remove x /usr/bin/y
    update-alternatives --install /usr/bin/pager pager /usr/bin/less 77;
fi
"#;
        let links = in_script(script);
        let shown: Vec<_> = links
            .iter()
            .map(|a| (a.link.as_str(), a.target.as_str(), a.priority))
            .collect();
        let want = [
            ("/usr/bin/awk", "/usr/bin/mawk", 5),
            ("/usr/bin/pager", "/usr/bin/less", 77),
            (
                "/usr/share/man/man1/awk.1.gz",
                "/usr/share/man/man1/mawk.1.gz",
                5,
            ),
        ];
        assert_eq!(shown, want);
        let mut result = ActionResult::default();
        result.facts.insert(FACT.to_owned(), to_fact(&links));
        assert_eq!(alternatives(&result), links);
        assert_eq!(alternatives(&ActionResult::default()), []);
    }

    proptest! {
        #[test]
        fn any_script_is_read(script in "(update-alternatives|--install|--slave|/a|5| |\n|\\\\\n|\"){0,30}") {
            let _ = in_script(&script);
        }
    }
}
