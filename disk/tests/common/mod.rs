//! Systems to put on disks, and outside tools to judge the disks by.
#![allow(dead_code, unreachable_pub, reason = "each test uses a part of this")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

use nos_disk::{
    BlockDevice, Disk, Error, GenerationSource, ImageSource, InstallOptions, KernelSource,
    MemoryDevice, NewDisk, Progress, Report,
};
use nos_formats::verity::{Builder, Salt};
use nos_manifest::Image;
use sha2::{Digest, Sha256};
use std::io::Cursor;
use std::process::Command;

/// A system: a kernel image and service images, made of nothing but numbers.
#[derive(Clone)]
pub struct System {
    pub label: String,
    pub uki: Vec<u8>,
    pub images: Vec<(Image, Vec<u8>)>,
}

/// Bytes that look like nothing, the same for the same seed.
pub fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    (0..length)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 32) as u8
        })
        .collect()
}

/// A service image with its hash tree.
pub fn image(name: &str, seed: u64, blocks: usize) -> (Image, Vec<u8>) {
    let mut bytes = noise(seed, blocks * 4096);
    let mut builder = Builder::new("5a17".parse::<Salt>().unwrap());
    builder.update(&bytes);
    let area = builder.finish().unwrap();
    bytes.extend_from_slice(&area.bytes);
    let image = Image {
        name: name.into(),
        root_hash: area.root_hash.to_string(),
        salt: "5a17".into(),
        data_blocks: area.params.data_blocks(),
        hash_start_block: area.params.hash_start_block(),
        size_bytes: bytes.len() as u64,
    };
    (image, bytes)
}

/// A system whose kernel image has `uki_size` bytes and differs by `seed`.
pub fn system(seed: u64, uki_size: usize, images: Vec<(Image, Vec<u8>)>) -> System {
    System {
        label: format!("system {seed}"),
        uki: noise(seed + 1000, uki_size),
        images,
    }
}

impl System {
    pub fn source(&self) -> GenerationSource<'_> {
        GenerationSource {
            uki: KernelSource::in_memory(&self.uki, Sha256::digest(&self.uki).into()),
            title: "test".into(),
            label: self.label.clone(),
            kernel: "6.12.48".into(),
            installed: Some(1_760_000_000),
            images: self
                .images
                .iter()
                .map(|(image, bytes)| ImageSource {
                    image: image.clone(),
                    open: Box::new(|| Ok(Box::new(Cursor::new(bytes.as_slice())))),
                })
                .collect(),
        }
    }
}

pub const BOOT_LOADER: &[u8] = b"a boot loader";

pub fn new_disk() -> NewDisk<'static> {
    NewDisk {
        esp_bytes: 4 << 20,
        state_bytes: Some(1 << 20),
        state_content: None,
        boot_loader: BOOT_LOADER,
        seed: [7; 32],
    }
}

/// A layout that is legal for the sector size, small.
pub fn new_disk_for(sector_size: u32) -> NewDisk<'static> {
    let esp_bytes = if sector_size == 4096 {
        18 << 20
    } else {
        4 << 20
    };
    NewDisk {
        esp_bytes,
        ..new_disk()
    }
}

/// A disk in memory with generation 1.
pub fn disk_with(sector_size: u32, size_bytes: usize, system: &System) -> MemoryDevice {
    let mut device = MemoryDevice::new(size_bytes, sector_size);
    let new = new_disk_for(sector_size);
    nos_disk::create(&mut device, &new, &system.source(), &mut quiet).unwrap();
    device
}

/// A disk as one finds it: nothing is known of what was never written.
pub fn found(device: MemoryDevice) -> MemoryDevice {
    let sector_size = device.sector_size();
    MemoryDevice::from_bytes(device.into_bytes(), sector_size)
}

pub fn quiet(_: &Progress) {}

pub fn install(device: &mut dyn BlockDevice, system: &System) -> Result<Report, Error> {
    Disk::open(device)?.install(&system.source(), InstallOptions::default(), &mut quiet)
}

/// Numbers of the generations, and which one boots.
pub fn summary(device: &mut dyn BlockDevice) -> (Vec<u32>, Option<u32>) {
    let disk = Disk::open(device).unwrap();
    let numbers = disk
        .generations()
        .iter()
        .map(|generation| generation.number)
        .collect();
    (numbers, disk.current())
}

/// Runs an outside tool with the disk, or a part of it, in a file; `None` where this machine does
/// not have it.
pub fn tool(bytes: &[u8], program: &str, arguments: &[&str]) -> Option<(bool, String)> {
    // In memory where that is possible: a tool that flushes would wait for the whole machine.
    let file =
        tempfile::NamedTempFile::new_in("/dev/shm").or_else(|_| tempfile::NamedTempFile::new());
    let file = file.unwrap();
    std::fs::write(file.path(), bytes).unwrap();
    let path = file.path().to_str().unwrap();
    let arguments = arguments
        .iter()
        .map(|argument| argument.replace("DISK", path));
    match Command::new(program).args(arguments).output() {
        Ok(output) => {
            let text = [output.stdout, output.stderr].concat();
            let text = String::from_utf8_lossy(&text).replace(path, "DISK");
            Some((output.status.success(), text))
        }
        Err(_) => {
            eprintln!("skipped: {program} is not installed, its judgement is missing here");
            None
        }
    }
}

/// The EFI system partition of a disk.
pub fn esp(device: &mut MemoryDevice) -> Vec<u8> {
    let sector = u64::from(device.sector_size());
    let disk = Disk::open(device).unwrap();
    let (_, entry) = disk.table().numbered().next().unwrap();
    let range = (entry.first_lba * sector) as usize..((entry.last_lba + 1) * sector) as usize;
    device.bytes()[range].to_vec()
}

/// `sgdisk -v` and `fsck.fat -n` have nothing to say, and `nos verify` neither.
pub fn everything_is_clean(device: &mut MemoryDevice) {
    // sgdisk takes every file for a disk with sectors of 512 bytes. It remarks on the room for a
    // second entry array, which it finds unusual, and on images that end on no round number.
    if device.sector_size() == 512
        && let Some((good, text)) = tool(device.bytes(), "sgdisk", &["-v", "DISK"])
    {
        assert!(
            good && text.contains("No problems found"),
            "sgdisk says:\n{text}"
        );
    }
    if let Some((good, text)) = tool(&esp(device), "fsck.fat", &["-n", "DISK"]) {
        assert!(good && text.lines().count() == 2, "fsck.fat says:\n{text}");
    }
    let report = Disk::open(device).unwrap().verify(&mut quiet).unwrap();
    assert_eq!(report.findings, []);
}

/// Systems by number − 1. Each has an image of its own and one that all share.
pub fn systems() -> Vec<System> {
    let shared = image("shared", 100, 3);
    (1..=4)
        .map(|n| {
            system(
                n,
                5000,
                vec![image("own", n, 2 + n as usize), shared.clone()],
            )
        })
        .collect()
}
