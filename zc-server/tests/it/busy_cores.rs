//! A machine whose cores are busy with other programs: the threads that list directories get their share.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use crate::harness::Server;

const FILES: usize = 3000;
const HOGS_PER_CORE: usize = 2;

/// How long a thread waited for a core, over how long it had one. With two busy threads a core it is about
/// 2 at the usual priority, and about 700 with `SCHED_IDLE`, whose weight is 3 of 1,024. Other tests that run
/// meanwhile add to it.
const WAIT_MAX: u64 = 100;

/// The time that the threads which look up and list have had a core, and that they waited for one, in
/// nanoseconds.
fn times(server: &Server) -> (u64, u64) {
    let tasks = std::fs::read_dir(format!("/proc/{}/task", server.pid())).expect("our child");
    let (mut ran, mut waited) = (0, 0);
    for task in tasks {
        let task = task.expect("a thread").path();
        let name = std::fs::read_to_string(task.join("comm")).expect("a name");
        if name.starts_with("zc-disk") {
            let told = std::fs::read_to_string(task.join("schedstat")).expect("its times");
            let mut numbers = told
                .split(' ')
                .map(|number| number.parse::<u64>().expect("ns"));
            ran += numbers.next().expect("a time");
            waited += numbers.next().expect("a time");
        }
    }
    (ran, waited)
}

/// Ends the busy threads, also when the test panics.
struct Hogs<'f>(&'f AtomicBool);

impl Drop for Hogs<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn a_listing_is_made_beside_busy_programs() {
    let server = Server::start(&[]);
    for index in 0..FILES {
        server.write(&format!("dir/{index}"), b"");
    }
    let is_over = AtomicBool::new(false);
    let cores = thread::available_parallelism().expect("cores").get();
    let (before, listed, after) = thread::scope(|scope| {
        for _ in 0..HOGS_PER_CORE * cores {
            scope.spawn(|| {
                while !is_over.load(Ordering::Relaxed) {
                    std::hint::spin_loop();
                }
            });
        }
        let _hogs = Hogs(&is_over);
        let before = times(&server);
        let listed = server.get("/dir/").status;
        (before, listed, times(&server))
    });
    assert_eq!(listed, 200);
    let (ran, waited) = (after.0 - before.0, after.1 - before.1);
    assert!(ran > 0, "they have listed");
    assert!(
        waited < WAIT_MAX * ran,
        "ran {ran} ns, waited {waited} ns for a core"
    );
    println!("ran {ran} ns, waited {waited} ns for a core");
}
