//! Error numbers, with words for those that a person will meet.

use core::fmt;

/// An error number of the kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Errno(pub i32);

const WORDS: &[(i32, &str)] = &[
    (libc::EPERM, "operation not permitted"),
    (libc::ENOENT, "no such file or directory"),
    (libc::EIO, "input/output error"),
    (libc::ENXIO, "no such device or address"),
    (libc::E2BIG, "argument list too long"),
    (libc::ENOEXEC, "not a program"),
    (libc::EAGAIN, "not ready"),
    (libc::ENOMEM, "out of memory"),
    (libc::EACCES, "permission denied"),
    (libc::EBUSY, "busy"),
    (libc::EEXIST, "exists already"),
    (libc::ENODEV, "no such device or file system type"),
    (libc::ENOTDIR, "not a directory"),
    (libc::EISDIR, "a directory"),
    (libc::EINVAL, "invalid argument"),
    (libc::ENOTTY, "not supported by the device"),
    (libc::EFBIG, "too large"),
    (libc::ENOSPC, "no space left"),
    (libc::EROFS, "read-only file system"),
    (libc::ENOSYS, "not supported by the kernel"),
    (libc::ELOOP, "too many symbolic links"),
    (libc::EADDRINUSE, "address in use"),
    (libc::EADDRNOTAVAIL, "address not available"),
    (libc::ENETUNREACH, "network unreachable"),
    (libc::ECONNRESET, "connection reset"),
    (libc::ECONNREFUSED, "connection refused"),
    (libc::ETIMEDOUT, "timed out"),
    (libc::EUCLEAN, "file system is damaged"),
];

impl fmt::Display for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match WORDS.iter().find(|(number, _)| *number == self.0) {
            Some((_, words)) => f.write_str(words),
            None => write!(f, "error {}", self.0),
        }
    }
}

impl core::error::Error for Errno {}
