//! The store beside the floor of its machine: `cargo bench -p nos-store`.
//!
//! The tree has 20,000 small files in 1,500 folders, 124 MB together; the large file has 1 GiB.
//! Both and the stores are made under `NOS_BENCH_DIR` (default: the folder for temporary files).
//! Put it on a tmpfs or a journalled ext4: ext4 without a journal makes many files 15 times slower.
#![allow(clippy::unwrap_used, missing_docs)]

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use nos_store::{
    ActionResult, Blob, ImportOptions, KeyBuilder, Output, RootTarget, Store, VerifyOptions,
};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

const FILES: u32 = 20_000;
const FOLDERS: u32 = 1_500;
const GIB: usize = 1 << 30;

/// A fixed sequence of numbers that look random.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        self.0 >> 16
    }

    fn fill(&mut self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(4) {
            let n = self.next().to_le_bytes();
            chunk.copy_from_slice(&n[..chunk.len()]);
        }
    }
}

fn make_tree(root: &Path) {
    let mut numbers = Numbers(1);
    for i in 0..FILES {
        let folder = root.join(format!("{:02}/{:03}", i % FOLDERS % 30, i % FOLDERS));
        std::fs::create_dir_all(&folder).unwrap();
        // Mostly small, a few large, 6.2 kB on average.
        let size =
            200 + numbers.next() % 4000 + (numbers.next() % 20) / 19 * (numbers.next() % 160_000);
        let mut bytes = vec![0; usize::try_from(size).unwrap()];
        numbers.fill(&mut bytes);
        std::fs::write(folder.join(format!("file-{i}.c")), bytes).unwrap();
    }
}

fn make_large(path: &Path) {
    let mut numbers = Numbers(2);
    let mut file = std::fs::File::create(path).unwrap();
    let mut chunk = vec![0; 1 << 20];
    for _ in 0..GIB >> 20 {
        numbers.fill(&mut chunk);
        file.write_all(&chunk).unwrap();
    }
}

fn fresh(base: &Path) -> (tempfile::TempDir, Store) {
    let dir = tempfile::tempdir_in(base).unwrap();
    let store = Store::options().durable(false).open(dir.path()).unwrap();
    (dir, store)
}

fn settle() {
    // Files are remembered only once they are three seconds old.
    std::thread::sleep(Duration::from_secs(4));
}

fn benches(c: &mut Criterion) {
    let base = std::env::var_os("NOS_BENCH_DIR").map_or_else(std::env::temp_dir, PathBuf::from);
    let sources = tempfile::tempdir_in(&base).unwrap();
    let (tree, large) = (sources.path().join("tree"), sources.path().join("large"));
    make_tree(&tree);
    make_large(&large);
    settle();
    let options = ImportOptions::default();
    let add = |store: &Store| {
        let imported = store.import_folder(&tree, &options).unwrap();
        store.add_tree(&imported).unwrap()
    };

    let mut group = c.benchmark_group("20,000 files");
    group.sample_size(10);
    group.bench_function("add", |b| {
        b.iter_batched(
            || fresh(&base),
            |(dir, store)| (add(&store), dir, store),
            BatchSize::PerIteration,
        );
    });
    let (dir, store) = fresh(&base);
    let digest = add(&store);
    group.bench_function("add again, unchanged", |b| b.iter(|| add(&store)));
    group.bench_function("add again, read again", |b| {
        let no_cache = ImportOptions {
            no_cache: true,
            ..ImportOptions::default()
        };
        b.iter(|| store.import_folder(&tree, &no_cache).unwrap());
    });
    group.bench_function("read the tree's listing", |b| {
        b.iter(|| store.read_tree(&digest).unwrap())
    });
    group.finish();

    let mut group = c.benchmark_group("1 GiB");
    group.sample_size(10);
    group.bench_function("add", |b| {
        b.iter_batched(
            || fresh(&base),
            |(dir, store)| (store.add_file(&large).unwrap(), dir, store),
            BatchSize::PerIteration,
        );
    });
    group.finish();

    let big: Blob = store.add_file(&large).unwrap();
    let mut group = c.benchmark_group("tree and 1 GiB");
    group.sample_size(10);
    group.bench_function("verify", |b| {
        b.iter(|| {
            store
                .verify(&VerifyOptions::default(), &mut |_| {})
                .unwrap()
        });
    });
    group.finish();

    let key = KeyBuilder::new("bench/1").text("name", "x").finish();
    let mut result = ActionResult::with_output("tree", Output::Tree(digest));
    result.outputs.insert("large".into(), Output::Object(big));
    store.put_result(&key, &result).unwrap();
    store.set_root("bench", &[RootTarget::Result(key)]).unwrap();
    c.bench_function("open", |b| b.iter(|| Store::open(dir.path()).unwrap()));
    c.bench_function("open and find one result", |b| {
        b.iter(|| Store::open(dir.path()).unwrap().result(&key).unwrap());
    });
    c.bench_function("find one result", |b| {
        b.iter(|| store.result(&key).unwrap())
    });
    c.bench_function("key of ten fields", |b| {
        b.iter(|| {
            (0..10)
                .fold(KeyBuilder::new("bench/1"), |k, i| k.number("i", i))
                .finish()
        });
    });
}

criterion_group!(all, benches);
criterion_main!(all);
