//! Background priority for I/O threads.

mod common;

use std::fs;
use std::io::ErrorKind;
use std::thread;

use common::PORTABLE;
use nix::libc::SCHED_BATCH;
use zc_core::{set_background_priority, set_batch_priority, set_event_loop_priority};

/// The scheduling policy and the nice value of the calling thread: the 41st and the 19th field of `stat` in
/// proc(5).
fn policy_and_nice() -> (i32, i32) {
    let stat = fs::read_to_string("/proc/thread-self/stat").unwrap();
    // The name in parentheses may have spaces.
    let (_, rest) = stat.rsplit_once(')').unwrap();
    let field = |number: usize| rest.split_whitespace().nth(number - 3).unwrap().parse();
    (field(41).unwrap(), field(19).unwrap())
}

fn in_thread<T: Send>(code: impl FnOnce() -> T + Send) -> T {
    thread::scope(|scope| scope.spawn(code).join().unwrap())
}

#[test]
fn priorities_are_of_the_calling_thread_alone() {
    let before = policy_and_nice();
    for (set, expected) in [
        (set_background_priority as fn() -> _, (SCHED_BATCH, 19)),
        (set_batch_priority, (SCHED_BATCH, before.1)),
        (set_event_loop_priority, before),
    ] {
        let inside = in_thread(|| set().map(|()| policy_and_nice()));
        if PORTABLE {
            let error = inside.expect_err("not there");
            assert_eq!(error.kind(), ErrorKind::Unsupported);
        } else {
            assert_eq!(inside.expect("no privilege is needed"), expected);
        }
        assert_eq!(policy_and_nice(), before);
    }
}
