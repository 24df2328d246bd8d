//! Which system calls the programs of an image make, and the options that give them.
//!
//! Two things are read of each file, none is ever run: the functions that it imports from the C
//! library, and, of a file that makes system calls itself, the numbers that its code holds
//! ([`crate::elf::Code`]). The C library makes every call and is not looked at; what it needs for
//! itself, and `init`, is in every kernel. A call that the service's filter refuses needs no option.

use crate::elf::{Elf, ElfError, Imports, MACHINE_X86_64, ReadAt};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::io;

/// Options that programs need for their calls, and how it shows.
#[derive(Debug)]
pub(super) struct Row {
    /// Options, with `CONFIG_`.
    pub options: &'static [&'static str],
    /// Functions that a C library makes of the calls: to import one is to need the options.
    functions: &'static [&'static str],
    /// Numbers of the calls. One of each list must be there, as nothing comes of one without the
    /// other.
    numbers: &'static [&'static [u16]],
    /// The capability without which the filter of services refuses the calls.
    capability: Option<&'static str>,
}

const fn row(
    options: &'static [&'static str],
    functions: &'static [&'static str],
    numbers: &'static [&'static [u16]],
) -> Row {
    Row {
        options,
        functions,
        numbers,
        capability: None,
    }
}

const fn guarded(
    capability: &'static str,
    options: &'static [&'static str],
    functions: &'static [&'static str],
    numbers: &'static [&'static [u16]],
) -> Row {
    Row {
        capability: Some(capability),
        ..row(options, functions, numbers)
    }
}

/// System V objects, and the namespace that keeps those of services apart.
const SYSTEM_V: &[&str] = &["CONFIG_SYSVIPC", "CONFIG_IPC_NS"];

/// What is not here is in every kernel (futexes, signals, timers, rseq, sockets), or refused to all
/// services (io_uring, keys, userfaultfd).
pub(super) const ROWS: [Row; 17] = [
    row(
        &["CONFIG_ADVISE_SYSCALLS"],
        // Threads' stacks and the memory of large programs are given back by it.
        &[
            "madvise",
            "posix_madvise",
            "posix_fadvise",
            "posix_fadvise64",
            "malloc_trim",
            "pthread_create",
        ],
        &[&[28, 221]],
    ),
    row(
        &["CONFIG_AIO"],
        &["io_setup", "io_submit", "io_getevents"],
        &[&[206], &[209]],
    ),
    row(
        &["CONFIG_EPOLL"],
        &["epoll_create", "epoll_create1", "epoll_ctl"],
        &[&[213, 291], &[233]],
    ),
    row(&["CONFIG_EVENTFD"], &["eventfd"], &[&[284, 290]]),
    row(
        &["CONFIG_FILE_LOCKING"],
        &["fcntl", "fcntl64", "flock", "lockf", "lockf64", "lckpwdf"],
        &[&[72, 73]],
    ),
    row(
        &["CONFIG_INOTIFY_USER"],
        &["inotify_init", "inotify_init1"],
        &[&[253, 294], &[254]],
    ),
    row(&["CONFIG_MEMBARRIER"], &["membarrier"], &[&[324]]),
    row(
        &["CONFIG_TIMERFD"],
        &["timerfd_create", "timerfd_settime"],
        &[&[283], &[286]],
    ),
    row(&["CONFIG_MEMFD_CREATE"], &["memfd_create"], &[&[319]]),
    row(
        &["CONFIG_POSIX_MQUEUE", "CONFIG_IPC_NS"],
        &["mq_open"],
        &[&[240], &[242, 243]],
    ),
    row(SYSTEM_V, &["shmat", "shmget"], &[&[29], &[30]]),
    row(
        SYSTEM_V,
        &["semget", "semop", "semtimedop"],
        &[&[64], &[65, 220]],
    ),
    row(
        SYSTEM_V,
        &["msgget", "msgrcv", "msgsnd"],
        &[&[68], &[69, 70]],
    ),
    guarded("CAP_BPF", &["CONFIG_BPF_SYSCALL"], &[], &[&[321]]),
    guarded(
        "CAP_SYS_PTRACE",
        &["CONFIG_CROSS_MEMORY_ATTACH"],
        &["process_vm_readv", "process_vm_writev"],
        &[&[310, 311]],
    ),
    guarded(
        "CAP_SYS_ADMIN",
        &["CONFIG_FANOTIFY"],
        &["fanotify_init"],
        &[&[300], &[301]],
    ),
    guarded(
        "CAP_DAC_READ_SEARCH",
        &["CONFIG_FHANDLE"],
        &["name_to_handle_at", "open_by_handle_at"],
        &[&[303, 304]],
    ),
];

/// Names under which C libraries, their parts and their loaders are known.
const C_LIBRARIES: [&str; 9] = [
    "ld-linux-x86-64.so.2",
    "libanl.so.1",
    "libc.musl-x86_64.so.1",
    "libc.so",
    "libc.so.6",
    "libdl.so.2",
    "libpthread.so.0",
    "libresolv.so.2",
    "librt.so.1",
];

/// Option → files that need it and how that shows (`imports epoll_create1`, `makes call 291`).
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Calls(pub BTreeMap<String, BTreeMap<String, String>>);

impl Calls {
    /// Adds what a file needs; `path` is its absolute path in the image. A damaged program, and one
    /// of another machine, cannot run and needs nothing.
    ///
    /// # Errors
    /// Where the file cannot be read.
    pub fn add<R: ReadAt + ?Sized>(&mut self, path: &str, file: &R) -> io::Result<()> {
        match self.add_program(path, file) {
            Err(ElfError::Read(error)) => Err(error),
            Ok(()) | Err(ElfError::Unsupported { .. } | ElfError::Damaged { .. }) => Ok(()),
        }
    }

    fn add_program<R: ReadAt + ?Sized>(&mut self, path: &str, file: &R) -> Result<(), ElfError> {
        let Some(elf) = Elf::open(file)?.filter(|elf| elf.machine == MACHINE_X86_64) else {
            return Ok(());
        };
        let dynamic = elf.dynamic()?;
        let soname = dynamic.as_ref().and_then(|d| d.soname.as_deref());
        if C_LIBRARIES
            .iter()
            .any(|name| soname == Some(name.as_bytes()))
        {
            return Ok(());
        }
        let imports = dynamic.map(|dynamic| dynamic.imports).unwrap_or_default();
        let code = elf.code()?;
        let makes_calls = code.makes_calls || imports.contains("syscall");
        for row in &ROWS {
            let how = match imported(row, &imports) {
                Some(name) => format!("imports {name}"),
                None if !makes_calls => continue,
                None => {
                    let one_of = |list: &&[u16]| list.iter().copied().find(|n| code.can_call(*n));
                    let found: Option<Vec<u16>> = row.numbers.iter().map(one_of).collect();
                    match found.as_deref().and_then(<[u16]>::first) {
                        Some(number) => format!("makes calls and has number {number} in its code"),
                        None => continue,
                    }
                }
            };
            for option in row.options {
                let files = self.0.entry((*option).to_owned()).or_default();
                files.insert(path.to_owned(), how.clone());
            }
        }
        Ok(())
    }

    /// The table of what is looked for, as a text that changes with it.
    pub(crate) fn table() -> String {
        format!("{ROWS:?}")
    }

    /// The options that services with these capabilities can use.
    pub fn options(&self, capabilities: &BTreeSet<String>) -> BTreeSet<&'static str> {
        let may = |row: &&Row| {
            row.capability
                .is_none_or(|name| capabilities.contains(name))
        };
        ROWS.iter()
            .filter(may)
            .flat_map(|row| row.options)
            .copied()
            .filter(|option| self.0.contains_key(*option))
            .collect()
    }
}

fn imported(row: &Row, imports: &Imports) -> Option<&'static str> {
    let mut functions = row.functions.iter().copied();
    functions.find(|name| imports.contains(name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::elf::testing::TestElf;

    fn calls(file: &TestElf<'_>) -> Vec<(String, String)> {
        let mut calls = Calls::default();
        calls.add("/bin/a", &file.bytes()).unwrap();
        let files = calls.0.into_iter();
        files
            .map(|(option, files)| (option, files["/bin/a"].clone()))
            .collect()
    }

    fn row(option: &str, how: &str) -> (String, String) {
        (format!("CONFIG_{option}"), how.to_owned())
    }

    #[test]
    fn imports_say_what_a_program_needs() {
        let file = TestElf {
            needed: &["libc.so.6"],
            imports: &["printf", "epoll_create1", "mq_open"],
            ..TestElf::default()
        };
        assert_eq!(
            calls(&file),
            [
                row("EPOLL", "imports epoll_create1"),
                row("IPC_NS", "imports mq_open"),
                row("POSIX_MQUEUE", "imports mq_open"),
            ]
        );
    }

    #[test]
    fn numbers_count_where_a_file_makes_calls_itself() {
        // mov edi, 291; mov edi, 233; mov edi, 290
        let code = b"\xbf\x23\x01\x00\x00\xbf\xe9\x00\x00\x00\xbf\x22\x01\x00\x00";
        let mut file = TestElf {
            needed: &["libc.so.6"],
            imports: &["printf"],
            code,
            ..TestElf::default()
        };
        assert_eq!(calls(&file), []);
        file.imports = &["syscall"];
        let said = |number| format!("makes calls and has number {number} in its code");
        let expected = [row("EPOLL", &said(291)), row("EVENTFD", &said(290))];
        assert_eq!(calls(&file), expected);
        // A static program, and one that cannot wait for what it makes.
        let file = TestElf {
            code: &[code, &b"\x0f\x05"[..]].concat(),
            ..TestElf::default()
        };
        assert_eq!(calls(&file), expected);
        let file = TestElf {
            code: b"\xbf\x23\x01\x00\x00\x0f\x05",
            ..TestElf::default()
        };
        assert_eq!(calls(&file), []);
    }

    #[test]
    fn what_the_c_library_could_call_does_not_count() {
        let file = TestElf {
            soname: Some("libc.so.6"),
            code: b"\xb8\x22\x01\x00\x00\x0f\x05",
            ..TestElf::default()
        };
        assert_eq!(calls(&file), []);
        let mut none = Calls::default();
        none.add("/a", &b"#!/bin/sh\n"[..]).unwrap();
        none.add("/b", &b"\x7fELF\x01"[..].repeat(20)).unwrap();
        none.add("/c", &b"\x7fELF"[..]).unwrap();
        assert_eq!(none, Calls::default());
    }

    #[test]
    fn a_call_that_the_filter_refuses_needs_no_option() {
        let mut calls = Calls::default();
        let file = TestElf {
            imports: &["fanotify_init", "eventfd"],
            ..TestElf::default()
        };
        calls.add("/a", &file.bytes()).unwrap();
        let none = BTreeSet::new();
        assert_eq!(calls.options(&none), BTreeSet::from(["CONFIG_EVENTFD"]));
        let all = BTreeSet::from(["CAP_SYS_ADMIN".to_owned()]);
        assert_eq!(calls.options(&all).len(), 2);
    }
}
