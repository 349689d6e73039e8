//! Waiting for the disk by io_uring, without threads.

use std::fmt;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use io_uring::IoUring;
use nix::sys::eventfd::{EfdFlags, EventFd};

/// Entries of the submission queue. Each entry is submitted at once, so few are needed.
const ENTRIES: u32 = 4;

/// Reports when uncached data has been loaded into the page cache, by
/// [io_uring](https://man7.org/linux/man-pages/man7/io_uring.7.html) and without a thread.
///
/// Use it for ranges that [`Residency::prefetch`](crate::Residency::prefetch) found absent and began to
/// read. [Submit](Self::submit) a read of the last byte of the range, go on with other work, and send the
/// range when [`next_completion`](Self::next_completion) returns its tag. A disk may read the parts of a
/// range in any order, so a send may still wait for a short time, as it may after each probe.
///
/// The descriptor of [`AsFd`] becomes readable (as an edge) when there is a completion. It need not be read.
///
/// Dropping the ring abandons the reads in flight.
///
/// # Example
///
/// ```
/// # use std::io::Write;
/// use zc_core::{DiskRing, Residency};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let mut file = tempfile::tempfile()?;
/// # file.write_all(b"bytes")?;
/// // Refused in many containers: use threads there.
/// let Ok(mut ring) = DiskRing::new(64) else {
///     return Ok(());
/// };
/// if Residency::prefetch(&file, 0..5) != Residency::Hot {
///     ring.submit(&file, 4, 1)?;
///     // A reactor would wait for the descriptor of the ring among others.
///     let completion = loop {
///         if let Some(completion) = ring.next_completion() {
///             break completion;
///         }
///     };
///     assert_eq!(completion.tag, 1);
///     completion.result?;
/// }
/// # Ok(())
/// # }
/// ```
pub struct DiskRing {
    ring: IoUring,
    /// Written to by the kernel when there is a completion.
    event: EventFd,
    /// Whether a thread has begun to use it.
    is_enabled: bool,
    in_flight: u32,
    in_flight_max: u32,
}

/// The end of one read that was [submitted](DiskRing::submit) to a [`DiskRing`].
#[derive(Debug)]
pub struct Completion {
    /// The number that the caller passed to [`submit`](DiskRing::submit).
    pub tag: u64,
    /// `Ok` when the byte is in memory, or the file ends before it. An error is that of the disk.
    pub result: io::Result<()>,
}

impl DiskRing {
    /// A ring with at most `in_flight_max` reads in flight, 1 to 65,536. Only the thread that submits the
    /// first read may use it from then on.
    ///
    /// # Errors
    ///
    /// `EPERM` or `ENOSYS` where io_uring is refused, as in containers with the usual seccomp filter, or
    /// with the sysctl
    /// [`kernel.io_uring_disabled`](https://docs.kernel.org/admin-guide/sysctl/kernel.html#io-uring-disabled);
    /// `EINVAL` where the kernel is older than Linux 6.1, or `in_flight_max` is 0 or more than 65,536;
    /// and what `eventfd(2)` reports.
    pub fn new(in_flight_max: u32) -> io::Result<Self> {
        if in_flight_max == 0 {
            return Err(io::Error::from_raw_os_error(nix::libc::EINVAL));
        }
        // Completions are then processed in calls of ours alone, and interrupt nothing.
        let ring = IoUring::builder()
            .setup_single_issuer()
            .setup_defer_taskrun()
            .setup_taskrun_flag()
            .setup_r_disabled()
            .setup_cqsize(in_flight_max.max(ENTRIES))
            .build(ENTRIES)?;
        let event = EventFd::from_flags(EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK)?;
        ring.submitter()
            .register_eventfd(event.as_fd().as_raw_fd())?;
        Ok(Self {
            ring,
            event,
            is_enabled: false,
            in_flight: 0,
            in_flight_max,
        })
    }

    /// Submits a read of the byte at `offset` of `file`, in bytes. [`next_completion`](Self::next_completion)
    /// returns `tag` when that byte is in memory, or cannot be read. The file may be closed meanwhile. This
    /// is one system call, which does not wait.
    ///
    /// # Errors
    ///
    /// `WouldBlock` when `in_flight_max` reads are in flight, and what
    /// [`io_uring_enter(2)`](https://man7.org/linux/man-pages/man2/io_uring_enter.2.html) reports. A
    /// completion of the tag may come even after such an error.
    pub fn submit(&mut self, file: impl AsFd, offset: u64, tag: u64) -> io::Result<()> {
        if self.in_flight >= self.in_flight_max {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        if !self.is_enabled {
            self.ring.submitter().register_enable_rings()?;
            self.is_enabled = true;
        }
        crate::sys::submit_probe_read(&mut self.ring, file.as_fd(), offset, tag)?;
        self.in_flight += 1;
        self.ring.submit().map(drop)
    }

    /// The next read that has ended, in any order; `None` if there is none. Never waits.
    pub fn next_completion(&mut self) -> Option<Completion> {
        if self.ring.submission().taskrun() {
            // Where it fails, the next call tries again.
            let _ = self.ring.submit();
        }
        let entry = self.ring.completion().next()?;
        self.in_flight = self.in_flight.saturating_sub(1);
        let result = match entry.result() {
            error @ ..0 => Err(io::Error::from_raw_os_error(-error)),
            _ => Ok(()),
        };
        Some(Completion {
            tag: entry.user_data(),
            result,
        })
    }
}

impl AsFd for DiskRing {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.event.as_fd()
    }
}

impl fmt::Debug for DiskRing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DiskRing")
            .field("in_flight", &self.in_flight)
            .field("in_flight_max", &self.in_flight_max)
            .finish_non_exhaustive()
    }
}
