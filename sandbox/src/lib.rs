//! One command in user, mount, process, network, host-name, IPC and cgroup namespaces of its own,
//! without privilege: it sees the folders that its [`Job`] declares, each read-only, and may write
//! to one file system in memory, of limited size.
//!
//! | Inside | What it is |
//! |---|---|
//! | [`Job::root`] | names at the top of that folder, read-only |
//! | [`Job::inputs`] | files and folders, read-only |
//! | `/build`, `/out`, `/tmp`, `/dev/shm` | folders of the [`Scratch`], writable, together of limited size |
//! | `/dev` | `null`, `zero`, `full`, `random`, `urandom`; no terminal |
//! | `/proc` | the command's own processes alone, read-only |
//!
//! The network has a loopback device and nothing else; the user is 1000, the host is called `nos`.
//! To the machine that user is the caller, or somebody who owns nothing where the caller is root.
//! Addresses of memory are not randomised. Nothing that the command starts outlives it.
//!
//! With [`Job::clock_s`] the wall clock stands, and times of files with it, for every program that asks
//! its C library: all that are linked dynamically with glibc, and do not make system calls themselves.
//! Others see the machine's time, of clock and files alike.
//!
//! **What is not fixed**: the processor's model and the kernel's release are the machine's
//! (`SOURCE_DATE_EPOCH` is for the caller to set), and folders of inputs list their names in the order
//! of the file system that holds them. Folders that the command makes itself lie in memory and list
//! in the order in which names were made.
//!
//! The crate knows no store, no package and no spec.

mod child;
mod clock;
mod error;
mod filter;
mod job;
mod probe;
mod run;
mod spawn;
mod sys;
mod user;
mod watch;

pub use error::SandboxError;
pub use job::{Input, Job, Limits};
pub use probe::probe;
pub use run::{Ended, Ending, Limit, Sandbox};
pub use spawn::Scratch;
pub use user::as_other_user;
