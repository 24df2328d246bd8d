//! Writing and reading EROFS images.
//!
//! `NOS_BENCH_TREE=/some/folder cargo bench -p nos-formats --bench erofs` takes that folder, and
//! runs `mkfs.erofs` on it beside us where it is installed (in `$NOS_TEST_TOOLS` or on the path),
//! on the same file system. Without it the tree is made up, and held in memory.
#![allow(missing_docs, clippy::unwrap_used)]

use std::fs::File;
use std::hint::black_box;
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use criterion::{Criterion, Throughput};
use nos_formats::erofs::{self, Compression, Content, Image, Options};
use nos_formats::read_at::{Extent, ReadAt};
use nos_formats::tree::{Kind, Metadata, Node, Tree, TreePath};

/// A file of the folder, or bytes.
enum Source {
    File(PathBuf, u64),
    Bytes(Vec<u8>),
}

impl Content for Source {}

impl Extent for Source {
    fn size_bytes(&self) -> u64 {
        match self {
            Source::File(_, size) => *size,
            Source::Bytes(bytes) => bytes.len() as u64,
        }
    }
}

impl ReadAt for Source {
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        match self {
            Source::File(path, _) => File::open(path)?.read_exact_at(buf, offset),
            Source::Bytes(bytes) => bytes.read_at(offset, buf),
        }
    }
}

fn load(folder: &Path) -> Tree<Source> {
    let mut tree = Tree::new();
    let mut waiting = vec![(folder.to_path_buf(), TreePath::ROOT)];
    while let Some((at, path)) = waiting.pop() {
        for entry in std::fs::read_dir(at).unwrap() {
            let entry = entry.unwrap();
            let found = entry.metadata().unwrap();
            let path = path.join(entry.file_name().as_bytes()).unwrap();
            let kind = if found.is_dir() {
                waiting.push((entry.path(), path.clone()));
                Kind::Directory
            } else if found.is_symlink() {
                Kind::Symlink(
                    std::fs::read_link(entry.path())
                        .unwrap()
                        .into_os_string()
                        .into_vec(),
                )
            } else if found.is_file() {
                Kind::File(Source::File(entry.path(), found.len()))
            } else {
                continue;
            };
            let metadata = Metadata::with_mode((found.mode() & 0o7777) as u16);
            tree.insert(path, Node { metadata, kind }).unwrap();
        }
    }
    tree
}

/// 800 files, 24 MB, half of it compressible.
fn made_up() -> Tree<Source> {
    let mut tree = Tree::new();
    let mut state = 1u64;
    for number in 0..800u32 {
        let len = 500 << (number % 8);
        let mut bytes = Vec::new();
        while bytes.len() < len {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            if number % 2 == 0 {
                bytes.extend_from_slice(&state.to_le_bytes());
            } else {
                bytes.extend_from_slice(format!("call {} of {}; ", state >> 58, number).as_bytes());
            }
        }
        let path = TreePath::new(format!("d{}/f{number}", number % 20)).unwrap();
        let kind = Kind::File(Source::Bytes(bytes));
        let metadata = Metadata::with_mode(0o644);
        tree.insert_with_parents(path, Node { metadata, kind })
            .unwrap();
    }
    tree
}

fn write(tree: &Tree<Source>, options: &Options) -> Vec<u8> {
    let mut out = Vec::new();
    let mut spool = io::Cursor::new(Vec::new());
    erofs::write(tree, options, &mut spool, &mut out).unwrap();
    out
}

fn main() {
    let mut criterion = Criterion::default().configure_from_args().sample_size(10);
    let folder = std::env::var_os("NOS_BENCH_TREE").map(PathBuf::from);
    let tree = folder.as_deref().map_or_else(made_up, load);
    let bytes = tree.iter().map(|(_, node)| match &node.kind {
        Kind::File(content) => content.size_bytes(),
        _ => 0,
    });
    let mut group = criterion.benchmark_group("erofs");
    group.throughput(Throughput::Bytes(bytes.sum()));
    for (name, compression, cluster_bytes, arguments) in [
        ("none", Compression::None, 4096, ""),
        ("lz4-4k", Compression::Lz4, 4096, "-zlz4"),
        ("lz4-64k", Compression::Lz4, 65536, "-zlz4 -C65536"),
        ("zstd3-64k", Compression::Zstd(3), 65536, "-zzstd,3 -C65536"),
    ] {
        let mut options = Options {
            compression,
            cluster_bytes,
            ..Options::default()
        };
        for threads in [1, 2] {
            options.threads = threads;
            group.bench_function(format!("write/{name}/{threads}"), |b| {
                b.iter(|| black_box(write(&tree, &options)));
            });
        }
        let image = write(&tree, &options);
        eprintln!("{name}: {} bytes", image.len());
        group.bench_function(format!("read/{name}"), |b| b.iter(|| read(&image)));
        if let Some(folder) = &folder {
            let output = tempfile::NamedTempFile::new_in(folder.parent().unwrap()).unwrap();
            if mkfs(arguments, output.path(), folder) {
                let size = output.path().metadata().unwrap().len();
                eprintln!("{name}, mkfs.erofs: {size} bytes");
                group.bench_function(format!("mkfs.erofs/{name}"), |b| {
                    b.iter(|| mkfs(arguments, output.path(), folder));
                });
            }
        }
    }
    group.finish();
    criterion.final_summary();
}

fn read(bytes: &dyn Extent) {
    let image = Image::open(bytes).unwrap();
    for (_, node) in image.tree().unwrap().iter() {
        if let Kind::File(inode) = &node.kind {
            image.read_to(inode, &mut io::sink()).unwrap();
        }
    }
}

fn mkfs(arguments: &str, output: &Path, folder: &Path) -> bool {
    let tools = std::env::var_os("NOS_TEST_TOOLS").map(PathBuf::from);
    let program = tools.map_or_else(|| "mkfs.erofs".into(), |t| t.join("mkfs.erofs"));
    File::create(output).unwrap();
    let mut command = Command::new(program);
    command
        .args(arguments.split_whitespace())
        .args(["-T0", "--all-root"]);
    command
        .arg(output)
        .arg(folder)
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}
