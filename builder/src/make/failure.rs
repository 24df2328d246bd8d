//! Why a build failed, in words that say what to do.

use nos_sandbox::{Ended, Ending, Limit, Limits};

/// What programs say where the kernel gave them no further process, in small letters. The kernel
/// refuses at the limit, so that a program which gives up at once has ended before anybody counts.
const NO_PROCESS: [&str; 4] = [
    "cannot fork",
    "fork: retry",
    "fork failed",
    "resource temporarily unavailable",
];

/// The same of memory.
const NO_MEMORY: [&str; 5] = [
    "memory exhausted",
    "out of memory",
    "cannot allocate memory",
    "memory allocation of",
    "bad_alloc",
];

/// Why a build is none; `None` where it did what it should. `tail` is the end of its log.
pub(super) fn reason(ended: &Ended, limits: &Limits, tail: &str) -> Option<String> {
    Some(match ended.ending {
        Ending::Exited(0) => return None,
        Ending::Exited(_) | Ending::Killed(_) if ended.full => format!(
            "its folders are full ({} MiB); give it more by `limits = {{ space = … }}`",
            mib(limits.space_bytes)
        ),
        Ending::Exited(status) => format!("it ended with status {status}") + &hint(tail, limits),
        Ending::Killed(signal) => format!("it was ended by signal {signal}") + &hint(tail, limits),
        Ending::Over(Limit::Time) => format!(
            "it was ended after {} s; give it more by `limits = {{ time = … }}`",
            limits.time.as_secs()
        ),
        Ending::Over(Limit::Memory) => format!(
            "it was ended because it took more than {} MiB of memory; give it more by `limits = {{ \
             memory = … }}`",
            mib(limits.memory_bytes)
        ),
        Ending::Over(Limit::Processes) => format!(
            "it was ended because it had more than {} processes at once; look for a loop, or give it \
             more by `limits = {{ processes = … }}`",
            limits.processes
        ),
        Ending::Over(Limit::Log) => format!(
            "it was ended because it printed more than {} MiB; look for a loop",
            mib(limits.log_bytes)
        ),
    })
}

/// What a program's last words say of limits.
fn hint(tail: &str, limits: &Limits) -> String {
    let tail = tail.to_lowercase();
    let says = |words: &[&str]| words.iter().any(|words| tail.contains(words));
    if says(&NO_PROCESS) {
        return format!(
            "; the end of its log speaks of processes, of which it may have {} at once; look for a \
             loop, or give it more by `limits = {{ processes = … }}`",
            limits.processes
        );
    }
    if says(&NO_MEMORY) {
        return format!(
            "; the end of its log speaks of memory, of which it may have {} MiB; give it more by \
             `limits = {{ memory = … }}`",
            mib(limits.memory_bytes)
        );
    }
    String::new()
}

fn mib(bytes: u64) -> u64 {
    bytes.div_ceil(1 << 20)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn last_words_are_taken_for_limits_only_where_they_speak_of_them() {
        let limits = Limits::default();
        let of = |tail| hint(tail, &limits);
        assert!(of("+ x\n/usr/bin/sh: 0: Cannot fork").contains("have 1024 at once"));
        assert!(of("cc1: out of memory allocating 65536 bytes").contains("have 8192 MiB"));
        assert_eq!(of("error: expected `;`"), "");
    }
}
