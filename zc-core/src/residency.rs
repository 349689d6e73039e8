//! Whether a range of a file is in the page cache, found out without waiting for the disk.

use std::io;
use std::ops::Range;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::OnceLock;

/// The smallest page of any Linux machine, in bytes: two offsets in one such block share a page.
const PAGE_BYTES_MIN: u64 = 4096;

/// The most that [`Residency::prefetch`] and [`Residency::probe_or_prefetch`] request from the disk, in
/// bytes. The kernel allocates the pages during the call, which takes about 15 µs for each 64 KiB.
pub const PREFETCH_BYTES: u64 = 256 << 10;

/// The buffer that bytes are thrown away into.
const SCRATCH_BYTES: usize = 16 << 10;
/// From one place to the next, of a long range in which pages that are being read are looked for: less than
/// what a readahead reads at a time.
const STRIDE_BYTES: usize = 64 << 10;

/// Whether a range of a file is in the page cache, as far as that can be found out without waiting.
#[must_use]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Residency {
    /// Both ends are in memory: a send will probably not wait for the disk.
    Hot,
    /// An end is not in memory: a send would wait for the disk.
    Cold,
    /// The kernel or the filesystem refuses the probe, or the file ends before the range does. Treat it as
    /// cold.
    Unknown,
}

impl Residency {
    /// Probes whether the first and the last byte of `range` of `file`, in bytes, are in memory.
    ///
    /// The result is an estimate: pages between the ends may be absent, and any page may be evicted
    /// afterwards. A send of a hot range may therefore still wait. Probe a few MiB at most.
    ///
    /// A probe does not wait for the bytes. It costs about 1 µs for each end that is in memory. A probe of an
    /// absent byte makes the kernel start to read a few pages there: the same probe may soon answer `Hot`,
    /// with the rest of the range still absent. That read takes a place in the queue of the device. Where
    /// all places are taken (usually 64 to 1,023, see `nr_requests` in
    /// [queue-sysfs](https://docs.kernel.org/block/queue-sysfs.html)), the probe waits for one: bound
    /// the reads that are begun and not over, and [`peek`](Self::peek) beyond that bound.
    ///
    /// A filesystem that refuses probes (tmpfs and `/proc` do, at least up to Linux 6.18) always refuses
    /// them, so callers may remember that and not probe again. But a truncated file gives
    /// [`Unknown`](Self::Unknown) too: wait for that result from more than one file of a filesystem.
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

    /// Looks whether all of `range` of `file` is in memory, and not being read. It causes no read, except where
    /// a page is evicted during the call.
    ///
    /// Use it in place of [`probe`](Self::probe) for a device that answers late or not at all. It
    /// [peeks](Self::peek), and then looks for pages that are being read: of a range of up to
    /// [`PREFETCH_BYTES`] at every page, which costs about as much as copying it; of a longer one at every
    /// 64 KiB, which costs about 10 µs for each MiB.
    pub fn probe_whole(file: impl AsFd, range: Range<u64>) -> Self {
        let file = file.as_fd();
        let bytes = range.end.saturating_sub(range.start);
        match Self::peek(file, range.clone()) {
            Self::Hot if bytes <= PREFETCH_BYTES => Self::read_and_discard(file, range),
            Self::Hot => {
                let mut places = (range.start..range.end - 1).step_by(STRIDE_BYTES);
                let probed = places.find_map(|place| {
                    let probed = Self::probe_byte(file, place);
                    (probed != Self::Hot).then_some(probed)
                });
                probed.unwrap_or_else(|| Self::probe_byte(file, range.end - 1))
            }
            other => other,
        }
    }

    /// Reads the range as far as it is in memory. The bytes are thrown away.
    fn read_and_discard(file: BorrowedFd<'_>, range: Range<u64>) -> Self {
        let mut scratch = [0; SCRATCH_BYTES];
        let mut offset = range.start;
        while offset < range.end {
            let bytes = (range.end - offset) as usize;
            match crate::platform::preadv2_nowait_discarding(file, &mut scratch, offset, bytes) {
                Ok(0) => return Self::Unknown,
                Ok(count) => offset += count as u64,
                Err(error) => return Self::from_read(Err(error)),
            }
        }
        Self::Hot
    }

    /// Looks whether every page of `range` of `file`, in bytes, is in the page cache, and causes no read.
    ///
    /// Use it where a probe could wait: the read that a [`probe`](Self::probe) begins waits for a place in
    /// the queue of the device, which may be full. [`Hot`](Self::Hot) includes pages that are being read: to
    /// tell these, probe afterwards. [`Cold`](Self::Cold) means that at least one page is absent.
    ///
    /// It costs about 0.4 µs and 17 ns for each page of 4 KiB. The kernel answers only a process that owns the
    /// file or may write to it, or is root; other processes get [`Unknown`](Self::Unknown), and so do all
    /// before Linux 6.5.
    pub fn peek(file: impl AsFd, range: Range<u64>) -> Self {
        if range.is_empty() {
            return Self::Hot;
        }
        let page_bytes = page_bytes();
        let pages = (range.end - 1) / page_bytes - range.start / page_bytes + 1;
        let bytes = range.end - range.start;
        match crate::platform::cached_pages(file.as_fd(), range.start, bytes) {
            Ok(cached) if cached >= pages => Self::Hot,
            Ok(_) => Self::Cold,
            Err(_) => Self::Unknown,
        }
    }

    /// [Probes](Self::probe) a range that is expected to be cold. If an end of it is absent, the kernel
    /// begins at once to read up to [`PREFETCH_BYTES`] of the range, instead of the few pages of a probe.
    /// A later read of the range then waits for one disk request.
    ///
    /// If the range is in memory after all, this costs about 2.5 µs more than a probe; see
    /// [`probe_or_prefetch`](Self::probe_or_prefetch).
    pub fn prefetch(file: impl AsFd, range: Range<u64>) -> Self {
        if range.is_empty() {
            return Self::Hot;
        }
        let file = file.as_fd();
        let bytes = (range.end - range.start).min(PREFETCH_BYTES);
        let bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
        match Self::from_read(crate::platform::probe_and_readahead(
            file,
            range.start,
            bytes,
        )) {
            Self::Hot => Self::probe_byte(file, range.end - 1).prefetch_if_cold(file, range),
            Self::Cold => Self::Cold,
            // A filesystem may refuse the whole call because of the page that cannot be written to.
            Self::Unknown => Self::probe(file, range),
        }
    }

    /// [Probes](Self::probe) a range that is expected to be hot. If an end of it is absent, the kernel
    /// begins to read up to [`PREFETCH_BYTES`] of it. If it is in memory, this costs no more than a probe.
    ///
    /// See `POSIX_FADV_WILLNEED` in
    /// [`posix_fadvise(2)`](https://man7.org/linux/man-pages/man2/posix_fadvise.2.html).
    pub fn probe_or_prefetch(file: impl AsFd, range: Range<u64>) -> Self {
        let file = file.as_fd();
        Self::probe(file, range.clone()).prefetch_if_cold(file, range)
    }

    /// Has the kernel begin to read a range that a probe found absent.
    fn prefetch_if_cold(self, file: BorrowedFd<'_>, range: Range<u64>) -> Self {
        if self == Self::Cold {
            let bytes = (range.end - range.start).min(PREFETCH_BYTES);
            // Where it is refused, the later read of the range starts the disk.
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

/// The length of a page of this machine, in bytes.
fn page_bytes() -> u64 {
    static PAGE_BYTES: OnceLock<u64> = OnceLock::new();
    *PAGE_BYTES.get_or_init(|| {
        let told = nix::unistd::sysconf(nix::unistd::SysconfVar::PAGE_SIZE);
        let told = told.ok().flatten().and_then(|bytes| bytes.try_into().ok());
        told.unwrap_or(PAGE_BYTES_MIN)
    })
}

/// Reads bytes of `file` from `offset` on into `buffer`, as far as they are in the page cache; returns how
/// many.
///
/// A short count means that the file ends there, or that the next byte is not in memory: a call that starts
/// at that byte then fails. The file position is neither used nor moved.
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
