//! Background priority for I/O threads.

mod common;

use std::fs;
use std::io::ErrorKind;
use std::thread;

use common::PORTABLE;
use zc_core::set_background_priority;

/// The scheduling policy of the calling thread: the 41st field of `stat` in proc(5).
fn policy() -> i32 {
    let stat = fs::read_to_string("/proc/thread-self/stat").unwrap();
    // The name in parentheses may have spaces.
    let (_, rest) = stat.rsplit_once(')').unwrap();
    rest.split_whitespace().nth(38).unwrap().parse().unwrap()
}

fn in_thread<T: Send>(code: impl FnOnce() -> T + Send) -> T {
    thread::scope(|scope| scope.spawn(code).join().unwrap())
}

#[test]
fn background_priority_is_sched_idle_for_the_calling_thread_alone() {
    if PORTABLE {
        let error = set_background_priority().expect_err("not there");
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        return;
    }
    let before = policy();
    let inside = in_thread(|| {
        set_background_priority().unwrap();
        policy()
    });
    assert_eq!(inside, nix::libc::SCHED_IDLE);
    assert_eq!(policy(), before);
}
