//! The system call filter: what no build needs and what would reach out of the sandbox or into
//! its result's permissions. Everything else is allowed; namespaces do the rest.
//!
//! Denied calls fail as they would on a kernel or for a user that cannot do them, so that programs
//! fall back.

use libc::{BPF_ABS, BPF_ALU, BPF_AND, BPF_JEQ, BPF_JMP, BPF_K, BPF_LD, BPF_RET, BPF_W};
use libc::{SECCOMP_RET_ALLOW, SECCOMP_RET_ERRNO, sock_filter};

/// `AUDIT_ARCH_X86_64` of linux/audit.h.
const ARCHITECTURE: u32 = 0xc000_003e;
/// Marks calls of the x32 interface.
const X32: u32 = 0x4000_0000;

/// Set-uid and set-gid.
const SET_ID: u32 = libc::S_ISUID | libc::S_ISGID;

/// Flags of `clone` and `unshare` that make namespaces.
const NAMESPACES: u32 = (libc::CLONE_NEWUSER
    | libc::CLONE_NEWNS
    | libc::CLONE_NEWPID
    | libc::CLONE_NEWNET
    | libc::CLONE_NEWUTS
    | libc::CLONE_NEWIPC
    | libc::CLONE_NEWCGROUP) as u32
    | 0x80; // CLONE_NEWTIME

/// Offsets in `struct seccomp_data`.
const NUMBER: u32 = 0;
const ARCH: u32 = 4;
const fn argument(index: u32) -> u32 {
    16 + 8 * index
}

/// Calls that are refused whatever their arguments, with what they answer.
const DENIED: &[(&[libc::c_long], i32)] = &[
    // Mounts and namespaces: done, once and for all.
    (
        &[
            libc::SYS_mount,
            libc::SYS_umount2,
            libc::SYS_pivot_root,
            libc::SYS_chroot,
            libc::SYS_move_mount,
            libc::SYS_open_tree,
            libc::SYS_fsopen,
            libc::SYS_fsconfig,
            libc::SYS_fsmount,
            libc::SYS_fspick,
            libc::SYS_mount_setattr,
            SYS_OPEN_TREE_ATTR,
            libc::SYS_setns,
        ],
        libc::EPERM,
    ),
    // Its flags lie in memory, where a filter cannot look; C libraries fall back to `clone`.
    (&[libc::SYS_clone3], libc::ENOSYS),
    // Looking into other processes.
    (
        &[
            libc::SYS_ptrace,
            libc::SYS_process_vm_readv,
            libc::SYS_process_vm_writev,
            libc::SYS_pidfd_getfd,
            libc::SYS_kcmp,
        ],
        libc::EPERM,
    ),
    // Keys belong to the user, not to the namespace.
    (
        &[libc::SYS_keyctl, libc::SYS_add_key, libc::SYS_request_key],
        libc::ENOSYS,
    ),
    // The kernel itself, and large parts of it that no build needs.
    (
        &[
            libc::SYS_bpf,
            libc::SYS_perf_event_open,
            libc::SYS_userfaultfd,
            libc::SYS_io_uring_setup,
            libc::SYS_io_uring_enter,
            libc::SYS_io_uring_register,
            libc::SYS_init_module,
            libc::SYS_finit_module,
            libc::SYS_delete_module,
            libc::SYS_kexec_load,
            libc::SYS_kexec_file_load,
            libc::SYS_reboot,
            libc::SYS_swapon,
            libc::SYS_swapoff,
            libc::SYS_syslog,
            libc::SYS_acct,
            libc::SYS_quotactl,
            libc::SYS_open_by_handle_at,
            libc::SYS_name_to_handle_at,
            libc::SYS_fanotify_init,
            libc::SYS_lookup_dcookie,
            libc::SYS_vhangup,
            libc::SYS_iopl,
            libc::SYS_ioperm,
            libc::SYS_modify_ldt,
            libc::SYS_settimeofday,
            libc::SYS_clock_settime,
            libc::SYS_adjtimex,
            libc::SYS_clock_adjtime,
        ],
        libc::EPERM,
    ),
    // No tree of ours carries what a build writes there.
    (
        &[
            libc::SYS_setxattr,
            libc::SYS_lsetxattr,
            libc::SYS_fsetxattr,
            SYS_SETXATTRAT,
        ],
        libc::EOPNOTSUPP,
    ),
    // Memory that belongs to no process and lies in no folder: nobody could count it.
    (
        &[
            libc::SYS_memfd_create,
            libc::SYS_memfd_secret,
            libc::SYS_shmget,
        ],
        libc::ENOSYS,
    ),
];

/// Calls that are refused where an argument has some value in its lower half, which is all that the
/// kernel looks at.
const DENIED_VALUES: &[(libc::c_long, u32, u32, i32)] = &[
    // Typing for the person at the terminal, where there is one.
    (libc::SYS_ioctl, 1, libc::TIOCSTI as u32, libc::EPERM),
    (libc::SYS_ioctl, 1, TIOCLINUX, libc::EPERM),
];

/// Calls that are refused where an argument has any of some bits.
const DENIED_BITS: &[(libc::c_long, u32, u32, i32)] = &[
    (libc::SYS_clone, 0, NAMESPACES, libc::EPERM),
    (libc::SYS_unshare, 0, NAMESPACES, libc::EPERM),
    (libc::SYS_chmod, 1, SET_ID, libc::EPERM),
    (libc::SYS_fchmod, 1, SET_ID, libc::EPERM),
    (libc::SYS_fchmodat, 2, SET_ID, libc::EPERM),
    (SYS_FCHMODAT2, 2, SET_ID, libc::EPERM),
    (libc::SYS_creat, 1, SET_ID, libc::EPERM),
    (libc::SYS_mknod, 1, SET_ID, libc::EPERM),
    (libc::SYS_mknodat, 2, SET_ID, libc::EPERM),
];

/// `fchmodat2` of Linux 6.6.
const SYS_FCHMODAT2: libc::c_long = 452;
/// `setxattrat` of Linux 6.13.
const SYS_SETXATTRAT: libc::c_long = 463;
/// `open_tree_attr` of Linux 6.15.
const SYS_OPEN_TREE_ATTR: libc::c_long = 467;

/// Of asm-generic/ioctls.h; what a console alone knows.
const TIOCLINUX: u32 = 0x541c;

/// Address families that a build may use; sockets of the others can reach out of the network
/// namespace or into corners of the kernel.
const FAMILIES: &[libc::c_int] = &[
    libc::AF_UNIX,
    libc::AF_INET,
    libc::AF_INET6,
    libc::AF_NETLINK,
];

/// The program, in the kernel's classic BPF.
pub(crate) fn program() -> Vec<sock_filter> {
    let mut program = vec![
        load(ARCH),
        jump(ARCHITECTURE, 1, 0),
        answer(libc::ENOSYS),
        load(NUMBER),
    ];
    program.extend([
        statement(BPF_JMP | libc::BPF_JGE | BPF_K, X32, 0, 1),
        answer(libc::ENOSYS),
    ]);
    for (calls, error) in DENIED {
        for call in *calls {
            program.extend([jump(number(*call), 0, 1), answer(*error)]);
        }
    }
    for (call, index, bits, error) in DENIED_BITS {
        program.extend([
            jump(number(*call), 0, 5),
            load(argument(*index)),
            statement(BPF_ALU | BPF_AND | BPF_K, *bits, 0, 0),
            jump(0, 0, 1),
            allow(),
            answer(*error),
        ]);
    }
    for (call, index, value, error) in DENIED_VALUES {
        program.extend([
            jump(number(*call), 0, 4),
            load(argument(*index)),
            jump(*value, 0, 1),
            answer(*error),
            load(NUMBER),
        ]);
    }
    let families = FAMILIES.len() as u8;
    program.extend([
        jump(number(libc::SYS_socket), 0, families + 2),
        load(argument(0)),
    ]);
    for (at, family) in (0..families).zip(FAMILIES) {
        program.push(jump(family.cast_unsigned(), families - at, 0));
    }
    program.extend([answer(libc::EAFNOSUPPORT), allow()]);
    program
}

fn number(call: libc::c_long) -> u32 {
    u32::try_from(call).unwrap_or(u32::MAX)
}

fn load(offset: u32) -> sock_filter {
    statement(BPF_LD | BPF_W | BPF_ABS, offset, 0, 0)
}

/// Skips `yes` instructions where the accumulator is `value`, else `no`.
fn jump(value: u32, yes: u8, no: u8) -> sock_filter {
    statement(BPF_JMP | BPF_JEQ | BPF_K, value, yes, no)
}

fn allow() -> sock_filter {
    statement(BPF_RET | BPF_K, SECCOMP_RET_ALLOW, 0, 0)
}

fn answer(error: i32) -> sock_filter {
    statement(
        BPF_RET | BPF_K,
        SECCOMP_RET_ERRNO | error.cast_unsigned(),
        0,
        0,
    )
}

fn statement(code: u32, k: u32, jt: u8, jf: u8) -> sock_filter {
    sock_filter {
        code: code as u16,
        jt,
        jf,
        k,
    }
}
