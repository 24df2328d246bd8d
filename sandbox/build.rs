//! Builds the library of the clock that builds see, and names it in `NOS_CLOCK`.

use std::path::PathBuf;
use std::process::Command;

fn main() {
    println!("cargo:rerun-if-changed=clock");
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
        // Every program of a build loads it: few mappings, and names of the C library looked up only
        // once they are used.
        .args([
            "-Crelro-level=off",
            "-Clink-arg=-Wl,-z,noseparate-code,-z,lazy",
        ])
        .arg("-Clink-arg=-Wl,--hash-style=gnu")
        .arg("--target=x86_64-unknown-linux-gnu")
        .arg("-o")
        .arg(&library)
        .arg("clock/lib.rs")
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
