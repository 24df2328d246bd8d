//! News of what processes open, from the kernel (`fanotify(7)`).

use super::{Fd, Result, call, file, zero_terminated};

/// `struct fanotify_event_metadata`: length 4, version 1, reserved 1, own length 2, mask 8,
/// descriptor 4, process 4.
const RECORD_BYTES: usize = 24;
const BUFFER_BYTES: usize = 4096;

/// Makes a descriptor at which news arrive; reading it never waits.
///
/// # Errors
/// What the kernel says: `ENOSYS` where it was built without.
pub fn listen() -> Result<Fd> {
    let flags = libc::FAN_CLASS_NOTIF | libc::FAN_CLOEXEC | libc::FAN_NONBLOCK;
    // Of the descriptors that come with news. Opening a pipe must not wait for its other end.
    let opened = libc::O_RDONLY | libc::O_CLOEXEC | libc::O_NONBLOCK;
    // SAFETY: takes no pointer.
    unsafe { call(libc::SYS_fanotify_init, &[flags as usize, opened as usize]) }.map(Fd::own)
}

/// Asks for news of everything that is opened on the file system mounted at `path`, through any
/// of its mounts, in any mount namespace.
///
/// # Errors
/// What the kernel says.
pub fn watch(news: &Fd, path: &str) -> Result<()> {
    let flags = libc::FAN_MARK_ADD | libc::FAN_MARK_FILESYSTEM;
    let wanted = libc::FAN_OPEN | libc::FAN_ONDIR;
    let path = zero_terminated(path)?;
    // SAFETY: the path is zero-terminated and outlives the call.
    unsafe {
        call(
            libc::SYS_fanotify_mark,
            &[
                news.argument(),
                flags as usize,
                wanted as usize,
                libc::AT_FDCWD as usize,
                path.as_ptr() as usize,
            ],
        )
    }
    .map(drop)
}

/// Takes the news that are there: for each an open descriptor of what was opened, or `None`
/// where the kernel could not keep or deliver some.
pub fn take(news: &Fd, mut each: impl FnMut(Option<Fd>)) {
    let mut buffer = [0_u8; BUFFER_BYTES];
    loop {
        match file::read(news, &mut buffer) {
            Ok(0) | Err(super::Errno(libc::EAGAIN)) => return,
            Ok(n) => records(buffer.get(..n).unwrap_or_default(), &mut each),
            // One that cannot be opened any more is lost; the next may be read.
            Err(_) => return each(None),
        }
    }
}

fn records(bytes: &[u8], each: &mut impl FnMut(Option<Fd>)) {
    let mut rest = bytes;
    while let Some(record) = rest.get(..RECORD_BYTES) {
        let word = |at: usize| {
            let bytes = record.get(at..at + 4).and_then(|b| b.try_into().ok());
            bytes.map_or(-1, i32::from_ne_bytes)
        };
        let length = usize::try_from(word(0)).unwrap_or(0).max(RECORD_BYTES);
        each(usize::try_from(word(16)).ok().map(Fd::own));
        rest = rest.get(length..).unwrap_or_default();
    }
}
