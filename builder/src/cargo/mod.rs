//! Rust packages: from a `Cargo.lock` to programs, in steps that each compile as little as possible
//! and see no more than they compile.
//!
//! ```text
//! source ─┬─▶ lock file ──▶ crates ────────┬──────────────┬─────────────┐  fetched by checksum
//!         ├─▶ skeleton ────────────────────┴▶ dependencies ┐            │  crates from elsewhere
//!         ├─▶ what the package needs beside it ────────────┴▶ libraries ┤  packages of the source
//!         └─▶ the package ──────────────────────────────────────────────┴▶ build   itself
//! ```
//!
//! Every part of the source has all its manifests, and empty programs in place of code that is not
//! to be compiled yet, or not at all. A changed line of the package leaves everything before the
//! last step as it is; one of a package beside it that it does not need leaves that as well.

mod lockfile;
mod parts;
mod registry;
mod repository;
mod workspace;

pub use lockfile::Unpinned;
pub(crate) use lockfile::{Crate, LockFile, Pin, commits_of, lock_file};
pub use parts::Part;
pub(crate) use parts::part;
pub(crate) use registry::crates;

use crate::error::BuildError;
use crate::make::{Place, Recipe, recipes};
use crate::realise::Builder;
use nos_specs::system::{Build, Cargo};
use nos_store::ActionResult;

/// Where recipes see the crates.
const CRATES: &str = "/crates";

/// What every call of cargo begins with.
const PREPARE: &str = "mkdir -p \"$CARGO_HOME\"; cp /crates/config.toml \"$CARGO_HOME/\"";

/// Rust's name for what programs run on. It is always given: flags for programs then do not reach
/// what runs during the build.
const TARGET: &str = "x86_64-unknown-linux-gnu";

/// The recipe that compiles dependencies from elsewhere. Its inputs: tools, skeleton, crates.
pub(crate) fn dependencies(name: &str, build: &Build, cargo: &Cargo) -> Recipe {
    let mut recipe = ahead(name, build, cargo);
    recipe.name = format!("dependencies of {name}");
    recipe
}

/// The recipe that compiles what the package needs of the same source. Its inputs: tools, part,
/// crates, dependencies.
pub(crate) fn libraries(name: &str, build: &Build, cargo: &Cargo) -> Recipe {
    let mut recipe = ahead(name, build, cargo);
    recipe.name = format!("libraries of {name}");
    recipe.places.push(Place::Copy("cargo".into()));
    recipe
}

/// Compiles something of which packages were emptied, and leaves what the next step takes over.
fn ahead(name: &str, build: &Build, cargo: &Cargo) -> Recipe {
    let lines = [
        PREPARE.into(),
        compile(cargo),
        // What was compiled of the empty programs must not be taken for the real ones.
        format!(
            "cargo clean --frozen --release --target {TARGET} $(sed 's/^/-p /' {})",
            parts::EMPTIED
        ),
        // What cargo remembers of the compiler says when its file was made.
        "rm -f \"$CARGO_TARGET_DIR/.rustc_info.json\"".into(),
        "cp -r \"$CARGO_TARGET_DIR\" \"$out/target\"".into(),
    ];
    let mut recipe = common(name, build, cargo, &lines);
    recipe
        .places
        .extend([Place::Copy("source".into()), Place::At(CRATES.into())]);
    recipe
}

/// Runs the recipe of libraries; see [`crate::work::Work::CargoLibraries`].
pub(crate) fn make_libraries(
    builder: &Builder<'_>,
    recipe: &Recipe,
    inputs: &[&ActionResult],
) -> Result<ActionResult, BuildError> {
    match inputs {
        [_, part, _, dependencies] if !parts::has_code(part) => Ok((*dependencies).clone()),
        _ => crate::make::run(builder, recipe, inputs),
    }
}

/// The recipe that compiles the package itself. Its inputs: tools, part, crates, libraries;
/// further ones may follow.
pub(crate) fn package(name: &str, build: &Build, cargo: &Cargo) -> Recipe {
    let lines = [
        PREPARE.into(),
        compile(cargo),
        "mkdir -p \"$out/usr/bin\"".into(),
        format!(
            "find \"$CARGO_TARGET_DIR/{TARGET}/release\" -maxdepth 1 -type f -perm /111 \
             ! -name '*.so' -exec cp {{}} \"$out/usr/bin/\" ';'"
        ),
    ];
    let mut recipe = common(name, build, cargo, &lines);
    recipe.places.extend([
        Place::Copy("source".into()),
        Place::At(CRATES.into()),
        Place::Copy("cargo".into()),
    ]);
    recipe
}

fn common(name: &str, build: &Build, cargo: &Cargo, lines: &[String]) -> Recipe {
    let mut recipe = recipes::empty(name, build);
    recipe.command = recipes::shell(lines);
    let mut set = |name: &str, value: &str| {
        recipe
            .env
            .entry(name.into())
            .or_insert_with(|| value.into());
    };
    set("CARGO_HOME", "/build/home");
    set("CARGO_TARGET_DIR", "/build/cargo/target");
    set("CARGO_TERM_COLOR", "never");
    set("CARGO_PROFILE_RELEASE_STRIP", "symbols");
    if cargo.is_static {
        set("RUSTFLAGS", "-Ctarget-feature=+crt-static");
    }
    recipe
}

/// The call that compiles. The same in both steps: other flags would be other work.
fn compile(cargo: &Cargo) -> String {
    let mut words = format!("cargo build --frozen --release --target {TARGET} -j \"$NOS_CORES\"");
    if let Some(package) = &cargo.package {
        words.push_str(&format!(" --package {package}"));
    }
    if !cargo.default_features {
        words.push_str(" --no-default-features");
    }
    if !cargo.features.is_empty() {
        words.push_str(&format!(" --features {}", cargo.features.join(",")));
    }
    words
}
