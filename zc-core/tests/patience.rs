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

/// The time slice of the calling thread in nanoseconds, where the kernel tells it.
fn slice_ns() -> Option<u64> {
    let told = fs::read_to_string("/proc/thread-self/sched").ok()?;
    let line = told.lines().find(|line| line.starts_with("se.slice"))?;
    line.split_once(':')?.1.trim().parse().ok()
}

/// Whether a thread may have a slice of its own: since Linux 6.12.
fn has_slices() -> bool {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
    let mut numbers = release.split(['.', '-']).map(|part| part.trim().parse());
    let mut next = || -> u32 { numbers.next().unwrap().unwrap() };
    (next(), next()) >= (6, 12)
}

fn in_thread<T: Send>(code: impl FnOnce() -> T + Send) -> T {
    thread::scope(|scope| scope.spawn(code).join().unwrap())
}

#[test]
fn a_patient_thread_is_idle_and_has_a_long_slice_and_no_other_becomes_it() {
    if PORTABLE {
        let error = set_patient().expect_err("not there");
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        return;
    }
    let before = (policy(), slice_ns());
    let (policy_inside, slice_inside) = in_thread(|| {
        set_patient().unwrap();
        (policy(), slice_ns())
    });
    assert_eq!(policy_inside, nix::libc::SCHED_IDLE);
    if slice_inside.is_some() && has_slices() {
        assert_eq!(slice_inside, Some(100_000_000));
    }
    assert_eq!((policy(), slice_ns()), before);
}
