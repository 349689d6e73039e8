//! Signals aimed at one thread while it is in its calls.
//!
//! A handler installed with `SA_RESTART` makes most calls restart inside the kernel, where nothing
//! is there to be tested. Socket calls under `SO_SNDTIMEO` or `SO_RCVTIMEO` never restart (see
//! signal(7)): they return EINTR or a short count. So the sockets of these tests have a long
//! timeout.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, mpsc};
use std::time::{Duration, Instant};

use nix::sys::pthread::{Pthread, pthread_kill, pthread_self};
use nix::sys::signal::Signal;
use nix::unistd::{Pid, gettid};

use super::HANG_MS;

/// A thread that signals can be aimed at: named for them, and for `/proc`.
pub struct Aim<'r> {
    thread: Pthread,
    id: Pid,
    handled: &'r AtomicBool,
    ended: &'r AtomicBool,
}

impl Aim<'_> {
    /// True when the thread has done its work.
    pub fn has_ended(&self) -> bool {
        self.ended.load(Ordering::SeqCst)
    }

    /// Sends a signal as soon as the thread sleeps in a system call, and waits until it was
    /// handled. Answers false when the thread ended before.
    #[track_caller]
    pub fn interrupt_asleep(&self) -> bool {
        self.wait(|| self.is_asleep()) && self.interrupt()
    }

    /// Sends a signal now, wherever the thread is, and waits until it was handled. Answers false
    /// when the thread ended before.
    #[track_caller]
    pub fn interrupt(&self) -> bool {
        self.handled.store(false, Ordering::SeqCst);
        pthread_kill(self.thread, Signal::SIGUSR1).unwrap();
        self.wait(|| self.handled.load(Ordering::SeqCst))
    }

    #[track_caller]
    fn wait(&self, condition: impl Fn() -> bool) -> bool {
        let hang = Instant::now() + Duration::from_millis(u64::from(HANG_MS));
        while !condition() && !self.has_ended() {
            assert!(Instant::now() < hang, "the thread neither sleeps nor ends");
            std::thread::yield_now();
        }
        !self.has_ended()
    }

    fn is_asleep(&self) -> bool {
        let stat = std::fs::read_to_string(format!("/proc/self/task/{}/stat", self.id)).unwrap();
        // The name, in parentheses, may hold anything; the state follows it.
        let (_, after_name) = stat.rsplit_once(") ").unwrap();
        after_name.starts_with('S')
    }
}

/// Runs `work` in a thread of its own and meanwhile `meddle`, which aims signals at it; answers
/// what both answer.
#[track_caller]
pub fn with_signals<T: Send, U>(
    work: impl FnOnce() -> T + Send,
    meddle: impl FnOnce(&Aim<'_>) -> U,
) -> (T, U) {
    // One at a time: a signal for one test must not look handled to another.
    static AIMING: Mutex<()> = Mutex::new(());
    static HANDLED: OnceLock<Arc<AtomicBool>> = OnceLock::new();
    let _aiming = AIMING.lock().unwrap_or_else(PoisonError::into_inner);
    let handled = HANDLED.get_or_init(|| {
        let handled = Arc::new(AtomicBool::new(false));
        signal_hook::flag::register(Signal::SIGUSR1 as i32, Arc::clone(&handled)).unwrap();
        handled
    });
    let ended = AtomicBool::new(false);
    let (announce, announced) = mpsc::channel();
    let (release, released) = mpsc::channel::<()>();

    std::thread::scope(|scope| {
        let ended = &ended;
        let working = scope.spawn(move || {
            announce.send((pthread_self(), gettid())).unwrap();
            // A failed assertion must not leave the other side waiting for this thread.
            let answer = catch_unwind(AssertUnwindSafe(work));
            ended.store(true, Ordering::SeqCst);
            // The thread stays while signals may still be aimed at it.
            let _ = released.recv();
            answer.unwrap_or_else(|panic| resume_unwind(panic))
        });
        let (thread, id) = announced.recv().unwrap();
        let meddled = meddle(&Aim {
            thread,
            id,
            handled,
            ended,
        });
        drop(release);
        let answer = working.join().unwrap_or_else(|panic| resume_unwind(panic));
        (answer, meddled)
    })
}
