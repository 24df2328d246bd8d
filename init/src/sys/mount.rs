//! Mounts and roots.

use super::{Fd, Result, call, zero_terminated};

const AT_FDCWD: usize = libc::AT_FDCWD as usize;

/// Nothing set-user-id, no devices, nothing to run.
pub const DATA_ONLY: u64 = libc::MS_NOSUID | libc::MS_NODEV | libc::MS_NOEXEC;
/// Nothing set-user-id, no devices.
pub const NO_DEVICES: u64 = libc::MS_NOSUID | libc::MS_NODEV;
/// Read-only, nothing set-user-id, no devices.
pub const READ_ONLY: u64 = libc::MS_RDONLY | NO_DEVICES;

/// Mounts a file system.
///
/// # Errors
/// What the kernel says.
pub fn mount(source: &str, target: &str, kind: &str, flags: u64, data: &str) -> Result<()> {
    let source = zero_terminated(source)?;
    let target = zero_terminated(target)?;
    let kind = zero_terminated(kind)?;
    let data = zero_terminated(data)?;
    // SAFETY: all four are zero-terminated and outlive the call; text file systems read `data`
    // as a string.
    unsafe {
        call(
            libc::SYS_mount,
            &[
                source.as_ptr() as usize,
                target.as_ptr() as usize,
                kind.as_ptr() as usize,
                flags as usize,
                data.as_ptr() as usize,
            ],
        )
        .map(drop)
    }
}

/// Takes a mount away from the tree; with `detach`, even while in use.
///
/// # Errors
/// What the kernel says.
pub fn unmount(target: &str, detach: bool) -> Result<()> {
    let target = zero_terminated(target)?;
    let flags = if detach { libc::MNT_DETACH } else { 0 };
    // SAFETY: the path is zero-terminated and outlives the call.
    unsafe {
        call(
            libc::SYS_umount2,
            &[target.as_ptr() as usize, flags as usize],
        )
    }
    .map(drop)
}

/// A detached copy of the mount (and only that) at a path, to be attached with [`attach`].
///
/// # Errors
/// What the kernel says.
pub fn detached_copy(path: &str) -> Result<Fd> {
    const OPEN_TREE_CLONE: usize = 1;
    let path = zero_terminated(path)?;
    let flags = OPEN_TREE_CLONE | libc::O_CLOEXEC as usize;
    // SAFETY: the path is zero-terminated and outlives the call.
    unsafe {
        call(
            libc::SYS_open_tree,
            &[AT_FDCWD, path.as_ptr() as usize, flags],
        )
    }
    .map(Fd::own)
}

/// Makes a detached mount read-only, with nothing set-user-id, no devices and nothing to run,
/// whoever looks at it and however the file system itself is mounted.
///
/// # Errors
/// What the kernel says.
pub fn restrict_to_reading(tree: &Fd) -> Result<()> {
    let devices = libc::MOUNT_ATTR_RDONLY | libc::MOUNT_ATTR_NOSUID | libc::MOUNT_ATTR_NOEXEC;
    restrict(tree, devices | libc::MOUNT_ATTR_NODEV)
}

/// As [`restrict_to_reading`], for a mount whose devices are to be used.
///
/// # Errors
/// What the kernel says.
pub fn restrict_to_devices(tree: &Fd) -> Result<()> {
    let devices = libc::MOUNT_ATTR_RDONLY | libc::MOUNT_ATTR_NOSUID | libc::MOUNT_ATTR_NOEXEC;
    restrict(tree, devices)
}

fn restrict(tree: &Fd, all: u64) -> Result<()> {
    // struct mount_attr: set, clear, propagation, user namespace.
    let attributes = [all, 0, 0, 0];
    // SAFETY: the path is zero-terminated, the attributes are as long as is said.
    unsafe {
        call(
            libc::SYS_mount_setattr,
            &[
                tree.argument(),
                c"".as_ptr() as usize,
                libc::AT_EMPTY_PATH as usize,
                attributes.as_ptr() as usize,
                size_of_val(&attributes),
            ],
        )
        .map(drop)
    }
}

/// Attaches a detached mount at a path, without following a link there.
///
/// # Errors
/// What the kernel says.
pub fn attach(tree: &Fd, path: &str) -> Result<()> {
    const MOVE_MOUNT_F_EMPTY_PATH: usize = 4;
    let path = zero_terminated(path)?;
    // SAFETY: both paths are zero-terminated and outlive the call.
    unsafe {
        call(
            libc::SYS_move_mount,
            &[
                tree.argument(),
                c"".as_ptr() as usize,
                AT_FDCWD,
                path.as_ptr() as usize,
                MOVE_MOUNT_F_EMPTY_PATH,
            ],
        )
        .map(drop)
    }
}

/// Goes to a directory.
///
/// # Errors
/// What the kernel says.
pub fn change_dir(path: &str) -> Result<()> {
    let path = zero_terminated(path)?;
    // SAFETY: the path is zero-terminated and outlives the call.
    unsafe { call(libc::SYS_chdir, &[path.as_ptr() as usize]) }.map(drop)
}

/// Makes the current directory the root.
///
/// # Errors
/// What the kernel says.
pub fn root_here() -> Result<()> {
    // SAFETY: the path is zero-terminated and static.
    unsafe { call(libc::SYS_chroot, &[c".".as_ptr() as usize]) }.map(drop)
}

/// Makes the mount at the current directory the root of this mount namespace and takes the old
/// root out of it, so that no path, descriptor or `..` leads back.
///
/// # Errors
/// What the kernel says.
pub fn pivot_here() -> Result<()> {
    let here = c".".as_ptr() as usize;
    // SAFETY: the path is zero-terminated and static. With both paths equal, the old root ends
    // up on top of the new one, where the next call takes it away (pivot_root(2), NOTES).
    unsafe { call(libc::SYS_pivot_root, &[here, here]) }?;
    unmount(".", true)?;
    change_dir("/")
}
