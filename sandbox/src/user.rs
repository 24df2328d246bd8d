//! Which of the machine's users the processes of a sandbox are.
//!
//! An ordinary user's builds are that user's processes. Root's are not root's: the kernel limits the
//! processes of every user but root, and whatever a build might reach out to should not take it for
//! root. They belong to a user that nobody else is, and their inputs are mounted so that root's files
//! look like that user's own, as an ordinary user's files do to that user's builds.

use crate::sys::{self, Cloned};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{CWD, Mode, OFlags};
use rustix::io::Errno;
use rustix::mount::OpenTreeFlags;
use std::ffi::CStr;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::sync::OnceLock;

/// The user and group inside.
pub(crate) const INSIDE: u32 = 1000;

/// The user and group that root's sandboxes belong to: in a range that systemd's table of users
/// (UIDS-GIDS) and shadow's subordinate ids leave free. Sandboxes that run at once share it: each has
/// a count of processes, mounts, memory and process numbers of its own.
const APART: u32 = 0x7000_03e8;

/// Who the processes of a sandbox are to the machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum User {
    /// Whoever runs this process.
    Caller,
    /// [`APART`].
    Apart,
}

impl User {
    /// User and group as the machine numbers them.
    pub(crate) fn ids(self) -> (u32, u32) {
        match self {
            User::Caller => (
                rustix::process::geteuid().as_raw(),
                rustix::process::getegid().as_raw(),
            ),
            User::Apart => (APART, APART),
        }
    }

    /// Gives a pipe or file to the user, so that it can be opened again by its name in `/proc`.
    pub(crate) fn own(self, file: &OwnedFd) -> Result<(), Errno> {
        let (user, group) = match self {
            User::Caller => return Ok(()),
            User::Apart => self.ids(),
        };
        let (user, group) = (
            rustix::fs::Uid::from_raw(user),
            rustix::fs::Gid::from_raw(group),
        );
        rustix::fs::fchown(file, Some(user), Some(group))
    }

    /// Calls `action` so that the files it makes belong to the user. What it may read stays as it
    /// is.
    ///
    /// # Errors
    /// The kernel's answer where this process may not make files for the user.
    pub(crate) fn making_files<T: Send>(
        self,
        action: impl FnOnce() -> T + Send,
    ) -> Result<T, Errno> {
        if self == User::Caller {
            return Ok(action());
        }
        // For whom files are made is a property of the thread, so the thread ends with it.
        std::thread::scope(|scope| {
            let thread = scope.spawn(|| {
                sys::make_files_for(APART, APART)?;
                Ok(action())
            });
            match thread.join() {
                Ok(done) => done,
                Err(panic) => std::panic::resume_unwind(panic),
            }
        })
    }
}

/// A copy of a mount in which root's files belong to [`APART`], read-only, not yet anywhere. `None`
/// where this process may not do that, or the file system cannot: then the processes of a sandbox
/// have to be the caller's.
pub(crate) fn input_for_apart(source: &CStr) -> Option<OwnedFd> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE
        | OpenTreeFlags::OPEN_TREE_CLOEXEC
        | OpenTreeFlags::AT_RECURSIVE;
    let mount = rustix::mount::open_tree(CWD, source, flags).ok()?;
    let set = sys::READ_ONLY | sys::NO_DEVICES;
    sys::set_mount_attributes(mount.as_fd(), set, true, Some(root_is_apart()?)).ok()?;
    Some(mount)
}

/// Whether this process may make processes of [`APART`].
pub(crate) fn can_be_apart() -> bool {
    root_is_apart().is_some()
}

/// Whether this process's user may be the machine's root.
pub(crate) fn may_be_root() -> bool {
    let all = std::fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
    let outside = all.split_ascii_whitespace().eq(["0", "0", "4294967295"]);
    rustix::process::geteuid().is_root() || !outside
}

/// The user that [`as_other_user`] makes of the caller.
const OTHER: u32 = 4321;

/// Lets a command run as another user, with nobody's privileges: in a user namespace where the caller
/// is called otherwise. What belongs to the caller belongs to that user there, and everything else
/// to nobody. Starting the command fails where the machine allows no user namespaces.
pub fn as_other_user(command: &mut Command) {
    let (user, group) = User::Caller.ids();
    let maps = [
        (c"/proc/self/setgroups", "deny".to_string()),
        (c"/proc/self/uid_map", format!("{OTHER} {user} 1")),
        (c"/proc/self/gid_map", format!("{OTHER} {group} 1")),
    ];
    let enter = move || {
        sys::new_user_namespace()?;
        for (file, text) in &maps {
            let flags = OFlags::WRONLY | OFlags::CLOEXEC;
            let file = rustix::fs::open(*file, flags, Mode::empty())?;
            rustix::io::write(&file, text.as_bytes())?;
        }
        Ok(())
    };
    // SAFETY: between fork and exec only system calls are made; nothing allocates or takes a lock.
    unsafe { command.pre_exec(enter) };
}

/// A user namespace in which 0 is [`APART`].
fn root_is_apart() -> Option<BorrowedFd<'static>> {
    static NAMESPACE: OnceLock<Option<OwnedFd>> = OnceLock::new();
    let made = NAMESPACE.get_or_init(|| namespace().ok());
    made.as_ref().map(AsFd::as_fd)
}

fn namespace() -> std::io::Result<OwnedFd> {
    // SAFETY: the child only waits for its end.
    match unsafe { sys::clone(libc::CLONE_NEWUSER) }? {
        Cloned::Child => sys::wait_for_the_end(),
        Cloned::Parent(id, process) => {
            let made = map_root(id);
            crate::spawn::end(&process);
            made
        }
    }
}

fn map_root(id: i32) -> std::io::Result<OwnedFd> {
    for file in ["uid_map", "gid_map"] {
        std::fs::write(format!("/proc/{id}/{file}"), format!("0 {APART} 1"))?;
    }
    let place = format!("/proc/{id}/ns/user");
    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
    Ok(rustix::fs::open(place, flags, Mode::empty())?)
}
