//! The first process of a sandbox: makes the namespace's inside, starts the command, and ends when
//! the command does, which ends everything else in there.
//!
//! It begins as a copy of a process that may have other threads. Any of them may have held the
//! allocator's lock at that moment, so nothing here allocates, frees or panics: all memory is in
//! the [`Plan`], which the parent fills before, and ends with the process.

use crate::clock;
use crate::spawn;
use crate::sys::{self, Cloned, Texts};
use crate::user::{INSIDE, User};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{CWD, Mode, OFlags};
use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MountPropagationFlags, MoveMountFlags,
    OpenTreeFlags, UnmountFlags,
};
use rustix::net::{
    AddressFamily, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketType,
};
use rustix::process::{DumpableBehavior, Gid, Signal, Uid, WaitOptions};
use rustix::thread::{CapabilitySet, CapabilitySets, CpuSet};
use std::ffi::{CStr, CString};
use std::io::IoSlice;
use std::mem::{ManuallyDrop, MaybeUninit};

/// How much less urgent a command is than this process.
const NICENESS: i32 = 10;

/// What the process needs to know.
pub(crate) struct Plan {
    pub(crate) control: OwnedFd,
    pub(crate) output: Option<OwnedFd>,
    pub(crate) user: User,
    /// The descriptors that are used here, in ascending order.
    pub(crate) keep: Vec<u32>,
    pub(crate) places: Vec<Place>,
    pub(crate) folders: Vec<CString>,
    pub(crate) files: Vec<CString>,
    pub(crate) links: Vec<(CString, CString)>,
    /// The library of the clock, where there is to be one.
    pub(crate) clock: Option<Vec<u8>>,
    /// How far its monotonic clocks are from the machine's.
    pub(crate) clocks: CString,
    pub(crate) scratch_size: CString,
    pub(crate) scratch_files: CString,
    pub(crate) program: CString,
    pub(crate) arguments: Texts,
    pub(crate) environment: Texts,
    pub(crate) folder: CString,
    pub(crate) memory_bytes: u64,
    pub(crate) processes: u64,
    /// The number below which every process number must lie, in decimal; `None` where the kernel
    /// counts the processes of this user.
    pub(crate) process_numbers: Option<CString>,
    pub(crate) processors: Option<CpuSet>,
    pub(crate) filter: Vec<libc::sock_filter>,
    pub(crate) interactive: bool,
}

/// An input.
pub(crate) struct Place {
    pub(crate) source: CString,
    /// Where it goes, relative to the new root.
    pub(crate) target: CString,
    pub(crate) device: bool,
    /// The copy of its mount. What the parent has not taken, the child does.
    pub(crate) mount: Option<OwnedFd>,
}

/// What can fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    Talk,
    Loopback,
    HostName,
    Input(usize),
    Mounts,
    Root,
    Proc,
    Scratch,
    Pivot,
    Limits,
    Privileges,
    Fork,
    Folder,
    Start,
}

impl Step {
    fn number(self) -> u32 {
        match self {
            Step::Talk => 0,
            Step::Loopback => 1,
            Step::HostName => 2,
            Step::Mounts => 3,
            Step::Root => 4,
            Step::Proc => 5,
            Step::Scratch => 6,
            Step::Pivot => 7,
            Step::Limits => 8,
            Step::Privileges => 9,
            Step::Fork => 10,
            Step::Folder => 11,
            Step::Start => 12,
            Step::Input(at) => 100 + at as u32,
        }
    }

    fn from_number(number: u32) -> Self {
        match number {
            1 => Step::Loopback,
            2 => Step::HostName,
            3 => Step::Mounts,
            4 => Step::Root,
            5 => Step::Proc,
            6 => Step::Scratch,
            7 => Step::Pivot,
            8 => Step::Limits,
            9 => Step::Privileges,
            10 => Step::Fork,
            11 => Step::Folder,
            12 => Step::Start,
            100.. => Step::Input(number as usize - 100),
            _ => Step::Talk,
        }
    }

    pub(crate) fn describe(self) -> &'static str {
        match self {
            Step::Talk => "talking to its first process",
            Step::Loopback => "switching its network on",
            Step::HostName => "naming it",
            Step::Input(_) => "taking an input",
            Step::Mounts => "making its mounts its own",
            Step::Root => "filling its root",
            Step::Proc => "showing its processes",
            Step::Scratch => "making its writable folders",
            Step::Pivot => "leaving the machine's root",
            Step::Limits => "setting its limits",
            Step::Privileges => "giving up privileges",
            Step::Fork => "starting a process",
            Step::Folder => "entering the working folder",
            Step::Start => "starting the program",
        }
    }
}

/// What the process tells its parent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Message {
    /// It stands, and waits; comes with the scratch.
    Ready,
    /// It could not do something.
    Failed(Step, Errno),
    /// The command has ended with this status of `wait(2)`.
    Ended(i32),
}

impl Message {
    pub(crate) const BYTES: usize = 12;

    fn encode(self) -> [u8; Self::BYTES] {
        let (kind, first, second) = match self {
            Message::Ready => (0, 0, 0),
            Message::Failed(step, error) => (1u32, step.number(), error.raw_os_error()),
            Message::Ended(status) => (2, 0, status),
        };
        let mut bytes = [0; Self::BYTES];
        let words = [kind, first, second.cast_unsigned()];
        for (to, word) in bytes.chunks_exact_mut(4).zip(words) {
            to.copy_from_slice(&word.to_le_bytes());
        }
        bytes
    }

    pub(crate) fn decode(bytes: [u8; Self::BYTES]) -> Self {
        let [a, b, c, d, e, f, g, h, i, j, k, l] = bytes;
        let first = u32::from_le_bytes([e, f, g, h]);
        let second = i32::from_le_bytes([i, j, k, l]);
        match u32::from_le_bytes([a, b, c, d]) {
            0 => Message::Ready,
            1 => Message::Failed(
                Step::from_number(first),
                Errno::from_raw_os_error(second.clamp(1, 4095)),
            ),
            _ => Message::Ended(second),
        }
    }
}

/// The whole life of the process.
pub(crate) fn main(plan: Plan) -> ! {
    // Never freed: see the head of this file.
    let mut plan = ManuallyDrop::new(plan);
    let status = match life(&mut plan) {
        Ok(status) => {
            tell(&plan.control, Message::Ended(status));
            0
        }
        Err((step, error)) => {
            tell(&plan.control, Message::Failed(step, error));
            1
        }
    };
    sys::exit(status)
}

fn tell(control: &OwnedFd, message: Message) {
    // A parent that is gone wants to know nothing.
    let _ = rustix::net::send(control, &message.encode(), SendFlags::NOSIGNAL);
}

fn wait_to_go_on(control: &OwnedFd) -> Result<(), Errno> {
    let mut byte = [0u8; 1];
    loop {
        match rustix::net::recv(control, &mut byte, RecvFlags::empty()) {
            Err(Errno::INTR) => {}
            Ok((_, 0)) => return Err(Errno::PIPE),
            done => return done.map(drop),
        }
    }
}

type Outcome<T> = Result<T, (Step, Errno)>;

fn life(plan: &mut Plan) -> Outcome<i32> {
    let at = |step| move |error| (step, error);
    close_others(plan).map_err(at(Step::Talk))?;
    wait_to_go_on(&plan.control).map_err(at(Step::Talk))?;
    // Kernels without such namespaces show the machine's clocks, which differ in each run anyway.
    let _ = start_clocks(&plan.clocks);
    if plan.user == User::Apart {
        become_user().map_err(at(Step::Privileges))?;
    }
    // If the parent is gone by now, the next wait ends with an error.
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL)).map_err(at(Step::Talk))?;
    rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable)
        .map_err(at(Step::Talk))?;
    sys::reset_signals();
    loopback().map_err(at(Step::Loopback))?;
    rustix::system::sethostname(b"nos").map_err(at(Step::HostName))?;
    rustix::system::setdomainname(b"(none)").map_err(at(Step::HostName))?;
    rustix::process::umask(Mode::from_raw_mode(0o022));
    let folder = root(plan)?;
    send_ready(&plan.control, &folder).map_err(at(Step::Talk))?;
    drop(folder);
    wait_to_go_on(&plan.control).map_err(at(Step::Talk))?;
    limits(plan).map_err(at(Step::Limits))?;
    standard_streams(plan).map_err(at(Step::Start))?;
    privileges().map_err(at(Step::Privileges))?;
    supervise(plan)
}

/// Lets the monotonic clocks of the command begin where those of every command do. Before anything
/// that makes this process's own files in `/proc` those of another user.
fn start_clocks(offsets: &CStr) -> Result<(), Errno> {
    sys::new_time_namespace()?;
    let flags = OFlags::WRONLY | OFlags::CLOEXEC;
    let file = rustix::fs::open(c"/proc/self/timens_offsets", flags, Mode::empty())?;
    rustix::io::write(&file, offsets.to_bytes()).map(drop)
}

/// Leaves the caller's user and groups. Capabilities over the namespace stay; whom to die with has
/// to be said after this.
fn become_user() -> Result<(), Errno> {
    let (user, group) = (Uid::from_raw(INSIDE), Gid::from_raw(INSIDE));
    rustix::thread::set_thread_groups(&[])?;
    rustix::thread::set_thread_res_gid(group, group, group)?;
    rustix::thread::set_thread_res_uid(user, user, user)
}

/// Closes what the parent had open: above all the pipes of other sandboxes, which would not end
/// while this process holds them.
fn close_others(plan: &Plan) -> Result<(), Errno> {
    let mut from = 3;
    for kept in &plan.keep {
        if from < *kept {
            // SAFETY: this process uses the descriptors of its plan, which lie outside of the
            // range, and those that it opens later; the parent's have no owner here.
            unsafe { sys::close(from, kept - 1)? };
        }
        from = kept + 1;
    }
    // SAFETY: as above.
    unsafe { sys::close(from, u32::MAX) }
}

fn loopback() -> Result<(), Errno> {
    let socket = rustix::net::socket(AddressFamily::INET, SocketType::DGRAM, None)?;
    sys::loopback_up(&socket)
}

/// Makes the new root and goes there. Gives the writable file system.
fn root(plan: &mut Plan) -> Outcome<OwnedFd> {
    let at = |step| move |error| (step, error);
    rustix::mount::mount_change(
        c"/",
        MountPropagationFlags::PRIVATE | MountPropagationFlags::REC,
    )
    .map_err(at(Step::Mounts))?;
    for (number, place) in plan.places.iter_mut().enumerate() {
        if place.mount.is_some() {
            continue;
        }
        let mount = take(&place.source, place.device).map_err(at(Step::Input(number)))?;
        place.mount = Some(mount);
    }
    let new = memory(c"1048576", c"65536").map_err(at(Step::Mounts))?;
    attach(new.as_fd(), CWD, c"/").map_err(at(Step::Root))?;
    rustix::process::fchdir(&new).map_err(at(Step::Root))?;
    fill(plan).map_err(at(Step::Root))?;
    if let Some(numbers) = &plan.process_numbers {
        // Kernels before 6.14 number all processes of the machine together: they are counted from
        // outside alone.
        let _ = limit_process_numbers(numbers);
    }
    rustix::mount::mount(
        c"proc",
        c"proc",
        c"proc",
        rustix::mount::MountFlags::RDONLY
            | rustix::mount::MountFlags::NOSUID
            | rustix::mount::MountFlags::NODEV
            | rustix::mount::MountFlags::NOEXEC,
        c"hidepid=2,subset=pid",
    )
    .map_err(at(Step::Proc))?;
    let scratch = scratch(plan).map_err(at(Step::Scratch))?;
    sys::pivot_root(c".", c".").map_err(at(Step::Pivot))?;
    rustix::mount::unmount(c".", UnmountFlags::DETACH).map_err(at(Step::Pivot))?;
    sys::set_mount_attributes(new.as_fd(), sys::READ_ONLY | sys::NO_DEVICES, false, None)
        .map_err(at(Step::Pivot))?;
    Ok(scratch)
}

/// Lets no process of this namespace have a number from `numbers` on, so that there are not more.
fn limit_process_numbers(numbers: &CStr) -> Result<(), Errno> {
    let context = rustix::mount::fsopen(c"proc", FsOpenFlags::FSOPEN_CLOEXEC)?;
    rustix::mount::fsconfig_create(context.as_fd())?;
    let processes = rustix::mount::fsmount(
        context.as_fd(),
        FsMountFlags::FSMOUNT_CLOEXEC,
        MountAttrFlags::empty(),
    )?;
    let flags = OFlags::WRONLY | OFlags::CLOEXEC;
    let file = rustix::fs::openat(&processes, c"sys/kernel/pid_max", flags, Mode::empty())?;
    rustix::io::write(&file, numbers.to_bytes()).map(drop)
}

/// A copy of a mount, read-only, not yet anywhere.
fn take(source: &CStr, device: bool) -> Result<OwnedFd, Errno> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE
        | OpenTreeFlags::OPEN_TREE_CLOEXEC
        | OpenTreeFlags::AT_RECURSIVE;
    let mount = rustix::mount::open_tree(CWD, source, flags)?;
    let set = if device {
        sys::READ_ONLY
    } else {
        sys::READ_ONLY | sys::NO_DEVICES
    };
    sys::set_mount_attributes(mount.as_fd(), set, true, None)?;
    Ok(mount)
}

/// A new file system in memory, not yet anywhere.
fn memory(size: &CStr, files: &CStr) -> Result<OwnedFd, Errno> {
    let context = rustix::mount::fsopen(c"tmpfs", FsOpenFlags::FSOPEN_CLOEXEC)?;
    rustix::mount::fsconfig_set_string(context.as_fd(), c"size", size)?;
    rustix::mount::fsconfig_set_string(context.as_fd(), c"nr_inodes", files)?;
    rustix::mount::fsconfig_set_string(context.as_fd(), c"mode", c"0755")?;
    rustix::mount::fsconfig_create(context.as_fd())?;
    rustix::mount::fsmount(
        context.as_fd(),
        FsMountFlags::FSMOUNT_CLOEXEC,
        MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_NODEV,
    )
}

fn attach(mount: BorrowedFd<'_>, folder: BorrowedFd<'_>, place: &CStr) -> Result<(), Errno> {
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH;
    rustix::mount::move_mount(mount, c"", folder, place, flags)
}

/// Everything in the root but what can be written.
fn fill(plan: &mut Plan) -> Result<(), Errno> {
    for folder in &plan.folders {
        rustix::fs::mkdirat(CWD, folder.as_c_str(), Mode::from_raw_mode(0o755))?;
    }
    for file in &plan.files {
        let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::CLOEXEC;
        rustix::fs::openat(CWD, file.as_c_str(), flags, Mode::from_raw_mode(0o644))?;
    }
    if let Some(library) = &plan.clock {
        let flags = OFlags::TRUNC | OFlags::CREATE | OFlags::WRONLY | OFlags::CLOEXEC;
        for (name, bytes) in [
            (clock::PLACE, library.as_slice()),
            (clock::LIST, clock::LISTED),
        ] {
            let file = rustix::fs::openat(CWD, name, flags, Mode::from_raw_mode(0o444))?;
            rustix::io::write(&file, bytes)?;
        }
    }
    for (name, target) in &plan.links {
        rustix::fs::symlinkat(target.as_c_str(), CWD, name.as_c_str())?;
    }
    for place in &plan.places {
        if let Some(mount) = &place.mount {
            attach(mount.as_fd(), CWD, &place.target)?;
        }
    }
    Ok(())
}

/// The folders that can be written, all in one file system, which is itself out of reach.
fn scratch(plan: &Plan) -> Result<OwnedFd, Errno> {
    let mode = Mode::from_raw_mode(0o755);
    rustix::fs::mkdirat(CWD, c".scratch", mode)?;
    rustix::fs::mkdirat(CWD, c"dev/shm", mode)?;
    let mount = memory(&plan.scratch_size, &plan.scratch_files)?;
    attach(mount.as_fd(), CWD, c".scratch")?;
    for (name, place, mode) in [
        (c"build", c"build", 0o755),
        (c"out", c"out", 0o755),
        (c"tmp", c"tmp", 0o1777),
        (c"shm", c"dev/shm", 0o1777),
    ] {
        let mode = Mode::from_raw_mode(mode);
        rustix::fs::mkdirat(&mount, name, mode)?;
        // Past the umask.
        rustix::fs::chmodat(&mount, name, mode, rustix::fs::AtFlags::empty())?;
        let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
        let folder = rustix::mount::open_tree(&mount, name, flags)?;
        attach(folder.as_fd(), CWD, place)?;
    }
    let flags = OFlags::DIRECTORY | OFlags::CLOEXEC;
    let folder = rustix::fs::openat(&mount, c".", flags, Mode::empty())?;
    rustix::mount::unmount(c".scratch", UnmountFlags::DETACH)?;
    rustix::fs::unlinkat(CWD, c".scratch", rustix::fs::AtFlags::REMOVEDIR)?;
    Ok(folder)
}

fn send_ready(control: &OwnedFd, folder: &OwnedFd) -> Result<(), Errno> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    let descriptors = [folder.as_fd()];
    ancillary.push(SendAncillaryMessage::ScmRights(&descriptors));
    let bytes = Message::Ready.encode();
    let parts = [IoSlice::new(&bytes)];
    rustix::net::sendmsg(control, &parts, &mut ancillary, SendFlags::NOSIGNAL).map(drop)
}

fn limits(plan: &Plan) -> Result<(), Errno> {
    const STACK_BYTES: u64 = 8 << 20;
    sys::limit(libc::RLIMIT_CORE, 0, 0)?;
    sys::limit(libc::RLIMIT_STACK, STACK_BYTES, libc::RLIM_INFINITY)?;
    sys::limit(libc::RLIMIT_NOFILE, 1024, 4096)?;
    sys::limit(libc::RLIMIT_DATA, plan.memory_bytes, plan.memory_bytes)?;
    sys::limit(libc::RLIMIT_NPROC, plan.processes, plan.processes)?;
    if let Some(processors) = &plan.processors {
        rustix::thread::sched_setaffinity(None, processors)?;
    }
    sys::fix_addresses()
}

fn standard_streams(plan: &Plan) -> Result<(), Errno> {
    if plan.interactive {
        return Ok(());
    }
    let null = spawn::null(OFlags::RDONLY)?;
    rustix::stdio::dup2_stdin(&null)?;
    if let Some(output) = &plan.output {
        rustix::stdio::dup2_stdout(output)?;
        rustix::stdio::dup2_stderr(output)?;
    }
    rustix::process::setsid().map(drop)
}

/// From here on no privilege can be had again, by no program.
fn privileges() -> Result<(), Errno> {
    rustix::thread::set_no_new_privs(true)?;
    for number in 0..64 {
        let Some(capability) = CapabilitySet::from_bits(1 << number) else {
            continue;
        };
        match rustix::thread::remove_capability_from_bounding_set(capability) {
            // This kernel does not have it.
            Ok(()) | Err(Errno::INVAL) => {}
            Err(error) => return Err(error),
        }
    }
    rustix::thread::clear_ambient_capability_set()?;
    let none = CapabilitySets {
        effective: CapabilitySet::empty(),
        permitted: CapabilitySet::empty(),
        inheritable: CapabilitySet::empty(),
    };
    rustix::thread::set_capabilities(None, none)?;
    // A change of privileges makes a process readable again.
    rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable)
}

/// Starts the command and waits for it, and for all that lose their parents meanwhile.
fn supervise(plan: &Plan) -> Outcome<i32> {
    // SAFETY: the child calls `command`, which keeps to what the head of this file allows.
    let started = unsafe { sys::clone(0) };
    match started.map_err(|error| (Step::Fork, error))? {
        Cloned::Child => {
            let (step, error) = command(plan);
            tell(&plan.control, Message::Failed(step, error));
            sys::exit(127)
        }
        Cloned::Parent(id, _) => loop {
            match rustix::process::wait(WaitOptions::empty()) {
                Ok(Some((ended, status))) if ended.as_raw_pid() == id => {
                    return Ok(status.as_raw());
                }
                Ok(_) | Err(Errno::INTR) => {}
                Err(error) => return Err((Step::Fork, error)),
            }
        },
    }
}

/// Makes this process a group of its own that has the terminal, as a shell expects: it would not know
/// the group that has it, which is outside of the namespace. What is no terminal stays as it is.
fn own_terminal() -> Result<(), Errno> {
    rustix::process::setpgid(None, None)?;
    // Who takes a terminal from another group is stopped.
    sys::hold_terminal_stops(true)?;
    let _ = rustix::termios::tcsetpgrp(rustix::stdio::stdin(), rustix::process::getpid());
    sys::hold_terminal_stops(false)
}

/// Becomes the command; comes back only where that fails.
fn command(plan: &Plan) -> (Step, Errno) {
    // Only now, because it forbids the call that made this process.
    if let Err(error) = sys::filter(&plan.filter) {
        return (Step::Privileges, error);
    }
    // Behind the rest of the machine, and behind the process that ends this one and all others: a
    // thousand processes that only make each other would keep it from its turn.
    if let Err(error) = rustix::process::nice(NICENESS) {
        return (Step::Limits, error);
    }
    if plan.interactive
        && let Err(error) = own_terminal()
    {
        return (Step::Start, error);
    }
    if let Err(error) = rustix::process::chdir(plan.folder.as_c_str()) {
        return (Step::Folder, error);
    }
    if let Err(error) = sys::close_on_execute() {
        return (Step::Start, error);
    }
    let error = sys::execute(&plan.program, &plan.arguments, &plan.environment);
    (Step::Start, error)
}
