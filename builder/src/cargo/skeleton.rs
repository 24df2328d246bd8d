//! A source without its code: what cargo needs to see to compile the dependencies.

use crate::compose::output_tree;
use crate::error::BuildError;
use crate::realise::Builder;
use nos_formats::tree::{Kind, Metadata, Node, Tree, TreePath};
use nos_store::{ActionResult, Blob, Output, Store};
use std::collections::BTreeSet;

/// Stands where code stood: a program, and a library as well.
const EMPTY_PROGRAM: &str = "fn main() {}\n";

/// Largest manifest read, in bytes.
const MAX_MANIFEST_BYTES: u64 = 4 << 20;

/// Makes the skeleton of a source; see [`crate::work::Work::CargoSkeleton`].
///
/// # Errors
/// [`BuildError::Cargo`] for a manifest that cannot be read.
pub(crate) fn skeleton(
    builder: &Builder<'_>,
    inputs: &[&ActionResult],
) -> Result<ActionResult, BuildError> {
    let input = inputs
        .first()
        .ok_or(BuildError::MissingOutput { name: "tree" })?;
    let source = builder.store.read_tree(&output_tree(input, "tree")?)?;
    let tree = reduce(builder.store, &source)?;
    let digest = builder.store.add_tree(&tree)?;
    Ok(ActionResult::with_output("tree", Output::Tree(digest)))
}

fn reduce(store: &Store, source: &Tree<Blob>) -> Result<Tree<Blob>, BuildError> {
    let empty = Blob {
        digest: store.add_bytes(EMPTY_PROGRAM.as_bytes())?,
        size: EMPTY_PROGRAM.len() as u64,
    };
    let mut packages = BTreeSet::new();
    let mut named = BTreeSet::new();
    for (path, node) in source.iter() {
        if let (b"Cargo.toml", Kind::File(blob)) = (path.name(), &node.kind) {
            let folder = path.parent().unwrap_or_default();
            named.extend(paths_in(&manifest(store, path, blob)?, &folder));
            packages.insert(folder);
        }
    }
    let mut tree = Tree::new();
    for (path, node) in source.iter() {
        let Kind::File(blob) = &node.kind else {
            continue;
        };
        let blob = match path.name() {
            b"Cargo.toml" | b"Cargo.lock" => *blob,
            _ if is_configuration(path) => *blob,
            name if name.ends_with(b".rs")
                && (is_root(path, &packages) || named.contains(path)) =>
            {
                empty
            }
            _ => continue,
        };
        let node = Node {
            metadata: Metadata::with_mode(0o644),
            kind: Kind::File(blob),
        };
        tree.insert_with_parents(path.clone(), node)?;
    }
    Ok(tree)
}

/// `.cargo/config.toml`, wherever it is.
fn is_configuration(path: &TreePath) -> bool {
    let folder = path.parent().unwrap_or_default();
    folder.name() == b".cargo" && path.name().starts_with(b"config")
}

/// Whether cargo finds a program or library there by itself: `src/lib.rs`, `src/main.rs`,
/// `build.rs`, `src/bin/x.rs`, `src/bin/x/main.rs`.
fn is_root(path: &TreePath, packages: &BTreeSet<TreePath>) -> bool {
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
            )
        )
    })
}

fn manifest(store: &Store, path: &TreePath, blob: &Blob) -> Result<toml::Table, BuildError> {
    let wrong = |reason: String| BuildError::Cargo {
        reason: format!("{path} cannot be read: {reason}; correct it"),
    };
    if blob.size > MAX_MANIFEST_BYTES {
        return Err(wrong("it is larger than 4 MiB".into()));
    }
    let bytes = store.read_object(&blob.digest)?;
    let text = String::from_utf8(bytes).map_err(|error| wrong(error.to_string()))?;
    toml::from_str(&text).map_err(|error| wrong(error.message().to_owned()))
}

/// The files of code that a manifest names: `path` of libraries, programs and the like, `build`.
fn paths_in(manifest: &toml::Table, folder: &TreePath) -> BTreeSet<TreePath> {
    let mut texts = Vec::new();
    let mut open: Vec<&toml::Value> = manifest.values().collect();
    while let Some(value) = open.pop() {
        match value {
            toml::Value::String(text) if text.ends_with(".rs") => texts.push(text),
            toml::Value::Array(values) => open.extend(values),
            toml::Value::Table(table) => open.extend(table.values()),
            _ => {}
        }
    }
    let place = |text: &String| {
        let text = text.trim_start_matches("./");
        folder.join(text).ok()
    };
    texts.into_iter().filter_map(place).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(files: &[(&str, &str)]) -> (tempfile::TempDir, Store, Tree<Blob>) {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path().join("store")).unwrap();
        let mut tree = Tree::new();
        for (path, text) in files {
            let blob = Blob {
                digest: store.add_bytes(text.as_bytes()).unwrap(),
                size: text.len() as u64,
            };
            let node = Node {
                metadata: Metadata::with_mode(0o644),
                kind: Kind::File(blob),
            };
            tree.insert_with_parents(TreePath::new(path).unwrap(), node)
                .unwrap();
        }
        (folder, store, tree)
    }

    const FILES: [(&str, &str); 9] = [
        ("Cargo.lock", "version = 4"),
        ("Cargo.toml", "[workspace]\nmembers = [\"a\"]\n"),
        ("README.md", "words"),
        (
            "a/Cargo.toml",
            "[package]\nname = \"a\"\n[[test]]\npath = \"./own/t.rs\"\n",
        ),
        ("a/own/t.rs", "code"),
        ("a/src/bin/tool.rs", "code"),
        ("a/src/inner.rs", "code"),
        ("a/src/main.rs", "code"),
        (".cargo/config.toml", "[build]\n"),
    ];

    #[test]
    fn manifests_stay_and_code_goes() {
        let (_folder, store, tree) = source(&FILES);
        let reduced = reduce(&store, &tree).unwrap();
        let shown: Vec<String> = reduced
            .iter()
            .filter_map(|(path, node)| match &node.kind {
                Kind::File(blob) => {
                    let text = store.read_object(&blob.digest).unwrap();
                    let code = text == EMPTY_PROGRAM.as_bytes();
                    Some(format!("{path}{}", if code { " empty" } else { "" }))
                }
                _ => None,
            })
            .collect();
        assert_eq!(
            shown,
            [
                "/.cargo/config.toml",
                "/Cargo.lock",
                "/Cargo.toml",
                "/a/Cargo.toml",
                "/a/own/t.rs empty",
                "/a/src/bin/tool.rs empty",
                "/a/src/main.rs empty",
            ]
        );
    }

    #[test]
    fn changed_code_leaves_the_skeleton_as_it_is() {
        let (_folder, store, tree) = source(&FILES);
        let before = Store::tree_digest(&reduce(&store, &tree).unwrap()).unwrap();
        let changed = FILES.map(|(path, text)| match path.ends_with(".rs") {
            true => (path, "other code"),
            false => (path, text),
        });
        let (_folder, store, tree) = source(&changed);
        let after = Store::tree_digest(&reduce(&store, &tree).unwrap()).unwrap();
        assert_eq!(before, after);
    }
}
