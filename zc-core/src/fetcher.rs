//! Waits for the disk so that a reactor does not have to.

use std::fs::{File, OpenOptions};
use std::io;
use std::ops::Range;
use std::os::fd::{AsFd, BorrowedFd};

use crate::copy::CopyBuffer;

/// The device that a range is sent to, so that its pages are read.
const NULL: &str = "/dev/null";

/// How much [`Fetcher::fetch_with`] reads between two calls of its callback, in bytes: the readahead that
/// Linux has by default.
const PIECE_BYTES: u64 = 128 << 10;

/// Reads ranges of files into the page cache, and waits for the disk.
///
/// Use it on threads of your own, so that a reactor does not wait: hand over the file and a range that is not
/// [`Hot`](crate::Residency::Hot), go on with other work, and send the range when the thread has told that
/// it was read. One fetcher serves any number of threads. At
/// [background priority](crate::set_background_priority) they hardly take a core from the reactor.
///
/// The kernel may evict pages again before they are sent: keep ranges to a few MiB.
///
/// ```
/// use std::sync::{Arc, mpsc};
/// use std::{fs::File, io, thread};
///
/// fn main() -> io::Result<()> {
///     let fetcher = zc_core::Fetcher::new()?;
///     let (ranges, queue) = mpsc::sync_channel::<(Arc<File>, std::ops::Range<u64>)>(64);
///     let reader = thread::spawn(move || {
///         let _ = zc_core::set_background_priority();
///         for (file, range) in queue {
///             // A reactor would be woken with the outcome.
///             println!("{:?}", fetcher.fetch(&file, range));
///         }
///     });
///     let file = Arc::new(File::open("Cargo.toml")?);
///     ranges.try_send((file, 0..1 << 20)).expect("the queue has room");
///     drop(ranges);
///     reader.join().expect("the reader does not panic");
///     Ok(())
/// }
/// ```
#[derive(Debug)]
pub struct Fetcher {
    /// `/dev/null`, for writing.
    null: File,
}

impl Fetcher {
    /// Opens `/dev/null`, to which ranges are sent.
    ///
    /// # Errors
    ///
    /// What opening `/dev/null` reports; the message names it.
    pub fn new() -> io::Result<Self> {
        let null = OpenOptions::new().write(true).open(NULL);
        let null = null.map_err(|error| {
            io::Error::new(error.kind(), format!("cannot open {NULL}: {error}"))
        })?;
        Ok(Self { null })
    }

    /// Waits until `range` of `file`, in bytes, has been read, or the file ends. Returns how many bytes were
    /// read. The disk is asked for the whole range at once, whatever the readahead setting; keep it to a few
    /// MiB. The range is sent to `/dev/null` by `sendfile(2)`, which copies nothing; where that is refused,
    /// it is read into a buffer.
    ///
    /// # Errors
    ///
    /// What `sendfile(2)` or `pread(2)` report of the file.
    pub fn fetch(&self, file: impl AsFd, range: Range<u64>) -> io::Result<u64> {
        read_into_page_cache(file.as_fd(), self.null.as_fd(), range, u64::MAX, |_| {})
    }

    /// As [`fetch`](Self::fetch), and tells `on_progress` how many bytes have been read so far: after each
    /// 128 KiB or less, and before the next are waited for. The disk is still asked for the whole range at
    /// once. With it, a slow disk can be told from one that does not answer.
    ///
    /// # Errors
    ///
    /// As [`fetch`](Self::fetch).
    pub fn fetch_with(
        &self,
        file: impl AsFd,
        range: Range<u64>,
        on_progress: impl FnMut(u64),
    ) -> io::Result<u64> {
        let (file, null) = (file.as_fd(), self.null.as_fd());
        read_into_page_cache(file, null, range, PIECE_BYTES, on_progress)
    }
}

/// Waits until `range` of `file` was read, or the file ended; answers how many bytes were read. Tells
/// `on_progress` the same after each `piece_bytes` or less.
///
/// This is the cheapest of the ways to do it. Measured on ext4, in windows of 2 MiB of files that were not
/// in memory, medians of 5 rounds on Linux 6.18: `sendfile` to `/dev/null` 42 ms of CPU
/// per GiB and 1,475 MB/s; `readahead` and a touch of each 128 KiB 262 ms and 1,276 MB/s;
/// `posix_fadvise(WILLNEED)` and the same touches 255 ms and 893 MB/s; `preadv` 1,114 ms and
/// 717 MB/s.
fn read_into_page_cache(
    file: BorrowedFd<'_>,
    null: BorrowedFd<'_>,
    range: Range<u64>,
    piece_bytes: u64,
    mut on_progress: impl FnMut(u64),
) -> io::Result<u64> {
    // The disk is asked for the whole range at once, and not for a readahead of 128 KiB at a time: a single
    // thread then read files of 64 MiB at 1.74 to 1.81 GB/s instead of 0.91 to 0.96. Where that is
    // refused, the readahead of the kernel is used.
    if !range.is_empty() {
        let bytes = usize::try_from(range.end - range.start).unwrap_or(usize::MAX);
        let _ = crate::platform::probe_and_readahead(file, range.start, bytes);
    }
    let mut offset = range.start;
    while offset < range.end {
        let count = piece_bytes.min(range.end - offset);
        match crate::sendfile::call(file, null, offset, count) {
            Ok(0) => break,
            Ok(count) => offset += count,
            Err(error) if crate::error::is_refusal(&error) => {
                let before = offset - range.start;
                let on_progress = |bytes| on_progress(before + bytes);
                offset += read_through(file, offset..range.end, on_progress)?;
                break;
            }
            Err(error) => return Err(error),
        }
        on_progress(offset - range.start);
    }
    Ok(offset - range.start)
}

/// The same by `pread` into a buffer.
fn read_through(
    file: BorrowedFd<'_>,
    range: Range<u64>,
    mut on_progress: impl FnMut(u64),
) -> io::Result<u64> {
    let mut buffer = CopyBuffer::new();
    let mut offset = range.start;
    while offset < range.end {
        match buffer.fill_at(file, offset, range.end - offset)? {
            0 => break,
            count => offset += count,
        }
        on_progress(offset - range.start);
    }
    Ok(offset - range.start)
}
