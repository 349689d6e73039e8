//! Threads that leave a core to others.

use std::io;

use crate::platform;

/// The most patient nice value.
const NICE_MAX: i32 = 19;
/// The longest slice that Linux gives, in nanoseconds.
const LONG_SLICE_NS: u64 = 100_000_000;

/// Makes the calling thread, and no other, one that waits for others anyway: that reads from a disk,
/// beside a thread with an event loop. It needs no privilege.
///
/// The thread takes the [nice value](https://man7.org/linux/man-pages/man7/sched.7.html) 19: beside a
/// thread of the nice value 0 that uses its core fully it gets 1.4 % of it, and all of one that is
/// free. And it asks for time slices of 100 ms, so that whoever has shorter ones goes before it at
/// once when it wakes up; Linux before 6.12 has no such thing, and ignores it.
///
/// A thread with another policy than `SCHED_OTHER` has been given it on purpose, and is left as it
/// is.
///
/// Without this, threads that wake up together after a disk was slow keep an event loop from running
/// for milliseconds, since each is owed as much as the loop.
///
/// # Errors
///
/// `EPERM` where a security module or a filter of system calls refuses it, `ENOSYS` on other systems
/// than Linux. See [`sched_setattr(2)`](https://man7.org/linux/man-pages/man2/sched_setattr.2.html).
pub fn set_patient() -> io::Result<()> {
    platform::schedule_thread(NICE_MAX, LONG_SLICE_NS)
}
