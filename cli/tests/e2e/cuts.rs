//! States of a disk that a power cut can leave, booted by real firmware, boot loader and kernel.
//!
//! `disk/tests/crash` visits all of them with a model of that firmware; here a sample shows that
//! the model is right.

use crate::common::machine::Machine;
use crate::common::program::{Nos, at};
use crate::common::{Example, disk, shared_store};
use nos_builder::BuiltSystem;
use nos_disk::{
    Disk, GenerationSource, ImageSource, InstallOptions, KernelSource, MemoryDevice, Operation,
    RecordingDevice, StateSize,
};
use nos_store::Store;
use std::io::Read;

const NEW_PAGE: &str = "<!doctype html><title>two</title><p>The second generation.\n";

/// What was written between two flushes: sectors with their offsets.
type Segment = Vec<(usize, Vec<u8>)>;

/// A disk, and what a command writes to it.
struct Change {
    before: Vec<u8>,
    segments: Vec<Segment>,
}

impl Change {
    fn record(before: Vec<u8>, command: impl Fn(&mut Disk<'_>)) -> Self {
        let device = MemoryDevice::from_bytes(before.clone(), disk::SECTOR as u32);
        let mut recording = RecordingDevice::new(device);
        command(&mut Disk::open(&mut recording).unwrap());
        let (_, operations) = recording.into_parts();
        let mut segments = vec![Segment::new()];
        for operation in operations {
            match operation {
                Operation::Flush => segments.push(Segment::new()),
                Operation::Write { offset, data } => {
                    let sectors = data.chunks(disk::SECTOR).enumerate();
                    let place = |index| offset as usize + index * disk::SECTOR;
                    let last = segments.last_mut().unwrap();
                    last.extend(sectors.map(|(index, bytes)| (place(index), bytes.to_vec())));
                }
            }
        }
        Self { before, segments }
    }

    /// The disk with everything of the first `whole` segments, and of the next one what `keep`
    /// says: how many bytes of each sector.
    fn cut(&self, whole: usize, keep: impl Fn(usize, usize) -> usize) -> Vec<u8> {
        let mut bytes = self.before.clone();
        let mut put = |offset: usize, data: &[u8]| {
            bytes[offset..offset + data.len()].copy_from_slice(data);
        };
        for (offset, data) in self.segments.iter().take(whole).flatten() {
            put(*offset, data);
        }
        for (index, (offset, data)) in self.segments[whole].iter().enumerate() {
            put(*offset, &data[..keep(index, *offset).min(data.len())]);
        }
        bytes
    }

    /// The segment that writes a sector.
    fn segment_of(&self, offset: usize) -> usize {
        let writes = |segment: &Segment| segment.iter().any(|(place, _)| *place == offset);
        self.segments.iter().position(writes).unwrap()
    }
}

/// Boots the disk and sees that it serves the page of the generation that `nos` says boots; gives
/// its number.
fn boots(example: &Example, pages: &[&[u8]], name: &str, bytes: &[u8]) -> u64 {
    let path = example.beside("cut.img");
    std::fs::write(&path, bytes).unwrap();
    let listing = Nos::new(["generations", &path]).json();
    let all = at(&listing, "/generations").as_array().unwrap();
    let current = all.iter().find(|g| g["current"] == true).unwrap();
    let number = current["number"].as_u64().unwrap();
    let machine = Machine::boot(example, Some(&path));
    let answer = machine.get("/");
    assert!(answer.is_whole(), "{name}: {answer:?}");
    machine.stop();
    assert_eq!(
        String::from_utf8_lossy(&answer.body),
        String::from_utf8_lossy(pages[number as usize - 1]),
        "{name}: generation {number} boots"
    );
    // What the firmware repaired, and what it did not, is nothing that the next command minds.
    Nos::new(["verify", &path, "--repair"]).succeeds();
    number
}

/// An example with a page, its disk, and what adding a generation with another page writes.
fn prepared() -> (Example, Vec<u8>, Change) {
    let hello = Example::copy("hello");
    let old = hello.read("site/index.html");
    let before = disk::read(&hello.image("hello.img"));
    hello.write("site/index.html", NEW_PAGE);
    let built = Nos::new(["build", &hello.spec(), "--locked", "--offline"]).json();
    let system: BuiltSystem = serde_json::from_value(at(&built, "/system").clone()).unwrap();
    let store = Store::open(shared_store()).unwrap();
    let uki = store.read_object(&system.uki.digest).unwrap();
    let install = Change::record(before, |disk| {
        let images = system.manifest.images.iter().zip(&system.images);
        let source = GenerationSource {
            uki: KernelSource::in_memory(&uki, system.uki.digest.0),
            title: "hello".into(),
            label: String::new(),
            kernel: system.manifest.kernel.clone(),
            installed: None,
            images: images
                .map(|(image, blob)| ImageSource {
                    image: image.clone(),
                    open: Box::new(|| {
                        let file = store.open_object(&blob.digest);
                        let file = file.map_err(std::io::Error::other)?;
                        Ok(Box::new(file) as Box<dyn Read + Send>)
                    }),
                })
                .collect(),
        };
        let options = InstallOptions::default();
        disk.install(&source, options, &mut |_| {}).unwrap();
    });
    (hello, old, install)
}

/// Where the pointer is.
fn pointer(bytes: &[u8]) -> usize {
    let mut sectors = (0..bytes.len()).step_by(disk::SECTOR);
    let start = b"# nOs: which generation boots.";
    sectors.find(|at| bytes[*at..].starts_with(start)).unwrap()
}

/// Sector of the primary table's header.
const HEADER: usize = disk::SECTOR;

#[test]
fn sampled_crash_states_boot_one_generation_whole() {
    let (hello, old, install) = prepared();
    let pages = [old.as_slice(), NEW_PAGE.as_bytes()];
    let pointer = pointer(&install.before);
    let header = install.segment_of(HEADER);
    let last = install.segment_of(pointer);
    let all = disk::SECTOR;

    let half = install.cut(0, |index, _| if index.is_multiple_of(2) { all } else { 0 });
    assert_eq!(boots(&hello, &pages, "half of the content", &half), 1);

    // Firmware restores the primary table from the backup.
    let torn = install.cut(header, |_, offset| if offset == HEADER { 60 } else { all });
    assert_eq!(boots(&hello, &pages, "torn table", &torn), 1);

    // The letter is that of the new generation, and the comment behind it the old one's.
    let text = String::from_utf8_lossy(&install.before[pointer..][..all]).into_owned();
    let letter = text.find("default nos-*-").unwrap() + "default nos-*-".len();
    let torn = install.cut(last, |_, _| letter + 1);
    assert_eq!(boots(&hello, &pages, "torn pointer", &torn), 2);

    // On a disk that became larger, with the primary's header torn while it learns of that.
    let mut larger = install.cut(install.segments.len() - 1, |_, _| all);
    larger.resize(larger.len() + (8 << 20), 0);
    let grow = Change::record(larger, |disk| drop(disk.grow(StateSize::Keep).unwrap()));
    let torn = grow.cut(grow.segment_of(HEADER), |_, _| 60);
    assert_eq!(
        boots(&hello, &pages, "torn table of a larger disk", &torn),
        2
    );
}

/// Every segment of an install, a removal and a growth, each cut three times at random.
#[test]
#[ignore = "boots for minutes: cargo test -p nos --test e2e -- --ignored many_crash_states"]
fn many_crash_states_boot_one_generation_whole() {
    let (hello, old, install) = prepared();
    let pages = [old.as_slice(), NEW_PAGE.as_bytes()];
    let all = disk::SECTOR;
    let two = install.cut(install.segments.len() - 1, |_, _| all);
    let mut larger = two.clone();
    larger.resize(larger.len() + (8 << 20), 0);
    let changes = [
        (
            "remove",
            Change::record(two, |disk| drop(disk.remove(1).unwrap())),
        ),
        (
            "grow",
            Change::record(larger, |disk| drop(disk.grow(StateSize::Keep).unwrap())),
        ),
        ("install", install),
    ];
    let mut state = 1_u64;
    let mut draw = || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        state >> 33
    };
    for (name, change) in changes {
        for segment in 0..change.segments.len() - 1 {
            for turn in 0..3 {
                let seed = draw();
                let keep = |index: usize, _: usize| {
                    let mixed = (seed ^ index as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 40;
                    if mixed.is_multiple_of(2) { all } else { 0 }
                };
                let what = format!("{name}, segment {segment}, turn {turn}");
                boots(&hello, &pages, &what, &change.cut(segment, keep));
            }
        }
    }
}
