//! Devices of services: those that every service has, and those that one declares.
//!
//! A service that declares devices has a folder of nodes in memory that init keeps in step with
//! `/dev`, where the kernel names what there is. The service sees the folder by a mount that it
//! cannot write to, and each node that it declared belongs to its user: no capability is needed to
//! use one, and none helps to make another.

use crate::modules::pattern;
use crate::sys::file::Node;
use crate::sys::{self, file, mount};
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use nos_manifest::{ALL_DISKS, Service};

/// What services without devices of their own see.
const SHARED: &str = "/nos/dev";
/// What others see, each in a folder of its name.
const OWN: &str = "/nos/devices";
const DEV: &str = "/dev";
const BLOCK_DEVICES: &str = "/sys/class/block";

/// Deepest folder of `/dev` that is looked into.
const MAX_DEPTH: usize = 3;

const CHARACTER_DEVICES: [(&str, u32, u32); 6] = [
    ("null", 1, 3),
    ("zero", 1, 5),
    ("full", 1, 7),
    ("random", 1, 8),
    ("urandom", 1, 9),
    ("tty", 5, 0),
];

/// Makes the directory of devices that services share, read-only.
///
/// # Errors
/// What the kernel says.
pub fn make_shared() -> sys::Result<()> {
    make(SHARED)?;
    let flags = libc::MS_NOSUID | libc::MS_NOEXEC | libc::MS_REMOUNT | libc::MS_RDONLY;
    mount::mount("dev", SHARED, "tmpfs", flags, "")
}

/// Makes a directory of the devices that every service has.
fn make(folder: &str) -> sys::Result<()> {
    let flags = libc::MS_NOSUID | libc::MS_NOEXEC;
    file::make_dir(folder, 0o755)?;
    mount::mount("dev", folder, "tmpfs", flags, "mode=0755,size=64k")?;
    for (name, major, minor) in CHARACTER_DEVICES {
        file::make_node(
            &format!("{folder}/{name}"),
            0o666,
            Node::character(major, minor),
        )?;
    }
    let links = [
        ("/proc/self/fd", "fd"),
        ("/proc/self/fd/0", "stdin"),
        ("/proc/self/fd/1", "stdout"),
        ("/proc/self/fd/2", "stderr"),
    ];
    for (target, name) in links {
        file::symlink(target, &format!("{folder}/{name}"))?;
    }
    file::make_dir(&format!("{folder}/shm"), 0o755)
}

/// The directory of devices that a service sees.
pub fn folder_of(service: &Service) -> String {
    match service.devices.is_empty() {
        true => SHARED.into(),
        false => format!("{OWN}/{}", service.name),
    }
}

/// The devices that a service has declared, as far as they are there.
#[derive(Debug)]
pub struct Devices {
    folder: String,
    nodes: BTreeMap<String, Node>,
}

impl Devices {
    /// Makes the directory of a service that declares devices; none of these is in it yet.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn new(service: &Service) -> sys::Result<Self> {
        file::make_dir(OWN, 0o755)?;
        let folder = folder_of(service);
        make(&folder)?;
        Ok(Self {
            folder,
            nodes: BTreeMap::new(),
        })
    }

    /// Adds the nodes of devices that came and removes those of devices that went. What cannot be
    /// added is said, and tried again when the next device comes.
    pub fn follow(&mut self, service: &Service) {
        let wanted = wanted(&service.devices);
        let is_gone =
            |(path, node): (&String, &Node)| (wanted.get(path) != Some(node)).then(|| path.clone());
        let gone: Vec<String> = self.nodes.iter().filter_map(is_gone).collect();
        for path in gone {
            let _ = file::remove(&format!("{}/{path}", self.folder));
            self.nodes.remove(&path);
        }
        for (path, node) in wanted {
            if self.nodes.contains_key(&path) {
                continue;
            }
            match self.add(service, &path, node) {
                // One that every service has is left to all users.
                Ok(()) | Err(sys::Errno(libc::EEXIST)) => {
                    self.nodes.insert(path, node);
                }
                Err(error) => {
                    crate::say!("service {} does not get /dev/{path}: {error}", service.name);
                }
            }
        }
    }

    fn add(&self, service: &Service, path: &str, node: Node) -> sys::Result<()> {
        for (end, _) in path.match_indices('/') {
            let parent = path.get(..end).unwrap_or_default();
            file::make_dir(&format!("{}/{parent}", self.folder), 0o755)?;
        }
        let place = format!("{}/{path}", self.folder);
        file::make_node(&place, 0o600, node)?;
        file::change_owner(&place, service.uid, service.gid)
    }
}

/// The declared devices that are there, by their path below `/dev`.
fn wanted(declared: &[String]) -> BTreeMap<String, Node> {
    let mut found = BTreeMap::new();
    let is_declared = |path: &str| {
        let path = format!("{DEV}/{path}");
        let mut patterns = declared.iter();
        patterns.any(|pattern| pattern::matches(pattern.as_bytes(), path.as_bytes()))
    };
    let disks = match declared.iter().any(|device| device == ALL_DISKS) {
        true => disks(),
        false => Vec::new(),
    };
    let mut waiting = alloc::vec![(String::new(), 0)];
    while let Some((folder, depth)) = waiting.pop() {
        for entry in file::list(&format!("{DEV}/{folder}")).unwrap_or_default() {
            let path = format!("{folder}{}", entry.name);
            if entry.is_dir {
                if depth < MAX_DEPTH {
                    waiting.push((format!("{path}/"), depth + 1));
                }
            } else if is_declared(&path) || disks.contains(&path) {
                if let Ok(Some(node)) = file::node(&format!("{DEV}/{path}")) {
                    found.insert(path, node);
                }
            }
        }
    }
    found
}

/// Names of all disks that hardware stands behind, and of their partitions.
fn disks() -> Vec<String> {
    let names = file::list(BLOCK_DEVICES).unwrap_or_default();
    let names = names.into_iter().map(|entry| entry.name);
    let is_real = |name: &String| {
        let of = |part: &str| file::exists(&format!("{BLOCK_DEVICES}/{name}/{part}"));
        // The folder above that of a partition is its disk's.
        of("device") || of("partition") && of("../device")
    };
    names.filter(is_real).collect()
}
