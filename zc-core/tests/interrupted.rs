//! Signals: a call that one interrupts is repeated, and no byte is lost, doubled or miscounted.
//!
//! A handler installed with `SA_RESTART` makes most calls restart inside the kernel, where nothing
//! is there to be tested. Socket writes under `SO_SNDTIMEO` never restart (see signal(7)): they
//! return EINTR or a short count. So the sockets here have a long write timeout.

mod common;

use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::time::Duration;

use common::{
    Inbox, METHODS, advance, assert_only_path, assert_same_bytes, file_of, path_of, patterned,
    tcp_pair,
};
use nix::errno::Errno;
use nix::sys::pthread::{Pthread, pthread_kill, pthread_self};
use nix::sys::signal::Signal;
use nix::unistd::{Pid, gettid};
use zc_core::{Follows, Path, Progress, Transfer, send_head};

/// Signals that each test delivers while the sender sleeps in a call.
const SIGNALS: usize = 25;

/// More than the socket buffers below hold.
const LENGTH: usize = 4 << 20;

/// A blocking sender whose calls EINTR reaches, and a reader that has yet to read.
fn interruptible_pair() -> (TcpStream, TcpStream) {
    let (sender, reader) = tcp_pair(Some(16 * 1024), Some(16 * 1024));
    sender.set_nonblocking(false).unwrap();
    sender
        .set_write_timeout(Some(Duration::from_secs(600)))
        .unwrap();
    (sender, reader)
}

/// The thread that sends: named for signals, and for `/proc`.
#[derive(Clone, Copy)]
struct Target {
    thread: Pthread,
    id: Pid,
}

impl Target {
    fn this_thread() -> Self {
        Self {
            thread: pthread_self(),
            id: gettid(),
        }
    }

    /// True when the thread sleeps in a system call.
    fn is_asleep(self) -> bool {
        let stat = std::fs::read_to_string(format!("/proc/self/task/{}/stat", self.id)).unwrap();
        // The name, in parentheses, may hold anything; the state follows it.
        let (_, after_name) = stat.rsplit_once(") ").unwrap();
        after_name.starts_with('S')
    }
}

/// Sends one signal at a time to `target`, each when it sleeps and has handled the one before.
/// Stops early when `sender_ended`.
fn interrupt(target: Target, handled: &AtomicBool, sender_ended: &AtomicBool) {
    let wait = |condition: &dyn Fn() -> bool| {
        while !condition() && !sender_ended.load(Ordering::SeqCst) {
            std::thread::yield_now();
        }
        !sender_ended.load(Ordering::SeqCst)
    };
    for _ in 0..SIGNALS {
        if !wait(&|| target.is_asleep()) {
            return;
        }
        handled.store(false, Ordering::SeqCst);
        pthread_kill(target.thread, Signal::SIGUSR1).unwrap();
        if !wait(&|| handled.load(Ordering::SeqCst)) {
            return;
        }
    }
}

/// Runs `send` on a blocking socket in a thread that is interrupted over and over while nobody
/// reads; then reads all. Answers what `send` answered and the bytes received.
fn send_interrupted<T: Send>(send: impl FnOnce(&TcpStream) -> T + Send) -> (T, Vec<u8>) {
    // One at a time: a signal for one test must not look handled to another.
    static SENDING: Mutex<()> = Mutex::new(());
    let _sending = SENDING.lock().unwrap_or_else(PoisonError::into_inner);
    let handled = Arc::new(AtomicBool::new(false));
    signal_hook::flag::register(Signal::SIGUSR1 as i32, Arc::clone(&handled)).unwrap();
    let (sender, reader) = interruptible_pair();
    let sender_ended = AtomicBool::new(false);
    let (announce, announced) = mpsc::channel();
    let (release, released) = mpsc::channel::<()>();

    std::thread::scope(|scope| {
        let ended = &sender_ended;
        let sending = scope.spawn(move || {
            announce.send(Target::this_thread()).unwrap();
            let answer = send(&sender);
            ended.store(true, Ordering::SeqCst);
            drop(sender);
            // The thread stays while signals may still be aimed at it.
            let _ = released.recv();
            answer
        });
        interrupt(announced.recv().unwrap(), &handled, &sender_ended);
        assert!(
            !sender_ended.load(Ordering::SeqCst),
            "the sender gave up before anybody read"
        );
        let received = Inbox::new(reader).finish();
        drop(release);
        (sending.join().unwrap(), received)
    })
}

#[test]
fn these_sockets_do_return_eintr() {
    // The other tests here would pass for nothing if they did not.
    let bytes = patterned(LENGTH, 60);
    let ((sent, interruptions), received) = send_interrupted(|sender| {
        let (mut sent, mut interruptions) = (0, 0);
        while sent < bytes.len() {
            match nix::unistd::write(sender, &bytes[sent..]) {
                Ok(count) => sent += count,
                Err(Errno::EINTR) => interruptions += 1,
                Err(errno) => panic!("{errno}"),
            }
        }
        (sent, interruptions)
    });
    assert_eq!(sent, LENGTH);
    // The first signals may have come before the buffers were full, and shortened calls.
    assert!(interruptions > 0);
    assert_same_bytes(&received, &bytes);
}

#[test]
fn a_transfer_goes_on_after_signals() {
    let bytes = patterned(LENGTH, 61);
    let file = file_of(&bytes);
    for &method in METHODS {
        let (report, received) = send_interrupted(|sender| {
            let mut transfer = Transfer::new(&file, 0, LENGTH as u64).with_method(method);
            let progress = advance(&mut transfer, sender, u64::MAX).unwrap();
            assert_eq!(progress, Progress::Complete);
            *transfer.report()
        });
        assert_same_bytes(&received, &bytes);
        assert_only_path(&report, method, LENGTH as u64);
        assert_eq!(
            report.would_blocks, 0,
            "neither a signal nor a short count is would-block"
        );
        if path_of(method) == Path::Sendfile {
            assert!(report.short_writes > 0, "a signal cut the first call short");
        }
    }
}

#[test]
fn a_head_goes_on_after_signals() {
    let head = patterned(LENGTH, 62);
    let (sent, received) = send_interrupted(|sender| {
        let mut sent = 0;
        while sent < head.len() {
            sent += send_head(sender, &head[sent..], Follows::Nothing).unwrap();
        }
        sent
    });
    assert_eq!(sent, LENGTH);
    assert_same_bytes(&received, &head);
}
