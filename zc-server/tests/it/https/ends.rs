//! How connections end: with close_notify where all that was promised has been sent, and without it where it has not.

use std::io::{ErrorKind, Read, Write};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use super::{VERSIONS, client_hello, connect, connect_narrow};
use crate::harness::{Client, Server, pattern, wait_until};

/// More than every socket buffer of the way holds.
const BIG: usize = 32 << 20;
/// The server counts whole milliseconds of its clock: a deadline may be less than one of them early.
const CLOCK_STEP: Duration = Duration::from_millis(1);

#[test]
fn the_last_response_is_followed_by_close_notify() {
    let server = Server::start_https(&[]);
    let body = pattern(BIG, 1);
    server.write("big", &body);
    server.write("small", b"small");
    for version in VERSIONS {
        for (target, body) in [
            ("/big", &body[..]),
            ("/small", b"small"),
            ("/none", b"404 Not Found\n"),
        ] {
            for request in [
                format!("GET {target} HTTP/1.0\r\n\r\n"),
                format!("GET {target} HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n"),
            ] {
                let mut client = connect(&server, version);
                client.send(request.as_bytes());
                assert!(client.response(false).body == body, "{request}");
                client.expect_end();
            }
        }
        for refused in ["GARBAGE\r\n\r\n", "GET /small HTTP/1.1\r\n\r\n"] {
            let mut client = connect(&server, version);
            client.send(refused.as_bytes());
            assert_eq!(client.response(false).status, 400);
            client.expect_end();
        }
    }
}

#[test]
fn a_client_that_closes_is_answered_in_kind() {
    let server = Server::start_https(&[]);
    let body = pattern(BIG, 2);
    server.write("big", &body);
    for version in VERSIONS {
        let mut client = connect(&server, version);
        assert_eq!(client.get("/none").status, 404);
        client.shutdown_write();
        client.expect_end();
        let mut client = connect(&server, version);
        client.send(b"GET /big HTTP/1.1\r\nHost: t\r\n\r\n");
        client.shutdown_write();
        assert!(client.response(false).body == body, "what it asked for");
        client.expect_end();
        let mut silent = connect(&server, version);
        silent.shake_hands();
        silent.shutdown_write();
        silent.expect_end();
    }
}

#[test]
fn a_response_that_is_cut_short_does_not_end_as_one_that_is_whole() {
    for version in VERSIONS {
        let mut server = Server::start_https(&[]);
        server.write("f", &pattern(BIG, 3));
        server.write("next", b"SECOND RESPONSE");
        let mut client = connect(&server, version);
        client.send(b"GET /f HTTP/1.1\r\nHost: t\r\n\r\nGET /next HTTP/1.1\r\nHost: t\r\n\r\n");
        client.wait_until_begun();
        let file = std::fs::File::options().write(true).open(server.path("f"));
        file.expect("the file").set_len(4096).expect("a cut");
        let mut received = Vec::new();
        let end = client
            .read_to_end(&mut received)
            .expect_err("no close_notify");
        let kinds = [ErrorKind::UnexpectedEof, ErrorKind::ConnectionReset];
        assert!(kinds.contains(&end.kind()), "{end}");
        assert!(received.len() < BIG);
        let text = String::from_utf8_lossy(&received);
        assert!(!text.contains("SECOND RESPONSE"));
        assert_eq!(server.log()["outcome"], "truncated");
        let mut next = connect(&server, version);
        assert_eq!(
            next.get("/next").body,
            b"SECOND RESPONSE",
            "the server lives on"
        );
    }
}

#[test]
fn a_drain_finishes_what_has_begun_and_then_closes() {
    for version in VERSIONS {
        let server = Server::start_https(&["--threads", "2"]);
        let body = pattern(BIG, 4);
        server.write("f", &body);
        let mut idle = connect(&server, version);
        assert_eq!(idle.get("/none").status, 404);
        let mut shaken = connect(&server, version);
        shaken.shake_hands();
        // Another request makes sure that the end of that handshake is read.
        assert_eq!(idle.get("/none").status, 404);
        let mut silent = connect(&server, version);
        silent
            .stream
            .write_all(&client_hello(version)[..10])
            .expect("the server reads");
        let mut busy = connect(&server, version);
        busy.send(b"GET /f HTTP/1.1\r\nHost: t\r\n\r\n");
        busy.wait_until_begun();
        server.signal(Signal::SIGTERM);
        idle.expect_end();
        shaken.expect_end();
        silent.expect_end();
        assert!(busy.response(false).body == body);
        busy.expect_end();
        assert_eq!(server.wait().0.code(), Some(0));
    }
}

#[test]
fn an_idle_connection_is_closed_in_order() {
    for version in VERSIONS {
        let server = Server::start_https(&["--idle-timeout", "100ms"]);
        let mut idle = connect(&server, version);
        assert_eq!(idle.get("/none").status, 404);
        idle.expect_end();
        let server = Server::start_https(&["--header-timeout", "100ms"]);
        let mut silent = connect(&server, version);
        silent.shake_hands();
        silent.expect_end();
    }
}

#[test]
fn a_handshake_has_its_time_and_no_more() {
    const LIMIT: Duration = Duration::from_millis(300);
    let options = ["--handshake-timeout", "300ms", "--defer-accept", "off"];
    let server = Server::start_https(&options);
    for version in VERSIONS {
        let began = Instant::now();
        connect(&server, version).expect_end();
        assert!(began.elapsed() + CLOCK_STEP >= LIMIT, "not before its time");
        let began = Instant::now();
        let mut dripping = connect(&server, version);
        dripping.stream.set_nodelay(true).expect("a TCP socket");
        let mut dripper = dripping.stream.try_clone().expect("a socket");
        std::thread::scope(|scope| {
            // Its last byte never comes.
            scope.spawn(move || {
                let hello = client_hello(version);
                for byte in hello[..hello.len() - 1].iter().cycle() {
                    if dripper.write_all(&[*byte]).is_err() {
                        return;
                    }
                    std::thread::park_timeout(Duration::from_millis(20));
                }
            });
            let mut rest = Vec::new();
            let _ = dripping.stream.read_to_end(&mut rest);
            assert!(rest.is_empty());
        });
        assert!(began.elapsed() + CLOCK_STEP >= LIMIT, "not before its time");
    }
    // What follows the handshake has a time of its own.
    let mut client = connect(&server, VERSIONS[0]);
    assert_eq!(client.get("/none").status, 404);
}

#[test]
fn a_reader_that_stops_is_cut() {
    for version in VERSIONS {
        let mut server = Server::start_https(&["--send-timeout", "300ms"]);
        server.write("f", &pattern(BIG, 5));
        let mut stopped = connect_narrow(server.address, version);
        stopped.send(b"GET /f HTTP/1.1\r\nHost: t\r\n\r\n");
        let log = server.log();
        assert_eq!(
            (&log["outcome"], &log["status"]),
            (&"stalled".into(), &200.into()),
            "{log}"
        );
        assert!(stopped.try_response(false).is_err());
    }
}

#[test]
fn idle_connections_make_room_with_close_notify() {
    for version in VERSIONS {
        let server = Server::start_https(&["--max-connections", "4"]);
        let workers = server.workers();
        let ask = |client: &mut Client| {
            assert_eq!(client.get("/none").status, 404);
            wait_until("the worker sleeps", || workers.wait_for_events());
        };
        let mut clients: Vec<_> = (0..4).map(|_| connect(&server, version)).collect();
        clients.iter_mut().for_each(ask);
        for _ in 0..8 {
            let mut next = connect(&server, version);
            ask(&mut next);
            clients.remove(0).expect_end();
            clients.push(next);
        }
        clients.iter_mut().for_each(ask);
    }
}
