//! How much the processes of a sandbox take, looked at from outside.

use std::fs;
use std::path::Path;

/// What all processes of a sandbox take together.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Usage {
    /// Memory of their own, in bytes.
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
        usage.memory_bytes +=
            number(&status, "RssAnon:") * 1024 + number(&status, "VmSwap:") * 1024;
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

fn number(status: &str, name: &str) -> u64 {
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    let word = line.and_then(|line| line.split_ascii_whitespace().next());
    word.and_then(|word| word.parse().ok()).unwrap_or(0)
}
