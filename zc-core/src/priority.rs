//! Background priority for the threads that wait for a disk.

use std::io;

use crate::platform;

/// Gives the calling thread, and no other, background priority. Use it for I/O threads that share cores
/// with an event loop. It needs no privilege.
///
/// * CPU: the scheduling policy becomes
///   [`SCHED_IDLE`](https://man7.org/linux/man-pages/man7/sched.7.html). Beside a thread that uses its
///   core fully, the calling thread gets 0.3 % of that core; on a free core it gets all of it.
/// * Disk: the [I/O priority](https://man7.org/linux/man-pages/man2/ioprio_set.2.html) stays that of
///   other threads, so reads are not delayed. An I/O priority that was chosen for the thread is kept.
///
/// A thread whose policy is not `SCHED_OTHER` keeps it: somebody chose that policy on purpose.
///
/// Without it, I/O threads that wake up together after a slow read delay an event loop on their core by
/// milliseconds, because the scheduler owes each of them as much as the loop. Measured beside 32 I/O
/// threads, the delay was 0.5 ms once in 100 times with the nice value 19, and 0.25 ms with this policy.
///
/// # Errors
///
/// `EPERM` where a security module or a seccomp filter refuses it, `ENOSYS` on other systems than
/// Linux. See [`sched_setattr(2)`](https://man7.org/linux/man-pages/man2/sched_setattr.2.html).
pub fn set_background_priority() -> io::Result<()> {
    // First: the I/O priority of a `SCHED_IDLE` thread defaults to the idle class, which is served last.
    platform::pin_io_priority()?;
    platform::set_sched_idle()
}
