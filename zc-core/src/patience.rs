//! Threads that leave a core to others.

use std::io;

use crate::platform;

/// Makes the calling thread, and no other, one that waits for others anyway: that reads from a disk,
/// beside a thread with an event loop. It needs no privilege.
///
/// The thread gets the policy
/// [`SCHED_IDLE`](https://man7.org/linux/man-pages/man7/sched.7.html): beside a thread that uses its
/// core fully it has 0.3 % of it, and all of one that is free. What it asks of a disk waits for nobody
/// because of that: it has the
/// [priority](https://man7.org/linux/man-pages/man2/ioprio_set.2.html) that others have, unless one was
/// chosen for it.
///
/// A thread with another policy than `SCHED_OTHER` has been given it on purpose, and is left as it
/// is.
///
/// Without this, threads that wake up together after a disk was slow keep an event loop from running
/// for milliseconds, since each is owed as much as the loop. With the nice value 19 it still was
/// 0.5 ms, once in 100 times, beside 32 of them; with this policy it is 0.25 ms.
///
/// # Errors
///
/// `EPERM` where a security module or a filter of system calls refuses it, `ENOSYS` on other systems
/// than Linux. See [`sched_setattr(2)`](https://man7.org/linux/man-pages/man2/sched_setattr.2.html).
pub fn set_patient() -> io::Result<()> {
    // First: a thread of that policy asks for what nobody else asks for, until this is done.
    platform::keep_disk_priority()?;
    platform::schedule_idle()
}
