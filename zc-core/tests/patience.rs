//! Threads that leave a core to others.

mod common;

use std::fs;
use std::io::ErrorKind;
use std::thread;

use common::PORTABLE;
use zc_core::set_patient;

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
fn a_patient_thread_is_idle_and_no_other_becomes_it() {
    if PORTABLE {
        let error = set_patient().expect_err("not there");
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        return;
    }
    let before = policy();
    let inside = in_thread(|| {
        set_patient().unwrap();
        policy()
    });
    assert_eq!(inside, nix::libc::SCHED_IDLE);
    assert_eq!(policy(), before);
}
