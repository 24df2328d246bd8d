//! Running `nos` the way a person would, and looking at everything that it says.
#![allow(dead_code, unreachable_pub, reason = "each test uses a part of this")]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that cannot go on should stop"
)]

use nos_disk::{
    Disk, GenerationSource, ImageSource, InstallOptions, KernelSource, MemoryDevice, NewDisk,
};
use nos_formats::verity::{Builder, Salt};
use nos_manifest::Image;
use nos_store::Digest;
use std::io::Cursor;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;
use tempfile::TempDir;

/// Variables of the machine that decide how it reaches the network.
const NETWORK: [&str; 7] = [
    "NOS_DEBIAN_MIRROR",
    "http_proxy",
    "https_proxy",
    "no_proxy",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "NO_PROXY",
];

/// The program with a cleared environment, in `folder`, with a store that is not there.
pub fn nos(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_nos"));
    command
        .env_clear()
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .env("HOME", folder);
    for name in NETWORK {
        if let Some(value) = std::env::var_os(name) {
            command.env(name, value);
        }
    }
    command.current_dir(folder).stdin(Stdio::null());
    command
}

/// Everything that a run said.
#[derive(Debug)]
pub struct Said {
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

impl From<Output> for Said {
    fn from(output: Output) -> Self {
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Self {
            code: output.status.code(),
            out: text(output.stdout),
            err: text(output.stderr),
        }
    }
}

impl Said {
    /// The whole of it in one text, for snapshots.
    pub fn shown(&self) -> String {
        let code = self.code.map_or("none".into(), |code| code.to_string());
        let mut text = format!("exit {code}\n");
        for (name, stream) in [("out", &self.out), ("err", &self.err)] {
            for line in stream.lines() {
                text.push_str(format!("{name}: {line}").trim_end());
                text.push('\n');
            }
        }
        text
    }

    /// Ended with `code` and said each of `parts` on standard error.
    #[track_caller]
    pub fn expect(&self, code: i32, parts: &[&str]) -> &Self {
        assert_eq!(self.code, Some(code), "{self:#?}");
        for part in parts {
            assert!(self.err.contains(part), "{part:?} is not in\n{}", self.err);
        }
        self
    }

    /// Standard output as one JSON document.
    #[track_caller]
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {self:#?}"))
    }
}

/// Runs `nos` with `args` in `folder`.
pub fn run(folder: &Path, args: &[&str]) -> Said {
    nos(folder).args(args).output().unwrap().into()
}

/// Says why a test, or the rest of it, cannot be done here.
pub fn skip(why: &str) {
    let name = std::thread::current()
        .name()
        .unwrap_or("a test")
        .to_string();
    eprintln!("SKIPPED {name}: {why}");
}

/// Writes files into a new folder.
pub fn folder(files: &[(&str, &str)]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    folder
}

/// The repository.
pub fn workspace() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

/// A copy of `examples/hello`, with its lock.
pub fn hello() -> TempDir {
    let example = workspace().join("examples/hello");
    let text = |name: &str| std::fs::read_to_string(example.join(name)).unwrap();
    let names = ["hello.nos", "nos.lock", "site/index.html"];
    let files: Vec<(&str, String)> = names.iter().map(|name| (*name, text(name))).collect();
    let files: Vec<(&str, &str)> = files.iter().map(|(n, t)| (*n, t.as_str())).collect();
    folder(&files)
}

/// A store that holds all of [`hello`], filled from the network the first time; `None`, said
/// aloud, where there is no network. `NOS_TEST_STORE` names one that is kept.
pub fn filled_store() -> Option<PathBuf> {
    static STORE: OnceLock<Option<PathBuf>> = OnceLock::new();
    let store = STORE.get_or_init(|| {
        let store = std::env::var_os("NOS_TEST_STORE").map_or_else(
            || Path::new(env!("CARGO_TARGET_TMPDIR")).join("store"),
            PathBuf::from,
        );
        let hello = hello();
        let built = nos(hello.path())
            .args(["build", "--locked", "--store"])
            .arg(&store)
            .output();
        let said = Said::from(built.unwrap());
        match said.code {
            Some(0) => Some(store),
            _ if said.err.contains("cannot be reached") || said.err.contains("no longer has") => {
                None
            }
            _ => panic!("examples/hello cannot be built: {said:#?}"),
        }
    });
    if store.is_none() {
        skip("no network, and no store that holds examples/hello");
    }
    store.clone()
}

/// Every byte of a file, as a digest.
pub fn digest(path: &Path) -> Digest {
    Digest::of(&std::fs::read(path).unwrap())
}

/// A disk of ours with one generation that would not boot but is whole in every other way. Made
/// without a build, so that tests of disks need neither network nor store.
pub fn make_disk(path: &Path, label: &str) {
    // Not by a file that this process locks: programs that other tests start meanwhile would
    // inherit the lock until they run.
    std::fs::write(path, disk_of(&[label]).bytes()).unwrap();
}

/// As [`make_disk`], with a state partition that holds nothing.
pub fn make_disk_with_state(path: &Path, label: &str, state_bytes: u64) {
    std::fs::write(path, disk_with(&[label], Some(state_bytes)).bytes()).unwrap();
}

/// A disk in memory, with a generation for each label; each has an image of its own.
pub fn disk_of(labels: &[&str]) -> MemoryDevice {
    disk_with(labels, None)
}

fn disk_with(labels: &[&str], state_bytes: Option<u64>) -> MemoryDevice {
    let new = NewDisk {
        esp_bytes: 4 << 20,
        state_bytes,
        state_content: None,
        boot_loader: b"a boot loader",
        seed: [7; 32],
    };
    let mut device = MemoryDevice::new(16 << 20, 512);
    for (index, label) in labels.iter().enumerate() {
        let uki = format!("a kernel image{}", " ".repeat(index));
        let (image, content) = page(index as u32);
        let source = GenerationSource {
            uki: KernelSource::in_memory(uki.as_bytes(), Digest::of(uki.as_bytes()).0),
            title: "nOs test".into(),
            label: (*label).into(),
            kernel: "6.12.48".into(),
            installed: Some(1_760_000_000),
            images: vec![ImageSource {
                image,
                open: Box::new(|| Ok(Box::new(Cursor::new(content.as_slice())))),
            }],
        };
        if index == 0 {
            nos_disk::create(&mut device, &new, &source, &mut |_| {}).unwrap();
        } else {
            let mut disk = Disk::open(&mut device).unwrap();
            let options = InstallOptions::default();
            disk.install(&source, options, &mut |_| {}).unwrap();
        }
    }
    device
}

/// An image and its bytes, another for each seed.
fn page(seed: u32) -> (Image, Vec<u8>) {
    let bytes: Vec<u8> = (0..3 * 4096u32)
        .map(|i| ((i + seed).wrapping_mul(2_654_435_761) >> 24) as u8)
        .collect();
    let mut builder = Builder::new(Salt::default());
    builder.update(&bytes);
    let area = builder.finish().unwrap();
    let content = [bytes, area.bytes].concat();
    let image = Image {
        name: "page".into(),
        root_hash: area.root_hash.to_string(),
        salt: String::new(),
        data_blocks: area.params.data_blocks(),
        hash_start_block: area.params.hash_start_block(),
        size_bytes: content.len() as u64,
    };
    (image, content)
}
