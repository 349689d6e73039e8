//! A file to a loopback socket whose peer discards: each method and size, beside a bare loop.

use std::time::Duration;

use criterion::{Bencher, Criterion, Throughput, criterion_group, criterion_main};
use nix::sys::sendfile::sendfile64;
use zc_bench::{Discard, cached_file};
use zc_core::{PIPE_BYTES_DEFAULT, PipePool, Progress, SendMethod, Transfer};

const SIZES: [(&str, usize); 4] = [
    ("4KiB", 4 << 10),
    ("64KiB", 64 << 10),
    ("1MiB", 1 << 20),
    ("64MiB", 64 << 20),
];
const METHODS: [(&str, SendMethod); 4] = [
    ("Sendfile", SendMethod::Sendfile),
    ("Auto", SendMethod::Auto),
    ("Splice", SendMethod::Splice),
    ("Copy", SendMethod::Copy),
];
/// What one `advance` may send, in bytes: everything, or the turn of a shared reactor.
const BUDGETS: [(&str, u64); 2] = [("whole", u64::MAX), ("256KiB turns", 256 << 10)];

fn transfer(criterion: &mut Criterion) {
    let pipes = PipePool::new(1, PIPE_BYTES_DEFAULT);
    for (size_name, size) in SIZES {
        let mut group = criterion.benchmark_group(format!("transfer {size_name}"));
        group.throughput(Throughput::Bytes(size as u64));
        let file = cached_file(size).expect("a temporary file");
        group.bench_function("floor: bare sendfile loop", |bencher| {
            measure(bencher, size, |discard| {
                let mut offset = 0;
                while offset < size as i64 {
                    let left = size - offset as usize;
                    sendfile64(&discard.socket, &file, Some(&mut offset), left).expect("sent");
                }
            });
        });
        for ((method_name, method), (budget_name, budget)) in METHODS
            .iter()
            .flat_map(|method| BUDGETS.iter().map(move |budget| (*method, *budget)))
        {
            // Below its size a budget changes nothing.
            if budget != u64::MAX && budget >= size as u64 {
                continue;
            }
            group.bench_function(format!("{method_name}, {budget_name}"), |bencher| {
                measure(bencher, size, |discard| {
                    let mut transfer = Transfer::new(&file, 0, size as u64)
                        .with_method(method)
                        .with_pipes(pipes.clone());
                    while transfer.advance(&discard.socket, budget).expect("sent")
                        != Progress::Complete
                    {}
                    assert_eq!(transfer.report().bytes(), size as u64);
                });
            });
        }
        group.finish();
    }
}

/// Times `send`, and asserts that the peer got `size` bytes of each run of it.
fn measure(bencher: &mut Bencher<'_>, size: usize, mut send: impl FnMut(&Discard)) {
    let discard = Discard::connect().expect("loopback");
    let mut runs = 0;
    bencher.iter(|| {
        send(&discard);
        runs += 1;
    });
    assert_eq!(discard.finish(), runs * size as u64);
}

criterion_group! {
    name = benches;
    // Not of the groups: what a group is told, the command line cannot change.
    config = Criterion::default()
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(2))
        .sample_size(20);
    targets = transfer
}
criterion_main!(benches);
