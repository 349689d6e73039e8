//! Threads that wait for the disk, so that no worker does.
//!
//! A pool of closures, fair between mounts. Who submits one goes on, and holds a [`JobHandle`]: dropping it
//! cancels the job, unless the job has [committed](CancelToken::commit) itself. A cancelled job that has not
//! begun leaves the queue at once, with all that it holds. A job tells its outcome by its own means. A thread
//! is started when there is work and none is idle.

mod queue;

use std::cell::Cell;
use std::fs::File;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::{fmt, io, thread};

use zc_core::Fetcher;

pub(crate) use queue::Key;
use queue::{FairQueue, JobId, Place, Running};

/// What threads are for, which decides their priority beside workers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// Reading files: they wait for the disk nearly all the time, and when they wake up together no worker has
    /// to wait for them.
    Read,
    /// Everything else: looking up, listing, sending, closing. That takes CPU time as well, which they get
    /// beside other programs.
    Other,
    /// Checking passwords, which takes nothing but CPU time.
    Check,
}

impl Role {
    fn thread_name(self) -> &'static str {
        match self {
            Self::Read => "zc-read",
            Self::Other => "zc-disk",
            Self::Check => "zc-auth",
        }
    }

    fn set_priority(self) -> io::Result<()> {
        match self {
            Self::Read => zc_core::set_background_priority(),
            Self::Other | Self::Check => zc_core::set_batch_priority(),
        }
    }
}

/// The threads. They end when it is dropped, each after the job that it has.
pub(crate) struct Disk(Arc<Shared>);

/// What the threads have to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct DiskState {
    /// Jobs that wait for a thread.
    pub(crate) queued: u64,
    /// Threads that were started.
    pub(crate) threads: u64,
    /// Those of them that have a job.
    pub(crate) busy: u64,
    /// Jobs that were refused so far.
    pub(crate) refused: u64,
}

struct Shared {
    queue: Mutex<Queue>,
    /// Notified when a job arrives, when one ends, and when the threads are to end.
    changed: Condvar,
    fetcher: Fetcher,
    role: Role,
    refused: AtomicU64,
}

struct Queue {
    jobs: FairQueue<Job>,
    stopping: bool,
    threads_max: usize,
    /// Threads that were started; none ends before the server does.
    threads: usize,
    /// Those of them that wait for work, or have not begun to look for it.
    idle: usize,
}

/// What a thread does: it is lent what reads files, and told whether the job was cancelled.
type Work = Box<dyn FnOnce(&Fetcher, &CancelToken) + Send>;

enum Job {
    Submitted {
        work: Work,
        token: CancelToken,
    },
    /// A descriptor whose closing may wait.
    Close(File),
}

/// Its mount has as many jobs in the queue as it may have.
#[derive(Debug)]
pub(crate) struct QueueFull;

/// Whether a job is to be done: the one that submitted it decides, until the job commits itself. And how far
/// the job has come.
#[derive(Debug, Clone, Default)]
pub(crate) struct CancelToken(Arc<JobState>);

#[derive(Debug, Default)]
struct JobState {
    state: AtomicU8,
    progress: AtomicU64,
}

/// The job is in the queue.
const WAITING: u8 = 0;
/// A thread has it.
const TAKEN: u8 = 1;
const COMMITTED: u8 = 2;
const CANCELLED: u8 = 3;

impl CancelToken {
    /// From here on the job is not cancelled any more. False when it was.
    pub(crate) fn commit(&self) -> bool {
        self.set(COMMITTED, |state| state != CANCELLED).is_ok()
    }

    /// The job has come further: who waits for it may go on waiting.
    pub(crate) fn on_progress(&self) {
        self.0.progress.fetch_add(1, Ordering::Release);
    }

    /// Whether nobody waits for the job any more: it may end where it stands.
    pub(crate) fn is_cancelled(&self) -> bool {
        self.0.state.load(Ordering::Acquire) == CANCELLED
    }

    /// A thread begins with the job. False when it was cancelled.
    fn take(&self) -> bool {
        self.set(TAKEN, |state| state == WAITING).is_ok()
    }

    /// Cancels the job. Answers what its state was, as an error when it cannot be cancelled.
    fn cancel(&self) -> Result<u8, u8> {
        self.set(CANCELLED, |state| state != COMMITTED)
    }

    fn set(&self, state: u8, is_allowed: impl Fn(u8) -> bool) -> Result<u8, u8> {
        let update = |state_now| is_allowed(state_now).then_some(state);
        self.0
            .state
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, update)
    }
}

/// Held by who submitted a job. Dropping it cancels the job, if that is still possible.
#[derive(Debug)]
pub(crate) struct JobHandle {
    token: CancelToken,
    shared: Arc<Shared>,
    key: Key,
    id: JobId,
}

impl JobHandle {
    /// Cancels the job. One that waits leaves the queue, and is dropped here. False when it has committed
    /// itself.
    pub(crate) fn cancel(&self) -> bool {
        let before = self.token.cancel();
        if before == Ok(WAITING) {
            let job = self.shared.lock().jobs.remove(self.key, self.id);
            // Not under the lock: its file may be closed by way of the queue.
            drop(job);
        }
        before.is_ok()
    }

    /// A number that grows with each [progress](CancelToken::on_progress) of the job.
    pub(crate) fn progress(&self) -> u64 {
        self.token.0.progress.load(Ordering::Acquire)
    }
}

impl Drop for JobHandle {
    fn drop(&mut self) {
        self.cancel();
    }
}

impl Disk {
    /// Starts the first thread; there will be at most `threads_max`. At most `queue_max` jobs wait for
    /// one, and of each mount so many that others find a place; what comes on top is refused, and its
    /// request answered with 503.
    pub(crate) fn start(role: Role, threads_max: usize, queue_max: usize) -> io::Result<Self> {
        let disk = Self(Arc::new(Shared {
            queue: Mutex::new(Queue {
                jobs: FairQueue::new(threads_max, queue_max),
                stopping: false,
                threads_max,
                threads: 1,
                idle: 1,
            }),
            changed: Condvar::new(),
            fetcher: Fetcher::new()?,
            role,
            refused: AtomicU64::new(0),
        }));
        disk.0.spawn(0)?;
        Ok(disk)
    }

    /// Lets so many jobs wait from now on.
    pub(crate) fn set_queue_max(&self, queue_max: usize) {
        self.0.lock().jobs.set_queue_max(queue_max);
    }

    /// Has `work` done on a thread that may wait; `key` is the mount that it waits for. Never blocks, apart
    /// from a short lock.
    pub(crate) fn submit(
        &self,
        key: Key,
        work: impl FnOnce(&Fetcher, &CancelToken) + Send + 'static,
    ) -> Result<JobHandle, QueueFull> {
        let token = CancelToken::default();
        let job = Job::Submitted {
            work: Box::new(work),
            token: token.clone(),
        };
        match self.0.push(key, job, Place::Needed) {
            Ok(id) => Ok(JobHandle {
                token,
                shared: Arc::clone(&self.0),
                key,
                id,
            }),
            Err(_) => {
                self.0.refused.fetch_add(1, Ordering::Relaxed);
                Err(QueueFull)
            }
        }
    }

    pub(crate) fn state(&self) -> DiskState {
        let queue = self.0.lock();
        DiskState {
            queued: queue.jobs.queued() as u64,
            threads: queue.threads as u64,
            busy: queue.threads.saturating_sub(queue.idle) as u64,
            refused: self.0.refused.load(Ordering::Relaxed),
        }
    }

    /// Another handle of the same threads, which does not keep them.
    pub(crate) fn handle(&self) -> DiskHandle {
        DiskHandle(Arc::clone(&self.0))
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Nobody waits for the threads: one may hang in a file system that does not answer.
        let mut queue = self.0.lock();
        queue.stopping = true;
        let waiting = queue.jobs.take_all();
        drop(queue);
        self.0.changed.notify_all();
        // Not under the lock: a response that waits has a file, which is closed by way of the queue.
        drop(waiting);
    }
}

thread_local! {
    /// Whether this is one of the threads, which may wait.
    static IS_IO_THREAD: Cell<bool> = const { Cell::new(false) };
}

/// A handle of the threads that does not keep them.
#[derive(Debug, Clone)]
pub(crate) struct DiskHandle(Arc<Shared>);

impl DiskHandle {
    /// What closes files of one mount.
    pub(crate) fn closer(&self, key: Key) -> Closer {
        Closer {
            shared: Arc::clone(&self.0),
            key,
        }
    }
}

/// Closes files of one mount on a thread that may wait.
#[derive(Debug, Clone)]
pub(crate) struct Closer {
    shared: Arc<Shared>,
    key: Key,
}

impl Closer {
    /// Has a thread close `file`; one of the threads closes it itself. Who calls it from elsewhere never waits,
    /// and is never refused: no more files wait to be closed than were open. Only where the threads end,
    /// `file` is closed here and now.
    pub(crate) fn close(&self, file: File) {
        if IS_IO_THREAD.get() {
            return drop(file);
        }
        let _ = self
            .shared
            .push(self.key, Job::Close(file), Place::NotNeeded);
    }
}

impl Shared {
    /// No job runs under the lock, so a poisoned one guards a queue that is whole.
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(self: &Arc<Self>, key: Key, job: Job, place: Place) -> Result<JobId, Job> {
        let mut queue = self.lock();
        if queue.stopping {
            return Err(job);
        }
        let id = queue.jobs.push(key, job, place)?;
        self.call_for_threads(queue);
        Ok(id)
    }

    /// Sees to it that somebody takes what is queued: who works may do so for ever.
    fn call_for_threads(self: &Arc<Self>, mut queue: MutexGuard<'_, Queue>) {
        let queued = queue.jobs.queued();
        let wants_thread = queued > queue.idle && queue.threads < queue.threads_max;
        let index = queue.threads;
        queue.threads += usize::from(wants_thread);
        // Else there is nobody to wake: who works looks at the queue when it is done.
        let is_awaited = queue.idle > 0 && queued > 0;
        queue.idle += usize::from(wants_thread);
        drop(queue);
        if is_awaited {
            self.changed.notify_one();
        }
        if wants_thread && self.spawn(index).is_err() {
            // Those that there are go on; the next job tries again.
            let mut queue = self.lock();
            queue.threads -= 1;
            queue.idle -= 1;
        }
    }

    fn spawn(self: &Arc<Self>, index: usize) -> io::Result<()> {
        let shared = Arc::clone(self);
        thread::Builder::new()
            .name(format!("{}-{index}", self.role.thread_name()))
            .spawn(move || shared.work())?;
        Ok(())
    }

    fn work(self: &Arc<Self>) {
        // Where it is refused, the threads have the priority of the workers.
        let _ = self.role.set_priority();
        IS_IO_THREAD.set(true);
        self.lock().idle -= 1;
        while let Some((running, job)) = self.next() {
            // The panic hook has reported it. Nothing that the job touched is used afterwards, and
            // its connection is told by its deadline.
            let _ = catch_unwind(AssertUnwindSafe(|| job.run(&self.fetcher)));
            self.finish(running);
        }
    }

    /// A job is done. Others may have become runnable; one of them this thread takes.
    fn finish(&self, running: Running) {
        let mut queue = self.lock();
        queue.jobs.finish(running);
        let is_awaited = queue.idle > 0 && queue.jobs.queued() > 1;
        drop(queue);
        if is_awaited {
            self.changed.notify_one();
        }
    }

    fn next(self: &Arc<Self>) -> Option<(Running, Job)> {
        let mut queue = self.lock();
        loop {
            if queue.stopping {
                return None;
            }
            if let Some(next) = queue.jobs.pop() {
                self.call_for_threads(queue);
                return Some(next);
            }
            queue.idle += 1;
            let waited = self.changed.wait(queue);
            queue = waited.unwrap_or_else(PoisonError::into_inner);
            queue.idle -= 1;
        }
    }
}

impl Job {
    fn run(self, fetcher: &Fetcher) {
        match self {
            Self::Close(file) => drop(file),
            Self::Submitted { work, token } => {
                if token.take() {
                    work(fetcher, &token);
                }
            }
        }
    }
}

impl fmt::Debug for Disk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Disk").field(&self.0).finish()
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared")
            .field("queued", &self.lock().jobs.queued())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
