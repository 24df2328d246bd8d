//! The system call filter of a service: a seccomp program that refuses what only an operating
//! system needs.
//!
//! A list of what is refused, not of what is allowed: it holds for any program, and what it takes
//! away is what turned into escapes before (mounts, modules, keys, bpf, io_uring, tracing, new
//! user namespaces). A declared capability gives back the calls that it is for. The kernel
//! remembers for each call number whether the program always allows it, so that the length of the
//! list costs ordinary calls nothing.

use super::capability;
use crate::sys::process::Instruction;
use alloc::vec::Vec;

/// Refused calls and the capability that gives them back (empty: none does).
const REFUSED: &[(&str, &[libc::c_long])] = &[
    (
        "SYS_ADMIN",
        &[
            libc::SYS_mount,
            libc::SYS_umount2,
            libc::SYS_pivot_root,
            libc::SYS_mount_setattr,
            libc::SYS_move_mount,
            libc::SYS_open_tree,
            libc::SYS_fsopen,
            libc::SYS_fsconfig,
            libc::SYS_fsmount,
            libc::SYS_fspick,
            libc::SYS_setns,
            libc::SYS_unshare,
            libc::SYS_sethostname,
            libc::SYS_setdomainname,
            libc::SYS_swapon,
            libc::SYS_swapoff,
            libc::SYS_quotactl,
            libc::SYS_fanotify_init,
            libc::SYS_lookup_dcookie,
        ],
    ),
    (
        "SYS_MODULE",
        &[
            libc::SYS_init_module,
            libc::SYS_finit_module,
            libc::SYS_delete_module,
        ],
    ),
    (
        "SYS_BOOT",
        &[
            libc::SYS_reboot,
            libc::SYS_kexec_load,
            libc::SYS_kexec_file_load,
        ],
    ),
    (
        "SYS_PTRACE",
        &[
            libc::SYS_ptrace,
            libc::SYS_process_vm_readv,
            libc::SYS_process_vm_writev,
            libc::SYS_process_madvise,
            libc::SYS_pidfd_getfd,
            libc::SYS_kcmp,
        ],
    ),
    ("SYS_RAWIO", &[libc::SYS_iopl, libc::SYS_ioperm]),
    (
        "SYS_TIME",
        &[
            libc::SYS_settimeofday,
            libc::SYS_clock_settime,
            libc::SYS_clock_adjtime,
            libc::SYS_adjtimex,
        ],
    ),
    ("SYS_PACCT", &[libc::SYS_acct]),
    ("SYS_CHROOT", &[libc::SYS_chroot]),
    ("SYS_TTY_CONFIG", &[libc::SYS_vhangup]),
    ("SYSLOG", &[libc::SYS_syslog]),
    ("BPF", &[libc::SYS_bpf]),
    ("PERFMON", &[libc::SYS_perf_event_open]),
    (
        "DAC_READ_SEARCH",
        &[libc::SYS_open_by_handle_at, libc::SYS_name_to_handle_at],
    ),
    (
        "",
        &[
            libc::SYS_add_key,
            libc::SYS_request_key,
            libc::SYS_keyctl,
            libc::SYS_userfaultfd,
            libc::SYS_io_uring_setup,
            libc::SYS_io_uring_enter,
            libc::SYS_io_uring_register,
            libc::SYS_uselib,
            libc::SYS__sysctl,
            libc::SYS_nfsservctl,
            libc::SYS_vserver,
        ],
    ),
];

const LOAD: u16 = (libc::BPF_LD | libc::BPF_W | libc::BPF_ABS) as u16;
const JUMP_EQUAL: u16 = (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16;
const JUMP_AT_LEAST: u16 = (libc::BPF_JMP | libc::BPF_JGE | libc::BPF_K) as u16;
const JUMP_ANY_BIT: u16 = (libc::BPF_JMP | libc::BPF_JSET | libc::BPF_K) as u16;
const RETURN: u16 = (libc::BPF_RET | libc::BPF_K) as u16;

/// Offsets into `struct seccomp_data`.
const NUMBER: u32 = 0;
const ARCHITECTURE: u32 = 4;
const FIRST_ARGUMENT: u32 = 16;

const AUDIT_ARCH_X86_64: u32 = 0xc000_003e;
/// Numbers from here on are the x32 interface's, by which every rule could be passed by.
const FIRST_X32: u32 = 0x4000_0000;

const ALLOW: u32 = libc::SECCOMP_RET_ALLOW;
const KILL: u32 = libc::SECCOMP_RET_KILL_PROCESS;

const fn refuse(error: i32) -> u32 {
    libc::SECCOMP_RET_ERRNO | error as u32
}

const fn step(code: u16, operand: u32) -> Instruction {
    Instruction {
        code,
        if_true: 0,
        if_false: 0,
        operand,
    }
}

/// Runs the next instruction where the comparison holds, else skips it.
const fn only_if(code: u16, operand: u32) -> Instruction {
    Instruction {
        code,
        if_true: 0,
        if_false: 1,
        operand,
    }
}

/// The filter for a service with these capabilities.
pub fn program(capabilities: u64) -> Vec<Instruction> {
    let mut program = alloc::vec![
        step(LOAD, ARCHITECTURE),
        // Another architecture numbers its calls differently: no rule would mean what it says.
        Instruction {
            code: JUMP_EQUAL,
            if_true: 1,
            if_false: 0,
            operand: AUDIT_ARCH_X86_64
        },
        step(RETURN, KILL),
        step(LOAD, NUMBER),
        only_if(JUMP_AT_LEAST, FIRST_X32),
        step(RETURN, refuse(libc::ENOSYS)),
    ];
    for (capability, calls) in REFUSED {
        if capabilities & capability::bit(capability) != 0 {
            continue;
        }
        for call in *calls {
            program.push(only_if(JUMP_EQUAL, *call as u32));
            program.push(step(RETURN, refuse(libc::EPERM)));
        }
    }
    if capabilities & capability::bit("SYS_ADMIN") == 0 {
        let namespaces = libc::CLONE_NEWUSER
            | libc::CLONE_NEWNS
            | libc::CLONE_NEWPID
            | libc::CLONE_NEWNET
            | libc::CLONE_NEWIPC
            | libc::CLONE_NEWUTS
            | libc::CLONE_NEWCGROUP;
        program.extend([
            // clone3 has its flags in memory, where no filter can look; C libraries fall back
            // to clone when it does not exist.
            only_if(JUMP_EQUAL, libc::SYS_clone3 as u32),
            step(RETURN, refuse(libc::ENOSYS)),
            Instruction {
                code: JUMP_EQUAL,
                if_true: 0,
                if_false: 3,
                operand: libc::SYS_clone as u32,
            },
            step(LOAD, FIRST_ARGUMENT),
            only_if(JUMP_ANY_BIT, namespaces as u32),
            step(RETURN, refuse(libc::EPERM)),
        ]);
    }
    program.push(step(RETURN, ALLOW));
    program
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs the program as the kernel would.
    fn run(program: &[Instruction], architecture: u32, number: u32, argument: u32) -> u32 {
        let (mut at, mut loaded) = (0, 0);
        loop {
            let step = program[at];
            at += 1;
            let holds = match step.code {
                LOAD => {
                    loaded = match step.operand {
                        NUMBER => number,
                        ARCHITECTURE => architecture,
                        FIRST_ARGUMENT => argument,
                        other => panic!("reads at {other}"),
                    };
                    continue;
                }
                RETURN => return step.operand,
                JUMP_EQUAL => loaded == step.operand,
                JUMP_AT_LEAST => loaded >= step.operand,
                JUMP_ANY_BIT => loaded & step.operand != 0,
                other => panic!("code {other}"),
            };
            at += usize::from(if holds { step.if_true } else { step.if_false });
        }
    }

    fn call(capabilities: u64, number: libc::c_long) -> u32 {
        run(&program(capabilities), AUDIT_ARCH_X86_64, number as u32, 0)
    }

    #[test]
    fn ordinary_calls_pass() {
        for number in [
            libc::SYS_read,
            libc::SYS_execve,
            libc::SYS_clone,
            libc::SYS_socket,
            461,
        ] {
            assert_eq!(call(0, number), ALLOW, "{number}");
        }
    }

    #[test]
    fn every_listed_call_is_refused_and_given_back_by_its_capability_alone() {
        for (name, calls) in REFUSED {
            for number in *calls {
                assert_eq!(call(0, *number), refuse(libc::EPERM), "{number}");
                let bit = capability::bit(name);
                assert_eq!(bit == 0, name.is_empty(), "{name} is no capability");
                let with = if bit == 0 { refuse(libc::EPERM) } else { ALLOW };
                assert_eq!(call(bit, *number), with, "{number} with {name}");
                assert_eq!(
                    call(!bit, *number),
                    refuse(libc::EPERM),
                    "{number} without {name}"
                );
            }
        }
    }

    #[test]
    fn no_call_is_listed_twice() {
        let mut all: Vec<_> = REFUSED.iter().flat_map(|(_, calls)| *calls).collect();
        let count = all.len();
        all.sort();
        all.dedup();
        assert_eq!(all.len(), count);
    }

    #[test]
    fn there_is_no_way_round() {
        let program = program(u64::MAX);
        let other = 0x4000_0003; // AUDIT_ARCH_I386
        assert_eq!(run(&program, other, libc::SYS_read as u32, 0), KILL);
        let x32 = FIRST_X32 | libc::SYS_read as u32;
        assert_eq!(
            run(&program, AUDIT_ARCH_X86_64, x32, 0),
            refuse(libc::ENOSYS)
        );
    }

    #[test]
    fn new_namespaces_are_refused_in_either_form() {
        assert_eq!(call(0, libc::SYS_clone3), refuse(libc::ENOSYS));
        let clone = |flags: i32| {
            run(
                &program(0),
                AUDIT_ARCH_X86_64,
                libc::SYS_clone as u32,
                flags as u32,
            )
        };
        assert_eq!(
            clone(libc::CLONE_NEWUSER | libc::SIGCHLD),
            refuse(libc::EPERM)
        );
        assert_eq!(clone(libc::CLONE_VM | libc::CLONE_THREAD), ALLOW);
        assert_eq!(clone(libc::SIGCHLD), ALLOW);
    }

    #[test]
    fn the_kernel_takes_it() {
        assert!(program(0).len() < 4096, "BPF_MAXINSNS");
    }
}
