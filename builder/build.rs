//! Builds `init`, the static program that every system carries, and names it in `NOS_INIT`.
//!
//! A nested cargo with a target directory of its own: `init` needs another profile and static
//! linking. Paths are remapped so that its bytes do not tell where it was built.

use std::path::{Path, PathBuf};
use std::process::Command;

const TARGET: &str = "x86_64-unknown-linux-gnu";

fn main() {
    let manifest = variable("CARGO_MANIFEST_DIR");
    let workspace = manifest.parent().map(Path::to_path_buf).unwrap_or_default();
    for watched in [
        "init/src",
        "init/build.rs",
        "init/Cargo.toml",
        "manifest/src",
        "manifest/Cargo.toml",
        "pointer/src",
        "pointer/Cargo.toml",
        "Cargo.toml",
        "Cargo.lock",
    ] {
        println!(
            "cargo:rerun-if-changed={}",
            workspace.join(watched).display()
        );
    }
    let target_dir = variable("OUT_DIR").join("init");
    let cargo_home = std::env::var_os("CARGO_HOME")
        .map(PathBuf::from)
        .or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cargo")))
        .unwrap_or_default();
    let flags = [
        "-Ctarget-feature=+crt-static".to_string(),
        format!("--remap-path-prefix={}=cargo", cargo_home.display()),
        format!("--remap-path-prefix={}=nos", workspace.display()),
        format!("--remap-path-prefix={}=target", target_dir.display()),
    ];
    let status = Command::new(variable("CARGO"))
        .args([
            "build",
            "--locked",
            "--package",
            "nos-init",
            "--bin",
            "nos-init",
        ])
        .args(["--profile", "init", "--target", TARGET])
        .arg("--target-dir")
        .arg(&target_dir)
        .current_dir(&workspace)
        .env("CARGO_ENCODED_RUSTFLAGS", flags.join("\u{1f}"))
        .env_remove("RUSTC_WORKSPACE_WRAPPER")
        .env_remove("CLIPPY_ARGS")
        .status();
    match status {
        Ok(status) if status.success() => {}
        Ok(status) => fail(&format!("building init ended with {status}")),
        Err(error) => fail(&format!(
            "cargo could not be started to build init: {error}"
        )),
    }
    let init = target_dir.join(TARGET).join("init").join("nos-init");
    println!("cargo:rustc-env=NOS_INIT={}", init.display());
}

fn variable(name: &str) -> PathBuf {
    match std::env::var_os(name) {
        Some(value) => PathBuf::from(value),
        None => fail(&format!("{name} is not set; build this crate with cargo")),
    }
}

fn fail(message: &str) -> ! {
    eprintln!("error: {message}");
    std::process::exit(1)
}
