//! Is a range of a file in the page cache? Asked without waiting for the disk.

use std::io;
use std::ops::Range;
use std::os::fd::{AsFd, BorrowedFd};

/// The smallest page of any Linux machine, in bytes: two offsets in one such block share a page.
const PAGE_BYTES_MIN: u64 = 4096;

/// As much as [`Residency::request`] has the kernel read at once, in bytes. It makes the pages on the
/// caller's time, which takes about 15 µs for each 64 KiB.
pub const REQUEST_BYTES: u64 = 256 << 10;

/// Whether a range of a file is in the page cache, as far as one can tell without waiting.
#[must_use]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Residency {
    /// Both ends are in memory: a send will probably not wait for the disk.
    Hot,
    /// An end is not in memory: a send would wait for the disk.
    Cold,
    /// Nobody can say: the kernel or the filesystem refuses the question, or the file ends before
    /// the range does. To be treated as not hot.
    Unknown,
}

impl Residency {
    /// Looks whether the first and the last byte of `range` of `file`, in bytes, are in memory.
    ///
    /// It is a guess from both ends: pages between them may be absent, and any page may be evicted
    /// afterwards, so a send of a hot range may still wait. Ask for windows of a few MiB at most.
    /// Asking costs about 1 µs in all per end that is in memory, and no wait otherwise; but asking
    /// about a byte that is absent makes the kernel start reading a few pages there, so that the
    /// same question may have another answer soon, with the rest of the range still absent.
    ///
    /// A filesystem that refuses the question once (tmpfs and `/proc` do, at least up to Linux
    /// 6.18) always will: callers may remember that for it and not ask again. A file that was
    /// truncated is [`Unknown`](Self::Unknown) too, so the memory should be of the filesystem
    /// only if more than one file of it says so.
    ///
    /// An empty range is [`Hot`](Self::Hot): there is nothing to wait for.
    ///
    /// See `RWF_NOWAIT` in [`preadv2(2)`](https://man7.org/linux/man-pages/man2/readv.2.html).
    pub fn probe(file: impl AsFd, range: Range<u64>) -> Self {
        if range.is_empty() {
            return Self::Hot;
        }
        let file = file.as_fd();
        let last = range.end - 1;
        if range.start / PAGE_BYTES_MIN != last / PAGE_BYTES_MIN {
            let first = Self::probe_byte(file, range.start);
            if first != Self::Hot {
                return first;
            }
        }
        Self::probe_byte(file, last)
    }

    /// [Looks](Self::probe) at a range that is believed not to be in memory: where an end of it is not,
    /// the kernel begins at once to read as much of the range as [`REQUEST_BYTES`], instead of the few
    /// pages of a look. Whoever then waits for the range waits for one request of the disk.
    ///
    /// Asking about a byte that is in memory costs about 2.5 µs more than a look.
    pub fn request(file: impl AsFd, range: Range<u64>) -> Self {
        if range.is_empty() {
            return Self::Hot;
        }
        let file = file.as_fd();
        let bytes = (range.end - range.start).min(REQUEST_BYTES);
        let bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
        match Self::from_read(crate::platform::probe_and_readahead(
            file,
            range.start,
            bytes,
        )) {
            Self::Hot => Self::probe_byte(file, range.end - 1).prefetch_if_cold(file, range),
            Self::Cold => Self::Cold,
            // A filesystem may refuse the whole call for what cannot be written to.
            Self::Unknown => Self::probe(file, range),
        }
    }

    /// [Looks](Self::probe) at a range that is believed to be in memory; where it is not, the kernel
    /// begins to read as much of it as [`REQUEST_BYTES`]. It costs no more than a look where it is.
    ///
    /// See `POSIX_FADV_WILLNEED` in
    /// [`posix_fadvise(2)`](https://man7.org/linux/man-pages/man2/posix_fadvise.2.html).
    pub fn probe_or_request(file: impl AsFd, range: Range<u64>) -> Self {
        let file = file.as_fd();
        Self::probe(file, range.clone()).prefetch_if_cold(file, range)
    }

    /// Has the kernel begin to read a range that a probe found absent.
    fn prefetch_if_cold(self, file: BorrowedFd<'_>, range: Range<u64>) -> Self {
        if self == Self::Cold {
            let bytes = (range.end - range.start).min(REQUEST_BYTES);
            // Where it is refused, whoever waits for the range has it read.
            let _ = crate::platform::fadvise_willneed(file, range.start, bytes);
        }
        self
    }

    fn probe_byte(file: impl AsFd, offset: u64) -> Self {
        let count = crate::platform::preadv2_nowait(file, &mut [0], offset);
        Self::from_read(count.map(|count| count > 0))
    }

    fn from_read(is_read: io::Result<bool>) -> Self {
        match is_read {
            // The file ends here; or it is Linux 5.9 or 5.10, which may say so of an absent page.
            Ok(false) => Self::Unknown,
            Ok(true) => Self::Hot,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Self::Cold,
            Err(_) => Self::Unknown,
        }
    }
}

/// Reads bytes of `file` from `offset` on into `buffer`, as far as they are in the page cache, and
/// answers how many.
///
/// Fewer than there is room for means that the file ends there, or that what follows is not in
/// memory: the next call then fails. The file position is neither used nor moved.
///
/// # Errors
///
/// `WouldBlock` when the first byte is not in memory, and what
/// [`preadv2(2)`](https://man7.org/linux/man-pages/man2/readv.2.html) reports: `Unsupported` where
/// the filesystem or the kernel cannot tell what is in memory, or the system is not Linux.
pub fn read_resident(file: impl AsFd, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    let file = file.as_fd();
    let mut done = 0;
    while done < buffer.len() {
        match crate::platform::preadv2_nowait(file, &mut buffer[done..], offset + done as u64) {
            Ok(0) => break,
            Ok(count) => done += count,
            Err(_) if done > 0 => break,
            Err(error) => return Err(error),
        }
    }
    Ok(done)
}
