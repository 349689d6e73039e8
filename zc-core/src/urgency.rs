//! Which threads get a core first when several want it.

use std::io;

use crate::platform;

/// How soon a thread that has become ready wants to run, beside others of the same program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Urgency {
    /// It answers many who wait: a thread with an event loop. It asks the scheduler for time slices
    /// of 0.1 ms, and so for its turn before threads that ask for longer ones. The share of the core
    /// that it may use stays the same. Linux before 6.12 has no such thing, and ignores it.
    Prompt,
    /// It waits for others anyway: a thread that reads from a disk. It takes the
    /// [nice value](https://man7.org/linux/man-pages/man7/sched.7.html) 19: beside threads of the
    /// nice value 0 that use a core fully it gets 1.4 % of it, and all of one that is free.
    Patient,
}

/// The shortest slice that Linux gives, in nanoseconds.
const SHORT_SLICE_NS: u64 = 100_000;
/// What makes the slice that of the system again, for a thread that inherited another.
const DEFAULT_SLICE: u64 = 0;
/// The most patient nice value.
const NICE_MAX: i32 = 19;

/// Makes the calling thread, and no other, prompt or patient. It needs no privilege.
///
/// A thread with another policy than `SCHED_OTHER` has been given it on purpose, and is left as it
/// is. For a prompt thread the nice value stays what it was.
///
/// Without it, threads that wake up together after a disk was slow keep an event loop from running
/// for milliseconds, since each is owed as much as the loop.
///
/// # Errors
///
/// `EPERM` where a security module or a filter of system calls refuses it, `ENOSYS` on other systems
/// than Linux. See [`sched_setattr(2)`](https://man7.org/linux/man-pages/man2/sched_setattr.2.html).
pub fn set_urgency(urgency: Urgency) -> io::Result<()> {
    match urgency {
        Urgency::Prompt => platform::schedule_thread(None, Some(SHORT_SLICE_NS)),
        Urgency::Patient => platform::schedule_thread(Some(NICE_MAX), Some(DEFAULT_SLICE)),
    }
}
