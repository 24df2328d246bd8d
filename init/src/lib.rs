//! PID 1 inside an nOs machine: finds the system's images, opens them through dm-verity, brings
//! up the network and keeps the services running, each in its own read-only root.
//!
//! The order of a boot, and where each part is:
//!
//! 1. [`boot`]: kernel file systems, console, manifest, and [`modules`], while
//! 2. [`net`]: loopback is set up and the declared network begun, which nobody waits for;
//! 3. [`disk`]: partitions by PARTUUID, dm-verity, EROFS, the state partition;
//! 4. [`service`]: namespaces, user, capabilities, system call filter, supervision, health;
//! 5. [`machine`]: the loop that everything after the first start runs in;
//! 6. [`trial`]: the generation that boots once to prove itself, and the verdict;
//! 7. [`trace`]: what services open, for a system made to be looked at;
//! 8. [`power`]: signals, the power button, the orderly end.
//!
//! The library needs no standard library and makes its system calls itself; `unsafe` is allowed
//! in [`sys`] alone. Everything that reads bytes from outside is a pure function with tests.
#![cfg_attr(not(test), no_std)]
#![deny(unsafe_code)]

extern crate alloc;

pub mod boot;
pub mod cmdline;
pub mod disk;
pub mod log;
pub mod machine;
pub mod modules;
pub mod net;
pub mod power;
pub mod service;
#[allow(unsafe_code)]
pub mod sys;
pub mod trace;
pub mod trial;

pub use sys::{map_memory, unmap_memory};

/// Runs the machine, from the first instruction after the kernel's to its end.
pub fn run() -> ! {
    let begun_ns = sys::now_ns();
    match boot::boot(begun_ns) {
        Ok(machine) => machine.run(),
        Err(error) => power::give_up(&error),
    }
}

/// Says what went wrong inside init and ends the machine as the kernel's `panic=` asks.
pub fn on_panic(info: &core::panic::PanicInfo<'_>) -> ! {
    power::give_up(info)
}
