//! Each method against the bare sendfile loop, interleaved: floor, method, method, floor, and so
//! on, so that whatever else the machine does hits both. What is compared is the CPU time of the
//! sending thread and the time on the wall; what is printed, the median of the ratios by round.

use std::fs::File;
use std::time::{Duration, Instant};

use nix::sched::{CpuSet, sched_setaffinity};
use nix::sys::sendfile::sendfile64;
use nix::time::{ClockId, clock_gettime};
use nix::unistd::Pid;
use zc_bench::{Discard, cached_file};
use zc_core::{Method, PIPE_BYTES_DEFAULT, PipePool, Progress, Transfer};

/// (name, bytes of one send, sends of one measurement, rounds)
const SIZES: [(&str, usize, usize, usize); 4] = [
    ("4KiB", 4 << 10, 500, 41),
    ("64KiB", 64 << 10, 200, 41),
    ("1MiB", 1 << 20, 40, 41),
    ("64MiB", 64 << 20, 1, 41),
];
const METHODS: [(&str, Method); 4] = [
    ("Sendfile", Method::Sendfile),
    ("Auto", Method::Auto),
    ("Splice", Method::Splice),
    ("Copy", Method::Copy),
];

/// What one measurement took.
#[derive(Clone, Copy)]
struct Cost {
    cpu: Duration,
    wall: Duration,
}

fn main() {
    pin(1);
    let pipes = PipePool::new(1, PIPE_BYTES_DEFAULT);
    println!("ratios to a bare sendfile loop, interleaved: median (first to third quartile)");
    for (size_name, size, sends, rounds) in SIZES {
        let file = cached_file(size).expect("a temporary file");
        for (method_name, method) in METHODS {
            // The thread that discards inherits the pin: another core than the sender's.
            pin(1);
            let discard = Discard::connect().expect("loopback");
            pin(0);
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
            let mut cpu = Vec::with_capacity(rounds);
            let mut wall = Vec::with_capacity(rounds);
            for _ in 0..rounds {
                let (first, second, third, fourth) = (floor(), ours(), ours(), floor());
                cpu.push(ratio(second.cpu + third.cpu, first.cpu + fourth.cpu));
                wall.push(ratio(second.wall + third.wall, first.wall + fourth.wall));
            }
            let sent = (size * sends * rounds * 4) as u64;
            assert_eq!(discard.finish(), sent, "every byte arrived");
            println!(
                "{size_name:>6} {method_name:<9} cpu {}  wall {}",
                spread(&mut cpu),
                spread(&mut wall)
            );
        }
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

fn ratio(ours: Duration, floor: Duration) -> f64 {
    ours.as_secs_f64() / floor.as_secs_f64()
}

fn spread(ratios: &mut [f64]) -> String {
    ratios.sort_by(f64::total_cmp);
    let at = |part: usize| ratios[(ratios.len() - 1) * part / 4];
    format!("{:.3} ({:.3} to {:.3})", at(2), at(1), at(3))
}
