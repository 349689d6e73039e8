//! Threads that wait for the disk, so that no worker does.
//!
//! A worker hands over [`Work`] and goes on; the thread leaves an [`Answer`] in the worker's
//! [`Mailbox`] and wakes it. Who asked holds a [`Ticket`]: dropping it takes the work back, unless
//! the thread has come to where it sends. A thread is started when there is work and none is idle.

mod mailbox;
mod queue;

use std::fs::File;
use std::num::NonZero;
use std::os::fd::OwnedFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;
use std::{fmt, io, thread};

use zc_core::{Fetcher, Progress, SendError};

pub(crate) use mailbox::{Letter, Mailbox};
pub(crate) use queue::Key;
use queue::{FairQueue, Running};

use crate::body::Outgoing;
use crate::files::listing::{self, Listing};
use crate::files::lookup::Found;
use crate::files::roots::RootLookup;

/// The most that a thread sends for one connection before others have their turn, in bytes.
pub(crate) const WINDOW_BYTES: u64 = 2 << 20;

/// What was asked for, for the connection that asked.
#[derive(Debug)]
pub(crate) enum Answer {
    /// What the path of a root names.
    Root(RootLookup),
    Found(Found),
    /// The page of an error.
    Page(Found),
    Listing(io::Result<Listing>),
    /// A response that was carried on, and why it stopped.
    Sent(Box<Outgoing>, Result<Progress, SendError>),
}

/// What a thread does.
pub(crate) enum Work {
    /// Looks something up, by code that knows what.
    LookUp(Box<dyn FnOnce(&Fetcher) -> Answer + Send>),
    List(Box<listing::Request>),
    /// Reads the next part of a response.
    Read(Box<Outgoing>),
    /// Sends the next part of a response, to another descriptor of its socket.
    Send(Box<Outgoing>, OwnedFd),
}

/// The threads. They end when it is dropped, each after the job that it has.
pub(crate) struct Disk(Arc<Shared>);

struct Shared {
    queue: Mutex<Queue>,
    /// Notified when a job arrives, when one ends, and when the threads are to end.
    changed: Condvar,
    fetcher: Fetcher,
}

struct Queue {
    jobs: FairQueue<Job>,
    stopping: bool,
    threads_max: usize,
    /// Threads that were started; none ends before the server does.
    threads: usize,
    /// Those of them that wait for work, or have not begun to look for it.
    idle: usize,
    /// Whether one of the idle looks again when reads that are held back may begin.
    has_timer: bool,
}

enum Job {
    Asked {
        work: Work,
        claim: Claim,
        reply: Reply,
    },
    /// A descriptor whose closing may wait.
    Close(File),
}

/// Where an answer goes.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) mailbox: Mailbox,
    pub(crate) token: mio::Token,
}

/// As many jobs as allowed are waiting already.
#[derive(Debug)]
pub(crate) struct QueueFull;

/// Who has a say over work that was handed over: the one that asked, until the thread takes it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Claim(Arc<AtomicU8>);

const OPEN: u8 = 0;
const TAKEN: u8 = 1;
const CANCELLED: u8 = 2;

impl Claim {
    /// The thread takes it: from here on it touches the socket. False when it was taken back.
    pub(crate) fn take(&self) -> bool {
        self.become_from_open(TAKEN) || self.0.load(Ordering::Acquire) == TAKEN
    }

    fn is_cancelled(&self) -> bool {
        self.0.load(Ordering::Acquire) == CANCELLED
    }

    fn become_from_open(&self, state: u8) -> bool {
        self.0
            .compare_exchange(OPEN, state, Ordering::AcqRel, Ordering::Acquire)
            .is_ok()
    }
}

/// Held by who asked. Dropping it takes the work back, if that is still possible.
#[derive(Debug)]
pub(crate) struct Ticket(Claim);

impl Ticket {
    /// Takes the work back. False when the thread has begun to send, or is done.
    pub(crate) fn cancel(&self) -> bool {
        self.0.become_from_open(CANCELLED)
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.cancel();
    }
}

impl Disk {
    /// Starts the first thread; there will be at most `threads_max`. At most `queue_max` jobs wait
    /// for one; what comes on top is refused, and its request answered with 503.
    pub(crate) fn start(threads_max: usize, queue_max: usize) -> io::Result<Self> {
        let cores = thread::available_parallelism().map_or(1, NonZero::get);
        let disk = Self(Arc::new(Shared {
            queue: Mutex::new(Queue {
                jobs: FairQueue::new(threads_max, queue_max, cores),
                stopping: false,
                threads_max,
                threads: 1,
                idle: 1,
                has_timer: false,
            }),
            changed: Condvar::new(),
            fetcher: Fetcher::new()?,
        }));
        disk.0.spawn(0)?;
        Ok(disk)
    }

    /// Has `work` done on a thread that may wait; `key` is the mount that it waits for. Never
    /// blocks, apart from a short lock.
    pub(crate) fn submit(&self, key: Key, work: Work, reply: Reply) -> Result<Ticket, QueueFull> {
        let claim = Claim::default();
        let job = Job::Asked {
            work,
            claim: claim.clone(),
            reply,
        };
        let read_bytes = job.read_bytes();
        match self.0.push(key, job, read_bytes) {
            Ok(()) => Ok(Ticket(claim)),
            Err(_) => Err(QueueFull),
        }
    }

    /// Another handle of the same threads, which does not keep them.
    pub(crate) fn handle(&self) -> Handle {
        Handle(Arc::clone(&self.0))
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

/// A handle of the threads that does not keep them.
#[derive(Debug, Clone)]
pub(crate) struct Handle(Arc<Shared>);

impl Handle {
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
    /// With the queue full it is closed here and now: a descriptor must not be lost.
    pub(crate) fn close(&self, file: File) {
        let _ = self.shared.push(self.key, Job::Close(file), 0);
    }
}

impl Shared {
    /// No job runs under the lock, so a poisoned one guards a queue that is whole.
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// `read_bytes` is what the job reads of a file and waits for, if that is much.
    fn push(self: &Arc<Self>, key: Key, job: Job, read_bytes: u64) -> Result<(), Job> {
        let mut queue = self.lock();
        if queue.stopping {
            return Err(job);
        }
        queue.jobs.push(key, job, read_bytes)?;
        self.call_for_threads(queue, Instant::now());
        Ok(())
    }

    /// Sees to it that somebody takes what is possible, and that somebody looks again when reads that are
    /// held back may begin: who works may do so for ever.
    fn call_for_threads(self: &Arc<Self>, mut queue: MutexGuard<'_, Queue>, now: Instant) {
        let possible = queue.jobs.possible(now);
        let are_held_back = queue.jobs.held_back(now).is_some();
        let wanted = possible + usize::from(are_held_back);
        let wants_thread = wanted > queue.idle && queue.threads < queue.threads_max;
        let index = queue.threads;
        queue.threads += usize::from(wants_thread);
        // Else there is nobody to wake: who works looks at the queue when it is done.
        let is_awaited = queue.idle > 0 && (possible > 0 || are_held_back && !queue.has_timer);
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
            .name(format!("zc-disk-{index}"))
            .spawn(move || shared.work())?;
        Ok(())
    }

    fn work(self: &Arc<Self>) {
        // A worker that shares the core comes first. Where it is refused, things go as they went.
        let _ = zc_core::set_patient();
        self.lock().idle -= 1;
        while let Some((running, job)) = self.next() {
            // The panic hook has reported it. Nothing that the job touched is used afterwards, and
            // its connection is told by its deadline.
            let _ = catch_unwind(AssertUnwindSafe(|| job.run(&self.fetcher)));
            self.finish(running);
        }
    }

    /// A job is done. Others may have become possible; one of them this thread takes.
    fn finish(&self, running: Running) {
        let now = Instant::now();
        let mut queue = self.lock();
        queue.jobs.finish(running);
        let is_awaited = queue.idle > 0 && queue.jobs.possible(now) > 1;
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
            let now = Instant::now();
            if let Some(next) = queue.jobs.pop(now) {
                self.call_for_threads(queue, now);
                return Some(next);
            }
            let held_back = queue.jobs.held_back(now).filter(|_| !queue.has_timer);
            queue.idle += 1;
            queue = match held_back {
                Some(time) => {
                    queue.has_timer = true;
                    let waited = self.changed.wait_timeout(queue, time);
                    let mut queue = waited.unwrap_or_else(PoisonError::into_inner).0;
                    queue.has_timer = false;
                    queue
                }
                None => {
                    let waited = self.changed.wait(queue);
                    waited.unwrap_or_else(PoisonError::into_inner)
                }
            };
            queue.idle -= 1;
        }
    }
}

impl Job {
    /// What it reads of a file and waits for, in bytes, if that is much.
    fn read_bytes(&self) -> u64 {
        match self {
            Self::Asked {
                work: Work::Read(outgoing),
                ..
            } => outgoing.large_window_bytes(),
            Self::Asked { .. } | Self::Close(_) => 0,
        }
    }

    fn run(self, fetcher: &Fetcher) {
        let (work, claim, reply) = match self {
            Self::Close(file) => return drop(file),
            Self::Asked { work, claim, reply } => (work, claim, reply),
        };
        if claim.is_cancelled() {
            return;
        }
        let answer = match work {
            Work::LookUp(look_up) => look_up(fetcher),
            Work::List(request) => Answer::Listing(request.read()),
            Work::Read(mut outgoing) => match outgoing.read_and_wait(fetcher, &claim) {
                Some(result) => Answer::Sent(outgoing, result),
                None => return,
            },
            Work::Send(mut outgoing, socket) => {
                match outgoing.advance_and_wait(fetcher, &claim, &socket, WINDOW_BYTES) {
                    Some(result) => Answer::Sent(outgoing, result),
                    None => return,
                }
            }
        };
        reply.mailbox.post(reply.token, answer);
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

impl fmt::Debug for Work {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::LookUp(_) => "LookUp",
            Self::List(_) => "List",
            Self::Read(_) => "Read",
            Self::Send(..) => "Send",
        })
    }
}

#[cfg(test)]
mod tests;
