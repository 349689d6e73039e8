//! I/O threads, which wait for the disk so that a reactor does not have to.

use std::any::Any;
use std::collections::VecDeque;
use std::fs::{File, OpenOptions};
use std::ops::Range;
use std::os::fd::{AsFd, BorrowedFd};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::{fmt, io};

use crate::copy::CopyBuffer;
use crate::priority::set_background_priority;

/// The device that a range is sent to, so that its pages are read.
const NULL: &str = "/dev/null";

/// How much [`Fetcher::fetch_with`] reads between two calls of its callback, in bytes: the readahead that
/// Linux has by default.
const PIECE_BYTES: u64 = 128 << 10;

/// I/O threads that read ranges of files into the page cache and then call back.
///
/// Use it for ranges that are not [`Hot`](crate::Residency::Hot): hand over the file and the range, go on
/// with other work, and send the range after the callback. A thread sends the range to `/dev/null` by
/// `sendfile(2)`, which waits for each page and copies none. Where a filesystem refuses that, the thread
/// reads the range into a buffer.
///
/// The kernel may evict pages again before they are sent: keep ranges to a few MiB.
///
/// The threads run at [background priority](set_background_priority): they do not take a core from a
/// reactor.
///
/// Dropping the pool waits for the ranges that are being read, and for their callbacks. The callbacks of
/// ranges still in the queue get an error of kind [`Interrupted`](io::ErrorKind::Interrupted). Every
/// callback is called.
pub struct DiskPool {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

/// A range was not queued, because the queue is full. It gives everything back.
pub struct QueueFull<F, D> {
    /// The file, as it was handed over.
    pub file: F,
    /// The range, in bytes.
    pub range: Range<u64>,
    /// The callback, not called.
    pub done: D,
}

/// What the threads and the pool share.
struct Shared {
    queue: Mutex<Queue>,
    /// Notified when a job arrives and when the pool stops.
    changed: Condvar,
    /// Invariant: at least 1, and never exceeded by `queue.jobs`.
    queue_max: usize,
    fetcher: Fetcher,
}

struct Queue {
    jobs: VecDeque<Job>,
    stopping: bool,
}

struct Job {
    file: Box<dyn AsFd + Send>,
    range: Range<u64>,
    done: Box<dyn FnOnce(io::Result<u64>) + Send>,
}

/// Reads ranges of files into the page cache, and waits for the disk.
///
/// Use it on threads of your own, in place of a [`DiskPool`].
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

impl DiskPool {
    /// A pool of `threads` threads, with a queue of at most `queue_max` ranges. Each thread reads one range at
    /// a time.
    ///
    /// # Errors
    ///
    /// `InvalidInput` when either number is 0, and what opening `/dev/null` or starting a thread
    /// reports.
    pub fn new(threads: usize, queue_max: usize) -> io::Result<Self> {
        if threads == 0 || queue_max == 0 {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "a disk pool needs at least one thread and one place in its queue",
            ));
        }
        let shared = Arc::new(Shared {
            queue: Mutex::new(Queue {
                jobs: VecDeque::new(),
                stopping: false,
            }),
            changed: Condvar::new(),
            queue_max,
            fetcher: Fetcher::new()?,
        });
        // Made before its threads: when one cannot be started, the drop ends those that were.
        let mut pool = Self {
            shared,
            threads: Vec::new(),
        };
        for index in 0..threads {
            let shared = Arc::clone(&pool.shared);
            let thread = thread::Builder::new()
                .name(format!("zc-disk-{index}"))
                .spawn(move || shared.work())?;
            pool.threads.push(thread);
        }
        Ok(pool)
    }

    /// Queues `range` of `file`, in bytes, to be read into the page cache, and then calls `done`.
    ///
    /// `done` gets the number of bytes that were read, which is less than requested when the file ends
    /// earlier, or the error of `sendfile(2)` or `pread(2)`. It is called exactly once, after `file` was
    /// dropped: on a thread of the pool; or on the thread that drops the pool, if the range is still queued
    /// then. It must not block, since that thread is needed for the disk: wake your reactor and return. A
    /// panic of `done` is caught, and shows only in the panic hook.
    ///
    /// This call does not block, apart from a short lock. Ranges are read in order.
    ///
    /// # Errors
    ///
    /// [`QueueFull`] gives everything back when `queue_max` ranges are queued: send anyway and wait for the
    /// disk, or try again after a callback.
    pub fn fetch<F, D>(&self, file: F, range: Range<u64>, done: D) -> Result<(), QueueFull<F, D>>
    where
        F: AsFd + Send + 'static,
        D: FnOnce(io::Result<u64>) + Send + 'static,
    {
        let mut queue = self.shared.lock();
        if queue.jobs.len() >= self.shared.queue_max {
            return Err(QueueFull { file, range, done });
        }
        queue.jobs.push_back(Job {
            file: Box::new(file),
            range,
            done: Box::new(done),
        });
        drop(queue);
        self.shared.changed.notify_one();
        Ok(())
    }

    /// Ranges in the queue; those being read do not count.
    #[must_use]
    pub fn queued(&self) -> usize {
        self.shared.lock().jobs.len()
    }
}

impl Drop for DiskPool {
    fn drop(&mut self) {
        let waiting = {
            let mut queue = self.shared.lock();
            queue.stopping = true;
            std::mem::take(&mut queue.jobs)
        };
        self.shared.changed.notify_all();
        for job in waiting {
            job.cancel();
        }
        let current = thread::current().id();
        for thread in self.threads.drain(..) {
            // A callback may own the pool and drop it: its thread cannot join itself, and ends soon.
            if thread.thread().id() != current {
                // The threads catch every panic, so there is none to pass on.
                let _ = thread.join();
            }
        }
    }
}

impl Shared {
    /// No code of a caller runs under the lock, so a poisoned one is still consistent.
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The loop of a thread.
    fn work(&self) {
        // Where it is refused, the threads run at the usual priority.
        let _ = set_background_priority();
        while let Some(job) = self.next() {
            job.run(&self.fetcher);
        }
    }

    /// Waits for a job; `None` when the pool stops.
    fn next(&self) -> Option<Job> {
        let mut queue = self
            .changed
            .wait_while(self.lock(), |queue| {
                queue.jobs.is_empty() && !queue.stopping
            })
            .unwrap_or_else(PoisonError::into_inner);
        queue.jobs.pop_front()
    }
}

impl Job {
    fn run(self, fetcher: &Fetcher) {
        let Self { file, range, done } = self;
        let result = catch_panic(|| {
            let result = fetcher.fetch(file.as_fd(), range);
            drop(file);
            result
        });
        call_back(done, result.unwrap_or_else(|_| Err(descriptor_panicked())));
    }

    fn cancel(self) {
        let Self { file, done, .. } = self;
        // A panic of the drop changes nothing for the callback.
        let _ = catch_panic(|| drop(file));
        let stopped = io::Error::new(io::ErrorKind::Interrupted, "the disk pool was dropped");
        call_back(done, Err(stopped));
    }
}

fn call_back(done: Box<dyn FnOnce(io::Result<u64>) + Send>, result: io::Result<u64>) {
    // The panic hook has reported it; there is nobody else to tell.
    let _ = catch_panic(|| done(result));
}

/// Runs code of a caller, whose panic must not end the thread. Nothing that the code touched is used
/// afterwards, so no broken invariant is seen.
fn catch_panic<T>(code: impl FnOnce() -> T) -> Result<T, Box<dyn Any + Send>> {
    catch_unwind(AssertUnwindSafe(code))
}

fn descriptor_panicked() -> io::Error {
    io::Error::other("the owner of the file descriptor panicked")
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

impl fmt::Debug for DiskPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DiskPool")
            .field("threads", &self.threads.len())
            .field("queued", &self.queued())
            .field("queue_max", &self.shared.queue_max)
            .finish_non_exhaustive()
    }
}

impl<F, D> fmt::Debug for QueueFull<F, D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("QueueFull")
            .field("range", &self.range)
            .finish_non_exhaustive()
    }
}

impl<F, D> fmt::Display for QueueFull<F, D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the queue of the disk pool is full")
    }
}

impl<F, D> std::error::Error for QueueFull<F, D> {}
