//! Threads that wait for the disk, so that no worker does.
//!
//! A worker hands over [`Work`] and goes on; the thread leaves an [`Answer`] in the worker's
//! [`Mailbox`] and wakes it. Who asked holds a [`Ticket`]: dropping it takes the work back, unless
//! the thread has come to where it sends. A thread is started when there is work and none is idle.

mod mailbox;
mod queue;

use std::fs::File;
use std::os::fd::OwnedFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::{fmt, io, thread};

use zc_core::{Fetcher, Progress, SendError};

pub(crate) use mailbox::{Letter, Mailbox};
use queue::FairQueue;
pub(crate) use queue::Key;

use crate::listing::{self, Listing};
use crate::lookup::Found;
use crate::outgoing::Outgoing;

/// The most that a thread sends for one connection before others have their turn, in bytes.
pub(crate) const WINDOW_BYTES: u64 = 2 << 20;

/// What was asked for, for the connection that asked.
#[derive(Debug)]
pub(crate) enum Answer {
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
    /// Those of them that wait for work.
    idle: usize,
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
        let disk = Self(Arc::new(Shared {
            queue: Mutex::new(Queue {
                jobs: FairQueue::new(threads_max, queue_max),
                stopping: false,
                threads_max,
                threads: 1,
                idle: 0,
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
        match self.0.push(key, job) {
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
        let _ = self.shared.push(self.key, Job::Close(file));
    }
}

impl Shared {
    /// No job runs under the lock, so a poisoned one guards a queue that is whole.
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(self: &Arc<Self>, key: Key, job: Job) -> Result<(), Job> {
        let mut queue = self.lock();
        if queue.stopping {
            return Err(job);
        }
        queue.jobs.push(key, job)?;
        let wants_thread = queue.jobs.queued() > queue.idle && queue.threads < queue.threads_max;
        let index = queue.threads;
        queue.threads += usize::from(wants_thread);
        let is_awaited = queue.idle > 0;
        drop(queue);
        // Else there is nobody to wake: who works looks at the queue when it is done.
        if is_awaited {
            self.changed.notify_one();
        }
        if wants_thread && self.spawn(index).is_err() {
            // Those that there are go on; the next job tries again.
            self.lock().threads -= 1;
        }
        Ok(())
    }

    fn spawn(self: &Arc<Self>, index: usize) -> io::Result<()> {
        let shared = Arc::clone(self);
        thread::Builder::new()
            .name(format!("zc-disk-{index}"))
            .spawn(move || shared.work())?;
        Ok(())
    }

    fn work(&self) {
        // A worker that shares the core comes first. Where it is refused, things go as they went.
        let _ = zc_core::set_patient();
        while let Some((key, job)) = self.next() {
            // The panic hook has reported it. Nothing that the job touched is used afterwards, and
            // its connection is told by its deadline.
            let _ = catch_unwind(AssertUnwindSafe(|| job.run(&self.fetcher)));
            self.finish(key);
        }
    }

    /// A job is done. Others of its mount may have become possible; one of them this thread takes.
    fn finish(&self, key: Key) {
        let mut queue = self.lock();
        queue.jobs.finish(key);
        let is_awaited = queue.idle > 0 && queue.jobs.queued() > 1;
        drop(queue);
        if is_awaited {
            self.changed.notify_one();
        }
    }

    fn next(&self) -> Option<(Key, Job)> {
        let mut queue = self.lock();
        loop {
            if queue.stopping {
                return None;
            }
            if let Some(next) = queue.jobs.pop() {
                return Some(next);
            }
            queue.idle += 1;
            queue = self
                .changed
                .wait(queue)
                .unwrap_or_else(PoisonError::into_inner);
            queue.idle -= 1;
        }
    }
}

impl Job {
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
mod tests {
    use super::*;
    use crate::resolve::ResolveError;
    use mio::{Poll, Token, Waker};
    use std::sync::mpsc;

    const THREADS: usize = 4;

    fn mailbox() -> (Poll, Mailbox) {
        let poll = Poll::new().expect("epoll");
        let waker = Waker::new(poll.registry(), Token(0)).expect("a waker");
        (poll, Mailbox::new(Arc::new(waker)))
    }

    fn nothing_found() -> Answer {
        Answer::Found(Found::Nothing(ResolveError::NotFound))
    }

    #[test]
    fn answers_arrive_and_a_panic_ends_no_thread() {
        let disk = Disk::start(THREADS, 100).expect("threads");
        let (mut poll, mailbox) = mailbox();
        let reply = |token| Reply {
            mailbox: mailbox.clone(),
            token: Token(token),
        };
        let mut tickets = Vec::new();
        for _ in 0..2 * THREADS {
            let work = Work::LookUp(Box::new(|_| panic!("on purpose")));
            tickets.push(disk.submit(1, work, reply(1)).expect("room"));
        }
        let work = Work::LookUp(Box::new(|_| nothing_found()));
        tickets.push(disk.submit(1, work, reply(7)).expect("room"));
        let mut events = mio::Events::with_capacity(1);
        while events.is_empty() {
            poll.poll(&mut events, None).expect("epoll");
        }
        let letters = mailbox.take();
        assert!(
            matches!(letters[..], [Letter::Answer(Token(7), Answer::Found(_))]),
            "{letters:?}"
        );
    }

    #[test]
    fn a_worker_comes_before_the_threads() {
        let disk = Disk::start(1, 100).expect("a thread");
        let (_poll, mailbox) = mailbox();
        let (told, policy) = mpsc::channel();
        let work = Work::LookUp(Box::new(move |_| {
            let stat = std::fs::read_to_string("/proc/thread-self/stat").expect("proc(5)");
            let (_, behind_name) = stat.rsplit_once(')').expect("a name");
            let policy = behind_name.split_whitespace().nth(38).map(str::to_owned);
            told.send(policy).expect("heard");
            nothing_found()
        }));
        let reply = Reply {
            mailbox,
            token: Token(1),
        };
        let _ticket = disk.submit(1, work, reply).expect("room");
        // SCHED_IDLE, see proc(5).
        assert_eq!(policy.recv().expect("told").as_deref(), Some("5"));
    }

    #[test]
    fn there_are_as_many_threads_as_are_needed_and_no_more() {
        let disk = Disk::start(THREADS, 100).expect("a thread");
        let (_poll, mailbox) = mailbox();
        let (release, held) = mpsc::channel::<()>();
        let held = Arc::new(Mutex::new(held));
        let (did, begun) = mpsc::channel();
        let mut tickets = Vec::new();
        // Each mount may have a thread while one is free.
        for mount in 0..2 * THREADS as Key {
            let (held, did) = (Arc::clone(&held), did.clone());
            let work = Work::LookUp(Box::new(move |_| {
                did.send(()).expect("heard");
                let _ = held.lock().expect("no panic").recv();
                nothing_found()
            }));
            let reply = Reply {
                mailbox: mailbox.clone(),
                token: Token(1),
            };
            tickets.push(disk.submit(mount, work, reply).expect("room"));
        }
        for _ in 0..THREADS {
            begun.recv().expect("as many as there are threads");
        }
        assert_eq!(disk.0.lock().threads, THREADS);
        assert!(begun.try_recv().is_err());
        drop(release);
        for _ in 0..THREADS {
            begun.recv().expect("the others after them");
        }
        assert_eq!(disk.0.lock().threads, THREADS);
    }

    #[test]
    fn work_that_is_taken_back_is_not_done() {
        let disk = Disk::start(1, 100).expect("a thread");
        let (_poll, mailbox) = mailbox();
        let reply = || Reply {
            mailbox: mailbox.clone(),
            token: Token(1),
        };
        let (release, held) = mpsc::channel::<()>();
        let blocking = Work::LookUp(Box::new(move |_| {
            let _ = held.recv();
            nothing_found()
        }));
        let _blocking = disk.submit(1, blocking, reply()).expect("room");
        let (did, done) = mpsc::channel();
        let noted = |word: &'static str| {
            let did = did.clone();
            Work::LookUp(Box::new(move |_| {
                did.send(word).expect("heard");
                nothing_found()
            }))
        };
        let cancelled = disk.submit(1, noted("cancelled"), reply()).expect("room");
        let dropped = disk.submit(1, noted("dropped"), reply()).expect("room");
        let _kept = disk.submit(1, noted("kept"), reply()).expect("room");
        assert!(cancelled.cancel());
        drop(dropped);
        drop(release);
        assert_eq!(done.recv(), Ok("kept"));
        assert!(done.try_recv().is_err());
    }

    #[test]
    fn a_claim_has_one_winner() {
        let claim = Claim::default();
        let ticket = Ticket(claim.clone());
        assert!(claim.take() && claim.take());
        assert!(!ticket.cancel());
        let claim = Claim::default();
        let ticket = Ticket(claim.clone());
        assert!(ticket.cancel());
        assert!(!claim.take() && claim.is_cancelled());
    }
}
