//! Each method against the bare sendfile loop, within one criterion run and interleaved: floor,
//! method, method, floor, so that whatever else the machine does hits both. What criterion is
//! given is not a time but a ratio: 1.03 means 3 % more than the floor, of the CPU time of the
//! sending thread or of the time on the wall.

use std::fs::File;
use std::time::{Duration, Instant};

use criterion::measurement::{Measurement, ValueFormatter};
use criterion::{Criterion, SamplingMode, Throughput, criterion_group, criterion_main};
use nix::sched::{CpuSet, sched_setaffinity};
use nix::sys::sendfile::sendfile64;
use nix::time::{ClockId, clock_gettime};
use nix::unistd::Pid;
use zc_bench::{Discard, cached_file};
use zc_core::{PIPE_BYTES_DEFAULT, PipePool, Progress, SendMethod, Transfer};

/// (name, bytes of one send, sends of one measurement)
const SIZES: [(&str, usize, usize); 4] = [
    ("4KiB", 4 << 10, 500),
    ("64KiB", 64 << 10, 200),
    ("1MiB", 1 << 20, 40),
    ("64MiB", 64 << 20, 1),
];
const METHODS: [(&str, SendMethod); 4] = [
    ("Sendfile", SendMethod::Sendfile),
    ("Auto", SendMethod::Auto),
    ("Splice", SendMethod::Splice),
    ("Copy", SendMethod::Copy),
];
/// A part of a cost.
type Part = fn(Cost) -> Duration;
const COSTS: [(&str, Part); 2] = [("cpu", |cost| cost.cpu), ("wall", |cost| cost.wall)];

/// What one measurement took.
#[derive(Clone, Copy)]
struct Cost {
    cpu: Duration,
    wall: Duration,
}

fn ratios(criterion: &mut Criterion<Ratio>) {
    let pipes = PipePool::new(1, PIPE_BYTES_DEFAULT);
    for (size_name, size, sends) in SIZES {
        let file = cached_file(size).expect("a temporary file");
        let mut group = criterion.benchmark_group(format!("ratio {size_name}"));
        group.sampling_mode(SamplingMode::Flat);
        for ((method_name, method), (cost_name, cost)) in METHODS
            .iter()
            .flat_map(|method| COSTS.iter().map(move |cost| (*method, *cost)))
        {
            // The thread that discards inherits the pin: another core than the sender's.
            pin(1);
            let discard = Discard::connect().expect("loopback");
            pin(0);
            let mut rounds = 0;
            let floor = || measure(sends, || bare_loop(&file, &discard, size));
            let ours = || {
                measure(sends, || {
                    let mut transfer = Transfer::new(&file, 0, size as u64)
                        .with_method(method)
                        .with_pipes(pipes.clone());
                    let progress = transfer.advance(&discard.socket, u64::MAX).expect("sent");
                    assert_eq!(progress, Progress::Complete);
                })
            };
            group.bench_function(format!("{method_name}, {cost_name}"), |bencher| {
                bencher.iter_custom(|iterations| {
                    let mut sum = 0.0;
                    for _ in 0..iterations {
                        let (first, second, third, fourth) = (floor(), ours(), ours(), floor());
                        let of_ours = cost(second) + cost(third);
                        sum += of_ours.as_secs_f64() / (cost(first) + cost(fourth)).as_secs_f64();
                        rounds += 1;
                    }
                    sum
                });
            });
            let sent = (size * sends * 4) as u64 * rounds;
            assert_eq!(discard.finish(), sent, "every byte arrived");
        }
        group.finish();
    }
}

fn bare_loop(file: &File, discard: &Discard, size: usize) {
    let mut offset = 0;
    while offset < size as i64 {
        let left = size - offset as usize;
        sendfile64(&discard.socket, file, Some(&mut offset), left).expect("sent");
    }
}

fn measure(sends: usize, mut send: impl FnMut()) -> Cost {
    let (cpu, wall) = (cpu_time(), Instant::now());
    for _ in 0..sends {
        send();
    }
    Cost {
        cpu: cpu_time() - cpu,
        wall: wall.elapsed(),
    }
}

fn cpu_time() -> Duration {
    Duration::from(clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).expect("every Linux has it"))
}

/// Keeps this thread on one core, where there is more than one and it is allowed.
fn pin(core: usize) {
    let mut cores = CpuSet::new();
    if cores.set(core).is_ok() {
        let _ = sched_setaffinity(Pid::from_raw(0), &cores);
    }
}

/// A measurement that is a ratio. All benchmarks here make their values themselves.
struct Ratio;

impl Measurement for Ratio {
    type Intermediate = ();
    type Value = f64;

    fn start(&self) {}

    fn end(&self, (): ()) -> f64 {
        0.0
    }

    fn add(&self, one: &f64, other: &f64) -> f64 {
        one + other
    }

    fn zero(&self) -> f64 {
        0.0
    }

    fn to_f64(&self, value: &f64) -> f64 {
        *value
    }

    fn formatter(&self) -> &dyn ValueFormatter {
        self
    }
}

impl ValueFormatter for Ratio {
    fn format_value(&self, value: f64) -> String {
        format!("{value:.3} x floor")
    }

    fn scale_values(&self, _typical: f64, _values: &mut [f64]) -> &'static str {
        "x floor"
    }

    fn scale_throughputs(&self, _: f64, _: &Throughput, _: &mut [f64]) -> &'static str {
        "x floor"
    }

    fn scale_for_machines(&self, _values: &mut [f64]) -> &'static str {
        "x floor"
    }
}

criterion_group! {
    name = benches;
    // Not of the groups: what a group is told, the command line cannot change.
    config = Criterion::default()
        .with_measurement(Ratio)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(4))
        .sample_size(40);
    targets = ratios
}
criterion_main!(benches);
