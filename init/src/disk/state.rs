//! The state partition: what services may write.

use crate::sys::{self, file};
use alloc::format;
use alloc::string::String;

/// Name of the directory in which one declared state directory of a service is kept: the path
/// without its first slash, other slashes as `-`, anything but letters, digits, `_` and `.` as
/// `\xNN`. Different paths have different names.
pub fn escape(path: &str) -> String {
    let mut name = String::new();
    for byte in path.trim_matches('/').bytes() {
        match byte {
            b'/' => name.push('-'),
            b'.' if name.is_empty() => name.push_str("\\x2e"),
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_' | b'.' => name.push(byte as char),
            _ => name.push_str(&format!("\\x{byte:02x}")),
        }
    }
    name
}

/// Makes the directory `root/service/escaped path`, owned by the service, and gives its path.
/// Where it belonged to another user (the service was renumbered), everything in it moves.
///
/// # Errors
/// What the kernel says.
pub fn directory(root: &str, service: &str, path: &str, uid: u32, gid: u32) -> sys::Result<String> {
    let parent = format!("{root}/{service}");
    file::make_dir(&parent, 0o755)?;
    let directory = format!("{parent}/{}", escape(path));
    file::make_dir(&directory, 0o700)?;
    if file::owner(&directory)? != (uid, gid) {
        give(&directory, uid, gid)?;
    }
    Ok(directory)
}

/// Deepest nesting that [`give`] follows; deeper files keep their owner.
const MAX_DEPTH: usize = 64;

fn give(top: &str, uid: u32, gid: u32) -> sys::Result<()> {
    // The top comes last, so that an interrupted pass is done again at the next start.
    let mut waiting = alloc::vec![(String::from(top), 0)];
    while let Some((path, depth)) = waiting.pop() {
        for entry in file::list(&path)? {
            let child = format!("{path}/{}", entry.name);
            file::change_owner(&child, uid, gid)?;
            if entry.is_dir && depth < MAX_DEPTH {
                waiting.push((child, depth + 1));
            }
        }
    }
    file::change_owner(top, uid, gid)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_readable_and_distinct() {
        assert_eq!(escape("/var/lib/redis"), "var-lib-redis");
        assert_eq!(escape("/var/lib/redis/"), "var-lib-redis");
        assert_eq!(escape("/a-b"), "a\\x2db");
        assert_eq!(escape("/.."), "\\x2e.");
        assert_eq!(escape("/ü"), "\\xc3\\xbc");
        assert_ne!(escape("/a/b"), escape("/a-b"));
    }
}
