//! The way from a fork to a service's own program.
//!
//! In the child: a mount namespace whose root is the service's image, with fresh `/proc`, `/tmp`
//! and `/run`, a `/dev` of harmless devices and those it declares, and its state directories; then its user, its
//! capabilities and the system call filter; then its program. What goes wrong on the way is said
//! on the child's standard error, which is the service's log.

use super::{capability, channels, devices, filter, terminal};
use crate::disk::state;
use crate::sys::mount::{self, DATA_ONLY, NO_DEVICES};
use crate::sys::process::{self, Side};
use crate::sys::{self, Errno, Fd, file, wait};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use nos_manifest::Service;

/// Where images are mounted, below the machine's root.
pub const IMAGES: &str = "/nos/images";
/// Where the state partition is mounted.
pub const STATE: &str = "/nos/state";
/// What services with devices of their own see of the hardware.
const HARDWARE: &str = "/sys";
/// Files that every service sees at the same path, where its image has one there.
const SHARED_FILES: [(&str, &str); 2] = [
    (crate::net::bring_up::RESOLV_CONF, "/etc/resolv.conf"),
    ("/nos/etc/hosts", "/etc/hosts"),
];

/// Descriptors that a service may have open, as soft and hard limit.
const MAX_OPEN_FILES: u64 = 65_536;
/// First descriptor behind standard input, output and error.
const FIRST_BEHIND_STANDARD: u32 = 3;
/// Status of a service that could not be prepared.
const EXIT_NOT_PREPARED: i32 = 125;
/// Status of a service whose program could not be run.
const EXIT_NOT_RUN: i32 = 127;

/// A service that has been started.
#[derive(Debug)]
pub struct Started {
    /// Its process, first in a process namespace of its own.
    pub pid: i32,
    /// What it writes to standard output and error.
    pub output: Fd,
    /// Ends without a byte when the service's own program runs; a byte says that it never will.
    pub launch: Fd,
}

/// Starts a service; `sockets` are those of the channels that it serves.
///
/// # Errors
/// Where the process cannot be made; what goes wrong in it later is its exit status.
pub fn start(service: &Service, sockets: &[Fd]) -> sys::Result<Started> {
    let (output, input) = file::pipe()?;
    let (launch, not_launched) = file::pipe()?;
    match process::fork_into_namespaces()? {
        Side::Parent(pid) => Ok(Started {
            pid,
            output,
            launch,
        }),
        Side::Child => become_service(service, sockets, &input, &not_launched),
    }
}

/// Runs a command beside a running service, as a probe: the process ends as the command does.
///
/// # Errors
/// Where the process cannot be made.
pub fn start_beside(service: &Service, pid: i32, run: &[String]) -> sys::Result<i32> {
    match process::fork()? {
        Side::Parent(probe) => Ok(probe),
        Side::Child => {
            let status = match run_beside(service, pid, run) {
                Some(wait::Ended::Exit(status)) => status,
                _ => EXIT_NOT_PREPARED,
            };
            process::exit(status)
        }
    }
}

fn run_beside(service: &Service, pid: i32, run: &[String]) -> Option<wait::Ended> {
    process::die_with_parent().ok()?;
    process::enter_namespaces(pid).ok()?;
    match process::fork().ok()? {
        Side::Parent(inner) => wait::wait(inner),
        Side::Child => {
            let null = file::open("/dev/null", file::Mode::Read).ok();
            for number in 0..3 {
                null.as_ref()
                    .and_then(|fd| process::put_at(fd, number).ok());
            }
            if confine(service, FIRST_BEHIND_STANDARD).is_ok() {
                // After the change of user, which would undo it.
                let _ = process::die_with_parent();
                process::exec(run, &environment(service, false));
            }
            process::exit(EXIT_NOT_RUN)
        }
    }
}

fn become_service(service: &Service, sockets: &[Fd], output: &Fd, not_launched: &Fd) -> ! {
    // Many programs open /dev/stderr instead of writing to what they have.
    let _ = file::give(output, service.uid, service.gid);
    for number in [1, 2] {
        if process::put_at(output, number).is_err() {
            process::exit(EXIT_NOT_PREPARED);
        }
    }
    let Ok(not_launched) = channels::lift(not_launched, sockets.len()) else {
        process::exit(EXIT_NOT_PREPARED);
    };
    let complain = |what: &str, error: Errno| {
        let _ = file::write(&not_launched, b"!");
        let text = format!("cannot start: {what}: {error}\n");
        let _ = file::write_number(2, text.as_bytes());
    };
    let terminal = service.terminal.as_deref().map(|path| {
        let opened = terminal::open(path, sockets.len());
        opened.map_err(|e| (String::from(path), e))
    });
    let prepared = terminal.transpose().and_then(|terminal| {
        let behind = channels::hand_over(sockets).map_err(|e| ("channels".into(), e))?;
        prepare_root(service)?;
        let null =
            file::open("/dev/null", file::Mode::Read).map_err(|e| ("/dev/null".into(), e))?;
        process::put_at(&null, 0).map_err(|e| ("standard input".into(), e))?;
        confine(service, behind)?;
        match terminal {
            Some(terminal) => terminal::take(&terminal).map_err(|e| ("terminal".into(), e)),
            None => Ok(()),
        }
    });
    if let Err((what, error)) = prepared {
        complain(&what, error);
        process::exit(EXIT_NOT_PREPARED);
    }
    let error = process::exec(&service.run, &environment(service, true));
    complain(service.run.first().map_or("", String::as_str), error);
    process::exit(EXIT_NOT_RUN)
}

/// What could not be done, and why.
type Trouble = (String, Errno);

/// Builds the service's root in this (already separate) mount namespace and moves into it.
fn prepare_root(service: &Service) -> Result<(), Trouble> {
    let at = |what: &str| {
        let what = String::from(what);
        move |error| (what, error)
    };
    // Detached copies first: after the move into the image, no path leads to them.
    let folder = devices::folder_of(service);
    let devices = mount::detached_copy(&folder).map_err(at(&folder))?;
    mount::restrict_to_devices(&devices).map_err(at(&folder))?;
    let mut files = Vec::new();
    if !service.devices.is_empty() {
        let tree = mount::detached_copy(HARDWARE).map_err(at(HARDWARE))?;
        mount::restrict_to_reading(&tree).map_err(at(HARDWARE))?;
        files.push((tree, HARDWARE));
    }
    for (from, to) in SHARED_FILES {
        let tree = mount::detached_copy(from).map_err(at(from))?;
        mount::restrict_to_reading(&tree).map_err(at(from))?;
        files.push((tree, to));
    }
    let mut directories = Vec::new();
    for path in &service.state {
        let from = state::directory(STATE, &service.name, path, service.uid, service.gid)
            .map_err(at(path))?;
        directories.push((mount::detached_copy(&from).map_err(at(path))?, path));
    }
    let calls = channels::detach(service)?;
    let image = format!("{IMAGES}/{}", service.image);
    mount::change_dir(&image).map_err(at(&image))?;
    mount::pivot_here().map_err(at(&image))?;

    // An image says what it needs by the mount points it has: none, no mount.
    let optional = |path: &str, result: sys::Result<()>| match result {
        Err(Errno(libc::ENOENT)) => Ok(()),
        other => other.map_err(at(path)),
    };
    optional(
        "/proc",
        mount::mount("proc", "/proc", "proc", DATA_ONLY, "hidepid=invisible"),
    )?;
    if service.uid == 0 {
        // User 0 owns the kernel's settings; without a mount right it cannot undo this.
        let flags = DATA_ONLY | libc::MS_REMOUNT | libc::MS_RDONLY;
        optional(
            "/proc",
            mount::mount("proc", "/proc", "proc", flags, "hidepid=invisible"),
        )?;
    }
    optional("/dev", mount::attach(&devices, "/dev"))?;
    let shared = mount::mount("shm", "/dev/shm", "tmpfs", DATA_ONLY, "mode=1777,size=25%");
    optional("/dev/shm", shared)?;
    optional(
        "/tmp",
        mount::mount("tmp", "/tmp", "tmpfs", NO_DEVICES, "mode=1777,size=25%"),
    )?;
    let (uid, gid) = (service.uid, service.gid);
    let run = format!("mode=0755,size=10%,uid={uid},gid={gid}");
    optional(
        "/run",
        mount::mount("run", "/run", "tmpfs", NO_DEVICES, &run),
    )?;
    channels::attach(service, &calls)?;
    for (tree, path) in &files {
        optional(path, mount::attach(tree, path))?;
    }
    for (tree, path) in &directories {
        mount::attach(tree, path).map_err(at(path))?;
    }
    let workdir = if service.workdir.is_empty() {
        "/"
    } else {
        &service.workdir
    };
    mount::change_dir(workdir).map_err(at(workdir))
}

/// Takes away what a service does not need, open files from `first_closed` on among it; the last
/// step before its program.
fn confine(service: &Service, first_closed: u32) -> Result<(), Trouble> {
    let at = |what: &str| {
        let what = String::from(what);
        move |error| (what, error)
    };
    process::new_session();
    process::set_umask(0o022);
    process::set_limit(libc::RLIMIT_NOFILE, MAX_OPEN_FILES).map_err(at("limit of open files"))?;
    process::set_limit(libc::RLIMIT_CORE, 0).map_err(at("limit of core files"))?;
    let mask = capability::mask(service)
        .map_err(|name| (format!("capability {name}"), Errno(libc::EINVAL)))?;
    process::close_on_exec_from(first_closed).map_err(at("open files"))?;
    process::become_user(service.uid, service.gid, mask).map_err(at("user and capabilities"))?;
    process::filter_calls(&filter::program(mask)).map_err(at("system call filter"))?;
    wait::unblock_signals();
    Ok(())
}

/// The environment of a service, or of a command beside it.
fn environment(service: &Service, is_service: bool) -> Vec<String> {
    let declared = service.env.iter();
    let declared = declared.map(|(name, value)| format!("{name}={value}"));
    let terminal = terminal::kind(service).filter(|_| !service.env.contains_key("TERM"));
    declared
        .chain(terminal.map(|kind| format!("TERM={kind}")))
        .chain(channels::variables(service, is_service))
        .collect()
}
