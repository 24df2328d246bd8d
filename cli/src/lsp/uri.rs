//! `file:` addresses and paths (RFC 8089, RFC 3986).

use lsp_types::Uri;
use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Component, Path, PathBuf};
use std::str::FromStr;

/// The path that a `file:` address names, without `.` and `..`; `None` for other addresses.
pub(super) fn to_path(uri: &Uri) -> Option<PathBuf> {
    let rest = uri.as_str().strip_prefix("file://")?;
    // Behind the slashes may stand the name of this machine.
    let path = &rest[rest.find('/')?..];
    let path = path.split(['?', '#']).next().unwrap_or(path);
    let mut bytes = Vec::with_capacity(path.len());
    let mut left = path.bytes();
    while let Some(byte) = left.next() {
        bytes.push(match byte {
            b'%' => {
                let digit = |b: Option<u8>| char::from(b?).to_digit(16);
                let (high, low) = (digit(left.next())?, digit(left.next())?);
                u8::try_from(high * 16 + low).ok()?
            }
            byte => byte,
        });
    }
    if bytes.contains(&0) {
        return None;
    }
    Some(plain(Path::new(&OsString::from_vec(bytes))))
}

/// A path without `.` and `..`, as names alone can tell.
pub(super) fn plain(path: &Path) -> PathBuf {
    let mut out = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir => {
                out.pop();
            }
            part => out.push(part),
        }
    }
    out
}

/// The `file:` address of an absolute path.
pub(super) fn from_path(path: &Path) -> Option<Uri> {
    use std::fmt::Write as _;
    let mut text = String::from("file://");
    for byte in path.as_os_str().as_bytes() {
        match byte {
            b'/' | b'-' | b'.' | b'_' | b'~' => text.push(char::from(*byte)),
            byte if byte.is_ascii_alphanumeric() => text.push(char::from(*byte)),
            byte => {
                let _ = write!(text, "%{byte:02X}");
            }
        }
    }
    Uri::from_str(&text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_and_addresses_correspond() {
        let path = Path::new("/home/me/ä b%/x#1.nos");
        let uri = from_path(path).unwrap();
        assert_eq!(uri.as_str(), "file:///home/me/%C3%A4%20b%25/x%231.nos");
        assert_eq!(to_path(&uri).unwrap(), path);
        let path = |text: &str| to_path(&Uri::from_str(text).unwrap());
        assert_eq!(
            path("file://localhost/a/./b/../c.nos"),
            Some("/a/c.nos".into())
        );
        assert_eq!(path("untitled:Untitled-1"), None);
        assert_eq!(path("file:///a%00b"), None);
        assert_eq!(path("file://host"), None);
    }
}
