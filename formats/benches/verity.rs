//! How fast dm-verity trees are made and checked: `cargo bench -p nos-formats --bench verity`.
#![allow(missing_docs, clippy::unwrap_used)]

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use nos_formats::verity::{Builder, Salt, compute, verify};

fn bench(c: &mut Criterion) {
    const SIZE: usize = 256 << 20;
    let data: Vec<u8> = (0..SIZE / 4)
        .flat_map(|i| (i as u32).to_le_bytes())
        .collect();
    let area = {
        let mut builder = Builder::new(Salt::default());
        builder.update(&data);
        builder.finish().unwrap()
    };
    let image = [&data[..], &area.bytes].concat();
    let read_at = |offset: u64, buffer: &mut [u8]| {
        buffer.copy_from_slice(&image[offset as usize..][..buffer.len()]);
        Ok(())
    };
    let mut group = c.benchmark_group("verity");
    group.throughput(Throughput::Bytes(SIZE as u64));
    group.sample_size(10);
    for threads in [1, 2] {
        group.bench_function(format!("stream/{threads}"), |b| {
            b.iter(|| {
                let mut builder = Builder::new(Salt::default()).threads(threads);
                for chunk in data.chunks(8 << 20) {
                    builder.update(chunk);
                }
                builder.finish().unwrap()
            });
        });
        group.bench_function(format!("compute/{threads}"), |b| {
            b.iter(|| compute(&read_at, SIZE as u64, Salt::default(), threads).unwrap());
        });
        group.bench_function(format!("verify/{threads}"), |b| {
            b.iter(|| verify(&read_at, &area.params, &area.root_hash, threads, &|_| {}).unwrap());
        });
    }
    group.finish();
}

criterion_group!(benches, bench);
criterion_main!(benches);
