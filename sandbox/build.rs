//! Builds the library of another clock, and names it in `NOS_CLOCK`.

use std::path::PathBuf;
use std::process::Command;

fn main() {
    println!("cargo:rerun-if-changed=clock/clock.rs");
    let library = variable("OUT_DIR").join("clock.so");
    let status = Command::new(variable("RUSTC"))
        .args([
            "--edition=2024",
            "--crate-name=nos_clock",
            "--crate-type=cdylib",
        ])
        .args([
            "-Copt-level=2",
            "-Cpanic=abort",
            "-Cstrip=symbols",
            "-Ccodegen-units=1",
        ])
        .args(["-Clink-arg=-nostdlib", "-Clink-arg=-nostartfiles"])
        .arg("--target=x86_64-unknown-linux-gnu")
        .arg("-o")
        .arg(&library)
        .arg("clock/clock.rs")
        .status();
    match status {
        Ok(status) if status.success() => {}
        Ok(status) => fail(&format!("building the clock ended with {status}")),
        Err(error) => fail(&format!("rustc could not be started: {error}")),
    }
    println!("cargo:rustc-env=NOS_CLOCK={}", library.display());
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
