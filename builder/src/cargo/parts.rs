//! Parts of a source: what cargo needs to see to compile one step of a package and no more, so that
//! a change elsewhere leaves the step as it is.

use super::workspace::{self, MANIFEST, Workspace};
use crate::error::BuildError;
use crate::realise::Builder;
use nos_formats::tree::{Kind, Metadata, Node, Tree, TreePath};
use nos_store::{ActionResult, Blob, Output, Store};
use std::collections::BTreeSet;

/// Stands where code stood: a program, and a library as well.
const EMPTY_PROGRAM: &str = "fn main() {}\n";

/// At the top of a part: names of the packages that were emptied and are compiled nevertheless, one
/// a line.
pub(super) const EMPTIED: &str = ".nos-emptied";

/// Fact of a part: names of the packages whose code it has.
const PACKAGES_FACT: &str = "packages";

/// Which part of a source. The manifests of all its packages are in each, and empty programs in
/// place of code that is not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub enum Part {
    /// No code: what dependencies from elsewhere are compiled with.
    Skeleton,
    /// The code of the packages that the wanted one needs, and what belongs to no package.
    Libraries,
    /// The code of the wanted one besides.
    Package,
}

/// Takes a part of a source; see [`crate::work::Work::CargoPart`].
///
/// # Errors
/// [`BuildError::Cargo`] for a lock file that cannot be read, and where the source has no such
/// package.
pub(crate) fn part(
    builder: &Builder<'_>,
    package: Option<&str>,
    part: Part,
    inputs: &[&ActionResult],
) -> Result<ActionResult, BuildError> {
    let source = workspace::source(builder, inputs)?;
    let (tree, packages) = take(builder.store, &source, package, part)?;
    let digest = builder.store.add_tree(&tree)?;
    let mut result = ActionResult::with_output("tree", Output::Tree(digest));
    result.facts.insert(PACKAGES_FACT.into(), packages);
    Ok(result)
}

/// Whether a part has code of any package.
pub(super) fn has_code(part: &ActionResult) -> bool {
    let packages = part.facts.get(PACKAGES_FACT);
    packages.is_some_and(|packages| !packages.is_empty())
}

/// A part, and the names of the packages whose code is in it.
fn take(
    store: &Store,
    source: &Tree<Blob>,
    package: Option<&str>,
    part: Part,
) -> Result<(Tree<Blob>, String), BuildError> {
    let workspace = Workspace::read(store, source)?;
    let (needed, tops) = workspace.needed(package)?;
    let all: BTreeSet<&TreePath> = workspace.folders().collect();
    let patches = workspace.patches();
    let own: BTreeSet<&TreePath> = match (part, package) {
        (Part::Skeleton, _) => BTreeSet::new(),
        (Part::Libraries, _) => &(&needed - &tops) - &patches,
        (Part::Package, Some(_)) => needed,
        (Part::Package, None) => all.clone(),
    };
    let whole = &own | &patches;
    let packages = workspace.names(&own).join("\n");
    // A part without code is the skeleton: nothing is compiled that could look for other files.
    let keep_others = !own.is_empty();
    let mut parts = Writer {
        store,
        tree: Tree::new(),
    };
    for (path, node) in source.iter() {
        let owner = workspace.owner(path);
        let is_code = path.name().ends_with(b".rs");
        let is_kept = match owner {
            Some(owner) if whole.contains(owner) => true,
            // Libraries include a README of the top and the like.
            Some(owner) if owner.is_root() => keep_others && !is_code,
            Some(_) => false,
            None => keep_others,
        };
        if is_kept || path.name() == MANIFEST || is_of_cargo(path) {
            parts.keep(source, path, node)?;
        } else if is_code && (is_root(path, &all) || workspace.named.contains(path)) {
            parts.text(path.clone(), EMPTY_PROGRAM)?;
        }
    }
    let emptied = match part {
        Part::Skeleton => workspace.names(&(&all - &patches)),
        Part::Libraries => workspace.names(&(&tops - &patches)),
        Part::Package => Vec::new(),
    };
    if !emptied.is_empty() {
        parts.text(TreePath::new(EMPTIED)?, &(emptied.join("\n") + "\n"))?;
    }
    Ok((parts.tree, packages))
}

/// A part that is being written.
struct Writer<'a> {
    store: &'a Store,
    tree: Tree<Blob>,
}

impl Writer<'_> {
    /// Takes over a file or link of the source. Folders come with what is in them.
    fn keep(
        &mut self,
        source: &Tree<Blob>,
        path: &TreePath,
        node: &Node<Blob>,
    ) -> Result<(), BuildError> {
        let mut node = node.clone();
        if let Kind::HardLink(target) = &node.kind {
            match source.get(target) {
                Some(linked) => node.kind = linked.kind.clone(),
                None => return Ok(()),
            }
        }
        match node.kind {
            Kind::File(_) | Kind::Symlink(_) => {
                Ok(self.tree.insert_with_parents(path.clone(), node)?)
            }
            _ => Ok(()),
        }
    }

    fn text(&mut self, path: TreePath, text: &str) -> Result<(), BuildError> {
        let blob = Blob {
            digest: self.store.add_bytes(text.as_bytes())?,
            size: text.len() as u64,
        };
        let node = Node {
            metadata: Metadata::with_mode(0o644),
            kind: Kind::File(blob),
        };
        Ok(self.tree.insert_with_parents(path, node)?)
    }
}

/// `Cargo.lock`, and `.cargo/config.toml` wherever it is.
fn is_of_cargo(path: &TreePath) -> bool {
    let folder = path.parent().unwrap_or_default();
    path.name() == b"Cargo.lock"
        || (folder.name() == b".cargo" && path.name().starts_with(b"config"))
}

/// Whether cargo finds something to compile there by itself: `src/lib.rs`, `src/main.rs`,
/// `build.rs`, `src/bin/x.rs`, `src/bin/x/main.rs`, and the same in `benches`, `examples`, `tests`.
fn is_root(path: &TreePath, packages: &BTreeSet<&TreePath>) -> bool {
    packages.iter().any(|package| {
        let below = match package.is_root() {
            true => Some(path.as_bytes()),
            false => path
                .as_bytes()
                .strip_prefix(package.as_bytes())
                .and_then(|rest| rest.strip_prefix(b"/")),
        };
        let parts: Option<Vec<&[u8]>> = below.map(|below| below.split(|b| *b == b'/').collect());
        matches!(
            parts.as_deref(),
            Some(
                [b"build.rs"]
                    | [b"src", b"lib.rs" | b"main.rs"]
                    | [b"src", b"bin", _]
                    | [b"src", b"bin", _, b"main.rs"]
                    | [b"benches" | b"examples" | b"tests", _]
                    | [b"benches" | b"examples" | b"tests", _, b"main.rs"]
            )
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two services and a library that one of them needs, as a source of these files.
    const FILES: [(&str, &str); 15] = [
        (
            "Cargo.lock",
            "version = 4\n[[package]]\nname = \"a\"\nversion = \"1.0.0\"\n[[package]]\nname = \
             \"b\"\nversion = \"1.0.0\"\n[[package]]\nname = \"lib\"\nversion = \"1.0.0\"\n",
        ),
        (
            "Cargo.toml",
            "[workspace]\nmembers = [\"*\"]\n[workspace.dependencies]\nlib = { path = \"lib\" }\n",
        ),
        ("README.md", "words"),
        (".cargo/config.toml", "[build]\n"),
        (
            "a/Cargo.toml",
            "[package]\nname = \"a\"\n[dependencies]\nlib.workspace = true\n[[test]]\npath = \
             \"./own/t.rs\"\n",
        ),
        ("a/own/t.rs", "code"),
        ("a/src/bin/tool.rs", "code"),
        ("a/src/inner.rs", "code"),
        ("a/src/main.rs", "code"),
        ("a/page.html", "page"),
        (
            "b/Cargo.toml",
            "[package]\nname = \"b\"\n[target.'cfg(unix)'.dependencies]\nlib = { path = \
             \"../lib\" }\n",
        ),
        ("b/src/main.rs", "code"),
        ("lib/Cargo.toml", "[package]\nname = \"lib\"\n"),
        ("lib/src/lib.rs", "code"),
        ("lib/fixture/Cargo.toml", "[package]\nname = \"none\"\n"),
    ];

    fn source(files: &[(&str, &str)]) -> (tempfile::TempDir, Store, Tree<Blob>) {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path().join("store")).unwrap();
        let mut parts = Writer {
            store: &store,
            tree: Tree::new(),
        };
        for (path, text) in files {
            parts.text(TreePath::new(path).unwrap(), text).unwrap();
        }
        let tree = parts.tree;
        (folder, store, tree)
    }

    /// The files of a part that are more than manifests, and what was emptied.
    fn shown(files: &[(&str, &str)], package: Option<&str>, part: Part) -> Vec<String> {
        let (_folder, store, tree) = source(files);
        let (tree, _) = take(&store, &tree, package, part).unwrap();
        let file = |(path, node): (&TreePath, &Node<Blob>)| {
            let Kind::File(blob) = &node.kind else {
                return None;
            };
            let text = String::from_utf8(store.read_object(&blob.digest).unwrap()).unwrap();
            match (path.name(), text.as_str()) {
                (MANIFEST | b"Cargo.lock", _) => None,
                (_, EMPTY_PROGRAM) => Some(format!("{path} empty")),
                (b".nos-emptied", names) => Some(format!("emptied {}", names.replace('\n', " "))),
                _ => Some(path.to_string()),
            }
        };
        tree.iter().filter_map(file).collect()
    }

    #[test]
    fn a_skeleton_has_manifests_and_no_code() {
        assert_eq!(
            shown(&FILES, Some("a"), Part::Skeleton),
            [
                "/.cargo/config.toml",
                "emptied a b lib ",
                "/a/own/t.rs empty",
                "/a/src/bin/tool.rs empty",
                "/a/src/main.rs empty",
                "/b/src/main.rs empty",
                "/lib/src/lib.rs empty",
            ]
        );
    }

    #[test]
    fn libraries_come_before_what_needs_them() {
        assert_eq!(
            shown(&FILES, Some("a"), Part::Libraries),
            [
                "/.cargo/config.toml",
                "emptied a ",
                "/README.md",
                "/a/own/t.rs empty",
                "/a/src/bin/tool.rs empty",
                "/a/src/main.rs empty",
                "/b/src/main.rs empty",
                "/lib/src/lib.rs",
            ]
        );
        // Without a package all of them are wanted; those that others need come first.
        let all = shown(&FILES, None, Part::Libraries);
        assert!(all.contains(&"emptied a b ".to_string()), "{all:?}");
    }

    #[test]
    fn a_package_comes_with_all_it_needs_and_nothing_else() {
        assert_eq!(
            shown(&FILES, Some("b"), Part::Package),
            [
                "/.cargo/config.toml",
                "/README.md",
                "/a/own/t.rs empty",
                "/a/src/bin/tool.rs empty",
                "/a/src/main.rs empty",
                "/b/src/main.rs",
                "/lib/src/lib.rs",
            ]
        );
        let all = shown(&FILES, None, Part::Package);
        assert!(!all.iter().any(|file| file.ends_with("empty")), "{all:?}");
    }

    #[test]
    fn a_change_reaches_only_the_parts_that_show_it() {
        let digest = |changed: &str, package, part| {
            let files = FILES.map(|(path, text)| match path == changed {
                true => (path, "other"),
                false => (path, text),
            });
            let (_folder, store, tree) = source(&files);
            let (tree, _) = take(&store, &tree, Some(package), part).unwrap();
            Store::tree_digest(&tree).unwrap()
        };
        let differs = |changed, package| {
            [Part::Skeleton, Part::Libraries, Part::Package]
                .map(|part| digest("", package, part) != digest(changed, package, part))
        };
        assert_eq!(differs("a/src/inner.rs", "a"), [false, false, true]);
        assert_eq!(differs("a/page.html", "a"), [false, false, true]);
        assert_eq!(differs("a/src/inner.rs", "b"), [false; 3]);
        assert_eq!(differs("lib/src/lib.rs", "a"), [false, true, true]);
        assert_eq!(differs("README.md", "a"), [false, true, true]);
    }

    #[test]
    fn what_stands_in_for_a_crate_is_in_every_part() {
        let mut files = FILES;
        files[1].1 = "[workspace]\n[patch.crates-io]\nlib = { path = \"lib\" }\n";
        let skeleton = shown(&files, Some("b"), Part::Skeleton);
        assert!(
            skeleton.contains(&"/lib/src/lib.rs".to_string()),
            "{skeleton:?}"
        );
        assert!(
            skeleton.contains(&"emptied a b ".to_string()),
            "{skeleton:?}"
        );
    }

    #[test]
    fn wrong_sources_are_told() {
        let (_folder, store, tree) = source(&FILES);
        let error = take(&store, &tree, Some("c"), Part::Package).unwrap_err();
        assert_eq!(
            error.to_string(),
            "the source has no package \"c\"; its packages are a, b, lib"
        );
        let (_folder, store, tree) = source(&FILES[1..]);
        let error = take(&store, &tree, None, Part::Skeleton).unwrap_err();
        assert!(error.to_string().contains("no Cargo.lock"), "{error}");
    }
}
