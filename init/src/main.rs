//! The program that the kernel starts as PID 1.
//!
//! Built with `--profile init` it stands on nothing: no C library, no standard library, no
//! dynamic linking. That makes it a fifth of the size of the same program on a static C library,
//! leaves no hidden state that a fork could break, and starts in fewer page faults. Built with
//! any other profile it only says so, so that the workspace builds as a whole.
#![cfg_attr(panic = "abort", no_std, no_main)]

#[cfg(panic = "abort")]
mod freestanding;

#[cfg(not(panic = "abort"))]
fn main() {
    eprintln!(
        "nos-init runs inside a machine; build it with `cargo build -p nos-init --profile init`"
    );
    std::process::exit(2);
}
