//! The directory of the server's file cache: one look-up for each request.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use zc_server::bench::Directory;

fn directory(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("cache directory");
    group.throughput(Throughput::Elements(1));
    for count in [1, 100, 10_000] {
        let paths: Vec<Vec<u8>> = (0..count)
            .map(|index| format!("assets/images/{index}.jpg").into_bytes())
            .collect();
        let mut directory = Directory::new(count);
        for _ in 0..2 {
            for path in &paths {
                directory.insert(path);
            }
        }
        assert!(paths.iter().all(|path| directory.is_missing(path)));
        assert!(!directory.is_missing(b"assets/images"));
        let mut next = (0..count).cycle();
        group.bench_function(format!("hit among {count}"), |bencher| {
            bencher.iter(|| {
                let path = &paths[next.next().expect("endless")];
                assert!(directory.is_missing(black_box(path)));
            });
        });
        group.bench_function(format!("miss among {count}"), |bencher| {
            bencher.iter(|| assert!(!directory.is_missing(black_box(b"assets/images/no.jpg"))));
        });
    }
    group.finish();
}

criterion_group!(benches, directory);
criterion_main!(benches);
