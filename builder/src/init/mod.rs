//! `init`, the program that every system starts with: its source, what it is made with, and the
//! program itself, all of which travel with `nos`.
//!
//! It is made in the sandbox by the steps of any Rust package, with tools that
//! `init/toolchain.lock` pins, so that every machine makes the same bytes. As a system needs no
//! compiler otherwise, what these steps give is shipped as well. [`key`] covers source, tools and
//! commands; what is shipped is taken only where it was made under the same key. Where it was not,
//! as in a `nos` whose `init` is being worked on, `init` is made from its source like anything else.
//! Asking for that makes it in any case, and compares.

use crate::cargo;
use crate::compose::output_tree;
use crate::error::BuildError;
use crate::make::Recipe;
use crate::plan::PlanError;
use crate::realise::Builder;
use nos_formats::tree::{Kind, Metadata, Node, Tree, TreeError, TreePath};
use nos_specs::lock::Lock;
use nos_specs::system::{Build, BuildLimits, BuildSource, Cargo, Using};
use nos_store::{ActionKey, ActionResult, Blob, Digest, KeyBuilder, Output, Store};
use std::collections::BTreeMap;
use std::io::Read;

/// The source: paths and texts, sorted by path.
pub(crate) static SOURCE: &[(&str, &str)] = include!(concat!(env!("OUT_DIR"), "/init_source.rs"));

/// SHA-256 of the source; taken when `nos` is compiled, as [`key`] is asked for at every build.
const SOURCE_DIGEST: [u8; 32] = include!(concat!(env!("OUT_DIR"), "/init_source_digest.rs"));

/// The packages that it is made with.
const TOOLCHAIN: &str = include_str!("../../../init/toolchain.lock");

/// The program, compressed with zstd.
const SHIPPED: &[u8] = include_bytes!("../../../init/shipped/nos-init.zst");

/// What is said of it; see [`Record`].
const RECORD: &str = include_str!("../../../init/shipped/record.toml");

/// Largest program unpacked, in bytes.
const MAX_BYTES: u64 = 16 << 20;

/// Name of the program and its package.
const NAME: &str = "nos-init";

/// Lock group of the toolchain, in the lock that travels with the source.
pub const TOOLCHAIN_GROUP: &str = "build init";

/// What is known of the program that is shipped.
#[derive(Debug, Clone, serde::Serialize, serde::Deserialize)]
pub struct Record {
    /// [`key`] at the time it was made.
    pub key: String,
    /// SHA-256 of the program.
    pub sha256: String,
}

/// The program that is shipped, where it was made of the source, with the tools and by the commands
/// that are in this `nos`; its digest.
pub fn shipped() -> Option<Digest> {
    let record: Record = toml::from_str(RECORD).ok()?;
    (record.key == key().to_string()).then(|| record.sha256.parse().ok())?
}

/// Names the program by all that it is made of: source, tools, commands.
pub fn key() -> ActionKey {
    let mut key = KeyBuilder::new("nos.init-from-source")
        .bytes("source", &SOURCE_DIGEST)
        .text("toolchain", TOOLCHAIN);
    let (build, package) = build();
    let recipes = [
        cargo::dependencies("init", &build, &package),
        cargo::libraries("init", &build, &package),
        recipe(&build, &package),
    ];
    for recipe in recipes {
        key = key.list("command", &recipe.command);
        for (name, value) in &recipe.env {
            key = key.text(name, value);
        }
    }
    key.finish()
}

/// The lock of the packages that it is made with.
///
/// # Errors
/// [`PlanError::Toolchain`] where what travels with this program is damaged.
pub fn toolchain() -> Result<Lock, PlanError> {
    Lock::parse(TOOLCHAIN).map_err(|error| PlanError::Toolchain {
        reason: error.to_string(),
    })
}

/// How it is built, in the words of a spec.
pub(crate) fn build() -> (Build, Cargo) {
    let package = Cargo {
        is_static: true,
        package: Some(NAME.into()),
        features: Vec::new(),
        default_features: true,
    };
    let build = Build {
        source: Some(BuildSource::Folder {
            path: "init".into(),
        }),
        using: Using::Cargo(package.clone()),
        tools: Vec::new(),
        needs: Vec::new(),
        env: BTreeMap::new(),
        limits: BuildLimits {
            time_ms: 15 * 60 * 1000,
            memory_bytes: 4 << 30,
            space_bytes: 1 << 30,
            processes: 1024,
        },
    };
    (build, package)
}

/// The recipe that compiles it. Its name is none that a build of a spec could have.
pub(crate) fn recipe(build: &Build, package: &Cargo) -> Recipe {
    Recipe {
        name: "compile init".into(),
        ..cargo::package("init", build, package)
    }
}

/// Puts the source into the store; see [`crate::work::Work::InitSource`].
pub(crate) fn source(builder: &Builder<'_>) -> Result<ActionResult, BuildError> {
    for (_, text) in SOURCE {
        builder.store.add_bytes(text.as_bytes())?;
    }
    let digest = builder.store.add_tree(&source_tree()?)?;
    Ok(ActionResult::with_output("tree", Output::Tree(digest)))
}

/// Digest of the canonical listing of the source.
///
/// # Errors
/// [`PlanError::Toolchain`] where what travels with this program is damaged.
pub(crate) fn source_digest() -> Result<Digest, PlanError> {
    let damaged = |reason: String| PlanError::Toolchain { reason };
    let tree = source_tree().map_err(|error| damaged(error.to_string()))?;
    Store::tree_digest(&tree).map_err(|error| damaged(error.to_string()))
}

fn source_tree() -> Result<Tree<Blob>, TreeError> {
    let mut tree = Tree::new();
    for (path, text) in SOURCE {
        let blob = Blob {
            digest: Digest::of(text.as_bytes()),
            size: text.len() as u64,
        };
        let node = Node {
            metadata: Metadata::with_mode(0o644),
            kind: Kind::File(blob),
        };
        tree.insert_with_parents(TreePath::new(path)?, node)?;
    }
    Ok(tree)
}

/// Takes the program that is shipped; see [`crate::work::Work::ShippedInit`].
pub(crate) fn take_shipped(
    builder: &Builder<'_>,
    expected: &Digest,
) -> Result<ActionResult, BuildError> {
    let damaged = |reason: String| BuildError::Init { reason };
    let bytes = unpacked().map_err(|error| {
        damaged(format!(
            "the init that travels with this nos cannot be unpacked: {error}; install nos anew"
        ))
    })?;
    let blob = Blob {
        digest: builder.store.add_bytes(&bytes)?,
        size: bytes.len() as u64,
    };
    if blob.digest != *expected {
        let reason = "the init that travels with this nos is not the one that was made of its \
                      source; install nos anew";
        return Err(damaged(reason.into()));
    }
    Ok(ActionResult::with_output("file", Output::Object(blob)))
}

fn unpacked() -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let decoder = zstd::stream::read::Decoder::new(SHIPPED)?;
    decoder.take(MAX_BYTES).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Takes the program out of what was made; see [`crate::work::Work::MadeInit`].
///
/// # Errors
/// [`BuildError::Init`] where it is not the `expected` one.
pub(crate) fn take_made(
    builder: &Builder<'_>,
    expected: Option<&Digest>,
    inputs: &[&ActionResult],
) -> Result<ActionResult, BuildError> {
    let input = inputs
        .first()
        .ok_or(BuildError::MissingOutput { name: "tree" })?;
    let tree = builder.store.read_tree(&output_tree(input, "tree")?)?;
    let program = TreePath::new("usr/bin")?.join(NAME)?;
    let Some(Kind::File(blob)) = tree.get(&program).map(|node| &node.kind) else {
        return Err(BuildError::MissingOutput { name: NAME });
    };
    if expected.is_some_and(|expected| *expected != blob.digest) {
        let made = builder.store.read_object(&blob.digest)?;
        let shipped = unpacked().unwrap_or_default();
        let same = made
            .iter()
            .zip(&shipped)
            .take_while(|(a, b)| a == b)
            .count();
        return Err(BuildError::Init {
            reason: format!(
                "made from its source, init is not what travels with this nos: they differ from \
                 byte {same} on ({} and {} bytes); please report it, with the output of `nos \
                 --version`, and keep {}",
                made.len(),
                shipped.len(),
                builder.store.object_path(&blob.digest).display()
            ),
        });
    }
    Ok(ActionResult::with_output("file", Output::Object(*blob)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_source_stands_by_itself() {
        let paths: Vec<&str> = SOURCE.iter().map(|(path, _)| *path).collect();
        for needed in [
            "Cargo.lock",
            "Cargo.toml",
            "init/src/main.rs",
            "manifest/src/lib.rs",
        ] {
            assert!(paths.contains(&needed), "{needed}");
        }
        assert!(paths.is_sorted());
        let text = |wanted: &str| SOURCE.iter().find(|(path, _)| *path == wanted).unwrap().1;
        let lock: toml::Table = toml::from_str(text("Cargo.lock")).unwrap();
        let packages = lock["package"].as_array().unwrap();
        let named = |name: &str| packages.iter().any(|p| p["name"].as_str() == Some(name));
        assert!(named("serde_json") && named("libc") && named(NAME));
        // What tests alone need stays at home.
        assert!(!named("proptest"));
        let manifest: toml::Table = toml::from_str(text("Cargo.toml")).unwrap();
        assert_eq!(
            manifest["profile"]["release"]["opt-level"].as_str(),
            Some("z")
        );
    }

    #[test]
    fn what_is_shipped_was_made_of_this_source() {
        assert!(
            shipped().is_some(),
            "init, or what it is made with, is not what init/shipped was made of; `UPDATE_EXPECT=1 \
             cargo test -p nos --test e2e init` makes it anew"
        );
    }

    #[test]
    fn what_is_shipped_is_what_its_record_says() {
        let record: Record = toml::from_str(RECORD).unwrap();
        assert_eq!(Digest::of(&unpacked().unwrap()).to_string(), record.sha256);
    }
}
