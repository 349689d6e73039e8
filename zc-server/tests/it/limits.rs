//! What a stranger can hold open, and for how long.

use std::io::{Read, Write};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use crate::harness::{Client, Server, pattern, wait_until};

#[test]
fn five_hundred_downloads_at_once() {
    let server = Server::start(&["--threads", "2"]);
    let body = pattern(1 << 20, 21);
    server.write("f", &body);
    let body = &body;
    let server = &server;
    std::thread::scope(|scope| {
        for _ in 0..500 {
            scope.spawn(move || {
                let response = server.get("/f");
                assert!(response.status == 200 && response.body == *body);
            });
        }
    });
}

/// The server counts whole milliseconds of its clock: a deadline may be less than one of them early.
const CLOCK_STEP: Duration = Duration::from_millis(1);

#[test]
fn a_dripping_head_is_cut_at_its_deadline() {
    const LIMIT: Duration = Duration::from_millis(500);
    let mut server = Server::start(&["--header-timeout", "500ms"]);
    server.write("f", b"x");
    let started = Instant::now();
    let mut client = server.connect();
    client.stream.set_nodelay(true).expect("a TCP socket");
    client.send(b"GET /f HTTP/1.1\r\nHost: t\r\n");
    let mut dripper = client.writer();
    let response = std::thread::scope(|scope| {
        // A byte whenever a tick has passed, until the server hangs up.
        scope.spawn(move || {
            while dripper.write_all(b"X").is_ok() {
                std::thread::park_timeout(Duration::from_millis(50));
            }
        });
        let response = client.response(false);
        let mut rest = Vec::new();
        let _ = client.read_to_end(&mut rest);
        assert!(rest.is_empty());
        response
    });
    assert_eq!(
        (response.status, response.field("connection")),
        (408, Some("close"))
    );
    assert!(
        started.elapsed() + CLOCK_STEP >= LIMIT,
        "not before its time"
    );
    assert_eq!(server.log()["status"], 408);
}

/// Each on a server of its own: on a busy machine the request of the one may take longer than the other is
/// given.
#[test]
fn a_client_that_says_nothing_and_an_idle_one_are_dropped_in_silence() {
    // Over TLS a client that says nothing does not even shake hands.
    let server = Server::start(&["--header-timeout", "100ms", "--handshake-timeout", "100ms"]);
    server.connect().expect_end();
    let server = Server::start(&["--idle-timeout", "100ms"]);
    server.write("f", b"x");
    let mut idle = server.connect();
    assert_eq!(idle.get("/f").status, 200);
    idle.expect_end();
}

#[test]
fn connections_over_the_limit_wait_for_their_turn() {
    let server = Server::start(&["--max-connections", "2"]);
    server.write("f", b"x");
    // Each has a part of its next request under way at any time: idle ones would make room.
    let answered = |client: &mut Client| {
        client.send(b"Host: t\r\n\r\nGET /f HTTP/1.1\r\n");
        assert_eq!(client.response(false).status, 200);
    };
    let mut clients = [server.connect(), server.connect()];
    for client in &mut clients {
        client.send(b"GET /f HTTP/1.1\r\n");
        answered(client);
    }
    let [mut first, second] = clients;
    // The kernel's backlog takes the third; nobody answers it yet.
    let mut third = server.connect();
    std::thread::scope(|scope| {
        let third = scope.spawn(move || third.get("/f").status);
        for _ in 0..100 {
            answered(&mut first);
        }
        assert!(!third.is_finished(), "no answer");
        drop(second);
        assert_eq!(third.join().expect("no panic"), 200);
    });
}

#[test]
fn files_that_are_kept_open_make_room_for_connections() {
    const FILES: usize = 30;
    let server = Server::start(&["--cache-files", "100"]);
    let mut client = server.connect();
    for index in 0..FILES {
        server.write(&format!("{index}"), b"x");
    }
    server.wait_until_settled(&format!("/{}", FILES - 1));
    for index in 0..FILES {
        for _ in 0..2 {
            assert_eq!(client.get(&format!("/{index}")).status, 200);
        }
    }
    server.leave_descriptors(1);
    let mut clients: Vec<Client> = (0..FILES / 3).map(|_| server.connect()).collect();
    for client in &mut clients {
        assert_eq!(client.get("/0").status, 200);
    }
    // Nobody had to wait until the files were dropped for being asked for no more.
    server.signal(Signal::SIGTERM);
    drop(clients);
    drop(client);
    let (_, said) = server.wait();
    assert!(!said.contains("cannot accept"), "{said}");
}

#[test]
fn idle_and_half_closed_connections_cost_no_cpu() {
    /// What the timers of connections and of the cache may wake it for, a second.
    const WAKES_PER_SECOND: u32 = 10;
    let server = Server::start(&[]);
    server.write("f", b"x");
    let mut clients: Vec<_> = (0..50).map(|_| server.connect()).collect();
    for (index, client) in clients.iter_mut().enumerate() {
        assert_eq!(client.get("/f").status, 200);
        if index % 2 == 0 {
            client.shutdown_write();
            client.expect_end();
        }
    }
    // While another server waits for a deadline. The more time this takes, the more wakes are allowed.
    let workers = server.workers();
    wait_until("the worker sleeps", || workers.wait_for_events());
    let (before, since) = (workers.sleeps(), Instant::now());
    let another = Server::start(&[
        "--header-timeout",
        "100ms",
        "--handshake-timeout",
        "100ms",
        "--defer-accept",
        "off",
    ]);
    another.connect().expect_end();
    wait_until("the worker sleeps", || workers.wait_for_events());
    let sleeps = workers.sleeps() - before;
    let seconds = u32::try_from(since.elapsed().as_secs()).expect("a short time") + 1;
    assert!(
        sleeps <= u64::from(WAKES_PER_SECOND * seconds),
        "it woke {sleeps} times in {seconds} seconds with nothing to do"
    );
}
