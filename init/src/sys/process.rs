//! Processes: making them, taking rights away from them, ending them.

use super::{Errno, Fd, Result, call, file, zero_terminated};
use alloc::string::String;
use alloc::vec::Vec;

/// Which side of a fork this is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// The new process.
    Child,
    /// The old one; the child's process id.
    Parent(i32),
}

/// What there is of the kernel's objects between processes: its namespaces of them, System V objects,
/// message queues.
const SIGNS_OF_IPC: [&str; 3] = ["/proc/self/ns/ipc", "/proc/sysvipc", "/proc/sys/fs/mqueue"];

/// Namespaces of a service: mounts, processes, host name, System V objects and message queues. A
/// kernel that has no such objects has no namespace of them either; one that has the objects alone
/// starts no service.
fn service_namespaces() -> i32 {
    let all = libc::CLONE_NEWNS | libc::CLONE_NEWPID | libc::CLONE_NEWUTS;
    match SIGNS_OF_IPC.into_iter().any(file::exists) {
        true => all | libc::CLONE_NEWIPC,
        false => all,
    }
}

fn clone(flags: i32) -> Result<Side> {
    let flags = (flags | libc::SIGCHLD) as usize;
    // SAFETY: without CLONE_VM and with no stack given this is a fork: the child goes on with a
    // copy of all memory. There is one thread and no C library, so no lock or cached state can
    // be left behind.
    match unsafe { call(libc::SYS_clone, &[flags, 0, 0, 0, 0]) }? {
        0 => Ok(Side::Child),
        pid => Ok(Side::Parent(pid as i32)),
    }
}

/// Forks.
///
/// # Errors
/// What the kernel says.
pub fn fork() -> Result<Side> {
    clone(0)
}

/// Forks into the namespaces of a new service.
///
/// # Errors
/// What the kernel says.
pub fn fork_into_namespaces() -> Result<Side> {
    clone(service_namespaces())
}

/// Enters the namespaces of a running service. The process namespace takes effect for children.
///
/// # Errors
/// What the kernel says.
pub fn enter_namespaces(pid: i32) -> Result<()> {
    // SAFETY: neither call takes a pointer.
    let fd = unsafe { call(libc::SYS_pidfd_open, &[pid as usize, 0]) }.map(Fd::own)?;
    // SAFETY: as above.
    unsafe {
        call(
            libc::SYS_setns,
            &[fd.argument(), service_namespaces() as usize],
        )
    }
    .map(drop)
}

/// Ends this process.
pub fn exit(status: i32) -> ! {
    loop {
        // SAFETY: takes no pointer and does not return.
        let _ = unsafe { call(libc::SYS_exit_group, &[status as usize]) };
    }
}

/// Sends a signal; −1 means every process but init.
pub fn kill(pid: i32, signal: i32) {
    // SAFETY: takes no pointer.
    let _ = unsafe { call(libc::SYS_kill, &[pid as isize as usize, signal as usize]) };
}

/// Makes this process the leader of a session without a terminal.
pub fn new_session() {
    // SAFETY: takes nothing.
    let _ = unsafe { call(libc::SYS_setsid, &[]) };
}

/// Makes a terminal the one of this session, which this process leads and which has none.
///
/// # Errors
/// What the kernel says; `EPERM` where another session has it.
pub fn control_from(terminal: &Fd) -> Result<()> {
    let arguments = [terminal.argument(), libc::TIOCSCTTY as usize, 0];
    // SAFETY: takes no pointer.
    unsafe { call(libc::SYS_ioctl, &arguments) }.map(drop)
}

/// Sets which permission bits new files never have.
pub fn set_umask(mask: u32) {
    // SAFETY: takes no pointer.
    let _ = unsafe { call(libc::SYS_umask, &[mask as usize]) };
}

/// Puts a descriptor at a fixed number, open across exec.
///
/// # Errors
/// What the kernel says.
pub fn put_at(fd: &Fd, number: i32) -> Result<()> {
    if fd.number() == number {
        // dup would leave it closed on exec.
        // SAFETY: takes no pointer.
        return unsafe { call(libc::SYS_fcntl, &[fd.argument(), libc::F_SETFD as usize, 0]) }
            .map(drop);
    }
    // SAFETY: takes no pointer; what was at `number` is meant to be replaced.
    unsafe { call(libc::SYS_dup3, &[fd.argument(), number as usize, 0]) }.map(drop)
}

/// Another descriptor of the same open file, at `least` or behind; closed on exec.
///
/// # Errors
/// What the kernel says.
pub fn copy_from(fd: &Fd, least: usize) -> Result<Fd> {
    let arguments = [fd.argument(), libc::F_DUPFD_CLOEXEC as usize, least];
    // SAFETY: takes no pointer.
    unsafe { call(libc::SYS_fcntl, &arguments) }.map(Fd::own)
}

/// Marks every descriptor from `first` on as closed on exec.
///
/// # Errors
/// What the kernel says.
pub fn close_on_exec_from(first: u32) -> Result<()> {
    const CLOSE_RANGE_CLOEXEC: usize = 4;
    // SAFETY: takes no pointer and closes nothing now.
    unsafe {
        call(
            libc::SYS_close_range,
            &[first as usize, u32::MAX as usize, CLOSE_RANGE_CLOEXEC],
        )
        .map(drop)
    }
}

/// Sets the soft and hard limit of a resource (`RLIMIT_…`).
///
/// # Errors
/// What the kernel says.
pub fn set_limit(resource: u32, value: u64) -> Result<()> {
    let limit = [value, value];
    // SAFETY: the kernel reads one `rlimit64`; the old one is not asked for.
    unsafe {
        call(
            libc::SYS_prlimit64,
            &[0, resource as usize, limit.as_ptr() as usize, 0],
        )
        .map(drop)
    }
}

fn control(option: i32, arguments: [usize; 4]) -> Result<()> {
    let [a, b, c, d] = arguments;
    // SAFETY: every option used here takes numbers only.
    unsafe { call(libc::SYS_prctl, &[option as usize, a, b, c, d]) }.map(drop)
}

/// Ends this process with its parent.
///
/// # Errors
/// What the kernel says.
pub fn die_with_parent() -> Result<()> {
    control(libc::PR_SET_PDEATHSIG, [libc::SIGKILL as usize, 0, 0, 0])
}

/// Becomes an unprivileged user that holds exactly the capabilities of the mask, in every set,
/// and can never gain another: not by a set-user-id program, not by being user 0.
///
/// # Errors
/// What the kernel says; the process must then end.
pub fn become_user(uid: u32, gid: u32, capabilities: u64) -> Result<()> {
    const SECBIT_NOROOT_AND_LOCKED: usize = 0b11;
    const LAST_POSSIBLE: u32 = 63;
    for capability in 0..=LAST_POSSIBLE {
        if capabilities & 1 << capability == 0 {
            match control(libc::PR_CAPBSET_DROP, [capability as usize, 0, 0, 0]) {
                // Beyond the last one that this kernel knows.
                Err(Errno(libc::EINVAL)) => break,
                other => other?,
            }
        }
    }
    control(libc::PR_SET_SECUREBITS, [SECBIT_NOROOT_AND_LOCKED, 0, 0, 0])?;
    control(libc::PR_SET_KEEPCAPS, [1, 0, 0, 0])?;
    let (uid, gid) = (uid as usize, gid as usize);
    // SAFETY: a group count of zero reads no list; the other two take no pointer.
    unsafe {
        call(libc::SYS_setgroups, &[0, 0])?;
        call(libc::SYS_setresgid, &[gid, gid, gid])?;
        call(libc::SYS_setresuid, &[uid, uid, uid])?;
    }
    // struct __user_cap_header_struct version 3, then effective, permitted, inheritable for the
    // low and for the high 32 capabilities.
    let header = [0x2008_0522_u32, 0];
    let (low, high) = (capabilities as u32, (capabilities >> 32) as u32);
    let sets = [low, low, low, high, high, high];
    // SAFETY: the kernel reads an 8-byte header and two 12-byte sets.
    unsafe {
        call(
            libc::SYS_capset,
            &[header.as_ptr() as usize, sets.as_ptr() as usize],
        )
    }?;
    for capability in (0..=LAST_POSSIBLE).filter(|c| capabilities & 1 << c != 0) {
        let raise = libc::PR_CAP_AMBIENT_RAISE as usize;
        control(libc::PR_CAP_AMBIENT, [raise, capability as usize, 0, 0])?;
    }
    control(libc::PR_SET_NO_NEW_PRIVS, [1, 0, 0, 0])
}

/// One instruction of a socket filter program (`struct sock_filter`).
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Instruction {
    /// What to do.
    pub code: u16,
    /// Instructions to skip where a comparison holds.
    pub if_true: u8,
    /// Instructions to skip where it does not.
    pub if_false: u8,
    /// The operand.
    pub operand: u32,
}

/// Puts a system call filter on this process and all it will start.
///
/// # Errors
/// What the kernel says; `EINVAL` for a program it does not accept.
pub fn filter_calls(program: &[Instruction]) -> Result<()> {
    #[repr(C)]
    struct Program {
        length: u16,
        instructions: *const Instruction,
    }
    let length = u16::try_from(program.len()).map_err(|_| Errno(libc::EINVAL))?;
    let program = Program {
        length,
        instructions: program.as_ptr(),
    };
    let mode = libc::SECCOMP_SET_MODE_FILTER as usize;
    // SAFETY: `Program` has the layout of `struct sock_fprog` and names `length` instructions
    // that live in `program` for the whole call; the kernel copies and checks them.
    unsafe { call(libc::SYS_seccomp, &[mode, 0, (&raw const program) as usize]) }.map(drop)
}

/// Becomes another program. Returns only where that fails.
pub fn exec(program: &[String], environment: &[String]) -> Errno {
    fn pointers(strings: &[Vec<u8>]) -> Vec<*const u8> {
        let mut list: Vec<*const u8> = strings.iter().map(|s| s.as_ptr()).collect();
        list.push(core::ptr::null());
        list
    }
    let copy = |list: &[String]| list.iter().map(|s| zero_terminated(s)).collect();
    let result: Result<Vec<Vec<u8>>> = copy(program);
    let arguments = match result {
        Ok(arguments) if !arguments.is_empty() => arguments,
        Ok(_) => return Errno(libc::EINVAL),
        Err(error) => return error,
    };
    let result: Result<Vec<Vec<u8>>> = copy(environment);
    let environment = match result {
        Ok(environment) => environment,
        Err(error) => return error,
    };
    let (list, environment) = (pointers(&arguments), pointers(&environment));
    let path = list.first().copied().unwrap_or(core::ptr::null()) as usize;
    // SAFETY: both lists end with null and point at zero-terminated strings that live in
    // `arguments` and in the shadowed environment until the call returns, if it does.
    let result = unsafe {
        call(
            libc::SYS_execve,
            &[path, list.as_ptr() as usize, environment.as_ptr() as usize],
        )
    };
    match result {
        Ok(_) => Errno(libc::EINVAL),
        Err(error) => error,
    }
}
