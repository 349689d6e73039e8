//! Threads that wait for the disk, so that no worker does, and the way back to the workers.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::{fmt, io, thread};

use mio::{Token, Waker};

use crate::listing::Listing;

/// Threads; each has one job at a time.
const THREADS: usize = 4;
/// Jobs that wait for a thread. What comes on top is refused, and its request answered with 503.
const QUEUE_MAX: usize = 1024;

/// What was to be done, done: for the connection that asked for it.
#[derive(Debug)]
pub(crate) enum Answer {
    Listing(io::Result<Listing>),
}

type Job = Box<dyn FnOnce() + Send>;

/// The threads. They end when it is dropped, each after the job that it has.
pub(crate) struct Disk(Arc<Shared>);

struct Shared {
    queue: Mutex<Queue>,
    /// Notified when a job arrives and when the threads are to end.
    changed: Condvar,
}

#[derive(Default)]
struct Queue {
    jobs: VecDeque<Job>,
    stopping: bool,
}

/// As many jobs as allowed are waiting already.
#[derive(Debug)]
pub(crate) struct QueueFull;

impl Disk {
    pub(crate) fn start() -> io::Result<Self> {
        let disk = Self(Arc::new(Shared {
            queue: Mutex::default(),
            changed: Condvar::new(),
        }));
        for index in 0..THREADS {
            let shared = Arc::clone(&disk.0);
            thread::Builder::new()
                .name(format!("zc-disk-{index}"))
                .spawn(move || shared.work())?;
        }
        Ok(disk)
    }

    /// Has `job` done on a thread that may wait. Never blocks, apart from a short lock.
    pub(crate) fn submit(&self, job: impl FnOnce() + Send + 'static) -> Result<(), QueueFull> {
        let mut queue = self.0.lock();
        if queue.jobs.len() >= QUEUE_MAX {
            return Err(QueueFull);
        }
        queue.jobs.push_back(Box::new(job));
        drop(queue);
        self.0.changed.notify_one();
        Ok(())
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Nobody waits for the threads: one may hang in a file system that does not answer.
        let mut queue = self.0.lock();
        queue.stopping = true;
        queue.jobs.clear();
        drop(queue);
        self.0.changed.notify_all();
    }
}

impl Shared {
    /// No job runs under the lock, so a poisoned one guards a queue that is whole.
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn work(&self) {
        while let Some(job) = self.next() {
            // The panic hook has reported it. Nothing that the job touched is used afterwards, and
            // its connection is told by its deadline.
            let _ = catch_unwind(AssertUnwindSafe(job));
        }
    }

    fn next(&self) -> Option<Job> {
        let waits = |queue: &mut Queue| queue.jobs.is_empty() && !queue.stopping;
        let mut queue = self
            .changed
            .wait_while(self.lock(), waits)
            .unwrap_or_else(PoisonError::into_inner);
        queue.jobs.pop_front()
    }
}

impl fmt::Debug for Disk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Disk")
            .field("queued", &self.0.lock().jobs.len())
            .finish_non_exhaustive()
    }
}

/// Where the answers for one worker arrive.
#[derive(Debug, Clone)]
pub(crate) struct Mailbox {
    answers: Arc<Mutex<Vec<(Token, Answer)>>>,
    waker: Arc<Waker>,
}

impl Mailbox {
    /// A mailbox whose worker is woken by `waker`.
    pub(crate) fn new(waker: Arc<Waker>) -> Self {
        Self {
            answers: Arc::default(),
            waker,
        }
    }

    /// Leaves the answer for a connection, and wakes its worker.
    pub(crate) fn post(&self, token: Token, answer: Answer) {
        self.lock().push((token, answer));
        // It fails only when the worker's epoll instance is gone, and then nobody needs waking.
        let _ = self.waker.wake();
    }

    /// Takes all that has arrived.
    pub(crate) fn take(&self) -> Vec<(Token, Answer)> {
        std::mem::take(&mut *self.lock())
    }

    fn lock(&self) -> MutexGuard<'_, Vec<(Token, Answer)>> {
        self.answers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    #[test]
    fn jobs_run_and_a_panic_ends_no_thread() {
        let disk = Disk::start().expect("threads");
        for _ in 0..2 * THREADS {
            assert!(disk.submit(|| panic!("on purpose")).is_ok());
        }
        let (done, answers) = mpsc::channel();
        assert!(disk.submit(move || done.send(7).expect("heard")).is_ok());
        assert_eq!(answers.recv(), Ok(7));
    }

    #[test]
    fn the_queue_is_bounded() {
        let disk = Disk::start().expect("threads");
        let (release, held) = mpsc::channel::<()>();
        let held = Arc::new(Mutex::new(held));
        let (began, begun) = mpsc::channel();
        let blocking = || {
            let (held, began) = (Arc::clone(&held), began.clone());
            move || {
                began.send(()).expect("heard");
                let _ = held.lock().expect("no panic").recv();
            }
        };
        for _ in 0..THREADS {
            assert!(disk.submit(blocking()).is_ok());
        }
        for _ in 0..THREADS {
            begun.recv().expect("every thread has one");
        }
        for _ in 0..QUEUE_MAX {
            assert!(disk.submit(|| {}).is_ok());
        }
        assert!(disk.submit(|| {}).is_err());
        drop(release);
    }
}
