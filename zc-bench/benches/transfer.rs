//! A file to a loopback socket whose peer discards: each method and size, beside a bare loop.

use std::time::Duration;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use zc_bench::{Discard, cached_file};
use zc_core::{Method, Progress, Transfer};

const SIZES: [(&str, usize); 3] = [("64KiB", 64 << 10), ("1MiB", 1 << 20), ("64MiB", 64 << 20)];

fn transfer(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("transfer");
    group
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2))
        .sample_size(10);
    for (name, size) in SIZES {
        let file = cached_file(size).expect("a temporary file");
        group.throughput(Throughput::Bytes(size as u64));
        group.bench_function(BenchmarkId::new("bare sendfile loop", name), |bencher| {
            let discard = Discard::connect().expect("loopback");
            let mut total = 0;
            bencher.iter(|| {
                let mut offset = 0;
                while offset < size as u64 {
                    let left = size as u64 - offset;
                    offset +=
                        zc_core::sendfile(&file, &discard.socket, offset, left).expect("sent");
                }
                total += offset;
            });
            assert_eq!(discard.finish(), total);
        });
        for (method_name, method) in [("Sendfile", Method::Sendfile), ("Copy", Method::Copy)] {
            group.bench_function(BenchmarkId::new(method_name, name), |bencher| {
                let discard = Discard::connect().expect("loopback");
                let mut total = 0;
                bencher.iter(|| {
                    let mut transfer = Transfer::new(&file, 0, size as u64).with_method(method);
                    let progress = transfer.advance(&discard.socket, u64::MAX).expect("sent");
                    assert_eq!(progress, Progress::Complete);
                    total += transfer.report().bytes();
                });
                assert_eq!(discard.finish(), total);
            });
        }
    }
    group.finish();
}

criterion_group!(benches, transfer);
criterion_main!(benches);
