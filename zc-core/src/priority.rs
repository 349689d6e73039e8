//! Priorities of an event loop and of the I/O threads beside it.

use std::io;

use crate::platform::{self, Scheduling};

/// The lowest priority of ordinary threads.
const NICE_MAX: i32 = 19;

/// The shortest slice that the scheduler grants, in ns.
const SLICE_NS: u64 = 100_000;

/// Gives the calling thread, and no other, background priority. Use it for I/O threads that wait for the disk
/// most of the time and share cores with an event loop. It needs no privilege.
///
/// * CPU: the scheduling policy becomes
///   [`SCHED_BATCH`](https://man7.org/linux/man-pages/man7/sched.7.html) and the nice value 19. Beside a
///   thread of the usual priority that uses its core fully, the calling thread gets 1.5 % of that core; on
///   a free core it gets all of it.
/// * Disk: the [I/O priority](https://man7.org/linux/man-pages/man2/ioprio_set.2.html) stays that of
///   other threads, so reads are not delayed. An I/O priority that was chosen for the thread is kept.
///
/// A thread whose policy is not `SCHED_OTHER` keeps it: somebody chose that policy on purpose. A priority
/// cannot be raised again without privilege.
///
/// Without it, I/O threads that wake up together after a slow read delay an event loop on their core by
/// milliseconds, because the scheduler owes each of them as much as the loop. `SCHED_IDLE` would delay the
/// loop a little less, and starve the threads beside other programs: beside two busy threads on its core, work
/// of 8 ms took 4.5 s with `SCHED_IDLE`, 0.75 to 0.92 s with this priority and 0.025 s with the usual one.
///
/// # Errors
///
/// `EPERM` where a security module or a seccomp filter refuses it, `ENOSYS` on other systems than
/// Linux. See [`sched_setattr(2)`](https://man7.org/linux/man-pages/man2/sched_setattr.2.html).
pub fn set_background_priority() -> io::Result<()> {
    // First: the I/O priority follows the nice value otherwise.
    platform::pin_io_priority()?;
    platform::set_scheduling(Scheduling::Batch { nice: NICE_MAX })
}

/// Gives the calling thread, and no other, the scheduling policy
/// [`SCHED_BATCH`](https://man7.org/linux/man-pages/man7/sched.7.html): it keeps its share of the CPU, and
/// does not interrupt other threads when it wakes up. Use it for I/O threads that also compute, such as for
/// directory listings. It needs no privilege. A thread whose policy is not `SCHED_OTHER` keeps it.
///
/// # Errors
///
/// As [`set_background_priority`].
pub fn set_batch_priority() -> io::Result<()> {
    platform::set_scheduling(Scheduling::Batch { nice: i32::MIN })
}

/// Asks the scheduler for the shortest slices, 0.1 ms, for the calling thread and no other. Use it for an
/// event loop: it then gets a core sooner when it wakes up, and its share of the CPU stays the same. It
/// needs no privilege, and has an effect since Linux 6.12. A thread whose policy is not `SCHED_OTHER` keeps
/// its slices.
///
/// # Errors
///
/// As [`set_background_priority`].
pub fn set_event_loop_priority() -> io::Result<()> {
    platform::set_scheduling(Scheduling::Slice { ns: SLICE_NS })
}
