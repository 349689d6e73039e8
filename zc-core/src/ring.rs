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
/// range when [`next_completion`](Self::next_completion) gives it back. A disk may read the parts of a
/// range in any order, so a send may still wait for a short time, as it may after each probe.
///
/// `R` has the descriptor of the file, and anything else that tells the caller what the read is for. The
/// ring keeps it until the read is over, so that its descriptor cannot become that of another file.
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
///     ring.submit(file, 4)?;
///     // A reactor would wait for the descriptor of the ring among others.
///     let completion = loop {
///         if let Some(completion) = ring.next_completion() {
///             break completion;
///         }
///     };
///     completion.result?;
///     let file = completion.read;
/// }
/// # Ok(())
/// # }
/// ```
pub struct DiskRing<R> {
    ring: IoUring,
    /// Written to by the kernel when there is a completion.
    event: EventFd,
    /// Whether a thread has begun to use it.
    is_enabled: bool,
    /// The reads in flight, each at the place that its entry has as its number.
    reads: Vec<Option<R>>,
    /// Places of `reads` without one.
    vacant: Vec<usize>,
    in_flight_max: u32,
}

/// The end of one read that was [submitted](DiskRing::submit) to a [`DiskRing`].
#[derive(Debug)]
pub struct Completion<R> {
    /// What the caller passed to [`submit`](DiskRing::submit).
    pub read: R,
    /// `Ok` when the byte is in memory, or the file ends before it. An error is that of the disk.
    pub result: io::Result<()>,
}

impl<R: AsFd> DiskRing<R> {
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
            reads: Vec::new(),
            vacant: Vec::new(),
            in_flight_max,
        })
    }

    /// Submits a read of the byte at `offset` of the file of `read`, in bytes.
    /// [`next_completion`](Self::next_completion) gives `read` back when that byte is in memory, or cannot be
    /// read. This is one system call, which does not wait.
    ///
    /// # Errors
    ///
    /// `WouldBlock` when `in_flight_max` reads are in flight, and what
    /// [`io_uring_enter(2)`](https://man7.org/linux/man-pages/man2/io_uring_enter.2.html) reports. After
    /// the latter the ring may have kept `read`: its completion may come all the same, or never.
    pub fn submit(&mut self, read: R, offset: u64) -> io::Result<()> {
        if self.in_flight() >= self.in_flight_max as usize {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        if !self.is_enabled {
            self.ring.submitter().register_enable_rings()?;
            self.is_enabled = true;
        }
        let place = self.vacant.last().copied().unwrap_or(self.reads.len());
        crate::sys::submit_probe_read(&mut self.ring, read.as_fd(), offset, place as u64)?;
        if self.vacant.pop().is_some() {
            self.reads[place] = Some(read);
        } else {
            self.reads.push(Some(read));
        }
        self.ring.submit().map(drop)
    }

    fn in_flight(&self) -> usize {
        self.reads.len() - self.vacant.len()
    }

    /// The next read that has ended, in any order; `None` if there is none. Never waits.
    pub fn next_completion(&mut self) -> Option<Completion<R>> {
        if self.ring.submission().taskrun() {
            // Where it fails, the next call tries again.
            let _ = self.ring.submit();
        }
        let entry = self.ring.completion().next()?;
        let place = usize::try_from(entry.user_data()).ok()?;
        let read = self.reads.get_mut(place)?.take()?;
        self.vacant.push(place);
        let result = match entry.result() {
            error @ ..0 => Err(io::Error::from_raw_os_error(-error)),
            _ => Ok(()),
        };
        Some(Completion { read, result })
    }
}

impl<R> AsFd for DiskRing<R> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.event.as_fd()
    }
}

impl<R> fmt::Debug for DiskRing<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DiskRing")
            .field("in_flight", &(self.reads.len() - self.vacant.len()))
            .field("in_flight_max", &self.in_flight_max)
            .finish_non_exhaustive()
    }
}
