//! Processes that do not outlive this one.

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use std::io;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// A process that waits for this one to be gone, however it goes, and then kills another and
/// removes a folder.
///
/// A parent-death signal would do without a process, but it is sent when the *thread* that
/// started the child ends, and setting it needs code between fork and exec.
#[derive(Debug)]
pub(crate) struct Keeper {
    child: Child,
}

/// Standard input is a pipe whose other end only this process holds: `read` returns when it is
/// closed. A line on it means that there is nothing to do any more.
const SCRIPT: &str = r#"trap '' INT TERM HUP QUIT
read -r done && exit 0
kill -KILL "$1" 2>/dev/null
rm -rf -- "$2""#;

impl Keeper {
    /// Guards a child of this process and its private folder.
    pub(crate) fn guard(child: &Child, folder: &Path) -> io::Result<Self> {
        let child = Command::new("/bin/sh")
            .args(["-c", SCRIPT, "nos-keeper"])
            .arg(child.id().to_string())
            .arg(folder)
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        Ok(Self { child })
    }
}

impl Drop for Keeper {
    /// The child has ended and was waited for: its number may be another's now.
    fn drop(&mut self) {
        if let Some(mut stdin) = self.child.stdin.take() {
            let _ = io::Write::write_all(&mut stdin, b"done\n");
        }
        let _ = self.child.wait();
    }
}

/// Waits for a child until a moment; `None` where it still runs then.
pub(crate) fn wait_until(child: &mut Child, until: Instant) -> io::Result<Option<ExitStatus>> {
    if let Some(status) = child.try_wait()? {
        return Ok(Some(status));
    }
    let number = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    let number = number.ok_or(io::ErrorKind::InvalidInput)?;
    let handle = pidfd_open(number, PidfdFlags::empty())?;
    loop {
        let left = until.saturating_duration_since(Instant::now());
        let mut fds = [PollFd::new(&handle, PollFlags::IN)];
        match poll(&mut fds, Some(&timespec(left))) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        if left.is_zero() {
            return Ok(None);
        }
    }
}

fn timespec(duration: Duration) -> Timespec {
    Timespec {
        tv_sec: i64::try_from(duration.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: i64::from(duration.subsec_nanos()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sleeper() -> Child {
        Command::new("/bin/sleep").arg("600").spawn().unwrap()
    }

    #[test]
    fn the_guarded_process_and_its_folder_go_when_the_pipe_closes() {
        let outer = tempfile::tempdir().unwrap();
        let folder = outer.path().join("private");
        std::fs::create_dir(&folder).unwrap();
        let mut guarded = sleeper();
        let mut keeper = Keeper::guard(&guarded, &folder).unwrap();
        // What the kernel does to the pipe when this program dies.
        drop(keeper.child.stdin.take());
        let limit = Instant::now() + Duration::from_secs(300);
        let status = wait_until(&mut guarded, limit).unwrap();
        assert!(!status.expect("it was killed").success());
        assert!(wait_until(&mut keeper.child, limit).unwrap().is_some());
        assert!(!folder.exists());
    }

    #[test]
    fn a_keeper_that_is_dismissed_does_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let mut guarded = sleeper();
        drop(Keeper::guard(&guarded, folder.path()).unwrap());
        assert!(guarded.try_wait().unwrap().is_none());
        assert!(folder.path().exists());
        guarded.kill().unwrap();
        guarded.wait().unwrap();
    }

    #[test]
    fn waiting_has_a_limit() {
        let mut child = sleeper();
        assert!(wait_until(&mut child, Instant::now()).unwrap().is_none());
        child.kill().unwrap();
        let limit = Instant::now() + Duration::from_secs(300);
        assert!(wait_until(&mut child, limit).unwrap().is_some());
    }
}
