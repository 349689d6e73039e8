//! The transition table of `exchange/mod.rs`, row by row.

use super::*;
use crate::disk::CancelToken;
use crate::worker::Life;

#[test]
fn a_head_is_answered_or_waits() {
    let mut fixture = Fixture::without_offloading();
    std::fs::write(fixture.root.path().join("short"), b"x").expect("a file");
    let long = File::create(fixture.root.path().join("long")).expect("a file");
    long.set_len(1 << 20).expect("a sparse file");
    let worker = &mut fixture.worker;
    let get = |path, fields| format!("GET {path} HTTP/1.1\r\nHost: a\r\n{fields}\r\n");
    let small = "Content-Length: 5\r\n";
    let rows = [
        (get("/short", ""), "ready 200 OK KeepAlive"),
        (get("/none", ""), "ready 404 Not Found KeepAlive"),
        (
            get("/short", "Connection: close\r\n"),
            "ready 200 OK Finish",
        ),
        (get("/long", ""), "stream 200 OK"),
        (get("/short", small), "Draining Body"),
        (get("/long", small), "Draining Body"),
        (
            get("/short", "Content-Length: 65537\r\n"),
            "ready 200 OK Linger",
        ),
        (
            get("/short", "Content-Length: 5\r\nExpect: 100-continue\r\n"),
            "ready 200 OK Linger",
        ),
        // A directory is listed by a thread in any case.
        (get("/", ""), "Resolving LookUp"),
    ];
    for (head, expected) in rows {
        assert_eq!(accept(&head, worker), expected, "{head}");
    }
    worker.life = Life::Leaving;
    assert_eq!(accept(&get("/short", ""), worker), "ready 200 OK Linger");

    let mut busy = Fixture::with_busy_disk();
    assert_eq!(
        accept(&get("/", ""), &mut busy.worker),
        "ready 503 Service Unavailable KeepAlive"
    );
}

#[test]
fn a_look_up_that_is_waited_for() {
    let mut fixture = Fixture::new();
    let worker = &mut fixture.worker;
    let found = || Done::LookedUp(LookUpAnswer::Found(Found::Nothing(ResolveError::NotFound)));
    let (exchange, id) = resolving(worker);
    let mut peer = FakePeer::new();
    assert_eq!(exchange.deadline_ms(), TIMEOUTS.disk_ms);
    let resolved = exchange.on_done(id, found());
    assert_eq!(name(&resolved), "Resolved");
    assert_eq!(step(resolved, &mut peer, worker), "head");

    // What is for another exchange is not for this one.
    let (exchange, id) = resolving(worker);
    let exchange = exchange.on_done(ExchangeId(id.0 - 1), found());
    assert_eq!(name(&exchange), "Resolving");
    let exchange = exchange.on_read(id, Ok(()));
    assert_eq!(step(exchange, &mut peer, worker), "wait Resolving");

    let (exchange, _) = resolving(worker);
    assert_eq!(
        step(exchange, &mut FakePeer::gone(), worker),
        "end Close, PeerGone"
    );
    let (exchange, _) = resolving(worker);
    let late = "yield Sending 504 Linger";
    assert_eq!(deadline(exchange, &mut peer, worker), late);
    // A walk of many entries tells that it has come further, and is waited for.
    let id = worker.next_exchange();
    let (came_further, has_come) = std::sync::mpsc::channel();
    let (go_on, held) = std::sync::mpsc::channel::<()>();
    let work = move |_: &_, token: &CancelToken| {
        token.on_progress();
        let _ = (came_further.send(()), held.recv());
        None
    };
    let role = crate::disk::Role::Other;
    let job = worker.submit(role, 1, id, work).expect("room");
    has_come.recv().expect("a thread");
    let exchange = Exchange::resolving(id, Box::default(), job, worker);
    let Next::Wait(exchange) = exchange.on_deadline(b"", &mut peer, worker) else {
        panic!("it has come further");
    };
    assert_eq!(deadline(exchange, &mut peer, worker), late);
    drop(go_on);
    let (exchange, _) = resolving(worker);
    assert_eq!(exchange.cut(b"GET /", &mut peer, worker), Ending::Close);
    assert_eq!(worker.completions, [Outcome::Shutdown]);
}

#[test]
fn draining_a_request_body() {
    let mut fixture = Fixture::new();
    let worker = &mut fixture.worker;
    let mut peer = FakePeer::new();
    let length = zc_http::BodyFraming::Length(5);
    let rows: [(_, &[u8], _, _); 5] = [
        (length, b"hello", 5, "go Sending"),
        (length, b"hello, world", 5, "go Sending"),
        (length, b"hel", 3, "read Draining"),
        (
            zc_http::BodyFraming::Chunked,
            b"zz\r\n",
            0,
            "go Sending 400 Linger",
        ),
        (
            zc_http::BodyFraming::Chunked,
            b"65\r\n",
            0,
            "go Sending 413 Linger",
        ),
    ];
    for (framing, received, used_expected, expected) in rows {
        let exchange = draining(framing, worker);
        let (used, next) = exchange.step(received, &mut peer, worker);
        assert_eq!(told(&next, worker), expected, "{received:?}");
        assert_eq!(used, used_expected, "{received:?}");
    }
    let exchange = draining(length, worker);
    assert_eq!(
        deadline(exchange, &mut peer, worker),
        "yield Sending 408 Close"
    );
    let exchange = draining(length, worker);
    assert_eq!(exchange.cut(b"", &mut peer, worker), Ending::Reset);
    assert_eq!(worker.completions, [Outcome::Shutdown]);
}

#[test]
fn sending_by_how_far_it_came() {
    let mut fixture = Fixture::new();
    let worker = &mut fixture.worker;
    worker.turn.quantum_bytes = u64::MAX;
    let truncated = SourceTruncated {
        offset: 1,
        missing: 2,
    };
    let rows = [
        (Progress::Complete, "over KeepAlive, Complete"),
        (Progress::WouldBlock, "wait Sending"),
        (Progress::BudgetSpent, "yield Sending"),
        (Progress::NeedsDisk(0..1), "wait Offloaded"),
        (Progress::SourceTruncated(truncated), "end Close, Truncated"),
    ];
    for (progress, expected) in rows {
        let exchange = sending(worker, ReadPath::Direct);
        let mut peer = FakePeer::answering(progress.clone());
        assert_eq!(step(exchange, &mut peer, worker), expected);
        // A response that has just begun takes the same ways.
        let response = *response(ReadPath::Direct, worker);
        let next = begin(response, &mut FakePeer::answering(progress), worker);
        assert_eq!(told(&next, worker), expected);
    }
    // Nothing scripted: it goes, and what comes after it is told.
    let response = bytes_alone(worker);
    let exchange = Exchange::sending(response, worker);
    assert_eq!(
        step(exchange, &mut FakePeer::new(), worker),
        "over KeepAlive, Complete"
    );
    let exchange = Exchange::sending(bytes_alone(worker), worker);
    assert_eq!(
        step(exchange, &mut FakePeer::closed(), worker),
        "end Close, PeerGone"
    );
    let exchange = sending(worker, ReadPath::Direct);
    let mut gone = FakePeer::gone();
    gone.answers.push_back(Progress::NeedsDisk(0..1));
    assert_eq!(step(exchange, &mut gone, worker), "end Close, PeerGone");
    let exchange = sending(worker, ReadPath::Direct);
    assert_eq!(
        exchange.cut(b"", &mut FakePeer::new(), worker),
        Ending::Reset
    );
    assert_eq!(worker.completions, [Outcome::Shutdown]);
}

#[test]
fn a_slow_reader_is_told_from_a_dead_one_by_its_queue() {
    let mut fixture = Fixture::new();
    let worker = &mut fixture.worker;
    let mut peer = FakePeer::answering(Progress::WouldBlock);
    let exchange = sending(worker, ReadPath::Direct);
    let (_, next) = exchange.step(b"", &mut peer, worker);
    let Next::Wait(exchange) = next else {
        panic!("{next:?}");
    };
    assert_eq!(exchange.deadline_ms(), TIMEOUTS.send_ms);
    worker.now_ms = TIMEOUTS.send_ms;
    peer.unacknowledged_bytes -= 1;
    let next = exchange.on_deadline(b"", &mut peer, worker);
    assert_eq!(told(&next, worker), "wait Sending");
    let Next::Wait(exchange) = next else {
        panic!("{next:?}");
    };
    assert_eq!(exchange.deadline_ms(), 2 * TIMEOUTS.send_ms);
    // An edge without progress moves neither the deadline nor what the queue is measured by.
    worker.now_ms += 1;
    peer.answers.push_back(Progress::WouldBlock);
    let (_, next) = exchange.step(b"", &mut peer, worker);
    let Next::Wait(exchange) = next else {
        panic!("{next:?}");
    };
    assert_eq!(exchange.deadline_ms(), 2 * TIMEOUTS.send_ms);
    assert_eq!(deadline(exchange, &mut peer, worker), "end Reset, Stalled");
}

#[test]
fn cold_with_threads_that_take_no_job() {
    let mut fixture = Fixture::with_busy_disk();
    let worker = &mut fixture.worker;
    let needs_disk = || FakePeer::answering(Progress::NeedsDisk(0..1));
    let exchange = sending(worker, ReadPath::Direct);
    assert_eq!(
        step(exchange, &mut needs_disk(), worker),
        "go Sending 503 Linger"
    );
    // Its head is sent: it cannot be told any more.
    let mut response = response(ReadPath::Direct, worker);
    let sent = response.body.advance(&FakePeer::new().socket, 0);
    assert!(response.body.accepted() > 0, "{sent:?}");
    let exchange = Exchange::sending(response, worker);
    assert_eq!(
        step(exchange, &mut needs_disk(), worker),
        "end Close, Failed"
    );
}

#[test]
fn prefetching_and_what_the_kernel_tells() {
    let mut fixture = Fixture::new();
    let worker = &mut fixture.worker;
    let mut peer = FakePeer::new();
    if let Ok(ring) = DiskRing::new(4) {
        worker.ring = Some(ring);
        let exchange = sending(worker, ReadPath::Prefetched);
        peer.answers.push_back(Progress::NeedsDisk(0..LENGTH));
        assert_eq!(step(exchange, &mut peer, worker), "wait Prefetching");
        worker.ring = None;
    } else {
        println!("io_uring is refused here");
    }
    let exchange = sending(worker, ReadPath::Prefetched);
    peer.answers.push_back(Progress::NeedsDisk(0..LENGTH));
    assert_eq!(step(exchange, &mut peer, worker), "wait Offloaded");

    let (exchange, id) = prefetching(worker);
    assert_eq!(exchange.deadline_ms(), TIMEOUTS.disk_ms);
    let exchange = exchange.on_read(ExchangeId(id.0 + 1), Ok(()));
    assert_eq!(step(exchange, &mut peer, worker), "wait Prefetching");
    let (exchange, _) = prefetching(worker);
    let mut gone = FakePeer::gone();
    assert_eq!(step(exchange, &mut gone, worker), "end Close, PeerGone");
    let (exchange, _) = prefetching(worker);
    let late = "yield Sending 504 Linger";
    assert_eq!(deadline(exchange, &mut peer, worker), late);
    let (exchange, _) = prefetching(worker);
    assert_eq!(exchange.cut(b"", &mut peer, worker), Ending::Reset);
    assert_eq!(worker.completions.pop(), Some(Outcome::Shutdown));

    // A file that was just read is in memory, or nobody can tell.
    let (exchange, id) = prefetching(worker);
    let exchange = exchange.on_read(id, Ok(()));
    assert_eq!(name(&exchange), "Prefetched");
    assert_eq!(step(exchange, &mut peer, worker), "go Sending");
    let (exchange, id) = prefetching(worker);
    let exchange = exchange.on_read(id, Err(io::ErrorKind::Other.into()));
    assert_eq!(step(exchange, &mut peer, worker), "wait Offloaded");
    let (exchange, id) = prefetching(worker);
    let exchange = exchange.on_read(id, Ok(()));
    assert_eq!(
        deadline(exchange, &mut peer, worker),
        "yield Prefetched",
        "the answer has come"
    );
    // Its head is sent already: a second one would be taken for a part of the body.
    let mut response = response(ReadPath::Direct, worker);
    let sent = response.body.advance(&peer.socket, 0);
    assert!(response.body.accepted() > 0, "{sent:?}");
    let exchange = Exchange {
        state: State::Prefetching { response },
        deadline_ms: 1,
    };
    assert_eq!(
        deadline(exchange, &mut peer, worker),
        "end CutOff, DiskTimeout"
    );
}

#[test]
fn prefetched_where_the_end_alone_is_in_memory() {
    const LONG: usize = 2 << 20;
    let mut fixture = Fixture::new();
    let end_in_memory = || {
        let mut file = file(0);
        file.write_all(&vec![1; LONG]).expect("room");
        file.sync_all().expect("a disk");
        posix_fadvise(&file, 0, 0, PosixFadviseAdvice::POSIX_FADV_DONTNEED).expect("a file");
        posix_fadvise(&file, 0, 0, PosixFadviseAdvice::POSIX_FADV_RANDOM).expect("a file");
        let end = LONG as u64 - 1;
        std::os::unix::fs::FileExt::read_at(&file, &mut [0], end).expect("a byte");
        file
    };
    // A look may have the kernel read what it looks at, so that another file is looked at here.
    if Residency::probe(end_in_memory(), 0..1) != Residency::Cold {
        println!("the filesystem of the build directory does not tell what is in memory");
        return;
    }
    let file = end_in_memory();
    let worker = &mut fixture.worker;
    let response = response_of(&file, ReadPath::Probe, worker.next_exchange());
    let result = Ok(());
    let exchange = Exchange {
        state: State::Prefetched { response, result },
        deadline_ms: 1,
    };
    assert_eq!(
        step(exchange, &mut FakePeer::new(), worker),
        "wait Offloaded"
    );
}

#[test]
fn offloaded_to_a_thread() {
    let mut fixture = Fixture::new();
    let mut peer = FakePeer::new();
    for read_path in [ReadPath::Probe, ReadPath::Offload] {
        let exchange = offloaded(&mut fixture, read_path, &mut peer);
        assert_eq!(exchange.deadline_ms(), TIMEOUTS.disk_ms);
        let WorkerMessage::Done(_, id, done) = fixture.next_message() else {
            panic!("a body was offloaded");
        };
        let exchange = exchange.on_done(id, done);
        assert_eq!(name(&exchange), "Returned");
        let worker = &mut fixture.worker;
        let next = match read_path {
            // It was read, and is to be sent.
            ReadPath::Probe => "go Sending",
            // The thread has sent all of it.
            _ => "over KeepAlive, Complete",
        };
        assert_eq!(step(exchange, &mut peer, worker), next);
    }
    let exchange = offloaded(&mut fixture, ReadPath::Probe, &mut peer);
    let worker = &mut fixture.worker;
    let mut gone = FakePeer::gone();
    assert_eq!(step(exchange, &mut gone, worker), "end Close, PeerGone");
    let exchange = offloaded(&mut fixture, ReadPath::Probe, &mut peer);
    let worker = &mut fixture.worker;
    assert_eq!(exchange.cut(b"", &mut peer, worker), Ending::CutOff);
    assert_eq!(worker.completions.pop(), Some(Outcome::Shutdown));
}

#[test]
fn offloaded_to_a_thread_that_does_not_answer_in_time() {
    let mut fixture = Fixture::new();
    let (release, held) = std::sync::mpsc::channel::<()>();
    let busy = fixture
        .worker
        .submit(crate::disk::Role::Read, 1, ExchangeId(0), move |_, _| {
            let _ = held.recv();
            None
        });
    let mut peer = FakePeer::new();
    let exchange = offloaded(&mut fixture, ReadPath::Probe, &mut peer);
    let worker = &mut fixture.worker;
    assert_eq!(
        deadline(exchange, &mut peer, worker),
        "yield Sending 504 Linger"
    );
    // Its head is sent already.
    let mut response = response(ReadPath::Direct, worker);
    let sent = response.body.advance(&peer.socket, 0);
    assert!(response.body.accepted() > 0, "{sent:?}");
    let next = offload::wait_for_disk(response, &mut peer, worker);
    let Next::Wait(exchange) = next else {
        panic!("{next:?}");
    };
    assert_eq!(
        deadline(exchange, &mut peer, worker),
        "end CutOff, DiskTimeout"
    );
    drop((release, busy));
}

#[test]
fn what_a_thread_has_left() {
    let mut fixture = Fixture::new();
    let read_error = || SendError::from_read_error(io::ErrorKind::Other.into());
    let truncated = SourceTruncated {
        offset: 1,
        missing: 2,
    };
    let rows = [
        (ReadPath::Probe, Ok(Progress::BudgetSpent), "go Sending"),
        (ReadPath::Probe, Ok(Progress::WouldBlock), "go Sending"),
        (ReadPath::Offload, Ok(Progress::WouldBlock), "wait Sending"),
        (
            ReadPath::Offload,
            Ok(Progress::BudgetSpent),
            "yield Sending",
        ),
        (
            ReadPath::Offload,
            Ok(Progress::Complete),
            "over KeepAlive, Complete",
        ),
        (
            ReadPath::Probe,
            Ok(Progress::SourceTruncated(truncated)),
            "end Close, Truncated",
        ),
        // Nothing was sent yet.
        (ReadPath::Probe, Err(read_error()), "go Sending 500 Linger"),
        // The thread had sent before it failed.
        (ReadPath::Offload, Err(read_error()), "end Close, Failed"),
    ];
    for (read_path, result, expected) in rows {
        let case = format!("{read_path:?} {result:?}");
        let exchange = returned(&mut fixture, read_path, result);
        let told = step(exchange, &mut FakePeer::new(), &mut fixture.worker);
        assert_eq!(told, expected, "{case}");
    }
    // The edge came while the thread had the socket: no other comes.
    let mut peer = FakePeer::new();
    let mut exchange = offloaded(&mut fixture, ReadPath::Offload, &mut peer);
    exchange.on_writable();
    let WorkerMessage::Done(_, id, Done::Carried(body, _)) = fixture.next_message() else {
        panic!("a body was offloaded");
    };
    let exchange = exchange.on_done(id, Done::Carried(body, Ok(Progress::WouldBlock)));
    let worker = &mut fixture.worker;
    assert_eq!(step(exchange, &mut FakePeer::new(), worker), "go Sending");
}

#[test]
fn an_answer_that_has_come_beats_the_deadline() {
    let mut fixture = Fixture::new();
    let mut peer = FakePeer::new();
    let found = || LookUpAnswer::Found(Found::Nothing(ResolveError::NotFound));
    let worker = &mut fixture.worker;
    let (exchange, id) = resolving(worker);
    let resolved = exchange.on_done(id, Done::LookedUp(found()));
    assert_eq!(deadline(resolved, &mut peer, worker), "yield Resolved");
    // The message is there and not taken yet.
    let id = worker.next_exchange();
    let work = move |_: &_, _: &_| Some(Done::LookedUp(found()));
    let job = worker
        .submit(crate::disk::Role::Read, 1, id, work)
        .expect("room");
    let exchange = Exchange::resolving(id, Box::default(), job, worker);
    let message = fixture.next_message();
    let worker = &mut fixture.worker;
    worker.now_ms = TIMEOUTS.disk_ms;
    let next = exchange.on_deadline(b"", &mut peer, worker);
    assert_eq!(told(&next, worker), "wait Resolving");
    let (Next::Wait(exchange), WorkerMessage::Done(_, id, done)) = (next, message) else {
        panic!("the look-up was done");
    };
    assert_eq!(exchange.deadline_ms(), 2 * TIMEOUTS.disk_ms);
    let resolved = exchange.on_done(id, done);
    assert_eq!(step(resolved, &mut peer, worker), "head");

    for read_path in [ReadPath::Probe, ReadPath::Offload] {
        let exchange = offloaded(&mut fixture, read_path, &mut peer);
        let WorkerMessage::Done(_, id, done) = fixture.next_message() else {
            panic!("a body was offloaded");
        };
        let worker = &mut fixture.worker;
        let next = exchange.on_deadline(b"", &mut peer, worker);
        assert_eq!(told(&next, worker), "wait Offloaded", "{read_path:?}");
        let Next::Wait(exchange) = next else {
            panic!("{next:?}");
        };
        let exchange = exchange.on_done(id, done);
        assert_eq!(deadline(exchange, &mut peer, worker), "yield Returned");
    }
    // A thread that has sent something and does not come further is not waited for.
    let exchange = offloaded(&mut fixture, ReadPath::Offload, &mut peer);
    fixture.next_message();
    let worker = &mut fixture.worker;
    let Next::Wait(exchange) = exchange.on_deadline(b"", &mut peer, worker) else {
        panic!("it has come further");
    };
    assert_eq!(
        deadline(exchange, &mut peer, worker),
        "end CutOff, DiskTimeout"
    );
}
