//! What services open of their images, said on the console for `nos trim --trace`.
//!
//! Off unless the command line has `nos.trace`, which only a system made for it carries: that line
//! is part of the kernel image, signed and measured with it. Paths are said and no content.
//!
//! The kernel tells of every file and folder that is opened on an image's file system, however
//! short-lived the process is, and gives a descriptor of it on the mount through which it was
//! opened. Each service has mounts of its own, so the mount says which service it was.

use crate::service::spawn::IMAGES;
use crate::sys::{Fd, fanotify, file};
use crate::{log, say};
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use nos_manifest::{Image, TRACE_BEGINS, TRACE_OPENED};

/// Who opened something where that is not known any more.
const SOMEONE: &str = "-";

/// Watches the images.
#[derive(Debug)]
pub struct Tracer {
    news: Fd,
    /// Processes of services whose mounts are known.
    processes: Vec<i32>,
    /// Mount → service.
    mounts: BTreeMap<u64, String>,
    /// Service and path, as they were said: no more than there are in images, which nobody writes.
    said: BTreeSet<String>,
    /// Number of lines said: a gap in them tells that some were lost on the way.
    lines: usize,
}

impl Tracer {
    /// Begins to watch images that are mounted. Where that cannot be it is said, and the machine
    /// goes on.
    pub fn start(images: &[Image]) -> Option<Self> {
        let watched = fanotify::listen().and_then(|news| {
            for image in images {
                fanotify::watch(&news, &format!("{IMAGES}/{}", image.name))?;
            }
            Ok(news)
        });
        let news = match watched {
            Ok(news) => news,
            Err(error) => {
                say!("the kernel does not tell what is opened: {error}");
                return None;
            }
        };
        say!("{TRACE_BEGINS}");
        Some(Self {
            news,
            processes: Vec::new(),
            mounts: BTreeMap::new(),
            said: BTreeSet::new(),
            lines: 0,
        })
    }

    /// What to wait for.
    pub fn news(&self) -> &Fd {
        &self.news
    }

    /// Says what was opened since the last time. `running` gives the services that run, each with
    /// its first process.
    pub fn step<'a>(&mut self, running: impl Iterator<Item = (&'a str, i32)>) {
        for (service, process) in running {
            if !self.processes.contains(&process) {
                self.processes.push(process);
                let mounts = file::read_text(&format!("/proc/{process}/mountinfo"));
                for mount in mount_ids(&mounts.unwrap_or_default()) {
                    self.mounts.insert(mount, service.into());
                }
            }
        }
        let Self {
            news,
            mounts,
            said,
            lines,
            ..
        } = self;
        fanotify::take(news, |opened| {
            let text = match &opened {
                Some(opened) => opened_by(opened, mounts),
                None => None,
            };
            // Nothing but the number: something is missing.
            let text = text.unwrap_or_default();
            if said.insert(text.clone()) {
                *lines += 1;
                log::patiently("nos", format_args!("{TRACE_OPENED}{lines} {text}"));
            }
        });
    }
}

/// Service and path of what was opened.
fn opened_by(opened: &Fd, mounts: &BTreeMap<u64, String>) -> Option<String> {
    let number = opened.number();
    let path = file::read_link(&format!("/proc/self/fd/{number}")).ok()?;
    let facts = file::read_text(&format!("/proc/self/fdinfo/{number}")).ok()?;
    let service = mount_of(&facts).and_then(|mount| mounts.get(&mount));
    let service = service.map_or(SOMEONE, String::as_str);
    Some(format!("{service} {}", path.escape_ascii()))
}

/// The mounts of a process by its `/proc/PID/mountinfo`.
fn mount_ids(text: &str) -> impl Iterator<Item = u64> + '_ {
    let first = |line: &str| line.split(' ').next().and_then(|id| id.parse().ok());
    text.lines().filter_map(first)
}

/// The mount of a descriptor by its `/proc/PID/fdinfo`.
fn mount_of(text: &str) -> Option<u64> {
    let id = text.lines().find_map(|line| line.strip_prefix("mnt_id:"))?;
    id.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mounts_are_read_from_what_the_kernel_shows() {
        let mounts = "36 35 254:0 / / ro,relatime - erofs /dev/dm-0 ro\n\
                      401 36 0:33 / /proc rw - proc proc rw\nx y\n";
        assert_eq!(mount_ids(mounts).collect::<Vec<_>>(), [36, 401]);
        let facts = "pos:\t0\nflags:\t0104000\nmnt_id:\t401\nino:\t68\n";
        assert_eq!(mount_of(facts), Some(401));
        assert_eq!(mount_of("pos:\t0\n"), None);
    }
}
