//! A medium that fails: an error at each write, flush and read, and a full one.

use crate::commands::{Command, FAT16_512};
use crate::common::*;
use crate::cow::CowDevice;
use crate::{all, each};
use nos_disk::{BlockDevice, Disk, repair};
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};

/// What fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fails {
    /// Every write and flush from one on.
    Writes,
    /// Every read from one on, and no write.
    Reads,
    /// One write, as on a file system that has become full, and none after it.
    OneWrite,
}

/// A device that fails from its operation number `at` on.
struct Failing {
    device: CowDevice,
    fails: Fails,
    at: usize,
    count: AtomicUsize,
}

impl Failing {
    fn check(&self, writes: bool) -> io::Result<()> {
        if writes == (self.fails == Fails::Reads) {
            return Ok(());
        }
        let count = self.count.fetch_add(1, Ordering::Relaxed);
        match self.fails {
            Fails::OneWrite if count == self.at => Err(io::ErrorKind::StorageFull.into()),
            Fails::OneWrite => Ok(()),
            _ if count >= self.at => Err(io::Error::other("the test device fails here")),
            _ => Ok(()),
        }
    }
}

impl BlockDevice for Failing {
    fn sector_size(&self) -> u32 {
        self.device.sector_size()
    }

    fn size_bytes(&self) -> u64 {
        self.device.size_bytes()
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        self.check(false)?;
        self.device.read_at(offset, buf)
    }

    fn write_at(&mut self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.check(true)?;
        self.device.write_at(offset, data)
    }

    fn write_zeroes(&mut self, offset: u64, length: u64) -> io::Result<()> {
        self.check(true)?;
        self.device.write_zeroes(offset, length)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.check(true)?;
        self.device.flush()
    }
}

/// When the device fails at any one write, flush or read, the command does not say that it is done,
/// the disk boots what it booted before or what was asked for, and the same device, working again,
/// is clean after the next command.
#[test]
fn a_device_that_fails_anywhere_loses_nothing() {
    let counts = each(all(&[FAT16_512]), |_, command| {
        let mut after = command.before.clone();
        (command.change)(&mut after).unwrap();
        let new = boots(&after);
        [Fails::Writes, Fails::OneWrite, Fails::Reads].map(|fails| {
            let mut at = 0;
            while fails_at(command, new, fails, at) {
                // Reads are many and mostly alike.
                at += if fails == Fails::Reads { 1 + at / 8 } else { 1 };
            }
            at
        })
    });
    for (kind, name, [writes, ..]) in counts {
        assert!(writes > 1, "{name} on {kind} writes nothing");
    }
}

/// Lets a command meet the failure; whether there was one.
fn fails_at(command: &Command, new: Option<u32>, fails: Fails, at: usize) -> bool {
    let mut device = Failing {
        device: command.before.clone(),
        fails,
        at,
        count: AtomicUsize::new(0),
    };
    let name = command.name;
    let before = boots(&device.device);
    let done = (command.change)(&mut device);
    let met = device.count.load(Ordering::Relaxed) > at;
    assert_eq!(done.is_err(), met, "{name}, {fails:?} {at}");
    let mut left = device.device;
    let now = boots(&left);
    assert!(
        now == before || now == new,
        "{name}, {fails:?} {at}: {now:?} boots"
    );
    repair(&mut left).unwrap_or_else(|error| panic!("{name}, {fails:?} {at}: {error}"));
    let disk = Disk::open(&mut left).unwrap();
    let report = disk.verify(&mut quiet).unwrap();
    // What only another copy can heal is healed, or was not yet.
    let is_damage = |text: &str| command.damage.iter().any(|part| text.contains(part));
    let mut findings = report.findings.iter().map(ToString::to_string);
    let bad = findings.find(|finding| !is_damage(finding) || done.is_ok());
    assert_eq!(bad, None, "{name}, {fails:?} {at}");
    met
}

/// The generation that boots, where `nos` can tell.
fn boots(device: &CowDevice) -> Option<u32> {
    Disk::open(&mut device.clone()).ok()?.current()
}
