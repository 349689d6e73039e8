//! What each signal does.

use std::os::unix::process::ExitStatusExt;

use nix::sys::signal::Signal;

use crate::harness::{Client, Server, pattern, wait_until};

const BIG: usize = 32 << 20;

#[test]
fn a_signal_drains_and_exits_0() {
    for signal in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGQUIT] {
        let server = Server::start(&["--threads", "2"]);
        let body = pattern(BIG, 31);
        server.write("f", &body);
        let mut idle = server.connect();
        assert_eq!(idle.get("/missing").status, 404);
        let mut busy = server.connect();
        busy.send(b"GET /f HTTP/1.1\r\nHost: t\r\n\r\n");
        busy.wait_until_begun();
        server.signal(signal);
        idle.expect_end();
        assert!(
            busy.response(false).body == body,
            "what had begun is finished"
        );
        busy.expect_end();
        let (status, _) = server.wait();
        assert_eq!(status.code(), Some(0), "{signal}");
    }
}

#[test]
fn a_request_that_has_arrived_before_the_signal_is_answered() {
    let server = Server::start(&[]);
    server.write("f", b"late");
    let mut client = server.connect();
    assert_eq!(client.get("/f").body, b"late");
    // More than are accepted in one turn, and one that is accepted already. A server that is stopped shakes no
    // hands.
    let mut clients: Vec<Client> = Vec::new();
    if server.is_tls() {
        clients.extend((0..100).map(|_| server.connect()));
        clients.iter().for_each(Client::shake_hands);
    }
    server.signal(Signal::SIGSTOP);
    let stat = format!("/proc/{}/stat", server.pid());
    wait_until("the server is stopped", || {
        let stat = std::fs::read_to_string(&stat).expect("our child");
        stat.contains(") T ")
    });
    if !server.is_tls() {
        clients.extend((0..100).map(|_| server.connect()));
    }
    clients.push(client);
    for client in &mut clients {
        client.send(b"GET /f HTTP/1.1\r\nHost: t\r\n\r\n");
    }
    server.signal(Signal::SIGTERM);
    server.signal(Signal::SIGCONT);
    for client in &mut clients {
        assert_eq!(client.response(false).body, b"late");
        client.expect_end();
    }
    // Until then the server lingers.
    drop(clients);
    let (status, _) = server.wait();
    assert_eq!(status.code(), Some(0));
}

#[test]
fn a_second_signal_exits_at_once() {
    let server = Server::start(&[]);
    server.write("f", &pattern(BIG, 32));
    let mut idle = server.connect();
    assert_eq!(idle.get("/missing").status, 404);
    let mut busy = server.connect();
    busy.send(b"GET /f HTTP/1.1\r\nHost: t\r\n\r\n");
    busy.wait_until_begun();
    server.signal(Signal::SIGTERM);
    // The idle one is closed: the first signal has been taken.
    idle.expect_end();
    server.signal(Signal::SIGTERM);
    let (status, _) = server.wait();
    assert_eq!((status.code(), status.signal()), (Some(3), None));
}

#[test]
fn the_grace_period_ends_what_does_not_end() {
    let mut server = Server::start(&["--grace-period", "300ms"]);
    server.write("f", &pattern(BIG, 33));
    let mut busy = server.connect();
    busy.send(b"GET /f HTTP/1.1\r\nHost: t\r\n\r\n");
    busy.wait_until_begun();
    server.signal(Signal::SIGTERM);
    assert_eq!(server.log()["outcome"], "shutdown");
    let (status, said) = server.wait();
    assert_eq!(status.code(), Some(3));
    assert!(
        said.contains("the grace period ended; 1 response was cut\n"),
        "{said}"
    );
    assert!(
        said.contains("1 response in progress, waiting at most 300 ms; "),
        "{said}"
    );
}

#[test]
fn the_first_signal_says_what_is_waited_for() {
    let mut server = Server::start(&["--threads", "3"]);
    let body = pattern(BIG, 34);
    server.write("f", &body);
    let mut clients: Vec<_> = (0..4).map(|_| server.connect()).collect();
    for client in &mut clients {
        client.send(b"GET /f HTTP/1.1\r\nHost: t\r\n\r\n");
        client.wait_until_begun();
    }
    // Nobody waits for one that is idle.
    let mut idle = server.connect();
    assert_eq!(idle.get("/missing").status, 404);
    server.signal(Signal::SIGINT);
    let line = server.said_with("in progress");
    let expected = "zc-server: 4 responses in progress, waiting at most 30 s; press Ctrl-C again to stop now\n";
    assert_eq!(line, expected);
    for client in &mut clients {
        assert!(client.response(false).body == body);
    }
    drop(clients);
    assert_eq!(server.wait().0.code(), Some(0));
}

#[test]
fn other_signals_are_answered_and_end_nothing() {
    let mut server = Server::start(&[]);
    let body = pattern(BIG, 35);
    server.write("f", &body);
    let mut busy = server.connect();
    busy.send(b"GET /f HTTP/1.1\r\nHost: t\r\n\r\n");
    busy.wait_until_begun();
    if !server.is_tls() {
        // Certificates are read again.
        server.signal(Signal::SIGHUP);
        server.said_with("SIGHUP ignored: there is no configuration file and no certificate");
    }
    for (signal, words) in [
        (
            Signal::SIGUSR1,
            "SIGUSR1 ignored: there are no log files to reopen",
        ),
        (Signal::SIGUSR2, "SIGUSR2 ignored"),
    ] {
        server.signal(signal);
        server.said_with(words);
    }
    assert!(busy.response(false).body == body, "it goes on");
    assert_eq!(
        busy.get("/missing").status,
        404,
        "and so does the connection"
    );
    drop(busy);
    server.signal(Signal::SIGTERM);
    assert_eq!(server.wait().0.code(), Some(0));
}

#[test]
fn a_terminal_that_is_closed_ends_nothing() {
    let mut server = Server::start(&[]);
    server.write("f", b"x");
    server.close_stderr();
    // What is said to nobody: by the thread of the signals, and by a worker.
    server.signal(Signal::SIGHUP);
    let mut busy = server.connect();
    server.write("big", &pattern(BIG, 36));
    busy.send(b"GET /big HTTP/1.1\r\nHost: t\r\n\r\n");
    busy.wait_until_begun();
    server.signal(Signal::SIGTERM);
    assert_eq!(busy.response(false).body.len(), BIG);
    busy.expect_end();
    drop(busy);
    assert_eq!(server.wait().0.code(), Some(0));
}
