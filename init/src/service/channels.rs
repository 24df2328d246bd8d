//! Channels: Unix sockets that init holds, so that a connection waits while its server starts.
//!
//! A server inherits the listening sockets as systemd hands them over (`sd_listen_fds(3)`). A
//! caller finds each socket in [`CHANNEL_FOLDER`] of its own root; no other service has a path to
//! it.

use crate::sys::mount::{self, DATA_ONLY};
use crate::sys::{self, Fd, file, process, socket};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use nos_manifest::{CHANNEL_FOLDER, Service, channel_variable};

/// Where the sockets are, below the machine's root.
const SOCKETS: &str = "/nos/channels";
/// First descriptor that is handed over (`SD_LISTEN_FDS_START`).
const FIRST: i32 = 3;

/// Path of a channel's socket in the machine's root.
pub fn path(channel: &str) -> String {
    format!("{SOCKETS}/{channel}")
}

/// Makes the listening sockets of the channels that a service serves.
///
/// # Errors
/// What the kernel says.
pub fn listen(service: &Service) -> sys::Result<Vec<Fd>> {
    file::make_dir(SOCKETS, 0o755)?;
    let mut sockets = Vec::new();
    for channel in &service.serves {
        // Anybody may connect who has a path to it; init's mask takes nothing away.
        sockets.push(socket::listen_unix(&path(channel))?);
    }
    Ok(sockets)
}

/// In the child: puts the sockets where the server looks for them; gives the first descriptor
/// behind them. Nothing else that is still needed may be at these numbers, see [`lift`].
///
/// # Errors
/// What the kernel says.
pub fn hand_over(sockets: &[Fd]) -> sys::Result<u32> {
    let mut lifted = Vec::new();
    for socket in sockets {
        lifted.push(lift(socket, sockets.len())?);
    }
    let mut next = FIRST;
    for socket in &lifted {
        process::put_at(socket, next)?;
        next += 1;
    }
    Ok(next.unsigned_abs())
}

/// In the child: a descriptor of the same file that is out of the way of `count` sockets.
///
/// # Errors
/// What the kernel says.
pub fn lift(fd: &Fd, count: usize) -> sys::Result<Fd> {
    process::copy_from(fd, FIRST.unsigned_abs() as usize + count)
}

/// Detached copies of the sockets that a service calls, to be attached by [`attach`] once their
/// paths are gone.
///
/// # Errors
/// What the kernel says, and about which channel.
pub fn detach(service: &Service) -> Result<Vec<Fd>, (String, sys::Errno)> {
    let calls = service.calls.iter();
    calls
        .map(|channel| mount::detached_copy(&path(channel)).map_err(|e| (named(channel), e)))
        .collect()
}

/// Attaches the sockets that a service calls below its own `/run`.
///
/// # Errors
/// What the kernel says, and about which channel.
pub fn attach(service: &Service, sockets: &[Fd]) -> Result<(), (String, sys::Errno)> {
    if sockets.is_empty() {
        return Ok(());
    }
    let at = |error| (String::from(CHANNEL_FOLDER), error);
    // A file system of its own, so that the service cannot put others in their places.
    file::make_dir(CHANNEL_FOLDER, 0o755).map_err(at)?;
    mount::mount(
        "channels",
        CHANNEL_FOLDER,
        "tmpfs",
        DATA_ONLY,
        "mode=0755,size=64k",
    )
    .map_err(at)?;
    for (channel, socket) in service.calls.iter().zip(sockets) {
        let place = format!("{CHANNEL_FOLDER}/{channel}");
        file::write_file(&place, b"")
            .and_then(|()| mount::attach(socket, &place))
            .map_err(|error| (named(channel), error))?;
    }
    Ok(())
}

fn named(channel: &str) -> String {
    format!("channel {channel}")
}

/// Variables of a service that tell it where its channels are; `is_server` where it is the
/// process that gets the listening sockets.
pub fn variables(service: &Service, is_server: bool) -> Vec<String> {
    let mut variables = Vec::new();
    if is_server && !service.serves.is_empty() {
        variables.push(format!("LISTEN_FDS={}", service.serves.len()));
        variables.push(format!("LISTEN_FDNAMES={}", service.serves.join(":")));
        // A service is the first process of its namespace.
        variables.push(String::from("LISTEN_PID=1"));
    }
    for channel in &service.calls {
        let name = channel_variable(channel);
        variables.push(format!("{name}={CHANNEL_FOLDER}/{channel}"));
    }
    variables
}

#[cfg(test)]
mod tests {
    use super::*;
    use nos_manifest::Restart;

    fn service(serves: &[&str], calls: &[&str]) -> Service {
        let owned = |names: &[&str]| names.iter().map(|name| String::from(*name)).collect();
        Service {
            name: "a".into(),
            image: "a".into(),
            run: Vec::new(),
            env: Default::default(),
            workdir: "/".into(),
            uid: 1000,
            gid: 1000,
            capabilities: Vec::new(),
            devices: Vec::new(),
            terminal: None,
            state: Vec::new(),
            listen: Vec::new(),
            serves: owned(serves),
            calls: owned(calls),
            health: None,
            restart: Restart::Always,
            after: Vec::new(),
        }
    }

    #[test]
    fn servers_and_callers_are_told_where_their_channels_are() {
        let both = service(&["api", "admin"], &["order-book"]);
        assert_eq!(
            variables(&both, true),
            [
                "LISTEN_FDS=2",
                "LISTEN_FDNAMES=api:admin",
                "LISTEN_PID=1",
                "CHANNEL_ORDER_BOOK=/run/channels/order-book",
            ]
        );
        // A probe beside the server is not the server.
        assert_eq!(variables(&both, false).len(), 1);
        assert!(variables(&service(&[], &[]), true).is_empty());
    }
}
