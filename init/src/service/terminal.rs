//! A service that speaks on a terminal instead of the log.

use crate::sys::{self, Fd, file, process};
use nos_manifest::Service;

/// In the child: opens the terminal of a service, out of the way of `sockets` descriptors. One that
/// is not there fails: the service is then tried again later.
///
/// # Errors
/// What the kernel says.
pub fn open(path: &str, sockets: usize) -> sys::Result<Fd> {
    // Opening a line does not wait for somebody at its other end; reading and writing do.
    let opened = file::open(path, file::Mode::Terminal)?;
    file::let_wait(&opened)?;
    super::channels::lift(&opened, sockets)
}

/// In the child, which leads a session: makes the terminal that of the session, and the standard
/// input, output and error.
///
/// # Errors
/// What the kernel says; `EPERM` where another session has it.
pub fn take(terminal: &Fd) -> sys::Result<()> {
    process::control_from(terminal)?;
    for number in 0..3 {
        process::put_at(terminal, number)?;
    }
    Ok(())
}

/// What programs know the terminal of a service as (`TERM`).
pub fn kind(service: &Service) -> Option<&'static str> {
    let number = service.terminal.as_deref()?.strip_prefix("/dev/tty")?;
    match number.starts_with(|c: char| c.is_ascii_digit()) {
        true => Some("linux"),
        false => Some("vt102"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_screen_is_no_serial_line() {
        let kind_of = |terminal: Option<&str>| {
            let mut service = crate::service::capability::tests::service(&[], &[]);
            service.terminal = terminal.map(Into::into);
            kind(&service)
        };
        assert_eq!(kind_of(None), None);
        assert_eq!(kind_of(Some("/dev/tty1")), Some("linux"));
        assert_eq!(kind_of(Some("/dev/ttyS0")), Some("vt102"));
        assert_eq!(kind_of(Some("/dev/hvc0")), None);
    }
}
