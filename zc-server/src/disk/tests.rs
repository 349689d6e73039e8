use std::sync::mpsc;

use bytes::BytesMut;
use mio::{Poll, Token, Waker};
use zc_core::Transfer;

use super::*;
use crate::mounts::Guard;
use crate::outgoing::Following;
use crate::resolve::{Handle, ResolveError};

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
        let work = Work::LookUp(Box::new(|_| {
            std::panic::resume_unwind(Box::new("on purpose"))
        }));
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

/// A response of which a thread reads the first window, of a file of zeros.
fn unread() -> Outgoing {
    let length = WINDOW_BYTES;
    let file = tempfile::tempfile().expect("a file");
    file.set_len(length).expect("a sparse file");
    let source = Arc::new(Handle::of(file));
    let body = Transfer::new(source, 0, length).with_residency_window(WINDOW_BYTES);
    Outgoing::new(
        BytesMut::new(),
        Some(body),
        Following::Nothing,
        Guard::Probed,
    )
}

#[test]
fn reads_that_wait_for_others_begin_without_their_end() {
    let cores = thread::available_parallelism().map_or(1, NonZero::get);
    let reads = 2 * cores + 2;
    // As many as half of the threads may be of one mount.
    let disk = Disk::start(2 * reads, 100).expect("a thread");
    let (_poll, mailbox) = mailbox();
    let (release, held) = mpsc::channel::<()>();
    let held = Arc::new(Mutex::new(held));
    let (did, begun) = mpsc::channel();
    for _ in 0..reads {
        let (held, did) = (Arc::clone(&held), did.clone());
        let work = Work::LookUp(Box::new(move |_| {
            did.send(()).expect("heard");
            let _ = held.lock().expect("no panic").recv();
            nothing_found()
        }));
        let job = Job::Asked {
            work,
            claim: Claim::default(),
            reply: Reply {
                mailbox: mailbox.clone(),
                token: Token(1),
            },
        };
        assert!(disk.0.push(1, job, WINDOW_BYTES).is_ok());
    }
    for _ in 0..reads {
        begun.recv().expect("all of them, though none ends");
    }
    drop(release);
}

#[test]
fn long_reads_are_held_back_and_other_work_passes_them() {
    const HOURS_BYTES: u64 = 1 << 42;
    let cores = thread::available_parallelism().map_or(1, NonZero::get);
    let disk = Disk::start(2 * cores + THREADS, 100).expect("a thread");
    {
        let mut queue = disk.0.lock();
        for mount in 0..cores as Key {
            let job = Job::Close(tempfile::tempfile().expect("a file"));
            let pushed = queue.jobs.push(100 + mount, job, HOURS_BYTES);
            assert!(pushed.is_ok());
            // Begun, by nobody who would end it.
            assert!(queue.jobs.pop(Instant::now()).is_some());
        }
    }
    let (mut poll, mailbox) = mailbox();
    let reply = |token| Reply {
        mailbox: mailbox.clone(),
        token: Token(token),
    };
    let read = Work::Read(Box::new(unread()));
    let look_up = Work::LookUp(Box::new(|_| nothing_found()));
    let _read = disk.submit(1, read, reply(1)).expect("room");
    let _look_up = disk.submit(1, look_up, reply(2)).expect("room");
    let mut events = mio::Events::with_capacity(1);
    while events.is_empty() {
        poll.poll(&mut events, None).expect("epoll");
    }
    let letters = mailbox.take();
    assert!(
        matches!(letters[..], [Letter::Answer(Token(2), Answer::Found(_))]),
        "{letters:?}"
    );
    assert_eq!(disk.0.lock().jobs.queued(), 1);
}
