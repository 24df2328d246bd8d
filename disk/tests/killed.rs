//! Real processes on one disk: killed at each of their writes, and many at once.
//!
//! The processes are this test program itself, told on standard input what to do.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that cannot go on should stop"
)]

mod common;

use common::*;
use nos_disk::{BlockDevice, DeviceError, Disk, Error, FileDevice, Report, StateSize, repair};
use rustix::process::{Signal, getpid, kill_process};
use std::io::{self, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// What a child says with its exit code when another has the disk.
const BUSY: i32 = 75;

/// A disk that ends this process at one of its writes.
struct Deadly {
    device: FileDevice,
    /// Writes and flushes until then; `None`: never.
    left: Option<usize>,
    /// Whether half of that write is done.
    half: bool,
}

impl Deadly {
    fn step(&mut self, offset: u64, data: &[u8]) -> io::Result<()> {
        match &mut self.left {
            Some(0) => {
                if self.half {
                    let sector = self.device.sector_size() as usize;
                    let part = data.len() / 2 / sector * sector;
                    self.device.write_at(offset, &data[..part])?;
                }
                kill_process(getpid(), Signal::KILL)?;
            }
            Some(left) => *left -= 1,
            None => {}
        }
        Ok(())
    }
}

impl BlockDevice for Deadly {
    fn sector_size(&self) -> u32 {
        self.device.sector_size()
    }

    fn size_bytes(&self) -> u64 {
        self.device.size_bytes()
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        self.device.read_at(offset, buf)
    }

    fn write_at(&mut self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.step(offset, data)?;
        self.device.write_at(offset, data)
    }

    fn write_zeroes(&mut self, offset: u64, length: u64) -> io::Result<()> {
        self.step(offset, &[])?;
        self.device.write_zeroes(offset, length)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.step(0, &[])?;
        self.device.flush()
    }

    fn forget(&self) -> io::Result<()> {
        self.device.forget()
    }
}

type Apply = fn(&mut dyn BlockDevice) -> Result<Report, Error>;

/// Every command by its name, on a disk with generations 1 to 3 that has become larger.
const COMMANDS: [(&str, Apply); 10] = [
    ("install", |device| install(device, &systems()[3])),
    ("switch", |device| Disk::open(device)?.switch(1)),
    ("rollback", |device| Disk::open(device)?.rollback()),
    ("trial", |device| Disk::open(device)?.set_trial(Some(1))),
    ("remove", |device| Disk::open(device)?.remove(1)),
    ("gc", |device| Disk::open(device)?.gc(1)),
    ("pin", |device| Disk::open(device)?.pin(1, Some("keep"))),
    ("unpin", |device| Disk::open(device)?.unpin(2)),
    ("grow", |device| Disk::open(device)?.grow(StateSize::All)),
    ("repair", repair),
];

#[test]
#[ignore = "is what the other tests start as a process"]
fn child() {
    let mut line = String::new();
    io::stdin().read_line(&mut line).unwrap();
    let mut words = line.split_whitespace();
    let mut word = || words.next().unwrap();
    let (path, name, left, half) = (PathBuf::from(word()), word(), word(), word() == "half");
    let device = match FileDevice::open(&path) {
        Ok(device) => device,
        Err(DeviceError::Busy { .. }) => std::process::exit(BUSY),
        Err(error) => panic!("{error}"),
    };
    let mut device = Deadly {
        device,
        left: left.parse().ok(),
        half,
    };
    let (_, apply) = COMMANDS.iter().find(|command| command.0 == name).unwrap();
    apply(&mut device).unwrap();
}

/// A process that waits to be told what to do.
fn start() -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "child", "--ignored", "--quiet"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

fn tell(child: &mut Child, path: &Path, name: &str, left: &str, half: &str) {
    let line = format!("{} {name} {left} {half}\n", path.display());
    let mut input = child.stdin.take().unwrap();
    input.write_all(line.as_bytes()).unwrap();
}

/// A disk with generations 1 to 3, of which 2 is pinned, 3 MiB larger than its tables say.
fn disk() -> Vec<u8> {
    let mut device = disk_with(512, 9 << 20, &systems()[0]);
    for system in &systems()[1..3] {
        install(&mut device, system).unwrap();
    }
    Disk::open(&mut device).unwrap().pin(2, None).unwrap();
    let mut bytes = device.bytes().to_vec();
    bytes.resize(bytes.len() + (3 << 20), 0);
    bytes
}

fn scratch() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm")
        .or_else(|_| tempfile::tempdir())
        .unwrap()
}

/// Number of the generation that boots.
fn boots(path: &Path) -> Option<u32> {
    Disk::open(&mut open(path)).unwrap().current()
}

/// Opens a disk whose last user is gone. Another test's process may still hold what it inherited
/// between its fork and its exec.
fn open(path: &Path) -> FileDevice {
    let limit = Instant::now() + Duration::from_secs(300);
    loop {
        match FileDevice::open(path) {
            Err(DeviceError::Busy { .. }) if Instant::now() < limit => std::thread::yield_now(),
            opened => return opened.unwrap(),
        }
    }
}

#[test]
fn a_process_killed_at_any_write_leaves_a_disk_that_boots() {
    let folder = scratch();
    let path = folder.path().join("disk.img");
    let before = disk();
    for (name, apply) in COMMANDS {
        std::fs::write(&path, &before).unwrap();
        let old = boots(&path);
        apply(&mut open(&path)).unwrap();
        let new = boots(&path);
        let mut killed = 0;
        for half in ["whole", "half"] {
            for at in 0.. {
                std::fs::write(&path, &before).unwrap();
                let mut child = start();
                tell(&mut child, &path, name, &at.to_string(), half);
                let status = child.wait().unwrap();
                let now = boots(&path);
                assert!(now == old || now == new, "{name} {at}: {now:?} boots");
                let mut file = open(&path);
                if status.success() {
                    assert_eq!(now, new, "{name}");
                    break;
                }
                assert_eq!(status.signal(), Some(9), "{name} {at}: {status}");
                killed += 1;
                repair(&mut file).unwrap();
                let disk = Disk::open(&mut file).unwrap();
                let report = disk.verify(&mut quiet).unwrap();
                assert_eq!(report.findings, [], "{name} {at}");
                assert_eq!(disk.current(), now, "{name} {at}");
            }
        }
        assert!(killed >= 4, "{name} was killed {killed} times");
    }
}

#[test]
fn of_many_processes_at_once_each_has_the_disk_alone() {
    let folder = scratch();
    let path = folder.path().join("disk.img");
    let before = disk();
    let names = ["install", "switch", "gc", "install", "pin", "rollback"];
    let (mut done, mut refused) = (0, 0);
    for _ in 0..8 {
        std::fs::write(&path, &before).unwrap();
        let mut children = names.map(|_| start());
        for (child, name) in children.iter_mut().zip(names) {
            tell(child, &path, name, "-", "whole");
        }
        let codes = children.map(|mut child| child.wait().unwrap().code());
        for code in codes {
            match code {
                Some(0) => done += 1,
                Some(BUSY) => refused += 1,
                // Such as a generation that another has removed: said, and nothing done.
                _ => {}
            }
        }
        let mut file = open(&path);
        let disk = Disk::open(&mut file).unwrap();
        let report = disk.verify(&mut quiet).unwrap();
        assert!(report.is_good(), "{:?}", report.findings);
    }
    assert!(done >= 8, "{done} were done, {refused} refused");
}
