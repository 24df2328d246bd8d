//! How much the processes of a sandbox take, looked at from outside.
//!
//! Memory that processes share and that lies in no file counts too, or a build could take all of the
//! machine's. The kernel does not tell it from files of file systems in memory, which have a limit of
//! their own and count here for as long as they are mapped.

use std::fs;
use std::path::Path;

/// What all processes of a sandbox take together.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Usage {
    /// Memory of their own and their shares of what they share, in bytes.
    pub(crate) memory_bytes: u64,
    /// Threads of all processes.
    pub(crate) threads: u64,
}

/// Counts the process `id` and all that descend from it, and stops where there are more than
/// `most`: where processes are made without end, a count to the end would never come. Processes
/// that end meanwhile are not counted; a kernel that does not tell children gives nothing.
pub(crate) fn usage(id: i32, most: u64) -> Usage {
    let mut usage = Usage::default();
    let mut open = vec![id];
    while let Some(id) = open.pop() {
        let folder = format!("/proc/{id}");
        let Ok(status) = fs::read_to_string(Path::new(&folder).join("status")) else {
            continue;
        };
        let own = number(&status, "RssAnon:") + number(&status, "VmSwap:");
        let shared = shared(&folder, number(&status, "RssShmem:"));
        usage.memory_bytes += (own + shared) * 1024;
        usage.threads += number(&status, "Threads:").max(1);
        if usage.threads > most {
            return usage;
        }
        let Ok(tasks) = fs::read_dir(Path::new(&folder).join("task")) else {
            continue;
        };
        for task in tasks.flatten() {
            let children = fs::read_to_string(task.path().join("children"));
            let children = children.unwrap_or_default();
            open.extend(
                children
                    .split_ascii_whitespace()
                    .filter_map(|id| id.parse::<i32>().ok()),
            );
        }
    }
    usage
}

/// Memory that a process maps and others may map too, from which on it is worth to look closer,
/// which takes a walk through all that it maps. In KiB.
const MUCH_SHARED: u64 = 16 << 10;

/// A process's share of the memory that it shares, of which it maps `mapped`, in KiB.
fn shared(folder: &str, mapped: u64) -> u64 {
    if mapped < MUCH_SHARED {
        return 0;
    }
    match fs::read_to_string(Path::new(folder).join("smaps_rollup")) {
        Ok(maps) => number(&maps, "Pss_Shmem:"),
        // It may have ended.
        Err(_) => 0,
    }
}

fn number(status: &str, name: &str) -> u64 {
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    let word = line.and_then(|line| line.split_ascii_whitespace().next());
    word.and_then(|word| word.parse().ok()).unwrap_or(0)
}
