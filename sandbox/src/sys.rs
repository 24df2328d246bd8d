//! System calls that rustix does not offer, behind safe functions. None of them allocates, takes a
//! lock or touches thread-local state but `errno`, so they may run between `fork` and `exec`.

use rustix::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use rustix::io::Errno;
use std::ffi::{CStr, CString, c_char, c_int};

/// A process that was made by [`clone`].
pub(crate) enum Cloned {
    /// In the child.
    Child,
    /// In the parent: the child's id and a descriptor of it.
    Parent(i32, OwnedFd),
}

/// Arguments of `mount_setattr(2)`.
#[repr(C)]
struct MountAttributes {
    set: u64,
    clear: u64,
    propagation: u64,
    user_namespace: u64,
}

/// Read-only, and no set-uid programs.
pub(crate) const READ_ONLY: u64 = libc::MOUNT_ATTR_RDONLY | libc::MOUNT_ATTR_NOSUID;
/// No device files.
pub(crate) const NO_DEVICES: u64 = libc::MOUNT_ATTR_NODEV;

fn checked(result: libc::c_long) -> Result<libc::c_long, Errno> {
    if result >= 0 {
        return Ok(result);
    }
    Err(last())
}

fn last() -> Errno {
    // SAFETY: the location of `errno` is valid for reads as long as the thread lives.
    Errno::from_raw_os_error(unsafe { *libc::__errno_location() })
}

/// A second process, in namespaces of its own where `flags` says so.
///
/// # Safety
/// Where other threads exist, the child must call nothing that allocates or takes a lock, and must
/// end by [`exit`] or [`execute`].
pub(crate) unsafe fn clone(flags: c_int) -> Result<Cloned, Errno> {
    use rustix::fd::FromRawFd;
    let mut descriptor: c_int = -1;
    let mut arguments = libc::clone_args {
        flags: u64::from((flags | libc::CLONE_PIDFD).cast_unsigned()),
        pidfd: (&raw mut descriptor) as u64,
        child_tid: 0,
        parent_tid: 0,
        exit_signal: u64::from(libc::SIGCHLD.cast_unsigned()),
        stack: 0,
        stack_size: 0,
        tls: 0,
        set_tid: 0,
        set_tid_size: 0,
        cgroup: 0,
    };
    // SAFETY: the structure has the size given, and the kernel writes a descriptor to where `pidfd`
    // points, which outlives the call. Without CLONE_VM the child has memory of its own.
    let id = checked(unsafe {
        libc::syscall(
            libc::SYS_clone3,
            &raw mut arguments,
            size_of::<libc::clone_args>(),
        )
    })?;
    if id == 0 {
        return Ok(Cloned::Child);
    }
    // SAFETY: the kernel has just made this descriptor for us and nobody else knows it.
    let descriptor = unsafe { OwnedFd::from_raw_fd(descriptor) };
    Ok(Cloned::Parent(i32::try_from(id).unwrap_or(-1), descriptor))
}

/// Ends the process without running any destructor or exit handler.
pub(crate) fn exit(status: c_int) -> ! {
    // SAFETY: `_exit` takes a number and does not come back.
    unsafe { libc::_exit(status) }
}

/// Puts this process, which has one thread, into a user namespace of its own.
pub(crate) fn new_user_namespace() -> Result<(), Errno> {
    // SAFETY: takes a number.
    checked(unsafe { libc::unshare(libc::CLONE_NEWUSER) }.into()).map(drop)
}

/// Lets the processes that this one starts from now on have monotonic clocks of their own.
pub(crate) fn new_time_namespace() -> Result<(), Errno> {
    const CLONE_NEWTIME: c_int = 0x80;
    // SAFETY: takes a number.
    checked(unsafe { libc::unshare(CLONE_NEWTIME) }.into()).map(drop)
}

/// Waits to be killed.
pub(crate) fn wait_for_the_end() -> ! {
    loop {
        // SAFETY: takes nothing.
        unsafe { libc::pause() };
    }
}

/// Lets the files that this thread makes from now on belong to others. It keeps its capabilities,
/// those for reading and writing anything among them.
pub(crate) fn make_files_for(user: u32, group: u32) -> Result<(), Errno> {
    // SAFETY: both take a number, and concern the calling thread alone.
    unsafe {
        libc::setfsgid(group);
        libc::setfsuid(user);
    }
    // The kernel has taken those away that concern files.
    let mut capabilities = rustix::thread::capabilities(None)?;
    capabilities.effective = capabilities.permitted;
    rustix::thread::set_capabilities(None, capabilities)?;
    // They tell the value before, whether they worked or not.
    // SAFETY: as above; this number is no user, so that nothing changes.
    let now = unsafe { (libc::setfsuid(u32::MAX), libc::setfsgid(u32::MAX)) };
    match now == (user.cast_signed(), group.cast_signed()) {
        true => Ok(()),
        false => Err(Errno::PERM),
    }
}

/// A list of texts as `execve` takes it.
pub(crate) struct Texts {
    _texts: Vec<CString>,
    pointers: Vec<*const c_char>,
}

impl Texts {
    pub(crate) fn new(texts: Vec<CString>) -> Self {
        let mut pointers: Vec<_> = texts.iter().map(|text| text.as_ptr()).collect();
        pointers.push(std::ptr::null());
        Self {
            _texts: texts,
            pointers,
        }
    }
}

/// Becomes another program; comes back only where that fails.
pub(crate) fn execute(program: &CStr, arguments: &Texts, environment: &Texts) -> Errno {
    // SAFETY: both lists end with a null pointer and hold pointers to texts that `Texts` owns and
    // that end with a NUL.
    unsafe {
        libc::execve(
            program.as_ptr(),
            arguments.pointers.as_ptr(),
            environment.pointers.as_ptr(),
        );
    }
    last()
}

/// Changes the attributes of a mount, and with `below` of all mounts below it. Files of the mount
/// belong to the users of `namespace` that have the numbers which the file system gives.
pub(crate) fn set_mount_attributes(
    mount: BorrowedFd<'_>,
    set: u64,
    below: bool,
    namespace: Option<BorrowedFd<'_>>,
) -> Result<(), Errno> {
    let mut attributes = MountAttributes {
        set,
        clear: 0,
        propagation: 0,
        user_namespace: 0,
    };
    if let Some(namespace) = namespace {
        attributes.set |= libc::MOUNT_ATTR_IDMAP;
        attributes.user_namespace = u64::from(namespace.as_raw_fd().cast_unsigned());
    }
    let flags = libc::AT_EMPTY_PATH | if below { libc::AT_RECURSIVE } else { 0 };
    // SAFETY: the path is empty and ends with a NUL; the structure has the size given.
    checked(unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            mount.as_raw_fd(),
            c"".as_ptr(),
            flags,
            &raw const attributes,
            size_of::<MountAttributes>(),
        )
    })
    .map(drop)
}

/// Makes the first folder the root and puts the old root on the second.
pub(crate) fn pivot_root(new: &CStr, old: &CStr) -> Result<(), Errno> {
    // SAFETY: both are texts that end with a NUL.
    checked(unsafe { libc::syscall(libc::SYS_pivot_root, new.as_ptr(), old.as_ptr()) }).map(drop)
}

/// Switches the loopback device on.
pub(crate) fn loopback_up(socket: impl AsFd) -> Result<(), Errno> {
    // SAFETY: all zeros is a valid `ifreq`.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(c"lo".to_bytes()) {
        *to = from.cast_signed();
    }
    request.ifr_ifru.ifru_flags = (libc::IFF_UP | libc::IFF_RUNNING) as libc::c_short;
    // SAFETY: SIOCSIFFLAGS reads an `ifreq`.
    let done = unsafe {
        libc::ioctl(
            socket.as_fd().as_raw_fd(),
            libc::SIOCSIFFLAGS,
            &raw const request,
        )
    };
    checked(done.into()).map(drop)
}

/// Lets the kernel place memory at the same addresses each time.
pub(crate) fn fix_addresses() -> Result<(), Errno> {
    // SAFETY: takes a number.
    checked(unsafe { libc::personality(libc::ADDR_NO_RANDOMIZE as libc::c_ulong) }.into()).map(drop)
}

/// Gives every signal its default meaning and blocks none.
pub(crate) fn reset_signals() {
    for signal in 1..=64 {
        // SAFETY: SIG_DFL is a valid disposition; the kernel refuses what cannot be changed (KILL,
        // STOP) and glibc what it keeps for itself, which both have the default already.
        unsafe { libc::signal(signal, libc::SIG_DFL) };
    }
    let none = [0u64; 1];
    // SAFETY: the kernel's signal set has 8 bytes, which `none` has.
    unsafe {
        libc::syscall(
            libc::SYS_rt_sigprocmask,
            libc::SIG_SETMASK,
            none.as_ptr(),
            std::ptr::null::<u64>(),
            8usize,
        );
    }
}

/// Keeps the signal that stops whoever changes a terminal of others from this thread, or no longer.
pub(crate) fn hold_terminal_stops(hold: bool) -> Result<(), Errno> {
    let set = 1u64 << (libc::SIGTTOU - 1);
    let how = if hold {
        libc::SIG_BLOCK
    } else {
        libc::SIG_UNBLOCK
    };
    // SAFETY: the kernel's signal set has 8 bytes, which `set` has.
    checked(unsafe {
        libc::syscall(
            libc::SYS_rt_sigprocmask,
            how,
            &raw const set,
            std::ptr::null::<u64>(),
            8usize,
        )
    })
    .map(drop)
}

/// Closes the descriptors from `first` to `last`.
///
/// # Safety
/// Nobody may use any of them after that.
pub(crate) unsafe fn close(first: u32, last: u32) -> Result<(), Errno> {
    // SAFETY: takes numbers; the caller answers for what they name.
    checked(unsafe { libc::syscall(libc::SYS_close_range, first, last, 0) }).map(drop)
}

/// Marks all descriptors but the standard ones to be closed by [`execute`].
pub(crate) fn close_on_execute() -> Result<(), Errno> {
    let flags = libc::CLOSE_RANGE_CLOEXEC;
    // SAFETY: takes numbers.
    checked(unsafe { libc::syscall(libc::SYS_close_range, 3, u32::MAX, flags) }).map(drop)
}

/// Puts a system call filter on this process and all it will start.
pub(crate) fn filter(program: &[libc::sock_filter]) -> Result<(), Errno> {
    let program = libc::sock_fprog {
        len: program.len() as libc::c_ushort,
        filter: program.as_ptr().cast_mut(),
    };
    // SAFETY: the kernel copies `len` instructions from `filter` and does not write there.
    checked(unsafe {
        libc::syscall(
            libc::SYS_seccomp,
            libc::SECCOMP_SET_MODE_FILTER,
            0,
            &raw const program,
        )
    })
    .map(drop)
}

/// Takes a resource limit down to what is given, as far as it is not lower already.
pub(crate) fn limit(
    resource: libc::__rlimit_resource_t,
    soft: u64,
    hard: u64,
) -> Result<(), Errno> {
    let mut now = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: `now` is valid for writes.
    checked(unsafe { libc::getrlimit(resource, &raw mut now) }.into())?;
    let new = libc::rlimit {
        rlim_cur: soft.min(now.rlim_max),
        rlim_max: hard.min(now.rlim_max),
    };
    // SAFETY: `new` is valid for reads.
    checked(unsafe { libc::setrlimit(resource, &raw const new) }.into()).map(drop)
}
