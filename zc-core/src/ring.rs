//! io_uring in place of threads that wait for the disk.

use std::fmt;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use io_uring::IoUring;
use nix::sys::eventfd::{EfdFlags, EventFd};

/// Entries on their way into the kernel: each is handed over at once.
const ENTRIES: u32 = 4;

/// Tells when bytes of files have come into the page cache, without a thread that waits for them:
/// [io_uring](https://man7.org/linux/man-pages/man7/io_uring.7.html), used for that alone.
///
/// For ranges of which [`Residency::request`](crate::Residency::request) has told that they are not
/// in memory, and whose reading it has begun: [watch](Self::watch) the last byte, go on with other
/// work, and send when [`take`](Self::take) tells of it. What a disk has in several pieces may come
/// in any order: a send may still wait for a short time, as it may after each look.
///
/// The descriptor of [`AsFd`] becomes readable, as an edge, when there is something to take. Its
/// counter need not be read.
///
/// Dropping it forgets what is watched.
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
/// // Refused in many containers: threads are the other way.
/// let Ok(mut ring) = DiskRing::new(64) else {
///     return Ok(());
/// };
/// if Residency::request(&file, 0..5) != Residency::Hot {
///     ring.watch(&file, 4, 1)?;
///     // A reactor would wait for the descriptor of the ring among others.
///     let told = loop {
///         if let Some(told) = ring.take() {
///             break told;
///         }
///     };
///     assert_eq!(told.tag, 1);
///     told.result?;
/// }
/// # Ok(())
/// # }
/// ```
pub struct DiskRing {
    ring: IoUring,
    /// Written to by the kernel when the ring has something.
    event: EventFd,
    /// Whether a thread has begun to use it.
    is_enabled: bool,
    watched: u32,
    watched_max: u32,
}

/// What a [`DiskRing`] tells of a byte that it was to watch.
#[derive(Debug)]
pub struct Told {
    /// The number that the caller gave it.
    pub tag: u64,
    /// Whether it is in memory now; success too where the file has ended before it. An error is that
    /// of the disk.
    pub result: io::Result<()>,
}

impl DiskRing {
    /// A ring that watches at most `watched_max` bytes at a time. The thread that watches the first one
    /// is the only one that it serves; others are refused from then on.
    ///
    /// # Errors
    ///
    /// `EPERM` or `ENOSYS` where io_uring is refused, as in containers with the usual filter of system
    /// calls, or with the sysctl
    /// [`kernel.io_uring_disabled`](https://docs.kernel.org/admin-guide/sysctl/kernel.html#io-uring-disabled);
    /// `EINVAL` where the kernel is older than Linux 6.1, or `watched_max` is 0 or more than 65,536;
    /// and what `eventfd(2)` reports.
    pub fn new(watched_max: u32) -> io::Result<Self> {
        if watched_max == 0 {
            return Err(io::Error::from_raw_os_error(nix::libc::EINVAL));
        }
        // What has ended is then noticed in calls of ours alone, and interrupts nothing.
        let ring = IoUring::builder()
            .setup_single_issuer()
            .setup_defer_taskrun()
            .setup_taskrun_flag()
            .setup_r_disabled()
            .setup_cqsize(watched_max.max(ENTRIES))
            .build(ENTRIES)?;
        let event = EventFd::from_flags(EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK)?;
        ring.submitter()
            .register_eventfd(event.as_fd().as_raw_fd())?;
        Ok(Self {
            ring,
            event,
            is_enabled: false,
            watched: 0,
            watched_max,
        })
    }

    /// Has [`take`](Self::take) tell of `tag` when the byte at `offset` of `file` is in memory, or
    /// cannot be read. The file may be closed meanwhile. One system call, which does not wait.
    ///
    /// # Errors
    ///
    /// `WouldBlock` when as many as allowed are watched, and what
    /// [`io_uring_enter(2)`](https://man7.org/linux/man-pages/man2/io_uring_enter.2.html) reports. A
    /// tag that an error was told of may be told of later all the same.
    pub fn watch(&mut self, file: impl AsFd, offset: u64, tag: u64) -> io::Result<()> {
        if self.watched >= self.watched_max {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        if !self.is_enabled {
            self.ring.submitter().register_enable_rings()?;
            self.is_enabled = true;
        }
        crate::sys::push_read_of_a_byte(&mut self.ring, file.as_fd(), offset, tag)?;
        self.watched += 1;
        self.ring.submit().map(drop)
    }

    /// What has ended next, in any order; `None` where nothing has for now. Never waits.
    pub fn take(&mut self) -> Option<Told> {
        if self.ring.submission().taskrun() {
            // Where it fails, the next call tries again.
            let _ = self.ring.submit();
        }
        let ended = self.ring.completion().next()?;
        self.watched = self.watched.saturating_sub(1);
        let result = match ended.result() {
            error @ ..0 => Err(io::Error::from_raw_os_error(-error)),
            _ => Ok(()),
        };
        Some(Told {
            tag: ended.user_data(),
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
            .field("watched", &self.watched)
            .field("watched_max", &self.watched_max)
            .finish_non_exhaustive()
    }
}
