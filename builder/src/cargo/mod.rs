//! Rust packages: from a `Cargo.lock` to programs, in four steps, so that a changed line leads to
//! as little work as possible.
//!
//! ```text
//! source ─┬─▶ lock file ──▶ crates ──────┬──────────┐   fetched by checksum
//!         ├─▶ skeleton ──────────────────┴▶ dependencies   compiled, no code of the package's own
//!         └────────────────────────────────────▶ build     only the package's own crates
//! ```
//!
//! The skeleton has the source's manifests and empty programs in place of its code. A changed line
//! of code leaves lock file and skeleton as they are, so what was compiled of the dependencies
//! stays.

mod lockfile;
mod registry;
mod skeleton;

pub(crate) use lockfile::lock_file;
pub(crate) use registry::crates;
pub(crate) use skeleton::skeleton;

use crate::make::{Place, Recipe, recipes};
use nos_specs::system::{Build, Cargo};

/// Where recipes see the crates.
const CRATES: &str = "/crates";

/// What every call of cargo begins with.
const PREPARE: &str = "mkdir -p \"$CARGO_HOME\"; cp /crates/config.toml \"$CARGO_HOME/\"";

/// Rust's name for what programs run on. It is always given: flags for programs then do not reach
/// what runs during the build.
const TARGET: &str = "x86_64-unknown-linux-gnu";

/// The recipe that compiles dependencies. Its inputs: tools, skeleton, crates.
pub(crate) fn dependencies(name: &str, build: &Build, cargo: &Cargo) -> Recipe {
    let lines = [
        PREPARE.into(),
        compile(cargo),
        // What was compiled of the empty programs must not be taken for the real ones.
        format!(
            "cargo clean --frozen --release --target {TARGET} $(sed 's/^/-p /' {CRATES}/members)"
        ),
        "cp -r \"$CARGO_TARGET_DIR\" \"$out/target\"".into(),
    ];
    let mut recipe = common(name, build, cargo, &lines);
    recipe.name = format!("dependencies of {name}");
    recipe
        .places
        .extend([Place::Copy("source".into()), Place::At(CRATES.into())]);
    recipe
}

/// The recipe that compiles the package itself. Its inputs: tools, source, crates, dependencies;
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
