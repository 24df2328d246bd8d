//! Whether this machine lets an ordinary user make namespaces, and what to do where it does not.

use crate::error::SandboxError;
use crate::job::{Job, Limits};
use crate::spawn;
use rustix::io::Errno;

/// Makes an empty sandbox and throws it away.
///
/// # Errors
/// [`SandboxError::Refused`] with the remedy where the machine does not allow it.
pub fn probe() -> Result<(), SandboxError> {
    let job = Job {
        command: vec!["/none".into()],
        folder: "/build".into(),
        limits: Limits {
            space_bytes: 1 << 20,
            ..Limits::default()
        },
        ..Job::default()
    };
    let spawned = spawn::spawn(&job)?;
    spawn::end(&spawned.process);
    Ok(())
}

/// Switches of the kernel that forbid user namespaces: file, the text that forbids, the remedy.
const SWITCHES: [(&str, &str, &str); 3] = [
    (
        "/proc/sys/kernel/unprivileged_userns_clone",
        "0",
        "allow user namespaces: `sudo sysctl -w kernel.unprivileged_userns_clone=1`",
    ),
    (
        "/proc/sys/user/max_user_namespaces",
        "0",
        "allow user namespaces: `sudo sysctl -w user.max_user_namespaces=10000`",
    ),
    (
        "/proc/sys/kernel/apparmor_restrict_unprivileged_userns",
        "1",
        "let AppArmor allow user namespaces: `sudo sysctl -w \
         kernel.apparmor_restrict_unprivileged_userns=0`, or give nos a profile with `userns,`",
    ),
];

/// The refusal that stands behind an error of the first steps.
pub(crate) fn refused(error: Errno) -> SandboxError {
    let forbids = |file: &str, word: &str| {
        std::fs::read_to_string(file).is_ok_and(|text| text.trim() == word)
    };
    let found = SWITCHES.iter().find(|(file, word, _)| forbids(file, word));
    let remedy = match (found, error) {
        (Some((_, _, remedy)), _) => remedy,
        (None, Errno::NOSYS | Errno::INVAL) => {
            "use Linux 5.12 or newer with user, process and network namespaces"
        }
        (None, Errno::NOSPC | Errno::USERS) => {
            "too many namespaces are in use: end some, or raise the numbers in /proc/sys/user"
        }
        (None, _) => {
            "in a container, allow user namespaces and a /proc of their own (Docker: \
             --security-opt seccomp=unconfined --security-opt systempaths=unconfined)"
        }
    };
    SandboxError::Refused {
        reason: std::io::Error::from(error).to_string(),
        remedy,
    }
}
