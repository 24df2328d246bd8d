//! How long checking takes: the smallest example, and 10,000 lines in 200 files.
#![allow(missing_docs)]

use criterion::{Criterion, criterion_group, criterion_main};
use nos_specs::{NoFiles, check};
use std::collections::BTreeMap;
use std::hint::black_box;

const HELLO: &str = include_str!("../../examples/hello/hello.nos");

/// A spec of 200 files of 50 lines: each file has five services, and one host runs them all.
fn large() -> (String, BTreeMap<String, String>) {
    let mut files = BTreeMap::new();
    let mut spec = String::new();
    let mut services = Vec::new();
    for file in 0..199 {
        let mut text = String::new();
        for number in 0..5 {
            let port = 1000 + file * 5 + number;
            text.push_str(&format!(
                "# Service {number} of file {file}.\nservice s-{file}-{number} {{\n  \
                 packages = [\"nginx\", \"ca-certificates\"]\n  \
                 files = {{ \"/etc/app.conf\" = text(\"port ${{{port}}}\") }}\n  \
                 run = [\"/usr/bin/app\", \"--port\", \"{port}\"]\n  \
                 listen = [tcp({port})]\n  health = http({port}, within = 5s)\n  \
                 restart = on-failure\n}}\n\n"
            ));
            services.push(format!("f{file}.s-{file}-{number}"));
        }
        files.insert(format!("part/f{file}.nos"), text);
        spec.push_str(&format!("use part.f{file}\n"));
    }
    spec.push_str(&format!(
        "host all {{\n  services = [\n{}\n  ]\n}}\n",
        services.join("\n")
    ));
    (spec, files)
}

fn benches(criterion: &mut Criterion) {
    criterion.bench_function("check hello", |bencher| {
        bencher.iter(|| check("hello.nos", black_box(HELLO), &NoFiles));
    });
    let (spec, files) = large();
    let lines = spec.lines().count() + files.values().map(|f| f.lines().count()).sum::<usize>();
    assert!(lines >= 10_000, "{lines}");
    assert!(!check("all.nos", &spec, &files).has_errors());
    criterion.bench_function("check 10,000 lines in 200 files", |bencher| {
        bencher.iter(|| check("all.nos", black_box(&spec), &files));
    });
    let text: String = files.values().map(String::as_str).collect();
    criterion.bench_function("format 10,000 lines", |bencher| {
        bencher.iter(|| nos_specs::fmt::format(black_box(&text)));
    });
}

criterion_group!(all, benches);
criterion_main!(all);
